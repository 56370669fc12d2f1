/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/space.c - segments: taken, appended to, free again when a durable root lets them go.
 */
#include "cleaner/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const uint64_t sim_owner_other = UINT64_C(3) << 62;

_Noreturn void sim_fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("sim_cleaner: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

void *sim_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    SIM_CHECK(memory != NULL, "no memory");
    return memory;
}

void *sim_grow(void *old, size_t count, size_t bytes)
{
    void *memory = realloc(old, count * bytes);
    SIM_CHECK(memory != NULL, "no memory");
    return memory;
}

void sim_list_add(struct sim_list *list, uint64_t item)
{
    if (list->count == list->room) {
        list->room = list->room == 0 ? 1024u : 2u * list->room;
        list->items = sim_grow(list->items, list->room, sizeof *list->items);
    }
    list->items[list->count++] = item;
}

uint64_t sim_owner_page(uint32_t extent, unsigned slot)
{
    return UINT64_C(1) << 62 | (uint64_t)extent << 9 | slot;
}

uint64_t sim_owner_record(enum sim_tree_kind kind, unsigned level, uint64_t index)
{
    return UINT64_C(2) << 62 | (uint64_t)kind << 56 | (uint64_t)level << 48 | index;
}

void sim_space_init(struct sim *sim)
{
    uint64_t blocks;
    sim->segment_blocks = (uint32_t)(sim->opts.segment_bytes / SIM_BLOCK);
    sim->segment_count = (uint32_t)sim->opts.segments;
    blocks = (uint64_t)sim->segment_count * sim->segment_blocks;
    sim->segments = sim_alloc(sim->segment_count, sizeof *sim->segments);
    sim->owner = sim_alloc(blocks, sizeof *sim->owner);
    sim->durable = sim->opts.audit == 1 ? sim_alloc(blocks, 1) : NULL;
    sim->segments[0].state = sim->segments[32].state = sim->segments[63].state = SIM_ROOTS;
    sim->free_count = sim->segment_count - 3u;
    sim->user.segment = sim->meta.segment = SIM_NONE;
    for (unsigned head = 0; head < SIM_HEADS_MAX; head++) {
        sim->heads[head].segment = SIM_NONE;
    }
    sim->next_extent = 1;
}

void sim_space_done(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->segment_count; i++) {
        free(sim->segments[i].extents);
        free(sim->segments[i].records);
    }
    free(sim->segments);
    free(sim->owner);
    free(sim->durable);
}

uint32_t sim_space_take(struct sim *sim, unsigned gen, uint32_t floor)
{
    struct sim_segment *segment;
    uint64_t first;
    if (sim->free_count <= floor) {
        return SIM_NONE;
    }
    while (sim->segments[sim->scan].state != SIM_FREE) {
        sim->scan = (sim->scan + 1u) % sim->segment_count;
    }
    segment = &sim->segments[sim->scan];
    first = (uint64_t)sim->scan * sim->segment_blocks;
    if (sim->durable != NULL) {
        for (uint32_t block = 0; block < sim->segment_blocks; block++) {
            SIM_CHECK(sim->durable[first + block] == 0,
                      "segment %u is taken, but a durable root or the log names its block %u",
                      sim->scan, block);
        }
    }
    SIM_CHECK(segment->live == 0 && segment->raw == 0, "segment %u is taken with live blocks",
              sim->scan);
    memset(sim->owner + first, 0, sim->segment_blocks * sizeof *sim->owner);
    segment->state = SIM_OPEN;
    segment->gen = gen;
    segment->cursor = segment->extent_count = segment->record_count = 0;
    segment->up2 = (double)sim->clock;
    segment->log_epoch = 0;
    sim->free_count--;
    return sim->scan;
}

uint16_t sim_space_append(struct sim *sim, uint32_t number, uint64_t owner)
{
    struct sim_segment *segment = &sim->segments[number];
    uint64_t at = (uint64_t)number * sim->segment_blocks + segment->cursor;
    SIM_CHECK(segment->state == SIM_OPEN && segment->cursor < sim->segment_blocks,
              "append to segment %u, block %u, which is not open for it", number, segment->cursor);
    SIM_CHECK(sim->owner[at] == 0, "block %u of segment %u has two owners", segment->cursor,
              number);
    sim->owner[at] = owner;
    return (uint16_t)segment->cursor++;
}

/* A new root is durable: what it does not need is free. */
void sim_space_settle(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->segment_count; number++) {
        struct sim_segment *segment = &sim->segments[number];
        bool dead = segment->live == 0 && segment->raw == 0;
        if (segment->state == SIM_WAITING) {
            if (!dead || !sim_clean_written(sim, segment)) {
                continue;
            }
            sim->waiting_count--;
        } else if (segment->state != SIM_USED || !dead ||
                   segment->log_epoch >= sim->durable_epoch) {
            continue;
        }
        segment->state = SIM_FREE;
        sim->free_count++;
    }
}
