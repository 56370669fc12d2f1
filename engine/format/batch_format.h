/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/batch_format.h - the log: segment header, batch header, runs, entries, segment footer.
 *
 * A log segment is: block 0 the segment header; then batches; a full lane segment ends, in its last
 * two blocks, with the footer.
 *
 * Segment header (block 0), 4096 bytes:
 *        0     4  magic "COFS"          4  2  format (1)      6  2  lane
 *        8    16  store uuid           24 16  session
 *       40     8  sequence number of the segment: one higher for each segment taken
 *       48     8  number of the first batch in it
 *       56     4  segment number       60  4  preceding segment of the lane (0: none)
 *     4088     8  XXH3 of bytes 0..4087
 *
 * Batch header, one block:
 *        0     4  magic "COFB"          4  2  format (1)      6  2  lane
 *        8    16  store uuid           24 16  session
 *       40     8  root epoch           48  8  batch number
 *       56     8  durable_upto: number of the last batch known durable when this one was closed
 *       64     4  next segment of the lane (0: not yet known)
 *       68     2  pages: blocks that follow    70  2  runs
 *       72     4  block number of this header within its segment
 *       76     4  segment number       80  8  reserved
 *       88     8  XXH3 of the block with this field zero
 *       96  56 r  runs
 *        .        the runs' sealed lists, in order: 8 + 8 x slots bytes each
 *        .  24 n  entries, one a page in order: tag 16, XXH3 of the ciphertext 8
 *
 * Run (56): volume tag 4, lineage 4, extent 8, extent uuid 16, key id 4, first slot 2,
 * slots 2 (bit 15: they hold no pages; bit 14: a metadata extent), tag of the sealed list 16.
 * Volume tag 0: raw blocks (trees of placement, catalogue, segment table; padding): no list, no
 * tags; slots = number of blocks; extent = what they are (enum cof_raw_kind << 56 | key).
 *
 * A batch counts if and only if the header's checksum and each page's are right, store uuid,
 * session, lane, segment and block are those expected, and its number is the next.
 */
#ifndef COF_FORMAT_BATCH_FORMAT_H
#define COF_FORMAT_BATCH_FORMAT_H

#include <coffer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COF_BATCH_PAGES_MAX 120u
#define COF_BATCH_HEADER_BYTES 96u
#define COF_RUN_BYTES 56u
#define COF_ENTRY_BYTES 24u
#define COF_BATCH_RUNS_MAX 40u
#define COF_FOOTER_BLOCKS 2u
#define COF_RUN_NO_PAGES 0x8000u
#define COF_RUN_METADATA 0x4000u
#define COF_RUN_SLOTS_MASK 0x3fffu
#define COF_VOLUME_TAG_RAW 0u

enum cof_raw_kind {
    COF_RAW_PLACEMENT = 1,
    COF_RAW_CATALOGUE = 2,
    COF_RAW_SEGMENTS = 3,
    COF_RAW_IMPORT = 4, /* pages of another store's extents, with their tags */
    COF_RAW_PADDING = 5 /* nothing: so that a header names the lane's next segment */
};

struct cofd_segment_header {
    uint8_t magic[4], format[2], lane[2], store_uuid[16], session[16], sequence[8];
    uint8_t first_batch[8], segment[4], previous[4], reserved[4024], sum[8];
};
_Static_assert(sizeof(struct cofd_segment_header) == 4096, "segment header");

struct cofd_batch_header {
    uint8_t magic[4], format[2], lane[2], store_uuid[16], session[16], epoch[8], number[8];
    uint8_t durable_upto[8], next_segment[4], pages[2], runs[2], block[4], segment[4];
    uint8_t reserved[8], sum[8];
};
_Static_assert(sizeof(struct cofd_batch_header) == COF_BATCH_HEADER_BYTES, "batch header");
_Static_assert(offsetof(struct cofd_batch_header, sum) == 88, "batch header: checksum");

struct cofd_run {
    uint8_t volume[4], lineage[4], extent[8], uuid[16], key_id[4], first_slot[2], slots[2], tag[16];
};
_Static_assert(sizeof(struct cofd_run) == COF_RUN_BYTES, "run");

struct cof_segment_header {
    uint16_t lane;
    uint8_t store_uuid[16], session[16];
    uint64_t sequence, first_batch;
    uint32_t segment, previous;
};

struct cof_batch_header {
    uint16_t lane;
    uint8_t store_uuid[16], session[16];
    uint64_t epoch, number, durable_upto;
    uint32_t next_segment, block, segment;
    uint16_t pages, runs;
};

struct cof_run {
    uint32_t volume, lineage;
    uint64_t extent;
    uint8_t uuid[16];
    uint32_t key_id;
    uint16_t first_slot, slots;
    bool no_pages, metadata;
    uint8_t tag[16];
};

void cof_segment_header_encode(const struct cof_segment_header *header, uint8_t block[4096]);
COFFER_MUST_CHECK int cof_segment_header_decode(const uint8_t block[4096],
                                                struct cof_segment_header *ret_header);

/* Fill in the fixed part and, last, the checksum over the whole block. */
void cof_batch_header_encode(const struct cof_batch_header *header, uint8_t block[4096]);
/* 0; NOT_A_STORE when the magic is absent; CORRUPT when the checksum, a count or the sum of the
 * parts does not fit the block. */
COFFER_MUST_CHECK int cof_batch_header_decode(const uint8_t block[4096],
                                              struct cof_batch_header *ret_header);

void cof_run_encode(const struct cof_run *run, uint8_t at[COF_RUN_BYTES]);
void cof_run_decode(const uint8_t at[COF_RUN_BYTES], struct cof_run *ret_run);

static inline unsigned cof_run_pages(const struct cof_run *run)
{
    return run->no_pages ? 0u : run->slots;
}

/* Bytes of a run's sealed list: none for raw blocks. */
static inline size_t cof_run_list_bytes(const struct cof_run *run)
{
    return run->volume == COF_VOLUME_TAG_RAW ? 0u : 8u + 8u * (size_t)run->slots;
}

/* Where parts lie in a decoded header block. */
size_t cof_batch_lists_offset(const struct cof_batch_header *header);
/* Offset of the entries; the header was decoded with success. */
size_t cof_batch_entries_offset(const uint8_t block[4096], const struct cof_batch_header *header);

#endif
