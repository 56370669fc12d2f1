/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_space_test - what a full store takes and what it refuses: new pages and pages that a
 * snapshot holds are refused; pages of a volume's own are written over, discarded and deleted; what
 * was freed can be used again; the store closes, opens and recovers.
 */
#include "volume_fixture.h"

#define PAGES 14000u /* of each volume: more than the store can hold */

static struct volume_fixture f;
static struct coffer_volume *volume;
static uint64_t versions[PAGES], version;

static struct coffer_store_info info(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f.store, &info), 0);
    return info;
}

static void begin(int plain)
{
    fixture_make(&f, 21);
    memset(versions, 0, sizeof versions);
    version = 0;
    make_volume(&f, "v", PAGES, plain);
    volume = open_volume(&f, "v");
}

static int put(uint64_t page)
{
    uint8_t bytes[PAGE];
    int err;
    fill_page(bytes, page, ++version);
    err = coffer_volume_write(volume, bytes, page * PAGE, PAGE, 0, &f.fault);
    if (err == 0) {
        versions[page] = version;
    }
    return err;
}

/* From the first page on until one is refused; how many were taken. */
static uint64_t fill(void)
{
    uint64_t page = 0;
    while (page < PAGES && put(page) == 0) {
        page++;
    }
    assert_true(page < PAGES);
    assert_int_equal(put(page), COFFER_E_NO_SPACE);
    assert_int_equal(f.fault.error, COFFER_E_NO_SPACE);
    assert_true(strlen(f.fault.detail) > 0);
    return page;
}

static void check_pages(uint64_t pages)
{
    for (uint64_t page = 0; page < pages; page += 7) {
        check_page(volume, page, versions[page]);
    }
}

static void end(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts, .provider = &f.kms.api};
    struct coffer_check_summary summary;
    check_pages(PAGES);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_store_check(f.store, &opts, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
    fixture_done(&f);
}

static int snapshot(int create)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = "s", .provider = &f.kms.api};
    return create != 0 ? coffer_snapshot_create(volume, &opts, NULL, &f.fault)
                       : coffer_snapshot_delete(f.store, &opts, &f.fault);
}

/* ---- cases ---- */

static void capacity_reserve_and_roots_are_the_store(void **state)
{
    struct coffer_store_info now;
    (void)state;
    begin(0);
    now = info();
    assert_int_equal(now.capacity_bytes + now.reserve_bytes + 3u * SEGMENT_BYTES, now.size_bytes);
    assert_true(now.reserve_bytes >= 16u * SEGMENT_BYTES);
    assert_int_equal(now.provisioned_bytes, (uint64_t)PAGES * PAGE);
    assert_int_equal(now.warn_percent, 85);
    assert_int_equal(now.space_warning, 0);
    end();
}

static void a_full_store_refuses_new_pages_and_writes_over_its_own(void **state)
{
    struct prng prng = {3};
    uint64_t pages;
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        struct coffer_store_info now;
        begin(plain);
        pages = fill();
        now = info();
        assert_true(now.live_bytes + 64u * PAGE > now.capacity_bytes);
        assert_true(now.live_bytes < now.capacity_bytes + 64u * PAGE);
        assert_int_equal(now.space_warning, 1);
        for (unsigned i = 0; i < 3000; i++) {
            assert_int_equal(put(prng_below(&prng, (uint32_t)pages)), 0);
        }
        assert_true(info().cleaned_segments > 0);
        assert_int_equal(put(pages + 1u), COFFER_E_NO_SPACE);
        end();
    }
}

static void what_a_snapshot_holds_is_not_written_over_for_want_of_room(void **state)
{
    uint64_t pages, page = 0;
    (void)state;
    begin(0);
    pages = fill();
    assert_int_equal(coffer_volume_discard(volume, 0, 400 * PAGE, &f.fault), 0);
    memset(versions, 0, 400 * sizeof versions[0]);
    assert_int_equal(snapshot(1), 0);
    for (page = 400; page < pages && put(page) == 0; page++) {
    }
    assert_in_range(page, 400 + 200, 400 + 420); /* as many as were discarded, or nearly */
    assert_int_equal(put(page), COFFER_E_NO_SPACE);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(put(400 + i % 200u), 0); /* of the volume's own */
    }
    assert_int_equal(put(pages - 1u), COFFER_E_NO_SPACE);
    assert_int_equal(snapshot(0), 0);
    for (page = 400; page < pages; page += 5) {
        assert_int_equal(put(page), 0);
    }
    end();
}

static void a_request_that_is_partly_new_is_refused(void **state)
{
    uint8_t bytes[2 * PAGE];
    uint64_t pages;
    (void)state;
    begin(0);
    pages = fill();
    memset(bytes, 7, sizeof bytes);
    while (put(pages) == 0) { /* settled deaths may have left room for one */
        pages++;
    }
    assert_int_equal(
        coffer_volume_write(volume, bytes, (pages - 1u) * PAGE, sizeof bytes, 0, &f.fault),
        COFFER_E_NO_SPACE);
    check_page(volume, pages - 1u, versions[pages - 1u]);
    check_page(volume, pages, 0);
    end();
}

static void what_was_discarded_can_be_used_again(void **state)
{
    uint64_t pages, taken;
    (void)state;
    begin(1);
    pages = fill();
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(coffer_volume_discard(volume, 1000 * PAGE, 300 * PAGE, &f.fault), 0);
        memset(&versions[1000], 0, 300 * sizeof versions[0]);
        for (taken = 0; taken < 300 && put(1000 + taken) == 0; taken++) {
        }
        assert_true(taken >= 280);
        for (; taken < 300 && put(1000 + taken) != 0; taken++) {
        }
    }
    assert_true(pages > 0);
    end();
}

static void a_full_store_opens_again_and_recovers(void **state)
{
    uint64_t pages;
    (void)state;
    begin(0);
    pages = fill();
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(put(i * 7u), 0);
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    fixture_crash(&f, SIM_CUT_NONE, 4);
    volume = open_volume(&f, "v");
    check_pages(pages);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(put(i * 11u), 0);
    }
    end();
}

static void deleting_a_volume_frees_a_full_store(void **state)
{
    struct coffer_volume_open_opts opts;
    (void)state;
    begin(0);
    (void)fill();
    assert_int_equal(coffer_volume_close(volume), 0);
    opts = open_opts(&f, "v");
    assert_int_equal(coffer_volume_delete(f.store, &opts, &f.fault), 0);
    assert_true(info().live_bytes < 64u * PAGE);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    memset(versions, 0, sizeof versions);
    assert_true(fill() > 10000);
    assert_int_equal(info().space_warning, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_reserve_and_roots_are_the_store),
        cmocka_unit_test(a_full_store_refuses_new_pages_and_writes_over_its_own),
        cmocka_unit_test(what_a_snapshot_holds_is_not_written_over_for_want_of_room),
        cmocka_unit_test(a_request_that_is_partly_new_is_refused),
        cmocka_unit_test(what_was_discarded_can_be_used_again),
        cmocka_unit_test(a_full_store_opens_again_and_recovers),
        cmocka_unit_test(deleting_a_volume_frees_a_full_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
