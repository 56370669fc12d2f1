/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/dirty.h - the dirty pages of one leaf, in a record that grows with their number.
 *
 * 8 bytes for a page and its address, in records of 32 to 4096 bytes (docs/decisions/0025): all
 * addresses of a leaf have one index, that of the volume's own log. Under the store's lock.
 */
#ifndef COF_MAP_DIRTY_H
#define COF_MAP_DIRTY_H

#include "format/vaddr.h"
#include "map/records.h"

#define COF_DIRTY_INDEX_MAX ((UINT64_C(1) << 36) - 1u) /* of a leaf: 2^45 pages */

struct cof_dirty_leaf {
    uint64_t index : 36;
    uint64_t lineage : 14; /* index of its addresses */
    uint64_t count : 10;   /* 0: no page, and no record */
    uint64_t order : 4;    /* size of the record */
    uint64_t *record;
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
 * larger-address rule, as cof_delta_put does; count tells whether it is new. NO_MEMORY, and INVALID
 * (a page that no volume can have, an index that is not the others'), change nothing. */
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
