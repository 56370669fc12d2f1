/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page was sealed with is found from its tag: whatever it is, at any length and nonce;
 * and what is found is all with which the page opens, damaged or not.
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_BYTES 4096u

struct fixture {
    struct cof_env env;
    struct cof_arena *arena;
    struct cof_ek_seal *ek;
    struct cof_aead *aead;
    struct cof_subkey_seal *seal;
    struct cof_subkey_open *open;
    uint8_t aad[COF_AAD_BYTES], found[COF_AAD_BYTES];
    uint8_t plain[PAGE_BYTES], cipher[PAGE_BYTES], out[PAGE_BYTES];
    uint8_t tag[COF_TAG_BYTES];
};

static struct fixture f;

static int setup(void **state)
{
    uint8_t info[COF_SUBKEY_INFO_BYTES];
    (void)state;
    memset(&f, 0, sizeof f);
    cof_env_init(&f.env, NULL);
    memset(info, 0x11, sizeof info);
    assert_int_equal(cof_random(&f.env, f.plain, sizeof f.plain), 0);
    assert_int_equal(cof_arena_new(&f.env, 8192, &f.arena), 0);
    assert_int_equal(cof_ek_draw(&f.env, f.arena, &f.ek), 0);
    assert_int_equal(cof_aead_new(&f.env, f.arena, &f.aead), 0);
    assert_int_equal(cof_subkey_seal_new(f.ek, info, &f.seal), 0);
    assert_int_equal(cof_subkey_open_new(f.ek, NULL, info, &f.open), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_subkey_open_free(f.open);
    cof_subkey_seal_free(f.seal);
    cof_aead_free(f.aead);
    cof_ek_seal_free(f.ek);
    assert_int_equal(cof_arena_slots_free(f.arena), 8192 / COF_SECRET_BYTES - 1);
    cof_arena_free(f.arena);
    assert_int_equal(atomic_load(&f.env.heap_bytes), 0);
    return 0;
}

static void seal(unsigned kind, unsigned slot, size_t bytes)
{
    assert_int_equal(
        cof_page_seal(f.aead, f.seal, kind, slot, f.aad, f.plain, bytes, f.cipher, f.tag), 0);
}

/* Into found: its first half is what the page's kind and slot say. */
static void find(struct cof_binding *binding, unsigned kind, unsigned slot)
{
    memcpy(f.found, f.aad, 16);
    memset(f.found + 16, 0xee, 16);
    assert_int_equal(cof_binding_find(binding, kind, slot, f.found, f.cipher, f.tag), 0);
}

static int open_with_found(unsigned kind, unsigned slot, size_t bytes)
{
    return cof_page_open(f.aead, f.open, kind, slot, f.found, f.cipher, bytes, f.tag, f.out);
}

static void what_was_sealed_with_is_found(void **state)
{
    static const size_t lengths[] = {16, 32, 48, 1024, PAGE_BYTES};
    (void)state;
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct cof_binding *binding;
        assert_int_equal(cof_binding_new(f.open, lengths[i], &binding), 0);
        for (unsigned slot = 0; slot < 40; slot++) {
            unsigned kind = slot % 3;
            assert_int_equal(cof_random(&f.env, f.aad, sizeof f.aad), 0);
            seal(kind, slot, lengths[i]);
            find(binding, kind, slot);
            assert_memory_equal(f.found, f.aad, sizeof f.aad);
            assert_int_equal(open_with_found(kind, slot, lengths[i]), 0);
            assert_memory_equal(f.out, f.plain, lengths[i]);
        }
        cof_binding_free(binding);
    }
}

/* Each single word of a page's AAD, and none. */
static void each_bit_is_found(void **state)
{
    struct cof_binding *binding;
    (void)state;
    assert_int_equal(cof_binding_new(f.open, PAGE_BYTES, &binding), 0);
    for (unsigned bit = 0; bit <= 128; bit++) {
        memset(f.aad + 16, 0, 16);
        if (bit < 128) {
            f.aad[16 + bit / 8] = (uint8_t)(1u << bit % 8);
        }
        seal(0, bit, PAGE_BYTES);
        find(binding, 0, bit);
        assert_memory_equal(f.found, f.aad, sizeof f.aad);
    }
    cof_binding_free(binding);
}

/* A page that was tampered with has another answer, with which it opens and with no other: so what
 * it was asked for as refuses it still. */
static void a_changed_page_is_never_what_it_was(void **state)
{
    struct cof_binding *binding;
    (void)state;
    assert_int_equal(cof_binding_new(f.open, PAGE_BYTES, &binding), 0);
    for (unsigned round = 0; round < 64; round++) {
        seal(0, round, PAGE_BYTES);
        if (round % 2 == 0) {
            f.cipher[round * 61u] ^= (uint8_t)(1u << round % 8);
        } else {
            f.tag[round % 16] ^= (uint8_t)(1u << round % 8);
        }
        find(binding, 0, round);
        assert_memory_not_equal(f.found + 16, f.aad + 16, 16);
        assert_int_equal(open_with_found(0, round, PAGE_BYTES), 0);
        assert_int_equal(
            cof_page_open(f.aead, f.open, 0, round, f.aad, f.cipher, PAGE_BYTES, f.tag, f.out),
            COFFER_E_TAMPER);
    }
    cof_binding_free(binding);
}

static void another_slot_or_kind_says_nothing(void **state)
{
    struct cof_binding *binding;
    (void)state;
    assert_int_equal(cof_binding_new(f.open, PAGE_BYTES, &binding), 0);
    seal(0, 7, PAGE_BYTES);
    find(binding, 0, 8);
    assert_memory_not_equal(f.found + 16, f.aad + 16, 16);
    find(binding, 1, 7);
    assert_memory_not_equal(f.found + 16, f.aad + 16, 16);
    cof_binding_free(binding);
}

static void lengths_that_are_no_blocks_are_refused(void **state)
{
    struct cof_binding *binding;
    (void)state;
    assert_int_equal(cof_binding_new(f.open, 0, &binding), COFFER_E_INVALID);
    assert_int_equal(cof_binding_new(f.open, 4095, &binding), COFFER_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_sealed_with_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(each_bit_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_page_is_never_what_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(another_slot_or_kind_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(lengths_that_are_no_blocks_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
