/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring/ring.h - io_uring over one file descriptor: queue, submit, reap. Knows no segment.
 *
 * Rules:
 *  - A ring is used by one thread at a time. With COF_RING_ONE_THREAD it is used by one thread ever
 *    (the one that opened it), which lets the kernel do its completion work in that thread's reap.
 *  - At most `depth` operations are between queue and reap, so neither queue of the kernel can
 *    overflow. Exceeding it gives AGAIN.
 *  - Memory that an operation names belongs to the ring until the operation was reaped.
 *  - Results are raw: bytes moved or a negative errno. The owner resumes and maps.
 */
#ifndef COF_RING_RING_H
#define COF_RING_RING_H

#include "base/env.h"
#include <stdint.h>
#include <sys/uio.h>

struct cof_ring;

enum cof_ring_flags {
    COF_RING_ONE_THREAD = 1u << 0,
    COF_RING_INLINE = 1u << 1 /* no io_uring: reap makes the system calls (ring/inline.h) */
};

enum cof_ring_verb {
    COF_RING_READ,
    COF_RING_WRITE,
    COF_RING_DATASYNC,
    COF_RING_FALLOCATE,
    COF_RING_NOTHING /* completes at once: carries a result found elsewhere through the queue */
};

struct cof_ring_op {
    enum cof_ring_verb verb;
    int buffer_index;        /* READ, WRITE: registered buffer that holds iov[0], or -1 */
    int mode;                /* FALLOCATE: as for fallocate(2)                          */
    unsigned iov_count;      /* READ, WRITE                                             */
    const struct iovec *iov; /* READ, WRITE                                             */
    uint64_t offset_bytes;
    uint64_t length_bytes; /* FALLOCATE */
    void *user;
};

struct cof_ring_completion {
    void *user;
    int result; /* bytes moved, 0, or a negative errno */
};

/* A ring for fd, which the ring's owner keeps open until after close. UNSUPPORTED or ACCESS when
 * the kernel has no io_uring for this process. */
COFFER_MUST_CHECK int cof_ring_open(struct cof_env *env, int fd, unsigned depth, unsigned flags,
                                    struct cof_ring **ret_ring);

/* Nothing may be in flight. Takes NULL. */
void cof_ring_close(struct cof_ring *ring);

/* Replace the registered buffers. On failure none are registered and transfers go on unregistered:
 * a buffer_index that is not registered, or does not hold iov[0], is ignored. */
COFFER_MUST_CHECK int cof_ring_register_buffers(struct cof_ring *ring, const struct iovec *buffers,
                                                unsigned buffer_count);

/* Queue an operation, not yet handed to the kernel. AGAIN when depth operations are under way. */
COFFER_MUST_CHECK int cof_ring_queue(struct cof_ring *ring, const struct cof_ring_op *op);

/* Hand over what was queued, wait until min_complete completions are there (never for more than are
 * under way; 0: do not wait), and take up to capacity of them. Their number, or an error. With a
 * capacity of 0 it only hands over. A sync that is all there is and is waited for is made by the
 * caller's thread. */
COFFER_MUST_CHECK int cof_ring_reap(struct cof_ring *ring, unsigned min_complete,
                                    struct cof_ring_completion *ret_completions, unsigned capacity);

/* Readable when completions wait, and now and then when none do: reap then gives 0. Owned by the
 * ring; -1 when there is no descriptor left. */
int cof_ring_fd(struct cof_ring *ring);

unsigned cof_ring_in_flight(const struct cof_ring *ring);

/* 0 for 0, or the enum coffer_error that a (positive) errno stands for. */
int cof_ring_error_of(int os_errno);

#endif
