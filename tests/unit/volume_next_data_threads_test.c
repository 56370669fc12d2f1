/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for data while another thread writes, discards and takes checkpoints: what is data all
 * the while is found each time, wherever its entry moves meanwhile; what never was is never found.
 */
#include "common/fake_kms.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define APART \
    4096u /* pages between those that are data all the while: too far to look one by one */
#define KEPT 16u
#define BUSY_FIRST (KEPT * APART) /* from here on pages come and go, enough for a large delta */
#define BUSY_PAGES 4096u
#define ROUNDS 4u

static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *volume;
static char path[64];
static atomic_bool done;
static int failed; /* the writer's; cmocka's asserts belong to the main thread */

static void change(uint64_t page, bool write)
{
    static const uint8_t bytes[PAGE] = {7};
    int err = write ? coffer_volume_write(volume, bytes, page * PAGE, PAGE, 0, NULL)
                    : coffer_volume_discard(volume, page * PAGE, PAGE, NULL);
    failed = failed != 0 ? failed : err;
}

static void *work(void *ctx)
{
    struct prng prng = {3};
    (void)ctx;
    for (unsigned round = 0; round < ROUNDS && failed == 0; round++) {
        int err;
        for (unsigned i = 0; i < BUSY_PAGES; i++) {
            change(BUSY_FIRST + prng_below(&prng, BUSY_PAGES), prng_chance(&prng, 3, 4));
            if (i % 64u == 0) {
                change(prng_below(&prng, KEPT) * APART, true);
            }
        }
        err = coffer_store_checkpoint(store, NULL);
        failed = failed != 0 ? failed : err;
    }
    atomic_store(&done, true);
    return NULL;
}

/* One pass over the volume. */
static void look(void)
{
    uint64_t offset = 0, length;
    for (uint64_t i = 0; i < KEPT; i++, offset += length) {
        assert_int_equal(coffer_volume_next_data(volume, &offset, &length, NULL), 0);
        assert_true(offset == i * APART * PAGE);
        assert_true(length == PAGE);
    }
    for (;; offset += length) {
        assert_int_equal(coffer_volume_next_data(volume, &offset, &length, NULL), 0);
        if (length == 0) {
            return;
        }
        assert_true(offset >= BUSY_FIRST * PAGE);
    }
}

static void what_is_data_all_the_while_is_found(void **state)
{
    pthread_t thread;
    unsigned passes = 0;
    (void)state;
    for (uint64_t i = 0; i < KEPT; i++) {
        change(i * APART, true);
    }
    assert_int_equal(failed, 0);
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
    while (!atomic_load(&done)) {
        look();
        passes++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(failed, 0);
    assert_true(passes > 0);
    look();
}

static int setup(void **state)
{
    struct coffer_store_create_opts create = {
        .size = sizeof create, .size_bytes = 128u << 20, .segment_bytes = 1u << 20};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path};
    struct coffer_volume_create_opts make = {.size = sizeof make,
                                             .name = "v",
                                             .size_bytes = (BUSY_FIRST + BUSY_PAGES) * PAGE,
                                             .provider = &kms.api};
    struct coffer_volume_open_opts open = {.size = sizeof open, .name = "v", .provider = &kms.api};
    int fd, err;
    (void)state;
    strcpy(path, "next-data-test-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    create.path = path;
    fake_kms_init(&kms, 1);
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    err = coffer_store_open(&opts, &store, NULL);
    if (err == COFFER_E_UNSUPPORTED) {
        opts.flags = COFFER_OPEN_BUFFERED;
        err = coffer_store_open(&opts, &store, NULL);
    }
    assert_int_equal(err, 0);
    assert_int_equal(coffer_volume_create(store, &make, NULL), 0);
    assert_int_equal(coffer_volume_open(store, &open, &volume, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)coffer_store_close(store);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_data_all_the_while_is_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
