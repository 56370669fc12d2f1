/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/ptree.h - the keyless tree: a number -> a record of blocks, by physical place.
 *
 * A 256-ary radix tree, copy-on-write, each pointer with the XXH3 of what it points to. Three hang
 * from the root slot: placement, catalogue and segment table. Records belong to whoever keeps them.
 *
 * Nodes stay in memory within a budget: at the end of a call the clean ones go that were used least
 * recently, dirty ones never.
 *
 * Invariants
 *  1. What is above a dirty node is dirty.
 *  2. A clean node was used no earlier than the clean ones below it, but while a call is under way.
 *     So the one that goes has none below.
 * Under the store's lock.
 */
#ifndef COF_PLACE_PTREE_H
#define COF_PLACE_PTREE_H

#include "format/batch_format.h"
#include "format/place_format.h"
#include "place/segments.h"

/* Where blocks of trees are read: the device, but for what it has not got yet. */
struct cof_raw_reader {
    void *ctx;
    int (*get)(void *ctx, const struct cof_tree_pointer *place, uint8_t *bytes);
};

/* Where they are written: into the checkpoint lane. */
struct cof_raw_writer {
    void *ctx;
    /* Place blocks blocks; fills segment, block and blocks of ret_place. */
    int (*put)(void *ctx, enum cof_raw_kind kind, uint64_t key, const uint8_t *bytes,
               unsigned blocks, struct cof_tree_pointer *ret_place);
};

struct cof_tree_node {
    bool dirty;
    unsigned slot; /* in the parent */
    struct cof_tree_node *parent;
    struct cof_tree_node *newer, *older; /* of the clean ones */
    struct cof_tree_pointer entries[COF_TREE_FANOUT];
    struct cof_tree_node **children; /* NULL at level 1 */
};

struct cof_ptree {
    struct cof_env *env;
    struct cof_raw_reader reader;
    struct cof_segments *segments;
    enum cof_raw_kind kind;
    uint32_t segment_blocks;
    struct cof_tree_pointer root;
    bool records_known; /* record_count was counted from the tree's beginning on */
    uint64_t record_count;
    struct cof_tree_node *top;             /* NULL: not read, or the tree has height 0 */
    struct cof_tree_node *newest, *oldest; /* clean */
    uint64_t bytes, budget_bytes;          /* of nodes */
    uint64_t visit_budget; /* nodes a visit may still read: a forged tree can't make it endless */
    unsigned fruitless;    /* nodes in which a search for the next record found none */
};

void cof_ptree_init(struct cof_ptree *tree, struct cof_env *env,
                    const struct cof_raw_reader *reader, struct cof_segments *segments,
                    enum cof_raw_kind kind, uint32_t segment_blocks,
                    const struct cof_tree_pointer *root);
void cof_ptree_done(struct cof_ptree *tree);

/* The pointer of a record; NOT_FOUND. */
COFFER_MUST_CHECK int cof_ptree_find(struct cof_ptree *tree, uint64_t key,
                                     struct cof_tree_pointer *ret_pointer);
/* The smallest key >= *key that has a record; NOT_FOUND. */
COFFER_MUST_CHECK int cof_ptree_next(struct cof_ptree *tree, uint64_t *key);
/* Read a record of at most room_blocks blocks: CORRUPT when its checksum is wrong. */
COFFER_MUST_CHECK int cof_ptree_read(struct cof_ptree *tree, uint64_t key, uint8_t *bytes,
                                     unsigned room_blocks, unsigned *ret_blocks);
/* Write a record and point to it (blocks 0: remove); the old one's blocks die. */
COFFER_MUST_CHECK int cof_ptree_write(struct cof_ptree *tree, const struct cof_raw_writer *writer,
                                      uint64_t key, const uint8_t *bytes, unsigned blocks);
/* Of the blocks at a place, which were written under key, is anything still the tree's? Nodes are
 * written anew by the next flush; *ret_record: it is the record, which its owner has to write. */
COFFER_MUST_CHECK int cof_ptree_leave(struct cof_ptree *tree, uint64_t key, uint32_t segment,
                                      uint32_t block, bool *ret_record);
/* Write all dirty nodes, bottom-up. tree->root is then what belongs in the root slot. */
COFFER_MUST_CHECK int cof_ptree_flush(struct cof_ptree *tree, const struct cof_raw_writer *writer);

/* Visit every record in ascending order, and (visit_node, may be NULL) every node's pointer.
 * A non-zero return stops. A damaged node is reported by visit_damage, and skipped, if given. */
struct cof_ptree_visitor {
    void *ctx;
    int (*record)(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer);
    int (*node)(void *ctx, const struct cof_tree_pointer *pointer);
    int (*damage)(void *ctx, const struct cof_tree_pointer *pointer, int error);
};
COFFER_MUST_CHECK int cof_ptree_visit(struct cof_ptree *tree,
                                      const struct cof_ptree_visitor *visitor);

/* Read blocks at a pointer and check them. */
COFFER_MUST_CHECK int cof_ptree_fetch(struct cof_ptree *tree,
                                      const struct cof_tree_pointer *pointer, uint8_t *bytes);

#endif
