/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_fault_test.c - when something fails: memory, file size limit, threads and processes
 * that go away, two writers of one root slot.
 */
#include "segdev_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct scarce {
    unsigned asked;
    unsigned fail_at; /* the allocation that fails, from 1; 0: none */
    int outstanding;
};

static void *scarce_alloc(void *ctx, size_t bytes)
{
    struct scarce *scarce = ctx;
    if (++scarce->asked == scarce->fail_at) {
        return NULL;
    }
    scarce->outstanding++;
    return malloc(bytes);
}

static void scarce_dealloc(void *ctx, void *memory)
{
    struct scarce *scarce = ctx;
    scarce->outstanding--;
    free(memory);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_paths(f);
    *state = f;
    return 0;
}

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

/* Open, a channel, registration, one append: 0 or the first error; nothing stays open. */
static int whole_life(struct fixture *f, const struct coffer_env *env, int memory, int *ret_made)
{
    struct coffer_segdev *dev = NULL;
    struct iovec buffer = {f->a, 65536};
    struct coffer_segdev_request append = {.op = COFFER_SEGDEV_APPEND,
                                           .segment = 1,
                                           .iov = &buffer,
                                           .iov_count = 1,
                                           .buffer_index = 0};
    struct coffer_segdev_channel *channel = NULL;
    struct coffer_segdev_request *list;
    int error = memory ? coffer_segdev_memory_open(env, DEVICE, SEGMENT, &dev)
                       : coffer_segdev_file_open(env, f->path,
                                                 COFFER_SEGDEV_CREATE | transfer_flags(f->path),
                                                 DEVICE, SEGMENT, &dev, NULL);
    *ret_made = error == 0;
    if (error != 0) {
        assert_null(dev);
        return error;
    }
    error = dev->ops->channel_open(dev, 4, &channel);
    if (error == 0) {
        if (dev->ops->channel_register != NULL) {
            (void)dev->ops->channel_register(channel, &buffer, 1); /* its failure is harmless */
        }
        error = dev->ops->submit(channel, &append);
        assert_int_equal(error, 0);
        assert_int_equal(dev->ops->poll(channel, 1, &list), 1);
        error = append.result;
        dev->ops->channel_close(channel);
    } else {
        assert_null(channel);
    }
    dev->ops->close(dev);
    return error;
}

static void every_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    for (int memory = 0; memory < 2; memory++) {
        struct scarce scarce = {0};
        struct coffer_env env = {
            .size = sizeof env, .ctx = &scarce, .alloc = scarce_alloc, .dealloc = scarce_dealloc};
        unsigned needed;
        int made;
        assert_int_equal(whole_life(f, &env, memory, &made), 0);
        assert_int_equal(scarce.outstanding, 0);
        needed = scarce.asked;
        assert_true(needed >= 4);
        (void)unlink(f->path);
        for (unsigned k = 1; k <= needed; k++) {
            int error;
            scarce = (struct scarce){.fail_at = k};
            error = whole_life(f, &env, memory, &made);
            assert_true(error == COFFER_E_NO_MEMORY || error == 0);
            assert_int_equal(scarce.outstanding, 0);
            assert_int_equal(access(f->path, F_OK) == 0, made && !memory);
            (void)unlink(f->path);
        }
    }
}

/* The limit cuts an append in two: the part below it is written, the rest tells why. */
static void a_short_append_brings_out_the_error_behind_it(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, before;
    int appended, grown;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 5ull * SEGMENT + 65536;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    appended = run(f, COFFER_SEGDEV_APPEND, 5, 0, f->a, 131072);
    grown = run(f, COFFER_SEGDEV_GROW, 100, 0, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(appended, COFFER_E_NO_SPACE);
    assert_int_equal(grown, COFFER_E_NO_SPACE);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 5, 0, f->b, 131072), 0);
    assert_memory_equal(f->a, f->b, 65536);
    assert_true(is_zero(f->b + 65536, 65536));
}

#define LEFT_BEHIND 16u

struct passer {
    struct fixture *f;
    struct coffer_segdev_request *requests;
    unsigned count;
};

static void *submit_and_go(void *arg)
{
    struct passer *passer = arg;
    struct coffer_segdev_request *list;
    for (unsigned i = 0; i < passer->count; i++) {
        assert_int_equal(passer->f->dev->ops->submit(passer->f->channel, &passer->requests[i]), 0);
    }
    /* Hand over without waiting. What has completed already is put back by counting it here. */
    passer->count = (unsigned)passer->f->dev->ops->poll(passer->f->channel, 0, &list);
    return NULL;
}

/* Trims and syncs are left to kernel workers of the thread that submitted them, and those end with
 * it; kernels differ in what becomes of the work that still waits. */
static void what_a_thread_left_behind_completes_all_the_same(void **state)
{
    struct fixture *f = *state;
    for (uint32_t round = 0; round < 10; round++) {
        struct coffer_segdev_request requests[LEFT_BEHIND];
        struct passer passer = {f, requests, LEFT_BEHIND};
        struct coffer_segdev_request *list;
        unsigned complete;
        pthread_t thread;
        for (uint32_t i = 0; i < LEFT_BEHIND; i++) {
            assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 1 + i, 0, f->a, SEGMENT), 0);
            requests[i] = (struct coffer_segdev_request){.op = i % 4 == 3 ? COFFER_SEGDEV_SYNC
                                                                          : COFFER_SEGDEV_TRIM,
                                                         .segment = 1 + i,
                                                         .buffer_index = -1,
                                                         .result = 1};
        }
        assert_int_equal(pthread_create(&thread, NULL, submit_and_go, &passer), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        complete = passer.count;
        while (complete < LEFT_BEHIND) {
            int count = f->dev->ops->poll(f->channel, 1, &list);
            assert_true(count > 0);
            complete += (unsigned)count;
        }
        for (unsigned i = 0; i < LEFT_BEHIND; i++) {
            assert_int_equal(requests[i].result, 0);
        }
    }
}

static void two_writers_of_a_root_do_not_both_win(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev_channel *other = NULL;
    struct coffer_segdev_request *list;
    struct iovec first_iov = {f->a, 4096}, second_iov = {f->b, 4096};
    struct coffer_segdev_request first = {.op = COFFER_SEGDEV_ROOT_CAS,
                                          .segment = 1,
                                          .iov = &first_iov,
                                          .iov_count = 1,
                                          .buffer_index = -1};
    struct coffer_segdev_request second = {.op = COFFER_SEGDEV_ROOT_CAS,
                                           .segment = 1,
                                           .iov = &second_iov,
                                           .iov_count = 1,
                                           .buffer_index = -1};
    unsigned complete = 0;
    int error;
    make_root(f->a, 5, 1);
    make_root(f->b, 5, 2);
    second.result = 1;
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &other), 0);
    assert_int_equal(f->dev->ops->submit(f->channel, &first), 0);
    error = f->dev->ops->submit(other, &second);
    while (complete < 2) { /* in step, so that each would read before the other has written */
        complete += (unsigned)f->dev->ops->poll(f->channel, 0, &list);
        complete += (unsigned)f->dev->ops->poll(other, 0, &list);
        if (error != 0) {
            assert_int_equal(error, COFFER_E_AGAIN);
            error = f->dev->ops->submit(other, &second);
        }
    }
    assert_int_equal(first.result, 0);
    assert_int_equal(second.result, COFFER_E_BUSY);
    f->dev->ops->channel_close(other);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 1, 0, f->b, 4096), 0);
    assert_memory_equal(f->a, f->b, 4096);
}

/* A process killed with work under way must not keep the store locked. */
static void the_lock_of_a_killed_process_is_free_at_once(void **state)
{
    struct fixture *f = *state;
    unsigned flags = transfer_flags(f->path);
    for (unsigned round = 0; round < 5; round++) {
        int ready[2], status;
        char byte;
        pid_t child;
        struct coffer_segdev *dev = NULL;
        assert_int_equal(pipe(ready), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct coffer_segdev_request *list;
            struct coffer_segdev_request zeros = {
                .op = COFFER_SEGDEV_CONDITION, .segment = 2, .buffer_index = -1};
            unsigned create = round == 0 ? COFFER_SEGDEV_CREATE : 0;
            if (coffer_segdev_file_open(NULL, f->path, create | flags, DEVICE, SEGMENT, &dev,
                                        NULL) != 0 ||
                dev->ops->channel_open(dev, 4, &f->channel) != 0 ||
                dev->ops->submit(f->channel, &zeros) != 0 ||
                dev->ops->poll(f->channel, 0, &list) < 0 || write(ready[1], "r", 1) != 1) {
                _exit(1);
            }
            for (;;) {
                pause();
            }
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(coffer_segdev_file_open(NULL, f->path, flags, 0, SEGMENT, &dev, NULL), 0);
        dev->ops->close(dev);
    }
}

static void memory_holds_its_users_to_append_only(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 4096, f->a, 4096), COFFER_E_INVALID);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 0, f->a, 8192), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 4096, f->a, 4096), COFFER_E_INVALID);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 12288, f->a, 4096), COFFER_E_INVALID);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 8192, f->a, 4096), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 2, 0, f->a + 4096, 4096), 0); /* anew */
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 2, 0, f->b, 4096), 0);
    assert_memory_equal(f->b, f->a + 4096, 4096);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 64, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 65, 0, NULL, 0), COFFER_E_NO_SPACE);
    assert_int_equal(f->dev->ops->set_segment_bytes(f->dev, SEGMENT), 0);
    assert_int_equal(f->dev->ops->set_segment_bytes(f->dev, 2 * SEGMENT), COFFER_E_INVALID);
}

static void memory_of_bad_sizes_is_refused(void **state)
{
    struct coffer_segdev *dev = NULL;
    (void)state;
    assert_int_equal(coffer_segdev_memory_open(NULL, DEVICE - 1, SEGMENT, &dev), COFFER_E_INVALID);
    assert_int_equal(coffer_segdev_memory_open(NULL, DEVICE, 12345, &dev), COFFER_E_INVALID);
    assert_int_equal(coffer_segdev_memory_open(NULL, UINT64_MAX, SEGMENT, &dev), COFFER_E_INVALID);
    assert_null(dev);
}

struct worker {
    struct coffer_segdev *dev;
    uint32_t first_segment;
    uint8_t mark;
    bool failed;
};

static void *fill_own_segments(void *arg)
{
    struct worker *worker = arg;
    struct coffer_segdev_channel *channel = NULL;
    uint8_t *memory = aligned_alloc(4096, 65536);
    worker->failed =
        memory == NULL || worker->dev->ops->channel_open(worker->dev, 4, &channel) != 0;
    for (uint32_t i = 0; i < 128 && !worker->failed; i++) {
        enum coffer_segdev_op op = i % 4 == 3 ? COFFER_SEGDEV_READ : COFFER_SEGDEV_APPEND;
        struct iovec iov = {memory, 65536};
        struct coffer_segdev_request request = {.op = op,
                                                .segment = worker->first_segment + i / 16,
                                                .iov = &iov,
                                                .iov_count = 1,
                                                .buffer_index = -1};
        struct coffer_segdev_request *list;
        memset(memory, op == COFFER_SEGDEV_READ ? 0 : worker->mark, 65536);
        worker->failed = worker->dev->ops->submit(channel, &request) != 0 ||
                         worker->dev->ops->poll(channel, 1, &list) != 1 || request.result != 0 ||
                         memory[0] != worker->mark || memory[65535] != worker->mark;
    }
    if (channel != NULL) {
        worker->dev->ops->channel_close(channel);
    }
    free(memory);
    return NULL;
}

static void threads_use_segments_of_their_own_at_once(void **state)
{
    struct fixture *f = *state;
    struct worker workers[3];
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        workers[i] = (struct worker){f->dev, 1 + i * 9, (uint8_t)(i + 1), false};
        assert_int_equal(pthread_create(&threads[i], NULL, fill_own_segments, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(workers[i].failed);
    }
}

#define WITH(set_up, test)                                    \
    {                                                         \
#test " (" #set_up ")", test, set_up, tear_down, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(set_up, every_allocation_may_fail),
        WITH(set_up_file, a_short_append_brings_out_the_error_behind_it),
        WITH(set_up_buffered, a_short_append_brings_out_the_error_behind_it),
        WITH(set_up_file, what_a_thread_left_behind_completes_all_the_same),
        WITH(set_up_buffered, what_a_thread_left_behind_completes_all_the_same),
        WITH(set_up_file, two_writers_of_a_root_do_not_both_win),
        WITH(set_up_memory, two_writers_of_a_root_do_not_both_win),
        WITH(set_up, the_lock_of_a_killed_process_is_free_at_once),
        WITH(set_up_memory, memory_holds_its_users_to_append_only),
        WITH(set_up, memory_of_bad_sizes_is_refused),
        WITH(set_up_file, threads_use_segments_of_their_own_at_once),
        WITH(set_up_memory, threads_use_segments_of_their_own_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
