/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/snapshots/changes.c - steps that change contents, and losses.
 */
#include "common/harness.h"
#include "story.h"

#include <string.h>

static bool is_kind(const struct story *story, unsigned node, enum story_node kind)
{
    const struct model_volume *volume = &story->world.model->volumes[node];
    bool there = model_wanted(volume) && !volume->gone && volume->create_done != MODEL_NEVER;
    switch (kind) {
    case STORY_OPEN_VOLUME:
        return there && !volume->snapshot && story->world.volumes[node] != NULL;
    case STORY_VOLUME:
        return there && !volume->snapshot;
    case STORY_SNAPSHOT:
        return there && volume->snapshot;
    default:
        return there;
    }
}

unsigned story_any(struct story *story, enum story_node kind, unsigned kin)
{
    const struct model *model = story->world.model;
    unsigned found = MODEL_NONE, count = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (is_kind(story, v, kind) &&
            (kin == MODEL_NONE || model->volumes[v].salt == model->volumes[kin].salt) &&
            story_pick(story, ++count) == 0) {
            found = v;
        }
    }
    return found;
}

unsigned story_count(const struct story *story, enum story_node kind)
{
    unsigned count = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        count += is_kind(story, v, kind) ? 1u : 0u;
    }
    return count;
}

uint32_t story_size(struct story *story)
{
    return 16 + story_pick(story, story->pages_max - 16);
}

static void any_range(struct story *story, unsigned volume, uint64_t *sector, uint64_t *count)
{
    uint32_t sectors = (uint32_t)model_volume_pages(story->world.model, volume) * MODEL_SECTORS;
    uint32_t most = (const uint32_t[]){8, 64, 64, 256, 1024}[story_pick(story, 5)];
    uint32_t length = 1 + story_pick(story, most < sectors ? most : sectors);
    uint32_t from = story_pick(story, sectors - length + 1);
    if (story_pick(story, 4) != 0) {
        from &= ~7u;
        length = (length + 7) & ~7u;
        length = from + length > sectors ? sectors - from : length;
    }
    *sector = from;
    *count = length;
}

/* ---- losses ---- */

static void judge(struct story *story, uint64_t event, bool killed)
{
    struct world *world = &story->world;
    struct model_seen seen;
    world_look(world, &seen);
    model_check_volumes(world->model, &seen, event);
    model_check_prefix(world->model, &seen, event, killed);
    model_rebase(world->model, &seen, event);
    model_seen_done(&seen);
}

static void open_again(struct story *story)
{
    struct world *world = &story->world;
    det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
    must(world, world_open(world));
    if (story_pick(story, 3) == 0) {
        must(world, world_check_store(world, story_pick(story, 2) == 0 ? COFFER_CHECK_SCRUB : 0));
        story_counts.checks++;
    }
}

void story_drain(struct story *story)
{
    if (story->world.queue != NULL) {
        story_settle(story, world_drain(&story->world));
    }
}

void story_reopen(struct story *story)
{
    struct world *world = &story->world;
    uint64_t event;
    if (world->queue != NULL) {
        must(world, world_drain(world));
    }
    must(world, world_close(world));
    event = sim_disk_events(world->disk);
    open_again(story);
    judge(story, event, false);
    story_counts.reopens++;
}

void story_lose(struct story *story)
{
    struct world *world = &story->world;
    enum sim_variant variant = (enum sim_variant)story_pick(story, SIM_VARIANTS);
    uint64_t event = sim_disk_events(world->disk);
    struct sim_image *image =
        sim_disk_image_at(world->disk, event, variant, prng_next(&story->prng));
    world_tell(world, "lose: %s", sim_variant_name(variant));
    world_crash(world);
    world_replace_disk(world, image);
    sim_image_free(image);
    open_again(story);
    judge(story, event, variant == SIM_CUT_KILL);
    story_counts.losses++;
}

void story_settle(struct story *story, int error)
{
    struct world *world = &story->world;
    if (error == 0) {
        error = world->first_error;
    }
    if (error == COFFER_E_NO_SPACE) {
        story_counts.full++;
        world->first_error = 0;
        if (world->queue != NULL) {
            must(world, world_drain(world));
        }
        world->first_error = 0;
        story_reopen(story);
        return;
    }
    world_must(world, error, "step");
}

void story_close_volumes(struct story *story)
{
    story_drain(story);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (story->world.volumes[v] != NULL) {
            story_settle(story, world_volume_close(&story->world, v));
        }
    }
}

/* ---- I/O ---- */

static void change(struct story *story, enum world_kind kind, unsigned flags)
{
    unsigned volume;
    uint64_t sector, count;
    story_drain(story);
    volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (volume == MODEL_NONE) {
        return;
    }
    any_range(story, volume, &sector, &count);
    story_settle(story, world_io(&story->world, kind, volume, sector, count, flags));
}

void story_write(struct story *story)
{
    change(story, story_pick(story, 5) == 0 ? WORLD_READ : WORLD_WRITE,
           world_io_flags(&story->world));
}

void story_discard(struct story *story)
{
    change(story, story_pick(story, 2) == 0 ? WORLD_DISCARD : WORLD_ZERO, 0);
}

/* Up to eight requests, some of which may still be in flight afterwards. */
void story_burst(struct story *story)
{
    static const enum world_kind kinds[] = {WORLD_WRITE, WORLD_WRITE,   WORLD_WRITE, WORLD_WRITE,
                                            WORLD_READ,  WORLD_DISCARD, WORLD_ZERO,  WORLD_FLUSH};
    struct world *world = &story->world;
    unsigned requests = 1 + story_pick(story, 8);
    int error = 0;
    if (world->queue == NULL) {
        must(world, world_queue_open(world));
    }
    for (unsigned i = 0; i < requests && error == 0; i++) {
        enum world_kind kind = kinds[story_pick(story, 8)];
        unsigned volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
        uint64_t sector = 0, count = 0;
        if (volume == MODEL_NONE) {
            return;
        }
        if (kind != WORLD_FLUSH) {
            any_range(story, volume, &sector, &count);
        }
        error = world_submit(world, kind, volume, sector, count, world_io_flags(world));
    }
    story_settle(story, error);
}

void story_flush(struct story *story)
{
    unsigned volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (volume != MODEL_NONE) {
        story_settle(story, world_flush(&story->world, volume));
    }
}

void story_resize(struct story *story)
{
    unsigned volume;
    story_drain(story);
    volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (volume != MODEL_NONE) {
        uint64_t pages = 1 + story_pick(story, story->pages_max);
        story_settle(story, world_volume_resize(&story->world, volume, pages));
    }
}

void story_checkpoint(struct story *story)
{
    story_settle(story, world_checkpoint(&story->world));
}

void story_time(struct story *story)
{
    det_env_advance(&story->world.env, (uint64_t)story_pick(story, 3000) * 1000000u);
    story_settle(story, world_maintain(&story->world));
}
