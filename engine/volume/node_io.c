/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/node_io.c - nodes of the map from the log, and into it; where a page is now.
 *
 * A node is a page of the volume, sealed as its data is. Leaves that are wanted in order are read
 * some at a time: one after another each would wait for the device, with the store's lock held.
 * What does not read or open then is left out, and its error is told when it is wanted.
 * Under the store's lock.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <limits.h>
#include <string.h>

static uint64_t node_word(unsigned level, uint64_t index)
{
    return (uint64_t)level << 52 | index;
}

/* The page may be in the entries' memory. */
static void decode(const uint8_t page[4096], struct cof_vaddr entries[COF_NODE_FANOUT])
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (page != (const uint8_t *)entries) {
        memcpy(entries, page, COF_PAGE_BYTES);
    }
#else
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        entries[i].bits = cof_le64_get(page + 8u * i);
    }
#endif
}

/* The bytes of a node: on most machines the entries are. */
static const uint8_t *encode(const struct cof_vaddr entries[COF_NODE_FANOUT], uint8_t page[4096])
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    (void)page;
    return (const uint8_t *)entries;
#else
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        cof_le64_put(page + 8u * i, entries[i].bits);
    }
    return page;
#endif
}

static int node_read(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index,
                     struct cof_vaddr entries[COF_NODE_FANOUT])
{
    struct coffer_volume *volume = ctx;
    uint8_t page[4096];
    int err = cof_fetch_page(volume, addr, COF_PAGE_NODE, node_word(level, index), page, NULL);
    if (err == 0) {
        decode(page, entries);
    }
    return err;
}

/* ---- ahead ---- */

/* Leaves that are read beside one another, and the headers with their tags. The store keeps it: a
 * quarter of a MiB that the system gives and takes each time costs more than the leaves. */
struct cof_leaves_ahead {
    struct leaf {
        struct cof_leaf_ref ref;
        struct cof_leaf_ahead *into; /* NULL: into the cache */
        struct cof_fetch fetch;
        unsigned page, header; /* which of the blocks; header NONE: its tag was cached */
        uint8_t entry[COF_ENTRY_BYTES];
    } leaves[COF_LEAVES_AHEAD_MAX];
    unsigned leaf_count, block_count;
    unsigned checked;       /* the header that was checked last, */
    const uint8_t *entries; /* and what it has: NULL, it is damaged */
    unsigned pages;
    struct cof_block_place places[2u * COF_LEAVES_AHEAD_MAX];
    int results[2u * COF_LEAVES_AHEAD_MAX];
    uint8_t blocks[2u * COF_LEAVES_AHEAD_MAX][COF_BLOCK_BYTES];
};

#define NONE UINT_MAX

static unsigned add_block(struct cof_leaves_ahead *ahead, uint32_t segment, uint32_t block)
{
    ahead->places[ahead->block_count] = (struct cof_block_place){segment, block};
    return ahead->block_count++;
}

/* The header is most often that of the leaf before. */
static unsigned add_header(struct cof_leaves_ahead *ahead, const struct cof_fetch *fetch)
{
    const struct leaf *before =
        ahead->leaf_count > 0 ? &ahead->leaves[ahead->leaf_count - 1u] : NULL;
    return before != NULL && before->header != NONE && before->fetch.segment == fetch->segment &&
                   before->fetch.header_block == fetch->header_block
               ? before->header
               : add_block(ahead, fetch->segment, fetch->header_block);
}

/* Unless it is in memory already: in the cache it is to go to, or on its way to the device. */
static void add_leaf(struct coffer_volume *volume, struct cof_leaves_ahead *ahead,
                     const struct cof_leaf_ref *ref, struct cof_leaf_ahead *into)
{
    struct coffer_store *store = volume->store;
    struct leaf *leaf = &ahead->leaves[ahead->leaf_count];
    if ((into == NULL && cof_nodes_find(&store->nodes, volume->number, ref->addr) != NULL) ||
        cof_fetch_find(volume, ref->addr, &leaf->fetch, NULL) != 0) {
        return;
    }
    if (store->lanes_ready &&
        (cof_lane_find(&store->meta, leaf->fetch.segment, leaf->fetch.block) != NULL ||
         cof_lane_find(&store->lane, leaf->fetch.segment, leaf->fetch.block) != NULL)) {
        cof_opener_put(store, leaf->fetch.opener);
        return;
    }
    leaf->ref = *ref;
    leaf->into = into;
    leaf->page = add_block(ahead, leaf->fetch.segment, leaf->fetch.block);
    leaf->header = cof_tags_get(&store->tags, cof_store_address(volume, ref->addr), leaf->entry)
                       ? NONE
                       : add_header(ahead, &leaf->fetch);
    ahead->leaf_count++;
}

/* A leaf's entry, out of a header that most often was that of the leaf before. */
static int find_entry(const struct coffer_store *store, struct cof_leaves_ahead *ahead,
                      struct leaf *leaf)
{
    const struct cof_fetch *fetch = &leaf->fetch;
    unsigned page = fetch->block - fetch->header_block - 1u;
    if (ahead->results[leaf->header] != 0) {
        return ahead->results[leaf->header];
    }
    if (ahead->checked != leaf->header) {
        ahead->checked = leaf->header;
        ahead->entries = cof_header_entries(store, ahead->blocks[leaf->header], fetch->segment,
                                            fetch->header_block, &ahead->pages);
    }
    if (ahead->entries == NULL || page >= ahead->pages) {
        return COFFER_E_CORRUPT;
    }
    memcpy(leaf->entry, ahead->entries + (size_t)page * COF_ENTRY_BYTES, COF_ENTRY_BYTES);
    return 0;
}

static void take_leaf(struct coffer_volume *volume, struct cof_leaves_ahead *ahead,
                      struct leaf *leaf)
{
    struct coffer_store *store = volume->store;
    const struct cof_fetch *fetch = &leaf->fetch;
    uint8_t *block = ahead->blocks[leaf->page];
    uint8_t *page = leaf->into != NULL ? (uint8_t *)leaf->into->entries : block;
    struct cof_node *node;
    int err = ahead->results[leaf->page];
    if (err == 0 && leaf->header != NONE) {
        err = find_entry(store, ahead, leaf);
    }
    if (err == 0) {
        err = cof_unprotect_page(store->aead, fetch->opener, COF_PAGE_NODE, fetch->slot,
                                 node_word(1, leaf->ref.index), block, page, leaf->entry);
    }
    if (err == 0 && leaf->into != NULL) {
        decode(page, leaf->into->entries);
        leaf->into->addr = leaf->ref.addr;
        return;
    }
    node = err == 0 ? cof_nodes_add(&store->nodes, volume->number, leaf->ref.addr) : NULL;
    if (node != NULL) {
        decode(page, node->entries);
        cof_tags_put(&store->tags, cof_store_address(volume, leaf->ref.addr), leaf->entry);
    }
}

static void read_leaves(void *ctx, const struct cof_leaf_ref *leaves, unsigned count,
                        struct cof_leaf_ahead *into)
{
    struct coffer_volume *volume = ctx;
    struct coffer_store *store = volume->store;
    struct cof_leaves_ahead *ahead = store->leaves_ahead;
    int err;
    for (unsigned i = 0; into != NULL && i < count; i++) {
        into[i].addr.bits = 0;
    }
    if (ahead == NULL) {
        ahead = store->leaves_ahead = cof_alloc(&store->env, sizeof *ahead);
    }
    if (ahead == NULL) {
        return;
    }
    ahead->leaf_count = 0;
    ahead->checked = NONE;
    ahead->block_count = 0;
    for (unsigned i = 0; i < count; i++) {
        add_leaf(volume, ahead, &leaves[i], into != NULL ? &into[i] : NULL);
    }
    err = cof_sync_io_read_blocks(&store->io, ahead->places, ahead->block_count, ahead->blocks[0],
                                  ahead->results);
    for (unsigned i = 0; i < ahead->leaf_count; i++) {
        if (err == 0) {
            take_leaf(volume, ahead, &ahead->leaves[i]);
        }
        cof_opener_put(store, ahead->leaves[i].fetch.opener);
    }
    cof_place_trim(&store->place);
}

/* ---- written ---- */

/* Seal a node into the checkpoint lane. */
static int node_write(void *ctx, unsigned level, uint64_t index,
                      const struct cof_vaddr entries[COF_NODE_FANOUT], bool keep,
                      struct cof_vaddr *ret_addr)
{
    struct coffer_volume *volume = ctx;
    struct coffer_store *store = volume->store;
    struct cof_extent *extent;
    struct cof_batch *batch;
    struct cof_node *cached;
    uint8_t page[4096];
    uint64_t word = cof_word(COF_WORD_NODE, node_word(level, index));
    unsigned slot, at;
    int err = cof_extent_prepare(volume, true, &extent);
    while (err == COFFER_E_AGAIN && cof_lane_poll(&store->meta, true) >= 0) {
        err = cof_extent_prepare(volume, true, &extent);
    }
    if (err != 0) {
        return err;
    }
    batch = store->meta.open_batch;
    err = cof_extent_place(extent, &store->meta, &word, 1, false, &slot, &at);
    if (err != 0) {
        return err;
    }
    err = cof_protect_page(store->aead, extent, COF_PAGE_NODE, slot, node_word(level, index),
                           encode(entries, page), cof_batch_page(batch, at), batch->entries[at]);
    if (err != 0) {
        cof_lane_fail(&store->meta, err);
        return err;
    }
    *ret_addr = cof_vaddr_make(volume->index, extent->number, slot, false);
    cof_tags_put(&store->tags, cof_store_address(volume, *ret_addr), batch->entries[at]);
    cof_lane_sealed(&store->meta, batch, at, 1);
    cached = keep ? cof_nodes_add(&store->nodes, volume->number, *ret_addr) : NULL;
    if (cached != NULL) {
        memcpy(cached->entries, entries, sizeof cached->entries);
    }
    return 0;
}

void cof_volume_node_io(struct coffer_volume *volume)
{
    volume->node_io.ctx = volume;
    volume->node_io.volume = volume->number;
    volume->node_io.cache = &volume->store->nodes;
    volume->node_io.read = node_read;
    volume->node_io.write = node_write;
    volume->node_io.read_leaves = read_leaves;
}

int cof_volume_lookup(struct coffer_volume *volume, uint64_t page, struct cof_vaddr *ret_addr)
{
    struct cof_vaddr best = cof_delta_lookup(&volume->active, page);
    if (best.bits == 0 && volume->has_frozen) {
        best = cof_delta_lookup(&volume->frozen, page);
    }
    if (best.bits != 0) {
        *ret_addr = best;
        return 0;
    }
    return cof_tree_lookup(&volume->tree, &volume->node_io, page, ret_addr);
}
