/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/sync_io.c - requests that are waited for, on a channel of their own.
 *
 * Everything goes through a page-aligned bounce buffer, so callers need no aligned memory.
 */
#include "segdev/sync_io.h"

#include <string.h>

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

/* Submit one request and wait for it; the lock is held. */
static int run(struct cof_sync_io *io, struct coffer_segdev_request *request)
{
    int err = io->dev->ops->submit(io->channel, request);
    if (err != 0) {
        return err;
    }
    for (;;) {
        struct coffer_segdev_request *list = NULL;
        int count = io->dev->ops->poll(io->channel, 1, &list);
        if (count < 0) {
            return count;
        }
        if (count > 0) {
            return request->result;
        }
    }
}

static void prepare(struct coffer_segdev_request *request, enum coffer_segdev_op op,
                    uint32_t segment)
{
    memset(request, 0, sizeof *request);
    request->op = op;
    request->segment = segment;
    request->buffer_index = -1;
}

static int read_piece(struct cof_sync_io *io, uint32_t segment, uint32_t offset, uint8_t *bytes,
                      size_t length_bytes)
{
    struct coffer_segdev_request request;
    struct iovec iov = {io->bounce, length_bytes};
    int err;
    prepare(&request, COFFER_SEGDEV_READ, segment);
    request.offset = offset;
    request.iov = &iov;
    request.iov_count = 1;
    err = run(io, &request);
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

/* Read up to a window of blocks at once into the bounce buffer. */
static int read_window(struct cof_sync_io *io, const struct cof_block_place *places, unsigned count,
                       uint8_t *blocks, int *results)
{
    struct coffer_segdev_request requests[COF_SYNC_IO_WINDOW];
    struct iovec iov[COF_SYNC_IO_WINDOW];
    unsigned flying = 0;
    int failed = 0;
    for (unsigned i = 0; i < count; i++) {
        iov[i].iov_base = io->bounce + (size_t)i * COFFER_BLOCK_BYTES;
        iov[i].iov_len = COFFER_BLOCK_BYTES;
        prepare(&requests[i], COFFER_SEGDEV_READ, places[i].segment);
        requests[i].offset = places[i].block * COFFER_BLOCK_BYTES;
        requests[i].iov = &iov[i];
        requests[i].iov_count = 1;
        results[i] = io->dev->ops->submit(io->channel, &requests[i]);
        flying += results[i] == 0 ? 1u : 0u;
        requests[i].user = results[i] == 0 ? &results[i] : NULL;
    }
    while (flying > 0) {
        struct coffer_segdev_request *list = NULL;
        int got = io->dev->ops->poll(io->channel, 1, &list);
        if (got < 0) {
            failed = got;
            break;
        }
        for (; list != NULL; list = list->next) {
            *(int *)list->user = list->result;
            flying--;
        }
    }
    memcpy(blocks, io->bounce, (size_t)count * COFFER_BLOCK_BYTES);
    io->reads += count;
    io->read_bytes += (uint64_t)count * COFFER_BLOCK_BYTES;
    return failed;
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
    struct coffer_segdev_request request;
    int err;
    prepare(&request, op, segment);
    pthread_mutex_lock(&io->lock);
    err = run(io, &request);
    pthread_mutex_unlock(&io->lock);
    return err;
}

int cof_sync_io_root_read(struct cof_sync_io *io, unsigned slot, uint8_t block[4096])
{
    struct coffer_segdev_request request;
    struct iovec iov = {io->bounce, COFFER_BLOCK_BYTES};
    int err;
    prepare(&request, COFFER_SEGDEV_ROOT_READ, slot);
    request.iov = &iov;
    request.iov_count = 1;
    pthread_mutex_lock(&io->lock);
    err = run(io, &request);
    if (err == 0) {
        memcpy(block, io->bounce, COFFER_BLOCK_BYTES);
    }
    pthread_mutex_unlock(&io->lock);
    return err;
}

int cof_sync_io_root_cas(struct cof_sync_io *io, unsigned slot, uint64_t expect_epoch,
                         const uint8_t block[4096])
{
    struct coffer_segdev_request request;
    struct iovec iov = {io->bounce, COFFER_BLOCK_BYTES};
    int err;
    prepare(&request, COFFER_SEGDEV_ROOT_CAS, slot);
    request.iov = &iov;
    request.iov_count = 1;
    request.expect_epoch = expect_epoch;
    pthread_mutex_lock(&io->lock);
    memcpy(io->bounce, block, COFFER_BLOCK_BYTES);
    err = run(io, &request);
    pthread_mutex_unlock(&io->lock);
    return err;
}
