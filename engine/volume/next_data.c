/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/next_data.c - where a volume has data next: in its deltas, or in its tree.
 *
 * A delta has no order, and may have millions of entries: it is walked a few shards at a time, and
 * others have the store's lock between, so what was found may be old when it is looked at. Nothing
 * is passed over that is data all the while: an entry leaves its shard only for the same shard of
 * the frozen delta, which is walked with it, or for the tree, which is asked last. A page that is
 * written or discarded meanwhile may be found or not.
 */
#include "volume/store.h"

#include <sched.h>

#define STEP_PAGES 512u   /* looked up at a time */
#define STEP_PLACES 2048u /* of leaves, and pages, walked at a time: a shard at least */

static int let_others_in(struct coffer_volume *volume)
{
    pthread_mutex_unlock(&volume->store->lock);
    sched_yield();
    pthread_mutex_lock(&volume->store->lock);
    return cof_lease_over(volume) ? COFFER_E_INACCESSIBLE_CREDENTIALS : 0;
}

/* Later writes may have discarded the page, and whole subtrees with it. */
static bool is_data(struct coffer_volume *volume, uint64_t page)
{
    struct cof_vaddr addr;
    return cof_volume_lookup(volume, page, &addr) != 0 || !cof_vaddr_zero(addr);
}

struct walk {
    struct coffer_volume *volume;
    uint64_t from, best; /* the first page >= from with data that was met, or UINT64_MAX */
    uint64_t first;      /* of the leaf */
    uint64_t walked;     /* places */
};

static int walk_page(void *ctx, unsigned in_leaf, struct cof_vaddr addr)
{
    struct walk *walk = ctx;
    uint64_t page = walk->first + in_leaf;
    if (!cof_vaddr_zero(addr) && page >= walk->from && page < walk->best &&
        is_data(walk->volume, page)) {
        walk->best = page;
    }
    return 0;
}

static void walk_shard(struct walk *walk, const struct cof_delta_shard *shard)
{
    for (uint64_t at = 0; at < shard->leaf_capacity; at++) {
        const struct cof_dirty_leaf *leaf = &shard->leaves[at];
        walk->first = (uint64_t)leaf->index << COF_NODE_SHIFT;
        if (leaf->count != 0 && walk->first < walk->best &&
            walk->first + COF_NODE_FANOUT > walk->from) {
            (void)cof_dirty_each(leaf, walk_page, walk);
            walk->walked += leaf->count;
        }
    }
    walk->walked += shard->leaf_capacity;
}

static int walk_deltas(struct coffer_volume *volume, uint64_t from, uint64_t *ret_page)
{
    struct walk walk = {.volume = volume, .from = from, .best = UINT64_MAX};
    int err = 0;
    for (unsigned i = 0; err == 0 && i < COF_DELTA_SHARDS; i++) {
        walk_shard(&walk, &volume->active.shards[i]);
        if (volume->has_frozen) {
            walk_shard(&walk, &volume->frozen.shards[i]);
        }
        if (walk.walked >= STEP_PLACES) {
            walk.walked = 0;
            err = let_others_in(volume);
        }
    }
    *ret_page = walk.best;
    return err;
}

/* Move *page to the first of the next few that is data, or behind them. */
static int look(struct coffer_volume *volume, uint64_t *page, bool *ret_found)
{
    uint64_t last = *page < volume->size_pages && volume->size_pages - *page > STEP_PAGES
                        ? *page + STEP_PAGES
                        : volume->size_pages;
    int err = 0;
    for (*ret_found = false; *page < last; ++*page) {
        struct cof_vaddr addr;
        err = cof_volume_lookup(volume, *page, &addr);
        if (err != 0 || !cof_vaddr_zero(addr)) {
            *ret_found = err == 0;
            break;
        }
    }
    return err;
}

int cof_volume_next_data(struct coffer_volume *volume, uint64_t *page)
{
    uint64_t dirty = 0, tree;
    bool found = false;
    int err =
        cof_lease_over(volume) ? COFFER_E_INACCESSIBLE_CREDENTIALS : look(volume, page, &found);
    while (err == 0 && !found && *page < volume->size_pages) {
        err = dirty < *page ? walk_deltas(volume, *page, &dirty) : let_others_in(volume);
        tree = *page;
        if (err == 0) {
            err = cof_tree_next(&volume->tree, &volume->node_io, &tree);
        }
        if (err == 0) {
            *page = tree < dirty ? tree : dirty;
            err = look(volume, page, &found);
        }
    }
    return err;
}
