/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_reseal_test - contents sealed anew with many pieces on their way: whole; stopped in
 * the middle; with a device of either side that fails, and into a store that becomes full. What
 * does not become whole leaves nothing. By one thread, and by two (label concurrent: the library's
 * pthread_create).
 */
#include "volume_fixture.h"

#define PAGES 4000u
#define STRETCH 100u /* of which the first HELD pages hold data: a piece each */
#define HELD 60u
#define DATA_PAGES (PAGES / STRETCH * HELD)
#define STOPPED 77
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"

static struct volume_fixture a, b;
static const unsigned alone = 0, threaded = COFFER_COPY_THREAD;
static unsigned how; /* one of them */

static bool holds_data(uint64_t page)
{
    return page % STRETCH < HELD;
}

static void write_pages(struct volume_fixture *f, const char *name, uint64_t pages, uint64_t step,
                        uint64_t version)
{
    struct coffer_volume *volume = open_volume(f, name);
    for (uint64_t first = 0; first < step; first++) {
        for (uint64_t page = first; page < pages; page += step) {
            write_page(volume, page, version);
        }
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void make_filler(struct volume_fixture *f, uint64_t pages)
{
    make_volume(f, "filler", pages, 1);
    write_pages(f, "filler", pages, 1, 1);
}

static void drop_filler(struct volume_fixture *f)
{
    struct coffer_volume_open_opts opts = open_opts(f, "filler");
    assert_int_equal(coffer_volume_delete(f->store, &opts, &f->fault), 0);
}

/* v@s in a. */
static void begin(void **state, int plain)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = "v",
                                               .size_bytes = PAGES * PAGE,
                                               .not_encrypted = plain,
                                               .kms_key_id = plain ? NULL : K1,
                                               .provider = &a.kms.api};
    struct coffer_snapshot_opts take = {.size = sizeof take, .name = "s", .provider = &a.kms.api};
    struct coffer_volume *volume;
    how = *(const unsigned *)*state;
    fixture_env_seed = 99;
    fixture_make(&a, 21);
    fixture_env_seed = 98;
    fixture_make(&b, 22);
    assert_int_equal(coffer_volume_create(a.store, &create, &a.fault), 0);
    volume = open_volume(&a, "v");
    for (uint64_t page = 0; page < PAGES; page++) {
        if (holds_data(page)) {
            write_page(volume, page, 1);
        }
    }
    assert_int_equal(coffer_snapshot_create(volume, &take, NULL, &a.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&a); /* nothing of it is in memory */
}

/* Memory that is not given back fails here. */
static void end(void)
{
    fixture_done(&a);
    fixture_done(&b);
}

struct watch {
    uint64_t done_bytes, calls, stop_at;
    uint64_t reads_before, reads_ahead; /* of the source's device: at the first call */
};

static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct watch *watch = ctx;
    assert_true(done_bytes > watch->done_bytes && done_bytes <= total_bytes);
    assert_int_equal(total_bytes, DATA_PAGES * PAGE);
    watch->done_bytes = done_bytes;
    if (watch->calls++ == 0 && how == alone) {
        watch->reads_ahead = sim_disk_calls(a.disk, COFFER_SEGDEV_READ) - watch->reads_before;
    }
    return watch->calls == watch->stop_at ? STOPPED : 0;
}

static int copy(struct watch *watch, uint64_t stop_at)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = COFFER_COPY_REENCRYPT | how,
                                    .source = {.volume = "v", .name = "s", .provider = &a.kms.api},
                                    .kms_key_id = K2,
                                    .provider = &a.kms.api,
                                    .on_progress = on_progress,
                                    .ctx = watch};
    memset(watch, 0, sizeof *watch);
    watch->stop_at = stop_at;
    watch->reads_before = sim_disk_calls(a.disk, COFFER_SEGDEV_READ);
    return coffer_snapshot_copy(a.store, b.store, &opts, &b.fault);
}

static void check_whole(struct volume_fixture *f, const char *name)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &a.kms.api};
    struct coffer_volume *volume;
    assert_int_equal(coffer_volume_open(f->store, &opts, &volume, &f->fault), 0);
    assert_int_equal(volume_info(volume).encrypted, 1);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, holds_data(page) ? 1 : 0);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

static uint64_t live_pages(struct volume_fixture *f)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f->store, &info), 0);
    return info.live_bytes / PAGE;
}

static void check_clean(struct volume_fixture *f)
{
    struct coffer_check_opts opts = {.size = sizeof opts, .provider = &a.kms.api};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(f->store, &opts, &summary, &f->fault), 0);
    assert_int_equal(summary.findings, 0);
}

static bool has_copy(void)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = "v@s",
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &a.kms.api};
    struct coffer_volume *volume;
    int err = coffer_volume_open(b.store, &opts, &volume, &b.fault);
    if (err != 0) {
        assert_int_equal(err, COFFER_E_NOT_FOUND);
        return false;
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    return true;
}

/* No pages but those of the store's trees, and no name. */
static void check_nothing_came(uint64_t live_before)
{
    assert_false(has_copy());
    assert_true(live_pages(&b) < live_before + 8u);
    check_clean(&b);
}

static void pieces_are_read_ahead_and_come_whole(void **state)
{
    struct watch watch;
    uint64_t reads;
    begin(state, 0);
    assert_int_equal(copy(&watch, 0), 0);
    assert_int_equal(watch.done_bytes, DATA_PAGES * PAGE);
    assert_true(watch.calls > 1);
    reads = sim_disk_calls(a.disk, COFFER_SEGDEV_READ) - watch.reads_before;
    assert_true(how == threaded || watch.reads_ahead > reads / 4u); /* first of 40 pieces */
    check_whole(&b, "v@s");
    check_clean(&b);
    end();
}

static void a_stop_in_the_middle_leaves_nothing(void **state)
{
    struct watch watch;
    uint64_t before, stop_at = 1;
    int err;
    begin(state, 0);
    before = live_pages(&b);
    while ((err = copy(&watch, stop_at)) == STOPPED) {
        assert_int_equal(watch.calls, stop_at); /* and is not asked again */
        check_nothing_came(before);
        stop_at++;
    }
    assert_int_equal(err, 0);
    assert_true(stop_at > 2);
    check_whole(&b, "v@s");
    end();
}

static void fail_at(struct volume_fixture *f, unsigned call, uint64_t at)
{
    const struct sim_fault fault = {
        .call = call, .at = sim_disk_calls(f->disk, call) + at, .error = COFFER_E_IO};
    sim_disk_inject(f->disk, &fault);
}

/* Once, at each place: whatever else is under way comes to its end first. */
static void a_read_that_fails_ahead_leaves_nothing(void **state)
{
    struct watch watch;
    uint64_t before, at;
    int err = COFFER_E_IO;
    begin(state, 0);
    before = live_pages(&b);
    for (at = 0; err != 0; at += 17) {
        fail_at(&a, COFFER_SEGDEV_READ, at);
        err = copy(&watch, 0);
        sim_disk_inject(a.disk, NULL);
        if (err != 0) {
            assert_int_equal(err, COFFER_E_IO);
            check_nothing_came(before);
            fixture_reopen(&a);
        }
    }
    assert_true(at > 2u * DATA_PAGES / HELD);
    check_whole(&b, "v@s");
    end();
}

/* A log that fails fails its store; the next open for writing takes what had come. At the end the
 * copy is whole before the call is: then it stays. */
static void a_write_that_fails_ahead_leaves_nothing(void **state)
{
    struct watch watch;
    uint64_t before, at;
    begin(state, 0);
    before = live_pages(&b);
    for (at = 0; !has_copy(); at += 3) {
        check_nothing_came(before);
        fail_at(&b, COFFER_SEGDEV_APPEND, at);
        if (copy(&watch, 0) != 0) {
            (void)coffer_store_close(b.store);
            b.store = NULL;
            assert_int_equal(fixture_open_store(&b, 0), 0);
        }
        sim_disk_inject(b.disk, NULL);
    }
    assert_true(at > DATA_PAGES / 120u);
    check_whole(&b, "v@s");
    check_clean(&b);
    end();
}

static void a_destination_that_becomes_full_is_left_as_it_was(void **state)
{
    struct watch watch;
    uint64_t before;
    begin(state, 0);
    make_filler(&b, 10000);
    before = live_pages(&b);
    assert_int_equal(copy(&watch, 0), COFFER_E_NO_SPACE);
    assert_true(watch.calls > 1); /* in the middle */
    assert_true(b.fault.detail[0] != '\0');
    check_nothing_came(before);
    drop_filler(&b);
    assert_int_equal(copy(&watch, 0), 0);
    check_whole(&b, "v@s");
    check_clean(&b);
    end();
}

/* What is being read is held against the cleaner, which has to make the room. */
static void a_store_that_is_nearly_full_is_restored_within(void **state)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = "v", .name = "s", .provider = &a.kms.api},
        .new_name = "w",
        .kms_key_id = K2};
    begin(state, 1);
    make_filler(&a, 6400);
    write_pages(&a, "filler", 6400, 7, 2);
    if (coffer_snapshot_restore(a.store, &opts, &a.fault) != 0) {
        fail_msg("restore: %s", a.fault.detail);
    }
    check_whole(&a, "w");
    check_clean(&a);
    end();
}

#define BY_ONE_AND_TWO(test)                                                  \
    {#test, test, NULL, NULL, (void *)(uintptr_t)&alone},                     \
    {                                                                         \
#test ", two threads", test, NULL, NULL, (void *)(uintptr_t)&threaded \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BY_ONE_AND_TWO(pieces_are_read_ahead_and_come_whole),
        BY_ONE_AND_TWO(a_stop_in_the_middle_leaves_nothing),
        BY_ONE_AND_TWO(a_read_that_fails_ahead_leaves_nothing),
        BY_ONE_AND_TWO(a_write_that_fails_ahead_leaves_nothing),
        BY_ONE_AND_TWO(a_destination_that_becomes_full_is_left_as_it_was),
        {"a_store_that_is_nearly_full_is_restored_within",
         a_store_that_is_nearly_full_is_restored_within, NULL, NULL, (void *)(uintptr_t)&alone},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
