/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes that complete in the log's memory: what the device sees of them and when, what a flush, a
 * later write and a death of the process make of them, and what a device that fails.
 */
#include "format/batch_format.h"
#include "unit/volume_fixture.h"

#define PAGES 64u
#define GATHERED 16u /* pages that are worth a write of their own: lane/commit.c */

static struct volume_fixture f;
static struct coffer_volume *volume;

static void begin(uint64_t seed)
{
    fixture_make(&f, seed);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    write_page(volume, 0, 1); /* with it what an opened volume writes first */
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
}

static int setup(void **state)
{
    (void)state;
    begin(8); /* even: not a device that works in poll */
    return 0;
}

static int setup_polled(void **state)
{
    (void)state;
    begin(9);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static uint64_t appends(void)
{
    return sim_disk_calls(f.disk, COFFER_SEGDEV_APPEND);
}

static int try_write(uint64_t number, uint64_t version, unsigned flags)
{
    uint8_t page[PAGE];
    fill_page(page, number, version);
    return coffer_volume_write(volume, page, number * PAGE, PAGE, flags, &f.fault);
}

static void put(uint64_t number, uint64_t version)
{
    assert_int_equal(try_write(number, version, COFFER_IO_WRITE_BACK), 0);
}

static void die(enum sim_variant variant)
{
    fixture_crash(&f, variant, 3);
    volume = open_volume(&f, "v");
}

static void it_completes_without_the_device_and_is_read(void **state)
{
    uint64_t before = appends();
    (void)state;
    for (uint64_t i = 0; i + 1u < GATHERED; i++) {
        put(i, 2);
        check_page(volume, i, 2);
    }
    assert_int_equal(appends(), before);
}

static void pages_go_together(void **state)
{
    uint64_t before = appends();
    (void)state;
    for (uint64_t i = 0; i < GATHERED; i++) {
        put(i, 2);
    }
    assert_int_equal(appends(), before + 1u);
}

/* Where the device works in poll, whoever waits makes the transfers. Nobody does here: full batches
 * go as they come, one a call, or all buffers would fill before the first. */
static void a_device_that_works_in_poll_gets_large_batches(void **state)
{
    uint64_t before = appends();
    (void)state;
    for (uint64_t i = 0; i < 10u * PAGES; i++) {
        put(i % PAGES, 2u + i / PAGES);
        assert_true(i < (appends() - before + 2u) * COF_BATCH_PAGES_MAX);
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    assert_in_range(appends() - before, 1, 10u * PAGES / (2u * GATHERED));
    die(SIM_CUT_NONE);
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i, 11);
    }
}

static void the_death_of_the_process_loses_it(void **state)
{
    (void)state;
    put(0, 2);
    die(SIM_CUT_KILL);
    check_page(volume, 0, 1);
}

static void a_flush_keeps_it(void **state)
{
    (void)state;
    put(0, 2);
    put(1, 2);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    put(1, 3);
    die(SIM_CUT_NONE);
    check_page(volume, 0, 2);
    check_page(volume, 1, 2);
}

static void a_write_that_waits_takes_it_along(void **state)
{
    (void)state;
    put(0, 2);
    assert_int_equal(try_write(1, 2, 0), 0);
    die(SIM_CUT_KILL);
    check_page(volume, 0, 2);
    check_page(volume, 1, 2);
}

static void with_fua_it_has_no_effect(void **state)
{
    (void)state;
    put(0, 2);
    assert_int_equal(try_write(1, 2, COFFER_IO_WRITE_BACK | COFFER_IO_FUA), 0);
    die(SIM_CUT_NONE);
    check_page(volume, 0, 2);
    check_page(volume, 1, 2);
}

static void a_clean_close_keeps_it(void **state)
{
    (void)state;
    put(0, 2);
    assert_int_equal(coffer_volume_close(volume), 0);
    die(SIM_CUT_NONE);
    check_page(volume, 0, 2);
}

static void a_checkpoint_and_a_snapshot_keep_it(void **state)
{
    (void)state;
    put(0, 2);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    die(SIM_CUT_NONE);
    check_page(volume, 0, 2);
}

/* Parts of pages, zeros and discards go the same way; the prefix ends somewhere. */
static void parts_of_pages_and_zeros_too(void **state)
{
    uint64_t before = appends();
    uint8_t sector[512], page[PAGE];
    (void)state;
    memset(sector, 7, sizeof sector);
    assert_int_equal(coffer_volume_write(volume, sector, 512, 512, COFFER_IO_WRITE_BACK, &f.fault),
                     0);
    assert_int_equal(
        coffer_volume_write_zeroes(volume, 1024, 512, COFFER_IO_WRITE_BACK, &f.fault), 0);
    put(1, 2);
    assert_int_equal(coffer_volume_write_zeroes(volume, PAGE, PAGE, COFFER_IO_WRITE_BACK, &f.fault),
                     0);
    assert_int_equal(appends(), before);
    for (unsigned twice = 0; twice < 2; twice++) {
        uint8_t expected[PAGE];
        fill_page(expected, 0, 1);
        memset(expected + 512, 7, 512);
        memset(expected + 1024, 0, 512);
        assert_int_equal(coffer_volume_read(volume, page, 0, PAGE, &f.fault), 0);
        assert_memory_equal(page, expected, PAGE);
        check_page(volume, 1, 0);
        if (twice == 0) {
            assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
            die(SIM_CUT_NONE);
        }
    }
}

/* A program that is idle calls by its timer; then the power goes. */
static void idle_and_die(void)
{
    f.env.now_ns += UINT64_C(2000000000);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(coffer_store_maintain(f.store) >= 0);
    }
    die(SIM_CUT_NONE);
}

static void a_second_later_it_is_durable(void **state)
{
    uint64_t before = appends();
    (void)state;
    put(0, 2);
    assert_true(coffer_store_maintain(f.store) >= 0);
    assert_int_equal(appends(), before);
    idle_and_die();
    check_page(volume, 0, 2);
}

/* Nobody else calls: what is due must not be left to a caller who will wait. */
static void writes_alone_make_older_ones_durable(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        put(i, 2);
        f.env.now_ns += UINT64_C(2000000000);
    }
    die(SIM_CUT_NONE);
    for (uint64_t i = 0; i < 6; i++) {
        check_page(volume, i, 2);
    }
}

/* A sync that began before it does not make it forget how old it is. */
static void what_gathers_beside_a_sync_is_not_forgotten(void **state)
{
    (void)state;
    put(0, 2);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    put(1, 2);
    idle_and_die();
    check_page(volume, 1, 2);
}

static void a_device_that_fails_is_told_of_by_the_flush(void **state)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_APPEND,
                              .at = appends(),
                              .error = COFFER_E_IO,
                              .os_errno = 5};
    (void)state;
    put(0, 2);
    sim_disk_inject(f.disk, &fault);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), COFFER_E_IO);
    assert_int_equal(try_write(1, 2, COFFER_IO_WRITE_BACK), COFFER_E_FAILED);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), COFFER_E_FAILED);
    check_page(volume, 0, 2); /* docs/consistency.md, 5: reads of a failed store go on */
    sim_disk_inject(f.disk, NULL);
    assert_int_not_equal(coffer_store_close(f.store), 0);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    volume = open_volume(&f, "v");
    check_page(volume, 0, 1);
}

/* More than the batch buffers hold: it waits for the device, and loses nothing. */
static void more_than_fits_in_memory(void **state)
{
    (void)state;
    for (uint64_t round = 2; round < 40; round++) {
        for (uint64_t i = 0; i < PAGES; i++) {
            put(i, round);
        }
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    die(SIM_CUT_NONE);
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i, 39);
    }
}

/* Through a queue, several at once: all are there to be reaped, none on the device. */
static void a_queue_hands_them_over_at_once(void **state)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 8};
    struct coffer_queue *queue;
    struct coffer_cqe cqe[8];
    static uint8_t pages[8][PAGE];
    struct iovec iov[8];
    struct coffer_io io[8];
    uint64_t before = appends();
    (void)state;
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), 0);
    memset(io, 0, sizeof io);
    for (unsigned i = 0; i < 8; i++) {
        fill_page(pages[i], i, 2);
        iov[i] = (struct iovec){pages[i], PAGE};
        io[i] = (struct coffer_io){.op = COFFER_IO_WRITE,
                                   .flags = COFFER_IO_WRITE_BACK,
                                   .volume = volume,
                                   .offset_bytes = (uint64_t)i * PAGE,
                                   .length_bytes = PAGE,
                                   .iov = &iov[i],
                                   .iov_count = 1};
    }
    assert_int_equal(coffer_submit(queue, io, 8), 8);
    assert_int_equal(coffer_reap(queue, cqe, 8, 8), 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(cqe[i].result, 0);
        check_page(volume, i, 2);
    }
    assert_int_equal(appends(), before);
    coffer_queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_completes_without_the_device_and_is_read, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pages_go_together, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_that_works_in_poll_gets_large_batches,
                                        setup_polled, teardown),
        cmocka_unit_test_setup_teardown(the_death_of_the_process_loses_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_waits_takes_it_along, setup, teardown),
        cmocka_unit_test_setup_teardown(with_fua_it_has_no_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_close_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_and_a_snapshot_keep_it, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_pages_and_zeros_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_later_it_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_alone_make_older_ones_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_alone_make_older_ones_durable, setup_polled,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_gathers_beside_a_sync_is_not_forgotten, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_device_that_fails_is_told_of_by_the_flush, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_than_fits_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_queue_hands_them_over_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
