/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/faults - every call of every workload fails: each device call (EIO, ENOSPC, a short
 * transfer, cancelled), each allocation, each call of the key service, each draw of randomness;
 * once, and sticky from there on.
 *
 * Judged: no crash, hang or leak; an append or a sync that failed is reported; after a failed sync
 * no flush succeeds until the store is opened anew; and when the fault is gone, the store opens, on
 * the medium as the process left it and on the medium after a power cut at that moment, with
 * everything that was acknowledged as durable. (The device makes nothing durable that a failed sync
 * covered, so a flush that lies is found by the second.)
 *
 * --recovery: the calls that fail are those of opening the store, and reading all of it, after the
 * power was cut in the midst of a workload; the recovery after it must find what the first had to.
 * --tight: on stores that are nearly full (common/tight.h), so that the cleaner is at work in each
 * workload and its calls fail, too.
 */
#include "faults/faults.h"
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"

#include <stdio.h>
#include <string.h>

struct plan_case current;
bool tell, tight;
struct faults_counts counts;

/* A write and a flush after the error: after a failed sync the flush may not succeed. */
static void try_more(struct world *world, const struct plan_case *plan)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX && world->store != NULL; v++) {
        int error;
        if (world->volumes[v] == NULL) {
            continue;
        }
        if (world->queue != NULL) {
            (void)world_drain(world);
        }
        (void)world_write_pages(world, v, 0, 2);
        error = world_flush(world, v);
        harness_require(error != 0 || plan->kind != COFFER_SEGDEV_SYNC,
                        "a flush succeeded after a sync had failed");
    }
}

static bool must_be_reported(const struct plan_case *plan)
{
    return plan->kind == COFFER_SEGDEV_APPEND || plan->kind == COFFER_SEGDEV_SYNC;
}

static void one_case(void *ctx)
{
    const struct plan_case *plan = ctx;
    struct workload_marks marks = {0, 0};
    struct world_options options;
    struct world world;
    uint64_t event;
    int error;
    tell_context(plan);
    harness_watch_cpu(30, 300);
    workload_options(plan->workload, plan->seed, true, tight, &options);
    world_init(&world, &options);
    world.lenient = true;
    world.tell = tell;
    plant(&world, plan);
    error = workload_run(plan->workload, &world, &marks);
    error = error != 0 ? error : world.first_error;
    if (fired(&world, plan) == 0) {
        harness_require(error == 0, "no fault struck, yet %s", coffer_error_name(error));
    } else {
        counts.fired++;
        counts.reported += error != 0 ? 1u : 0u;
        counts.silent += error == 0 ? 1u : 0u;
        harness_require(error != 0 || !must_be_reported(plan), "the failed %s went unreported",
                        kind_names[plan->kind]);
        try_more(&world, plan);
    }
    (void)world_close(&world);
    event = sim_disk_events(world.disk);
    unplant(&world);
    det_env_check_leaks(&world.env);
    judge_image(&world, &marks, sim_disk_image_live(world.disk), event, 1000001);
    judge_image(&world, &marks, sim_disk_image_at(world.disk, event, SIM_CUT_NONE, plan->seed),
                event, 1000002);
    world_done(&world);
    recorder_check();
}

static void count_calls(void *ctx)
{
    uint64_t *calls = ctx, moved;
    struct world_options options;
    struct world world;
    harness_context("faults%s --workload %s --seed %llu (no fault)", tight ? " --tight" : "",
                    current.workload->name, (unsigned long long)current.seed);
    workload_options(current.workload, current.seed, false, tight, &options);
    world_init(&world, &options);
    moved = cleaning_pages();
    must(&world, workload_run(current.workload, &world, NULL));
    harness_require(!tight || cleaning_pages() > moved, "the cleaner moved nothing");
    for (unsigned kind = 0; kind < KINDS; kind++) {
        calls[kind] = calls_of(&world, kind);
    }
    world_done(&world);
}

static void run_case(void)
{
    struct plan_case plan = current;
    (void)harness_run(plan.recovery ? recovery_case : one_case, &plan);
    recorder_reset();
    counts.cases++;
    counts.by_kind[current.kind]++;
}

static bool stop(const struct plan *plan)
{
    return (plan->broken != NULL && harness_failures() > 0) || harness_failures() >= 50;
}

/* At most `points` places of a kind, from the first call to the last; each call of the key service,
 * which may go away at any. A poll that fails for ever leaves buffers with the device for ever, so
 * that one is not asked of anybody. */
static void fail_kind(const struct plan *plan, unsigned kind, uint64_t calls)
{
    uint64_t stride = plan->all || kind == KIND_KMS || calls <= plan->points
                          ? 1
                          : (calls + plan->points - 1) / plan->points;
    if (plan->kind != NULL && strcmp(plan->kind, kind_names[kind]) != 0) {
        return;
    }
    bool errors_matter = kind != KIND_ALLOC && kind != KIND_RANDOM;
    for (uint64_t at = plan->seed % stride; at < calls; at += stride) {
        for (unsigned i = 0; i < 2 * ERRORS && !stop(plan); i++) {
            unsigned turn = (unsigned)(at / stride + i / ERRORS) % ERRORS;
            if (plan->all ? !errors_matter && i % ERRORS != 0 : i % ERRORS != turn) {
                continue;
            }
            current.kind = kind;
            current.at = at;
            current.error = i % ERRORS;
            current.sticky = i >= ERRORS;
            if (!current.sticky || (kind != KIND_RANDOM && kind != SIM_CALL_POLL)) {
                run_case();
            }
        }
    }
}

static void fail_workload(const struct plan *plan)
{
    uint64_t calls[KINDS] = {0};
    if (!harness_run(count_calls, calls)) {
        return;
    }
    recorder_reset();
    for (unsigned kind = 0; kind < KINDS && !stop(plan); kind++) {
        fail_kind(plan, kind, calls[kind]);
    }
}

static void campaign(const struct plan *plan)
{
    for (uint64_t seed = plan->seed; seed < plan->seed + plan->seeds && !stop(plan); seed++) {
        for (unsigned i = 0; i < WORKLOADS && !stop(plan); i++) {
            current.workload = &workloads[i];
            current.seed = seed;
            if (plan->workload != NULL && strcmp(plan->workload, workloads[i].name) != 0) {
                continue;
            }
            if (plan->recovery) {
                fail_recoveries(plan, fail_kind);
            } else {
                fail_workload(plan);
            }
        }
    }
}

static int replay(const char *text)
{
    char name[32] = "", kind[16] = "", error[16] = "", manner[16] = "", variant[16] = "";
    unsigned long long seed, at, event = 0;
    int parts = sscanf(text, "%llu:%31[^:]:%15[^:]:%llu:%15[^:]:%15[^:]:%llu:%15s", &seed, name,
                       kind, &at, error, manner, &event, variant);
    if ((parts != 6 && parts != 8) || (current.workload = workload_find(name)) == NULL) {
        printf("--replay wants SEED:WORKLOAD:KIND:AT:ERROR:once|sticky[:EVENT:VARIANT]\n");
        return 2;
    }
    current.recovery = parts == 8;
    current.event = event;
    for (unsigned i = 0; i < SIM_VARIANTS; i++) {
        current.variant =
            strcmp(sim_variant_name((enum sim_variant)i), variant) == 0 ? i : current.variant;
    }
    current.seed = seed;
    current.at = at;
    current.sticky = strcmp(manner, "sticky") == 0;
    for (unsigned i = 0; i < KINDS; i++) {
        current.kind = strcmp(kind_names[i], kind) == 0 ? i : current.kind;
    }
    for (unsigned i = 0; i < ERRORS; i++) {
        current.error = strcmp(error_name(i), error) == 0 ? i : current.error;
    }
    if (!current.recovery || recovery_begin()) {
        run_case();
    }
    recovery_end();
    return harness_close("faults", 1, NULL);
}

int main(int argc, char **argv)
{
    struct plan plan = {.seed = 1, .seeds = 1, .points = 24, .cuts = 4};
    const char *again = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &plan.seed, NULL, NULL, "first seed [1]"},
        {"--seeds", &plan.seeds, NULL, NULL, "how many [1]"},
        {"--points", &plan.points, NULL, NULL, "places a kind of call and workload [24]"},
        {"--recovery", NULL, NULL, &plan.recovery, "in recoveries after cuts of each workload"},
        {"--cuts", &plan.cuts, NULL, NULL, "with --recovery: how many of a workload [4]"},
        {"--all", NULL, NULL, &plan.all, "every call, every error"},
        {"--workload", NULL, &plan.workload, NULL, "only this workload"},
        {"--kind", NULL, &plan.kind, NULL, "only read, append, sync, alloc, kms, ..."},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--break", NULL, &plan.broken, NULL, "plant a fault in the engine, which must be caught"},
        {"--tell", NULL, NULL, &tell, "print each call"},
        {"--replay", NULL, &again, NULL, "SEED:WORKLOAD:KIND:AT:ERROR:once|sticky[:EVENT:VARIANT]"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "every call of every workload fails, once and sticky");
    if (plan.broken != NULL) {
        harness_break(plan.broken);
    }
    recorder_install();
    if (again != NULL) {
        return replay(again);
    }
    campaign(&plan);
    harness_watch(0);
    printf("faults: seed %llu, %llu cases, %llu struck, %llu reported, %llu without effect, "
           "%.1f s\n",
           (unsigned long long)plan.seed, (unsigned long long)counts.cases,
           (unsigned long long)counts.fired, (unsigned long long)counts.reported,
           (unsigned long long)counts.silent, harness_seconds() - start);
    for (unsigned i = 0; i < KINDS; i++) {
        printf("  %-12s %llu\n", kind_names[i], (unsigned long long)counts.by_kind[i]);
    }
    return cleaning_close(harness_close("faults", counts.cases, plan.broken), tight);
}
