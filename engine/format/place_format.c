/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/place_format.c - bytes of the placement table. Pure functions but for cof_desc_decode,
 * which allocates. What is decoded comes from an untrusted disk: everything is bounded here, so
 * that no code above has to doubt a descriptor.
 */
#include "format/place_format.h"

#include "base/checksum.h"
#include "format/batch_format.h"
#include "format/endian.h"
#include "format/vaddr.h"

#include <string.h>

#define BUCKET_MAGIC "COFP"
#define FOOTER_MAGIC "COFE"
#define FIXED_BYTES 48u
#define FLAG_METADATA 1u
#define FLAG_SUMMARY 2u
#define PIECE_CLEANER 0x8000u
#define LIST_MAX 32u

enum bitmap_mode { MODE_DERIVED = 0, MODE_BITMAP = 1, MODE_LIST = 2 };

struct cof_desc *cof_desc_new(struct cof_env *env, unsigned ref_capacity)
{
    size_t bytes = sizeof(struct cof_desc) + ref_capacity * sizeof(struct cof_batch_ref);
    struct cof_desc *desc = cof_calloc(env, 1, bytes);
    if (desc != NULL) {
        desc->ref_capacity = (uint8_t)ref_capacity;
    }
    return desc;
}

/* What mode 0 of the present bitmap stands for. */
static void fill_present(struct cof_bitmap *map, unsigned slots_used, bool summary)
{
    memset(map, 0, sizeof *map);
    for (unsigned i = 0; i < slots_used; i++) {
        cof_bitmap_set(map, i);
    }
    if (summary) {
        cof_bitmap_set(map, COF_SUMMARY_SLOT);
    }
}

static size_t encode_bitmap(const struct cof_bitmap *map, const struct cof_bitmap *derived,
                            uint8_t *at, uint8_t *mode, uint8_t *length)
{
    unsigned count = cof_bitmap_count(map);
    size_t bytes = 0;
    *length = 0;
    if (cof_bitmap_equal(map, derived)) {
        *mode = MODE_DERIVED;
        return 0;
    }
    if (count > LIST_MAX) {
        *mode = MODE_BITMAP;
        for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
            cof_le64_put(at + 8u * i, map->words[i]);
        }
        return 64;
    }
    *mode = MODE_LIST;
    *length = (uint8_t)count;
    for (unsigned i = 0; i < COF_BITMAP_BITS; i++) {
        if (cof_bitmap_get(map, i)) {
            cof_le16_put(at + bytes, (uint16_t)i);
            bytes += 2;
        }
    }
    return bytes;
}

size_t cof_desc_encode(const struct cof_desc *desc, uint8_t *at)
{
    struct cof_bitmap derived;
    size_t used = FIXED_BYTES;
    memset(at, 0, FIXED_BYTES);
    cof_le64_put(at, desc->extent);
    memcpy(at + 8, desc->uuid, 16);
    cof_le32_put(at + 24, desc->key_id);
    cof_le32_put(at + 28, desc->volume);
    cof_le16_put(at + 32, desc->slots_used);
    cof_le16_put(at + 34, (uint16_t)((desc->metadata ? FLAG_METADATA : 0u) |
                                     (desc->summary ? FLAG_SUMMARY : 0u)));
    at[36] = desc->piece_count;
    at[37] = desc->ref_count;
    cof_le32_put(at + 44, desc->lineage);
    for (unsigned i = 0; i < desc->piece_count; i++) {
        const struct cof_piece *piece = &desc->pieces[i];
        cof_le32_put(at + used, piece->segment);
        cof_le16_put(at + used + 4, piece->block);
        cof_le16_put(at + used + 6,
                     (uint16_t)(piece->first_slot | (piece->cleaner ? PIECE_CLEANER : 0u)));
        used += 8;
    }
    for (unsigned i = 0; i < desc->ref_count; i++) {
        const struct cof_batch_ref *ref = &desc->refs[i];
        cof_le32_put(at + used, (uint32_t)ref->first_slot | (uint32_t)ref->block << 9 |
                                    (uint32_t)ref->distance << 23);
        used += 4;
    }
    fill_present(&derived, desc->slots_used, desc->summary);
    used += encode_bitmap(&desc->present, &derived, at + used, &at[38], &at[40]);
    used += encode_bitmap(&desc->live, &desc->present, at + used, &at[39], &at[41]);
    cof_le16_put(at + 42, (uint16_t)used);
    return used;
}

/* Bytes of a bitmap's part, or -1. */
static int bitmap_part(uint8_t mode, uint8_t length)
{
    switch (mode) {
    case MODE_DERIVED:
        return 0;
    case MODE_BITMAP:
        return 64;
    case MODE_LIST:
        return length <= LIST_MAX ? 2 * length : -1;
    default:
        return -1;
    }
}

static int decode_bitmap(const uint8_t *at, uint8_t mode, uint8_t length,
                         const struct cof_bitmap *derived, struct cof_bitmap *map)
{
    if (mode == MODE_DERIVED) {
        *map = *derived;
        return 0;
    }
    memset(map, 0, sizeof *map);
    if (mode == MODE_BITMAP) {
        for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
            map->words[i] = cof_le64_get(at + 8u * i);
        }
        return 0;
    }
    for (unsigned i = 0; i < length; i++) {
        unsigned bit = cof_le16_get(at + 2u * i);
        if (bit >= COF_BITMAP_BITS) {
            return COFFER_E_CORRUPT;
        }
        cof_bitmap_set(map, bit);
    }
    return 0;
}

static bool live_within_present(const struct cof_desc *desc)
{
    for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
        if ((desc->live.words[i] & ~desc->present.words[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Every page lies inside its segment, behind its header, and refs ascend. */
static bool places_in_bounds(const struct cof_desc *desc, uint32_t segment_count,
                             uint32_t segment_blocks)
{
    unsigned previous = 0;
    for (unsigned i = 0; i < desc->piece_count; i++) {
        if (desc->pieces[i].segment == COF_NO_SEGMENT || desc->pieces[i].segment >= segment_count) {
            return false;
        }
    }
    for (unsigned i = 0; i < desc->ref_count; i++) {
        const struct cof_batch_ref *ref = &desc->refs[i];
        unsigned end = i + 1 < desc->ref_count ? desc->refs[i + 1].first_slot : COF_BITMAP_BITS;
        unsigned pages;
        if ((i > 0 && ref->first_slot <= previous) || end <= ref->first_slot) {
            return false;
        }
        pages = (end == COF_BITMAP_BITS ? cof_bitmap_count(&desc->present)
                                        : cof_bitmap_rank(&desc->present, end)) -
                cof_bitmap_rank(&desc->present, ref->first_slot);
        if (ref->distance > ref->block || ref->block + pages > segment_blocks ||
            ref->block - ref->distance < 1 || (ref->distance == 0 && pages != 0) ||
            (ref->distance > 0 && ref->distance + pages > COF_BATCH_PAGES_MAX + 1u)) {
            return false;
        }
        previous = ref->first_slot;
    }
    return true;
}

static int decode_parts(struct cof_desc *desc, const uint8_t *at, uint32_t segment_count,
                        uint32_t segment_blocks)
{
    struct cof_bitmap derived;
    size_t used = FIXED_BYTES;
    unsigned refs = at[37];
    desc->extent = cof_le64_get(at);
    memcpy(desc->uuid, at + 8, 16);
    desc->key_id = cof_le32_get(at + 24);
    desc->volume = cof_le32_get(at + 28);
    desc->slots_used = cof_le16_get(at + 32);
    desc->metadata = (cof_le16_get(at + 34) & FLAG_METADATA) != 0;
    desc->summary = (cof_le16_get(at + 34) & FLAG_SUMMARY) != 0;
    desc->lineage = cof_le32_get(at + 44);
    desc->piece_count = at[36];
    desc->ref_count = (uint8_t)refs;
    for (unsigned i = 0; i < desc->piece_count; i++) {
        unsigned slot = cof_le16_get(at + used + 6);
        desc->pieces[i].segment = cof_le32_get(at + used);
        desc->pieces[i].block = cof_le16_get(at + used + 4);
        desc->pieces[i].first_slot = (uint16_t)(slot & 0x1ffu);
        desc->pieces[i].cleaner = (slot & PIECE_CLEANER) != 0;
        used += 8;
    }
    for (unsigned i = 0; i < refs; i++) {
        uint32_t packed = cof_le32_get(at + used);
        desc->refs[i].first_slot = (uint16_t)(packed & 0x1ffu);
        desc->refs[i].block = (uint16_t)((packed >> 9) & 0x3fffu);
        desc->refs[i].distance = (uint8_t)((packed >> 23) & 0x7fu);
        used += 4;
    }
    if (desc->slots_used > COF_EXTENT_SLOTS || desc->extent == 0 || desc->extent > COF_EXTENT_MAX) {
        return COFFER_E_CORRUPT;
    }
    fill_present(&derived, desc->slots_used, desc->summary);
    if (decode_bitmap(at + used, at[38], at[40], &derived, &desc->present) != 0) {
        return COFFER_E_CORRUPT;
    }
    used += (size_t)bitmap_part(at[38], at[40]);
    if (decode_bitmap(at + used, at[39], at[41], &desc->present, &desc->live) != 0 ||
        !live_within_present(desc) || !places_in_bounds(desc, segment_count, segment_blocks)) {
        return COFFER_E_CORRUPT;
    }
    return 0;
}

int cof_desc_decode(struct cof_env *env, const uint8_t *at, size_t room, uint32_t segment_count,
                    uint32_t segment_blocks, struct cof_desc **ret_desc, size_t *ret_bytes)
{
    struct cof_desc *desc;
    int present_bytes, live_bytes, err;
    size_t bytes;
    if (room < FIXED_BYTES || at[36] == 0 || at[36] > COF_PIECES_MAX || at[37] == 0 ||
        at[37] > COF_BATCH_REFS_MAX) {
        return COFFER_E_CORRUPT;
    }
    present_bytes = bitmap_part(at[38], at[40]);
    live_bytes = bitmap_part(at[39], at[41]);
    if (present_bytes < 0 || live_bytes < 0) {
        return COFFER_E_CORRUPT;
    }
    bytes = FIXED_BYTES + 8u * at[36] + 4u * at[37] + (size_t)present_bytes + (size_t)live_bytes;
    if (bytes > room || bytes != cof_le16_get(at + 42)) {
        return COFFER_E_CORRUPT;
    }
    desc = cof_desc_new(env, at[37]);
    if (desc == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = decode_parts(desc, at, segment_count, segment_blocks);
    if (err != 0) {
        cof_free(env, desc);
        return err;
    }
    *ret_desc = desc;
    *ret_bytes = bytes;
    return 0;
}

int cof_desc_locate(const struct cof_desc *desc, unsigned slot, uint32_t *ret_segment,
                    uint32_t *ret_block, uint32_t *ret_header_block)
{
    const struct cof_batch_ref *ref = NULL;
    unsigned low = 0, high = desc->ref_count;
    if (slot >= COF_BITMAP_BITS || !cof_bitmap_get(&desc->present, slot)) {
        return COFFER_E_NOT_FOUND;
    }
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (desc->refs[middle].first_slot <= slot) {
            ref = &desc->refs[middle];
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (ref == NULL || ref->distance == 0) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_segment = desc->pieces[0].segment;
    *ret_block = ref->block + cof_bitmap_rank(&desc->present, slot) -
                 cof_bitmap_rank(&desc->present, ref->first_slot);
    *ret_header_block = (uint32_t)ref->block - ref->distance;
    return 0;
}

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
