/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three threads overwrite and read a volume that fills most of its store, so that the cleaner works
 * all the time: in their own slices, or on a thread of the store's (COFFER_OPEN_BACKGROUND). Each
 * reads what it wrote, pages that moved between among them; a check finds nothing, before and after
 * closing; TSan has nothing to say.
 */
#include "common/prng.h"

#include <coffer/coffer.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define THREADS 3u
#define PAGES_EACH 3200u /* 9,600 of a capacity of 11,520 */
#define WRITES 6000u
#define STORE_BYTES (64u << 20)

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t versions[PAGES_EACH];
    const char *failed; /* cmocka's asserts belong to the main thread */
};

static struct worker workers[THREADS];
static struct coffer_store *store;
static struct coffer_volume *volume;
static char path[64];
static unsigned open_flags;

static uint64_t page_of(const struct worker *worker, uint64_t index)
{
    return index * THREADS + worker->number;
}

static void fill_page(uint8_t *page, uint64_t number, uint64_t version)
{
    struct prng prng = {prng_mix(number, version)};
    for (unsigned i = 0; i < PAGE; i += 8) {
        uint64_t word = prng_next(&prng);
        memcpy(page + i, &word, 8);
    }
}

static void write_page(struct worker *worker, uint64_t index, uint64_t version)
{
    uint8_t page[PAGE];
    fill_page(page, page_of(worker, index), version);
    worker->versions[index] = version;
    if (coffer_volume_write(volume, page, page_of(worker, index) * PAGE, PAGE, 0, NULL) != 0) {
        worker->failed = "write";
    }
}

static void check_page(struct worker *worker, uint64_t index)
{
    uint8_t seen[PAGE], expected[PAGE];
    fill_page(expected, page_of(worker, index), worker->versions[index]);
    if (coffer_volume_read(volume, seen, page_of(worker, index) * PAGE, PAGE, NULL) != 0) {
        worker->failed = "read";
    } else if (memcmp(seen, expected, PAGE) != 0) {
        worker->failed = "wrong bytes";
    }
}

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    struct prng prng = {worker->number + 1u};
    for (uint64_t i = 0; i < PAGES_EACH && worker->failed == NULL; i++) {
        write_page(worker, i, 1);
    }
    for (uint64_t i = 0; i < WRITES && worker->failed == NULL; i++) {
        write_page(worker, prng_below(&prng, PAGES_EACH), i + 2u);
        check_page(worker, prng_below(&prng, PAGES_EACH));
    }
    return NULL;
}

static void open_store(void)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .flags = open_flags};
    int err = coffer_store_open(&opts, &store, NULL);
    if (err == COFFER_E_UNSUPPORTED) {
        open_flags = opts.flags = open_flags | COFFER_OPEN_BUFFERED;
        err = coffer_store_open(&opts, &store, NULL);
    }
    assert_int_equal(err, 0);
}

static void open_volume(void)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts, .name = "v"};
    assert_int_equal(coffer_volume_open(store, &opts, &volume, NULL), 0);
}

static void check_store(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(store, &opts, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
}

static void run(unsigned flags)
{
    struct coffer_store_create_opts create = {
        .size = sizeof create, .path = path, .size_bytes = STORE_BYTES, .segment_bytes = 1u << 20};
    struct coffer_volume_create_opts made = {.size = sizeof made,
                                             .name = "v",
                                             .size_bytes = THREADS * PAGES_EACH * PAGE,
                                             .not_encrypted = 1};
    struct coffer_store_info info = {.size = sizeof info};
    open_flags = flags;
    memset(workers, 0, sizeof workers);
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    open_store();
    assert_int_equal(coffer_volume_create(store, &made, NULL), 0);
    open_volume();
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_null(workers[i].failed);
    }
    assert_int_equal(coffer_store_info_get(store, &info), 0);
    assert_true(info.cleaned_segments > 20 && info.moved_bytes > STORE_BYTES / 8u);
    assert_int_equal(coffer_volume_close(volume), 0);
    check_store();
    assert_int_equal(coffer_store_close(store), 0);
    open_store();
    check_store();
    open_volume();
    for (unsigned i = 0; i < THREADS; i++) {
        for (uint64_t at = 0; at < PAGES_EACH; at++) {
            check_page(&workers[i], at);
        }
        assert_null(workers[i].failed);
    }
    assert_int_equal(coffer_store_close(store), 0);
}

static int setup(void **state)
{
    int fd;
    (void)state;
    strcpy(path, "cleaning-test-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void callers_clean(void **state)
{
    (void)state;
    run(0);
}

static void a_thread_cleans(void **state)
{
    (void)state;
    run(COFFER_OPEN_BACKGROUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callers_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_cleans, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
