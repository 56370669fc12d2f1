/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyless tree against a model: random keys, growth in height, copy-on-write that frees exactly
 * the blocks it replaced, damage, and forged trees that would have no end.
 */
#include "base/checksum.h"
#include "unit/place_fixture.h"

#define KEYS 400u
#define EMPTIED 150u

struct model {
    uint64_t key;
    unsigned blocks; /* 0: not there */
    uint8_t filler;
};

static struct place_fixture f;
static struct cof_ptree tree;
static struct model model[KEYS];

static void tree_open(enum cof_raw_kind kind, const struct cof_tree_pointer *root)
{
    static const struct cof_tree_pointer none;
    cof_ptree_init(&tree, &f.env, &f.reader, &f.segments, kind, SEGMENT_BLOCKS,
                   root != NULL ? root : &none);
}

static int setup(void **state)
{
    (void)state;
    place_fixture_open(&f);
    memset(model, 0, sizeof model);
    tree_open(COF_RAW_PLACEMENT, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_ptree_done(&tree);
    place_fixture_close(&f);
    return 0;
}

static void write_record(struct model *at, unsigned blocks, uint8_t filler)
{
    uint8_t bytes[4 * 4096];
    memset(bytes, filler, sizeof bytes);
    memcpy(bytes, &at->key, sizeof at->key);
    assert_int_equal(cof_ptree_write(&tree, &f.writer, at->key, bytes, blocks), 0);
    at->blocks = blocks;
    at->filler = filler;
}

static void check_record(const struct model *at)
{
    uint8_t bytes[4 * 4096];
    unsigned blocks = 99;
    int err = cof_ptree_read(&tree, at->key, bytes, 4, &blocks);
    if (at->blocks == 0) {
        assert_int_equal(err, COFFER_E_NOT_FOUND);
        assert_int_equal(blocks, 99);
        return;
    }
    assert_int_equal(err, 0);
    assert_int_equal(blocks, at->blocks);
    assert_memory_equal(bytes, &at->key, sizeof at->key);
    assert_int_equal(bytes[blocks * 4096u - 1u], at->filler);
}

struct count {
    uint64_t records, nodes, blocks, last_key, damaged;
    bool any;
};

static int count_record(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    struct count *count = ctx;
    assert_true(!count->any || key > count->last_key);
    count->any = true;
    count->last_key = key;
    count->records++;
    count->blocks += pointer->blocks;
    return 0;
}

static int count_node(void *ctx, const struct cof_tree_pointer *pointer)
{
    struct count *count = ctx;
    assert_int_equal(pointer->blocks, 1);
    count->nodes++;
    count->blocks++;
    return 0;
}

static int count_damage(void *ctx, const struct cof_tree_pointer *pointer, int error)
{
    struct count *count = ctx;
    (void)pointer;
    assert_int_equal(error, COFFER_E_CORRUPT);
    count->damaged++;
    return 0;
}

static const struct cof_ptree_visitor counter = {NULL, count_record, count_node, count_damage};

static struct count count_all(void)
{
    struct count count = {0};
    struct cof_ptree_visitor visitor = counter;
    visitor.ctx = &count;
    assert_int_equal(cof_ptree_visit(&tree, &visitor), 0);
    return count;
}

/* What segments count as alive is what can be reached, neither more nor less. */
static void check_all(void)
{
    struct count count = count_all();
    uint64_t records = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        check_record(&model[i]);
        records += model[i].blocks != 0 ? 1u : 0u;
    }
    assert_int_equal(count.records, records);
    assert_int_equal(count.damaged, 0);
    assert_int_equal(f.segments.live_total, count.blocks);
}

static void reopen(void)
{
    struct cof_tree_pointer root = tree.root;
    cof_ptree_done(&tree);
    tree_open(COF_RAW_PLACEMENT, &root);
}

static void random_keys(uint64_t seed)
{
    struct prng prng = {seed};
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned bits = 1u + prng_below(&prng, 44);
        bool again = true;
        while (again) {
            model[i].key = prng_next(&prng) >> (64u - bits);
            again = false;
            for (unsigned k = 0; k < i; k++) {
                again = again || model[k].key == model[i].key;
            }
            bits += again ? 1u : 0u;
        }
    }
}

static void an_empty_tree_has_no_records(void **state)
{
    struct cof_tree_pointer pointer;
    (void)state;
    assert_int_equal(cof_ptree_find(&tree, 0, &pointer), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_ptree_find(&tree, UINT64_MAX, &pointer), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    assert_int_equal(count_all().records, 0);
}

static void random_writes_follow_the_model(void **state)
{
    struct prng prng = {1};
    (void)state;
    random_keys(1);
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < 30; i++) {
            struct model *at = &model[prng_below(&prng, KEYS)];
            write_record(at, prng_below(&prng, 4), (uint8_t)prng_next(&prng));
        }
        assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
        check_all();
        if (round % 3 == 0) {
            reopen();
            check_all();
        }
        cof_segments_condemn(&f.segments, &f.segment, 1, UINT64_MAX);
        (void)cof_segments_collect(&f.segments);
        check_all(); /* what was collected was not needed */
    }
}

/* With memory for a path or two, so that nodes come and go between any two calls. */
static void a_tree_with_few_nodes_in_memory_says_the_same(void **state)
{
    struct prng prng = {8};
    uint64_t path = 8u * (sizeof(struct cof_tree_node) + 2048u);
    (void)state;
    random_keys(8);
    tree.budget_bytes = path;
    for (unsigned round = 0; round < 12; round++) {
        uint64_t key = 0, found = 0, records = 0;
        for (unsigned i = 0; i < 30; i++) {
            write_record(&model[prng_below(&prng, KEYS)], prng_below(&prng, 4),
                         (uint8_t)prng_next(&prng));
            check_record(&model[prng_below(&prng, KEYS)]);
        }
        assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
        assert_true(tree.bytes <= path);
        for (; cof_ptree_next(&tree, &key) == 0; key++) {
            assert_true(tree.bytes <= path);
            found++;
        }
        for (unsigned i = 0; i < KEYS; i++) {
            records += model[i].blocks != 0 ? 1u : 0u;
        }
        assert_int_equal(found, records);
        check_all();
        cof_segments_condemn(&f.segments, &f.segment, 1, UINT64_MAX);
        (void)cof_segments_collect(&f.segments);
    }
    tree.budget_bytes = 0;
    check_all();
    assert_int_equal(tree.bytes, 0);
    assert_null(tree.top);
}

static void the_tree_grows_in_height_with_its_keys(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        model[i].key = i == 0 ? 0 : UINT64_C(1) << (8u * i);
    }
    for (unsigned i = 8; i < KEYS; i++) {
        model[i].key = 1000000u + i;
    }
    for (unsigned i = 0; i < 8; i++) {
        write_record(&model[i], 1, (uint8_t)(i + 1u));
        assert_int_equal(tree.root.height, i == 0 ? 0 : i + 1u);
        if (i % 2 == 1) {
            assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
            reopen();
        }
    }
    check_all();
}

static void a_flush_without_changes_writes_nothing(void **state)
{
    uint64_t puts;
    (void)state;
    random_keys(3);
    for (unsigned i = 0; i < 20; i++) {
        write_record(&model[i], 1, 7);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    puts = f.puts;
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    assert_int_equal(f.puts, puts);
    check_all();
}

static void all_records_removed_leave_nothing_alive_but_the_root(void **state)
{
    (void)state;
    random_keys(4);
    for (unsigned i = 0; i < 50; i++) {
        write_record(&model[i], 2, 9);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    for (unsigned i = 0; i < 50; i++) {
        write_record(&model[i], 0, 0);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    check_all();
    assert_int_equal(f.segments.live_total, 1);
}

/* The segment table's own tree is counted apart, so that writing it changes nothing it says. */
static void the_segment_tables_tree_counts_as_own(void **state)
{
    uint64_t own = 0;
    struct count count;
    (void)state;
    cof_ptree_done(&tree);
    tree_open(COF_RAW_SEGMENTS, NULL);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 6; i++) {
            model[i].key = 40u * i;
            write_record(&model[i], 1, (uint8_t)round);
        }
        assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    }
    for (unsigned i = 0; i < SEGMENT_COUNT; i++) {
        own += f.segments.table[i].own;
    }
    count = count_all();
    assert_int_equal(own, count.blocks);
    assert_int_equal(f.segments.live_total, 0);
}

static void damage_is_corrupt_and_named(void **state)
{
    struct cof_tree_pointer root, record;
    uint8_t *block = cof_alloc_aligned(&f.env, 4096);
    uint8_t bytes[4096];
    unsigned blocks;
    struct count count;
    (void)state;
    random_keys(5);
    for (unsigned i = 0; i < 40; i++) {
        write_record(&model[i], 1, 3);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    assert_int_equal(cof_ptree_find(&tree, model[5].key, &record), 0);
    root = tree.root;
    assert_int_equal(cof_ptree_fetch(&tree, &record, block), 0);
    record.sum ^= 1;
    assert_int_equal(cof_ptree_fetch(&tree, &record, block), COFFER_E_CORRUPT);
    record.sum ^= 1;
    record.segment = SEGMENT_COUNT;
    assert_int_equal(cof_ptree_fetch(&tree, &record, block), COFFER_E_CORRUPT);
    record.segment = 0;
    assert_int_equal(cof_ptree_fetch(&tree, &record, block), COFFER_E_CORRUPT);
    record.segment = 1;
    record.block = SEGMENT_BLOCKS;
    assert_int_equal(cof_ptree_fetch(&tree, &record, block), COFFER_E_CORRUPT);
    cof_ptree_done(&tree);
    root.sum ^= 1;
    tree_open(COF_RAW_PLACEMENT, &root);
    assert_int_equal(cof_ptree_read(&tree, model[5].key, bytes, 1, &blocks), COFFER_E_CORRUPT);
    assert_int_equal(cof_ptree_write(&tree, &f.writer, model[5].key, bytes, 1), COFFER_E_CORRUPT);
    count = count_all();
    assert_int_equal(count.damaged, 1);
    assert_int_equal(count.records, 0);
    root.sum ^= 1;
    cof_ptree_done(&tree);
    tree_open(COF_RAW_PLACEMENT, &root);
    check_record(&model[5]);
    model[7].blocks = 1;
    assert_int_equal(cof_ptree_read(&tree, model[7].key, bytes, 0, &blocks), COFFER_E_CORRUPT);
    cof_free_aligned(&f.env, block);
}

/* 256 entries that all lead to the same node, eight levels of them: 2^64 visits, if one let it. */
static void a_forged_tree_has_an_end(void **state)
{
    struct cof_tree_pointer pointer;
    struct count count = {0};
    struct cof_ptree_visitor visitor = counter;
    uint8_t block[4096];
    (void)state;
    memset(block, 0, sizeof block);
    assert_int_equal(writer_put(&f, COF_RAW_PLACEMENT, 0, block, 1, &pointer), 0);
    pointer.sum = cof_checksum64(block, sizeof block);
    for (unsigned level = 1; level <= 8; level++) {
        for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
            cof_tree_entry_encode(&pointer, block + 16u * i);
        }
        assert_int_equal(writer_put(&f, COF_RAW_PLACEMENT, 0, block, 1, &pointer), 0);
        pointer.sum = cof_checksum64(block, sizeof block);
    }
    pointer.height = 8;
    tree_open(COF_RAW_PLACEMENT, &pointer);
    visitor.ctx = &count;
    assert_int_equal(cof_ptree_visit(&tree, &visitor), COFFER_E_CORRUPT);
    assert_true(count.records + count.nodes <= (uint64_t)SEGMENT_COUNT * SEGMENT_BLOCKS);
}

static void a_failed_write_is_reported_and_leaves_the_durable_tree(void **state)
{
    uint8_t bytes[4096] = {1};
    struct cof_tree_pointer root;
    (void)state;
    random_keys(6);
    for (unsigned i = 0; i < 30; i++) {
        write_record(&model[i], 1, 3);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    root = tree.root;
    f.puts_until_failure = 0;
    assert_int_equal(cof_ptree_write(&tree, &f.writer, model[0].key, bytes, 1), COFFER_E_IO);
    f.puts_until_failure = 1;
    assert_int_equal(cof_ptree_write(&tree, &f.writer, model[0].key, bytes, 1), 0);
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), COFFER_E_IO);
    f.puts_until_failure = UINT64_MAX;
    cof_ptree_done(&tree);
    tree_open(COF_RAW_PLACEMENT, &root);
    for (unsigned i = 0; i < 30; i++) {
        check_record(&model[i]);
    }
}

static void without_memory_it_says_so_and_gives_back_what_it_had(void **state)
{
    uint8_t bytes[4096] = {1};
    struct cof_tree_pointer root;
    int err = -1;
    (void)state;
    random_keys(7);
    for (unsigned i = 0; i < 30; i++) {
        write_record(&model[i], 1, 3);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    root = tree.root;
    for (unsigned at = 0; err != 0; at++) {
        cof_ptree_done(&tree);
        tree_open(COF_RAW_PLACEMENT, &root);
        det_env_fail(&f.det, at, false);
        err = cof_ptree_write(&tree, &f.writer, UINT64_C(1) << 60, bytes, 1);
        err = err == 0 ? cof_ptree_flush(&tree, &f.writer) : err;
        det_env_fail_none(&f.det);
        assert_true(err == 0 || err == COFFER_E_NO_MEMORY);
        assert_true(at < 200);
    }
}

/* As when a large volume is deleted: what is left is found behind nodes without end that are empty
 * in memory, whether they were written as nothing or not yet. */
static void what_follows_emptied_nodes_is_found(void **state)
{
    struct cof_tree_pointer root;
    struct model at = {0, 0, 0};
    uint64_t key;
    (void)state;
    tree.budget_bytes = 1u << 22;
    for (unsigned i = 0; i <= EMPTIED; i++) {
        at.key = UINT64_C(256) * i; /* a node of its own */
        write_record(&at, 1, 7);
    }
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    for (unsigned i = 0; i < EMPTIED; i++) {
        assert_int_equal(cof_ptree_write(&tree, &f.writer, UINT64_C(256) * i, NULL, 0), 0);
    }
    for (unsigned round = 0; round < 3; round++) {
        key = 0;
        assert_int_equal(cof_ptree_next(&tree, &key), 0);
        assert_int_equal(key, UINT64_C(256) * EMPTIED);
        key++;
        assert_int_equal(cof_ptree_next(&tree, &key), COFFER_E_NOT_FOUND);
        if (round == 0) {
            assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
        } else {
            root = tree.root;
            cof_ptree_done(&tree);
            tree_open(COF_RAW_PLACEMENT, &root);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_empty_tree_has_no_records),
        CASE(random_writes_follow_the_model),
        CASE(a_tree_with_few_nodes_in_memory_says_the_same),
        CASE(the_tree_grows_in_height_with_its_keys),
        CASE(a_flush_without_changes_writes_nothing),
        CASE(all_records_removed_leave_nothing_alive_but_the_root),
        CASE(the_segment_tables_tree_counts_as_own),
        CASE(damage_is_corrupt_and_named),
        CASE(a_forged_tree_has_an_end),
        CASE(what_follows_emptied_nodes_is_found),
        CASE(a_failed_write_is_reported_and_leaves_the_durable_tree),
        CASE(without_memory_it_says_so_and_gives_back_what_it_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
