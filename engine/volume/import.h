/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/import.h - extents that travel between stores as they are.
 */
#ifndef COF_VOLUME_IMPORT_H
#define COF_VOLUME_IMPORT_H

#include "segdev/reader.h"
#include "volume/store.h"

/* Pages of an extent that have one header. */
struct cof_extent_part {
    const uint8_t *header;   /* in the buffer */
    uint32_t segment, block; /* of the header */
    unsigned count;
};

/* The live pages of an extent, read and checked against their checksums. Large: on the heap. */
struct cof_extent_copy {
    uint64_t extent;
    uint32_t segment; /* where it begins, or where it was found to be damaged */
    uint32_t key_id;
    uint32_t lineage; /* in the store that it is for */
    uint16_t slots_used;
    bool metadata, whole;
    uint8_t uuid[16];
    unsigned pages, part_count;
    uint16_t slots[COF_NODE_FANOUT];
    uint32_t places[COF_NODE_FANOUT]; /* of each page, behind its header */
    uint8_t entries[COF_NODE_FANOUT][COF_ENTRY_BYTES];
    const uint8_t *at[COF_NODE_FANOUT]; /* each page, in the buffer */
    struct cof_extent_part parts[COF_BATCH_REFS_MAX];
    struct cof_read read;
    uint8_t *buffer; /* COF_IMPORT_BUFFER_BYTES, aligned */
};

/* All pages of an extent, and a header for each of its references or groups. */
#define COF_IMPORT_BUFFER_BYTES ((size_t)(COF_NODE_FANOUT + COF_BATCH_REFS_MAX) * COF_BLOCK_BYTES)

/* ---- import_read.c ---- */
/* Pages that a copy of the extent has: summaries are not taken along. */
unsigned cof_import_pages(const struct cof_desc *desc);
/* Begin to read it. The lock of the descriptor's store is held; its segments have readers until
 * end. Errors come with finish. */
void cof_extent_read_start(struct coffer_store *store, struct cof_reader *reader,
                           const struct cof_desc *desc, struct cof_extent_copy *copy);
/* Wait for it, and check it. No lock is needed. */
COFFER_MUST_CHECK int cof_extent_read_finish(const struct coffer_store *store,
                                             struct cof_reader *reader,
                                             struct cof_extent_copy *copy);
/* After finish, or when the reader is done: let go of its segments, under the store's lock. */
void cof_extent_read_end(struct coffer_store *store, struct cof_extent_copy *copy);

/* ---- import.c ---- */
/* Blocks that so many pages of an extent take, their headers included. */
uint32_t cof_import_blocks(unsigned pages);
/* Write it into the checkpoint lane and give it a descriptor with volume tag `number`. Part of the
 * store with the next root. */
COFFER_MUST_CHECK int cof_extent_write(struct coffer_store *store, uint32_t number,
                                       const struct cof_extent_copy *copy);
/* What a volume's parent (may be NULL) has of the extents that the volume wrote, at that index. */
struct cof_inherited {
    const struct cof_volume_entry *parent;
    unsigned index;
};
/* Adds to *count the extents that a purge would take. */
COFFER_MUST_CHECK int cof_import_count(struct coffer_store *store, uint32_t number,
                                       const struct cof_inherited *inherited, uint64_t *count);
/* Every extent with the volume tag dies; `inherited` (may be NULL): but for those. */
COFFER_MUST_CHECK int cof_import_purge(struct coffer_store *store, uint32_t number,
                                       const struct cof_inherited *inherited);

#endif
