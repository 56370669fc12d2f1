/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/checkpoint.c - freeze, merge a leaf a step, finish; and the light one, the finish alone.
 *
 * Deaths take effect in the finish, and then what died and the victims whose survivors are written
 * become free. Nothing is moved while one runs: who needs room runs it to its end.
 */
#include "cleaner/sim.h"

#include <string.h>

#define ENTRIES_MAX (UINT64_C(4) << 20)
#define SEGMENTS_PER_RECORD 256u
#define TABLES_BLOCKS 32u

static uint64_t log_due(const struct sim *sim)
{
    uint64_t blocks = (uint64_t)sim->segment_count * sim->segment_blocks;
    uint64_t free_blocks = (uint64_t)sim->free_count * sim->segment_blocks;
    if (sim->opts.due_dead != 0) {
        return (blocks - sim->live_data - sim->live_nodes - sim->live_raw) / sim->opts.due_dead;
    }
    return free_blocks / 8u > blocks / sim->opts.due ? free_blocks / 8u : blocks / sim->opts.due;
}

bool sim_checkpoint_due(const struct sim *sim)
{
    return sim->log_pages >= log_due(sim) || sim->log_pages >= ENTRIES_MAX ||
           sim->delta.count + sim->kills.count >= ENTRIES_MAX;
}

uint32_t sim_checkpoint_floor(const struct sim *sim)
{
    const struct sim_tree *placement = &sim->trees[SIM_PLACEMENT];
    uint64_t leaves = (sim->pages + SIM_FANOUT - 1u) / SIM_FANOUT;
    uint64_t nodes = sim->delta.count + sim->frozen_delta.count;
    uint64_t buckets = placement->dirty_count[0] + sim->kills.count + sim->frozen_kills.count;
    uint64_t blocks, floor, here = 0;
    nodes = nodes < leaves ? nodes : leaves;
    buckets = buckets < sim->live_raw ? buckets : sim->live_raw;
    blocks = nodes + nodes / SIM_FANOUT + buckets + placement->dirty_count[0] +
             sim->relocs_bytes / SIM_BLOCK + TABLES_BLOCKS;
    if (sim->meta.segment != SIM_NONE) {
        here = (sim->segment_blocks - sim->segments[sim->meta.segment].cursor) * 9u / 10u;
    }
    floor = blocks > here ? 1u + (blocks - here) / (sim->segment_blocks * 9u / 10u) : 1u;
    return (uint32_t)(floor > sim->opts.floor ? floor : sim->opts.floor);
}

/* Whether open groups are written now, though they are not full. */
static bool want_cut(const struct sim *sim)
{
    uint32_t written = 0;
    if (sim->opts.cut == SIM_CUT_ALWAYS) {
        return true;
    }
    for (uint32_t i = 0; i < sim->segment_count; i++) {
        written +=
            sim->segments[i].state == SIM_WAITING && sim_clean_written(sim, &sim->segments[i]) ? 1u
                                                                                               : 0u;
    }
    return written * 2u < sim->waiting_count;
}

static void settle_heads(struct sim *sim)
{
    uint64_t blocks = (sim->relocs_bytes + SIM_BLOCK - 1u) / SIM_BLOCK;
    if (want_cut(sim)) {
        sim_clean_cut(sim);
    }
    for (uint64_t i = 0; i < blocks; i++) {
        uint32_t segment;
        uint16_t block;
        sim_meta_raw(sim, sim_owner_other, 1, &segment, &block);
    }
    sim->counts.reloc += blocks;
    sim->relocs_bytes = 0;
    sim->frozen_clock = sim->clock;
}

static void swap_lists(struct sim_list *a, struct sim_list *b)
{
    struct sim_list list = *a;
    *a = *b;
    *b = list;
    a->count = 0;
}

void sim_checkpoint_freeze(struct sim *sim, bool snapshot)
{
    SIM_CHECK(!sim->running, "two checkpoints at a time");
    sim_user_freeze(sim);
    settle_heads(sim);
    sim->cutting = snapshot;
    sim->head.cut = sim->next_extent - 1u;
    swap_lists(&sim->delta, &sim->frozen_delta);
    swap_lists(&sim->kills, &sim->frozen_kills);
    swap_lists(&sim->unsettled, &sim->frozen_unsettled);
    for (uint64_t i = 0; i < sim->frozen_unsettled.count; i++) {
        sim->extents[sim->frozen_unsettled.items[i]]->young = false;
    }
    for (uint64_t i = 0, count = sim->frozen_delta.count; i < count; i++) {
        uint64_t lba = sim->frozen_delta.items[i];
        sim_bit_set(sim->dirty_bits, lba, false);
        sim_bit_set(sim->leaf_bits, lba / SIM_FANOUT, true);
        sim_list_add(&sim->frozen_delta, sim->current[lba]);
    }
    sim->epoch++;
    sim->log_pages = 0;
    sim->merge_leaf = 0;
    sim->running = true;
}

static void apply_deaths(struct sim *sim)
{
    for (uint64_t i = 0; i < sim->frozen_unsettled.count; i++) {
        uint64_t number = sim->frozen_unsettled.items[i];
        struct sim_extent *extent = sim->extents[number];
        extent->unsettled = false;
        sim_extent_touch(sim, (uint32_t)number);
        if (extent->summary && sim_bit(extent->alive, SIM_SUMMARY)) {
            sim_extent_kill(sim, number << 9 | SIM_SUMMARY);
        }
    }
    sim->frozen_unsettled.count = 0;
    for (uint64_t i = 0; i < sim->frozen_kills.count; i++) {
        sim_extent_kill(sim, sim->frozen_kills.items[i]);
    }
    sim->frozen_kills.count = 0;
}

/* The end of both kinds. */
static void settle(struct sim *sim)
{
    apply_deaths(sim);
    for (uint64_t record = 0; record <= (sim->segment_count - 1u) / SEGMENTS_PER_RECORD; record++) {
        sim_tree_mark(sim, SIM_SEGMENTS, 0, record);
    }
    for (uint64_t entry = 0; entry <= SIM_SNAPSHOTS_MAX; entry++) {
        sim_tree_mark(sim, SIM_CATALOGUE, 0, entry);
    }
    sim_tree_flush(sim, SIM_PLACEMENT);
    sim_tree_flush(sim, SIM_CATALOGUE);
    sim_tree_flush(sim, SIM_SEGMENTS);
    sim_meta_close(sim);
    sim_space_settle(sim);
}

static void audit_when_due(struct sim *sim)
{
    uint64_t number = sim->counts.checkpoints + sim->counts.light;
    if (sim->durable != NULL) {
        sim_audit_durable(sim);
    }
    if (sim->opts.audit != 0 && number % sim->opts.audit == 0) {
        sim_audit(sim);
    }
}

static void finish(struct sim *sim)
{
    uint64_t count = sim->frozen_delta.count / 2u;
    sim_map_parents(sim, &sim->frozen_kills);
    for (uint64_t i = 0; i < count; i++) {
        sim->head.pages[sim->frozen_delta.items[i]] = sim->frozen_delta.items[count + i];
    }
    sim->frozen_delta.count = 0;
    if (sim->cutting) {
        sim->head.node_cut = sim->next_extent - 1u;
        sim->meta.extent = 0;
        sim_snapshot_born(sim);
        sim->cutting = false;
    }
    sim->running = false;
    sim->durable_epoch = sim->epoch;
    settle(sim);
    sim->counts.checkpoints++;
    audit_when_due(sim);
}

void sim_checkpoint_steps(struct sim *sim, unsigned steps)
{
    uint64_t leaves = (sim->pages + SIM_FANOUT - 1u) / SIM_FANOUT;
    while (sim->running && steps > 0) {
        while (sim->merge_leaf < leaves && !sim_bit(sim->leaf_bits, sim->merge_leaf)) {
            sim->merge_leaf++;
        }
        if (sim->merge_leaf == leaves) {
            finish(sim);
            return;
        }
        sim_bit_set(sim->leaf_bits, sim->merge_leaf, false);
        sim_map_leaf(sim, sim->merge_leaf, &sim->frozen_kills);
        steps--;
    }
}

void sim_checkpoint_run(struct sim *sim)
{
    if (!sim->running) {
        sim_checkpoint_freeze(sim, false);
    }
    sim_checkpoint_steps(sim, UINT32_MAX);
}

/* Placement and tables alone: victims become free, the log waits as before. */
void sim_checkpoint_light(struct sim *sim)
{
    SIM_CHECK(!sim->running, "two checkpoints at a time");
    settle_heads(sim);
    settle(sim);
    sim->counts.light++;
    audit_when_due(sim);
}
