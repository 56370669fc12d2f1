/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/group_format.h - groups: how pages lie in the cleaner's segments.
 *
 * A cleaner segment is a sequence of groups of 128 blocks: a header in the first, pages in the
 * others. So the header of a page's group, which has its tag and checksum, is at a place that is
 * computed, and survivors of many extents share it. A group is written whole, in one append; what
 * was cut short has fewer pages, and zeros in the rest.
 *
 * Group header (a block):
 *        0   4  magic "COFG"        4   2  format (1)     6  2  lane (1 to 3: times moved)
 *        8  16  store uuid         24   4  segment       28  4  block of this header
 *       32   2  pages, 1 to 127    34   2  runs, 1 to 123, not more than pages
 *       36  20  reserved           56   8  XXH3 of the whole block with this field zero
 *       64      entries of 24, one a page, in order: tag 16, XXH3 of the page as it lies here 8
 *     3112      runs of 8: lineage << 39 | extent, one for each stretch of pages of one extent
 */
#ifndef COF_FORMAT_GROUP_FORMAT_H
#define COF_FORMAT_GROUP_FORMAT_H

#include "format/batch_format.h"

#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

#define COF_GROUP_BLOCKS 128u
#define COF_GROUP_PAGES 127u
#define COF_GROUP_ENTRIES_OFFSET 64u
#define COF_GROUP_RUNS_OFFSET 3112u
#define COF_GROUP_RUNS_MAX 123u
#define COF_GROUP_RUN_BYTES 8u
#define COF_LANE_CLEANER 1u /* the first of them */
#define COF_CLEANER_HEADS_MAX 3u

struct cofd_group_header {
    uint8_t magic[4], format[2], lane[2], store_uuid[16], segment[4], block[4], pages[2], runs[2];
    uint8_t reserved[20], sum[8];
    uint8_t entries[COF_GROUP_PAGES][COF_ENTRY_BYTES];
    uint8_t run_list[COF_GROUP_RUNS_MAX][COF_GROUP_RUN_BYTES];
};
_Static_assert(sizeof(struct cofd_group_header) == 4096, "group header");
_Static_assert(offsetof(struct cofd_group_header, sum) == 56, "group header: checksum");
_Static_assert(offsetof(struct cofd_group_header, entries) == COF_GROUP_ENTRIES_OFFSET,
               "group header: entries");
_Static_assert(offsetof(struct cofd_group_header, run_list) == COF_GROUP_RUNS_OFFSET,
               "group header: runs");

struct cof_group_header {
    uint16_t lane, pages, runs;
    uint8_t store_uuid[16];
    uint32_t segment, block;
};

/* Fill in the fixed part, zeros behind the last entry and the last run, and the checksum; the
 * entries and runs that count are in place. */
void cof_group_header_encode(const struct cof_group_header *header, uint8_t block[4096]);
/* 0; NOT_A_STORE when the magic is absent; CORRUPT when the checksum, a count, the lane or the
 * block is wrong, or a run names no extent. */
COFFER_MUST_CHECK int cof_group_header_decode(const uint8_t block[4096],
                                              struct cof_group_header *ret_header);

/* run: below the header's runs (put: below COF_GROUP_RUNS_MAX). */
void cof_group_run(const uint8_t block[4096], unsigned run, uint32_t *ret_lineage,
                   uint64_t *ret_extent);
void cof_group_run_put(uint8_t block[4096], unsigned run, uint32_t lineage, uint64_t extent);

/* The entries of a batch or a group, in its header; NULL unless the header is whole, of this store,
 * and stands where it says. */
const uint8_t *cof_entries_of_header(const uint8_t header[4096], const uint8_t store_uuid[16],
                                     uint32_t segment, uint32_t header_block, unsigned *ret_pages);

/* Pages of a cleaner segment are counted without the headers: the place of page number `page`. */
static inline uint32_t cof_group_page_block(uint32_t page)
{
    return page + page / COF_GROUP_PAGES + 1u;
}

static inline uint32_t cof_group_block_page(uint32_t block)
{
    return block - block / COF_GROUP_BLOCKS - 1u;
}

static inline uint32_t cof_group_header_block(uint32_t block)
{
    return block - block % COF_GROUP_BLOCKS;
}

#endif
