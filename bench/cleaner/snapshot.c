/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/snapshot.c - the maps of the volume and of its snapshots: who may kill what (the cuts),
 * the birth of a snapshot, and what dies with the oldest.
 */
#include "cleaner/sim.h"

#include <string.h>

static uint64_t nodes_of(const struct sim *sim, unsigned level)
{
    uint64_t count = sim->pages;
    for (unsigned i = 0; i <= level; i++) {
        count = (count + SIM_FANOUT - 1u) / SIM_FANOUT;
    }
    return count;
}

static void map_new(const struct sim *sim, struct sim_map *map)
{
    map->pages = sim_alloc(sim->pages, sizeof *map->pages);
    for (unsigned level = 0; level < sim->levels; level++) {
        map->nodes[level] = sim_alloc(nodes_of(sim, level), sizeof **map->nodes);
    }
}

static void map_free(struct sim_map *map)
{
    free(map->pages);
    for (unsigned level = 0; level < SIM_LEVELS_MAX; level++) {
        free(map->nodes[level]);
    }
    memset(map, 0, sizeof *map);
}

void sim_map_init(struct sim *sim)
{
    sim->levels = 1;
    while (nodes_of(sim, sim->levels - 1u) > 1u) {
        sim->levels++;
    }
    SIM_CHECK(sim->levels <= SIM_LEVELS_MAX, "a map of %u levels", sim->levels);
    map_new(sim, &sim->head);
    sim->current = sim_alloc(sim->pages, sizeof *sim->current);
    sim->dirty_bits = sim_alloc(sim->pages / 64u + 1u, sizeof *sim->dirty_bits);
    sim->leaf_bits = sim_alloc(nodes_of(sim, 0) / 64u + 1u, sizeof *sim->leaf_bits);
}

void sim_map_done(struct sim *sim)
{
    map_free(&sim->head);
    for (unsigned i = 0; i < sim->snapshot_count; i++) {
        map_free(&sim->snapshots[i]);
    }
    free(sim->current);
    free(sim->dirty_bits);
    free(sim->leaf_bits);
    free(sim->delta.items);
    free(sim->frozen_delta.items);
    free(sim->kills.items);
    free(sim->frozen_kills.items);
    free(sim->unsettled.items);
    free(sim->frozen_unsettled.items);
}

/* The volume lets go of an address: it dies unless an ancestor holds it. */
void sim_map_kill(struct sim *sim, uint64_t address, struct sim_list *kills)
{
    uint32_t extent = (uint32_t)(address >> 9), cut = 0;
    bool meta = sim->extents[extent]->meta;
    if (sim->snapshot_count > 0) {
        const struct sim_map *parent = &sim->snapshots[sim->snapshot_count - 1u];
        cut = meta ? parent->node_cut : parent->cut;
    }
    if (sim->cutting && !meta) {
        cut = sim->head.cut;
    }
    if (extent > cut) {
        sim_list_add(kills, address);
    }
}

/* A leaf is written anew; its parents will be, by sim_map_parents. */
void sim_map_leaf(struct sim *sim, uint64_t leaf, struct sim_list *kills)
{
    uint64_t index = leaf;
    for (unsigned level = 0; level < sim->levels; level++) {
        uint64_t *node = &sim->head.nodes[level][index];
        if (*node != 0) {
            sim_map_kill(sim, *node, kills);
            *node = 0;
        }
        index /= SIM_FANOUT;
    }
    sim->head.nodes[0][leaf] = sim_meta_node(sim);
}

static bool has_child(const struct sim *sim, unsigned level, uint64_t index)
{
    uint64_t end = (index + 1u) * SIM_FANOUT, count = nodes_of(sim, level - 1u);
    for (uint64_t child = index * SIM_FANOUT; child < end && child < count; child++) {
        if (sim->head.nodes[level - 1u][child] != 0) {
            return true;
        }
    }
    return false;
}

void sim_map_parents(struct sim *sim, struct sim_list *kills)
{
    (void)kills;
    for (unsigned level = 1; level < sim->levels; level++) {
        uint64_t count = nodes_of(sim, level);
        for (uint64_t index = 0; index < count; index++) {
            if (sim->head.nodes[level][index] == 0 && has_child(sim, level, index)) {
                sim->head.nodes[level][index] = sim_meta_node(sim);
            }
        }
    }
}

void sim_snapshot_born(struct sim *sim)
{
    struct sim_map *map;
    SIM_CHECK(sim->snapshot_count < SIM_SNAPSHOTS_MAX, "too many snapshots");
    map = &sim->snapshots[sim->snapshot_count++];
    map_new(sim, map);
    memcpy(map->pages, sim->head.pages, sim->pages * sizeof *map->pages);
    for (unsigned level = 0; level < sim->levels; level++) {
        memcpy(map->nodes[level], sim->head.nodes[level],
               nodes_of(sim, level) * sizeof **map->nodes);
    }
    map->cut = sim->head.cut;
    map->node_cut = sim->head.node_cut;
}

static void kill_differences(struct sim *sim, const uint64_t *mine, const uint64_t *child,
                             uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (mine[i] != 0 && mine[i] != child[i]) {
            sim_list_add(&sim->frozen_kills, mine[i]);
        }
    }
}

/* What neither its only child nor (having none) a parent holds dies, in a root of its own. */
void sim_snapshot_delete_oldest(struct sim *sim)
{
    struct sim_map *oldest = &sim->snapshots[0], *child;
    if (sim->running || sim->snapshot_count == 1u) {
        sim_checkpoint_run(sim); /* the child's tree is compared, not its log */
    }
    child = sim->snapshot_count > 1u ? &sim->snapshots[1] : &sim->head;
    kill_differences(sim, oldest->pages, child->pages, sim->pages);
    for (unsigned level = 0; level < sim->levels; level++) {
        kill_differences(sim, oldest->nodes[level], child->nodes[level], nodes_of(sim, level));
    }
    map_free(oldest);
    sim->snapshot_count--;
    memmove(&sim->snapshots[0], &sim->snapshots[1], sim->snapshot_count * sizeof *oldest);
    memset(&sim->snapshots[sim->snapshot_count], 0, sizeof *oldest);
    sim_checkpoint_light(sim);
}
