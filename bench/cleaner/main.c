/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/main.c - sim_cleaner: one simulated store under one load; JSON on standard output.
 *
 * The volume is written once in order, then overwritten: --warm percent of it unmeasured, --measure
 * percent measured. Same options, same figures.
 */
#include "cleaner/sim.h"
#include "common/args.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SAMPLES 64u
#define DISCARDS_MAPPED 81u /* percent of the volume, where discards and writes balance */
#define WORD(name, help, words)                                                \
    {                                                                          \
#name, COF_BENCH_WORD, offsetof(struct sim_options, name), help, words \
    }
#define SIZE(name, text, help)                                               \
    {                                                                        \
        text, COF_BENCH_SIZE, offsetof(struct sim_options, name), help, NULL \
    }

static const char *const policies[] = {"greedy", "mdc", NULL};
static const char *const cuts[] = {"always", "lazy", NULL};
static const char *const pressures[] = {"full", "light", NULL};
static const char *const loads[] = {COF_BENCH_CHOICE_NAMES, "discards", NULL};
static const char *const plants[] = {"none", "free-at-once", "kill-at-once", "miscount", NULL};

static const struct cof_bench_arg args[] = {
    SIZE(segments, "segments", "segments of the store (1024)"),
    SIZE(segment_bytes, "segment", "bytes of one (8M)"),
    SIZE(fill, "fill", "percent of the blocks that live, metadata included (80)"),
    SIZE(pinned, "pinned", "percent that snapshots pin beside the volume's pages (0)"),
    WORD(load, "what is written", loads),
    WORD(policy, "which victim", policies),
    SIZE(heads, "heads", "of the cleaner, by times moved: 1 to 3 (3)"),
    SIZE(pieces, "pieces", "of an extent, before a gather: 1 to 4 (4)"),
    WORD(cut, "open groups at a checkpoint: written as they are, or only for want of room", cuts),
    SIZE(commit, "commit", "pages of a group commit: 1 to 120 (120)"),
    SIZE(due, "due", "a checkpoint is due after log of a N-th of the store (32)"),
    SIZE(due_dead, "due-dead", "or of a N-th of the blocks that do not live, 0: not (0)"),
    WORD(pressure, "the checkpoint that victims wait for: full, or placement alone", pressures),
    SIZE(release, "release", "victims that make one run for want of room (a 256th)"),
    SIZE(low, "low",
         "segments that the cleaner keeps free beside checkpoints' (release + heads + 2)"),
    SIZE(floor, "floor", "segments that are checkpoints' alone, if they need no more (1)"),
    SIZE(snapshots, "snapshots", "kept, the oldest deleted for a new one (0)"),
    SIZE(snapshot_every, "snapshot-every", "percent of the volume overwritten between two (10)"),
    SIZE(long_lived, "long-lived", "1: one snapshot, taken after the first filling (0)"),
    {"full", COF_BENCH_FLAG, offsetof(struct sim_options, full),
     "fill until admission refuses, and go on there", NULL},
    SIZE(reserve, "reserve", "segments that admission keeps back (0)"),
    SIZE(rounds, "rounds", "fill until refused, take snapshots, free a part: so often (0)"),
    SIZE(warm, "warm", "percent of the volume overwritten before the figures count (400)"),
    SIZE(measure, "measure", "and while they count (200)"),
    SIZE(seed, "seed", "of all chance (1)"),
    SIZE(audit, "audit", "recount all after every N-th checkpoint (256), 0: never"),
    WORD(plant, "a fault, that the checks must find", plants),
};

static bool options_bad(const struct sim_options *o)
{
    return o->segments < 64u || o->segments > 65535u || o->segment_bytes < 1u << 20 ||
           o->segment_bytes > 64u << 20 || (o->segment_bytes & (o->segment_bytes - 1u)) != 0 ||
           o->fill < 1u || o->fill > 99u || o->heads < 1u || o->heads > SIM_HEADS_MAX ||
           o->pieces < 1u || o->pieces > SIM_PIECES_MAX || o->commit < 1u ||
           o->commit > SIM_BATCH_PAGES || o->due < 1u || o->release < 1u ||
           o->snapshots >= SIM_SNAPSHOTS_MAX || o->snapshot_every < 1u ||
           o->reserve + 3u >= o->segments;
}

static void prepare(struct sim *sim)
{
    struct sim_options *o = &sim->opts;
    double blocks;
    if (o->low == 0) {
        o->low = o->release + o->heads + SIM_FLOOR_CLEANER;
    }
    sim_space_init(sim);
    blocks = (double)(sim->segment_count - 3u) * sim->segment_blocks;
    if (o->full) {
        sim->pages = (uint64_t)blocks;
    } else {
        sim->pages = (uint64_t)(blocks * (double)o->fill / 100.0 /
                                (1.0 + (double)o->pinned / 100.0) / (1.0 + 1.5 / SIM_FANOUT));
    }
    if (o->load == SIM_DISCARDS) {
        sim->pages = sim->pages * 100u / DISCARDS_MAPPED;
    }
    sim->epoch = 1;
    sim_map_init(sim);
    sim_load_init(sim);
}

static void fill(struct sim *sim)
{
    for (uint64_t lba = 0; lba < sim->pages; lba++) {
        if (sim->opts.load == SIM_DISCARDS && lba % 100u >= DISCARDS_MAPPED) {
            continue;
        }
        if (sim->opts.full && !sim_admit(sim, lba)) {
            break;
        }
        sim_write(sim, lba);
    }
    if (sim->opts.long_lived != 0) {
        if (sim->running) {
            sim_checkpoint_run(sim);
        }
        sim_checkpoint_freeze(sim, true);
        sim_checkpoint_run(sim);
    }
}

static void snapshot_when_due(struct sim *sim, uint64_t step)
{
    uint64_t every = sim->pages * sim->opts.snapshot_every / 100u;
    if (sim->opts.snapshots == 0 || step % every != 0) {
        return;
    }
    if (sim->running) {
        sim_checkpoint_run(sim);
    }
    sim_checkpoint_freeze(sim, true);
    sim_checkpoint_run(sim);
    if (sim->snapshot_count > sim->opts.snapshots) {
        sim_snapshot_delete_oldest(sim);
    }
}

static void overwrite(struct sim *sim)
{
    uint64_t warm = sim->pages * sim->opts.warm / 100u;
    uint64_t measure = sim->pages * sim->opts.measure / 100u;
    uint64_t sample = measure / SAMPLES + 1u;
    for (uint64_t step = 1; step <= warm + measure; step++) {
        if (step == warm + 1u) {
            memset(&sim->counts, 0, sizeof sim->counts - sizeof sim->counts.victims);
        }
        snapshot_when_due(sim, step);
        sim_load_step(sim);
        if (step > warm && (step - warm) % sample == 0) {
            sim_sample(sim);
        }
    }
}

static void print_counts(const struct sim *sim)
{
    const struct sim_counts *c = &sim->counts;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"user", c->user},
        {"moved", c->moved_data},
        {"moved_nodes", c->moved_nodes},
        {"batch_headers", c->header},
        {"summaries", c->summary},
        {"footers", c->footer},
        {"segment_ends", c->padding},
        {"group_headers", c->group_header},
        {"group_rests", c->group_rest},
        {"nodes", c->nodes},
        {"placement", c->placement},
        {"tables", c->tables},
        {"relocs", c->reloc},
        {"checkpoints", c->checkpoints},
        {"light_checkpoints", c->light},
        {"gathers", c->gathers},
        {"refused", c->refused},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf(", \"%s\": %llu", rows[i].name, (unsigned long long)rows[i].value);
    }
}

static void print(const struct sim *sim)
{
    const struct sim_counts *c = &sim->counts;
    const struct sim_means *m = &sim->means;
    double n = m->samples > 0 ? (double)m->samples : 1.0;
    double user = c->user > 0 ? (double)c->user : 1.0;
    uint64_t cleaner = c->moved_data + c->moved_nodes;
    uint64_t meta = c->nodes + c->placement + c->tables + c->reloc;
    uint64_t frame = c->header + c->summary + c->footer + c->group_header;
    uint64_t empty = c->padding + c->group_rest;
    printf("{\"pages\": %llu, \"wa_cleaner\": %.4f, \"wa_metadata\": %.4f, \"wa_headers\": %.4f, "
           "\"wa_empty\": %.4f, \"wa_total\": %.4f",
           (unsigned long long)sim->pages, 1.0 + (double)cleaner / user, (double)meta / user,
           (double)frame / user, (double)empty / user,
           (user + (double)(cleaner + meta + frame + empty)) / user);
    printf(", \"fill_data\": %.4f, \"fill_nodes\": %.4f, \"fill_trees\": %.4f, \"dead_waiting\": "
           "%.4f, \"segments_waiting\": %.4f, \"segments_free\": %.4f, \"descriptor_bytes\": %.3f",
           m->data / n, m->nodes / n, m->raw / n, m->dead / n, m->waiting / n, m->free / n,
           m->descriptor_bytes / n);
    print_counts(sim);
    printf("}\n");
}

static void done(struct sim *sim)
{
    for (uint32_t number = 1; number < sim->next_extent; number++) {
        sim_extent_free(sim, number);
    }
    free(sim->extents);
    for (unsigned kind = 0; kind < SIM_TREES; kind++) {
        sim_tree_done(&sim->trees[kind]);
    }
    sim_map_done(sim);
    sim_space_done(sim);
}

int main(int argc, char **argv)
{
    static struct sim sim;
    int parsed;
    sim.opts = (struct sim_options){.segments = 1024,
                                    .segment_bytes = 8u << 20,
                                    .fill = 80,
                                    .heads = 3,
                                    .pieces = 4,
                                    .commit = 120,
                                    .floor = 1,
                                    .warm = 400,
                                    .measure = 200,
                                    .seed = 1,
                                    .policy = SIM_MDC,
                                    .due = 32,
                                    .snapshot_every = 10,
                                    .audit = 256};
    parsed = cof_bench_args_parse(argc, argv, "usage: sim_cleaner [OPTION]...", args,
                                  sizeof args / sizeof *args, &sim.opts);
    if (parsed != 0) {
        return parsed > 0 ? 0 : 2;
    }
    if (sim.opts.release == 0) {
        sim.opts.release = sim.opts.segments < 512u ? 2u : sim.opts.segments / 256u;
    }
    if (options_bad(&sim.opts)) {
        (void)cof_bench_args_refuse("an option is out of range: see --help");
        return 2;
    }
    prepare(&sim);
    if (sim.opts.rounds > 0) {
        sim_rounds(&sim);
    } else {
        fill(&sim);
        overwrite(&sim);
    }
    sim_checkpoint_run(&sim);
    if (sim.running) {
        sim_checkpoint_run(&sim);
    }
    sim_audit(&sim);
    print(&sim);
    done(&sim);
    return 0;
}
