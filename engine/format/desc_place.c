/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/desc_place.c - where the pages of an extent lie. Pure functions of a descriptor that was
 * decoded, or made here: they bound nothing.
 */
#include "format/group_format.h"
#include "format/place_format.h"

#include <string.h>

/* The last reference whose first slot is not above; NULL when there is none. */
static const struct cof_batch_ref *ref_of(const struct cof_desc *desc, unsigned slot)
{
    const struct cof_batch_ref *ref = NULL;
    unsigned low = 0, high = desc->ref_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (desc->refs[middle].first_slot <= slot) {
            ref = &desc->refs[middle];
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return ref;
}

static unsigned piece_of(const struct cof_desc *desc, unsigned slot)
{
    unsigned piece = desc->piece_count - 1u;
    while (desc->pieces[piece].first_slot > slot) {
        piece--; /* the first one's is 0 */
    }
    return piece;
}

/* The block of a moved extent's page, or of the page that would come next. */
static uint32_t moved_block(const struct cof_desc *desc, const struct cof_piece *piece,
                            unsigned slot)
{
    return cof_group_page_block(cof_group_block_page(piece->block) +
                                cof_bitmap_between(&desc->present, piece->first_slot, slot));
}

int cof_desc_locate(const struct cof_desc *desc, unsigned slot, uint32_t *ret_segment,
                    uint32_t *ret_block, uint32_t *ret_header_block)
{
    const struct cof_batch_ref *ref;
    if (slot >= COF_BITMAP_BITS || !cof_bitmap_get(&desc->present, slot)) {
        return COFFER_E_NOT_FOUND;
    }
    if (cof_desc_moved(desc)) {
        const struct cof_piece *piece = &desc->pieces[piece_of(desc, slot)];
        *ret_segment = piece->segment;
        *ret_block = moved_block(desc, piece, slot);
        *ret_header_block = cof_group_header_block(*ret_block);
        return 0;
    }
    ref = ref_of(desc, slot);
    if (ref == NULL || ref->distance == 0) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_segment = desc->pieces[0].segment;
    *ret_block = ref->block + cof_bitmap_between(&desc->present, ref->first_slot, slot);
    *ret_header_block = (uint32_t)ref->block - ref->distance;
    return 0;
}

int cof_desc_segment(const struct cof_desc *desc, unsigned slot, uint32_t *ret_segment)
{
    if (slot >= COF_BITMAP_BITS || !cof_bitmap_get(&desc->present, slot)) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_segment = desc->pieces[cof_desc_moved(desc) ? piece_of(desc, slot) : 0u].segment;
    return 0;
}

unsigned cof_desc_piece_end(const struct cof_desc *desc, unsigned piece)
{
    return piece + 1u < desc->piece_count ? desc->pieces[piece + 1u].first_slot : COF_BITMAP_BITS;
}

unsigned cof_desc_ref_end(const struct cof_desc *desc, unsigned ref)
{
    return ref + 1u < desc->ref_count ? desc->refs[ref + 1u].first_slot : COF_BITMAP_BITS;
}

bool cof_desc_in_segment(const struct cof_desc *desc, uint32_t segment)
{
    for (unsigned i = 0; i < desc->piece_count; i++) {
        if (desc->pieces[i].segment == segment) {
            return true;
        }
    }
    return false;
}

static bool stretch_of_ref(const struct cof_desc *desc, unsigned slot, struct cof_stretch *ret)
{
    const struct cof_batch_ref *ref = ref_of(desc, slot);
    unsigned at = ref != NULL ? (unsigned)(ref - desc->refs) : 0u;
    if (desc->ref_count == 0) {
        return false;
    }
    ref = &desc->refs[at];
    ret->segment = desc->pieces[0].segment;
    ret->block = ref->block;
    ret->header_block = (uint32_t)ref->block - ref->distance;
    ret->first_slot = ref->first_slot;
    ret->end_slot = cof_desc_ref_end(desc, at);
    ret->pages = cof_bitmap_between(&desc->present, ret->first_slot, ret->end_slot);
    return true;
}

static void stretch_of_piece(const struct cof_desc *desc, unsigned slot, struct cof_stretch *ret)
{
    unsigned at = piece_of(desc, slot), end = cof_desc_piece_end(desc, at), room;
    ret->segment = desc->pieces[at].segment;
    ret->block = moved_block(desc, &desc->pieces[at], slot);
    ret->header_block = cof_group_header_block(ret->block);
    ret->first_slot = slot;
    ret->pages = 0;
    room = COF_GROUP_BLOCKS - ret->block % COF_GROUP_BLOCKS;
    while (slot < end && (ret->pages < room || !cof_bitmap_get(&desc->present, slot))) {
        ret->pages += cof_bitmap_get(&desc->present, slot) ? 1u : 0u;
        slot++;
    }
    ret->end_slot = slot;
}

bool cof_desc_stretch(const struct cof_desc *desc, unsigned slot, struct cof_stretch *ret_stretch)
{
    if (slot >= COF_BITMAP_BITS) {
        return false;
    }
    if (!cof_desc_moved(desc)) {
        return stretch_of_ref(desc, slot, ret_stretch);
    }
    stretch_of_piece(desc, slot, ret_stretch);
    return true;
}

static unsigned live_in_piece(const struct cof_desc *desc, unsigned piece)
{
    return cof_bitmap_between(&desc->live, desc->pieces[piece].first_slot,
                              cof_desc_piece_end(desc, piece));
}

void cof_desc_drop_dead_pieces(struct cof_desc *desc)
{
    for (unsigned i = cof_desc_moved(desc) ? desc->piece_count : 0u;
         i-- > 0 && desc->piece_count > 1u;) {
        unsigned end = cof_desc_piece_end(desc, i);
        if (live_in_piece(desc, i) > 0) {
            continue;
        }
        for (unsigned slot = desc->pieces[i].first_slot; slot < end; slot++) {
            cof_bitmap_clear(&desc->present, slot);
        }
        desc->piece_count--;
        memmove(&desc->pieces[i], &desc->pieces[i + 1u],
                (desc->piece_count - i) * sizeof desc->pieces[0]);
        desc->pieces[0].first_slot = 0;
    }
}
