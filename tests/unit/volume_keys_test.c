/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys: with the budget of a key lowered to a few extents they rotate many times, through
 * checkpoints, crashes and closes, and every page reads still. Spares are there, keys that seal
 * nothing go, uses of the volume key are counted ahead of crashes. No (key, nonce) pair twice.
 */
#include "common/recorder.h"
#include "unit/volume_fixture.h"

#define PAGES 3000u
#define EXTENT_BYTES (512u * 4096u)

extern uint64_t cof_test_data_key_bytes;

static struct volume_fixture f;
static uint64_t versions[PAGES];

static int setup(void **state)
{
    (void)state;
    memset(versions, 0, sizeof versions);
    cof_test_data_key_bytes = 6u * EXTENT_BYTES;
    fixture_make(&f, 1);
    make_volume(&f, "v", PAGES, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_test_data_key_bytes = 0;
    fixture_done(&f);
    return 0;
}

static void write_some(struct coffer_volume *volume, uint64_t first, uint64_t count,
                       uint64_t version)
{
    uint8_t *bytes = malloc(64 * PAGE);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < count; at += 64) {
        uint64_t part = count - at < 64 ? count - at : 64;
        int err;
        for (uint64_t i = 0; i < part; i++) {
            fill_page(bytes + i * PAGE, first + at + i, version);
            versions[first + at + i] = version;
        }
        err = coffer_volume_write(volume, bytes, (first + at) * PAGE, part * PAGE, 0, &f.fault);
        if (err != 0) {
            fail_msg("write: %s: %s", coffer_error_name(err), f.fault.detail);
        }
    }
    free(bytes);
}

static void check_all(struct coffer_volume *volume)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, versions[page]);
    }
}

static void keys_rotate_and_every_page_still_reads(void **state)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    uint64_t most = 0;
    (void)state;
    for (uint64_t round = 1; round <= 4; round++) {
        for (uint64_t at = 0; at < PAGES; at += 500) {
            write_some(volume, at, 500, round);
            assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
            most = volume_info(volume).data_key_count > most ? volume_info(volume).data_key_count
                                                             : most;
        }
    }
    assert_true(most >= 5); /* it did rotate: an active one, spares, and some that are full */
    assert_true(most < 40); /* and those that sealed nothing alive went */
    check_all(volume);
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    check_all(volume);
}

static void a_crash_between_rotations_loses_nothing_that_was_flushed(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 10; round++) {
        struct coffer_volume *volume = open_volume(&f, "v");
        struct prng prng = {round};
        for (unsigned i = 0; i < 6; i++) {
            write_some(volume, prng_below(&prng, PAGES - 600u), 600, round * 10u + i);
            if (prng_chance(&prng, 1, 3)) {
                assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
            }
        }
        assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
        fixture_crash(&f, SIM_CUT_NONE, round);
        volume = open_volume(&f, "v");
        check_all(volume);
        if (round % 2 == 0) {
            assert_int_equal(coffer_volume_close(volume), 0);
        } else {
            fixture_reopen(&f);
        }
    }
}

static void keys_that_seal_nothing_any_more_are_dropped(void **state)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    uint64_t full, empty;
    (void)state;
    write_some(volume, 0, PAGES, 1);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    full = volume_info(volume).data_key_count;
    assert_int_equal(
        coffer_volume_discard(volume, 0, (uint64_t)PAGES * PAGE, &f.fault), 0);
    memset(versions, 0, sizeof versions);
    for (unsigned i = 0; i < 4; i++) {
        write_some(volume, 0, 1, 7u + i);
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    }
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    empty = volume_info(volume).data_key_count;
    assert_true(empty < full);
    check_all(volume);
}

/* Between two checkpoints only the spares can be taken into use: with none left the active key
 * goes on beyond its budget until a checkpoint, which is due then, lists new ones. */
static void spares_are_drawn_again_by_the_checkpoint(void **state)
{
    struct coffer_volume *volume = open_volume(&f, "v");
    uint64_t before = volume_info(volume).data_key_count;
    (void)state;
    assert_true(before >= 2);
    write_some(volume, 0, PAGES, 3);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_true(volume_info(volume).data_key_count > before);
    write_some(volume, 0, PAGES, 4);
    check_all(volume);
}

static void uses_of_the_volume_key_only_grow(void **state)
{
    uint64_t last = 0;
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct coffer_volume *volume = open_volume(&f, "v");
        struct coffer_volume_info info = volume_info(volume);
        assert_true(info.key_uses > last);
        assert_true(info.key_uses < info.key_uses_max);
        last = info.key_uses;
        write_some(volume, 0, 600, round + 1u);
        assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
        assert_true(volume_info(volume).key_uses >= last);
        if (round % 2 == 0) {
            fixture_crash(&f, SIM_CUT_ALL, round);
        } else {
            fixture_reopen(&f);
        }
    }
}

static void no_nonce_is_used_twice_under_a_key(void **state)
{
    (void)state;
    recorder_install();
    recorder_reset();
    for (uint64_t round = 1; round <= 4; round++) {
        struct coffer_volume *volume = open_volume(&f, "v");
        write_some(volume, 0, 1500, round);
        assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
        fixture_crash(&f, SIM_CUT_NONE, round);
    }
    assert_true(recorder_seals() > 5000);
    assert_int_equal(recorder_repeats(), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(keys_rotate_and_every_page_still_reads),
        CASE(a_crash_between_rotations_loses_nothing_that_was_flushed),
        CASE(keys_that_seal_nothing_any_more_are_dropped),
        CASE(spares_are_drawn_again_by_the_checkpoint),
        CASE(uses_of_the_volume_key_only_grow),
        CASE(no_nonce_is_used_twice_under_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
