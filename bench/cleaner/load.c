/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/load.c - who writes what, and what the store does for it: the slice of a checkpoint, the
 * cleaner when segments grow few, admission when the store is full.
 */
#include "cleaner/sim.h"

#define STEPS 8u /* leaves that a request merges */
#define DISCARD_PERCENT 5u
#define DISCARD_PAGES 8u

/* ---- choice ---- */

void sim_load_init(struct sim *sim)
{
    enum cof_bench_choice_kind kind = sim->opts.load == SIM_DISCARDS
                                          ? COF_BENCH_UNIFORM
                                          : (enum cof_bench_choice_kind)sim->opts.load;
    cof_bench_choice_init(&sim->choice, kind, sim->pages, sim->opts.seed);
}

uint64_t sim_random(struct sim *sim)
{
    return cof_bench_choice_random(&sim->choice);
}

static uint64_t choose(struct sim *sim)
{
    return cof_bench_choice_next(&sim->choice);
}

/* ---- room ---- */

static void press(struct sim *sim)
{
    if (sim->running) {
        sim_checkpoint_run(sim);
    } else if (sim->opts.pressure == SIM_PRESSURE_LIGHT && sim->waiting_count > 0) {
        sim_checkpoint_light(sim);
    } else {
        sim_checkpoint_run(sim);
    }
}

/* The last means, in turn. false: none is left. */
static bool relieve(struct sim *sim)
{
    if (sim->running || sim->waiting_count > 0) {
        press(sim);
    } else if (sim_clean_one(sim, false)) {
        return true;
    } else if (sim->kills.count > 0 || sim->unsettled.count > 0) {
        sim_checkpoint_run(sim);
    } else {
        return sim_clean_one(sim, true);
    }
    return true;
}

/* Before anything is appended: what is due, and segments for it. */
static void make_ready(struct sim *sim)
{
    if (sim->running) {
        sim_checkpoint_steps(sim, STEPS);
    } else if (sim_checkpoint_due(sim)) {
        sim_checkpoint_freeze(sim, false);
    }
    while (sim->free_count < sim_checkpoint_floor(sim) + sim->opts.low) {
        if (sim->waiting_count >= sim->opts.release) {
            press(sim);
        } else if (sim->running || !sim_clean_one(sim, false)) {
            break;
        }
    }
    while (!sim_user_ready(sim) &&
           sim->free_count <= sim_checkpoint_floor(sim) + SIM_FLOOR_CLEANER && relieve(sim)) {
    }
}

/* ---- requests ---- */

static void replaced(struct sim *sim, uint64_t lba, uint64_t old)
{
    if (old != 0 && sim->opts.plant == SIM_PLANT_KILL && sim->snapshot_count == 0) {
        sim_extent_kill(sim, old);
    } else if (old != 0) {
        sim_map_kill(sim, old, &sim->kills);
    }
    if (!sim_bit(sim->dirty_bits, lba)) {
        sim_bit_set(sim->dirty_bits, lba, true);
        sim_list_add(&sim->delta, lba);
    }
}

void sim_write(struct sim *sim, uint64_t lba)
{
    uint64_t old;
    make_ready(sim);
    old = sim->current[lba];
    sim_user_page(sim, lba);
    replaced(sim, lba, old);
    sim->clock++;
}

void sim_discard(struct sim *sim, uint64_t lba, uint64_t count)
{
    make_ready(sim);
    sim_user_discard(sim);
    for (uint64_t i = lba; i < lba + count && i < sim->pages; i++) {
        uint64_t old = sim->current[i];
        sim->current[i] = 0;
        if (old != 0) {
            replaced(sim, i, old);
        }
    }
}

/* ---- admission ---- */

static bool fits(const struct sim *sim)
{
    uint64_t capacity =
        (sim->segment_count - 3u - sim->opts.reserve) * (uint64_t)sim->segment_blocks;
    uint64_t leaves = (sim->pages + SIM_FANOUT - 1u) / SIM_FANOUT;
    uint64_t nodes = sim->delta.count + 1u < leaves ? sim->delta.count + 1u : leaves;
    return sim->live_data + sim->live_nodes + sim->live_raw + nodes + nodes / SIM_FANOUT + 3u <=
           capacity;
}

/* Whether lba may be written: a private page always may. */
bool sim_admit(struct sim *sim, uint64_t lba)
{
    uint64_t old = sim->current[lba];
    uint32_t cut = sim->snapshot_count > 0 ? sim->snapshots[sim->snapshot_count - 1u].cut : 0;
    if (sim->cutting) {
        cut = sim->head.cut;
    }
    if ((old != 0 && (uint32_t)(old >> 9) > cut) || fits(sim)) {
        return true;
    }
    if (sim->kills.count > 0 || sim->frozen_kills.count > 0) {
        sim_checkpoint_run(sim); /* settles deaths that wait */
    }
    return fits(sim);
}

/* A write at the edge: refused, it frees the oldest snapshot, or falls on a page that is there. */
void sim_write_when_full(struct sim *sim)
{
    uint64_t lba = choose(sim);
    while (!sim_admit(sim, lba)) {
        sim->counts.refused++;
        if (sim->snapshot_count > 0) {
            sim_snapshot_delete_oldest(sim);
            continue;
        }
        do {
            lba = choose(sim);
        } while (sim->current[lba] == 0);
    }
    sim_write(sim, lba);
}

void sim_load_step(struct sim *sim)
{
    if (sim->opts.load == SIM_DISCARDS && sim_random(sim) % 100u < DISCARD_PERCENT) {
        sim_discard(sim, choose(sim), 1u + sim_random(sim) % DISCARD_PAGES);
        return;
    }
    if (sim->opts.full) {
        sim_write_when_full(sim);
    } else {
        sim_write(sim, choose(sim));
    }
}
