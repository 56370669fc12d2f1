/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the store's own that large reads land in: who gets which part of it; that reads are the
 * same with it and, when others have it all, without; and that damage and forgery are told apart in
 * both, though in place the checksum is taken before the tag and here after it.
 */
#include "unit/volume_fixture.h"

#include "common/disk_forge.h"
#include "volume/store.h"

#define PAGES 100u
#define BAD 57u      /* of them */
#define LANDING 128u /* blocks: half of the fixture's staging_bytes */
#define UNIT 4u      /* blocks */

static struct volume_fixture f;
static struct coffer_volume *volume;
static uint8_t pages[PAGES * PAGE];

static void open_again(void)
{
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
}

static void make(int plain)
{
    fixture_make(&f, 6);
    make_volume(&f, "v", PAGES, plain);
    volume = open_volume(&f, "v");
    for (unsigned page = 0; page < PAGES; page++) {
        fill_page(pages + page * PAGE, page, 1);
    }
    assert_int_equal(coffer_volume_write(volume, pages, 0, sizeof pages, 0, &f.fault), 0);
    open_again();
}

static int setup(void **state)
{
    (void)state;
    make(0);
    return 0;
}

static int setup_plain(void **state)
{
    (void)state;
    make(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
    return 0;
}

static bool all_given_back(void)
{
    return cof_bitmap_count(&f.store->landing.taken) == 0;
}

/* ---- who gets what ---- */

static void the_first_place_that_fits(void **state)
{
    struct coffer_store *store = f.store;
    uint8_t *first = cof_landing_take(store, 1), *second = cof_landing_take(store, UNIT + 1u);
    uint8_t *third = cof_landing_take(store, UNIT);
    (void)state;
    assert_non_null(first);
    assert_ptr_equal(second, first + UNIT * PAGE); /* what a unit is left over is nobody's */
    assert_ptr_equal(third, second + 2u * UNIT * PAGE);
    cof_landing_give(store, first, 1);
    assert_ptr_equal(cof_landing_take(store, UNIT + 1u), third + UNIT * PAGE);
    assert_ptr_equal(cof_landing_take(store, UNIT), first);
    assert_null(cof_landing_take(store, LANDING));
    assert_null(cof_landing_take(store, LANDING - 6u * UNIT + 1u));
    assert_ptr_equal(cof_landing_take(store, LANDING - 6u * UNIT), third + 3u * UNIT * PAGE);
    assert_null(cof_landing_take(store, 1));
    cof_landing_give(store, first, LANDING);
    assert_ptr_equal(cof_landing_take(store, LANDING), first);
    cof_landing_give(store, first, LANDING);
    assert_true(all_given_back());
}

/* ---- reads ---- */

/* Take all there is, and mark it; or let go of it again when the marks are as they were. */
static uint8_t *withhold(void)
{
    uint8_t *all = cof_landing_take(f.store, LANDING);
    assert_non_null(all);
    memset(all, 0xa5, LANDING * PAGE);
    return all;
}

static void release(uint8_t *all)
{
    for (size_t i = 0; i < LANDING * PAGE; i++) {
        assert_int_equal(all[i], 0xa5);
    }
    cof_landing_give(f.store, all, LANDING);
}

static int read_all(uint8_t *bytes)
{
    memset(bytes, 0x5a, PAGES * PAGE);
    return coffer_volume_read(volume, bytes, 0, PAGES * PAGE, &f.fault);
}

static void reads_are_the_same_with_and_without(void **state)
{
    static uint8_t bytes[PAGES * PAGE];
    (void)state;
    for (unsigned warm = 0; warm < 2u; warm++) { /* tags with the data, and from the cache */
        uint8_t *all = withhold();
        assert_int_equal(read_all(bytes), 0);
        assert_memory_equal(bytes, pages, sizeof bytes);
        release(all);
    }
    open_again();
    for (unsigned warm = 0; warm < 2u; warm++) {
        assert_null(warm == 0 ? f.store->landing.memory : NULL);
        assert_int_equal(read_all(bytes), 0);
        assert_memory_equal(bytes, pages, sizeof bytes);
        assert_non_null(f.store->landing.memory); /* it was there that they landed */
        assert_true(all_given_back());
    }
}

static void a_small_read_takes_none(void **state)
{
    (void)state;
    check_page(volume, 3, 1);
    assert_null(f.store->landing.memory);
}

static void what_fails_to_be_read_gives_it_back(void **state)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_READ, .error = COFFER_E_IO, .os_errno = 5};
    static uint8_t bytes[PAGES * PAGE];
    (void)state;
    check_page(volume, 0, 1); /* its tag and the leaf are there now */
    fault.at = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    sim_disk_inject(f.disk, &fault);
    assert_int_equal(read_all(bytes), COFFER_E_IO);
    assert_int_equal(sim_disk_fired(f.disk), 1);
    sim_disk_inject(f.disk, NULL);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_true(all_given_back());
    assert_int_equal(read_all(bytes), 0);
    assert_memory_equal(bytes, pages, sizeof bytes);
}

/* ---- damage ---- */

static const struct forge_batch *find_batch(const struct forge_map *map)
{
    for (unsigned i = 0; i < map->batch_count; i++) {
        if (map->batches[i].header.lane == COF_LANE_USER && map->batches[i].header.pages >= PAGES) {
            return &map->batches[i];
        }
    }
    fail_msg("no batch has all pages");
    return NULL;
}

/* A bit of the page differs; again: and its checksums are made to fit. */
static void flip(bool again)
{
    struct sim_disk_options options = {.seed = 6, .record = true};
    const struct forge_batch *batch;
    struct sim_image *image;
    struct forge_map map;
    uint8_t byte;
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    forge_map_init(&map, image);
    batch = find_batch(&map);
    forge_read(image, batch->segment, batch->block + 1u + BAD, 4000, &byte, 1);
    byte ^= 4u;
    forge_write(image, batch->segment, batch->block + 1u + BAD, 4000, &byte, 1);
    if (again) {
        forge_fix_entry(image, batch, BAD);
        forge_fix_header(image, batch);
    }
    forge_map_done(&map);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    volume = open_volume(&f, "v");
}

static void expect_bad_page(int expected)
{
    static const uint8_t zeros[PAGE];
    static uint8_t bytes[PAGES * PAGE];
    for (unsigned landed = 0; landed < 2u; landed++) {
        uint8_t *all = landed != 0 ? NULL : withhold();
        assert_int_equal(read_all(bytes), expected);
        assert_int_equal(f.fault.page, BAD);
        assert_memory_equal(bytes, pages, BAD * PAGE);
        assert_memory_equal(bytes + BAD * PAGE, zeros, PAGE);
        assert_memory_equal(bytes + (BAD + 1u) * PAGE, pages + (BAD + 1u) * PAGE,
                            (PAGES - BAD - 1u) * PAGE);
        if (all != NULL) {
            release(all);
        }
        assert_true(all_given_back());
    }
}

static void a_flipped_bit_is_damage(void **state)
{
    (void)state;
    flip(false);
    expect_bad_page(COFFER_E_CORRUPT);
}

static void a_flipped_bit_with_its_checksum_is_tampering(void **state)
{
    (void)state;
    flip(true);
    expect_bad_page(COFFER_E_TAMPER);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_place_that_fits),
        CASE(reads_are_the_same_with_and_without),
        cmocka_unit_test_setup_teardown(reads_are_the_same_with_and_without, setup_plain, teardown),
        CASE(a_small_read_takes_none),
        CASE(what_fails_to_be_read_gives_it_back),
        CASE(a_flipped_bit_is_damage),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_damage, setup_plain, teardown),
        CASE(a_flipped_bit_with_its_checksum_is_tampering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
