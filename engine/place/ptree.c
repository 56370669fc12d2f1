/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/ptree.c - the keyless tree.
 */
#include "place/ptree.h"

#include "base/checksum.h"

#include <string.h>

#define FANOUT_SHIFT 8u
#define HEIGHT_MAX 8u

void cof_ptree_init(struct cof_ptree *tree, struct cof_env *env, struct cof_sync_io *io,
                    struct cof_segments *segments, enum cof_raw_kind kind, uint32_t segment_blocks,
                    const struct cof_tree_pointer *root)
{
    memset(tree, 0, sizeof *tree);
    tree->env = env;
    tree->io = io;
    tree->segments = segments;
    tree->kind = kind;
    tree->segment_blocks = segment_blocks;
    tree->root = *root;
}

static void free_node(struct cof_env *env, struct cof_tree_node *node)
{
    if (node == NULL) {
        return;
    }
    for (unsigned i = 0; node->children != NULL && i < COF_TREE_FANOUT; i++) {
        free_node(env, node->children[i]);
    }
    cof_free(env, node->children);
    cof_free(env, node);
}

void cof_ptree_done(struct cof_ptree *tree)
{
    free_node(tree->env, tree->top);
    tree->top = NULL;
}

static struct cof_tree_node *new_node(struct cof_env *env, unsigned level)
{
    struct cof_tree_node *node = cof_calloc(env, 1, sizeof *node);
    if (node != NULL && level > 1) {
        node->children = cof_calloc(env, COF_TREE_FANOUT, sizeof *node->children);
        if (node->children == NULL) {
            cof_free(env, node);
            return NULL;
        }
    }
    return node;
}

int cof_ptree_fetch(struct cof_ptree *tree, const struct cof_tree_pointer *pointer, uint8_t *bytes)
{
    int err;
    if (pointer->segment == COF_NO_SEGMENT || pointer->segment >= tree->segments->count ||
        (uint32_t)pointer->block + pointer->blocks > tree->segment_blocks) {
        return COFFER_E_CORRUPT;
    }
    err = cof_sync_io_read(tree->io, pointer->segment, pointer->block * 4096u, bytes,
                           (size_t)pointer->blocks * 4096u);
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
    node = new_node(tree->env, level);
    if (node == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        cof_tree_entry_decode(block + 16u * i, &node->entries[i]);
    }
    *ret_node = node;
    return 0;
}

static bool covers(unsigned height, uint64_t key)
{
    return height >= HEIGHT_MAX || (key >> (FANOUT_SHIFT * height)) == 0;
}

static unsigned slot_of(uint64_t key, unsigned level)
{
    return (unsigned)(key >> (FANOUT_SHIFT * (level - 1u))) & (COF_TREE_FANOUT - 1u);
}

static int load_top(struct cof_ptree *tree)
{
    if (tree->top != NULL || tree->root.height == 0) {
        return 0;
    }
    return load_node(tree, &tree->root, tree->root.height, &tree->top);
}

/* The child of node, read or (make) made new; NOT_FOUND. */
static int descend(struct cof_ptree *tree, struct cof_tree_node *node, unsigned level,
                   unsigned slot, bool make, struct cof_tree_node **ret_child)
{
    int err = 0;
    if (node->children[slot] == NULL) {
        if (node->entries[slot].blocks != 0) {
            err = load_node(tree, &node->entries[slot], level - 1u, &node->children[slot]);
        } else if (make) {
            node->children[slot] = new_node(tree->env, level - 1u);
            err = node->children[slot] == NULL ? COFFER_E_NO_MEMORY : 0;
        } else {
            err = COFFER_E_NOT_FOUND;
        }
    }
    *ret_child = node->children[slot];
    return err;
}

int cof_ptree_find(struct cof_ptree *tree, uint64_t key, struct cof_tree_pointer *ret_pointer)
{
    struct cof_tree_node *node;
    int err;
    if (!covers(tree->root.height, key)) {
        return COFFER_E_NOT_FOUND;
    }
    if (tree->root.height == 0) {
        *ret_pointer = tree->root;
        return tree->root.blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    err = load_top(tree);
    if (err != 0) {
        return err;
    }
    node = tree->top;
    for (unsigned level = tree->root.height; level > 1; level--) {
        err = descend(tree, node, level, slot_of(key, level), false, &node);
        if (err != 0) {
            return err;
        }
    }
    *ret_pointer = node->entries[slot_of(key, 1)];
    return ret_pointer->blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
}

/* first: key of the node's first record. */
static int next_below(struct cof_ptree *tree, struct cof_tree_node *node, unsigned level,
                      uint64_t first, uint64_t *key)
{
    uint64_t span = UINT64_C(1) << (FANOUT_SHIFT * (level - 1u));
    unsigned slot = *key > first ? (unsigned)((*key - first) / span) : 0u;
    for (; slot < COF_TREE_FANOUT; slot++) {
        uint64_t begin = first + slot * span;
        struct cof_tree_node *child;
        int err;
        if (level == 1) {
            if (node->entries[slot].blocks != 0) {
                *key = begin;
                return 0;
            }
            continue;
        }
        err = descend(tree, node, level, slot, false, &child);
        if (err == 0) {
            err = next_below(tree, child, level - 1u, begin, key);
        }
        if (err != COFFER_E_NOT_FOUND) {
            return err;
        }
    }
    return COFFER_E_NOT_FOUND;
}

int cof_ptree_next(struct cof_ptree *tree, uint64_t *key)
{
    int err;
    if (!covers(tree->root.height, *key)) {
        return COFFER_E_NOT_FOUND;
    }
    if (tree->root.height == 0) {
        return *key == 0 && tree->root.blocks != 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    err = load_top(tree);
    return err == 0 ? next_below(tree, tree->top, tree->root.height, 0, key) : err;
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

/* Put levels above the root until key fits. */
static int grow(struct cof_ptree *tree, uint64_t key)
{
    while (!covers(tree->root.height, key)) {
        struct cof_tree_node *node;
        int err = load_top(tree);
        if (err != 0) {
            return err;
        }
        node = new_node(tree->env, tree->root.height + 1u);
        if (node == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        node->entries[0] = tree->root;
        node->entries[0].height = 0;
        if (node->children != NULL) {
            node->children[0] = tree->top;
        }
        node->dirty = true;
        tree->top = node;
        tree->root.height++;
        tree->root.blocks = 0; /* the old root is entry 0 now; the new one is not written yet */
    }
    return 0;
}

static void release(struct cof_ptree *tree, const struct cof_tree_pointer *old)
{
    if (old->blocks == 0 || old->segment >= tree->segments->count) {
        return;
    }
    if (tree->kind == COF_RAW_SEGMENTS) {
        struct cof_segment *segment = &tree->segments->table[old->segment];
        segment->own -= segment->own < old->blocks ? segment->own : old->blocks;
    } else {
        cof_segments_live_sub(tree->segments, old->segment, old->blocks);
    }
}

/* Write bytes and replace the pointer *at. */
static int replace(struct cof_ptree *tree, const struct cof_raw_writer *writer, uint64_t key,
                   const uint8_t *bytes, unsigned blocks, struct cof_tree_pointer *at)
{
    struct cof_tree_pointer place;
    memset(&place, 0, sizeof place);
    if (blocks > 0) {
        int err = writer->put(writer->ctx, tree->kind, key, bytes, blocks, &place);
        if (err != 0) {
            return err;
        }
        place.sum = cof_checksum64(bytes, (size_t)blocks * 4096u);
        if (tree->kind == COF_RAW_SEGMENTS) {
            tree->segments->table[place.segment].own += blocks;
        } else {
            cof_segments_live_add(tree->segments, place.segment, blocks);
        }
    }
    release(tree, at);
    place.height = at->height;
    *at = place;
    return 0;
}

static int replace_record(struct cof_ptree *tree, const struct cof_raw_writer *writer, uint64_t key,
                          const uint8_t *bytes, unsigned blocks, struct cof_tree_pointer *at)
{
    bool was = at->blocks != 0;
    int err = replace(tree, writer, key, bytes, blocks, at);
    if (err == 0 && was != (blocks != 0)) {
        tree->record_count += was ? UINT64_MAX : 1u;
    }
    return err;
}

int cof_ptree_write(struct cof_ptree *tree, const struct cof_raw_writer *writer, uint64_t key,
                    const uint8_t *bytes, unsigned blocks)
{
    struct cof_tree_node *node;
    int err = grow(tree, key);
    if (err != 0) {
        return err;
    }
    if (tree->root.height == 0) {
        return replace_record(tree, writer, key, bytes, blocks, &tree->root);
    }
    err = load_top(tree);
    if (err != 0) {
        return err;
    }
    node = tree->top;
    node->dirty = true;
    for (unsigned level = tree->root.height; level > 1; level--) {
        err = descend(tree, node, level, slot_of(key, level), true, &node);
        if (err != 0) {
            return err;
        }
        node->dirty = true;
    }
    return replace_record(tree, writer, key, bytes, blocks, &node->entries[slot_of(key, 1)]);
}

static bool stands_at(const struct cof_tree_pointer *pointer, uint32_t segment, uint32_t block)
{
    return pointer->blocks != 0 && pointer->segment == segment && pointer->block == block;
}

int cof_ptree_leave(struct cof_ptree *tree, uint64_t key, uint32_t segment, uint32_t block,
                    bool *ret_record)
{
    struct cof_tree_node *path[HEIGHT_MAX];
    const struct cof_tree_pointer *pointer = &tree->root;
    unsigned depth = 0;
    bool found = false;
    int err = covers(tree->root.height, key) ? load_top(tree) : COFFER_E_NOT_FOUND;
    *ret_record = false;
    for (unsigned level = tree->root.height; err == 0 && level > 0 && !found; level--) {
        if (depth == 0) {
            path[depth] = tree->top;
        } else {
            err = descend(tree, path[depth - 1u], level + 1u, slot_of(key, level + 1u), false,
                          &path[depth]);
        }
        if (err == 0) {
            found = stands_at(pointer, segment, block);
            pointer = &path[depth]->entries[slot_of(key, level)];
            depth++;
        }
    }
    if (err != 0) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    for (unsigned i = 0; found && i < depth; i++) {
        path[i]->dirty = true;
    }
    *ret_record = !found && stands_at(pointer, segment, block);
    return 0;
}

static bool empty(const struct cof_tree_node *node)
{
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        if (node->entries[i].blocks != 0) {
            return false;
        }
    }
    return true;
}

/* key: the first record below node. */
static int flush_node(struct cof_ptree *tree, const struct cof_raw_writer *writer,
                      struct cof_tree_node *node, unsigned level, uint64_t key,
                      struct cof_tree_pointer *at)
{
    uint8_t block[4096];
    int err;
    if (!node->dirty) {
        return 0;
    }
    for (unsigned i = 0; level > 1 && i < COF_TREE_FANOUT; i++) {
        if (node->children[i] != NULL) {
            err = flush_node(tree, writer, node->children[i], level - 1u,
                             key | (uint64_t)i << (FANOUT_SHIFT * (level - 1u)), &node->entries[i]);
            if (err != 0) {
                return err;
            }
        }
    }
    for (unsigned i = 0; i < COF_TREE_FANOUT; i++) {
        cof_tree_entry_encode(&node->entries[i], block + 16u * i);
    }
    err = replace(tree, writer, key, block, empty(node) && at != &tree->root ? 0u : 1u, at);
    if (err == 0) {
        node->dirty = false;
    }
    return err;
}

int cof_ptree_flush(struct cof_ptree *tree, const struct cof_raw_writer *writer)
{
    if (tree->top == NULL) {
        return 0;
    }
    return flush_node(tree, writer, tree->top, tree->root.height, 0, &tree->root);
}

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
                             key | (uint64_t)i << (FANOUT_SHIFT * (level - 1u)));
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
