/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file_step.c - the ring operation of each step of a request.
 *
 * A step can be queued again with nothing changed, or after done_bytes has grown. A write stays
 * inside its segment: its whole range was checked at submit, and slices of zeros fill a segment
 * exactly. Runs under the channel owner's lock.
 */
#include "segdev/file.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>

#define ZERO_BYTES 65536u
#define SLICE_PARTS 16u
#define SLICE_BYTES (ZERO_BYTES * SLICE_PARTS)

static_assert(sizeof(struct cof_file_progress) <=
                  sizeof((struct coffer_segdev_request *)0)->device_private,
              "progress must fit into the request");
static_assert(_Alignof(struct cof_file_progress) <= _Alignof(uint64_t), "and be aligned there");

/* Never written. It is not const, so that it lies in .bss and not in the library's file. */
static uint8_t zeros[ZERO_BYTES] __attribute__((aligned(4096)));

#define Z                 \
    {                     \
        zeros, ZERO_BYTES \
    }
static const struct iovec zero_slice[SLICE_PARTS] = {Z, Z, Z, Z, Z, Z, Z, Z,
                                                     Z, Z, Z, Z, Z, Z, Z, Z};
#undef Z

static_assert(COF_SEGMENT_BYTES_MIN % SLICE_BYTES == 0, "slices fill a segment");

struct cof_file_progress *cof_file_progress_of(struct coffer_segdev_request *request)
{
    return (struct cof_file_progress *)(void *)request->device_private;
}

/* Queue the rest of a transfer. A rest that begins inside an entry is asked for entry by entry up
 * to the entry's end, so that no list has to be copied. */
static int queue_transfer(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    struct iovec part;
    bool write = request->op == COFFER_SEGDEV_APPEND || request->op == COFFER_SEGDEV_ROOT_CAS;
    struct cof_ring_op op = {.verb = write ? COF_RING_WRITE : COF_RING_READ,
                             .buffer_index = request->buffer_index,
                             .offset_bytes = at->base_bytes + at->done_bytes,
                             .user = request};
    size_t skip = at->done_bytes;
    uint32_t i = 0;
    while (skip >= request->iov[i].iov_len) {
        skip -= request->iov[i].iov_len;
        i++;
        assert(i < request->iov_count);
    }
    op.iov = &request->iov[i];
    op.iov_count = request->iov_count - i;
    at->asked_bytes = at->total_bytes - at->done_bytes;
    if (skip > 0) {
        part.iov_base = (uint8_t *)request->iov[i].iov_base + skip;
        part.iov_len = request->iov[i].iov_len - skip;
        op.iov = &part; /* one entry: its content, not its address, goes to the kernel */
        op.iov_count = 1;
        at->asked_bytes = (uint32_t)part.iov_len;
    }
    return cof_ring_queue(channel->ring, &op);
}

static int queue_cas_read(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    struct iovec block = {channel->root_blocks + (size_t)request->segment * COFFER_BLOCK_BYTES,
                          COFFER_BLOCK_BYTES};
    struct cof_ring_op op = {.verb = COF_RING_READ,
                             .buffer_index = -1,
                             .iov = &block,
                             .iov_count = 1,
                             .offset_bytes = at->base_bytes,
                             .user = request};
    return cof_ring_queue(channel->ring, &op);
}

static int queue_zeros(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    uint32_t into_slice = at->done_bytes % ZERO_BYTES;
    struct iovec part = {zeros, ZERO_BYTES - into_slice};
    struct cof_ring_op op = {.verb = COF_RING_WRITE,
                             .buffer_index = -1,
                             .iov = zero_slice,
                             .iov_count = SLICE_PARTS,
                             .offset_bytes = at->base_bytes + at->done_bytes,
                             .user = request};
    uint32_t left = at->total_bytes - at->done_bytes;
    if (into_slice != 0) {
        op.iov = &part;
        op.iov_count = 1;
        at->asked_bytes = (uint32_t)part.iov_len;
    } else {
        if (left < SLICE_BYTES) {
            op.iov_count = left / ZERO_BYTES;
        }
        at->asked_bytes = op.iov_count * ZERO_BYTES;
    }
    return cof_ring_queue(channel->ring, &op);
}

int cof_file_queue_step(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    struct cof_ring_op op = {.buffer_index = -1, .user = request};
    switch ((enum cof_file_phase)at->phase) {
    case COF_FILE_PHASE_TRANSFER:
        return queue_transfer(channel, request);
    case COF_FILE_PHASE_CAS_READ:
        return queue_cas_read(channel, request);
    case COF_FILE_PHASE_ZERO:
        return queue_zeros(channel, request);
    case COF_FILE_PHASE_SYNC:
        op.verb = COF_RING_DATASYNC;
        break;
    case COF_FILE_PHASE_TRIM:
        op.verb = COF_RING_FALLOCATE;
        op.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        op.offset_bytes = at->base_bytes;
        op.length_bytes = at->total_bytes;
        break;
    case COF_FILE_PHASE_CARRY:
        op.verb = COF_RING_NOTHING;
        break;
    }
    return cof_ring_queue(channel->ring, &op);
}
