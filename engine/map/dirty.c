/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/dirty.c - a record of each size, and how it grows.
 */
#include "map/dirty.h"

#include <string.h>

#define INDEX_MASK ((UINT64_C(1) << 50) - 1u)
#define PAGE_MASK (COF_NODE_FANOUT - 1u)

/* Of a record of each size: its places, how many of them are used at the most, and where addresses
 * begin, behind as many pages of 16 bits. Small ones are lists; then come tables, in which a page
 * is at its share of the places or behind it; the last one has all addresses, and no pages. */
static const struct {
    uint16_t places, most, addrs;
} records[COF_RECORD_ORDERS] = {
    {3, 3, 8},     {6, 6, 16},     {12, 12, 32},    {25, 25, 56},
    {51, 51, 104}, {102, 88, 208}, {204, 176, 408}, {COF_NODE_FANOUT, COF_NODE_FANOUT, 0},
};
#define ORDER_TABLE 5u
#define ORDER_ALL (COF_RECORD_ORDERS - 1u)
#define FREE UINT16_MAX

static uint16_t *pages_of(const struct cof_dirty_leaf *leaf)
{
    return leaf->record;
}

static struct cof_vaddr *addrs_of(const struct cof_dirty_leaf *leaf)
{
    return (struct cof_vaddr *)(void *)((uint8_t *)leaf->record + records[leaf->order].addrs);
}

static int take_record(struct cof_records *memory, unsigned order, struct cof_dirty_leaf *leaf)
{
    leaf->record = cof_records_get(memory, order);
    if (leaf->record == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    leaf->order = order & 15u;
    leaf->count = 0;
    if (order == ORDER_ALL) {
        memset(addrs_of(leaf), 0, COF_NODE_FANOUT * sizeof(struct cof_vaddr));
    } else if (order >= ORDER_TABLE) {
        memset(pages_of(leaf), 0xff, records[order].places * sizeof(uint16_t));
    }
    return 0;
}

static unsigned share_of(const struct cof_dirty_leaf *leaf, unsigned page)
{
    return page * records[leaf->order].places >> COF_NODE_SHIFT;
}

/* Where the page is, or the place that is to have it; a list may have none left. */
static unsigned place_of(const struct cof_dirty_leaf *leaf, unsigned page)
{
    const uint16_t *pages = pages_of(leaf);
    unsigned places = records[leaf->order].places, at = 0;
    if (leaf->order == ORDER_ALL) {
        return page;
    }
    if (leaf->order >= ORDER_TABLE) {
        for (at = share_of(leaf, page); pages[at] != page && pages[at] != FREE;) {
            at = at + 1u < places ? at + 1u : 0u;
        }
        return at;
    }
    while (at < leaf->count && pages[at] != page) {
        at++;
    }
    return at;
}

static bool is_used(const struct cof_dirty_leaf *leaf, unsigned at)
{
    return leaf->order == ORDER_ALL     ? addrs_of(leaf)[at].bits != 0
           : leaf->order >= ORDER_TABLE ? pages_of(leaf)[at] != FREE
                                        : at < leaf->count;
}

static void add_page(struct cof_dirty_leaf *leaf, unsigned page, struct cof_vaddr addr)
{
    unsigned at = place_of(leaf, page);
    if (leaf->order != ORDER_ALL) {
        pages_of(leaf)[at] = (uint16_t)page;
    }
    addrs_of(leaf)[at] = addr;
    leaf->count = (leaf->count + 1u) & 1023u;
}

static int grow_record(struct cof_records *memory, struct cof_dirty_leaf *leaf)
{
    struct cof_dirty_leaf larger = {.index = leaf->index};
    int err = take_record(memory, leaf->order + 1u, &larger);
    if (err != 0) {
        return err;
    }
    for (unsigned i = 0; i < records[leaf->order].places; i++) {
        if (is_used(leaf, i)) {
            add_page(&larger, pages_of(leaf)[i], addrs_of(leaf)[i]);
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
        leaf->index = page >> COF_NODE_SHIFT & INDEX_MASK;
    } else if (leaf->count == records[leaf->order].most) {
        err = grow_record(memory, leaf);
    }
    if (err == 0) {
        add_page(leaf, (unsigned)(page & PAGE_MASK), addr);
    }
    return err;
}

void cof_dirty_expect(const struct cof_dirty_leaf *leaf, uint64_t page)
{
    bool list = leaf->order < ORDER_TABLE;
    unsigned at = list ? leaf->count : share_of(leaf, (unsigned)(page & PAGE_MASK));
    if (leaf->order != ORDER_ALL) {
        __builtin_prefetch(&pages_of(leaf)[list ? 0 : at], 1);
    }
    __builtin_prefetch(&addrs_of(leaf)[at], 1);
}

int cof_dirty_put(struct cof_dirty_leaf *leaf, struct cof_records *memory, uint64_t page,
                  struct cof_vaddr addr, struct cof_vaddr *ret_loser)
{
    unsigned at = leaf->count != 0 ? place_of(leaf, (unsigned)(page & PAGE_MASK)) : 0u;
    if (leaf->count == 0 || !is_used(leaf, at)) {
        return put_new(leaf, memory, page, addr);
    }
    cof_vaddr_settle(&addrs_of(leaf)[at], addr, ret_loser);
    return 0;
}

struct cof_vaddr cof_dirty_get(const struct cof_dirty_leaf *leaf, uint64_t page)
{
    unsigned at = place_of(leaf, (unsigned)(page & PAGE_MASK));
    return is_used(leaf, at) ? addrs_of(leaf)[at] : (struct cof_vaddr){0};
}

int cof_dirty_each(const struct cof_dirty_leaf *leaf,
                   int (*entry)(void *ctx, unsigned page, struct cof_vaddr addr), void *ctx)
{
    int stop = 0;
    for (unsigned i = 0; stop == 0 && i < records[leaf->order].places; i++) {
        if (is_used(leaf, i)) {
            stop = entry(ctx, leaf->order == ORDER_ALL ? i : pages_of(leaf)[i], addrs_of(leaf)[i]);
        }
    }
    return stop;
}
