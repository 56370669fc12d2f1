/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/pool.c - workers.
 *
 * Invariants: `lock` guards the two lists, the count and `closing`; a job is in one list, with one
 * worker, or with the loop. Workers take no signal: those are the loop's.
 */
#include "server/pool.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void jobs_init(struct cof_server_jobs *jobs)
{
    jobs->first = NULL;
    jobs->last = &jobs->first;
}

static void jobs_add(struct cof_server_jobs *jobs, struct cof_server_job *job)
{
    job->next = NULL;
    *jobs->last = job;
    jobs->last = &job->next;
}

static struct cof_server_job *jobs_take_all(struct cof_server_jobs *jobs)
{
    struct cof_server_job *first = jobs->first;
    jobs_init(jobs);
    return first;
}

static struct cof_server_job *wait_for_job(struct cof_server_pool *pool)
{
    struct cof_server_job *job;
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->waiting.first == NULL && !pool->closing) {
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
    }
    job = pool->closing ? NULL : pool->waiting.first;
    if (job != NULL) {
        pool->waiting.first = job->next;
        if (pool->waiting.first == NULL) {
            jobs_init(&pool->waiting);
        }
        pool->waiting_count--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void hand_back(struct cof_server_pool *pool, struct cof_server_job *job)
{
    uint64_t one = 1;
    bool first;
    (void)pthread_mutex_lock(&pool->lock);
    first = pool->finished.first == NULL;
    jobs_add(&pool->finished, job);
    (void)pthread_mutex_unlock(&pool->lock);
    /* A counter of 64 bits takes one more, and whoever collects takes all that are there. */
    while (first && write(pool->event_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void *worker(void *ctx)
{
    struct cof_server_pool *pool = ctx;
    struct cof_server_job *job;
    while ((job = wait_for_job(pool)) != NULL) {
        job->work(job);
        hand_back(pool, job);
    }
    return NULL;
}

static int start_workers(struct cof_server_pool *pool, unsigned workers)
{
    sigset_t all, before;
    int status = 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (status == 0 && pool->thread_count < workers) {
        status = pthread_create(&pool->threads[pool->thread_count], NULL, worker, pool);
        pool->thread_count += status == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int cof_server_pool_init(struct cof_server_pool *pool, unsigned workers, unsigned waiting_max,
                         struct coffer_fault *fault)
{
    memset(pool, 0, sizeof *pool);
    jobs_init(&pool->waiting);
    jobs_init(&pool->finished);
    pool->waiting_max = waiting_max;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    pool->open = true;
    pool->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int status = pool->event_fd < 0 ? errno : start_workers(pool, workers);
    if (status != 0) {
        cof_server_pool_done(pool);
        return cof_kms_fault(fault, COFFER_E_ACCESS, "cannot start %u workers: %s", workers,
                             strerror(status));
    }
    return 0;
}

bool cof_server_pool_push(struct cof_server_pool *pool, struct cof_server_job *job)
{
    bool fits;
    (void)pthread_mutex_lock(&pool->lock);
    fits = pool->waiting_count < pool->waiting_max && !pool->closing;
    if (fits) {
        jobs_add(&pool->waiting, job);
        pool->waiting_count++;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (fits) {
        (void)pthread_cond_signal(&pool->wake); /* it finds the lock free */
        pool->outside++;
    }
    return fits;
}

void cof_server_pool_collect(struct cof_server_pool *pool)
{
    uint64_t count;
    (void)!read(pool->event_fd, &count, sizeof count);
    (void)pthread_mutex_lock(&pool->lock);
    struct cof_server_job *job = jobs_take_all(&pool->finished);
    (void)pthread_mutex_unlock(&pool->lock);
    while (job != NULL) {
        struct cof_server_job *next = job->next;
        pool->outside--;
        job->done(job);
        job = next;
    }
}

void cof_server_pool_drop(struct cof_server_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct cof_server_job *job = jobs_take_all(&pool->waiting);
    pool->waiting_count = 0;
    (void)pthread_mutex_unlock(&pool->lock);
    while (job != NULL) {
        struct cof_server_job *next = job->next;
        pool->outside--;
        job->drop(job);
        job = next;
    }
}

void cof_server_pool_done(struct cof_server_pool *pool)
{
    if (!pool->open) {
        return;
    }
    pool->open = false;
    (void)pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    if (pool->event_fd >= 0) {
        cof_server_pool_drop(pool);
        cof_server_pool_collect(pool);
        close(pool->event_fd);
    }
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
}
