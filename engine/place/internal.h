/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/internal.h - buckets and nodes of trees, between the files of this room.
 */
#ifndef COF_PLACE_INTERNAL_H
#define COF_PLACE_INTERNAL_H

#include "place/place.h"

static inline size_t cof_desc_bytes(const struct cof_desc *desc)
{
    return sizeof *desc + desc->ref_capacity * sizeof desc->refs[0];
}

/* Neither the log's, nor needed for its replay. */
static inline bool cof_desc_settled(const struct cof_desc *desc)
{
    return !desc->young && !desc->pinned;
}

/* ---- cache.c ---- */

/* NULL: it is not in memory. */
struct cof_bucket *cof_bucket_cached(const struct cof_place *place, uint64_t key);
/* The bucket of key, read if it is not cached; when there is none, new and empty (make), or
 * NOT_FOUND. */
COFFER_MUST_CHECK int cof_bucket_get(struct cof_place *place, uint64_t key, bool make,
                                     struct cof_bucket **ret_bucket);
void cof_bucket_free(struct cof_place *place, struct cof_bucket *bucket);
void cof_bucket_move(struct cof_place *place, struct cof_bucket *bucket,
                     enum cof_bucket_state state);
/* Clean, and the first that is dropped. */
void cof_bucket_next_to_go(struct cof_place *place, struct cof_bucket *bucket);
void cof_bucket_dirty(struct cof_place *place, struct cof_bucket *bucket);
/* It is in the tree now; it is not. */
void cof_bucket_written(struct cof_place *place, struct cof_bucket *bucket);
void cof_bucket_unwritten(struct cof_place *place, struct cof_bucket *bucket);
/* The one with the smallest key at or above key; NULL: there is none. */
const struct cof_bucket *cof_bucket_next_unwritten(const struct cof_place *place, uint64_t key);
/* Whether it may go when it is clean. */
bool cof_bucket_droppable(const struct cof_bucket *bucket);
/* Drop clean buckets, the oldest first, until the others take no more than max bytes. */
void cof_bucket_trim(struct cof_place *place, uint64_t max);
/* What the tree's nodes leave of the budget, a quarter at least. */
uint64_t cof_place_bytes_max(const struct cof_place *place);

/* ---- ptree.c ---- */

#define COF_TREE_SHIFT 8u /* 256 entries */

/* Whether a tree of that height has room for key. */
static inline bool cof_tree_covers(unsigned height, uint64_t key)
{
    return height >= 8u || (key >> (COF_TREE_SHIFT * height)) == 0;
}

static inline unsigned cof_tree_slot(uint64_t key, unsigned level)
{
    return (unsigned)(key >> (COF_TREE_SHIFT * (level - 1u))) & (COF_TREE_FANOUT - 1u);
}

/* Clean, and below nobody yet; NULL: no memory. */
struct cof_tree_node *cof_tree_node_new(struct cof_ptree *tree, unsigned level);
/* It was written; the node and those above it will be. */
void cof_tree_node_clean(struct cof_ptree *tree, struct cof_tree_node *node);
void cof_tree_node_dirty(struct cof_ptree *tree, struct cof_tree_node *node);
/* The node and those above it were used; NULL is allowed. */
void cof_tree_node_used(struct cof_ptree *tree, struct cof_tree_node *node);
/* Read the top unless it is there, or the tree has none. */
COFFER_MUST_CHECK int cof_ptree_top(struct cof_ptree *tree);
/* The child of node, read or (make) made new; NOT_FOUND. On failure *ret_child is untouched. */
COFFER_MUST_CHECK int cof_ptree_descend(struct cof_ptree *tree, struct cof_tree_node *node,
                                        unsigned level, unsigned slot, bool make,
                                        struct cof_tree_node **ret_child);
/* The node of level 1 above key's record, in a tree that has one and covers key. make: the nodes
 * that lack are made; else NOT_FOUND. Counts as a use of what is on the way. */
COFFER_MUST_CHECK int cof_ptree_walk(struct cof_ptree *tree, uint64_t key, bool make,
                                     struct cof_tree_node **ret_node);
/* At the end of a call: drop what is beyond the budget. */
void cof_ptree_trim(struct cof_ptree *tree);

#endif
