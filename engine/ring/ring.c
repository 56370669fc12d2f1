/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring/ring.c - setup with fallbacks, queueing and reaping.
 *
 * Invariants: queued <= in_flight <= depth <= entries of the submission queue, so an entry is there
 * for each operation that was let in, and the completion queue (twice as long) cannot overflow.
 * Runs in its owner's thread; starts none. It never retries or interprets a transfer. Rings of
 * COF_RING_INLINE are inline.c's.
 */
#include "ring/inline.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 4096u
#define BUFFERS_MAX 1024u
#define BUSY_PAUSE_NS 1000000L
#define BUSY_PAUSES_MAX 2000u

struct cof_ring {
    struct cof_env *env;
    struct cof_inline *inline_queue; /* instead of all below, or NULL */
    struct io_uring uring;
    int fd;
    unsigned depth;
    unsigned in_flight; /* queued here or given to the kernel, not reaped */
    int event_fd;       /* -1 until asked for, and on rings that change hands */
    bool sync_held;     /* a sync that is alone has not been queued yet */
    void *sync_user;
    bool one_thread;
    bool file_registered;
    struct iovec *buffers; /* copy of what is registered */
    unsigned buffer_count;
};

int cof_ring_error_of(int os_errno)
{
    switch (os_errno) {
    case 0:
        return 0;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return COFFER_E_NO_SPACE;
    case ECANCELED:
        return COFFER_E_CANCELLED;
    case EROFS:
    case EACCES:
    case EPERM:
        return COFFER_E_ACCESS;
    case ENOMEM:
        return COFFER_E_NO_MEMORY;
    case EBUSY:
    case ETXTBSY:
        return COFFER_E_BUSY;
    case ENOENT:
        return COFFER_E_NOT_FOUND;
    case ENOSYS:
    case EOPNOTSUPP:
        return COFFER_E_UNSUPPORTED;
    default:
        return COFFER_E_IO;
    }
}

/* From the best set of flags down to what the oldest kernel takes. DEFER_TASKRUN runs completion
 * work in reap only, so it is for rings of one thread. Rings that change hands get no COOP_TASKRUN
 * either: completions would wait until the thread that submitted enters the kernel again. */
static int setup(struct cof_ring *ring)
{
    static const unsigned one_thread[] = {
        IORING_SETUP_CLAMP | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_CLAMP,
    };
    static const unsigned any_thread[] = {IORING_SETUP_CLAMP};
    const unsigned *choices = ring->one_thread ? one_thread : any_thread;
    size_t count = ring->one_thread ? sizeof one_thread / sizeof one_thread[0] : 1;
    int result = -EINVAL;
    for (size_t i = 0; i < count && result == -EINVAL; i++) {
        struct io_uring_params params;
        memset(&params, 0, sizeof params);
        params.flags = choices[i];
        result = io_uring_queue_init_params(ring->depth, &ring->uring, &params);
        if (result == 0 && params.sq_entries < ring->depth) {
            ring->depth = params.sq_entries;
        }
    }
    return result;
}

int cof_ring_open(struct cof_env *env, int fd, unsigned depth, unsigned flags,
                  struct cof_ring **ret_ring)
{
    struct cof_ring *ring;
    int result;
    if (depth == 0 || depth > DEPTH_MAX ||
        (flags & ~(unsigned)(COF_RING_ONE_THREAD | COF_RING_INLINE)) != 0) {
        return COFFER_E_INVALID;
    }
    ring = cof_calloc(env, 1, sizeof *ring);
    if (ring == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    ring->env = env;
    if ((flags & COF_RING_INLINE) != 0) {
        result = cof_inline_open(env, fd, depth, &ring->inline_queue);
        if (result != 0) {
            cof_free(env, ring);
            return result;
        }
        *ret_ring = ring;
        return 0;
    }
    ring->fd = fd;
    ring->event_fd = -1;
    ring->depth = depth;
    ring->one_thread = (flags & COF_RING_ONE_THREAD) != 0;
    result = setup(ring);
    if (result != 0) {
        cof_free(env, ring);
        return result == -EINVAL ? COFFER_E_UNSUPPORTED : cof_ring_error_of(-result);
    }
    ring->file_registered = io_uring_register_files(&ring->uring, &fd, 1) == 0;
    *ret_ring = ring;
    return 0;
}

void cof_ring_close(struct cof_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    if (ring->inline_queue != NULL) {
        cof_inline_close(ring->inline_queue);
        cof_free(ring->env, ring);
        return;
    }
    /* The kernel takes a ring apart some time after its descriptor is closed, and until then holds
     * the registered file open, locks and all: let go of it here. */
    if (ring->file_registered) {
        (void)io_uring_unregister_files(&ring->uring);
    }
    io_uring_queue_exit(&ring->uring);
    if (ring->event_fd >= 0) {
        (void)close(ring->event_fd);
    }
    cof_free(ring->env, ring->buffers);
    cof_free(ring->env, ring);
}

int cof_ring_register_buffers(struct cof_ring *ring, const struct iovec *buffers,
                              unsigned buffer_count)
{
    struct iovec *copy;
    int result;
    if (buffer_count > BUFFERS_MAX || (buffer_count > 0 && buffers == NULL)) {
        return COFFER_E_INVALID;
    }
    if (ring->inline_queue != NULL) {
        return 0; /* plain calls take memory as it is */
    }
    if (ring->buffer_count > 0) {
        (void)io_uring_unregister_buffers(&ring->uring);
        cof_free(ring->env, ring->buffers);
        ring->buffers = NULL;
        ring->buffer_count = 0;
    }
    if (buffer_count == 0) {
        return 0;
    }
    copy = cof_calloc(ring->env, buffer_count, sizeof *copy);
    if (copy == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(copy, buffers, buffer_count * sizeof *copy);
    result = io_uring_register_buffers(&ring->uring, copy, buffer_count);
    if (result != 0) {
        cof_free(ring->env, copy);
        return cof_ring_error_of(-result);
    }
    ring->buffers = copy;
    ring->buffer_count = buffer_count;
    return 0;
}

static bool lies_in_registered(const struct cof_ring *ring, const struct cof_ring_op *op)
{
    const struct iovec *buffer;
    uintptr_t start, first;
    if (op->iov_count != 1 || op->buffer_index < 0 ||
        (unsigned)op->buffer_index >= ring->buffer_count) {
        return false;
    }
    buffer = &ring->buffers[op->buffer_index];
    start = (uintptr_t)op->iov[0].iov_base;
    first = (uintptr_t)buffer->iov_base;
    return start >= first && start - first <= buffer->iov_len &&
           op->iov[0].iov_len <= buffer->iov_len - (start - first);
}

static void prepare_transfer(const struct cof_ring *ring, const struct cof_ring_op *op,
                             struct io_uring_sqe *sqe, int fd)
{
    bool write = op->verb == COF_RING_WRITE;
    void *base = op->iov[0].iov_base;
    unsigned length = (unsigned)op->iov[0].iov_len;
    if (op->iov_count != 1) {
        if (write) {
            io_uring_prep_writev(sqe, fd, op->iov, op->iov_count, op->offset_bytes);
        } else {
            io_uring_prep_readv(sqe, fd, op->iov, op->iov_count, op->offset_bytes);
        }
    } else if (lies_in_registered(ring, op)) {
        if (write) {
            io_uring_prep_write_fixed(sqe, fd, base, length, op->offset_bytes, op->buffer_index);
        } else {
            io_uring_prep_read_fixed(sqe, fd, base, length, op->offset_bytes, op->buffer_index);
        }
    } else if (write) {
        io_uring_prep_write(sqe, fd, base, length, op->offset_bytes);
    } else {
        io_uring_prep_read(sqe, fd, base, length, op->offset_bytes);
    }
}

/* The kernel gives every fsync of a ring to a worker thread. One that has no company is kept here:
 * whoever then waits for it makes the call himself, which saves two switches
 * (docs/decisions/0024). */
static bool hold_sync(struct cof_ring *ring, const struct cof_ring_op *op)
{
    if (op->verb != COF_RING_DATASYNC || ring->in_flight > 0) {
        return false;
    }
    ring->sync_held = true;
    ring->sync_user = op->user;
    ring->in_flight++;
    return true;
}

static void release_sync(struct cof_ring *ring)
{
    struct io_uring_sqe *sqe = ring->sync_held ? io_uring_get_sqe(&ring->uring) : NULL;
    if (sqe == NULL) {
        return; /* nothing is held: what is has had its entry since it was let in */
    }
    io_uring_prep_fsync(sqe, ring->file_registered ? 0 : ring->fd, IORING_FSYNC_DATASYNC);
    if (ring->file_registered) {
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    }
    io_uring_sqe_set_data(sqe, ring->sync_user);
    ring->sync_held = false;
}

static int sync_now(struct cof_ring *ring, struct cof_ring_completion *ret_completion)
{
    ring->sync_held = false;
    ring->in_flight--;
    ret_completion->user = ring->sync_user;
    ret_completion->result = fdatasync(ring->fd) == 0 ? 0 : -errno;
    return 1;
}

int cof_ring_queue(struct cof_ring *ring, const struct cof_ring_op *op)
{
    int fd = ring->file_registered ? 0 : ring->fd;
    struct io_uring_sqe *sqe;
    if (ring->inline_queue != NULL) {
        return cof_inline_queue(ring->inline_queue, op);
    }
    if (ring->in_flight >= ring->depth) {
        return COFFER_E_AGAIN;
    }
    if (hold_sync(ring, op)) {
        return 0;
    }
    release_sync(ring);
    sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL) {
        return COFFER_E_AGAIN;
    }
    switch (op->verb) {
    case COF_RING_READ:
    case COF_RING_WRITE:
        prepare_transfer(ring, op, sqe, fd);
        break;
    case COF_RING_DATASYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    case COF_RING_FALLOCATE:
        io_uring_prep_fallocate(sqe, fd, op->mode, (off_t)op->offset_bytes,
                                (off_t)op->length_bytes);
        break;
    case COF_RING_NOTHING:
        io_uring_prep_nop(sqe);
        break;
    }
    if (ring->file_registered && op->verb != COF_RING_NOTHING) {
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    }
    io_uring_sqe_set_data(sqe, op->user);
    ring->in_flight++;
    return 0;
}

static unsigned take(struct cof_ring *ring, struct cof_ring_completion *ret_completions,
                     unsigned capacity)
{
    unsigned taken = 0;
    struct io_uring_cqe *cqe;
    while (taken < capacity && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        ret_completions[taken].user = io_uring_cqe_get_data(cqe);
        ret_completions[taken].result = cqe->res;
        io_uring_cqe_seen(&ring->uring, cqe);
        ring->in_flight--;
        taken++;
    }
    return taken;
}

/* One system call that submits, and waits when asked to. It is skipped when there is nothing to
 * hand over, nothing to wait for and no completion work that only a call would run. */
static int enter(struct cof_ring *ring, unsigned wait_for)
{
    unsigned waiting = io_uring_sq_ready(&ring->uring);
    if (wait_for > 0) {
        return io_uring_submit_and_wait(&ring->uring, wait_for);
    }
    if (ring->one_thread && ring->in_flight > 0) {
        return io_uring_submit_and_get_events(&ring->uring);
    }
    return waiting > 0 ? io_uring_submit(&ring->uring) : 0;
}

static void drain_event(const struct cof_ring *ring)
{
    uint64_t count;
    if (ring->event_fd >= 0 && read(ring->event_fd, &count, sizeof count) < 0) {
        /* EAGAIN: it was not readable, which is as well. */
        return;
    }
}

static void raise_event(const struct cof_ring *ring)
{
    uint64_t one = 1;
    if (ring->event_fd >= 0 && write(ring->event_fd, &one, sizeof one) < 0) {
        /* EAGAIN: it is readable 2^64 times over. */
        return;
    }
}

static void pause_briefly(void)
{
    struct timespec pause = {0, BUSY_PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

static int reap(struct cof_ring *ring, unsigned min_complete,
                struct cof_ring_completion *ret_completions, unsigned capacity)
{
    unsigned pauses = 0, taken = 0;
    if (min_complete > capacity) {
        min_complete = capacity;
    }
    if (min_complete > ring->in_flight) {
        min_complete = ring->in_flight;
    }
    for (;;) {
        unsigned ready = io_uring_cq_ready(&ring->uring);
        unsigned missing = min_complete - taken;
        int result = enter(ring, ready >= missing ? 0 : missing);
        if (taken < capacity) {
            taken += take(ring, ret_completions + taken, capacity - taken);
        }
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            return taken > 0 ? (int)taken : cof_ring_error_of(-result);
        }
        if (taken >= min_complete && io_uring_sq_ready(&ring->uring) == 0) {
            return (int)taken;
        }
        /* EAGAIN and EBUSY: the kernel is short of memory for requests; what is queued stays. */
        if (result == -EAGAIN || result == -EBUSY) {
            if (++pauses > BUSY_PAUSES_MAX) {
                return taken > 0 ? (int)taken : COFFER_E_NO_MEMORY;
            }
            pause_briefly();
        }
    }
}

/* The event is cleared before completions are looked for, so none can slip in between unseen, and
 * raised again when some are left. The kernel may signal one completion twice; then the descriptor
 * is readable once for nothing. */
int cof_ring_reap(struct cof_ring *ring, unsigned min_complete,
                  struct cof_ring_completion *ret_completions, unsigned capacity)
{
    int result;
    if (ring->inline_queue != NULL) {
        return (int)cof_inline_reap(ring->inline_queue, ret_completions, capacity);
    }
    if (ring->sync_held && min_complete > 0 && capacity > 0 && ring->in_flight == 1) {
        return sync_now(ring, ret_completions);
    }
    release_sync(ring);
    drain_event(ring);
    result = reap(ring, min_complete, ret_completions, capacity);
    if (io_uring_cq_ready(&ring->uring) > 0) {
        raise_event(ring);
    }
    return result;
}

/* Sleepers on the descriptor of a DEFER_TASKRUN ring are not woken: what would fill the queue waits
 * for its thread to come and run it. An event descriptor is signalled all the same. */
int cof_ring_fd(struct cof_ring *ring)
{
    if (ring->inline_queue != NULL) {
        return cof_inline_fd(ring->inline_queue);
    }
    if (!ring->one_thread) {
        return ring->uring.ring_fd;
    }
    if (ring->event_fd < 0) {
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* something may have come already */
        if (fd >= 0 && io_uring_register_eventfd(&ring->uring, fd) != 0) {
            (void)close(fd);
            fd = -1;
        }
        ring->event_fd = fd;
    }
    return ring->event_fd;
}

unsigned cof_ring_in_flight(const struct cof_ring *ring)
{
    return ring->inline_queue != NULL ? cof_inline_in_flight(ring->inline_queue) : ring->in_flight;
}
