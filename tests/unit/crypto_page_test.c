/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: what is sealed opens again, and nothing else does. Every single bit of ciphertext, tag and
 * AAD, and each word of the nonce, is tried; each refusal must leave the output zero.
 */
#include "base/testhook.h"
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#define PAGE_BYTES 4096u
#define SMALL_BYTES 48u

struct fixture {
    struct cof_env env;
    struct cof_arena *arena;
    struct cof_ek_seal *ek;
    struct cof_aead *aead;
    struct cof_subkey_seal *seal;
    struct cof_subkey_open *open;
    uint8_t info[COF_SUBKEY_INFO_BYTES];
    uint8_t aad[COF_AAD_BYTES];
    uint8_t plain[PAGE_BYTES];
    uint8_t cipher[PAGE_BYTES];
    uint8_t out[PAGE_BYTES];
    uint8_t tag[COF_TAG_BYTES];
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    cof_env_init(&f.env, NULL);
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        f.plain[i] = (uint8_t)(i * 7u + i / 256u);
    }
    memset(f.aad, 0xa5, sizeof f.aad);
    memset(f.info, 0x11, sizeof f.info);
    assert_int_equal(cof_arena_new(&f.env, 8192, &f.arena), 0);
    assert_int_equal(cof_ek_draw(&f.env, f.arena, &f.ek), 0);
    assert_int_equal(cof_aead_new(&f.env, f.arena, &f.aead), 0);
    assert_int_equal(cof_subkey_seal_new(f.ek, f.info, &f.seal), 0);
    assert_int_equal(cof_subkey_open_new(f.ek, NULL, f.info, &f.open), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_test_break = COF_BREAK_NONE;
    cof_test_on_seal = NULL;
    cof_subkey_open_free(f.open);
    cof_subkey_seal_free(f.seal);
    cof_aead_free(f.aead);
    cof_ek_seal_free(f.ek);
    cof_arena_free(f.arena);
    assert_int_equal(atomic_load(&f.env.heap_bytes), 0);
    return 0;
}

static void seal_page(unsigned kind, unsigned slot, size_t bytes)
{
    assert_int_equal(
        cof_page_seal(f.aead, f.seal, kind, slot, f.aad, f.plain, bytes, f.cipher, f.tag), 0);
}

static int open_page(unsigned kind, unsigned slot, size_t bytes)
{
    memset(f.out, 0xee, sizeof f.out);
    return cof_page_open(f.aead, f.open, kind, slot, f.aad, f.cipher, bytes, f.tag, f.out);
}

static void assert_zero(const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(at[i], 0);
    }
}

static void assert_refused(unsigned kind, unsigned slot, size_t bytes)
{
    assert_int_equal(open_page(kind, slot, bytes), COFFER_E_TAMPER);
    assert_zero(f.out, bytes);
    assert_int_equal(f.out[bytes], 0xee);
}

static void a_sealed_page_opens(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 512; slot += 73) {
        seal_page(0, slot, PAGE_BYTES);
        assert_memory_not_equal(f.cipher, f.plain, PAGE_BYTES);
        assert_int_equal(open_page(0, slot, PAGE_BYTES), 0);
        assert_memory_equal(f.out, f.plain, PAGE_BYTES);
    }
}

static void every_length_opens_and_keeps_to_its_bounds(void **state)
{
    (void)state;
    for (unsigned bytes = 0; bytes < 300; bytes++) {
        memset(f.cipher, 0xcc, sizeof f.cipher);
        seal_page(1, bytes, bytes);
        assert_int_equal(f.cipher[bytes], 0xcc);
        assert_int_equal(open_page(1, bytes, bytes), 0);
        assert_memory_equal(f.out, f.plain, bytes);
        assert_int_equal(f.out[bytes], 0xee);
    }
}

static void a_page_is_sealed_and_opened_in_place(void **state)
{
    (void)state;
    uint8_t page[PAGE_BYTES];
    seal_page(0, 9, PAGE_BYTES);
    memcpy(page, f.plain, sizeof page);
    assert_int_equal(cof_page_seal(f.aead, f.seal, 0, 9, f.aad, page, sizeof page, page, f.tag), 0);
    assert_memory_equal(page, f.cipher, sizeof page);
    assert_int_equal(cof_page_open(f.aead, f.open, 0, 9, f.aad, page, sizeof page, f.tag, page), 0);
    assert_memory_equal(page, f.plain, sizeof page);
    f.tag[0] ^= 1;
    assert_int_equal(cof_page_open(f.aead, f.open, 0, 9, f.aad, page, sizeof page, f.tag, page),
                     COFFER_E_TAMPER);
    assert_zero(page, sizeof page);
}

static void each_flipped_bit_of_a_page_is_refused(void **state)
{
    (void)state;
    seal_page(0, 3, PAGE_BYTES);
    for (unsigned bit = 0; bit < PAGE_BYTES * 8; bit++) {
        f.cipher[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(open_page(0, 3, PAGE_BYTES), COFFER_E_TAMPER);
        assert_zero(f.out, bit % 64 == 0 ? PAGE_BYTES : 64);
        f.cipher[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(open_page(0, 3, PAGE_BYTES), 0);
    assert_int_equal(ERR_peek_error(), 0);
}

static void each_flipped_bit_of_tag_and_aad_is_refused(void **state)
{
    (void)state;
    seal_page(0, 3, SMALL_BYTES);
    for (unsigned bit = 0; bit < COF_TAG_BYTES * 8; bit++) {
        f.tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_refused(0, 3, SMALL_BYTES);
        f.tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < COF_AAD_BYTES * 8; bit++) {
        f.aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_refused(0, 3, SMALL_BYTES);
        f.aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(open_page(0, 3, SMALL_BYTES), 0);
}

static void each_other_place_and_length_is_refused(void **state)
{
    (void)state;
    seal_page(1, 3, SMALL_BYTES);
    for (unsigned bit = 0; bit < 32; bit++) {
        assert_refused(1u ^ (1u << bit), 3, SMALL_BYTES);
        assert_refused(1, 3u ^ (1u << bit), SMALL_BYTES);
    }
    assert_refused(3, 1, SMALL_BYTES);
    for (unsigned bytes = 0; bytes < 2 * SMALL_BYTES; bytes++) {
        if (bytes != SMALL_BYTES) {
            assert_refused(1, 3, bytes);
        }
    }
    assert_int_equal(open_page(1, 3, SMALL_BYTES), 0);
}

static void each_other_extent_is_refused(void **state)
{
    (void)state;
    seal_page(0, 3, SMALL_BYTES);
    for (unsigned bit = 0; bit < COF_SUBKEY_INFO_BYTES * 8; bit++) {
        f.info[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cof_subkey_open_free(f.open);
        assert_int_equal(cof_subkey_open_new(f.ek, NULL, f.info, &f.open), 0);
        assert_refused(0, 3, SMALL_BYTES);
        f.info[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* The slot and the heap block of a freed subkey go to the next one, so an aead that compared
 * addresses would go on with the old key. */
static void a_reused_slot_is_not_mistaken_for_its_former_key(void **state)
{
    (void)state;
    const struct cof_secret *slot = f.open->key.secret;
    seal_page(0, 3, SMALL_BYTES);
    assert_int_equal(open_page(0, 3, SMALL_BYTES), 0);
    cof_subkey_open_free(f.open);
    f.info[0] ^= 1;
    assert_int_equal(cof_subkey_open_new(f.ek, NULL, f.info, &f.open), 0);
    assert_ptr_equal(f.open->key.secret, slot);
    assert_refused(0, 3, SMALL_BYTES);
}

static void opening_leaves_the_sealing_key_alone(void **state)
{
    (void)state;
    struct cof_subkey_open *other = NULL;
    uint8_t first[SMALL_BYTES];
    seal_page(0, 3, SMALL_BYTES);
    memcpy(first, f.cipher, sizeof first);
    f.info[0] ^= 1;
    assert_int_equal(cof_subkey_open_new(f.ek, NULL, f.info, &other), 0);
    assert_int_equal(cof_page_open(f.aead, other, 0, 3, f.aad, f.cipher, SMALL_BYTES, f.tag, f.out),
                     COFFER_E_TAMPER);
    assert_int_equal(open_page(0, 3, SMALL_BYTES), 0);
    seal_page(0, 3, SMALL_BYTES);
    assert_memory_equal(first, f.cipher, sizeof first);
    assert_int_equal(open_page(0, 3, SMALL_BYTES), 0);
    cof_subkey_open_free(other);
}

static void a_text_too_long_for_evp_is_refused(void **state)
{
    (void)state;
    EVP_CIPHER_CTX *context = NULL;
    uint8_t nonce[COF_NONCE_BYTES] = {0};
    struct cof_gcm_message message = {nonce, f.aad, sizeof f.aad, f.plain, (size_t)1 << 31, f.out};
    assert_int_equal(cof_gcm_context_new(&context), 0);
    assert_int_equal(cof_gcm_key(context, 1, f.seal->key.secret), 0);
    assert_int_equal(cof_gcm_seal(context, NULL, f.seal->key.secret, &message, f.tag),
                     COFFER_E_INVALID);
    assert_int_equal(cof_gcm_open(context, NULL, &message, f.tag), COFFER_E_INVALID);
    EVP_CIPHER_CTX_free(context);
}

static void exactly_one_data_key_makes_an_opening_subkey(void **state)
{
    (void)state;
    struct cof_ek_open both;
    struct cof_subkey_open *subkey = NULL;
    memset(&both, 0, sizeof both);
    both.key = f.ek->key;
    assert_int_equal(cof_subkey_open_new(NULL, NULL, f.info, &subkey), COFFER_E_INVALID);
    assert_int_equal(cof_subkey_open_new(f.ek, &both, f.info, &subkey), COFFER_E_INVALID);
    assert_null(subkey);
}

/* ---- hooks ---- */

static unsigned seals_seen;
static uint8_t seen_key[32];
static uint8_t seen_nonce[12];

static void note_seal(const uint8_t key[32], const uint8_t nonce[12])
{
    seals_seen++;
    memcpy(seen_key, key, sizeof seen_key);
    memcpy(seen_nonce, nonce, sizeof seen_nonce);
}

static void the_recorder_sees_key_and_nonce_of_each_page(void **state)
{
    (void)state;
    static const uint8_t nonce[12] = {0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78};
    seals_seen = 0;
    cof_test_on_seal = note_seal;
    seal_page(1, 0x12345678, SMALL_BYTES);
    assert_int_equal(seals_seen, 1);
    assert_memory_equal(seen_key, f.seal->key.secret->bytes, 32);
    assert_memory_equal(seen_nonce, nonce, sizeof nonce);
    assert_int_equal(open_page(1, 0x12345678, SMALL_BYTES), 0);
    assert_int_equal(seals_seen, 1);
}

static void a_skipped_tag_returns_what_was_forged(void **state)
{
    (void)state;
    seal_page(0, 3, SMALL_BYTES);
    f.cipher[0] ^= 0x80;
    cof_test_break = COF_BREAK_SKIP_TAG;
    assert_int_equal(open_page(0, 3, SMALL_BYTES), 0);
    assert_int_equal(f.out[0], f.plain[0] ^ 0x80);
    assert_memory_equal(f.out + 1, f.plain + 1, SMALL_BYTES - 1);
    cof_test_break = COF_BREAK_NONE;
    assert_refused(0, 3, SMALL_BYTES);
}

static void a_reused_nonce_is_seen_by_the_recorder(void **state)
{
    (void)state;
    uint8_t first[32];
    cof_test_on_seal = note_seal;
    for (unsigned broken = 0; broken < 2; broken++) {
        cof_test_break = broken != 0 ? COF_BREAK_REUSE_NONCE : COF_BREAK_NONE;
        for (unsigned extent = 0; extent < 2; extent++) {
            memset(f.info, (int)(0x20 + extent), sizeof f.info);
            cof_subkey_seal_free(f.seal);
            cof_subkey_open_free(f.open);
            assert_int_equal(cof_subkey_seal_new(f.ek, f.info, &f.seal), 0);
            assert_int_equal(cof_subkey_open_new(f.ek, NULL, f.info, &f.open), 0);
            seal_page(0, 0, SMALL_BYTES);
            assert_int_equal(open_page(0, 0, SMALL_BYTES), 0);
            if (extent == 0) {
                memcpy(first, seen_key, sizeof first);
            }
        }
        assert_int_equal(memcmp(first, seen_key, sizeof first) == 0, broken);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_sealed_page_opens),
        CASE(every_length_opens_and_keeps_to_its_bounds),
        CASE(a_page_is_sealed_and_opened_in_place),
        CASE(each_flipped_bit_of_a_page_is_refused),
        CASE(each_flipped_bit_of_tag_and_aad_is_refused),
        CASE(each_other_place_and_length_is_refused),
        CASE(each_other_extent_is_refused),
        CASE(a_reused_slot_is_not_mistaken_for_its_former_key),
        CASE(opening_leaves_the_sealing_key_alone),
        CASE(a_text_too_long_for_evp_is_refused),
        CASE(exactly_one_data_key_makes_an_opening_subkey),
        CASE(the_recorder_sees_key_and_nonce_of_each_page),
        CASE(a_skipped_tag_returns_what_was_forged),
        CASE(a_reused_nonce_is_seen_by_the_recorder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
