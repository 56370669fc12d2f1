/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree and its merges against an array: random deltas with pages, holes and holes over
 * subtrees, in volumes that grow and shrink. After each merge the tree holds what the array says,
 * and deaths are exact: every address ever given is either in the tree or was killed once.
 */
#include "common/det_env.h"
#include "common/prng.h"
#include "map/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES_MAX (3u * 512u * 512u)
#define ADDRESSES_MAX 400000u
#define NODES_STORED_MAX 40000u
#define NODE_EXTENT_FIRST 1000000u

struct stored_node {
    unsigned level;
    uint64_t index;
    struct cof_vaddr entries[COF_NODE_FANOUT];
};

struct fixture {
    struct det_env det;
    struct cof_env env;
    struct cof_nodes cache;
    struct cof_node_io io;
    struct cof_tree tree;
    int64_t mapped;
    uint64_t size_pages;
    uint64_t *array;               /* page -> address bits        */
    uint32_t issued, written;      /* page addresses, nodes       */
    uint8_t *deaths, *node_deaths; /* by number                   */
    uint8_t *seen, *node_seen;
    struct stored_node *nodes;
    uint64_t reads_until_failure, writes_until_failure;
    unsigned reads, aheads, leaves_ahead; /* calls; leaves that were asked for */
    unsigned kept;                        /* nodes that a merge wants cached */
    bool caches;                          /* and gets so */
    struct prng prng;
};

static struct fixture f;

static struct cof_vaddr address(uint32_t number, bool hole)
{
    return cof_vaddr_make(0, 1u + number / COF_EXTENT_SLOTS, number % COF_EXTENT_SLOTS, hole);
}

static uint32_t number_of(struct cof_vaddr addr, uint64_t first_extent)
{
    return (uint32_t)((cof_vaddr_extent(addr) - first_extent) * COF_EXTENT_SLOTS +
                      cof_vaddr_slot(addr));
}

static bool is_node(struct cof_vaddr addr)
{
    return cof_vaddr_extent(addr) >= NODE_EXTENT_FIRST;
}

static int read_node(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index,
                     struct cof_vaddr entries[COF_NODE_FANOUT])
{
    uint32_t number = number_of(addr, NODE_EXTENT_FIRST);
    (void)ctx;
    f.reads++;
    if (f.reads_until_failure-- == 0) {
        return COFFER_E_IO;
    }
    assert_true(is_node(addr) && number < f.written);
    assert_int_equal(f.nodes[number].level, level);
    assert_int_equal(f.nodes[number].index, index);
    assert_int_equal(f.node_deaths[number], 0);
    memcpy(entries, f.nodes[number].entries, sizeof f.nodes[number].entries);
    return 0;
}

static int write_node(void *ctx, unsigned level, uint64_t index,
                      const struct cof_vaddr entries[COF_NODE_FANOUT], bool keep,
                      struct cof_vaddr *ret_addr)
{
    struct stored_node *node = &f.nodes[f.written];
    (void)ctx;
    if (f.writes_until_failure-- == 0) {
        return COFFER_E_NO_SPACE;
    }
    assert_true(f.written < NODES_STORED_MAX);
    node->level = level;
    node->index = index;
    memcpy(node->entries, entries, sizeof node->entries);
    *ret_addr = cof_vaddr_make(0, NODE_EXTENT_FIRST + f.written / COF_EXTENT_SLOTS,
                               f.written % COF_EXTENT_SLOTS, false);
    f.written++;
    if (f.caches && keep) {
        struct cof_node *cached = cof_nodes_add(&f.cache, 1, *ret_addr);
        assert_non_null(cached);
        memcpy(cached->entries, entries, sizeof cached->entries);
    }
    f.kept += keep ? 1u : 0u;
    return 0;
}

/* As of a device on which one of seven leaves does not read well. */
static void read_leaves(void *ctx, const struct cof_leaf_ref *leaves, unsigned count,
                        struct cof_leaf_ahead *ahead)
{
    (void)ctx;
    f.aheads++;
    assert_in_range(count, 1, COF_LEAVES_AHEAD_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct stored_node *stored = &f.nodes[number_of(leaves[i].addr, NODE_EXTENT_FIRST)];
        struct cof_node *node;
        assert_true(is_node(leaves[i].addr));
        assert_int_equal(stored->level, 1);
        assert_int_equal(stored->index, leaves[i].index);
        assert_true(i == 0 || leaves[i].index > leaves[i - 1u].index);
        if (ahead != NULL) {
            ahead[i].addr.bits = 0;
        }
        if (f.leaves_ahead++ % 7u == 3u || cof_nodes_find(&f.cache, 1, leaves[i].addr) != NULL) {
            continue;
        }
        if (ahead != NULL) {
            ahead[i].addr = leaves[i].addr;
            memcpy(ahead[i].entries, stored->entries, sizeof stored->entries);
            continue;
        }
        node = cof_nodes_add(&f.cache, 1, leaves[i].addr);
        assert_non_null(node);
        memcpy(node->entries, stored->entries, sizeof node->entries);
    }
}

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    det_env_init(&f.det, 1, 1);
    cof_env_init(&f.env, &f.det.api);
    assert_int_equal(cof_nodes_init(&f.cache, &f.env, 0), 0);
    f.io = (struct cof_node_io){NULL, 1, &f.cache, read_node, write_node, NULL};
    f.array = calloc(PAGES_MAX, sizeof *f.array);
    f.deaths = calloc(ADDRESSES_MAX, 1);
    f.seen = calloc(ADDRESSES_MAX, 1);
    f.nodes = calloc(NODES_STORED_MAX, sizeof *f.nodes);
    f.node_deaths = calloc(NODES_STORED_MAX, 1);
    f.node_seen = calloc(NODES_STORED_MAX, 1);
    assert_true(f.array && f.deaths && f.seen && f.nodes && f.node_deaths && f.node_seen);
    f.reads_until_failure = UINT64_MAX;
    f.writes_until_failure = UINT64_MAX;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_nodes_done(&f.cache);
    assert_int_equal(f.env.heap_bytes, 0);
    free(f.array);
    free(f.deaths);
    free(f.seen);
    free(f.nodes);
    free(f.node_deaths);
    free(f.node_seen);
    return 0;
}

static void die(struct cof_vaddr addr)
{
    uint8_t *count = is_node(addr) ? &f.node_deaths[number_of(addr, NODE_EXTENT_FIRST)]
                                   : &f.deaths[number_of(addr, 1)];
    assert_int_equal(*count, 0); /* nothing dies twice */
    *count = 1;
}

/* Addresses are taken in order, but reach the delta shuffled within a window, as completions do. */
static void put_one(struct cof_delta *delta, uint32_t number, uint64_t size_pages)
{
    unsigned kind = prng_below(&f.prng, 100), level = kind < 2 ? 2u : (kind < 6 ? 1u : 0u);
    uint64_t span = UINT64_C(1) << (COF_NODE_SHIFT * level);
    uint64_t count = (size_pages + span - 1u) / span;
    uint64_t index = prng_chance(&f.prng, 1, 2) ? prng_below(&f.prng, (uint32_t)count)
                                                : prng_below(&f.prng, 40) % count;
    bool hole = level > 0 || kind < 15;
    struct cof_vaddr loser, addr = address(number, hole);
    if (level == 2 && size_pages <= 512) {
        return; /* no subtree of that size: this address is given to nobody */
    }
    assert_int_equal(cof_delta_put(delta, cof_delta_key(level, index), addr, &loser), 0);
    if (!hole) {
        f.seen[number] = 2; /* was a page's */
    }
    if (!cof_vaddr_zero(loser)) {
        die(loser);
    }
}

static void fill(struct cof_delta *delta, uint64_t size_pages, unsigned count)
{
    uint32_t window[16];
    for (unsigned i = 0; i < count; i += 16) {
        for (unsigned k = 0; k < 16; k++) {
            window[k] = f.issued++;
        }
        for (unsigned k = 16; k > 0; k--) {
            unsigned pick = prng_below(&f.prng, k);
            put_one(delta, window[pick], size_pages);
            window[pick] = window[k - 1u];
        }
    }
    assert_true(f.issued < ADDRESSES_MAX);
}

static void apply_to_array(const struct cof_delta *delta)
{
    for (uint64_t page = 0; page < PAGES_MAX; page++) {
        struct cof_vaddr newest = cof_delta_lookup(delta, page);
        if (newest.bits > f.array[page]) {
            f.array[page] = cof_vaddr_hole(newest) ? 0 : newest.bits;
        }
    }
}

static int merge_all(const struct cof_delta *delta, uint64_t size_pages, struct cof_kills *kills,
                     struct cof_tree *ret_tree, int64_t *ret_change)
{
    struct cof_merge merge;
    static const struct cof_cut nothing_shared;
    int err =
        cof_merge_begin(&merge, &f.env, &f.io, &f.tree, delta, size_pages, &nothing_shared, kills);
    if (err != 0) {
        return err;
    }
    while (err == 0 && !merge.done) {
        err = cof_merge_step(&merge);
    }
    *ret_tree = merge.tree;
    *ret_change = merge.mapped_change;
    cof_merge_end(&merge);
    return err;
}

static int visit(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    uint64_t *mapped = ctx;
    assert_false(cof_vaddr_zero(addr));
    if (level > 0) {
        assert_int_equal(f.node_seen[number_of(addr, NODE_EXTENT_FIRST)], 0);
        f.node_seen[number_of(addr, NODE_EXTENT_FIRST)] = 1;
        return 0;
    }
    assert_true(index < PAGES_MAX && f.array[index] == addr.bits);
    f.seen[number_of(addr, 1)] |= 1u;
    *mapped += 1;
    return 0;
}

static int no_damage(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index, int error)
{
    (void)ctx, (void)addr, (void)level, (void)index, (void)error;
    fail_msg("a node that can't be read");
    return 0;
}

static void check_deaths(void)
{
    for (uint32_t i = 0; i < f.issued; i++) {
        bool was_page = (f.seen[i] & 2u) != 0, in_map = (f.seen[i] & 1u) != 0;
        assert_int_equal(f.deaths[i], was_page && !in_map ? 1 : 0);
        f.seen[i] &= 2u;
    }
    for (uint32_t i = 0; i < f.written; i++) {
        assert_int_equal(f.node_deaths[i], f.node_seen[i] ? 0 : 1);
        f.node_seen[i] = 0;
    }
}

static void check_tree(void)
{
    struct cof_tree_visitor visitor = {NULL, visit, no_damage};
    uint64_t mapped = 0, expected = 0, page = 0;
    visitor.ctx = &mapped;
    assert_int_equal(cof_tree_visit(&f.tree, &f.io, &visitor), 0);
    check_deaths();
    for (uint64_t i = 0; i < PAGES_MAX; i++) {
        expected += f.array[i] != 0 ? 1u : 0u;
    }
    assert_true(mapped == expected && (uint64_t)f.mapped == expected);
    for (unsigned i = 0; i < 2000; i++) {
        struct cof_vaddr found;
        uint64_t at = prng_below(&f.prng, i % 2 == 0 ? 2048u : PAGES_MAX);
        assert_int_equal(cof_tree_lookup(&f.tree, &f.io, at, &found), 0);
        assert_true(found.bits == f.array[at]);
    }
    for (unsigned i = 0; i < 200 && page != UINT64_MAX; i++) {
        uint64_t next = page;
        assert_int_equal(cof_tree_next(&f.tree, &f.io, &next), 0);
        while (page < PAGES_MAX && f.array[page] == 0) {
            page++;
        }
        assert_true(next == (page < PAGES_MAX ? page : UINT64_MAX));
        page = next == UINT64_MAX ? next : next + 1u;
    }
}

static void merge(const struct cof_delta *delta, uint64_t size_pages)
{
    struct cof_kills kills;
    int64_t change = 0;
    cof_kills_init(&kills, &f.env);
    apply_to_array(delta);
    assert_int_equal(merge_all(delta, size_pages, &kills, &f.tree, &change), 0);
    f.mapped += change;
    for (uint64_t i = 0; i < kills.count; i++) {
        die(kills.addrs[i]);
    }
    cof_kills_done(&kills);
}

static void merge_and_check(const struct cof_delta *delta, uint64_t size_pages)
{
    merge(delta, size_pages);
    check_tree();
}

static void round_of(uint64_t size_pages, unsigned count)
{
    struct cof_delta delta;
    cof_delta_init(&delta, &f.env);
    fill(&delta, size_pages, count);
    merge_and_check(&delta, size_pages);
    cof_delta_done(&delta);
}

static void merges_of_one_leaf_follow_the_array(void **state)
{
    (void)state;
    f.prng.state = 11;
    for (unsigned i = 0; i < 30; i++) {
        round_of(300, 16u + prng_below(&f.prng, 600));
    }
}

static void merges_of_three_levels_follow_the_array(void **state)
{
    (void)state;
    f.prng.state = 12;
    for (unsigned i = 0; i < 25; i++) {
        round_of(PAGES_MAX, 16u + prng_below(&f.prng, i % 5 == 0 ? 4000 : 200));
    }
}

static void a_volume_that_grows_keeps_its_old_tree(void **state)
{
    static const uint64_t sizes[] = {1, 2, 512, 513, 5000, 262144, 262145, PAGES_MAX};
    (void)state;
    f.prng.state = 13;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        round_of(sizes[i], 64);
        round_of(sizes[i], 400);
    }
    assert_int_equal(f.tree.height, 3);
}

/* What was written beyond a new, smaller size has to die too, at whatever height it stands. */
static void entries_beyond_a_smaller_size_die(void **state)
{
    (void)state;
    f.prng.state = 14;
    for (unsigned i = 0; i < 12; i++) {
        struct cof_delta delta;
        struct cof_vaddr loser;
        unsigned level = 1u + i % 2u;
        uint64_t span = UINT64_C(1) << (COF_NODE_SHIFT * level);
        cof_delta_init(&delta, &f.env);
        fill(&delta, PAGES_MAX, 320);
        for (uint64_t at = span; at < PAGES_MAX; at += span) {
            struct cof_vaddr hole = address(f.issued++, true);
            assert_int_equal(cof_delta_put(&delta, cof_delta_key(level, at / span), hole, &loser),
                             0);
            assert_true(cof_vaddr_zero(loser));
        }
        merge_and_check(&delta, 200);
        cof_delta_done(&delta);
    }
}

static void a_hole_over_everything_leaves_an_empty_tree(void **state)
{
    struct cof_delta delta;
    struct cof_vaddr loser;
    (void)state;
    f.prng.state = 15;
    round_of(PAGES_MAX, 2000);
    assert_true(f.mapped > 0);
    cof_delta_init(&delta, &f.env);
    assert_int_equal(cof_delta_put(&delta, cof_delta_key(3, 0), address(f.issued++, true), &loser),
                     0);
    merge_and_check(&delta, PAGES_MAX);
    cof_delta_done(&delta);
    assert_int_equal(f.mapped, 0);
    assert_int_equal(f.tree.height, 0);
    assert_true(f.tree.root.bits == 0);
    round_of(PAGES_MAX, 500);
}

static void an_empty_delta_changes_nothing(void **state)
{
    struct cof_delta delta;
    struct cof_tree before;
    (void)state;
    f.prng.state = 16;
    round_of(5000, 300);
    before = f.tree;
    cof_delta_init(&delta, &f.env);
    merge_and_check(&delta, 5000);
    assert_true(before.root.bits == f.tree.root.bits && before.height == f.tree.height);
}

/* A merge that fails anywhere leaves the old tree readable, and one that follows succeeds. */
static void a_failed_merge_changes_nothing(void **state)
{
    struct cof_delta delta;
    (void)state;
    f.prng.state = 17;
    round_of(PAGES_MAX, 800);
    cof_delta_init(&delta, &f.env);
    fill(&delta, PAGES_MAX, 320);
    for (unsigned kind = 0; kind < 3; kind++) {
        int err = -1;
        for (uint64_t at = 0; err != 0; at += 1u + at / 8u) {
            struct cof_kills kills;
            struct cof_tree tree;
            int64_t change;
            uint32_t written = f.written;
            uint64_t heap = f.env.heap_bytes;
            cof_kills_init(&kills, &f.env);
            if (kind == 0) {
                f.reads_until_failure = at;
            } else if (kind == 1) {
                f.writes_until_failure = at;
            } else {
                det_env_fail(&f.det, at, false);
            }
            err = merge_all(&delta, PAGES_MAX, &kills, &tree, &change);
            f.reads_until_failure = UINT64_MAX;
            f.writes_until_failure = UINT64_MAX;
            det_env_fail_none(&f.det);
            f.written = written; /* the slots of what was written are burned */
            cof_kills_done(&kills);
            assert_int_equal(f.env.heap_bytes, heap);
        }
    }
    merge_and_check(&delta, PAGES_MAX);
    cof_delta_done(&delta);
}

static void merges_that_read_ahead_follow_the_array(void **state)
{
    (void)state;
    f.prng.state = 18;
    f.io.read_leaves = read_leaves;
    for (unsigned i = 0; i < 12; i++) {
        round_of(PAGES_MAX, 16u + prng_below(&f.prng, i % 3 == 0 ? 4000 : 200));
    }
    assert_in_range(f.aheads, 20, 2000);
    assert_in_range(f.leaves_ahead, 4u * f.aheads, 40000);
}

static void look_up(uint64_t page)
{
    struct cof_vaddr found;
    assert_int_equal(cof_tree_lookup(&f.tree, &f.io, page, &found), 0);
    assert_true(found.bits == f.array[page]);
}

/* A page in each of the leaves. */
static void dirty_leaves(uint64_t from, uint64_t to)
{
    struct cof_delta delta;
    cof_delta_init(&delta, &f.env);
    for (uint64_t leaf = from; leaf < to; leaf++) {
        struct cof_vaddr loser, addr = address(f.issued, false);
        f.seen[f.issued++] = 2;
        assert_int_equal(cof_delta_put(&delta, leaf * COF_NODE_FANOUT + 7u, addr, &loser), 0);
    }
    merge(&delta, PAGES_MAX);
    cof_delta_done(&delta);
}

/* The cache has 64 nodes. A merge through ten times as many leaves that nobody looks at leaves the
 * 40 there that somebody does. */
static void a_merge_leaves_the_cache_to_those_who_read(void **state)
{
    unsigned reads;
    (void)state;
    f.caches = true;
    f.io.read_leaves = read_leaves;
    dirty_leaves(0, 740);
    assert_in_range(f.kept, 740, 750); /* new ones are kept, the last ones are there still */
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t leaf = 0; leaf < 40; leaf++) {
            look_up(leaf * COF_NODE_FANOUT + 7u);
        }
        f.kept = 0;
        dirty_leaves(30, 700);
        assert_in_range(f.kept, 10, 40); /* the ten of them, and nodes above */
        reads = f.reads;
        for (uint64_t leaf = 0; leaf < 40; leaf++) {
            look_up(leaf * COF_NODE_FANOUT + 7u);
        }
        assert_in_range(f.reads - reads, 0, 2); /* looks read ahead, too, and take places */
    }
    check_tree();
}

/* Whoever goes through the leaves in order gets most of them ahead; who jumps, none. */
static void leaves_are_read_ahead_of_who_goes_in_order(void **state)
{
    struct cof_delta delta;
    unsigned alone;
    (void)state;
    cof_delta_init(&delta, &f.env);
    for (uint64_t page = 3; page < PAGES_MAX; page += COF_NODE_FANOUT) {
        struct cof_vaddr loser, addr = address(f.issued, false);
        f.seen[f.issued++] = 2;
        assert_int_equal(cof_delta_put(&delta, cof_delta_key(0, page), addr, &loser), 0);
    }
    merge_and_check(&delta, PAGES_MAX);
    cof_delta_done(&delta);
    f.reads = 0;
    for (uint64_t page = 0; page < PAGES_MAX; page += COF_NODE_FANOUT / 2u) {
        look_up(page);
    }
    alone = f.reads;
    f.io.read_leaves = read_leaves;
    f.reads = 0;
    for (uint64_t page = 0; page < PAGES_MAX; page += COF_NODE_FANOUT / 2u) {
        look_up(page);
    }
    assert_in_range(alone, PAGES_MAX / COF_NODE_FANOUT, PAGES_MAX / COF_NODE_FANOUT + 8u);
    assert_in_range(f.aheads, alone / COF_LEAVES_AHEAD_MAX, alone / 4u);
    assert_true(f.reads < alone / 3u);
    f.aheads = 0;
    f.reads = 0;
    for (uint64_t jump = 0; jump < 2000; jump++) {
        look_up(jump * 211u * COF_NODE_FANOUT % PAGES_MAX);
    }
    assert_true(f.reads > 1000);
    assert_int_equal(f.aheads, 0);
}

static void heights_are_those_of_the_sizes(void **state)
{
    (void)state;
    assert_int_equal(cof_tree_height_for(1), 1);
    assert_int_equal(cof_tree_height_for(512), 1);
    assert_int_equal(cof_tree_height_for(513), 2);
    assert_int_equal(cof_tree_height_for(UINT64_C(1) << 18), 2);
    assert_int_equal(cof_tree_height_for((UINT64_C(1) << 18) + 1u), 3);
    assert_int_equal(cof_tree_height_for(UINT64_C(1) << 44), 5);
}

static void deaths_are_sorted_by_address(void **state)
{
    struct prng prng = {11};
    struct cof_env env;
    struct cof_kills kills;
    uint64_t sum = 0;
    (void)state;
    cof_env_init(&env, NULL);
    cof_kills_init(&kills, &env);
    assert_int_equal(cof_kills_sort(&kills), 0);
    for (unsigned i = 0; i < 5000; i++) {
        struct cof_vaddr addr = cof_vaddr_make(
            prng_below(&prng, 3), 1u + prng_below(&prng, 1u << 30), prng_below(&prng, 511), false);
        assert_int_equal(cof_kills_add(&kills, addr), 0);
        sum += addr.bits;
        if (i == 0) {
            assert_int_equal(cof_kills_sort(&kills), 0);
        }
    }
    assert_int_equal(cof_kills_sort(&kills), 0);
    assert_int_equal(kills.count, 5000);
    sum -= kills.addrs[0].bits;
    for (unsigned i = 1; i < 5000; i++) {
        assert_true(cof_vaddr_position(kills.addrs[i - 1u]) <= cof_vaddr_position(kills.addrs[i]));
        sum -= kills.addrs[i].bits;
    }
    assert_int_equal(sum, 0);
    cof_kills_done(&kills);
    assert_int_equal(env.heap_bytes, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(merges_of_one_leaf_follow_the_array),
        CASE(merges_of_three_levels_follow_the_array),
        CASE(a_volume_that_grows_keeps_its_old_tree),
        CASE(entries_beyond_a_smaller_size_die),
        CASE(a_hole_over_everything_leaves_an_empty_tree),
        CASE(an_empty_delta_changes_nothing),
        CASE(a_failed_merge_changes_nothing),
        CASE(merges_that_read_ahead_follow_the_array),
        CASE(a_merge_leaves_the_cache_to_those_who_read),
        CASE(leaves_are_read_ahead_of_who_goes_in_order),
        CASE(heights_are_those_of_the_sizes),
        CASE(deaths_are_sorted_by_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
