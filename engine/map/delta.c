/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/delta.c - leaves and subtrees in shards with open addressing.
 */
#include "map/delta.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_CAPACITY_MIN 16u
#define PLACE_BYTES 32u /* in a table that is half full */
#define RADIX_BITS 11u
#define RADIX_SIZE (1u << RADIX_BITS)

void cof_delta_init(struct cof_delta *delta, struct cof_env *env)
{
    memset(delta, 0, sizeof *delta);
    delta->env = env;
    cof_records_init(&delta->records, env);
}

void cof_delta_done(struct cof_delta *delta)
{
    cof_records_done(&delta->records);
    for (unsigned i = 0; i < COF_DELTA_SHARDS; i++) {
        cof_free(delta->env, delta->shards[i].leaves);
        cof_free(delta->env, delta->shards[i].holes);
    }
    cof_delta_init(delta, delta->env);
}

uint64_t cof_delta_bytes(const struct cof_delta *delta)
{
    uint64_t holes = delta->count - delta->level_counts[0];
    return delta->records.used_bytes + (delta->leaf_count + holes) * PLACE_BYTES;
}

static uint64_t hash_of(uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static bool is_full(uint64_t count, uint64_t capacity)
{
    return count * 4u >= capacity * 3u;
}

static uint64_t larger(uint64_t capacity)
{
    return capacity == 0 ? TABLE_CAPACITY_MIN : capacity * 2u;
}

/* ---- tables ---- */

static struct cof_dirty_leaf *leaf_place(const struct cof_delta_shard *shard, uint64_t hash,
                                         uint64_t index)
{
    uint64_t mask = shard->leaf_capacity - 1u;
    uint64_t at = (hash >> 6) & mask;
    while (shard->leaves[at].count != 0 && shard->leaves[at].index != index) {
        at = (at + 1u) & mask;
    }
    return &shard->leaves[at];
}

static struct cof_delta_hole *hole_place(const struct cof_delta_shard *shard, uint64_t hash,
                                         uint64_t key)
{
    uint64_t mask = shard->hole_capacity - 1u;
    uint64_t at = (hash >> 6) & mask;
    while (shard->holes[at].addr.bits != 0 && shard->holes[at].key != key) {
        at = (at + 1u) & mask;
    }
    return &shard->holes[at];
}

static int grow_leaves(struct cof_delta *delta, struct cof_delta_shard *shard)
{
    struct cof_delta_shard new = {.leaf_capacity = larger(shard->leaf_capacity)};
    new.leaves = cof_calloc(delta->env, new.leaf_capacity, sizeof *new.leaves);
    if (new.leaves == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (uint64_t i = 0; i < shard->leaf_capacity; i++) {
        const struct cof_dirty_leaf *leaf = &shard->leaves[i];
        if (leaf->count != 0) {
            *leaf_place(&new, hash_of(leaf->index), leaf->index) = *leaf;
        }
    }
    cof_free(delta->env, shard->leaves);
    shard->leaves = new.leaves;
    shard->leaf_capacity = new.leaf_capacity;
    return 0;
}

static int grow_holes(struct cof_delta *delta, struct cof_delta_shard *shard)
{
    struct cof_delta_shard new = {.hole_capacity = larger(shard->hole_capacity)};
    new.holes = cof_calloc(delta->env, new.hole_capacity, sizeof *new.holes);
    if (new.holes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (uint64_t i = 0; i < shard->hole_capacity; i++) {
        const struct cof_delta_hole *hole = &shard->holes[i];
        if (hole->addr.bits != 0) {
            *hole_place(&new, hash_of(hole->key), hole->key) = *hole;
        }
    }
    cof_free(delta->env, shard->holes);
    shard->holes = new.holes;
    shard->hole_capacity = new.hole_capacity;
    return 0;
}

/* NULL: the leaf has no dirty page. */
static const struct cof_dirty_leaf *find_leaf(const struct cof_delta *delta, uint64_t index)
{
    uint64_t hash = hash_of(index);
    const struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    const struct cof_dirty_leaf *leaf =
        shard->leaf_count > 0 ? leaf_place(shard, hash, index) : NULL;
    return leaf != NULL && leaf->count != 0 ? leaf : NULL;
}

void cof_delta_expect(const struct cof_delta *delta, uint64_t page)
{
    uint64_t hash = hash_of(page >> COF_NODE_SHIFT);
    const struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    if (shard->leaf_capacity > 0) {
        __builtin_prefetch(&shard->leaves[(hash >> 6) & (shard->leaf_capacity - 1u)], 1);
    }
}

void cof_delta_expect_record(const struct cof_delta *delta, uint64_t page)
{
    const struct cof_dirty_leaf *leaf = find_leaf(delta, page >> COF_NODE_SHIFT);
    if (leaf != NULL) {
        cof_dirty_expect(leaf, page);
    }
}

/* ---- entries ---- */

static void count_entry(struct cof_delta *delta, unsigned level)
{
    delta->count++;
    delta->level_counts[level]++;
}

static int put_page(struct cof_delta *delta, uint64_t page, struct cof_vaddr addr,
                    struct cof_vaddr *ret_loser)
{
    uint64_t index = page >> COF_NODE_SHIFT, hash = hash_of(index);
    struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    struct cof_dirty_leaf *leaf;
    unsigned before;
    int err = is_full(shard->leaf_count, shard->leaf_capacity) ? grow_leaves(delta, shard) : 0;
    if (err != 0) {
        return err;
    }
    leaf = leaf_place(shard, hash, index);
    before = leaf->count;
    err = cof_dirty_put(leaf, &delta->records, page, addr, ret_loser);
    if (leaf->count != before) {
        shard->leaf_count += before == 0 ? 1u : 0u;
        delta->leaf_count += before == 0 ? 1u : 0u;
        count_entry(delta, 0);
    }
    return err;
}

static int put_hole(struct cof_delta *delta, uint64_t key, struct cof_vaddr addr,
                    struct cof_vaddr *ret_loser)
{
    uint64_t hash = hash_of(key);
    struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    struct cof_delta_hole *hole;
    int err = is_full(shard->hole_count, shard->hole_capacity) ? grow_holes(delta, shard) : 0;
    if (err != 0) {
        return err;
    }
    hole = hole_place(shard, hash, key);
    if (hole->addr.bits != 0) {
        cof_vaddr_settle(&hole->addr, addr, ret_loser);
        return 0;
    }
    hole->key = key;
    hole->addr = addr;
    shard->hole_count++;
    count_entry(delta, cof_delta_key_level(key));
    return 0;
}

int cof_delta_put(struct cof_delta *delta, uint64_t key, struct cof_vaddr addr,
                  struct cof_vaddr *ret_loser)
{
    ret_loser->bits = 0;
    return cof_delta_key_level(key) == 0 ? put_page(delta, key, addr, ret_loser)
                                         : put_hole(delta, key, addr, ret_loser);
}

struct cof_vaddr cof_delta_get(const struct cof_delta *delta, uint64_t key)
{
    if (cof_delta_key_level(key) == 0) {
        const struct cof_dirty_leaf *leaf = find_leaf(delta, key >> COF_NODE_SHIFT);
        return leaf != NULL ? cof_dirty_get(leaf, key) : (struct cof_vaddr){0};
    }
    uint64_t hash = hash_of(key);
    const struct cof_delta_shard *shard = &delta->shards[hash % COF_DELTA_SHARDS];
    return shard->hole_count > 0 ? hole_place(shard, hash, key)->addr : (struct cof_vaddr){0};
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

/* ---- all of them ---- */

struct each {
    int (*entry)(void *ctx, uint64_t key, struct cof_vaddr addr);
    void *ctx;
    uint64_t first;
};

static int each_page(void *ctx, unsigned page, struct cof_vaddr addr)
{
    const struct each *each = ctx;
    return each->entry(each->ctx, each->first + page, addr);
}

int cof_delta_each(const struct cof_delta *delta,
                   int (*entry)(void *ctx, uint64_t key, struct cof_vaddr addr), void *ctx)
{
    struct each each = {entry, ctx, 0};
    int stop = 0;
    for (unsigned i = 0; stop == 0 && i < COF_DELTA_SHARDS; i++) {
        const struct cof_delta_shard *shard = &delta->shards[i];
        for (uint64_t at = 0; stop == 0 && at < shard->leaf_capacity; at++) {
            if (shard->leaves[at].count != 0) {
                each.first = (uint64_t)shard->leaves[at].index << COF_NODE_SHIFT;
                stop = cof_dirty_each(&shard->leaves[at], each_page, &each);
            }
        }
        for (uint64_t at = 0; stop == 0 && at < shard->hole_capacity; at++) {
            if (shard->holes[at].addr.bits != 0) {
                stop = entry(ctx, shard->holes[at].key, shard->holes[at].addr);
            }
        }
    }
    return stop;
}

/* ---- in order ---- */

/* First page of a subtree, then larger subtrees first. */
static int compare_holes(const void *a, const void *b)
{
    uint64_t x = ((const struct cof_delta_hole *)a)->key;
    uint64_t y = ((const struct cof_delta_hole *)b)->key;
    unsigned lx = cof_delta_key_level(x), ly = cof_delta_key_level(y);
    uint64_t px = cof_delta_key_index(x) << (COF_NODE_SHIFT * lx);
    uint64_t py = cof_delta_key_index(y) << (COF_NODE_SHIFT * ly);
    if (px != py) {
        return px < py ? -1 : 1;
    }
    return lx == ly ? 0 : (lx > ly ? -1 : 1);
}

/* One pass of a least-significant-digit radix sort (Knuth, vol. 3, 5.2.5). */
static void radix_pass(const struct cof_dirty_leaf *from, struct cof_dirty_leaf *to, uint64_t count,
                       unsigned shift, uint32_t *starts)
{
    uint32_t sum = 0;
    memset(starts, 0, RADIX_SIZE * sizeof *starts);
    for (uint64_t i = 0; i < count; i++) {
        starts[(from[i].index >> shift) & (RADIX_SIZE - 1u)]++;
    }
    for (unsigned i = 0; i < RADIX_SIZE; i++) {
        uint32_t here = starts[i];
        starts[i] = sum;
        sum += here;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[starts[(from[i].index >> shift) & (RADIX_SIZE - 1u)]++] = from[i];
    }
}

static int sort_leaves(struct cof_env *env, struct cof_dirty_leaf **leaves, uint64_t count)
{
    uint64_t all = 0;
    uint32_t *starts = cof_calloc(env, RADIX_SIZE, sizeof *starts);
    struct cof_dirty_leaf *other = cof_calloc(env, count + 1u, sizeof *other);
    struct cof_dirty_leaf *from = *leaves;
    if (starts == NULL || other == NULL) {
        cof_free(env, starts);
        cof_free(env, other);
        return COFFER_E_NO_MEMORY;
    }
    for (uint64_t i = 0; i < count; i++) {
        all |= from[i].index;
    }
    for (unsigned shift = 0; shift < 64u && (all >> shift) != 0; shift += RADIX_BITS) {
        struct cof_dirty_leaf *swap = from;
        radix_pass(from, other, count, shift, starts);
        from = other;
        other = swap;
    }
    cof_free(env, starts);
    cof_free(env, other);
    *leaves = from;
    return 0;
}

static void collect(const struct cof_delta *delta, struct cof_dirty_leaf *leaves,
                    struct cof_delta_hole *holes)
{
    for (unsigned i = 0; i < COF_DELTA_SHARDS; i++) {
        const struct cof_delta_shard *shard = &delta->shards[i];
        for (uint64_t at = 0; at < shard->leaf_capacity; at++) {
            if (shard->leaves[at].count != 0) {
                *leaves++ = shard->leaves[at];
            }
        }
        for (uint64_t at = 0; at < shard->hole_capacity; at++) {
            if (shard->holes[at].addr.bits != 0) {
                *holes++ = shard->holes[at];
            }
        }
    }
}

int cof_delta_sorted(const struct cof_delta *delta, struct cof_dirty_leaf **ret_leaves,
                     struct cof_delta_hole **ret_holes, uint64_t *ret_hole_count)
{
    uint64_t hole_count = delta->count - delta->level_counts[0];
    struct cof_dirty_leaf *leaves = cof_calloc(delta->env, delta->leaf_count + 1u, sizeof *leaves);
    struct cof_delta_hole *holes = cof_calloc(delta->env, hole_count + 1u, sizeof *holes);
    int err = leaves == NULL || holes == NULL ? COFFER_E_NO_MEMORY : 0;
    if (err == 0) {
        collect(delta, leaves, holes);
        err = sort_leaves(delta->env, &leaves, delta->leaf_count);
    }
    if (err != 0) {
        cof_free(delta->env, leaves);
        cof_free(delta->env, holes);
        return err;
    }
    qsort(holes, hole_count, sizeof *holes, compare_holes);
    *ret_leaves = leaves;
    *ret_holes = holes;
    *ret_hole_count = hole_count;
    return 0;
}
