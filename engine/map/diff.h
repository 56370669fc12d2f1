/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/diff.h - what one tree refers to and others do not.
 *
 * Trees of a family share whole subtrees, and equal addresses at the same place mean equal
 * contents, for ever: so a walk that skips equal pointers costs what differs. An address of the
 * tree that lies at or below its cut belongs to its parent and is skipped too, a node with all
 * that is below it. Nothing is cached and nothing written; between two visits the caller may let
 * others in, as long as the trees that are walked stay as they are.
 */
#ifndef COF_MAP_DIFF_H
#define COF_MAP_DIFF_H

#include "map/tree.h"

#define COF_DIFF_OTHERS_MAX 16u

struct cof_diff_tree {
    const struct cof_node_io *io;
    struct cof_tree tree;
};

struct cof_diff {
    struct cof_env *env;
    struct cof_diff_tree tree;
    struct cof_cut cut; /* of the tree; zeros: none of it is skipped */
    struct cof_diff_tree others[COF_DIFF_OTHERS_MAX];
    unsigned other_count;
    void *ctx;
    /* An address of the tree that none of the others has there: a node (level >= 1, index), before
     * what is below it, or a page (level 0, page number). */
    int (*visit)(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index);
    /* May be NULL: after each leaf. */
    int (*pause)(void *ctx);
    /* May be NULL: a page of the first other where the tree has nothing. */
    int (*gone)(void *ctx, uint64_t page);
};

/* In ascending order of pages. The first error, of a read or a visit, stops and is returned. */
COFFER_MUST_CHECK int cof_diff_run(struct cof_diff *diff);

#endif
