/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_ops_test.c - every operation, on a file of a disk and of tmpfs, and in memory: one
 * contract.
 */
#include "segdev_fixture.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

static int set_up_file(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open_file(f, 0);
    *state = f;
    return 0;
}

static int set_up_buffered(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open_file(f, COFFER_SEGDEV_BUFFERED);
    *state = f;
    return 0;
}

/* Files of tmpfs go without io_uring. */
static int set_up_tmpfs(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (access("/dev/shm", W_OK) != 0) {
        fprintf(stderr, "note: no /dev/shm here, a disk in its place\n");
        fixture_open_file(f, 0);
    } else {
        fixture_paths_at(f, "/dev/shm");
        fixture_open_path(f, 0);
    }
    *state = f;
    return 0;
}

static int set_up_memory(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open_memory(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static void geometry_tells_what_was_made(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    memset(&g, 0xFF, sizeof g);
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_bytes, SEGMENT);
    assert_int_equal(g.segment_count, 64);
    assert_true(g.memory_align >= 1 && g.memory_align <= 4096);
    assert_int_equal(g.memory_align & (g.memory_align - 1), 0);
    assert_true(g.write_in_flight >= 1);
    assert_true(g.fixed_size <= 1);
}

static void what_was_appended_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 0, f->a, 8192), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 8192, f->a + 8192, 65536), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_SYNC, 0, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 0, f->b, 8192 + 65536), 0);
    assert_memory_equal(f->a, f->b, 8192 + 65536);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 4096, f->b, 8192), 0);
    assert_memory_equal(f->a + 4096, f->b, 8192);
}

static void what_was_never_appended_reads_as_zeros(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 7, 4096, f->b, 16384), 0);
    assert_true(is_zero(f->b, 16384));
    assert_int_equal(f->b[16384], 0xEE);
}

static void a_whole_segment_fits_and_its_neighbours_stay(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 0, f->b, SEGMENT), 0);
    assert_memory_equal(f->a, f->b, SEGMENT);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE - 1, 0, f->b, SEGMENT), 0);
    assert_true(is_zero(f->b, SEGMENT));
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE + 1, 0, f->b, SEGMENT), 0);
    assert_true(is_zero(f->b, SEGMENT));
}

static void sixteen_pieces_go_in_and_out_in_one_request(void **state)
{
    struct fixture *f = *state;
    struct iovec out[16], in[16];
    struct coffer_segdev_request append = {.op = COFFER_SEGDEV_APPEND,
                                           .segment = SEGMENT_FREE,
                                           .iov = out,
                                           .iov_count = 16,
                                           .buffer_index = -1};
    struct coffer_segdev_request read = {.op = COFFER_SEGDEV_READ,
                                         .segment = SEGMENT_FREE,
                                         .iov = in,
                                         .iov_count = 16,
                                         .buffer_index = -1};
    for (size_t i = 0; i < 16; i++) { /* in reverse order in memory, of unequal length */
        out[i].iov_base = f->a + (15 - i) * 16384;
        out[i].iov_len = i % 2 == 0 ? 4096 : 12288;
        in[i].iov_base = f->b + (15 - i) * 16384;
        in[i].iov_len = out[i].iov_len;
    }
    assert_int_equal(f->dev->ops->submit(f->channel, &append), 0);
    assert_int_equal(finish_one(f, &append), 0);
    assert_int_equal(f->dev->ops->submit(f->channel, &read), 0);
    assert_int_equal(finish_one(f, &read), 0);
    for (size_t i = 0; i < 16; i++) {
        assert_memory_equal(out[i].iov_base, in[i].iov_base, in[i].iov_len);
    }
}

static void many_requests_complete_each_once(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev_request requests[16], *list;
    struct iovec iov[16];
    unsigned seen = 0, complete = 0;
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 0, f->a, SEGMENT), 0);
    memset(requests, 0, sizeof requests);
    for (unsigned i = 0; i < 16; i++) {
        iov[i] = (struct iovec){f->b + i * 65536u, 65536};
        requests[i] = (struct coffer_segdev_request){.op = COFFER_SEGDEV_READ,
                                                     .segment = SEGMENT_FREE,
                                                     .offset = i * 65536u,
                                                     .iov = &iov[i],
                                                     .iov_count = 1,
                                                     .buffer_index = -1,
                                                     .user = &iov[i]};
        assert_int_equal(f->dev->ops->submit(f->channel, &requests[i]), 0);
    }
    struct coffer_segdev_request over = requests[0];
    assert_int_equal(f->dev->ops->submit(f->channel, &over), COFFER_E_AGAIN);
    while (complete < 16) {
        int count = f->dev->ops->poll(f->channel, 1, &list);
        assert_true(count >= 1);
        complete += (unsigned)count;
        for (; list != NULL; list = list->next, count--) {
            unsigned i = (unsigned)(list - requests);
            assert_int_equal(list->result, 0);
            assert_ptr_equal(list->user, &iov[i]);
            assert_false((seen >> i) & 1u);
            seen |= 1u << i;
        }
        assert_int_equal(count, 0);
    }
    assert_int_equal(seen, 0xFFFF);
    assert_memory_equal(f->a, f->b, SEGMENT);
    assert_int_equal(f->dev->ops->poll(f->channel, 0, &list), 0);
    assert_null(list);
    assert_int_equal(f->dev->ops->poll(f->channel, 5, &list), 0); /* nothing to wait for */
}

static void trim_and_condition_leave_zeros_and_a_fresh_start(void **state)
{
    struct fixture *f = *state;
    enum coffer_segdev_op ops[] = {COFFER_SEGDEV_TRIM, COFFER_SEGDEV_CONDITION};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 0, f->a, SEGMENT), 0);
        assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE + 1, 0, f->a, SEGMENT), 0);
        assert_int_equal(run(f, ops[i], SEGMENT_FREE, 0, NULL, 0), 0);
        assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 0, f->b, SEGMENT), 0);
        assert_true(is_zero(f->b, SEGMENT));
        assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE + 1, 0, f->b, SEGMENT), 0);
        assert_memory_equal(f->a, f->b, SEGMENT);
        assert_int_equal(run(f, COFFER_SEGDEV_APPEND, SEGMENT_FREE, 0, f->a, 4096), 0);
        assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 0, f->b, 8192), 0);
        assert_memory_equal(f->a, f->b, 4096);
        assert_true(is_zero(f->b + 4096, 4096));
    }
}

static void a_root_is_replaced_only_at_the_epoch_expected(void **state)
{
    struct fixture *f = *state;
    for (uint32_t slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, slot, 0, f->b, 4096), 0);
        assert_true(is_zero(f->b, 4096));
        make_root(f->a, 10 + slot, 0x11);
        assert_int_equal(run_cas(f, slot, 3, f->a), COFFER_E_BUSY); /* nothing there yet */
        assert_int_equal(run_cas(f, slot, 0, f->a), 0);
        make_root(f->a, 20 + slot, 0x22);
        assert_int_equal(run_cas(f, slot, 0, f->a), COFFER_E_BUSY);
        assert_int_equal(run_cas(f, slot, 20 + slot, f->a), COFFER_E_BUSY);
        assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, slot, 0, f->b, 4096), 0);
        assert_int_equal(cof_segdev_root_epoch(f->b), 10 + slot);
        assert_int_equal(f->b[4095], 0x11);
        assert_int_equal(run_cas(f, slot, 10 + slot, f->a), 0);
    }
    for (uint32_t slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, slot, 0, f->b, 4096), 0);
        assert_int_equal(cof_segdev_root_epoch(f->b), 20 + slot);
        assert_int_equal(f->b[4095], 0x22);
    }
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 4, 0, f->b, 4096), COFFER_E_INVALID);
}

static void what_lies_outside_is_refused(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 64, 0, f->b, 4096), COFFER_E_RANGE);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, SEGMENT - 4096, f->b, 8192), COFFER_E_RANGE);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 512, f->b, 4096), COFFER_E_ALIGN);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b, 4608), COFFER_E_ALIGN);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b, 100), COFFER_E_ALIGN);
    if (g.memory_align > 1) {
        assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b + 1, 4096), COFFER_E_ALIGN);
    }
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, NULL, 0), COFFER_E_INVALID);
    for (size_t i = 0; i < 3; i++) {
        static const uint32_t roots[] = {0, 32, 63};
        assert_int_equal(run(f, COFFER_SEGDEV_APPEND, roots[i], 0, f->a, 4096), COFFER_E_INVALID);
        assert_int_equal(run(f, COFFER_SEGDEV_TRIM, roots[i], 0, NULL, 0), COFFER_E_INVALID);
        assert_int_equal(run(f, COFFER_SEGDEV_CONDITION, roots[i], 0, NULL, 0), COFFER_E_INVALID);
    }
    assert_int_equal(run(f, (enum coffer_segdev_op)99, 1, 0, f->b, 4096), COFFER_E_INVALID);
    assert_int_equal(f->b[0], 0xEE);
}

/* Sleep on the descriptor only, as an event loop does. */
static void finish_by_descriptor(struct fixture *f, struct coffer_segdev_request *request)
{
    struct pollfd wait = {.fd = f->dev->ops->channel_fd(f->channel), .events = POLLIN};
    struct coffer_segdev_request *list = NULL;
    time_t start = time(NULL);
    int complete;
    assert_int_equal(f->dev->ops->submit(f->channel, request), 0);
    complete = f->dev->ops->poll(f->channel, 0, &list);
    while (complete == 0) {
        int woken = poll(&wait, 1, 5000);
        assert_true(woken == 1 || (woken < 0 && errno == EINTR));
        complete = f->dev->ops->poll(f->channel, 0, &list);
    }
    assert_true(time(NULL) - start < 4); /* poll looks once more when its time runs out */
    assert_int_equal(complete, 1);
    assert_int_equal(request->result, 0);
    assert_int_equal(poll(&wait, 1, 0), 0);
}

static void the_descriptor_is_readable_when_completions_wait(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {f->b, 4096};
    struct iovec root_iov = {f->a, 4096};
    struct coffer_segdev_request read = {
        .op = COFFER_SEGDEV_READ, .segment = 1, .iov = &iov, .iov_count = 1, .buffer_index = -1};
    struct coffer_segdev_request cas = {.op = COFFER_SEGDEV_ROOT_CAS,
                                        .segment = 1,
                                        .iov = &root_iov,
                                        .iov_count = 1,
                                        .buffer_index = -1};
    struct pollfd wait = {.fd = f->dev->ops->channel_fd(f->channel), .events = POLLIN};
    assert_true(wait.fd >= 0);
    assert_int_equal(poll(&wait, 1, 0), 0);
    for (uint64_t round = 0; round < 3; round++) {
        finish_by_descriptor(f, &read);
        make_root(f->a, round + 1, 0);
        cas.expect_epoch = round;
        finish_by_descriptor(f, &cas); /* two steps, the second queued by the device itself */
    }
}

static void closing_a_channel_waits_for_what_is_in_flight(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {f->a, SEGMENT};
    struct coffer_segdev_request append = {.op = COFFER_SEGDEV_APPEND,
                                           .segment = SEGMENT_FREE,
                                           .iov = &iov,
                                           .iov_count = 1,
                                           .buffer_index = -1};
    struct coffer_segdev_request zeros = {
        .op = COFFER_SEGDEV_CONDITION, .segment = 9, .buffer_index = -1};
    append.result = zeros.result = 77;
    assert_int_equal(f->dev->ops->submit(f->channel, &append), 0);
    assert_int_equal(f->dev->ops->submit(f->channel, &zeros), 0);
    f->dev->ops->channel_close(f->channel);
    assert_int_equal(append.result, 0);
    assert_true(zeros.result == 0 || zeros.result == COFFER_E_CANCELLED);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, SEGMENT_FREE, 0, f->b, SEGMENT), 0);
    assert_memory_equal(f->a, f->b, SEGMENT);
}

#define EACH(set_up, test)                                    \
    {                                                         \
#test " (" #set_up ")", test, set_up, tear_down, NULL \
    }
#define ALL(set_up)                                                                      \
    EACH(set_up, geometry_tells_what_was_made), EACH(set_up, what_was_appended_is_read), \
        EACH(set_up, what_was_never_appended_reads_as_zeros),                            \
        EACH(set_up, a_whole_segment_fits_and_its_neighbours_stay),                      \
        EACH(set_up, sixteen_pieces_go_in_and_out_in_one_request),                       \
        EACH(set_up, many_requests_complete_each_once),                                  \
        EACH(set_up, trim_and_condition_leave_zeros_and_a_fresh_start),                  \
        EACH(set_up, a_root_is_replaced_only_at_the_epoch_expected),                     \
        EACH(set_up, what_lies_outside_is_refused),                                      \
        EACH(set_up, the_descriptor_is_readable_when_completions_wait),                  \
        EACH(set_up, closing_a_channel_waits_for_what_is_in_flight)

int main(void)
{
    const struct CMUnitTest tests[] = {ALL(set_up_file), ALL(set_up_buffered), ALL(set_up_tmpfs),
                                       ALL(set_up_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
