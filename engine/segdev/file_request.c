/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file_request.c - each request of the file device as a machine of ring operations.
 *
 *   READ, APPEND, ROOT_READ   transfer -> (short: the rest, once) -> done
 *   ROOT_CAS                  read the slot -> compare epochs -> transfer -> done
 *   CONDITION                 write zeros, slice after slice -> done
 *   SYNC, TRIM                one operation
 *   GROW, SHRINK              done at submit; the result rides on an empty operation
 *
 * Invariants: one ring operation per request at a time; whole blocks that were moved are not moved
 * again; a write stays inside its segment (checked at submit). Interrupted operations are queued
 * again, a bounded number of times; so are cancelled ones, as kernels cancel some of what a thread
 * that exits has left with its workers, and nobody here asks for it. Runs under the channel owner's
 * lock.
 */
#include "segdev/file.h"

#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRIES_MAX 1000u
#define CANCELS_MAX 16u

/* Only the size changes; no data is written and no block allocated. A block device stays. */
static int resize(struct cof_file *file, uint32_t segment_count, bool grow)
{
    uint64_t size_bytes = (uint64_t)segment_count * atomic_load(&file->base.segment_bytes);
    uint64_t now_bytes = atomic_load(&file->base.size_bytes);
    if (size_bytes == now_bytes || (size_bytes > now_bytes) != grow) {
        return 0;
    }
    if (file->block_device) {
        return grow ? ENOSPC : 0;
    }
    if (ftruncate(file->fd, (off_t)size_bytes) != 0) {
        return errno;
    }
    atomic_store(&file->base.size_bytes, size_bytes);
    return 0;
}

static int claim_slot(struct cof_file *file, uint32_t slot)
{
    uint32_t bit = 1u << slot;
    return (atomic_fetch_or(&file->cas_busy, bit) & bit) != 0 ? COFFER_E_AGAIN : 0;
}

static void release_slot(struct cof_file *file, uint32_t slot)
{
    atomic_fetch_and(&file->cas_busy, ~(1u << slot));
}

static enum cof_file_phase first_phase(enum coffer_segdev_op op)
{
    switch (op) {
    case COFFER_SEGDEV_ROOT_CAS:
        return COF_FILE_PHASE_CAS_READ;
    case COFFER_SEGDEV_SYNC:
        return COF_FILE_PHASE_SYNC;
    case COFFER_SEGDEV_CONDITION:
        return COF_FILE_PHASE_ZERO;
    case COFFER_SEGDEV_TRIM:
        return COF_FILE_PHASE_TRIM;
    case COFFER_SEGDEV_GROW:
    case COFFER_SEGDEV_SHRINK:
        return COF_FILE_PHASE_CARRY;
    case COFFER_SEGDEV_READ:
    case COFFER_SEGDEV_APPEND:
    case COFFER_SEGDEV_ROOT_READ:
        break;
    }
    return COF_FILE_PHASE_TRANSFER;
}

int cof_file_request_start(struct cof_file_channel *channel, struct coffer_segdev_request *request,
                           uint32_t length_bytes)
{
    struct cof_file *file = channel->file;
    struct cof_file_progress start = {.phase = (uint8_t)first_phase(request->op),
                                      .total_bytes = length_bytes};
    bool root = request->op == COFFER_SEGDEV_ROOT_READ || request->op == COFFER_SEGDEV_ROOT_CAS;
    bool cas = request->op == COFFER_SEGDEV_ROOT_CAS;
    int error = 0;
    if (root) {
        error = cof_segdev_root_place(&file->base, request->segment, &start.base_bytes);
    } else if (request->op == COFFER_SEGDEV_READ || request->op == COFFER_SEGDEV_APPEND) {
        start.base_bytes =
            (uint64_t)request->segment * atomic_load(&file->base.segment_bytes) + request->offset;
    } else {
        start.base_bytes = (uint64_t)request->segment * atomic_load(&file->base.segment_bytes);
    }
    if (error == 0 && cas) {
        error = claim_slot(file, request->segment);
    }
    if (error != 0) {
        return error;
    }
    if (start.phase == COF_FILE_PHASE_CARRY) {
        start.carried_errno =
            (int16_t)resize(file, request->segment, request->op == COFFER_SEGDEV_GROW);
    }
    *cof_file_progress_of(request) = start;
    error = cof_file_queue_step(channel, request);
    if (error != 0 && cas) {
        release_slot(file, request->segment);
    }
    return error;
}

static bool finish(struct cof_file_channel *channel, struct coffer_segdev_request *request,
                   int error, int os_errno)
{
    if (request->op == COFFER_SEGDEV_ROOT_CAS) {
        release_slot(channel->file, request->segment);
    }
    request->result = error;
    request->os_errno = os_errno;
    return true;
}

static bool go_on(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    int error;
    if (channel->closing) {
        return finish(channel, request, COFFER_E_CANCELLED, 0);
    }
    error = cof_file_queue_step(channel, request);
    return error == 0 ? false : finish(channel, request, error, 0);
}

static bool ends_beyond_file(const struct cof_file *file, const struct cof_file_progress *at)
{
    uint64_t end_bytes = at->base_bytes + at->total_bytes;
    struct stat now;
    if (file->block_device) {
        return end_bytes > atomic_load(&file->base.size_bytes);
    }
    return fstat(file->fd, &now) == 0 && end_bytes > (uint64_t)now.st_size;
}

/* moved < asked. The rest is asked for once, which also brings out the error behind it. */
static bool fell_short(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    bool read = request->op == COFFER_SEGDEV_READ || request->op == COFFER_SEGDEV_ROOT_READ;
    if (read && ends_beyond_file(channel->file, at)) {
        return finish(channel, request, COFFER_E_TRUNCATED, 0);
    }
    if (at->shorts++ > 0) {
        return finish(channel, request, COFFER_E_IO, 0);
    }
    /* Direct transfers go on at whole sectors only, whatever their size. */
    at->done_bytes -= at->done_bytes % COFFER_BLOCK_BYTES;
    return go_on(channel, request);
}

static bool moved(struct cof_file_channel *channel, struct coffer_segdev_request *request,
                  uint32_t bytes)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    bool all = bytes == at->asked_bytes;
    assert(bytes <= at->asked_bytes);
    at->done_bytes += bytes;
    if (at->done_bytes == at->total_bytes) {
        return finish(channel, request, 0, 0);
    }
    return all ? go_on(channel, request) : fell_short(channel, request);
}

/* The slot was read, whole or in part: one beyond the file's end, or cut by it, holds nothing. */
static bool compare(struct cof_file_channel *channel, struct coffer_segdev_request *request,
                    uint32_t bytes)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    const uint8_t *block = channel->root_blocks + (size_t)request->segment * COFFER_BLOCK_BYTES;
    uint64_t epoch = 0;
    if (bytes == COFFER_BLOCK_BYTES) {
        epoch = cof_segdev_root_epoch(block);
    } else if (!ends_beyond_file(channel->file, at)) {
        return finish(channel, request, COFFER_E_IO, 0);
    }
    if (epoch != request->expect_epoch) {
        return finish(channel, request, COFFER_E_BUSY, 0);
    }
    at->phase = COF_FILE_PHASE_TRANSFER;
    return go_on(channel, request);
}

/* A device without the means to zero and unmap may still discard. A trim is a hint: it succeeds
 * where it cannot be done at all. */
static bool trim_refused(struct cof_file_channel *channel, struct coffer_segdev_request *request)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    uint64_t range[2] = {at->base_bytes, at->total_bytes};
    if (channel->file->block_device && ioctl(channel->file->fd, BLKDISCARD, range) != 0 &&
        errno != EOPNOTSUPP && errno != ENOTTY) {
        int os_errno = errno;
        return finish(channel, request, cof_ring_error_of(os_errno), os_errno);
    }
    return finish(channel, request, 0, 0);
}

static bool failed(struct cof_file_channel *channel, struct coffer_segdev_request *request,
                   int os_errno)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    if ((os_errno == EINTR || os_errno == EAGAIN) && at->retries++ < RETRIES_MAX) {
        return go_on(channel, request);
    }
    if (os_errno == ECANCELED && at->cancels++ < CANCELS_MAX) {
        return go_on(channel, request);
    }
    if (at->phase == COF_FILE_PHASE_TRIM && (os_errno == EOPNOTSUPP || os_errno == ENOSYS)) {
        return trim_refused(channel, request);
    }
    return finish(channel, request, cof_ring_error_of(os_errno), os_errno);
}

bool cof_file_request_advance(struct cof_file_channel *channel,
                              struct coffer_segdev_request *request, int answer)
{
    struct cof_file_progress *at = cof_file_progress_of(request);
    if (answer < 0) {
        return failed(channel, request, -answer);
    }
    switch ((enum cof_file_phase)at->phase) {
    case COF_FILE_PHASE_TRANSFER:
    case COF_FILE_PHASE_ZERO:
        return moved(channel, request, (uint32_t)answer);
    case COF_FILE_PHASE_CAS_READ:
        return compare(channel, request, (uint32_t)answer);
    case COF_FILE_PHASE_CARRY:
        return finish(channel, request, cof_ring_error_of(at->carried_errno), at->carried_errno);
    case COF_FILE_PHASE_SYNC:
    case COF_FILE_PHASE_TRIM:
        break;
    }
    return finish(channel, request, 0, 0);
}
