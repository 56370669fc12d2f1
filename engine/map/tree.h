/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/tree.h - the sealed radix tree: lookup, and the merge of a frozen delta into it.
 *
 * A node of level 1 (a leaf) holds the addresses of 512 pages; one of level n those of 512 nodes
 * of level n - 1. A node is a page, sealed with (level, index) in its associated data, and written
 * anew when it changes. Nodes are read and written through struct cof_node_io, so this room knows
 * neither keys nor places.
 *
 * Merge, rule for each page: a new address n replaces the old o if and only if n > o; the loser
 * dies, unless it lies at or below the cut: then the tree's parent, a snapshot, holds it still.
 * Deaths are only collected (cof_kills): they take effect with the root that records them.
 */
#ifndef COF_MAP_TREE_H
#define COF_MAP_TREE_H

#include "map/delta.h"
#include "map/nodes.h"

/* A leaf: its index, and where it is. */
struct cof_leaf_ref {
    uint64_t index;
    struct cof_vaddr addr;
};

#define COF_LEAVES_AHEAD_MAX 28u

/* One that was read before it is wanted. */
struct cof_leaf_ahead {
    struct cof_vaddr addr; /* bits 0: it was not */
    struct cof_vaddr entries[COF_NODE_FANOUT];
};

struct cof_node_io {
    void *ctx;
    uint64_t volume; /* for the cache */
    struct cof_nodes *cache;
    int (*read)(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index,
                struct cof_vaddr entries[COF_NODE_FANOUT]);
    /* keep: put it into the cache, too. */
    int (*write)(void *ctx, unsigned level, uint64_t index,
                 const struct cof_vaddr entries[COF_NODE_FANOUT], bool keep,
                 struct cof_vaddr *ret_addr);
    /* Leaves that will be wanted, COF_LEAVES_AHEAD_MAX at the most, read beside one another: into
     * the cache, but for those that are there; or, where ahead is not NULL, into ahead alone, each
     * at its own place. What does not read is left out. NULL: each is read when it is wanted. */
    void (*read_leaves)(void *ctx, const struct cof_leaf_ref *leaves, unsigned count,
                        struct cof_leaf_ahead *ahead);
};

struct cof_tree {
    struct cof_vaddr root; /* bits 0: empty */
    unsigned height;       /* level of the root; 0 when empty */
};

/* What a tree shares with its parent: pages and nodes at or below these positions. 0: nothing. */
struct cof_cut {
    uint64_t pages, nodes;
};

/* Levels that a volume of so many pages needs, at least 1. */
unsigned cof_tree_height_for(uint64_t pages);

/* Address of a page, bits 0 when it is not mapped. */
COFFER_MUST_CHECK int cof_tree_lookup(const struct cof_tree *tree, const struct cof_node_io *io,
                                      uint64_t page, struct cof_vaddr *ret_addr);
/* First mapped page at or after *page that the tree knows; UINT64_MAX when there is none. */
COFFER_MUST_CHECK int cof_tree_next(const struct cof_tree *tree, const struct cof_node_io *io,
                                    uint64_t *page);

/* Visit all addresses of the tree: nodes (level >= 1, index) and pages (level 0, page number). A
 * node that can't be read is given to damage, and skipped. Non-zero stops. */
struct cof_tree_visitor {
    void *ctx;
    int (*visit)(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index);
    int (*damage)(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index, int error);
};
COFFER_MUST_CHECK int cof_tree_visit(const struct cof_tree *tree, const struct cof_node_io *io,
                                     const struct cof_tree_visitor *visitor);

/* ---- deaths ---- */

struct cof_kills {
    struct cof_env *env;
    struct cof_vaddr *addrs;
    uint64_t count, capacity;
};

void cof_kills_init(struct cof_kills *kills, struct cof_env *env);
void cof_kills_done(struct cof_kills *kills);
/* Addresses without a page behind them are passed over. */
COFFER_MUST_CHECK int cof_kills_add(struct cof_kills *kills, struct cof_vaddr addr);

/* By extent; those of one stay in the order in which they came. Takes as much memory again
 * meanwhile. */
COFFER_MUST_CHECK int cof_kills_sort(struct cof_kills *kills);

/* ---- merge ---- */

struct cof_merge_frame {
    unsigned level;
    uint64_t index;
    struct cof_vaddr old_addr, hole;
    unsigned child;            /* next child to look at */
    bool changed, keep;        /* in the cache, if it is written */
    struct cof_vaddr *entries; /* own, or where the leaf was read ahead */
    struct cof_vaddr own[COF_NODE_FANOUT];
};

struct cof_merge {
    struct cof_env *env;
    const struct cof_node_io *io;
    struct cof_tree tree; /* the result, once done */
    struct cof_kills *kills;
    struct cof_cut cut;
    int64_t mapped_change; /* pages */
    struct cof_dirty_leaf *leaves;
    struct cof_delta_hole *holes;
    uint64_t leaf_count, hole_count, leaf_at, hole_at;
    struct cof_merge_frame *frames; /* COF_MAP_LEVELS_MAX of them */
    struct cof_leaf_ahead *ahead;   /* COF_LEAVES_AHEAD_MAX of them, */
    unsigned ahead_count, ahead_at; /* and where the next one is */
    uint64_t ahead_end;             /* first leaf that was not thought of then */
    unsigned depth;
    unsigned grow_from; /* height of the old tree when the new one is higher; else 0 */
    bool done;
};

/* Begin to merge delta into tree, for a volume of size_pages that shares what the cut says. */
COFFER_MUST_CHECK int cof_merge_begin(struct cof_merge *merge, struct cof_env *env,
                                      const struct cof_node_io *io, const struct cof_tree *tree,
                                      const struct cof_delta *delta, uint64_t size_pages,
                                      const struct cof_cut *cut, struct cof_kills *kills);
/* Do about one leaf; merge->done tells when it is over. */
COFFER_MUST_CHECK int cof_merge_step(struct cof_merge *merge);
void cof_merge_end(struct cof_merge *merge);

#endif
