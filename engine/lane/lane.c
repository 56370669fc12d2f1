/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/lane.c - places in batches, segments, and the lane's life. Completion is in commit.c.
 */
#include "lane/lane.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "lane/internal.h"

#include <string.h>

#define BATCHES_MIN 6u
#define APPEND_BYTES_FIRST (64u * 1024u) /* until more is known appends are taken to be small */
#define POLL_FAILURES_MAX 1000u
#define BATCHES_INTERNAL 3u /* kept for summaries, footers and checkpoints */

int cof_lane_init(struct cof_lane *lane, struct cof_env *env, const struct cof_lane_config *config)
{
    unsigned count = (unsigned)(config->staging_bytes / COF_LANE_BATCH_BYTES);
    int err;
    memset(lane, 0, sizeof *lane);
    lane->env = env;
    lane->dev = config->dev;
    lane->ops = config->ops;
    lane->ctx = config->ctx;
    lane->id = config->id;
    lane->batch_count = count < BATCHES_MIN ? BATCHES_MIN : count;
    lane->append_bytes_mean = APPEND_BYTES_FIRST;
    lane->batches = cof_calloc(env, lane->batch_count, sizeof *lane->batches);
    lane->fifo = cof_calloc(env, lane->batch_count, sizeof(struct cof_batch *));
    lane->buffers = cof_alloc_aligned(env, lane->batch_count * (size_t)COF_LANE_BATCH_BYTES);
    if (lane->batches == NULL || lane->fifo == NULL || lane->buffers == NULL) {
        cof_lane_done(lane);
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < lane->batch_count; i++) {
        lane->batches[i].buffer = lane->buffers + (size_t)i * COF_LANE_BATCH_BYTES;
    }
    lane->batches_free = lane->batch_count;
    err = cof_lane_device_open(lane);
    if (err != 0) {
        cof_lane_done(lane);
        return err;
    }
    cof_lane_register(lane);
    return 0;
}

void cof_lane_done(struct cof_lane *lane)
{
    if (lane->channel != NULL) {
        for (unsigned failures = 0; cof_lane_pending(lane) && failures < POLL_FAILURES_MAX;) {
            failures += cof_lane_poll(lane, true) < 0 ? 1u : 0u;
        }
        cof_lane_device_close(lane);
    }
    cof_free_aligned(lane->env, lane->buffers);
    cof_free(lane->env, lane->batches);
    cof_free(lane->env, lane->fifo);
    lane->buffers = NULL;
    lane->batches = NULL;
    lane->fifo = NULL;
}

void cof_lane_start(struct cof_lane *lane, const struct cof_lane_head *head,
                    const uint8_t store_uuid[16], const uint8_t session[16],
                    uint32_t segment_blocks)
{
    uint64_t number = head->batch_no != 0 ? head->batch_no : 1u; /* one less is durable */
    memcpy(lane->store_uuid, store_uuid, 16);
    memcpy(lane->session, session, 16);
    lane->segment_blocks = segment_blocks;
    lane->segment = head->segment;
    lane->next_segment = head->next_segment;
    lane->block = head->block;
    lane->next_batch = number;
    lane->completed_upto = number - 1u;
    lane->durable_upto = number - 1u;
    lane->segment_first_batch = number;
    lane->segment_first_block = head->block;
}

void cof_lane_head(const struct cof_lane *lane, struct cof_lane_head *ret_head)
{
    ret_head->used = true;
    ret_head->segment = lane->segment;
    ret_head->next_segment = lane->next_segment;
    ret_head->block = lane->block;
    if (lane->open_batch != NULL && lane->open_batch->first_in_segment &&
        lane->open_batch->run_count == 0) {
        ret_head->block = 0; /* the segment's header is still to be written */
    }
    ret_head->batch_no = cof_lane_last(lane) + 1u; /* an open batch may still be empty */
    ret_head->durable_upto = lane->durable_upto;
}

void cof_lane_fail(struct cof_lane *lane, int error)
{
    if (lane->error == 0) {
        lane->error = error;
        cof_log(lane->env, COFFER_LOG_ERROR, "lane %u failed: %s; nothing more is acknowledged",
                lane->id, coffer_error_sentence(error));
        lane->ops->progress(lane->ctx);
    }
}

uint64_t cof_lane_last(const struct cof_lane *lane)
{
    if (lane->open_batch != NULL && lane->open_batch->run_count == 0) {
        return lane->next_batch - 2u;
    }
    return lane->next_batch - 1u;
}

void cof_lane_announced(struct cof_lane *lane)
{
    lane->next_announced = lane->next_segment != COF_NO_SEGMENT;
}

/* Own the segment after this one, so that headers can name it. Without one the lane goes on to the
 * end of its segment. */
static int reserve_next(struct cof_lane *lane)
{
    int err;
    if (lane->next_segment != COF_NO_SEGMENT) {
        return 0;
    }
    lane->next_announced = false;
    err = lane->ops->take_segment(lane->ctx, lane->id, &lane->next_segment, &lane->next_sequence,
                                  &lane->next_fresh);
    if (err == 0) {
        cof_lane_maybe_condition(lane);
    }
    return err == COFFER_E_NO_SPACE ? 0 : err;
}

/* Blocks that a batch could take in the current segment, its header included. */
static uint32_t blocks_left(const struct cof_lane *lane, bool internal)
{
    uint32_t kept = COF_FOOTER_BLOCKS + (internal ? 0u : lane->tail_reserve_blocks);
    if (lane->segment == COF_NO_SEGMENT || lane->block + kept >= lane->segment_blocks) {
        return 0;
    }
    return lane->segment_blocks - kept - lane->block;
}

static struct cof_batch *take_buffer(struct cof_lane *lane, bool internal)
{
    if (lane->batches_free == 0 || (!internal && lane->batches_free <= BATCHES_INTERNAL)) {
        return NULL;
    }
    for (unsigned i = 0; i < lane->batch_count; i++) {
        struct cof_batch *batch = &lane->batches[i];
        if (!batch->open && !batch->closed && batch->readers == 0) {
            uint8_t *buffer = batch->buffer;
            memset(batch, 0, sizeof *batch);
            batch->buffer = buffer;
            lane->batches_free--;
            return batch;
        }
    }
    return NULL;
}

static void write_footer(struct cof_lane *lane)
{
    struct cof_batch *batch;
    uint32_t at = lane->segment_blocks - COF_FOOTER_BLOCKS;
    uint32_t gap = at - lane->block;
    if (gap > COF_BATCH_PAGES_MAX) {
        return;
    }
    batch = take_buffer(lane, true);
    if (batch == NULL) {
        return; /* a footer only saves time: replay reads the headers instead */
    }
    memset(batch->buffer, 0, (size_t)(gap + COF_FOOTER_BLOCKS) * COF_BLOCK_BYTES);
    if (lane->ops->footer(lane->ctx, lane, batch->buffer + (size_t)gap * COF_BLOCK_BYTES) != 1) {
        lane->batches_free++;
        return;
    }
    batch->footer = true;
    batch->closed = true;
    batch->segment = lane->segment;
    batch->block = lane->block;
    batch->footer_blocks = gap + COF_FOOTER_BLOCKS;
    lane->block = lane->segment_blocks;
    lane->fifo[lane->fifo_count++] = batch;
    cof_lane_submit_ready(lane);
}

/* Nothing more goes into the segment: the owner places what must still stand in it. */
static int end_segment(struct cof_lane *lane)
{
    int err = 0;
    if (lane->segment != COF_NO_SEGMENT) {
        lane->in_segment_end = true;
        err = lane->ops->segment_end(lane->ctx, lane);
        lane->in_segment_end = false;
    }
    return err;
}

/* Go on in the next segment. One that came too late for the headers before is named by that of what
 * the segment's end places; where that is nothing, it is for a root to name it. */
static int roll(struct cof_lane *lane)
{
    int err = reserve_next(lane);
    if (err != 0) {
        return err;
    }
    if (lane->next_segment == COF_NO_SEGMENT) {
        return COFFER_E_NO_SPACE;
    }
    cof_lane_maybe_condition(lane);
    if (lane->conditioning) {
        return COFFER_E_AGAIN; /* a few milliseconds; polling brings it on */
    }
    err = end_segment(lane);
    if (err == 0 && !lane->next_announced && lane->id != COF_LANE_CHECKPOINT) {
        err = COFFER_E_NO_SPACE;
    }
    if (err != 0) {
        return err;
    }
    if (lane->segment != COF_NO_SEGMENT) {
        cof_lane_close_batch(lane);
        write_footer(lane);
    }
    lane->previous_segment = lane->segment;
    lane->segment = lane->next_segment;
    lane->sequence = lane->next_sequence;
    lane->next_segment = COF_NO_SEGMENT;
    lane->block = 0;
    lane->segment_first_batch = lane->next_batch;
    lane->segment_first_block = 1;
    return reserve_next(lane);
}

/* Not even a header and a page fit. */
static bool must_roll(const struct cof_lane *lane, bool internal)
{
    return blocks_left(lane, internal) < 2u;
}

static int open_batch(struct cof_lane *lane, struct cof_batch *batch, bool internal)
{
    uint32_t left;
    int err = reserve_next(lane);
    if (err != 0) {
        lane->batches_free++;
        return err;
    }
    batch->first_in_segment = lane->block == 0;
    if (batch->first_in_segment) {
        lane->block = 1;
    }
    left = blocks_left(lane, internal);
    batch->open = true;
    batch->hurried = false;
    batch->number = lane->next_batch++;
    batch->segment = lane->segment;
    batch->next_segment = lane->next_segment;
    batch->block = lane->block;
    lane->next_announced = lane->next_segment != COF_NO_SEGMENT;
    batch->capacity_pages = left - 1u < COF_BATCH_PAGES_MAX ? left - 1u : COF_BATCH_PAGES_MAX;
    batch->header_bytes = COF_BATCH_HEADER_BYTES;
    lane->open_batch = batch;
    lane->fifo[lane->fifo_count++] = batch;
    return 0;
}

void cof_lane_leave_segment(struct cof_lane *lane)
{
    struct cof_batch *batch;
    cof_lane_close_batch(lane);
    batch = lane->open_batch;
    if (batch != NULL) { /* with nothing in it: it never was */
        batch->open = false;
        lane->open_batch = NULL;
        lane->fifo_count--;
        lane->next_batch--;
        lane->batches_free++;
    }
    lane->block = lane->segment_blocks;
}

int cof_lane_prepare(struct cof_lane *lane, bool internal)
{
    struct cof_batch *batch;
    internal = internal || lane->in_segment_end;
    if (lane->error != 0) {
        return COFFER_E_FAILED;
    }
    if (lane->open_batch != NULL) {
        return 0;
    }
    if (lane->batches_free <= (internal ? 0u : BATCHES_INTERNAL)) {
        return COFFER_E_AGAIN;
    }
    if (must_roll(lane, internal)) {
        int err;
        if (lane->in_segment_end) {
            return COFFER_E_INTERNAL;
        }
        if (lane->batches_free < BATCHES_INTERNAL) {
            return COFFER_E_AGAIN;
        }
        err = roll(lane);
        if (err != 0) {
            return err;
        }
        if (lane->open_batch != NULL) {
            return 0;
        }
    }
    batch = take_buffer(lane, internal);
    if (batch == NULL) {
        return COFFER_E_AGAIN;
    }
    return open_batch(lane, batch, internal);
}

/* Have the open batch name the next segment, in a header that is written. */
static int announce(struct cof_lane *lane)
{
    static const uint8_t nothing[COF_BLOCK_BYTES];
    bool named = lane->open_batch->next_segment != COF_NO_SEGMENT;
    if (cof_lane_room(lane, NULL, 0, false) > 0) {
        (void)cof_lane_place_raw(lane, (uint64_t)COF_RAW_PADDING << 56, nothing, 1);
    }
    cof_lane_close_batch(lane);
    return named ? 0 : COFFER_E_NO_SPACE;
}

int cof_lane_move_on(struct cof_lane *lane)
{
    uint32_t segment = lane->segment;
    int err = end_segment(lane);
    if (err == 0) {
        err = cof_lane_prepare(lane, true);
    }
    if (err != 0 || lane->segment != segment) {
        return err; /* it was full, and the lane went on by itself */
    }
    err = announce(lane);
    if (err == 0) {
        cof_lane_leave_segment(lane);
        err = cof_lane_prepare(lane, true);
    }
    return err;
}

static bool extends_last_run(const struct cof_batch *batch, const void *owner, unsigned first_slot,
                             bool no_pages)
{
    const struct cof_run *last;
    if (batch->run_count == 0 || batch->owners[batch->run_count - 1u] != owner) {
        return false;
    }
    last = &batch->runs[batch->run_count - 1u];
    return last->no_pages == no_pages && last->first_slot + last->slots == (int)first_slot &&
           first_slot != COF_SUMMARY_SLOT;
}

unsigned cof_lane_room(const struct cof_lane *lane, const void *owner, unsigned first_slot,
                       bool no_pages)
{
    const struct cof_batch *batch = lane->open_batch;
    bool same = extends_last_run(batch, owner, first_slot, no_pages);
    size_t used = batch->header_bytes + (same ? 0u : COF_RUN_BYTES + 8u);
    size_t each = 8u + (no_pages ? 0u : COF_ENTRY_BYTES);
    size_t room;
    if (used >= COF_BLOCK_BYTES || (!same && batch->run_count >= COF_BATCH_RUNS_MAX)) {
        return 0;
    }
    room = (COF_BLOCK_BYTES - used) / each;
    if (!no_pages && room > batch->capacity_pages - batch->pages) {
        room = batch->capacity_pages - batch->pages;
    }
    return (unsigned)room;
}

unsigned cof_lane_place(struct cof_lane *lane, void *owner, const struct cof_run *run,
                        uint64_t chain, const uint64_t *words, unsigned count, bool *ret_new_run)
{
    struct cof_batch *batch = lane->open_batch;
    unsigned first_page = batch->pages;
    bool raw = run->volume == COF_VOLUME_TAG_RAW;
    bool same = !raw && extends_last_run(batch, owner, run->first_slot, run->no_pages);
    struct cof_run *at;
    if (batch->run_count == 0) {
        cof_lane_unsynced(lane);
    }
    if (!same) {
        at = &batch->runs[batch->run_count];
        *at = *run;
        at->slots = 0;
        batch->owners[batch->run_count] = owner;
        batch->first_words[batch->run_count] = (uint16_t)batch->word_count;
        batch->run_count++;
        batch->header_bytes += COF_RUN_BYTES;
        if (!raw) {
            batch->words[batch->word_count++] = chain;
            batch->header_bytes += 8u;
        }
    }
    at = &batch->runs[batch->run_count - 1u];
    at->slots = (uint16_t)(at->slots + count);
    if (!raw) {
        memcpy(&batch->words[batch->word_count], words, count * sizeof *words);
        batch->word_count += count;
        batch->header_bytes += 8u * (size_t)count;
    }
    if (!run->no_pages) {
        batch->pages += count;
        batch->pending += count;
        batch->header_bytes += COF_ENTRY_BYTES * (size_t)count;
    }
    *ret_new_run = !same;
    return first_page;
}

unsigned cof_lane_place_raw(struct cof_lane *lane, uint64_t what, const uint8_t *bytes,
                            unsigned blocks)
{
    struct cof_batch *batch = lane->open_batch;
    struct cof_run run;
    bool new_run;
    unsigned first;
    memset(&run, 0, sizeof run);
    run.extent = what;
    first = cof_lane_place(lane, NULL, &run, 0, NULL, blocks, &new_run);
    for (unsigned i = 0; i < blocks; i++) {
        const uint8_t *from = bytes + (size_t)i * COF_BLOCK_BYTES;
        memcpy(cof_batch_page(batch, first + i), from, COF_BLOCK_BYTES);
        memset(batch->entries[first + i], 0, COF_ENTRY_BYTES);
        cof_le64_put(batch->entries[first + i] + 16, cof_checksum64(from, COF_BLOCK_BYTES));
    }
    cof_lane_sealed(lane, batch, first, blocks);
    return first;
}

struct cof_batch *cof_lane_find(struct cof_lane *lane, uint32_t segment, uint32_t block)
{
    for (unsigned i = lane->fifo_count; i > 0; i--) {
        struct cof_batch *batch = lane->fifo[i - 1u];
        if (!batch->footer && batch->segment == segment && block > batch->block &&
            block <= batch->block + batch->pages) {
            return batch;
        }
    }
    return NULL;
}
