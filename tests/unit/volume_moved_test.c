/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_moved_test - extents in pieces, in groups of cleaner segments, seen by all that reads
 * them: volumes, checks, dumps, copies; and what keeps a segment that is being read. They are moved
 * by hand (common/hand_mover.h), so that nothing here depends on the cleaner.
 */
#include "volume_fixture.h"

#include "common/disk_forge.h"
#include "common/hand_mover.h"
#include "format/group_format.h"
#include "volume/import.h"

#define PAGES 900u
#define K1 "arn:coffer:kms:test:000000000000:key/1"

static struct volume_fixture f, b;
static uint64_t versions[PAGES];

/* ---- a volume, moved ---- */

static void write_step(struct coffer_volume *volume, uint64_t step, uint64_t version)
{
    for (uint64_t page = step - 1u; page < PAGES; page += step) {
        write_page(volume, page, version);
        versions[page] = version;
    }
}

static void write_closed(uint64_t step, uint64_t version)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    write_step(volume, step, version);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void check_contents(struct volume_fixture *fixture, const char *name)
{
    struct coffer_volume *volume;
    struct coffer_volume_open_opts opts = open_opts(fixture, name);
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(fixture->store, &opts, &volume, &fixture->fault), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, versions[page]);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

struct findings {
    unsigned count, damaged_headers, damaged_pages, unnamed;
};

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    struct findings *findings = ctx;
    findings->count++;
    findings->damaged_headers += strstr(finding->text, "its header is damaged") != NULL ? 1u : 0u;
    findings->damaged_pages += strstr(finding->text, "the page is damaged") != NULL ? 1u : 0u;
    findings->unnamed += strstr(finding->text, "does not name it") != NULL ? 1u : 0u;
    return 0;
}

static struct findings check_store(struct volume_fixture *fixture, unsigned flags,
                                   struct coffer_check_summary *ret_summary)
{
    struct findings findings = {0};
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = flags,
                                     .provider = &f.kms.api,
                                     .on_finding = on_finding,
                                     .ctx = &findings};
    assert_int_equal(coffer_store_check(fixture->store, &opts, ret_summary, &fixture->fault), 0);
    assert_int_equal(ret_summary->findings, findings.count);
    return findings;
}

static void check_clean(struct volume_fixture *fixture)
{
    struct coffer_check_summary summary;
    assert_int_equal(check_store(fixture, 0, &summary).count, 0);
    assert_int_equal(summary.volumes, summary.volumes_opened);
    assert_true(summary.pages_checked > PAGES);
}

/* Visit the descriptors of the store's own extents. */
static unsigned each_desc(void (*visit)(const struct cof_desc *desc))
{
    struct cof_desc *desc;
    unsigned count = 0;
    pthread_mutex_lock(&f.store->lock);
    for (uint64_t extent = 1; cof_place_next(&f.store->place, 0, &extent, &desc) == 0; extent++) {
        visit(desc);
        count++;
    }
    pthread_mutex_unlock(&f.store->lock);
    return count;
}

static unsigned moved_extents, moved_pieces, crossings;

static void count_moved(const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    if (!cof_desc_moved(desc)) {
        return;
    }
    moved_extents++;
    moved_pieces += desc->piece_count;
    crossings -= desc->piece_count;
    for (unsigned slot = 0; cof_desc_stretch(desc, slot, &stretch); slot = stretch.end_slot) {
        crossings++;
    }
    for (unsigned i = 0; i < desc->piece_count; i++) {
        unsigned live = 0;
        for (unsigned slot = desc->pieces[i].first_slot; slot < cof_desc_piece_end(desc, i);
             slot++) {
            live += cof_bitmap_get(&desc->live, slot) ? 1u : 0u;
        }
        assert_true(live > 0);
        assert_int_equal(f.store->segments.table[desc->pieces[i].segment].state, COF_SEGMENT_USED);
    }
}

static void count(void)
{
    moved_extents = moved_pieces = crossings = 0;
    assert_true(each_desc(count_moved) > 0);
}

static void make_moved(int plain, unsigned pieces)
{
    fixture_make(&f, 3);
    memset(versions, 0, sizeof versions);
    make_volume(&f, "v", PAGES, plain);
    write_closed(1, 1);
    write_closed(3, 2);
    assert_true(hand_move_all(f.store, pieces) >= 4);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
}

static void they_read_as_before(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        unsigned pieces = 1u + round % 4u;
        make_moved(round >= 4, pieces);
        count();
        assert_true(moved_extents >= 4 && crossings > 0);
        assert_true(moved_pieces > moved_extents * (pieces - 1u));
        check_contents(&f, "v");
        check_clean(&f);
        fixture_reopen(&f);
        check_contents(&f, "v");
        for (uint64_t version = 3; version < 9; version++) { /* where they were is written anew */
            write_closed(5, version);
        }
        assert_true(hand_move_all(f.store, 5u - pieces) > 0); /* pieces are moved again */
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        fixture_crash(&f, SIM_CUT_NONE, round);
        assert_true((f.store->root.incompat & COF_INCOMPAT_CLEANED) != 0);
        check_contents(&f, "v");
        check_clean(&f);
        fixture_done(&f);
    }
}

/* count_moved looks at each piece: it has a live page, in a segment that is in use. */
static void a_piece_goes_with_its_last_page(void **state)
{
    unsigned before;
    (void)state;
    make_moved(0, 4);
    count();
    before = moved_pieces;
    for (unsigned extents = moved_extents, step = 4; step > 1; step--) {
        struct coffer_volume *volume = open_volume(&f, "v");
        for (uint64_t page = 0; page < PAGES - 150u * (step - 1u); page++) {
            write_page(volume, page, 10u + step);
            versions[page] = 10u + step;
        }
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        assert_int_equal(coffer_volume_close(volume), 0);
        count();
        assert_true(moved_pieces < before && moved_extents > 0);
        assert_true(step > 2 || moved_extents < extents);
        before = moved_pieces;
        check_clean(&f);
        fixture_reopen(&f);
        check_contents(&f, "v");
    }
    fixture_done(&f);
}

static void a_store_that_knows_none_has_no_mark(void **state)
{
    (void)state;
    fixture_make(&f, 3);
    make_volume(&f, "v", PAGES, 0);
    write_closed(1, 1);
    fixture_reopen(&f);
    assert_true((f.store->root.incompat & COF_INCOMPAT_CLEANED) == 0);
    fixture_done(&f);
}

/* ---- damage ---- */

static struct forge_block group; /* the header of the first group of some extent's second piece */
static unsigned group_live;      /* pages that live in it */

static void find_group(const struct cof_desc *desc)
{
    for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
        uint32_t segment, block, header;
        if (!cof_desc_moved(desc) || !cof_bitmap_get(&desc->live, slot) ||
            cof_desc_locate(desc, slot, &segment, &block, &header) != 0) {
            continue;
        }
        if (group.segment == COF_NO_SEGMENT && slot >= desc->pieces[1].first_slot) {
            group = (struct forge_block){segment, header};
        }
        group_live += segment == group.segment && header == group.block ? 1u : 0u;
    }
}

/* The store as the next open finds it, with some bytes changed. */
static void poke(uint32_t block, uint32_t offset, const void *bytes, uint32_t length_bytes,
                 bool fix)
{
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct sim_image *image;
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    forge_write(image, group.segment, block, offset, bytes, length_bytes);
    if (fix) {
        struct cof_group_header header;
        uint8_t blocks[4096];
        forge_read(image, group.segment, group.block, 0, blocks, sizeof blocks);
        header.lane = 1;
        header.pages = (uint16_t)(blocks[32] | blocks[33] << 8);
        header.runs = (uint16_t)(blocks[34] | blocks[35] << 8);
        header.segment = group.segment;
        header.block = group.block;
        memcpy(header.store_uuid, blocks + 8, 16);
        cof_group_header_encode(&header, blocks);
        forge_write(image, group.segment, group.block, 0, blocks, sizeof blocks);
    }
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
}

static void make_group(void)
{
    make_moved(0, 2);
    group = (struct forge_block){0, 0};
    group_live = 0;
    each_desc(find_group);
    assert_true(group.segment != COF_NO_SEGMENT);
    group_live = 0;
    each_desc(find_group);
    assert_true(group_live > 1);
}

static unsigned unreadable_pages(int error)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    unsigned count = 0;
    for (uint64_t at = 0; at < PAGES; at++) {
        uint8_t page[PAGE];
        int err = coffer_volume_read(volume, page, at * PAGE, PAGE, &f.fault);
        if (err != 0) {
            assert_int_equal(err, error);
            count++;
        }
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    return count;
}

static void a_damaged_header_damages_its_group(void **state)
{
    struct coffer_check_summary summary;
    struct findings findings;
    (void)state;
    make_group();
    poke(group.block, 70, "\xff\x55", 2, false);
    findings = check_store(&f, COFFER_CHECK_KEYLESS, &summary);
    assert_int_equal(findings.damaged_headers, group_live);
    assert_int_equal(findings.count, group_live);
    assert_true(unreadable_pages(COFFER_E_CORRUPT) > 0);
    fixture_done(&f);
}

static void a_header_of_another_place_is_none(void **state)
{
    struct coffer_check_summary summary;
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct sim_image *image;
    (void)state;
    make_group();
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    sim_image_exchange(image, group.segment, 0, group.segment, 128);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_true(check_store(&f, COFFER_CHECK_KEYLESS, &summary).damaged_headers >= group_live);
    assert_true(unreadable_pages(COFFER_E_CORRUPT) > 0);
    fixture_done(&f);
}

static void a_damaged_page_is_one(void **state)
{
    struct coffer_check_summary summary;
    struct findings findings;
    (void)state;
    make_group();
    poke(group.block + 1u, 4000, "\xff\x55", 2, false);
    findings = check_store(&f, COFFER_CHECK_KEYLESS, &summary);
    assert_int_equal(findings.damaged_pages, 1);
    assert_int_equal(findings.count, 1);
    fixture_done(&f);
}

static void another_tag_is_tampering(void **state)
{
    (void)state;
    make_group();
    poke(group.block, 64u + 24u, "\x01\x02\x03\x04\x05\x06\x07\x08", 8, true);
    assert_int_equal(unreadable_pages(COFFER_E_TAMPER), 1);
    fixture_done(&f);
}

static void a_group_names_its_extents(void **state)
{
    struct coffer_check_summary summary;
    struct findings findings;
    uint8_t run[8] = {0x77, 0x77, 0x01};
    (void)state;
    make_group();
    poke(group.block, COF_GROUP_RUNS_OFFSET, run, sizeof run, true);
    findings = check_store(&f, COFFER_CHECK_KEYLESS, &summary);
    assert_int_equal(findings.unnamed, 1);
    assert_int_equal(findings.count, 1);
    assert_int_equal(unreadable_pages(0), 0); /* no reader needs it */
    fixture_done(&f);
}

/* ---- copies ---- */

static uint64_t readers(struct volume_fixture *fixture)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < fixture->store->segments.count; i++) {
        sum += fixture->store->segments.table[i].readers;
    }
    return sum;
}

static uint64_t most_readers;

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    most_readers = readers(&f) > most_readers ? readers(&f) : most_readers;
    return 0;
}

static void copy_to_b(const char *name)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .source = {.volume = "v", .name = name, .provider = &f.kms.api},
                                    .kms_key_id = K1,
                                    .provider = &f.kms.api,
                                    .on_progress = on_progress};
    int err = coffer_snapshot_copy(f.store, b.store, &opts, &b.fault);
    if (err != 0) {
        fail_msg("copy: %s: %s", coffer_error_name(err), b.fault.detail);
    }
    assert_int_equal(readers(&f), 0);
}

static void take(const char *name)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .name = name, .provider = &f.kms.api};
    assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void they_are_copied(void **state)
{
    (void)state;
    for (unsigned pieces = 1; pieces <= 4; pieces++) {
        struct fake_kms kms;
        make_moved(0, pieces);
        fixture_env_seed = 98;
        fixture_make(&b, 4);
        fixture_env_seed = 99;
        kms = b.kms;
        b.kms = f.kms;
        b.kms.api.ctx = &b.kms;
        take("one");
        most_readers = 0;
        copy_to_b("one");
        assert_true(most_readers > 0);
        check_contents(&b, "v@one");
        write_closed(7, 12);
        assert_true(hand_move_all(f.store, pieces) > 0);
        assert_true(hand_move_all(b.store, 5u - pieces) > 0); /* imported ones, too */
        assert_int_equal(coffer_store_checkpoint(b.store, &b.fault), 0);
        take("two");
        copy_to_b("two");
        check_contents(&b, "v@two");
        check_clean(&f);
        check_clean(&b);
        b.kms = kms;
        fixture_done(&f);
        fixture_done(&b);
    }
}

/* What does not read is not copied, and holds no segment. */
static void a_damaged_group_is_not_copied(void **state)
{
    struct coffer_copy_opts opts = {
        .size = sizeof opts, .source = {.volume = "v", .name = "one"}, .kms_key_id = K1};
    (void)state;
    make_group();
    take("one");
    poke(group.block, 70, "\xff\x55", 2, false);
    fixture_env_seed = 98;
    fixture_make(&b, 4);
    fixture_env_seed = 99;
    opts.provider = opts.source.provider = &f.kms.api;
    assert_int_equal(coffer_snapshot_copy(f.store, b.store, &opts, &b.fault), COFFER_E_CORRUPT);
    assert_int_equal(b.fault.segment, group.segment);
    assert_int_equal(readers(&f), 0);
    fixture_done(&f);
    fixture_done(&b);
}

/* ---- readers ---- */

static uint32_t segment_of_page(struct coffer_volume *volume, uint64_t page)
{
    struct cof_vaddr addr;
    struct cof_desc *desc;
    uint32_t segment, block, header;
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_volume_lookup(volume, page, &addr), 0);
    assert_int_equal(cof_place_find(&f.store->place, 0, cof_vaddr_extent(addr), &desc), 0);
    assert_int_equal(cof_desc_locate(desc, cof_vaddr_slot(addr), &segment, &block, &header), 0);
    pthread_mutex_unlock(&f.store->lock);
    return segment;
}

static void slow_disk(unsigned delay_polls_max)
{
    struct sim_disk_options options = {
        .seed = 5, .record = true, .delay_polls_max = delay_polls_max};
    struct sim_image *image;
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
}

/* All of its pages die and a root is durable, but the read was begun before. */
static void a_segment_that_is_being_read_stays(void **state)
{
    struct coffer_queue_opts queue_opts = {.size = sizeof queue_opts};
    uint8_t *page = aligned_alloc(PAGE, PAGE), expected[PAGE];
    struct iovec iov = {page, PAGE};
    struct coffer_volume *volume;
    struct coffer_queue *queue;
    struct coffer_cqe cqe;
    struct coffer_io io;
    uint32_t segment;
    (void)state;
    make_moved(0, 1);
    slow_disk(1000);
    volume = open_volume(&f, "v");
    segment = segment_of_page(volume, 400);
    io = (struct coffer_io){.op = COFFER_IO_READ,
                            .volume = volume,
                            .offset_bytes = 400 * PAGE,
                            .length_bytes = PAGE,
                            .iov = &iov,
                            .iov_count = 1};
    assert_int_equal(coffer_queue_create(f.store, &queue_opts, &queue), 0);
    assert_int_equal(coffer_submit(queue, &io, 1), 1);
    assert_int_equal(f.store->segments.table[segment].readers, 1);
    write_step(volume, 1, 20);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_int_equal(f.store->segments.table[segment].live, 0);
    assert_int_equal(f.store->segments.table[segment].state, COF_SEGMENT_USED);
    assert_int_equal(coffer_reap(queue, &cqe, 1, 1), 1);
    assert_int_equal(cqe.result, 0);
    fill_page(expected, 400, 1);
    assert_memory_equal(page, expected, PAGE);
    assert_int_equal(readers(&f), 0);
    write_step(volume, 7, 21);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_int_equal(f.store->segments.table[segment].state, COF_SEGMENT_FREE);
    coffer_queue_destroy(queue);
    assert_int_equal(coffer_volume_close(volume), 0);
    check_contents(&f, "v");
    free(page);
    fixture_done(&f);
}

static bool tag_is_cached(struct coffer_volume *volume, uint64_t page, bool change_uuid)
{
    struct cof_vaddr addr;
    struct cof_desc *desc;
    uint8_t entry[COF_ENTRY_BYTES];
    bool cached;
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_volume_lookup(volume, page, &addr), 0);
    assert_int_equal(cof_place_find(&f.store->place, 0, cof_vaddr_extent(addr), &desc), 0);
    desc->uuid[0] ^= change_uuid ? 1u : 0u;
    cached = cof_tags_get(&f.store->tags, cof_store_address(volume, addr), entry);
    pthread_mutex_unlock(&f.store->lock);
    return cached;
}

/* What is read was right when it was looked up; its tag is not right for what is there now. */
static void a_tag_of_an_extent_sealed_anew_is_not_kept(void **state)
{
    struct coffer_queue_opts queue_opts = {.size = sizeof queue_opts};
    uint8_t *page = aligned_alloc(PAGE, PAGE), expected[PAGE];
    struct iovec iov = {page, PAGE};
    struct coffer_volume *volume;
    struct coffer_queue *queue;
    (void)state;
    make_moved(0, 1);
    slow_disk(1000);
    volume = open_volume(&f, "v");
    assert_int_equal(coffer_queue_create(f.store, &queue_opts, &queue), 0);
    for (unsigned sealed_anew = 0; sealed_anew < 2; sealed_anew++) {
        uint64_t number = 400 + 3u * sealed_anew;
        struct coffer_io io = {.op = COFFER_IO_READ,
                               .volume = volume,
                               .offset_bytes = number * PAGE,
                               .length_bytes = PAGE,
                               .iov = &iov,
                               .iov_count = 1};
        struct coffer_cqe cqe;
        assert_false(tag_is_cached(volume, number, false));
        assert_int_equal(coffer_submit(queue, &io, 1), 1);
        (void)tag_is_cached(volume, number, sealed_anew == 1);
        assert_int_equal(coffer_reap(queue, &cqe, 1, 1), 1);
        assert_int_equal(cqe.result, 0);
        fill_page(expected, number, 1);
        assert_memory_equal(page, expected, PAGE);
        assert_int_equal(tag_is_cached(volume, number, sealed_anew == 1), sealed_anew == 0);
    }
    coffer_queue_destroy(queue);
    assert_int_equal(coffer_volume_close(volume), 0);
    free(page);
    fixture_done(&f);
}

/* ---- the dump ---- */

struct dumped {
    unsigned depth, pieces_at, batches_at, pieces, batches;
};

static int on_object(void *ctx, const char *name)
{
    struct dumped *dumped = ctx;
    (void)name;
    dumped->pieces += dumped->pieces_at != 0 && dumped->depth == dumped->pieces_at ? 1u : 0u;
    dumped->batches += dumped->batches_at != 0 && dumped->depth == dumped->batches_at ? 1u : 0u;
    dumped->depth++;
    return 0;
}

static int on_array(void *ctx, const char *name)
{
    struct dumped *dumped = ctx;
    dumped->depth++;
    dumped->pieces_at = name != NULL && strcmp(name, "pieces") == 0 ? dumped->depth : 0u;
    dumped->batches_at = name != NULL && strcmp(name, "batches") == 0 ? dumped->depth : 0u;
    return 0;
}

static int on_end(void *ctx)
{
    struct dumped *dumped = ctx;
    dumped->depth--;
    return 0;
}

static int on_number(void *ctx, const char *name, uint64_t value)
{
    struct dumped *dumped = ctx;
    if (dumped->pieces_at != 0 && dumped->depth == dumped->pieces_at + 1u &&
        strcmp(name, "header_block") == 0) {
        assert_int_equal(value % 128u, 0);
    }
    return 0;
}

static int on_string(void *ctx, const char *name, const char *value)
{
    (void)ctx;
    (void)name;
    (void)value;
    return 0;
}

static int on_boolean(void *ctx, const char *name, int value)
{
    (void)ctx;
    (void)name;
    (void)value;
    return 0;
}

static void a_dump_shows_the_pieces(void **state)
{
    struct coffer_dump_ops ops = {sizeof ops, on_object, on_array,  on_end,
                                  on_number,  on_string, on_boolean};
    struct dumped dumped = {0};
    (void)state;
    make_moved(0, 3);
    count();
    assert_int_equal(coffer_store_dump(f.store, &ops, &dumped, &f.fault), 0);
    assert_int_equal(dumped.depth, 0);
    assert_int_equal(dumped.pieces, moved_pieces);
    write_closed(9, 30);
    memset(&dumped, 0, sizeof dumped);
    assert_int_equal(coffer_store_dump(f.store, &ops, &dumped, &f.fault), 0);
    assert_true(dumped.batches > 0 && dumped.pieces > 0); /* of fresh extents beside them */
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_read_as_before),
        cmocka_unit_test(a_piece_goes_with_its_last_page),
        cmocka_unit_test(a_store_that_knows_none_has_no_mark),
        cmocka_unit_test(a_damaged_header_damages_its_group),
        cmocka_unit_test(a_header_of_another_place_is_none),
        cmocka_unit_test(a_damaged_page_is_one),
        cmocka_unit_test(another_tag_is_tampering),
        cmocka_unit_test(a_group_names_its_extents),
        cmocka_unit_test(they_are_copied),
        cmocka_unit_test(a_damaged_group_is_not_copied),
        cmocka_unit_test(a_segment_that_is_being_read_stays),
        cmocka_unit_test(a_tag_of_an_extent_sealed_anew_is_not_kept),
        cmocka_unit_test(a_dump_shows_the_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
