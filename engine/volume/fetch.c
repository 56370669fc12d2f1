/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/fetch.c - from an address to a page: the tag cache, batch headers, nodes.
 *
 * Under the store's lock. cof_fetch_page waits for the device; requests of queues go another way
 * (queue_read.c) and share the pieces.
 */
#include "volume/store.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

int cof_tags_init(struct cof_tag_cache *tags, struct cof_env *env, uint64_t budget_bytes)
{
    uint64_t count = 1024;
    while (count * 2u * sizeof *tags->entries <= budget_bytes) {
        count *= 2u;
    }
    tags->entries = cof_calloc(env, count, sizeof *tags->entries);
    tags->count = count;
    return tags->entries != NULL ? 0 : COFFER_E_NO_MEMORY;
}

static struct cof_tag_entry *tag_place(const struct cof_tag_cache *tags, struct cof_vaddr addr)
{
    return &tags->entries[(addr.bits >> 1) & (tags->count - 1u)];
}

bool cof_tags_get(const struct cof_tag_cache *tags, struct cof_vaddr addr,
                  uint8_t ret_entry[COF_ENTRY_BYTES])
{
    const struct cof_tag_entry *place = tag_place(tags, addr);
    if (place->addr != addr.bits) {
        return false;
    }
    memcpy(ret_entry, place->entry, COF_ENTRY_BYTES);
    return true;
}

void cof_tags_put(struct cof_tag_cache *tags, struct cof_vaddr addr,
                  const uint8_t entry[COF_ENTRY_BYTES])
{
    struct cof_tag_entry *place = tag_place(tags, addr);
    place->addr = addr.bits;
    memcpy(place->entry, entry, COF_ENTRY_BYTES);
}

void cof_tags_forget(struct cof_tag_cache *tags, struct cof_vaddr addr)
{
    struct cof_tag_entry *place = tag_place(tags, addr);
    if (place->addr == addr.bits) {
        memset(place, 0, sizeof *place);
    }
}

const uint8_t *cof_header_entries(const struct coffer_store *store, const uint8_t header[4096],
                                  uint32_t segment, uint32_t header_block, unsigned *ret_pages)
{
    return cof_entries_of_header(header, store->uuid, segment, header_block, ret_pages);
}

static int entry_at(const uint8_t *entries, unsigned pages, unsigned page,
                    uint8_t ret_entry[COF_ENTRY_BYTES])
{
    if (entries == NULL || page >= pages) {
        return COFFER_E_CORRUPT;
    }
    memcpy(ret_entry, entries + (size_t)page * COF_ENTRY_BYTES, COF_ENTRY_BYTES);
    return 0;
}

int cof_entry_from_header(const struct coffer_store *store, const uint8_t header[4096],
                          uint32_t segment, uint32_t header_block, uint32_t block,
                          uint8_t ret_entry[COF_ENTRY_BYTES])
{
    unsigned pages = 0;
    const uint8_t *entries = cof_header_entries(store, header, segment, header_block, &pages);
    return entry_at(entries, pages, block - header_block - 1u, ret_entry);
}

/* Ciphertext and entry of a page that is still in a lane's buffer; 1 when it was. */
static int copy_in_flight(struct coffer_store *store, uint32_t segment, uint32_t block,
                          uint8_t *page, uint8_t entry[COF_ENTRY_BYTES])
{
    struct cof_lane *lanes[2] = {&store->lane, &store->meta};
    for (unsigned i = 0; store->lanes_ready && i < 2; i++) {
        struct cof_batch *batch = cof_lane_find(lanes[i], segment, block);
        uint32_t at = batch != NULL ? block - batch->block - 1u : 0u;
        if (batch != NULL && batch->ready[at]) {
            memcpy(page, cof_batch_page(batch, at), COF_PAGE_BYTES);
            memcpy(entry, batch->entries[at], COF_ENTRY_BYTES);
            return 1;
        }
    }
    return 0;
}

/* Into store->last_header, checked, unless it is there: nodes that a merge meets one after another
 * were written one after another, and their tags seldom stay in the cache until then. */
static int read_header(struct coffer_store *store, uint32_t segment, uint32_t header_block)
{
    struct cof_last_header *last = &store->last_header;
    uint64_t sequence = store->segments.table[segment].sequence;
    int err;
    if (last->segment == segment && last->block == header_block && last->sequence == sequence) {
        return 0;
    }
    last->segment = COF_NO_SEGMENT;
    err = cof_sync_io_read(&store->io, segment, header_block * COF_BLOCK_BYTES, last->bytes,
                           COF_BLOCK_BYTES);
    if (err != 0) {
        return err;
    }
    last->entries = cof_header_entries(store, last->bytes, segment, header_block, &last->pages);
    if (last->entries == NULL) {
        return COFFER_E_CORRUPT; /* it may read better another time */
    }
    last->segment = segment;
    last->block = header_block;
    last->sequence = sequence;
    return 0;
}

static int read_entry(struct coffer_store *store, uint32_t segment, uint32_t block,
                      uint32_t header_block, uint8_t entry[COF_ENTRY_BYTES])
{
    const struct cof_last_header *last = &store->last_header;
    int err = read_header(store, segment, header_block);
    return err != 0 ? err : entry_at(last->entries, last->pages, block - header_block - 1u, entry);
}

static int read_page(struct coffer_store *store, struct cof_vaddr addr, uint32_t segment,
                     uint32_t block, uint32_t header_block, uint8_t *page,
                     uint8_t entry[COF_ENTRY_BYTES])
{
    int err;
    if (copy_in_flight(store, segment, block, page, entry)) {
        return 0;
    }
    err = cof_sync_io_read(&store->io, segment, block * COF_BLOCK_BYTES, page, COF_PAGE_BYTES);
    if (err == 0 && !cof_tags_get(&store->tags, addr, entry)) {
        err = read_entry(store, segment, block, header_block, entry);
        if (err == 0) {
            cof_tags_put(&store->tags, addr, entry);
        }
    }
    return err;
}

int cof_fetch_page(struct coffer_volume *volume, struct cof_vaddr addr, enum cof_page_kind kind,
                   uint64_t word, uint8_t page[4096], struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_desc *desc;
    struct cof_opener *opener;
    uint8_t entry[COF_ENTRY_BYTES];
    uint32_t segment = 0, block = 0, header_block = 0;
    unsigned slot = cof_vaddr_slot(addr);
    int err =
        cof_place_find(&store->place, cof_lineage_of(volume, addr), cof_vaddr_extent(addr), &desc);
    if (err == 0 && !cof_volume_may_hold(volume, desc)) {
        err = COFFER_E_NOT_FOUND;
    }
    if (err == 0) {
        err = cof_desc_locate(desc, slot, &segment, &block, &header_block);
    }
    if (err != 0) {
        err = err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT : err;
        cof_fault(fault, err, COFFER_STAGE_PLACEMENT, "a page of the map has no place");
        return err;
    }
    err = cof_opener_get(volume, desc, &opener);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "the data key of an extent does not open");
    }
    err = read_page(store, cof_store_address(volume, addr), segment, block, header_block, page,
                    entry);
    if (err != 0) {
        cof_fault(fault, err, err == COFFER_E_CORRUPT ? COFFER_STAGE_CHECKSUM : COFFER_STAGE_IO,
                  "%s", coffer_error_sentence(err));
    } else {
        err = cof_unprotect_page(store->aead, opener, kind, slot, word, page, entry);
        if (err != 0) {
            cof_fault(fault, err, err == COFFER_E_TAMPER ? COFFER_STAGE_TAG : COFFER_STAGE_CHECKSUM,
                      "%s", coffer_error_sentence(err));
        }
    }
    if (err != 0) {
        cof_fault_at(fault, COFFER_NOWHERE, segment, (uint64_t)block * COF_BLOCK_BYTES);
    }
    cof_opener_put(store, opener);
    cof_place_trim(&store->place);
    return err;
}

static uint64_t node_word(unsigned level, uint64_t index)
{
    return (uint64_t)level << 52 | index;
}

static int node_read(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index,
                     struct cof_vaddr entries[COF_NODE_FANOUT])
{
    struct coffer_volume *volume = ctx;
    uint8_t page[4096];
    int err = cof_fetch_page(volume, addr, COF_PAGE_NODE, node_word(level, index), page, NULL);
    for (unsigned i = 0; err == 0 && i < COF_NODE_FANOUT; i++) {
        entries[i].bits = cof_le64_get(page + 8u * i);
    }
    return err;
}

/* Seal a node into the checkpoint lane. */
static int node_write(void *ctx, unsigned level, uint64_t index,
                      const struct cof_vaddr entries[COF_NODE_FANOUT], struct cof_vaddr *ret_addr)
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
    for (unsigned i = 0; i < COF_NODE_FANOUT; i++) {
        cof_le64_put(page + 8u * i, entries[i].bits);
    }
    err = cof_protect_page(store->aead, extent, COF_PAGE_NODE, slot, node_word(level, index), page,
                           cof_batch_page(batch, at), batch->entries[at]);
    if (err != 0) {
        cof_lane_fail(&store->meta, err);
        return err;
    }
    *ret_addr = cof_vaddr_make(volume->index, extent->number, slot, false);
    cof_tags_put(&store->tags, cof_store_address(volume, *ret_addr), batch->entries[at]);
    cof_lane_sealed(&store->meta, batch, at, 1);
    cached = cof_nodes_add(&store->nodes, volume->number, *ret_addr);
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
