/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/diff.c - see diff.h. Depth first; at each level a node of each tree, 4 KiB each.
 */
#include "map/diff.h"

#include <string.h>

#define TREES (1u + COF_DIFF_OTHERS_MAX)

/* The same place in all trees: 0 is the tree, the others follow. */
struct place {
    unsigned level;
    uint64_t index;
    struct cof_vaddr addrs[TREES];
};

struct level_nodes {
    struct cof_vaddr entries[COF_NODE_FANOUT];
};

static const struct cof_diff_tree *tree_at(const struct cof_diff *diff, unsigned i)
{
    return i == 0 ? &diff->tree : &diff->others[i - 1u];
}

/* Entries of tree i at a place. A tree that is lower has only child 0, on the way to its root. */
static int load(const struct cof_diff *diff, unsigned i, const struct place *place,
                struct cof_vaddr entries[COF_NODE_FANOUT])
{
    const struct cof_diff_tree *tree = tree_at(diff, i);
    const struct cof_node *cached;
    struct cof_vaddr addr = place->addrs[i];
    memset(entries, 0, sizeof(struct level_nodes));
    if (addr.bits == 0) {
        return 0;
    }
    if (place->level > tree->tree.height) {
        entries[0] = addr;
        return 0;
    }
    cached = cof_nodes_find(tree->io->cache, tree->io->volume, addr);
    if (cached != NULL) {
        memcpy(entries, cached->entries, sizeof cached->entries);
        return 0;
    }
    return tree->io->read(tree->io->ctx, addr, place->level, place->index, entries);
}

static bool others_empty(const struct cof_diff *diff, const struct place *place)
{
    for (unsigned i = 1; i <= diff->other_count; i++) {
        if (place->addrs[i].bits != 0) {
            return false;
        }
    }
    return true;
}

/* Whether another tree has the same there. Above a lower tree's root there is nothing to compare.
 */
static bool shared(const struct cof_diff *diff, const struct place *place)
{
    for (unsigned i = 1; i <= diff->other_count; i++) {
        bool real = place->level <= diff->tree.tree.height &&
                    place->level <= diff->others[i - 1u].tree.height;
        if (real && place->addrs[i].bits == place->addrs[0].bits) {
            return true;
        }
    }
    return false;
}

static int visit_page(const struct cof_diff *diff, const struct place *place)
{
    struct cof_vaddr addr = place->addrs[0];
    if (addr.bits == 0) {
        return diff->gone != NULL && diff->other_count > 0 && place->addrs[1].bits != 0
                   ? diff->gone(diff->ctx, place->index)
                   : 0;
    }
    return cof_vaddr_position(addr) > diff->cut.pages
               ? diff->visit(diff->ctx, addr, 0, place->index)
               : 0;
}

static int walk(const struct cof_diff *diff, const struct place *place);

static int walk_children(const struct cof_diff *diff, const struct place *place,
                         struct level_nodes *nodes)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i <= diff->other_count; i++) {
        err = load(diff, i, place, nodes[i].entries);
    }
    for (unsigned child = 0; err == 0 && child < COF_NODE_FANOUT; child++) {
        struct place below;
        below.level = place->level - 1u;
        below.index = (place->index << COF_NODE_SHIFT) + child;
        for (unsigned i = 0; i <= diff->other_count; i++) {
            below.addrs[i] = nodes[i].entries[child];
        }
        err = walk(diff, &below);
    }
    if (err == 0 && place->level == 1 && diff->pause != NULL) {
        err = diff->pause(diff->ctx);
    }
    return err;
}

static int walk(const struct cof_diff *diff, const struct place *place)
{
    struct cof_vaddr addr = place->addrs[0];
    bool real = place->level <= diff->tree.tree.height;
    struct level_nodes *nodes;
    int err = 0;
    if (addr.bits == 0 && (diff->gone == NULL || others_empty(diff, place))) {
        return 0;
    }
    if (shared(diff, place)) {
        return 0;
    }
    if (place->level == 0) {
        return visit_page(diff, place);
    }
    if (addr.bits != 0 && real) {
        if (cof_vaddr_position(addr) <= diff->cut.nodes) {
            return 0;
        }
        err = diff->visit(diff->ctx, addr, place->level, place->index);
        if (err != 0) {
            return err;
        }
    }
    nodes = cof_alloc(diff->env, (diff->other_count + 1u) * sizeof *nodes);
    if (nodes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = walk_children(diff, place, nodes);
    cof_free(diff->env, nodes);
    return err;
}

int cof_diff_run(struct cof_diff *diff)
{
    struct place top;
    memset(&top, 0, sizeof top);
    for (unsigned i = 0; i <= diff->other_count; i++) {
        const struct cof_tree *tree = &tree_at(diff, i)->tree;
        top.addrs[i] = tree->root;
        top.level = tree->height > top.level ? tree->height : top.level;
    }
    return top.level == 0 ? 0 : walk(diff, &top);
}
