/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/clean.c - victims, and moving what lives in them.
 *
 * A victim lies outside the unmerged log. Its survivors go, in slot order, to the head of those
 * that were moved as often. A piece is split at a segment's end; where that would make one too
 * many, all of the extent's pieces move together. The victim then waits for a checkpoint.
 */
#include "cleaner/sim.h"

#include <string.h>

#define FLOOR 0.02 /* of a segment that must be dead, for MDC */
#define RELOC_BYTES 24u
#define BITMAP_BYTES 64u

static uint32_t capacity(const struct sim *sim)
{
    return sim->segment_blocks - sim->segment_blocks / SIM_GROUP;
}

static uint32_t room(const struct sim *sim, unsigned head)
{
    uint32_t cursor;
    if (sim->heads[head].segment == SIM_NONE) {
        return 0;
    }
    cursor = sim->segments[sim->heads[head].segment].cursor;
    return sim->segment_blocks - cursor -
           (sim->segment_blocks / SIM_GROUP - (cursor + SIM_GROUP - 1u) / SIM_GROUP);
}

static double score(const struct sim *sim, const struct sim_segment *segment, double least)
{
    uint32_t used = segment->live + segment->raw, all = capacity(sim);
    double empty = used >= all ? 0.0 : 1.0 - (double)used / all;
    if (used == 0 || empty < least) {
        return -1.0; /* a dead one becomes free by itself */
    }
    return sim->opts.policy == SIM_GREEDY
               ? empty
               : empty * empty / (1.0 - empty) * ((double)sim->clock - segment->up2 + 1.0);
}

static uint32_t pick(const struct sim *sim, bool pressed)
{
    uint32_t best = SIM_NONE;
    double most = 0.0;
    double least = pressed ? 0.5 / capacity(sim) : FLOOR;
    for (uint32_t number = 0; number < sim->segment_count; number++) {
        const struct sim_segment *segment = &sim->segments[number];
        double value;
        if (segment->state != SIM_USED || segment->log_epoch >= sim->durable_epoch) {
            continue;
        }
        value = score(sim, segment, least);
        if (value > most) {
            most = value;
            best = number;
        }
    }
    return best;
}

/* ---- heads ---- */

static void group_done(struct sim *sim, struct sim_head *head)
{
    struct sim_segment *segment = &sim->segments[head->segment];
    head->groups_done++;
    if (segment->cursor == sim->segment_blocks) {
        segment->state = SIM_USED;
        head->segment = SIM_NONE;
    }
}

/* Write the open groups as they are: the rest of each stays empty. */
void sim_clean_cut(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_HEADS_MAX; i++) {
        struct sim_head *head = &sim->heads[i];
        struct sim_segment *segment;
        uint32_t rest;
        if (head->segment == SIM_NONE) {
            continue;
        }
        segment = &sim->segments[head->segment];
        if (segment->cursor % SIM_GROUP != 0) {
            rest = SIM_GROUP - segment->cursor % SIM_GROUP;
            segment->cursor += rest;
            sim->counts.group_rest += rest;
            group_done(sim, head);
        }
    }
}

bool sim_clean_written(const struct sim *sim, const struct sim_segment *segment)
{
    for (unsigned i = 0; i < SIM_HEADS_MAX; i++) {
        if (segment->wait[i] > sim->heads[i].groups_done) {
            return false;
        }
    }
    return true;
}

static struct sim_head *ready_head(struct sim *sim, unsigned number)
{
    struct sim_head *head = &sim->heads[number];
    if (head->segment == SIM_NONE) {
        head->segment = sim_space_take(sim, number + 1u, sim_checkpoint_floor(sim));
        head->up2_pages = 0;
    }
    if (head->segment == SIM_NONE) {
        sim_fail(3, "wedged: no segment for the cleaner (%u free, %u waiting)", sim->free_count,
                 sim->waiting_count);
    }
    return head;
}

/* Survivors go to the head of those moved as often; when no segment can be taken, to the one with
 * the most room. */
static unsigned choose_head(const struct sim *sim, const struct sim_segment *victim)
{
    unsigned last = (unsigned)sim->opts.heads - 1u;
    unsigned chosen = victim->gen < last ? victim->gen : last;
    uint32_t floor = sim_checkpoint_floor(sim);
    for (unsigned i = 0; sim->free_count <= floor && i < SIM_HEADS_MAX; i++) {
        if (room(sim, i) > room(sim, chosen)) {
            chosen = i;
        }
    }
    return chosen;
}

/* ---- moving ---- */

struct move {
    unsigned head;
    struct sim_segment *victim;
    double up2;
};

static uint16_t put(struct sim *sim, struct move *move, uint64_t owner)
{
    struct sim_head *head = ready_head(sim, move->head);
    struct sim_segment *segment = &sim->segments[head->segment];
    uint16_t block;
    if (segment->cursor % SIM_GROUP == 0) {
        sim_space_append(sim, head->segment, sim_owner_other);
        sim->counts.group_header++;
    }
    move->victim->wait[move->head] = head->groups_done + 1u;
    block = sim_space_append(sim, head->segment, owner);
    segment->live++;
    segment->up2 =
        (segment->up2 * (double)head->up2_pages + move->up2) / (double)(head->up2_pages + 1u);
    head->up2_pages++;
    return block;
}

static unsigned parts(const struct sim *sim, unsigned head, unsigned pages)
{
    uint32_t here = room(sim, head), all = capacity(sim);
    if (pages <= here) {
        return 1;
    }
    return (here > 0 ? 1u : 0u) + (pages - here + all - 1u) / all;
}

static unsigned end_of(const struct sim_extent *extent, unsigned piece)
{
    return piece + 1u < extent->pieces ? extent->piece[piece + 1u].first : SIM_SLOTS;
}

static unsigned living(const struct sim_extent *extent, unsigned from, unsigned to)
{
    unsigned count = 0, end = end_of(extent, to);
    for (unsigned slot = extent->piece[from].first; slot < end; slot++) {
        count += sim_bit(extent->alive, slot) ? 1u : 0u;
    }
    return count;
}

/* Take pieces from..to off the segments they lie in; made[0..count) come in their place. */
static void replace_pieces(struct sim *sim, uint32_t number, unsigned from, unsigned to,
                           const struct sim_piece *made, unsigned count)
{
    struct sim_extent *extent = sim->extents[number];
    unsigned after = extent->pieces - to - 1u;
    SIM_CHECK(from + count + after <= SIM_PIECES_MAX, "extent %u in too many pieces", number);
    memmove(&extent->piece[from + count], &extent->piece[to + 1u], after * sizeof *made);
    memcpy(&extent->piece[from], made, count * sizeof *made);
    extent->pieces = (uint8_t)(from + count + after);
    if (from == 0 && count > 0) {
        extent->piece[0].first = 0;
    }
    for (unsigned i = 0; i < count; i++) {
        sim_extent_listed(sim, made[i].segment, number);
    }
    free(extent->refs);
    extent->refs = NULL;
    extent->ref_count = 0;
    sim_extent_touch(sim, number);
}

static void move_pieces(struct sim *sim, struct move *move, uint32_t number, unsigned from,
                        unsigned to)
{
    struct sim_extent *extent = sim->extents[number];
    struct sim_piece made[SIM_PIECES_MAX];
    unsigned count = 0, pages = 0, piece = from, end = end_of(extent, to);
    uint32_t last = SIM_NONE;
    for (unsigned slot = extent->piece[from].first; slot < end; slot++) {
        uint16_t block;
        uint32_t segment;
        while (piece < to && extent->piece[piece + 1u].first <= slot) {
            piece++;
        }
        if (!sim_bit(extent->alive, slot)) {
            sim_bit_set(extent->present, slot, false);
            continue;
        }
        block = put(sim, move, sim_owner_page(number, slot));
        segment = sim->heads[move->head].segment;
        sim->segments[extent->piece[piece].segment].live--;
        if (segment != last) {
            SIM_CHECK(count < SIM_PIECES_MAX, "extent %u is split too often", number);
            made[count].segment = segment;
            made[count].block = block;
            made[count++].first = (uint16_t)slot;
            last = segment;
        }
        if (sim->segments[segment].cursor % SIM_GROUP == 0) {
            group_done(sim, &sim->heads[move->head]);
        }
        pages++;
    }
    *(extent->meta ? &sim->counts.moved_nodes : &sim->counts.moved_data) += pages;
    sim->relocs_bytes += RELOC_BYTES + (2u * pages < BITMAP_BYTES ? 2u * pages : BITMAP_BYTES);
    replace_pieces(sim, number, from, to, made, count);
}

static void move_piece(struct sim *sim, struct move *move, uint32_t number, unsigned piece)
{
    struct sim_extent *extent = sim->extents[number];
    unsigned from = piece, to = piece, pages = living(extent, piece, piece);
    if (pages != 0 && extent->pieces - 1u + parts(sim, move->head, pages) > sim->opts.pieces) {
        sim->counts.gathers++;
        from = 0;
        to = extent->pieces - 1u;
        pages = living(extent, from, to);
        if (parts(sim, move->head, pages) > sim->opts.pieces &&
            sim->heads[move->head].segment != SIM_NONE) {
            struct sim_head *head = &sim->heads[move->head]; /* only from a segment's beginning */
            struct sim_segment *segment = &sim->segments[head->segment];
            sim->counts.group_rest += sim->segment_blocks - segment->cursor;
            segment->cursor = sim->segment_blocks;
            group_done(sim, head);
        }
    }
    move_pieces(sim, move, number, from, to);
}

static void move_extents(struct sim *sim, struct move *move, uint32_t victim)
{
    struct sim_segment *segment = &sim->segments[victim];
    uint32_t count = segment->extent_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = segment->extents[i];
        struct sim_extent *extent = sim->extents[number];
        if (extent == NULL || extent->mark == sim->counts.victims) {
            continue;
        }
        extent->mark = sim->counts.victims;
        for (unsigned piece = 0; piece < extent->pieces;) {
            if (extent->piece[piece].segment != victim) {
                piece++;
                continue;
            }
            move_piece(sim, move, number, piece);
            piece = 0;
        }
    }
}

/* Blocks of the keyless trees move by being written anew in the next checkpoint. */
static void renew_records(struct sim *sim, uint32_t victim)
{
    struct sim_segment *segment = &sim->segments[victim];
    for (uint32_t i = 0; i < segment->record_count; i++) {
        uint64_t owner = segment->records[i];
        enum sim_tree_kind kind = (enum sim_tree_kind)(owner >> 56 & 63u);
        unsigned level = (unsigned)(owner >> 48 & 255u);
        uint64_t index = owner & ((UINT64_C(1) << 48) - 1u);
        const struct sim_record *record = sim_tree_record(&sim->trees[kind], level, index);
        if (record->blocks != 0 && record->segment == victim) {
            sim_tree_mark(sim, kind, level, index);
        }
    }
}

/* Pages that cleaning a victim may write: what lives in it, and what gathers may bring along. */
static uint64_t moves_at_most(const struct sim *sim, const struct sim_segment *victim)
{
    uint64_t pages = victim->live;
    for (uint32_t i = 0; pages > 0 && i < victim->extent_count; i++) {
        const struct sim_extent *extent = sim->extents[victim->extents[i]];
        if (extent != NULL && extent->pieces + 1u >= sim->opts.pieces) {
            pages += extent->live;
        }
    }
    return pages;
}

/* Clean one segment. false: no victim is worth it, or its survivors have nowhere to go. */
bool sim_clean_one(struct sim *sim, bool pressed)
{
    uint32_t victim = pick(sim, pressed);
    struct sim_segment *segment;
    struct move move;
    uint32_t floor = sim_checkpoint_floor(sim);
    uint64_t space = 0;
    if (victim == SIM_NONE) {
        return false;
    }
    segment = &sim->segments[victim];
    move = (struct move){.head = choose_head(sim, segment), .victim = segment, .up2 = segment->up2};
    if (sim->free_count > floor) {
        space = (uint64_t)(sim->free_count - floor) * capacity(sim);
    }
    if (space + room(sim, move.head) < moves_at_most(sim, segment)) {
        return false;
    }
    sim->counts.victims++;
    memset(segment->wait, 0, sizeof segment->wait);
    move_extents(sim, &move, victim);
    SIM_CHECK(segment->live == 0, "segment %u was emptied, and counts %u live pages", victim,
              segment->live);
    renew_records(sim, victim);
    segment->state = SIM_WAITING;
    sim->waiting_count++;
    if (sim->opts.plant == SIM_PLANT_FREE && segment->raw == 0) {
        segment->state = SIM_FREE;
        sim->waiting_count--;
        sim->free_count++;
    }
    return true;
}
