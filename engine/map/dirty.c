/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/dirty.c - a record of each size, and how it grows.
 */
#include "map/dirty.h"

#include <string.h>

/* An entry is a page in its leaf, above the bits of its address that differ between addresses of
 * one volume; those of one page compare as addresses do. 0 is no entry: extents begin at 1. */
#define PAGE_SHIFT 49u
#define PAGE_MASK (COF_NODE_FANOUT - 1u)
#define ADDR_MASK ((UINT64_C(1) << PAGE_SHIFT) - 1u)
#define ENTRY_BYTES 8u
#define ENTRIES_PER_LINE 8u

/* Small records are lists; then come tables with open addressing, seven of eight places full at
 * the most; in the last one each page has its own. */
#define ORDER_TABLE 3u
#define ORDER_ALL (COF_RECORD_ORDERS - 1u)

_Static_assert(COF_RECORD_BYTES_MIN << ORDER_ALL == COF_NODE_FANOUT * ENTRY_BYTES,
               "the last record has a place for each page");

static unsigned places_of(const struct cof_dirty_leaf *leaf)
{
    return COF_RECORD_BYTES_MIN / ENTRY_BYTES << leaf->order;
}

static bool is_full(const struct cof_dirty_leaf *leaf)
{
    unsigned places = places_of(leaf);
    bool table = leaf->order >= ORDER_TABLE && leaf->order < ORDER_ALL;
    return leaf->count == (table ? places - places / 8u : places);
}

static uint64_t entry_of(unsigned page, struct cof_vaddr addr)
{
    return (uint64_t)page << PAGE_SHIFT | (addr.bits & ADDR_MASK);
}

static struct cof_vaddr addr_of(const struct cof_dirty_leaf *leaf, uint64_t entry)
{
    struct cof_vaddr addr = {(uint64_t)leaf->lineage << PAGE_SHIFT | (entry & ADDR_MASK)};
    return addr;
}

static int take_record(struct cof_records *memory, unsigned order, struct cof_dirty_leaf *leaf)
{
    leaf->record = cof_records_get(memory, order);
    if (leaf->record == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    leaf->order = order & 15u;
    leaf->count = 0;
    if (order >= ORDER_TABLE) {
        memset(leaf->record, 0, places_of(leaf) * ENTRY_BYTES);
    }
    return 0;
}

/* Where the page is, or the place that is to have it; a list may have none left. */
static unsigned place_of(const struct cof_dirty_leaf *leaf, unsigned page)
{
    const uint64_t *record = leaf->record;
    unsigned at = 0;
    if (leaf->order < ORDER_TABLE) {
        while (at < leaf->count && record[at] >> PAGE_SHIFT != page) {
            at++;
        }
        return at;
    }
    unsigned mask = places_of(leaf) - 1u;
    at = page & mask;
    while (record[at] != 0 && record[at] >> PAGE_SHIFT != page) {
        at = (at + 1u) & mask;
    }
    return at;
}

static bool is_used(const struct cof_dirty_leaf *leaf, unsigned at)
{
    return leaf->order < ORDER_TABLE ? at < leaf->count : leaf->record[at] != 0;
}

static void add_entry(struct cof_dirty_leaf *leaf, uint64_t entry)
{
    leaf->record[place_of(leaf, (unsigned)(entry >> PAGE_SHIFT))] = entry;
    leaf->count = (leaf->count + 1u) & 1023u;
}

static int grow_record(struct cof_records *memory, struct cof_dirty_leaf *leaf)
{
    struct cof_dirty_leaf larger = *leaf;
    int err = take_record(memory, leaf->order + 1u, &larger);
    if (err != 0) {
        return err;
    }
    for (unsigned i = 0; i < places_of(leaf); i++) {
        if (is_used(leaf, i)) {
            add_entry(&larger, leaf->record[i]);
        }
    }
    cof_records_put(memory, leaf->record, leaf->order);
    *leaf = larger;
    return 0;
}

/* For a page that is not there. */
static int put_new(struct cof_dirty_leaf *leaf, struct cof_records *memory, uint64_t page,
                   struct cof_vaddr addr)
{
    int err = 0;
    if (leaf->count == 0) {
        err = take_record(memory, 0, leaf);
        leaf->index = page >> COF_NODE_SHIFT & COF_DIRTY_INDEX_MAX;
        leaf->lineage = cof_vaddr_index(addr) & 0x3fffu;
    } else if (is_full(leaf)) {
        err = grow_record(memory, leaf);
    }
    if (err == 0) {
        add_entry(leaf, entry_of((unsigned)(page & PAGE_MASK), addr));
    }
    return err;
}

void cof_dirty_expect(const struct cof_dirty_leaf *leaf, uint64_t page)
{
    unsigned at = leaf->order < ORDER_TABLE ? 0u : (unsigned)page & (places_of(leaf) - 1u);
    __builtin_prefetch(&leaf->record[at], 1);
    if (leaf->order < ORDER_TABLE && leaf->count >= ENTRIES_PER_LINE) {
        __builtin_prefetch(&leaf->record[ENTRIES_PER_LINE], 1);
    }
}

int cof_dirty_put(struct cof_dirty_leaf *leaf, struct cof_records *memory, uint64_t page,
                  struct cof_vaddr addr, struct cof_vaddr *ret_loser)
{
    unsigned at = leaf->count != 0 ? place_of(leaf, (unsigned)(page & PAGE_MASK)) : 0u;
    struct cof_vaddr there;
    if (page >> COF_NODE_SHIFT > COF_DIRTY_INDEX_MAX ||
        (leaf->count != 0 && leaf->lineage != cof_vaddr_index(addr))) {
        return COFFER_E_INVALID;
    }
    if (leaf->count == 0 || !is_used(leaf, at)) {
        return put_new(leaf, memory, page, addr);
    }
    there = addr_of(leaf, leaf->record[at]);
    cof_vaddr_settle(&there, addr, ret_loser);
    leaf->record[at] = entry_of((unsigned)(page & PAGE_MASK), there);
    return 0;
}

struct cof_vaddr cof_dirty_get(const struct cof_dirty_leaf *leaf, uint64_t page)
{
    unsigned at = place_of(leaf, (unsigned)(page & PAGE_MASK));
    return is_used(leaf, at) ? addr_of(leaf, leaf->record[at]) : (struct cof_vaddr){0};
}

int cof_dirty_each(const struct cof_dirty_leaf *leaf,
                   int (*entry)(void *ctx, unsigned page, struct cof_vaddr addr), void *ctx)
{
    int stop = 0;
    for (unsigned i = 0; stop == 0 && i < places_of(leaf); i++) {
        if (is_used(leaf, i)) {
            stop = entry(ctx, (unsigned)(leaf->record[i] >> PAGE_SHIFT),
                         addr_of(leaf, leaf->record[i]));
        }
    }
    return stop;
}
