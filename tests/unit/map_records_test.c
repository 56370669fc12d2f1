/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of all sizes, given and taken back at random, each with a pattern of its own: none
 * overlaps another, all are aligned to their size, what is taken back is used again whatever its
 * size, and memory that fails changes nothing.
 */
#include "common/det_env.h"
#include "common/prng.h"
#include "map/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 4000u
#define PAGE_BYTES 4096u

struct block {
    uint8_t *at; /* NULL: not given */
    unsigned order;
};

struct fixture {
    struct det_env det;
    struct cof_env env;
    struct cof_records records;
    struct block blocks[BLOCKS];
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    det_env_init(&f.det, 1, 1);
    cof_env_init(&f.env, &f.det.api);
    cof_records_init(&f.records, &f.env);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_records_done(&f.records);
    assert_int_equal(f.env.heap_bytes, 0);
    return 0;
}

static size_t bytes_of(unsigned order)
{
    return (size_t)COF_RECORD_BYTES_MIN << order;
}

static void give(unsigned number, unsigned order)
{
    struct block *block = &f.blocks[number];
    block->at = cof_records_get(&f.records, order);
    assert_non_null(block->at);
    assert_int_equal((uintptr_t)block->at % bytes_of(order), 0);
    block->order = order;
    memset(block->at, (int)(number % 251u), bytes_of(order));
}

static void take_back(unsigned number)
{
    struct block *block = &f.blocks[number];
    for (size_t i = 0; i < bytes_of(block->order); i++) {
        assert_int_equal(block->at[i], number % 251u);
    }
    cof_records_put(&f.records, block->at, block->order);
    block->at = NULL;
}

static void blocks_keep_to_themselves(void **state)
{
    struct prng prng = {1};
    uint64_t used = 0;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        unsigned number = prng_below(&prng, BLOCKS);
        if (f.blocks[number].at == NULL) {
            give(number, prng_below(&prng, COF_RECORD_ORDERS));
            used += bytes_of(f.blocks[number].order);
        } else {
            used -= bytes_of(f.blocks[number].order);
            take_back(number);
        }
        assert_true(f.records.used_bytes == used);
        if (i % 50000u == 0) {
            struct cof_records elsewhere = f.records; /* as a delta that is frozen is moved */
            memset(&f.records, 0xee, sizeof f.records);
            f.records = elsewhere;
        }
    }
}

/* All small ones, then all large ones, in the memory of the small ones. */
static void what_small_ones_leave_serves_large_ones(void **state)
{
    struct prng prng = {2};
    uint64_t heap;
    (void)state;
    for (unsigned i = 0; i < BLOCKS; i++) {
        give(i, 0);
    }
    heap = f.env.heap_bytes;
    for (unsigned left = BLOCKS; left > 0;) { /* in any order */
        unsigned number = prng_below(&prng, BLOCKS);
        if (f.blocks[number].at != NULL) {
            take_back(number);
            left--;
        }
    }
    assert_int_equal(f.records.used_bytes, 0);
    for (unsigned i = 0; i < BLOCKS * COF_RECORD_BYTES_MIN / PAGE_BYTES; i++) {
        give(i, COF_RECORD_ORDERS - 1u);
    }
    assert_true(f.env.heap_bytes == heap);
}

static void without_memory_nothing_is_given(void **state)
{
    unsigned given = 0, refused = 0;
    (void)state;
    while (given < 200) {
        uint64_t used = f.records.used_bytes, heap = f.env.heap_bytes;
        det_env_fail(&f.det, refused % 2u, true);
        if (cof_records_get(&f.records, 7) == NULL) {
            assert_true(f.records.used_bytes == used && f.env.heap_bytes == heap);
            refused++;
            det_env_fail_none(&f.det);
            assert_non_null(cof_records_get(&f.records, 7));
        }
        det_env_fail_none(&f.det);
        given++;
    }
    assert_in_range(refused, 4, 20);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(blocks_keep_to_themselves),
        CASE(what_small_ones_leave_serves_large_ones),
        CASE(without_memory_nothing_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
