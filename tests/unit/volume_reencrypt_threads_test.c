/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A family is sealed anew in one thread while others write and read the volume, read its snapshot
 * and clone, and take and delete snapshots: every page is one that was written there, the snapshot
 * stays what it was, and TSan finds nothing to say (label concurrent: pthread_create).
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
#define PAGES 3000u
#define ROUNDS 3u
#define WRITES_PER_STEP 50u /* or the store gets full on a slow machine */

static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *volume, *snapshot;
static char path[64];
static atomic_bool stop;
static atomic_uint steps, written;
static atomic_int failed;

static void keep(int error)
{
    if (error != 0) {
        atomic_store(&failed, error);
    }
}

static void fill(uint64_t words[PAGE / 8], uint64_t page, uint64_t version)
{
    for (unsigned i = 0; i < PAGE / 8; i++) {
        words[i] = page << 32 | version;
    }
}

/* The whole page is one version of this page; which: or UINT64_MAX. */
static uint64_t version_of(const uint64_t words[PAGE / 8], uint64_t page)
{
    for (unsigned i = 0; i < PAGE / 8; i++) {
        if (words[i] != words[0] || words[i] >> 32 != page) {
            return UINT64_MAX;
        }
    }
    return words[0] & UINT32_MAX;
}

static void *write_pages(void *ctx)
{
    struct prng prng = {1};
    uint64_t words[PAGE / 8];
    (void)ctx;
    while (!atomic_load(&stop)) {
        uint64_t page = prng_below(&prng, PAGES);
        if (atomic_load(&written) > (atomic_load(&steps) + 1u) * WRITES_PER_STEP) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&written, 1u);
        fill(words, page, 2 + (prng_next(&prng) & 0xffffu));
        keep(coffer_volume_write(volume, words, page * PAGE, PAGE, 0, NULL));
    }
    return NULL;
}

static void *read_pages(void *ctx)
{
    struct prng prng = {2};
    uint64_t words[PAGE / 8];
    (void)ctx;
    while (!atomic_load(&stop)) {
        uint64_t page = prng_below(&prng, PAGES);
        keep(coffer_volume_read(volume, words, page * PAGE, PAGE, NULL));
        keep(version_of(words, page) != UINT64_MAX ? 0 : COFFER_E_INTERNAL);
        keep(coffer_volume_read(snapshot, words, page * PAGE, PAGE, NULL));
        keep(version_of(words, page) == 1 ? 0 : COFFER_E_INTERNAL);
    }
    return NULL;
}

static void *take_snapshots(void *ctx)
{
    (void)ctx;
    for (unsigned number = 0; !atomic_load(&stop); number++) {
        char name[16];
        struct coffer_snapshot_opts opts = {
            .size = sizeof opts, .name = name, .provider = &kms.api};
        snprintf(name, sizeof name, "t%u", number);
        keep(coffer_snapshot_create(volume, &opts, NULL, NULL));
        opts.volume = "v";
        keep(coffer_snapshot_delete(store, &opts, NULL));
        usleep(2000);
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

static void make_family(void)
{
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts, .name = "v", .size_bytes = PAGES * PAGE, .provider = &kms.api};
    struct coffer_snapshot_opts taken = {.size = sizeof taken, .name = "a", .provider = &kms.api};
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore,
        .snapshot = {.volume = "v", .name = "a", .provider = &kms.api},
        .new_name = "c"};
    uint64_t words[PAGE / 8];
    assert_int_equal(coffer_volume_create(store, &opts, NULL), 0);
    volume = open_named("v", 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        fill(words, page, 1);
        assert_int_equal(coffer_volume_write(volume, words, page * PAGE, PAGE, 0, NULL), 0);
    }
    assert_int_equal(coffer_snapshot_create(volume, &taken, NULL, NULL), 0);
    assert_int_equal(coffer_snapshot_restore(store, &restore, NULL), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void seal_anew(void)
{
    struct coffer_reencrypt_opts opts = {.size = sizeof opts, .volume = "v", .provider = &kms.api};
    struct coffer_reencrypt_status status;
    struct coffer_fault fault;
    pthread_t threads[3];
    int err = coffer_reencrypt_begin(store, &opts, &fault);
    if (err != 0) {
        fail_msg("begin: %s: %s", coffer_error_name(err), fault.detail);
    }
    volume = open_named("v", 0);
    snapshot = open_named("v@a", COFFER_VOLUME_READ_ONLY);
    atomic_store(&stop, false);
    pthread_create(&threads[0], NULL, write_pages, NULL);
    pthread_create(&threads[1], NULL, read_pages, NULL);
    pthread_create(&threads[2], NULL, take_snapshots, NULL);
    do {
        err = coffer_reencrypt_step(store, &status, &fault);
        atomic_fetch_add(&steps, 1u);
    } while (err == 1 && atomic_load(&failed) == 0);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&failed), 0);
    assert_int_equal(err, 0);
    assert_int_equal(status.state, COFFER_REENCRYPT_DONE);
    coffer_reencrypt_end(store);
    assert_int_equal(coffer_volume_close(snapshot), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void check_all(const char *name, uint64_t version)
{
    struct coffer_volume *opened = open_named(name, COFFER_VOLUME_READ_ONLY);
    uint64_t words[PAGE / 8];
    for (uint64_t page = 0; page < PAGES; page++) {
        assert_int_equal(coffer_volume_read(opened, words, page * PAGE, PAGE, NULL), 0);
        assert_true(version != 0 ? version_of(words, page) == version
                                 : version_of(words, page) != UINT64_MAX);
    }
    assert_int_equal(coffer_volume_close(opened), 0);
}

static void the_family_is_used_while_it_is_sealed_anew(void **state)
{
    struct coffer_store_create_opts create = {.size = sizeof create, .size_bytes = 512u << 20};
    struct coffer_check_opts check = {.size = sizeof check, .provider = &kms.api};
    struct coffer_check_summary summary;
    (void)state;
    snprintf(path, sizeof path, "reencrypt-threads.%d.store", (int)getpid());
    create.path = path;
    fake_kms_init(&kms, 5);
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    open_store();
    make_family();
    for (unsigned i = 0; i < ROUNDS; i++) {
        seal_anew();
        check_all("v@a", 1);
        check_all("c", 1);
        check_all("v", 0);
    }
    assert_int_equal(coffer_store_close(store), 0);
    open_store();
    check_all("c", 1);
    check_all("v", 0);
    assert_int_equal(coffer_store_check(store, &check, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(coffer_store_close(store), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_family_is_used_while_it_is_sealed_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
