/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/rich_store.c - see rich_store.h.
 */
#include "common/rich_store.h"

#include "common/harness.h"
#include "common/world_snapshot.h"

#include <string.h>

#define ALLOCATION_MAX (64u << 20)

/* A snapshot that has a volume after it; and one, deleted since, that has two, so stays. */
static void branch(struct rich_store *rich)
{
    struct world *world = &rich->world;
    unsigned a = rich->volumes[0], c = rich->volumes[2], deleted;
    must(world, world_snapshot_create(world, a, 0, &rich->snapshot));
    must(world, world_write_pages(world, a, 60, 4));
    must(world, world_snapshot_create(world, c, 0, &deleted));
    must(world, world_snapshot_restore(world, deleted, WORLD_OWN_KEY, &rich->clone));
    must(world, world_volume_open(world, rich->clone));
    must(world, world_write_pages(world, rich->clone, 2, 3));
    must(world, world_volume_close(world, rich->clone));
    must(world, world_write_pages(world, c, 4, 2));
    must(world, world_snapshot_delete(world, deleted));
}

static void fill_store(struct rich_store *rich)
{
    struct world *world = &rich->world;
    unsigned a = rich->volumes[0], b = rich->volumes[1], c = rich->volumes[2];
    for (uint64_t page = 0; page < 260; page += 20) {
        must(world, world_write_pages(world, a, page, 20));
    }
    must(world, world_write_pages(world, b, 3, 20));
    must(world, world_write_pages(world, c, 0, 9));
    must(world, world_io(world, WORLD_DISCARD, a, 100 * 8, 20 * 8, 0));
    must(world, world_checkpoint(world));
    branch(rich);
    must(world, world_write_pages(world, a, 40, 6));
    must(world, world_write_pages(world, c, 5, 9));
    must(world, world_flush(world, a));
    must(world, world_checkpoint(world));
    must(world, world_volume_close(world, c));
    must(world, world_write_pages(world, a, 10, 3));
    must(world, world_write_pages(world, b, 0, 6));
    must(world, world_flush(world, a));
    must(world, world_io(world, WORLD_WRITE, a, 12 * 8 + 3, 7, 0));
    must(world, world_io(world, WORLD_DISCARD, a, 44 * 8, 3 * 8, 0));
    must(world, world_flush(world, a));
    for (uint64_t page = 150; page < 220; page++) { /* an extent closes at its 65th batch */
        must(world, world_write_pages(world, a, page, 1));
        must(world, world_flush(world, a));
    }
    must(world, world_write_pages(world, a, 20, 2));
    must(world, world_write_pages(world, b, 2, 2));
    must(world, world_flush(world, b));
    must(world, world_write_pages(world, a, 30, 2));
}

void rich_store_make(struct rich_store *rich, uint64_t seed)
{
    struct world *world = &rich->world;
    struct world_options options;
    memset(rich, 0, sizeof *rich);
    memset(&options, 0, sizeof options);
    options.seed = seed;
    options.disk.record = true;
    world_init(world, &options);
    must(world, world_create(world));
    must(world, world_open(world));
    must(world, world_volume_create(world, 320, 320, true, &rich->volumes[0]));
    must(world, world_volume_create(world, 64, 64, false, &rich->volumes[1]));
    must(world, world_volume_create(world, 64, 64, true, &rich->volumes[2]));
    for (unsigned i = 0; i < 3; i++) {
        must(world, world_volume_open(world, rich->volumes[i]));
    }
    fill_store(rich);
    rich->event = sim_disk_events(world->disk);
    rich->image = sim_disk_image_at(world->disk, rich->event, SIM_CUT_ALL, seed);
    world_crash(world);
    forge_map_init(&rich->map, rich->image);
}

void rich_store_done(struct rich_store *rich)
{
    forge_map_done(&rich->map);
    sim_image_free(rich->image);
    world_done(&rich->world);
}

/* Each volume by itself: the others count as not there. */
static void judge_each(const struct rich_store *rich, const struct model_seen *seen)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        struct model_seen alone;
        memset(&alone, 0, sizeof alone);
        alone.volumes[v] = seen->volumes[v];
        if (alone.volumes[v].there) {
            model_check_prefix(rich->world.model, &alone, 0, false);
        }
    }
}

int rich_store_judge(const struct rich_store *rich, const struct sim_image *image, bool forged,
                     uint64_t incarnation, uint64_t *ret_refused)
{
    struct world world;
    struct model_seen seen;
    int error;
    world_init_on(&world, &rich->world, image, incarnation, false);
    world.open_flags = incarnation % 2 == 0 ? COFFER_OPEN_READ_ONLY : 0u;
    *ret_refused = 1;
    error = world_open(&world);
    if (error == 0) {
        world_look_damaged(&world, forged, &seen, ret_refused);
        if (forged) {
            judge_each(rich, &seen);
        } else {
            model_check_volumes(world.model, &seen, rich->event);
            model_check_prefix(world.model, &seen, rich->event, false);
        }
        model_seen_done(&seen);
        world_crash(&world);
    } else {
        harness_require(world_says_damage(error, forged), "open of a damaged store: %s: %s",
                        coffer_error_name(error), world.fault.detail);
    }
    harness_require(world.env.largest_bytes <= ALLOCATION_MAX,
                    "damage made the engine ask for %llu bytes",
                    (unsigned long long)world.env.largest_bytes);
    world_done(&world);
    return error;
}
