/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys leave behind outside the arena: all writable memory of the process is searched, after
 * each kind of operation, for the bytes of the volume key, its derived keys, a data key and a
 * subkey (which are also the first two round keys of their AES-256 schedules).
 *
 * A key that is searched for is held as its complement, or the search would find itself.
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sanitizers map terabytes and keep what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_SEARCH 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_SEARCH 0
#endif
#endif
#ifndef CAN_SEARCH
#define CAN_SEARCH 1
#endif

#define REGIONS_MAX 512u
#define TEXT_BYTES 256u

struct needle {
    uint8_t complement[COF_SECRET_BYTES];
};

struct region {
    uintptr_t start;
    uintptr_t end;
};

static struct cof_env env;
static struct cof_arena *arena;
static struct cof_vk *vk;
static struct cof_ek_seal *ek;
static struct cof_schedule *schedule; /* in the arena's other mapping; NULL: it has none */
static const uint8_t aad[COF_AAD_BYTES] = {1};
static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {2};
static volatile unsigned seed = 77;

static struct needle needle_of(const struct cof_secret *secret)
{
    struct needle needle;
    for (unsigned i = 0; i < COF_SECRET_BYTES; i++) {
        needle.complement[i] = (uint8_t)~secret->bytes[i];
    }
    return needle;
}

/* Computed byte by byte, so that it stands in no table. */
static uint8_t vk_byte(unsigned i)
{
    return (uint8_t)((seed + i * 2654435761u) >> 7);
}

static int fill(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    (void)ctx;
    for (unsigned i = 0; i < COF_SECRET_BYTES; i++) {
        bytes[i] = vk_byte(i);
    }
    return 0;
}

/* Taken at once and before the search, which may itself allocate. */
static size_t writable_regions(struct region regions[REGIONS_MAX])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t count = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        char access[8];
        uintptr_t slot = (uintptr_t)vk->root;
        uintptr_t expanded = (uintptr_t)schedule;
        if (sscanf(line, "%lx-%lx %7s", &start, &end, access) == 3 && access[0] == 'r' &&
            access[1] == 'w' && !(slot >= start && slot < end) &&
            !(expanded >= start && expanded < end)) {
            assert_true(count < REGIONS_MAX);
            regions[count++] = (struct region){start, end};
        }
    }
    fclose(maps);
    return count;
}

static int is_at(const volatile uint8_t *at, const struct needle *needle)
{
    for (unsigned i = 0; i < COF_SECRET_BYTES; i++) {
        if ((unsigned)at[i] + needle->complement[i] != 0xffu) {
            return 0;
        }
    }
    return 1;
}

static unsigned found(const struct needle *needle)
{
    static struct region regions[REGIONS_MAX];
    size_t count = writable_regions(regions);
    unsigned places = 0;
    for (size_t i = 0; i < count; i++) {
        for (uintptr_t at = regions[i].start; at + COF_SECRET_BYTES <= regions[i].end; at++) {
            places += (unsigned)is_at((const volatile uint8_t *)at, needle);
        }
    }
    return places;
}

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_arena_new(&env, 4096, &arena), 0);
    assert_int_equal(cof_vk_new(&env, arena, fill, NULL, &vk), 0);
    assert_int_equal(cof_ek_draw(&env, arena, &ek), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_ek_seal_free(ek);
    cof_vk_free(vk);
    cof_arena_free(arena);
    return 0;
}

static void the_search_finds_what_is_there(void **state)
{
    (void)state;
    struct needle needle = needle_of(ek->key.secret);
    uint8_t *copy;
    if (!CAN_SEARCH) {
        skip();
    }
    copy = malloc(COF_SECRET_BYTES + 3);
    assert_non_null(copy);
    assert_int_equal(found(&needle), 0);
    memcpy(copy + 3, ek->key.secret->bytes, COF_SECRET_BYTES);
    assert_int_equal(found(&needle), 1);
    cof_wipe(copy, COF_SECRET_BYTES + 3);
    assert_int_equal(found(&needle), 0);
    free(copy);
}

static void the_volume_key_is_nowhere(void **state)
{
    (void)state;
    struct needle needle;
    if (!CAN_SEARCH) {
        skip();
    }
    for (unsigned i = 0; i < COF_SECRET_BYTES; i++) {
        needle.complement[i] = (uint8_t)~vk_byte(i);
    }
    assert_int_equal(found(&needle), 0);
}

static void wraps_and_records_leave_no_key(void **state)
{
    (void)state;
    uint8_t nonce[COF_NONCE_BYTES], wrapped[COF_WRAPPED_EK_BYTES], commitment[32], tag[16];
    uint8_t text[TEXT_BYTES] = {3};
    struct cof_ek_open *opened = NULL;
    struct needle keys[3];
    if (!CAN_SEARCH) {
        skip();
    }
    keys[0] = needle_of(vk->wrap);
    keys[1] = needle_of(vk->root);
    keys[2] = needle_of(ek->key.secret);
    assert_int_equal(cof_ek_wrap(vk, ek, aad, 32, nonce, wrapped, commitment), 0);
    assert_int_equal(cof_ek_unwrap(&env, arena, vk, aad, 32, nonce, wrapped, commitment, &opened),
                     0);
    assert_int_equal(cof_vk_seal_record(vk, aad, 32, text, sizeof text, text, nonce, tag), 0);
    assert_int_equal(cof_vk_open_record(vk, aad, 32, nonce, tag, text, sizeof text, text), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(found(&keys[i]), 0);
    }
    cof_ek_open_free(opened);
}

static void a_subkey_outlives_no_context(void **state)
{
    (void)state;
    struct cof_aead *aead = NULL;
    struct cof_subkey_seal *seal = NULL;
    struct cof_subkey_open *open_key = NULL;
    struct needle subkey, data_key = needle_of(ek->key.secret);
    uint8_t text[TEXT_BYTES] = {3}, tag[16];
    if (!CAN_SEARCH) {
        skip();
    }
    assert_int_equal(cof_subkey_seal_new(ek, info, &seal), 0);
    assert_int_equal(cof_subkey_open_new(ek, NULL, info, &open_key), 0);
    subkey = needle_of(seal->key.secret);
    assert_int_equal(found(&subkey), 0);
    assert_int_equal(cof_aead_new(&env, arena, &aead), 0);
    assert_int_equal(cof_page_seal(aead, seal, 0, 0, aad, text, sizeof text, text, tag), 0);
    assert_int_equal(cof_page_open(aead, open_key, 0, 0, aad, text, sizeof text, tag, text), 0);
    /* How a schedule looks is the processor's matter, so there may be none to find here. */
    assert_true(found(&subkey) <= 2);
    assert_int_equal(found(&data_key), 0);
    cof_aead_free(aead);
    assert_int_equal(found(&subkey), 0);
    cof_subkey_open_free(open_key);
    cof_subkey_seal_free(seal);
}

/* By ipsec-mb a subkey leaves nothing outside at all, whichever it is expanded into. */
static void ipsec_mb_leaves_nothing_outside_the_arena(void **state)
{
    (void)state;
    enum coffer_cipher_backend chosen;
    struct cof_aead *aead = NULL;
    struct cof_subkey_seal *own = NULL, *borrows = NULL;
    struct needle needles[2];
    uint8_t text[TEXT_BYTES] = {3}, tag[16];
    if (!CAN_SEARCH) {
        skip();
    }
    assert_int_equal(cof_cipher_choose(&env, arena, COFFER_CIPHER_IPSEC_MB, 4096, &chosen), 0);
    if (chosen != COFFER_CIPHER_IPSEC_MB) {
        skip();
    }
    assert_int_equal(cof_aead_new(&env, arena, &aead), 0); /* two of three */
    assert_int_equal(cof_subkey_seal_new(ek, info, &own), 0);
    assert_int_equal(cof_subkey_seal_new(ek, info, &borrows), 0);
    schedule = own->key.schedule;
    assert_non_null(schedule);
    assert_null(borrows->key.schedule);
    needles[0] = needle_of(own->key.secret);
    needles[1] = needle_of(borrows->key.secret);
    assert_int_equal(cof_page_seal(aead, own, 0, 0, aad, text, sizeof text, text, tag), 0);
    assert_int_equal(cof_page_seal(aead, borrows, 0, 1, aad, text, sizeof text, text, tag), 0);
    assert_int_equal(found(&needles[0]), 0);
    assert_int_equal(found(&needles[1]), 0);
    schedule = NULL; /* the control: the round keys begin with the key, and are there */
    assert_true(found(&needles[0]) >= 2);
    cof_subkey_seal_free(own);
    cof_subkey_seal_free(borrows);
    cof_aead_free(aead);
    assert_int_equal(found(&needles[0]), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_search_finds_what_is_there),
        CASE(the_volume_key_is_nowhere),
        CASE(wraps_and_records_leave_no_key),
        CASE(a_subkey_outlives_no_context),
        CASE(ipsec_mb_leaves_nothing_outside_the_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
