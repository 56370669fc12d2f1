/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/reader_fixture.h - a reader on the simulated device, and blocks that say which they are.
 *
 * The simulated device fails the case when its contract is broken: a poll for more than is under
 * way, a buffer that is not aligned, a channel that is closed too early. One thread.
 */
#ifndef COF_TEST_READER_FIXTURE_H
#define COF_TEST_READER_FIXTURE_H

#include "segdev_fixture.h"

#include "common/sim_segdev.h"
#include "segdev/reader.h"

#define BLOCK COFFER_BLOCK_BYTES
#define LARGE (4u * MIB) /* a segment in which a request finds its limit */
#define LARGE_BLOCKS (LARGE / BLOCK)
#define RIG_SEGMENTS 16u
#define NEVER 1000000u /* polls: completes when it is waited for, and not before */

struct rig {
    struct sim_disk *disk;
    struct coffer_segdev *dev;
    struct cof_reader reader;
    struct cof_read first, second, third;
    uint8_t *memory; /* a segment's worth */
};

static inline void mark(uint8_t *block, uint32_t segment, uint32_t number)
{
    memset(block, (int)(segment * 31u + number), BLOCK);
    cof_le64_put(block, (uint64_t)segment << 32 | number);
}

static inline void check_run(const struct cof_block_run *run)
{
    uint8_t expected[BLOCK];
    for (uint32_t i = 0; i < run->blocks; i++) {
        mark(expected, run->segment, run->block + i);
        assert_memory_equal(run->bytes + (size_t)i * BLOCK, expected, BLOCK);
    }
}

static inline void check_runs(const struct cof_block_run *runs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        check_run(&runs[i]);
    }
}

static inline void fill_segment(struct coffer_segdev *dev, uint32_t segment, uint8_t *memory,
                                size_t bytes)
{
    struct coffer_segdev_channel *channel = NULL;
    struct coffer_segdev_request *list = NULL;
    struct iovec iov = {memory, bytes};
    struct coffer_segdev_request request = {.op = COFFER_SEGDEV_APPEND,
                                            .segment = segment,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .buffer_index = -1};
    for (uint32_t i = 0; i < bytes / BLOCK; i++) {
        mark(memory + (size_t)i * BLOCK, segment, i);
    }
    assert_int_equal(dev->ops->channel_open(dev, 1, &channel), 0);
    assert_int_equal(dev->ops->submit(channel, &request), 0);
    assert_int_equal(dev->ops->poll(channel, 1, &list), 1);
    assert_int_equal(request.result, 0);
    dev->ops->channel_close(channel);
    memset(memory, 0xEE, bytes);
}

/* Segments 5 and 6 are full of marked blocks. */
static inline void open_rig(struct rig *rig, unsigned delay_polls, unsigned reads_max)
{
    struct sim_disk_options options = {
        .seed = 11, .delay_polls_max = delay_polls, .shuffle = delay_polls > 0};
    memset(rig, 0, sizeof *rig);
    rig->disk = sim_disk_new(LARGE, RIG_SEGMENTS, RIG_SEGMENTS + 1u, &options);
    rig->dev = sim_disk_open(rig->disk);
    rig->memory = aligned_alloc(BLOCK, LARGE);
    assert_non_null(rig->memory);
    fill_segment(rig->dev, 5, rig->memory, LARGE);
    fill_segment(rig->dev, 6, rig->memory, LARGE);
    assert_int_equal(cof_reader_init(&rig->reader, rig->dev, reads_max), 0);
}

static inline void close_rig(struct rig *rig)
{
    cof_reader_done(&rig->reader);
    rig->dev->ops->close(rig->dev);
    sim_disk_free(rig->disk);
    free(rig->memory);
}

static inline void plant(struct rig *rig, unsigned call, uint64_t from_now, int error, int os_errno,
                         bool sticky)
{
    struct sim_fault fault = {.call = call,
                              .at = sim_disk_calls(rig->disk, call) + from_now,
                              .error = error,
                              .os_errno = os_errno,
                              .sticky = sticky};
    sim_disk_inject(rig->disk, &fault);
}

/* Every other block of a segment, none adjacent to the next, into the memory from `block` on. */
static inline void scatter(struct rig *rig, struct cof_block_run *runs, unsigned count,
                           uint32_t segment, uint32_t block)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t at = block + 2u * i;
        runs[i] = (struct cof_block_run){segment, at, 1, rig->memory + (size_t)at * BLOCK};
    }
}

#endif
