/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/faults/recovery.c - calls fail while a store recovers from a cut.
 *
 * Invariant: the model is that of the run that was cut, and stays as it is: what a recovery closes
 * or writes belongs to a fork of it.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "faults.h"

static struct {
    struct world world; /* recorded, and closed */
    struct workload_marks marks;
    bool there;
} run;

static void record_run(void *ctx)
{
    struct world_options options;
    (void)ctx;
    harness_context("faults%s --recovery --workload %s --seed %llu (no fault)",
                    tight ? " --tight" : "", current.workload->name,
                    (unsigned long long)current.seed);
    workload_options(current.workload, current.seed, true, tight, &options);
    world_init(&run.world, &options);
    run.there = true;
    must(&run.world, workload_run(current.workload, &run.world, &run.marks));
}

bool recovery_begin(void)
{
    return harness_run(record_run, NULL);
}

void recovery_end(void)
{
    if (run.there && run.world.store == NULL) {
        world_done(&run.world);
    }
    run.there = false;
}

static void begin_on_cut(struct world *world, const struct plan_case *plan)
{
    struct sim_image *image =
        sim_disk_image_at(run.world.disk, plan->event, plan->variant, plan->seed);
    world_init_on(world, &run.world, image, prng_mix(plan->event, plan->at + plan->kind), true);
    sim_image_free(image);
    world->anchor.has = false;
    world_anchor_at(&run.world, plan->event, 0, &world->anchor);
    world->lenient = true;
    world->tell = tell;
}

/* Open and read everything; what is found is right. */
static int recover(struct world *world, const struct plan_case *plan, struct model_seen *seen)
{
    int error = world_open(world);
    if (error == 0) {
        error = world_try_look(world, seen);
    }
    if (error == 0) {
        model_check_prefix(world->model, seen, plan->event, false);
    }
    return error;
}

/* In order, which takes what was found for the truth; or the process dies. */
static void end(struct world *world, struct model_seen *seen, bool in_order)
{
    struct model forked;
    if (in_order) {
        model_fork(&forked, world->model, seen);
        world->model = &forked;
        (void)world_close(world);
        world->model = run.world.model;
        model_done(&forked);
    } else if (world->store != NULL) {
        world_crash(world);
    }
}

void recovery_case(void *ctx)
{
    const struct plan_case *plan = ctx;
    struct world world;
    struct model_seen seen;
    uint64_t event;
    int error;
    tell_context(plan);
    harness_watch_cpu(30, 300);
    begin_on_cut(&world, plan);
    plant(&world, plan);
    error = recover(&world, plan, &seen);
    if (fired(&world, plan) > 0) {
        counts.fired++;
        counts.reported += error != 0 ? 1u : 0u;
        counts.silent += error == 0 ? 1u : 0u;
    } else {
        world_must(&world, error, "recovery without a fault");
    }
    end(&world, &seen, error == 0 && plan->at % 2 == 0);
    if (error == 0) {
        model_seen_done(&seen);
    }
    unplant(&world);
    det_env_check_leaks(&world.env);
    event = sim_disk_events(world.disk);
    judge_image(&world, &run.marks, sim_disk_image_live(world.disk), plan->event, 3000001);
    judge_image(&world, &run.marks, sim_disk_image_at(world.disk, event, SIM_CUT_NONE, plan->seed),
                plan->event, 3000002);
    world_done(&world);
    recorder_check();
}

static void count_calls(void *ctx)
{
    uint64_t *calls = ctx, before = run.world.kms->calls; /* it serves the run, too */
    struct world world;
    struct model_seen seen;
    struct plan_case plan = current;
    harness_context("faults%s --recovery --workload %s --seed %llu (cut at %llu, no fault)",
                    tight ? " --tight" : "", plan.workload->name, (unsigned long long)plan.seed,
                    (unsigned long long)plan.event);
    begin_on_cut(&world, &plan);
    must(&world, recover(&world, &plan, &seen));
    for (unsigned kind = 0; kind < KINDS; kind++) {
        calls[kind] = calls_of(&world, kind);
    }
    calls[KIND_KMS] -= before;
    model_seen_done(&seen);
    world_crash(&world);
    world_done(&world);
}

void fail_recoveries(const struct plan *plan,
                     void (*fail_kind)(const struct plan *plan, unsigned kind, uint64_t calls))
{
    if (recovery_begin()) {
        uint64_t first = run.marks.begun, events = sim_disk_events(run.world.disk) - first;
        current.recovery = true;
        for (uint64_t i = 0; i < plan->cuts; i++) {
            uint64_t calls[KINDS] = {0};
            current.event = first + prng_mix(plan->seed, i + first) % (events + 1);
            current.variant = (enum sim_variant)((i + current.seed) % SIM_VARIANTS);
            recorder_reset();
            if (!harness_run(count_calls, calls)) {
                continue;
            }
            for (unsigned kind = 0; kind < KINDS; kind++) {
                fail_kind(plan, kind, calls[kind]);
            }
        }
        current.recovery = false;
    }
    recovery_end();
}
