/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that work in poll: pages gather until somebody has to wait for them, what is complete is
 * handed over before anything else is begun, nobody who waits is forgotten, and a caller who may be
 * asleep on the descriptor, or who holds pages that others need, leaves nothing behind.
 */
#include "unit/volume_fixture.h"

#define DEPTH 8u

static struct volume_fixture f;
static struct coffer_volume *volume;
static struct coffer_queue *queue;
static uint8_t bytes[PAGE];
static struct iovec whole = {bytes, PAGE}, sector = {bytes, 512};

static struct coffer_queue *new_queue(void)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = DEPTH};
    struct coffer_queue *made;
    assert_int_equal(coffer_queue_create(f.store, &opts, &made), 0);
    return made;
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 5); /* odd: it works in poll */
    make_volume(&f, "v", 64, 0);
    volume = open_volume(&f, "v");
    queue = new_queue();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coffer_queue_destroy(queue);
    fixture_done(&f);
    return 0;
}

static uint64_t appends(void)
{
    return sim_disk_calls(f.disk, COFFER_SEGDEV_APPEND);
}

static struct coffer_io io_of(enum coffer_io_op op, uint64_t offset_bytes, struct iovec *iov)
{
    return (struct coffer_io){.op = op,
                              .volume = volume,
                              .offset_bytes = offset_bytes,
                              .length_bytes = iov != NULL ? iov->iov_len : 0,
                              .iov = iov,
                              .iov_count = iov != NULL ? 1 : 0};
}

static void write_on(struct coffer_queue *on, uint64_t page)
{
    struct coffer_io io = io_of(COFFER_IO_WRITE, page * PAGE, &whole);
    assert_int_equal(coffer_submit(on, &io, 1), 1);
}

static void reap_on(struct coffer_queue *on, unsigned count)
{
    struct coffer_cqe cqe[DEPTH];
    assert_int_equal(coffer_reap(on, cqe, count, count), count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(cqe[i].result, 0);
    }
}

static void pages_gather_until_somebody_waits(void **state)
{
    uint64_t before = appends();
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        write_on(queue, i);
    }
    assert_int_equal(appends(), before);
    reap_on(queue, 4);
    assert_int_equal(appends(), before + 1u);
}

static void what_is_complete_is_handed_over_first(void **state)
{
    uint64_t before;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        write_on(queue, i);
    }
    reap_on(queue, 1);
    before = appends();
    for (unsigned i = 4; i < 7; i++) { /* three are complete: three more join the next batch */
        write_on(queue, i);
        reap_on(queue, 1);
        assert_int_equal(appends(), before);
    }
    reap_on(queue, 3);
    assert_int_equal(appends(), before + 1u);
}

static void who_only_looks_brings_it_on(void **state)
{
    uint64_t before = appends();
    struct coffer_cqe cqe[2];
    (void)state;
    write_on(queue, 0);
    while (coffer_reap(queue, cqe, 2, 0) == 0) {
    }
    assert_int_equal(appends(), before + 1u);
}

static void a_timer_brings_on_what_was_left(void **state)
{
    uint64_t before;
    (void)state;
    write_on(queue, 0);
    reap_on(queue, 1);
    before = appends();
    write_on(queue, 1);
    assert_true(coffer_store_maintain(f.store) >= 0);
    assert_int_equal(appends(), before + 1u);
    reap_on(queue, 1);
}

static void who_may_sleep_on_the_descriptor_leaves_nothing_behind(void **state)
{
    uint64_t before = appends();
    (void)state;
    (void)coffer_queue_fd(queue);
    write_on(queue, 0);
    assert_int_equal(appends(), before + 1u);
    reap_on(queue, 1);
}

static void a_flush_takes_along_what_others_left(void **state)
{
    struct coffer_queue *other = new_queue();
    uint64_t before;
    (void)state;
    write_on(queue, 2);
    reap_on(queue, 1);
    before = appends();
    write_on(other, 0);
    write_on(queue, 1);
    assert_int_equal(coffer_volume_flush(volume, NULL), 0);
    assert_int_equal(appends(), before + 1u);
    reap_on(queue, 1);
    reap_on(other, 1);
    assert_int_equal(appends(), before + 1u);
    coffer_queue_destroy(other);
}

/* The page is read and locked by the first, whose caller does not come back before the second is
 * over. */
static void a_page_in_part_is_not_left_locked(void **state)
{
    struct coffer_queue *other = new_queue();
    struct coffer_io first = io_of(COFFER_IO_WRITE, 0, &sector);
    struct coffer_io second = io_of(COFFER_IO_WRITE, 512, &sector);
    (void)state;
    write_on(queue, 0);
    reap_on(queue, 1);
    assert_int_equal(coffer_submit(queue, &first, 1), 1);
    assert_int_equal(coffer_submit(other, &second, 1), 1);
    reap_on(other, 1);
    reap_on(queue, 1);
    coffer_queue_destroy(other);
}

/* In one call: the write is not sealed yet when the others are looked up. */
static void requests_of_one_call_may_meet(void **state)
{
    static uint8_t seen[PAGE];
    struct iovec to = {seen, PAGE};
    struct coffer_io io[4] = {
        io_of(COFFER_IO_WRITE, 3 * PAGE, &whole), io_of(COFFER_IO_READ, 3 * PAGE, &to),
        io_of(COFFER_IO_WRITE, 3 * PAGE + 512, &sector), io_of(COFFER_IO_FLUSH, 0, NULL)};
    (void)state;
    memset(bytes, 7, sizeof bytes);
    assert_int_equal(coffer_submit(queue, io, 4), 4);
    reap_on(queue, 4);
    assert_true(seen[0] == 7 || seen[0] == 0);
    memset(seen, 0, sizeof seen);
    assert_int_equal(coffer_volume_read(volume, seen, 3 * PAGE, PAGE, NULL), 0);
    assert_memory_equal(seen, bytes, PAGE);
}

/* More pages than are sealed at once, in one call, across extents and batches. */
static void many_pages_of_one_call_are_all_sealed(void **state)
{
    static uint8_t large[60u * PAGE], seen[60u * PAGE];
    struct iovec three[3] = {{large, 50u * PAGE}, {large + 50u * PAGE, 9u * PAGE}, {large, PAGE}};
    struct coffer_io io[3] = {io_of(COFFER_IO_WRITE, 0, &three[0]),
                              io_of(COFFER_IO_WRITE, 50u * PAGE, &three[1]),
                              io_of(COFFER_IO_WRITE, 60u * PAGE, &three[2])};
    (void)state;
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)(i / 512u);
    }
    for (unsigned round = 0; round < 20; round++) {
        assert_int_equal(coffer_submit(queue, io, 3), 3);
        reap_on(queue, 3);
        assert_int_equal(coffer_volume_read(volume, seen, 0, 59u * PAGE, NULL), 0);
        assert_memory_equal(seen, large, 59u * PAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_gather_until_somebody_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_complete_is_handed_over_first, setup, teardown),
        cmocka_unit_test_setup_teardown(who_only_looks_brings_it_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_brings_on_what_was_left, setup, teardown),
        cmocka_unit_test_setup_teardown(who_may_sleep_on_the_descriptor_leaves_nothing_behind,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_takes_along_what_others_left, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_in_part_is_not_left_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_of_one_call_may_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(many_pages_of_one_call_are_all_sealed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
