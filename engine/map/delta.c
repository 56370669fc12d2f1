/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/delta.c - open-addressing shards, and a radix sort of what they hold.
 */
#include "map/delta.h"

#include <stdlib.h>
#include <string.h>

#define SHARD_CAPACITY_MIN 32u
#define RADIX_BITS 11u
#define RADIX_SIZE (1u << RADIX_BITS)

void cof_delta_init(struct cof_delta *delta, struct cof_env *env)
{
    memset(delta, 0, sizeof *delta);
    delta->env = env;
    memset(delta->recent_leaves, 0xff, sizeof delta->recent_leaves);
}

void cof_delta_done(struct cof_delta *delta)
{
    for (unsigned i = 0; i < COF_DELTA_SHARDS; i++) {
        cof_free(delta->env, delta->shards[i].entries);
    }
    cof_delta_init(delta, delta->env);
}

static uint64_t hash_of(uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static struct cof_delta_entry *place_for(const struct cof_delta_shard *shard, uint64_t hash,
                                         uint64_t key)
{
    uint64_t mask = shard->capacity - 1u;
    uint64_t at = (hash >> 6) & mask;
    while (shard->entries[at].addr.bits != 0 && shard->entries[at].key != key) {
        at = (at + 1u) & mask;
    }
    return &shard->entries[at];
}

static int grow(struct cof_delta *delta, struct cof_delta_shard *shard, uint64_t capacity)
{
    struct cof_delta_shard larger;
    larger.capacity = capacity;
    larger.count = shard->count;
    larger.entries = cof_calloc(delta->env, larger.capacity, sizeof *larger.entries);
    if (larger.entries == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (uint64_t i = 0; i < shard->capacity; i++) {
        const struct cof_delta_entry *entry = &shard->entries[i];
        if (entry->addr.bits != 0) {
            *place_for(&larger, hash_of(entry->key), entry->key) = *entry;
        }
    }
    cof_free(delta->env, shard->entries);
    *shard = larger;
    return 0;
}

static bool is_full(const struct cof_delta_shard *shard)
{
    return shard->count * 4u >= shard->capacity * 3u;
}

void cof_delta_reserve(struct cof_delta *delta, uint64_t entries)
{
    uint64_t capacity = SHARD_CAPACITY_MIN;
    int err = 0;
    while (capacity * 3u / 4u * COF_DELTA_SHARDS < entries) {
        capacity *= 2u;
    }
    for (unsigned i = 0; err == 0 && i < COF_DELTA_SHARDS; i++) {
        if (delta->shards[i].capacity < capacity) {
            err = grow(delta, &delta->shards[i], capacity);
        }
    }
}

/* Count a leaf unless it was met a moment ago: never too few, about right when writes cluster. */
static void estimate_leaf(struct cof_delta *delta, uint64_t page)
{
    uint64_t leaf = page >> COF_NODE_SHIFT;
    uint64_t *recent = &delta->recent_leaves[leaf % 256u];
    if (*recent != leaf) {
        *recent = leaf;
        delta->leaf_estimate++;
    }
}

void cof_delta_expect(const struct cof_delta *delta, uint64_t key)
{
    uint64_t hash = hash_of(key);
    const struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    if (shard->capacity > 0) {
        __builtin_prefetch(&shard->entries[(hash >> 6) & (shard->capacity - 1u)], 1);
    }
}

int cof_delta_put(struct cof_delta *delta, uint64_t key, struct cof_vaddr addr,
                  struct cof_vaddr *ret_loser)
{
    uint64_t hash = hash_of(key);
    struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    struct cof_delta_entry *entry;
    ret_loser->bits = 0;
    if (is_full(shard)) {
        int err = grow(delta, shard, shard->capacity == 0 ? SHARD_CAPACITY_MIN
                                                          : shard->capacity * 2u);
        if (err != 0) {
            return err;
        }
    }
    entry = place_for(shard, hash, key);
    if (entry->addr.bits == 0) {
        entry->key = key;
        entry->addr = addr;
        shard->count++;
        delta->count++;
        delta->level_counts[cof_delta_key_level(key)]++;
        if (cof_delta_key_level(key) == 0) {
            estimate_leaf(delta, key);
        }
        return 0;
    }
    if (addr.bits > entry->addr.bits) {
        *ret_loser = entry->addr;
        entry->addr = addr;
    } else if (addr.bits < entry->addr.bits) {
        *ret_loser = addr;
    }
    return 0;
}

struct cof_vaddr cof_delta_get(const struct cof_delta *delta, uint64_t key)
{
    uint64_t hash = hash_of(key);
    const struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    struct cof_vaddr none = {0};
    if (shard->count == 0) {
        return none;
    }
    return place_for(shard, hash, key)->addr;
}

struct cof_vaddr cof_delta_lookup(const struct cof_delta *delta, uint64_t page)
{
    struct cof_vaddr best = {0};
    for (unsigned level = 0; level <= COF_MAP_LEVELS_MAX; level++) {
        struct cof_vaddr found;
        if (delta->level_counts[level] == 0) {
            continue;
        }
        found = cof_delta_get(delta, cof_delta_key(level, page >> (COF_NODE_SHIFT * level)));
        if (found.bits > best.bits) {
            best = found;
        }
    }
    return best;
}

/* First page of a subtree, then larger subtrees first. */
static int compare_holes(const void *a, const void *b)
{
    uint64_t x = ((const struct cof_delta_entry *)a)->key;
    uint64_t y = ((const struct cof_delta_entry *)b)->key;
    unsigned lx = cof_delta_key_level(x), ly = cof_delta_key_level(y);
    uint64_t px = cof_delta_key_index(x) << (COF_NODE_SHIFT * lx);
    uint64_t py = cof_delta_key_index(y) << (COF_NODE_SHIFT * ly);
    if (px != py) {
        return px < py ? -1 : 1;
    }
    return lx == ly ? 0 : (lx > ly ? -1 : 1);
}

/* One pass of a least-significant-digit radix sort (Knuth, vol. 3, 5.2.5). */
static void radix_pass(const struct cof_delta_entry *from, struct cof_delta_entry *to,
                       uint64_t count, unsigned shift, uint32_t *starts)
{
    uint32_t sum = 0;
    memset(starts, 0, RADIX_SIZE * sizeof *starts);
    for (uint64_t i = 0; i < count; i++) {
        starts[(from[i].key >> shift) & (RADIX_SIZE - 1u)]++;
    }
    for (unsigned i = 0; i < RADIX_SIZE; i++) {
        uint32_t here = starts[i];
        starts[i] = sum;
        sum += here;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[starts[(from[i].key >> shift) & (RADIX_SIZE - 1u)]++] = from[i];
    }
}

static int sort_pages(struct cof_env *env, struct cof_delta_entry **pages, uint64_t count)
{
    uint64_t all = 0;
    uint32_t *starts = cof_calloc(env, RADIX_SIZE, sizeof *starts);
    struct cof_delta_entry *other = cof_calloc(env, count + 1u, sizeof *other);
    struct cof_delta_entry *from = *pages;
    if (starts == NULL || other == NULL) {
        cof_free(env, starts);
        cof_free(env, other);
        return COFFER_E_NO_MEMORY;
    }
    for (uint64_t i = 0; i < count; i++) {
        all |= from[i].key;
    }
    for (unsigned shift = 0; shift < 64u && (all >> shift) != 0; shift += RADIX_BITS) {
        struct cof_delta_entry *swap = from;
        radix_pass(from, other, count, shift, starts);
        from = other;
        other = swap;
    }
    cof_free(env, starts);
    cof_free(env, other);
    *pages = from;
    return 0;
}

int cof_delta_sorted(const struct cof_delta *delta, struct cof_delta_entry **ret_pages,
                     uint64_t *ret_page_count, struct cof_delta_entry **ret_holes,
                     uint64_t *ret_hole_count)
{
    uint64_t page_count = 0, hole_count = 0;
    uint64_t pages_max = delta->level_counts[0];
    struct cof_delta_entry *pages = cof_calloc(delta->env, pages_max + 1u, sizeof *pages);
    struct cof_delta_entry *holes =
        cof_calloc(delta->env, delta->count - pages_max + 1u, sizeof *holes);
    int err = pages == NULL || holes == NULL ? COFFER_E_NO_MEMORY : 0;
    for (unsigned i = 0; err == 0 && i < COF_DELTA_SHARDS; i++) {
        const struct cof_delta_shard *shard = &delta->shards[i];
        for (uint64_t at = 0; at < shard->capacity; at++) {
            const struct cof_delta_entry *entry = &shard->entries[at];
            if (entry->addr.bits != 0 && cof_delta_key_level(entry->key) == 0) {
                pages[page_count++] = *entry;
            } else if (entry->addr.bits != 0) {
                holes[hole_count++] = *entry;
            }
        }
    }
    if (err == 0) {
        err = sort_pages(delta->env, &pages, page_count);
    }
    if (err != 0) {
        cof_free(delta->env, pages);
        cof_free(delta->env, holes);
        return err;
    }
    qsort(holes, hole_count, sizeof *holes, compare_holes);
    *ret_pages = pages;
    *ret_page_count = page_count;
    *ret_holes = holes;
    *ret_hole_count = hole_count;
    return 0;
}

uint64_t cof_delta_bytes(const struct cof_delta *delta)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < COF_DELTA_SHARDS; i++) {
        bytes += delta->shards[i].capacity * sizeof(struct cof_delta_entry);
    }
    return bytes;
}
