/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots are taken, read, restored and deleted while three threads write, resize and checkpoint:
 * each snapshot stays what it was when it was taken, as long as the store stays open and after it
 * was opened again; TSan finds nothing to say (label concurrent: pthread_create).
 */
#include "common/fake_kms.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define PAGES 512u
#define MARK_PAGE 511u /* only the main thread writes it */
#define SNAPSHOTS 24u
/* What a thread does for each snapshot at most, or the store gets full on a slow machine. */
#define PAGES_EACH 1000u
#define RESIZES_EACH 40u

static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *volume, *other;
static char path[64];
static atomic_bool stop;
static atomic_uint taken;
static atomic_int failed;

static void keep(int error)
{
    if (error != 0) {
        atomic_store(&failed, error);
    }
}

/* Wait when `done` of `each` for every snapshot so far are done. */
static bool may_go_on(unsigned done, unsigned each)
{
    if (done < (atomic_load(&taken) + 1u) * each) {
        return true;
    }
    sched_yield();
    return false;
}

/* Page p holds p in each word, or zeros: so a snapshot shows pages of others or half pages. */
static void *write_pages(void *ctx)
{
    struct prng prng = {(uint64_t)(uintptr_t)ctx};
    uint64_t words[PAGE / 8];
    unsigned written = 0;
    while (!atomic_load(&stop)) {
        uint64_t page, version;
        if (!may_go_on(written, PAGES_EACH)) {
            continue;
        }
        written++;
        page = prng_below(&prng, MARK_PAGE);
        version = prng_next(&prng) & 0xffffu;
        for (unsigned i = 0; i < PAGE / 8; i++) {
            words[i] = page << 32 | version;
        }
        keep(coffer_volume_write(volume, words, page * PAGE, PAGE, 0, NULL));
    }
    return NULL;
}

static void *resize_and_checkpoint(void *ctx)
{
    uint64_t pages = 64;
    unsigned done = 0;
    (void)ctx;
    while (!atomic_load(&stop)) {
        if (!may_go_on(done, RESIZES_EACH)) {
            continue;
        }
        done++;
        pages = pages == 64 ? 32 : 64;
        keep(coffer_volume_resize(other, pages * PAGE, NULL));
        keep(coffer_store_checkpoint(store, NULL));
    }
    return NULL;
}

static void open_store(void)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path};
    struct coffer_fault fault;
    int err = coffer_store_open(&opts, &store, &fault);
    if (err != 0) {
        opts.flags = COFFER_OPEN_BUFFERED; /* a file system without O_DIRECT */
        err = coffer_store_open(&opts, &store, &fault);
    }
    assert_int_equal(err, 0);
}

static struct coffer_volume *open_named(const char *name, unsigned flags)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = name, .flags = flags, .provider = &kms.api};
    struct coffer_volume *opened = NULL;
    struct coffer_fault fault;
    int err = coffer_volume_open(store, &opts, &opened, &fault);
    if (err != 0) {
        fail_msg("open of %s: %s: %s", name, coffer_error_name(err), fault.detail);
    }
    return opened;
}

static void make(const char *name, uint64_t pages)
{
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts, .name = name, .size_bytes = pages * PAGE, .provider = &kms.api};
    assert_int_equal(coffer_volume_create(store, &opts, NULL), 0);
}

static void mark(uint64_t value)
{
    uint64_t words[PAGE / 8];
    for (unsigned i = 0; i < PAGE / 8; i++) {
        words[i] = value;
    }
    assert_int_equal(coffer_volume_write(volume, words, MARK_PAGE * PAGE, PAGE, 0, NULL), 0);
}

static void check_snapshot(unsigned number)
{
    char name[32];
    struct coffer_volume *snapshot;
    uint64_t words[PAGE / 8];
    snprintf(name, sizeof name, "v@s%u", number);
    snapshot = open_named(name, COFFER_VOLUME_READ_ONLY);
    for (uint64_t page = 0; page < PAGES; page++) {
        assert_int_equal(coffer_volume_read(snapshot, words, page * PAGE, PAGE, NULL), 0);
        assert_true(page == MARK_PAGE ? words[0] == number + 1u
                                      : words[0] == 0 || words[0] >> 32 == page);
        for (unsigned i = 1; i < PAGE / 8; i++) {
            assert_true(words[i] == words[0]);
        }
    }
    assert_int_equal(coffer_volume_close(snapshot), 0);
}

static struct coffer_snapshot_opts named(unsigned number, char name[32])
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = name, .provider = &kms.api};
    snprintf(name, 32, "s%u", number);
    return opts;
}

static void take_one(unsigned number)
{
    char name[32];
    struct coffer_snapshot_opts opts = named(number, name);
    struct coffer_fault fault;
    int err;
    mark(number + 1u);
    err = coffer_snapshot_create(volume, &opts, NULL, &fault);
    if (err != 0) {
        fail_msg("snapshot %u: %s: %s", number, coffer_error_name(err), fault.detail);
    }
    mark(0);
    check_snapshot(number);
    if (number % 3 == 2) { /* its own parent goes, or becomes hidden */
        struct coffer_snapshot_opts older = named(number - 1u, name);
        err = coffer_snapshot_delete(store, &older, &fault);
        if (err != 0) {
            fail_msg("delete: %s: %s", coffer_error_name(err), fault.detail);
        }
    }
    if (number % 8 == 4) {
        char clone[32];
        struct coffer_snapshot_restore_opts restore = {
            .size = sizeof restore, .snapshot = named(number, name), .new_name = clone};
        snprintf(clone, sizeof clone, "c%u", number);
        assert_int_equal(coffer_snapshot_restore(store, &restore, &fault), 0);
    }
}

static void snapshots_stay_what_they_were(void **state)
{
    struct coffer_store_create_opts create = {.size = sizeof create, .size_bytes = 512u << 20};
    struct coffer_check_opts check = {.size = sizeof check, .provider = &kms.api};
    struct coffer_check_summary summary;
    pthread_t threads[3];
    (void)state;
    snprintf(path, sizeof path, "snapshot-threads.%d.store", (int)getpid());
    create.path = path;
    fake_kms_init(&kms, 5);
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    open_store();
    make("v", PAGES);
    make("other", 64);
    volume = open_named("v", 0);
    other = open_named("other", 0);
    pthread_create(&threads[0], NULL, write_pages, (void *)(uintptr_t)1);
    pthread_create(&threads[1], NULL, write_pages, (void *)(uintptr_t)2);
    pthread_create(&threads[2], NULL, resize_and_checkpoint, NULL);
    for (unsigned number = 0; number < SNAPSHOTS && atomic_load(&failed) == 0; number++) {
        take_one(number);
        atomic_store(&taken, number + 1u);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&failed), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_volume_close(other), 0);
    assert_int_equal(coffer_store_close(store), 0);
    open_store();
    for (unsigned number = 0; number < SNAPSHOTS; number++) {
        if (number % 3 != 1 || number + 1u >= SNAPSHOTS) {
            check_snapshot(number);
        }
    }
    assert_int_equal(coffer_store_check(store, &check, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(coffer_store_close(store), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(snapshots_stay_what_they_were)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
