/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_log_read_test.c - the log's blocks and footers, fetched ahead: what is had is what
 * lies at the place that was asked for, whatever was asked before, however completions come, and
 * whatever fails; what nobody asked for fails nothing.
 */
#include "reader_fixture.h"

#include "common/det_env.h"
#include "common/prng.h"
#include "volume/log_read.h"

#define SEGMENTS 40u /* of 256 blocks; those from 1 to WRITTEN are full */
#define WRITTEN 30u
#define BLOCKS (MIB / BLOCK)

struct log_rig {
    struct sim_disk *disk;
    struct det_env det;
    struct coffer_store store; /* as much of it as a reader of the log looks at */
    struct cof_log_read *log;
};

static struct log_rig rig;

static void open_log(unsigned delay_polls)
{
    struct sim_disk_options options = {
        .seed = 5, .delay_polls_max = delay_polls, .shuffle = delay_polls > 0, .again = true};
    uint8_t *memory = aligned_alloc(BLOCK, MIB);
    assert_non_null(memory);
    memset(&rig, 0, sizeof rig);
    det_env_init(&rig.det, 3, 0);
    cof_env_init(&rig.store.env, &rig.det.api);
    rig.disk = sim_disk_new(MIB, SEGMENTS, SEGMENTS, &options);
    rig.store.dev = sim_disk_open(rig.disk);
    for (uint32_t segment = 1; segment <= WRITTEN; segment++) {
        fill_segment(rig.store.dev, segment, memory, MIB);
    }
    free(memory);
    rig.store.segment_blocks = BLOCKS;
    rig.store.root.segment_count = SEGMENTS;
    assert_int_equal(cof_sync_io_init(&rig.store.io, &rig.store.env, rig.store.dev), 0);
    assert_int_equal(cof_segments_init(&rig.store.segments, &rig.store.env, SEGMENTS), 0);
    assert_int_equal(cof_log_read_new(&rig.store, &rig.log), 0);
}

static void close_log(void)
{
    cof_log_read_free(rig.log);
    cof_segments_done(&rig.store.segments);
    cof_sync_io_done(&rig.store.io);
    rig.store.dev->ops->close(rig.store.dev);
    sim_disk_free(rig.disk);
    det_env_check_leaks(&rig.det);
}

static void inject(uint64_t from_now, bool sticky)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_READ,
                              .at = sim_disk_calls(rig.disk, COFFER_SEGDEV_READ) + from_now,
                              .error = COFFER_E_IO,
                              .os_errno = 5,
                              .sticky = sticky};
    sim_disk_inject(rig.disk, &fault);
}

static void check_marked(const uint8_t *bytes, uint32_t segment, uint32_t block, uint32_t count)
{
    uint8_t expected[BLOCK];
    for (uint32_t i = 0; i < count; i++) {
        mark(expected, segment, block + i);
        assert_memory_equal(bytes + (size_t)i * BLOCK, expected, BLOCK);
    }
}

/* A read by itself may be the one that fails: then the next is not. */
static void ask_block(uint32_t segment, uint32_t block)
{
    const uint8_t *at = NULL;
    uint64_t fired = sim_disk_fired(rig.disk);
    int err = cof_log_read_block(rig.log, segment, block, &at);
    if (err != 0) {
        assert_int_equal(err, COFFER_E_IO);
        assert_int_equal(sim_disk_fired(rig.disk), fired + 1u);
        assert_null(at);
        err = cof_log_read_block(rig.log, segment, block, &at);
    }
    assert_int_equal(err, 0);
    check_marked(at, segment, block, 1);
}

static void ask_footer(uint32_t segment)
{
    const uint8_t *at = NULL;
    int err = cof_log_read_footer(rig.log, segment, &at);
    if (err != 0) {
        assert_null(at);
        err = cof_log_read_footer(rig.log, segment, &at);
    }
    assert_int_equal(err, 0);
    check_marked(at, segment, BLOCKS - COF_FOOTER_BLOCKS, COF_FOOTER_BLOCKS);
}

/* Blocks on and on, jumps, steps back, footers of any segment; what follows is told, or told
 * wrongly: root segments, none, those that are not there. Now and then a read fails. */
static void any_order_gives_what_lies_there(void **state)
{
    static const unsigned delays[] = {0, 3, NEVER};
    uint64_t struck = 0;
    (void)state;
    for (unsigned d = 0; d < 3; d++) {
        struct prng prng = {prng_mix(77, d)};
        uint32_t segment = 1, block = 0;
        open_log(delays[d]);
        for (unsigned i = 0; i < 20000; i++) {
            uint32_t what = prng_below(&prng, 400);
            if (what == 0) {
                segment = 1u + prng_below(&prng, WRITTEN);
                block = prng_below(&prng, BLOCKS);
            } else if (what == 1) {
                block -= prng_below(&prng, block + 1u);
            } else if (what < 6) {
                cof_log_read_follow(rig.log, prng_below(&prng, SEGMENTS + 8u));
            } else if (what < 12) {
                ask_footer(1u + prng_below(&prng, WRITTEN));
            } else if (what < 20) {
                struck += sim_disk_fired(rig.disk);
                inject(prng_below(&prng, 6), false);
            }
            if (block == BLOCKS) {
                bool known = rig.log->follows >= 1 && rig.log->follows <= WRITTEN;
                segment = known ? rig.log->follows : 1u;
                block = 1;
            }
            ask_block(segment, block++);
        }
        struck += sim_disk_fired(rig.disk);
        close_log();
    }
    assert_true(struck > 100);
}

/* Nothing that was read ahead tells of an error; only what is asked for, and at once. */
static void a_disk_that_fails_for_good_is_said(void **state)
{
    const uint8_t *at = NULL;
    (void)state;
    open_log(3);
    ask_block(4, 10);
    ask_block(4, 11);
    ask_footer(9);
    inject(0, true);
    for (uint32_t block = 12; block < 11u + COF_LOG_WINDOW_BLOCKS; block++) {
        ask_block(4, block); /* they are there */
    }
    ask_footer(9);
    assert_int_equal(cof_log_read_block(rig.log, 5, 1, &at), COFFER_E_IO);
    assert_int_equal(cof_log_read_footer(rig.log, 12, &at), COFFER_E_IO);
    assert_null(at);
    close_log();
}

/* A log through all segments, in the order in which they were taken: its blocks, and its footers,
 * are asked of the device before they are asked for, but for the first. */
static void what_follows_was_foreseen(void **state)
{
    (void)state;
    open_log(NEVER);
    for (uint32_t segment = 1; segment <= WRITTEN; segment++) {
        cof_log_read_follow(rig.log, segment + 1u);
        for (uint32_t block = 1; block < BLOCKS; block++) {
            ask_block(segment, block);
        }
    }
    assert_int_equal(rig.store.io.reads, 1);
    for (uint32_t segment = 1; segment <= WRITTEN; segment++) {
        ask_footer(segment);
    }
    assert_int_equal(rig.store.io.reads, 1);
    close_log();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_gives_what_lies_there),
        cmocka_unit_test(a_disk_that_fails_for_good_is_said),
        cmocka_unit_test(what_follows_was_foreseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
