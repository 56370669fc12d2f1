/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/move.c - moves: pages of one extent on their way to other places, and their publication.
 *
 * A move has a range of slots, from a piece's first to the end of a piece, and the places that were
 * given to those of its pages that lived. Moves into a head are published in order, each when the
 * device has the last group with a page of it: the descriptor is replaced, and the live counts of
 * the segments go with it. What the descriptor is then decides: the extent may be gone, or another
 * (re-sealed), or in other pieces, or it died and came again with a copy, under the same name and
 * uuid; then nothing changes, and the pages that were copied are nobody's. Pages that died
 * meanwhile are present in their new place, and dead. Under the store's lock.
 */
#include "clean/internal.h"

#include "base/testhook.h"

#include <string.h>

struct cof_move {
    struct cof_move *next;
    uint32_t lineage;
    uint64_t extent;
    uint8_t uuid[16]; /* of the extent when it was begun */
    unsigned first_slot, end_slot;
    unsigned head, other_pieces;
    struct cof_bitmap slots; /* that were put */
    unsigned piece_count;
    struct cof_piece pieces[COF_PIECES_MAX];
    uint32_t next_page;               /* of the segment: where the last piece would go on */
    uint32_t sources[COF_PIECES_MAX]; /* segments that count it as moving */
    unsigned source_count;
    double up2;
    uint64_t last_group;
    bool reseal, overtaken;
    uint8_t new_uuid[16];
    uint32_t new_key_id;
};

/* ---- making ---- */

struct cof_move *cof_move_begin(struct cof_cleaner *cleaner, const struct cof_desc *desc,
                                unsigned from, unsigned to, unsigned generation)
{
    struct cof_move *move = cof_calloc(cleaner->env, 1, sizeof *move);
    if (move == NULL) {
        return NULL;
    }
    move->lineage = desc->lineage;
    move->extent = desc->extent;
    memcpy(move->uuid, desc->uuid, sizeof move->uuid);
    move->first_slot = desc->pieces[from].first_slot;
    move->end_slot = cof_desc_piece_end(desc, to);
    move->other_pieces = desc->piece_count - (to - from + 1u);
    move->head = generation < cleaner->head_count ? generation : cleaner->head_count - 1u;
    for (unsigned i = from; i <= to; i++) {
        struct cof_segment *segment = &cleaner->segments->table[desc->pieces[i].segment];
        move->sources[move->source_count++] = desc->pieces[i].segment;
        move->up2 += segment->up2 / (double)(to - from + 1u);
        segment->moving++;
    }
    return move;
}

static bool goes_on(const struct cof_move *move, const struct cof_group_place *place)
{
    return move->piece_count > 0 &&
           move->pieces[move->piece_count - 1u].segment == place->segment &&
           move->next_page == cof_group_block_page(place->block);
}

int cof_move_put(struct cof_cleaner *cleaner, struct cof_move *move, unsigned slot,
                 const uint8_t *page, const uint8_t entry[COF_ENTRY_BYTES])
{
    struct cof_page_copy copy = {move->lineage, move->extent, page, entry};
    struct cof_group_place place;
    int err = cof_head_put(cleaner, move->head, &copy, &place);
    if (err != 0) {
        return err;
    }
    if (!goes_on(move, &place)) {
        struct cof_piece *piece = &move->pieces[move->piece_count];
        if (move->piece_count + move->other_pieces == COF_PIECES_MAX) {
            return COFFER_E_LIMIT;
        }
        piece->segment = place.segment;
        piece->block = (uint16_t)place.block;
        piece->first_slot = (uint16_t)(move->piece_count == 0 ? move->first_slot : slot);
        piece->cleaner = true;
        move->piece_count++;
        cof_segments_read(cleaner->segments, place.segment, 1); /* nothing lives there yet */
    }
    move->next_page = cof_group_block_page(place.block) + 1u;
    move->last_group = place.group;
    cof_bitmap_set(&move->slots, slot);
    cof_head_aged(cleaner, move->head, place.segment, move->up2);
    return 0;
}

void cof_move_reseal(struct cof_move *move, const uint8_t uuid[16], uint32_t key_id)
{
    move->reseal = true;
    memcpy(move->new_uuid, uuid, sizeof move->new_uuid);
    move->new_key_id = key_id;
}

static void free_move(struct cof_cleaner *cleaner, struct cof_move *move)
{
    for (unsigned i = 0; i < move->source_count; i++) {
        if (move->sources[i] < cleaner->segments->count) {
            cleaner->segments->table[move->sources[i]].moving--;
        }
    }
    for (unsigned i = 0; i < move->piece_count; i++) {
        cof_segments_read(cleaner->segments, move->pieces[i].segment, -1);
    }
    cof_free(cleaner->env, move);
}

bool cof_move_is_of(const struct cof_move *move, const struct cof_desc *desc, unsigned piece)
{
    return !move->overtaken && move->lineage == desc->lineage && move->extent == desc->extent &&
           memcmp(move->uuid, desc->uuid, sizeof move->uuid) == 0 && move->source_count == 1 &&
           move->sources[0] == desc->pieces[piece].segment &&
           move->first_slot == desc->pieces[piece].first_slot &&
           move->end_slot == cof_desc_piece_end(desc, piece);
}

void cof_move_abandon(struct cof_cleaner *cleaner, struct cof_move *move)
{
    free_move(cleaner, move);
}

void cof_move_commit(struct cof_cleaner *cleaner, struct cof_move *move)
{
    *(cleaner->last_move != NULL ? &cleaner->last_move->next : &cleaner->first_move) = move;
    cleaner->last_move = move;
    cleaner->move_count++;
    cof_moves_publish(cleaner, move->head, cleaner->heads[move->head].done_upto);
}

void cof_moves_overtake(struct cof_cleaner *cleaner, uint32_t lineage, uint64_t extent)
{
    for (struct cof_move *move = cleaner->first_move; move != NULL; move = move->next) {
        if (move->lineage == lineage && move->extent == extent) {
            move->overtaken = true;
        }
    }
    if (cleaner->move != NULL && cleaner->move->lineage == lineage &&
        cleaner->move->extent == extent) {
        cleaner->move->overtaken = true;
    }
}

/* ---- publication ---- */

/* The pieces that begin and end where the move's did when it was begun. */
static bool find_range(const struct cof_desc *desc, const struct cof_move *move, unsigned *ret_from,
                       unsigned *ret_to)
{
    bool begun = false;
    for (unsigned i = 0; i < desc->piece_count; i++) {
        if (desc->pieces[i].first_slot == move->first_slot) {
            *ret_from = i;
            begun = true;
        }
        if (begun && cof_desc_piece_end(desc, i) == move->end_slot) {
            *ret_to = i;
            return true;
        }
    }
    return false;
}

/* Whether every page of the range that lives has a new place. */
static bool has_all(const struct cof_desc *desc, const struct cof_move *move)
{
    for (unsigned slot = move->first_slot; slot < move->end_slot; slot++) {
        if (cof_bitmap_get(&desc->live, slot) && !cof_bitmap_get(&move->slots, slot)) {
            return false;
        }
    }
    return true;
}

/* The descriptor as it will be. */
static struct cof_desc *replaced(struct cof_cleaner *cleaner, const struct cof_desc *desc,
                                 const struct cof_move *move, unsigned from, unsigned to)
{
    unsigned after = desc->piece_count - to - 1u;
    struct cof_desc *next = cof_desc_new(cleaner->env, 0);
    if (next == NULL) {
        return NULL;
    }
    *next = *desc;
    next->ref_count = 0;
    next->ref_capacity = 0;
    memcpy(&next->pieces[from], move->pieces, move->piece_count * sizeof next->pieces[0]);
    memcpy(&next->pieces[from + move->piece_count], &desc->pieces[to + 1u],
           after * sizeof next->pieces[0]);
    next->piece_count = (uint8_t)(from + move->piece_count + after);
    for (unsigned slot = move->first_slot; slot < move->end_slot; slot++) {
        if (cof_bitmap_get(&move->slots, slot)) {
            cof_bitmap_set(&next->present, slot); /* also where its old piece is gone by now */
        } else {
            cof_bitmap_clear(&next->present, slot);
        }
    }
    cof_desc_drop_dead_pieces(next); /* of what died meanwhile */
    if (move->reseal) {
        memcpy(next->uuid, move->new_uuid, sizeof next->uuid);
        next->key_id = move->new_key_id;
    }
    return next;
}

/* Live pages leave their old segments for their new ones. */
static void count_over(struct cof_cleaner *cleaner, const struct cof_desc *old,
                       const struct cof_desc *next, const struct cof_move *move)
{
    for (unsigned slot = move->first_slot; slot < move->end_slot; slot++) {
        uint32_t segment, block, header;
        if (!cof_bitmap_get(&old->live, slot)) {
            continue;
        }
        if (cof_desc_locate(old, slot, &segment, &block, &header) == 0) {
            cof_segments_live_sub(cleaner->segments, segment, 1);
        }
        if (cof_desc_locate(next, slot, &segment, &block, &header) == 0) {
            cof_segments_live_add(cleaner->segments, segment, COF_BROKEN(MISCOUNT) ? 2u : 1u);
        }
    }
}

static void publish(struct cof_cleaner *cleaner, const struct cof_move *move)
{
    struct cof_desc *desc, *next;
    unsigned from, to;
    if (move->piece_count == 0 || move->overtaken ||
        cof_place_find(cleaner->place, move->lineage, move->extent, &desc) != 0 ||
        memcmp(desc->uuid, move->uuid, sizeof desc->uuid) != 0 ||
        !find_range(desc, move, &from, &to) || !has_all(desc, move) ||
        desc->piece_count - (to - from + 1u) + move->piece_count > COF_PIECES_MAX ||
        cof_place_touch(cleaner->place, desc) != 0) {
        return;
    }
    next = replaced(cleaner, desc, move, from, to);
    if (next == NULL) {
        return;
    }
    if (move->reseal && cleaner->ops->resealed != NULL) {
        cleaner->ops->resealed(cleaner->ctx, desc, next);
    }
    count_over(cleaner, desc, next, move);
    if (cof_place_add(cleaner->place, next) != 0) { /* not of a bucket that is in memory, dirty */
        cleaner->error = COFFER_E_INTERNAL;
        cof_free(cleaner->env, next);
        return;
    }
    cleaner->stats.moved_pages += cof_bitmap_count(&move->slots);
}

void cof_moves_publish(struct cof_cleaner *cleaner, unsigned head, uint64_t group)
{
    struct cof_move **at = &cleaner->first_move;
    struct cof_move *before = NULL;
    while (*at != NULL) {
        struct cof_move *move = *at;
        if (move->head != head || move->last_group > group) {
            before = move;
            at = &move->next;
            continue;
        }
        publish(cleaner, move);
        *at = move->next;
        if (cleaner->last_move == move) {
            cleaner->last_move = before;
        }
        cleaner->move_count--;
        free_move(cleaner, move);
    }
}

void cof_moves_done(struct cof_cleaner *cleaner)
{
    if (cleaner->move != NULL) {
        free_move(cleaner, cleaner->move);
        cleaner->move = NULL;
    }
    while (cleaner->first_move != NULL) {
        struct cof_move *move = cleaner->first_move;
        cleaner->first_move = move->next;
        free_move(cleaner, move);
    }
    cleaner->last_move = NULL;
    cleaner->move_count = 0;
}
