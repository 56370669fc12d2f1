/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/ptree.c - the keyless tree: its nodes in memory, and reading. Writing is ptree_write.c's.
 */
#include "place/internal.h"

#include "base/checksum.h"

#include <string.h>

/* Nodes as they stand on disk in which a search may find no record behind the key: one a level, and
 * one for each time that a tree whose records had all gone got higher. More are forged, and may
 * have no end. */
#define FRUITLESS_MAX 64u

#define BUDGET_DEFAULT (UINT64_C(1) << 20)

void cof_ptree_init(struct cof_ptree *tree, struct cof_env *env,
                    const struct cof_raw_reader *reader, struct cof_segments *segments,
                    enum cof_raw_kind kind, uint32_t segment_blocks,
                    const struct cof_tree_pointer *root)
{
    memset(tree, 0, sizeof *tree);
    tree->env = env;
    tree->reader = *reader;
    tree->segments = segments;
    tree->kind = kind;
    tree->segment_blocks = segment_blocks;
    tree->root = *root;
    tree->budget_bytes = BUDGET_DEFAULT;
}

/* ---- nodes in memory ---- */

static uint64_t node_bytes(const struct cof_tree_node *node)
{
    return sizeof *node + (node->children != NULL ? COF_TREE_FANOUT * sizeof *node->children : 0u);
}

static void unlink_clean(struct cof_ptree *tree, struct cof_tree_node *node)
{
    *(node->newer != NULL ? &node->newer->older : &tree->newest) = node->older;
    *(node->older != NULL ? &node->older->newer : &tree->oldest) = node->newer;
}

void cof_tree_node_clean(struct cof_ptree *tree, struct cof_tree_node *node)
{
    node->newer = NULL;
    node->older = tree->newest;
    *(tree->newest != NULL ? &tree->newest->newer : &tree->oldest) = node;
    tree->newest = node;
}

void cof_tree_node_used(struct cof_ptree *tree, struct cof_tree_node *node)
{
    for (; node != NULL && !node->dirty; node = node->parent) {
        if (node->newer != NULL) {
            unlink_clean(tree, node);
            cof_tree_node_clean(tree, node);
        }
    }
}

void cof_tree_node_dirty(struct cof_ptree *tree, struct cof_tree_node *node)
{
    for (; node != NULL && !node->dirty; node = node->parent) {
        unlink_clean(tree, node);
        node->dirty = true;
    }
}

static void free_node(struct cof_ptree *tree, struct cof_tree_node *node)
{
    tree->bytes -= node_bytes(node);
    cof_free(tree->env, node->children);
    cof_free(tree->env, node);
}

static void free_below(struct cof_ptree *tree, struct cof_tree_node *node)
{
    for (unsigned i = 0; node->children != NULL && i < COF_TREE_FANOUT; i++) {
        if (node->children[i] != NULL) {
            free_below(tree, node->children[i]);
        }
    }
    free_node(tree, node);
}

void cof_ptree_done(struct cof_ptree *tree)
{
    if (tree->top != NULL) {
        free_below(tree, tree->top);
    }
    tree->top = NULL;
    tree->newest = NULL;
    tree->oldest = NULL;
}

void cof_ptree_trim(struct cof_ptree *tree)
{
    while (tree->bytes > tree->budget_bytes && tree->oldest != NULL) {
        struct cof_tree_node *node = tree->oldest;
        *(node->parent != NULL ? &node->parent->children[node->slot] : &tree->top) = NULL;
        unlink_clean(tree, node);
        free_node(tree, node);
    }
}

struct cof_tree_node *cof_tree_node_new(struct cof_ptree *tree, unsigned level)
{
    struct cof_tree_node *node = cof_calloc(tree->env, 1, sizeof *node);
    if (node != NULL && level > 1) {
        node->children = cof_calloc(tree->env, COF_TREE_FANOUT, sizeof *node->children);
        if (node->children == NULL) {
            cof_free(tree->env, node);
            return NULL;
        }
    }
    if (node != NULL) {
        tree->bytes += node_bytes(node);
        cof_tree_node_clean(tree, node);
    }
    return node;
}

/* ---- reading ---- */

int cof_ptree_fetch(struct cof_ptree *tree, const struct cof_tree_pointer *pointer, uint8_t *bytes)
{
    int err;
    if (pointer->segment == COF_NO_SEGMENT || pointer->segment >= tree->segments->count ||
        (uint32_t)pointer->block + pointer->blocks > tree->segment_blocks) {
        return COFFER_E_CORRUPT;
    }
    err = tree->reader.get(tree->reader.ctx, pointer, bytes);
    if (err != 0) {
        return err;
    }
    return cof_checksum64(bytes, (size_t)pointer->blocks * 4096u) == pointer->sum
               ? 0
               : COFFER_E_CORRUPT;
}

static int load_node(struct cof_ptree *tree, const struct cof_tree_pointer *pointer, unsigned level,
                     struct cof_tree_node **ret_node)
{
    uint8_t block[4096];
    struct cof_tree_node *node;
    int err;
    if (pointer->blocks != 1) {
        return COFFER_E_CORRUPT;
    }
    err = cof_ptree_fetch(tree, pointer, block);
    if (err != 0) {
        return err;
    }
    node = cof_tree_node_new(tree, level);
    if (node == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        cof_tree_entry_decode(block + 16u * i, &node->entries[i]);
    }
    *ret_node = node;
    return 0;
}

int cof_ptree_top(struct cof_ptree *tree)
{
    if (tree->top != NULL || tree->root.height == 0) {
        return 0;
    }
    return load_node(tree, &tree->root, tree->root.height, &tree->top);
}

int cof_ptree_descend(struct cof_ptree *tree, struct cof_tree_node *node, unsigned level,
                      unsigned slot, bool make, struct cof_tree_node **ret_child)
{
    struct cof_tree_node **at = &node->children[slot];
    int err = 0;
    if (*at == NULL) {
        if (node->entries[slot].blocks != 0) {
            err = load_node(tree, &node->entries[slot], level - 1u, at);
        } else if (make) {
            *at = cof_tree_node_new(tree, level - 1u);
            err = *at == NULL ? COFFER_E_NO_MEMORY : 0;
        } else {
            err = COFFER_E_NOT_FOUND;
        }
        if (err != 0) {
            return err;
        }
        (*at)->parent = node;
        (*at)->slot = slot;
    }
    *ret_child = *at;
    return 0;
}

int cof_ptree_walk(struct cof_ptree *tree, uint64_t key, bool make, struct cof_tree_node **ret_node)
{
    struct cof_tree_node *node;
    int err = cof_ptree_top(tree);
    if (err != 0) {
        return err;
    }
    node = tree->top;
    for (unsigned level = tree->root.height; err == 0 && level > 1; level--) {
        err = cof_ptree_descend(tree, node, level, cof_tree_slot(key, level), make, &node);
    }
    cof_tree_node_used(tree, node);
    if (err == 0) {
        *ret_node = node;
    }
    return err;
}

int cof_ptree_find(struct cof_ptree *tree, uint64_t key, struct cof_tree_pointer *ret_pointer)
{
    struct cof_tree_node *node;
    int err;
    if (!cof_tree_covers(tree->root.height, key)) {
        return COFFER_E_NOT_FOUND;
    }
    if (tree->root.height == 0) {
        *ret_pointer = tree->root;
        return tree->root.blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    err = cof_ptree_walk(tree, key, false, &node);
    if (err == 0) {
        *ret_pointer = node->entries[cof_tree_slot(key, 1)];
        err = ret_pointer->blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    cof_ptree_trim(tree);
    return err;
}

/* first: key of the node's first record. */
static int next_below(struct cof_ptree *tree, struct cof_tree_node *node, unsigned level,
                      uint64_t first, uint64_t *key)
{
    uint64_t span = UINT64_C(1) << (COF_TREE_SHIFT * (level - 1u));
    unsigned slot = *key > first ? (unsigned)((*key - first) / span) : 0u;
    for (; slot < COF_TREE_FANOUT; slot++) {
        uint64_t begin = first + slot * span;
        struct cof_tree_node *child;
        int err;
        if (level == 1) {
            if (node->entries[slot].blocks != 0) {
                *key = begin;
                cof_tree_node_used(tree, node);
                return 0;
            }
            continue;
        }
        err = cof_ptree_descend(tree, node, level, slot, false, &child);
        if (err == 0) {
            err = next_below(tree, child, level - 1u, begin, key);
            /* What was emptied since it was read does not count: that is dirty, or written as
             * nothing. */
            if (err == COFFER_E_NOT_FOUND && !child->dirty && node->entries[slot].blocks != 0 &&
                ++tree->fruitless > FRUITLESS_MAX) {
                err = COFFER_E_CORRUPT;
            }
        }
        if (err != COFFER_E_NOT_FOUND) {
            cof_tree_node_used(tree, node);
            return err;
        }
    }
    cof_tree_node_used(tree, node);
    return COFFER_E_NOT_FOUND;
}

int cof_ptree_next(struct cof_ptree *tree, uint64_t *key)
{
    int err;
    if (!cof_tree_covers(tree->root.height, *key)) {
        return COFFER_E_NOT_FOUND;
    }
    if (tree->root.height == 0) {
        return *key == 0 && tree->root.blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    err = cof_ptree_top(tree);
    tree->fruitless = 0;
    if (err == 0) {
        err = next_below(tree, tree->top, tree->root.height, 0, key);
    }
    cof_ptree_trim(tree);
    return err;
}

int cof_ptree_read(struct cof_ptree *tree, uint64_t key, uint8_t *bytes, unsigned room_blocks,
                   unsigned *ret_blocks)
{
    struct cof_tree_pointer pointer;
    int err = cof_ptree_find(tree, key, &pointer);
    if (err != 0) {
        return err;
    }
    if (pointer.blocks > room_blocks) {
        return COFFER_E_CORRUPT;
    }
    err = cof_ptree_fetch(tree, &pointer, bytes);
    if (err == 0) {
        *ret_blocks = pointer.blocks;
    }
    return err;
}

/* ---- all of it ---- */

static int visit_node(struct cof_ptree *tree, const struct cof_ptree_visitor *visitor,
                      const struct cof_tree_pointer *pointer, unsigned level, uint64_t key)
{
    uint8_t block[4096];
    int err;
    if (tree->visit_budget == 0) {
        return COFFER_E_CORRUPT;
    }
    tree->visit_budget--;
    if (level == 0) {
        return visitor->record(visitor->ctx, key, pointer);
    }
    if (visitor->node != NULL) {
        err = visitor->node(visitor->ctx, pointer);
        if (err != 0) {
            return err;
        }
    }
    err = pointer->blocks == 1 ? cof_ptree_fetch(tree, pointer, block) : COFFER_E_CORRUPT;
    if (err != 0) {
        return visitor->damage != NULL ? visitor->damage(visitor->ctx, pointer, err) : err;
    }
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        struct cof_tree_pointer entry;
        cof_tree_entry_decode(block + 16u * i, &entry);
        if (entry.blocks != 0) {
            err = visit_node(tree, visitor, &entry, level - 1u,
                             key | (uint64_t)i << (COF_TREE_SHIFT * (level - 1u)));
            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

int cof_ptree_visit(struct cof_ptree *tree, const struct cof_ptree_visitor *visitor)
{
    if (tree->root.blocks == 0) {
        return 0;
    }
    tree->visit_budget = (uint64_t)tree->segments->count * tree->segment_blocks;
    return visit_node(tree, visitor, &tree->root, tree->root.height, 0);
}
