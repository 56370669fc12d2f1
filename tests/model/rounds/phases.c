/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/rounds/phases.c - the phases of a round.
 *
 * Invariant: at its end a phase has nothing in flight.
 */
#include "common/harness.h"
#include "rounds.h"
#include "volume/store.h"

#include <stdio.h>

#define REFUSALS 3u /* in a row, of one new page each: then the store is full */
#define FILL_STEPS_MAX 200000u

/* ---- filling ---- */

static int write_new(struct rounds *rounds, uint32_t most, bool queued)
{
    struct world *world = &rounds->world;
    unsigned volume;
    uint64_t page;
    uint32_t count = rounds_find_new(rounds, most, &volume, &page);
    int error;
    harness_require(count > 0, "no new page was found"); /* volumes are larger than the store */
    error = queued ? world_submit(world, WORLD_WRITE, volume, page * MODEL_SECTORS,
                                  (uint64_t)count * MODEL_SECTORS, 0)
                   : world_write_pages(world, volume, page, count);
    error = rounds_settle(rounds, error, "write");
    rounds_counts.written += error == 0 ? count : 0u;
    return error;
}

/* What is there is written over, whoever else holds it. */
static int write_over(struct rounds *rounds, uint32_t most)
{
    unsigned volume = rounds_any(rounds, ROUNDS_OPEN);
    uint32_t count = 1 + rounds_pick(rounds, most);
    uint64_t page = rounds_pick(rounds, rounds->volume_pages - count + 1);
    rounds_counts.written += count;
    return rounds_settle(rounds, world_write_pages(&rounds->world, volume, page, count), "write");
}

static int fill_step(struct rounds *rounds, uint32_t most, bool queued)
{
    uint32_t drawn = rounds_pick(rounds, 64);
    int error;
    if (drawn >= 20) {
        return write_new(rounds, 1 + rounds_pick(rounds, most), queued);
    }
    error = rounds_settle(rounds, world_drain(&rounds->world), "drain");
    if (error != 0) {
        return error;
    }
    if (drawn == 0) {
        return rounds_snapshot(rounds);
    }
    if (drawn == 1) {
        return rounds_clone(rounds);
    }
    return write_over(rounds, most);
}

void rounds_fill(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    bool queued = rounds_pick(rounds, 2) == 0;
    uint32_t most = ROUNDS_RUN_MAX;
    unsigned refused = 0;
    if (queued) {
        rounds_must(rounds, world_queue_open(world));
    }
    for (unsigned step = 0; refused < REFUSALS; step++) {
        int error;
        harness_require(step < FILL_STEPS_MAX, "the store is never full");
        if (most > 1) {
            error = fill_step(rounds, most, queued);
            most = error != 0 ? most / 2 : most;
        } else {
            (void)rounds_settle(rounds, world_drain(world), "drain");
            error = write_new(rounds, 1, false);
            refused = error != 0 ? refused + 1 : 0;
        }
    }
    (void)rounds_settle(rounds, world_drain(world), "drain");
    world_queue_close(world);
}

/* ---- at 100 % ---- */

static void read_some(struct rounds *rounds)
{
    unsigned volume = rounds_any(rounds, ROUNDS_OPEN);
    uint64_t count = 1 + rounds_pick(rounds, 64);
    uint64_t page = rounds_pick(rounds, rounds->volume_pages - (uint32_t)count + 1);
    rounds_must(rounds, world_io(&rounds->world, WORLD_READ, volume, page * MODEL_SECTORS,
                                 count * MODEL_SECTORS, 0));
}

static void overwrite_some(struct rounds *rounds)
{
    unsigned volume;
    uint64_t page;
    uint32_t count = rounds_find_private(rounds, 1 + rounds_pick(rounds, 16), &volume, &page);
    if (count > 0) {
        rounds_must(rounds, world_write_pages(&rounds->world, volume, page, count));
        rounds_counts.overwritten += count;
    }
}

static void discard_some(struct rounds *rounds, uint32_t most)
{
    unsigned volume = rounds_any(rounds, ROUNDS_OPEN);
    uint64_t count = 1 + rounds_pick(rounds, most);
    uint64_t page = rounds_pick(rounds, rounds->volume_pages - (uint32_t)count + 1);
    rounds_must(rounds, world_io(&rounds->world, WORLD_DISCARD, volume, page * MODEL_SECTORS,
                                 count * MODEL_SECTORS, 0));
    rounds_counts.freed += count;
}

void rounds_at_full(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    unsigned open = rounds_any(rounds, ROUNDS_OPEN);
    uint32_t overwrites = 40 + rounds_pick(rounds, 200);
    for (uint32_t i = 0; i < overwrites; i++) {
        overwrite_some(rounds);
        if (i % 16 == 0) {
            read_some(rounds);
        }
    }
    rounds_must(rounds, world_flush(world, open));
    rounds_must(rounds, world_checkpoint(world));
    for (unsigned refused = 0, step = 0; refused < REFUSALS; step++) {
        harness_require(step < FILL_STEPS_MAX, "a full store takes new pages for ever");
        refused = write_new(rounds, 1, false) != 0 ? refused + 1 : 0;
    }
    if (rounds_pick(rounds, 3) == 0) {
        rounds_reopen(rounds, rounds_pick(rounds, 2) == 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        discard_some(rounds, 4);
        overwrite_some(rounds);
    }
    if (rounds_pick(rounds, 2) == 0) {
        rounds_delete_snapshot(rounds);
    }
}

/* ---- freeing ---- */

static void free_step(struct rounds *rounds)
{
    switch (rounds_pick(rounds, 8)) {
    case 0:
        rounds_delete_snapshot(rounds);
        break;
    case 1:
        rounds_delete_volume(rounds);
        break;
    case 2:
    case 3:
        discard_some(rounds, rounds->volume_pages / 4);
        break;
    default:
        discard_some(rounds, rounds->volume_pages / 64);
        break;
    }
}

void rounds_free(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    uint64_t percent = 30 + rounds_pick(rounds, 65);
    for (unsigned step = 0;; step++) {
        struct coffer_store_info info;
        if (step % 4 == 0) {
            rounds_must(rounds, world_checkpoint(world));
        }
        info = rounds_info(rounds);
        if (info.live_bytes <= info.capacity_bytes / 100 * percent) {
            break;
        }
        harness_require(step < 2000, "what is freed stays: %llu of %llu bytes live",
                        (unsigned long long)info.live_bytes,
                        (unsigned long long)info.capacity_bytes);
        free_step(rounds);
    }
    for (uint64_t room = rounds->capacity_bytes / COFFER_PAGE_BYTES / 40; room > 0;) {
        uint64_t before = rounds_counts.written;
        harness_require(write_new(rounds, (uint32_t)room, false) == 0,
                        "no room after space was freed");
        room -= rounds_counts.written - before;
    }
}

/* ---- looking ---- */

/* Looking costs what it costs. */
static void allow_all(const struct world *world)
{
    if (world->disk != NULL) {
        sim_disk_allow(world->disk, UINT64_MAX);
    }
}

static void judge(struct rounds *rounds, uint64_t event, bool killed)
{
    struct world *world = &rounds->world;
    struct model_seen seen;
    allow_all(world);
    world_look(world, &seen);
    model_check_volumes(world->model, &seen, event);
    model_check_prefix(world->model, &seen, event, killed);
    model_rebase(world->model, &seen, event);
    model_seen_done(&seen);
}

void rounds_reopen(struct rounds *rounds, bool crash)
{
    struct world *world = &rounds->world;
    uint64_t event;
    bool killed = false;
    if (crash && world->disk != NULL) {
        enum sim_variant variant = (enum sim_variant)rounds_pick(rounds, SIM_VARIANTS);
        struct sim_image *image;
        event = world_event(world);
        image = sim_disk_image_at(world->disk, event, variant, prng_next(&rounds->prng));
        killed = variant == SIM_CUT_KILL;
        world_tell(world, "cut: %s", sim_variant_name(variant));
        world_crash(world);
        world_replace_disk(world, image);
        sim_image_free(image);
        rounds_counts.crashes++;
    } else {
        rounds_must(rounds, world_close(world));
        event = world_event(world);
        det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
        rounds_counts.reopens++;
    }
    rounds_must(rounds, world_open(world));
    judge(rounds, event, killed);
}

static bool holds_pages(const struct model_volume *volume)
{
    return volume->used && (!volume->gone || volume->hidden);
}

/* Pages that differ, of all nodes: what must live, at the least. */
static uint64_t pages_held(const struct rounds *rounds)
{
    const struct model *model = rounds->world.model;
    uint64_t held = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        for (uint64_t page = 0; holds_pages(volume) && page < rounds->volume_pages; page++) {
            uint64_t id, other;
            bool first = model_page_known(model, v, page, &id) && id != 0;
            for (unsigned w = 0; first && w < v; w++) {
                first = !holds_pages(&model->volumes[w]) ||
                        model->volumes[w].salt != volume->salt ||
                        !model_page_known(model, w, page, &other) || other != id;
            }
            held += first ? 1u : 0u;
        }
    }
    return held;
}

/* check has found each segment's count right; so the sum must be. */
static void recount(struct rounds *rounds)
{
    struct coffer_store *store = rounds->world.store;
    struct coffer_store_info info = rounds_info(rounds);
    uint64_t live = 0, held = pages_held(rounds);
    uint64_t most = held + held / 50 + ROUNDS_ENTRIES_MAX * info.volume_count + 200;
    uint32_t free_segments = 0;
    for (uint32_t i = 0; i < store->segments.count; i++) {
        live += store->segments.table[i].live;
        free_segments += store->segments.table[i].state == COF_SEGMENT_FREE ? 1u : 0u;
    }
    harness_require(info.live_bytes == live * COFFER_PAGE_BYTES,
                    "%llu bytes are said to live, segments have %llu blocks",
                    (unsigned long long)info.live_bytes, (unsigned long long)live);
    harness_require(info.segments_free == free_segments, "%u segments are said to be free, not %u",
                    info.segments_free, free_segments);
    harness_require(live >= held && live <= most,
                    "%llu blocks live; volumes and snapshots hold %llu pages",
                    (unsigned long long)live, (unsigned long long)held);
}

void rounds_check(struct rounds *rounds, bool scrub)
{
    struct world *world = &rounds->world;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (world->volumes[v] != NULL) {
            rounds_must(rounds, world_volume_close(world, v));
        }
    }
    allow_all(world);
    must(world, world_check_store(world, scrub ? COFFER_CHECK_SCRUB : 0));
    recount(rounds);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &world->model->volumes[v];
        if (model_wanted(volume) && !volume->snapshot && !volume->gone) {
            rounds_must(rounds, world_volume_open(world, v));
        }
    }
}

void rounds_empty(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (world->volumes[v] != NULL) {
            rounds_must(rounds, world_volume_close(world, v));
            rounds_must(rounds, world_volume_delete(world, v));
        }
    }
    while (rounds_any(rounds, ROUNDS_SNAPSHOT) != MODEL_NONE) {
        rounds_delete_snapshot(rounds);
    }
    rounds_must(rounds, world_checkpoint(world));
    allow_all(world);
    must(world, world_check_store(world, COFFER_CHECK_SCRUB));
    recount(rounds);
}
