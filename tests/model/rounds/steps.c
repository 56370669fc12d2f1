/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/rounds/steps.c - what a round is made of.
 */
#include "common/harness.h"
#include "rounds.h"

#include <string.h>

#define PROBES 60u

static bool is_kind(const struct rounds *rounds, unsigned node, enum rounds_node kind)
{
    const struct model_volume *volume = &rounds->world.model->volumes[node];
    bool there = model_wanted(volume) && !volume->gone && volume->create_done != MODEL_NEVER;
    if (kind == ROUNDS_SNAPSHOT) {
        return there && volume->snapshot;
    }
    return there && !volume->snapshot && rounds->world.volumes[node] != NULL &&
           (kind == ROUNDS_OPEN || volume->parent != MODEL_NONE);
}

unsigned rounds_any(struct rounds *rounds, enum rounds_node kind)
{
    unsigned found = MODEL_NONE, count = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (is_kind(rounds, v, kind) && rounds_pick(rounds, ++count) == 0) {
            found = v;
        }
    }
    return found;
}

unsigned rounds_count(const struct rounds *rounds, enum rounds_node kind)
{
    unsigned count = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        count += is_kind(rounds, v, kind) ? 1u : 0u;
    }
    return count;
}

struct coffer_store_info rounds_info(const struct rounds *rounds)
{
    struct coffer_store_info info = {.size = sizeof info};
    harness_require(coffer_store_info_get(rounds->world.store, &info) == 0, "no info");
    return info;
}

int rounds_settle(struct rounds *rounds, int error, const char *what)
{
    static uint64_t before;
    struct world *world = &rounds->world;
    if (world->disk != NULL) {
        uint64_t now = sim_disk_calls(world->disk, SIM_CALL_ANY);
        if (now > before && now - before > rounds_counts.requests_max) {
            rounds_counts.requests_max = now - before;
        }
        before = now;
        sim_disk_allow(world->disk, ROUNDS_REQUESTS_MAX);
    }
    if (error == 0) {
        error = world->first_error;
    }
    world->first_error = 0;
    if (error == COFFER_E_NO_SPACE) {
        harness_require(world->fault.error == error, "%s: NO_SPACE without a fault", what);
        rounds_counts.refused++;
    } else {
        world_must(world, error, what);
    }
    return error;
}

/* ---- nodes ---- */

void rounds_new_volume(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    unsigned volume;
    rounds_must(rounds, world_volume_create(world, rounds->volume_pages, rounds->volume_pages,
                                            rounds_pick(rounds, 2) == 0, &volume));
    rounds_must(rounds, world_volume_open(world, volume));
    rounds->own_from[volume] = world->model->op_next;
}

int rounds_snapshot(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    unsigned volume = rounds_any(rounds, ROUNDS_OPEN), snapshot;
    int error;
    if (volume == MODEL_NONE || rounds_count(rounds, ROUNDS_SNAPSHOT) >= ROUNDS_SNAPSHOTS_MAX) {
        return 0;
    }
    error = rounds_settle(rounds, world_snapshot_create(world, volume, rounds->labels++, &snapshot),
                          "snapshot");
    rounds->own_from[volume] = world->model->op_next;
    rounds_counts.snapshots += error == 0 ? 1u : 0u;
    return error;
}

int rounds_clone(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    unsigned snapshot = rounds_any(rounds, ROUNDS_SNAPSHOT), volume;
    int error;
    if (snapshot == MODEL_NONE || rounds_count(rounds, ROUNDS_CLONE) >= ROUNDS_CLONES_MAX) {
        return 0;
    }
    error = rounds_settle(rounds, world_snapshot_restore(world, snapshot, WORLD_OWN_KEY, &volume),
                          "clone");
    if (error == 0) {
        rounds->own_from[volume] = world->model->op_next;
        rounds_must(rounds, world_volume_open(world, volume));
        rounds_counts.clones++;
    }
    return error;
}

void rounds_delete_snapshot(struct rounds *rounds)
{
    unsigned snapshot = rounds_any(rounds, ROUNDS_SNAPSHOT);
    if (snapshot != MODEL_NONE) {
        rounds_must(rounds, world_snapshot_delete(&rounds->world, snapshot));
        rounds_counts.deleted++;
    }
}

void rounds_delete_volume(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    unsigned volume = rounds_any(rounds, ROUNDS_CLONE);
    bool clone = volume != MODEL_NONE;
    volume = clone ? volume : rounds_any(rounds, ROUNDS_OPEN);
    if (volume != MODEL_NONE) {
        rounds_must(rounds, world_volume_close(world, volume));
        rounds_must(rounds, world_volume_delete(world, volume));
        rounds_counts.deleted++;
    }
    if (rounds_count(rounds, ROUNDS_OPEN) < ROUNDS_VOLUMES) {
        rounds_new_volume(rounds);
    }
}

/* ---- places ---- */

static bool is_new(const struct rounds *rounds, unsigned volume, uint64_t page)
{
    uint64_t id;
    return model_page_known(rounds->world.model, volume, page, &id) && id == 0;
}

static bool is_private(const struct rounds *rounds, unsigned volume, uint64_t page)
{
    uint64_t id;
    return model_page_known(rounds->world.model, volume, page, &id) && id != 0 &&
           id >= rounds->own_from[volume];
}

static uint32_t find(struct rounds *rounds, uint32_t most,
                     bool (*fits)(const struct rounds *, unsigned, uint64_t), unsigned *ret_volume,
                     uint64_t *ret_page)
{
    for (unsigned probe = 0; probe < PROBES; probe++) {
        unsigned volume = rounds_any(rounds, ROUNDS_OPEN);
        uint64_t page = rounds_pick(rounds, rounds->volume_pages);
        uint32_t count = 0;
        while (count < most && page + count < rounds->volume_pages &&
               fits(rounds, volume, page + count)) {
            count++;
        }
        if (count > 0) {
            *ret_volume = volume;
            *ret_page = page;
            return count;
        }
    }
    return 0;
}

uint32_t rounds_find_new(struct rounds *rounds, uint32_t most, unsigned *ret_volume,
                         uint64_t *ret_page)
{
    return find(rounds, most, is_new, ret_volume, ret_page);
}

uint32_t rounds_find_private(struct rounds *rounds, uint32_t most, unsigned *ret_volume,
                             uint64_t *ret_page)
{
    return find(rounds, most, is_private, ret_volume, ret_page);
}
