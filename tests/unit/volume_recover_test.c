/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_recover_test.c - an open after a crash reads ahead: a read ahead that fails is made
 * again and fails nothing; any other fails the open; and neither changes what is found.
 */
#include "volume_fixture.h"

#include "volume/store.h"

#define PAGES 900u

static struct volume_fixture f;

/* A log of several segments of lone batches, flushed; then the process is gone. */
static struct sim_image *crashed(uint64_t seed)
{
    struct coffer_volume *volume;
    struct sim_image *image;
    fixture_make(&f, seed);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    for (uint64_t i = 0; i < PAGES; i++) {
        write_page(volume, i * 7u % PAGES, i + 1u);
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    image = sim_disk_image_at(f.disk, sim_disk_events(f.disk), SIM_CUT_NONE, seed);
    sim_disk_power_off(f.disk);
    (void)coffer_store_close(f.store);
    f.store = NULL;
    sim_disk_free(f.disk);
    f.disk = NULL;
    return image;
}

static void put_back(const struct sim_image *image)
{
    struct sim_disk_options options = {.seed = 3, .delay_polls_max = 2, .shuffle = true};
    f.disk = sim_disk_from_image(image, &options);
}

/* The process is gone again: nothing of the open is kept. */
static void drop(void)
{
    sim_disk_power_off(f.disk);
    (void)coffer_store_close(f.store);
    f.store = NULL;
    sim_disk_free(f.disk);
    f.disk = NULL;
}

static int try_open(struct coffer_volume **ret_volume)
{
    struct coffer_volume_open_opts opts = open_opts(&f, "v");
    int err = fixture_open_store(&f, 0);
    return err == 0 ? coffer_volume_open(f.store, &opts, ret_volume, &f.fault) : err;
}

static void check_pages(struct coffer_volume *volume)
{
    for (uint64_t i = 0; i < PAGES; i++) {
        check_page(volume, i * 7u % PAGES, i + 1u);
    }
}

static uint64_t reads_ahead(void)
{
    return f.store->closed_queue_reads;
}

/* Every read of the two opens fails once, or from then on. */
static void a_read_ahead_that_fails_fails_nothing(void **state)
{
    struct sim_image *image = crashed(21);
    struct coffer_volume *volume = NULL;
    uint64_t reads, ahead, opened = 0;
    (void)state;
    put_back(image);
    assert_int_equal(try_open(&volume), 0);
    reads = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    ahead = reads_ahead();
    check_pages(volume);
    drop();
    assert_true(ahead > 20 && ahead < reads);
    for (uint64_t at = 0; at < 2u * reads; at++) {
        struct sim_fault fault = {.call = COFFER_SEGDEV_READ,
                                  .at = at / 2u,
                                  .error = COFFER_E_IO,
                                  .os_errno = at % 4u < 2u ? 5 : 0,
                                  .sticky = at % 2u == 1};
        int err;
        put_back(image);
        sim_disk_inject(f.disk, &fault);
        err = try_open(&volume);
        assert_true(sim_disk_fired(f.disk) > 0);
        sim_disk_inject(f.disk, NULL);
        if (err == 0) {
            opened += fault.sticky ? 0u : 1u;
            check_pages(volume);
        } else {
            assert_int_equal(err, COFFER_E_IO);
        }
        drop();
    }
    assert_int_equal(opened, ahead);
    sim_image_free(image);
    det_env_check_leaks(&f.env);
}

/* Reads that are waited for one by one do not become more with the log. */
static void a_longer_log_is_read_ahead(void **state)
{
    struct sim_image *image = crashed(22);
    struct coffer_volume *volume = NULL;
    (void)state;
    put_back(image);
    assert_int_equal(try_open(&volume), 0);
    assert_true(f.store->recovered_blocks > 6u * (SEGMENT_BYTES / PAGE));
    assert_true(f.store->io.reads < 24);
    drop();
    sim_image_free(image);
    det_env_check_leaks(&f.env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_ahead_that_fails_fails_nothing),
        cmocka_unit_test(a_longer_log_is_read_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
