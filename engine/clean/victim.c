/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/victim.c - which segment is cleaned next, and what its headers say.
 *
 * The choice is MDC (Lomet and Luo, Efficiently Reclaiming Space in a Log Structured Store, 2021):
 * the most of E^2/(1-E) x (now - up2), E being the empty part of a segment and up2 the smoothed
 * time of its pages' deaths; where room is needed at once, the emptiest. In a large store the best
 * of a window is taken.
 * One whose survivors have no place is passed over: the rest of a group that is filling may take a
 * smaller one.
 * What the headers name is only where to look: descriptors decide what lives and where.
 */
#include "clean/internal.h"

#include "format/batch_format.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_SEGMENTS 65536u
#define EMPTY_MIN 0.02 /* of a segment, below which cleaning it is not worth it */
#define TRIES_MAX 3u   /* a victim that does not become empty is left alone then */
#define READ_BYTES ((size_t)64 << 10)
#define BLOCK 4096u

/* ---- choice ---- */

static double score(const struct cof_cleaner *cleaner, const struct cof_segment *segment,
                    bool pressed)
{
    double least = pressed ? 0.5 / (double)cleaner->segment_blocks : EMPTY_MIN;
    uint32_t all = cleaner->segment_blocks - cleaner->segment_blocks / COF_GROUP_BLOCKS;
    uint32_t used = segment->live + segment->own;
    double empty = used >= all ? 0.0 : 1.0 - (double)used / (double)all;
    if (segment->state != COF_SEGMENT_USED || used == 0 || empty < least ||
        segment->tries >= TRIES_MAX) {
        return -1.0; /* a dead one becomes free by itself */
    }
    return pressed
               ? empty
               : empty * empty / (1.0 - empty) * (cleaner->segments->clock - segment->up2 + 1.0);
}

/* Whether a head fills the segment, or the device has not got all of it yet. */
static bool being_filled(const struct cof_cleaner *cleaner, uint32_t segment)
{
    for (unsigned i = 0; i < cleaner->head_count; i++) {
        if (cleaner->heads[i].segment == segment) {
            return true;
        }
    }
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        const struct cof_group *group = &cleaner->groups[i];
        if ((group->open || group->flying || group->done) && group->segment == segment) {
            return true;
        }
    }
    return false;
}

bool cof_victim_possible(const struct cof_cleaner *cleaner, uint32_t segment)
{
    const struct cof_segment *at = &cleaner->segments->table[segment];
    bool moves = cleaner->state != COF_CLEANER_IDLE && cleaner->victim == segment;
    return at->state == COF_SEGMENT_USED && at->moving == 0 && !moves &&
           !being_filled(cleaner, segment) && cleaner->ops->may_clean(cleaner->ctx, segment);
}

bool cof_victim_good(const struct cof_cleaner *cleaner, uint32_t segment)
{
    const struct cof_segment *at = &cleaner->segments->table[segment];
    return score(cleaner, at, false) > 0.0 &&
           at->live <= cof_cleaner_room(cleaner, cof_cleaner_head(cleaner, segment)) &&
           cof_victim_possible(cleaner, segment);
}

uint32_t cof_victim_pick(const struct cof_cleaner *cleaner, bool pressed)
{
    const struct cof_segments *segments = cleaner->segments;
    uint64_t room[COF_CLEANER_HEADS_MAX];
    uint32_t end = cleaner->end != 0 ? cleaner->end : segments->count;
    uint32_t window = end < WINDOW_SEGMENTS ? end : WINDOW_SEGMENTS;
    uint32_t best = COF_NO_SEGMENT;
    double most = 0.0;
    for (unsigned head = 0; head < cleaner->head_count; head++) {
        room[head] = cof_cleaner_room(cleaner, head);
    }
    for (uint32_t i = 0; i < window; i++) {
        uint32_t at = (cleaner->scan + i) % end;
        double value = score(cleaner, &segments->table[at], pressed);
        if (value > most &&
            (cleaner->partial || segments->table[at].live <= room[cof_cleaner_head(cleaner, at)]) &&
            cof_victim_possible(cleaner, at)) {
            most = value;
            best = at;
        }
    }
    return best;
}

/* ---- reading ---- */

static int ask(struct cof_cleaner *cleaner, struct cof_victim *victim, unsigned which)
{
    size_t left = (size_t)cleaner->segment_blocks * BLOCK - victim->asked_bytes;
    struct coffer_segdev_request *request = &victim->requests[which];
    struct iovec *iov = &victim->iov[which];
    int err;
    memset(request, 0, sizeof *request);
    iov->iov_base = victim->bytes + victim->asked_bytes;
    iov->iov_len = left < READ_BYTES ? left : READ_BYTES;
    request->op = COFFER_SEGDEV_READ;
    request->segment = victim->segment;
    request->offset = (uint32_t)victim->asked_bytes;
    request->iov = iov;
    request->iov_count = 1;
    request->buffer_index = (int)(victim - cleaner->victims);
    request->user = victim;
    err = cleaner->dev->ops->submit(cleaner->channel, request);
    if (err != 0) {
        return err;
    }
    victim->busy[which] = true;
    victim->flying++;
    cleaner->reads_flying++;
    cleaner->stats.reads++;
    cleaner->stats.read_bytes += iov->iov_len;
    victim->asked_bytes += iov->iov_len;
    return 0;
}

void cof_victim_go_on(struct cof_cleaner *cleaner, struct cof_victim *victim)
{
    size_t all = (size_t)cleaner->segment_blocks * BLOCK;
    for (unsigned i = 0; i < cleaner->reads; i++) {
        if (victim->error == 0 && !victim->forgotten && !victim->busy[i] &&
            victim->asked_bytes < all) {
            victim->error = ask(cleaner, victim, i);
        }
    }
}

int cof_victim_start(struct cof_cleaner *cleaner, struct cof_victim *victim, uint32_t segment)
{
    victim->segment = segment;
    victim->asked_bytes = 0;
    victim->error = 0;
    victim->forgotten = false;
    cof_segments_read(cleaner->segments, segment, 1);
    cof_victim_go_on(cleaner, victim);
    if (victim->flying == 0) {
        cof_victim_leave(cleaner, victim);
        return victim->error;
    }
    return 0;
}

void cof_victim_leave(struct cof_cleaner *cleaner, struct cof_victim *victim)
{
    cof_segments_read(cleaner->segments, victim->segment, -1);
    victim->segment = COF_NO_SEGMENT;
    victim->forgotten = false;
}

bool cof_victim_is_read(const struct cof_cleaner *cleaner, const struct cof_victim *victim)
{
    return victim->flying == 0 &&
           (victim->error != 0 || victim->asked_bytes == (size_t)cleaner->segment_blocks * BLOCK);
}

void cof_victim_read(struct cof_cleaner *cleaner, struct coffer_segdev_request *request)
{
    struct cof_victim *victim = request->user;
    victim->busy[request - victim->requests] = false;
    victim->flying--;
    cleaner->reads_flying--;
    victim->error = victim->error != 0 ? victim->error : request->result;
    cof_victim_go_on(cleaner, victim);
    if (victim->forgotten && victim->flying == 0) {
        cof_victim_leave(cleaner, victim);
    }
}

/* ---- headers ---- */

static int name_extent(struct cof_cleaner *cleaner, uint64_t extent)
{
    if (cleaner->extent_count > 0 && cleaner->extents[cleaner->extent_count - 1u] == extent) {
        return 0;
    }
    if (cleaner->extent_count == cleaner->extent_capacity) {
        unsigned capacity = cleaner->extent_capacity * 2u + 256u;
        uint64_t *extents = cof_calloc(cleaner->env, capacity, sizeof *extents);
        if (extents == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (cleaner->extent_count > 0) {
            memcpy(extents, cleaner->extents, cleaner->extent_count * sizeof *extents);
        }
        cof_free(cleaner->env, cleaner->extents);
        cleaner->extents = extents;
        cleaner->extent_capacity = capacity;
    }
    cleaner->extents[cleaner->extent_count++] = extent;
    return 0;
}

static uint64_t pack(uint32_t lineage, uint64_t extent)
{
    return (uint64_t)lineage << 39 | extent;
}

int cof_cleaner_name(struct cof_cleaner *cleaner, uint32_t lineage, uint64_t extent)
{
    return name_extent(cleaner, pack(lineage, extent));
}

/* A raw run: an imported extent, or a block of a tree. */
static int parse_raw(struct cof_cleaner *cleaner, uint64_t what, uint32_t block)
{
    enum cof_raw_kind kind = (enum cof_raw_kind)(what >> 56);
    uint64_t key = what & ((UINT64_C(1) << 56) - 1u);
    if (kind == COF_RAW_IMPORT) {
        return name_extent(cleaner, key);
    }
    return cleaner->ops->renew(cleaner->ctx, kind, key, cleaner->victim, block);
}

static int parse_batch(struct cof_cleaner *cleaner, const uint8_t *block,
                       const struct cof_batch_header *header)
{
    uint32_t page_block = header->block + 1u;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < header->runs; i++) {
        struct cof_run run;
        cof_run_decode(block + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, &run);
        if (run.volume == COF_VOLUME_TAG_RAW) {
            err = parse_raw(cleaner, run.extent, page_block);
        } else if (!run.no_pages) {
            err = name_extent(cleaner, pack(run.lineage, run.extent));
        }
        page_block += cof_run_pages(&run);
    }
    return err;
}

static int parse_group(struct cof_cleaner *cleaner, const uint8_t *block,
                       const struct cof_group_header *header)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < header->runs; i++) {
        uint32_t lineage;
        uint64_t extent;
        cof_group_run(block, i, &lineage, &extent);
        err = name_extent(cleaner, pack(lineage, extent));
    }
    return err;
}

/* The header at block of the victim, of either kind; its pages are passed over. */
static int parse_block(struct cof_cleaner *cleaner, uint32_t *block)
{
    const uint8_t *bytes = cleaner->now->bytes + (size_t)*block * BLOCK;
    struct cof_batch_header batch;
    struct cof_group_header group;
    uint32_t here = *block;
    ++*block;
    if (cof_group_header_decode(bytes, &group) == 0) {
        if (group.segment == cleaner->victim && group.block == here &&
            memcmp(group.store_uuid, cleaner->store_uuid, 16) == 0) {
            *block += group.pages;
            return parse_group(cleaner, bytes, &group);
        }
        return 0;
    }
    if (cof_batch_header_decode(bytes, &batch) == 0 && batch.segment == cleaner->victim &&
        batch.block == here && memcmp(batch.store_uuid, cleaner->store_uuid, 16) == 0) {
        *block += batch.pages;
        return parse_batch(cleaner, bytes, &batch);
    }
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int cof_victim_parse(struct cof_cleaner *cleaner)
{
    unsigned kept = 0;
    int err = 0;
    cleaner->extent_count = 0;
    cleaner->extent_next = 0;
    for (uint32_t block = 0; err == 0 && block < cleaner->segment_blocks;) {
        err = parse_block(cleaner, &block);
    }
    if (err == 0 && cleaner->thorough) {
        err = cleaner->ops->survey(cleaner->ctx, cleaner->victim);
    }
    if (cleaner->extent_count > 1) {
        qsort(cleaner->extents, cleaner->extent_count, sizeof *cleaner->extents, by_number);
    }
    for (unsigned i = 0; i < cleaner->extent_count; i++) {
        if (i == 0 || cleaner->extents[i] != cleaner->extents[kept - 1u]) {
            cleaner->extents[kept++] = cleaner->extents[i];
        }
    }
    cleaner->extent_count = kept;
    return err;
}
