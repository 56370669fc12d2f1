/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/desc_format.c - bytes of a placement descriptor. Pure functions but for cof_desc_decode,
 * which allocates. What is decoded comes from an untrusted disk: everything is bounded here, so
 * that no code above has to doubt a descriptor.
 */
#include "format/place_format.h"

#include "format/batch_format.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "format/vaddr.h"

#include <string.h>

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
    cof_bitmap_fill(map, slots_used);
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

/* Of a fresh extent: every page lies inside its segment, behind its header, and refs ascend. */
static bool refs_in_bounds(const struct cof_desc *desc, uint32_t segment_blocks)
{
    if (desc->piece_count != 1 || desc->ref_count == 0 || desc->pieces[0].first_slot != 0) {
        return false;
    }
    for (unsigned i = 0; i < desc->ref_count; i++) {
        const struct cof_batch_ref *ref = &desc->refs[i];
        unsigned end = cof_desc_ref_end(desc, i);
        unsigned pages;
        if (end <= ref->first_slot) {
            return false;
        }
        pages = cof_bitmap_between(&desc->present, ref->first_slot, end);
        if (ref->distance > ref->block || ref->block + pages > segment_blocks ||
            ref->block - ref->distance < 1 || (ref->distance == 0 && pages != 0) ||
            (ref->distance > 0 && ref->distance + pages > COF_BATCH_PAGES_MAX + 1u)) {
            return false;
        }
    }
    return true;
}

/* Of a moved extent: first slots ascend from 0, and every page lies inside its segment. */
static bool pieces_in_bounds(const struct cof_desc *desc, uint32_t segment_blocks)
{
    if (desc->ref_count != 0) {
        return false;
    }
    for (unsigned i = 0; i < desc->piece_count; i++) {
        const struct cof_piece *piece = &desc->pieces[i];
        unsigned end = cof_desc_piece_end(desc, i);
        unsigned pages;
        if (!piece->cleaner || (i == 0 && piece->first_slot != 0) || end <= piece->first_slot ||
            piece->block % COF_GROUP_BLOCKS == 0 || piece->block >= segment_blocks) {
            return false;
        }
        pages = cof_bitmap_between(&desc->present, piece->first_slot, end);
        if (pages > 0 && cof_group_page_block(cof_group_block_page(piece->block) + pages - 1u) >=
                             segment_blocks) {
            return false;
        }
    }
    return true;
}

static bool places_in_bounds(const struct cof_desc *desc, uint32_t segment_count,
                             uint32_t segment_blocks)
{
    for (unsigned i = 0; i < desc->piece_count; i++) {
        if (desc->pieces[i].segment == COF_NO_SEGMENT || desc->pieces[i].segment >= segment_count) {
            return false;
        }
    }
    return cof_desc_moved(desc) ? pieces_in_bounds(desc, segment_blocks)
                                : refs_in_bounds(desc, segment_blocks);
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
    if (room < FIXED_BYTES || at[36] == 0 || at[36] > COF_PIECES_MAX ||
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
