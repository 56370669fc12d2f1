/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated device alone: what survives which cut, what faults leave, what it refuses.
 */
#include "common/harness.h"
#include "common/sim_segdev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT_BYTES (1u << 20)

struct fixture {
    struct sim_disk *disk;
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    uint8_t *buffer; /* 16 blocks */
    struct iovec iov;
    struct coffer_segdev_request request;
};

static void open_fixture(struct fixture *f, unsigned delay, bool shuffle)
{
    struct sim_disk_options options = {
        .seed = 7, .record = true, .delay_polls_max = delay, .shuffle = shuffle};
    memset(f, 0, sizeof *f);
    f->disk = sim_disk_new(SEGMENT_BYTES, 64, 70, &options);
    f->dev = sim_disk_open(f->disk);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 32, &f->channel), 0);
    f->buffer = aligned_alloc(4096, 16 * 4096);
    assert_non_null(f->buffer);
}

static void close_fixture(struct fixture *f)
{
    f->dev->ops->channel_close(f->channel);
    f->dev->ops->close(f->dev);
    sim_disk_free(f->disk);
    free(f->buffer);
}

static void prepare(struct fixture *f, enum coffer_segdev_op op, uint32_t segment, uint32_t block,
                    uint32_t blocks)
{
    memset(&f->request, 0, sizeof f->request);
    f->request.op = op;
    f->request.segment = segment;
    f->request.offset = block * 4096;
    f->iov.iov_base = f->buffer;
    f->iov.iov_len = (size_t)blocks * 4096;
    f->request.iov = &f->iov;
    f->request.iov_count = blocks == 0 ? 0 : 1;
    f->request.buffer_index = -1;
}

static int run(struct fixture *f)
{
    struct coffer_segdev_request *list = NULL;
    assert_int_equal(f->dev->ops->submit(f->channel, &f->request), 0);
    assert_int_equal(f->dev->ops->poll(f->channel, 1, &list), 1);
    assert_ptr_equal(list, &f->request);
    return f->request.result;
}

static int append(struct fixture *f, uint32_t segment, uint32_t block, uint32_t blocks, int fill)
{
    prepare(f, COFFER_SEGDEV_APPEND, segment, block, blocks);
    memset(f->buffer, fill, (size_t)blocks * 4096);
    return run(f);
}

static int sync_all(struct fixture *f)
{
    prepare(f, COFFER_SEGDEV_SYNC, 0, 0, 0);
    return run(f);
}

static int byte_after(const struct fixture *f, enum sim_variant variant, uint32_t segment,
                      uint32_t block)
{
    struct sim_image *image =
        sim_disk_image_at(f->disk, sim_disk_events(f->disk), variant, 1);
    int byte = sim_image_bytes(image, segment, block)[0];
    sim_image_free(image);
    return byte;
}

static void a_synced_write_survives_and_an_unsynced_one_does_not(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 0, false);
    assert_int_equal(append(&f, 3, 0, 2, 0x11), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 0), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_ALL, 3, 0), 0x11);
    assert_int_equal(sync_all(&f), 0);
    assert_int_equal(append(&f, 3, 2, 1, 0x22), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 1), 0x11);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 2), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_KILL, 3, 2), 0x22);
    assert_int_equal(sim_disk_unsynced_at(f.disk, sim_disk_events(f.disk)), 1);
    close_fixture(&f);
}

static void a_cut_before_the_sync_ended_keeps_nothing_of_it(void **state)
{
    struct fixture f;
    struct sim_image *image;
    (void)state;
    open_fixture(&f, 0, false);
    assert_int_equal(append(&f, 3, 0, 1, 0x11), 0);
    assert_int_equal(sync_all(&f), 0);
    image = sim_disk_image_at(f.disk, sim_disk_events(f.disk) - 1, SIM_CUT_NONE, 1);
    assert_true(sim_image_empty(image));
    sim_image_free(image);
    close_fixture(&f);
}

static void a_write_that_completes_after_a_sync_began_is_not_covered(void **state)
{
    struct fixture f;
    struct coffer_segdev_request sync_request, *list;
    int found = 0;
    (void)state;
    open_fixture(&f, 0, false);
    prepare(&f, COFFER_SEGDEV_APPEND, 3, 0, 1);
    memset(f.buffer, 0x33, 4096);
    assert_int_equal(f.dev->ops->submit(f.channel, &f.request), 0);
    sync_request = f.request;
    sync_request.op = COFFER_SEGDEV_SYNC;
    sync_request.iov_count = 0;
    assert_int_equal(f.dev->ops->submit(f.channel, &sync_request), 0);
    while (found < 2) {
        found += f.dev->ops->poll(f.channel, 1, &list);
    }
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 0), 0);
    assert_int_equal(sync_all(&f), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 0), 0x33);
    close_fixture(&f);
}

static void a_failed_sync_is_never_made_good_by_a_later_one(void **state)
{
    struct fixture f;
    struct sim_fault fault = {.call = COFFER_SEGDEV_SYNC, .at = 0, .error = COFFER_E_IO};
    (void)state;
    open_fixture(&f, 0, false);
    sim_disk_inject(f.disk, &fault);
    assert_int_equal(append(&f, 3, 0, 1, 0x44), 0);
    assert_int_equal(sync_all(&f), COFFER_E_IO);
    assert_int_equal(sync_all(&f), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 0), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_ALL, 3, 0), 0x44);
    close_fixture(&f);
}

static void a_torn_write_is_torn_at_sectors(void **state)
{
    struct fixture f;
    unsigned mixed = 0;
    (void)state;
    open_fixture(&f, 0, false);
    assert_int_equal(append(&f, 3, 0, 4, 0x55), 0);
    for (uint64_t seed = 0; seed < 64; seed++) {
        struct sim_image *image = sim_disk_image_at(f.disk, 1, SIM_CUT_TORN, seed);
        for (uint32_t block = 0; block < 4; block++) {
            const uint8_t *bytes = sim_image_bytes(image, 3, block);
            for (unsigned i = 0; i < 4096; i++) {
                assert_int_equal(bytes[i], bytes[i / 512 * 512]);
            }
            mixed += bytes[0] != bytes[4095] ? 1u : 0u;
        }
        sim_image_free(image);
    }
    assert_true(mixed > 8);
    close_fixture(&f);
}

static void a_trim_is_undone_by_a_cut_until_synced(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 0, false);
    assert_int_equal(append(&f, 3, 0, 1, 0x66), 0);
    assert_int_equal(sync_all(&f), 0);
    prepare(&f, COFFER_SEGDEV_TRIM, 3, 0, 0);
    assert_int_equal(run(&f), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_NONE, 3, 0), 0x66);
    assert_int_equal(byte_after(&f, SIM_CUT_ALL, 3, 0), 0);
    assert_int_equal(append(&f, 3, 0, 1, 0x67), 0);
    assert_int_equal(byte_after(&f, SIM_CUT_ALL, 3, 0), 0x67);
    close_fixture(&f);
}

static void power_off_leaves_no_trace(void **state)
{
    struct fixture f;
    struct sim_image *image;
    (void)state;
    open_fixture(&f, 0, false);
    prepare(&f, COFFER_SEGDEV_APPEND, 3, 0, 1);
    assert_int_equal(f.dev->ops->submit(f.channel, &f.request), 0);
    sim_disk_power_off(f.disk);
    struct coffer_segdev_request *list;
    assert_int_equal(f.dev->ops->poll(f.channel, 1, &list), 1);
    assert_int_equal(list->result, COFFER_E_IO);
    assert_int_equal(f.dev->ops->submit(f.channel, &f.request), COFFER_E_IO);
    image = sim_disk_image_live(f.disk);
    assert_true(sim_image_empty(image));
    sim_image_free(image);
    close_fixture(&f);
}

static uint64_t trace_of(void)
{
    struct fixture f;
    struct coffer_segdev_request requests[8], *list;
    struct iovec iov[8];
    uint64_t order = 0;
    int found = 0;
    open_fixture(&f, 3, true);
    for (unsigned i = 0; i < 8; i++) {
        prepare(&f, COFFER_SEGDEV_READ, 5, i, 1);
        iov[i] = (struct iovec){f.buffer + (size_t)i * 4096, 4096};
        requests[i] = f.request;
        requests[i].iov = &iov[i];
        assert_int_equal(f.dev->ops->submit(f.channel, &requests[i]), 0);
    }
    while (found < 8) {
        int count = f.dev->ops->poll(f.channel, 1, &list);
        for (int i = 0; i < count; i++, list = list->next) {
            order = order * 8 + (uint64_t)(list - requests);
        }
        found += count;
    }
    close_fixture(&f);
    return order;
}

static void completions_are_shuffled_and_the_same_seed_shuffles_the_same(void **state)
{
    uint64_t first = trace_of();
    (void)state;
    assert_int_equal(first, trace_of());
    assert_int_not_equal(first, 001234567);
}

static void images_share_blocks_and_differ_where_written(void **state)
{
    struct sim_image *a = sim_image_new(SEGMENT_BYTES, 64, 64);
    struct sim_image *b;
    (void)state;
    sim_image_poke(a, 1, 2, 10, "x", 1);
    sim_image_poke(a, 1, 3, 10, "y", 1);
    b = sim_image_clone(a);
    assert_ptr_equal(sim_image_block(a, 1, 2), sim_image_block(b, 1, 2));
    sim_image_exchange(b, 1, 2, 1, 3);
    assert_int_equal(sim_image_bytes(b, 1, 2)[10], 'y');
    assert_int_equal(sim_image_bytes(a, 1, 2)[10], 'x');
    assert_int_equal(sim_image_end(a, 1), 4);
    sim_image_exchange(b, 1, 3, SIM_ROOT, 0);
    assert_int_equal(sim_image_bytes(b, SIM_ROOT, 0)[10], 'x');
    assert_null(sim_image_block(b, 1, 3));
    assert_int_equal(sim_image_end(b, 1), 4);
    sim_image_begin(b, 1);
    assert_int_equal(sim_image_end(b, 1), 0);
    assert_int_equal(sim_image_end(a, 1), 4);
    sim_image_free(a);
    sim_image_free(b);
}

/* ---- breaches of the contract ---- */

static void append_in_the_middle(void *ctx)
{
    struct fixture *f = ctx;
    (void)append(f, 3, 0, 2, 1);
    (void)append(f, 3, 1, 1, 1);
}

static void wait_for_ever(void *ctx)
{
    struct fixture *f = ctx;
    struct coffer_segdev_request *list;
    (void)f->dev->ops->poll(f->channel, 1, &list);
}

static void change_a_buffer_in_flight(void *ctx)
{
    struct fixture *f = ctx;
    struct coffer_segdev_request *list;
    prepare(f, COFFER_SEGDEV_APPEND, 3, 0, 1);
    (void)f->dev->ops->submit(f->channel, &f->request);
    f->buffer[100] ^= 1;
    (void)f->dev->ops->poll(f->channel, 1, &list);
}

static void read_under_a_write(void *ctx)
{
    struct fixture *f = ctx;
    struct coffer_segdev_request other;
    prepare(f, COFFER_SEGDEV_APPEND, 3, 0, 2);
    (void)f->dev->ops->submit(f->channel, &f->request);
    other = f->request;
    other.op = COFFER_SEGDEV_READ;
    (void)f->dev->ops->submit(f->channel, &other);
}

static void breaches_of_the_contract_fail_the_case(void **state)
{
    void (*const breaches[])(void *) = {append_in_the_middle, wait_for_ever,
                                        change_a_buffer_in_flight, read_under_a_write};
    (void)state;
    harness_quiet(true);
    for (size_t i = 0; i < sizeof breaches / sizeof breaches[0]; i++) {
        struct fixture f;
        open_fixture(&f, 0, false);
        assert_false(harness_run(breaches[i], &f));
        sim_disk_power_off(f.disk);
        if (i >= 2) {
            struct coffer_segdev_request *list;
            while (f.dev->ops->poll(f.channel, 0, &list) > 0) {
            }
        }
        close_fixture(&f);
    }
    harness_quiet(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_synced_write_survives_and_an_unsynced_one_does_not),
        cmocka_unit_test(a_cut_before_the_sync_ended_keeps_nothing_of_it),
        cmocka_unit_test(a_write_that_completes_after_a_sync_began_is_not_covered),
        cmocka_unit_test(a_failed_sync_is_never_made_good_by_a_later_one),
        cmocka_unit_test(a_torn_write_is_torn_at_sectors),
        cmocka_unit_test(a_trim_is_undone_by_a_cut_until_synced),
        cmocka_unit_test(power_off_leaves_no_trace),
        cmocka_unit_test(completions_are_shuffled_and_the_same_seed_shuffles_the_same),
        cmocka_unit_test(images_share_blocks_and_differ_where_written),
        cmocka_unit_test(breaches_of_the_contract_fail_the_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
