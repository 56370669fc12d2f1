/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/extents.c - descriptors: which slots are present and alive, and where their pieces lie.
 */
#include "cleaner/sim.h"

#include <string.h>

bool sim_bit(const uint64_t *bits, uint64_t at)
{
    return (bits[at >> 6] >> (at & 63u) & 1u) != 0;
}

void sim_bit_set(uint64_t *bits, uint64_t at, bool value)
{
    uint64_t mask = UINT64_C(1) << (at & 63u);
    bits[at >> 6] = value ? bits[at >> 6] | mask : bits[at >> 6] & ~mask;
}

static unsigned count_bits(const uint64_t bits[8])
{
    unsigned count = 0;
    for (unsigned i = 0; i < 8; i++) {
        count += (unsigned)__builtin_popcountll(bits[i]);
    }
    return count;
}

void sim_extent_listed(struct sim *sim, uint32_t number, uint32_t extent)
{
    struct sim_segment *segment = &sim->segments[number];
    if (segment->extent_count == segment->extent_room) {
        segment->extent_room = segment->extent_room == 0 ? 16u : 2u * segment->extent_room;
        segment->extents =
            sim_grow(segment->extents, segment->extent_room, sizeof *segment->extents);
    }
    segment->extents[segment->extent_count++] = extent;
}

struct sim_extent *sim_extent_new(struct sim *sim, uint32_t segment, bool meta, uint32_t *ret)
{
    struct sim_extent *extent = sim_alloc(1, sizeof *extent);
    if (sim->next_extent >= sim->extent_room) {
        uint32_t room = sim->extent_room == 0 ? 4096u : 2u * sim->extent_room;
        sim->extents = sim_grow(sim->extents, room, sizeof *sim->extents);
        memset(sim->extents + sim->extent_room, 0,
               (room - sim->extent_room) * sizeof *sim->extents);
        sim->extent_room = room;
    }
    extent->meta = meta;
    extent->young = !meta;
    extent->pieces = 1;
    extent->piece[0].segment = segment;
    extent->refs = sim_alloc(SIM_REFS_MAX, sizeof *extent->refs);
    *ret = sim->next_extent++;
    sim->extents[*ret] = extent;
    sim_extent_listed(sim, segment, *ret);
    return extent;
}

void sim_extent_free(struct sim *sim, uint32_t number)
{
    if (sim->extents[number] != NULL) {
        free(sim->extents[number]->refs);
        free(sim->extents[number]);
        sim->extents[number] = NULL;
    }
}

void sim_extent_touch(struct sim *sim, uint32_t number)
{
    sim_tree_mark(sim, SIM_PLACEMENT, 0, number / 16u);
}

/* A page was appended. new_run: another batch than the slot before. */
void sim_extent_put(struct sim *sim, uint32_t number, unsigned slot, uint16_t block, bool new_run)
{
    struct sim_extent *extent = sim->extents[number];
    if (new_run) {
        SIM_CHECK(extent->ref_count < SIM_REFS_MAX, "extent %u has too many references", number);
        extent->refs[extent->ref_count].slot = (uint16_t)slot;
        extent->refs[extent->ref_count++].block = block;
    }
    sim_bit_set(extent->present, slot, true);
    sim_bit_set(extent->alive, slot, true);
    extent->live++;
    sim->segments[extent->piece[0].segment].live++;
    if (extent->meta) {
        sim->live_nodes++;
    } else {
        sim->live_data += slot == SIM_SUMMARY ? 0u : 1u;
    }
    sim_extent_touch(sim, number);
}

void sim_extent_kill(struct sim *sim, uint64_t address)
{
    uint32_t number = (uint32_t)(address >> 9);
    unsigned slot = (unsigned)(address & 511u), piece;
    struct sim_extent *extent = sim->extents[number];
    struct sim_segment *segment;
    SIM_CHECK(extent != NULL && sim_bit(extent->alive, slot),
              "page %u of extent %u dies a second time", slot, number);
    for (piece = extent->pieces - 1u; piece > 0 && extent->piece[piece].first > slot; piece--) {
    }
    sim_bit_set(extent->alive, slot, false);
    extent->live--;
    segment = &sim->segments[extent->piece[piece].segment];
    if (sim->opts.plant != SIM_PLANT_MISCOUNT || segment->live % 100u != 99u) {
        segment->live--;
    }
    segment->up2 += ((double)sim->frozen_clock - segment->up2) / 32.0;
    if (extent->meta) {
        sim->live_nodes--;
    } else {
        sim->live_data -= slot == SIM_SUMMARY ? 0u : 1u;
    }
    sim_extent_touch(sim, number);
}

/* Bytes of the descriptor on disk (docs/format.md, section 5). */
unsigned sim_extent_bytes(const struct sim_extent *extent)
{
    unsigned present = count_bits(extent->present);
    unsigned bytes = 48u + 8u * extent->pieces + 4u * extent->ref_count;
    if (present != (unsigned)extent->slots + (extent->summary ? 1u : 0u)) {
        bytes += present <= 32u ? 2u * present : 64u;
    }
    if (present != extent->live) {
        bytes += extent->live <= 32u ? 2u * extent->live : 64u;
    }
    return bytes;
}
