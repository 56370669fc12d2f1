/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/import.h - extents that travel between stores as they are.
 */
#ifndef COF_VOLUME_IMPORT_H
#define COF_VOLUME_IMPORT_H

#include "volume/store.h"

/* The live pages of an extent, read and checked against their checksums. Large: on the heap. */
struct cof_extent_copy {
    uint64_t extent;
    uint32_t key_id;
    uint16_t slots_used;
    bool metadata;
    uint8_t uuid[16];
    unsigned pages;
    uint16_t slots[COF_NODE_FANOUT];
    uint8_t entries[COF_NODE_FANOUT][COF_ENTRY_BYTES];
    const uint8_t *at[COF_NODE_FANOUT]; /* each page, in the buffer */
    uint8_t *buffer;                    /* COF_IMPORT_BUFFER_BYTES, aligned */
};

/* Batches of an extent as they lie, with their headers. */
#define COF_IMPORT_BUFFER_BYTES \
    ((size_t)(COF_NODE_FANOUT + COF_BATCH_REFS_MAX + COF_BATCH_PAGES_MAX) * COF_BLOCK_BYTES)

/* Pages that a copy of the extent has: summaries are not taken along. */
unsigned cof_import_pages(const struct cof_desc *desc);
/* Blocks that so many pages of an extent take, their headers included. */
uint32_t cof_import_blocks(unsigned pages);
COFFER_MUST_CHECK int cof_extent_read(struct coffer_store *store, const struct cof_desc *desc,
                                      struct cof_extent_copy *copy);
/* Write it into the checkpoint lane and give it a descriptor with volume tag `number`. Part of the
 * store with the next root. */
COFFER_MUST_CHECK int cof_extent_write(struct coffer_store *store, uint32_t number,
                                       uint32_t lineage, const struct cof_extent_copy *copy);
/* Every extent with the volume tag dies; `inherited` (may be NULL): but for those that it has. */
COFFER_MUST_CHECK int cof_import_purge(struct coffer_store *store, uint32_t number,
                                       const struct cof_volume_entry *inherited);

#endif
