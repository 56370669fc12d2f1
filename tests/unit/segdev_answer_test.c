/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_answer_test.c - what the file device makes of the kernel's answers.
 *
 * The kernel's true answer is taken off the ring and another one given in its place, so that short
 * transfers, interruptions and errors come when and where the test wants them.
 */
#include "segdev/file.h"
#include "segdev_fixture.h"

#include <errno.h>

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open_file(f, COFFER_SEGDEV_BUFFERED);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 5, 0, f->a, SEGMENT), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static struct cof_file_channel *channel_of(struct fixture *f)
{
    return (struct cof_file_channel *)f->channel;
}

/* Take one true answer and give `answer` in its place: whether the request is complete. */
static bool answer_with(struct fixture *f, struct coffer_segdev_request *request, int answer)
{
    struct cof_ring_completion done;
    assert_int_equal(cof_ring_reap(channel_of(f)->ring, 1, &done, 1), 1);
    assert_ptr_equal(done.user, request);
    return cof_file_request_advance(channel_of(f), request, answer);
}

static void submit_read(struct fixture *f, struct coffer_segdev_request *request,
                        const struct iovec *iov, uint32_t iov_count)
{
    *request = (struct coffer_segdev_request){.op = COFFER_SEGDEV_READ,
                                              .segment = 5,
                                              .iov = iov,
                                              .iov_count = iov_count,
                                              .buffer_index = -1};
    memset(f->b, 0xEE, SEGMENT);
    assert_int_equal(f->dev->ops->submit(f->channel, request), 0);
}

static void interrupted_and_cancelled_operations_are_done_again(void **state)
{
    struct fixture *f = *state;
    static const int again[] = {EINTR, EAGAIN, ECANCELED};
    static const enum coffer_segdev_op ops[] = {COFFER_SEGDEV_READ, COFFER_SEGDEV_SYNC,
                                                COFFER_SEGDEV_APPEND, COFFER_SEGDEV_CONDITION};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 4; j++) {
            struct iovec iov = {f->a, 65536};
            struct coffer_segdev_request request = {
                .op = ops[j], .segment = 6, .iov = &iov, .iov_count = 1, .buffer_index = -1};
            assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
            assert_false(answer_with(f, &request, -again[i]));
            assert_false(answer_with(f, &request, -again[i]));
            assert_int_equal(finish_one(f, &request), 0);
        }
    }
}

static void operations_are_not_done_again_for_ever(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int os_errno, error;
    } ends[] = {{EINTR, COFFER_E_IO}, {EAGAIN, COFFER_E_IO}, {ECANCELED, COFFER_E_CANCELLED}};
    for (size_t i = 0; i < 3; i++) {
        struct iovec iov = {f->b, 4096};
        struct coffer_segdev_request request;
        unsigned times = 1;
        submit_read(f, &request, &iov, 1);
        while (!answer_with(f, &request, -ends[i].os_errno)) {
            times++;
            assert_true(times < 5000);
        }
        assert_int_equal(request.result, ends[i].error);
        assert_int_equal(request.os_errno, ends[i].os_errno);
    }
}

static void an_error_ends_a_request_and_names_its_cause(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum coffer_segdev_op op;
        int os_errno, error;
    } ends[] = {
        {COFFER_SEGDEV_APPEND, ENOSPC, COFFER_E_NO_SPACE},
        {COFFER_SEGDEV_APPEND, EDQUOT, COFFER_E_NO_SPACE},
        {COFFER_SEGDEV_APPEND, EIO, COFFER_E_IO},
        {COFFER_SEGDEV_APPEND, EROFS, COFFER_E_ACCESS},
        {COFFER_SEGDEV_SYNC, EIO, COFFER_E_IO},
        {COFFER_SEGDEV_SYNC, ENOSPC, COFFER_E_NO_SPACE},
        {COFFER_SEGDEV_CONDITION, ENOSPC, COFFER_E_NO_SPACE},
        {COFFER_SEGDEV_TRIM, EIO, COFFER_E_IO},
        {COFFER_SEGDEV_TRIM, EOPNOTSUPP, 0}, /* a trim is a hint */
        {COFFER_SEGDEV_READ, ENOMEM, COFFER_E_NO_MEMORY},
        {COFFER_SEGDEV_READ, EIO, COFFER_E_IO},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct iovec iov = {f->b, 4096};
        struct coffer_segdev_request request = {
            .op = ends[i].op, .segment = 7, .iov = &iov, .iov_count = 1, .buffer_index = -1};
        assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
        assert_true(answer_with(f, &request, -ends[i].os_errno));
        assert_int_equal(request.result, ends[i].error);
        assert_int_equal(request.os_errno, ends[i].error == 0 ? 0 : ends[i].os_errno);
    }
}

/* 16 pieces of 4 and 12 KiB; the answer says that some bytes came, the buffer's rest is wiped, and
 * what follows must fill exactly that. */
static void a_short_transfer_is_resumed_where_it_broke_off(void **state)
{
    struct fixture *f = *state;
    static const uint32_t breaks[] = {0, 4096, 8192, 12288, 16384, 20480, 65536, 100352, 126976};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        struct iovec iov[16];
        struct coffer_segdev_request request;
        uint32_t total = 0;
        for (size_t j = 0; j < 16; j++) {
            iov[j] = (struct iovec){f->b + total, j % 2 == 0 ? 4096 : 12288};
            total += (uint32_t)iov[j].iov_len;
        }
        submit_read(f, &request, iov, 16);
        assert_false(answer_with(f, &request, (int)breaks[i]));
        memset(f->b + breaks[i], 0xEE, total - breaks[i]);
        assert_int_equal(finish_one(f, &request), 0);
        assert_memory_equal(f->a, f->b, total);
        assert_int_equal(f->b[total], 0xEE);
    }
}

static void a_break_inside_a_block_goes_on_at_its_start(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {f->b, 65536};
    struct coffer_segdev_request request;
    submit_read(f, &request, &iov, 1);
    assert_false(answer_with(f, &request, 5000));
    memset(f->b + 4096, 0xEE, 65536 - 4096);
    assert_int_equal(finish_one(f, &request), 0);
    assert_memory_equal(f->a, f->b, 65536);
}

static void a_transfer_that_is_short_twice_has_failed(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {f->b, 65536};
    struct coffer_segdev_request request;
    submit_read(f, &request, &iov, 1);
    assert_false(answer_with(f, &request, 8192));
    assert_true(answer_with(f, &request, 8192));
    assert_int_equal(request.result, COFFER_E_IO);
    iov.iov_base = f->a;
    request = (struct coffer_segdev_request){
        .op = COFFER_SEGDEV_APPEND, .segment = 6, .iov = &iov, .iov_count = 1, .buffer_index = -1};
    assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
    assert_false(answer_with(f, &request, 0));
    assert_true(answer_with(f, &request, 0));
    assert_int_equal(request.result, COFFER_E_IO);
}

static void zeros_go_on_after_a_short_write(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev_request request = {
        .op = COFFER_SEGDEV_CONDITION, .segment = 5, .buffer_index = -1};
    assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
    assert_false(answer_with(f, &request, 69632)); /* a part and a block */
    assert_int_equal(finish_one(f, &request), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 5, 0, f->b, SEGMENT), 0);
    assert_true(is_zero(f->b, SEGMENT));
}

/* The slot is free again for the next one, whatever became of this one. */
static void a_failed_compare_and_set_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {f->a, 4096};
    struct coffer_segdev_request request = {.op = COFFER_SEGDEV_ROOT_CAS,
                                            .segment = 0,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .buffer_index = -1};
    make_root(f->a, 7, 7);
    assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
    assert_true(answer_with(f, &request, -EIO)); /* the read of the present slot */
    assert_int_equal(request.result, COFFER_E_IO);
    assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
    assert_true(answer_with(f, &request, 512)); /* short, though the file goes on */
    assert_int_equal(request.result, COFFER_E_IO);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 0, 0, f->b, 4096), 0);
    assert_true(is_zero(f->b, 4096));
    assert_int_equal(run_cas(f, 0, 0, f->a), 0);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(interrupted_and_cancelled_operations_are_done_again),
        EACH(operations_are_not_done_again_for_ever),
        EACH(an_error_ends_a_request_and_names_its_cause),
        EACH(a_short_transfer_is_resumed_where_it_broke_off),
        EACH(a_break_inside_a_block_goes_on_at_its_start),
        EACH(a_transfer_that_is_short_twice_has_failed),
        EACH(zeros_go_on_after_a_short_write),
        EACH(a_failed_compare_and_set_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
