/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/delta.h - the dirty part of a volume's map: page number, or whole subtree -> address.
 *
 * Writes are blind inserts. An entry is replaced only by a larger address, so the order in which
 * equal keys arrive does not matter: run time and replay are the same rule. A discard over whole
 * nodes is one entry a node, with the hole bit set, under the key of that node: level 1 is a leaf
 * (512 pages), level 2 is 512 leaves, and so on; level 0 is a page. Under the store's lock.
 */
#ifndef COF_MAP_DELTA_H
#define COF_MAP_DELTA_H

#include "base/env.h"
#include "format/vaddr.h"

#define COF_DELTA_SHARDS 64u

struct cof_delta_entry {
    uint64_t key;
    struct cof_vaddr addr; /* bits 0: the place is free */
};

struct cof_delta_shard {
    struct cof_delta_entry *entries;
    uint64_t capacity, count;
};

struct cof_delta {
    struct cof_env *env;
    struct cof_delta_shard shards[COF_DELTA_SHARDS];
    uint64_t count;
    uint64_t level_counts[COF_MAP_LEVELS_MAX + 1u];
    uint64_t leaf_estimate; /* at least the number of leaves that entries of level 0 lie in */
    uint64_t recent_leaves[256];
};

#define COF_DELTA_LEVEL_SHIFT 58u

static inline uint64_t cof_delta_key(unsigned level, uint64_t index)
{
    return (uint64_t)level << COF_DELTA_LEVEL_SHIFT | index;
}

static inline unsigned cof_delta_key_level(uint64_t key)
{
    return (unsigned)(key >> COF_DELTA_LEVEL_SHIFT);
}

static inline uint64_t cof_delta_key_index(uint64_t key)
{
    return key & ((UINT64_C(1) << COF_DELTA_LEVEL_SHIFT) - 1u);
}

void cof_delta_init(struct cof_delta *delta, struct cof_env *env);
void cof_delta_done(struct cof_delta *delta);

/* About so many entries will come: have room for them, so that tables need not double on the way.
 * Where memory lacks they do. */
void cof_delta_reserve(struct cof_delta *delta, uint64_t entries);
/* The key will be asked for or put in a moment: have its place fetched. Changes nothing. */
void cof_delta_expect(const struct cof_delta *delta, uint64_t key);
/* Insert by the larger-address rule. *ret_loser is the address that lost its place (bits 0:
 * none): the older entry's, or addr itself; equal addresses change nothing. */
COFFER_MUST_CHECK int cof_delta_put(struct cof_delta *delta, uint64_t key, struct cof_vaddr addr,
                                    struct cof_vaddr *ret_loser);
struct cof_vaddr cof_delta_get(const struct cof_delta *delta, uint64_t key);
/* The newest address that covers a page: its own entry or a subtree's. bits 0: none. */
struct cof_vaddr cof_delta_lookup(const struct cof_delta *delta, uint64_t page);

/* All entries: those of level 0 in order of pages, and the others in order of their first page,
 * larger subtrees first. Arrays belong to the caller (cof_free). */
COFFER_MUST_CHECK int cof_delta_sorted(const struct cof_delta *delta,
                                       struct cof_delta_entry **ret_pages, uint64_t *ret_page_count,
                                       struct cof_delta_entry **ret_holes,
                                       uint64_t *ret_hole_count);
uint64_t cof_delta_bytes(const struct cof_delta *delta);

#endif
