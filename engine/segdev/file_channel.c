/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file_channel.c - channels of the file device: one ring each.
 *
 * A request has at most one operation on the ring at a time, so the ring's bound is the channel's.
 * Used under the owner's lock, by any thread. Closing waits for what is in flight, since the kernel
 * may write into buffers until then. It must never give back a request whose buffers are in use.
 */
#include "segdev/file.h"

#include <assert.h>
#include <errno.h>

#define REAP_BATCH 64u

static struct cof_file_channel *own(struct coffer_segdev_channel *channel)
{
    return (struct cof_file_channel *)channel;
}

int cof_file_channel_open(struct coffer_segdev *dev, unsigned depth,
                          struct coffer_segdev_channel **ret_channel)
{
    struct cof_file *file = (struct cof_file *)dev;
    struct cof_env *env = &file->base.env;
    struct cof_file_channel *channel = cof_calloc(env, 1, sizeof *channel);
    int error = COFFER_E_NO_MEMORY;
    if (channel == NULL) {
        return error;
    }
    channel->file = file;
    channel->depth = depth;
    channel->root_blocks = cof_alloc_aligned(env, COFFER_ROOT_SLOTS * COFFER_BLOCK_BYTES);
    if (channel->root_blocks != NULL) {
        error = cof_ring_open(env, file->fd, depth, file->in_memory ? COF_RING_INLINE : 0,
                              &channel->ring);
    }
    if (error != 0) {
        cof_file_channel_close((struct coffer_segdev_channel *)channel);
        return error;
    }
    *ret_channel = (struct coffer_segdev_channel *)channel;
    return 0;
}

void cof_file_channel_close(struct coffer_segdev_channel *channel)
{
    struct cof_file_channel *self = own(channel);
    struct cof_env *env;
    if (self == NULL) {
        return;
    }
    env = &self->file->base.env;
    self->closing = true;
    while (self->ring != NULL && cof_ring_in_flight(self->ring) > 0) {
        struct coffer_segdev_request *list;
        if (cof_file_channel_poll(channel, 1, &list) < 0) {
            break;
        }
    }
    cof_ring_close(self->ring);
    cof_free_aligned(env, self->root_blocks);
    cof_free(env, self);
}

int cof_file_channel_register(struct coffer_segdev_channel *channel, const struct iovec *buffers,
                              unsigned buffer_count)
{
    return cof_ring_register_buffers(own(channel)->ring, buffers, buffer_count);
}

int cof_file_channel_submit(struct coffer_segdev_channel *channel,
                            struct coffer_segdev_request *request)
{
    struct cof_file_channel *self = own(channel);
    uint32_t length_bytes = 0;
    int error = cof_segdev_check(&self->file->base, request, &length_bytes);
    if (error != 0) {
        return error;
    }
    if (cof_ring_in_flight(self->ring) >= self->depth) {
        return COFFER_E_AGAIN;
    }
    return cof_file_request_start(self, request, length_bytes);
}

int cof_file_channel_poll(struct coffer_segdev_channel *channel, unsigned min_complete,
                          struct coffer_segdev_request **ret_list)
{
    struct cof_file_channel *self = own(channel);
    struct cof_ring_completion answers[REAP_BATCH];
    struct coffer_segdev_request *list = NULL;
    unsigned complete = 0;
    int error = 0;
    for (;;) {
        unsigned missing = min_complete > complete ? min_complete - complete : 0;
        int count = cof_ring_reap(self->ring, missing, answers, REAP_BATCH);
        bool continued = false;
        for (int i = 0; i < count; i++) {
            struct coffer_segdev_request *request = answers[i].user;
            if (cof_file_request_advance(self, request, answers[i].result)) {
                request->next = list;
                list = request;
                complete++;
            } else {
                continued = true;
            }
        }
        if (count < 0 || cof_ring_in_flight(self->ring) == 0) {
            error = count;
            break;
        }
        if (complete >= min_complete && count < (int)REAP_BATCH) {
            /* Steps queued just now must reach the kernel before the caller goes to sleep. */
            error = continued ? cof_ring_reap(self->ring, 0, NULL, 0) : 0;
            break;
        }
    }
    if (complete == 0 && error < 0) {
        return error;
    }
    *ret_list = list;
    return (int)complete;
}

int cof_file_channel_fd(struct coffer_segdev_channel *channel)
{
    return cof_ring_fd(own(channel)->ring);
}
