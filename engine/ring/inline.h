/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring/inline.h - a ring without io_uring: for files whose transfers never wait (tmpfs).
 *
 * The same rules and results as cof_ring_*, which calls these for rings of COF_RING_INLINE. The
 * system calls are made in reap, oldest first, as many as there is room for answers.
 */
#ifndef COF_RING_INLINE_H
#define COF_RING_INLINE_H

#include "ring/ring.h"

struct cof_inline;

COFFER_MUST_CHECK int cof_inline_open(struct cof_env *env, int fd, unsigned depth,
                                      struct cof_inline **ret_queue);
void cof_inline_close(struct cof_inline *queue);
COFFER_MUST_CHECK int cof_inline_queue(struct cof_inline *queue, const struct cof_ring_op *op);
/* The number of completions. */
unsigned cof_inline_reap(struct cof_inline *queue, struct cof_ring_completion *ret_completions,
                         unsigned capacity);
int cof_inline_fd(struct cof_inline *queue);
unsigned cof_inline_in_flight(const struct cof_inline *queue);

#endif
