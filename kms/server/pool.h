/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/pool.h - a bounded queue of jobs, threads that work them off, and the way back.
 *
 * A job is embedded in what it is about. The loop pushes and collects; a worker calls job->work and
 * touches nothing that the job does not lend it. The eventfd is readable while there is something
 * to collect.
 */
#ifndef COF_KMS_SERVER_POOL_H
#define COF_KMS_SERVER_POOL_H

#include "env.h"

#include <pthread.h>
#include <stdbool.h>

#define COF_SERVER_WORKERS_MAX 64u

struct cof_server_job {
    struct cof_server_job *next;
    void (*work)(struct cof_server_job *job); /* a worker's thread          */
    void (*done)(struct cof_server_job *job); /* the loop, after work       */
    void (*drop)(struct cof_server_job *job); /* the loop, in place of both */
};

struct cof_server_jobs {
    struct cof_server_job *first, **last;
};

struct cof_server_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct cof_server_jobs waiting, finished;
    unsigned waiting_count, waiting_max;
    unsigned outside; /* jobs that were pushed and neither done nor dropped; the loop's */
    bool open;        /* between init and done */
    bool closing;
    int event_fd;
    pthread_t threads[COF_SERVER_WORKERS_MAX];
    unsigned thread_count;
};

COFFER_MUST_CHECK int cof_server_pool_init(struct cof_server_pool *pool, unsigned workers,
                                           unsigned waiting_max, struct coffer_fault *fault);
/* False when the queue is full; the job is untouched then. */
COFFER_MUST_CHECK bool cof_server_pool_push(struct cof_server_pool *pool,
                                            struct cof_server_job *job);
/* Call done for each finished job, drop for each that waits. */
void cof_server_pool_collect(struct cof_server_pool *pool);
void cof_server_pool_drop(struct cof_server_pool *pool);
/* Join the workers, after the jobs that they have; then drop and collect what is left. A pool of
 * zeros is allowed. */
void cof_server_pool_done(struct cof_server_pool *pool);

#endif
