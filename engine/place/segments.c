/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/segments.c - the segment table.
 */
#include "place/segments.h"

#include "base/testhook.h"

#include <string.h>

/* Deaths that the smoothed time of a segment's looks back on: the age by which the cleaner scores
 * (bench/cleaner). */
#define DEATHS_SMOOTHED 32.0
#define AGE_PAGES 256.0 /* between a segment and the next, for what an earlier session wrote */

static bool reserved(uint32_t segment)
{
    return segment == 0 || segment == 32 || segment == 63; /* root slots */
}

static struct cof_segment_summary *summary_of(struct cof_segments *segments, uint32_t segment)
{
    return &segments->summaries[segment / COF_SEGMENTS_PER_RECORD];
}

/* Anew, after all of the table changed. */
static void summarize(struct cof_segments *segments)
{
    memset(segments->summaries, 0,
           (segments->count / COF_SEGMENTS_PER_RECORD + 1u) * sizeof *segments->summaries);
    for (uint32_t i = 0; i < segments->count; i++) {
        const struct cof_segment *segment = &segments->table[i];
        struct cof_segment_summary *summary = summary_of(segments, i);
        summary->free_count =
            (uint16_t)(summary->free_count + (segment->state == COF_SEGMENT_FREE ? 1u : 0u));
        summary->fresh = summary->fresh || segment->fresh != 0;
        summary->dying =
            summary->dying || (segment->state == COF_SEGMENT_USED && segment->live == 0);
    }
}

static void set_used(struct cof_segments *segments, uint32_t at, unsigned lane)
{
    struct cof_segment_summary *summary = summary_of(segments, at);
    segments->table[at].state = COF_SEGMENT_USED;
    segments->table[at].lane = (uint8_t)lane;
    segments->free_count--;
    summary->free_count--;
    summary->dying = true; /* nothing lives in it yet */
}

static void set_new(struct cof_segments *segments, uint32_t from)
{
    for (uint32_t i = from; i < segments->count; i++) {
        segments->table[i].state = reserved(i) ? COF_SEGMENT_RESERVED : COF_SEGMENT_FREE;
        segments->free_count += reserved(i) ? 0u : 1u;
        segments->dirty[i / COF_SEGMENTS_PER_RECORD] = true;
    }
    summarize(segments);
}

int cof_segments_init(struct cof_segments *segments, struct cof_env *env, uint32_t count)
{
    memset(segments, 0, sizeof *segments);
    segments->env = env;
    segments->count = count;
    segments->next_sequence = 1;
    segments->table = cof_calloc(env, count, sizeof *segments->table);
    segments->dirty = cof_calloc(env, count / COF_SEGMENTS_PER_RECORD + 1u, sizeof(bool));
    segments->summaries =
        cof_calloc(env, count / COF_SEGMENTS_PER_RECORD + 1u, sizeof *segments->summaries);
    if (segments->table == NULL || segments->dirty == NULL || segments->summaries == NULL) {
        cof_segments_done(segments);
        return COFFER_E_NO_MEMORY;
    }
    set_new(segments, 0);
    return 0;
}

void cof_segments_done(struct cof_segments *segments)
{
    cof_free(segments->env, segments->table);
    cof_free(segments->env, segments->dirty);
    cof_free(segments->env, segments->summaries);
    segments->table = NULL;
    segments->dirty = NULL;
    segments->summaries = NULL;
}

int cof_segments_resize(struct cof_segments *segments, uint32_t count)
{
    struct cof_segment *table;
    struct cof_segment_summary *summaries;
    bool *dirty;
    uint32_t kept = count < segments->count ? count : segments->count;
    uint32_t old = segments->count;
    for (uint32_t i = count; i < old; i++) {
        if (segments->table[i].state != COF_SEGMENT_FREE) {
            return COFFER_E_NO_SPACE;
        }
    }
    table = cof_calloc(segments->env, count, sizeof *table);
    dirty = cof_calloc(segments->env, count / COF_SEGMENTS_PER_RECORD + 1u, sizeof(bool));
    summaries = cof_calloc(segments->env, count / COF_SEGMENTS_PER_RECORD + 1u, sizeof *summaries);
    if (table == NULL || dirty == NULL || summaries == NULL) {
        cof_free(segments->env, table);
        cof_free(segments->env, dirty);
        cof_free(segments->env, summaries);
        return COFFER_E_NO_MEMORY;
    }
    memcpy(table, segments->table, kept * sizeof *table);
    memcpy(dirty, segments->dirty, kept / COF_SEGMENTS_PER_RECORD + 1u);
    cof_free(segments->env, segments->table);
    cof_free(segments->env, segments->dirty);
    cof_free(segments->env, segments->summaries);
    segments->table = table;
    segments->dirty = dirty;
    segments->summaries = summaries;
    segments->count = count;
    if (count > old) {
        set_new(segments, old);
    } else {
        segments->free_count -= old - count;
        summarize(segments);
    }
    if (segments->conditioned > count) {
        segments->conditioned = count;
    }
    segments->scan = 0;
    return 0;
}

/* The first free segment at or after `at`; COF_NO_SEGMENT: none. */
static uint32_t find_free(const struct cof_segments *segments, uint32_t at)
{
    while (at < segments->count && segments->table[at].state != COF_SEGMENT_FREE) {
        uint32_t record = at / COF_SEGMENTS_PER_RECORD;
        at = segments->summaries[record].free_count > 0 ? at + 1u
                                                        : (record + 1u) * COF_SEGMENTS_PER_RECORD;
    }
    return at < segments->count ? at : COF_NO_SEGMENT;
}

int cof_segments_take(struct cof_segments *segments, unsigned lane, uint32_t keep,
                      uint32_t *ret_segment, uint64_t *ret_sequence, bool *ret_fresh)
{
    struct cof_segment *segment;
    uint32_t at;
    if (segments->free_count <= keep) {
        return COFFER_E_NO_SPACE;
    }
    at = find_free(segments, segments->scan);
    if (at == COF_NO_SEGMENT) {
        at = find_free(segments, 0);
    }
    if (at == COF_NO_SEGMENT) {
        return COFFER_E_NO_SPACE;
    }
    segment = &segments->table[at];
    segment->sequence = segments->next_sequence++;
    segment->live = 0;
    segment->fresh = 0;
    segment->own = 0;
    segment->tries = 0;
    segment->up2 = segments->clock;
    set_used(segments, at, lane);
    segments->dirty[at / COF_SEGMENTS_PER_RECORD] = true;
    segments->scan = at + 1u;
    *ret_fresh = segments->conditioned <= at;
    if (*ret_fresh) {
        segments->conditioned = at + 1u;
    }
    *ret_segment = at;
    *ret_sequence = segment->sequence;
    return 0;
}

void cof_segments_hold(struct cof_segments *segments, uint32_t segment, unsigned lane)
{
    if (segment != COF_NO_SEGMENT && segments->table[segment].state == COF_SEGMENT_FREE) {
        set_used(segments, segment, lane);
    }
}

static void touch(struct cof_segments *segments, uint32_t segment)
{
    segments->dirty[segment / COF_SEGMENTS_PER_RECORD] = true;
}

void cof_segments_live_add(struct cof_segments *segments, uint32_t segment, uint32_t blocks)
{
    segments->table[segment].live += blocks;
    segments->live_total += blocks;
    touch(segments, segment);
}

void cof_segments_live_sub(struct cof_segments *segments, uint32_t segment, uint32_t blocks)
{
    struct cof_segment *at = &segments->table[segment];
    if (blocks > at->live) {
        blocks = at->live; /* the table was damaged: check will say so; never wrap */
    }
    at->live -= blocks;
    segments->live_total -= blocks;
    if (at->live == 0) {
        summary_of(segments, segment)->dying = true;
    }
    touch(segments, segment);
}

void cof_segments_died(struct cof_segments *segments, uint32_t segment)
{
    struct cof_segment *at = &segments->table[segment];
    at->up2 += (segments->clock_of_deaths - at->up2) / DEATHS_SMOOTHED;
    cof_segments_live_sub(segments, segment, 1);
}

void cof_segments_fresh_add(struct cof_segments *segments, uint32_t segment, uint32_t blocks)
{
    cof_segments_live_add(segments, segment, blocks);
    segments->table[segment].fresh += blocks;
    summary_of(segments, segment)->fresh = true;
}

void cof_segments_pin(struct cof_segments *segments, uint32_t segment, int change)
{
    segments->table[segment].pins = (uint32_t)((int)segments->table[segment].pins + change);
}

void cof_segments_read(struct cof_segments *segments, uint32_t segment, int change)
{
    segments->table[segment].readers = (uint32_t)((int)segments->table[segment].readers + change);
}

/* The segment behind those of the record that `segment` is in. */
static uint32_t record_end(const struct cof_segments *segments, uint32_t segment)
{
    uint32_t end = (segment / COF_SEGMENTS_PER_RECORD + 1u) * COF_SEGMENTS_PER_RECORD;
    return end < segments->count ? end : segments->count;
}

void cof_segments_freeze(struct cof_segments *segments)
{
    uint32_t i = 0;
    while (i < segments->count) {
        struct cof_segment_summary *summary = summary_of(segments, i);
        uint32_t end = record_end(segments, i);
        for (; i < end && summary->fresh; i++) {
            if (segments->table[i].fresh != 0) {
                segments->table[i].fresh = 0;
                touch(segments, i);
            }
        }
        summary->fresh = false;
        i = end;
    }
}

static bool contains(const uint32_t *list, unsigned count, uint32_t value)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i] == value) {
            return true;
        }
    }
    return false;
}

static uint32_t collect_record(struct cof_segments *segments, uint32_t first, const uint32_t *keep,
                               unsigned keep_count, uint64_t replay_sequence)
{
    struct cof_segment_summary *summary = summary_of(segments, first);
    uint32_t freed = 0, end = record_end(segments, first);
    summary->dying = false;
    for (uint32_t i = first; i < end; i++) {
        struct cof_segment *segment = &segments->table[i];
        if (segment->state != COF_SEGMENT_USED || segment->live != 0) {
            continue;
        }
        if (segment->own != 0 || segment->pins != 0 || segment->readers != 0 ||
            contains(keep, keep_count, i) ||
            (segment->lane == COF_LANE_USER && segment->sequence >= replay_sequence)) {
            summary->dying = true; /* another time */
            continue;
        }
        segment->state = COF_SEGMENT_FREE;
        segments->free_count++;
        summary->free_count++;
        touch(segments, i);
        freed++;
        if (i < segments->scan) {
            segments->scan = i; /* segments that were written before are cheaper to append to */
        }
    }
    return freed;
}

uint32_t cof_segments_collect(struct cof_segments *segments, const uint32_t *keep,
                              unsigned keep_count, uint64_t replay_sequence)
{
    uint32_t freed = 0;
    for (uint32_t i = 0; i < segments->count; i += COF_SEGMENTS_PER_RECORD) {
        if (summary_of(segments, i)->dying) {
            freed += collect_record(segments, i, keep, keep_count, replay_sequence);
        }
    }
    return freed;
}

unsigned cof_segments_records(const struct cof_segments *segments)
{
    return (segments->count + COF_SEGMENTS_PER_RECORD - 1u) / COF_SEGMENTS_PER_RECORD;
}

void cof_segments_record_encode(const struct cof_segments *segments, unsigned record,
                                uint8_t block[4096])
{
    uint32_t first = record * COF_SEGMENTS_PER_RECORD;
    memset(block, 0, 4096);
    for (uint32_t i = 0; i < COF_SEGMENTS_PER_RECORD && first + i < segments->count; i++) {
        const struct cof_segment *segment = &segments->table[first + i];
        struct cof_segment_record disk = {segment->sequence, segment->live - segment->fresh,
                                          segment->state, segment->lane};
        cof_segment_record_encode(&disk, block + 16u * i);
    }
}

void cof_segments_record_decode(struct cof_segments *segments, unsigned record,
                                const uint8_t block[4096])
{
    uint32_t first = record * COF_SEGMENTS_PER_RECORD;
    for (uint32_t i = 0; i < COF_SEGMENTS_PER_RECORD && first + i < segments->count; i++) {
        struct cof_segment_record disk;
        struct cof_segment *segment = &segments->table[first + i];
        cof_segment_record_decode(block + 16u * i, &disk);
        segment->sequence = disk.sequence;
        segment->live = disk.live;
        segment->lane = disk.lane;
        segment->state = reserved(first + i) ? COF_SEGMENT_RESERVED : disk.state;
        segments->live_total += disk.live;
    }
}

void cof_segments_settle(struct cof_segments *segments)
{
    segments->free_count = 0;
    segments->scan = 0;
    for (uint32_t i = 0; i < segments->count; i++) {
        struct cof_segment *segment = &segments->table[i];
        bool dead = segment->live == 0 && segment->own == 0 && segment->pins == 0;
        if (segment->state == COF_SEGMENT_RESERVED) {
            continue;
        }
        segment->state = dead ? COF_SEGMENT_FREE : COF_SEGMENT_USED;
        /* Nobody knows when its pages died: the older it is, the longer ago. */
        segment->up2 = ((double)segment->sequence - (double)segments->next_sequence) * AGE_PAGES;
        segments->free_count += dead ? 1u : 0u;
    }
    summarize(segments);
    memset(segments->dirty, 0, segments->count / COF_SEGMENTS_PER_RECORD + 1u);
}
