/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/group_format.c - bytes of the headers in cleaner segments. Pure functions; what is decoded
 * here comes from an untrusted disk, and every count is checked against the block.
 */
#include "format/group_format.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/vaddr.h"

#include <string.h>

#define GROUP_MAGIC "COFG"
#define FORMAT 1u
#define EXTENT_BITS 39u

void cof_group_header_encode(const struct cof_group_header *header, uint8_t block[4096])
{
    struct cofd_group_header *disk = (struct cofd_group_header *)(void *)block;
    memset(disk, 0, COF_GROUP_ENTRIES_OFFSET);
    memcpy(disk->magic, GROUP_MAGIC, 4);
    cof_le16_put(disk->format, FORMAT);
    cof_le16_put(disk->lane, header->lane);
    memcpy(disk->store_uuid, header->store_uuid, 16);
    cof_le32_put(disk->segment, header->segment);
    cof_le32_put(disk->block, header->block);
    cof_le16_put(disk->pages, header->pages);
    cof_le16_put(disk->runs, header->runs);
    memset(disk->entries + header->pages, 0,
           (size_t)(COF_GROUP_PAGES - header->pages) * COF_ENTRY_BYTES);
    memset(disk->run_list + header->runs, 0,
           (size_t)(COF_GROUP_RUNS_MAX - header->runs) * COF_GROUP_RUN_BYTES);
    cof_le64_put(disk->sum, cof_checksum64(block, 4096));
}

static bool in_bounds(const uint8_t block[4096], const struct cof_group_header *header)
{
    if (header->lane < COF_LANE_CLEANER ||
        header->lane >= COF_LANE_CLEANER + COF_CLEANER_HEADS_MAX ||
        header->block % COF_GROUP_BLOCKS != 0 || header->pages == 0 ||
        header->pages > COF_GROUP_PAGES || header->runs == 0 || header->runs > COF_GROUP_RUNS_MAX ||
        header->runs > header->pages) {
        return false;
    }
    for (unsigned i = 0; i < header->runs; i++) {
        uint32_t lineage;
        uint64_t extent;
        cof_group_run(block, i, &lineage, &extent);
        if (extent == 0) {
            return false;
        }
    }
    return true;
}

int cof_group_header_decode(const uint8_t block[4096], struct cof_group_header *ret_header)
{
    const struct cofd_group_header *disk = (const struct cofd_group_header *)(const void *)block;
    struct cof_group_header header;
    if (memcmp(disk->magic, GROUP_MAGIC, 4) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (cof_le64_get(disk->sum) !=
            cof_checksum64_block(block, offsetof(struct cofd_group_header, sum)) ||
        cof_le16_get(disk->format) != FORMAT) {
        return COFFER_E_CORRUPT;
    }
    header.lane = cof_le16_get(disk->lane);
    memcpy(header.store_uuid, disk->store_uuid, 16);
    header.segment = cof_le32_get(disk->segment);
    header.block = cof_le32_get(disk->block);
    header.pages = cof_le16_get(disk->pages);
    header.runs = cof_le16_get(disk->runs);
    if (!in_bounds(block, &header)) {
        return COFFER_E_CORRUPT;
    }
    *ret_header = header;
    return 0;
}

void cof_group_run(const uint8_t block[4096], unsigned run, uint32_t *ret_lineage,
                   uint64_t *ret_extent)
{
    uint64_t packed =
        cof_le64_get(block + COF_GROUP_RUNS_OFFSET + (size_t)run * COF_GROUP_RUN_BYTES);
    *ret_lineage = (uint32_t)(packed >> EXTENT_BITS);
    *ret_extent = packed & COF_EXTENT_MAX;
}

void cof_group_run_put(uint8_t block[4096], unsigned run, uint32_t lineage, uint64_t extent)
{
    cof_le64_put(block + COF_GROUP_RUNS_OFFSET + (size_t)run * COF_GROUP_RUN_BYTES,
                 (uint64_t)lineage << EXTENT_BITS | extent);
}

const uint8_t *cof_entries_of_header(const uint8_t header[4096], const uint8_t store_uuid[16],
                                     uint32_t segment, uint32_t header_block, unsigned *ret_pages)
{
    struct cof_group_header group;
    struct cof_batch_header batch;
    if (cof_group_header_decode(header, &group) == 0) {
        if (memcmp(group.store_uuid, store_uuid, 16) != 0 || group.segment != segment ||
            group.block != header_block) {
            return NULL;
        }
        *ret_pages = group.pages;
        return header + COF_GROUP_ENTRIES_OFFSET;
    }
    if (cof_batch_header_decode(header, &batch) != 0 ||
        memcmp(batch.store_uuid, store_uuid, 16) != 0 || batch.segment != segment ||
        batch.block != header_block) {
        return NULL;
    }
    *ret_pages = batch.pages;
    return header + cof_batch_entries_offset(header, &batch);
}
