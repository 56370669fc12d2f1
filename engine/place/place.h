/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/place.h - the placement table in memory: extent -> descriptor.
 *
 * Descriptors come in buckets of 16 extents, the unit that is read, cached and written. Clean
 * buckets are dropped, least recently used first, beyond the budget, which they share with the
 * nodes of the tree: these may take three quarters. A bucket with a young or pinned descriptor, or
 * with changes, stays. A checkpoint that changes more buckets than the budget holds writes them on
 * the way (cof_place_spill).
 *
 * Invariants
 *  1. A bit of `live` is cleared only by cof_place_kill and cof_place_kill_all, while a checkpoint
 *     is being written that records why, and its segment's count goes with it.
 *  2. What cof_place_flush writes leaves out young descriptors: they are the log's.
 *  3. A descriptor that is not young, not pinned and has no live page is dropped at the flush. A
 *     piece of a moved extent goes with its last live page, since its segment may.
 *  4. Where a bucket is written, the descriptors in it that are neither young nor pinned may move:
 *     they get as much memory as their batch refs need. Whoever keeps a pointer across a flush or
 *     a spill keeps one to a young or a pinned descriptor.
 *  5. A descriptor is unpinned together with a cof_place_touch.
 *  6. A bucket that is in memory and not in the tree is in the treap of unwritten ones.
 * Under the store's lock. Pointers to descriptors are good until the lock is let go, or as long as
 * the descriptor is young or pinned.
 */
#ifndef COF_PLACE_PLACE_H
#define COF_PLACE_PLACE_H

#include "format/vaddr.h"
#include "place/ptree.h"

enum cof_bucket_state {
    COF_BUCKET_CLEAN = 0,
    COF_BUCKET_DIRTY,
    COF_BUCKET_KEPT, /* clean, but a descriptor is pinned */
    COF_BUCKET_STATES
};

struct cof_bucket {
    uint64_t key;
    enum cof_bucket_state state;
    bool unwritten; /* not in the tree */
    struct cof_desc *descs[COF_BUCKET_EXTENTS];
    struct cof_bucket *hash_next, *newer, *older; /* of its state; the clean ones by last use */
    struct cof_bucket *lower, *higher;            /* of the unwritten ones: below it, by key */
};

struct cof_bucket_list {
    struct cof_bucket *newest, *oldest;
};

struct cof_place {
    struct cof_env *env;
    struct cof_segments *segments;
    struct cof_ptree *tree;
    uint32_t segment_blocks;
    struct cof_bucket **hash;
    uint64_t hash_count; /* a power of two */
    struct cof_bucket_list lists[COF_BUCKET_STATES];
    struct cof_bucket *unwritten; /* a treap (Seidel and Aragon, Randomized search trees, 1996) */
    uint64_t bytes, budget_bytes;
    uint64_t bucket_count;
    uint64_t dirty_count;    /* buckets that the next flush writes */
    uint64_t spill_at_bytes; /* a spill before could not drop more */
    void *ctx;
    void (*dropped)(void *ctx, const struct cof_desc *desc);
};

static inline uint64_t cof_bucket_key(uint32_t lineage, uint64_t extent)
{
    return (uint64_t)lineage << 36 | extent / COF_BUCKET_EXTENTS;
}

COFFER_MUST_CHECK int cof_place_init(struct cof_place *place, struct cof_env *env,
                                     struct cof_segments *segments, struct cof_ptree *tree,
                                     uint32_t segment_blocks, uint64_t budget_bytes);
void cof_place_done(struct cof_place *place);

/* NOT_FOUND; CORRUPT when its bucket is damaged; IO. */
COFFER_MUST_CHECK int cof_place_find(struct cof_place *place, uint32_t lineage, uint64_t extent,
                                     struct cof_desc **ret_desc);
/* The first descriptor at or after *extent; sets *extent. NOT_FOUND when there is none. When a
 * bucket is damaged, its error, and *extent is the first extent that the bucket could hold (or what
 * it was, if that lies in the bucket); COF_EXTENT_MAX when the tree above is. */
COFFER_MUST_CHECK int cof_place_next(struct cof_place *place, uint32_t lineage, uint64_t *extent,
                                     struct cof_desc **ret_desc);
/* Take over desc (made by cof_desc_new), in place of one of the same extent if there is one. On
 * failure desc still belongs to the caller. */
COFFER_MUST_CHECK int cof_place_add(struct cof_place *place, struct cof_desc *desc);
/* desc was changed: its bucket must be written. */
COFFER_MUST_CHECK int cof_place_touch(struct cof_place *place, const struct cof_desc *desc);
/* Have the bucket of a key written anew by the next flush. */
COFFER_MUST_CHECK int cof_place_renew(struct cof_place *place, uint64_t key);
/* The page dies. Dying twice, or without ever having been, changes nothing. */
COFFER_MUST_CHECK int cof_place_kill(struct cof_place *place, uint32_t lineage, uint64_t extent,
                                     unsigned slot);
/* The same of many pages of one extent: addrs are of it all, with the lineage for an index. */
COFFER_MUST_CHECK int cof_place_kill_all(struct cof_place *place, const struct cof_vaddr *addrs,
                                         uint64_t count);
/* Write dirty buckets through the tree (its nodes are flushed by the caller). */
COFFER_MUST_CHECK int cof_place_flush(struct cof_place *place, const struct cof_raw_writer *writer);
/* For a checkpoint that changes many buckets, one after another: when they are beyond the budget,
 * write those that are dirty but hold nothing young or pinned, and drop them. cof_place_flush must
 * follow, in the same checkpoint. */
COFFER_MUST_CHECK int cof_place_spill(struct cof_place *place, const struct cof_raw_writer *writer);
/* Drop clean buckets beyond the budget. */
void cof_place_trim(struct cof_place *place);

/* Decode a bucket's bytes into descs (NULL where there is none); all or nothing. */
COFFER_MUST_CHECK int cof_bucket_decode(struct cof_env *env, const uint8_t *bytes, size_t length,
                                        uint64_t key, uint32_t segment_count,
                                        uint32_t segment_blocks,
                                        struct cof_desc *descs[COF_BUCKET_EXTENTS]);

#endif
