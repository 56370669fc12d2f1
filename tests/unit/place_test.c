/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placement table: descriptors come and go in buckets, die page by page, are written without
 * what is young, dropped when all of it is dead, and come back from the device as they were.
 */
#include "unit/place_fixture.h"

#define LINEAGE 1u
#define EXTENTS 200u

static struct place_fixture f;
static struct cof_ptree tree;
static struct cof_place place;
static unsigned dropped;

static void on_dropped(void *ctx, const struct cof_desc *desc)
{
    (void)ctx;
    assert_int_equal(cof_bitmap_count(&desc->live), 0);
    dropped++;
}

static void open_place(const struct cof_tree_pointer *root, uint64_t budget_bytes)
{
    static const struct cof_tree_pointer none;
    cof_ptree_init(&tree, &f.env, &f.reader, &f.segments, COF_RAW_PLACEMENT, SEGMENT_BLOCKS,
                   root != NULL ? root : &none);
    assert_int_equal(
        cof_place_init(&place, &f.env, &f.segments, &tree, SEGMENT_BLOCKS, budget_bytes), 0);
    place.dropped = on_dropped;
    dropped = 0;
}

static int setup(void **state)
{
    (void)state;
    place_fixture_open(&f);
    open_place(NULL, 1u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_place_done(&place);
    cof_ptree_done(&tree);
    place_fixture_close(&f);
    return 0;
}

static void flush(void)
{
    assert_int_equal(cof_place_flush(&place, &f.writer), 0);
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
}

static void reopen(uint64_t budget_bytes)
{
    struct cof_tree_pointer root = tree.root;
    cof_place_done(&place);
    cof_ptree_done(&tree);
    open_place(&root, budget_bytes);
}

/* Ten pages behind one header, in a segment of its own choice. */
static struct cof_desc *add(uint64_t extent, uint32_t segment)
{
    struct cof_desc *desc = cof_desc_new(&f.env, 1);
    assert_non_null(desc);
    desc->extent = extent;
    desc->lineage = LINEAGE;
    desc->volume = 3;
    desc->key_id = (uint32_t)extent;
    memset(desc->uuid, (int)extent, 16);
    desc->slots_used = 10;
    desc->piece_count = 1;
    desc->pieces[0].segment = segment;
    desc->ref_count = 1;
    desc->refs[0] = (struct cof_batch_ref){0, (uint16_t)(2u + 11u * (extent % 20u)), 1};
    for (unsigned i = 0; i < 10; i++) {
        cof_bitmap_set(&desc->present, i);
    }
    desc->live = desc->present;
    assert_int_equal(cof_place_add(&place, desc), 0);
    cof_segments_live_add(&f.segments, segment, 10);
    return desc;
}

/* As it was moved, five pages to segment 50 and five to 51. */
static struct cof_desc *add_in_two_pieces(uint64_t extent)
{
    struct cof_desc *desc = add(extent, 50);
    desc->ref_count = 0;
    desc->piece_count = 2;
    desc->pieces[0] = (struct cof_piece){50, 1, 0, true};
    desc->pieces[1] = (struct cof_piece){51, 126, 5, true};
    cof_segments_live_sub(&f.segments, 50, 5);
    cof_segments_live_add(&f.segments, 51, 5);
    return desc;
}

static struct cof_desc *find(uint64_t extent)
{
    struct cof_desc *desc = NULL;
    int err = cof_place_find(&place, LINEAGE, extent, &desc);
    assert_true(err == 0 || err == COFFER_E_NOT_FOUND);
    assert_true((err == 0) == (desc != NULL));
    return desc;
}

static void kill_page(uint64_t extent, unsigned slot)
{
    assert_int_equal(cof_place_kill(&place, LINEAGE, extent, slot), 0);
}

static void kill_all(uint64_t extent)
{
    for (unsigned slot = 0; slot < 10; slot++) {
        kill_page(extent, slot);
    }
}

static void what_was_added_is_found_by_lineage_and_extent(void **state)
{
    struct cof_desc *desc, *other = NULL;
    (void)state;
    desc = add(17, 50);
    assert_ptr_equal(find(17), desc);
    assert_null(find(18));
    assert_int_equal(cof_place_find(&place, LINEAGE + 1u, 17, &other), COFFER_E_NOT_FOUND);
    assert_null(other);
}

static void a_page_dies_once(void **state)
{
    struct cof_desc *desc;
    (void)state;
    desc = add(17, 50);
    kill_page(17, 3);
    assert_false(cof_bitmap_get(&desc->live, 3));
    assert_int_equal(f.segments.table[50].live, 9);
    kill_page(17, 3);
    kill_page(17, 11); /* never was */
    kill_page(99, 3);  /* nor this extent */
    assert_int_equal(f.segments.table[50].live, 9);
    assert_int_equal(f.segments.live_total, 9);
}

/* Of two pieces in two segments, with what died before, what never was, and one twice. */
static void pages_of_an_extent_die_together(void **state)
{
    static const unsigned slots[] = {1, 4, 5, 6, 6, 7, 8, 9, 300};
    struct cof_vaddr addrs[sizeof slots / sizeof slots[0]];
    struct cof_desc *desc;
    unsigned count = sizeof slots / sizeof slots[0];
    (void)state;
    desc = add_in_two_pieces(17);
    kill_page(17, 4);
    for (unsigned i = 0; i < count; i++) {
        addrs[i] = cof_vaddr_make(LINEAGE, 17, slots[i], false);
    }
    assert_int_equal(cof_place_kill_all(&place, addrs, count), 0);
    for (unsigned slot = 0; slot < 10; slot++) {
        assert_true(cof_bitmap_get(&desc->live, slot) == (slot == 0 || slot == 2 || slot == 3));
    }
    assert_int_equal(f.segments.table[50].live, 3);
    assert_int_equal(f.segments.table[51].live, 0);
    assert_int_equal(desc->piece_count, 1); /* the dead one is dropped */
    addrs[0] = cof_vaddr_make(LINEAGE, 99, 1, false);
    assert_int_equal(cof_place_kill_all(&place, addrs, 1), 0);
    assert_int_equal(f.segments.live_total, 3);
}

static void another_descriptor_of_an_extent_takes_its_place(void **state)
{
    struct cof_desc *second;
    uint64_t bytes;
    (void)state;
    (void)add(17, 50);
    bytes = place.bytes;
    second = add(17, 51);
    assert_ptr_equal(find(17), second);
    assert_int_equal(place.bytes, bytes);
}

static void flush_and_reload_give_the_same_table(void **state)
{
    (void)state;
    for (uint64_t extent = 1; extent <= EXTENTS; extent++) {
        (void)add(extent, 40u + (uint32_t)(extent / 20u));
    }
    for (uint64_t extent = 1; extent <= EXTENTS; extent += 3) {
        kill_page(extent, (unsigned)(extent % 10u));
    }
    flush();
    reopen(1u << 20);
    for (uint64_t extent = 1; extent <= EXTENTS; extent++) {
        struct cof_desc *desc = find(extent);
        uint32_t segment, block, header;
        assert_non_null(desc);
        assert_int_equal(cof_bitmap_count(&desc->live), (extent - 1u) % 3u == 0 ? 9 : 10);
        assert_int_equal(desc->key_id, extent);
        assert_int_equal(desc->uuid[7], extent);
        assert_int_equal(cof_desc_locate(desc, 4, &segment, &block, &header), 0);
        assert_int_equal(segment, 40u + extent / 20u);
        assert_int_equal(block, 2u + 11u * (extent % 20u) + 4u);
        assert_int_equal(header, 1u + 11u * (extent % 20u));
    }
    assert_null(find(EXTENTS + 1u));
}

static void a_bucket_of_large_descriptors_takes_two_blocks(void **state)
{
    (void)state;
    for (uint64_t extent = 16; extent < 32; extent++) {
        struct cof_desc *desc = cof_desc_new(&f.env, COF_BATCH_REFS_MAX);
        assert_non_null(desc);
        desc->extent = extent;
        desc->lineage = LINEAGE;
        desc->slots_used = 128;
        desc->piece_count = 1;
        desc->pieces[0].segment = 9;
        desc->ref_count = COF_BATCH_REFS_MAX;
        for (unsigned i = 0; i < COF_BATCH_REFS_MAX; i++) {
            desc->refs[i] = (struct cof_batch_ref){(uint16_t)(2u * i), (uint16_t)(2u + 3u * i), 1};
            cof_bitmap_set(&desc->present, 2u * i);
            cof_bitmap_set(&desc->live, 2u * i);
        }
        assert_int_equal(cof_place_add(&place, desc), 0);
    }
    flush();
    assert_true(f.blocks_put >= 2);
    reopen(1u << 20);
    for (uint64_t extent = 16; extent < 32; extent++) {
        assert_non_null(find(extent));
        assert_int_equal(find(extent)->ref_count, COF_BATCH_REFS_MAX);
    }
}

static void what_is_dead_is_dropped_at_the_flush_but_not_what_is_pinned(void **state)
{
    struct cof_desc *pinned;
    (void)state;
    (void)add(1, 50);
    pinned = add(2, 50);
    (void)add(3, 50);
    pinned->pinned = true;
    kill_all(1);
    kill_all(2);
    flush();
    assert_int_equal(dropped, 1);
    assert_null(find(1));
    assert_ptr_equal(find(2), pinned);
    assert_non_null(find(3));
    pinned->pinned = false;
    assert_int_equal(cof_place_touch(&place, pinned), 0);
    flush();
    assert_int_equal(dropped, 2);
    reopen(1u << 20);
    assert_null(find(1));
    assert_null(find(2));
    assert_non_null(find(3));
}

static void what_is_young_is_left_out_until_it_grew_old(void **state)
{
    struct cof_desc *young;
    (void)state;
    (void)add(1, 50);
    young = add(2, 50);
    young->young = true;
    flush();
    assert_ptr_equal(find(2), young);
    young->young = false; /* its bucket stayed dirty */
    flush();
    reopen(1u << 20);
    assert_non_null(find(1));
    assert_non_null(find(2));
    young = add(3, 50);
    young->young = true;
    flush();
    reopen(1u << 20);
    assert_non_null(find(2));
    assert_null(find(3));
}

/* Of a moved extent: slots 0..4 in one segment, 5..9 in another. */
static void a_piece_goes_with_its_last_page(void **state)
{
    struct cof_desc *desc;
    uint32_t segment, block, header;
    (void)state;
    desc = add_in_two_pieces(17);
    for (unsigned slot = 0; slot < 4; slot++) {
        kill_page(17, slot);
    }
    assert_int_equal(desc->piece_count, 2);
    assert_int_equal(f.segments.table[50].live, 1);
    kill_page(17, 9);
    assert_int_equal(f.segments.table[51].live, 4);
    kill_page(17, 4);
    assert_int_equal(f.segments.table[50].live, 0);
    flush();
    reopen(1u << 20);
    desc = find(17);
    assert_non_null(desc);
    assert_true(cof_desc_moved(desc) && desc->piece_count == 1);
    assert_false(cof_desc_in_segment(desc, 50));
    assert_int_equal(cof_desc_locate(desc, 4, &segment, &block, &header), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_desc_locate(desc, 7, &segment, &block, &header), 0);
    assert_true(segment == 51 && block == 129 && header == 128);
    for (unsigned slot = 5; slot < 9; slot++) {
        kill_page(17, slot);
    }
    assert_int_equal(f.segments.table[51].live, 0);
    flush();
    assert_null(find(17));
}

static void an_empty_bucket_leaves_the_tree(void **state)
{
    struct cof_tree_pointer pointer;
    (void)state;
    (void)add(5, 50);
    (void)add(1000, 50);
    flush();
    assert_int_equal(cof_ptree_find(&tree, cof_bucket_key(LINEAGE, 5), &pointer), 0);
    kill_all(5);
    flush();
    assert_int_equal(cof_ptree_find(&tree, cof_bucket_key(LINEAGE, 5), &pointer),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(cof_ptree_find(&tree, cof_bucket_key(LINEAGE, 1000), &pointer), 0);
}

static void the_cache_keeps_its_budget_and_what_is_dirty(void **state)
{
    (void)state;
    reopen(20000);
    for (uint64_t extent = 1; extent <= 2000; extent += 16) {
        (void)add(extent, 50);
    }
    assert_true(place.bytes > 20000); /* all of it is dirty */
    assert_int_equal(place.bucket_count, 125);
    flush();
    assert_true(place.bytes <= 20000);
    for (uint64_t extent = 1; extent <= 2000; extent += 16) {
        assert_non_null(find(extent));
        cof_place_trim(&place);
        assert_true(place.bytes <= 20000);
    }
}

/* In an order that leads into nodes one after another. */
static void a_flush_writes_buckets_in_the_order_of_their_keys(void **state)
{
    struct prng prng = {5};
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t extent = 1u + prng_below(&prng, 1u << 20);
        if (find(extent) == NULL) {
            (void)add(extent, 50);
        }
    }
    assert_true(place.dirty_count > 290);
    f.ascending = true;
    f.last_bucket = 0;
    flush();
    assert_true(f.ascending);
    assert_int_equal(place.dirty_count, 0);
    kill_page(17, 3); /* none such, or one bucket */
    assert_true(place.dirty_count <= 1);
}

/* More deaths than buckets fit the budget: they are written on the way, each once or twice. */
static void a_spill_keeps_the_budget_while_much_dies(void **state)
{
    uint64_t most = 0;
    unsigned kept = 0;
    struct cof_desc *pinned, *young;
    (void)state;
    for (uint64_t extent = 16; extent < 16u * 300u; extent += 16) {
        (void)add(extent, 50);
    }
    flush();
    reopen(60000);
    pinned = add(16u * 400u, 51);
    pinned->pinned = true;
    young = add(16u * 401u, 51);
    young->young = true;
    f.blocks_put = 0;
    for (uint64_t extent = 16; extent < 16u * 300u; extent += 16) {
        kill_page(extent, 3);
        assert_int_equal(cof_place_spill(&place, &f.writer), 0);
        most = place.bytes > most ? place.bytes : most;
    }
    assert_true(most <= 60000u + 4096u);
    assert_true(f.blocks_put >= 200); /* not kept for the flush */
    assert_ptr_equal(find(16u * 400u), pinned);
    assert_ptr_equal(find(16u * 401u), young);
    pinned->pinned = false;
    flush();
    assert_true(f.blocks_put < 2u * 300u);
    reopen(1u << 20);
    for (uint64_t extent = 16; extent < 16u * 300u; extent += 16) {
        assert_non_null(find(extent));
        assert_false(cof_bitmap_get(&find(extent)->live, 3));
        kept += cof_bitmap_count(&find(extent)->live);
    }
    assert_int_equal(kept, 299u * 9u);
    assert_non_null(find(16u * 400u));
    assert_null(find(16u * 401u));
    assert_int_equal(f.segments.table[50].live, kept);
}

/* Nothing can be dropped: the spill must not try again for each death. */
static void a_spill_that_can_do_nothing_costs_little(void **state)
{
    (void)state;
    reopen(10000);
    for (uint64_t extent = 16; extent < 16u * 100u; extent += 16) {
        add(extent, 50)->pinned = true;
    }
    f.puts = 0;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(cof_place_spill(&place, &f.writer), 0);
    }
    assert_int_equal(f.puts, 0);
    assert_true(place.bytes > 10000);
    assert_true(place.spill_at_bytes > place.bytes);
}

static void a_descriptor_that_was_written_takes_what_it_needs(void **state)
{
    struct cof_desc *desc = cof_desc_new(&f.env, COF_BATCH_REFS_MAX);
    uint64_t bytes;
    (void)state;
    desc->extent = 20;
    desc->lineage = LINEAGE;
    desc->slots_used = 1;
    desc->piece_count = 1;
    desc->pieces[0].segment = 50;
    desc->ref_count = 1;
    desc->refs[0] = (struct cof_batch_ref){0, 9, 1};
    cof_bitmap_set(&desc->present, 0);
    desc->live = desc->present;
    desc->young = true;
    assert_int_equal(cof_place_add(&place, desc), 0);
    bytes = place.bytes;
    flush();
    assert_ptr_equal(find(20), desc); /* it may still get refs */
    desc->young = false;
    desc->pinned = true;
    flush();
    assert_ptr_equal(find(20), desc);
    desc->pinned = false;
    assert_int_equal(cof_place_touch(&place, desc), 0);
    flush();
    desc = find(20);
    assert_int_equal(desc->ref_capacity, 1);
    assert_int_equal(desc->refs[0].block, 9);
    assert_int_equal(bytes - place.bytes, 63u * sizeof desc->refs[0]);
}

/* What is only in memory stands between what is in the tree, whatever came first. */
static void a_walk_finds_what_is_not_in_the_tree_yet(void **state)
{
    static const uint64_t written[] = {100, 300, 500}, fresh[] = {400, 50, 600, 200, 110};
    static const uint64_t all[] = {50, 100, 110, 200, 300, 400, 500, 600};
    struct cof_desc *desc;
    uint64_t extent = 1;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)add(written[i], 50);
    }
    (void)add(450, 50);
    flush();
    kill_all(450);
    flush(); /* the bucket left the tree, and may come again */
    (void)add(451, 50);
    kill_all(451);
    for (unsigned i = 0; i < 5; i++) {
        (void)add(fresh[i], 50);
    }
    flush();
    for (unsigned i = 0; i < 5; i++) {
        kill_all(fresh[i]);
    }
    flush();
    for (unsigned i = 0; i < 5; i++) {
        add(fresh[i], 50)->young = true;
    }
    for (unsigned round = 0; round < 2; round++) {
        extent = 1;
        for (unsigned i = 0; i < 8; i++, extent++) {
            assert_int_equal(cof_place_next(&place, LINEAGE, &extent, &desc), 0);
            assert_int_equal(extent, all[i]);
            assert_int_equal(desc->extent, all[i]);
        }
        assert_int_equal(cof_place_next(&place, LINEAGE, &extent, &desc), COFFER_E_NOT_FOUND);
        flush(); /* they stay young */
    }
}

static void a_damaged_bucket_is_corrupt_and_nothing_else_is(void **state)
{
    struct cof_desc *desc = NULL;
    struct cof_tree_pointer pointer;
    uint8_t bytes[8192];
    unsigned blocks;
    (void)state;
    (void)add(5, 50);
    (void)add(1000, 50);
    flush();
    assert_int_equal(cof_ptree_read(&tree, cof_bucket_key(LINEAGE, 5), bytes, 2, &blocks), 0);
    bytes[COF_BUCKET_HEADER_BYTES + 48] = 0xff; /* the piece's segment */
    bytes[COF_BUCKET_HEADER_BYTES + 51] = 0xff;
    assert_int_equal(cof_ptree_write(&tree, &f.writer, cof_bucket_key(LINEAGE, 5), bytes, blocks),
                     0);
    assert_int_equal(cof_ptree_flush(&tree, &f.writer), 0);
    reopen(1u << 20);
    assert_int_equal(cof_place_find(&place, LINEAGE, 5, &desc), COFFER_E_CORRUPT);
    assert_int_equal(cof_place_kill(&place, LINEAGE, 5, 1), COFFER_E_CORRUPT);
    assert_null(desc);
    assert_non_null(find(1000));
    assert_int_equal(cof_ptree_find(&tree, cof_bucket_key(LINEAGE, 5), &pointer), 0);
}

static void a_failed_flush_loses_nothing(void **state)
{
    unsigned failures = 0;
    (void)state;
    for (uint64_t extent = 1; extent <= 320; extent++) {
        (void)add(extent, 40u + (uint32_t)(extent / 20u));
    }
    f.puts_until_failure = 0;
    while (cof_place_flush(&place, &f.writer) == COFFER_E_IO) {
        failures++;
        f.puts_until_failure = failures; /* each try comes a little further */
    }
    assert_true(failures > 3);
    f.puts_until_failure = UINT64_MAX;
    flush();
    reopen(1u << 20);
    for (uint64_t extent = 1; extent <= 320; extent++) {
        assert_non_null(find(extent));
    }
}

/* All extents from the first on are those of `there`, below `end`. */
static void check_order(const bool *there, uint64_t end)
{
    uint64_t extent = 1;
    struct cof_desc *desc;
    for (uint64_t expected = 1; expected < end; expected++) {
        if (there[expected]) {
            assert_int_equal(cof_place_next(&place, LINEAGE, &extent, &desc), 0);
            assert_int_equal(extent, expected);
            extent++;
        }
    }
    assert_int_equal(cof_place_next(&place, LINEAGE, &extent, &desc), COFFER_E_NOT_FOUND);
}

/* Buckets that are not in the tree: come in any order, written in between, emptied and gone. */
static void unwritten_buckets_are_met_in_order(void **state)
{
    static bool there[16u * 1000u];
    struct prng prng = {11};
    (void)state;
    memset(there, 0, sizeof there);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 400; i++) {
            uint64_t extent = 1u + prng_below(&prng, sizeof there - 1u);
            if (!there[extent]) {
                (void)add(extent, 50);
                there[extent] = true;
            } else if (prng_chance(&prng, 1, 2)) {
                kill_all(extent); /* dropped by the flush */
            }
        }
        check_order(there, sizeof there);
        if (round % 2u == 1) {
            flush();
            for (uint64_t extent = 1; extent < sizeof there; extent++) {
                there[extent] = find(extent) != NULL;
            }
            check_order(there, sizeof there);
        }
    }
}

/* As a log can be made up to have them: each would be compared with all that came before it. */
static void many_buckets_may_come_in_descending_order(void **state)
{
    uint64_t count = 100000, extent = 1;
    struct cof_desc *desc;
    (void)state;
    for (uint64_t i = count; i > 0; i--) {
        (void)add(16u * i, 50);
    }
    for (uint64_t i = 1; i <= count; i++) {
        assert_int_equal(cof_place_next(&place, LINEAGE, &extent, &desc), 0);
        assert_int_equal(extent, 16u * i);
        extent++;
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_added_is_found_by_lineage_and_extent),
        CASE(a_page_dies_once),
        CASE(pages_of_an_extent_die_together),
        CASE(another_descriptor_of_an_extent_takes_its_place),
        CASE(flush_and_reload_give_the_same_table),
        CASE(a_bucket_of_large_descriptors_takes_two_blocks),
        CASE(what_is_dead_is_dropped_at_the_flush_but_not_what_is_pinned),
        CASE(what_is_young_is_left_out_until_it_grew_old),
        CASE(a_piece_goes_with_its_last_page),
        CASE(an_empty_bucket_leaves_the_tree),
        CASE(the_cache_keeps_its_budget_and_what_is_dirty),
        CASE(a_flush_writes_buckets_in_the_order_of_their_keys),
        CASE(a_spill_keeps_the_budget_while_much_dies),
        CASE(unwritten_buckets_are_met_in_order),
        CASE(many_buckets_may_come_in_descending_order),
        CASE(a_spill_that_can_do_nothing_costs_little),
        CASE(a_descriptor_that_was_written_takes_what_it_needs),
        CASE(a_walk_finds_what_is_not_in_the_tree_yet),
        CASE(a_damaged_bucket_is_corrupt_and_nothing_else_is),
        CASE(a_failed_flush_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
