/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file.h - the file device's own: shared by its opening, its channels and its requests.
 */
#ifndef COF_SEGDEV_FILE_H
#define COF_SEGDEV_FILE_H

#include "ring/ring.h"
#include "segdev/layout.h"

#include <sys/stat.h>
#include <sys/types.h>

struct cof_file {
    struct cof_segdev_base base;
    int fd;
    pid_t opener;
    bool block_device;
    bool in_memory; /* tmpfs and the like: a transfer is a copy, and never waits */
    _Atomic uint32_t cas_busy; /* bit per root slot: a compare-and-set is under way */
};

struct cof_file_channel {
    struct cof_file *file;
    struct cof_ring *ring;
    unsigned depth;
    bool closing;
    uint8_t *root_blocks; /* one block a root slot, where compare-and-set reads the present one */
};

/* An open under way: what was asked, and what there is to take back. */
struct cof_file_opening {
    const char *path;
    unsigned flags;
    uint64_t size_bytes;
    uint32_t segment_bytes;
    struct coffer_fault *fault;
    bool made;  /* this open made the file      */
    bool sized; /* this open gave it its size   */
    bool locked;
};

/* Fill the caller's fault with a sentence, and return the error (of the errno). */
int cof_file_refuse(struct cof_file_opening *open_, int error, const char *sentence);
int cof_file_refuse_errno(struct cof_file_opening *open_, int os_errno, const char *what);

/* Find the size, or give a new file the one asked for. `now` was found under the lock. */
COFFER_MUST_CHECK int cof_file_settle_size(struct cof_file *file, struct cof_file_opening *open_,
                                           const struct stat *now);

/* Take back what a failed open made. Before the descriptor is closed. */
void cof_file_undo(struct cof_file *file, struct cof_file_opening *open_);

enum cof_file_phase {
    COF_FILE_PHASE_TRANSFER,
    COF_FILE_PHASE_CAS_READ,
    COF_FILE_PHASE_SYNC,
    COF_FILE_PHASE_ZERO,
    COF_FILE_PHASE_TRIM,
    COF_FILE_PHASE_CARRY
};

/* What the machine keeps in the request's private words. */
struct cof_file_progress {
    uint8_t phase;
    uint8_t shorts;
    uint16_t retries;
    uint16_t cancels;
    int16_t carried_errno;
    uint64_t base_bytes; /* of the range, in the device */
    uint32_t total_bytes;
    uint32_t done_bytes;
    uint32_t asked_bytes; /* by the operation under way */
} __attribute__((may_alias));

struct cof_file_progress *cof_file_progress_of(struct coffer_segdev_request *request);

/* Queue the operation of the request's present phase. */
COFFER_MUST_CHECK int cof_file_queue_step(struct cof_file_channel *channel,
                                          struct coffer_segdev_request *request);

/* Make a request's first step: queue it on the channel's ring. The request's private words are the
 * step machine's from here on. 0, or the request stays the caller's. */
COFFER_MUST_CHECK int cof_file_request_start(struct cof_file_channel *channel,
                                             struct coffer_segdev_request *request,
                                             uint32_t length_bytes);

/* Take the ring's answer to the step under way. True when the request is complete, its result and
 * os_errno set; false when its next step was queued. */
bool cof_file_request_advance(struct cof_file_channel *channel,
                              struct coffer_segdev_request *request, int answer);

/* The channel part of the device's table. */
int cof_file_channel_open(struct coffer_segdev *dev, unsigned depth,
                          struct coffer_segdev_channel **ret_channel);
void cof_file_channel_close(struct coffer_segdev_channel *channel);
int cof_file_channel_register(struct coffer_segdev_channel *channel, const struct iovec *buffers,
                              unsigned buffer_count);
int cof_file_channel_submit(struct coffer_segdev_channel *channel,
                            struct coffer_segdev_request *request);
int cof_file_channel_poll(struct coffer_segdev_channel *channel, unsigned min_complete,
                          struct coffer_segdev_request **ret_list);
int cof_file_channel_fd(struct coffer_segdev_channel *channel);

#endif
