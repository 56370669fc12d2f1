/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/blocks.h - the simulated device, and the blocks that it keeps.
 */
#ifndef SCALE_BLOCKS_H
#define SCALE_BLOCKS_H

#include "scale/device.h"

#define SCALE_BLOCK COFFER_BLOCK_BYTES
#define SCALE_CHUNK_BLOCKS 1024u

struct scale_segment {
    uint8_t **blocks; /* one a block; NULL: none is kept */
    uint32_t end_blocks;
    uint8_t lane;
};

struct scale_chunk {
    struct scale_chunk *next;
    uint8_t blocks[SCALE_CHUNK_BLOCKS][SCALE_BLOCK];
};

struct scale_free_block {
    struct scale_free_block *next;
};

struct scale_device {
    struct coffer_segdev api;
    uint32_t segment_bytes, segment_count, segment_blocks;
    struct scale_segment *segments;
    uint8_t roots[COFFER_ROOT_SLOTS][SCALE_BLOCK];
    uint64_t epochs[COFFER_ROOT_SLOTS];
    struct scale_chunk *chunks;
    struct scale_free_block *free;
    uint32_t *user_ring; /* segments of the user lane, oldest first from user_at */
    unsigned user_max, user_count, user_at;
    struct scale_device_counts counts;
};

static inline uint32_t scale_le16(const uint8_t *at)
{
    return (uint32_t)(at[0] | at[1] << 8);
}

/* Keep a block of a segment. NO_MEMORY. */
COFFER_MUST_CHECK int scale_keep(struct scale_device *device, struct scale_segment *segment,
                                 uint32_t at, const uint8_t *bytes);
/* Forget all blocks; all but pages with a stamp and the headers of their batches. */
void scale_forget(struct scale_device *device, struct scale_segment *segment);
void scale_thin_out(struct scale_device *device, struct scale_segment *segment);

#endif
