/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/killed.c - a child works and tells, the parent kills it and looks.
 */
#include "runs.h"

#include "common/harness.h"
#include "common/victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_OF_A_STORE 12u

struct note {
    uint32_t acknowledged; /* 0: it is about to be done */
    struct step step;
};

static void tell(int fd, const struct step *step, bool acknowledged)
{
    struct note note = {acknowledged, *step};
    victim_tell(fd, &note, sizeof note);
}

struct round {
    struct world *world;
    uint64_t seed;
    bool lie, has_old;
    struct step pending; /* of the child that lives now */
    bool under_way;
    struct run_counts *counts;
};

static void lie_once(struct world *world, int fd)
{
    struct step step = {.op = OP_CREATE};
    while (step.slot < SLOTS && world->model.slots[step.slot].seen.live) {
        step.slot++;
    }
    snprintf(step.arn, sizeof step.arn,
             "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000");
    tell(fd, &step, false);
    tell(fd, &step, true);
}

static void child(void *ctx, int fd)
{
    const struct round *round = ctx;
    struct world *world = round->world;
    struct prng prng = {round->seed};
    world_draw(world);
    world_open(world, false);
    if (round->lie) {
        lie_once(world, fd);
    }
    for (;;) {
        struct step step;
        step_choose(&world->model, &prng, &step);
        tell(fd, &step, false);
        step_begin(&world->model, &step);
        step_do(world, &step);
        step_end(&world->model, &step);
        tell(fd, &step, true);
    }
}

/* ---- the parent -------------------------------------------------------------------------- */

/* Follow the child into the model. */
static void follow(void *ctx, const void *told)
{
    const struct note *note = told;
    struct round *round = ctx;
    if (note->acknowledged) {
        step_end(&round->world->model, &note->step);
        round->counts->steps++;
        round->counts->by_op[note->step.op]++;
    } else {
        step_begin(&round->world->model, &note->step);
        round->pending = note->step;
    }
    round->under_way = !note->acknowledged;
}

static void copy_file(const char *from, const char *to)
{
    char command[2 * PATH_MAX + 32];
    snprintf(command, sizeof command, "cp -- '%s' '%s'", from, to);
    harness_require(system(command) == 0, "%s", command);
}

static void look_at_old(struct round *round)
{
    char old[PATH_MAX + 8], work[PATH_MAX + 8];
    snprintf(old, sizeof old, "%s.old", round->world->path);
    snprintf(work, sizeof work, "%s.was", round->world->path);
    if (round->has_old) {
        copy_file(old, work);
        world_look_at_old(round->world, work);
        round->counts->olds++;
    }
    /* Closed, so that all of it is in the one file. */
    copy_file(round->world->path, old);
    round->has_old = true;
}

static void one_round(void *ctx)
{
    struct round *round = ctx;
    struct world *world = round->world;
    struct prng prng = {prng_mix(round->seed, 7)};
    struct victim victim = {sizeof(struct note), child, follow, round};
    harness_context("kms --seed %llu --steps 1", (unsigned long long)round->seed);
    round->under_way = false;
    victim_kill(&victim, 20 + prng_below(&prng, 400));
    world_open(world, false);
    round->counts->rows += world_look(world, round->under_way ? &round->pending : NULL);
    world_close(world);
    look_at_old(round);
    round->counts->deaths++;
}

static void fresh(void *ctx)
{
    struct round *round = ctx;
    char command[3 * PATH_MAX + 64];
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", round->world->path);
    snprintf(command, sizeof command, "rm -f -- '%s' '%s'-* '%s'.*", path, path, path);
    harness_require(system(command) == 0, "%s", command);
    world_init(round->world, path);
    round->has_old = false;
    world_open(round->world, true);
    world_close(round->world);
}

void kill_run(const char *directory, uint64_t seed, uint64_t steps, bool lie,
              struct run_counts *counts)
{
    static struct world world;
    struct round round = {.world = &world, .lie = lie, .counts = counts};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/keys", directory);
    world_init(&world, path);
    for (uint64_t i = 0; counts->steps < steps && harness_failures() == 0; i++) {
        round.seed = seed + i;
        if (i % ROUNDS_OF_A_STORE == 0 && !harness_run(fresh, &round)) {
            break;
        }
        (void)harness_run(one_round, &round);
    }
}
