/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/device.c - see device.h.
 *
 * Requests are carried out in poll, in order. A segment is appended to at its end or begun anew at
 * 0, else INVALID; what is not kept (blocks.c) reads as zeros.
 */
#include "scale/blocks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LANE_CHECKPOINT 15u
#define LANE_UNKNOWN 0xffu
#define GROUP_BLOCKS 128u

struct channel {
    struct scale_device *device;
    unsigned depth, in_flight;
    struct coffer_segdev_request *first, **tail;
};

/* As the engine's: of the process, which has one thread. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t le64(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 8; i > 0; i--) {
        value = value << 8 | at[i - 1u];
    }
    return value;
}

/* A segment of the user lane begins: the oldest of many is thinned out. */
static void remember_user(struct scale_device *device, uint32_t number)
{
    if (device->user_count == device->user_max) {
        struct scale_segment *oldest = &device->segments[device->user_ring[device->user_at]];
        if (oldest->lane == 0) {
            scale_thin_out(device, oldest);
        }
        device->user_ring[device->user_at] = number;
        device->user_at = (device->user_at + 1u) % device->user_max;
        return;
    }
    device->user_ring[device->user_count++] = number;
}

/* ---- appends ---- */

/* A run of blocks in a request's vector. */
struct cursor {
    const struct iovec *iov;
    uint32_t left; /* vectors */
    size_t offset;
};

static const uint8_t *next_block(struct cursor *cursor)
{
    const uint8_t *block;
    while (cursor->left > 0 && cursor->offset == cursor->iov->iov_len) {
        cursor->iov++;
        cursor->left--;
        cursor->offset = 0;
    }
    if (cursor->left == 0) {
        return NULL;
    }
    block = (const uint8_t *)cursor->iov->iov_base + cursor->offset;
    cursor->offset += SCALE_BLOCK;
    return block;
}

static bool is(const uint8_t *block, const char *magic)
{
    return memcmp(block, magic, strlen(magic)) == 0;
}

/* What a block of a lane is, and how many pages follow. */
enum what { WHAT_PAGE, WHAT_HEADER, WHAT_FOOTER, WHAT_FILLING, WHAT_STRANGE };

static enum what classify(const struct scale_segment *segment, const uint8_t *block,
                          uint32_t *pages)
{
    if (*pages > 0) {
        --*pages;
        return WHAT_PAGE;
    }
    if (is(block, "COFS")) {
        return WHAT_HEADER;
    }
    if (is(block, "COFB")) {
        *pages = scale_le16(block + 68);
        return WHAT_HEADER;
    }
    if (is(block, "COFG")) {
        *pages = GROUP_BLOCKS - 1u;
        return WHAT_HEADER;
    }
    if (is(block, "COFE")) {
        return WHAT_FOOTER;
    }
    return le64(block) == 0 && segment->end_blocks > 0 ? WHAT_FILLING : WHAT_STRANGE;
}

static int append_block(struct scale_device *device, struct scale_segment *segment,
                        const uint8_t *block, enum what what)
{
    struct scale_device_counts *counts = &device->counts;
    bool kept = what == WHAT_HEADER || what == WHAT_FOOTER;
    if (what == WHAT_STRANGE || segment->lane == LANE_UNKNOWN) {
        return COFFER_E_IO;
    }
    if (segment->lane == LANE_CHECKPOINT) {
        counts->meta_blocks++;
        kept = true;
    } else if (what == WHAT_PAGE) {
        counts->pages++;
        kept = is(block, SCALE_STAMP);
    } else {
        counts->other_blocks++;
    }
    return kept ? scale_keep(device, segment, segment->end_blocks, block) : 0;
}

static int append(struct scale_device *device, const struct coffer_segdev_request *request)
{
    struct scale_segment *segment = &device->segments[request->segment];
    struct cursor cursor = {request->iov, request->iov_count, 0};
    const uint8_t *block = next_block(&cursor);
    uint32_t pages = 0;
    bool footer = false;
    int error = 0;
    if (block == NULL ||
        (request->offset != 0 && request->offset / SCALE_BLOCK != segment->end_blocks)) {
        return COFFER_E_INVALID;
    }
    if (request->offset == 0) {
        scale_forget(device, segment);
        segment->end_blocks = 0;
        segment->lane = is(block, "COFS") || is(block, "COFG") ? (uint8_t)scale_le16(block + 6)
                                                               : (uint8_t)LANE_UNKNOWN;
        if (segment->lane == 0) {
            remember_user(device, request->segment);
        }
    }
    for (; error == 0 && block != NULL; block = next_block(&cursor)) {
        enum what what = footer ? WHAT_FOOTER : classify(segment, block, &pages);
        footer = what == WHAT_FOOTER; /* of two blocks */
        if (segment->end_blocks == device->segment_blocks) {
            return COFFER_E_INVALID;
        }
        error = append_block(device, segment, block, what);
        segment->end_blocks++;
    }
    return error;
}

/* ---- other requests ---- */

static int read_blocks(struct scale_device *device, const struct coffer_segdev_request *request)
{
    const struct scale_segment *segment = &device->segments[request->segment];
    uint32_t at = request->offset / SCALE_BLOCK;
    for (uint32_t i = 0; i < request->iov_count; i++) {
        uint8_t *to = request->iov[i].iov_base;
        for (size_t done = 0; done < request->iov[i].iov_len; done += SCALE_BLOCK, at++) {
            if (at >= device->segment_blocks) {
                return COFFER_E_INVALID;
            }
            if (segment->blocks != NULL && segment->blocks[at] != NULL) {
                memcpy(to + done, segment->blocks[at], SCALE_BLOCK);
            } else {
                memset(to + done, 0, SCALE_BLOCK);
            }
            device->counts.read_blocks++;
        }
    }
    return 0;
}

static int use_root(struct scale_device *device, const struct coffer_segdev_request *request)
{
    uint8_t *slot = device->roots[request->segment];
    if (request->op == COFFER_SEGDEV_ROOT_READ) {
        memcpy(request->iov[0].iov_base, slot, SCALE_BLOCK);
        return 0;
    }
    if (device->epochs[request->segment] != request->expect_epoch) {
        return COFFER_E_BUSY;
    }
    memcpy(slot, request->iov[0].iov_base, SCALE_BLOCK);
    device->epochs[request->segment] = le64(slot + 8);
    return 0;
}

static int carry_out(struct scale_device *device, const struct coffer_segdev_request *request)
{
    bool root = request->op == COFFER_SEGDEV_ROOT_READ || request->op == COFFER_SEGDEV_ROOT_CAS;
    if (request->op != COFFER_SEGDEV_SYNC && request->op != COFFER_SEGDEV_GROW &&
        request->op != COFFER_SEGDEV_SHRINK &&
        request->segment >= (root ? COFFER_ROOT_SLOTS : device->segment_count)) {
        return COFFER_E_INVALID;
    }
    switch (request->op) {
    case COFFER_SEGDEV_READ:
        device->counts.reads++;
        return read_blocks(device, request);
    case COFFER_SEGDEV_APPEND:
        device->counts.appends++;
        return append(device, request);
    case COFFER_SEGDEV_SYNC:
        device->counts.syncs++;
        return 0;
    case COFFER_SEGDEV_TRIM:
    case COFFER_SEGDEV_CONDITION:
        scale_forget(device, &device->segments[request->segment]);
        device->segments[request->segment].end_blocks = 0;
        return 0;
    case COFFER_SEGDEV_GROW:
        return request->segment <= device->segment_count ? 0 : COFFER_E_NO_SPACE;
    case COFFER_SEGDEV_SHRINK:
        return 0; /* it keeps its size, and segments that are free were trimmed */
    case COFFER_SEGDEV_ROOT_READ:
    case COFFER_SEGDEV_ROOT_CAS:
        break;
    }
    return use_root(device, request);
}

/* ---- the interface ---- */

static void geometry(struct coffer_segdev *dev, struct coffer_geometry *ret_geometry)
{
    const struct scale_device *device = (const struct scale_device *)(const void *)dev;
    *ret_geometry = (struct coffer_geometry){.segment_bytes = device->segment_bytes,
                                             .segment_count = device->segment_count,
                                             .memory_align = 1,
                                             .write_in_flight = 4,
                                             .fixed_size = 1};
}

static int set_segment_bytes(struct coffer_segdev *dev, uint32_t segment_bytes)
{
    const struct scale_device *device = (const struct scale_device *)(const void *)dev;
    return segment_bytes == device->segment_bytes ? 0 : COFFER_E_INVALID;
}

static int channel_open(struct coffer_segdev *dev, unsigned depth,
                        struct coffer_segdev_channel **ret_channel)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    channel->device = (struct scale_device *)(void *)dev;
    channel->depth = depth;
    channel->tail = &channel->first;
    *ret_channel = (struct coffer_segdev_channel *)(void *)channel;
    return 0;
}

static int submit(struct coffer_segdev_channel *opaque, struct coffer_segdev_request *request)
{
    struct channel *channel = (struct channel *)(void *)opaque;
    if (channel->in_flight == channel->depth) {
        return COFFER_E_AGAIN;
    }
    request->next = NULL;
    *channel->tail = request;
    channel->tail = &request->next;
    channel->in_flight++;
    return 0;
}

static int poll_channel(struct coffer_segdev_channel *opaque, unsigned min_complete,
                        struct coffer_segdev_request **ret_list)
{
    struct channel *channel = (struct channel *)(void *)opaque;
    int count = (int)channel->in_flight;
    (void)min_complete; /* all complete now */
    *ret_list = channel->first;
    if (count > 0) {
        uint64_t began_ns = cpu_ns();
        for (struct coffer_segdev_request *at = channel->first; at != NULL; at = at->next) {
            at->result = carry_out(channel->device, at);
            at->os_errno = 0;
        }
        channel->device->counts.spent_ns += cpu_ns() - began_ns;
    }
    channel->first = NULL;
    channel->tail = &channel->first;
    channel->in_flight = 0;
    return count;
}

static void channel_close(struct coffer_segdev_channel *opaque)
{
    free(opaque);
}

static int channel_fd(struct coffer_segdev_channel *opaque)
{
    (void)opaque;
    return -1;
}

static void close_device(struct coffer_segdev *dev)
{
    (void)dev;
}

static const struct coffer_segdev_ops device_ops = {
    .size = sizeof(struct coffer_segdev_ops),
    .geometry = geometry,
    .set_segment_bytes = set_segment_bytes,
    .channel_open = channel_open,
    .channel_close = channel_close,
    .submit = submit,
    .poll = poll_channel,
    .channel_fd = channel_fd,
    .close = close_device,
};

struct scale_device *scale_device_new(uint64_t size_bytes, uint32_t segment_bytes,
                                      unsigned user_segments)
{
    struct scale_device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        return NULL;
    }
    device->api.ops = &device_ops;
    device->segment_bytes = segment_bytes;
    device->segment_blocks = segment_bytes / SCALE_BLOCK;
    device->segment_count = (uint32_t)(size_bytes / segment_bytes);
    device->user_max = user_segments;
    device->segments = calloc(device->segment_count, sizeof *device->segments);
    device->user_ring = calloc(user_segments, sizeof *device->user_ring);
    if (device->segments == NULL || device->user_ring == NULL) {
        scale_device_free(device);
        return NULL;
    }
    device->counts.bytes = device->segment_count * sizeof *device->segments +
                           user_segments * sizeof *device->user_ring;
    for (uint32_t i = 0; i < device->segment_count; i++) {
        device->segments[i].lane = LANE_UNKNOWN; /* and the table is resident, as it is counted */
    }
    return device;
}

void scale_device_free(struct scale_device *device)
{
    if (device == NULL) {
        return;
    }
    for (uint32_t i = 0; device->segments != NULL && i < device->segment_count; i++) {
        free(device->segments[i].blocks);
    }
    while (device->chunks != NULL) {
        struct scale_chunk *next = device->chunks->next;
        free(device->chunks);
        device->chunks = next;
    }
    free(device->segments);
    free(device->user_ring);
    free(device);
}

struct coffer_segdev *scale_device_api(struct scale_device *device)
{
    return &device->api;
}

const struct scale_device_counts *scale_device_counts(const struct scale_device *device)
{
    return &device->counts;
}
