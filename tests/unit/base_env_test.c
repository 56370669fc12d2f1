/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolved environment: memory is counted to the byte, aligned, refused on overflow; members
 * that a caller leaves out are the system's own; faults carry their place.
 */
#include "base/env.h"
#include "common/det_env.h"
#include "common/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_byte_in_use_is_counted(void **state)
{
    struct det_env det;
    struct cof_env env;
    struct prng prng = {7};
    void *held[64] = {NULL};
    size_t sizes[64] = {0};
    uint64_t expected = 0;
    (void)state;
    det_env_init(&det, 1, 1);
    cof_env_init(&env, &det.api);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned at = prng_below(&prng, 64);
        if (held[at] != NULL) {
            cof_free(&env, held[at]);
            expected -= sizes[at];
            held[at] = NULL;
        } else {
            sizes[at] = prng_below(&prng, 5000);
            held[at] = cof_alloc(&env, sizes[at]);
            assert_non_null(held[at]);
            memset(held[at], 0xa5, sizes[at]);
            assert_int_equal((uintptr_t)held[at] % _Alignof(max_align_t), 0);
            expected += sizes[at];
        }
        assert_int_equal(env.heap_bytes, expected);
    }
    for (unsigned i = 0; i < 64; i++) {
        cof_free(&env, held[i]);
    }
    assert_int_equal(env.heap_bytes, 0);
    assert_int_equal(det.outstanding, 0);
}

static void zeroed_memory_is_zero(void **state)
{
    struct cof_env env;
    uint8_t *dirty, *clean;
    (void)state;
    cof_env_init(&env, NULL);
    dirty = cof_alloc(&env, 4096);
    assert_non_null(dirty);
    memset(dirty, 0xff, 4096);
    cof_free(&env, dirty);
    clean = cof_calloc(&env, 64, 64);
    assert_non_null(clean);
    for (unsigned i = 0; i < 4096; i++) {
        assert_int_equal(clean[i], 0);
    }
    cof_free(&env, clean);
    assert_int_equal(env.heap_bytes, 0);
}

static void overflow_is_refused_before_it_asks(void **state)
{
    struct det_env det;
    struct cof_env env;
    (void)state;
    det_env_init(&det, 1, 1);
    cof_env_init(&env, &det.api);
    assert_null(cof_alloc(&env, SIZE_MAX));
    assert_null(cof_alloc(&env, SIZE_MAX - 15u));
    assert_null(cof_calloc(&env, SIZE_MAX / 2u, 3));
    assert_null(cof_calloc(&env, (size_t)1 << 33, (size_t)1 << 33));
    assert_null(cof_alloc_aligned(&env, SIZE_MAX));
    assert_null(cof_alloc_aligned(&env, SIZE_MAX - 8000u));
    assert_int_equal(det.allocations, 0);
    assert_int_equal(env.heap_bytes, 0);
}

static void aligned_memory_is_aligned_whole_and_given_back(void **state)
{
    struct det_env det;
    struct cof_env env;
    (void)state;
    det_env_init(&det, 1, 1);
    cof_env_init(&env, &det.api);
    for (size_t bytes = 0; bytes < 9u << 20; bytes += bytes < 20000 ? 1237 : 1234567) {
        uint8_t *memory = cof_alloc_aligned(&env, bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (bytes < 4u << 20 ? 4096u : 2u << 20), 0);
        memset(memory, 0x5a, bytes);
        cof_free_aligned(&env, memory);
    }
    cof_free_aligned(&env, NULL);
    cof_free(&env, NULL);
    assert_int_equal(env.heap_bytes, 0);
    assert_int_equal(det.outstanding, 0);
}

static void a_failed_allocation_is_null_and_counts_nothing(void **state)
{
    struct det_env det;
    struct cof_env env;
    (void)state;
    det_env_init(&det, 1, 1);
    cof_env_init(&env, &det.api);
    det_env_fail(&det, 0, true);
    assert_null(cof_alloc(&env, 10));
    assert_null(cof_calloc(&env, 10, 10));
    assert_null(cof_alloc_aligned(&env, 10));
    assert_int_equal(det.fired, 3);
    assert_int_equal(env.heap_bytes, 0);
}

static void members_left_out_are_the_systems(void **state)
{
    struct det_env det;
    struct cof_env env;
    uint8_t a[32] = {0}, b[32] = {0};
    uint64_t before;
    (void)state;
    cof_env_init(&env, NULL);
    before = cof_monotonic_ns(&env);
    assert_true(cof_monotonic_ns(&env) >= before);
    assert_true(cof_wall_ns(&env) > UINT64_C(1600000000000000000));
    assert_int_equal(cof_random(&env, a, sizeof a), 0);
    assert_int_equal(cof_random(&env, b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    cof_log(&env, COFFER_LOG_INFO, "to nobody: %d", 1);
    /* A caller compiled against a shorter struct: what lies behind its size is not looked at. */
    det_env_init(&det, 1, 1);
    det.api.size = offsetof(struct coffer_env, random);
    cof_env_init(&env, &det.api);
    assert_int_equal(cof_random(&env, a, sizeof a), 0);
    assert_int_equal(det.random_calls, 0);
    cof_free(&env, cof_alloc(&env, 1));
    assert_int_equal(det.allocations, 1);
}

static void randomness_that_fails_is_an_error(void **state)
{
    struct det_env det;
    struct cof_env env;
    uint8_t bytes[16];
    (void)state;
    det_env_init(&det, 1, 1);
    cof_env_init(&env, &det.api);
    det.random_fail_at = 0;
    assert_int_equal(cof_random(&env, bytes, sizeof bytes), COFFER_E_CRYPTO);
    assert_int_equal(cof_random(&env, bytes, sizeof bytes), 0);
}

static char logged[512];

static void keep_line(void *ctx, enum coffer_log_level level, const char *line)
{
    (void)ctx;
    assert_int_equal(level, COFFER_LOG_WARN);
    strncpy(logged, line, sizeof logged - 1u);
}

static void long_log_lines_are_cut(void **state)
{
    struct coffer_env api = {.size = sizeof api, .log = keep_line};
    struct cof_env env;
    char text[400];
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1u] = '\0';
    cof_env_init(&env, &api);
    cof_log(&env, COFFER_LOG_WARN, "%s", text);
    assert_int_equal(strlen(logged), 255);
}

static void faults_carry_error_stage_sentence_and_place(void **state)
{
    struct coffer_fault fault;
    char text[600];
    (void)state;
    memset(&fault, 0x77, sizeof fault);
    memset(text, 'y', sizeof text);
    text[sizeof text - 1u] = '\0';
    assert_int_equal(
        cof_fault(&fault, COFFER_E_CORRUPT, COFFER_STAGE_TAG, "page %d of %s", 7, text),
        COFFER_E_CORRUPT);
    assert_int_equal(fault.error, COFFER_E_CORRUPT);
    assert_int_equal(fault.stage, COFFER_STAGE_TAG);
    assert_int_equal(fault.os_errno, 0);
    assert_true(fault.page == COFFER_NOWHERE && fault.segment == COFFER_NOWHERE);
    assert_memory_equal(fault.detail, "page 7 of y", 11);
    assert_non_null(memchr(fault.detail, '\0', sizeof fault.detail));
    cof_fault_at(&fault, 1, 2, 3);
    assert_true(fault.page == 1 && fault.segment == 2 && fault.offset == 3);
    assert_int_equal(cof_fault(NULL, COFFER_E_IO, COFFER_STAGE_IO, "no one listens"), COFFER_E_IO);
    cof_fault_at(NULL, 1, 2, 3);
    cof_fault_clear(NULL);
    cof_fault_clear(&fault);
    assert_int_equal(fault.error, 0);
    assert_true(fault.offset == COFFER_NOWHERE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_in_use_is_counted),
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(overflow_is_refused_before_it_asks),
        cmocka_unit_test(aligned_memory_is_aligned_whole_and_given_back),
        cmocka_unit_test(a_failed_allocation_is_null_and_counts_nothing),
        cmocka_unit_test(members_left_out_are_the_systems),
        cmocka_unit_test(randomness_that_fails_is_an_error),
        cmocka_unit_test(long_log_lines_are_cut),
        cmocka_unit_test(faults_carry_error_stage_sentence_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
