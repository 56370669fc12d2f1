/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a root that was made becomes durable, the store's lock is let go: writes and reads go on,
 * a flush shares the root's syncs, spare keys that only that root lists are left alone, a caller
 * asleep on a queue's descriptor comes back, and who needs the root to be durable waits for it.
 */
#include "volume/store.h"

#include "unit/volume_fixture.h"

#include <poll.h>
#include <unistd.h>

#define PAGES 16u

extern uint64_t cof_test_data_key_bytes;

static struct volume_fixture f;
static struct coffer_volume *volume;
static struct coffer_queue *queue;
static uint8_t bytes[PAGE];
static struct iovec iov = {bytes, PAGE};

static void open_all(void)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 8};
    volume = open_volume(&f, "v");
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), 0);
}

/* On a disk that answers some polls later: a root takes more than one look. */
static int setup(void **state)
{
    struct sim_disk_options options = {.seed = 6, .delay_polls_max = 3, .record = true};
    struct sim_image *image;
    (void)state;
    fixture_make(&f, 6); /* even: not a device that works in poll */
    make_volume(&f, "v", PAGES, 0);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    open_all();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_test_data_key_bytes = 0;
    (void)pthread_mutex_trylock(&f.store->lock); /* a case that failed may hold it */
    pthread_mutex_unlock(&f.store->lock);
    coffer_queue_destroy(queue);
    fixture_done(&f);
    return 0;
}

static void submit(enum coffer_io_op op, uint64_t page)
{
    struct coffer_io io = {.op = op, .volume = volume, .offset_bytes = page * PAGE};
    if (op != COFFER_IO_FLUSH) {
        io.length_bytes = PAGE;
        io.iov = &iov;
        io.iov_count = 1;
    }
    assert_int_equal(coffer_submit(queue, &io, 1), 1);
}

static void reap(unsigned count)
{
    struct coffer_cqe cqe[8];
    assert_int_equal(coffer_reap(queue, cqe, count, count), count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(cqe[i].result, 0);
    }
}

static enum cof_checkpoint_state now(void)
{
    return f.store->checkpoint.state;
}

/* A root is made, as by the cleaner's slices. */
static void make_root(void)
{
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_checkpoint_settle(f.store), 0);
    assert_int_equal(cof_checkpoint_light_begin(f.store), 0);
    pthread_mutex_unlock(&f.store->lock);
    assert_int_equal(now(), COF_CHECKPOINT_SETTLE);
}

static void make_due(uint8_t byte)
{
    memset(bytes, byte, sizeof bytes);
    submit(COFFER_IO_WRITE, 1);
    reap(1);
    make_root();
}

static uint64_t syncs(void)
{
    return sim_disk_calls(f.disk, COFFER_SEGDEV_SYNC);
}

static void callers_bring_a_root_to_its_end(void **state)
{
    uint64_t epoch, before;
    unsigned steps = 0;
    (void)state;
    make_due(1);
    epoch = f.store->root.epoch;
    before = syncs();
    while (now() == COF_CHECKPOINT_SETTLE && steps++ < 100) {
        submit(COFFER_IO_READ, 1);
        reap(1);
        assert_int_equal(bytes[0], 1);
    }
    assert_int_equal(now(), COF_CHECKPOINT_IDLE);
    assert_true(steps > 1); /* not all of it in one call */
    assert_int_equal(f.store->root.epoch, epoch + 2u);
    assert_int_equal(syncs(), before + 3u);
}

/* What was complete before one of the root's syncs needs none of its own. */
static void a_flush_shares_the_syncs_of_a_root(void **state)
{
    uint64_t before;
    (void)state;
    make_due(2);
    before = syncs();
    submit(COFFER_IO_WRITE, 2);
    reap(1);
    assert_int_equal(now(), COF_CHECKPOINT_SETTLE);
    submit(COFFER_IO_FLUSH, 0);
    assert_false(f.store->lane.sync_in_flight);
    reap(1);
    assert_true(syncs() <= before + 3u);
    fixture_crash(&f, SIM_CUT_NONE, 3); /* only what a sync covered */
    volume = NULL;
    queue = NULL;
    open_all();
    submit(COFFER_IO_READ, 2);
    reap(1);
    assert_int_equal(bytes[0], 2);
}

/* A root with nothing to write: its lane makes no sync, and so makes nothing durable. */
static void a_sync_that_is_not_made_covers_nothing(void **state)
{
    struct cof_lane *log = &f.store->lane;
    uint64_t before, durable;
    unsigned steps = 0;
    (void)state;
    submit(COFFER_IO_WRITE, 1);
    reap(1);
    pthread_mutex_lock(&f.store->lock);
    durable = log->durable_upto;
    assert_true(durable < log->completed_upto);
    assert_int_equal(cof_settle_roots(f.store), 0);
    assert_int_equal(f.store->meta.durable_upto, f.store->checkpoint.lane_batch);
    before = syncs();
    while (f.store->checkpoint.settling != COF_SETTLING_FLIP && steps++ < 100) {
        assert_true(cof_settle_step(f.store, true) >= 0);
    }
    assert_int_equal(syncs(), before);
    assert_int_equal(log->durable_upto, durable);
    assert_int_equal(cof_checkpoint_end(f.store), 0);
    assert_int_equal(log->durable_upto, log->completed_upto); /* by the flips' */
    pthread_mutex_unlock(&f.store->lock);
}

/* A flush that comes too late for the last of them is made durable after it. */
static void the_log_syncs_again_when_the_root_is_durable(void **state)
{
    uint64_t before;
    unsigned steps = 0;
    (void)state;
    make_due(3);
    pthread_mutex_lock(&f.store->lock);
    while (f.store->roots.step != COF_ROOT_SECOND_SYNC && steps++ < 100) {
        assert_true(cof_settle_step(f.store, true) >= 0);
    }
    pthread_mutex_unlock(&f.store->lock);
    assert_int_equal(f.store->roots.step, COF_ROOT_SECOND_SYNC);
    before = syncs();
    submit(COFFER_IO_WRITE, 3);
    submit(COFFER_IO_FLUSH, 0);
    reap(2);
    assert_int_equal(now(), COF_CHECKPOINT_IDLE);
    assert_int_equal(syncs(), before + 1u);
}

static unsigned spares(bool listed)
{
    unsigned count = 0;
    for (unsigned i = 0; i < volume->ek_count; i++) {
        const struct cof_ek *ek = &volume->eks[i];
        count += (ek->entry.flags & COF_EK_FLAG_SPARE) != 0 && ek->listed == listed ? 1u : 0u;
    }
    return count;
}

/* Nothing may be sealed under a key that the durable root does not list. */
static void a_spare_key_is_taken_only_once_a_durable_root_lists_it(void **state)
{
    struct cof_ek *ek;
    uint64_t extent;
    (void)state;
    assert_int_equal(spares(false), 0);
    cof_test_data_key_bytes = 1; /* each extent takes one */
    pthread_mutex_lock(&f.store->lock);
    extent = f.store->next_extent;
    for (unsigned i = 0; i <= COF_SPARE_KEYS; i++) { /* the first is for the key that is in use */
        assert_int_equal(cof_keys_active(volume, extent++, false, &ek), 0);
        assert_true(ek->listed);
    }
    assert_int_equal(spares(true), 0);
    assert_true(f.store->keys_wanted);
    pthread_mutex_unlock(&f.store->lock);
    make_root(); /* it draws new ones */
    assert_int_equal(spares(false), COF_SPARE_KEYS);
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_keys_active(volume, extent++, false, &ek), 0);
    assert_true(ek->listed);
    assert_int_equal(spares(false), COF_SPARE_KEYS);
    assert_false(f.store->keys_wanted); /* they are coming: no other root has to */
    assert_int_equal(cof_checkpoint_end(f.store), 0);
    assert_int_equal(spares(true), COF_SPARE_KEYS);
    assert_int_equal(cof_keys_active(volume, extent, false, &ek), 0);
    assert_true(ek->listed);
    assert_int_equal(spares(true), COF_SPARE_KEYS - 1u);
    pthread_mutex_unlock(&f.store->lock);
}

/* Blocks of trees that the device has not got yet are read from the lane. */
static void a_table_is_read_while_it_is_written(void **state)
{
    struct cof_tree_pointer place;
    uint8_t block[COF_ENTRY_BLOCKS * 4096u];
    unsigned blocks;
    (void)state;
    make_due(4);
    pthread_mutex_lock(&f.store->lock);
    place = f.store->segment_tree.root;
    assert_non_null(cof_lane_find(&f.store->meta, place.segment, place.block));
    assert_int_equal(cof_ptree_fetch(&f.store->segment_tree, &place, block), 0);
    assert_int_equal(cof_ptree_read(&f.store->segment_tree, 0, block, 1, &blocks), 0);
    assert_int_equal(cof_checkpoint_end(f.store), 0);
    assert_null(cof_lane_find(&f.store->meta, place.segment, place.block));
    assert_int_equal(cof_ptree_fetch(&f.store->segment_tree, &place, block), 0);
    pthread_mutex_unlock(&f.store->lock);
}

/* An administrator's call finds the store as if roots took no time. */
static void other_roots_wait_for_their_turn(void **state)
{
    uint64_t epoch;
    (void)state;
    make_due(5);
    epoch = f.store->root.epoch;
    make_volume(&f, "w", PAGES, 0);
    assert_int_equal(now(), COF_CHECKPOINT_IDLE);
    assert_true(f.store->root.epoch >= epoch + 4u);
    make_due(6);
    coffer_queue_destroy(queue);
    queue = NULL;
    assert_int_equal(coffer_volume_close(volume), 0);
    make_root();
    fixture_reopen(&f);
    open_all();
    submit(COFFER_IO_READ, 1);
    reap(1);
    assert_int_equal(bytes[0], 6);
}

/* ---- a real file ---- */

static char directory[] = "/tmp/settle.XXXXXX";

static void open_file(struct coffer_store_opts *opts, char *path, size_t room)
{
    struct coffer_store_create_opts create = {
        .size = sizeof create, .segment_bytes = SEGMENT_BYTES, .size_bytes = SEGMENTS << 20};
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, room, "%s/store", directory);
    create.path = path;
    assert_int_equal(coffer_store_create(&create, &f.fault), 0);
    opts->path = path;
    assert_int_equal(coffer_store_open(opts, &f.store, &f.fault), 0);
}

/* Its flush waits for the root's last sync, whose channel the descriptor does not show. */
static void a_caller_asleep_on_the_descriptor_comes_back(void **state)
{
    struct coffer_store_opts opts = {.size = sizeof opts};
    struct pollfd wait = {.events = POLLIN};
    struct coffer_cqe cqe;
    char path[64];
    int got = 0;
    (void)state;
    memset(&f, 0, sizeof f);
    fake_kms_init(&f.kms, 1);
    open_file(&opts, path, sizeof path);
    make_volume(&f, "v", PAGES, 0);
    open_all();
    wait.fd = coffer_queue_fd(queue);
    assert_true(wait.fd >= 0);
    for (unsigned round = 0; round < 20; round++) {
        submit(COFFER_IO_WRITE, 7);
        while ((got = coffer_reap(queue, &cqe, 1, 0)) == 0) {
            assert_int_equal(poll(&wait, 1, 10000), 1);
        }
        make_root();
        submit(COFFER_IO_FLUSH, 0);
        while ((got = coffer_reap(queue, &cqe, 1, 0)) == 0) {
            assert_int_equal(poll(&wait, 1, 10000), 1);
        }
        assert_int_equal(got, 1);
        assert_int_equal(cqe.result, 0);
    }
    coffer_queue_destroy(queue);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_store_close(f.store), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(callers_bring_a_root_to_its_end),
        CASE(a_flush_shares_the_syncs_of_a_root),
        CASE(a_sync_that_is_not_made_covers_nothing),
        CASE(the_log_syncs_again_when_the_root_is_durable),
        CASE(a_spare_key_is_taken_only_once_a_durable_root_lists_it),
        CASE(a_table_is_read_while_it_is_written),
        CASE(other_roots_wait_for_their_turn),
        cmocka_unit_test(a_caller_asleep_on_the_descriptor_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
