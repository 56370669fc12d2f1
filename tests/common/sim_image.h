/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_image.h - what a simulated device holds: copy-on-write blocks behind segment tables.
 *
 * A clone shares every block and costs one pointer a segment, so an image after a power cut of a
 * sparse device of 64 MiB costs microseconds. Blocks that were never written, or were trimmed, are
 * absent and read as zeros. Reference counts are plain: one thread. Running out of memory ends the
 * test.
 */
#ifndef TESTS_COMMON_SIM_IMAGE_H
#define TESTS_COMMON_SIM_IMAGE_H

#include <coffer/segdev.h>
#include <stdbool.h>
#include <stdint.h>

#define SIM_SECTORS (COFFER_BLOCK_BYTES / 512u)
#define SIM_ROOT UINT32_MAX /* as a segment number: the root slots, one block each */

struct sim_block {
    uint32_t refs;
    _Alignas(64) uint8_t bytes[COFFER_BLOCK_BYTES]; /* copied often: aligned */
};

struct sim_image;

struct sim_image *sim_image_new(uint32_t segment_bytes, uint32_t segment_count,
                                uint32_t segment_max);
struct sim_image *sim_image_clone(const struct sim_image *image);
void sim_image_free(struct sim_image *image);

uint32_t sim_image_segment_bytes(const struct sim_image *image);
uint32_t sim_image_segment_count(const struct sim_image *image);
uint32_t sim_image_segment_max(const struct sim_image *image);
uint32_t sim_image_blocks(const struct sim_image *image, uint32_t segment); /* of one segment */
void sim_image_set_segment_count(struct sim_image *image, uint32_t count);
/* Cut an empty device anew into segments of another size. */
void sim_image_reshape(struct sim_image *image, uint32_t segment_bytes);
/* True when no block was ever written. */
bool sim_image_empty(const struct sim_image *image);

/* The first block behind all that was put since the segment began anew; what lies behind is of an
 * earlier life. begin: it begins anew, at block 0. */
uint32_t sim_image_end(const struct sim_image *image, uint32_t segment);
void sim_image_begin(struct sim_image *image, uint32_t segment);

/* A block that is made of bytes (NULL: zeros); the caller holds the reference. */
struct sim_block *sim_block_new(const uint8_t *bytes);
struct sim_block *sim_block_get(struct sim_block *block);
void sim_block_put(struct sim_block *block);

/* segment may be SIM_ROOT. NULL when absent; the image keeps its reference. */
struct sim_block *sim_image_block(const struct sim_image *image, uint32_t segment, uint32_t block);
/* The bytes of a block, zeros when absent; valid until the image changes. */
const uint8_t *sim_image_bytes(const struct sim_image *image, uint32_t segment, uint32_t block);
/* Put takes a reference of its own; NULL makes the block absent. */
void sim_image_put(struct sim_image *image, uint32_t segment, uint32_t block,
                   struct sim_block *content);
/* Put the sectors whose bits are set in mask only: a torn write. */
void sim_image_put_sectors(struct sim_image *image, uint32_t segment, uint32_t block,
                           const struct sim_block *content, unsigned mask);
void sim_image_clear_segment(struct sim_image *image, uint32_t segment);

/* Overwrite bytes inside one block, or exchange two blocks. */
void sim_image_poke(struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                    const void *bytes, uint32_t length_bytes);
void sim_image_exchange(struct sim_image *image, uint32_t segment_a, uint32_t block_a,
                        uint32_t segment_b, uint32_t block_b);

#endif
