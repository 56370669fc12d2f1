/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/rounds.c - rounds of filling until admission refuses, overwriting there, and freeing a
 * part, with snapshots taken and deleted in between. Each ends with a recount.
 */
#include "cleaner/sim.h"

#define RUN_PAGES 256u
#define OVERWRITE_SHARE 20u /* of the pages, at the edge */
#define SNAPSHOTS 3u

static void take_snapshot(struct sim *sim)
{
    if (sim->running) {
        sim_checkpoint_run(sim);
    }
    sim_checkpoint_freeze(sim, true);
    sim_checkpoint_run(sim);
}

/* From a random place on, in order, until refused or everything is mapped. */
static void fill_up(struct sim *sim)
{
    uint64_t lba = sim_random(sim) % sim->pages;
    for (uint64_t i = 0; i < sim->pages; i++, lba = (lba + 1u) % sim->pages) {
        if (sim->current[lba] == 0) {
            if (!sim_admit(sim, lba)) {
                sim->counts.refused++;
                return;
            }
            sim_write(sim, lba);
        }
    }
    sim_fail(5, "the volume is too small to fill the store");
}

static void free_part(struct sim *sim)
{
    uint64_t share = 10u + sim_random(sim) % 60u;
    for (uint64_t lba = 0; lba < sim->pages; lba += RUN_PAGES) {
        if (sim_random(sim) % 100u < share) {
            sim_discard(sim, lba, 1u + sim_random(sim) % RUN_PAGES);
        }
    }
    while (sim->snapshot_count > 0 && sim_random(sim) % 4u != 0) {
        sim_snapshot_delete_oldest(sim);
    }
}

void sim_rounds(struct sim *sim)
{
    for (uint64_t round = 0; round < sim->opts.rounds; round++) {
        fill_up(sim);
        if (sim->snapshot_count < SNAPSHOTS && sim_random(sim) % 2u == 0) {
            take_snapshot(sim);
        }
        for (uint64_t i = 0; i < sim->pages / OVERWRITE_SHARE; i++) {
            sim_write_when_full(sim);
        }
        free_part(sim);
        sim_checkpoint_run(sim);
        sim_audit(sim);
    }
}
