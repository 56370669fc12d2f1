/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hierarchy: known answers for each label, commitments of volume keys, and records that open
 * for their own key and AAD only. Wraps of data keys: crypto_wrap_test.c.
 *
 * The expected bytes were computed apart from this code: the derivations with Python's hmac, the
 * page with Nettle.
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AAD_BYTES 116u
#define RECORD_BYTES 1000u

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
    cof_vk_free(vk);
    assert_int_equal(cof_arena_slots_free(arena), 4096 / 32 - 1);
    cof_arena_free(arena);
    assert_int_equal(atomic_load(&env.heap_bytes), 0);
    return 0;
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    for (size_t i = 0; i < strlen(hex) / 2; i++) {
        char two[3];
        snprintf(two, sizeof two, "%02x", bytes[i]);
        assert_memory_equal(two, hex + 2 * i, 2);
    }
}

/* ---- known answers ---- */

static void the_volume_key_gives_the_known_keys(void **state)
{
    (void)state;
    uint8_t commitment[COF_COMMITMENT_BYTES];
    assert_hex(vk->wrap->bytes, "317a05d12626c528dda62b423ade08c7"
                                "a4da51e59192ea7037e03c8dc6833e12");
    assert_hex(vk->root->bytes, "9e813ee6cd34efce72105316eb22b008"
                                "d873c90bb02ed82e293af9b441591714");
    cof_vk_commitment(vk, commitment);
    assert_hex(commitment, "5a58bc1954887415b78049d79323cd11"
                           "b58f46c007c4bd89c1a0002e53efd914");
}

static int counting_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    for (size_t i = 0; i < bytes; i++) {
        ((uint8_t *)buffer)[i] = (uint8_t)i;
    }
    return 0;
}

static void the_data_key_gives_the_known_subkey_and_page(void **state)
{
    (void)state;
    struct coffer_env api = {.size = sizeof api, .random = counting_random};
    struct cof_env known;
    struct cof_ek_seal *ek = NULL;
    struct cof_subkey_seal *subkey = NULL;
    struct cof_aead *aead = NULL;
    uint8_t info[COF_SUBKEY_INFO_BYTES], page_aad[COF_AAD_BYTES], plain[64], out[64], tag[16];
    uint8_t nonce[COF_NONCE_BYTES], wrapped[COF_WRAPPED_EK_BYTES], commitment[32];
    cof_env_init(&known, &api);
    for (unsigned i = 0; i < 64; i++) {
        plain[i] = (uint8_t)i;
        info[i % sizeof info] = (uint8_t)(0x40 + i % sizeof info);
        page_aad[i % sizeof page_aad] = (uint8_t)(0x80 + i % sizeof page_aad);
    }
    assert_int_equal(cof_ek_draw(&known, arena, &ek), 0);
    assert_int_equal(cof_aead_new(&known, arena, &aead), 0);
    assert_int_equal(cof_ek_wrap(vk, ek, aad, sizeof aad, nonce, wrapped, commitment), 0);
    assert_hex(commitment, "41ddc59a8883e465284fc4be7b7ff338"
                           "2c29fb5e852c4743be8879367027c855");
    assert_int_equal(cof_subkey_seal_new(ek, info, &subkey), 0);
    assert_hex(subkey->key.secret->bytes, "433e0ea4f610c23a47135b5703ca2d40"
                                          "ac656186f7d5ec0c11f2fa2da5a89987");
    assert_int_equal(cof_page_seal(aead, subkey, 1, 511, page_aad, plain, 64, out, tag), 0);
    assert_hex(out, "05583506dc83c5d3f037a9657fe6e076c23dd88e9e12ef0c0a5bb6133d08ea35"
                    "2b82a11a1d88f47fbfb2de54e6b56993890426fa95788730d559ff19f857873c");
    assert_hex(tag, "e1607a5637629683c66144bb4a490eed");
    cof_subkey_seal_free(subkey);
    cof_aead_free(aead);
    cof_ek_seal_free(ek);
}

static void sha256_is_the_same_in_pieces(void **state)
{
    (void)state;
    struct cof_sha256_stream *stream = NULL;
    uint8_t digest[32];
    assert_int_equal(cof_sha256("abc", 3, digest), 0);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(cof_sha256(NULL, 0, digest), 0);
    assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(cof_sha256_begin(&env, &stream), 0);
    assert_int_equal(cof_sha256_add(stream, "a", 1), 0);
    assert_int_equal(cof_sha256_add(stream, NULL, 0), 0);
    assert_int_equal(cof_sha256_add(stream, "bc", 2), 0);
    assert_int_equal(cof_sha256_end(stream, digest), 0);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- the volume key ---- */

static void each_bit_of_a_commitment_counts(void **state)
{
    (void)state;
    uint8_t commitment[COF_COMMITMENT_BYTES];
    struct cof_vk *other = new_vk(1);
    cof_vk_commitment(vk, commitment);
    assert_int_equal(cof_vk_check(vk, commitment), 0);
    assert_int_equal(cof_vk_check(other, commitment), COFFER_E_COMMIT);
    for (unsigned bit = 0; bit < sizeof commitment * 8; bit++) {
        commitment[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cof_vk_check(vk, commitment), COFFER_E_COMMIT);
        commitment[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cof_vk_free(other);
}

static int refuse_to_fill(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    (void)ctx;
    memset(bytes, 1, COF_SECRET_BYTES);
    return COFFER_E_KEY_DISABLED;
}

static void what_the_provider_refuses_is_no_volume_key(void **state)
{
    (void)state;
    struct cof_vk *none = NULL;
    unsigned before = cof_arena_slots_free(arena);
    assert_int_equal(cof_vk_new(&env, arena, refuse_to_fill, NULL, &none), COFFER_E_KEY_DISABLED);
    assert_null(none);
    assert_int_equal(cof_arena_slots_free(arena), before);
}

static void a_volume_key_in_a_full_arena_is_refused(void **state)
{
    (void)state;
    struct cof_secret *taken[4096 / 32];
    struct cof_vk *none = NULL;
    uint8_t first = 0;
    unsigned count = 0;
    while (cof_secret_new(arena, &taken[count]) == 0) {
        count++;
    }
    for (unsigned spare = 0; spare < 3; spare++) {
        assert_int_equal(cof_arena_slots_free(arena), spare);
        assert_int_equal(cof_vk_new(&env, arena, fill_counting, &first, &none), COFFER_E_LIMIT);
        assert_null(none);
        assert_int_equal(cof_arena_slots_free(arena), spare);
        cof_secret_free(arena, taken[--count]);
    }
    while (count > 0) {
        cof_secret_free(arena, taken[--count]);
    }
}

struct record {
    uint8_t nonce[COF_NONCE_BYTES];
    uint8_t tag[COF_TAG_BYTES];
    uint8_t bytes[RECORD_BYTES];
};

static int open_record(const struct record *record, uint8_t *out)
{
    memset(out, 0xee, RECORD_BYTES);
    return cof_vk_open_record(vk, aad, sizeof aad, record->nonce, record->tag, record->bytes,
                              RECORD_BYTES, out);
}

static void each_flipped_bit_of_a_record_is_refused(void **state)
{
    (void)state;
    struct record record;
    uint8_t plain[RECORD_BYTES], out[RECORD_BYTES];
    static const uint8_t zero[RECORD_BYTES];
    uint8_t *bytes = (uint8_t *)&record;
    memset(plain, 0x42, sizeof plain);
    assert_int_equal(cof_vk_seal_record(vk, aad, sizeof aad, plain, sizeof plain, record.bytes,
                                        record.nonce, record.tag),
                     0);
    assert_int_equal(open_record(&record, out), 0);
    assert_memory_equal(out, plain, sizeof plain);
    for (unsigned bit = 0; bit < sizeof record * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(open_record(&record, out), COFFER_E_TAMPER);
        assert_memory_equal(out, zero, sizeof zero);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < sizeof aad * 8; bit++) {
        aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(open_record(&record, out), COFFER_E_TAMPER);
        aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(open_record(&record, out), 0);
}

static void a_record_is_sealed_in_place_with_no_aad(void **state)
{
    (void)state;
    uint8_t text[5] = "text";
    uint8_t nonce[COF_NONCE_BYTES], tag[COF_TAG_BYTES];
    assert_int_equal(cof_vk_seal_record(vk, NULL, 0, text, 5, text, nonce, tag), 0);
    assert_memory_not_equal(text, "text", 5);
    assert_int_equal(cof_vk_open_record(vk, NULL, 0, nonce, tag, text, 5, text), 0);
    assert_memory_equal(text, "text", 5);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_volume_key_gives_the_known_keys),
        CASE(the_data_key_gives_the_known_subkey_and_page),
        CASE(sha256_is_the_same_in_pieces),
        CASE(each_bit_of_a_commitment_counts),
        CASE(what_the_provider_refuses_is_no_volume_key),
        CASE(a_volume_key_in_a_full_arena_is_refused),
        CASE(each_flipped_bit_of_a_record_is_refused),
        CASE(a_record_is_sealed_in_place_with_no_aad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
