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

#define STEP_PAGES 512u                  /* looked up at a time */
#define STEP_ENTRIES (UINT64_C(1) << 12) /* of deltas, walked at a time: a shard at least */

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

/* The smaller of best and the first page >= from with data of which the shard has an entry. */
static uint64_t walk_shard(struct coffer_volume *volume, const struct cof_delta_shard *shard,
                           uint64_t from, uint64_t best)
{
    for (uint64_t at = 0; at < shard->capacity; at++) {
        const struct cof_delta_entry *entry = &shard->entries[at];
        if (!cof_vaddr_zero(entry->addr) && cof_delta_key_level(entry->key) == 0 &&
            entry->key >= from && entry->key < best && is_data(volume, entry->key)) {
            best = entry->key;
        }
    }
    return best;
}

static int walk_deltas(struct coffer_volume *volume, uint64_t from, uint64_t *ret_page)
{
    uint64_t best = UINT64_MAX, walked = 0;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < COF_DELTA_SHARDS; i++) {
        best = walk_shard(volume, &volume->active.shards[i], from, best);
        walked += volume->active.shards[i].capacity;
        if (volume->has_frozen) {
            best = walk_shard(volume, &volume->frozen.shards[i], from, best);
            walked += volume->frozen.shards[i].capacity;
        }
        if (walked >= STEP_ENTRIES) {
            walked = 0;
            err = let_others_in(volume);
        }
    }
    *ret_page = best;
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
