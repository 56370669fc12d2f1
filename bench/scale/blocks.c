/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/blocks.c - blocks that are kept come from chunks of memory and go back to a list of free
 * ones; a segment that keeps any has a table of pointers.
 */
#include "scale/blocks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *block_new(struct scale_device *device)
{
    struct scale_free_block *block;
    if (device->free == NULL) {
        struct scale_chunk *chunk = malloc(sizeof *chunk);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = device->chunks;
        device->chunks = chunk;
        device->counts.bytes += sizeof *chunk;
        for (unsigned i = 0; i < SCALE_CHUNK_BLOCKS; i++) {
            block = (struct scale_free_block *)(void *)chunk->blocks[i];
            block->next = device->free;
            device->free = block;
        }
    }
    block = device->free;
    device->free = block->next;
    return (uint8_t *)block;
}

static void block_free(struct scale_device *device, uint8_t *bytes)
{
    struct scale_free_block *block = (struct scale_free_block *)(void *)bytes;
    block->next = device->free;
    device->free = block;
}

static void table_free(struct scale_device *device, struct scale_segment *segment)
{
    device->counts.bytes -= device->segment_blocks * sizeof *segment->blocks;
    free(segment->blocks);
    segment->blocks = NULL;
}

void scale_forget(struct scale_device *device, struct scale_segment *segment)
{
    for (uint32_t i = 0; segment->blocks != NULL && i < device->segment_blocks; i++) {
        if (segment->blocks[i] != NULL) {
            block_free(device, segment->blocks[i]);
        }
    }
    if (segment->blocks != NULL) {
        table_free(device, segment);
    }
}

void scale_thin_out(struct scale_device *device, struct scale_segment *segment)
{
    uint32_t stamped = 0; /* the nearest page behind the block; 0: none in its batch */
    bool any = false;
    for (uint32_t i = device->segment_blocks; segment->blocks != NULL && i > 0; i--) {
        uint8_t *block = segment->blocks[i - 1u];
        if (block == NULL) {
            continue;
        }
        if (memcmp(block, SCALE_STAMP, 8) == 0) {
            stamped = i - 1u;
            any = true;
            continue;
        }
        if (stamped == 0) {
            block_free(device, block);
            segment->blocks[i - 1u] = NULL;
        }
        stamped = 0;
    }
    if (segment->blocks != NULL && !any) {
        table_free(device, segment);
    }
}

int scale_keep(struct scale_device *device, struct scale_segment *segment, uint32_t at,
               const uint8_t *bytes)
{
    if (segment->blocks == NULL) {
        segment->blocks = calloc(device->segment_blocks, sizeof *segment->blocks);
        if (segment->blocks == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        device->counts.bytes += device->segment_blocks * sizeof *segment->blocks;
    }
    segment->blocks[at] = block_new(device);
    if (segment->blocks[at] == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(segment->blocks[at], bytes, SCALE_BLOCK);
    return 0;
}
