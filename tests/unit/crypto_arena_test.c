/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena of key material: its limits, that freed slots are zero, that threads share none, and
 * that nothing is lost when an allocation fails. What the kernel does for it: crypto_fork_test.c.
 */
#include "crypto/internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARENA_BYTES 4096u
#define SLOTS (ARENA_BYTES / COF_SECRET_BYTES - 1u)

static struct cof_env env;
static struct cof_arena *arena;

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_arena_new(&env, ARENA_BYTES, &arena), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_arena_free(arena);
    assert_int_equal(atomic_load(&env.heap_bytes), 0);
    return 0;
}

static int is_zero(const struct cof_secret *secret)
{
    static const uint8_t zero[COF_SECRET_BYTES];
    return memcmp(secret->bytes, zero, sizeof zero) == 0;
}

static struct cof_secret *new_drawn(void)
{
    struct cof_secret *secret = NULL;
    assert_int_equal(cof_secret_new(arena, &secret), 0);
    assert_true(is_zero(secret));
    assert_int_equal(cof_secret_draw(&env, secret), 0);
    assert_false(is_zero(secret));
    return secret;
}

static void every_slot_is_given_once_and_then_none(void **state)
{
    (void)state;
    struct cof_secret *slots[SLOTS];
    struct cof_secret *more = NULL;
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i] = new_drawn();
        for (unsigned j = 0; j < i; j++) {
            assert_ptr_not_equal(slots[i], slots[j]);
        }
    }
    assert_int_equal(cof_arena_slots_free(arena), 0);
    assert_int_equal(cof_secret_new(arena, &more), COFFER_E_LIMIT);
    assert_null(more);
    cof_secret_free(arena, slots[7]);
    assert_int_equal(cof_secret_new(arena, &more), 0);
    assert_ptr_equal(more, slots[7]);
    for (unsigned i = 0; i < SLOTS; i++) {
        cof_secret_free(arena, slots[i]);
    }
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

static void a_size_is_rounded_up_to_pages(void **state)
{
    (void)state;
    struct cof_arena *small = NULL;
    assert_int_equal(cof_arena_new(&env, 1, &small), 0);
    assert_int_equal(cof_arena_slots_free(small), (unsigned)sysconf(_SC_PAGESIZE) / 32 - 1);
    cof_arena_free(small);
    small = NULL;
    assert_int_equal(cof_arena_new(&env, 0, &small), COFFER_E_INVALID);
    assert_int_equal(cof_arena_new(&env, SIZE_MAX, &small), COFFER_E_INVALID);
    assert_null(small);
}

#define SCHEDULES (2u * ARENA_BYTES / COF_SCHEDULE_BYTES)

static void expanded_keys_are_given_while_more_than_a_reserve_is_free(void **state)
{
    (void)state;
    struct cof_schedule *held[SCHEDULES];
    assert_int_equal(cof_arena_schedules(arena), 0);
    assert_null(cof_schedule_new(arena, 0));
    assert_int_equal(cof_arena_add_schedules(arena, 0), COFFER_E_INVALID);
    assert_int_equal(cof_arena_add_schedules(arena, SIZE_MAX), COFFER_E_INVALID);
    assert_int_equal(cof_arena_add_schedules(arena, ARENA_BYTES + 1u), 0);
    assert_int_equal(cof_arena_schedules(arena), SCHEDULES);
    for (unsigned i = 0; i < SCHEDULES; i++) {
        assert_null(cof_schedule_new(arena, SCHEDULES - i));
        held[i] = cof_schedule_new(arena, SCHEDULES - i - 1u);
        assert_non_null(held[i]);
        assert_int_equal((uintptr_t)held[i] % 64, 0);
        for (unsigned j = 0; j < sizeof held[i]->bytes; j++) {
            assert_int_equal(held[i]->bytes[j], 0);
            held[i]->bytes[j] = 1;
        }
    }
    assert_int_equal(cof_arena_schedules_free(arena), 0);
    assert_null(cof_schedule_new(arena, 0));
    for (unsigned i = 0; i < SCHEDULES; i++) {
        cof_schedule_free(arena, held[i]);
        for (unsigned j = 0; j < sizeof held[i]->bytes; j++) {
            assert_int_equal(held[i]->bytes[j], 0);
        }
    }
    cof_schedule_free(arena, NULL);
    assert_int_equal(cof_arena_schedules_free(arena), SCHEDULES);
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

static void a_freed_slot_is_wiped(void **state)
{
    (void)state;
    struct cof_secret *secret = new_drawn();
    cof_secret_free(arena, secret);
    assert_true(is_zero(secret));
    cof_secret_free(arena, NULL);
}

static void freed_keys_leave_nothing_behind(void **state)
{
    (void)state;
    static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {1};
    struct cof_ek_seal *ek = NULL;
    struct cof_subkey_seal *seal = NULL;
    struct cof_subkey_open *open_key = NULL;
    assert_int_equal(cof_ek_draw(&env, arena, &ek), 0);
    assert_int_equal(cof_subkey_seal_new(ek, info, &seal), 0);
    assert_int_equal(cof_subkey_open_new(ek, NULL, info, &open_key), 0);
    assert_int_equal(cof_arena_slots_free(arena), SLOTS - 3);
    const struct cof_secret *slots[] = {ek->key.secret, seal->key.secret, open_key->key.secret};
    for (unsigned i = 0; i < 3; i++) {
        assert_false(is_zero(slots[i]));
    }
    cof_subkey_open_free(open_key);
    cof_subkey_seal_free(seal);
    cof_ek_seal_free(ek);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(is_zero(slots[i]));
    }
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

static int fill_half_and_fail(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    (void)ctx;
    memset(bytes, 0x77, COF_SECRET_BYTES / 2);
    return COFFER_E_KEY_ACCESS;
}

static int half_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    memset(buffer, 0x99, bytes / 2);
    return -1;
}

static void what_failed_to_fill_is_wiped(void **state)
{
    (void)state;
    struct coffer_env weak = {.size = sizeof weak, .random = half_random};
    struct cof_env broken;
    struct cof_secret *secret = new_drawn();
    struct cof_ek_seal *ek = NULL;
    cof_env_init(&broken, &weak);
    assert_int_equal(cof_secret_fill(secret, fill_half_and_fail, NULL), COFFER_E_KEY_ACCESS);
    assert_true(is_zero(secret));
    assert_int_equal(cof_secret_draw(&broken, secret), COFFER_E_CRYPTO);
    assert_true(is_zero(secret));
    cof_secret_free(arena, secret);
    assert_int_equal(cof_ek_draw(&broken, arena, &ek), COFFER_E_CRYPTO);
    assert_null(ek);
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

/* ---- threads and memory ---- */

static void *take_and_give(void *ctx)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct cof_secret *secret = NULL;
        if (cof_secret_new(arena, &secret) != 0) {
            return "full";
        }
        if (!is_zero(secret)) {
            return "not zero";
        }
        memset(secret->bytes, *(const int *)ctx, sizeof secret->bytes);
        for (unsigned j = 0; j < COF_SECRET_BYTES; j++) {
            if (secret->bytes[j] != *(const int *)ctx) {
                return "shared";
            }
        }
        cof_secret_free(arena, secret);
    }
    return NULL;
}

static void threads_never_share_a_slot(void **state)
{
    (void)state;
    pthread_t threads[4];
    int marks[4] = {1, 2, 3, 4};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &marks[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *sentence = NULL;
        assert_int_equal(pthread_join(threads[i], &sentence), 0);
        assert_null(sentence);
    }
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

static int allocations_left;

static void *failing_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void plain_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

struct keys {
    struct cof_vk *vk;
    struct cof_ek_seal *ek;
    struct cof_subkey_seal *seal;
    struct cof_subkey_open *open;
    struct cof_aead *aead;
};

static int fill_ones(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    (void)ctx;
    memset(bytes, 1, COF_SECRET_BYTES);
    return 0;
}

static int make_all(struct cof_env *poor)
{
    static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {1};
    struct cof_arena *own = NULL;
    struct keys keys;
    struct cof_sha256_stream *stream = NULL;
    enum coffer_cipher_backend chosen;
    uint8_t digest[32];
    int error = cof_arena_new(poor, ARENA_BYTES, &own);
    memset(&keys, 0, sizeof keys);
    if (error == 0 &&
        (error = cof_cipher_choose(poor, own, COFFER_CIPHER_AUTO, ARENA_BYTES, &chosen)) == 0 &&
        (error = cof_vk_new(poor, own, fill_ones, NULL, &keys.vk)) == 0 &&
        (error = cof_ek_draw(poor, own, &keys.ek)) == 0 &&
        (error = cof_subkey_seal_new(keys.ek, info, &keys.seal)) == 0 &&
        (error = cof_subkey_open_new(keys.ek, NULL, info, &keys.open)) == 0 &&
        (error = cof_aead_new(poor, own, &keys.aead)) == 0 &&
        (error = cof_sha256_begin(poor, &stream)) == 0) {
        error = cof_sha256_end(stream, digest);
    }
    cof_aead_free(keys.aead);
    cof_subkey_open_free(keys.open);
    cof_subkey_seal_free(keys.seal);
    cof_ek_seal_free(keys.ek);
    cof_vk_free(keys.vk);
    if (own != NULL) {
        assert_int_equal(cof_arena_slots_free(own), SLOTS);
    }
    cof_arena_free(own);
    return error;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct coffer_env api = {.size = sizeof api, .alloc = failing_alloc, .dealloc = plain_free};
    struct cof_env poor;
    int error = COFFER_E_NO_MEMORY;
    int given = 0;
    cof_env_init(&poor, &api);
    for (; error != 0; given++) {
        assert_true(given < 100);
        allocations_left = given;
        error = make_all(&poor);
        assert_true(error == 0 || error == COFFER_E_NO_MEMORY);
        assert_int_equal(atomic_load(&poor.heap_bytes), 0);
    }
    assert_true(given > 8);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_slot_is_given_once_and_then_none),
        CASE(a_size_is_rounded_up_to_pages),
        CASE(expanded_keys_are_given_while_more_than_a_reserve_is_free),
        CASE(a_freed_slot_is_wiped),
        CASE(freed_keys_leave_nothing_behind),
        CASE(what_failed_to_fill_is_wiped),
        CASE(threads_never_share_a_slot),
        CASE(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
