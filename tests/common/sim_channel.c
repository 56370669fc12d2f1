/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_channel.c - submit and poll of the simulated device; see sim_segdev.h.
 *
 * A write is an event from submit on, becomes visible to reads when it completes, and durable when
 * a sync that was submitted after that completes.
 */
#include "common/harness.h"
#include "common/sim_device.h"

#include <stdlib.h>
#include <string.h>

static void mix_trace(struct sim_disk *disk, uint64_t what)
{
    disk->trace = prng_mix(disk->trace, what);
}

/* Count a call; true when the planted fault sim_disk_strikes it. */
bool sim_disk_strikes(struct sim_disk *disk, unsigned call)
{
    uint64_t number = disk->calls[call]++;
    const struct sim_fault *fault = &disk->fault;
    bool hit;
    if (fault->call == SIM_CALL_ANY && call < SIM_CALL_REQUESTS) {
        number = disk->calls_any;
    }
    disk->calls_any += call < SIM_CALL_REQUESTS ? 1u : 0u;
    harness_require(disk->calls_any <= disk->calls_allowed, "stuck: the device is asked for ever");
    hit = disk->planted &&
          (fault->call == call || (fault->call == SIM_CALL_ANY && call < SIM_CALL_REQUESTS)) &&
          (number == fault->at || (fault->sticky && number > fault->at));
    disk->fired += hit ? 1u : 0u;
    return hit;
}

static uint64_t record_change(struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    uint32_t segment, block, count;
    struct sim_block **content;
    uint32_t at = 0;
    if (request->op == COFFER_SEGDEV_TRIM || request->op == COFFER_SEGDEV_CONDITION) {
        disk->ends[request->segment] = 0;
        return sim_record_clear(&disk->record, request->segment);
    }
    if (sim_is_resize(request->op)) {
        for (uint32_t i = request->segment; i < sim_image_segment_max(disk->live); i++) {
            disk->ends[i] = 0;
        }
        return sim_record_resize(&disk->record, request->segment);
    }
    sim_extent_of(disk, request, &segment, &block, &count);
    if (request->op == COFFER_SEGDEV_APPEND) {
        sim_check_append(disk, request, count);
    }
    content = calloc(count, sizeof(struct sim_block *));
    if (content == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < request->iov_count; i++) {
        const uint8_t *from = request->iov[i].iov_base;
        harness_require(request->iov[i].iov_len % COFFER_BLOCK_BYTES == 0,
                        "device contract: a written iovec of %zu bytes", request->iov[i].iov_len);
        for (size_t done = 0; done < request->iov[i].iov_len; done += COFFER_BLOCK_BYTES) {
            content[at++] = sim_block_new(from + done);
        }
    }
    return sim_record_write(&disk->record, segment, block, count, content);
}

int sim_channel_submit(struct coffer_segdev_channel *channel,
                         struct coffer_segdev_request *request)
{
    struct sim_disk *disk = channel->disk;
    struct sim_flight *flight;
    unsigned op = (unsigned)request->op;
    harness_require(op < SIM_CALL_REQUESTS, "device contract: op %u", op);
    if (channel->in_flight >= channel->depth || disk->flight_count == SIM_IN_FLIGHT_MAX ||
        (disk->options.again && channel->in_flight > 0 && prng_chance(&disk->prng, 1, 16))) {
        return COFFER_E_AGAIN;
    }
    if (disk->off) {
        return COFFER_E_IO;
    }
    if (sim_disk_strikes(disk, SIM_CALL_SUBMIT)) {
        return disk->fault.error;
    }
    sim_check_request(disk, request);
    flight = &disk->flights[disk->flight_count++];
    memset(flight, 0, sizeof *flight);
    flight->request = request;
    flight->channel = channel;
    flight->ready_at = disk->polls + 1 + prng_below(&disk->prng, disk->options.delay_polls_max + 1);
    flight->event = SIM_NEVER;
    flight->submitted_tick = disk->tick++;
    if (sim_disk_strikes(disk, op)) {
        flight->result = disk->fault.error;
        flight->os_errno = disk->fault.os_errno;
    }
    if (sim_is_write(request->op) || sim_is_resize(request->op)) {
        flight->event = record_change(disk, request);
    }
    flight->submitted_at = disk->record.count;
    channel->in_flight++;
    mix_trace(disk, op << 24 | request->segment);
    mix_trace(disk, request->offset);
    return 0;
}

/* ---- completion ---- */

static int finish_change(struct sim_disk *disk, struct sim_flight *flight)
{
    struct sim_event *event = &disk->record.events[flight->event];
    const struct coffer_segdev_request *request = flight->request;
    if (event->kind == SIM_EVENT_WRITE) {
        sim_check_unchanged(request, event);
    }
    if (request->op == COFFER_SEGDEV_ROOT_CAS && flight->result == 0) {
        sim_check_epoch(disk, request);
    }
    event->completed_at = disk->record.count;
    event->completed_tick = disk->tick++;
    if (flight->result != 0) {
        event->failed = true;
        sim_event_tear(disk->live, event, prng_next(&disk->prng));
        return flight->result;
    }
    sim_event_apply(disk->live, event);
    return 0;
}

/* Most of what a recovery reads was never written: that is zeroed at one go. */
static uint32_t absent_blocks(const struct sim_disk *disk, uint32_t segment, uint32_t block,
                              uint32_t count)
{
    uint32_t absent = 0;
    while (absent < count && sim_image_block(disk->live, segment, block + absent) == NULL) {
        absent++;
    }
    return absent;
}

static void finish_read(struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    uint32_t segment, block, count;
    sim_extent_of(disk, request, &segment, &block, &count);
    for (uint32_t i = 0; i < request->iov_count; i++) {
        uint8_t *to = request->iov[i].iov_base;
        uint32_t left = (uint32_t)(request->iov[i].iov_len / COFFER_BLOCK_BYTES);
        while (left > 0) {
            uint32_t done = absent_blocks(disk, segment, block, left);
            if (done > 0) {
                memset(to, 0, (size_t)done * COFFER_BLOCK_BYTES);
            } else {
                memcpy(to, sim_image_bytes(disk->live, segment, block), COFFER_BLOCK_BYTES);
                done = 1;
            }
            to += (size_t)done * COFFER_BLOCK_BYTES;
            block += done;
            left -= done;
        }
    }
}

static void finish(struct sim_disk *disk, struct sim_flight *flight)
{
    struct coffer_segdev_request *request = flight->request;
    int result = flight->result;
    if (disk->off) {
        result = COFFER_E_IO;
    } else if (flight->event != SIM_NEVER) {
        result = finish_change(disk, flight);
    } else if (request->op == COFFER_SEGDEV_SYNC) {
        if (result == 0) {
            sim_record_synced(&disk->record, flight->submitted_at, flight->submitted_tick);
        } else {
            sim_record_sync_failed(&disk->record, flight->submitted_at);
        }
        disk->tick++;
    } else if (result == 0 && request->op == COFFER_SEGDEV_READ &&
               request->segment >= sim_image_segment_count(disk->live)) {
        result = COFFER_E_IO;
    } else if (result == 0) {
        finish_read(disk, request);
    }
    request->result = result;
    request->os_errno = result == 0 ? 0 : flight->os_errno;
}

/* One more completion of the channel, in order or at random; false when none is ready. Those that
 * are not ready yet are taken only when force is set. */
static bool complete_one(struct sim_disk *disk, struct coffer_segdev_channel *channel, bool force,
                         struct coffer_segdev_request ***tail)
{
    unsigned found = 0, chosen = 0;
    struct sim_flight flight;
    for (unsigned i = 0; i < disk->flight_count; i++) {
        if (disk->flights[i].channel != channel ||
            (!force && disk->flights[i].ready_at > disk->polls)) {
            continue;
        }
        found++;
        if (found == 1 || (disk->options.shuffle && prng_chance(&disk->prng, 1, found))) {
            chosen = i;
        }
        if (!disk->options.shuffle) {
            break;
        }
    }
    if (found == 0) {
        return false;
    }
    flight = disk->flights[chosen];
    memmove(&disk->flights[chosen], &disk->flights[chosen + 1],
            (disk->flight_count - chosen - 1) * sizeof flight);
    disk->flight_count--;
    channel->in_flight--;
    finish(disk, &flight);
    flight.request->next = NULL;
    **tail = flight.request;
    *tail = &flight.request->next;
    return true;
}

int sim_channel_poll(struct coffer_segdev_channel *channel, unsigned min_complete,
                       struct coffer_segdev_request **ret_list)
{
    struct sim_disk *disk = channel->disk;
    struct coffer_segdev_request *list = NULL, **tail = &list;
    int count = 0;
    harness_require(min_complete <= channel->in_flight,
                    "device contract: poll waits for %u of %u in flight, for ever", min_complete,
                    channel->in_flight);
    if (!disk->off && sim_disk_strikes(disk, SIM_CALL_POLL)) {
        return disk->fault.error;
    }
    disk->polls++;
    while (complete_one(disk, channel, disk->off || (unsigned)count < min_complete, &tail)) {
        count++;
    }
    *ret_list = list;
    return count;
}
