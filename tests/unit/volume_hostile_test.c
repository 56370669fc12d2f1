/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_hostile_test.c - what carries only checksums without a key is forged: roots, logs,
 * trees, descriptors and rings that nobody wrote are refused or bounded, and break nothing.
 */
#include "hostile_fixture.h"

static struct hostile_fixture h;

/* A table of the segments in 42, at this block: those are sealed, all others free. */
static void set_segments(uint32_t block, const uint32_t *segments, unsigned count, uint32_t live,
                         unsigned lane)
{
    struct cof_segment_record record = {
        .sequence = 1, .live = live, .state = 2, .lane = (uint8_t)lane};
    uint8_t table[BLOCK] = {0};
    for (unsigned i = 0; i < count; i++) {
        cof_segment_record_encode(&record, table + 16u * segments[i]);
    }
    hostile_put(&h, 42, block, table);
    h.root.segments = hostile_pointer(42, block, 0, table);
}

/* A placement tree in 42 whose only bucket, that of extents 16 to 31, has these bytes. */
static void set_bucket(uint8_t bucket[BLOCK], unsigned count)
{
    struct cof_tree_pointer pointer;
    uint8_t node[BLOCK] = {0};
    cof_bucket_header_encode(bucket, count, 1, 1);
    hostile_put(&h, 42, 1, bucket);
    pointer = hostile_pointer(42, 1, 0, bucket);
    cof_tree_entry_encode(&pointer, node + 16);
    hostile_put(&h, 42, 2, node);
    h.root.placement = hostile_pointer(42, 2, 1, node);
    h.root.placement_records = 0;
    h.root.next_extent = 1000;
}

/* The catalogue anew, in 42: the entry of volume 1, and another record of that part of it. */
static void set_catalogue(const struct cof_tree_pointer *entry, unsigned part,
                          const struct cof_tree_pointer *more)
{
    uint8_t low[BLOCK] = {0}, other[BLOCK] = {0}, top[BLOCK] = {0};
    struct cof_tree_pointer pointer;
    cof_tree_entry_encode(entry, low);
    hostile_put(&h, 42, 1, low);
    pointer = hostile_pointer(42, 1, 0, low);
    cof_tree_entry_encode(&pointer, top + 16u * 4u);
    if (more != NULL) {
        cof_tree_entry_encode(more, other + 16u * (part & 255u));
        hostile_put(&h, 42, 2, other);
        pointer = hostile_pointer(42, 2, 0, other);
        cof_tree_entry_encode(&pointer, top + 16u * (4u + (part >> 8)));
    }
    hostile_put(&h, 42, 3, top);
    h.root.catalogue = hostile_pointer(42, 3, 2, top);
}

static int clean_one(uint32_t segment)
{
    int err;
    pthread_mutex_lock(&h.f.store->lock);
    err = cof_clean_one(h.f.store, segment);
    pthread_mutex_unlock(&h.f.store->lock);
    return err;
}

/* ---- the root and the log ---- */

/* The checkpoint lane's head says that it is not used, and names a segment far beyond the end: the
 * root is none, and the one before it serves. */
static void a_lane_head_that_is_not_used_is_bounded_too(void **state)
{
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    h.root.lanes[COF_LANES - 1u].used = false;
    h.root.lanes[COF_LANES - 1u].segment = 0x7ffffff0u;
    assert_int_equal(hostile_open(&h, 0), 0);
    assert_true(h.f.store->root.lanes[COF_LANES - 1u].segment < SEGMENTS);
    hostile_done(&h);
}

/* A footer gives an extent with room for one reference, batches behind it go on with the extent:
 * more references than were made room for. */
static void runs_do_not_go_on_with_an_extent_of_a_footer(void **state)
{
    struct cof_desc *desc = calloc(1, sizeof *desc + sizeof(struct cof_batch_ref));
    (void)state;
    assert_non_null(desc);
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    desc->extent = h.root.next_extent + 100u;
    desc->volume = 1;
    desc->slots_used = 1;
    desc->piece_count = 1;
    desc->pieces[0].segment = 40;
    desc->ref_count = 1;
    desc->refs[0].block = 100;
    memset(desc->uuid, 7, 16);
    hostile_log_at(&h, 0, 0, 40, 1);
    hostile_put_footer(&h, 40, 1, 1, 40, desc);
    for (unsigned i = 0; i < 60; i++) {
        struct cof_run run = {.volume = 1,
                              .extent = desc->extent,
                              .first_slot = (uint16_t)(1u + i),
                              .slots = 1,
                              .no_pages = true};
        memset(run.uuid, 7, 16);
        hostile_put_batch(&h, 40, 1u + i, 2u + i, 1, &run, 1);
    }
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), COFFER_E_CORRUPT);
    hostile_done(&h);
    free(desc);
}

/* The number behind its last batch is 0 again, and its next segment its own: a log without end. */
static void a_footer_does_not_lead_to_itself(void **state)
{
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    hostile_log_at(&h, 0, 0, 40, 0);
    hostile_put_footer(&h, 40, 0, UINT64_MAX, 40, NULL);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), COFFER_E_CORRUPT);
    hostile_done(&h);
}

/* A log of one extent: its first page, its summary, and then pages again. */
static void put_runs_behind_a_summary(uint64_t extent, unsigned pages)
{
    struct cof_run run = {.volume = 1, .slots = 1, .extent = extent};
    uint32_t block = 5;
    memset(run.uuid, 9, 16);
    hostile_log_at(&h, 40, 1, 0, 1);
    hostile_put_batch(&h, 40, 1, 1, 0, &run, 1);
    run.first_slot = COF_EXTENT_SLOTS;
    hostile_put_batch(&h, 40, 3, 2, 0, &run, 1);
    run.first_slot = 1;
    run.slots = (uint16_t)pages;
    for (unsigned i = 0; i < 4; i++) {
        hostile_put_batch(&h, 40, block, 3u + i, 0, &run, 1);
        block += pages + 1u;
        run.first_slot = (uint16_t)(run.first_slot + pages);
    }
}

/* The extent's references would not ascend, and a check would visit slots without end. */
static void runs_behind_a_summary_are_refused(void **state)
{
    (void)state;
    hostile_make(&h, 2u << 20, HOSTILE_PLAIN);
    put_runs_behind_a_summary(h.root.next_extent + 100u, 100);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), COFFER_E_CORRUPT);
    hostile_done(&h);
}

/* The same, of an extent that a snapshot has: a copy of it would gather pages without end. Should
 * the store be opened, the copy must be one that ends. */
static void runs_behind_a_summary_are_not_copied(void **state)
{
    struct coffer_copy_opts opts = {.size = sizeof opts};
    struct volume_fixture to;
    int err;
    (void)state;
    hostile_make(&h, 4u << 20, HOSTILE_SNAPSHOT);
    put_runs_behind_a_summary(1, 120);
    err = hostile_open(&h, COFFER_OPEN_READ_ONLY);
    if (err == 0) {
        hostile_make_store(&to, 4u << 20, 123);
        opts.source.size = sizeof opts.source;
        opts.source.volume = "v";
        opts.source.name = "s";
        err = coffer_snapshot_copy(h.f.store, to.store, &opts, &to.fault);
        fixture_done(&to);
    }
    assert_int_equal(err, COFFER_E_CORRUPT);
    hostile_done(&h);
}

/* 400 slots and 112 more: one more than an extent has, beside its summary. */
static void runs_do_not_use_the_slot_of_a_summary(void **state)
{
    struct cof_run run = {.volume = 1, .slots = 400, .no_pages = true};
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    run.extent = h.root.next_extent + 100u;
    hostile_log_at(&h, 40, 1, 0, 1);
    hostile_put_batch(&h, 40, 1, 1, 0, &run, 1);
    run.first_slot = 400;
    run.slots = 112;
    hostile_put_batch(&h, 40, 2, 2, 0, &run, 1);
    assert_int_equal(hostile_open(&h, 0), COFFER_E_CORRUPT);
    hostile_done(&h);
}

/* ---- trees ---- */

/* A placement tree of one node a level, each of whose entries names the node below; the lowest has
 * none, or each of its own names a bucket that is no bucket. */
static void set_placement_of_shared_nodes(unsigned height, bool records)
{
    uint8_t below[BLOCK] = {0}, node[BLOCK];
    uint32_t block = 1;
    hostile_put(&h, 41, block, below);
    for (unsigned level = 1; level <= height; level++) {
        memset(node, 0, sizeof node);
        for (unsigned i = 0; i < COF_TREE_FANOUT && (level > 1 || records); i++) {
            struct cof_tree_pointer pointer = hostile_pointer(41, block, 0, below);
            cof_tree_entry_encode(&pointer, node + 16u * i);
        }
        memcpy(below, node, sizeof below);
        hostile_put(&h, 41, ++block, below);
    }
    h.root.placement = hostile_pointer(41, block, height, below);
}

static void set_long_tail(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    (void)ctx;
    if ((key & 1023u) == 0 && key != 0) {
        uint8_t tail[16];
        cof_le64_put(tail, 1);
        cof_le64_put(tail + 8, UINT64_C(1) << 38);
        forge_write(h.image, record->segment, record->block, 32, tail, 16);
    }
}

/* A search for the next record of a volume would walk 256^7 empty nodes. */
static void a_tree_of_empty_nodes_is_refused_at_open(void **state)
{
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    forge_tree_records(h.image, &h.root.catalogue, set_long_tail, NULL);
    hostile_fix(&h);
    h.root.next_extent = UINT64_C(1) << 38;
    set_placement_of_shared_nodes(8, false);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), COFFER_E_CORRUPT);
    hostile_done(&h);
}

static void a_check_of_a_tree_of_empty_nodes_ends(void **state)
{
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    set_placement_of_shared_nodes(5, false);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(hostile_check(&h, COFFER_CHECK_KEYLESS), 0);
    assert_in_range(h.findings, 1, 16);
    hostile_done(&h);
}

/* 256^5 records, each of them damaged: there are no more findings than a store has blocks. */
static void a_check_of_a_tree_of_shared_records_ends(void **state)
{
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    set_placement_of_shared_nodes(5, true);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(hostile_check(&h, COFFER_CHECK_KEYLESS), 0);
    assert_in_range(h.findings, 1, SEGMENTS * (SEGMENT_BYTES / BLOCK) + 16u);
    hostile_done(&h);
}

/* ---- descriptors and records, as the cleaner takes them ---- */

/* Groups of a moved segment, whose pages are zeros. */
static void put_groups(uint32_t segment, unsigned count)
{
    static const uint8_t zeros[BLOCK];
    for (unsigned g = 0; g < count; g++) {
        uint8_t block[BLOCK] = {0};
        struct cof_group_header header = {
            .lane = 1, .pages = 127, .runs = 4, .segment = segment, .block = 128u * g};
        memcpy(header.store_uuid, h.root.store_uuid, 16);
        for (unsigned i = 0; i < 127; i++) {
            cof_le64_put(block + 64 + 24u * i + 16, cof_checksum64(zeros, BLOCK));
        }
        for (unsigned e = 0; e < 4; e++) {
            cof_group_run_put(block, e, 0, 16u + e);
        }
        cof_group_header_encode(&header, block);
        hostile_put(&h, segment, 128u * g, block);
    }
}

/* Four extents fill what the cleaner gathers into; three pieces of the last have no page. */
static void a_piece_without_a_page_is_gathered(void **state)
{
    uint8_t bucket[BLOCK] = {0};
    uint32_t used[] = {40, 42, 43, 0};
    size_t at = COF_BUCKET_HEADER_BYTES;
    (void)state;
    hostile_make(&h, 8u << 20, HOSTILE_PLAIN);
    for (unsigned e = 0; e < 4; e++) {
        struct cof_desc *desc = calloc(1, sizeof *desc);
        assert_non_null(desc);
        desc->extent = 16u + e;
        desc->volume = 77;
        desc->slots_used = 511;
        desc->piece_count = e == 3 ? 4 : 1;
        desc->pieces[0] = (struct cof_piece){40, 1, 0, true};
        desc->pieces[1] = (struct cof_piece){43, 129, 508, true};
        desc->pieces[2] = (struct cof_piece){43, 129, 509, true};
        desc->pieces[3] = (struct cof_piece){43, 129, 510, true};
        cof_bitmap_fill(&desc->present, e == 3 ? 508 : 511);
        desc->live = desc->present;
        at += cof_desc_encode(desc, bucket + at);
        free(desc);
    }
    set_bucket(bucket, 4);
    put_groups(40, 5);
    used[3] = h.root.catalogue.segment;
    set_segments(3, used, 4, 2000, 1);
    h.root.incompat |= COF_INCOMPAT_CLEANED;
    assert_int_equal(hostile_open(&h, 0), 0);
    assert_int_equal(clean_one(40), 0);
    hostile_done(&h);
}

/* The catalogue has a record of 200 blocks, which no batch can hold when it is written again: its
 * segment is not cleaned, the store goes on. */
static void a_record_that_no_batch_holds_is_not_renewed(void **state)
{
    static const uint8_t zeros[200 * BLOCK];
    struct cof_tree_pointer large = {.segment = 41, .block = 2, .blocks = 200};
    struct cof_run run = {.slots = 100};
    uint32_t used[] = {41, 42, 0};
    uint32_t free_count;
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    large.sum = cof_checksum64(zeros, sizeof zeros);
    set_catalogue(&h.entry, 600, &large);
    run.extent = (uint64_t)COF_RAW_CATALOGUE << 56 | 1024u | 600u;
    hostile_put_batch(&h, 41, 1, 1, 0, &run, 1);
    used[2] = h.entry.segment;
    set_segments(9, used, 3, 200, 1);
    memset(&h.root.placement, 0, sizeof h.root.placement);
    h.root.placement_records = 0;
    assert_int_equal(hostile_open(&h, 0), 0);
    free_count = h.f.store->segments.free_count;
    assert_int_equal(clean_one(41), 0);
    assert_int_equal(h.f.store->cleaning.renewal_count, 0);
    pthread_mutex_lock(&h.f.store->lock);
    assert_int_equal(cof_checkpoint_light(h.f.store), 0);
    pthread_mutex_unlock(&h.f.store->lock);
    assert_int_equal(h.f.store->error, 0);
    assert_true(h.f.store->segments.free_count <= free_count);
    hostile_done(&h);
}

/* A fresh extent has one piece, and this one begins at slot 300: page 0 is in no piece. */
static void a_fresh_extent_begins_with_slot_0(void **state)
{
    uint8_t bucket[BLOCK] = {0};
    uint32_t used[] = {40, 42, 0};
    struct cof_desc *desc = calloc(1, sizeof *desc + 2 * sizeof(struct cof_batch_ref));
    struct cof_run runs[2] = {{.volume = 77, .extent = 16, .slots = 1},
                              {.volume = 77, .extent = 16, .slots = 1, .first_slot = 300}};
    (void)state;
    assert_non_null(desc);
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    desc->extent = 16;
    desc->volume = 77;
    desc->slots_used = 301;
    desc->piece_count = 1;
    desc->pieces[0] = (struct cof_piece){40, 0, 300, false};
    desc->ref_count = 2;
    desc->refs[0] = (struct cof_batch_ref){0, 2, 1};
    desc->refs[1] = (struct cof_batch_ref){300, 3, 2};
    cof_bitmap_set(&desc->present, 0);
    cof_bitmap_set(&desc->present, 300);
    desc->live = desc->present;
    (void)cof_desc_encode(desc, bucket + COF_BUCKET_HEADER_BYTES);
    free(desc);
    set_bucket(bucket, 1);
    hostile_put_batch(&h, 40, 1, 1, 0, runs, 2);
    used[2] = h.root.catalogue.segment;
    set_segments(3, used, 3, 2, 1);
    assert_int_equal(hostile_open(&h, 0), 0);
    assert_int_equal(clean_one(40), 0);
    pthread_mutex_lock(&h.f.store->lock);
    assert_int_equal(cof_cleaner_drain(&h.f.store->cleaner), 0);
    pthread_mutex_unlock(&h.f.store->lock);
    assert_int_equal(hostile_check(&h, COFFER_CHECK_KEYLESS), 0);
    assert_in_range(h.findings, 1, 16);
    hostile_done(&h);
}

/* ---- a volume ---- */

static uint64_t decrypts;
static struct coffer_key_provider_ops sound_ops;

static int count_decrypt(void *ctx, const char *arn, const struct coffer_key_blob *blob,
                         const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    decrypts++;
    return sound_ops.decrypt(ctx, arn, blob, context, key_bytes);
}

/* A ring of 7000 wraps in the catalogue's entry: the key service is not asked so often. */
static void a_ring_of_many_wraps_asks_for_few_keys(void **state)
{
    static uint8_t bytes[40 * BLOCK];
    const unsigned wraps = 7000;
    struct cof_tree_pointer pointer = {.segment = 41, .block = 1, .blocks = 40};
    uint8_t *ring = bytes + COF_VOLUME_ENTRY_BYTES, record[1024];
    struct coffer_key_provider_ops ops;
    struct coffer_key_provider provider;
    struct coffer_volume_open_opts opts;
    struct coffer_volume *volume = NULL;
    struct cof_volume_entry entry;
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_ENCRYPTED);
    memset(bytes, 0, sizeof bytes);
    forge_read(h.image, h.entry.segment, h.entry.block, 0, bytes, BLOCK * h.entry.blocks);
    assert_int_equal(cof_volume_entry_decode(bytes, &entry), 0);
    memcpy(record, ring + entry.ring_bytes, sizeof record);
    entry.ring_bytes = 64 + wraps * 16;
    memset(ring + 64, 0, sizeof bytes - COF_VOLUME_ENTRY_BYTES - 64);
    cof_le16_put(ring + 20, (uint16_t)wraps);
    for (unsigned i = 0; i < wraps; i++) {
        uint8_t *wrap = ring + 64 + 16u * i;
        cof_le16_put(wrap, 1);
        cof_le16_put(wrap + 2, 1);
        wrap[8] = 'a';
    }
    memcpy(ring + entry.ring_bytes, record, sizeof record);
    cof_volume_entry_encode(&entry, bytes);
    for (unsigned i = 0; i < 40; i++) {
        hostile_put(&h, 41, 1 + i, bytes + BLOCK * i);
    }
    pointer.sum = cof_checksum64(bytes, sizeof bytes);
    set_catalogue(&pointer, 0, NULL);
    assert_int_equal(hostile_open(&h, COFFER_OPEN_READ_ONLY), 0);
    decrypts = 0;
    sound_ops = *h.f.kms.api.ops;
    ops = sound_ops;
    ops.decrypt = count_decrypt;
    provider = h.f.kms.api;
    provider.ops = &ops;
    opts = open_opts(&h.f, "v");
    opts.provider = &provider;
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(h.f.store, &opts, &volume, &h.f.fault), COFFER_E_CORRUPT);
    assert_true(decrypts <= COF_RING_WRAPS_MAX);
    hostile_done(&h);
}

/* The descriptor of the volume's data. */
static struct forge_descriptor data_descriptor(void)
{
    struct forge_descriptor at;
    for (uint64_t extent = 1; extent < h.root.next_extent; extent++) {
        uint8_t fixed[64];
        if (forge_find_descriptor(h.image, &h.map, extent, &at)) {
            forge_read(h.image, at.segment, at.block, at.offset, fixed, sizeof fixed);
            if ((cof_le16_get(fixed + 34) & 1u) == 0) {
                return at;
            }
        }
    }
    fail_msg("no extent of data");
    return at;
}

/* A page of the volume is said to lie where the log's next header will: a read of it while that
 * batch is open does not find it in front of the batch's pages. */
static void a_page_where_a_header_will_be_is_not_read_from_memory(void **state)
{
    static const uint8_t zeros[PAGE];
    struct forge_descriptor at;
    struct coffer_volume *volume;
    struct coffer_store *store;
    struct cof_extent *extent;
    struct cof_batch *batch;
    uint64_t word = cof_word(COF_WORD_PAGE, 5);
    uint8_t bytes[4], page[PAGE];
    unsigned slot, first;
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_PLAIN);
    at = data_descriptor();
    cof_le32_put(bytes, h.root.lanes[0].segment);
    forge_write(h.image, at.segment, at.block, at.offset + 48, bytes, 4);
    cof_le32_put(bytes, h.root.lanes[0].block << 9 | 1u << 23);
    forge_write(h.image, at.segment, at.block, at.offset + 56, bytes, 4);
    hostile_fix(&h);
    assert_int_equal(hostile_open(&h, 0), 0);
    volume = open_volume(&h.f, "v");
    store = h.f.store;
    pthread_mutex_lock(&store->lock);
    assert_int_equal(cof_extent_prepare(volume, false, &extent), 0);
    batch = store->lane.open_batch;
    assert_int_equal(batch->segment, h.root.lanes[0].segment);
    assert_int_equal(batch->block, h.root.lanes[0].block);
    assert_int_equal(cof_extent_place(extent, &store->lane, &word, 1, false, &slot, &first), 0);
    assert_int_equal(cof_protect_page(store->aead, extent, COF_PAGE_DATA, slot, 5, zeros,
                                      cof_batch_page(batch, first), batch->entries[first]),
                     0);
    cof_lane_sealed(&store->lane, batch, first, 1);
    pthread_mutex_unlock(&store->lock);
    assert_int_equal(coffer_volume_read(volume, page, PAGE, PAGE, &h.f.fault), COFFER_E_CORRUPT);
    assert_int_equal(coffer_volume_close(volume), 0);
    hostile_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_head_that_is_not_used_is_bounded_too),
        cmocka_unit_test(runs_do_not_go_on_with_an_extent_of_a_footer),
        cmocka_unit_test(a_footer_does_not_lead_to_itself),
        cmocka_unit_test(runs_behind_a_summary_are_refused),
        cmocka_unit_test(runs_behind_a_summary_are_not_copied),
        cmocka_unit_test(runs_do_not_use_the_slot_of_a_summary),
        cmocka_unit_test(a_tree_of_empty_nodes_is_refused_at_open),
        cmocka_unit_test(a_check_of_a_tree_of_empty_nodes_ends),
        cmocka_unit_test(a_check_of_a_tree_of_shared_records_ends),
        cmocka_unit_test(a_piece_without_a_page_is_gathered),
        cmocka_unit_test(a_record_that_no_batch_holds_is_not_renewed),
        cmocka_unit_test(a_fresh_extent_begins_with_slot_0),
        cmocka_unit_test(a_ring_of_many_wraps_asks_for_few_keys),
        cmocka_unit_test(a_page_where_a_header_will_be_is_not_read_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
