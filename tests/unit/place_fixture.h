/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/place_fixture.h - segments and a keyless tree over a memory device, and a raw writer that
 * appends as the checkpoint lane does: one block after another, a segment after another.
 */
#ifndef COF_TEST_PLACE_FIXTURE_H
#define COF_TEST_PLACE_FIXTURE_H

#include "common/det_env.h"
#include "common/prng.h"
#include "place/place.h"
#include "segdev/sync_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT_BYTES (1u << 20)
#define SEGMENT_BLOCKS (SEGMENT_BYTES / 4096u)
#define SEGMENT_COUNT 96u

struct place_fixture {
    struct det_env det;
    struct cof_env env;
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    struct cof_sync_io io;
    struct cof_segments segments;
    struct cof_raw_reader reader;
    struct cof_raw_writer writer;
    uint32_t segment, block;
    uint64_t puts, blocks_put, last_bucket;
    bool ascending; /* buckets were put in the order of their keys since it was set */
    uint64_t puts_until_failure;
};

static inline void device_write(struct place_fixture *f, uint32_t segment, uint32_t block,
                                const uint8_t *bytes, unsigned blocks)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, (size_t)blocks * 4096u};
    struct coffer_segdev_request request = {.op = COFFER_SEGDEV_APPEND,
                                            .segment = segment,
                                            .offset = block * 4096u,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .buffer_index = -1};
    struct coffer_segdev_request *list = NULL;
    assert_int_equal(f->dev->ops->submit(f->channel, &request), 0);
    assert_int_equal(f->dev->ops->poll(f->channel, 1, &list), 1);
    assert_int_equal(request.result, 0);
}

static inline int writer_put(void *ctx, enum cof_raw_kind kind, uint64_t key, const uint8_t *bytes,
                             unsigned blocks, struct cof_tree_pointer *ret_place)
{
    struct place_fixture *f = ctx;
    uint8_t *aligned;
    if (kind == COF_RAW_PLACEMENT && blocks > 0 && memcmp(bytes, "COFP", 4) == 0) {
        f->ascending = f->ascending && key > f->last_bucket;
        f->last_bucket = key;
    }
    if (f->puts_until_failure-- == 0) {
        return COFFER_E_IO;
    }
    if (f->segment == 0 || f->block + blocks > SEGMENT_BLOCKS) {
        uint64_t sequence;
        bool fresh;
        int err = cof_segments_take(&f->segments, COF_LANE_CHECKPOINT, 0, &f->segment, &sequence,
                                    &fresh);
        if (err != 0) {
            return err;
        }
        f->block = 0;
    }
    aligned = cof_alloc_aligned(&f->env, (size_t)blocks * 4096u);
    if (aligned == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(aligned, bytes, (size_t)blocks * 4096u);
    device_write(f, f->segment, f->block, aligned, blocks);
    cof_free_aligned(&f->env, aligned);
    memset(ret_place, 0, sizeof *ret_place);
    ret_place->segment = f->segment;
    ret_place->block = (uint16_t)f->block;
    ret_place->blocks = (uint16_t)blocks;
    f->block += blocks;
    f->puts++;
    f->blocks_put += blocks;
    return 0;
}

static inline int reader_get(void *ctx, const struct cof_tree_pointer *place, uint8_t *bytes)
{
    struct place_fixture *f = ctx;
    return cof_sync_io_read(&f->io, place->segment, place->block * 4096u, bytes,
                            (size_t)place->blocks * 4096u);
}

static inline void place_fixture_open(struct place_fixture *f)
{
    memset(f, 0, sizeof *f);
    det_env_init(&f->det, 1, 1);
    cof_env_init(&f->env, &f->det.api);
    assert_int_equal(coffer_segdev_memory_open(&f->det.api,
                                               (uint64_t)SEGMENT_COUNT * SEGMENT_BYTES,
                                               SEGMENT_BYTES, &f->dev),
                     0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(cof_sync_io_init(&f->io, &f->env, f->dev), 0);
    assert_int_equal(cof_segments_init(&f->segments, &f->env, SEGMENT_COUNT), 0);
    f->reader = (struct cof_raw_reader){f, reader_get};
    f->writer = (struct cof_raw_writer){f, writer_put};
    f->puts_until_failure = UINT64_MAX;
}

static inline void place_fixture_close(struct place_fixture *f)
{
    cof_segments_done(&f->segments);
    cof_sync_io_done(&f->io);
    f->dev->ops->channel_close(f->channel);
    f->dev->ops->close(f->dev);
    assert_int_equal(f->env.heap_bytes, 0);
    assert_int_equal(f->det.outstanding, 0);
}

#endif
