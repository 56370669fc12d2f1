/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/histories - random histories of a store against the reference model.
 *
 * A history is 50 steps (--steps) drawn from its seed: writes of 512 bytes to 1 MiB at any sector,
 * reads, discards, zeroes, flushes, FUA, write-back, bursts of up to 16 requests through the queue,
 * checkpoints, the clock, resizes, volumes (encrypted and plain) made, closed, opened and deleted,
 * clean reopens, kills of the process and power cuts. Reads are judged at once; after each loss,
 * and at the end, the whole store is.
 *
 * --tight: on stores that are nearly full (common/tight.h), so that the cleaner is at work.
 *
 * The same seed gives the same run: each twentieth history runs twice and must do the same I/O.
 */
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "common/tight.h"

#include <stdio.h>
#include <string.h>

#define PAGES_MAX 1536u
#define STOPPED 77
#define SEGMENTS_MAX 160u
#define TIGHT_MORE 4u /* segments that a store grows by which is to stay nearly full */

struct history {
    struct world world;
    struct prng prng;
    uint64_t seed;
    unsigned volume_count; /* made so far */
};

static struct {
    uint64_t steps, losses, reopens, checks, writes, full;
} counts;
static uint64_t steps_max = 50;
static bool tell, tight;

static uint32_t pick(struct history *h, uint32_t bound)
{
    return prng_below(&h->prng, bound);
}

/* An open volume, or MODEL_VOLUMES_MAX. */
static unsigned any_volume(struct history *h)
{
    unsigned found = MODEL_VOLUMES_MAX, count = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (h->world.volumes[v] != NULL && pick(h, ++count) == 0) {
            found = v;
        }
    }
    return found;
}

static void any_range(struct history *h, unsigned volume, uint64_t *sector, uint64_t *count)
{
    uint32_t sectors = (uint32_t)model_volume_pages(h->world.model, volume) * MODEL_SECTORS;
    uint32_t most = (const uint32_t[]){8, 64, 64, 256, 2048}[pick(h, 5)];
    uint32_t length = 1 + pick(h, most < sectors ? most : sectors);
    uint32_t from = pick(h, sectors - length + 1);
    if (pick(h, 2) == 0) {
        from &= ~7u;
        length = (length + 7) & ~7u;
        length = from + length > sectors ? sectors - from : length;
    }
    *sector = from;
    *count = length;
}

/* Look at everything, judge it, and go on from there. */
static void judge(struct history *h, uint64_t event, bool killed)
{
    struct world *world = &h->world;
    struct model_seen seen;
    world_look(world, &seen);
    model_check_volumes(world->model, &seen, event);
    model_check_prefix(world->model, &seen, event, killed);
    model_rebase(world->model, &seen, event);
    model_seen_done(&seen);
}

static void open_again(struct history *h)
{
    struct world *world = &h->world;
    det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
    must(world, world_open(world));
    if (pick(h, 4) == 0) {
        must(world, world_check_store(world, pick(h, 2) == 0 ? COFFER_CHECK_SCRUB : 0));
        counts.checks++;
    }
}

static void reopen(struct history *h)
{
    struct world *world = &h->world;
    uint64_t event;
    if (world->queue != NULL) {
        must(world, world_drain(world));
    }
    must(world, world_close(world));
    event = sim_disk_events(world->disk);
    open_again(h);
    judge(h, event, false);
    counts.reopens++;
}

/* The process is killed or the power fails, perhaps with requests in flight. */
static void lose(struct history *h)
{
    struct world *world = &h->world;
    enum sim_variant variant = (enum sim_variant)pick(h, SIM_VARIANTS);
    uint64_t event = sim_disk_events(world->disk);
    struct sim_image *image = sim_disk_image_at(world->disk, event, variant, prng_next(&h->prng));
    world_tell(world, "lose: %s", sim_variant_name(variant));
    world_crash(world);
    world_replace_disk(world, image);
    sim_image_free(image);
    open_again(h);
    judge(h, event, variant == SIM_CUT_KILL);
    counts.losses++;
}

/* A full store is no failure, but what happened of the operation is unknown: settle it. */
static void settle(struct history *h, int error)
{
    struct world *world = &h->world;
    if (error == 0) {
        error = world->first_error;
    }
    if (error == COFFER_E_NO_SPACE) {
        counts.full++;
        world->first_error = 0;
        if (world->queue != NULL) {
            must(world, world_drain(world));
        }
        world->first_error = 0;
        reopen(h);
        return;
    }
    world_must(world, error, "step");
}

static void step_io(struct history *h, enum world_kind kind, unsigned flags)
{
    unsigned volume = any_volume(h);
    uint64_t sector, count;
    if (volume == MODEL_VOLUMES_MAX) {
        return;
    }
    if (h->world.queue != NULL) {
        settle(h, world_drain(&h->world));
        volume = any_volume(h);
    }
    any_range(h, volume, &sector, &count);
    settle(h, world_io(&h->world, kind, volume, sector, count, flags));
}

static void step_burst(struct history *h)
{
    static const enum world_kind kinds[] = {WORLD_WRITE, WORLD_WRITE, WORLD_WRITE, WORLD_WRITE,
                                            WORLD_READ,  WORLD_READ,  WORLD_DISCARD, WORLD_ZERO,
                                            WORLD_FLUSH};
    struct world *world = &h->world;
    unsigned requests = 1 + pick(h, 16);
    int error = 0;
    if (world->queue == NULL) {
        must(world, world_queue_open(world));
    }
    for (unsigned i = 0; i < requests && error == 0; i++) {
        enum world_kind kind = kinds[pick(h, 9)];
        unsigned volume = any_volume(h);
        uint64_t sector = 0, count = 0;
        if (volume == MODEL_VOLUMES_MAX) {
            return;
        }
        if (kind != WORLD_FLUSH) {
            any_range(h, volume, &sector, &count);
        }
        error = world_submit(world, kind, volume, sector, count,
                             world_io_flags(world));
    }
    if (error == 0 && pick(h, 2) == 0) {
        error = world_drain(world);
    }
    settle(h, error);
}

static void step_flush(struct history *h)
{
    unsigned volume = any_volume(h);
    if (volume != MODEL_VOLUMES_MAX) {
        settle(h, world_flush(&h->world, volume));
    }
}

/* Requests between the victims of a shrink, which now and then is stopped. */
static int meanwhile(struct world *world, void *ctx, unsigned call)
{
    struct history *h = ctx;
    (void)world;
    (void)call;
    step_io(h, WORLD_WRITE, 0);
    return pick(h, 12) == 0 ? STOPPED : 0;
}

/* The store itself, up or down; it may be too full to shrink. */
static void resize_store(struct history *h)
{
    uint32_t segments = 64 + pick(h, tight ? TIGHT_MORE : SEGMENTS_MAX - 64 + 1);
    int error = world_store_resize(&h->world, segments, meanwhile, h);
    if (error != COFFER_E_NO_SPACE && error != STOPPED) {
        must(&h->world, error);
    }
}

static void step_resize(struct history *h)
{
    unsigned volume;
    if (h->world.queue != NULL) {
        settle(h, world_drain(&h->world));
    }
    if (pick(h, 4) == 0) {
        resize_store(h);
        return;
    }
    volume = any_volume(h);
    if (volume != MODEL_VOLUMES_MAX) {
        settle(h, world_volume_resize(&h->world, volume, 1 + pick(h, PAGES_MAX)));
    }
}

static void step_new_volume(struct history *h)
{
    struct world *world = &h->world;
    unsigned volume;
    int error;
    if (h->volume_count >= 5) {
        return;
    }
    h->volume_count++;
    error = world_volume_create(world, 16 + pick(h, 1000), PAGES_MAX, pick(h, 3) != 0, &volume);
    settle(h, error != 0 ? error : world_volume_open(world, volume));
}

static void step_close_volume(struct history *h)
{
    struct world *world = &h->world;
    unsigned volume;
    if (world->queue != NULL) {
        settle(h, world_drain(world));
    }
    volume = any_volume(h);
    if (volume == MODEL_VOLUMES_MAX) {
        return;
    }
    settle(h, world_volume_close(world, volume));
    if (pick(h, 3) == 0) {
        settle(h, world_volume_delete(world, volume));
    } else {
        settle(h, world_volume_open(world, volume));
    }
}

static void step_time(struct history *h)
{
    det_env_advance(&h->world.env, (uint64_t)pick(h, 3000) * 1000000u);
    if (pick(h, 2) == 0) {
        settle(h, world_maintain(&h->world));
    }
}

static void step_anything(struct history *h)
{
    switch (pick(h, 24)) {
    case 0: case 1: case 2: case 3: case 4: case 5:
        step_io(h, WORLD_WRITE, world_io_flags(&h->world));
        break;
    case 6: case 7:
        step_io(h, WORLD_READ, 0);
        break;
    case 8:
        step_io(h, pick(h, 2) == 0 ? WORLD_DISCARD : WORLD_ZERO, 0);
        break;
    case 9: case 10: case 11: case 12: case 13:
        step_burst(h);
        break;
    case 14: case 15:
        step_flush(h);
        break;
    case 16:
        settle(h, world_checkpoint(&h->world));
        break;
    case 17:
        step_resize(h);
        break;
    case 18:
        step_new_volume(h);
        break;
    case 19:
        step_close_volume(h);
        break;
    case 20:
        step_time(h);
        break;
    case 21:
        reopen(h);
        break;
    default:
        lose(h);
        break;
    }
}

static void begin_history(struct history *h, uint64_t seed)
{
    struct world_options options;
    unsigned volume;
    memset(h, 0, sizeof *h);
    h->seed = seed;
    h->prng.state = prng_mix(seed, 0x68697374u);
    memset(&options, 0, sizeof options);
    options.seed = seed;
    options.segments = 128;
    options.segments_max = SEGMENTS_MAX;
    options.disk.record = true;
    options.disk.shuffle = pick(h, 2) == 0;
    options.disk.delay_polls_max = pick(h, 4);
    (void)pick(h, 4);
    options.delta_entries_max = pick(h, 3) == 0 ? 300 : 0;
    options.anchor = pick(h, 4) == 0;
    options.tight = tight ? tight_kind_for(seed) : TIGHT_NOT;
    world_init(&h->world, &options);
    (void)pick(h, 2);
    h->world.lenient = true;
    h->world.tell = tell;
    must(&h->world, world_create(&h->world));
    must(&h->world, world_open(&h->world));
    h->volume_count = 1;
    must(&h->world, world_volume_create(&h->world, 16 + pick(h, 1000), PAGES_MAX,
                                        pick(h, 5) != 0, &volume));
    must(&h->world, world_volume_open(&h->world, volume));
}

static uint64_t trace_of_last;

static void one_history(void *ctx)
{
    static struct history h;
    uint64_t seed = *(const uint64_t *)ctx;
    harness_watch_cpu(60, 300);
    begin_history(&h, seed);
    for (uint64_t step = 0; step < steps_max; step++) {
        harness_context("histories%s --seed %llu --replay (step %llu)", tight ? " --tight" : "",
                        (unsigned long long)seed, (unsigned long long)step);
        step_anything(&h);
        counts.steps++;
    }
    reopen(&h);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (h.world.volumes[v] != NULL) {
            must(&h.world, world_volume_close(&h.world, v));
        }
    }
    must(&h.world, world_check_store(&h.world, COFFER_CHECK_SCRUB));
    must(&h.world, world_close(&h.world));
    counts.writes += h.world.writes_done;
    trace_of_last = prng_mix(h.world.result_trace, sim_disk_trace(h.world.disk));
    world_done(&h.world);
    recorder_check();
}

/* The same seed again, with the same randomness on purpose: it must do the same I/O. */
static void same_again(void *ctx)
{
    uint64_t first = trace_of_last;
    recorder_reset();
    one_history(ctx);
    harness_require(trace_of_last == first, "two runs of one seed did different I/O");
}

static void run_history(uint64_t seed, bool twice)
{
    harness_context("histories%s --seed %llu --replay", tight ? " --tight" : "",
                    (unsigned long long)seed);
    if (harness_run(one_history, &seed) && twice) {
        (void)harness_run(same_again, &seed);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, histories = 2000, done = 0;
    const char *broken = NULL;
    bool again = false;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--histories", &histories, NULL, NULL, "how many [2000]"},
        {"--steps", &steps_max, NULL, NULL, "steps each [50]"},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--tell", NULL, NULL, &tell, "print each step"},
        {"--replay", NULL, NULL, &again, "only the history of --seed"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "random histories against the reference model");
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    histories = again ? 1 : histories;
    for (uint64_t i = 0; i < histories; i++, done++) {
        run_history(seed + i, i % 20 == 0);
        if ((broken != NULL && harness_failures() > 0) || harness_failures() >= 20) {
            break;
        }
    }
    harness_watch(0);
    printf("histories: seeds %llu to %llu, %llu steps, %llu writes, %llu losses, %llu reopens, "
           "%llu checks, %llu times full, %llu seals, %.1f s\n",
           (unsigned long long)seed, (unsigned long long)(seed + done),
           (unsigned long long)counts.steps, (unsigned long long)counts.writes,
           (unsigned long long)counts.losses, (unsigned long long)counts.reopens,
           (unsigned long long)counts.checks, (unsigned long long)counts.full,
           (unsigned long long)recorder_seals(), harness_seconds() - start);
    return cleaning_close(harness_close("histories", done, broken), tight);
}
