/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/disk_forge.h - what an attacker with the disk and docs/format.md can do: find every
 * keyless structure of an image, edit it, and make all checksums right again.
 *
 * A map is made of a sound image and stays good for edited clones of it: positions come from the
 * map, contents from the clone. Nothing here knows a key.
 */
#ifndef TESTS_COMMON_DISK_FORGE_H
#define TESTS_COMMON_DISK_FORGE_H

#include "common/sim_image.h"

#include "format/batch_format.h"
#include "format/place_format.h"
#include "format/root_format.h"

#define FORGE_BLOCKS_MAX 2u /* of a record of the placement tree */

struct forge_batch {
    uint32_t segment, block; /* of the header */
    struct cof_batch_header header;
    uint32_t entries_offset;
};

struct forge_block {
    uint32_t segment, block;
};

struct forge_map {
    struct sim_image *sound;     /* what it was made of: blocks shared with it are right */
    struct forge_batch *batches; /* ascending by lane, number */
    unsigned batch_count;
    uint32_t *segments; /* with a segment header */
    unsigned segment_count;
    uint32_t *footers; /* segments with a footer */
    unsigned footer_count;
    struct forge_block *tree_blocks; /* of all that the root slots name */
    unsigned tree_block_count;
    unsigned newest_slot; /* of the root */
    struct cof_root root;
};

/* Fails the case when there is no valid root. */
void forge_map_init(struct forge_map *map, const struct sim_image *image);
void forge_map_done(struct forge_map *map);

/* Blocks of the batch's pages begin behind its header. The page index of a run's first page. */
void forge_run(const struct sim_image *image, const struct forge_batch *batch, unsigned run,
               struct cof_run *ret_run, unsigned *ret_first_page);
void forge_run_put(struct sim_image *image, const struct forge_batch *batch, unsigned run,
                   const struct cof_run *changed);
/* Offset of a run's sealed list in the header block, and its length. */
uint32_t forge_list_offset(const struct sim_image *image, const struct forge_batch *batch,
                           unsigned run, uint32_t *ret_bytes);

/* Checksums: of a page's entry, of a batch header, of the root, of everything. */
void forge_fix_entry(struct sim_image *image, const struct forge_batch *batch, unsigned page);
void forge_fix_header(struct sim_image *image, const struct forge_batch *batch);
void forge_fix_all(struct sim_image *image, const struct forge_map *map);

/* Encode the root into both slots of its pair. */
void forge_root_put(struct sim_image *image, const struct cof_root *root);

/* Visit the records of one of the root's trees: what lies at pointer. */
void forge_tree_records(const struct sim_image *image, const struct cof_tree_pointer *root,
                        void (*visit)(void *ctx, uint64_t key,
                                      const struct cof_tree_pointer *record),
                        void *ctx);

/* The placement descriptor of an extent: its bytes in the image. False when there is none. */
struct forge_descriptor {
    uint32_t segment, block, offset, length; /* offset from the record's first block */
    struct cof_tree_pointer record;
};
bool forge_find_descriptor(const struct sim_image *image, const struct forge_map *map,
                           uint64_t extent, struct forge_descriptor *ret_found);
void forge_read(const struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                void *bytes, uint32_t length_bytes);
void forge_write(struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                 const void *bytes, uint32_t length_bytes);

#endif
