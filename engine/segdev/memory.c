/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/memory.c - a segment device in memory: segments are allocated by their first append.
 *
 * Invariants:
 *  - A segment's bytes up to its end are what was appended; beyond, and where nothing was, zeros.
 *  - It holds its users to the contract: an append that does not begin at the segment's end or at 0
 *    is refused as INVALID, where a file would take it.
 *  - Requests of a channel are carried out in the order of submission, inside poll.
 * Channels of different threads may use the device at once: segments are guarded by striped locks,
 * roots by one. Nothing survives the process; sync has nothing to do.
 */
#include "segdev/layout.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STRIPES 64u
#define DEPTH_MAX 4096u

struct memory_segment {
    uint8_t *bytes; /* NULL: zeros */
    uint32_t end_bytes;
};

struct memory {
    struct cof_segdev_base base;
    pthread_mutex_t stripes[STRIPES];
    pthread_mutex_t root_lock;
    uint8_t roots[COFFER_ROOT_SLOTS][COFFER_BLOCK_BYTES];
    struct memory_segment *segments;
};

struct memory_channel {
    struct memory *memory;
    unsigned depth;
    unsigned in_flight;
    int event_fd; /* -1 until asked for */
    struct coffer_segdev_request *first;
    struct coffer_segdev_request **tail;
};

static struct memory_channel *own(struct coffer_segdev_channel *channel)
{
    return (struct memory_channel *)channel;
}

static pthread_mutex_t *stripe_of(struct memory *memory, uint32_t segment)
{
    return &memory->stripes[segment % STRIPES];
}

static void copy_out(const struct memory_segment *segment,
                     const struct coffer_segdev_request *request)
{
    uint32_t offset = request->offset;
    for (uint32_t i = 0; i < request->iov_count; i++) {
        const struct iovec *iov = &request->iov[i];
        if (segment->bytes == NULL) {
            memset(iov->iov_base, 0, iov->iov_len);
        } else {
            memcpy(iov->iov_base, segment->bytes + offset, iov->iov_len);
        }
        offset += (uint32_t)iov->iov_len;
    }
}

static int copy_in(struct memory *memory, struct memory_segment *segment,
                   const struct coffer_segdev_request *request)
{
    uint32_t segment_bytes = atomic_load(&memory->base.segment_bytes);
    uint32_t offset = request->offset;
    if (offset != 0 && offset != segment->end_bytes) {
        return COFFER_E_INVALID;
    }
    if (segment->bytes == NULL) {
        segment->bytes = cof_calloc(&memory->base.env, 1, segment_bytes);
        if (segment->bytes == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    for (uint32_t i = 0; i < request->iov_count; i++) {
        memcpy(segment->bytes + offset, request->iov[i].iov_base, request->iov[i].iov_len);
        offset += (uint32_t)request->iov[i].iov_len;
    }
    segment->end_bytes = offset;
    return 0;
}

static void empty(struct memory *memory, struct memory_segment *segment)
{
    cof_free(&memory->base.env, segment->bytes);
    segment->bytes = NULL;
    segment->end_bytes = 0;
}

static int use_segment(struct memory *memory, struct coffer_segdev_request *request)
{
    struct memory_segment *segment = &memory->segments[request->segment];
    pthread_mutex_t *lock = stripe_of(memory, request->segment);
    int error = 0;
    pthread_mutex_lock(lock);
    if (request->op == COFFER_SEGDEV_READ) {
        copy_out(segment, request);
    } else if (request->op == COFFER_SEGDEV_APPEND) {
        error = copy_in(memory, segment, request);
    } else {
        empty(memory, segment);
    }
    pthread_mutex_unlock(lock);
    return error;
}

static int use_root(struct memory *memory, struct coffer_segdev_request *request)
{
    uint8_t *block = memory->roots[request->segment];
    int error = 0;
    pthread_mutex_lock(&memory->root_lock);
    if (request->op == COFFER_SEGDEV_ROOT_READ) {
        memcpy(request->iov[0].iov_base, block, COFFER_BLOCK_BYTES);
    } else if (cof_segdev_root_epoch(block) != request->expect_epoch) {
        error = COFFER_E_BUSY;
    } else {
        memcpy(block, request->iov[0].iov_base, COFFER_BLOCK_BYTES);
    }
    pthread_mutex_unlock(&memory->root_lock);
    return error;
}

static int shrink(struct memory *memory, uint32_t count)
{
    for (uint32_t i = count; i < cof_segdev_segment_count(&memory->base); i++) {
        pthread_mutex_lock(stripe_of(memory, i));
        empty(memory, &memory->segments[i]);
        pthread_mutex_unlock(stripe_of(memory, i));
    }
    return 0;
}

/* The table of segments is made once, so a memory device keeps its size. */
static int carry_out(struct memory *memory, struct coffer_segdev_request *request)
{
    switch (request->op) {
    case COFFER_SEGDEV_READ:
    case COFFER_SEGDEV_APPEND:
    case COFFER_SEGDEV_TRIM:
    case COFFER_SEGDEV_CONDITION:
        return use_segment(memory, request);
    case COFFER_SEGDEV_ROOT_READ:
    case COFFER_SEGDEV_ROOT_CAS:
        return use_root(memory, request);
    case COFFER_SEGDEV_GROW:
        return request->segment <= cof_segdev_segment_count(&memory->base) ? 0 : COFFER_E_NO_SPACE;
    case COFFER_SEGDEV_SHRINK:
        return shrink(memory, request->segment);
    case COFFER_SEGDEV_SYNC:
        break;
    }
    return 0;
}

static int submit(struct coffer_segdev_channel *channel, struct coffer_segdev_request *request)
{
    struct memory_channel *self = own(channel);
    uint32_t length_bytes = 0;
    uint64_t one = 1;
    int error = cof_segdev_check(&self->memory->base, request, &length_bytes);
    if (error != 0) {
        return error;
    }
    if (self->in_flight >= self->depth) {
        return COFFER_E_AGAIN;
    }
    request->next = NULL;
    *self->tail = request;
    self->tail = &request->next;
    if (self->in_flight++ == 0 && self->event_fd >= 0) {
        ssize_t written = write(self->event_fd, &one, sizeof one);
        assert(written == (ssize_t)sizeof one);
        (void)written;
    }
    return 0;
}

static int poll_channel(struct coffer_segdev_channel *channel, unsigned min_complete,
                        struct coffer_segdev_request **ret_list)
{
    struct memory_channel *self = own(channel);
    int count = (int)self->in_flight;
    uint64_t drained;
    (void)min_complete; /* all complete now, so there is nothing to wait for */
    *ret_list = self->first;
    for (struct coffer_segdev_request *at = self->first; at != NULL; at = at->next) {
        at->result = carry_out(self->memory, at);
        at->os_errno = 0;
    }
    if (count > 0 && self->event_fd >= 0) {
        ssize_t got = read(self->event_fd, &drained, sizeof drained);
        (void)got;
    }
    self->first = NULL;
    self->tail = &self->first;
    self->in_flight = 0;
    return count;
}

static int channel_fd(struct coffer_segdev_channel *channel)
{
    struct memory_channel *self = own(channel);
    if (self->event_fd < 0) {
        self->event_fd = eventfd(self->in_flight > 0 ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return self->event_fd;
}

static int channel_open(struct coffer_segdev *dev, unsigned depth,
                        struct coffer_segdev_channel **ret_channel)
{
    struct memory *memory = (struct memory *)dev;
    struct memory_channel *channel;
    if (depth == 0 || depth > DEPTH_MAX) {
        return COFFER_E_INVALID;
    }
    channel = cof_calloc(&memory->base.env, 1, sizeof *channel);
    if (channel == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    channel->memory = memory;
    channel->depth = depth;
    channel->event_fd = -1;
    channel->tail = &channel->first;
    *ret_channel = (struct coffer_segdev_channel *)channel;
    return 0;
}

static void channel_close(struct coffer_segdev_channel *channel)
{
    struct memory_channel *self = own(channel);
    struct coffer_segdev_request *list;
    if (self == NULL) {
        return;
    }
    (void)poll_channel(channel, 0, &list);
    if (self->event_fd >= 0) {
        (void)close(self->event_fd);
    }
    cof_free(&self->memory->base.env, self);
}

static void geometry(struct coffer_segdev *dev, struct coffer_geometry *ret_geometry)
{
    struct memory *memory = (struct memory *)dev;
    ret_geometry->segment_bytes = atomic_load(&memory->base.segment_bytes);
    ret_geometry->segment_count = cof_segdev_segment_count(&memory->base);
    ret_geometry->memory_align = memory->base.memory_align;
    ret_geometry->write_in_flight = 1;
    ret_geometry->fixed_size = 1;
    ret_geometry->works_in_poll = 1;
}

/* The segment size was given when it was made; a store that says another is not this device's. */
static int set_segment_bytes(struct coffer_segdev *dev, uint32_t segment_bytes)
{
    struct memory *memory = (struct memory *)dev;
    return segment_bytes == atomic_load(&memory->base.segment_bytes) ? 0 : COFFER_E_INVALID;
}

static void close_memory(struct coffer_segdev *dev)
{
    struct memory *memory = (struct memory *)dev;
    if (memory == NULL) {
        return;
    }
    for (uint32_t i = 0; i < cof_segdev_segment_count(&memory->base); i++) {
        cof_free(&memory->base.env, memory->segments[i].bytes);
    }
    cof_free(&memory->base.env, memory->segments);
    for (unsigned i = 0; i < STRIPES; i++) {
        pthread_mutex_destroy(&memory->stripes[i]);
    }
    pthread_mutex_destroy(&memory->root_lock);
    cof_segdev_device_free(&memory->base);
}

static const struct coffer_segdev_ops memory_ops = {
    .size = sizeof(struct coffer_segdev_ops),
    .geometry = geometry,
    .set_segment_bytes = set_segment_bytes,
    .channel_open = channel_open,
    .channel_close = channel_close,
    .channel_register = NULL,
    .submit = submit,
    .poll = poll_channel,
    .channel_fd = channel_fd,
    .close = close_memory,
};

int coffer_segdev_memory_open(const struct coffer_env *env, uint64_t size_bytes,
                              uint32_t segment_bytes, struct coffer_segdev **ret_dev)
{
    struct memory *memory;
    uint64_t segments;
    if (!cof_segdev_segment_bytes_valid(segment_bytes)) {
        return COFFER_E_INVALID;
    }
    segments = size_bytes / segment_bytes;
    if (segments < COF_SEGMENT_COUNT_MIN || segments > UINT32_MAX) {
        return COFFER_E_INVALID;
    }
    memory = cof_segdev_device_new(env, &memory_ops, sizeof *memory);
    if (memory == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memory->segments = cof_calloc(&memory->base.env, (size_t)segments, sizeof *memory->segments);
    if (memory->segments == NULL) {
        cof_segdev_device_free(&memory->base);
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&memory->stripes[i], NULL);
    }
    pthread_mutex_init(&memory->root_lock, NULL);
    memory->base.memory_align = 1;
    atomic_store(&memory->base.segment_bytes, segment_bytes);
    atomic_store(&memory->base.size_bytes, segments * segment_bytes);
    *ret_dev = &memory->base.api;
    return 0;
}
