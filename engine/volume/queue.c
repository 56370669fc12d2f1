/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue.c - queues: taking requests, moving them on, handing completions back.
 *
 * Run to completion: all work happens inside submit and reap, on the thread that calls them. A
 * thread that waits sleeps on the queue's epoll descriptor: the channel of its own reads, the
 * lane's channel, and an eventfd that other threads write when they moved the lane on.
 */
#include "volume/queue.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLEEP_MS 50
#define POLL_FAILURES_MAX 1000u
#define READ_CHANNEL_DEPTH 256u

/* ---- memory of a request ---- */

static bool fits_pages(const struct cof_io_request *request)
{
    const struct coffer_io *io = &request->io;
    uintptr_t align = request->queue->store->geometry.memory_align;
    uintptr_t mask = (io->op == COFFER_IO_READ && align > 1u) ? align - 1u : 0u;
    if (request->head_partial || request->tail_partial) {
        return false;
    }
    for (unsigned i = 0; i < io->iov_count; i++) {
        if (io->iov[i].iov_len % COF_PAGE_BYTES != 0 ||
            ((uintptr_t)io->iov[i].iov_base & mask) != 0) {
            return false;
        }
    }
    return true;
}

uint8_t *cof_request_page(struct cof_io_request *request, uint64_t page)
{
    uint64_t at = page - request->first_page;
    if (request->bounce != NULL) {
        bool tail = request->zeroes && at > 0;
        return request->bounce + (request->zeroes ? (tail ? 1u : 0u) : at) * COF_PAGE_BYTES;
    }
    {
        uint64_t bytes = at * COF_PAGE_BYTES;
        const struct iovec *iov = request->io.iov;
        while (bytes >= iov->iov_len) {
            bytes -= iov->iov_len;
            iov++;
        }
        return (uint8_t *)iov->iov_base + bytes;
    }
}

static void copy_out(struct cof_io_request *request)
{
    const uint8_t *from = request->bounce + request->head_skip;
    for (unsigned i = 0; i < request->io.iov_count; i++) {
        memcpy(request->io.iov[i].iov_base, from, request->io.iov[i].iov_len);
        from += request->io.iov[i].iov_len;
    }
}

/* ---- the life of a request ---- */

void cof_request_fail(struct cof_io_request *request, int error, const struct coffer_fault *fault)
{
    if (request->result != 0) {
        return; /* the first error is the request's */
    }
    request->result = error;
    if (fault != NULL) {
        request->fault = *fault;
    } else {
        cof_fault(&request->fault, error, COFFER_STAGE_NONE, "%s", coffer_error_sentence(error));
    }
    if (request->io.volume != NULL) {
        memcpy(request->fault.volume, request->io.volume->record.name,
               sizeof request->fault.volume - 1u);
    }
}

static void append(struct cof_io_request **first, struct cof_io_request **last,
                   struct cof_io_request *request)
{
    request->next = NULL;
    *(*last != NULL ? &(*last)->next : first) = request;
    *last = request;
}

static void finish(struct cof_io_request *request)
{
    struct coffer_queue *queue = request->queue;
    if (request->io.op == COFFER_IO_READ && request->bounce != NULL) {
        copy_out(request);
    }
    if (request->bounce != NULL) {
        cof_wipe(request->bounce, COF_PAGE_BYTES); /* plaintext of the shared ends */
        cof_free_aligned(&queue->store->env, request->bounce);
        request->bounce = NULL;
    }
    request->phase = COF_PHASE_DONE;
    append(&queue->done, &queue->done_last, request);
    queue->done_count++;
}

static bool committed(struct coffer_store *store, struct cof_io_request *request)
{
    const struct cof_lane *lane = &store->lane;
    uint64_t reached = request->want_durable ? lane->durable_upto : lane->completed_upto;
    if (reached >= request->commit_batch) {
        return true;
    }
    if (lane->error != 0) {
        cof_request_fail(request, lane->error, NULL);
        return true;
    }
    return false;
}

/* All there is to wait for comes through the lane's channel, and no other thread has requests under
 * way that would wait for this one to let go of it. Under the store's lock. */
static bool waits_for_lane(const struct coffer_queue *queue)
{
    struct coffer_store *store = queue->store;
    for (const struct coffer_queue *other = store->queues; other != NULL; other = other->next) {
        if (other != queue && (other->inside || other->in_flight > 0)) {
            return false;
        }
    }
    return store->lanes_ready && cof_lane_busy(&store->lane) && queue->reads_in_flight == 0 &&
           !store->background.running && cof_cleaning_fd(store) < 0;
}

/* Move a request on as far as it goes; true when it is over. Under the store's lock. */
static bool advance(struct coffer_store *store, struct cof_io_request *request)
{
    switch (request->phase) {
    case COF_PHASE_LOCK:
    case COF_PHASE_MERGE:
    case COF_PHASE_WRITE:
        cof_write_advance(request);
        return request->phase == COF_PHASE_DONE ||
               (request->phase == COF_PHASE_COMMIT && committed(store, request));
    case COF_PHASE_COMMIT:
        return committed(store, request);
    case COF_PHASE_READ:
        return request->reads_in_flight == 0;
    default:
        return true;
    }
}

/* Move every active request on as far as it goes; finished ones change lists. True when the lane
 * moved after the requests were looked at. A sync that only this queue waits for is not handed to
 * the device when the caller will wait for it. */
static bool pump(struct coffer_queue *queue, bool will_wait)
{
    struct coffer_store *store = queue->store;
    struct cof_io_request *request = queue->active, *next;
    struct cof_io_request *finished = NULL, *finished_last = NULL;
    bool leases, lane = false;
    queue->active = NULL;
    queue->active_last = NULL;
    pthread_mutex_lock(&store->lock);
    if (store->lanes_ready) {
        (void)cof_lane_collect(&store->lane);
    }
    if (cof_store_slice(store) < 0) {
        cof_log(&store->env, COFFER_LOG_ERROR, "work that was due failed");
    }
    queue->stale = false; /* what moved until now is seen below */
    for (; request != NULL; request = next) {
        next = request->next;
        if (advance(store, request)) {
            request->io.volume->requests--;
            append(&finished, &finished_last, request);
        } else {
            append(&queue->active, &queue->active_last, request);
        }
    }
    if (store->lanes_ready) {
        cof_lane_kick(&store->lane);
        lane = cof_lane_pending(&store->lane) &&
               !(will_wait && cof_lane_sync_waits(&store->lane) && waits_for_lane(queue));
    }
    leases = cof_lease_due(store, false);
    pthread_mutex_unlock(&store->lock);
    for (request = finished; request != NULL; request = next) {
        next = request->next;
        finish(request);
    }
    if (leases) {
        cof_lease_run(store, false);
    }
    return lane && cof_lane_carry(&store->lane);
}

static int poll_reads(struct coffer_queue *queue, bool wait)
{
    struct coffer_segdev_request *list = NULL;
    int count;
    if (queue->reads_in_flight == 0) {
        return 0;
    }
    count = queue->store->dev->ops->poll(queue->channel, wait ? 1u : 0u, &list);
    queue->poll_failures = count < 0 ? queue->poll_failures + 1u : 0u;
    if (count > 0) {
        cof_read_arrived(queue, list);
    }
    return count;
}

/* ---- waking ---- */

/* Make the queue's descriptor readable. Under the store's lock. */
static void wake(struct coffer_queue *queue)
{
    uint64_t one = 1;
    if (queue->woken || queue->wake_fd < 0) {
        return;
    }
    queue->woken = true;
    if (write(queue->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN) {
        cof_log(&queue->store->env, COFFER_LOG_WARN, "a queue can't be woken");
    }
}

void cof_queues_wake(struct coffer_store *store)
{
    for (struct coffer_queue *queue = store->queues; queue != NULL; queue = queue->next) {
        if (queue->inside) {
            queue->stale = true;
        } else if (queue->in_flight > 0) {
            wake(queue);
        }
    }
}

static void enter(struct coffer_queue *queue)
{
    uint64_t count;
    bool woken;
    pthread_mutex_lock(&queue->store->lock);
    queue->inside = true;
    woken = queue->woken;
    queue->woken = false;
    pthread_mutex_unlock(&queue->store->lock);
    if (woken && read(queue->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN) {
        cof_log(&queue->store->env, COFFER_LOG_WARN, "the queue's eventfd can't be read");
    }
}

static bool holds_something(const struct coffer_queue *queue)
{
    return queue->done != NULL || queue->arrived != NULL;
}

/*
 * What was collected from the devices' channels no longer makes the descriptor readable: whoever
 * polls it must find it readable as long as there is something to hand over or to move on.
 */
static void leave(struct coffer_queue *queue)
{
    pthread_mutex_lock(&queue->store->lock);
    queue->inside = false;
    if ((queue->watched && holds_something(queue)) || (queue->stale && queue->in_flight > 0)) {
        wake(queue);
    }
    pthread_mutex_unlock(&queue->store->lock);
}

/*
 * Collect and move on until neither the lane nor a read gives anything new. One run a round is
 * opened, and of reads none when enough requests can be handed over: the caller who gets one soon
 * puts the device to work again while the others are opened. A device that answers many reads at
 * once would otherwise stand still until all of them are open (docs/decisions/0024).
 */
static void work(struct coffer_queue *queue, unsigned wanted, bool will_wait)
{
    bool moved;
    (void)poll_reads(queue, false);
    do {
        if (queue->arrived != NULL &&
            (queue->done_count < wanted || queue->arrived->owner->io.op != COFFER_IO_READ)) {
            cof_read_open_next(queue);
        }
        moved = pump(queue, will_wait);
    } while (poll_reads(queue, false) > 0 || moved);
}

/* ---- submit ---- */

static int check_io(const struct coffer_store *store, const struct coffer_io *io)
{
    uint64_t length = 0, size;
    if (io->volume == NULL || io->volume->store != store) {
        return COFFER_E_INVALID;
    }
    if (io->op == COFFER_IO_FLUSH) {
        return 0;
    }
    if (io->op > COFFER_IO_WRITE_ZEROES) {
        return COFFER_E_INVALID;
    }
    if (io->offset_bytes % COFFER_SECTOR_BYTES != 0 ||
        io->length_bytes % COFFER_SECTOR_BYTES != 0) {
        return COFFER_E_ALIGN;
    }
    size = io->volume->size_pages * COF_PAGE_BYTES;
    if (io->length_bytes == 0) {
        return COFFER_E_INVALID;
    }
    if (io->offset_bytes > size || io->length_bytes > size - io->offset_bytes) {
        return COFFER_E_RANGE;
    }
    if (io->op != COFFER_IO_READ && io->volume->read_only) {
        return COFFER_E_READ_ONLY;
    }
    if (io->op == COFFER_IO_READ || io->op == COFFER_IO_WRITE) {
        for (unsigned i = 0; i < io->iov_count; i++) {
            if (io->iov[i].iov_len % COFFER_SECTOR_BYTES != 0) {
                return COFFER_E_ALIGN;
            }
            length += io->iov[i].iov_len;
        }
        if (length != io->length_bytes) {
            return COFFER_E_INVALID;
        }
    }
    return 0;
}

static int set_up(struct cof_io_request *request, const struct coffer_io *io)
{
    struct coffer_queue *queue = request->queue;
    uint64_t end = io->offset_bytes + io->length_bytes;
    uint64_t pages;
    memset(request, 0, sizeof *request);
    request->queue = queue;
    request->io = *io;
    request->want_durable = (io->flags & COFFER_IO_FUA) != 0 || io->op == COFFER_IO_FLUSH;
    if (io->op == COFFER_IO_FLUSH) {
        request->phase = COF_PHASE_COMMIT;
        return 0;
    }
    request->zeroes = io->op == COFFER_IO_DISCARD || io->op == COFFER_IO_WRITE_ZEROES;
    request->first_page = io->offset_bytes / COF_PAGE_BYTES;
    request->page_count = (end + COF_PAGE_BYTES - 1u) / COF_PAGE_BYTES - request->first_page;
    request->head_skip = io->offset_bytes % COF_PAGE_BYTES;
    request->tail_end = end % COF_PAGE_BYTES == 0 ? COF_PAGE_BYTES : end % COF_PAGE_BYTES;
    request->tail_partial = request->tail_end != COF_PAGE_BYTES;
    request->head_partial =
        request->head_skip != 0 || (request->page_count == 1 && request->tail_partial);
    if (request->zeroes ? request->head_partial || request->tail_partial : !fits_pages(request)) {
        pages = request->zeroes ? 2u : request->page_count;
        request->bounce = cof_alloc_aligned(&queue->store->env, pages * COF_PAGE_BYTES);
        if (request->bounce == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    if (io->op == COFFER_IO_READ) {
        request->phase = COF_PHASE_READ;
    } else if (request->head_partial || request->tail_partial) {
        request->phase = COF_PHASE_LOCK;
    } else {
        if (request->bounce != NULL) {
            uint8_t *to = request->bounce;
            for (unsigned i = 0; i < io->iov_count; i++) {
                memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
                to += io->iov[i].iov_len;
            }
        }
        request->phase = COF_PHASE_WRITE;
    }
    return 0;
}

/* Nothing was read: no memory of the request's reaches the caller's. */
static void refuse(struct cof_io_request *request)
{
    const struct coffer_fault why = request->fault;
    cof_free_aligned(&request->queue->store->env, request->bounce);
    request->bounce = NULL;
    cof_request_fail(request, why.error, &why);
    request->phase = COF_PHASE_DONE;
}

static void begin(struct cof_io_request *request)
{
    struct coffer_queue *queue = request->queue;
    struct coffer_store *store = queue->store;
    pthread_mutex_lock(&store->lock);
    request->io.volume->requests++;
    if (cof_lease_check(request->io.volume, &request->fault) != 0) {
        refuse(request);
    } else if (request->phase == COF_PHASE_COMMIT) {
        request->commit_batch = store->lanes_ready ? cof_lane_last(&store->lane) : 0;
        if (store->error != 0 || (store->lanes_ready && store->lane.error != 0)) {
            cof_request_fail(request, COFFER_E_FAILED, NULL);
            request->phase = COF_PHASE_DONE;
        } else if (store->lanes_ready) {
            cof_lane_want_durable(&store->lane, request->commit_batch);
        }
    } else if (request->phase != COF_PHASE_READ) {
        cof_write_advance(request);
    }
    pthread_mutex_unlock(&store->lock);
    if (request->phase == COF_PHASE_READ) {
        cof_read_start(request, request->first_page, request->page_count);
    }
    append(&queue->active, &queue->active_last, request);
}

int coffer_submit(struct coffer_queue *queue, const struct coffer_io *io, unsigned count)
{
    unsigned taken = 0;
    int err = 0;
    enter(queue);
    while (taken < count && queue->free_list != NULL) {
        struct cof_io_request *request = queue->free_list;
        struct cof_io_request *next = request->next;
        err = check_io(queue->store, &io[taken]);
        if (err == 0) {
            err = set_up(request, &io[taken]);
            request->next = next;
        }
        if (err != 0) {
            break;
        }
        queue->free_list = next;
        queue->in_flight++;
        begin(request);
        taken++;
    }
    work(queue, 0, !queue->watched);
    leave(queue);
    if (taken > 0) {
        return (int)taken;
    }
    return err != 0 ? err : (count == 0 ? 0 : COFFER_E_AGAIN);
}

/* ---- reap ---- */

static unsigned hand_over(struct coffer_queue *queue, struct coffer_cqe *cqe, unsigned max)
{
    unsigned count = 0;
    while (count < max && queue->done != NULL) {
        struct cof_io_request *request = queue->done;
        queue->done = request->next;
        if (queue->done == NULL) {
            queue->done_last = NULL;
        }
        queue->done_count--;
        queue->in_flight--;
        cqe[count].user = request->io.user;
        cqe[count].result = request->result;
        if (request->result != 0) {
            cqe[count].fault = request->fault;
        }
        count++;
        request->next = queue->free_list;
        queue->free_list = request;
    }
    return count;
}

/* What is waited for comes through the channel of the queue's own reads, and nowhere else. */
static bool only_reads(const struct coffer_queue *queue, int cleaning_fd)
{
    const struct cof_io_request *request = queue->active;
    while (request != NULL && request->phase == COF_PHASE_READ) {
        request = request->next;
    }
    return request == NULL && cleaning_fd < 0;
}

/* Nothing moves unless something outside does: sleep, or poll devices that have no descriptor.
 * What the cleaner has in flight is waited for, too, so that it goes on while a caller waits. */
static void wait_for_more(struct coffer_queue *queue, int cleaning_fd)
{
    struct coffer_store *store = queue->store;
    struct pollfd fds[2] = {{.fd = queue->epoll_fd, .events = POLLIN},
                            {.fd = cleaning_fd, .events = POLLIN}};
    if (queue->reads_in_flight > 0 && (queue->epoll_fd < 0 || only_reads(queue, cleaning_fd))) {
        (void)poll_reads(queue, true);
        return;
    }
    if (queue->epoll_fd < 0) {
        pthread_mutex_lock(&store->lock);
        if (store->lanes_ready) {
            (void)cof_lane_poll(&store->lane, true);
        }
        pthread_mutex_unlock(&store->lock);
        sched_yield();
        return;
    }
    (void)poll(fds, 2, SLEEP_MS);
}

int coffer_reap(struct coffer_queue *queue, struct coffer_cqe *cqe, unsigned max, unsigned wait)
{
    struct coffer_store *store = queue->store;
    unsigned want = wait < queue->in_flight ? wait : queue->in_flight;
    unsigned count = 0;
    if (want > max) {
        want = max;
    }
    for (;;) {
        bool more, lane;
        int cleaning_fd;
        enter(queue);
        work(queue, max - count, count < want && !queue->watched);
        count += hand_over(queue, cqe + count, max - count);
        leave(queue);
        if (count >= want) {
            break;
        }
        if (queue->poll_failures > POLL_FAILURES_MAX) {
            return COFFER_E_IO; /* the device keeps the reads: the queue is good for nothing more */
        }
        pthread_mutex_lock(&store->lock);
        more = store->checkpoint.state != COF_CHECKPOINT_IDLE &&
               !(store->lanes_ready && cof_lane_busy(&store->lane));
        cleaning_fd = store->background.running ? -1 : cof_cleaning_fd(store);
        lane = waits_for_lane(queue);
        pthread_mutex_unlock(&store->lock);
        if (more || holds_something(queue)) {
            continue;
        }
        if (lane) {
            cof_lane_carry_wait(&store->lane);
        } else if (!store->lanes_ready || !cof_lane_carry(&store->lane)) {
            wait_for_more(queue, cleaning_fd);
        }
    }
    return (int)count;
}

/* ---- life of a queue ---- */

static int watch(struct coffer_queue *queue, int fd)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    return fd < 0 ? -1 : epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int make_descriptors(struct coffer_queue *queue)
{
    struct coffer_store *store = queue->store;
    const struct coffer_segdev_ops *ops = store->dev->ops;
    int reads = ops->channel_fd(queue->channel);
    if (reads < 0) {
        return 0; /* the device has none: reap polls */
    }
    queue->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    queue->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (queue->wake_fd < 0 || queue->epoll_fd < 0 || watch(queue, queue->wake_fd) != 0 ||
        watch(queue, reads) != 0 ||
        (store->lanes_ready && watch(queue, cof_lane_fd(&store->lane)) != 0)) {
        return COFFER_E_LIMIT;
    }
    return 0;
}

void cof_queue_free(struct coffer_queue *queue)
{
    struct cof_env *env = &queue->store->env;
    while (queue->free_list != NULL) {
        struct cof_io_request *request = queue->free_list;
        queue->free_list = request->next;
        cof_free(env, request);
    }
    while (queue->run_pool != NULL) {
        struct cof_read_run *run = queue->run_pool;
        queue->run_pool = run->next;
        cof_free_aligned(env, run->header_block_bytes);
        cof_free(env, run);
    }
    if (queue->channel != NULL) {
        queue->store->dev->ops->channel_close(queue->channel);
    }
    if (queue->epoll_fd >= 0) {
        close(queue->epoll_fd);
    }
    if (queue->wake_fd >= 0) {
        close(queue->wake_fd);
    }
    cof_aead_free(queue->aead);
    cof_free(env, queue);
}

static int fill_queue(struct coffer_queue *queue)
{
    struct coffer_store *store = queue->store;
    unsigned depth =
        queue->depth * 2u < READ_CHANNEL_DEPTH ? READ_CHANNEL_DEPTH : queue->depth * 2u;
    int err = cof_aead_new(&store->env, store->arena, &queue->aead);
    if (err == 0) {
        err = store->dev->ops->channel_open(store->dev, depth, &queue->channel);
    }
    for (unsigned i = 0; err == 0 && i < queue->depth; i++) {
        struct cof_io_request *request = cof_calloc(&store->env, 1, sizeof *request);
        if (request == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        request->queue = queue;
        request->next = queue->free_list;
        queue->free_list = request;
    }
    return err == 0 ? make_descriptors(queue) : err;
}

int coffer_queue_create(struct coffer_store *store, const struct coffer_queue_opts *opts,
                        struct coffer_queue **ret_queue)
{
    unsigned depth = opts != NULL && opts->depth != 0 ? opts->depth : COF_QUEUE_DEPTH_DEFAULT;
    struct coffer_queue *queue;
    int err;
    if (depth > COF_QUEUE_DEPTH_MAX) {
        return COFFER_E_INVALID;
    }
    queue = cof_calloc(&store->env, 1, sizeof *queue);
    if (queue == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    queue->store = store;
    queue->depth = depth;
    queue->epoll_fd = -1;
    queue->wake_fd = -1;
    err = fill_queue(queue);
    if (err != 0) {
        cof_queue_free(queue);
        return err;
    }
    pthread_mutex_lock(&store->lock);
    queue->next = store->queues;
    store->queues = queue;
    pthread_mutex_unlock(&store->lock);
    *ret_queue = queue;
    return 0;
}

void coffer_queue_destroy(struct coffer_queue *queue)
{
    struct coffer_store *store;
    struct coffer_queue **at;
    struct coffer_cqe cqe[16];
    if (queue == NULL) {
        return;
    }
    store = queue->store;
    while (queue->in_flight > 0) {
        if (coffer_reap(queue, cqe, 16, 1) < 0) {
            break;
        }
    }
    pthread_mutex_lock(&store->lock);
    for (at = &store->queues; *at != queue; at = &(*at)->next) {
    }
    *at = queue->next;
    store->closed_queue_reads += queue->device_reads;
    store->closed_queue_read_bytes += queue->device_read_bytes;
    pthread_mutex_unlock(&store->lock);
    cof_queue_free(queue);
}

int coffer_queue_fd(struct coffer_queue *queue)
{
    pthread_mutex_lock(&queue->store->lock);
    queue->watched = true;
    if (queue->in_flight > 0) {
        wake(queue); /* what is under way may have been left to a reap that waits */
    }
    pthread_mutex_unlock(&queue->store->lock);
    return queue->epoll_fd;
}

void cof_queues_done(struct coffer_store *store)
{
    store->sync_queues = NULL;
    while (store->queues != NULL) {
        struct coffer_queue *queue = store->queues;
        store->queues = queue->next;
        queue->next = NULL;
        while (queue->in_flight > 0) {
            struct coffer_cqe cqe[16];
            if (coffer_reap(queue, cqe, 16, 1) < 0) {
                break;
            }
        }
        cof_queue_free(queue);
    }
}
