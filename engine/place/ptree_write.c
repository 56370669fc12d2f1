/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/ptree_write.c - the keyless tree: a record is replaced at once, the nodes above it at the
 * flush, each in a new place. What died with that is no longer counted in its segment, which is
 * free when the root that no longer names it is durable.
 */
#include "place/internal.h"

#include "base/checksum.h"

#include <string.h>

/* Put levels above the root until key fits. */
static int grow(struct cof_ptree *tree, uint64_t key)
{
    while (!cof_tree_covers(tree->root.height, key)) {
        struct cof_tree_node *node;
        int err = cof_ptree_top(tree);
        if (err != 0) {
            return err;
        }
        node = cof_tree_node_new(tree, tree->root.height + 1u);
        if (node == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        node->entries[0] = tree->root;
        node->entries[0].height = 0;
        if (tree->top != NULL) {
            node->children[0] = tree->top;
            tree->top->parent = node;
            tree->top->slot = 0;
        }
        cof_tree_node_dirty(tree, node);
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
    err = cof_ptree_walk(tree, key, true, &node);
    if (err == 0) {
        cof_tree_node_dirty(tree, node);
        err =
            replace_record(tree, writer, key, bytes, blocks, &node->entries[cof_tree_slot(key, 1)]);
    }
    cof_ptree_trim(tree);
    return err;
}

static bool stands_at(const struct cof_tree_pointer *pointer, uint32_t segment, uint32_t block)
{
    return pointer->blocks != 0 && pointer->segment == segment && pointer->block == block;
}

int cof_ptree_leave(struct cof_ptree *tree, uint64_t key, uint32_t segment, uint32_t block,
                    bool *ret_record)
{
    const struct cof_tree_pointer *pointer = &tree->root;
    struct cof_tree_node *node = NULL;
    bool found = false;
    int err = cof_tree_covers(tree->root.height, key) ? cof_ptree_top(tree) : COFFER_E_NOT_FOUND;
    *ret_record = false;
    for (unsigned level = tree->root.height; err == 0 && level > 0 && !found; level--) {
        if (node == NULL) {
            node = tree->top;
        } else {
            err = cof_ptree_descend(tree, node, level + 1u, cof_tree_slot(key, level + 1u), false,
                                    &node);
        }
        if (err == 0) {
            found = stands_at(pointer, segment, block);
            pointer = &node->entries[cof_tree_slot(key, level)];
        }
    }
    if (err == 0) {
        *ret_record = !found && stands_at(pointer, segment, block);
    }
    if (found) {
        cof_tree_node_dirty(tree, node);
    } else {
        cof_tree_node_used(tree, node);
    }
    cof_ptree_trim(tree);
    return err == COFFER_E_NOT_FOUND ? 0 : err;
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
            err =
                flush_node(tree, writer, node->children[i], level - 1u,
                           key | (uint64_t)i << (COF_TREE_SHIFT * (level - 1u)), &node->entries[i]);
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
        cof_tree_node_clean(tree, node);
    }
    return err;
}

int cof_ptree_flush(struct cof_ptree *tree, const struct cof_raw_writer *writer)
{
    int err;
    if (tree->top == NULL) {
        return 0;
    }
    err = flush_node(tree, writer, tree->top, tree->root.height, 0, &tree->root);
    cof_ptree_trim(tree);
    return err;
}
