/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/dirty.h - the dirty pages of one leaf, in a record that grows with their number.
 *
 * 2 bytes for a page and 8 for its address, in 32 to 4096 bytes; 8 a page once most of the leaf is
 * dirty (docs/decisions/0025). Under the store's lock.
 */
#ifndef COF_MAP_DIRTY_H
#define COF_MAP_DIRTY_H

#include "format/vaddr.h"
#include "map/records.h"

struct cof_dirty_leaf {
    uint64_t index : 50;
    uint64_t count : 10; /* 0: no page, and no record */
    uint64_t order : 4;  /* size of the record */
    void *record;
};

/* Fetch ahead what is touched when a page is put into a leaf that has some, or its few are read. */
void cof_dirty_expect(const struct cof_dirty_leaf *leaf, uint64_t page);
/* Give a place to the larger address; *ret_loser is the other, if they differ. */
static inline void cof_vaddr_settle(struct cof_vaddr *place, struct cof_vaddr addr,
                                    struct cof_vaddr *ret_loser)
{
    if (addr.bits > place->bits) {
        *ret_loser = *place;
        *place = addr;
    } else if (addr.bits < place->bits) {
        *ret_loser = addr;
    }
}

/* Insert a page of the leaf (of the volume: its leaf is page >> COF_NODE_SHIFT) by the
 * larger-address rule, as cof_delta_put does; count tells whether it is new. NO_MEMORY changes
 * nothing. */
COFFER_MUST_CHECK int cof_dirty_put(struct cof_dirty_leaf *leaf, struct cof_records *memory,
                                    uint64_t page, struct cof_vaddr addr,
                                    struct cof_vaddr *ret_loser);
/* bits 0: the page has no address. The leaf has a record. */
struct cof_vaddr cof_dirty_get(const struct cof_dirty_leaf *leaf, uint64_t page);
/* Give each entry: its page within the leaf, below COF_NODE_FANOUT, and its address, in any order.
 * Non-zero stops. */
int cof_dirty_each(const struct cof_dirty_leaf *leaf,
                   int (*entry)(void *ctx, unsigned page, struct cof_vaddr addr), void *ctx);

#endif
