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
        const struct cof_delta_entry *hole = &merge->holes[merge->hole_at];
        if (hole->key != cof_delta_key(frame->level, frame->index)) {
            return;
        }
        if (hole->addr.bits > frame->hole.bits) {
            frame->hole = hole->addr;
        }
        merge->hole_at++;
    }
}

/* Levels for the volume's pages, the old tree, and every entry: a volume that shrank still has
 * entries beyond its end, which have to die. */
static unsigned merge_height(const struct cof_merge *merge, uint64_t size_pages)
{
    unsigned height = cof_tree_height_for(size_pages);
    if (merge->tree.height > height) {
        height = merge->tree.height;
    }
    if (merge->page_count > 0) {
        unsigned needed = cof_tree_height_for(merge->pages[merge->page_count - 1u].key + 1u);
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
    err = cof_delta_sorted(delta, &merge->pages, &merge->page_count, &merge->holes,
                           &merge->hole_count);
    if (err != 0) {
        cof_merge_end(merge);
        return err;
    }
    height = merge_height(merge, size_pages);
    top = &merge->frames[0];
    top->level = height;
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
    cof_free(merge->env, merge->pages);
    cof_free(merge->env, merge->holes);
    merge->frames = NULL;
    merge->pages = NULL;
    merge->holes = NULL;
}

/* First page behind child i of a frame. */
static uint64_t child_end(const struct cof_merge_frame *frame, unsigned i)
{
    unsigned shift = COF_NODE_SHIFT * (frame->level - 1u);
    return ((frame->index << COF_NODE_SHIFT) + i + 1u) << shift;
}

static uint64_t hole_page(const struct cof_delta_entry *hole)
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
    return (merge->page_at < merge->page_count && merge->pages[merge->page_at].key < end) ||
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

static int merge_leaf(struct cof_merge *merge, struct cof_merge_frame *frame)
{
    uint64_t first = frame->index << COF_NODE_SHIFT;
    while (frame->hole.bits == 0 && merge->page_at < merge->page_count &&
           merge->pages[merge->page_at].key < first + COF_NODE_FANOUT) {
        const struct cof_delta_entry *entry = &merge->pages[merge->page_at++];
        int err = merge_page(merge, frame, (unsigned)(entry->key - first), entry->addr);
        if (err != 0) {
            return err;
        }
    }
    for (unsigned i = 0; frame->hole.bits != 0 && i < COF_NODE_FANOUT; i++) {
        struct cof_vaddr fresh = {0};
        int err;
        if (merge->page_at < merge->page_count && merge->pages[merge->page_at].key == first + i) {
            fresh = merge->pages[merge->page_at++].addr;
        }
        err = merge_page(merge, frame, i, fresh);
        if (err != 0) {
            return err;
        }
    }
    return 0;
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
            err =
                merge->io->write(merge->io->ctx, frame->level, frame->index, frame->entries, &addr);
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

/* The leaves that the next pages fall on, from child i of the frame on, unless that one is cached:
 * each would be waited for alone. Leaves below holes alone are not looked for. */
static void read_ahead(struct cof_merge *merge, const struct cof_merge_frame *frame, unsigned i)
{
    const struct cof_node_io *io = merge->io;
    uint64_t first = frame->index << COF_NODE_SHIFT, last = UINT64_MAX;
    unsigned most = cof_tree_leaves_ahead(io);
    if (most < 2 || frame->entries[i].bits == 0 ||
        cof_nodes_find(io->cache, io->volume, frame->entries[i]) != NULL) {
        return;
    }
    merge->ahead_count = 0;
    for (uint64_t at = merge->page_at; at < merge->page_count && merge->ahead_count < most; at++) {
        uint64_t leaf = merge->pages[at].key >> COF_NODE_SHIFT;
        struct cof_vaddr addr = {0};
        if (leaf >= first + COF_NODE_FANOUT) {
            break;
        }
        if (leaf != last && leaf >= first + i) {
            addr = frame->entries[leaf - first];
        }
        if (addr.bits != 0 && cof_nodes_find(io->cache, io->volume, addr) == NULL) {
            merge->ahead[merge->ahead_count++] = (struct cof_leaf_ref){leaf, addr};
        }
        last = leaf;
    }
    if (merge->ahead_count > 0) {
        io->read_leaves(io->ctx, merge->ahead, merge->ahead_count);
    }
}

/* What was read for the merge alone makes room for what it writes. */
static void let_go(const struct cof_merge *merge, struct cof_vaddr addr)
{
    for (unsigned i = 0; i < merge->ahead_count; i++) {
        if (merge->ahead[i].addr.bits == addr.bits) {
            cof_nodes_forget(merge->io->cache, merge->io->volume, addr);
            return;
        }
    }
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
    memset(frame, 0, offsetof(struct cof_merge_frame, entries));
    frame->level = parent->level - 1u;
    frame->index = (parent->index << COF_NODE_SHIFT) + i;
    frame->old_addr = addr;
    frame->hole = parent->hole;
    if (addr.bits == 0) {
        memset(frame->entries, 0, sizeof frame->entries);
    } else {
        const struct cof_node *cached = cof_nodes_find(merge->io->cache, merge->io->volume, addr);
        if (cached != NULL) {
            memcpy(frame->entries, cached->entries, sizeof frame->entries);
            let_go(merge, addr);
        } else {
            int err =
                merge->io->read(merge->io->ctx, addr, frame->level, frame->index, frame->entries);
            if (err != 0) {
                return err;
            }
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
            if (frame->level == 2) {
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
