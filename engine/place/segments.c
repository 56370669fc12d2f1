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

static bool is_free(const struct cof_segments *segments, uint32_t segment)
{
    return segments->table[segment].state == COF_SEGMENT_FREE;
}

/* A free one that is a hole, or one that is not. */
static bool is_free_hole(const struct cof_segments *segments, uint32_t segment, bool hole)
{
    return is_free(segments, segment) && segments->table[segment].hole == hole;
}

/* Anew, after all of the table changed. */
static void summarize(struct cof_segments *segments)
{
    memset(segments->summaries, 0,
           (segments->count / COF_SEGMENTS_PER_RECORD + 1u) * sizeof *segments->summaries);
    for (uint32_t i = 0; i < segments->count; i++) {
        const struct cof_segment *segment = &segments->table[i];
        struct cof_segment_summary *summary = summary_of(segments, i);
        summary->free_count = (uint16_t)(summary->free_count + (is_free(segments, i) ? 1u : 0u));
        summary->hole_count =
            (uint16_t)(summary->hole_count + (is_free_hole(segments, i, true) ? 1u : 0u));
        summary->fresh = summary->fresh || segment->fresh != 0;
        summary->dying =
            summary->dying || (segment->state == COF_SEGMENT_USED && segment->live == 0);
    }
}

static void set_used(struct cof_segments *segments, uint32_t at, unsigned lane)
{
    struct cof_segment_summary *summary = summary_of(segments, at);
    if (segments->table[at].hole) {
        segments->hole_count--;
        summary->hole_count--;
    }
    segments->table[at].hole = false;
    segments->table[at].condemned = false;
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
        segments->table[i].hole = true;
        segments->dirty[i / COF_SEGMENTS_PER_RECORD] = true;
    }
}

uint32_t cof_segments_free_below(const struct cof_segments *segments, uint32_t end)
{
    uint32_t count = 0, at = 0;
    for (; at + COF_SEGMENTS_PER_RECORD <= end; at += COF_SEGMENTS_PER_RECORD) {
        count += segments->summaries[at / COF_SEGMENTS_PER_RECORD].free_count;
    }
    for (; at < end; at++) {
        count += is_free(segments, at) ? 1u : 0u;
    }
    return count;
}

void cof_segments_cap(struct cof_segments *segments, uint32_t ceiling)
{
    segments->ceiling = ceiling;
    segments->free_count = cof_segments_free_below(segments, ceiling);
    segments->hole_count = 0;
    for (uint32_t i = 0; i < ceiling; i++) {
        segments->hole_count += is_free_hole(segments, i, true) ? 1u : 0u;
    }
    segments->scan[false] = 0;
    segments->scan[true] = 0;
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
    summarize(segments);
    cof_segments_cap(segments, count);
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
        if (!is_free(segments, i)) {
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
    set_new(segments, old);
    summarize(segments);
    cof_segments_cap(segments, count);
    if (segments->conditioned > count) {
        segments->conditioned = count;
    }
    return 0;
}

/* The free segment that is taken next. */
static uint32_t find_free(struct cof_segments *segments)
{
    bool hole = segments->free_count == segments->hole_count;
    uint32_t at = segments->scan[hole];
    while (at < segments->ceiling && !is_free_hole(segments, at, hole)) {
        const struct cof_segment_summary *summary = summary_of(segments, at);
        bool here = hole ? summary->hole_count > 0 : summary->free_count > summary->hole_count;
        at = here ? at + 1u : (at / COF_SEGMENTS_PER_RECORD + 1u) * COF_SEGMENTS_PER_RECORD;
    }
    segments->scan[hole] = at;
    return at < segments->ceiling ? at : COF_NO_SEGMENT;
}

int cof_segments_take(struct cof_segments *segments, unsigned lane, uint32_t keep,
                      uint32_t *ret_segment, uint64_t *ret_sequence, bool *ret_fresh)
{
    uint32_t at = segments->free_count > keep ? find_free(segments) : COF_NO_SEGMENT;
    struct cof_segment *segment = &segments->table[at];
    if (at == COF_NO_SEGMENT) {
        return COFFER_E_NO_SPACE;
    }
    segment->sequence = segments->next_sequence++;
    segment->live = 0;
    segment->fresh = 0;
    segment->own = 0;
    segment->tries = 0;
    segment->up2 = segments->clock;
    *ret_fresh = segment->hole;
    set_used(segments, at, lane);
    segments->dirty[at / COF_SEGMENTS_PER_RECORD] = true;
    if (segments->conditioned <= at) {
        segments->conditioned = at + 1u;
    }
    *ret_segment = at;
    *ret_sequence = segment->sequence;
    return 0;
}

void cof_segments_hold(struct cof_segments *segments, uint32_t segment, unsigned lane)
{
    if (segment != COF_NO_SEGMENT && is_free(segments, segment)) {
        set_used(segments, segment, lane);
    }
}

uint32_t cof_segments_written(const struct cof_segments *segments, uint32_t end)
{
    uint32_t at = end;
    while (at > 0 && !is_free_hole(segments, at - 1u, false)) {
        uint32_t record = (at - 1u) / COF_SEGMENTS_PER_RECORD;
        const struct cof_segment_summary *summary = &segments->summaries[record];
        at = summary->free_count > summary->hole_count ? at - 1u : record * COF_SEGMENTS_PER_RECORD;
    }
    return at > 0 ? at - 1u : COF_NO_SEGMENT;
}

void cof_segments_given_back(struct cof_segments *segments, uint32_t segment)
{
    uint32_t *top = &segments->conditioned;
    segments->table[segment].hole = true;
    segments->hole_count += segment < segments->ceiling ? 1u : 0u;
    summary_of(segments, segment)->hole_count++;
    if (segment < segments->scan[true]) {
        segments->scan[true] = segment;
    }
    while (*top > 0 && is_free_hole(segments, *top - 1u, true)) {
        --*top;
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

static bool may_die(const struct cof_segment *segment)
{
    return segment->state == COF_SEGMENT_USED && segment->live == 0 && segment->own == 0 &&
           segment->pins == 0 && segment->readers == 0;
}

void cof_segments_condemn(struct cof_segments *segments, const uint32_t *keep, unsigned keep_count,
                          uint64_t replay_sequence)
{
    uint32_t i = 0;
    while (i < segments->count) {
        uint32_t end = record_end(segments, i);
        for (; i < end && summary_of(segments, i)->dying; i++) {
            struct cof_segment *segment = &segments->table[i];
            bool replayed = segment->lane == COF_LANE_USER && segment->sequence >= replay_sequence;
            segment->condemned = may_die(segment) && !replayed && !contains(keep, keep_count, i);
        }
        i = end;
    }
}

static uint32_t collect_record(struct cof_segments *segments, uint32_t first)
{
    struct cof_segment_summary *summary = summary_of(segments, first);
    uint32_t freed = 0, end = record_end(segments, first);
    summary->dying = false;
    for (uint32_t i = first; i < end; i++) {
        struct cof_segment *segment = &segments->table[i];
        if (segment->state != COF_SEGMENT_USED || segment->live != 0) {
            continue;
        }
        if (!segment->condemned || !may_die(segment)) {
            summary->dying = true; /* another time */
            continue;
        }
        segment->state = COF_SEGMENT_FREE;
        segments->free_count += i < segments->ceiling ? 1u : 0u;
        summary->free_count++;
        touch(segments, i);
        freed++;
        if (i < segments->scan[false]) {
            segments->scan[false] = i;
        }
    }
    return freed;
}

uint32_t cof_segments_collect(struct cof_segments *segments)
{
    uint32_t freed = 0;
    for (uint32_t i = 0; i < segments->count; i += COF_SEGMENTS_PER_RECORD) {
        if (summary_of(segments, i)->dying) {
            freed += collect_record(segments, i);
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

static bool is_dead(const struct cof_segment *segment)
{
    return segment->live == 0 && segment->own == 0 && segment->pins == 0;
}

uint32_t cof_segments_dead_after(const struct cof_segments *segments, uint32_t segment)
{
    for (uint32_t at = segment + 1u; at < segments->count; at++) {
        if (segments->table[at].state != COF_SEGMENT_RESERVED && is_dead(&segments->table[at])) {
            return at;
        }
    }
    return COF_NO_SEGMENT;
}

void cof_segments_settle(struct cof_segments *segments)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        struct cof_segment *segment = &segments->table[i];
        bool dead = is_dead(segment);
        if (segment->state == COF_SEGMENT_RESERVED) {
            continue;
        }
        segment->state = dead ? COF_SEGMENT_FREE : COF_SEGMENT_USED;
        segment->hole = dead && i >= segments->conditioned;
        /* Nobody knows when its pages died: the older it is, the longer ago. */
        segment->up2 = ((double)segment->sequence - (double)segments->next_sequence) * AGE_PAGES;
    }
    summarize(segments);
    cof_segments_cap(segments, segments->count);
    memset(segments->dirty, 0, segments->count / COF_SEGMENTS_PER_RECORD + 1u);
}
