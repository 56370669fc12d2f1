/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/fetch.c - from an address to a page: the tag cache and batch headers.
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

int cof_raw_get(void *ctx, const struct cof_tree_pointer *place, uint8_t *bytes)
{
    struct coffer_store *store = ctx;
    struct cof_batch *batch =
        store->lanes_ready ? cof_lane_find(&store->meta, place->segment, place->block) : NULL;
    size_t length_bytes = (size_t)place->blocks * COF_BLOCK_BYTES;
    if (batch != NULL) {
        if (place->block + place->blocks > batch->block + batch->pages + 1u) {
            return COFFER_E_CORRUPT;
        }
        memcpy(bytes, cof_batch_page(batch, place->block - batch->block - 1u), length_bytes);
        return 0;
    }
    return cof_sync_io_read(&store->io, place->segment, place->block * COF_BLOCK_BYTES, bytes,
                            length_bytes);
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

static int read_page(struct coffer_store *store, struct cof_vaddr addr,
                     const struct cof_fetch *fetch, uint8_t *page, uint8_t entry[COF_ENTRY_BYTES])
{
    int err;
    if (copy_in_flight(store, fetch->segment, fetch->block, page, entry)) {
        return 0;
    }
    err = cof_sync_io_read(&store->io, fetch->segment, fetch->block * COF_BLOCK_BYTES, page,
                           COF_PAGE_BYTES);
    if (err == 0 && !cof_tags_get(&store->tags, addr, entry)) {
        err = read_entry(store, fetch->segment, fetch->block, fetch->header_block, entry);
        if (err == 0) {
            cof_tags_put(&store->tags, addr, entry);
        }
    }
    return err;
}

int cof_fetch_find(struct coffer_volume *volume, struct cof_vaddr addr, struct cof_fetch *ret_fetch,
                   struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_fetch *fetch = ret_fetch;
    struct cof_desc *desc;
    int err =
        cof_place_find(&store->place, cof_lineage_of(volume, addr), cof_vaddr_extent(addr), &desc);
    fetch->slot = cof_vaddr_slot(addr);
    if (err == 0 && !cof_volume_may_hold(volume, desc)) {
        err = COFFER_E_NOT_FOUND;
    }
    if (err == 0) {
        err = cof_desc_locate(desc, fetch->slot, &fetch->segment, &fetch->block,
                              &fetch->header_block);
    }
    if (err != 0) {
        err = err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT : err;
        return cof_fault(fault, err, COFFER_STAGE_PLACEMENT, "a page of the map has no place");
    }
    err = cof_opener_get(volume, desc, &fetch->opener);
    return err == 0
               ? 0
               : cof_fault(fault, err, COFFER_STAGE_KEY, "the data key of an extent does not open");
}

int cof_fetch_page(struct coffer_volume *volume, struct cof_vaddr addr, enum cof_page_kind kind,
                   uint64_t word, uint8_t page[4096], struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_fetch fetch;
    uint8_t entry[COF_ENTRY_BYTES];
    int err = cof_fetch_find(volume, addr, &fetch, fault);
    if (err != 0) {
        return err;
    }
    err = read_page(store, cof_store_address(volume, addr), &fetch, page, entry);
    if (err != 0) {
        cof_fault(fault, err, err == COFFER_E_CORRUPT ? COFFER_STAGE_CHECKSUM : COFFER_STAGE_IO,
                  "%s", coffer_error_sentence(err));
    } else {
        err = cof_unprotect_page(store->aead, fetch.opener, kind, fetch.slot, word, page, page,
                                 entry);
        if (err != 0) {
            cof_fault(fault, err, err == COFFER_E_TAMPER ? COFFER_STAGE_TAG : COFFER_STAGE_CHECKSUM,
                      "%s", coffer_error_sentence(err));
        }
    }
    if (err != 0) {
        cof_fault_at(fault, COFFER_NOWHERE, fetch.segment, (uint64_t)fetch.block * COF_BLOCK_BYTES);
    }
    cof_opener_put(store, fetch.opener);
    cof_place_trim(&store->place);
    return err;
}
