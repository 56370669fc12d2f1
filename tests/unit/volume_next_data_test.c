/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a volume has data, against a model: after random writes and discards, of pages and of whole
 * leaves, in the delta, the frozen delta and the tree; beside many holes, far and near.
 */
#include "unit/volume_fixture.h"
#include "volume/store.h"

#include <sched.h>

#define PAGES 16384u /* 32 leaves */
#define LEAF 512u

static struct volume_fixture f;
static struct coffer_volume *volume;
static bool model[PAGES];

static int yields_left = -1; /* until a checkpoint runs where the store's lock is let go */
static unsigned checkpoints;

/* The engine calls it to let others in: here they come at a moment that is known. */
int sched_yield(void)
{
    if (yields_left >= 0 && yields_left-- == 0) {
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        checkpoints++;
    }
    return 0;
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 5);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    memset(model, 0, sizeof model);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static void put(uint64_t page)
{
    write_page(volume, page, 1);
    model[page] = true;
}

static void drop(uint64_t page, uint64_t count)
{
    assert_int_equal(coffer_volume_discard(volume, page * PAGE, count * PAGE, &f.fault), 0);
    memset(model + page, 0, count * sizeof *model);
}

/* Every page that is data lies in a run, and no other; returns the number of runs. */
static unsigned check_all(void)
{
    uint64_t offset = 0, length, page = 0;
    unsigned runs = 0;
    for (;; runs++) {
        assert_int_equal(coffer_volume_next_data(volume, &offset, &length, &f.fault), 0);
        for (; page < (length == 0 ? PAGES : offset / PAGE); page++) {
            assert_false(model[page]);
        }
        if (length == 0) {
            return runs;
        }
        for (; page < (offset + length) / PAGE; page++) {
            assert_true(model[page]);
        }
        offset += length;
    }
}

static void an_empty_volume_has_none(void **state)
{
    (void)state;
    assert_int_equal(check_all(), 0);
    put(PAGES - 1u);
    assert_int_equal(check_all(), 1);
    drop(0, PAGES);
    assert_int_equal(check_all(), 0);
}

static void many_holes_are_passed(void **state)
{
    (void)state;
    for (uint64_t page = 0; page < PAGES; page += 8) {
        put(page);
    }
    assert_int_equal(check_all(), PAGES / 8u);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_int_equal(check_all(), PAGES / 8u);
    for (uint64_t leaf = 0; leaf + 1u < PAGES / LEAF; leaf++) { /* holes over what the tree has */
        drop(leaf * LEAF, LEAF);
    }
    assert_int_equal(check_all(), LEAF / 8u);
    put(3 * LEAF + 7u);
    put(9 * LEAF);
    drop(9 * LEAF, LEAF); /* an entry of the delta below a hole of it */
    assert_int_equal(check_all(), LEAF / 8u + 1u);
}

/* A checkpoint; at the freeze there is a look, at all three places. Whether it was met. */
static unsigned checkpoint_by_slices(struct prng *prng)
{
    uint64_t usual_ns = f.store->checkpoint_ns;
    unsigned freezes = 0;
    f.store->checkpoint_ns = 0; /* due at once */
    for (unsigned slice = 0; slice < 1000 && freezes == 0; slice++) {
        assert_true(coffer_store_maintain(f.store) >= 0);
        if (volume->has_frozen) {
            put(prng_below(prng, PAGES));
            (void)check_all();
            freezes++;
        }
    }
    f.store->checkpoint_ns = usual_ns;
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    return freezes;
}

static void random_histories_agree(void **state)
{
    struct prng prng = {11};
    unsigned freezes = 0;
    (void)state;
    for (unsigned i = 0; i < 2500; i++) {
        uint64_t page = prng_below(&prng, PAGES);
        if (prng_chance(&prng, 1, 12)) {
            page = prng_chance(&prng, 1, 2) ? page / LEAF * LEAF : page;
            drop(page, page + 2u * LEAF <= PAGES ? 1u + prng_below(&prng, 2u * LEAF) : 1u);
        } else {
            put(page);
        }
        if (i % 400u == 399u) {
            freezes += checkpoint_by_slices(&prng);
        }
        if (i % 100u == 0) {
            (void)check_all();
        }
    }
    assert_true(freezes > 2);
    assert_true(check_all() > 100);
}

/* A page that is data all the while is in the tree of a sudden, whatever its shard was. */
static void a_checkpoint_in_a_look_hides_nothing(void **state)
{
    (void)state;
    checkpoints = 0;
    for (unsigned turn = 0; turn < 6; turn++) {
        uint64_t kept = PAGES - 1u - turn * LEAF - turn, offset = 0, length;
        for (uint64_t page = LEAF; page < LEAF + 3300u; page++) { /* a delta of several steps */
            drop(page, 1);
        }
        put(kept);
        yields_left = 0;
        assert_int_equal(coffer_volume_next_data(volume, &offset, &length, &f.fault), 0);
        assert_int_equal(yields_left, -1);
        assert_true(offset == kept * PAGE);
        assert_int_equal(length, PAGE);
        drop(0, PAGES);
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    }
    assert_int_equal(checkpoints, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_volume_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(many_holes_are_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(random_histories_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_in_a_look_hides_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
