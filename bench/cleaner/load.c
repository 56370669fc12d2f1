/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/load.c - who writes what, and what the store does for it: the slice of a checkpoint, the
 * cleaner when segments grow few, admission when the store is full.
 */
#include "cleaner/sim.h"

#include <math.h>

#define STEPS 8u /* leaves that a request merges */
#define ZIPF_THETA 0.99
#define SCRAMBLE UINT64_C(2654435761)
#define DISCARD_PERCENT 5u
#define DISCARD_PAGES 8u

/* ---- choice ---- */

uint64_t sim_random(struct sim *sim) /* xorshift128+ */
{
    uint64_t a = sim->random[0], b = sim->random[1];
    sim->random[0] = b;
    a ^= a << 23;
    sim->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return sim->random[1] + b;
}

/* Gray et al., Quickly generating billion-record synthetic databases, 1994. */
void sim_load_init(struct sim *sim)
{
    double two = 1.0 + pow(0.5, ZIPF_THETA);
    sim->random[0] = sim->opts.seed * UINT64_C(0x9e3779b97f4a7c15) + 1u;
    sim->random[1] = ~sim->opts.seed ^ UINT64_C(0xbf58476d1ce4e5b9);
    for (unsigned i = 0; i < 16; i++) {
        (void)sim_random(sim);
    }
    if (sim->opts.load == SIM_ZIPF) {
        for (uint64_t i = 1; i <= sim->pages; i++) {
            sim->zipf_zeta += pow((double)i, -ZIPF_THETA);
        }
        sim->zipf_eta =
            (1.0 - pow(2.0 / (double)sim->pages, 1.0 - ZIPF_THETA)) / (1.0 - two / sim->zipf_zeta);
    }
}

static uint64_t zipf(struct sim *sim)
{
    double u = (double)(sim_random(sim) >> 11) / 9007199254740992.0;
    double at = u * sim->zipf_zeta;
    uint64_t rank;
    if (at < 1.0) {
        rank = 0;
    } else if (at < 1.0 + pow(0.5, ZIPF_THETA)) {
        rank = 1;
    } else {
        rank = (uint64_t)((double)sim->pages *
                          pow(sim->zipf_eta * (u - 1.0) + 1.0, 1.0 / (1.0 - ZIPF_THETA)));
    }
    return rank % sim->pages * SCRAMBLE % sim->pages;
}

static uint64_t choose(struct sim *sim)
{
    uint64_t hot = sim->pages / 10u;
    switch (sim->opts.load) {
    case SIM_HOT:
        return sim_random(sim) % 10u != 0 ? sim_random(sim) % hot
                                          : hot + sim_random(sim) % (sim->pages - hot);
    case SIM_ZIPF:
        return zipf(sim);
    case SIM_SEQUENTIAL:
        return sim->cursor++ % sim->pages;
    default:
        return sim_random(sim) % sim->pages;
    }
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
