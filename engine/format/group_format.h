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
 *       32   2  pages, 1 to 127    34   2  runs, 1 to 123
 *       36  20  reserved           56   8  XXH3 of the whole block with this field zero
 *       64      entries of 24, one a page, in order: tag 16, XXH3 of the page as it lies here 8
 *     3112      runs of 8: lineage << 39 | extent, one for each stretch of pages of one extent
 */
#ifndef COF_FORMAT_GROUP_FORMAT_H
#define COF_FORMAT_GROUP_FORMAT_H

#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

#define COF_GROUP_BLOCKS 128u
#define COF_GROUP_PAGES 127u
#define COF_GROUP_ENTRIES_OFFSET 64u
#define COF_GROUP_RUNS_OFFSET 3112u
#define COF_GROUP_RUNS_MAX 123u
#define COF_LANE_CLEANER 1u /* the first of them */
#define COF_CLEANER_HEADS_MAX 3u

struct cof_group_header {
    uint16_t lane, pages, runs;
    uint8_t store_uuid[16];
    uint32_t segment, block;
};

/* Fill in the fixed part and, last, the checksum; entries and runs are in place. */
void cof_group_header_encode(const struct cof_group_header *header, uint8_t block[4096]);
/* 0; NOT_A_STORE when the magic is absent; CORRUPT when the checksum or a count is wrong. */
COFFER_MUST_CHECK int cof_group_header_decode(const uint8_t block[4096],
                                              struct cof_group_header *ret_header);

void cof_group_run(const uint8_t block[4096], unsigned run, uint32_t *ret_lineage,
                   uint64_t *ret_extent);
void cof_group_run_put(uint8_t block[4096], unsigned run, uint32_t lineage, uint64_t extent);

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
