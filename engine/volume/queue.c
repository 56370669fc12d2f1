/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue.c - queues: taking requests, moving them on, handing completions back.
 *
 * Run to completion: all work happens inside submit and reap, on the thread that calls them. A
 * thread that waits sleeps on the queue's epoll descriptor: the channel of its own reads, the
 * lane's channel, and an eventfd that other threads write when they moved the lane on.
 */
#include "volume/queue.h"

#include "base/testhook.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define SLEEP_MS 50
#define COURTESY_YIELDS 100u /* some 50 us */
#define POLL_FAILURES_MAX 1000u
#define SUBMIT_TOGETHER 32u
#define RECORDS_AHEAD 4u /* requests whose record of the delta is fetched before it is needed */

/* ---- the lock ---- */

/* A mutex is not fair, and who cleans takes it again as soon as it let go: those who wait go first.
 * They may have to be woken, so it gives them some time, but no more. */
static void lock_store(struct coffer_store *store, bool cleans)
{
    for (unsigned i = 0; cleans && i < COURTESY_YIELDS && atomic_load(&store->waiting) > 0; i++) {
        sched_yield();
    }
    if (pthread_mutex_trylock(&store->lock) != 0) {
        atomic_fetch_add(&store->waiting, 1u);
        pthread_mutex_lock(&store->lock);
        atomic_fetch_sub(&store->waiting, 1u);
    }
}

/* ---- memory of a request ---- */

static bool fits_pages(const struct cof_io_request *request)
{
    const struct coffer_io *io = &request->io;
    uintptr_t align = request->queue->memory_align;
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

/* By its thread alone, so that no locked instruction is needed: one would wait for all that the
 * processor was asked to fetch ahead. */
static void count_in_flight(struct coffer_queue *queue, int change)
{
    unsigned before = atomic_load_explicit(&queue->in_flight, memory_order_relaxed);
    atomic_store_explicit(&queue->in_flight, before + (unsigned)change, memory_order_release);
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
    if (request->write_back && store->error != 0) {
        cof_request_fail(request, COFFER_E_FAILED, NULL);
    }
    return request->write_back; /* sealed: advance sees to that */
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
           !store->background.running && cof_cleaning_fd(store, queue->pays) < 0;
}

/* Move a request on as far as it goes; true when it is over. Under the store's lock. */
static bool advance(struct coffer_store *store, struct cof_io_request *request)
{
    switch (request->phase) {
    case COF_PHASE_LOCK:
    case COF_PHASE_MERGE:
    case COF_PHASE_WRITE:
        cof_write_advance(request);
        if (request->write_back && request->phase == COF_PHASE_COMMIT) {
            cof_write_seal(request->queue); /* or it may be too late to say that it failed */
        }
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

/* Nothing of it is in the way of others, nor waits for the lane to begin. */
static bool is_placed(const struct cof_io_request *request)
{
    return request->io.op == COFFER_IO_READ || request->phase == COF_PHASE_COMMIT ||
           request->phase == COF_PHASE_DONE;
}

/*
 * Where transfers are made by who polls, nothing is gained by beginning them early: as long as the
 * caller has completions to take, more requests come that can share a batch. One who watches the
 * descriptor may not come back until it is readable; and a write that others may have to wait for,
 * as it has pages locked, is not left lying.
 */
static bool may_wait_for_more(const struct coffer_queue *queue, unsigned ready, unsigned needed)
{
    return queue->works_in_poll && !queue->watched && ready >= needed;
}

/* Move every active request on as far as it goes; finished ones change lists. True when the lane
 * moved after the requests were looked at. A sync that only this queue waits for is not handed to
 * the device when the caller will wait for it; nor is anything, as may_wait_for_more says. But a
 * caller with nothing under way waits for nothing, and leaves no sync that fell due behind. One who
 * helps carries a batch that others would have to wait for once all buffers are full: one, and what
 * others insist on meanwhile. */
static bool pump(struct coffer_queue *queue, unsigned needed, bool will_wait, bool helps)
{
    struct coffer_store *store = queue->store;
    struct cof_io_request *request = queue->active, *next;
    struct cof_io_request *finished = NULL, *finished_last = NULL;
    unsigned ready = queue->done_count;
    bool leases, waits, placed = true, lane = false, some = false;
    queue->active = NULL;
    queue->active_last = NULL;
    lock_store(store, queue->pays);
    cof_read_release(queue);
    if (store->lanes_ready) {
        (void)cof_lane_collect(&store->lane);
    }
    if (cof_store_slice(store, queue->pays) < 0) {
        cof_log(&store->env, COFFER_LOG_ERROR, "work that was due failed");
    }
    queue->stale = false; /* what moved until now is seen below */
    queue->pays = false;
    for (; request != NULL; request = next) {
        next = request->next;
        if (advance(store, request)) {
            request->io.volume->requests--;
            append(&finished, &finished_last, request);
            ready++;
        } else {
            append(&queue->active, &queue->active_last, request);
            placed = placed && is_placed(request);
            queue->pays = queue->pays || request->io.op != COFFER_IO_READ;
        }
    }
    cof_write_seal(queue);
    cof_read_release(queue); /* of pages that were merged */
    waits = queue->active != NULL;
    if (store->lanes_ready && placed && may_wait_for_more(queue, ready, needed) &&
        (waits || store->lane.sync_first == 0)) {
        cof_queues_rouse(store);
        some = helps && cof_lane_busy(&store->lane);
    } else if (store->lanes_ready) {
        cof_lane_kick(&store->lane);
        lane = cof_lane_pending(&store->lane) &&
               !(will_wait && waits && cof_lane_sync_waits(&store->lane) && waits_for_lane(queue));
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
    return (lane && cof_lane_carry(&store->lane)) || (some && cof_lane_carry_some(&store->lane));
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

/* ---- inside, and out ---- */

/* Under the store's lock. True: it was woken, and calm is to be called without the lock. */
static bool enter(struct coffer_queue *queue)
{
    bool woken = queue->woken;
    queue->inside = true;
    queue->asleep = false;
    queue->woken = false;
    return woken;
}

/* Nobody writes to a queue that is inside. */
static void calm(struct coffer_queue *queue)
{
    uint64_t count;
    if (read(queue->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN) {
        cof_log(&queue->store->env, COFFER_LOG_WARN, "the queue's eventfd can't be read");
    }
}

static void come_back(struct coffer_queue *queue)
{
    bool woken;
    if (!queue->asleep && !queue->watched) { /* nobody wakes it */
        queue->inside = true;
        return;
    }
    pthread_mutex_lock(&queue->store->lock);
    woken = enter(queue);
    pthread_mutex_unlock(&queue->store->lock);
    if (woken) {
        calm(queue);
    }
}

static bool holds_something(const struct coffer_queue *queue)
{
    return queue->done != NULL || queue->arrived != NULL;
}

/*
 * What was collected from the devices' channels no longer makes the descriptor readable: whoever
 * polls it must find it readable as long as there is something to hand over or to move on; a root
 * that settles has a channel of its own. Under the store's lock.
 */
static void leave(struct coffer_queue *queue)
{
    bool settles = queue->store->checkpoint.state == COF_CHECKPOINT_SETTLE;
    cof_read_release(queue);
    queue->inside = false;
    if (queue->watched &&
        (holds_something(queue) || ((queue->stale || settles) && queue->in_flight > 0))) {
        cof_queue_wake(queue);
    }
}

/* The lock is only for what others look at: a queue that nobody watches leaves without. */
static void step_out(struct coffer_queue *queue)
{
    if (!queue->watched && queue->opened == NULL) {
        queue->inside = false;
        return;
    }
    pthread_mutex_lock(&queue->store->lock);
    leave(queue);
    pthread_mutex_unlock(&queue->store->lock);
}

/*
 * Collect and move on until neither the lane nor a read gives anything new. One run a round is
 * opened (all, where the device does nothing meanwhile anyway), and of reads none when enough
 * requests can be handed over: the caller who gets one soon puts the device to work again while the
 * others are opened. A device that answers many reads at once would otherwise stand still until all
 * of them are open (docs/decisions/0024).
 */
static void work(struct coffer_queue *queue, unsigned wanted, unsigned needed, bool will_wait)
{
    bool idle = queue->works_in_poll, first = true, moved;
    (void)poll_reads(queue, false);
    do {
        while (queue->arrived != NULL &&
               (queue->done_count < wanted || queue->arrived->owner->io.op != COFFER_IO_READ)) {
            cof_read_open_next(queue);
            if (!idle) {
                break;
            }
        }
        moved = pump(queue, needed, will_wait, first);
        first = false;
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
    request->write_back = !request->want_durable && ((io->flags & COFFER_IO_WRITE_BACK) != 0 ||
                                                     COF_BROKEN(WRITE_BACK));
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

/* Reads are only begun: they are looked up when the lock is held, and submitted when it is not.
 * Under the store's lock. */
static void begin(struct cof_io_request *request, struct cof_read_search *search)
{
    struct coffer_store *store = request->queue->store;
    request->io.volume->requests++;
    count_in_flight(request->queue, 1);
    if (cof_lease_check(request->io.volume, &request->fault) != 0) {
        refuse(request);
    } else if (request->phase == COF_PHASE_COMMIT) {
        request->commit_batch = store->lanes_ready ? cof_lane_last(&store->lane) : 0;
        if (COF_BROKEN(FLUSH_REACHED)) {
            request->commit_batch = store->lane.completed_upto;
        }
        if (store->error != 0 || (store->lanes_ready && store->lane.error != 0)) {
            cof_request_fail(request, COFFER_E_FAILED, NULL);
            request->phase = COF_PHASE_DONE;
        } else if (store->lanes_ready) {
            cof_lane_want_durable(&store->lane, request->commit_batch);
        }
    } else if (request->phase != COF_PHASE_READ) {
        cof_write_advance(request);
    } else {
        cof_read_begin(search, request, request->first_page, request->page_count);
        cof_read_look_up(search);
    }
}

/* Requests that are set up, all at once: the lock is taken once for them, and once more when their
 * pages are sealed. True: all that was to be placed is. */
static bool begin_all(struct coffer_queue *queue, struct cof_io_request **requests, unsigned count)
{
    struct coffer_store *store = queue->store;
    struct cof_read_search searches[SUBMIT_TOGETHER];
    bool woken, placed = true;
    lock_store(store, queue->pays);
    woken = enter(queue);
    for (unsigned i = 0; i < count; i++) {
        cof_delta_expect(&requests[i]->io.volume->active, requests[i]->first_page);
    }
    for (unsigned i = 0; i < count + RECORDS_AHEAD; i++) {
        if (i < count) {
            cof_delta_expect_record(&requests[i]->io.volume->active, requests[i]->first_page);
        }
        if (i >= RECORDS_AHEAD) {
            searches[i - RECORDS_AHEAD].request = NULL;
            begin(requests[i - RECORDS_AHEAD], &searches[i - RECORDS_AHEAD]);
        }
    }
    cof_write_seal(queue);
    pthread_mutex_unlock(&store->lock);
    if (woken) {
        calm(queue);
    }
    for (unsigned i = 0; i < count; i++) {
        if (searches[i].request != NULL) {
            cof_read_submit(&searches[i]);
        }
        append(&queue->active, &queue->active_last, requests[i]);
        placed = placed && is_placed(requests[i]);
        queue->pays = queue->pays || requests[i]->io.op != COFFER_IO_READ;
    }
    return placed;
}

/* Take up to SUBMIT_TOGETHER; an error is that of the first that was not taken. */
static unsigned set_up_some(struct coffer_queue *queue, const struct coffer_io *io, unsigned count,
                            struct cof_io_request **ret_requests, int *ret_error)
{
    unsigned taken = 0;
    *ret_error = 0;
    while (taken < count && taken < SUBMIT_TOGETHER && queue->free_list != NULL) {
        struct cof_io_request *request = queue->free_list;
        struct cof_io_request *next = request->next;
        *ret_error = check_io(queue->store, &io[taken]);
        if (*ret_error == 0) {
            *ret_error = set_up(request, &io[taken]);
            request->next = next;
        }
        if (*ret_error != 0) {
            break;
        }
        queue->free_list = next;
        ret_requests[taken++] = request;
    }
    return taken;
}

int coffer_submit(struct coffer_queue *queue, const struct coffer_io *io, unsigned count)
{
    struct cof_io_request *requests[SUBMIT_TOGETHER];
    unsigned taken = 0, some;
    bool placed = true;
    int err;
    do {
        some = set_up_some(queue, io + taken, count - taken, requests, &err);
        if (some > 0) {
            placed = begin_all(queue, requests, some) && placed;
        }
        taken += some;
    } while (some > 0 && err == 0);
    if (taken == 0 && err != 0) {
        return err;
    }
    if (taken == 0) {
        come_back(queue);
    }
    if (!placed || !may_wait_for_more(queue, queue->done_count, 0)) {
        work(queue, 0, 0, !queue->watched);
    }
    step_out(queue);
    return taken == 0 && count > 0 ? COFFER_E_AGAIN : (int)taken;
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
        count_in_flight(queue, -1);
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

/* Nothing moves unless something outside does: sleep, or poll devices that have no descriptor. What
 * a root that settles or the cleaner has in flight is waited for, too, so that it goes on while a
 * caller waits. */
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

/* What a reap that has not enough does next. */
enum next { NEXT_LOOK, NEXT_CARRY, NEXT_SLEEP };

/* Under the store's lock, which is held from the look that found nothing on, so that whatever moves
 * later finds the queue asleep and wakes it. */
static enum next choose(struct coffer_queue *queue, int *ret_cleaning_fd)
{
    struct coffer_store *store = queue->store;
    bool busy = store->lanes_ready && cof_lane_busy(&store->lane);
    if (holds_something(queue) || (queue->stale && queue->in_flight > 0) ||
        (store->checkpoint.state != COF_CHECKPOINT_IDLE && !busy && cof_settle_fd(store) < 0)) {
        return NEXT_LOOK;
    }
    if (waits_for_lane(queue) || (busy && queue->works_in_poll)) {
        return NEXT_CARRY;
    }
    *ret_cleaning_fd = cof_cleaning_fd(store, queue->pays && !store->background.running);
    leave(queue);
    queue->asleep = true;
    return NEXT_SLEEP;
}

/* Bring on what the caller waits for, or sleep until somebody did. */
static void bring_on(struct coffer_queue *queue, enum next next, int cleaning_fd)
{
    struct cof_lane *lane = &queue->store->lane;
    if (next == NEXT_CARRY) {
        (void)cof_lane_carry_wait(lane); /* what failed is told by collecting */
    } else if (next == NEXT_SLEEP && (!queue->store->lanes_ready || !cof_lane_carry(lane))) {
        wait_for_more(queue, cleaning_fd);
    }
}

int coffer_reap(struct coffer_queue *queue, struct coffer_cqe *cqe, unsigned max, unsigned wait)
{
    struct coffer_store *store = queue->store;
    unsigned want = wait < queue->in_flight ? wait : queue->in_flight;
    unsigned count = 0;
    enum next next = NEXT_SLEEP;
    bool enough, broken;
    if (want > max) {
        want = max;
    }
    do {
        int cleaning_fd = -1;
        unsigned needed = want == 0 ? 1u : want - count;
        if (!may_wait_for_more(queue, queue->done_count, needed)) {
            if (next == NEXT_SLEEP) {
                come_back(queue);
            }
            work(queue, max - count, needed, count < want && !queue->watched);
        }
        count += hand_over(queue, cqe + count, max - count);
        enough = count >= want;
        broken = !enough && queue->poll_failures > POLL_FAILURES_MAX;
        if (!enough && !broken) {
            pthread_mutex_lock(&store->lock);
            next = choose(queue, &cleaning_fd);
            pthread_mutex_unlock(&store->lock);
            bring_on(queue, next, cleaning_fd);
        }
    } while (!enough && !broken);
    step_out(queue);
    /* A device that keeps its reads: the queue is good for nothing more. */
    return broken ? COFFER_E_IO : (int)count;
}
