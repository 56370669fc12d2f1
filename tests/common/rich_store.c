/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/rich_store.c - see rich_store.h.
 */
#include "common/rich_store.h"

#include "common/harness.h"
#include "common/world_snapshot.h"

#include <string.h>

#define ALLOCATION_MAX (64u << 20)

#define CLONE_PAGES 520u /* beyond 512 pages a tree has two levels */
#define CLONE_FAR_PAGE 515u
#define PLAIN_PAGES 36u         /* more than 32: which of them live is told by a bitmap */
#define DISCARDS_THAT_FILL 255u /* each takes two of an extent's 511 slots */
#define DISCARDS_ALONE 212u     /* a batch each: extents use up their 63 batches */

/* A snapshot, deleted since, that has two volumes, so stays; one has a tree of two levels. */
static void branch(struct rich_store *rich)
{
    struct world *world = &rich->world;
    unsigned c = rich->volumes[2], deleted;
    must(world, world_volume_open(world, c));
    must(world, world_write_pages(world, c, 0, 5));
    must(world, world_io(world, WORLD_DISCARD, c, 4 * 8, 8, 0));
    must(world, world_snapshot_create(world, c, 0, &deleted));
    must(world, world_snapshot_restore(world, deleted, WORLD_OWN_KEY, &rich->clone));
    must(world, world_volume_open(world, rich->clone));
    must(world, world_volume_resize(world, rich->clone, CLONE_PAGES));
    must(world, world_write_pages(world, rich->clone, 2, 1));
    must(world, world_write_pages(world, rich->clone, CLONE_FAR_PAGE, 1));
    must(world, world_volume_close(world, rich->clone));
    must(world, world_write_pages(world, c, 1, 2));
    must(world, world_snapshot_delete(world, deleted));
}

/* One batch of three volumes, and an extent that closes because it is full, so has a summary. */
static void fill_extent(struct rich_store *rich)
{
    struct world *world = &rich->world;
    must(world, world_queue_open(world));
    for (unsigned i = 0; i < 3; i++) {
        must(world, world_submit(world, WORLD_WRITE, rich->volumes[i], 8 * 8, 2 * 8, 0));
    }
    for (uint64_t i = 0; i < DISCARDS_THAT_FILL; i++) {
        must(world, world_submit(world, WORLD_DISCARD, rich->volumes[0], (28 + i % 16) * 8, 8, 0));
    }
    must(world, world_drain(world));
    world_queue_close(world);
}

/* What checkpoints took, and a tail behind them. */
static void live_first(struct rich_store *rich)
{
    struct world *world = &rich->world;
    unsigned a = rich->volumes[0], b = rich->volumes[1], c = rich->volumes[2];
    branch(rich);
    must(world, world_volume_open(world, a));
    must(world, world_write_pages(world, a, 0, 8));
    must(world, world_io(world, WORLD_DISCARD, a, 6 * 8, 8, 0));
    must(world, world_snapshot_create(world, a, 0, &rich->snapshot));
    must(world, world_tags_set(world, rich->snapshot));
    must(world, world_tags_set(world, a));
    must(world, world_write_pages(world, a, 4, 2));
    must(world, world_volume_open(world, b));
    must(world, world_write_pages(world, b, 0, PLAIN_PAGES));
    must(world, world_io(world, WORLD_DISCARD, b, 8, 8, 0));
    must(world, world_tags_set(world, b));
    must(world, world_checkpoint(world));
    must(world, world_write_pages(world, b, 3, 2));
    must(world, world_write_pages(world, c, 3, 2));
    fill_extent(rich);
    must(world, world_write_pages(world, a, 7, 2));
    must(world, world_write_pages(world, c, 12, 1));
    must(world, world_flush(world, c));
}

/* Up to the segment's footer, and on in the next: batches without a page, and some with many. */
static void fill_segment(struct world *world, unsigned a, unsigned b)
{
    for (uint64_t i = 0; i < DISCARDS_ALONE; i++) {
        must(world, world_io(world, WORLD_DISCARD, a, (28 + i % 16) * 8, 3 * 8, 0));
    }
    must(world, world_write_pages(world, a, 10, 17));
    must(world, world_flush(world, a));
    must(world, world_write_pages(world, b, 10, 8));
    must(world, world_flush(world, a));
}

static void write_singly(struct world *world, unsigned a)
{
    for (uint64_t i = 0; i < 70; i++) { /* an extent closes at its 65th batch */
        must(world, world_write_pages(world, a, 20 + i % 20, 1));
        must(world, world_flush(world, a));
    }
}

/* Opened again after a crash, all but one volume, whose tail stays of the session before. The lane
 * begins in a fresh segment; the last batches were not flushed. */
static void live_second(struct rich_store *rich, enum rich_tail tail)
{
    struct world *world = &rich->world;
    unsigned a = rich->volumes[0], b = rich->volumes[1];
    must(world, world_open(world));
    must(world, world_recipient_set(world, rich->snapshot, 2, true));
    must(world, world_volume_open(world, a));
    must(world, world_volume_open(world, b));
    must(world, world_write_pages(world, a, 2, 2));
    must(world, world_write_pages(world, b, 4, 2));
    must(world, world_io(world, WORLD_WRITE, a, 3 * 8 + 3, 7, 0));
    must(world, world_io(world, WORLD_DISCARD, b, 5 * 8, 8, 0));
    if (tail == RICH_TAIL_FOOTER) {
        fill_segment(world, a, b);
    } else {
        write_singly(world, a);
    }
    must(world, world_write_pages(world, a, 24, 1));
    must(world, world_write_pages(world, b, 2, 2));
    must(world, world_flush(world, b));
    must(world, world_write_pages(world, a, 26, 2));
}

void rich_store_make(struct rich_store *rich, uint64_t seed, enum rich_tail tail)
{
    struct world *world = &rich->world;
    struct world_options options;
    memset(rich, 0, sizeof *rich);
    memset(&options, 0, sizeof options);
    options.seed = seed;
    options.disk.record = true;
    options.disk.delay_polls_max = 200; /* slow, so that batches gather requests */
    world_init(world, &options);
    must(world, world_create(world));
    must(world, world_open(world));
    must(world, world_volume_create(world, RICH_PAGES, RICH_PAGES, true, &rich->volumes[0]));
    must(world, world_volume_create(world, PLAIN_PAGES, PLAIN_PAGES, false, &rich->volumes[1]));
    must(world, world_volume_create(world, 16, CLONE_PAGES, true, &rich->volumes[2]));
    live_first(rich);
    world_crash(world);
    live_second(rich, tail);
    rich->event = sim_disk_events(world->disk);
    rich->image = sim_disk_image_at(world->disk, rich->event, SIM_CUT_ALL, seed);
    world_crash(world);
    world->options.disk.delay_polls_max = 0;
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
