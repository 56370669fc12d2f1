/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue_life.c - making and destroying queues, what their callers may sleep on, and waking
 * them: an epoll descriptor over the channel of the queue's own reads, the lane's channel, and an
 * eventfd that other threads write when they moved the lane on.
 */
#include "volume/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define READ_CHANNEL_DEPTH 256u

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
    queue->memory_align = store->geometry.memory_align;
    queue->works_in_poll = store->geometry.works_in_poll != 0;
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

/* ---- waking ---- */

void cof_queue_wake(struct coffer_queue *queue)
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
        queue->stale = true;
        if (queue->asleep || (queue->watched && !queue->inside && queue->in_flight > 0)) {
            cof_queue_wake(queue);
        }
    }
}

void cof_queues_rouse(struct coffer_store *store)
{
    if (!store->lane.works_in_poll || !cof_lane_busy(&store->lane)) {
        return;
    }
    for (struct coffer_queue *queue = store->queues; queue != NULL; queue = queue->next) {
        bool may_sleep = queue->watched && !queue->inside && queue->in_flight > 0;
        queue->stale = queue->stale || queue->asleep || queue->watched; /* leave() looks at it */
        if (queue->asleep || may_sleep) {
            cof_queue_wake(queue);
        }
    }
}

int coffer_queue_fd(struct coffer_queue *queue)
{
    pthread_mutex_lock(&queue->store->lock);
    queue->watched = true;
    queue->inside = false;
    if (queue->in_flight > 0) {
        cof_queue_wake(queue); /* what is under way may have been left to a reap that waits */
    }
    pthread_mutex_unlock(&queue->store->lock);
    return queue->epoll_fd;
}

void cof_queues_done(struct coffer_store *store)
{
    store->sync_queues = NULL;
    for (unsigned i = 0; i < COF_SYNC_SLOTS; i++) {
        store->sync_slots[i] = NULL;
    }
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
