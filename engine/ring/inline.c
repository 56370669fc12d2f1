/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring/inline.c - operations as plain system calls, for files in memory.
 *
 * io_uring hands what a file system can't do without waiting to worker threads of the kernel, and
 * for tmpfs that is every transfer: two switches and an interrupt to copy 4096 bytes. Here the
 * thread that reaps copies them itself (docs/decisions/0024).
 *
 * Invariants: 0 <= count <= depth; waiting[head ..] are the operations in order. Runs in its
 * owner's thread; starts none.
 */
#include "ring/inline.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

struct waiting {
    struct cof_ring_op op;
    struct iovec one; /* a list of one entry is copied, as a ring does */
};

struct cof_inline {
    struct cof_env *env;
    int fd;
    int event_fd; /* -1 until asked for */
    bool raised;
    unsigned depth, head, count;
    struct waiting waiting[];
};

int cof_inline_open(struct cof_env *env, int fd, unsigned depth, struct cof_inline **ret_queue)
{
    struct cof_inline *queue = cof_calloc(env, 1, sizeof *queue + depth * sizeof queue->waiting[0]);
    if (queue == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    queue->env = env;
    queue->fd = fd;
    queue->event_fd = -1;
    queue->depth = depth;
    *ret_queue = queue;
    return 0;
}

void cof_inline_close(struct cof_inline *queue)
{
    if (queue == NULL) {
        return;
    }
    if (queue->event_fd >= 0) {
        (void)close(queue->event_fd);
    }
    cof_free(queue->env, queue);
}

int cof_inline_queue(struct cof_inline *queue, const struct cof_ring_op *op)
{
    struct waiting *last;
    if (queue->count >= queue->depth) {
        return COFFER_E_AGAIN;
    }
    last = &queue->waiting[(queue->head + queue->count) % queue->depth];
    last->op = *op;
    if (op->iov_count == 1) {
        last->one = op->iov[0];
        last->op.iov = &last->one;
    }
    queue->count++;
    return 0;
}

static int perform(int fd, const struct cof_ring_op *op)
{
    ssize_t result = 0;
    int iov_count = (int)op->iov_count;
    switch (op->verb) {
    case COF_RING_READ:
        result = preadv(fd, op->iov, iov_count, (off_t)op->offset_bytes);
        break;
    case COF_RING_WRITE:
        result = pwritev(fd, op->iov, iov_count, (off_t)op->offset_bytes);
        break;
    case COF_RING_DATASYNC:
        result = fdatasync(fd);
        break;
    case COF_RING_FALLOCATE:
        result = fallocate(fd, op->mode, (off_t)op->offset_bytes, (off_t)op->length_bytes);
        break;
    case COF_RING_NOTHING:
        break;
    }
    return result < 0 ? -errno : (int)result;
}

/* Readable while something waits: what stays behind raises it, and its end lowers it. */
static void show(struct cof_inline *queue)
{
    uint64_t value = 1;
    bool raise = queue->count > 0;
    ssize_t moved;
    if (queue->event_fd < 0 || raise == queue->raised) {
        return;
    }
    moved = raise ? write(queue->event_fd, &value, sizeof value)
                  : read(queue->event_fd, &value, sizeof value);
    queue->raised = moved == (ssize_t)sizeof value ? raise : queue->raised;
}

unsigned cof_inline_reap(struct cof_inline *queue, struct cof_ring_completion *ret_completions,
                         unsigned capacity)
{
    unsigned taken = 0;
    while (taken < capacity && queue->count > 0) {
        const struct cof_ring_op *op = &queue->waiting[queue->head].op;
        ret_completions[taken].user = op->user;
        ret_completions[taken].result = perform(queue->fd, op);
        queue->head = (queue->head + 1u) % queue->depth;
        queue->count--;
        taken++;
    }
    show(queue);
    return taken;
}

int cof_inline_fd(struct cof_inline *queue)
{
    if (queue->event_fd < 0) {
        queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        show(queue);
    }
    return queue->event_fd;
}

unsigned cof_inline_in_flight(const struct cof_inline *queue)
{
    return queue->count;
}
