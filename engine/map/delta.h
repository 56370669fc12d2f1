/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/delta.h - the dirty part of a volume's map: page number, or whole subtree -> address.
 *
 * Writes are blind inserts. An entry is replaced only by a larger address, so the order in which
 * equal keys arrive does not matter: run time and replay are the same rule. Pages are kept by leaf,
 * as the tree has them (map/dirty.h). A discard over whole nodes is one entry a node, with the hole
 * bit set, under the key of that node: level 1 is a leaf (512 pages), level 2 is 512 leaves, and so
 * on; level 0 is a page. Under the store's lock.
 */
#ifndef COF_MAP_DELTA_H
#define COF_MAP_DELTA_H

#include "base/env.h"
#include "map/dirty.h"

#define COF_DELTA_SHARDS 64u

/* What an entry may take on the average: beyond that a checkpoint is due with fewer of them. */
#define COF_DELTA_ENTRY_BYTES 24u

struct cof_delta_hole {
    uint64_t key;
    struct cof_vaddr addr; /* bits 0: the place is free */
};

/* Two tables with open addressing, of leaves and of subtrees. */
struct cof_delta_shard {
    struct cof_dirty_leaf *leaves;
    uint64_t leaf_capacity, leaf_count;
    struct cof_delta_hole *holes;
    uint64_t hole_capacity, hole_count;
};

struct cof_delta {
    struct cof_env *env;
    struct cof_delta_shard shards[COF_DELTA_SHARDS];
    struct cof_records records;
    uint64_t count, leaf_count;
    uint64_t level_counts[COF_MAP_LEVELS_MAX + 1u];
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
/* About what it takes: records, and places in tables. */
uint64_t cof_delta_bytes(const struct cof_delta *delta);

/* The page will be put or asked for soon: have its leaf's place in the table fetched, and, when
 * that is here, a moment later, its record. Changes nothing. */
void cof_delta_expect(const struct cof_delta *delta, uint64_t page);
void cof_delta_expect_record(const struct cof_delta *delta, uint64_t page);
/* Insert by the larger-address rule. *ret_loser is the address that lost its place (bits 0:
 * none): the older entry's, or addr itself; equal addresses change nothing. Nor do NO_MEMORY and
 * INVALID: no volume can have the page, or other addresses of its leaf have another index. */
COFFER_MUST_CHECK int cof_delta_put(struct cof_delta *delta, uint64_t key, struct cof_vaddr addr,
                                    struct cof_vaddr *ret_loser);
struct cof_vaddr cof_delta_get(const struct cof_delta *delta, uint64_t key);
/* The newest address that covers a page: its own entry or a subtree's. bits 0: none. */
struct cof_vaddr cof_delta_lookup(const struct cof_delta *delta, uint64_t page);

/* Give each entry, of pages and of subtrees, in any order. Non-zero stops. */
int cof_delta_each(const struct cof_delta *delta,
                   int (*entry)(void *ctx, uint64_t key, struct cof_vaddr addr), void *ctx);

/* Leaves in order, and subtrees in order of their first page, larger ones first. The arrays belong
 * to the caller (cof_free), what they point to to the delta. */
COFFER_MUST_CHECK int cof_delta_sorted(const struct cof_delta *delta,
                                       struct cof_dirty_leaf **ret_leaves,
                                       struct cof_delta_hole **ret_holes, uint64_t *ret_hole_count);

#endif
