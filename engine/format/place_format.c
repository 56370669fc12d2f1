/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/place_format.c - bytes of the placement table around descriptors (desc_format.c): buckets,
 * footers, tree nodes, segment records. Pure functions.
 */
#include "format/place_format.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

#define BUCKET_MAGIC "COFP"
#define FOOTER_MAGIC "COFE"

void cof_footer_encode(const struct cof_footer *footer, uint8_t bytes[COF_FOOTER_BYTES])
{
    memset(bytes, 0, COF_FOOTER_HEADER_BYTES);
    memcpy(bytes, FOOTER_MAGIC, 4);
    cof_le16_put(bytes + 4, 1);
    cof_le16_put(bytes + 6, footer->lane);
    memcpy(bytes + 8, footer->store_uuid, 16);
    memcpy(bytes + 24, footer->session, 16);
    cof_le64_put(bytes + 40, footer->first_batch);
    cof_le64_put(bytes + 48, footer->last_batch);
    cof_le32_put(bytes + 56, footer->segment);
    cof_le32_put(bytes + 60, footer->next_segment);
    cof_le32_put(bytes + 64, footer->first_block);
    cof_le16_put(bytes + 68, footer->descriptors);
    cof_le16_put(bytes + 70, footer->complete ? 1u : 0u);
    cof_le64_put(bytes + 72, footer->durable_upto);
    cof_le64_put(bytes + COF_FOOTER_BYTES - 8, cof_checksum64(bytes, COF_FOOTER_BYTES - 8));
}

int cof_footer_decode(const uint8_t bytes[COF_FOOTER_BYTES], struct cof_footer *ret_footer)
{
    if (memcmp(bytes, FOOTER_MAGIC, 4) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (cof_le64_get(bytes + COF_FOOTER_BYTES - 8) != cof_checksum64(bytes, COF_FOOTER_BYTES - 8) ||
        cof_le16_get(bytes + 4) != 1) {
        return COFFER_E_CORRUPT;
    }
    ret_footer->lane = cof_le16_get(bytes + 6);
    memcpy(ret_footer->store_uuid, bytes + 8, 16);
    memcpy(ret_footer->session, bytes + 24, 16);
    ret_footer->first_batch = cof_le64_get(bytes + 40);
    ret_footer->last_batch = cof_le64_get(bytes + 48);
    ret_footer->segment = cof_le32_get(bytes + 56);
    ret_footer->next_segment = cof_le32_get(bytes + 60);
    ret_footer->first_block = cof_le32_get(bytes + 64);
    ret_footer->descriptors = cof_le16_get(bytes + 68);
    ret_footer->complete = cof_le16_get(bytes + 70) == 1;
    ret_footer->durable_upto = cof_le64_get(bytes + 72);
    return 0;
}

void cof_bucket_header_encode(uint8_t *at, unsigned descriptors, unsigned blocks, uint64_t key)
{
    memcpy(at, BUCKET_MAGIC, 4);
    cof_le16_put(at + 4, (uint16_t)descriptors);
    cof_le16_put(at + 6, (uint16_t)blocks);
    cof_le64_put(at + 8, key);
}

int cof_bucket_header_decode(const uint8_t *at, uint64_t key, unsigned *ret_descriptors)
{
    unsigned descriptors = cof_le16_get(at + 4);
    if (memcmp(at, BUCKET_MAGIC, 4) != 0 || cof_le64_get(at + 8) != key ||
        descriptors > COF_BUCKET_EXTENTS) {
        return COFFER_E_CORRUPT;
    }
    *ret_descriptors = descriptors;
    return 0;
}

void cof_tree_entry_encode(const struct cof_tree_pointer *entry, uint8_t at[16])
{
    cof_le32_put(at, entry->segment);
    cof_le16_put(at + 4, entry->block);
    cof_le16_put(at + 6, entry->blocks);
    cof_le64_put(at + 8, entry->sum);
}

void cof_tree_entry_decode(const uint8_t at[16], struct cof_tree_pointer *ret_entry)
{
    ret_entry->segment = cof_le32_get(at);
    ret_entry->block = cof_le16_get(at + 4);
    ret_entry->blocks = cof_le16_get(at + 6);
    ret_entry->height = 0;
    ret_entry->sum = cof_le64_get(at + 8);
}

void cof_segment_record_encode(const struct cof_segment_record *record, uint8_t at[16])
{
    memset(at, 0, 16);
    cof_le64_put(at, record->sequence);
    cof_le32_put(at + 8, record->live);
    at[12] = record->state;
    at[13] = record->lane;
}

void cof_segment_record_decode(const uint8_t at[16], struct cof_segment_record *ret_record)
{
    ret_record->sequence = cof_le64_get(at);
    ret_record->live = cof_le32_get(at + 8);
    ret_record->state = at[12];
    ret_record->lane = at[13];
}
