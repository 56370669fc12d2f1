/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_leaves_test.c - leaves of the map that are read ahead: fewer waits for who goes
 * through a volume in order, the same contents, and an error only where a leaf does not read at its
 * own turn either.
 */
#include "volume_fixture.h"

#include "volume/store.h"

#define LEAF 512u
#define LEAVES 96u /* more than the cache of the fixture holds */

static struct volume_fixture f;

/* A page in each leaf, in the tree, and nothing cached. */
static struct coffer_volume *reopened(uint64_t seed)
{
    struct coffer_volume *volume;
    fixture_make(&f, seed);
    make_volume(&f, "v", LEAVES * LEAF, 0);
    volume = open_volume(&f, "v");
    for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
        write_page(volume, leaf * LEAF + leaf, leaf + 1u);
    }
    assert_int_equal(coffer_store_close(f.store), 0);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    return open_volume(&f, "v");
}

static int look(struct coffer_volume *volume, uint64_t leaf)
{
    struct cof_vaddr addr;
    int err;
    pthread_mutex_lock(&f.store->lock);
    err = cof_volume_lookup(volume, leaf * LEAF + leaf, &addr);
    pthread_mutex_unlock(&f.store->lock);
    assert_true(err != 0 || addr.bits != 0);
    return err;
}

static void a_leaf_is_read_once(void **state)
{
    struct coffer_volume *volume = reopened(31);
    uint64_t reads, jumps;
    (void)state;
    reads = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
        assert_int_equal(look(volume, leaf), 0);
    }
    reads = sim_disk_calls(f.disk, COFFER_SEGDEV_READ) - reads;
    assert_in_range(reads, LEAVES, LEAVES + LEAVES / 2u); /* a leaf once; headers are shared */
    jumps = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    for (uint64_t i = 0; i < LEAVES; i++) {
        assert_int_equal(look(volume, i * 37u % LEAVES), 0);
    }
    assert_true(sim_disk_calls(f.disk, COFFER_SEGDEV_READ) - jumps < 2u * LEAVES);
    for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
        check_page(volume, leaf * LEAF + leaf, leaf + 1u);
    }
    fixture_done(&f);
}

/* Each read fails once: those ahead fail nothing, the others one look, and the next finds it. */
static void a_leaf_that_does_not_read_ahead_is_read_in_its_turn(void **state)
{
    uint64_t unharmed = 0, harmed = 0;
    (void)state;
    for (uint64_t at = 0; at < LEAVES; at++) {
        struct coffer_volume *volume = reopened(32);
        uint64_t failed = 0;
        struct sim_fault fault = {.call = COFFER_SEGDEV_READ,
                                  .at = sim_disk_calls(f.disk, COFFER_SEGDEV_READ) + at,
                                  .error = COFFER_E_IO,
                                  .os_errno = 5};
        sim_disk_inject(f.disk, &fault);
        for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
            int err = look(volume, leaf);
            assert_true(err == 0 || err == COFFER_E_IO);
            failed += err != 0 ? 1u : 0u;
        }
        assert_true(sim_disk_fired(f.disk) == 1 && failed <= 1);
        sim_disk_inject(f.disk, NULL);
        for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
            check_page(volume, leaf * LEAF + leaf, leaf + 1u);
        }
        harmed += failed;
        unharmed += 1u - failed;
        fixture_done(&f);
    }
    assert_true(harmed > 0 && unharmed > LEAVES / 2u);
}

/* What is damaged on the device is told when it is wanted, and harms no other leaf. */
static void a_damaged_leaf_is_an_error_of_its_own_pages_alone(void **state)
{
    struct sim_disk_options options = {.seed = 33};
    struct coffer_volume *volume = reopened(33);
    struct sim_image *image = sim_disk_image_live(f.disk);
    const struct cof_node *root;
    struct cof_fetch fetch;
    uint8_t page[PAGE];
    (void)state;
    assert_int_equal(look(volume, 0), 0);
    root = cof_nodes_find(&f.store->nodes, volume->number, volume->tree.root);
    assert_non_null(root);
    assert_int_equal(cof_fetch_find(volume, root->entries[7], &fetch, &f.fault), 0);
    cof_opener_put(f.store, fetch.opener);
    assert_int_equal(coffer_store_close(f.store), 0);
    sim_disk_free(f.disk);
    sim_image_poke(image, fetch.segment, fetch.block, 100, "damage", 6);
    f.disk = sim_disk_from_image(image, &options);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    volume = open_volume(&f, "v");
    for (uint64_t i = 0; i < LEAVES; i++) {
        int err = coffer_volume_read(volume, page, (i * LEAF + i) * PAGE, PAGE, &f.fault);
        assert_int_equal(err != 0, i == 7);
    }
    sim_image_free(image);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_is_read_once),
        cmocka_unit_test(a_leaf_that_does_not_read_ahead_is_read_in_its_turn),
        cmocka_unit_test(a_damaged_leaf_is_an_error_of_its_own_pages_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
