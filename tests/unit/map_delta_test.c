/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The delta against a model: random puts of pages and subtrees, the larger-address rule and its
 * losers, lookups through holes, leaves of every size, the sorted order, what an entry takes,
 * memory that fails.
 */
#include "common/det_env.h"
#include "common/prng.h"
#include "map/delta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL_PAGES 8192u /* 16 leaves */
#define MODEL_LEVELS 3u

struct fixture {
    struct det_env det;
    struct cof_env env;
    struct cof_delta delta;
    uint64_t model[MODEL_LEVELS][MODEL_PAGES]; /* address bits by level and index */
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    det_env_init(&f.det, 1, 1);
    cof_env_init(&f.env, &f.det.api);
    cof_delta_init(&f.delta, &f.env);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_delta_done(&f.delta);
    assert_int_equal(f.env.heap_bytes, 0);
    return 0;
}

static uint64_t put(unsigned level, uint64_t index, struct cof_vaddr addr)
{
    struct cof_vaddr loser = {UINT64_MAX};
    assert_int_equal(cof_delta_put(&f.delta, cof_delta_key(level, index), addr, &loser), 0);
    return loser.bits;
}

static void put_and_compare(unsigned level, uint64_t index, struct cof_vaddr addr)
{
    uint64_t *at = &f.model[level][index];
    uint64_t expected = *at == addr.bits ? 0 : (*at < addr.bits ? *at : addr.bits);
    assert_true(put(level, index, addr) == expected);
    if (addr.bits > *at) {
        *at = addr.bits;
    }
}

static uint64_t model_lookup(uint64_t page)
{
    uint64_t best = 0;
    for (unsigned level = 0; level < MODEL_LEVELS; level++) {
        uint64_t bits = f.model[level][page >> (COF_NODE_SHIFT * level)];
        best = bits > best ? bits : best;
    }
    return best;
}

static void fill(uint64_t seed, unsigned count)
{
    struct prng prng = {seed};
    for (unsigned i = 0; i < count; i++) {
        unsigned level = prng_chance(&prng, 1, 20) ? 1u + prng_below(&prng, 2) : 0u;
        uint64_t index = prng_below(&prng, MODEL_PAGES >> (COF_NODE_SHIFT * level));
        struct cof_vaddr addr =
            cof_vaddr_make(0, 1u + prng_below(&prng, 200), prng_below(&prng, COF_EXTENT_SLOTS),
                           level > 0 || prng_chance(&prng, 1, 10));
        put_and_compare(level, index, addr);
    }
}

static void an_empty_delta_knows_nothing(void **state)
{
    struct cof_dirty_leaf *leaves;
    struct cof_delta_hole *holes;
    uint64_t hole_count = 9;
    (void)state;
    assert_true(cof_delta_lookup(&f.delta, 0).bits == 0);
    assert_true(cof_delta_get(&f.delta, 77).bits == 0);
    cof_delta_expect(&f.delta, 77);
    cof_delta_expect_record(&f.delta, 77);
    assert_int_equal(f.env.heap_bytes, 0);
    assert_int_equal(cof_delta_sorted(&f.delta, &leaves, &holes, &hole_count), 0);
    assert_int_equal(f.delta.leaf_count, 0);
    assert_int_equal(hole_count, 0);
    cof_free(&f.env, leaves);
    cof_free(&f.env, holes);
}

static void the_larger_address_stays_whatever_the_order(void **state)
{
    struct cof_vaddr low = cof_vaddr_make(0, 5, 3, false), high = cof_vaddr_make(0, 5, 4, false);
    (void)state;
    assert_true(put(0, 10, low) == 0);
    assert_true(put(0, 10, high) == low.bits);
    assert_true(put(0, 10, low) == low.bits);
    assert_true(put(0, 10, high) == 0);
    assert_true(put(0, 11, high) == 0);
    assert_true(put(0, 11, low) == low.bits);
    assert_true(cof_delta_get(&f.delta, 10).bits == high.bits);
    assert_true(cof_delta_get(&f.delta, 11).bits == high.bits);
    assert_int_equal(f.delta.count, 2);
}

static void a_subtree_hole_covers_its_pages_only_while_it_is_newest(void **state)
{
    struct cof_vaddr old = cof_vaddr_make(0, 1, 0, false), hole = cof_vaddr_make(0, 1, 1, true);
    struct cof_vaddr fresh = cof_vaddr_make(0, 1, 2, false);
    (void)state;
    put(0, 512, old);
    put(1, 1, hole);
    put(0, 513, fresh);
    assert_true(cof_vaddr_zero(cof_delta_lookup(&f.delta, 512)));
    assert_true(cof_delta_lookup(&f.delta, 512).bits == hole.bits);
    assert_true(cof_delta_lookup(&f.delta, 513).bits == fresh.bits);
    assert_true(cof_delta_lookup(&f.delta, 1023).bits == hole.bits);
    assert_true(cof_delta_lookup(&f.delta, 511).bits == 0);
    assert_true(cof_delta_lookup(&f.delta, 1024).bits == 0);
}

static void random_puts_follow_the_model(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 10; round++) {
        fill(round, 3000);
        for (uint64_t page = 0; page < MODEL_PAGES; page++) {
            assert_true(cof_delta_lookup(&f.delta, page).bits == model_lookup(page));
        }
    }
}

static void leaves_are_counted(void **state)
{
    struct prng prng = {3};
    bool leaves[4096] = {false};
    uint64_t truth = 0;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t page = prng_below(&prng, 4096u * 512u);
        put(0, page, cof_vaddr_make(0, 1u + i / 500u, i % 500u, false));
        truth += leaves[page / 512u] ? 0u : 1u;
        leaves[page / 512u] = true;
    }
    assert_int_equal(f.delta.leaf_count, truth);
}

/* A leaf that is filled page by page, each asked for after each: through all sizes of its record,
 * with a neighbour that grows as it does and takes what it leaves. */
static void fill_a_leaf(const uint16_t order[COF_NODE_FANOUT])
{
    uint64_t first = f.delta.leaf_count * COF_NODE_FANOUT;
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        for (unsigned leaf = 0; leaf < 2; leaf++) {
            uint64_t page = first + leaf * COF_NODE_FANOUT + order[i];
            put_and_compare(0, page, cof_vaddr_make(0, 1u + i, order[i] % 511u, false));
            put_and_compare(0, page, cof_vaddr_make(0, 1u, 0, false)); /* older, or the same */
        }
        for (uint64_t page = first; page < first + 2u * COF_NODE_FANOUT; page++) {
            assert_true(cof_delta_lookup(&f.delta, page).bits == f.model[0][page]);
        }
    }
}

static void leaves_of_every_size_follow_the_model(void **state)
{
    struct prng prng = {8};
    uint16_t order[COF_NODE_FANOUT];
    (void)state;
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        order[i] = (uint16_t)i;
    }
    fill_a_leaf(order);
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        order[i] = (uint16_t)(COF_NODE_FANOUT - 1u - i);
    }
    fill_a_leaf(order);
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        order[i] = (uint16_t)(i * 64u % 512u + i / 8u); /* all of one place of a table */
    }
    fill_a_leaf(order);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = COF_NODE_FANOUT; i > 1; i--) {
            unsigned pick = prng_below(&prng, i);
            uint16_t other = order[pick];
            order[pick] = order[i - 1u];
            order[i - 1u] = other;
        }
        fill_a_leaf(order);
    }
    assert_int_equal(f.delta.count, 12u * COF_NODE_FANOUT);
}

static bool hole_before(const struct cof_delta_hole *a, const struct cof_delta_hole *b)
{
    unsigned la = cof_delta_key_level(a->key), lb = cof_delta_key_level(b->key);
    uint64_t pa = cof_delta_key_index(a->key) << (COF_NODE_SHIFT * la);
    uint64_t pb = cof_delta_key_index(b->key) << (COF_NODE_SHIFT * lb);
    return pa != pb ? pa < pb : la > lb;
}

struct met {
    uint64_t leaf, count;
    bool seen[MODEL_LEVELS][MODEL_PAGES];
};

static int meet(void *ctx, uint64_t key, struct cof_vaddr addr)
{
    struct met *met = ctx;
    unsigned level = cof_delta_key_level(key);
    uint64_t index = cof_delta_key_index(key);
    assert_true(level < MODEL_LEVELS && index < MODEL_PAGES);
    assert_true(addr.bits != 0 && addr.bits == f.model[level][index]);
    assert_false(met->seen[level][index]);
    met->seen[level][index] = true;
    met->count++;
    return 0;
}

static int meet_page(void *ctx, unsigned page, struct cof_vaddr addr)
{
    const struct met *met = ctx;
    assert_true(page < COF_NODE_FANOUT);
    return meet(ctx, met->leaf * COF_NODE_FANOUT + page, addr);
}

static void sorted_gives_every_entry_once_in_order(void **state)
{
    struct cof_dirty_leaf *leaves;
    struct cof_delta_hole *holes;
    struct met *met = calloc(2, sizeof *met);
    uint64_t hole_count, expected[2] = {0, 0};
    (void)state;
    assert_non_null(met);
    fill(42, 20000);
    for (unsigned level = 0; level < MODEL_LEVELS; level++) {
        for (uint64_t i = 0; i < MODEL_PAGES; i++) {
            expected[level > 0] += f.model[level][i] != 0 ? 1u : 0u;
        }
    }
    assert_int_equal(cof_delta_sorted(&f.delta, &leaves, &holes, &hole_count), 0);
    assert_int_equal(hole_count, expected[1]);
    for (uint64_t i = 0; i < f.delta.leaf_count; i++) {
        assert_true(i == 0 || leaves[i - 1u].index < leaves[i].index);
        met->leaf = leaves[i].index;
        assert_int_equal(cof_dirty_each(&leaves[i], meet_page, met), 0);
    }
    assert_int_equal(met->count, expected[0]);
    assert_int_equal(f.delta.level_counts[0], expected[0]);
    for (uint64_t i = 0; i < hole_count; i++) {
        unsigned level = cof_delta_key_level(holes[i].key);
        assert_true(i == 0 || hole_before(&holes[i - 1u], &holes[i]));
        assert_true(holes[i].addr.bits == f.model[level][cof_delta_key_index(holes[i].key)]);
    }
    assert_int_equal(cof_delta_each(&f.delta, meet, &met[1]), 0);
    assert_int_equal(met[1].count, expected[0] + expected[1]);
    assert_int_equal(f.delta.count, expected[0] + expected[1]);
    free(met);
    cof_free(&f.env, leaves);
    cof_free(&f.env, holes);
}

static void large_page_numbers_sort_too(void **state)
{
    static const uint64_t keys[] = {0,    512,  (UINT64_C(1) << 44) - 1u, UINT64_C(1) << 33,
                                    2047, 2048, UINT64_C(1) << 22};
    struct cof_dirty_leaf *leaves;
    struct cof_delta_hole *holes;
    uint64_t hole_count;
    (void)state;
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        put(0, keys[i], cof_vaddr_make(0, 1, i, false));
    }
    assert_int_equal(cof_delta_sorted(&f.delta, &leaves, &holes, &hole_count), 0);
    assert_int_equal(f.delta.leaf_count, sizeof keys / sizeof keys[0]);
    for (uint64_t i = 1; i < f.delta.leaf_count; i++) {
        assert_true(leaves[i - 1u].index < leaves[i].index);
    }
    cof_free(&f.env, leaves);
    cof_free(&f.env, holes);
}

/* Whatever the number of pages that a leaf has: what the delta says that it takes, and what it
 * does. */
static void an_entry_takes_what_is_said(void **state)
{
    static const unsigned pages[] = {1, 4, 8, 16, 40, 130, 300, 512};
    (void)state;
    for (unsigned i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        struct prng prng = {i};
        uint64_t leaves = 400000u / pages[i], entries = leaves * pages[i];
        for (uint64_t k = 0; k < entries; k++) {
            uint64_t page = prng_below(&prng, (uint32_t)(leaves * COF_NODE_FANOUT));
            if (pages[i] == COF_NODE_FANOUT) {
                page = k;
            }
            put(0, page, cof_vaddr_make(0, k / 511u + 1u, (unsigned)(k % 511u), false));
        }
        assert_in_range(cof_delta_bytes(&f.delta) / f.delta.count, 8,
                        pages[i] <= 1u ? 64u : (pages[i] <= 4u ? 25u : 20u));
        assert_in_range(f.env.heap_bytes, cof_delta_bytes(&f.delta) / 2u,
                        cof_delta_bytes(&f.delta) * 3u / 2u + (18u << 20));
        cof_delta_done(&f.delta);
        assert_int_equal(f.env.heap_bytes, 0);
    }
}

static void without_memory_nothing_is_lost(void **state)
{
    struct prng prng = {5};
    struct cof_dirty_leaf *leaves;
    struct cof_delta_hole *holes;
    uint64_t hole_count;
    unsigned refused = 0;
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        struct cof_vaddr addr = cof_vaddr_make(0, 1u + i / 500u, i % 500u, false), loser;
        uint64_t page = prng_below(&prng, MODEL_PAGES);
        det_env_fail(&f.det, 0, true);
        if (cof_delta_put(&f.delta, page, addr, &loser) != 0) {
            refused++;
            det_env_fail_none(&f.det);
            assert_int_equal(cof_delta_put(&f.delta, page, addr, &loser), 0);
        }
        f.model[0][page] = addr.bits;
        det_env_fail_none(&f.det);
    }
    assert_true(refused > 0);
    for (uint64_t page = 0; page < MODEL_PAGES; page++) {
        assert_true(cof_delta_lookup(&f.delta, page).bits == f.model[0][page]);
    }
    for (unsigned at = 0; at < 4; at++) {
        uint64_t before = f.env.heap_bytes;
        det_env_fail(&f.det, at, false);
        assert_int_equal(cof_delta_sorted(&f.delta, &leaves, &holes, &hole_count),
                         COFFER_E_NO_MEMORY);
        assert_int_equal(f.env.heap_bytes, before);
    }
    det_env_fail_none(&f.det);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_empty_delta_knows_nothing),
        CASE(the_larger_address_stays_whatever_the_order),
        CASE(a_subtree_hole_covers_its_pages_only_while_it_is_newest),
        CASE(random_puts_follow_the_model),
        CASE(leaves_are_counted),
        CASE(leaves_of_every_size_follow_the_model),
        CASE(sorted_gives_every_entry_once_in_order),
        CASE(large_page_numbers_sort_too),
        CASE(an_entry_takes_what_is_said),
        CASE(without_memory_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
