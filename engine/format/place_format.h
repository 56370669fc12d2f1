/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/place_format.h - placement: descriptors, buckets, segment footers, tree nodes, segments.
 *
 * All of it is keyless: checksummed, never sealed. It says where ciphertext lies; an attacker who
 * edits it can lose pages but never make a reader accept wrong ones.
 *
 * Placement descriptor (48 + parts), one an extent:
 *        0   8  extent              8  16  extent uuid        24  4  key id
 *       28   4  volume tag         32   2  slots used         34  2  flags: 0 metadata, 1 summary
 *       36   1  pieces (1 to 4)    37   1  batch refs (at most 64)
 *       38   1  present mode       39   1  live mode          40  1  present list length
 *       41   1  live list length   42   2  bytes in all       44  4  lineage number
 *       48      pieces of 8: segment 4, block 2, first slot 2 (bit 15: cleaner segment). Of a
 *               fresh extent one, and the refs tell block and slot
 *        .      batch refs of 4: first slot 9 bits (low), block 14, distance to the header 7
 *        .      present: mode 0 every slot below `slots used`, and 511 if there is a summary;
 *               mode 1 a bitmap of 64 bytes; mode 2 a list of 2-byte slots (at most 32)
 *        .      live: mode 0 equals present; 1 bitmap; 2 list
 *
 * A page in slot s of a fresh extent (one piece, batch refs): the last ref whose first slot is
 * <= s; its block + rank(present, s) - rank(present, first slot). The header block, which holds
 * its tag and checksum as entry number block - header - 1, is `distance` blocks before the ref's
 * block. Distance 0: the run holds no pages, and block is the header itself.
 *
 * A moved extent (format/group_format.h) has no refs, and 1 to 4 pieces with bit 15; the first
 * one's first slot is 0, and first slots ascend. A page in slot s: the last piece whose first slot
 * is <= s; counted without headers, it is the page rank(present, s) - rank(present, first slot)
 * behind the piece's block. Its header is in the block below that is a multiple of 128.
 *
 * Bucket (a record of the placement tree, 1 or 2 blocks), the descriptors of 16 extents:
 *        0   4  magic "COFP"        4   2  descriptors    6  2  blocks
 *        8   8  key: lineage << 36 | extent / 16
 *       16      descriptors in ascending order
 *
 * Footer (last two blocks of a full lane segment, 8192 bytes):
 *        0   4  magic "COFE"        4   2  format (1)     6  2  lane
 *        8  16  store uuid         24  16  session       40  8  first batch   48  8  last batch
 *       56   4  segment            60   4  next segment  64  4  first block   68  2  descriptors
 *       70   2  complete: 1 when every extent of the segment is described
 *       72   8  highest durable_upto of its batches      80  8  reserved
 *       88      descriptors        8184  8  XXH3 of bytes 0..8183
 *
 * Tree node (a block): 256 entries of 16: segment 4, first block 2, blocks 2 (0: none), XXH3 8.
 * Segment record (a block): 256 entries of 16: sequence 8, live blocks 4, state 1, lane 1,
 * reserved 2. Live blocks leave out the blocks of the segment table's own tree.
 */
#ifndef COF_FORMAT_PLACE_FORMAT_H
#define COF_FORMAT_PLACE_FORMAT_H

#include "base/bitmap.h"
#include "base/env.h"
#include "format/root_format.h"

#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

#define COF_PIECES_MAX 4u
#define COF_BATCH_REFS_MAX 64u
#define COF_DESC_BYTES_MAX (48u + 8u * COF_PIECES_MAX + 4u * COF_BATCH_REFS_MAX + 64u + 64u)
#define COF_BUCKET_EXTENTS 16u
#define COF_BUCKET_HEADER_BYTES 16u
#define COF_BUCKET_BLOCKS_MAX 2u
#define COF_FOOTER_BYTES 8192u
#define COF_FOOTER_HEADER_BYTES 88u
#define COF_TREE_FANOUT 256u
#define COF_SEGMENTS_PER_RECORD 256u

_Static_assert(COF_BUCKET_HEADER_BYTES + COF_BUCKET_EXTENTS * COF_DESC_BYTES_MAX <= 8192u,
               "a bucket fits two blocks");

struct cof_piece {
    uint32_t segment;
    uint16_t block, first_slot;
    bool cleaner;
};

struct cof_batch_ref {
    uint16_t first_slot, block;
    uint8_t distance;
};

/* In memory. Batch refs lie behind it, room for ref_capacity of them. What is being filled has no
 * refs yet, and is not moved. */
struct cof_desc {
    uint64_t extent;
    uint32_t lineage, key_id, volume;
    uint8_t uuid[16];
    uint16_t slots_used;
    bool metadata, summary;
    bool young;  /* opened after the freeze: not part of the checkpoint being written       */
    bool pinned; /* its run lists are needed for replay: its segment may not be freed       */
    struct cof_bitmap present, live;
    uint8_t piece_count, ref_count, ref_capacity;
    struct cof_piece pieces[COF_PIECES_MAX];
    struct cof_batch_ref refs[];
};

enum cof_segment_state {
    COF_SEGMENT_FREE = 0,
    COF_SEGMENT_RESERVED = 1, /* root slots */
    COF_SEGMENT_USED = 2
};

struct cof_segment_record {
    uint64_t sequence;
    uint32_t live;
    uint8_t state, lane;
};

struct cof_footer {
    uint16_t lane;
    uint8_t store_uuid[16], session[16];
    uint64_t first_batch, last_batch, durable_upto;
    uint32_t segment, next_segment, first_block;
    uint16_t descriptors;
    bool complete;
};

/* Slots whose pages, if any, lie one behind the other under one header. */
struct cof_stretch {
    unsigned first_slot, end_slot, pages;
    uint32_t segment, block, header_block; /* block: of the first page */
};

/* ---- desc_format.c ---- */

struct cof_desc *cof_desc_new(struct cof_env *env, unsigned ref_capacity);

/* Bytes written (at most COF_DESC_BYTES_MAX). */
size_t cof_desc_encode(const struct cof_desc *desc, uint8_t *at);
/* Decode one descriptor from at most `room` bytes into new memory. CORRUPT when anything is out of
 * bounds for segments of segment_blocks blocks. */
COFFER_MUST_CHECK int cof_desc_decode(struct cof_env *env, const uint8_t *at, size_t room,
                                      uint32_t segment_count, uint32_t segment_blocks,
                                      struct cof_desc **ret_desc, size_t *ret_bytes);

/* Whether the cleaner moved it: its places are its pieces, and it has no references. */
static inline bool cof_desc_moved(const struct cof_desc *desc)
{
    return desc->pieces[0].cleaner;
}

/* ---- desc_place.c ---- */

/* Where the page in slot lies: segment, its block and its header's block. NOT_FOUND when the slot
 * holds no page. */
COFFER_MUST_CHECK int cof_desc_locate(const struct cof_desc *desc, unsigned slot,
                                      uint32_t *ret_segment, uint32_t *ret_block,
                                      uint32_t *ret_header_block);
/* Its segment alone. */
COFFER_MUST_CHECK int cof_desc_segment(const struct cof_desc *desc, unsigned slot,
                                       uint32_t *ret_segment);
/* The stretch that slot is in, or the next one behind it; false when there is none. To walk all:
 * begin with slot 0, go on with end_slot. A run without pages is one, too: pages is 0, and block is
 * the header. */
bool cof_desc_stretch(const struct cof_desc *desc, unsigned slot, struct cof_stretch *ret_stretch);
/* The first slot of the next piece (reference), or 512. */
unsigned cof_desc_piece_end(const struct cof_desc *desc, unsigned piece);
unsigned cof_desc_ref_end(const struct cof_desc *desc, unsigned ref);
/* Whether one of its pieces lies there. */
bool cof_desc_in_segment(const struct cof_desc *desc, uint32_t segment);
/* Of a moved extent, pieces in which nothing lives go, but for a last one: their segments may be
 * given to others. The slots of what stays keep their places. */
void cof_desc_drop_dead_pieces(struct cof_desc *desc);

/* ---- place_format.c ---- */

void cof_footer_encode(const struct cof_footer *footer, uint8_t bytes[COF_FOOTER_BYTES]);
COFFER_MUST_CHECK int cof_footer_decode(const uint8_t bytes[COF_FOOTER_BYTES],
                                        struct cof_footer *ret_footer);

void cof_bucket_header_encode(uint8_t *at, unsigned descriptors, unsigned blocks, uint64_t key);
COFFER_MUST_CHECK int cof_bucket_header_decode(const uint8_t *at, uint64_t key,
                                               unsigned *ret_descriptors);

void cof_tree_entry_encode(const struct cof_tree_pointer *entry, uint8_t at[16]);
void cof_tree_entry_decode(const uint8_t at[16], struct cof_tree_pointer *ret_entry);
void cof_segment_record_encode(const struct cof_segment_record *record, uint8_t at[16]);
void cof_segment_record_decode(const uint8_t at[16], struct cof_segment_record *ret_record);

#endif
