/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/check_map.c - maps against live bitmaps, both ways.
 *
 * Volume by volume it is noted what the trees refer to, in one table of all; at the end each live
 * page must be in it, and each that is in it must be live. Takes the store's lock.
 */
#include "volume/check.h"

#include <string.h>

static uint64_t seen_key(uint32_t lineage, uint64_t extent)
{
    return (uint64_t)lineage << COF_EXTENT_BITS | extent;
}

static struct cof_check_seen *seen_place(struct cof_check_seen *table, uint64_t capacity,
                                         uint64_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (capacity - 1u);
    while (table[at].key != 0 && table[at].key != key) {
        at = (at + 1u) & (capacity - 1u);
    }
    return &table[at];
}

static int seen_add(struct cof_check *check, struct cof_vaddr addr)
{
    struct cof_env *env = &check->store->env;
    struct cof_check_seen *place;
    uint64_t key = seen_key(cof_lineage_of(check->volume, addr), cof_vaddr_extent(addr));
    if (cof_vaddr_zero(addr)) {
        return 0;
    }
    if (check->seen_count * 2u >= check->seen_capacity) {
        uint64_t capacity = check->seen_capacity == 0 ? 1024u : check->seen_capacity * 2u;
        struct cof_check_seen *table = cof_calloc(env, capacity, sizeof *table);
        if (table == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        for (uint64_t i = 0; i < check->seen_capacity; i++) {
            if (check->seen[i].key != 0) {
                *seen_place(table, capacity, check->seen[i].key) = check->seen[i];
            }
        }
        cof_free(env, check->seen);
        check->seen = table;
        check->seen_capacity = capacity;
    }
    place = seen_place(check->seen, check->seen_capacity, key);
    if (place->key == 0) {
        place->key = key;
        check->seen_count++;
    }
    cof_bitmap_set(&place->slots, cof_vaddr_slot(addr));
    return 0;
}

static int visit_address(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    (void)level;
    (void)index;
    return seen_add(ctx, addr);
}

static uint32_t family_of(const struct cof_catalogue_item *item)
{
    return item->entry.family != 0 ? item->entry.family : item->entry.number;
}

int cof_check_doubt(struct cof_check *check, const struct cof_catalogue_item *item)
{
    if (check->doubts == NULL) {
        check->doubts = cof_calloc(&check->store->env, COFFER_SNAPSHOTS_MAX, sizeof *check->doubts);
    }
    if (check->doubts == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (check->doubt_count < COFFER_SNAPSHOTS_MAX) {
        check->doubts[check->doubt_count++] = family_of(item);
    }
    return 0;
}

/* Whether some tree that may refer to the extent was not read. */
static bool doubtful(const struct cof_check *check, const struct cof_desc *desc)
{
    const struct cof_catalogue_item *item = cof_catalogue_at(check->store, desc->volume);
    if (item == NULL) {
        /* The volume is gone, and relatives keep its pages: which, it does not say. */
        return check->doubt_count > 0;
    }
    for (unsigned i = 0; i < check->doubt_count; i++) {
        if (check->doubts[i] == family_of(item)) {
            return true;
        }
    }
    return false;
}

static int visit_damage(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index, int error)
{
    struct cof_check *check = ctx;
    struct cof_desc *desc;
    uint32_t segment = 0, block = 0, header;
    int err = cof_check_doubt(check, check->volume->item);
    bool placed = cof_place_find(&check->store->place, cof_lineage_of(check->volume, addr),
                                 cof_vaddr_extent(addr), &desc) == 0 &&
                  cof_desc_locate(desc, cof_vaddr_slot(addr), &segment, &block, &header) == 0;
    return err != 0
               ? err
               : cof_check_report(
                     check, error, error == COFFER_E_TAMPER ? COFFER_STAGE_TAG : COFFER_STAGE_MAP,
                     index << (COF_NODE_SHIFT * level), placed ? segment : COFFER_NOWHERE,
                     placed ? (uint64_t)block * COF_BLOCK_BYTES : COFFER_NOWHERE,
                     "map node of level %u, index %llu: %s", level, (unsigned long long)index,
                     coffer_error_sentence(error));
}

static int visit_entry(void *ctx, uint64_t key, struct cof_vaddr addr)
{
    (void)key;
    return seen_add(ctx, addr);
}

static uint64_t segment_of(const struct cof_desc *desc, unsigned slot)
{
    uint32_t segment, block, header;
    return cof_desc_locate(desc, slot, &segment, &block, &header) == 0 ? segment : COFFER_NOWHERE;
}

/* What is live and what is referred to must be the same; summaries and deaths that wait for the
 * next checkpoint are both. */
static int compare_desc(struct cof_check *check, const struct cof_desc *desc)
{
    static const struct cof_bitmap none;
    struct cof_check_seen *seen = NULL;
    const struct cof_bitmap *slots = &none;
    const struct cof_catalogue_item *owner = cof_catalogue_at(check->store, desc->volume);
    /* A copy without keys brings whole extents: more than its tree refers to. */
    bool unknown = doubtful(check, desc);
    bool imported = owner == NULL ? desc->lineage != COF_LINEAGE_LOCAL : cof_item_is_import(owner);
    int err = 0;
    if (check->seen_capacity > 0) {
        seen = seen_place(check->seen, check->seen_capacity, seen_key(desc->lineage, desc->extent));
        slots = seen->key != 0 ? &seen->slots : &none;
    }
    for (unsigned slot = 0; err == 0 && slot < COF_BITMAP_BITS && !unknown; slot++) {
        bool live = cof_bitmap_get(&desc->live, slot);
        bool used = cof_bitmap_get(slots, slot);
        if (slot == COF_SUMMARY_SLOT || live == used || (live && imported)) {
            continue;
        }
        err = cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_MAP, COFFER_NOWHERE,
                               segment_of(desc, slot), COFFER_NOWHERE,
                               live ? "extent %llu slot %u is live, but nothing refers to it"
                                    : "extent %llu slot %u is in use, but marked as dead",
                               (unsigned long long)desc->extent, slot);
    }
    if (seen != NULL && seen->key != 0) {
        memset(&seen->slots, 0, sizeof seen->slots); /* found; what stays has no descriptor */
    }
    return err;
}

static int report_placeless(struct cof_check *check)
{
    int err = 0;
    for (uint64_t i = 0; err == 0 && i < check->seen_capacity; i++) {
        if (check->seen[i].key != 0 && cof_bitmap_count(&check->seen[i].slots) != 0) {
            err = cof_check_report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                                   COFFER_NOWHERE, COFFER_NOWHERE,
                                   "extent %llu is in use but has no place",
                                   (unsigned long long)(check->seen[i].key & COF_EXTENT_MAX));
        }
    }
    return err;
}

int cof_check_map(struct cof_check *check)
{
    struct coffer_volume *volume = check->volume;
    struct cof_tree_visitor visitor = {check, visit_address, visit_damage};
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = cof_tree_visit(&volume->tree, &volume->node_io, &visitor);
    if (err == 0) {
        err = cof_delta_each(&volume->active, visit_entry, check);
    }
    for (uint64_t i = 0; err == 0 && i < volume->active_kills.count; i++) {
        err = seen_add(check, volume->active_kills.addrs[i]);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}

int cof_check_liveness(struct cof_check *check)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = cof_check_each_desc(check, compare_desc);
    if (err == 0) {
        err = report_placeless(check);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}
