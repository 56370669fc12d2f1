/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/forks.c - parts of a fork of the store put into the store.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"

#include <string.h>

/* The fork's image after it wrote other data under the same extent numbers. */
static struct sim_image *make_fork(struct model *forked)
{
    struct world fork_world;
    struct model_seen seen;
    struct sim_image *image;
    world_init_on(&fork_world, &forgery.rich.world, forgery.rich.image, forgery.next_incarnation++,
                  true);
    must(&fork_world, world_open(&fork_world));
    world_look(&fork_world, &seen);
    model_fork(forked, forgery.rich.world.model, &seen);
    model_seen_done(&seen);
    forked->op_next += 100000; /* no tag of the fork is one of ours */
    forked->op_base = forked->op_next;
    fork_world.model = forked;
    must(&fork_world, world_write_pages(&fork_world, forgery.rich.volumes[0], 0, RICH_PAGES));
    must(&fork_world, world_flush(&fork_world, forgery.rich.volumes[0]));
    must(&fork_world, world_checkpoint(&fork_world));
    must(&fork_world, world_write_pages(&fork_world, forgery.rich.volumes[0], 10, 8));
    must(&fork_world, world_flush(&fork_world, forgery.rich.volumes[0]));
    image = sim_disk_image_at(fork_world.disk, sim_disk_events(fork_world.disk), SIM_CUT_ALL, 1);
    world_crash(&fork_world);
    world_done(&fork_world);
    return image;
}

/* Our store goes on, too: both now own the same extent numbers. */
static struct sim_image *go_on_ourselves(void)
{
    struct world *world = &forgery.rich.world;
    struct model_seen seen;
    struct sim_image *image;
    world_replace_disk(world, forgery.rich.image);
    must(world, world_open(world));
    world_look(world, &seen);
    model_rebase(world->model, &seen, 0);
    model_seen_done(&seen);
    must(world, world_write_pages(world, forgery.rich.volumes[0], 0, RICH_PAGES));
    must(world, world_flush(world, forgery.rich.volumes[0]));
    must(world, world_checkpoint(world));
    must(world, world_write_pages(world, forgery.rich.volumes[0], 10, 8));
    must(world, world_flush(world, forgery.rich.volumes[0]));
    forgery.rich.event = sim_disk_events(world->disk);
    image = sim_disk_image_at(world->disk, forgery.rich.event, SIM_CUT_ALL, 1);
    world_crash(world);
    return image;
}

/* Whatever lies at the same place in the fork, put into ours: data segments whole, or the trees'
 * pointers one by one (the blocks they lead to are put there, too). */
static void graft_fork(uint64_t number, const struct sim_image *other,
                       const struct forge_map *other_map)
{
    struct attack attack;
    struct cof_root root = forgery.rich.map.root;
    attack_begin(&attack, "graft_fork", number);
    for (uint32_t segment = 1; segment < sim_image_segment_count(other); segment++) {
        bool take = number >= 3 || prng_chance(&forgery.prng, 1, 2);
        for (uint32_t block = 0; take && block < sim_image_blocks(other, segment); block++) {
            bool ours = sim_image_block(forgery.rich.image, segment, block) != NULL;
            if (sim_image_block(other, segment, block) != NULL && (number % 2 == 0 || !ours)) {
                sim_image_put(attack.image, segment, block, sim_image_block(other, segment, block));
            }
        }
    }
    switch (number % 3) {
    case 0:
        root.placement = other_map->root.placement;
        break;
    case 1:
        root.catalogue = other_map->root.catalogue;
        break;
    default:
        root.segments = other_map->root.segments;
        memcpy(root.lanes, other_map->root.lanes, sizeof root.lanes);
        memcpy(root.session, other_map->root.session, sizeof root.session);
        break;
    }
    forge_root_put(attack.image, &root);
    attack_conclude(&attack);
}

void graft_forks(uint64_t rounds)
{
    struct model forked;
    struct forge_map other_map;
    struct sim_image *other, *ours;
    harness_context("forgery --attack graft_fork");
    other = make_fork(&forked);
    model_done(&forked);
    ours = go_on_ourselves();
    sim_image_free(forgery.rich.image);
    forge_map_done(&forgery.rich.map);
    forgery.rich.image = ours;
    forge_map_init(&forgery.rich.map, ours);
    forge_map_init(&other_map, other);
    for (uint64_t i = 0; i < rounds; i++) {
        graft_fork(i, other, &other_map);
    }
    forge_map_done(&other_map);
    sim_image_free(other);
}
