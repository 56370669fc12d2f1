/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/nodes.h - the cache of map nodes, in the clear, by address.
 *
 * Addresses are written once, so an entry never goes stale: the cache needs no invalidation. The
 * oldest goes first beyond the budget. Under the store's lock.
 */
#ifndef COF_MAP_NODES_H
#define COF_MAP_NODES_H

#include "base/env.h"
#include "format/vaddr.h"

struct cof_node {
    uint64_t volume;
    struct cof_vaddr addr;
    struct cof_node *hash_next, *newer, *older;
    struct cof_vaddr entries[COF_NODE_FANOUT];
};

struct cof_nodes {
    struct cof_env *env;
    struct cof_node **hash;
    uint64_t hash_count, count, count_max;
    struct cof_node *newest, *oldest;
};

COFFER_MUST_CHECK int cof_nodes_init(struct cof_nodes *nodes, struct cof_env *env,
                                     uint64_t budget_bytes);
void cof_nodes_done(struct cof_nodes *nodes);
/* NULL when it is not cached. Good until the next cof_nodes_add. */
const struct cof_node *cof_nodes_find(struct cof_nodes *nodes, uint64_t volume,
                                      struct cof_vaddr addr);
/* Whether it is one of the few that were found or added last. */
bool cof_nodes_is_recent(const struct cof_nodes *nodes, uint64_t volume, struct cof_vaddr addr);
/* A place for a node that is not cached, in the cache already; the caller fills its entries. NULL
 * without memory. */
struct cof_node *cof_nodes_add(struct cof_nodes *nodes, uint64_t volume, struct cof_vaddr addr);
/* Take back the newest, whose read failed. */
void cof_nodes_remove(struct cof_nodes *nodes, struct cof_node *node);
void cof_nodes_forget_volume(struct cof_nodes *nodes, uint64_t volume);

#endif
