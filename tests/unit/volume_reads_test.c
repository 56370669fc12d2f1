/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many reads of the device a read of pages takes: pages of one batch together, the tags that
 * are not cached with them where they lie right behind their header, else beside them.
 */
#include "unit/volume_fixture.h"

#define PAGES 100u

static struct volume_fixture f;
static struct coffer_volume *volume;

/* A batch of 100 pages, none of whose tags is cached; the map's leaf is. */
static int setup(void **state)
{
    static uint8_t bytes[PAGES * PAGE];
    (void)state;
    fixture_make(&f, 6); /* even: not a device that works in poll */
    make_volume(&f, "v", PAGES + 1u, 0);
    volume = open_volume(&f, "v");
    for (unsigned page = 0; page < PAGES; page++) {
        memset(bytes + page * PAGE, (int)(page + 1u), PAGE);
    }
    assert_int_equal(coffer_volume_write(volume, bytes, 0, sizeof bytes, 0, &f.fault), 0);
    write_page(volume, PAGES, 7); /* in another */
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    check_page(volume, PAGES, 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
    return 0;
}

static uint64_t reads_for(unsigned first, unsigned count)
{
    static uint8_t bytes[PAGES * PAGE];
    uint64_t before = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    assert_int_equal(
        coffer_volume_read(volume, bytes, first * PAGE, (size_t)count * PAGE, &f.fault), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(bytes[i * PAGE], (uint8_t)(first + i + 1u));
        assert_int_equal(bytes[i * PAGE + PAGE - 1u], (uint8_t)(first + i + 1u));
    }
    return sim_disk_calls(f.disk, COFFER_SEGDEV_READ) - before;
}

static void a_whole_batch_comes_with_its_tags_in_one_read(void **state)
{
    (void)state;
    assert_int_equal(reads_for(0, PAGES), 1);
    assert_int_equal(reads_for(0, PAGES), 1);
}

static void tags_that_lie_elsewhere_are_read_beside(void **state)
{
    (void)state;
    assert_int_equal(reads_for(10, 5), 2);
    assert_int_equal(reads_for(10, 5), 1); /* they are cached now */
    assert_int_equal(reads_for(9, 5), 2);
}

static void a_read_that_fails_leaves_nothing_and_may_be_made_again(void **state)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_READ, .error = COFFER_E_IO, .os_errno = 5};
    uint8_t bytes[2u * PAGE];
    (void)state;
    memset(bytes, 1, sizeof bytes);
    fault.at = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    sim_disk_inject(f.disk, &fault);
    assert_int_equal(coffer_volume_read(volume, bytes, 0, 2u * PAGE, &f.fault), COFFER_E_IO);
    assert_int_equal(sim_disk_fired(f.disk), 1);
    sim_disk_inject(f.disk, NULL);
    for (unsigned i = 0; i < 2u * PAGE; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_int_equal(reads_for(0, PAGES), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_whole_batch_comes_with_its_tags_in_one_read),
        CASE(tags_that_lie_elsewhere_are_read_beside),
        CASE(a_read_that_fails_leaves_nothing_and_may_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
