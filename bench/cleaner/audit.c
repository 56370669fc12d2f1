/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/audit.c - recounts: every live page where its descriptor says, every count right, the
 * maps and the live pages the same set. And means over time.
 */
#include "cleaner/sim.h"

#include <string.h>

/* ---- places ---- */

struct walk {
    uint32_t segment, block; /* of the present slot */
    unsigned piece, ref;
};

/* The place of the next present slot, by the rules of docs/format.md: contiguous from a reference,
 * or from a piece without the blocks of group headers. */
static void step(const struct sim_extent *extent, unsigned slot, struct walk *walk)
{
    bool begun = walk->block != UINT32_MAX;
    while (walk->piece + 1u < extent->pieces && extent->piece[walk->piece + 1u].first <= slot) {
        walk->piece++;
        begun = false;
    }
    walk->segment = extent->piece[walk->piece].segment;
    if (extent->refs != NULL) {
        while (walk->ref + 1u < extent->ref_count && extent->refs[walk->ref + 1u].slot <= slot) {
            walk->ref++;
            begun = false;
        }
        walk->block = begun ? walk->block + 1u : extent->refs[walk->ref].block;
        return;
    }
    walk->block = begun ? walk->block + 1u : extent->piece[walk->piece].block;
    if (walk->block % SIM_GROUP == 0) {
        walk->block++;
    }
}

/* visit every live slot with its block's index in owner[]. */
static void each_live(const struct sim *sim, uint32_t number,
                      void (*visit)(const struct sim *sim, uint32_t number, unsigned slot,
                                    uint64_t at))
{
    const struct sim_extent *extent = sim->extents[number];
    struct walk walk = {.block = UINT32_MAX};
    for (unsigned slot = 0; slot < SIM_SLOTS && extent->live > 0; slot++) {
        if (sim_bit(extent->present, slot)) {
            step(extent, slot, &walk);
            if (sim_bit(extent->alive, slot)) {
                visit(sim, number, slot, (uint64_t)walk.segment * sim->segment_blocks + walk.block);
            }
        }
    }
}

static void owned(const struct sim *sim, uint32_t number, unsigned slot, uint64_t at)
{
    SIM_CHECK(sim->owner[at] == sim_owner_page(number, slot),
              "page %u of extent %u is not where its descriptor says", slot, number);
}

static void name_durable(const struct sim *sim, uint32_t number, unsigned slot, uint64_t at)
{
    (void)number;
    (void)slot;
    sim->durable[at] = 1;
}

/* ---- recounts ---- */

struct tally {
    uint32_t *live, *raw;
    uint64_t pages, nodes;
};

static void tally_extent(const struct sim *sim, uint32_t number, struct tally *tally)
{
    const struct sim_extent *extent = sim->extents[number];
    unsigned piece = 0, count = 0;
    each_live(sim, number, owned);
    for (unsigned slot = 0; slot < SIM_SLOTS; slot++) {
        while (piece + 1u < extent->pieces && extent->piece[piece + 1u].first <= slot) {
            piece++;
        }
        if (sim_bit(extent->alive, slot)) {
            SIM_CHECK(sim_bit(extent->present, slot), "a live page that is not present");
            tally->live[extent->piece[piece].segment]++;
            count++;
            *(extent->meta ? &tally->nodes : &tally->pages) += slot == SIM_SUMMARY ? 0u : 1u;
        }
    }
    SIM_CHECK(count == extent->live, "extent %u counts %u live pages, %u are", number, extent->live,
              count);
}

static void tally_trees(const struct sim *sim, struct tally *tally)
{
    for (unsigned kind = 0; kind < SIM_TREES; kind++) {
        for (unsigned level = 0; level < SIM_LEVELS_MAX; level++) {
            const struct sim_tree *tree = &sim->trees[kind];
            for (uint64_t i = 0; i < tree->count[level]; i++) {
                const struct sim_record *record = &tree->level[level][i];
                uint64_t at = (uint64_t)record->segment * sim->segment_blocks + record->block;
                tally->raw[record->segment] += record->blocks;
                for (unsigned block = 0; block < record->blocks; block++) {
                    SIM_CHECK(sim->owner[at + block] ==
                                  sim_owner_record((enum sim_tree_kind)kind, level, i),
                              "a record of a tree is not where its pointer says");
                }
            }
        }
    }
}

/* ---- maps ---- */

static void refer(const struct sim *sim, const uint64_t *addresses, uint64_t count, uint64_t *marks,
                  uint64_t *distinct)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct sim_extent *extent;
        if (addresses[i] == 0) {
            continue;
        }
        extent = sim->extents[addresses[i] >> 9];
        SIM_CHECK(extent != NULL && sim_bit(extent->alive, addresses[i] & 511u),
                  "a map refers to page %u of extent %u, which is dead",
                  (unsigned)(addresses[i] & 511u), (unsigned)(addresses[i] >> 9));
        if (!sim_bit(marks, addresses[i])) {
            sim_bit_set(marks, addresses[i], true);
            ++*distinct;
        }
    }
}

static void refer_map(const struct sim *sim, const struct sim_map *map, uint64_t *marks,
                      uint64_t *pages, uint64_t *nodes)
{
    uint64_t count = sim->pages;
    refer(sim, map->pages, sim->pages, marks, pages);
    for (unsigned level = 0; level < sim->levels; level++) {
        count = (count + SIM_FANOUT - 1u) / SIM_FANOUT;
        refer(sim, map->nodes[level], count, marks, nodes);
    }
}

static void check_maps(const struct sim *sim, const struct tally *tally)
{
    uint64_t *marks = sim_alloc(((uint64_t)sim->next_extent << 9) / 64u + 1u, sizeof *marks);
    uint64_t pages = 0, nodes = 0;
    refer(sim, sim->current, sim->pages, marks, &pages);
    refer_map(sim, &sim->head, marks, &pages, &nodes);
    for (unsigned i = 0; i < sim->snapshot_count; i++) {
        refer_map(sim, &sim->snapshots[i], marks, &pages, &nodes);
    }
    if (!sim->running) {
        refer(sim, sim->kills.items, sim->kills.count, marks, &pages);
        SIM_CHECK(pages == tally->pages && nodes == tally->nodes,
                  "%llu pages and %llu nodes are referred to, %llu and %llu live",
                  (unsigned long long)pages, (unsigned long long)nodes,
                  (unsigned long long)tally->pages, (unsigned long long)tally->nodes);
    }
    free(marks);
}

void sim_audit(struct sim *sim)
{
    struct tally tally = {.live = sim_alloc(sim->segment_count, sizeof *tally.live),
                          .raw = sim_alloc(sim->segment_count, sizeof *tally.raw)};
    for (uint32_t number = 1; number < sim->next_extent; number++) {
        if (sim->extents[number] != NULL && sim->extents[number]->live > 0) {
            tally_extent(sim, number, &tally);
        }
    }
    tally_trees(sim, &tally);
    for (uint32_t i = 0; i < sim->segment_count; i++) {
        const struct sim_segment *segment = &sim->segments[i];
        SIM_CHECK(tally.live[i] == segment->live && tally.raw[i] == segment->raw,
                  "segment %u counts %u live pages and %u blocks of trees, %u and %u are", i,
                  segment->live, segment->raw, tally.live[i], tally.raw[i]);
        SIM_CHECK(segment->state != SIM_FREE || segment->live + segment->raw == 0,
                  "segment %u is free with live blocks", i);
    }
    SIM_CHECK(tally.pages == sim->live_data && tally.nodes == sim->live_nodes,
              "the store's sums differ from the recount");
    check_maps(sim, &tally);
    free(tally.live);
    free(tally.raw);
}

/* What the root that was just made, and the log behind it, name. */
void sim_audit_durable(struct sim *sim)
{
    memset(sim->durable, 0, (size_t)sim->segment_count * sim->segment_blocks);
    for (uint32_t number = 1; number < sim->next_extent; number++) {
        if (sim->extents[number] != NULL) {
            each_live(sim, number, name_durable);
        }
    }
    for (uint64_t i = 0; i < sim->pages; i++) {
        uint64_t address = sim->head.pages[i];
        SIM_CHECK(address == 0 || sim_bit(sim->extents[address >> 9]->alive, address & 511u),
                  "the durable map refers to page %u of extent %u, which is dead",
                  (unsigned)(address & 511u), (unsigned)(address >> 9));
    }
}

/* ---- means ---- */

void sim_sample(struct sim *sim)
{
    double blocks = (double)(sim->segment_count - 3u) * sim->segment_blocks, bytes = 0.0;
    double dead = (double)(sim->kills.count + sim->frozen_kills.count);
    struct sim_means *means = &sim->means;
    for (uint32_t number = 1; number < sim->next_extent; number++) {
        if (sim->extents[number] != NULL && sim->extents[number]->live > 0) {
            bytes += sim_extent_bytes(sim->extents[number]);
        }
    }
    means->samples++;
    means->data += ((double)sim->live_data - dead) / blocks;
    means->dead += dead / blocks;
    means->nodes += (double)sim->live_nodes / blocks;
    means->raw += (double)sim->live_raw / blocks;
    means->waiting += (double)sim->waiting_count / (sim->segment_count - 3u);
    means->free += (double)sim->free_count / (sim->segment_count - 3u);
    means->descriptor_bytes += bytes / (double)(sim->live_data + sim->live_nodes);
}
