/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/commit.c - closing batches, writing them, completing them in order, and syncs.
 *
 * A sync is issued only when the batches it is to cover are complete, and covers what was complete
 * at the moment it was issued. One is in flight at a time; flushes that arrive meanwhile share the
 * next. A failed write or sync fails the lane and is never tried again.
 *
 * A device tells of a failure to write back once: of two syncs at a time the one may have the error
 * and the other lie. So while others' syncs follow each other (a checkpoint's) the lane begins none
 * of its own; what is complete when one of those begins is durable when it ends.
 */
#include "lane/internal.h"

#include "base/checksum.h"
#include "base/testhook.h"
#include "format/endian.h"

#include <string.h>

#define SECOND_BATCH_PAGES 16u               /* docs/decisions/0024-waiting-for-the-device.md */
#define CONDITION_BELOW_BYTES (192u * 1024u) /* docs/decisions/0006-conditioning.md */

void cof_lane_register(struct cof_lane *lane)
{
    struct iovec *buffers;
    if (lane->dev->ops->channel_register == NULL) {
        return;
    }
    buffers = cof_calloc(lane->env, lane->batch_count, sizeof *buffers);
    if (buffers == NULL) {
        return;
    }
    for (unsigned i = 0; i < lane->batch_count; i++) {
        buffers[i].iov_base = lane->batches[i].buffer;
        buffers[i].iov_len = COF_LANE_BATCH_BYTES;
    }
    if (lane->dev->ops->channel_register(lane->channel, buffers, lane->batch_count) != 0) {
        cof_log(lane->env, COFFER_LOG_INFO, "lane %u: buffers are not registered", lane->id);
    }
    cof_free(lane->env, buffers);
}

void cof_lane_unsynced(struct cof_lane *lane)
{
    if (lane->oldest_unsynced_ns == 0) {
        lane->oldest_unsynced_ns = cof_monotonic_ns(lane->env);
    }
}

static void submit(struct cof_lane *lane, struct cof_batch *batch, uint8_t *from, uint32_t blocks)
{
    struct coffer_segdev_request *request = &batch->request;
    uint32_t block =
        batch->footer ? batch->block : batch->block - (batch->first_in_segment ? 1u : 0u);
    memset(request, 0, sizeof *request);
    batch->iov.iov_base = from;
    batch->iov.iov_len = (size_t)blocks * COF_BLOCK_BYTES;
    request->op = COFFER_SEGDEV_APPEND;
    request->segment = batch->segment;
    request->offset = block * COF_BLOCK_BYTES;
    request->iov = &batch->iov;
    request->iov_count = 1;
    request->buffer_index = (int)(batch - lane->batches);
    request->user = batch;
    batch->submitted = true;
    cof_lane_send(lane, request);
    lane->writes_in_flight++;
    lane->stats.writes++;
    lane->stats.write_bytes += batch->iov.iov_len;
    lane->bytes_since_sync += batch->iov.iov_len;
    lane->append_bytes_mean = (lane->append_bytes_mean * 15u + batch->iov.iov_len) / 16u;
}

void cof_lane_maybe_condition(struct cof_lane *lane)
{
    struct coffer_segdev_request *request = &lane->condition_request;
    if (!lane->next_fresh || lane->conditioning || lane->next_segment == COF_NO_SEGMENT ||
        lane->works_in_poll || lane->append_bytes_mean >= CONDITION_BELOW_BYTES) {
        return;
    }
    lane->next_fresh = false;
    memset(request, 0, sizeof *request);
    request->op = COFFER_SEGDEV_CONDITION;
    request->segment = lane->next_segment;
    request->buffer_index = -1;
    lane->conditioning = true;
    cof_lane_send(lane, request);
}

/* The lists of all runs, sealed, behind the run array. */
static int write_lists(struct cof_lane *lane, struct cof_batch *batch, uint8_t *header)
{
    size_t at = COF_BATCH_HEADER_BYTES + (size_t)batch->run_count * COF_RUN_BYTES;
    for (unsigned i = 0; i < batch->run_count; i++) {
        struct cof_run *run = &batch->runs[i];
        size_t bytes = cof_run_list_bytes(run);
        if (bytes > 0) {
            int err;
            for (size_t word = 0; word < bytes / 8u; word++) {
                cof_le64_put(header + at + 8u * word, batch->words[batch->first_words[i] + word]);
            }
            err = lane->ops->seal_list(lane->ctx, batch->owners[i], run, batch->number, header + at,
                                       bytes, run->tag);
            if (err != 0) {
                return err;
            }
        }
        cof_run_encode(run, header + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES);
        at += bytes;
    }
    memcpy(header + at, batch->entries, (size_t)batch->pages * COF_ENTRY_BYTES);
    return 0;
}

static void write_segment_header(struct cof_lane *lane, struct cof_batch *batch)
{
    struct cof_segment_header header;
    header.lane = (uint16_t)lane->id;
    memcpy(header.store_uuid, lane->store_uuid, 16);
    memcpy(header.session, lane->session, 16);
    header.sequence = lane->sequence;
    header.first_batch = batch->number;
    header.segment = batch->segment;
    header.previous = lane->previous_segment;
    cof_segment_header_encode(&header, batch->buffer);
}

/* Closed and all sealed: make the header and write. */
static void write_batch(struct cof_lane *lane, struct cof_batch *batch)
{
    uint8_t *header = batch->buffer + COF_BLOCK_BYTES;
    struct cof_batch_header fields;
    int err;
    memset(header, 0, COF_BLOCK_BYTES);
    err = write_lists(lane, batch, header);
    if (err != 0) {
        batch->submitted = true;
        batch->done = true;
        cof_lane_fail(lane, err);
        return;
    }
    memset(&fields, 0, sizeof fields);
    fields.lane = (uint16_t)lane->id;
    memcpy(fields.store_uuid, lane->store_uuid, 16);
    memcpy(fields.session, lane->session, 16);
    fields.epoch = lane->epoch;
    fields.number = batch->number;
    fields.durable_upto = lane->durable_upto;
    fields.next_segment = batch->next_segment;
    fields.pages = (uint16_t)batch->pages;
    fields.runs = (uint16_t)batch->run_count;
    fields.block = batch->block;
    fields.segment = batch->segment;
    cof_batch_header_encode(&fields, header);
    if (batch->first_in_segment) {
        write_segment_header(lane, batch);
        submit(lane, batch, batch->buffer, batch->pages + 2u);
    } else {
        submit(lane, batch, header, batch->pages + 1u);
    }
}

void cof_lane_submit_ready(struct cof_lane *lane)
{
    for (unsigned i = 0; i < lane->fifo_count && lane->error == 0; i++) {
        struct cof_batch *batch = lane->fifo[i];
        if (batch->submitted) {
            continue;
        }
        if (!batch->closed || batch->pending > 0) {
            return;
        }
        if (batch->footer) {
            submit(lane, batch, batch->buffer, batch->footer_blocks);
        } else {
            write_batch(lane, batch);
        }
    }
}

void cof_lane_close_batch(struct cof_lane *lane)
{
    struct cof_batch *batch = lane->open_batch;
    if (batch == NULL || batch->run_count == 0) {
        return;
    }
    batch->open = false;
    batch->closed = true;
    lane->open_batch = NULL;
    lane->block = batch->block + 1u + batch->pages;
    cof_lane_submit_ready(lane);
}

void cof_lane_sealed(struct cof_lane *lane, struct cof_batch *batch, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        batch->ready[first + i] = true;
    }
    batch->pending -= count;
    if (batch->pending == 0 && batch->closed) {
        cof_lane_submit_ready(lane);
    }
}

/* Somebody waits until what is in it is durable. */
static bool wants_open_batch(const struct cof_lane *lane)
{
    return lane->open_batch != NULL && lane->sync_last >= lane->open_batch->number;
}

/*
 * A device that is idle is no reason to write a small batch when nobody waits for its pages. Nor is
 * it while a sync is under way, if all who wait for them want them durable: they have to wait for
 * that sync, and then for the next. More of them come meanwhile, and a write for each page would be
 * all that the processor does.
 */
static bool may_gather(const struct cof_lane *lane)
{
    const struct cof_batch *batch = lane->open_batch;
    return batch != NULL && !batch->hurried &&
           (lane->sync_in_flight || lane->syncs_held || !wants_open_batch(lane)) &&
           batch->pages < SECOND_BATCH_PAGES && !lane->works_in_poll;
}

void cof_lane_hurry(struct cof_lane *lane, uint64_t number)
{
    if (lane->open_batch != NULL && lane->open_batch->number == number) {
        lane->open_batch->hurried = true;
    }
}

/* A second batch follows the first when it is worth a write of its own: so pages are sealed while
 * the device writes others, and few requests in flight still keep both at work. Where the device
 * works only inside poll, pages gather meanwhile. */
void cof_lane_kick(struct cof_lane *lane)
{
    const struct cof_batch *batch = lane->open_batch;
    if ((lane->writes_in_flight == 0 && !may_gather(lane)) ||
        (lane->writes_in_flight == 1 && !lane->works_in_poll && batch != NULL &&
         batch->pages >= SECOND_BATCH_PAGES)) {
        cof_lane_close_batch(lane);
    }
}

static void retire(struct cof_lane *lane, struct cof_batch *batch)
{
    batch->closed = false;
    lane->batches_free++;
}

/* Take complete batches off the front of the queue, in order. */
static void advance(struct cof_lane *lane)
{
    unsigned done = 0;
    while (done < lane->fifo_count && lane->fifo[done]->done && lane->error == 0) {
        if (!lane->fifo[done]->footer) {
            lane->completed_upto = lane->fifo[done]->number;
        }
        retire(lane, lane->fifo[done]);
        done++;
    }
    if (done > 0) {
        lane->fifo_count -= done;
        memmove(lane->fifo, lane->fifo + done, lane->fifo_count * sizeof lane->fifo[0]);
        lane->ops->progress(lane->ctx);
    }
}

void cof_lane_synced(struct cof_lane *lane)
{
    if (lane->writes_in_flight == 0 && !lane->works_in_poll) {
        cof_lane_close_batch(lane); /* what gathered meanwhile */
    }
    lane->durable_upto = lane->sync_covers;
    if (lane->sync_last <= lane->durable_upto) {
        lane->sync_first = 0;
        lane->sync_last = 0;
    } else {
        lane->sync_first = lane->sync_last;
    }
    lane->ops->progress(lane->ctx);
}

static void sync_done(struct cof_lane *lane, int result)
{
    lane->sync_in_flight = false;
    if (result != 0) {
        cof_lane_fail(lane, result);
        return;
    }
    cof_lane_synced(lane);
}

void cof_lane_sync_begins(struct cof_lane *lane)
{
    lane->sync_covers = lane->completed_upto;
    lane->bytes_since_sync = 0;
    lane->oldest_unsynced_ns = 0;
    if (cof_lane_last(lane) > lane->sync_covers) {
        cof_lane_unsynced(lane);
    }
}

static void start_sync(struct cof_lane *lane)
{
    struct coffer_segdev_request *request = &lane->sync_request;
    cof_lane_sync_begins(lane);
    lane->sync_in_flight = true;
    lane->stats.syncs++;
    if (COF_BROKEN(DROP_FLUSH)) {
        sync_done(lane, 0);
        return;
    }
    memset(request, 0, sizeof *request);
    request->op = COFFER_SEGDEV_SYNC;
    request->buffer_index = -1;
    cof_lane_send(lane, request);
}

static void maybe_sync(struct cof_lane *lane)
{
    if (lane->error == 0 && !lane->sync_in_flight && !lane->syncs_held && lane->sync_first != 0 &&
        lane->completed_upto >= lane->sync_first) {
        start_sync(lane);
    }
}

void cof_lane_hold_syncs(struct cof_lane *lane, bool hold)
{
    lane->syncs_held = hold;
    maybe_sync(lane);
}

void cof_lane_want_durable(struct cof_lane *lane, uint64_t number)
{
    if (number <= lane->durable_upto) {
        return;
    }
    if (lane->sync_first == 0) {
        lane->sync_first = number;
    }
    if (lane->sync_last < number) {
        lane->sync_last = number;
    }
    /* While a write is in flight the batch stays open: whoever asks meanwhile joins it, and the
     * write's completion closes it (cof_lane_poll). */
    if (lane->open_batch != NULL && lane->open_batch->number <= number &&
        lane->writes_in_flight == 0 && !may_gather(lane)) {
        cof_lane_close_batch(lane);
    }
    maybe_sync(lane);
}

static void complete(struct cof_lane *lane, struct coffer_segdev_request *request)
{
    struct cof_batch *batch;
    int result = request->result;
    if (request == &lane->sync_request) {
        sync_done(lane, result);
        return;
    }
    if (request == &lane->condition_request) {
        lane->conditioning = false; /* it only makes later appends cheap: failure is harmless */
        lane->ops->progress(lane->ctx);
        return;
    }
    batch = request->user;
    lane->writes_in_flight--;
    if (result != 0 && !COF_BROKEN(IGNORE_IO_ERROR)) {
        cof_lane_fail(lane, result);
        return;
    }
    batch->done = true;
}

bool cof_lane_busy(const struct cof_lane *lane)
{
    return lane->writes_in_flight > 0 || lane->sync_in_flight;
}

bool cof_lane_pending(const struct cof_lane *lane)
{
    return cof_lane_busy(lane) || lane->conditioning;
}

int cof_lane_collect(struct cof_lane *lane)
{
    struct coffer_segdev_request *request, *next;
    bool any;
    int err;
    request = cof_lane_receive(lane, &err);
    any = request != NULL;
    for (; request != NULL; request = next) {
        next = request->next; /* completing it may send it again */
        complete(lane, request);
    }
    if (err != 0) {
        cof_lane_fail(lane, err);
        return err;
    }
    if (any) {
        advance(lane);
        maybe_sync(lane);
        if (!lane->works_in_poll || wants_open_batch(lane)) {
            cof_lane_kick(lane); /* else whoever has to wait does */
        }
    }
    return any ? 1 : 0;
}

int cof_lane_poll(struct cof_lane *lane, bool wait)
{
    int count = 0, moved;
    if (!cof_lane_pending(lane)) {
        return 0;
    }
    if (wait) {
        count = cof_lane_carry_wait(lane);
    } else {
        (void)cof_lane_carry(lane);
    }
    moved = cof_lane_collect(lane);
    return count < 0 ? count : moved;
}

int cof_lane_drain(struct cof_lane *lane)
{
    uint64_t last = cof_lane_last(lane);
    cof_lane_close_batch(lane);
    cof_lane_want_durable(lane, last);
    while (lane->error == 0 && lane->durable_upto < last) {
        int err;
        if (!cof_lane_busy(lane)) {
            return COFFER_E_INTERNAL;
        }
        err = cof_lane_poll(lane, true);
        if (err < 0) {
            return err;
        }
    }
    return lane->error;
}
