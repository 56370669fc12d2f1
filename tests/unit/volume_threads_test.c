/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four threads on two volumes of one store, through queues of their own and the synchronous calls,
 * with flushes that overlap and checkpoints that run between: each thread reads what it wrote, all
 * of it is there after closing, on a disk and in memory, and TSan finds nothing to say (label
 * concurrent: pthread_create).
 */
#include "common/fake_kms.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define THREADS 4u
#define PAGES_EACH 256u
#define DEPTH 8u
#define ROUNDS 60u
#define LARGE_PAGES 128u /* of a request */
#define IN_MEMORY "/dev/shm"

struct worker {
    pthread_t thread;
    unsigned number;
    struct coffer_store *store;
    struct coffer_volume *volume;
    uint64_t versions[PAGES_EACH];
    uint8_t buffers[DEPTH][PAGE];
    const char *failed; /* cmocka's asserts belong to the main thread */
    int error;
};

static struct worker workers[THREADS];
static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *volumes[2];
static char path[64];
static unsigned open_flags;

static void fill_page(uint8_t *page, uint64_t number, uint64_t version)
{
    struct prng prng = {prng_mix(number, version)};
    for (unsigned i = 0; i < PAGE; i += 8) {
        uint64_t word = version == 0 ? 0 : prng_next(&prng);
        memcpy(page + i, &word, 8);
    }
}

static uint64_t page_of(const struct worker *worker, uint64_t index)
{
    return index * 2u + worker->number / 2u; /* two threads share a volume, page by page */
}

static int keep(struct worker *worker, int error, const char *what)
{
    if (error != 0 && worker->failed == NULL) {
        worker->failed = what;
        worker->error = error;
    }
    return error;
}

static void check_one(struct worker *worker, uint64_t index)
{
    uint8_t seen[PAGE], expected[PAGE];
    uint64_t page = page_of(worker, index);
    if (keep(worker, coffer_volume_read(worker->volume, seen, page * PAGE, PAGE, NULL), "read")) {
        return;
    }
    fill_page(expected, page, worker->versions[index]);
    keep(worker, memcmp(seen, expected, PAGE) == 0 ? 0 : COFFER_E_INTERNAL, "wrong bytes");
}

static unsigned any_flags(struct prng *prng)
{
    static const unsigned flags[] = {COFFER_IO_FUA, COFFER_IO_WRITE_BACK, COFFER_IO_WRITE_BACK, 0,
                                     0,             0,                    0,                    0};
    return flags[prng_below(prng, 8)];
}

static void sync_round(struct worker *worker, struct prng *prng, uint64_t version)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        uint64_t index = prng_below(prng, PAGES_EACH), page = page_of(worker, index);
        unsigned flags = any_flags(prng);
        if (prng_chance(prng, 1, 10)) {
            keep(worker, coffer_volume_discard(worker->volume, page * PAGE, PAGE, NULL), "discard");
            worker->versions[index] = 0;
        } else {
            fill_page(worker->buffers[0], page, version);
            keep(worker,
                 coffer_volume_write(worker->volume, worker->buffers[0], page * PAGE, PAGE, flags,
                                     NULL),
                 "write");
            worker->versions[index] = version;
        }
        check_one(worker, index);
    }
    keep(worker, coffer_volume_flush(worker->volume, NULL), "flush");
}

static void reap_all(struct worker *worker, struct coffer_queue *queue, unsigned count)
{
    while (count > 0 && worker->failed == NULL) {
        struct coffer_cqe cqe[DEPTH];
        int got = coffer_reap(queue, cqe, DEPTH, 1);
        if (got <= 0) {
            keep(worker, got < 0 ? got : COFFER_E_INTERNAL, "reap");
            return;
        }
        for (int i = 0; i < got; i++) {
            keep(worker, cqe[i].result, "completion");
        }
        count -= (unsigned)got;
    }
}

static void queue_round(struct worker *worker, struct coffer_queue *queue, struct prng *prng,
                        uint64_t version)
{
    struct coffer_io io[DEPTH + 1u];
    struct iovec iov[DEPTH];
    uint64_t first = prng_below(prng, PAGES_EACH - DEPTH);
    unsigned taken = 0;
    memset(io, 0, sizeof io);
    for (unsigned i = 0; i < DEPTH; i++) {
        uint64_t page = page_of(worker, first + i);
        fill_page(worker->buffers[i], page, version);
        worker->versions[first + i] = version;
        iov[i] = (struct iovec){worker->buffers[i], PAGE};
        io[i].op = COFFER_IO_WRITE;
        io[i].flags = any_flags(prng);
        io[i].volume = worker->volume;
        io[i].offset_bytes = page * PAGE;
        io[i].length_bytes = PAGE;
        io[i].iov = &iov[i];
        io[i].iov_count = 1;
    }
    io[DEPTH].op = COFFER_IO_FLUSH;
    io[DEPTH].volume = worker->volume;
    while (taken < DEPTH + 1u && worker->failed == NULL) {
        int got = coffer_submit(queue, io + taken, DEPTH + 1u - taken);
        if (got < 0 && got != COFFER_E_AGAIN) {
            keep(worker, got, "submit");
        }
        taken += got > 0 ? (unsigned)got : 0u;
    }
    reap_all(worker, queue, taken);
    check_one(worker, first + prng_below(prng, DEPTH));
}

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = DEPTH + 1u};
    struct coffer_queue *queue = NULL;
    struct prng prng = {worker->number};
    if (keep(worker, coffer_queue_create(worker->store, &opts, &queue), "queue") != 0) {
        return NULL;
    }
    for (unsigned round = 0; round < ROUNDS && worker->failed == NULL; round++) {
        uint64_t version = (uint64_t)round * THREADS + worker->number + 1u;
        if ((round + worker->number) % 2u == 0) {
            queue_round(worker, queue, &prng, version);
        } else {
            sync_round(worker, &prng, version);
        }
        if (worker->number == 0 && round % 10u == 5) {
            keep(worker, coffer_store_checkpoint(worker->store, NULL), "checkpoint");
        }
        if (worker->number == 1 && round % 5u == 0) {
            int due = coffer_store_maintain(worker->store);
            keep(worker, due < 0 ? due : 0, "maintain");
        }
    }
    coffer_queue_destroy(queue);
    return NULL;
}

static void open_all(bool create)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .flags = open_flags};
    int err = coffer_store_open(&opts, &store, NULL);
    if (err == COFFER_E_UNSUPPORTED) {
        open_flags = opts.flags = COFFER_OPEN_BUFFERED;
        err = coffer_store_open(&opts, &store, NULL);
    }
    assert_int_equal(err, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct coffer_volume_create_opts volume = {.size = sizeof volume,
                                                   .name = i == 0 ? "a" : "b",
                                                   .size_bytes = 2u * PAGES_EACH * PAGE,
                                                   .not_encrypted = i == 1,
                                                   .provider = &kms.api};
        struct coffer_volume_open_opts open = {.size = sizeof open,
                                               .name = volume.name,
                                               .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                               .provider = &kms.api};
        assert_int_equal(create ? coffer_volume_create(store, &volume, NULL) : 0, 0);
        assert_int_equal(coffer_volume_open(store, &open, &volumes[i], NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].store = store;
        workers[i].volume = volumes[i % 2u];
    }
}

static int make(const char *template)
{
    struct coffer_store_create_opts opts = {
        .size = sizeof opts, .size_bytes = 128u << 20, .segment_bytes = 1u << 20};
    int fd;
    snprintf(path, sizeof path, "%s", template);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    opts.path = path;
    open_flags = 0;
    fake_kms_init(&kms, 1);
    memset(workers, 0, sizeof workers);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
    }
    assert_int_equal(coffer_store_create(&opts, NULL), 0);
    open_all(true);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return make("threads-test-XXXXXX");
}

/* A device that works in poll, by whichever thread is there. */
static int setup_in_memory(void **state)
{
    (void)state;
    path[0] = '\0';
    return access(IN_MEMORY, W_OK) == 0 ? make(IN_MEMORY "/threads-test-XXXXXX") : 0;
}

static int teardown(void **state)
{
    (void)state;
    if (path[0] == '\0') {
        return 0;
    }
    (void)coffer_store_close(store);
    return unlink(path);
}

static void check_worker(const struct worker *worker)
{
    if (worker->failed != NULL) {
        fail_msg("thread %u: %s: %s", worker->number, worker->failed,
                 coffer_error_name(worker->error));
    }
}

static void check_workers(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &workers[i];
        for (uint64_t index = 0; index < PAGES_EACH && worker->failed == NULL; index++) {
            check_one(worker, index);
        }
        check_worker(worker);
    }
}

static void threads_read_what_they_wrote(void **state)
{
    (void)state;
    if (path[0] == '\0') {
        skip(); /* no file system in memory */
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    check_workers();
    assert_int_equal(coffer_store_close(store), 0);
    open_all(false);
    check_workers();
}

/* ---- large reads ---- */

static uint8_t whole[2u * PAGES_EACH * PAGE];

static void *read_large(void *ctx)
{
    struct worker *worker = ctx;
    uint8_t *seen = malloc(LARGE_PAGES * PAGE);
    for (unsigned i = 0; seen != NULL && i < ROUNDS; i++) {
        size_t at = i % (2u * PAGES_EACH / LARGE_PAGES) * LARGE_PAGES * PAGE;
        memset(seen, 0, LARGE_PAGES * PAGE);
        keep(worker, coffer_volume_read(worker->volume, seen, at, LARGE_PAGES * PAGE, NULL),
             "large read");
        keep(worker, memcmp(seen, whole + at, LARGE_PAGES * PAGE) == 0 ? 0 : COFFER_E_INTERNAL,
             "wrong bytes");
    }
    keep(worker, seen != NULL ? 0 : COFFER_E_NO_MEMORY, "memory");
    free(seen);
    return NULL;
}

/* They land in memory that all threads share. */
static void large_reads_share_their_memory(void **state)
{
    (void)state;
    if (path[0] == '\0') {
        skip();
    }
    for (uint64_t page = 0; page < 2u * PAGES_EACH; page++) {
        fill_page(whole + page * PAGE, page, 1);
    }
    for (unsigned i = 0; i < 2u; i++) {
        assert_int_equal(coffer_volume_write(volumes[i], whole, 0, sizeof whole, 0, NULL), 0);
    }
    assert_int_equal(coffer_store_close(store), 0);
    open_all(false); /* without it some pages would come from the lane's buffers */
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&workers[i].thread, NULL, read_large, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        check_worker(&workers[i]);
    }
}

/* ---- a caller asleep on the descriptor, beside one who waits for nothing ---- */

#define TURNS 4000u
#define PATIENCE_MS 10000

static atomic_uint turn;

/* A write that is complete in memory: whoever made it need not call again. */
static void *write_back_in_turns(void *ctx)
{
    struct worker *worker = ctx;
    for (unsigned i = 1; i <= TURNS && worker->failed == NULL; i++) {
        while (atomic_load(&turn) != 2u * i - 1u) {
            sched_yield();
        }
        keep(worker,
             coffer_volume_write(worker->volume, whole, 0, 64u * PAGE, COFFER_IO_WRITE_BACK, NULL),
             "write");
        atomic_store(&turn, 2u * i);
    }
    return NULL;
}

static void wait_on_the_descriptor(struct coffer_queue *queue, int fd)
{
    struct coffer_cqe cqe;
    while (coffer_reap(queue, &cqe, 1, 0) == 0) {
        struct pollfd wait = {fd, POLLIN, 0};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    }
    assert_int_equal(cqe.result, 0);
}

static void nobody_is_left_asleep_beside_write_back(void **state)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 4};
    struct iovec iov = {workers[1].buffers[0], PAGE};
    struct coffer_queue *queue;
    int fd;
    (void)state;
    if (path[0] == '\0') {
        skip(); /* no file system in memory */
    }
    assert_int_equal(coffer_queue_create(store, &opts, &queue), 0);
    fd = coffer_queue_fd(queue);
    atomic_store(&turn, 0);
    assert_int_equal(pthread_create(&workers[0].thread, NULL, write_back_in_turns, &workers[0]), 0);
    for (unsigned i = 1; i <= TURNS; i++) {
        struct coffer_io write = {.volume = workers[1].volume, .length_bytes = PAGE};
        struct coffer_io flush = {.op = COFFER_IO_FLUSH, .volume = workers[1].volume};
        write.op = COFFER_IO_WRITE;
        write.iov = &iov;
        write.iov_count = 1;
        atomic_store(&turn, 2u * i - 1u);
        for (volatile unsigned spin = 0; spin < i * 37u % 20000u; spin++) {
        }
        assert_int_equal(coffer_submit(queue, i % 2u == 0 ? &write : &flush, 1), 1);
        wait_on_the_descriptor(queue, fd);
        while (atomic_load(&turn) != 2u * i) {
            sched_yield();
        }
    }
    assert_int_equal(pthread_join(workers[0].thread, NULL), 0);
    check_worker(&workers[0]);
    coffer_queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads_read_what_they_wrote, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_read_what_they_wrote, setup_in_memory, teardown),
        cmocka_unit_test_setup_teardown(large_reads_share_their_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(large_reads_share_their_memory, setup_in_memory, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_left_asleep_beside_write_back, setup_in_memory,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
