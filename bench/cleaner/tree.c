/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/tree.c - the keyless trees of placement, catalogue and segment table: 256-ary, copied on
 * write, their records and nodes raw blocks of the checkpoint lane.
 */
#include "cleaner/sim.h"

#include <string.h>

#define FANOUT 256u
#define BUCKET_EXTENTS 16u
#define BUCKET_BYTES 16u
#define ENTRY_BLOCKS 3u /* a volume's entry and its data keys */

struct sim_record *sim_tree_record(struct sim_tree *tree, unsigned level, uint64_t index)
{
    SIM_CHECK(level < SIM_LEVELS_MAX, "a tree of %u levels", level);
    if (index >= tree->count[level]) {
        uint64_t count = tree->count[level] == 0 ? 64u : tree->count[level];
        while (count <= index) {
            count *= 2u;
        }
        tree->level[level] = sim_grow(tree->level[level], count, sizeof **tree->level);
        memset(tree->level[level] + tree->count[level], 0,
               (count - tree->count[level]) * sizeof **tree->level);
        tree->count[level] = count;
    }
    return &tree->level[level][index];
}

void sim_tree_mark(struct sim *sim, enum sim_tree_kind kind, unsigned level, uint64_t index)
{
    struct sim_tree *tree = &sim->trees[kind];
    struct sim_record *record = sim_tree_record(tree, level, index);
    if (record->dirty) {
        return;
    }
    record->dirty = true;
    if (level == 0 && index > tree->highest) {
        tree->highest = index;
    }
    if (tree->dirty_count[level] == tree->dirty_room[level]) {
        uint64_t room = tree->dirty_room[level] == 0 ? 64u : 2u * tree->dirty_room[level];
        tree->dirty[level] = sim_grow(tree->dirty[level], room, sizeof **tree->dirty);
        tree->dirty_room[level] = room;
    }
    tree->dirty[level][tree->dirty_count[level]++] = index;
}

/* Blocks that a bucket takes, without what is young: that is the log's. Drops what is dead. */
static unsigned bucket_blocks(struct sim *sim, uint64_t bucket, bool *ret_young)
{
    unsigned bytes = 0;
    *ret_young = false;
    for (uint64_t number = bucket * BUCKET_EXTENTS; number < (bucket + 1u) * BUCKET_EXTENTS;
         number++) {
        struct sim_extent *extent = number < sim->next_extent ? sim->extents[number] : NULL;
        if (extent == NULL) {
            continue;
        }
        if (extent->young) {
            *ret_young = true;
        } else if (extent->live == 0 && !extent->unsettled && number != sim->meta.extent) {
            sim_extent_free(sim, (uint32_t)number);
        } else {
            bytes += sim_extent_bytes(extent);
        }
    }
    return bytes == 0 ? 0 : (bytes + BUCKET_BYTES + SIM_BLOCK - 1u) / SIM_BLOCK;
}

static unsigned record_blocks(struct sim *sim, enum sim_tree_kind kind, unsigned level,
                              uint64_t index, bool *ret_young)
{
    *ret_young = false;
    if (level > 0) {
        return sim_tree_record(&sim->trees[kind], level, index)->children > 0 ? 1u : 0;
    }
    switch (kind) {
    case SIM_PLACEMENT:
        return bucket_blocks(sim, index, ret_young);
    case SIM_CATALOGUE:
        return index <= sim->snapshot_count ? ENTRY_BLOCKS : 0;
    default:
        return 1;
    }
}

static void listed(struct sim *sim, uint32_t number, uint64_t owner)
{
    struct sim_segment *segment = &sim->segments[number];
    if (segment->record_count == segment->record_room) {
        segment->record_room = segment->record_room == 0 ? 16u : 2u * segment->record_room;
        segment->records =
            sim_grow(segment->records, segment->record_room, sizeof *segment->records);
    }
    segment->records[segment->record_count++] = owner;
}

static void write_record(struct sim *sim, enum sim_tree_kind kind, unsigned level, uint64_t index,
                         unsigned blocks)
{
    struct sim_tree *tree = &sim->trees[kind];
    struct sim_record *record = sim_tree_record(tree, level, index);
    uint64_t owner = sim_owner_record(kind, level, index);
    if (record->blocks != 0) {
        sim->segments[record->segment].raw -= record->blocks;
        sim->live_raw -= record->blocks;
    }
    if (tree->highest >> (8u * level) != 0) {
        sim_tree_record(tree, level + 1u, index / FANOUT);
        record = sim_tree_record(tree, level, index);
        if (record->blocks != 0 || blocks != 0) {
            sim_tree_mark(sim, kind, level + 1u, index / FANOUT);
        }
    }
    if ((record->blocks == 0) != (blocks == 0)) {
        struct sim_record *parent = sim_tree_record(tree, level + 1u, index / FANOUT);
        parent->children = (uint16_t)(parent->children + (blocks != 0 ? 1 : -1));
    }
    record->blocks = (uint16_t)blocks;
    if (blocks == 0) {
        return;
    }
    sim_meta_raw(sim, owner, blocks, &record->segment, &record->block);
    sim->segments[record->segment].raw += blocks;
    sim->live_raw += blocks;
    listed(sim, record->segment, owner);
    *(kind == SIM_PLACEMENT ? &sim->counts.placement : &sim->counts.tables) += blocks;
}

static void flush_level(struct sim *sim, enum sim_tree_kind kind, unsigned level)
{
    struct sim_tree *tree = &sim->trees[kind];
    uint64_t kept = 0, count = tree->dirty_count[level];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t index = tree->dirty[level][i];
        bool young;
        unsigned blocks = record_blocks(sim, kind, level, index, &young);
        write_record(sim, kind, level, index, blocks);
        if (young) {
            tree->dirty[level][kept++] = index;
        } else {
            sim_tree_record(tree, level, index)->dirty = false;
        }
    }
    tree->dirty_count[level] = kept;
}

/* Write all that is dirty, from the records up. */
void sim_tree_flush(struct sim *sim, enum sim_tree_kind kind)
{
    for (unsigned level = 0; level < SIM_LEVELS_MAX - 1u; level++) {
        flush_level(sim, kind, level);
    }
}

void sim_tree_done(struct sim_tree *tree)
{
    for (unsigned level = 0; level < SIM_LEVELS_MAX; level++) {
        free(tree->level[level]);
        free(tree->dirty[level]);
    }
}
