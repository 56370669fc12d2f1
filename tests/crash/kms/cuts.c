/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/cuts.c - a story is done once on a recorded disk; then, for cut after cut, the files as
 * the power cut left them are opened and judged by the model as it was at that moment.
 */
#include "runs.h"

#include "common/harness.h"
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STEPS_MAX 400u

/* A step lasted from event `began` to event `ended`, with the model before and after. */
struct mark {
    struct step step;
    uint64_t began, ended;
    struct model before, after;
};

static struct {
    struct world world;
    char image[PATH_MAX], old[PATH_MAX];
    uint64_t seed, length;
    struct mark *marks;
    unsigned steps;
    struct run_counts *counts;
    uint64_t events; /* of the cut at hand */
    enum cut_variant variant;
} story;

static void clear(const char *directory)
{
    char command[2 * PATH_MAX + 64];
    snprintf(command, sizeof command, "rm -rf -- '%s' && mkdir -- '%s'", directory, directory);
    harness_require(system(command) == 0, "%s", command);
}

static void tell_story(const char *directory)
{
    struct prng prng = {prng_mix(story.seed, 11)};
    struct world *world = &story.world;
    char path[PATH_MAX + 8];
    clear(directory);
    snprintf(path, sizeof path, "%s/keys", directory);
    world_init(world, path);
    world_draw(world);
    world_open(world, true);
    disk_record(directory);
    for (story.steps = 0; story.steps < story.length; story.steps++) {
        struct mark *mark = &story.marks[story.steps];
        step_choose(&world->model, &prng, &mark->step);
        mark->began = disk_events();
        step_begin(&world->model, &mark->step);
        mark->before = world->model;
        step_do(world, &mark->step);
        step_end(&world->model, &mark->step);
        mark->after = world->model;
        mark->ended = disk_events();
        story.counts->steps++;
        story.counts->by_op[mark->step.op]++;
    }
    world_done(world);
    disk_stop();
}

/* The model at the cut, and what was under way then. */
static const struct step *model_at(uint64_t events, struct model *ret_model)
{
    const struct mark *mark = story.marks;
    while (mark + 1 < story.marks + story.steps && events > mark->ended) {
        mark++;
    }
    bool done = events >= mark->ended;
    *ret_model = done ? mark->after : mark->before;
    return done ? NULL : &mark->step;
}

/* The store as it was after some earlier step, beside the ledger that the cut left. */
static void look_at_old(struct world *world)
{
    struct prng prng = {prng_mix(story.seed, story.events)};
    const struct mark *mark = &story.marks[prng_below(&prng, story.steps)];
    char path[PATH_MAX + 8];
    if (mark->ended > story.events) {
        return;
    }
    clear(story.old);
    disk_image(mark->ended, CUT_ALL, story.seed, story.old);
    snprintf(path, sizeof path, "%s/keys", story.old);
    world_look_at_old(world, path);
    story.counts->olds++;
}

static void one_cut(void *ctx)
{
    static struct world world;
    char path[PATH_MAX + 8];
    (void)ctx;
    snprintf(path, sizeof path, "%s/keys", story.image);
    clear(story.image);
    disk_image(story.events, story.variant, story.seed, story.image);
    world_init(&world, path);
    const struct step *pending = model_at(story.events, &world.model);
    world_open(&world, false);
    story.counts->rows += world_look(&world, pending);
    world_close(&world);
    look_at_old(&world);
    story.counts->deaths++;
}

static void cut(uint64_t events, enum cut_variant variant)
{
    story.events = events;
    story.variant = variant;
    harness_context("kms --cuts 1 --seed %llu --length %llu --event %llu --variant %u",
                    (unsigned long long)story.seed, (unsigned long long)story.length,
                    (unsigned long long)events, (unsigned)variant);
    (void)harness_run(one_cut, NULL);
}

static void whole_story(void *ctx)
{
    tell_story(ctx);
}

static bool begin(const char *directory, uint64_t seed, uint64_t length, struct run_counts *counts)
{
    static char work[PATH_MAX];
    harness_require(length > 0 && length <= STEPS_MAX, "--length is 1 to %u", STEPS_MAX);
    if (story.marks == NULL) {
        story.marks = malloc(STEPS_MAX * sizeof *story.marks);
        harness_require(story.marks != NULL, "no memory");
    }
    snprintf(work, sizeof work, "%s/work", directory);
    snprintf(story.image, sizeof story.image, "%s/image", directory);
    snprintf(story.old, sizeof story.old, "%s/old", directory);
    story.seed = seed;
    story.length = length;
    story.counts = counts;
    harness_context("kms --cuts 1 --seed %llu --length %llu", (unsigned long long)seed,
                    (unsigned long long)length);
    return harness_run(whole_story, work);
}

void cut_run(const char *directory, uint64_t seed, uint64_t steps, uint64_t length, uint64_t cuts,
             struct run_counts *counts)
{
    for (; counts->steps < steps && harness_failures() == 0; seed++) {
        struct prng prng = {prng_mix(seed, 13)};
        if (!begin(directory, seed, length, counts)) {
            return;
        }
        for (uint64_t i = 0; i < cuts && harness_failures() == 0; i++) {
            uint64_t events = prng_below(&prng, (uint32_t)disk_events() + 1);
            /* Half of the cuts right behind a sync: there, what was acknowledged is youngest. */
            while (prng_chance(&prng, 1, 2) && events > 0 && events < disk_events() &&
                   !disk_is_sync(events - 1)) {
                events++;
            }
            cut(events, (enum cut_variant)(i % CUT_VARIANTS));
        }
    }
}

void cut_replay(const char *directory, uint64_t seed, uint64_t length, uint64_t events,
                unsigned variant)
{
    static struct run_counts counts;
    if (begin(directory, seed, length, &counts)) {
        cut(events, (enum cut_variant)(variant % CUT_VARIANTS));
    }
}
