/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/sync_io.h - one request at a time, or a window of blocks, waited for: for open, recovery,
 * checkpoints and checks. Has a channel and a lock of its own; any thread.
 */
#ifndef COF_SEGDEV_SYNC_IO_H
#define COF_SEGDEV_SYNC_IO_H

#include "base/env.h"

#include <coffer/segdev.h>
#include <pthread.h>

#define COF_SYNC_IO_BOUNCE_BYTES (256u * 1024u)
#define COF_SYNC_IO_WINDOW 32u

struct cof_sync_io {
    struct cof_env *env;
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    pthread_mutex_t lock;
    uint8_t *bounce; /* page-aligned, COF_SYNC_IO_BOUNCE_BYTES */
    struct coffer_segdev_request requests[COF_SYNC_IO_WINDOW];
    struct iovec iov[COF_SYNC_IO_WINDOW];
    bool broken; /* the channel kept a request: nothing more can be asked of it */
    uint64_t reads, read_bytes;
};

COFFER_MUST_CHECK int cof_sync_io_init(struct cof_sync_io *io, struct cof_env *env,
                                       struct coffer_segdev *dev);
void cof_sync_io_done(struct cof_sync_io *io);

/* Read length bytes (whole blocks; any alignment of bytes in memory). */
COFFER_MUST_CHECK int cof_sync_io_read(struct cof_sync_io *io, uint32_t segment, uint32_t offset,
                                       void *bytes, size_t length_bytes);

/* One block each from many places, COF_SYNC_IO_WINDOW of them in flight; results[i] is 0 or an
 * error. Returns an error only when the channel itself failed. */
struct cof_block_place {
    uint32_t segment, block;
};
COFFER_MUST_CHECK int cof_sync_io_read_blocks(struct cof_sync_io *io,
                                              const struct cof_block_place *places, unsigned count,
                                              uint8_t *blocks, int *results);

/* Any other operation without a buffer: SYNC, TRIM, GROW, SHRINK. */
COFFER_MUST_CHECK int cof_sync_io_control(struct cof_sync_io *io, enum coffer_segdev_op op,
                                          uint32_t segment);
COFFER_MUST_CHECK int cof_sync_io_root_read(struct cof_sync_io *io, unsigned slot,
                                            uint8_t block[4096]);
COFFER_MUST_CHECK int cof_sync_io_root_cas(struct cof_sync_io *io, unsigned slot,
                                           uint64_t expect_epoch, const uint8_t block[4096]);

#endif
