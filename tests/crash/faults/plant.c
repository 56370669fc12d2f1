/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/faults/plant.c - faults are planted and taken away, and what they left is judged.
 */
#include "common/harness.h"
#include "faults.h"

#include <errno.h>
#include <stdio.h>

const char *const kind_names[KINDS] = {
    "read",     "append", "sync",   "trim",         "condition", "grow",  "root_read",
    "root_cas", "shrink", "submit", "channel_open", "poll",      "alloc", "kms",       "random",
};

static const struct {
    const char *name;
    int error, os_errno;
} errors[ERRORS] = {
    {"eio", COFFER_E_IO, EIO},
    {"enospc", COFFER_E_NO_SPACE, ENOSPC},
    {"short", COFFER_E_IO, 0},
    {"cancelled", COFFER_E_CANCELLED, ECANCELED},
};

const char *error_name(unsigned error)
{
    return errors[error].name;
}

void tell_context(const struct plan_case *plan)
{
    char cut[64] = "";
    if (plan->recovery) {
        snprintf(cut, sizeof cut, ":%llu:%s", (unsigned long long)plan->event,
                 sim_variant_name(plan->variant));
    }
    harness_context("faults%s --replay %llu:%s:%s:%llu:%s:%s%s", tight ? " --tight" : "",
                    (unsigned long long)plan->seed, plan->workload->name, kind_names[plan->kind],
                    (unsigned long long)plan->at, errors[plan->error].name,
                    plan->sticky ? "sticky" : "once", cut);
}

uint64_t calls_of(const struct world *world, unsigned kind)
{
    switch (kind) {
    case KIND_ALLOC:
        return world->env.allocations;
    case KIND_KMS:
        return world->kms->calls;
    case KIND_RANDOM:
        return world->env.random_calls;
    default:
        return sim_disk_calls(world->disk, kind);
    }
}

void plant(struct world *world, const struct plan_case *plan)
{
    static const int key_errors[ERRORS] = {COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_ACCESS,
                                           COFFER_E_KEY_DISABLED, COFFER_E_KEY_CIPHERTEXT};
    struct sim_fault fault = {.call = plan->kind,
                              .at = plan->at,
                              .error = errors[plan->error].error,
                              .os_errno = errors[plan->error].os_errno,
                              .sticky = plan->sticky};
    if (plan->kind == KIND_ALLOC) {
        det_env_fail(&world->env, plan->at, plan->sticky);
    } else if (plan->kind == KIND_KMS) {
        fake_kms_fail(world->kms, plan->at, plan->sticky, key_errors[plan->error]);
    } else if (plan->kind == KIND_RANDOM) {
        world->env.random_fail_at = plan->at;
    } else {
        sim_disk_inject(world->disk, &fault);
    }
}

uint64_t fired(const struct world *world, const struct plan_case *plan)
{
    switch (plan->kind) {
    case KIND_ALLOC:
        return world->env.fired;
    case KIND_KMS:
        return world->kms->fired;
    case KIND_RANDOM:
        return world->env.random_calls > plan->at ? 1 : 0;
    default:
        return sim_disk_fired(world->disk);
    }
}

void unplant(struct world *world)
{
    sim_disk_inject(world->disk, NULL);
    det_env_fail_none(&world->env);
    fake_kms_fail_none(world->kms);
    world->env.random_fail_at = UINT64_MAX;
}

void judge_image(const struct world *from, const struct workload_marks *marks,
                 struct sim_image *image, uint64_t event, uint64_t incarnation)
{
    struct world world;
    struct model_seen seen;
    struct model forked;
    int error;
    world_init_on(&world, from, image, incarnation, false);
    sim_image_free(image);
    world.tell = tell;
    error = world_open(&world);
    if (marks->created == 0 && error != 0) {
        enum coffer_error_class cls = coffer_error_class_of(error);
        harness_require(cls == COFFER_CLASS_FORMAT || cls == COFFER_CLASS_CORRUPT,
                        "open of what was never made: %s", coffer_error_name(error));
        world_done(&world);
        return;
    }
    world_must(&world, error, "open when the fault was gone");
    world_look(&world, &seen);
    model_check_volumes(world.model, &seen, event);
    model_check_prefix(world.model, &seen, event, false);
    model_fork(&forked, world.model, &seen);
    model_seen_done(&seen);
    world.model = &forked;
    workload_go_on(&world);
    must(&world, world_close(&world));
    world_done(&world);
    model_done(&forked);
}
