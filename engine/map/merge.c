/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/merge.c - a frozen delta into the tree, depth first, a leaf a step.
 *
 * The stack of frames is the path from the root to where the merge stands: at most one new node a
 * level is in memory, and each is written when the merge leaves it. Entries are consumed in the
 * order of pages. A subtree under a hole is walked to its pages, since each of them dies.
 */
#include "map/tree.h"

#include "base/testhook.h"

#include <string.h>

/* Holes that name this very node. */
static void take_holes(struct cof_merge *merge, struct cof_merge_frame *frame)
{
    while (merge->hole_at < merge->hole_count) {
        const struct cof_delta_hole *hole = &merge->holes[merge->hole_at];
        if (hole->key != cof_delta_key(frame->level, frame->index)) {
            return;
        }
        if (hole->addr.bits > frame->hole.bits) {
            frame->hole = hole->addr;
        }
        merge->hole_at++;
    }
}

static uint64_t leaf_page(const struct cof_dirty_leaf *leaf)
{
    return (uint64_t)leaf->index << COF_NODE_SHIFT;
}

/* Levels for the volume's pages, the old tree, and every entry: a volume that shrank still has
 * entries beyond its end, which have to die. */
static unsigned merge_height(const struct cof_merge *merge, uint64_t size_pages)
{
    unsigned height = cof_tree_height_for(size_pages);
    if (merge->tree.height > height) {
        height = merge->tree.height;
    }
    if (merge->leaf_count > 0) {
        uint64_t end = leaf_page(&merge->leaves[merge->leaf_count - 1u]) + COF_NODE_FANOUT;
        unsigned needed = cof_tree_height_for(end);
        height = needed > height ? needed : height;
    }
    for (uint64_t i = 0; i < merge->hole_count; i++) {
        unsigned level = cof_delta_key_level(merge->holes[i].key);
        uint64_t end = (cof_delta_key_index(merge->holes[i].key) + 1u) << (COF_NODE_SHIFT * level);
        unsigned needed = cof_tree_height_for(end);
        height = needed > height ? needed : height;
    }
    return height;
}

int cof_merge_begin(struct cof_merge *merge, struct cof_env *env, const struct cof_node_io *io,
                    const struct cof_tree *tree, const struct cof_delta *delta, uint64_t size_pages,
                    const struct cof_cut *cut, struct cof_kills *kills)
{
    struct cof_merge_frame *top;
    unsigned height;
    int err;
    memset(merge, 0, sizeof *merge);
    merge->env = env;
    merge->io = io;
    merge->tree = *tree;
    merge->kills = kills;
    merge->cut = *cut;
    merge->done = delta->count == 0;
    if (merge->done) {
        return 0;
    }
    merge->frames = cof_calloc(env, COF_MAP_LEVELS_MAX + 1u, sizeof *merge->frames);
    if (merge->frames == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_delta_sorted(delta, &merge->leaves, &merge->holes, &merge->hole_count);
    if (err != 0) {
        cof_merge_end(merge);
        return err;
    }
    merge->leaf_count = delta->leaf_count;
    height = merge_height(merge, size_pages);
    top = &merge->frames[0];
    top->level = height;
    top->keep = true;
    top->entries = top->own;
    merge->depth = 1;
    if (tree->height == height) {
        top->old_addr = tree->root;
        err = io->read(io->ctx, tree->root, height, 0, top->entries);
    } else {
        merge->grow_from = tree->height; /* levels are put above the old root */
    }
    take_holes(merge, top);
    if (err != 0) {
        cof_merge_end(merge);
    }
    return err;
}

void cof_merge_end(struct cof_merge *merge)
{
    cof_free(merge->env, merge->frames);
    cof_free(merge->env, merge->ahead);
    cof_free(merge->env, merge->leaves);
    cof_free(merge->env, merge->holes);
    merge->ahead = NULL;
    merge->frames = NULL;
    merge->leaves = NULL;
    merge->holes = NULL;
}

/* First page behind child i of a frame. */
static uint64_t child_end(const struct cof_merge_frame *frame, unsigned i)
{
    unsigned shift = COF_NODE_SHIFT * (frame->level - 1u);
    return ((frame->index << COF_NODE_SHIFT) + i + 1u) << shift;
}

static uint64_t hole_page(const struct cof_delta_hole *hole)
{
    return cof_delta_key_index(hole->key) << (COF_NODE_SHIFT * cof_delta_key_level(hole->key));
}

static bool child_is_touched(const struct cof_merge *merge, const struct cof_merge_frame *frame,
                             unsigned i)
{
    uint64_t end = child_end(frame, i);
    if (i == 0 && frame->index == 0 && merge->grow_from != 0 && frame->level > merge->grow_from) {
        return true; /* the way down to the old root */
    }
    if (frame->hole.bits != 0 && frame->entries[i].bits != 0) {
        return true;
    }
    return (merge->leaf_at < merge->leaf_count &&
            leaf_page(&merge->leaves[merge->leaf_at]) < end) ||
           (merge->hole_at < merge->hole_count && hole_page(&merge->holes[merge->hole_at]) < end);
}

/* The end of an address, unless it is inherited. */
static int kill_own(struct cof_merge *merge, struct cof_vaddr addr, uint64_t cut)
{
    return cof_vaddr_position(addr) > cut || COF_BROKEN(SKIP_CUT)
               ? cof_kills_add(merge->kills, addr)
               : 0;
}

static int merge_page(struct cof_merge *merge, struct cof_merge_frame *frame, unsigned i,
                      struct cof_vaddr fresh)
{
    struct cof_vaddr *entry = &frame->entries[i];
    struct cof_vaddr winner = fresh;
    int err = 0;
    if (frame->hole.bits > winner.bits) {
        err = cof_kills_add(merge->kills, winner); /* written, then discarded */
        winner = frame->hole;
    }
    if (err != 0 || (cof_vaddr_hole(winner) && entry->bits == 0)) {
        return err;
    }
    if (winner.bits <= entry->bits) {
        return winner.bits < entry->bits ? cof_kills_add(merge->kills, winner) : 0;
    }
    err = kill_own(merge, *entry, merge->cut.pages);
    merge->mapped_change -= entry->bits != 0 ? 1 : 0;
    entry->bits = cof_vaddr_hole(winner) ? 0 : winner.bits;
    merge->mapped_change += entry->bits != 0 ? 1 : 0;
    frame->changed = true;
    return err;
}

struct leaf_merge {
    struct cof_merge *merge;
    struct cof_merge_frame *frame;
    struct cof_vaddr *fresh; /* of a leaf under a hole */
};

static int merge_entry(void *ctx, unsigned page, struct cof_vaddr addr)
{
    const struct leaf_merge *leaf = ctx;
    return merge_page(leaf->merge, leaf->frame, page, addr);
}

static int note_entry(void *ctx, unsigned page, struct cof_vaddr addr)
{
    const struct leaf_merge *leaf = ctx;
    leaf->fresh[page] = addr;
    return 0;
}

/* All pages of the leaf are the hole's, but for those that are newer. */
static int merge_below_hole(struct leaf_merge *leaf, const struct cof_dirty_leaf *dirty)
{
    struct cof_vaddr fresh[COF_NODE_FANOUT] = {{0}};
    int err = 0;
    leaf->fresh = fresh;
    if (dirty != NULL) {
        (void)cof_dirty_each(dirty, note_entry, leaf);
    }
    for (unsigned i = 0; err == 0 && i < COF_NODE_FANOUT; i++) {
        err = merge_page(leaf->merge, leaf->frame, i, fresh[i]);
    }
    return err;
}

static int merge_leaf(struct cof_merge *merge, struct cof_merge_frame *frame)
{
    struct leaf_merge leaf = {merge, frame, NULL};
    const struct cof_dirty_leaf *dirty = NULL;
    if (merge->leaf_at < merge->leaf_count && merge->leaves[merge->leaf_at].index == frame->index) {
        dirty = &merge->leaves[merge->leaf_at++];
        if (merge->leaf_at < merge->leaf_count) {
            cof_dirty_expect(&merge->leaves[merge->leaf_at], 0);
        }
    }
    if (frame->hole.bits != 0) {
        return merge_below_hole(&leaf, dirty);
    }
    return dirty != NULL ? cof_dirty_each(dirty, merge_entry, &leaf) : 0;
}

static bool empty(const struct cof_merge_frame *frame)
{
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        if (frame->entries[i].bits != 0) {
            return false;
        }
    }
    return true;
}

/* Write the frame's node if it changed, and tell its parent. */
static int leave(struct cof_merge *merge)
{
    struct cof_merge_frame *frame = &merge->frames[merge->depth - 1u];
    struct cof_vaddr addr = frame->old_addr;
    int err = 0;
    if (frame->changed) {
        addr.bits = 0;
        err = kill_own(merge, frame->old_addr, merge->cut.nodes);
        if (err == 0 && !empty(frame)) {
            err = merge->io->write(merge->io->ctx, frame->level, frame->index, frame->entries,
                                   frame->keep, &addr);
        }
        if (err != 0) {
            return err;
        }
    }
    merge->depth--;
    if (merge->depth == 0) {
        merge->tree.root = addr;
        merge->tree.height = addr.bits != 0 ? frame->level : 0u;
        merge->done = true;
        return 0;
    }
    if (frame->changed) {
        struct cof_merge_frame *parent = &merge->frames[merge->depth - 1u];
        parent->entries[frame->index & (COF_NODE_FANOUT - 1u)] = addr;
        parent->changed = true;
    }
    return 0;
}

/* The leaves that the next pages fall on, from child i of the frame on, unless they are cached:
 * each would be waited for alone. Leaves below holes alone are not looked for. */
static void read_ahead(struct cof_merge *merge, const struct cof_merge_frame *frame, unsigned i)
{
    const struct cof_node_io *io = merge->io;
    struct cof_leaf_ref wanted[COF_LEAVES_AHEAD_MAX];
    uint64_t first = frame->index << COF_NODE_SHIFT;
    unsigned count = 0;
    merge->ahead_count = 0;
    merge->ahead_at = 0;
    merge->ahead_end = first + i + 1u;
    for (uint64_t at = merge->leaf_at; at < merge->leaf_count && count < COF_LEAVES_AHEAD_MAX;
         at++) {
        uint64_t leaf = merge->leaves[at].index;
        struct cof_vaddr addr = {0};
        if (leaf >= first + COF_NODE_FANOUT) {
            break;
        }
        if (leaf >= first + i) {
            addr = frame->entries[leaf - first];
            merge->ahead_end = leaf + 1u;
        }
        if (addr.bits != 0 && cof_nodes_find(io->cache, io->volume, addr) == NULL) {
            wanted[count++] = (struct cof_leaf_ref){leaf, addr};
        }
    }
    if (count < 2) {
        return;
    }
    if (merge->ahead == NULL) {
        merge->ahead = cof_alloc(merge->env, COF_LEAVES_AHEAD_MAX * sizeof *merge->ahead);
    }
    if (merge->ahead != NULL) {
        io->read_leaves(io->ctx, wanted, count, merge->ahead);
        merge->ahead_count = count;
    }
}

/* One of those that were read ahead, if it is. They are asked for in their order. */
static struct cof_leaf_ahead *take_ahead(struct cof_merge *merge, struct cof_vaddr addr)
{
    for (unsigned i = merge->ahead_at; i < merge->ahead_count; i++) {
        if (merge->ahead[i].addr.bits == addr.bits) {
            merge->ahead_at = i + 1u;
            return &merge->ahead[i];
        }
    }
    return NULL;
}

/* A leaf that nobody else looked at is not worth another's place in the cache. */
static int read_node(struct cof_merge *merge, struct cof_merge_frame *frame, struct cof_vaddr addr)
{
    const struct cof_node_io *io = merge->io;
    struct cof_leaf_ahead *ahead = frame->level == 1 ? take_ahead(merge, addr) : NULL;
    const struct cof_node *cached =
        ahead == NULL ? cof_nodes_find(io->cache, io->volume, addr) : NULL;
    if (cached != NULL) {
        memcpy(frame->own, cached->entries, sizeof frame->own);
        return 0;
    }
    frame->keep = frame->level > 1 || io->cache->count < io->cache->count_max;
    if (ahead != NULL) {
        frame->entries = ahead->entries; /* good until leaves are read ahead again */
        return 0;
    }
    return io->read(io->ctx, addr, frame->level, frame->index, frame->entries);
}

static int enter(struct cof_merge *merge, unsigned i)
{
    struct cof_merge_frame *parent = &merge->frames[merge->depth - 1u];
    struct cof_merge_frame *frame = &merge->frames[merge->depth];
    struct cof_vaddr addr = parent->entries[i];
    if (merge->grow_from != 0 && i == 0 && parent->index == 0 &&
        parent->level == merge->grow_from + 1u) {
        addr = merge->tree.root;
        parent->entries[0] = addr;
        parent->changed = true;
    }
    memset(frame, 0, offsetof(struct cof_merge_frame, own));
    frame->entries = frame->own;
    frame->level = parent->level - 1u;
    frame->index = (parent->index << COF_NODE_SHIFT) + i;
    frame->old_addr = addr;
    frame->hole = parent->hole;
    frame->keep = true;
    if (addr.bits == 0) {
        memset(frame->own, 0, sizeof frame->own);
    } else {
        int err = read_node(merge, frame, addr);
        if (err != 0) {
            return err;
        }
    }
    take_holes(merge, frame);
    merge->depth++;
    return 0;
}

int cof_merge_step(struct cof_merge *merge)
{
    while (!merge->done) {
        struct cof_merge_frame *frame = &merge->frames[merge->depth - 1u];
        int err;
        if (frame->level == 1) {
            err = merge_leaf(merge, frame);
            return err != 0 ? err : leave(merge);
        }
        while (frame->child < COF_NODE_FANOUT && !child_is_touched(merge, frame, frame->child)) {
            frame->child++;
        }
        if (frame->child < COF_NODE_FANOUT) {
            if (frame->level == 2 && merge->io->read_leaves != NULL &&
                (frame->index << COF_NODE_SHIFT) + frame->child >= merge->ahead_end) {
                read_ahead(merge, frame, frame->child);
            }
            err = enter(merge, frame->child++);
        } else {
            err = leave(merge);
        }
        if (err != 0) {
            return err;
        }
    }
    return 0;
}
