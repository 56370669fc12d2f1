/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_image.c - the block tables; see sim_image.h.
 *
 * Invariant: a segment table or a block with more than one reference is never written to; own_table
 * copies it first.
 */
#include "common/sim_image.h"

#include "common/harness.h"

#include <stdlib.h>
#include <string.h>

struct table {
    uint32_t refs;
    uint32_t used; /* blocks that are there                                    */
    uint32_t end;  /* behind the last one written since the segment began anew */
    struct sim_block *blocks[];
};

struct sim_image {
    uint32_t segment_bytes, segment_count, segment_max;
    struct sim_block *roots[COFFER_ROOT_SLOTS];
    struct table *tables[]; /* segment_max; NULL when empty */
};

static void *take(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct sim_block *sim_block_new(const uint8_t *bytes)
{
    struct sim_block *block = aligned_alloc(64, sizeof *block);
    if (block == NULL) {
        abort();
    }
    block->refs = 1;
    if (bytes != NULL) {
        memcpy(block->bytes, bytes, sizeof block->bytes);
    } else {
        memset(block->bytes, 0, sizeof block->bytes);
    }
    return block;
}

struct sim_block *sim_block_get(struct sim_block *block)
{
    if (block != NULL) {
        block->refs++;
    }
    return block;
}

void sim_block_put(struct sim_block *block)
{
    if (block != NULL && --block->refs == 0) {
        free(block);
    }
}

static uint32_t blocks_of(const struct sim_image *image)
{
    return image->segment_bytes / COFFER_BLOCK_BYTES;
}

static void put_table(const struct sim_image *image, struct table *table)
{
    if (table == NULL || --table->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < blocks_of(image); i++) {
        sim_block_put(table->blocks[i]);
    }
    free(table);
}

/* The segment's table, no longer shared. */
static struct table *own_table(struct sim_image *image, uint32_t segment)
{
    struct table *old = image->tables[segment];
    struct table *table;
    uint32_t blocks = blocks_of(image);
    if (old != NULL && old->refs == 1) {
        return old;
    }
    table = take(sizeof *table + blocks * sizeof table->blocks[0]);
    table->refs = 1;
    if (old != NULL) {
        table->used = old->used;
        table->end = old->end;
        for (uint32_t i = 0; i < blocks; i++) {
            table->blocks[i] = sim_block_get(old->blocks[i]);
        }
        old->refs--;
    }
    image->tables[segment] = table;
    return table;
}

struct sim_image *sim_image_new(uint32_t segment_bytes, uint32_t segment_count,
                                uint32_t segment_max)
{
    struct sim_image *image = take(sizeof *image + segment_max * sizeof image->tables[0]);
    image->segment_bytes = segment_bytes;
    image->segment_count = segment_count;
    image->segment_max = segment_max;
    return image;
}

struct sim_image *sim_image_clone(const struct sim_image *image)
{
    size_t bytes = sizeof *image + image->segment_max * sizeof image->tables[0];
    struct sim_image *clone = take(bytes);
    memcpy(clone, image, bytes);
    for (uint32_t i = 0; i < COFFER_ROOT_SLOTS; i++) {
        sim_block_get(clone->roots[i]);
    }
    for (uint32_t i = 0; i < clone->segment_max; i++) {
        if (clone->tables[i] != NULL) {
            clone->tables[i]->refs++;
        }
    }
    return clone;
}

void sim_image_free(struct sim_image *image)
{
    if (image == NULL) {
        return;
    }
    for (uint32_t i = 0; i < COFFER_ROOT_SLOTS; i++) {
        sim_block_put(image->roots[i]);
    }
    for (uint32_t i = 0; i < image->segment_max; i++) {
        put_table(image, image->tables[i]);
    }
    free(image);
}

uint32_t sim_image_segment_bytes(const struct sim_image *image)
{
    return image->segment_bytes;
}

uint32_t sim_image_segment_count(const struct sim_image *image)
{
    return image->segment_count;
}

uint32_t sim_image_segment_max(const struct sim_image *image)
{
    return image->segment_max;
}

uint32_t sim_image_blocks(const struct sim_image *image, uint32_t segment)
{
    return segment == SIM_ROOT ? COFFER_ROOT_SLOTS : blocks_of(image);
}

void sim_image_set_segment_count(struct sim_image *image, uint32_t count)
{
    harness_require(count <= image->segment_max, "simulated device: %u segments are too many",
                    count);
    for (uint32_t i = count; i < image->segment_count; i++) {
        sim_image_clear_segment(image, i);
    }
    image->segment_count = count;
}

void sim_image_reshape(struct sim_image *image, uint32_t segment_bytes)
{
    uint64_t bytes = (uint64_t)image->segment_bytes * image->segment_count;
    harness_require(sim_image_empty(image), "simulated device: reshaped while it holds data");
    harness_require(bytes / segment_bytes <= image->segment_max,
                    "simulated device: no room for segments of %u bytes", segment_bytes);
    image->segment_bytes = segment_bytes;
    image->segment_count = (uint32_t)(bytes / segment_bytes);
}

bool sim_image_empty(const struct sim_image *image)
{
    for (uint32_t i = 0; i < COFFER_ROOT_SLOTS; i++) {
        if (image->roots[i] != NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < image->segment_max; i++) {
        if (image->tables[i] != NULL) {
            return false;
        }
    }
    return true;
}

uint32_t sim_image_end(const struct sim_image *image, uint32_t segment)
{
    return image->tables[segment] == NULL ? 0 : image->tables[segment]->end;
}

void sim_image_begin(struct sim_image *image, uint32_t segment)
{
    if (segment != SIM_ROOT && image->tables[segment] != NULL) {
        own_table(image, segment)->end = 0;
    }
}

struct sim_block *sim_image_block(const struct sim_image *image, uint32_t segment, uint32_t block)
{
    if (segment == SIM_ROOT) {
        return image->roots[block];
    }
    return image->tables[segment] == NULL ? NULL : image->tables[segment]->blocks[block];
}

const uint8_t *sim_image_bytes(const struct sim_image *image, uint32_t segment, uint32_t block)
{
    static const uint8_t zeros[COFFER_BLOCK_BYTES];
    const struct sim_block *content = sim_image_block(image, segment, block);
    return content == NULL ? zeros : content->bytes;
}

void sim_image_put(struct sim_image *image, uint32_t segment, uint32_t block,
                   struct sim_block *content)
{
    struct sim_block **place;
    struct table *table;
    sim_block_get(content);
    if (segment == SIM_ROOT) {
        place = &image->roots[block];
    } else {
        if (content == NULL && image->tables[segment] == NULL) {
            return;
        }
        table = own_table(image, segment);
        place = &table->blocks[block];
        table->used += content != NULL && *place == NULL ? 1u : 0u;
        table->used -= content == NULL && *place != NULL ? 1u : 0u;
        table->end = content != NULL && table->end <= block ? block + 1u : table->end;
    }
    sim_block_put(*place);
    *place = content;
    if (segment != SIM_ROOT && image->tables[segment]->used == 0) {
        sim_image_clear_segment(image, segment);
    }
}

void sim_image_put_sectors(struct sim_image *image, uint32_t segment, uint32_t block,
                           const struct sim_block *content, unsigned mask)
{
    struct sim_block *mixed;
    if (mask == 0) {
        return;
    }
    mixed = sim_block_new(sim_image_bytes(image, segment, block));
    for (unsigned i = 0; i < SIM_SECTORS; i++) {
        if ((mask >> i & 1u) != 0) {
            memcpy(mixed->bytes + i * 512u, content->bytes + i * 512u, 512u);
        }
    }
    sim_image_put(image, segment, block, mixed);
    sim_block_put(mixed);
}

void sim_image_clear_segment(struct sim_image *image, uint32_t segment)
{
    put_table(image, image->tables[segment]);
    image->tables[segment] = NULL;
}

void sim_image_poke(struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                    const void *bytes, uint32_t length_bytes)
{
    struct sim_block *changed = sim_block_new(sim_image_bytes(image, segment, block));
    memcpy(changed->bytes + offset, bytes, length_bytes);
    sim_image_put(image, segment, block, changed);
    sim_block_put(changed);
}

void sim_image_exchange(struct sim_image *image, uint32_t segment_a, uint32_t block_a,
                        uint32_t segment_b, uint32_t block_b)
{
    struct sim_block *a = sim_block_get(sim_image_block(image, segment_a, block_a));
    struct sim_block *b = sim_block_get(sim_image_block(image, segment_b, block_b));
    sim_image_put(image, segment_a, block_a, b);
    sim_image_put(image, segment_b, block_b, a);
    sim_block_put(a);
    sim_block_put(b);
}
