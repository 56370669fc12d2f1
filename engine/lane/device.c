/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/device.c - requests to the lane's channel and back, without the store's lock.
 *
 * What is to be written is put into the outbox under the store's lock, in the order of places. Any
 * thread then carries it to the device with that lock let go, and what the device answers into the
 * inbox; whoever has the store's lock next takes it from there. So system calls, and the copies
 * they make on devices in memory, hold nobody up who places pages meanwhile. A device that works in
 * poll is given one request at a time, so that its answer can be used while the next is copied.
 *
 * Invariants: the channel is used under carrier_lock, and the outbox emptied into it inside that,
 * so that order is kept; after a failure it is given nothing more; boxes are used under box_lock,
 * which is held for no more than moving pointers. Order of locks: the store's, carrier_lock,
 * box_lock; a carrier never takes the store's.
 */
#include "lane/internal.h"

#include <string.h>

int cof_lane_device_open(struct cof_lane *lane)
{
    struct coffer_geometry geometry;
    int err = lane->dev->ops->channel_open(lane->dev, lane->batch_count + 4u, &lane->channel);
    if (err != 0) {
        lane->channel = NULL;
        return err;
    }
    memset(&geometry, 0, sizeof geometry);
    lane->dev->ops->geometry(lane->dev, &geometry);
    lane->works_in_poll = geometry.works_in_poll != 0;
    pthread_mutex_init(&lane->carrier_lock, NULL);
    pthread_mutex_init(&lane->box_lock, NULL);
    return 0;
}

void cof_lane_device_close(struct cof_lane *lane)
{
    lane->dev->ops->channel_close(lane->channel);
    lane->channel = NULL;
    pthread_mutex_destroy(&lane->carrier_lock);
    pthread_mutex_destroy(&lane->box_lock);
}

static void append(struct cof_lane_box *box, struct coffer_segdev_request *request)
{
    request->next = NULL;
    *(box->last != NULL ? &box->last->next : &box->first) = request;
    box->last = request;
}

static struct coffer_segdev_request *take_all(struct cof_lane_box *box)
{
    struct coffer_segdev_request *first = box->first;
    box->first = NULL;
    box->last = NULL;
    return first;
}

/* What is handed to the device next: all there is, unless it works in poll. */
static struct coffer_segdev_request *take_next(struct cof_lane *lane)
{
    struct cof_lane_box *box = &lane->outbox;
    struct coffer_segdev_request *first = box->first;
    if (first == NULL || !lane->works_in_poll) {
        lane->outbox_count = 0;
        lane->wanted_count = 0;
        return take_all(box);
    }
    box->first = first->next;
    box->last = box->first != NULL ? box->last : NULL;
    first->next = NULL;
    lane->outbox_count--;
    lane->wanted_count -= lane->wanted_count > 0 ? 1u : 0u;
    return first;
}

static bool has_answer(struct cof_lane *lane)
{
    bool has;
    pthread_mutex_lock(&lane->box_lock);
    has = lane->inbox.first != NULL;
    pthread_mutex_unlock(&lane->box_lock);
    return has;
}

void cof_lane_send(struct cof_lane *lane, struct coffer_segdev_request *request)
{
    pthread_mutex_lock(&lane->box_lock);
    append(&lane->outbox, request);
    lane->outbox_count++;
    pthread_mutex_unlock(&lane->box_lock);
}

struct coffer_segdev_request *cof_lane_receive(struct cof_lane *lane, int *ret_error)
{
    struct coffer_segdev_request *request;
    pthread_mutex_lock(&lane->box_lock);
    request = take_all(&lane->inbox);
    *ret_error = lane->carrier_error;
    lane->carrier_error = 0;
    pthread_mutex_unlock(&lane->box_lock);
    return request;
}

/* What came back, or what the channel said instead of taking or giving anything. */
static void deliver(struct cof_lane *lane, struct coffer_segdev_request *list, int channel_error)
{
    pthread_mutex_lock(&lane->box_lock);
    while (list != NULL) {
        struct coffer_segdev_request *next = list->next;
        append(&lane->inbox, list);
        list = next;
    }
    if (channel_error != 0 && !lane->carrier_failed) {
        lane->carrier_error = channel_error;
        lane->carrier_failed = true;
    }
    pthread_mutex_unlock(&lane->box_lock);
}

/* After a write or sync that failed nothing more goes to the device: behind a gap there is nothing
 * to append to. What only makes later appends cheap may fail. Under carrier_lock. */
static void note_failure(struct cof_lane *lane, const struct coffer_segdev_request *request)
{
    if (request->result != 0 && request->op != COFFER_SEGDEV_CONDITION && lane->refused == 0) {
        lane->refused = request->result;
    }
}

/* Under carrier_lock. */
static void hand_over(struct cof_lane *lane)
{
    struct coffer_segdev_request *request, *next;
    pthread_mutex_lock(&lane->box_lock);
    request = take_next(lane);
    pthread_mutex_unlock(&lane->box_lock);
    for (; request != NULL; request = next) {
        int err = lane->refused;
        next = request->next;
        if (err == 0) {
            err = lane->dev->ops->submit(lane->channel, request);
            lane->carried += err == 0 ? 1u : 0u;
        }
        if (err != 0) {
            request->result = err;
            request->next = NULL;
            note_failure(lane, request);
            deliver(lane, request, 0);
        }
    }
}

/* With wait for one answer, unless there is one already, or none to come: others may have fetched
 * and collected it since the caller looked. */
static int carry(struct cof_lane *lane, bool wait)
{
    struct coffer_segdev_request *list = NULL, *request;
    int count;
    hand_over(lane);
    wait = wait && lane->carried > 0 && !has_answer(lane);
    count = lane->dev->ops->poll(lane->channel, wait ? 1u : 0u, &list);
    for (request = list; count > 0 && request != NULL; request = request->next) {
        lane->carried--;
        note_failure(lane, request);
    }
    if (count < 0 && lane->refused == 0) {
        lane->refused = count; /* what it holds is lost track of: nothing goes behind that */
    }
    if (count != 0) {
        deliver(lane, count > 0 ? list : NULL, count < 0 ? count : 0);
    }
    return count;
}

/* Somebody insisted, perhaps while the channel was taken. */
static bool is_wanted(struct cof_lane *lane, bool *ret_found)
{
    bool wanted;
    pthread_mutex_lock(&lane->box_lock);
    wanted = lane->wanted_count > 0;
    *ret_found = lane->inbox.first != NULL || lane->carrier_error != 0;
    pthread_mutex_unlock(&lane->box_lock);
    return wanted;
}

bool cof_lane_carry_some(struct cof_lane *lane)
{
    bool carried, found;
    /* Whoever carries now may have looked into the outbox just before something was put there, so
     * it looks again after it has let go of the channel. */
    do {
        carried = pthread_mutex_trylock(&lane->carrier_lock) == 0;
        if (carried) {
            (void)carry(lane, false);
            pthread_mutex_unlock(&lane->carrier_lock);
        }
    } while (is_wanted(lane, &found) && carried);
    return found;
}

bool cof_lane_carry(struct cof_lane *lane)
{
    pthread_mutex_lock(&lane->box_lock);
    lane->wanted_count = lane->outbox_count;
    pthread_mutex_unlock(&lane->box_lock);
    return cof_lane_carry_some(lane);
}

int cof_lane_carry_wait(struct cof_lane *lane)
{
    bool found;
    int count;
    pthread_mutex_lock(&lane->carrier_lock);
    count = carry(lane, true);
    pthread_mutex_unlock(&lane->carrier_lock);
    if (is_wanted(lane, &found)) {
        (void)cof_lane_carry_some(lane); /* of those who found the channel taken */
    }
    return count;
}

bool cof_lane_sync_waits(struct cof_lane *lane)
{
    bool waits;
    pthread_mutex_lock(&lane->box_lock);
    waits = lane->sync_in_flight && lane->outbox.first == &lane->sync_request &&
            lane->outbox.last == &lane->sync_request;
    pthread_mutex_unlock(&lane->box_lock);
    return waits && lane->writes_in_flight == 0 && !lane->conditioning;
}

int cof_lane_fd(struct cof_lane *lane)
{
    int fd;
    pthread_mutex_lock(&lane->carrier_lock);
    fd = lane->dev->ops->channel_fd(lane->channel);
    pthread_mutex_unlock(&lane->carrier_lock);
    return fd;
}
