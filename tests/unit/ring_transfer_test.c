/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/ring_transfer_test.c - the ring by itself: transfers, bounds, waking, registered buffers.
 *
 * Every case runs on a ring that may change hands, on one of a single thread, and on one that does
 * without io_uring.
 */
#include "ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    struct cof_env env;
    struct cof_ring *ring;
    int fd;
    unsigned flags;
};

static struct bed *lay(unsigned flags)
{
    struct bed *bed = calloc(1, sizeof *bed);
    char path[] = "ring-test-XXXXXX";
    assert_non_null(bed);
    cof_env_init(&bed->env, NULL);
    bed->flags = flags;
    bed->fd = mkstemp(path);
    assert_true(bed->fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cof_ring_open(&bed->env, bed->fd, 8, flags, &bed->ring), 0);
    return bed;
}

static int set_up(void **state)
{
    *state = lay(0);
    return 0;
}

static int set_up_one_thread(void **state)
{
    *state = lay(COF_RING_ONE_THREAD);
    return 0;
}

static int set_up_inline(void **state)
{
    *state = lay(COF_RING_INLINE);
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    cof_ring_close(bed->ring);
    assert_int_equal(atomic_load(&bed->env.heap_bytes), 0);
    assert_int_equal(close(bed->fd), 0);
    free(bed);
    return 0;
}

static int once(struct cof_ring *ring, struct cof_ring_op op)
{
    struct cof_ring_completion done;
    int mark;
    op.user = &mark;
    assert_int_equal(cof_ring_queue(ring, &op), 0);
    assert_int_equal(cof_ring_in_flight(ring), 1);
    assert_int_equal(cof_ring_reap(ring, 1, &done, 1), 1);
    assert_ptr_equal(done.user, &mark);
    assert_int_equal(cof_ring_in_flight(ring), 0);
    return done.result;
}

static void bytes_written_are_read_back(void **state)
{
    struct bed *bed = *state;
    char text[] = "a log-structured store", got[64] = "", tail[8] = "";
    struct iovec one = {text, sizeof text};
    struct iovec two[2] = {{got, 5}, {got + 5, sizeof text - 5}};
    struct iovec short_one = {tail, sizeof tail};
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_WRITE,
                                                          .iov = &one,
                                                          .iov_count = 1,
                                                          .buffer_index = -1,
                                                          .offset_bytes = 4096}),
                     sizeof text);
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_READ,
                                                          .iov = two,
                                                          .iov_count = 2,
                                                          .buffer_index = -1,
                                                          .offset_bytes = 4096}),
                     sizeof text);
    assert_string_equal(text, got);
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_DATASYNC}), 0);
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_READ,
                                                          .iov = &short_one,
                                                          .iov_count = 1,
                                                          .buffer_index = -1,
                                                          .offset_bytes = 4096 + 20}),
                     sizeof text - 20); /* short at the end of the file: reported as it is */
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_NOTHING}), 0);
}

static void a_hole_is_punched(void **state)
{
    struct bed *bed = *state;
    uint8_t block[4096];
    struct iovec iov = {block, sizeof block};
    int result;
    memset(block, 7, sizeof block);
    assert_int_equal(pwrite(bed->fd, block, sizeof block, 0), sizeof block);
    result =
        once(bed->ring, (struct cof_ring_op){.verb = COF_RING_FALLOCATE,
                                             .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                             .length_bytes = sizeof block});
    if (result == -EOPNOTSUPP) {
        skip();
    }
    assert_int_equal(result, 0);
    assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_READ,
                                                          .iov = &iov,
                                                          .iov_count = 1,
                                                          .buffer_index = -1}),
                     sizeof block);
    for (size_t i = 0; i < sizeof block; i++) {
        assert_int_equal(block[i], 0);
    }
}

static void registered_buffers_carry_and_strangers_still_pass(void **state)
{
    struct bed *bed = *state;
    uint8_t *mine = aligned_alloc(4096, 8192), *other = aligned_alloc(4096, 4096);
    struct iovec registered = {mine, 8192};
    struct iovec inside = {mine + 4096, 4096}, outside = {other, 4096};
    int error = cof_ring_register_buffers(bed->ring, &registered, 1);
    assert_true(error == 0 || error == COFFER_E_NO_MEMORY); /* a low RLIMIT_MEMLOCK */
    memset(mine, 0x5A, 8192);
    memset(other, 0, 4096);
    for (int index = -1; index < 3; index++) {
        assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_WRITE,
                                                              .iov = &inside,
                                                              .iov_count = 1,
                                                              .buffer_index = index}),
                         4096);
        memset(other, 0, 4096);
        assert_int_equal(once(bed->ring, (struct cof_ring_op){.verb = COF_RING_READ,
                                                              .iov = &outside,
                                                              .iov_count = 1,
                                                              .buffer_index = index}),
                         4096);
        assert_memory_equal(mine + 4096, other, 4096);
    }
    assert_int_equal(cof_ring_register_buffers(bed->ring, &registered, 1), error);
    assert_int_equal(cof_ring_register_buffers(bed->ring, NULL, 0), 0);
    assert_int_equal(cof_ring_register_buffers(bed->ring, NULL, 1), COFFER_E_INVALID);
    free(mine);
    free(other);
}

static void no_more_than_its_depth_is_under_way(void **state)
{
    struct bed *bed = *state;
    struct cof_ring_op op = {.verb = COF_RING_NOTHING};
    struct cof_ring_completion done[16];
    int marks[8];
    unsigned seen = 0;
    for (int i = 0; i < 8; i++) {
        op.user = &marks[i];
        assert_int_equal(cof_ring_queue(bed->ring, &op), 0);
    }
    assert_int_equal(cof_ring_queue(bed->ring, &op), COFFER_E_AGAIN);
    assert_int_equal(cof_ring_reap(bed->ring, 0, NULL, 0), 0);
    assert_int_equal(cof_ring_queue(bed->ring, &op), COFFER_E_AGAIN); /* not reaped yet */
    assert_int_equal(cof_ring_reap(bed->ring, 100, done, 3), 3);
    assert_int_equal(cof_ring_reap(bed->ring, 100, done + 3, 13), 5);
    for (int i = 0; i < 8; i++) {
        seen |= 1u << ((int *)done[i].user - marks);
    }
    assert_int_equal(seen, 0xFF);
    assert_int_equal(cof_ring_reap(bed->ring, 1, done, 16), 0); /* never waits for nothing */
}

/* Kept back while it is alone; with company, or when nobody waits, it goes all the same. */
static void a_sync_completes_alone_and_in_company(void **state)
{
    struct bed *bed = *state;
    struct cof_ring_op sync = {.verb = COF_RING_DATASYNC}, other = {.verb = COF_RING_NOTHING};
    struct cof_ring_completion done[2];
    int marks[2], taken;
    sync.user = &marks[0];
    other.user = &marks[1];
    assert_int_equal(cof_ring_queue(bed->ring, &sync), 0);
    taken = cof_ring_reap(bed->ring, 0, done, 2);
    assert_true(taken == 0 || taken == 1);
    assert_int_equal(taken + cof_ring_reap(bed->ring, 1, done + taken, 1), 1);
    assert_ptr_equal(done[0].user, &marks[0]);
    assert_int_equal(done[0].result, 0);
    assert_int_equal(cof_ring_queue(bed->ring, &sync), 0);
    assert_int_equal(cof_ring_queue(bed->ring, &other), 0);
    assert_int_equal(cof_ring_in_flight(bed->ring), 2);
    assert_int_equal(cof_ring_reap(bed->ring, 2, done, 2), 2);
    assert_ptr_not_equal(done[0].user, done[1].user);
    assert_int_equal(done[0].result, 0);
    assert_int_equal(done[1].result, 0);
    assert_int_equal(cof_ring_in_flight(bed->ring), 0);
}

struct pipe_bed {
    int ends[2];
    struct cof_ring *ring;
};

static void *write_later(void *arg)
{
    struct pipe_bed *pipes = arg;
    usleep(50000);
    assert_int_equal(write(pipes->ends[1], "x", 1), 1);
    return NULL;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Wait by poll(2) on the ring's descriptor until a read that was submitted has its byte. When time
 * runs out poll looks once more and may find it readable, so the time itself is checked. */
static void wait_by_descriptor(struct cof_ring *ring, char *got)
{
    struct iovec iov = {got, 1};
    struct cof_ring_op op = {
        .verb = COF_RING_READ, .iov = &iov, .iov_count = 1, .buffer_index = -1};
    struct pollfd wait = {.fd = cof_ring_fd(ring), .events = POLLIN};
    struct cof_ring_completion done;
    uint64_t start = now_ms();
    int taken;
    assert_int_equal(cof_ring_queue(ring, &op), 0);
    taken = cof_ring_reap(ring, 0, &done, 1);
    for (int wakes = 0; taken == 0; wakes++) {
        int woken = poll(&wait, 1, 5000);
        assert_true(woken == 1 || (woken < 0 && errno == EINTR));
        assert_true(wakes < 5); /* it may be readable for nothing, but does not stay so */
        taken = cof_ring_reap(ring, 0, &done, 1);
    }
    assert_int_equal(taken, 1);
    assert_true(now_ms() - start < 4000);
    assert_int_equal(done.result, 1);
    assert_int_equal(*got, 'x');
    assert_int_equal(cof_ring_reap(ring, 0, &done, 1), 0);
    assert_int_equal(poll(&wait, 1, 0), 0);
}

static void the_descriptor_wakes_a_sleeper(void **state)
{
    struct bed *bed = *state;
    struct pipe_bed pipes;
    pthread_t thread;
    pid_t child;
    int status;
    char got = 0;
    assert_int_equal(pipe(pipes.ends), 0);
    assert_int_equal(cof_ring_open(&bed->env, pipes.ends[0], 4, bed->flags, &pipes.ring), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_later, &pipes), 0);
    wait_by_descriptor(pipes.ring, &got);
    assert_int_equal(pthread_join(thread, NULL), 0);
    got = 0;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(50000);
        _exit(write(pipes.ends[1], "x", 1) == 1 ? 0 : 1);
    }
    wait_by_descriptor(pipes.ring, &got);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    cof_ring_close(pipes.ring);
    close(pipes.ends[0]);
    close(pipes.ends[1]);
}

static void completions_that_are_left_keep_it_readable(void **state)
{
    struct bed *bed = *state;
    struct pollfd wait = {.fd = cof_ring_fd(bed->ring), .events = POLLIN};
    struct cof_ring_op op = {.verb = COF_RING_NOTHING};
    struct cof_ring_completion done[2];
    assert_true(wait.fd >= 0);
    assert_int_equal(cof_ring_queue(bed->ring, &op), 0);
    assert_int_equal(cof_ring_queue(bed->ring, &op), 0);
    assert_int_equal(cof_ring_queue(bed->ring, &op), 0);
    assert_int_equal(cof_ring_reap(bed->ring, 1, done, 1), 1);
    assert_int_equal(poll(&wait, 1, 0), 1);
    assert_int_equal(cof_ring_reap(bed->ring, 2, done, 2), 2);
    assert_int_equal(cof_ring_reap(bed->ring, 0, done, 2), 0);
    assert_int_equal(poll(&wait, 1, 0), 0);
}

static void errno_becomes_an_error(void **state)
{
    static const int map[][2] = {
        {0, 0},
        {EIO, COFFER_E_IO},
        {ENOSPC, COFFER_E_NO_SPACE},
        {EDQUOT, COFFER_E_NO_SPACE},
        {EFBIG, COFFER_E_NO_SPACE},
        {ECANCELED, COFFER_E_CANCELLED},
        {EROFS, COFFER_E_ACCESS},
        {EACCES, COFFER_E_ACCESS},
        {EPERM, COFFER_E_ACCESS},
        {ENOMEM, COFFER_E_NO_MEMORY},
        {EBUSY, COFFER_E_BUSY},
        {ENOENT, COFFER_E_NOT_FOUND},
        {EOPNOTSUPP, COFFER_E_UNSUPPORTED},
        {ENODEV, COFFER_E_IO},
        {EREMOTEIO, COFFER_E_IO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        assert_int_equal(cof_ring_error_of(map[i][0]), map[i][1]);
    }
}

static void bad_arguments_are_refused(void **state)
{
    struct bed *bed = *state;
    struct cof_ring *ring = NULL;
    assert_int_equal(cof_ring_open(&bed->env, bed->fd, 0, 0, &ring), COFFER_E_INVALID);
    assert_int_equal(cof_ring_open(&bed->env, bed->fd, 4097, 0, &ring), COFFER_E_INVALID);
    assert_int_equal(cof_ring_open(&bed->env, bed->fd, 8, 64, &ring), COFFER_E_INVALID);
    assert_null(ring);
    cof_ring_close(NULL);
}

#define EACH(set_up, test)                                    \
    {                                                         \
#test " (" #set_up ")", test, set_up, tear_down, NULL \
    }
#define ALL(set_up)                                                             \
    EACH(set_up, bytes_written_are_read_back), EACH(set_up, a_hole_is_punched), \
        EACH(set_up, registered_buffers_carry_and_strangers_still_pass),        \
        EACH(set_up, no_more_than_its_depth_is_under_way),                      \
        EACH(set_up, a_sync_completes_alone_and_in_company),                    \
        EACH(set_up, completions_that_are_left_keep_it_readable),               \
        EACH(set_up, bad_arguments_are_refused)

int main(void)
{
    /* An inline ring has nothing in flight while its owner sleeps. */
    const struct CMUnitTest tests[] = {ALL(set_up),
                                       ALL(set_up_one_thread),
                                       ALL(set_up_inline),
                                       EACH(set_up, the_descriptor_wakes_a_sleeper),
                                       EACH(set_up_one_thread, the_descriptor_wakes_a_sleeper),
                                       cmocka_unit_test(errno_becomes_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
