/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/tree.c - walks of the sealed radix tree.
 */
#include "map/tree.h"

#include <string.h>

#define RADIX_BITS 11u
#define RADIX_SIZE (1u << RADIX_BITS)
#define EXTENT_SHIFT 10u /* of an address: the slot is below */
#define KILLS_LARGE (UINT64_C(1) << 19) /* 4 MiB of them */

unsigned cof_tree_height_for(uint64_t pages)
{
    unsigned height = 1;
    while (height < COF_MAP_LEVELS_MAX && (pages - 1u) >> (COF_NODE_SHIFT * height) != 0) {
        height++;
    }
    return height;
}

/* A node's entries, from the cache or read into it. */
static int get_node(const struct cof_node_io *io, struct cof_vaddr addr, unsigned level,
                    uint64_t index, const struct cof_node **ret_node)
{
    const struct cof_node *cached = cof_nodes_find(io->cache, io->volume, addr);
    struct cof_node *node;
    int err;
    if (cached != NULL) {
        *ret_node = cached;
        return 0;
    }
    node = cof_nodes_add(io->cache, io->volume, addr);
    if (node == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = io->read(io->ctx, addr, level, index, node->entries);
    if (err != 0) {
        cof_nodes_remove(io->cache, node);
        return err;
    }
    *ret_node = node;
    return 0;
}

static unsigned child_of(uint64_t page, unsigned level)
{
    return (unsigned)(page >> (COF_NODE_SHIFT * (level - 1u))) & (COF_NODE_FANOUT - 1u);
}

/* How many leaves may be read ahead: the cache has to hold them until they are wanted. */
static unsigned leaves_ahead(const struct cof_node_io *io)
{
    uint64_t most = io->read_leaves != NULL ? io->cache->count_max / 4u : 0u;
    return most < COF_LEAVES_AHEAD_MAX ? (unsigned)most : COF_LEAVES_AHEAD_MAX;
}

/* A leaf, a child of these, is not cached. When the one before it was wanted a moment ago somebody
 * goes through them in order, and would wait for the device at each. */
static void read_ahead(const struct cof_node_io *io, const struct cof_vaddr *entries,
                       unsigned child, uint64_t index)
{
    struct cof_leaf_ref leaves[COF_LEAVES_AHEAD_MAX];
    unsigned most = leaves_ahead(io), count = 0;
    if (most < 2 || child == 0 ||
        !cof_nodes_is_recent(io->cache, io->volume, entries[child - 1u])) {
        return;
    }
    for (unsigned i = child; count < most && i < COF_NODE_FANOUT; i++) {
        if (entries[i].bits != 0) {
            leaves[count++] = (struct cof_leaf_ref){index + i - child, entries[i]};
        }
    }
    io->read_leaves(io->ctx, leaves, count, NULL);
}

int cof_tree_lookup(const struct cof_tree *tree, const struct cof_node_io *io, uint64_t page,
                    struct cof_vaddr *ret_addr)
{
    struct cof_vaddr addr = tree->root;
    const struct cof_node *parent = NULL;
    if (tree->height == 0 || page >> (COF_NODE_SHIFT * tree->height) != 0) {
        ret_addr->bits = 0;
        return 0;
    }
    for (unsigned level = tree->height; level > 0 && addr.bits != 0; level--) {
        uint64_t index = page >> (COF_NODE_SHIFT * level);
        const struct cof_node *node = cof_nodes_find(io->cache, io->volume, addr);
        if (node == NULL) {
            int err;
            if (level == 1 && parent != NULL) {
                read_ahead(io, parent->entries, child_of(page, 2), index);
            }
            err = get_node(io, addr, level, index, &node);
            if (err != 0) {
                return err;
            }
        }
        addr = node->entries[child_of(page, level)];
        parent = node;
    }
    *ret_addr = addr;
    return 0;
}

/* Smallest mapped page >= *page below (level, index); UINT64_MAX when there is none. */
static int next_below(const struct cof_node_io *io, struct cof_vaddr addr, unsigned level,
                      uint64_t index, uint64_t from, uint64_t *ret_page)
{
    const struct cof_node *node;
    struct cof_vaddr entries[COF_NODE_FANOUT];
    uint64_t first = index << COF_NODE_SHIFT;
    unsigned shift = COF_NODE_SHIFT * (level - 1u);
    int err = get_node(io, addr, level, index, &node);
    if (err != 0) {
        return err;
    }
    memcpy(entries, node->entries, sizeof entries);
    *ret_page = UINT64_MAX;
    for (unsigned i = 0; i < COF_NODE_FANOUT && *ret_page == UINT64_MAX; i++) {
        uint64_t child = first + i;
        uint64_t last = (child + 1u) << shift;
        if (entries[i].bits == 0 || last <= from) {
            continue;
        }
        if (level == 1) {
            *ret_page = child;
            return 0;
        }
        if (level == 2 && cof_nodes_find(io->cache, io->volume, entries[i]) == NULL) {
            read_ahead(io, entries, i, child);
        }
        err = next_below(io, entries[i], level - 1u, child, from, ret_page);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int cof_tree_next(const struct cof_tree *tree, const struct cof_node_io *io, uint64_t *page)
{
    if (tree->height == 0 || *page >> (COF_NODE_SHIFT * tree->height) != 0) {
        *page = UINT64_MAX;
        return 0;
    }
    return next_below(io, tree->root, tree->height, 0, *page, page);
}

static int visit_below(const struct cof_node_io *io, const struct cof_tree_visitor *visitor,
                       struct cof_vaddr addr, unsigned level, uint64_t index)
{
    struct cof_vaddr entries[COF_NODE_FANOUT];
    int err = visitor->visit(visitor->ctx, addr, level, index);
    if (err != 0 || level == 0) {
        return err;
    }
    err = io->read(io->ctx, addr, level, index, entries);
    if (err != 0) {
        return visitor->damage(visitor->ctx, addr, level, index, err);
    }
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        if (entries[i].bits != 0) {
            err = visit_below(io, visitor, entries[i], level - 1u, (index << COF_NODE_SHIFT) + i);
            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

int cof_tree_visit(const struct cof_tree *tree, const struct cof_node_io *io,
                   const struct cof_tree_visitor *visitor)
{
    return tree->height == 0 ? 0 : visit_below(io, visitor, tree->root, tree->height, 0);
}

void cof_kills_init(struct cof_kills *kills, struct cof_env *env)
{
    memset(kills, 0, sizeof *kills);
    kills->env = env;
}

/* Large lists lie on huge pages: they are filled once, a page fault for each 512 of them else. */
static struct cof_vaddr *kills_alloc(struct cof_env *env, uint64_t capacity)
{
    size_t bytes = capacity * sizeof(struct cof_vaddr);
    return capacity < KILLS_LARGE ? cof_alloc(env, bytes) : cof_alloc_aligned(env, bytes);
}

static void kills_free(struct cof_env *env, struct cof_vaddr *addrs, uint64_t capacity)
{
    if (capacity < KILLS_LARGE) {
        cof_free(env, addrs);
    } else {
        cof_free_aligned(env, addrs);
    }
}

void cof_kills_done(struct cof_kills *kills)
{
    kills_free(kills->env, kills->addrs, kills->capacity);
    cof_kills_init(kills, kills->env);
}

int cof_kills_add(struct cof_kills *kills, struct cof_vaddr addr)
{
    if (cof_vaddr_zero(addr)) {
        return 0;
    }
    if (kills->count == kills->capacity) {
        uint64_t capacity = kills->capacity == 0 ? 64u : kills->capacity * 2u;
        struct cof_vaddr *addrs = kills_alloc(kills->env, capacity);
        if (addrs == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (kills->count > 0) {
            memcpy(addrs, kills->addrs, kills->count * sizeof *addrs);
        }
        kills_free(kills->env, kills->addrs, kills->capacity);
        kills->addrs = addrs;
        kills->capacity = capacity;
    }
    kills->addrs[kills->count++] = addr;
    return 0;
}

/* One pass of a least-significant-digit radix sort (Knuth, vol. 3, 5.2.5). */
static void sort_pass(const struct cof_vaddr *from, struct cof_vaddr *to, uint64_t count,
                      unsigned shift)
{
    uint64_t starts[RADIX_SIZE] = {0}, sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        starts[(from[i].bits >> shift) & (RADIX_SIZE - 1u)]++;
    }
    for (unsigned i = 0; i < RADIX_SIZE; i++) {
        uint64_t here = starts[i];
        starts[i] = sum;
        sum += here;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[starts[(from[i].bits >> shift) & (RADIX_SIZE - 1u)]++] = from[i];
    }
}

int cof_kills_sort(struct cof_kills *kills)
{
    struct cof_vaddr *other;
    uint64_t different = 0;
    for (uint64_t i = 1; i < kills->count; i++) {
        different |= kills->addrs[i].bits ^ kills->addrs[0].bits;
    }
    if (different >> EXTENT_SHIFT == 0) {
        return 0;
    }
    other = kills_alloc(kills->env, kills->capacity);
    if (other == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned shift = EXTENT_SHIFT; shift < 64u; shift += RADIX_BITS) {
        struct cof_vaddr *from = kills->addrs;
        if (((different >> shift) & (RADIX_SIZE - 1u)) != 0) {
            sort_pass(from, other, kills->count, shift);
            kills->addrs = other;
            other = from;
        }
    }
    kills_free(kills->env, other, kills->capacity);
    return 0;
}
