/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/loop.h - one thread's share of a load: its queue, its requests, what it counted.
 *
 * Each page that is written begins with its own number, and each page that is read is compared
 * with it, so that a wrong page can't pass for a fast one. An operation is counted once its last
 * completion was reaped. A loop belongs to one thread from init to done.
 */
#ifndef COF_TOOLS_LOAD_LOOP_H
#define COF_TOOLS_LOAD_LOOP_H

#include "latency.h"
#include "plan.h"
#include "shape.h"
#include <coffer/coffer.h>

struct cof_load_slot;

struct cof_load_loop {
    const struct cof_load_shape *shape;
    struct coffer_store *store;
    struct coffer_volume *volume;
    struct coffer_queue *queue;
    struct cof_load_plan plan; /* the caller sets it before run */
    struct cof_load_slot *slots;
    uint8_t *buffers;
    struct cof_load_slot **free_slots;
    struct coffer_io *batch;
    struct coffer_cqe *cqes;
    unsigned depth, reap_max, free_count, batch_count, in_flight;
    uint64_t next_sample_ns;
    bool (*stopped)(void *ctx); /* ends the load when it says true; NULL: none; set before run */
    void *ctx;
    const char *what; /* failed, when init or run did; with it goes fault */
    struct coffer_fault fault;

    uint64_t operations, bytes;
    uint64_t memory_bytes_max; /* the engine's, sampled */
    struct cof_load_latency latency;
};

/* shape, store and volume are borrowed until done. */
COFFER_MUST_CHECK int cof_load_loop_init(struct cof_load_loop *loop,
                                         const struct cof_load_shape *shape,
                                         struct coffer_store *store, struct coffer_volume *volume);

/* Work until the plan is over and nothing is in flight. A page that does not hold what was written
 * there is INTERNAL, unless the shape says that it need not. */
COFFER_MUST_CHECK int cof_load_loop_run(struct cof_load_loop *loop, uint64_t start_ns);

/* Look at the engine's memory now. */
void cof_load_loop_sample(struct cof_load_loop *loop, uint64_t now_ns);

void cof_load_loop_done(struct cof_load_loop *loop);

#endif
