/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume gets another size: at once or not at all, whatever is cut; what goes gives its room
 * back, in a full store too; snapshots and clones keep what they have.
 */
#include "volume_fixture.h"

#include "volume/store.h"

#define PAGES 2000u
#define KEPT 300u

static struct volume_fixture f;

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static void must(int err)
{
    if (err != 0) {
        fail_msg("%s: %s", coffer_error_name(err), f.fault.detail);
    }
}

static void begin(uint64_t seed, uint64_t pages)
{
    struct coffer_volume *volume;
    fixture_make(&f, seed);
    make_volume(&f, "v", pages, 0);
    volume = open_volume(&f, "v");
    for (uint64_t i = 0; i < PAGES; i++) {
        write_page(volume, i, i + 1u);
    }
    must(coffer_volume_flush(volume, &f.fault));
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void check_clean(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts, .provider = &f.kms.api};
    struct coffer_check_summary summary;
    must(coffer_store_check(f.store, &opts, &summary, &f.fault));
    assert_int_equal(summary.findings, 0);
}

/* Of the size of before with all pages, or of the new one with those that it has. */
static void check_one_or_the_other(struct coffer_volume *volume, uint64_t before, uint64_t after)
{
    uint64_t size = volume_info(volume).size_bytes / PAGE;
    assert_true(size == before || size == after);
    for (uint64_t i = 0; i < size && i < PAGES; i++) {
        check_page(volume, i, i + 1u);
    }
}

static void cut_everywhere(uint64_t before, uint64_t after)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    struct sim_disk *whole = f.disk;
    struct sim_disk_options options = {.seed = 6};
    uint64_t from = sim_disk_events(whole), to, found[2] = {0, 0};
    must(coffer_volume_resize(volume, after * PAGE, &f.fault));
    to = sim_disk_events(whole);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&f);
    for (uint64_t event = from; event <= to; event++) {
        for (unsigned variant = 0; variant < SIM_VARIANTS; variant++) {
            struct sim_image *image =
                sim_disk_image_at(whole, event, (enum sim_variant)variant, event);
            f.disk = sim_disk_from_image(image, &options);
            sim_image_free(image);
            must(fixture_open_store(&f, 0));
            volume = open_volume(&f, "v");
            check_one_or_the_other(volume, before, after);
            found[volume_info(volume).size_bytes / PAGE == after]++;
            assert_int_equal(coffer_volume_close(volume), 0);
            fixture_close_store(&f);
            sim_disk_free(f.disk);
        }
    }
    f.disk = whole;
    must(fixture_open_store(&f, 0));
    assert_true(found[0] > 0 && found[1] > 0);
}

static void it_shrinks_at_once_or_not_at_all(void **state)
{
    (void)state;
    begin(4, PAGES);
    cut_everywhere(PAGES, KEPT);
    check_clean();
}

static void it_grows_at_once_or_not_at_all(void **state)
{
    (void)state;
    begin(5, PAGES);
    cut_everywhere(PAGES, PAGES * 1000u);
    check_clean();
}

static void what_comes_again_is_zero(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    begin(6, PAGES);
    volume = open_volume(&f, "v");
    for (uint64_t i = 100; i < PAGES; i += 3) {
        write_page(volume, i, i + 1u); /* in the log, in the extent that is open */
    }
    must(coffer_volume_resize(volume, KEPT * PAGE, &f.fault));
    must(coffer_volume_resize(volume, PAGES * PAGE, &f.fault));
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i, i < KEPT ? i + 1u : 0);
    }
    for (uint64_t i = KEPT; i < PAGES; i += 2) {
        write_page(volume, i, i + 7u);
    }
    must(coffer_volume_flush(volume, &f.fault));
    fixture_crash(&f, SIM_CUT_NONE, 1);
    volume = open_volume(&f, "v");
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i, i < KEPT ? i + 1u : (i - KEPT) % 2 == 0 ? i + 7u : 0);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean();
}

static uint64_t live_pages(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f.store, &info), 0);
    return info.live_bytes / PAGE;
}

static void larger_snapshots_and_clones_keep_theirs(void **state)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = "s", .provider = &f.kms.api};
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore, .snapshot = opts, .new_name = "clone"};
    struct coffer_volume *volume;
    (void)state;
    begin(7, PAGES);
    volume = open_volume(&f, "v");
    must(coffer_snapshot_create(volume, &opts, NULL, &f.fault));
    must(coffer_snapshot_restore(f.store, &restore, &f.fault));
    must(coffer_volume_resize(volume, KEPT * PAGE, &f.fault));
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_true(live_pages() >= PAGES);
    volume = open_volume(&f, "clone");
    must(coffer_volume_resize(volume, 2u * PAGES * PAGE, &f.fault));
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i, i + 1u);
    }
    must(coffer_volume_resize(volume, KEPT * PAGE, &f.fault));
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean();
    {
        struct coffer_volume_open_opts clone = open_opts(&f, "clone");
        must(coffer_volume_delete(f.store, &clone, &f.fault));
    }
    must(coffer_snapshot_delete(f.store, &opts, &f.fault));
    assert_true(live_pages() < KEPT + 100u);
    check_clean();
}

/* With pages of another volume in it until no more go in. */
static void fill(void)
{
    struct coffer_volume *volume;
    uint8_t page[PAGE];
    uint64_t at = 0;
    make_volume(&f, "filler", 1u << 20, 1);
    volume = open_volume(&f, "filler");
    fill_page(page, 1, 2);
    while (coffer_volume_write(volume, page, at * PAGE, PAGE, 0, &f.fault) == 0) {
        at++;
    }
    assert_true(at > 5000);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void a_full_store_gets_room_from_it(void **state)
{
    struct coffer_volume *volume, *filler;
    (void)state;
    begin(8, PAGES * 1000u);
    fill();
    filler = open_volume(&f, "filler");
    {
        uint8_t page[PAGE];
        fill_page(page, 1, 2);
        assert_int_equal(
            coffer_volume_write(filler, page, (UINT64_C(1) << 19) * PAGE, PAGE, 0, &f.fault),
            COFFER_E_NO_SPACE);
        volume = open_volume(&f, "v");
        must(coffer_volume_resize(volume, KEPT * PAGE, &f.fault));
        for (uint64_t i = 0; i < 1000; i++) {
            must(coffer_volume_write(filler, page, ((UINT64_C(1) << 19) + i) * PAGE, PAGE, 0,
                                     &f.fault));
        }
    }
    for (uint64_t i = 0; i < KEPT; i++) {
        check_page(volume, i, i + 1u);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_volume_close(filler), 0);
    check_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_shrinks_at_once_or_not_at_all, teardown),
        cmocka_unit_test_teardown(it_grows_at_once_or_not_at_all, teardown),
        cmocka_unit_test_teardown(what_comes_again_is_zero, teardown),
        cmocka_unit_test_teardown(larger_snapshots_and_clones_keep_theirs, teardown),
        cmocka_unit_test_teardown(a_full_store_gets_room_from_it, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
