/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/check_places.c - the part of a check that needs no key.
 *
 * Every tree of the root, every descriptor, every live page against the checksum in its header,
 * what groups name, and the live blocks counted anew against the segment table. Extents are taken
 * in the order of their numbers, which is nearly that of the disk. Takes the store's lock.
 */
#include "volume/check.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/group_format.h"

/* ---- trees of the root ---- */

static int count_block(struct cof_check *check, const struct cof_tree_pointer *pointer, bool own)
{
    if (pointer->segment >= check->store->segments.count) {
        return cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                                pointer->segment, COFFER_NOWHERE,
                                "a tree points outside the store");
    }
    check->live[pointer->segment] += own ? 0u : pointer->blocks;
    return cof_check_advance(check, (uint64_t)pointer->blocks * COF_BLOCK_BYTES);
}

struct tree_walk {
    struct cof_check *check;
    struct cof_ptree *tree;
    uint8_t *bytes;
};

static int tree_damage(void *ctx, const struct cof_tree_pointer *pointer, int error)
{
    struct tree_walk *walk = ctx;
    return cof_check_report(walk->check, error, COFFER_STAGE_ROOT, COFFER_NOWHERE, pointer->segment,
                            (uint64_t)pointer->block * COF_BLOCK_BYTES, "a block of tree %d: %s",
                            (int)walk->tree->kind, coffer_error_sentence(error));
}

static int tree_node(void *ctx, const struct cof_tree_pointer *pointer)
{
    struct tree_walk *walk = ctx;
    return count_block(walk->check, pointer, walk->tree->kind == COF_RAW_SEGMENTS);
}

static int tree_record(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    struct tree_walk *walk = ctx;
    int err;
    (void)key;
    if (pointer->blocks > COF_BATCH_PAGES_MAX) {
        return tree_damage(ctx, pointer, COFFER_E_CORRUPT);
    }
    err = cof_ptree_fetch(walk->tree, pointer, walk->bytes);
    if (err != 0) {
        return tree_damage(ctx, pointer, err);
    }
    return tree_node(ctx, pointer);
}

static int check_trees(struct cof_check *check)
{
    struct coffer_store *store = check->store;
    struct cof_ptree *trees[3] = {&store->catalogue_tree, &store->placement_tree,
                                  &store->segment_tree};
    int err = 0;
    for (unsigned i = 0; err == 0 && i < 3; i++) {
        struct tree_walk walk = {check, trees[i], check->batch};
        struct cof_ptree_visitor visitor = {&walk, tree_record, tree_node, tree_damage};
        err = cof_ptree_visit(trees[i], &visitor);
        if (err == COFFER_E_CORRUPT && check->stop == 0) {
            err = cof_check_report(check, err, COFFER_STAGE_ROOT, COFFER_NOWHERE, COFFER_NOWHERE,
                                   COFFER_NOWHERE, "a tree of the root has no end");
        }
    }
    return err;
}

/* ---- descriptors and pages ---- */

/* Into check->batch: the header, and behind it the pages. */
static int read_stretch(struct cof_check *check, const struct cof_stretch *stretch)
{
    struct cof_sync_io *io = &check->store->io;
    size_t bytes = (size_t)stretch->pages * COF_BLOCK_BYTES;
    bool adjoins = stretch->block == stretch->header_block + 1u;
    int err = cof_sync_io_read(io, stretch->segment, stretch->header_block * COF_BLOCK_BYTES,
                               check->batch, COF_BLOCK_BYTES + (adjoins ? bytes : 0u));
    if (err == 0 && !adjoins && bytes > 0) {
        err = cof_sync_io_read(io, stretch->segment, stretch->block * COF_BLOCK_BYTES,
                               check->batch + COF_BLOCK_BYTES, bytes);
    }
    return err;
}

/* The page in slot, which is number `page` of its stretch. */
static int check_slot(struct cof_check *check, const struct cof_desc *desc,
                      const struct cof_stretch *stretch, unsigned slot, unsigned page)
{
    const uint8_t *bytes = check->batch + (size_t)(1u + page) * COF_BLOCK_BYTES;
    uint8_t entry[COF_ENTRY_BYTES];
    uint32_t block = stretch->block + page;
    int err = cof_entry_from_header(check->store, check->batch, stretch->segment,
                                    stretch->header_block, block, entry);
    check->live[stretch->segment]++;
    check->summary.pages_checked++;
    if (err == 0 && cof_checksum64(bytes, COF_BLOCK_BYTES) == cof_le64_get(entry + 16)) {
        return 0;
    }
    return cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_CHECKSUM, COFFER_NOWHERE,
                            stretch->segment, (uint64_t)block * COF_BLOCK_BYTES,
                            err != 0 ? "extent %llu slot %u: its header is damaged"
                                     : "extent %llu slot %u: the page is damaged",
                            (unsigned long long)desc->extent, slot);
}

/* The cleaner finds what lives in a segment by what its groups name. */
static int check_group_names(struct cof_check *check, const struct cof_desc *desc,
                             const struct cof_stretch *stretch)
{
    struct cof_group_header header;
    if (cof_group_header_decode(check->batch, &header) != 0) {
        return 0; /* each of its pages has been reported */
    }
    for (unsigned i = 0; i < header.runs; i++) {
        uint32_t lineage;
        uint64_t extent;
        cof_group_run(check->batch, i, &lineage, &extent);
        if (lineage == desc->lineage && extent == desc->extent) {
            return 0;
        }
    }
    return cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                            stretch->segment, (uint64_t)stretch->header_block * COF_BLOCK_BYTES,
                            "extent %llu: its group does not name it",
                            (unsigned long long)desc->extent);
}

static int check_stretch(struct cof_check *check, const struct cof_desc *desc,
                         const struct cof_stretch *stretch)
{
    unsigned page = 0;
    int err = read_stretch(check, stretch);
    if (err != 0) {
        return cof_check_report(check, err, COFFER_STAGE_IO, COFFER_NOWHERE, stretch->segment,
                                (uint64_t)stretch->header_block * COF_BLOCK_BYTES,
                                "extent %llu can't be read: %s", (unsigned long long)desc->extent,
                                coffer_error_sentence(err));
    }
    for (unsigned slot = stretch->first_slot; err == 0 && slot < stretch->end_slot; slot++) {
        if (cof_bitmap_get(&desc->live, slot)) {
            err = check_slot(check, desc, stretch, slot, page);
        }
        page += cof_bitmap_get(&desc->present, slot) ? 1u : 0u;
    }
    if (err == 0 && cof_desc_moved(desc)) {
        err = check_group_names(check, desc, stretch);
    }
    return err != 0 ? err
                    : cof_check_advance(check, (uint64_t)(stretch->pages + 1u) * COF_BLOCK_BYTES);
}

static int check_desc(struct cof_check *check, const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < desc->piece_count; i++) {
        uint32_t segment = desc->pieces[i].segment;
        if (check->store->segments.table[segment].state != COF_SEGMENT_USED) {
            err = cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                                   segment, COFFER_NOWHERE,
                                   "extent %llu lies in a segment that is free",
                                   (unsigned long long)desc->extent);
        }
    }
    for (unsigned slot = 0; err == 0 && cof_desc_stretch(desc, slot, &stretch);
         slot = stretch.end_slot) {
        err = check_stretch(check, desc, &stretch);
    }
    return err;
}

static int each_of(struct cof_check *check, uint32_t lineage,
                   int (*visit)(struct cof_check *, const struct cof_desc *))
{
    struct coffer_store *store = check->store;
    uint64_t left = (uint64_t)store->segments.count * store->segment_blocks;
    int err = 0;
    for (uint64_t extent = 1; err == 0 && extent <= COF_EXTENT_MAX && left > 0; extent++) {
        struct cof_desc *desc;
        int found = cof_place_next(&store->place, lineage, &extent, &desc);
        if (found == COFFER_E_NOT_FOUND) {
            break;
        }
        if (found == 0) {
            err = visit(check, desc);
        } else {
            err = cof_check_report(check, found, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                                   COFFER_NOWHERE, COFFER_NOWHERE,
                                   "descriptors of extents %llu to %llu: %s",
                                   (unsigned long long)extent,
                                   (unsigned long long)(extent | (COF_BUCKET_EXTENTS - 1u)),
                                   coffer_error_sentence(found));
            if (extent == COF_EXTENT_MAX) {
                break;
            }
            extent |= COF_BUCKET_EXTENTS - 1u;
            left--; /* no more buckets than blocks: else the tree has no end */
        }
        cof_place_trim(&store->place);
    }
    return err;
}

int cof_check_each_desc(struct cof_check *check,
                        int (*visit)(struct cof_check *, const struct cof_desc *))
{
    int err = 0;
    for (uint32_t lineage = 0; err == 0 && lineage <= check->store->lineage_count; lineage++) {
        err = each_of(check, lineage, visit);
    }
    return err;
}

static int check_counts(struct cof_check *check)
{
    struct coffer_store *store = check->store;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < store->segments.count; i++) {
        const struct cof_segment *segment = &store->segments.table[i];
        check->summary.segments += segment->state == COF_SEGMENT_USED ? 1u : 0u;
        if (segment->live != check->live[i]) {
            err = cof_check_report(
                check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE, i, COFFER_NOWHERE,
                "segment has %u live blocks, its record says %u", check->live[i], segment->live);
        }
    }
    return err;
}

int cof_check_keyless(struct cof_check *check)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    check->total_bytes = check->store->segments.live_total * COF_BLOCK_BYTES;
    err = check_trees(check);
    if (err == 0) {
        err = cof_check_each_desc(check, check_desc);
    }
    if (err == 0) {
        err = check_counts(check);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}
