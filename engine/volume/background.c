/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/background.c - a thread of the store's own, for those who ask for one: it runs what is
 * due, as coffer_store_maintain does, and all of the cleaner's work which no caller waits for.
 *
 * It takes the store's lock like any other, sleeps while nothing is due or the device is at work,
 * has all signals blocked, and is joined before the store is taken apart. A child of fork has no
 * such thread, and no use of the store either.
 */
#include "volume/store.h"

#include "base/thread.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

#define SLEEP_NS 20000000L
#define PAUSE_NS 20000L

static void sleep_a_little(struct cof_background *background, pthread_mutex_t *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLEEP_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&background->wake, lock, &until);
}

/* Nothing to do until the device has done something, or somebody wakes us. */
static void wait_for_work(struct coffer_store *store)
{
    struct pollfd wait = {.fd = cof_cleaning_fd(store, true), .events = POLLIN};
    if (wait.fd < 0) {
        sleep_a_little(&store->background, &store->lock);
        return;
    }
    pthread_mutex_unlock(&store->lock);
    (void)poll(&wait, 1, SLEEP_NS / 1000000);
    pthread_mutex_lock(&store->lock);
}

/* A mutex is not fair: who would take it again at once would keep it from those who wait. */
static void let_others_in(struct coffer_store *store)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    bool short_of = store->segments.free_count <= cof_segments_kept(store);
    pthread_mutex_unlock(&store->lock);
    if (short_of) {
        sched_yield();
    } else {
        (void)nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&store->lock);
}

static void *run(void *arg)
{
    struct coffer_store *store = arg;
    pthread_mutex_lock(&store->lock);
    while (!store->background.stopping) {
        if (cof_lease_due(store, true)) {
            pthread_mutex_unlock(&store->lock);
            cof_lease_run(store, true);
            pthread_mutex_lock(&store->lock);
        }
        if (cof_store_work(store) > 0) {
            let_others_in(store);
        } else {
            wait_for_work(store);
        }
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

int cof_background_start(struct coffer_store *store)
{
    struct cof_background *background = &store->background;
    pthread_condattr_t attributes;
    int err;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&background->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    background->running = true;
    err = cof_thread_start(&background->thread, run, store);
    if (err != 0) {
        background->running = false;
        pthread_cond_destroy(&background->wake);
    }
    return err;
}

void cof_background_wake(struct coffer_store *store)
{
    if (store->background.running) {
        pthread_cond_signal(&store->background.wake);
    }
}

void cof_background_stop(struct coffer_store *store)
{
    struct cof_background *background = &store->background;
    if (!background->running) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    background->stopping = true;
    pthread_cond_signal(&background->wake);
    pthread_mutex_unlock(&store->lock);
    pthread_join(background->thread, NULL);
    pthread_cond_destroy(&background->wake);
    background->running = false;
}
