/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that gets smaller while it is at work: what lies in the segments that go is moved, of
 * whatever kind it is; refused, stopped, or cut off by a crash it has the size and the contents
 * that it had; and what can't be moved is named.
 */
#include "volume_fixture.h"

#include "base/testhook.h"
#include "common/disk_forge.h"
#include "volume/store.h"

#define PAGES 3000u
#define FILLER 16000u
#define LARGE 120u
#define IMPORTED 800u
#define MIB (UINT64_C(1) << 20)

static struct volume_fixture f;
static uint64_t versions[2][PAGES], version;
static const char *const names[2] = {"sealed", "plain"};

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static void write_many(unsigned which, struct coffer_volume *volume, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        versions[which][first + i] = ++version;
        write_page(volume, first + i, version);
    }
}

static void must(int err)
{
    if (err != 0) {
        fail_msg("%s: %s", coffer_error_name(err), f.fault.detail);
    }
}

static int resize(uint32_t segments)
{
    return coffer_store_resize(f.store, segments * MIB, &f.fault);
}

static void close_volume(struct coffer_volume *volume)
{
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void snapshot(struct coffer_volume *volume, const char *name)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .name = name, .provider = &f.kms.api};
    must(coffer_snapshot_create(volume, &opts, NULL, &f.fault));
}

static void check_contents(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct coffer_volume *volume = open_volume(&f, names[i]);
        for (uint64_t page = 0; page < PAGES; page++) {
            check_page(volume, page, versions[i][page]);
        }
        close_volume(volume);
    }
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    print_message("finding: %s\n", finding->text);
    return 0;
}

static void check_clean(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = COFFER_CHECK_SCRUB,
                                     .provider = &f.kms.api,
                                     .on_finding = on_finding};
    struct coffer_check_summary summary;
    must(coffer_store_check(f.store, &opts, &summary, &f.fault));
    assert_int_equal(summary.findings, 0);
}

static uint32_t device_segments(void)
{
    struct sim_image *image = sim_disk_image_live(f.disk);
    uint32_t count = sim_image_segment_count(image);
    sim_image_free(image);
    return count;
}

static void expect_size(uint32_t segments)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f.store, &info), 0);
    assert_int_equal(info.segment_count, segments);
    assert_int_equal(device_segments(), segments);
    assert_int_equal(f.store->segments.ceiling, segments);
    assert_int_equal(f.store->segments.free_count,
                     cof_segments_free_below(&f.store->segments, segments));
    assert_false(f.store->resizing);
}

/* Segments from `from` on with anything of the lane that lives. */
static unsigned used_of(uint32_t from, unsigned lane)
{
    unsigned count = 0;
    for (uint32_t i = from; i < f.store->segments.count; i++) {
        const struct cof_segment *at = &f.store->segments.table[i];
        count += at->state == COF_SEGMENT_USED && at->lane == lane && at->live > 0 ? 1u : 0u;
    }
    return count;
}

static void discard_filler(void)
{
    struct coffer_volume *filler = open_volume(&f, "filler");
    must(coffer_volume_discard(filler, 0, FILLER * PAGE, &f.fault));
    close_volume(filler);
}

/* Volumes whose pages lie high, as what was written before them went away. */
static void make_high(void)
{
    struct coffer_volume *filler, *volume;
    memset(versions, 0, sizeof versions);
    fixture_make(&f, 31);
    must(resize(LARGE));
    make_volume(&f, "filler", FILLER, 1);
    make_volume(&f, names[0], PAGES, 0);
    make_volume(&f, names[1], PAGES, 1);
    filler = open_volume(&f, "filler");
    for (uint64_t i = 0; i < FILLER; i++) {
        write_page(filler, i, 1);
    }
    close_volume(filler);
    volume = open_volume(&f, names[0]);
    write_many(0, volume, 0, PAGES);
    close_volume(volume);
    volume = open_volume(&f, names[1]);
    write_many(1, volume, 0, PAGES);
    close_volume(volume);
}

/* And a snapshot, a clone, segments of the cleaner's. */
static void make_family(void)
{
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore,
        .snapshot = {.volume = names[0], .name = "s", .provider = &f.kms.api},
        .new_name = "clone"};
    struct coffer_volume *volume = open_volume(&f, names[0]);
    snapshot(volume, "s");
    for (unsigned i = 0; i < 40; i++) { /* maps and tables fill segments, too */
        write_many(0, volume, i * 70, 20);
        must(coffer_store_checkpoint(f.store, &f.fault));
    }
    for (uint32_t i = 64; i < LARGE; i++) {
        const struct cof_segment *at = &f.store->segments.table[i];
        if (at->state == COF_SEGMENT_USED && at->lane == COF_LANE_USER && at->live > 0 &&
            used_of(64, COF_LANE_CLEANER) < 3) {
            pthread_mutex_lock(&f.store->lock);
            (void)!cof_clean_one(f.store, i);
            pthread_mutex_unlock(&f.store->lock);
        }
    }
    must(coffer_store_checkpoint(f.store, &f.fault));
    close_volume(volume);
    must(coffer_snapshot_restore(f.store, &restore, &f.fault));
}

static void check_family(void)
{
    struct coffer_volume *volume = open_volume(&f, "clone");
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, page + 1u); /* as they were written first */
    }
    close_volume(volume);
}

/* ---- what moves ---- */

static void all_kinds_of_segments_are_emptied(void **state)
{
    (void)state;
    version = 0;
    make_high();
    make_family();
    discard_filler();
    assert_true(used_of(64, COF_LANE_USER) > 3);
    assert_true(used_of(64, COF_LANE_CLEANER) > 1);
    assert_true(used_of(64, COF_LANE_CHECKPOINT) > 0);
    must(resize(64));
    expect_size(64);
    check_contents();
    check_family();
    check_clean();
    fixture_reopen(&f);
    expect_size(64);
    check_contents();
    fixture_crash(&f, SIM_CUT_NONE, 3);
    check_contents();
    check_family();
    check_clean();
    must(resize(LARGE));
    expect_size(LARGE);
    check_contents();
    check_clean();
}

static void imports_move_too(void **state)
{
    static struct volume_fixture source;
    struct coffer_copy_opts copy = {
        .size = sizeof copy, .source = {.volume = "v", .name = "s"}, .volume = "copy"};
    struct coffer_volume *volume;
    (void)state;
    fixture_env_seed = 98;
    fixture_make(&source, 8);
    fixture_env_seed = 99;
    make_high();
    make_volume(&source, "v", IMPORTED, 0);
    volume = open_volume(&source, "v");
    for (uint64_t i = 0; i < IMPORTED; i++) {
        write_page(volume, i, 7 + i);
    }
    {
        struct coffer_snapshot_opts opts = {
            .size = sizeof opts, .name = "s", .provider = &source.kms.api};
        must(coffer_snapshot_create(volume, &opts, NULL, &f.fault));
    }
    close_volume(volume);
    copy.source.provider = &source.kms.api;
    copy.provider = &source.kms.api;
    must(coffer_snapshot_copy(source.store, f.store, &copy, &f.fault));
    discard_filler();
    assert_true(used_of(68, COF_LANE_CHECKPOINT) > 1);
    must(resize(68));
    check_contents();
    {
        struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                               .name = "copy@s",
                                               .flags = COFFER_VOLUME_READ_ONLY,
                                               .provider = &source.kms.api};
        must(coffer_volume_open(f.store, &opts, &volume, &f.fault));
    }
    for (uint64_t i = 0; i < IMPORTED; i++) {
        check_page(volume, i, 7 + i);
    }
    close_volume(volume);
    fixture_done(&source);
}

/* ---- while others are at work ---- */

struct visitor {
    struct coffer_volume *volumes[2];
    unsigned calls, stop_at;
    uint64_t done, total;
    bool works;
};

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct visitor *visitor = ctx;
    assert_true(done >= visitor->done && done <= total);
    visitor->done = done;
    visitor->total = total;
    visitor->calls++;
    if (visitor->works) {
        char name[16];
        snprintf(name, sizeof name, "s%u", visitor->calls);
        write_many(visitor->calls % 2, visitor->volumes[visitor->calls % 2],
                   visitor->calls * 37 % (PAGES - 300), 300);
        assert_int_equal(resize(90), COFFER_E_BUSY);
        if (visitor->calls % 4 == 0) {
            snapshot(visitor->volumes[0], name);
        }
        if (visitor->calls % 7 == 0) {
            close_volume(visitor->volumes[1]);
            visitor->volumes[1] = open_volume(&f, names[1]);
        }
        assert_int_equal(coffer_volume_flush(visitor->volumes[0], &f.fault), 0);
    }
    return visitor->stop_at != 0 && visitor->calls >= visitor->stop_at ? 77 : 0;
}

static int resize_watched(uint32_t segments, struct visitor *visitor)
{
    struct coffer_store_resize_opts opts = {.size = sizeof opts,
                                            .size_bytes = segments * MIB,
                                            .on_progress = on_progress,
                                            .ctx = visitor};
    return coffer_store_resize_with(f.store, &opts, &f.fault);
}

static void requests_and_calls_go_on_meanwhile(void **state)
{
    struct visitor visitor = {.works = true};
    (void)state;
    make_high();
    discard_filler();
    visitor.volumes[0] = open_volume(&f, names[0]);
    visitor.volumes[1] = open_volume(&f, names[1]);
    must(resize_watched(80, &visitor));
    assert_true(visitor.calls > 8);
    assert_int_equal(visitor.done, visitor.total);
    expect_size(80);
    fixture_crash(&f, SIM_CUT_SUBSET, 9); /* what was cut off the device may be there again */
    assert_int_equal(f.store->segments.count, 80);
    {
        struct coffer_volume *volume = open_volume(&f, names[0]); /* flushed in each round */
        for (uint64_t page = 0; page < PAGES; page++) {
            check_page(volume, page, versions[0][page]);
        }
        close_volume(volume);
        close_volume(open_volume(&f, names[1]));
    }
    check_clean();
}

static void stopped_it_has_its_size_and_goes_on_later(void **state)
{
    struct visitor visitor = {.stop_at = 5};
    (void)state;
    make_high();
    discard_filler();
    assert_int_equal(resize_watched(70, &visitor), 77);
    assert_int_equal(f.fault.error, 77);
    expect_size(LARGE);
    check_contents();
    check_clean();
    for (unsigned round = 0; round < 40; round++) {
        struct visitor next = {.stop_at = 6};
        int err = resize_watched(70, &next);
        if (err == 0) {
            expect_size(70);
            check_contents();
            check_clean();
            return;
        }
        assert_int_equal(err, 77);
        if (round % 3 == 0) {
            fixture_crash(&f, SIM_CUT_TORN, round);
        } else if (round % 3 == 1) {
            fixture_reopen(&f);
        }
        expect_size(LARGE);
    }
    fail_msg("it never comes to its end");
}

/* ---- what is refused ---- */

static void what_does_not_fit_is_refused_at_once(void **state)
{
    uint64_t epoch;
    uint32_t needed;
    char said[64];
    (void)state;
    make_high();
    must(coffer_store_checkpoint(f.store, &f.fault));
    needed = cof_segments_needed(f.store);
    assert_true(needed > 64 && needed < LARGE);
    epoch = f.store->root.epoch;
    assert_int_equal(resize(needed - 1u), COFFER_E_NO_SPACE);
    snprintf(said, sizeof said, "%u MiB", needed);
    assert_non_null(strstr(f.fault.detail, said));
    assert_true(f.store->root.epoch <= epoch + 2u); /* a checkpoint, that was all */
    expect_size(LARGE);
    assert_int_equal(resize(63), COFFER_E_INVALID);
    must(resize(needed)); /* as small as it said */
    expect_size(needed);
    check_contents();
    check_clean();
}

/* Segments all over the store are full of holes, and it is to have no more than what lives needs:
 * those that stay have to be cleaned to take what comes. */
static void it_gets_as_small_as_it_can_be_from_any_state(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct prng prng = {prng_mix(seed, 77)};
        struct coffer_volume *volumes[2];
        uint32_t needed;
        memset(versions, 0, sizeof versions);
        fixture_make(&f, seed);
        must(resize(LARGE));
        make_volume(&f, "filler", FILLER, 1);
        for (unsigned i = 0; i < 2; i++) {
            make_volume(&f, names[i], PAGES, i == 1);
            volumes[i] = open_volume(&f, names[i]);
        }
        for (unsigned i = 0; i < 30; i++) {
            unsigned which = prng_below(&prng, 2);
            for (unsigned j = 0; j < 300; j++) {
                write_many(which, volumes[which], prng_below(&prng, PAGES), 1);
            }
            if (i == 5 + seed) {
                snapshot(volumes[0], "s");
            }
        }
        for (unsigned round = 0; round < 3; round++) {
            must(coffer_store_checkpoint(f.store, &f.fault));
            needed = cof_segments_needed(f.store);
            must(resize(needed + prng_below(&prng, 2)));
            for (unsigned j = 0; j < 200; j++) {
                write_many(1, volumes[1], prng_below(&prng, PAGES), 1);
            }
            must(resize(needed + 8u + prng_below(&prng, 30)));
            for (unsigned j = 0; j < 2500; j++) {
                unsigned which = prng_below(&prng, 2);
                write_many(which, volumes[which], prng_below(&prng, PAGES), 1);
            }
        }
        close_volume(volumes[0]);
        close_volume(volumes[1]);
        check_contents();
        check_clean();
        if (seed < 6) {
            fixture_done(&f);
        }
    }
}

static void a_log_that_needs_its_key_is_named(void **state)
{
    struct coffer_volume *volume;
    char id[COFFER_RESOURCE_ID_BYTES];
    (void)state;
    make_high();
    volume = open_volume(&f, names[0]);
    write_many(0, volume, 500, 900);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    cof_resource_id("vol", volume->item->entry.uuid, id);
    fixture_crash(&f, SIM_CUT_NONE, 4);
    discard_filler();
    assert_int_equal(resize(70), COFFER_E_BUSY);
    assert_non_null(strstr(f.fault.detail, id));
    expect_size(LARGE);
    close_volume(open_volume(&f, names[0]));
    must(resize(70));
    expect_size(70);
    check_contents();
    check_clean();
}

/* ---- damage ---- */

/* A header of the log in the part that goes; pages of it live. */
/* An extent of the volume with live pages in the log's segments that go. */
static uint64_t find_extent(uint32_t volume)
{
    for (uint64_t extent = 1; extent < f.store->next_extent; extent++) {
        struct cof_desc *desc;
        if (cof_place_next(&f.store->place, COF_LINEAGE_LOCAL, &extent, &desc) != 0) {
            break;
        }
        if (desc->volume == volume && !desc->metadata && !cof_desc_moved(desc) &&
            desc->pieces[0].segment >= 70 && cof_bitmap_count(&desc->live) > 0) {
            return extent;
        }
    }
    fail_msg("no such extent");
    return 0;
}

static const struct forge_batch *find_high(const struct forge_map *map, uint64_t extent)
{
    for (unsigned i = 0; i < map->batch_count; i++) {
        const struct forge_batch *batch = &map->batches[i];
        struct cof_run run;
        unsigned first;
        if (batch->header.lane != COF_LANE_USER || batch->segment < 70 || batch->header.runs == 0) {
            continue;
        }
        forge_run(map->sound, batch, 0, &run, &first);
        if (run.extent == extent && run.volume != COF_VOLUME_TAG_RAW && !run.no_pages) {
            return batch;
        }
    }
    fail_msg("no such batch");
    return NULL;
}

/* No header names the extent any more that the batch begins with. */
static void hide_extent(struct sim_image *image, const struct forge_map *map,
                        const struct forge_batch *batch)
{
    struct cof_run run, other;
    unsigned first;
    forge_run(image, batch, 0, &run, &first);
    for (unsigned i = 0; i < map->batch_count; i++) {
        const struct forge_batch *at = &map->batches[i];
        for (unsigned j = 0; at->header.lane == COF_LANE_USER && j < at->header.runs; j++) {
            forge_run(image, at, j, &other, &first);
            if (other.volume == run.volume && other.extent == run.extent) {
                other.extent += 1000000u;
                forge_run_put(image, at, j, &other);
                forge_fix_header(image, at);
            }
        }
    }
}

/* Change a header of the log; again: and make its checksum right. */
static uint32_t hurt(bool again)
{
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct sim_image *image;
    struct forge_map map;
    const struct forge_batch *batch;
    struct coffer_volume *volume = open_volume(&f, names[1]);
    uint32_t number = volume->number, segment;
    uint64_t extent;
    close_volume(volume);
    extent = find_extent(number);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    forge_map_init(&map, image);
    batch = find_high(&map, extent);
    segment = batch->segment;
    if (again) {
        hide_extent(image, &map, batch);
    } else {
        sim_image_poke(image, segment, batch->block, 200, "damage", 6);
    }
    forge_map_done(&map);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    return segment;
}

static void damage_ends_it_and_is_named(void **state)
{
    struct coffer_volume *volume;
    uint32_t segment;
    (void)state;
    make_high();
    discard_filler();
    segment = hurt(false);
    assert_int_equal(resize(70), COFFER_E_CORRUPT);
    assert_int_equal(f.fault.segment, segment);
    expect_size(LARGE);
    volume = open_volume(&f, names[1]);
    write_many(1, volume, 0, PAGES);
    close_volume(volume);
    must(resize(70));
    expect_size(70);
    check_contents();
    check_clean();
}

static void what_no_header_names_is_found_in_the_table(void **state)
{
    (void)state;
    make_high();
    discard_filler();
    (void)hurt(true);
    must(resize(70));
    expect_size(70);
    assert_false(f.store->cleaner.thorough);
    check_contents();
    check_clean();
}

/* ---- crashes ---- */

/* The device is cut only when nothing needs what goes: whatever was durable opens. */
static bool opens_after_each_cut(uint64_t from, uint64_t to)
{
    struct sim_disk *whole = f.disk;
    struct sim_disk_options options = {.seed = 6};
    bool good = true;
    fixture_close_store(&f);
    for (uint64_t event = from; good && event <= to; event++) {
        struct sim_image *image =
            sim_disk_image_at(whole, event, (enum sim_variant)(event % SIM_VARIANTS), event);
        f.disk = sim_disk_from_image(image, &options);
        sim_image_free(image);
        good = fixture_open_store(&f, COFFER_OPEN_READ_ONLY) == 0;
        f.store = good ? f.store : NULL;
        if (good && event % 16 == 0) {
            assert_true(f.store->segments.count == LARGE || f.store->segments.count == 70);
            check_clean();
        }
        if (good) {
            fixture_close_store(&f);
        }
        sim_disk_free(f.disk);
    }
    f.disk = whole;
    assert_int_equal(fixture_open_store(&f, 0), 0);
    return good;
}

static bool opens_after_cuts_of_a_shrink(void)
{
    uint64_t from, to;
    make_high();
    discard_filler();
    from = sim_disk_events(f.disk);
    must(resize(70));
    to = sim_disk_events(f.disk);
    return opens_after_each_cut(to - from > 400 ? to - 400 : from, to);
}

static void a_crash_leaves_the_one_or_the_other(void **state)
{
    (void)state;
    assert_true(opens_after_cuts_of_a_shrink());
}

static void a_device_that_is_cut_too_early_is_noticed(void **state)
{
    bool good;
    (void)state;
    cof_test_break = COF_BREAK_SHRINK_EARLY;
    good = opens_after_cuts_of_a_shrink();
    cof_test_break = COF_BREAK_NONE;
    assert_false(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_kinds_of_segments_are_emptied, teardown),
        cmocka_unit_test_teardown(imports_move_too, teardown),
        cmocka_unit_test_teardown(requests_and_calls_go_on_meanwhile, teardown),
        cmocka_unit_test_teardown(stopped_it_has_its_size_and_goes_on_later, teardown),
        cmocka_unit_test_teardown(what_does_not_fit_is_refused_at_once, teardown),
        cmocka_unit_test_teardown(it_gets_as_small_as_it_can_be_from_any_state, teardown),
        cmocka_unit_test_teardown(a_log_that_needs_its_key_is_named, teardown),
        cmocka_unit_test_teardown(damage_ends_it_and_is_named, teardown),
        cmocka_unit_test_teardown(what_no_header_names_is_found_in_the_table, teardown),
        cmocka_unit_test_teardown(a_crash_leaves_the_one_or_the_other, teardown),
        cmocka_unit_test_teardown(a_device_that_is_cut_too_early_is_noticed, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
