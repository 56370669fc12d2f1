/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement of a volume keeps its budget whatever the volume is asked: reading, overwriting,
 * deleting what lies in many extents.
 */
#include "unit/volume_fixture.h"
#include "volume/store.h"

#define EXTENTS 320u
#define VOLUME_PAGES 4096u
#define BUDGET 24000u
#define BUCKET 8192u /* more than one has in memory */

static struct volume_fixture f;
static struct coffer_volume *volume;

static uint64_t page_of(unsigned i)
{
    return i * 11u % VOLUME_PAGES;
}

static void write_one(unsigned i, uint8_t filler)
{
    uint8_t bytes[PAGE];
    memset(bytes, filler, sizeof bytes);
    assert_int_equal(coffer_volume_write(volume, bytes, page_of(i) * PAGE, PAGE, 0, &f.fault), 0);
}

static void read_one(unsigned i, uint8_t filler)
{
    uint8_t bytes[PAGE];
    assert_int_equal(coffer_volume_read(volume, bytes, page_of(i) * PAGE, PAGE, &f.fault), 0);
    assert_int_equal(bytes[0], filler);
    assert_int_equal(bytes[PAGE - 1u], filler);
}

/* A page an extent: each checkpoint closes those that are open. */
static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 7);
    make_volume(&f, "v", VOLUME_PAGES, 0);
    volume = open_volume(&f, "v");
    f.store->place.budget_bytes = BUDGET;
    f.store->placement_tree.budget_bytes = BUDGET / 2u;
    for (unsigned i = 0; i < EXTENTS; i++) {
        write_one(i, (uint8_t)i);
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static bool within(void)
{
    return f.store->place.bytes + f.store->placement_tree.bytes <= BUDGET + BUCKET;
}

static void reads_keep_the_budget(void **state)
{
    (void)state;
    assert_true(f.store->next_extent > 2u * EXTENTS);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < EXTENTS; i++) {
            read_one(i, (uint8_t)i);
            assert_true(within());
        }
    }
}

static void deaths_in_all_buckets_keep_it_and_are_all_recorded(void **state)
{
    uint64_t live;
    (void)state;
    live = f.store->segments.live_total;
    for (unsigned i = 0; i < EXTENTS; i++) {
        write_one(i, (uint8_t)(i + 1u));
    }
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_true(within());
    assert_true(f.store->segments.live_total < live + EXTENTS / 4u);
    assert_int_equal(f.store->place.dirty_count, 0);
    for (unsigned i = 0; i < EXTENTS; i++) {
        read_one(i, (uint8_t)(i + 1u));
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    for (unsigned i = 0; i < EXTENTS; i++) {
        read_one(i, (uint8_t)(i + 1u));
    }
}

static void a_volume_that_goes_takes_its_extents_along(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&f, "v");
    struct coffer_check_opts check = {.size = sizeof check, .flags = COFFER_CHECK_KEYLESS};
    struct coffer_check_summary summary;
    (void)state;
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_volume_delete(f.store, &opts, &f.fault), 0);
    assert_true(within());
    assert_true(f.store->segments.live_total < 16u);
    assert_int_equal(coffer_store_check(f.store, &check, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(reads_keep_the_budget),
        CASE(deaths_in_all_buckets_keep_it_and_are_all_recorded),
        CASE(a_volume_that_goes_takes_its_extents_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
