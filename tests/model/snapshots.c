/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/snapshots - random histories of snapshots, clones and keys against the reference model.
 *
 * A history is 50 steps (--steps) drawn from its seed: writes, discards and zeroes, bursts through
 * the queue, flushes, resizes, checkpoints; snapshots (with requests in flight, too), volumes made
 * from them, deletion of either in any order, names used again; diffs and lists, which the model
 * judges page by page; rekeys at each depth, after which the old key must open nothing; deep
 * re-encrypts, some steps at a time, at whose end no table has an old data key; refusals; clean
 * reopens, kills and power cuts. At each loss and at the end every volume and snapshot must
 * hold what the model says, and check must find nothing; some histories end by deleting all.
 *
 * --tight: on stores that are nearly full (common/tight.h), so that the cleaner is at work.
 *
 * The same seed gives the same run: each twentieth history runs twice and must do the same I/O.
 */
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "common/tight.h"
#include "snapshots/story.h"

#include <stdio.h>
#include <string.h>

#define SEGMENTS 96u
#define PAGES_SMALL 256u  /* a tree of one node  */
#define PAGES_LARGE 1400u /* of three leaves     */

struct story_counts story_counts;
static uint64_t steps_max = 50;
static bool tell, tight;

static const struct {
    void (*step)(struct story *story);
    uint32_t weight;
} steps[] = {
    {story_write, 12},
    {story_discard, 3},
    {story_burst, 5},
    {story_flush, 2},
    {story_resize, 2},
    {story_checkpoint, 3},
    {story_time, 1},
    {story_lose, 3},
    {story_reopen, 2},
    {story_new_volume, 1},
    {story_snapshot, 8},
    {story_restore, 4},
    {story_delete_snapshot, 4},
    {story_delete_volume, 1},
    {story_look, 2},
    {story_diff, 4},
    {story_list, 2},
    {story_rekey, 2},
    {story_reencrypt, 5},
    {story_recipient, 2},
    {story_refused, 1},
};

static void step_anything(struct story *story)
{
    uint32_t total = 0, drawn;
    size_t at = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        total += steps[i].weight;
    }
    drawn = story_pick(story, total);
    while (drawn >= steps[at].weight) {
        drawn -= steps[at++].weight;
    }
    steps[at].step(story);
    world_keys_needed(&story->world);
}

static void begin_story(struct story *story, uint64_t seed)
{
    struct world_options options;
    struct world *world = &story->world;
    unsigned volume;
    memset(story, 0, sizeof *story);
    story->prng.state = prng_mix(seed, 0x736e6170u);
    story->pages_max = story_pick(story, 4) == 0 ? PAGES_LARGE : PAGES_SMALL;
    memset(&options, 0, sizeof options);
    options.seed = seed;
    options.segments = SEGMENTS;
    options.disk.record = true;
    options.disk.shuffle = story_pick(story, 2) == 0;
    options.disk.delay_polls_max = story_pick(story, 4);
    options.delta_entries_max = story_pick(story, 3) == 0 ? 300 : 0;
    options.anchor = story_pick(story, 4) == 0;
    options.spare_keys = true;
    options.tight = tight ? tight_kind_for(seed) : TIGHT_NOT;
    world_init(world, &options);
    world->lenient = true;
    world->tell = tell;
    must(world, world_create(world));
    must(world, world_open(world));
    must(world, world_volume_create(world, story_size(story), story->pages_max,
                                    story_pick(story, 5) != 0, &volume));
    must(world, world_volume_open(world, volume));
}

static uint64_t trace_of_last;

static void end_story(struct story *story)
{
    struct world *world = &story->world;
    if (story_pick(story, 2) == 0) {
        story_settle(story, world_reencrypt_finish(world));
    }
    story_reopen(story);
    story_list(story);
    story_close_volumes(story);
    must(world, world_check_store(world, COFFER_CHECK_SCRUB));
    if (story_pick(story, 4) == 0) {
        story_delete_all(story);
        must(world, world_check_store(world, COFFER_CHECK_SCRUB));
    }
    must(world, world_close(world));
    trace_of_last = prng_mix(world->result_trace, sim_disk_trace(world->disk));
    world_done(world);
    recorder_check();
}

static void one_story(void *ctx)
{
    static struct story story;
    uint64_t seed = *(const uint64_t *)ctx;
    harness_watch_cpu(60, 300);
    begin_story(&story, seed);
    for (uint64_t step = 0; step < steps_max; step++) {
        harness_context("snapshots%s --seed %llu --replay (step %llu)", tight ? " --tight" : "",
                        (unsigned long long)seed, (unsigned long long)step);
        step_anything(&story);
        story_counts.steps++;
    }
    harness_context("snapshots%s --seed %llu --replay (the end)", tight ? " --tight" : "",
                    (unsigned long long)seed);
    end_story(&story);
}

/* The same seed again, with the same randomness on purpose: it must do the same I/O. */
static void same_again(void *ctx)
{
    uint64_t first = trace_of_last;
    recorder_reset();
    one_story(ctx);
    harness_require(trace_of_last == first, "two runs of one seed did different I/O");
}

static void tell_counts(uint64_t seed, uint64_t done, double seconds)
{
    const struct story_counts *c = &story_counts;
    printf("snapshots: seeds %llu to %llu, %llu steps, %llu losses, %llu reopens, %llu checks, "
           "%llu times full, %llu seals, %.1f s\n",
           (unsigned long long)seed, (unsigned long long)(seed + done),
           (unsigned long long)c->steps, (unsigned long long)c->losses,
           (unsigned long long)c->reopens, (unsigned long long)c->checks,
           (unsigned long long)c->full, (unsigned long long)recorder_seals(), seconds);
    printf("  %llu snapshots (%llu with requests in flight), %llu names taken, %llu deleted (%llu "
           "with two children or more); %llu clones (%llu newly encrypted), %llu volumes deleted\n"
           "  %llu diffs, %llu lists, %llu rekeys, %llu recipients, %llu refusals; %llu deep "
           "re-encrypts begun or gone on with, %llu to their end\n",
           (unsigned long long)c->snapshots, (unsigned long long)c->mixed,
           (unsigned long long)c->taken, (unsigned long long)c->deleted,
           (unsigned long long)c->hidden, (unsigned long long)c->clones,
           (unsigned long long)c->resealed, (unsigned long long)c->volumes_deleted,
           (unsigned long long)c->diffs, (unsigned long long)c->lists,
           (unsigned long long)c->rekeys, (unsigned long long)c->recipients,
           (unsigned long long)c->refused, (unsigned long long)c->reencrypts,
           (unsigned long long)c->reencrypted);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 2000, done = 0;
    const char *broken = NULL;
    bool again = false;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--count", &count, NULL, NULL, "how many histories [2000]"},
        {"--steps", &steps_max, NULL, NULL, "steps each [50]"},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--tell", NULL, NULL, &tell, "print each step"},
        {"--replay", NULL, NULL, &again, "only the history of --seed"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "random histories of snapshots, clones and keys");
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    count = again ? 1 : count;
    for (; done < count; done++) {
        uint64_t at = seed + done;
        harness_context("snapshots%s --seed %llu --replay", tight ? " --tight" : "",
                        (unsigned long long)at);
        if (harness_run(one_story, &at) && done % 20 == 0) {
            (void)harness_run(same_again, &at);
        }
        if ((broken != NULL && harness_failures() > 0) || harness_failures() >= 20) {
            break;
        }
    }
    harness_watch(0);
    tell_counts(seed, done, harness_seconds() - start);
    return cleaning_close(harness_close("snapshots", done, broken), tight);
}
