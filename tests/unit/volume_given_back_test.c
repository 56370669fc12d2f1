/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in a real file gives its file system back what it does not need: free segments wherever
 * they lie, but for a pool; and what is behind its end when it was made smaller. Two threads read
 * and write while it is.
 */
#include <coffer/coffer.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define SEGMENTS 256u
#define POOL 64u /* a quarter */
#define FILLER (150u * MIB)
#define KEPT (24u * MIB)
#define STEP 65536u
#define PAGE 4096u

static char path[64];
static struct coffer_store *store;
static struct coffer_fault fault;
static uint8_t bytes[STEP];

static void must(int err)
{
    if (err != 0) {
        fail_msg("%s: %s", coffer_error_name(err), fault.detail);
    }
}

static void open_store(void)
{
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = path, .flags = COFFER_OPEN_BUFFERED};
    must(coffer_store_open(&opts, &store, &fault));
}

static void make_volume(const char *name, uint64_t size_bytes)
{
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts, .name = name, .size_bytes = size_bytes, .not_encrypted = 1};
    must(coffer_volume_create(store, &opts, &fault));
}

static struct coffer_volume *open_volume(const char *name)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = name, .flags = COFFER_VOLUME_ALLOW_PLAIN};
    struct coffer_volume *volume = NULL;
    must(coffer_volume_open(store, &opts, &volume, &fault));
    return volume;
}

static void write_all(struct coffer_volume *volume, uint64_t length_bytes)
{
    for (uint64_t at = 0; at < length_bytes; at += STEP) {
        memset(bytes, (int)(at / STEP % 251u + 1u), STEP);
        must(coffer_volume_write(volume, bytes, at, STEP, 0, &fault));
    }
}

static void check_all(struct coffer_volume *volume, uint64_t length_bytes)
{
    uint8_t expected[STEP];
    for (uint64_t at = 0; at < length_bytes; at += STEP) {
        memset(expected, (int)(at / STEP % 251u + 1u), STEP);
        must(coffer_volume_read(volume, bytes, at, STEP, &fault));
        assert_memory_equal(bytes, expected, STEP);
    }
}

static struct stat file(void)
{
    struct stat now;
    assert_int_equal(stat(path, &now), 0);
    return now;
}

static uint64_t used_bytes(void)
{
    return (uint64_t)file().st_blocks * 512u;
}

static struct coffer_store_info info_of(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    must(coffer_store_info_get(store, &info));
    return info;
}

static void check_clean(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts};
    struct coffer_check_summary summary;
    must(coffer_store_check(store, &opts, &summary, &fault));
    assert_int_equal(summary.findings, 0);
}

static int setup(void **state)
{
    const char *directory = getenv("TMPDIR");
    struct coffer_store_create_opts opts = {
        .size = sizeof opts, .path = path, .size_bytes = SEGMENTS * MIB, .segment_bytes = 1u << 20};
    int fd;
    (void)state;
    snprintf(path, sizeof path, "%s/coffer-XXXXXX", directory != NULL ? directory : "/tmp");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    must(coffer_store_create(&opts, &fault));
    open_store();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(coffer_store_close(store), 0);
    assert_int_equal(unlink(path), 0);
    return 0;
}

/* A volume whose segments lie above those of one that is discarded then. */
static struct coffer_volume *make_high(void)
{
    struct coffer_volume *filler, *volume;
    make_volume("filler", FILLER);
    make_volume("v", KEPT);
    filler = open_volume("filler");
    volume = open_volume("v");
    write_all(filler, FILLER);
    write_all(volume, KEPT);
    must(coffer_store_checkpoint(store, &fault));
    assert_true(used_bytes() > FILLER + KEPT);
    must(coffer_volume_discard(filler, 0, FILLER, &fault));
    must(coffer_store_checkpoint(store, &fault));
    assert_int_equal(coffer_volume_close(filler), 0);
    return volume;
}

static void free_segments_go_back_wherever_they_lie(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    volume = make_high();
    must(coffer_store_checkpoint(store, &fault));
    assert_true(used_bytes() < info_of().live_bytes + (POOL + 12u) * MIB);
    assert_true(used_bytes() > POOL * MIB); /* which stays, to be taken again */
    assert_int_equal(file().st_size, SEGMENTS * MIB);
    check_all(volume, KEPT);
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean();
    volume = open_volume("filler"); /* holes are taken again */
    write_all(volume, FILLER);
    check_all(volume, FILLER);
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean();
    assert_int_equal(coffer_store_close(store), 0);
    open_store();
    check_clean();
}

/* ---- beside requests ---- */

struct worker {
    struct coffer_volume *volume;
    atomic_bool stop;
    uint64_t rounds;
    int error;
    struct coffer_fault fault;
};

/* Writes its half over, and reads what it wrote. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    uint8_t *page = malloc(2u * PAGE);
    while (page != NULL && worker->error == 0 && !atomic_load(&worker->stop)) {
        uint64_t at = worker->rounds * 7919u % (KEPT / PAGE) * PAGE;
        memset(page, (int)(at / STEP % 251u + 1u), PAGE);
        worker->error = coffer_volume_write(worker->volume, page, at, PAGE, 0, &worker->fault);
        if (worker->error == 0) {
            worker->error =
                coffer_volume_read(worker->volume, page + PAGE, at, PAGE, &worker->fault);
        }
        if (worker->error == 0 && memcmp(page, page + PAGE, PAGE) != 0) {
            worker->error = COFFER_E_INTERNAL;
        }
        worker->rounds++;
    }
    free(page);
    return NULL;
}

static void the_file_is_cut_while_others_work(void **state)
{
    pthread_t threads[2];
    struct worker workers[2] = {{0}};
    (void)state;
    workers[0].volume = make_high();
    make_volume("w", KEPT);
    workers[1].volume = open_volume("w");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    must(coffer_store_resize(store, 100u * MIB, &fault));
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&workers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        fault = workers[i].fault;
        must(workers[i].error);
        assert_true(workers[i].rounds > 0);
    }
    assert_int_equal(file().st_size, 100u * MIB);
    assert_true(used_bytes() <= 100u * MIB);
    check_all(workers[0].volume, KEPT);
    assert_int_equal(coffer_volume_close(workers[0].volume), 0);
    assert_int_equal(coffer_volume_close(workers[1].volume), 0);
    check_clean();
    must(coffer_store_resize(store, SEGMENTS * MIB, &fault));
    assert_int_equal(file().st_size, SEGMENTS * MIB);
    assert_int_equal(coffer_store_close(store), 0);
    assert_int_equal(truncate(path, (off_t)((SEGMENTS + 3u) * MIB)), 0); /* larger than it says */
    open_store();
    assert_int_equal(info_of().segment_count, SEGMENTS);
    must(coffer_store_resize(store, SEGMENTS * MIB, &fault));
    assert_int_equal(file().st_size, SEGMENTS * MIB);
    check_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(free_segments_go_back_wherever_they_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_cut_while_others_work, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
