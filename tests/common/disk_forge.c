/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/disk_forge.c - see disk_forge.h. Bounds are checked everywhere: clones may be damaged.
 */
#include "common/disk_forge.h"

#include "base/checksum.h"
#include "common/harness.h"
#include "format/endian.h"

#include <stdlib.h>
#include <string.h>

void forge_read(const struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                void *bytes, uint32_t length_bytes)
{
    for (uint32_t done = 0; done < length_bytes;) {
        uint32_t at = offset + done;
        uint32_t part = COFFER_BLOCK_BYTES - at % COFFER_BLOCK_BYTES;
        part = part < length_bytes - done ? part : length_bytes - done;
        memcpy((uint8_t *)bytes + done,
               sim_image_bytes(image, segment, block + at / COFFER_BLOCK_BYTES) +
                   at % COFFER_BLOCK_BYTES,
               part);
        done += part;
    }
}

void forge_write(struct sim_image *image, uint32_t segment, uint32_t block, uint32_t offset,
                 const void *bytes, uint32_t length_bytes)
{
    for (uint32_t done = 0; done < length_bytes;) {
        uint32_t at = offset + done;
        uint32_t part = COFFER_BLOCK_BYTES - at % COFFER_BLOCK_BYTES;
        uint32_t in = block + at / COFFER_BLOCK_BYTES;
        const uint8_t *from = (const uint8_t *)bytes + done;
        part = part < length_bytes - done ? part : length_bytes - done;
        if (memcmp(sim_image_bytes(image, segment, in) + at % COFFER_BLOCK_BYTES, from, part) !=
            0) { /* what is the same stays shared with the image that it was cloned from */
            sim_image_poke(image, segment, in, at % COFFER_BLOCK_BYTES, from, part);
        }
        done += part;
    }
}

/* ---- the map ---- */

static bool in_bounds(const struct sim_image *image, const struct cof_tree_pointer *pointer)
{
    return pointer->blocks > 0 && pointer->blocks <= 64 &&
           pointer->segment < sim_image_segment_count(image) &&
           (uint32_t)pointer->block + pointer->blocks <= sim_image_blocks(image, 0);
}

static void *grown(void *array, unsigned count, size_t item_bytes)
{
    if ((count & (count - 1)) == 0) {
        array = realloc(array, (count == 0 ? 1 : count * 2u) * item_bytes);
        if (array == NULL) {
            abort();
        }
    }
    return array;
}

static void add_batch(struct forge_map *map, uint32_t segment, uint32_t block, const uint8_t *bytes,
                      const struct cof_batch_header *header)
{
    struct forge_batch *batch;
    map->batches = grown(map->batches, map->batch_count, sizeof *map->batches);
    batch = &map->batches[map->batch_count++];
    batch->segment = segment;
    batch->block = block;
    batch->header = *header;
    batch->entries_offset = (uint32_t)cof_batch_entries_offset(bytes, header);
}

static void scan_segment(struct forge_map *map, const struct sim_image *image, uint32_t segment)
{
    struct cof_segment_header head;
    struct cof_batch_header header;
    struct cof_footer footer;
    uint8_t bytes[COF_FOOTER_BYTES];
    uint32_t end = sim_image_end(image, segment);
    uint32_t blocks = sim_image_blocks(image, segment);
    if (cof_segment_header_decode(sim_image_bytes(image, segment, 0), &head) != 0) {
        return;
    }
    map->segments = grown(map->segments, map->segment_count, sizeof *map->segments);
    map->segments[map->segment_count++] = segment;
    for (uint32_t block = 1; block < end; block++) {
        const uint8_t *at = sim_image_bytes(image, segment, block);
        if (cof_batch_header_decode(at, &header) == 0 && header.segment == segment &&
            header.block == block) {
            add_batch(map, segment, block, at, &header);
            block += header.pages;
        }
    }
    forge_read(image, segment, blocks - COF_FOOTER_BLOCKS, 0, bytes, sizeof bytes);
    if (cof_footer_decode(bytes, &footer) == 0) {
        map->footers = grown(map->footers, map->footer_count, sizeof *map->footers);
        map->footers[map->footer_count++] = segment;
    }
}

static int compare_batches(const void *a, const void *b)
{
    const struct forge_batch *x = a, *y = b;
    if (x->header.lane != y->header.lane) {
        return x->header.lane < y->header.lane ? -1 : 1;
    }
    return x->header.number < y->header.number ? -1 : x->header.number > y->header.number ? 1 : 0;
}

/* Note each block of the tree. */
static void mark_tree(struct forge_map *map, const struct cof_tree_pointer *pointer,
                      unsigned height)
{
    if (!in_bounds(map->sound, pointer)) {
        return;
    }
    for (uint32_t i = 0; i < pointer->blocks; i++) {
        map->tree_blocks = grown(map->tree_blocks, map->tree_block_count, sizeof *map->tree_blocks);
        map->tree_blocks[map->tree_block_count++] =
            (struct forge_block){pointer->segment, (uint32_t)pointer->block + i};
    }
    for (unsigned i = 0; height > 0 && i < COF_TREE_FANOUT; i++) {
        struct cof_tree_pointer child;
        uint8_t entry[16];
        forge_read(map->sound, pointer->segment, pointer->block, i * 16u, entry, sizeof entry);
        cof_tree_entry_decode(entry, &child);
        if (child.blocks != 0) {
            mark_tree(map, &child, height - 1u);
        }
    }
}

void forge_map_init(struct forge_map *map, const struct sim_image *image)
{
    bool found = false;
    memset(map, 0, sizeof *map);
    map->sound = sim_image_clone(image);
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        struct cof_root root;
        if (cof_root_decode(sim_image_bytes(image, SIM_ROOT, slot), &root) == 0 &&
            (!found || root.epoch > map->root.epoch)) {
            map->root = root;
            map->newest_slot = slot;
            found = true;
        }
    }
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        struct cof_root root;
        if (cof_root_decode(sim_image_bytes(image, SIM_ROOT, slot), &root) == 0) {
            mark_tree(map, &root.catalogue, root.catalogue.height);
            mark_tree(map, &root.placement, root.placement.height);
            mark_tree(map, &root.segments, root.segments.height);
        }
    }
    harness_require(found, "forge: the image has no valid root");
    for (uint32_t i = 0; i < sim_image_segment_count(image); i++) {
        scan_segment(map, image, i);
    }
    if (map->batch_count > 0) {
        qsort(map->batches, map->batch_count, sizeof *map->batches, compare_batches);
    }
}

void forge_map_done(struct forge_map *map)
{
    free(map->batches);
    free(map->segments);
    free(map->footers);
    free(map->tree_blocks);
    sim_image_free(map->sound);
    memset(map, 0, sizeof *map);
}

/* ---- batches ---- */

void forge_run(const struct sim_image *image, const struct forge_batch *batch, unsigned run,
               struct cof_run *ret_run, unsigned *ret_first_page)
{
    const uint8_t *bytes = sim_image_bytes(image, batch->segment, batch->block);
    *ret_first_page = 0;
    for (unsigned i = 0; i <= run; i++) {
        cof_run_decode(bytes + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, ret_run);
        if (i < run) {
            *ret_first_page += cof_run_pages(ret_run);
        }
    }
}

void forge_run_put(struct sim_image *image, const struct forge_batch *batch, unsigned run,
                   const struct cof_run *changed)
{
    uint8_t bytes[COF_RUN_BYTES];
    cof_run_encode(changed, bytes);
    forge_write(image, batch->segment, batch->block, COF_BATCH_HEADER_BYTES + run * COF_RUN_BYTES,
                bytes, sizeof bytes);
}

uint32_t forge_list_offset(const struct sim_image *image, const struct forge_batch *batch,
                           unsigned run, uint32_t *ret_bytes)
{
    uint32_t offset = (uint32_t)cof_batch_lists_offset(&batch->header);
    for (unsigned i = 0;; i++) {
        struct cof_run at;
        unsigned page;
        forge_run(image, batch, i, &at, &page);
        *ret_bytes = (uint32_t)cof_run_list_bytes(&at);
        if (i == run) {
            return offset;
        }
        offset += *ret_bytes;
    }
}

void forge_fix_entry(struct sim_image *image, const struct forge_batch *batch, unsigned page)
{
    uint8_t sum[8];
    uint32_t offset = batch->entries_offset + page * COF_ENTRY_BYTES + 16u;
    if (offset + 8u > COFFER_BLOCK_BYTES) {
        return;
    }
    cof_le64_put(sum,
                 cof_checksum64(sim_image_bytes(image, batch->segment, batch->block + 1u + page),
                                COFFER_BLOCK_BYTES));
    forge_write(image, batch->segment, batch->block, offset, sum, sizeof sum);
}

void forge_fix_header(struct sim_image *image, const struct forge_batch *batch)
{
    uint8_t bytes[COFFER_BLOCK_BYTES], sum[8];
    uint32_t at = offsetof(struct cofd_batch_header, sum);
    memcpy(bytes, sim_image_bytes(image, batch->segment, batch->block), sizeof bytes);
    memset(bytes + at, 0, sizeof sum);
    cof_le64_put(sum, cof_checksum64(bytes, sizeof bytes));
    forge_write(image, batch->segment, batch->block, at, sum, sizeof sum);
}

/* The last 8 bytes of a range are the XXH3 of those before. */
static void fix_tail(struct sim_image *image, uint32_t segment, uint32_t block, uint32_t length)
{
    uint8_t bytes[COF_FOOTER_BYTES], sum[8];
    forge_read(image, segment, block, 0, bytes, length);
    cof_le64_put(sum, cof_checksum64(bytes, length - 8u));
    forge_write(image, segment, block, length - 8u, sum, sizeof sum);
}

/* ---- trees ---- */

static uint64_t sum_at(const struct sim_image *image, const struct cof_tree_pointer *pointer)
{
    uint8_t bytes[64u * COFFER_BLOCK_BYTES];
    uint32_t length = pointer->blocks * COFFER_BLOCK_BYTES;
    forge_read(image, pointer->segment, pointer->block, 0, bytes, length);
    return cof_checksum64(bytes, length);
}

/* Make the sums below pointer right, then its own. */
static void fix_tree(struct sim_image *image, struct cof_tree_pointer *pointer, unsigned height,
                     unsigned *budget)
{
    if (!in_bounds(image, pointer) || *budget == 0) {
        return;
    }
    *budget -= 1;
    for (unsigned i = 0; height > 0 && i < COF_TREE_FANOUT; i++) {
        struct cof_tree_pointer child;
        uint8_t entry[16];
        forge_read(image, pointer->segment, pointer->block, i * 16u, entry, sizeof entry);
        cof_tree_entry_decode(entry, &child);
        if (child.blocks != 0) {
            fix_tree(image, &child, height - 1u, budget);
            cof_tree_entry_encode(&child, entry);
            forge_write(image, pointer->segment, pointer->block, i * 16u, entry, sizeof entry);
        }
    }
    pointer->sum = sum_at(image, pointer);
}

static void fix_root(struct sim_image *image, unsigned slot)
{
    static const uint32_t trees[] = {offsetof(struct cofd_root, catalogue),
                                     offsetof(struct cofd_root, placement),
                                     offsetof(struct cofd_root, segments)};
    for (unsigned i = 0; i < 3; i++) {
        struct cofd_tree_pointer disk;
        struct cof_tree_pointer pointer;
        unsigned budget = 4096;
        forge_read(image, SIM_ROOT, slot, trees[i], &disk, sizeof disk);
        cof_tree_pointer_decode(&disk, &pointer);
        fix_tree(image, &pointer, pointer.height <= 8 ? pointer.height : 0, &budget);
        memset(&disk, 0, sizeof disk);
        cof_tree_pointer_encode(&pointer, &disk);
        forge_write(image, SIM_ROOT, slot, trees[i], &disk, sizeof disk);
    }
    fix_tail(image, SIM_ROOT, slot, COFFER_BLOCK_BYTES);
}

/* ---- everything ---- */

/* A block that is still shared with the sound image needs nothing put right in it. */
static bool is_changed(const struct sim_image *image, const struct forge_map *map, uint32_t segment,
                       uint32_t block)
{
    return sim_image_block(image, segment, block) != sim_image_block(map->sound, segment, block);
}

static bool trees_changed(const struct sim_image *image, const struct forge_map *map)
{
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        if (is_changed(image, map, SIM_ROOT, slot)) {
            return true;
        }
    }
    for (unsigned i = 0; i < map->tree_block_count; i++) {
        if (is_changed(image, map, map->tree_blocks[i].segment, map->tree_blocks[i].block)) {
            return true;
        }
    }
    return false;
}

static void fix_batch(struct sim_image *image, const struct forge_map *map,
                      const struct forge_batch *batch)
{
    bool header = is_changed(image, map, batch->segment, batch->block);
    bool any = header;
    for (unsigned page = 0; page < batch->header.pages; page++) {
        if (header || is_changed(image, map, batch->segment, batch->block + 1u + page)) {
            forge_fix_entry(image, batch, page);
            any = true;
        }
    }
    if (any) {
        forge_fix_header(image, batch);
    }
}

void forge_fix_all(struct sim_image *image, const struct forge_map *map)
{
    bool trees = trees_changed(image, map);
    for (unsigned slot = 0; trees && slot < COFFER_ROOT_SLOTS; slot++) {
        fix_root(image, slot);
    }
    for (unsigned i = 0; i < map->batch_count; i++) {
        fix_batch(image, map, &map->batches[i]);
    }
    for (unsigned i = 0; i < map->segment_count; i++) {
        if (is_changed(image, map, map->segments[i], 0)) {
            fix_tail(image, map->segments[i], 0, COFFER_BLOCK_BYTES);
        }
    }
    for (unsigned i = 0; i < map->footer_count; i++) {
        uint32_t at = sim_image_blocks(image, map->footers[i]) - COF_FOOTER_BLOCKS;
        if (is_changed(image, map, map->footers[i], at) ||
            is_changed(image, map, map->footers[i], at + 1u)) {
            fix_tail(image, map->footers[i], at, COF_FOOTER_BYTES);
        }
    }
}

void forge_root_put(struct sim_image *image, const struct cof_root *root)
{
    uint8_t block[COFFER_BLOCK_BYTES];
    unsigned slot = root->epoch % 2 == 0 ? 0u : 1u;
    cof_root_encode(root, block);
    sim_image_poke(image, SIM_ROOT, slot, 0, block, sizeof block);
    sim_image_poke(image, SIM_ROOT, slot + 2u, 0, block, sizeof block);
}

static void visit_records(const struct sim_image *image, const struct cof_tree_pointer *pointer,
                          unsigned height, uint64_t key,
                          void (*visit)(void *ctx, uint64_t key,
                                        const struct cof_tree_pointer *record),
                          void *ctx)
{
    if (!in_bounds(image, pointer)) {
        return;
    }
    if (height == 0) {
        visit(ctx, key, pointer);
        return;
    }
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        struct cof_tree_pointer child;
        uint8_t entry[16];
        forge_read(image, pointer->segment, pointer->block, i * 16u, entry, sizeof entry);
        cof_tree_entry_decode(entry, &child);
        if (child.blocks != 0) {
            visit_records(image, &child, height - 1u, key << 8 | i, visit, ctx);
        }
    }
}

void forge_tree_records(const struct sim_image *image, const struct cof_tree_pointer *root,
                        void (*visit)(void *ctx, uint64_t key,
                                      const struct cof_tree_pointer *record),
                        void *ctx)
{
    visit_records(image, root, root->height, 0, visit, ctx);
}

struct search {
    const struct sim_image *image;
    uint64_t extent;
    struct forge_descriptor *found;
    bool there;
};

static void search_bucket(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct search *search = ctx;
    uint8_t bytes[FORGE_BLOCKS_MAX * COFFER_BLOCK_BYTES];
    uint32_t offset = COF_BUCKET_HEADER_BYTES;
    (void)key;
    if (record->blocks > FORGE_BLOCKS_MAX) {
        return;
    }
    forge_read(search->image, record->segment, record->block, 0, bytes,
               record->blocks * COFFER_BLOCK_BYTES);
    for (unsigned i = 0; i < cof_le16_get(bytes + 4) && offset + 48u <= sizeof bytes; i++) {
        uint32_t length = cof_le16_get(bytes + offset + 42);
        if (cof_le64_get(bytes + offset) == search->extent) {
            *search->found =
                (struct forge_descriptor){record->segment, record->block, offset, length, *record};
            search->there = true;
        }
        offset += length;
    }
}

bool forge_find_descriptor(const struct sim_image *image, const struct forge_map *map,
                           uint64_t extent, struct forge_descriptor *ret_found)
{
    struct search search = {.image = image, .extent = extent, .found = ret_found};
    forge_tree_records(image, &map->root.placement, search_bucket, &search);
    return search.there;
}
