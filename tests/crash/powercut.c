/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/powercut - the power is cut at every event of every workload, and again during recovery.
 *
 * Each workload runs once on a recording device. Then, for each event k and each variant (all
 * issued writes persisted, only synced ones, a random subset, one torn, and: the process killed),
 * the image after a cut at k is opened and judged: the store and its volumes open, every page
 * reads, nothing acknowledged as durable is lost, no page is torn, and the state is a prefix of
 * the log. On samples the store is checked (0 findings), goes on, is closed, reopened and looked
 * at again; and its own recovery is cut at its events, after which it must recover to the same
 * state.
 *
 * --tight: on stores that are nearly full (common/tight.h), so that the cleaner is at work in each
 * workload and the cuts are at its writes, too.
 *
 * Everything follows from the seed; a failed cut prints the --replay that repeats it.
 */
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "common/workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_EACH 16u
#define SECOND_EACH 8u
#define SECOND_MAX 6u

struct cut {
    const struct workload *workload;
    uint64_t seed, event;
    enum sim_variant variant;
    bool has_second;
    uint64_t second;
    enum sim_variant second_variant;
};

struct run {
    struct world world; /* recorded */
    struct workload_marks marks;
    const struct workload *workload;
    uint64_t seed;
};

struct counts {
    uint64_t cuts, second_cuts, checks, runs, by_variant[SIM_VARIANTS];
};

static struct run *current_run;
static struct cut current;
static struct counts counts;
static bool tight;

static void tell_context(void)
{
    char second[64] = "";
    if (current.has_second) {
        snprintf(second, sizeof second, ":%llu:%s", (unsigned long long)current.second,
                 sim_variant_name(current.second_variant));
    }
    harness_context("powercut%s --replay %llu:%s:%llu:%s%s", tight ? " --tight" : "",
                    (unsigned long long)current.seed, current.workload->name,
                    (unsigned long long)current.event, sim_variant_name(current.variant), second);
}

static void record_run(void *ctx)
{
    struct run *run = ctx;
    struct world_options options;
    uint64_t moved;
    workload_options(run->workload, run->seed, true, tight, &options);
    world_init(&run->world, &options);
    moved = cleaning_pages();
    must(&run->world, workload_run(run->workload, &run->world, &run->marks));
    harness_require(!tight || cleaning_pages() > moved, "the cleaner moved nothing");
    recorder_check();
}

static uint64_t incarnation_of(const struct cut *cut)
{
    uint64_t mixed = prng_mix(cut->event, (uint64_t)cut->variant + 1);
    return cut->has_second ? prng_mix(mixed, cut->second * 8 + (uint64_t)cut->second_variant + 1)
                           : mixed;
}

/* The check, then a little more life: writes, a clean close, and the same again after reopening. */
static void check_and_go_on(struct world *world, struct model_seen *seen)
{
    struct model_seen again;
    struct model forked;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (world->volumes[v] != NULL) {
            must(world, world_volume_close(world, v));
        }
    }
    must(world, world_check_store(world, 0));
    model_fork(&forked, world->model, seen);
    model_seen_done(seen);
    world->model = &forked;
    world_look(world, &again);
    model_seen_done(&again);
    workload_go_on(world);
    must(world, world_close(world));
    det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
    must(world, world_open(world));
    must(world, world_check_store(world, COFFER_CHECK_SCRUB));
    world_look(world, &again);
    model_check_prefix(&forked, &again, sim_disk_events(world->disk), false);
    model_seen_done(&again);
    must(world, world_close(world));
    model_done(&forked);
    counts.checks++;
}

/* What a cut before the store was made may leave: nothing that opens. */
static bool may_be_no_store(int error)
{
    enum coffer_error_class cls = coffer_error_class_of(error);
    return cls == COFFER_CLASS_FORMAT || cls == COFFER_CLASS_CORRUPT;
}

/* What the anchor, which is no part of the disk, had at the cut, and at the second one, during the
 * recovery by `first`. A put between the cut and the next event may have come or not. */
static void cut_anchor(struct world *world, const struct cut *cut, const struct world *first)
{
    unsigned lost = (unsigned)((cut->event + (uint64_t)cut->variant) % 3u);
    world->anchor.has = false;
    world_anchor_at(&current_run->world, cut->event, lost, &world->anchor);
    if (first != NULL) {
        lost = (unsigned)((cut->second + (uint64_t)cut->second_variant) % 3u);
        world_anchor_at(first, cut->second, lost, &world->anchor);
    }
}

/* Open the image and judge what is there; false when there is rightly no store. */
static bool recover(struct world *world, const struct cut *cut, struct model_seen *seen)
{
    int error = world_open(world);
    if (cut->event < current_run->marks.created && may_be_no_store(error)) {
        return false;
    }
    world_must(world, error, "open after the cut");
    world_look(world, seen);
    model_check_volumes(world->model, seen, cut->event);
    model_check_prefix(world->model, seen, cut->event, cut->variant == SIM_CUT_KILL);
    return true;
}

static void second_cut(void *ctx)
{
    const struct world *first = ((void **)ctx)[0];
    const struct model_seen *found = ((void **)ctx)[1];
    struct world world;
    struct model_seen seen;
    struct sim_image *image = sim_disk_image_at(first->disk, current.second,
                                                current.second_variant, current.seed);
    world_init_on(&world, first, image, incarnation_of(&current), false);
    sim_image_free(image);
    cut_anchor(&world, &current, first);
    if (recover(&world, &current, &seen)) {
        harness_require(model_seen_equal(found, &seen),
                        "the second recovery found another state than the first");
        model_seen_done(&seen);
        world_crash(&world);
    }
    world_done(&world);
    recorder_check();
}

static void second_cuts(struct world *first, struct model_seen *seen, uint64_t replayed,
                        bool only_replayed)
{
    void *ctx[2] = {first, seen};
    uint64_t events = sim_disk_events(first->disk);
    uint64_t stride = 1 + events / SECOND_MAX;
    current.has_second = true;
    for (uint64_t k = only_replayed ? replayed : current.event % stride; k < events; k += stride) {
        if (!only_replayed) {
            current.second_variant = (enum sim_variant)((current.event + k) % SIM_CUT_KILL);
        }
        current.second = k;
        tell_context();
        (void)harness_run(second_cut, ctx);
        counts.second_cuts++;
        if (only_replayed) {
            break;
        }
    }
    current.has_second = false;
    tell_context();
}

static void one_cut(void *ctx)
{
    struct cut cut = *(const struct cut *)ctx;
    uint64_t dice = prng_mix(cut.event * SIM_VARIANTS + (uint64_t)cut.variant, cut.seed);
    bool second = cut.has_second || dice % SECOND_EACH == 0;
    struct world world;
    struct model_seen seen;
    struct sim_image *image =
        sim_disk_image_at(current_run->world.disk, cut.event, cut.variant, cut.seed);
    bool opened;
    current.has_second = false;
    tell_context();
    harness_watch_cpu(30, 300);
    world_init_on(&world, &current_run->world, image, incarnation_of(&current), second);
    sim_image_free(image);
    cut_anchor(&world, &cut, NULL);
    opened = recover(&world, &cut, &seen);
    if (opened && second) {
        second_cuts(&world, &seen, cut.second, cut.has_second);
    }
    if (opened && dice / SECOND_EACH % CHECK_EACH == 0) {
        check_and_go_on(&world, &seen);
    } else if (opened) {
        model_seen_done(&seen);
        world_crash(&world);
    }
    world_done(&world);
    recorder_check();
    counts.cuts++;
    counts.by_variant[cut.variant]++;
}

static bool begin_run(struct run *run, const struct workload *workload, uint64_t seed)
{
    memset(run, 0, sizeof *run);
    run->workload = workload;
    run->seed = seed;
    current_run = run;
    harness_context("powercut%s --replay %llu:%s", tight ? " --tight" : "",
                    (unsigned long long)seed, workload->name);
    counts.runs++;
    return harness_run(record_run, run);
}

static void parse_replay(const char *text, struct cut *cut)
{
    char name[32] = "", variant[16] = "", second_variant[16] = "";
    unsigned long long seed = 0, event = 0, second = 0;
    int parts = sscanf(text, "%llu:%31[^:]:%llu:%15[^:]:%llu:%15s", &seed, name, &event, variant,
                       &second, second_variant);
    memset(cut, 0, sizeof *cut);
    cut->seed = seed;
    cut->event = event;
    cut->workload = workload_find(name);
    cut->has_second = parts >= 5;
    cut->second = second;
    for (unsigned i = 0; i < SIM_VARIANTS; i++) {
        if (strcmp(sim_variant_name((enum sim_variant)i), variant) == 0) {
            cut->variant = (enum sim_variant)i;
        }
        if (strcmp(sim_variant_name((enum sim_variant)i), second_variant) == 0) {
            cut->second_variant = (enum sim_variant)i;
        }
    }
    if (parts < 2 || cut->workload == NULL) {
        printf("--replay wants SEED:WORKLOAD[:EVENT:VARIANT[:EVENT2:VARIANT2]]\n");
        exit(2);
    }
}

/* What the workload did, for whoever looks into a failure. */
static void tell_ops(const struct model *model)
{
    for (uint32_t i = 0; i < model->op_next - model->op_base; i++) {
        const struct model_op *op = &model->ops[i];
        printf("  op %u: %s pages %llu+%llu, reached at event %lld, durable at %lld\n",
               model->op_base + i, model->volumes[op->volume].name,
               (unsigned long long)op->first_page, (unsigned long long)op->page_count,
               (long long)op->reached_event, (long long)op->durable_at);
    }
}

static int replay(const char *text)
{
    static struct run run;
    struct cut cut;
    parse_replay(text, &cut);
    if (begin_run(&run, cut.workload, cut.seed)) {
        printf("workload %s seed %llu: %llu events, created at %llu, begun at %llu\n",
               cut.workload->name, (unsigned long long)cut.seed,
               (unsigned long long)sim_disk_events(run.world.disk),
               (unsigned long long)run.marks.created, (unsigned long long)run.marks.begun);
        tell_ops(run.world.model);
        current = cut;
        (void)harness_run(one_cut, &cut);
    }
    return harness_close("powercut", 1, NULL);
}

struct plan {
    uint64_t seed, cuts_max, shard, shards, serial;
    const char *workload, *variant, *broken, *state;
};

static bool wanted(const struct plan *plan, enum sim_variant variant)
{
    return plan->variant == NULL || strcmp(sim_variant_name(variant), plan->variant) == 0;
}

static bool enough(const struct plan *plan)
{
    return counts.cuts + counts.second_cuts >= plan->cuts_max ||
           (plan->broken != NULL && harness_failures() > 0) || harness_failures() >= 50;
}

static void cut_everywhere(struct plan *plan, struct run *run)
{
    uint64_t from = strcmp(run->workload->name, "creation") == 0 ? 0 : run->marks.begun;
    for (uint64_t k = from; k <= sim_disk_events(run->world.disk); k++) {
        bool same = sim_disk_unsynced_at(run->world.disk, k) == 0;
        for (unsigned variant = 0; variant < SIM_VARIANTS && !enough(plan); variant++) {
            struct cut cut = {.workload = run->workload,
                              .seed = run->seed,
                              .event = k,
                              .variant = (enum sim_variant)variant};
            bool redundant = same && variant != SIM_CUT_NONE;
            if (redundant || !wanted(plan, cut.variant) ||
                plan->serial++ % plan->shards != plan->shard) {
                continue;
            }
            current = cut;
            (void)harness_run(one_cut, &cut);
        }
    }
}

/* One line: the next seed and the counts so far. */
static void load_state(struct plan *plan)
{
    unsigned long long seed, cuts, second;
    FILE *file = plan->state == NULL ? NULL : fopen(plan->state, "r");
    if (file != NULL && fscanf(file, "%llu %llu %llu", &seed, &cuts, &second) == 3) {
        plan->seed = seed;
        counts.cuts = cuts;
        counts.second_cuts = second;
        printf("resumed at seed %llu after %llu + %llu cuts\n", seed, cuts, second);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void save_state(const struct plan *plan)
{
    FILE *file = plan->state == NULL ? NULL : fopen(plan->state, "w");
    if (file != NULL) {
        fprintf(file, "%llu %llu %llu\n", (unsigned long long)plan->seed,
                (unsigned long long)counts.cuts, (unsigned long long)counts.second_cuts);
        fclose(file);
    }
}

static void campaign(struct plan *plan)
{
    static struct run run;
    for (; !enough(plan); plan->seed++, save_state(plan)) {
        uint64_t before = counts.cuts;
        for (unsigned i = 0; i < WORKLOADS && !enough(plan); i++) {
            if (plan->workload != NULL && strcmp(plan->workload, workloads[i].name) != 0) {
                continue;
            }
            if (begin_run(&run, &workloads[i], plan->seed)) {
                cut_everywhere(plan, &run);
                world_done(&run.world);
            }
        }
        if (counts.cuts == before && harness_failures() == 0) {
            return;
        }
    }
}

static void tell_counts(uint64_t first_seed, double seconds)
{
    printf("powercut: seed %llu, %llu runs, %llu cuts, %llu during recovery, %llu checked and went "
           "on, %llu seals, %.1f s\n",
           (unsigned long long)first_seed, (unsigned long long)counts.runs,
           (unsigned long long)counts.cuts, (unsigned long long)counts.second_cuts,
           (unsigned long long)counts.checks, (unsigned long long)recorder_seals(), seconds);
    for (unsigned i = 0; i < SIM_VARIANTS; i++) {
        printf("  %-7s %llu\n", sim_variant_name((enum sim_variant)i),
               (unsigned long long)counts.by_variant[i]);
    }
}

int main(int argc, char **argv)
{
    struct plan plan = {.seed = 1, .cuts_max = 60000, .shards = 1};
    const char *again = NULL, *shard = NULL;
    uint64_t first_seed;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &plan.seed, NULL, NULL, "first seed [1]"},
        {"--cuts", &plan.cuts_max, NULL, NULL, "stop after so many cuts [60000]"},
        {"--workload", NULL, &plan.workload, NULL, "only this workload"},
        {"--variant", NULL, &plan.variant, NULL, "only all, none, subset, torn or kill"},
        {"--shard", NULL, &shard, NULL, "I/N: every N-th cut, beginning with the I-th (from 0)"},
        {"--state", NULL, &plan.state, NULL, "file to resume from, written after each seed"},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--break", NULL, &plan.broken, NULL, "plant a fault in the engine, which must be caught"},
        {"--replay", NULL, &again, NULL, "SEED:WORKLOAD[:EVENT:VARIANT[:EVENT2:VARIANT2]]"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "power cuts at every event of every workload");
    if (shard != NULL) {
        unsigned long long i = 0, n = 0;
        if (sscanf(shard, "%llu/%llu", &i, &n) != 2 || n == 0 || i >= n) {
            printf("--shard wants I/N\n");
            return 2;
        }
        plan.shard = i;
        plan.shards = n;
    }
    if (plan.broken != NULL) {
        harness_break(plan.broken);
    }
    recorder_install();
    if (again != NULL) {
        return replay(again);
    }
    load_state(&plan);
    first_seed = plan.seed;
    campaign(&plan);
    harness_watch(0);
    tell_counts(first_seed, harness_seconds() - start);
    return cleaning_close(
        harness_close("powercut", counts.cuts + counts.second_cuts, plan.broken), tight);
}
