/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the device is given a sync: by who waits for it, where one queue alone has something under
 * way and its caller comes back to wait; at once, where the caller may be asleep on the queue's
 * descriptor; and by a timer's call, which no other may follow. And what else a call that submits
 * must not leave lying.
 */
#include "unit/volume_fixture.h"

static struct volume_fixture f;
static struct coffer_volume *volume;
static struct coffer_queue *queue;
static uint8_t bytes[PAGE];
static struct iovec iov = {bytes, PAGE};

static void open_all(void)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 8};
    volume = open_volume(&f, "v");
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), 0);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 6); /* even: not a device that works in poll */
    make_volume(&f, "v", 16, 0);
    open_all();
    return 0;
}

/* The same store on a disk that answers some polls later. */
static void slow_down(void)
{
    struct sim_disk_options options = {.seed = 6, .delay_polls_max = 3};
    struct sim_image *image;
    coffer_queue_destroy(queue);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&f);
    image = sim_disk_image_at(f.disk, sim_disk_events(f.disk), SIM_CUT_ALL, 1);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    open_all();
}

static int teardown(void **state)
{
    (void)state;
    coffer_queue_destroy(queue);
    fixture_done(&f);
    return 0;
}

static uint64_t syncs(void)
{
    return sim_disk_calls(f.disk, COFFER_SEGDEV_SYNC);
}

static void submit(enum coffer_io_op op)
{
    struct coffer_io io = {.op = op, .volume = volume};
    if (op == COFFER_IO_WRITE) {
        io.length_bytes = PAGE;
        io.iov = &iov;
        io.iov_count = 1;
    }
    assert_int_equal(coffer_submit(queue, &io, 1), 1);
}

static void reap(unsigned count)
{
    struct coffer_cqe cqe[8];
    assert_int_equal(coffer_reap(queue, cqe, count, count), count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(cqe[i].result, 0);
    }
}

static void who_waits_for_a_sync_hands_it_over(void **state)
{
    uint64_t before = syncs();
    (void)state;
    submit(COFFER_IO_WRITE);
    reap(1);
    submit(COFFER_IO_FLUSH);
    assert_int_equal(syncs(), before); /* the device's part of it is left to the call that waits */
    reap(1);
    assert_int_equal(syncs(), before + 1u);
}

static void who_only_looks_hands_it_over_too(void **state)
{
    uint64_t before = syncs();
    struct coffer_cqe cqe;
    (void)state;
    submit(COFFER_IO_WRITE);
    reap(1);
    submit(COFFER_IO_FLUSH);
    assert_int_equal(coffer_reap(queue, &cqe, 0, 0), 0);
    assert_int_equal(syncs(), before + 1u);
    reap(1);
}

static void who_may_sleep_on_the_descriptor_leaves_no_sync_behind(void **state)
{
    unsigned apart = 0;
    (void)state;
    slow_down();
    (void)coffer_queue_fd(queue);
    for (unsigned i = 0; i < 50; i++) {
        struct coffer_cqe cqe[2];
        uint64_t before = syncs();
        int got;
        submit(COFFER_IO_WRITE);
        submit(COFFER_IO_FLUSH);
        got = coffer_reap(queue, cqe, 2, 1);
        assert_true(got >= 1);
        if (got == 1) { /* the write's; it was this call that began the sync */
            assert_int_equal(syncs(), before + 1u);
            reap(1);
            apart++;
        }
    }
    assert_true(apart > 0);
}

/* The page is read and locked by the first, whose caller does not come back before the second is
 * over. */
static void a_page_in_part_written_by_two_queues_hangs_neither(void **state)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 8};
    struct iovec sector = {bytes, 512};
    struct coffer_io io = {.op = COFFER_IO_WRITE, .length_bytes = 512, .iov_count = 1};
    struct coffer_queue *other;
    struct coffer_cqe cqe;
    (void)state;
    submit(COFFER_IO_WRITE);
    reap(1);
    io.volume = volume;
    io.iov = &sector;
    assert_int_equal(coffer_queue_create(f.store, &opts, &other), 0);
    assert_int_equal(coffer_submit(queue, &io, 1), 1);
    io.offset_bytes = 512;
    assert_int_equal(coffer_submit(other, &io, 1), 1);
    assert_int_equal(coffer_reap(other, &cqe, 1, 1), 1);
    assert_int_equal(cqe.result, 0);
    reap(1);
    coffer_queue_destroy(other);
}

static void a_timer_needs_one_call_for_what_is_old(void **state)
{
    uint64_t before = syncs();
    (void)state;
    submit(COFFER_IO_WRITE);
    reap(1);
    f.env.now_ns += UINT64_C(2000000000);
    assert_true(coffer_store_maintain(f.store) >= 0);
    assert_int_equal(syncs(), before + 1u);
}

/* The second write is under way when the sync begins that the flush of the first waits for: that
 * one does not cover it, so the timer has to. */
static void what_a_sync_came_too_early_for_is_old_some_day(void **state)
{
    uint64_t before;
    (void)state;
    slow_down();
    for (unsigned i = 0; i < 20; i++) {
        submit(COFFER_IO_WRITE);
        submit(COFFER_IO_FLUSH);
        submit(COFFER_IO_WRITE);
        reap(3);
        f.env.now_ns += UINT64_C(2000000000);
        for (unsigned calls = 0; calls < 8; calls++) {
            assert_true(coffer_store_maintain(f.store) >= 0);
        }
        before = syncs();
        assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
        assert_int_equal(syncs(), before); /* all of it is durable */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_for_a_sync_hands_it_over, setup, teardown),
        cmocka_unit_test_setup_teardown(who_only_looks_hands_it_over_too, setup, teardown),
        cmocka_unit_test_setup_teardown(who_may_sleep_on_the_descriptor_leaves_no_sync_behind,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_in_part_written_by_two_queues_hangs_neither, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_timer_needs_one_call_for_what_is_old, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_sync_came_too_early_for_is_old_some_day, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
