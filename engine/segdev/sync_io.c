/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/sync_io.c - requests that are waited for, on a channel of their own.
 *
 * Everything goes through a page-aligned bounce buffer, so callers need no aligned memory.
 */
#include "segdev/sync_io.h"

#include <string.h>

#define POLLS_MAX 1000u

int cof_sync_io_init(struct cof_sync_io *io, struct cof_env *env, struct coffer_segdev *dev)
{
    int err;
    memset(io, 0, sizeof *io);
    io->env = env;
    io->dev = dev;
    io->bounce = cof_alloc_aligned(env, COF_SYNC_IO_BOUNCE_BYTES);
    if (io->bounce == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = dev->ops->channel_open(dev, COF_SYNC_IO_WINDOW, &io->channel);
    if (err != 0) {
        cof_free_aligned(env, io->bounce);
        io->bounce = NULL;
        return err;
    }
    pthread_mutex_init(&io->lock, NULL);
    return 0;
}

void cof_sync_io_done(struct cof_sync_io *io)
{
    if (io->bounce == NULL) {
        return;
    }
    io->dev->ops->channel_close(io->channel);
    cof_free_aligned(io->env, io->bounce);
    io->bounce = NULL;
    pthread_mutex_destroy(&io->lock);
}

/* Collect what is in flight. A failing poll is tried again, because the device owns the requests
 * until it has returned them; when it never does, the channel is given up. */
static int collect(struct cof_sync_io *io, struct coffer_segdev_request **ret_list)
{
    int err = 0;
    for (unsigned i = 0; i < POLLS_MAX; i++) {
        *ret_list = NULL;
        err = io->dev->ops->poll(io->channel, 1, ret_list);
        if (err > 0) {
            return err;
        }
    }
    io->broken = true;
    return err < 0 ? err : COFFER_E_IO;
}

/* Submit the one request and wait for it; the lock is held. */
static int run(struct cof_sync_io *io, struct coffer_segdev_request *request)
{
    struct coffer_segdev_request *list;
    int err = io->broken ? COFFER_E_IO : io->dev->ops->submit(io->channel, request);
    if (err != 0) {
        return err;
    }
    err = collect(io, &list);
    return err < 0 ? err : request->result;
}

static void prepare(struct coffer_segdev_request *request, enum coffer_segdev_op op,
                    uint32_t segment)
{
    memset(request, 0, sizeof *request);
    request->op = op;
    request->segment = segment;
    request->buffer_index = -1;
}

/* The first request, with one block of the bounce buffer. */
static struct coffer_segdev_request *start(struct cof_sync_io *io, enum coffer_segdev_op op,
                                           uint32_t segment)
{
    struct coffer_segdev_request *request = &io->requests[0];
    prepare(request, op, segment);
    io->iov[0].iov_base = io->bounce;
    io->iov[0].iov_len = COFFER_BLOCK_BYTES;
    request->iov = &io->iov[0];
    request->iov_count = 1;
    return request;
}

static int read_piece(struct cof_sync_io *io, uint32_t segment, uint32_t offset, uint8_t *bytes,
                      size_t length_bytes)
{
    struct coffer_segdev_request *request = start(io, COFFER_SEGDEV_READ, segment);
    int err;
    io->iov[0].iov_len = length_bytes;
    request->offset = offset;
    err = run(io, request);
    if (err == 0) {
        memcpy(bytes, io->bounce, length_bytes);
        io->reads++;
        io->read_bytes += length_bytes;
    }
    return err;
}

int cof_sync_io_read(struct cof_sync_io *io, uint32_t segment, uint32_t offset, void *bytes,
                     size_t length_bytes)
{
    uint8_t *at = bytes;
    int err = 0;
    pthread_mutex_lock(&io->lock);
    while (length_bytes > 0 && err == 0) {
        size_t piece =
            length_bytes < COF_SYNC_IO_BOUNCE_BYTES ? length_bytes : COF_SYNC_IO_BOUNCE_BYTES;
        err = read_piece(io, segment, offset, at, piece);
        at += piece;
        offset += (uint32_t)piece;
        length_bytes -= piece;
    }
    pthread_mutex_unlock(&io->lock);
    return err;
}

/* The i-th read of a window. */
static bool submit_read(struct cof_sync_io *io, unsigned i, uint32_t segment, uint32_t block,
                        uint8_t *bytes, size_t length_bytes, int *result)
{
    struct coffer_segdev_request *request = &io->requests[i];
    prepare(request, COFFER_SEGDEV_READ, segment);
    io->iov[i].iov_base = bytes;
    io->iov[i].iov_len = length_bytes;
    request->offset = block * COFFER_BLOCK_BYTES;
    request->iov = &io->iov[i];
    request->iov_count = 1;
    request->user = result;
    *result = io->dev->ops->submit(io->channel, request);
    return *result == 0;
}

static int collect_reads(struct cof_sync_io *io, unsigned flying)
{
    while (flying > 0) {
        struct coffer_segdev_request *list;
        int got = collect(io, &list);
        if (got < 0) {
            return got;
        }
        for (; list != NULL; list = list->next) {
            *(int *)list->user = list->result;
            flying--;
        }
    }
    return 0;
}

/* Read up to a window of blocks at once into the bounce buffer. */
static int read_window(struct cof_sync_io *io, const struct cof_block_place *places, unsigned count,
                       uint8_t *blocks, int *results)
{
    unsigned flying = 0;
    int err;
    if (io->broken) {
        return COFFER_E_IO;
    }
    for (unsigned i = 0; i < count; i++) {
        flying += submit_read(io, i, places[i].segment, places[i].block,
                              io->bounce + (size_t)i * COFFER_BLOCK_BYTES, COFFER_BLOCK_BYTES,
                              &results[i])
                      ? 1u
                      : 0u;
    }
    err = collect_reads(io, flying);
    if (err != 0) {
        return err;
    }
    memcpy(blocks, io->bounce, (size_t)count * COFFER_BLOCK_BYTES);
    io->reads += count;
    io->read_bytes += (uint64_t)count * COFFER_BLOCK_BYTES;
    return 0;
}

int cof_sync_io_read_blocks(struct cof_sync_io *io, const struct cof_block_place *places,
                            unsigned count, uint8_t *blocks, int *results)
{
    int err = 0;
    pthread_mutex_lock(&io->lock);
    for (unsigned at = 0; at < count && err == 0; at += COF_SYNC_IO_WINDOW) {
        unsigned window = count - at < COF_SYNC_IO_WINDOW ? count - at : COF_SYNC_IO_WINDOW;
        err = read_window(io, places + at, window, blocks + (size_t)at * COFFER_BLOCK_BYTES,
                          results + at);
    }
    pthread_mutex_unlock(&io->lock);
    return err;
}

int cof_sync_io_control(struct cof_sync_io *io, enum coffer_segdev_op op, uint32_t segment)
{
    struct coffer_segdev_request *request;
    int err;
    pthread_mutex_lock(&io->lock);
    request = start(io, op, segment);
    request->iov = NULL;
    request->iov_count = 0;
    err = run(io, request);
    pthread_mutex_unlock(&io->lock);
    return err;
}

int cof_sync_io_root_read(struct cof_sync_io *io, unsigned slot, uint8_t block[4096])
{
    int err;
    pthread_mutex_lock(&io->lock);
    err = run(io, start(io, COFFER_SEGDEV_ROOT_READ, slot));
    if (err == 0) {
        memcpy(block, io->bounce, COFFER_BLOCK_BYTES);
    }
    pthread_mutex_unlock(&io->lock);
    return err;
}

int cof_sync_io_root_cas(struct cof_sync_io *io, unsigned slot, uint64_t expect_epoch,
                         const uint8_t block[4096])
{
    struct coffer_segdev_request *request;
    int err;
    pthread_mutex_lock(&io->lock);
    request = start(io, COFFER_SEGDEV_ROOT_CAS, slot);
    request->expect_epoch = expect_epoch;
    memcpy(io->bounce, block, COFFER_BLOCK_BYTES);
    err = run(io, request);
    pthread_mutex_unlock(&io->lock);
    return err;
}
