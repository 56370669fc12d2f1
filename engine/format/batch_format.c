/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/batch_format.c - bytes of segment and batch headers. Pure functions; what is decoded here
 * comes from an untrusted disk, and every count is checked against the block.
 */
#include "format/batch_format.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/vaddr.h"

#include <string.h>

#define SEGMENT_MAGIC "COFS"
#define BATCH_MAGIC "COFB"
#define FORMAT 1u

void cof_segment_header_encode(const struct cof_segment_header *header, uint8_t block[4096])
{
    struct cofd_segment_header *disk = (struct cofd_segment_header *)(void *)block;
    memset(block, 0, 4096);
    memcpy(disk->magic, SEGMENT_MAGIC, 4);
    cof_le16_put(disk->format, FORMAT);
    cof_le16_put(disk->lane, header->lane);
    memcpy(disk->store_uuid, header->store_uuid, 16);
    memcpy(disk->session, header->session, 16);
    cof_le64_put(disk->sequence, header->sequence);
    cof_le64_put(disk->first_batch, header->first_batch);
    cof_le32_put(disk->segment, header->segment);
    cof_le32_put(disk->previous, header->previous);
    cof_le64_put(disk->sum, cof_checksum64(block, offsetof(struct cofd_segment_header, sum)));
}

int cof_segment_header_decode(const uint8_t block[4096], struct cof_segment_header *ret_header)
{
    const struct cofd_segment_header *disk =
        (const struct cofd_segment_header *)(const void *)block;
    if (memcmp(disk->magic, SEGMENT_MAGIC, 4) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (cof_le64_get(disk->sum) !=
            cof_checksum64(block, offsetof(struct cofd_segment_header, sum)) ||
        cof_le16_get(disk->format) != FORMAT) {
        return COFFER_E_CORRUPT;
    }
    ret_header->lane = cof_le16_get(disk->lane);
    memcpy(ret_header->store_uuid, disk->store_uuid, 16);
    memcpy(ret_header->session, disk->session, 16);
    ret_header->sequence = cof_le64_get(disk->sequence);
    ret_header->first_batch = cof_le64_get(disk->first_batch);
    ret_header->segment = cof_le32_get(disk->segment);
    ret_header->previous = cof_le32_get(disk->previous);
    return 0;
}

void cof_batch_header_encode(const struct cof_batch_header *header, uint8_t block[4096])
{
    struct cofd_batch_header *disk = (struct cofd_batch_header *)(void *)block;
    memset(disk, 0, sizeof *disk);
    memcpy(disk->magic, BATCH_MAGIC, 4);
    cof_le16_put(disk->format, FORMAT);
    cof_le16_put(disk->lane, header->lane);
    memcpy(disk->store_uuid, header->store_uuid, 16);
    memcpy(disk->session, header->session, 16);
    cof_le64_put(disk->epoch, header->epoch);
    cof_le64_put(disk->number, header->number);
    cof_le64_put(disk->durable_upto, header->durable_upto);
    cof_le32_put(disk->next_segment, header->next_segment);
    cof_le16_put(disk->pages, header->pages);
    cof_le16_put(disk->runs, header->runs);
    cof_le32_put(disk->block, header->block);
    cof_le32_put(disk->segment, header->segment);
    cof_le64_put(disk->sum, cof_checksum64(block, 4096));
}

/* The runs' pages and lists must add up to what the header says and fit the block. */
static bool parts_fit(const uint8_t block[4096], const struct cof_batch_header *header)
{
    size_t used = COF_BATCH_HEADER_BYTES + (size_t)header->runs * COF_RUN_BYTES;
    unsigned pages = 0;
    if (header->pages > COF_BATCH_PAGES_MAX || header->runs > COF_BATCH_RUNS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < header->runs; i++) {
        struct cof_run run;
        cof_run_decode(block + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, &run);
        if (run.slots == 0 || run.first_slot + run.slots > COF_EXTENT_SLOTS + 1u) {
            return false;
        }
        pages += cof_run_pages(&run);
        used += cof_run_list_bytes(&run);
    }
    return pages == header->pages && used + (size_t)pages * COF_ENTRY_BYTES <= 4096u;
}

int cof_batch_header_decode(const uint8_t block[4096], struct cof_batch_header *ret_header)
{
    const struct cofd_batch_header *disk = (const struct cofd_batch_header *)(const void *)block;
    struct cof_batch_header header;
    if (memcmp(disk->magic, BATCH_MAGIC, 4) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (cof_le64_get(disk->sum) !=
            cof_checksum64_block(block, offsetof(struct cofd_batch_header, sum)) ||
        cof_le16_get(disk->format) != FORMAT) {
        return COFFER_E_CORRUPT;
    }
    header.lane = cof_le16_get(disk->lane);
    memcpy(header.store_uuid, disk->store_uuid, 16);
    memcpy(header.session, disk->session, 16);
    header.epoch = cof_le64_get(disk->epoch);
    header.number = cof_le64_get(disk->number);
    header.durable_upto = cof_le64_get(disk->durable_upto);
    header.next_segment = cof_le32_get(disk->next_segment);
    header.pages = cof_le16_get(disk->pages);
    header.runs = cof_le16_get(disk->runs);
    header.block = cof_le32_get(disk->block);
    header.segment = cof_le32_get(disk->segment);
    if (!parts_fit(block, &header)) {
        return COFFER_E_CORRUPT;
    }
    *ret_header = header;
    return 0;
}

void cof_run_encode(const struct cof_run *run, uint8_t at[COF_RUN_BYTES])
{
    struct cofd_run *disk = (struct cofd_run *)(void *)at;
    unsigned slots = run->slots | (run->no_pages ? COF_RUN_NO_PAGES : 0u) |
                     (run->metadata ? COF_RUN_METADATA : 0u);
    cof_le32_put(disk->volume, run->volume);
    cof_le32_put(disk->lineage, run->lineage);
    cof_le64_put(disk->extent, run->extent);
    memcpy(disk->uuid, run->uuid, 16);
    cof_le32_put(disk->key_id, run->key_id);
    cof_le16_put(disk->first_slot, run->first_slot);
    cof_le16_put(disk->slots, (uint16_t)slots);
    memcpy(disk->tag, run->tag, 16);
}

void cof_run_decode(const uint8_t at[COF_RUN_BYTES], struct cof_run *ret_run)
{
    const struct cofd_run *disk = (const struct cofd_run *)(const void *)at;
    unsigned slots = cof_le16_get(disk->slots);
    ret_run->volume = cof_le32_get(disk->volume);
    ret_run->lineage = cof_le32_get(disk->lineage);
    ret_run->extent = cof_le64_get(disk->extent);
    memcpy(ret_run->uuid, disk->uuid, 16);
    ret_run->key_id = cof_le32_get(disk->key_id);
    ret_run->first_slot = cof_le16_get(disk->first_slot);
    ret_run->slots = (uint16_t)(slots & COF_RUN_SLOTS_MASK);
    ret_run->no_pages = (slots & COF_RUN_NO_PAGES) != 0;
    ret_run->metadata = (slots & COF_RUN_METADATA) != 0;
    memcpy(ret_run->tag, disk->tag, 16);
}

size_t cof_batch_lists_offset(const struct cof_batch_header *header)
{
    return COF_BATCH_HEADER_BYTES + (size_t)header->runs * COF_RUN_BYTES;
}

size_t cof_batch_entries_offset(const uint8_t block[4096], const struct cof_batch_header *header)
{
    size_t offset = cof_batch_lists_offset(header);
    for (unsigned i = 0; i < header->runs; i++) {
        struct cof_run run;
        cof_run_decode(block + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, &run);
        offset += cof_run_list_bytes(&run);
    }
    return offset;
}
