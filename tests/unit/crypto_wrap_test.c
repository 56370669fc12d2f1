/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys: wraps open for their own volume key, AAD and commitment only, what was unwrapped opens
 * what the drawn key sealed, and a key that may only open has no way to seal, which the compiler
 * is asked about.
 */
#include "base/testhook.h"
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define AAD_BYTES 64u

static struct cof_env env;
static struct cof_arena *arena;
static struct cof_vk *vk;
static uint8_t aad[AAD_BYTES];

static int fill_counting(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    uint8_t first = *(const uint8_t *)ctx;
    for (unsigned i = 0; i < COF_SECRET_BYTES; i++) {
        bytes[i] = (uint8_t)(first + i);
    }
    return 0;
}

static struct cof_vk *new_vk(uint8_t first)
{
    struct cof_vk *made = NULL;
    assert_int_equal(cof_vk_new(&env, arena, fill_counting, &first, &made), 0);
    return made;
}

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    memset(aad, 0x3c, sizeof aad);
    assert_int_equal(cof_arena_new(&env, 4096, &arena), 0);
    vk = new_vk(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_test_on_seal = NULL;
    cof_vk_free(vk);
    assert_int_equal(cof_arena_slots_free(arena), 4096 / 32 - 1);
    cof_arena_free(arena);
    assert_int_equal(atomic_load(&env.heap_bytes), 0);
    return 0;
}

struct wrap {
    uint8_t nonce[COF_NONCE_BYTES];
    uint8_t wrapped[COF_WRAPPED_EK_BYTES];
    uint8_t commitment[COF_COMMITMENT_BYTES];
};

static int unwrap(struct cof_vk *with, const struct wrap *wrap, struct cof_ek_open **ret_ek)
{
    return cof_ek_unwrap(&env, arena, with, aad, sizeof aad, wrap->nonce, wrap->wrapped,
                         wrap->commitment, ret_ek);
}

static void an_unwrapped_key_opens_what_the_drawn_one_sealed(void **state)
{
    (void)state;
    static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {7};
    static const uint8_t page_aad[COF_AAD_BYTES] = {8};
    uint8_t plain[512] = {9}, sealed[512], out[512], tag[16];
    struct cof_ek_seal *drawn = NULL;
    struct cof_ek_open *opened = NULL, *again = NULL;
    struct cof_subkey_seal *seal = NULL;
    struct cof_subkey_open *open_key = NULL;
    struct cof_aead *aead = NULL;
    struct cof_vk *next_vk = new_vk(100);
    struct wrap wrap, rewrap;
    assert_int_equal(cof_aead_new(&env, arena, &aead), 0);
    assert_int_equal(cof_ek_draw(&env, arena, &drawn), 0);
    assert_int_equal(cof_subkey_seal_new(drawn, info, &seal), 0);
    assert_int_equal(cof_page_seal(aead, seal, 0, 1, page_aad, plain, 512, sealed, tag), 0);
    assert_int_equal(
        cof_ek_wrap(vk, drawn, aad, sizeof aad, wrap.nonce, wrap.wrapped, wrap.commitment), 0);
    cof_ek_seal_free(drawn);
    assert_int_equal(unwrap(vk, &wrap, &opened), 0);
    assert_int_equal(cof_ek_rewrap(next_vk, opened, aad, sizeof aad, rewrap.nonce, rewrap.wrapped,
                                   rewrap.commitment),
                     0);
    assert_memory_equal(rewrap.commitment, wrap.commitment, sizeof wrap.commitment);
    assert_memory_not_equal(rewrap.wrapped, wrap.wrapped, sizeof wrap.wrapped);
    assert_int_equal(unwrap(vk, &rewrap, &again), COFFER_E_TAMPER);
    assert_int_equal(unwrap(next_vk, &rewrap, &again), 0);
    assert_int_equal(cof_subkey_open_new(NULL, again, info, &open_key), 0);
    assert_int_equal(cof_page_open(aead, open_key, 0, 1, page_aad, sealed, 512, tag, out), 0);
    assert_memory_equal(out, plain, sizeof plain);
    cof_subkey_open_free(open_key);
    cof_subkey_seal_free(seal);
    cof_ek_open_free(opened);
    cof_ek_open_free(again);
    cof_aead_free(aead);
    cof_vk_free(next_vk);
}

static void each_flipped_bit_of_a_wrap_is_refused(void **state)
{
    (void)state;
    struct wrap wrap;
    struct cof_ek_seal *drawn = NULL;
    struct cof_ek_open *none = NULL;
    uint8_t *bytes = (uint8_t *)&wrap;
    unsigned before;
    assert_int_equal(cof_ek_draw(&env, arena, &drawn), 0);
    assert_int_equal(
        cof_ek_wrap(vk, drawn, aad, sizeof aad, wrap.nonce, wrap.wrapped, wrap.commitment), 0);
    before = cof_arena_slots_free(arena);
    for (unsigned bit = 0; bit < sizeof wrap * 8; bit++) {
        int expected =
            bit / 8 < offsetof(struct wrap, commitment) ? COFFER_E_TAMPER : COFFER_E_COMMIT;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(unwrap(vk, &wrap, &none), expected);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < sizeof aad * 8; bit++) {
        aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(unwrap(vk, &wrap, &none), COFFER_E_TAMPER);
        aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_null(none);
    assert_int_equal(cof_arena_slots_free(arena), before);
    assert_int_equal(unwrap(vk, &wrap, &none), 0);
    cof_ek_open_free(none);
    cof_ek_seal_free(drawn);
}

static void drawn_keys_and_nonces_differ(void **state)
{
    (void)state;
    struct cof_ek_seal *keys[32];
    struct wrap wraps[32];
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(cof_ek_draw(&env, arena, &keys[i]), 0);
        assert_int_equal(cof_ek_wrap(vk, keys[0], aad, sizeof aad, wraps[i].nonce, wraps[i].wrapped,
                                     wraps[i].commitment),
                         0);
        for (unsigned j = 0; j < i; j++) {
            assert_memory_not_equal(keys[i]->key.secret->bytes, keys[j]->key.secret->bytes, 32);
            assert_memory_not_equal(wraps[i].nonce, wraps[j].nonce, COF_NONCE_BYTES);
        }
    }
    for (unsigned i = 0; i < 32; i++) {
        cof_ek_seal_free(keys[i]);
    }
}

static unsigned seals_seen;
static uint8_t seen_key[32];
static uint8_t seen_nonce[12];

static void note_seal(const uint8_t key[32], const uint8_t nonce[12])
{
    seals_seen++;
    memcpy(seen_key, key, sizeof seen_key);
    memcpy(seen_nonce, nonce, sizeof seen_nonce);
}

static void the_recorder_sees_wraps_and_records(void **state)
{
    (void)state;
    struct cof_ek_seal *drawn = NULL;
    struct wrap wrap;
    uint8_t text[4] = {0}, nonce[COF_NONCE_BYTES], tag[COF_TAG_BYTES];
    seals_seen = 0;
    cof_test_on_seal = note_seal;
    assert_int_equal(cof_ek_draw(&env, arena, &drawn), 0);
    assert_int_equal(
        cof_ek_wrap(vk, drawn, aad, sizeof aad, wrap.nonce, wrap.wrapped, wrap.commitment), 0);
    assert_int_equal(seals_seen, 1);
    assert_memory_equal(seen_key, vk->wrap->bytes, sizeof seen_key);
    assert_memory_equal(seen_nonce, wrap.nonce, sizeof seen_nonce);
    assert_int_equal(cof_vk_seal_record(vk, NULL, 0, text, 4, text, nonce, tag), 0);
    assert_int_equal(seals_seen, 2);
    assert_memory_equal(seen_key, vk->root->bytes, sizeof seen_key);
    assert_memory_equal(seen_nonce, nonce, sizeof seen_nonce);
    cof_ek_seal_free(drawn);
}

static int no_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    (void)buffer;
    (void)bytes;
    return -1;
}

static void nothing_is_sealed_without_randomness(void **state)
{
    (void)state;
    struct coffer_env api = {.size = sizeof api, .random = no_random};
    struct cof_env broken;
    struct cof_vk *poor = NULL;
    struct cof_ek_seal *drawn = NULL;
    struct wrap wrap;
    uint8_t first = 0, text[4] = {0};
    cof_env_init(&broken, &api);
    memset(&wrap, 0xee, sizeof wrap);
    assert_int_equal(cof_vk_new(&broken, arena, fill_counting, &first, &poor), 0);
    assert_int_equal(cof_ek_draw(&env, arena, &drawn), 0);
    seals_seen = 0;
    cof_test_on_seal = note_seal;
    assert_int_equal(
        cof_ek_wrap(poor, drawn, aad, sizeof aad, wrap.nonce, wrap.wrapped, wrap.commitment),
        COFFER_E_CRYPTO);
    assert_int_equal(cof_vk_seal_record(poor, NULL, 0, text, 4, text, wrap.nonce, wrap.wrapped),
                     COFFER_E_CRYPTO);
    assert_int_equal(seals_seen, 0);
    assert_int_equal(wrap.nonce[0], 0xee);
    cof_ek_seal_free(drawn);
    cof_vk_free(poor);
}

/* ---- by type ---- */

/* Whether the compiler takes a call with these argument types, by the declarations of keys.h. */
static int compiles(const char *parameter, const char *call)
{
    const char *compiler = getenv("CC");
    const char *root = getenv("COFFER_SOURCE_DIR");
    char here[] = __FILE__, command[4096];
    FILE *source;
    int status;
    if (root == NULL) {
        char *cut = strstr(here, "/tests/unit/");
        assert_non_null(cut);
        *cut = '\0';
        root = here;
    }
    snprintf(command, sizeof command,
             "'%s' -std=c11 -Wall -Wextra -Werror -fsyntax-only -x c -I'%s/engine' "
             "-I'%s/engine/include' - >/dev/null 2>&1",
             compiler != NULL ? compiler : "cc", root, root);
    source = popen(command, "w");
    assert_non_null(source);
    fprintf(source,
            "#include \"crypto/keys.h\"\n"
            "int try(%s, const uint8_t *info, struct cof_subkey_seal **ret);\n"
            "int try(%s, const uint8_t *info, struct cof_subkey_seal **ret)\n"
            "{\n    return %s;\n}\n",
            parameter, parameter, call);
    status = pclose(source);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 127);
    return WEXITSTATUS(status) == 0;
}

static void an_unwrapped_key_cannot_be_passed_to_a_sealing_function(void **state)
{
    (void)state;
    /* What must compile is the control: without it, a missing header would pass the test. */
    assert_true(compiles("struct cof_ek_seal *ek", "cof_subkey_seal_new(ek, info, ret)"));
    assert_false(compiles("struct cof_ek_open *ek", "cof_subkey_seal_new(ek, info, ret)"));
    assert_true(compiles("struct cof_subkey_seal *key",
                         "(void)info, (void)ret, cof_page_seal(0, key, 0, 0, info, 0, 0, 0, 0)"));
    assert_false(compiles("struct cof_subkey_open *key",
                          "(void)info, (void)ret, cof_page_seal(0, key, 0, 0, info, 0, 0, 0, 0)"));
    assert_false(compiles("struct cof_ek_open *ek",
                          "(void)info, (void)ret, cof_ek_wrap(0, ek, 0, 0, 0, 0, 0)"));
}

static void a_key_has_no_visible_bytes(void **state)
{
    (void)state;
    assert_false(compiles("struct cof_ek_seal *ek", "(void)info, (void)ret, ek->key.secret != 0"));
    assert_false(compiles("struct cof_secret *secret", "(void)info, (void)ret, secret->bytes[0]"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_unwrapped_key_opens_what_the_drawn_one_sealed),
        CASE(each_flipped_bit_of_a_wrap_is_refused),
        CASE(drawn_keys_and_nonces_differ),
        CASE(the_recorder_sees_wraps_and_records),
        CASE(nothing_is_sealed_without_randomness),
        CASE(an_unwrapped_key_cannot_be_passed_to_a_sealing_function),
        CASE(a_key_has_no_visible_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
