/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/nodes.c - the cache of map nodes.
 */
#include "map/nodes.h"

#include <string.h>

#define NODES_MIN 64u
#define RECENT 32u /* nodes: several callers take turns */

int cof_nodes_init(struct cof_nodes *nodes, struct cof_env *env, uint64_t budget_bytes)
{
    memset(nodes, 0, sizeof *nodes);
    nodes->env = env;
    nodes->count_max = budget_bytes / sizeof(struct cof_node);
    if (nodes->count_max < NODES_MIN) {
        nodes->count_max = NODES_MIN;
    }
    nodes->hash_count = 64;
    while (nodes->hash_count < nodes->count_max) {
        nodes->hash_count *= 2u;
    }
    nodes->hash = cof_calloc(env, nodes->hash_count, sizeof(struct cof_node *));
    return nodes->hash != NULL ? 0 : COFFER_E_NO_MEMORY;
}

static struct cof_node **head_of(const struct cof_nodes *nodes, uint64_t volume,
                                 struct cof_vaddr addr)
{
    uint64_t h = (addr.bits ^ volume << 50) * UINT64_C(0x9e3779b97f4a7c15);
    return &nodes->hash[(h >> 24) & (nodes->hash_count - 1u)];
}

static void unlink_lru(struct cof_nodes *nodes, struct cof_node *node)
{
    *(node->newer != NULL ? &node->newer->older : &nodes->newest) = node->older;
    *(node->older != NULL ? &node->older->newer : &nodes->oldest) = node->newer;
}

static void link_newest(struct cof_nodes *nodes, struct cof_node *node)
{
    node->newer = NULL;
    node->older = nodes->newest;
    *(nodes->newest != NULL ? &nodes->newest->newer : &nodes->oldest) = node;
    nodes->newest = node;
}

static void unlink_hash(struct cof_nodes *nodes, struct cof_node *node)
{
    struct cof_node **at = head_of(nodes, node->volume, node->addr);
    while (*at != node) {
        at = &(*at)->hash_next;
    }
    *at = node->hash_next;
}

void cof_nodes_remove(struct cof_nodes *nodes, struct cof_node *node)
{
    unlink_hash(nodes, node);
    unlink_lru(nodes, node);
    nodes->count--;
    cof_free(nodes->env, node);
}

void cof_nodes_done(struct cof_nodes *nodes)
{
    while (nodes->newest != NULL) {
        cof_nodes_remove(nodes, nodes->newest);
    }
    cof_free(nodes->env, nodes->hash);
    nodes->hash = NULL;
}

const struct cof_node *cof_nodes_find(struct cof_nodes *nodes, uint64_t volume,
                                      struct cof_vaddr addr)
{
    struct cof_node *node = *head_of(nodes, volume, addr);
    while (node != NULL && (node->addr.bits != addr.bits || node->volume != volume)) {
        node = node->hash_next;
    }
    if (node != NULL && nodes->newest != node) {
        unlink_lru(nodes, node);
        link_newest(nodes, node);
    }
    return node;
}

bool cof_nodes_is_recent(const struct cof_nodes *nodes, uint64_t volume, struct cof_vaddr addr)
{
    const struct cof_node *node = nodes->newest;
    for (unsigned i = 0; i < RECENT && node != NULL; i++) {
        if (node->addr.bits == addr.bits && node->volume == volume) {
            return true;
        }
        node = node->older;
    }
    return false;
}

struct cof_node *cof_nodes_add(struct cof_nodes *nodes, uint64_t volume, struct cof_vaddr addr)
{
    struct cof_node *node;
    struct cof_node **head;
    if (nodes->count >= nodes->count_max) {
        node = nodes->oldest;
        unlink_hash(nodes, node);
        unlink_lru(nodes, node);
        nodes->count--;
    } else {
        node = cof_alloc(nodes->env, sizeof *node);
        if (node == NULL) {
            return NULL;
        }
    }
    node->volume = volume;
    node->addr = addr;
    head = head_of(nodes, volume, addr);
    node->hash_next = *head;
    *head = node;
    link_newest(nodes, node);
    nodes->count++;
    return node;
}

void cof_nodes_forget_volume(struct cof_nodes *nodes, uint64_t volume)
{
    struct cof_node *node = nodes->newest;
    while (node != NULL) {
        struct cof_node *older = node->older;
        if (node->volume == volume) {
            cof_nodes_remove(nodes, node);
        }
        node = older;
    }
}
