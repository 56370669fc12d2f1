/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases beside threads that write: the background thread asks, a key service that hangs holds up
 * no request, the end of the lease and a refusal stop volumes under their writers, each write that
 * was acknowledged is there after a start, and closing waits for who is asking (label concurrent).
 *
 * The clock is moved by the test; the only waiting is for other threads to get somewhere.
 */
#include "common/fake_kms.h"

#include <coffer/coffer.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define WRITERS 3u
#define PAGES_EACH 64u
#define SECOND_NS UINT64_C(1000000000)
#define LEASE_NS (60u * SECOND_NS)

static struct fake_kms kms;
static struct coffer_key_provider api;
static struct coffer_key_provider_ops ops;
static pthread_mutex_t kms_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool hanging;
static atomic_uint inside, asked;
static _Atomic uint64_t moved_ns;
static struct coffer_store *store;
static struct coffer_volume *volume;
static char path[64];

static uint64_t monotonic(void *ctx)
{
    struct timespec now;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec + moved_ns;
}

static int slow_decrypt(void *ctx, const char *arn, const struct coffer_key_blob *blob,
                        const struct coffer_context *context, uint8_t bytes[COFFER_KEY_BYTES])
{
    int error;
    (void)ctx;
    inside++;
    while (hanging) {
        sched_yield();
    }
    pthread_mutex_lock(&kms_lock);
    error = kms.api.ops->decrypt(&kms, arn, blob, context, bytes);
    pthread_mutex_unlock(&kms_lock);
    asked++;
    inside--;
    return error;
}

static int locked_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    int error;
    (void)ctx;
    pthread_mutex_lock(&kms_lock);
    error = kms.api.ops->describe(&kms, key, ret_info);
    pthread_mutex_unlock(&kms_lock);
    return error;
}

static void set_key(enum coffer_key_state state)
{
    pthread_mutex_lock(&kms_lock);
    kms.keys[0].state = state;
    pthread_mutex_unlock(&kms_lock);
}

static struct coffer_volume_open_opts volume_opts(void)
{
    return (struct coffer_volume_open_opts){.size = sizeof(struct coffer_volume_open_opts),
                                            .name = "v",
                                            .provider = &api,
                                            .lease_ns = LEASE_NS};
}

static void open_all(void)
{
    const struct coffer_env env = {.size = sizeof env, .monotonic_ns = monotonic};
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .path = path,
                                     .env = &env,
                                     .flags = COFFER_OPEN_BACKGROUND | COFFER_OPEN_BUFFERED};
    struct coffer_volume_open_opts open = volume_opts();
    assert_int_equal(coffer_store_open(&opts, &store, NULL), 0);
    assert_int_equal(coffer_volume_open(store, &open, &volume, NULL), 0);
}

static int setup(void **state)
{
    struct coffer_store_create_opts make = {
        .size = sizeof make, .path = path, .size_bytes = 64u << 20, .segment_bytes = 1u << 20};
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = "v",
                                               .size_bytes = WRITERS * PAGES_EACH * PAGE,
                                               .provider = &api};
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = path, .flags = COFFER_OPEN_BUFFERED};
    (void)state;
    snprintf(path, sizeof path, "lease-threads-%ld", (long)getpid());
    unlink(path);
    fake_kms_init(&kms, 3);
    ops = *kms.api.ops;
    ops.describe = locked_describe;
    ops.decrypt = slow_decrypt;
    api.ops = &ops;
    api.ctx = &kms;
    hanging = false;
    asked = 0;
    assert_int_equal(coffer_store_create(&make, NULL), 0);
    assert_int_equal(coffer_store_open(&opts, &store, NULL), 0);
    assert_int_equal(coffer_volume_create(store, &create, NULL), 0);
    assert_int_equal(coffer_store_close(store), 0);
    open_all();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(coffer_store_close(store), 0);
    unlink(path);
    return 0;
}

/* ---- writers ---- */

static struct writer {
    pthread_t thread;
    unsigned number;
    uint64_t versions[PAGES_EACH]; /* acknowledged */
    _Atomic uint64_t writes;
    int ended; /* by which error */
} writers[WRITERS];

static void *write_until_refused(void *arg)
{
    struct writer *writer = arg;
    uint64_t page[PAGE / 8u];
    while (writer->ended == 0) {
        uint64_t version = writer->writes + 1u, index = version % PAGES_EACH;
        for (unsigned i = 0; i < PAGE / 8u; i++) {
            page[i] = version * 1000u + i;
        }
        writer->ended = coffer_volume_write(
            volume, page, (writer->number * PAGES_EACH + index) * PAGE, PAGE, 0, NULL);
        if (writer->ended == 0) {
            writer->versions[index] = version;
            writer->writes++;
        }
    }
    return NULL;
}

static void begin_writing(void)
{
    memset(writers, 0, sizeof writers);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_until_refused, &writers[i]),
                         0);
    }
}

static void let_them_write(uint64_t more)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        uint64_t goal = writers[i].writes + more;
        while (writers[i].writes < goal) {
            sched_yield();
        }
    }
}

static void all_ended(void)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].ended, COFFER_E_INACCESSIBLE_CREDENTIALS);
    }
}

static void wait_until_stopped(void)
{
    struct coffer_volume_info info = {.size = sizeof info};
    do {
        sched_yield();
        assert_int_equal(coffer_volume_info_get(volume, &info), 0);
    } while (info.access != COFFER_VOLUME_RECOVERABLE);
}

/* The one that failed may have reached the log or not. */
static void check_what_was_written(void)
{
    struct coffer_volume_open_opts opts = volume_opts();
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_volume_start(store, &opts, NULL), 0);
    assert_int_equal(coffer_volume_open(store, &opts, &volume, NULL), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        for (uint64_t index = 0; index < PAGES_EACH; index++) {
            uint64_t page[PAGE / 8u], version = writers[i].versions[index];
            assert_int_equal(
                coffer_volume_read(volume, page, (i * PAGES_EACH + index) * PAGE, PAGE, NULL), 0);
            assert_true(version == 0 || page[9] == version * 1000u + 9u ||
                        (index == (writers[i].writes + 1u) % PAGES_EACH &&
                         page[9] == (writers[i].writes + 1u) * 1000u + 9u));
        }
    }
}

static void the_background_thread_asks_beside_writers(void **state)
{
    unsigned before = asked;
    (void)state;
    begin_writing();
    for (unsigned i = 0; i < 5; i++) {
        unsigned now = asked;
        moved_ns += LEASE_NS / 2u + SECOND_NS;
        while (asked == now) {
            sched_yield();
        }
        let_them_write(5);
    }
    assert_true(asked >= before + 5u);
    set_key(COFFER_KEY_IS_DISABLED);
    moved_ns += LEASE_NS / 2u + SECOND_NS;
    all_ended();
    wait_until_stopped();
    set_key(COFFER_KEY_ENABLED);
    check_what_was_written();
}

static void a_service_that_hangs_holds_up_nobody_but_the_end(void **state)
{
    (void)state;
    begin_writing();
    let_them_write(5);
    hanging = true;
    moved_ns += LEASE_NS / 2u + SECOND_NS;
    while (inside == 0) {
        sched_yield();
    }
    let_them_write(20); /* while it hangs */
    moved_ns += LEASE_NS / 2u + SECOND_NS;
    all_ended(); /* although it still hangs */
    assert_true(inside > 0);
    hanging = false;
    wait_until_stopped();
    check_what_was_written();
}

static void *close_it(void *arg)
{
    atomic_bool *closed = arg;
    assert_int_equal(coffer_volume_close(volume), 0);
    *closed = true;
    return NULL;
}

static void closing_waits_for_who_is_asking(void **state)
{
    atomic_bool closed = false;
    pthread_t thread;
    (void)state;
    hanging = true;
    moved_ns += LEASE_NS / 2u + SECOND_NS;
    while (inside == 0) {
        sched_yield();
    }
    assert_int_equal(pthread_create(&thread, NULL, close_it, &closed), 0);
    for (unsigned i = 0; i < 2000; i++) {
        sched_yield();
    }
    assert_false(closed);
    hanging = false;
    pthread_join(thread, NULL);
    assert_true(closed && inside == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_background_thread_asks_beside_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_service_that_hangs_holds_up_nobody_but_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(closing_waits_for_who_is_asking, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
