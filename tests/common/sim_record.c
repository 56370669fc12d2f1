/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_record.c - the list of changes and how images come of it; see sim_segdev.h.
 *
 * Invariants: events stand in order of submission; durable is base with every event applied, in
 * that order, whose durable_at is set; a later write to a block takes the block away from every
 * doomed or failed earlier event, so that an image never gets an older content over a newer one.
 */
#include "common/sim_record.h"

#include "common/harness.h"
#include "common/prng.h"

#include <stdlib.h>
#include <string.h>

void sim_record_init(struct sim_record *record, const struct sim_image *base, bool keep)
{
    memset(record, 0, sizeof *record);
    record->base = sim_image_clone(base);
    record->durable = sim_image_clone(base);
    record->keep = keep;
}

static void drop_event(struct sim_event *event)
{
    for (uint32_t i = 0; event->content != NULL && i < event->block_count; i++) {
        sim_block_put(event->content[i]);
    }
    free(event->content);
    event->content = NULL;
    sim_image_free(event->durable);
    event->durable = NULL;
}

void sim_record_done(struct sim_record *record)
{
    for (uint64_t i = 0; i < record->count; i++) {
        drop_event(&record->events[i]);
    }
    free(record->events);
    sim_image_free(record->base);
    sim_image_free(record->durable);
}

static struct sim_event *new_event(struct sim_record *record, enum sim_event_kind kind,
                                   uint32_t segment)
{
    struct sim_event *event;
    if (record->count == record->room) {
        record->room = record->room == 0 ? 256 : record->room * 2;
        record->events = realloc(record->events, record->room * sizeof *record->events);
        if (record->events == NULL) {
            abort();
        }
    }
    event = &record->events[record->count++];
    memset(event, 0, sizeof *event);
    event->kind = kind;
    event->segment = segment;
    event->completed_at = SIM_NEVER;
    event->completed_tick = SIM_NEVER;
    event->durable_at = SIM_NEVER;
    return event;
}

static bool overlaps(const struct sim_event *event, uint32_t segment, uint32_t block,
                     uint32_t block_count)
{
    return event->segment == segment && event->block < block + block_count &&
           block < event->block + event->block_count;
}

/* Older writes that never became durable lose the blocks that are written anew. */
static void supersede(struct sim_record *record, uint32_t segment, uint32_t block,
                      uint32_t block_count)
{
    for (uint64_t i = record->first_unsynced; i < record->count; i++) {
        struct sim_event *event = &record->events[i];
        if (event->kind != SIM_EVENT_WRITE || !(event->doomed || event->failed) ||
            !overlaps(event, segment, block, block_count)) {
            continue;
        }
        for (uint32_t at = 0; at < event->block_count; at++) {
            if (event->block + at >= block && event->block + at < block + block_count) {
                sim_block_put(event->content[at]);
                event->content[at] = NULL;
            }
        }
    }
}

uint64_t sim_record_write(struct sim_record *record, uint32_t segment, uint32_t block,
                          uint32_t block_count, struct sim_block **content)
{
    struct sim_event *event;
    supersede(record, segment, block, block_count);
    event = new_event(record, SIM_EVENT_WRITE, segment);
    event->block = block;
    event->block_count = block_count;
    event->content = content;
    return record->count - 1;
}

uint64_t sim_record_clear(struct sim_record *record, uint32_t segment)
{
    supersede(record, segment, 0, sim_image_blocks(record->base, segment));
    new_event(record, SIM_EVENT_CLEAR, segment);
    return record->count - 1;
}

uint64_t sim_record_resize(struct sim_record *record, uint32_t segment_count)
{
    new_event(record, SIM_EVENT_RESIZE, segment_count);
    return record->count - 1;
}

static void begin_anew(struct sim_image *image, const struct sim_event *event)
{
    if (event->block == 0) {
        sim_image_begin(image, event->segment);
    }
}

void sim_event_apply(struct sim_image *image, const struct sim_event *event)
{
    if (event->kind == SIM_EVENT_CLEAR) {
        sim_image_clear_segment(image, event->segment);
    } else if (event->kind == SIM_EVENT_RESIZE) {
        sim_image_set_segment_count(image, event->segment);
    } else if (event->kind == SIM_EVENT_WRITE) {
        begin_anew(image, event);
        for (uint32_t i = 0; i < event->block_count; i++) {
            if (event->content[i] != NULL) {
                sim_image_put(image, event->segment, event->block + i, event->content[i]);
            }
        }
    }
}

/* Which sectors of the event's blocks survive: those before a cut, those after it, or any. */
void sim_event_tear(struct sim_image *image, const struct sim_event *event, uint64_t seed)
{
    struct prng prng = {seed};
    uint32_t sectors = event->block_count * SIM_SECTORS;
    uint32_t cut = prng_below(&prng, sectors + 1);
    uint32_t manner = prng_below(&prng, 4);
    if (event->kind != SIM_EVENT_WRITE) {
        if (manner < 2) {
            sim_event_apply(image, event);
        }
        return;
    }
    begin_anew(image, event);
    for (uint32_t i = 0; i < event->block_count; i++) {
        unsigned mask = 0;
        for (uint32_t s = 0; s < SIM_SECTORS; s++) {
            bool before = i * SIM_SECTORS + s < cut;
            bool there = manner < 2 ? before : manner == 2 ? !before : prng_chance(&prng, 1, 2);
            mask |= there ? 1u << s : 0u;
        }
        if (event->content[i] != NULL) {
            sim_image_put_sectors(image, event->segment, event->block + i, event->content[i],
                                  mask);
        }
    }
}

static void advance_first(struct sim_record *record)
{
    while (record->first_unsynced < record->count) {
        const struct sim_event *event = &record->events[record->first_unsynced];
        if (event->kind != SIM_EVENT_SYNCED && event->durable_at == SIM_NEVER) {
            return;
        }
        record->first_unsynced++;
    }
}

/* Without keep, what became durable is forgotten. */
static void forget(struct sim_record *record)
{
    for (; !record->keep && record->forgotten < record->first_unsynced; record->forgotten++) {
        drop_event(&record->events[record->forgotten]);
    }
}

void sim_record_synced(struct sim_record *record, uint64_t submitted_at, uint64_t submitted_tick)
{
    uint64_t now = record->count;
    struct sim_event *mark;
    for (uint64_t i = record->first_unsynced; i < submitted_at; i++) {
        struct sim_event *event = &record->events[i];
        if (event->kind != SIM_EVENT_SYNCED && event->durable_at == SIM_NEVER && !event->doomed &&
            !event->failed && event->completed_tick < submitted_tick) {
            event->durable_at = now;
            sim_event_apply(record->durable, event);
        }
    }
    mark = new_event(record, SIM_EVENT_SYNCED, 0);
    mark->durable_at = now;
    advance_first(record);
    mark->first_unsynced = record->first_unsynced;
    if (record->keep) {
        mark->durable = sim_image_clone(record->durable);
    }
    forget(record);
}

void sim_record_sync_failed(struct sim_record *record, uint64_t submitted_at)
{
    for (uint64_t i = record->first_unsynced; i < submitted_at; i++) {
        struct sim_event *event = &record->events[i];
        if (event->kind != SIM_EVENT_SYNCED && event->durable_at == SIM_NEVER) {
            event->doomed = true;
        }
    }
}

/* What the last sync below event left durable; *ret_first is the oldest event that it may have left
 * unsynced. */
static const struct sim_image *durable_below(const struct sim_record *record, uint64_t event,
                                             uint64_t *ret_first)
{
    if (!record->keep) {
        harness_require(event == record->count, "simulated device: nothing was recorded");
        *ret_first = record->first_unsynced;
        return record->durable;
    }
    for (uint64_t i = event; i > 0; i--) {
        if (record->events[i - 1].kind == SIM_EVENT_SYNCED) {
            *ret_first = record->events[i - 1].first_unsynced;
            return record->events[i - 1].durable;
        }
    }
    *ret_first = 0;
    return record->base;
}

static bool unsynced(const struct sim_event *event, uint64_t cut)
{
    return event->kind != SIM_EVENT_SYNCED && event->durable_at >= cut;
}

uint64_t sim_record_unsynced_at(const struct sim_record *record, uint64_t event)
{
    uint64_t first, count = 0;
    (void)durable_below(record, event, &first);
    for (uint64_t i = first; i < event; i++) {
        count += unsynced(&record->events[i], event) ? 1u : 0u;
    }
    return count;
}

/* A block here, a block there. */
static void apply_scattered(struct sim_image *image, const struct sim_event *event,
                            struct prng *prng)
{
    if (event->kind != SIM_EVENT_WRITE) {
        if (prng_chance(prng, 1, 2)) {
            sim_event_apply(image, event);
        }
        return;
    }
    begin_anew(image, event);
    for (uint32_t i = 0; i < event->block_count; i++) {
        if (event->content[i] != NULL && prng_chance(prng, 1, 2)) {
            sim_image_put(image, event->segment, event->block + i, event->content[i]);
        }
    }
}

static void apply_killed(struct sim_image *image, const struct sim_event *event, uint64_t cut,
                         struct prng *prng)
{
    if (event->failed) {
        sim_event_tear(image, event, prng_next(prng));
    } else if (event->completed_at <= cut || prng_chance(prng, 1, 2)) {
        sim_event_apply(image, event);
    }
}

static void apply_unsynced(struct sim_image *image, const struct sim_event *event, uint64_t cut,
                           enum sim_variant variant, uint32_t manner, struct prng *prng)
{
    if (variant == SIM_CUT_KILL) {
        apply_killed(image, event, cut, prng);
    } else if (variant == SIM_CUT_ALL || (variant == SIM_CUT_TORN && manner == 0)) {
        sim_event_apply(image, event);
    } else if (manner == 1) {
        apply_scattered(image, event, prng);
    } else if (prng_chance(prng, manner == 2 ? 3 : 2, 4)) {
        sim_event_apply(image, event);
    }
}

struct sim_image *sim_record_image_at(const struct sim_record *record, uint64_t event,
                                      enum sim_variant variant, uint64_t seed)
{
    struct prng prng = {prng_mix(seed, event * SIM_VARIANTS + (uint64_t)variant)};
    uint32_t manner = prng_below(&prng, 4);
    uint64_t first, left = sim_record_unsynced_at(record, event);
    const struct sim_image *durable = durable_below(record, event, &first);
    /* Half of the torn ones are the newest write, which a real cut tears most often. */
    uint64_t victim = prng_chance(&prng, 1, 2) ? 1 : 1 + prng_below(&prng, (uint32_t)left);
    struct sim_image *image = sim_image_clone(durable);
    for (uint64_t i = first; i < event && variant != SIM_CUT_NONE; i++) {
        const struct sim_event *at = &record->events[i];
        if (!unsynced(at, event)) {
            continue;
        }
        if (variant == SIM_CUT_TORN && left == victim) {
            sim_event_tear(image, at, prng_next(&prng));
        } else {
            apply_unsynced(image, at, event, variant, manner, &prng);
        }
        left--;
    }
    return image;
}
