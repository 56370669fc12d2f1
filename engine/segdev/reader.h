/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/reader.h - reads that are begun ahead and waited for later, on a channel of their own.
 *
 * One thread at a time. A cof_read and the memory it reads into belong to the reader from start
 * until wait has returned, or until cof_reader_done.
 */
#ifndef COF_SEGDEV_READER_H
#define COF_SEGDEV_READER_H

#include "base/env.h"

#include <coffer/segdev.h>
#include <stdbool.h>

#define COF_READ_RUNS_MAX 128u

/* Blocks of a segment, into memory on page boundaries. */
struct cof_block_run {
    uint32_t segment, block, blocks;
    uint8_t *bytes;
};

/* Runs that are waited for together. */
struct cof_read {
    struct coffer_segdev_request requests[COF_READ_RUNS_MAX];
    struct iovec iov[COF_READ_RUNS_MAX];
    unsigned flying;
    int error;
};

struct cof_reader {
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    unsigned flying;
    bool broken; /* the channel kept a request: nothing more can be asked of it */
    uint64_t requests, bytes;
};

/* reads_max: that many cof_reads are under way at once. */
COFFER_MUST_CHECK int cof_reader_init(struct cof_reader *reader, struct coffer_segdev *dev,
                                      unsigned reads_max);
/* Waits for what is under way. Of a reader of zeros: nothing. */
void cof_reader_done(struct cof_reader *reader);

/* Begin to read; at most COF_READ_RUNS_MAX runs. What lies one behind the other, on the device and
 * in memory, is one request. Errors come with wait. */
void cof_reader_start(struct cof_reader *reader, struct cof_read *read,
                      const struct cof_block_run *runs, unsigned count);
/* Until all its runs are there: 0, or the error of one of them. */
COFFER_MUST_CHECK int cof_reader_wait(struct cof_reader *reader, struct cof_read *read);

#endif
