/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/loop.h - one thread's share of a load: its queue, its requests, what it counted.
 *
 * Each page that is written begins with its own number, and each page that is read is compared
 * with it, so that a wrong page can't pass for a fast one. An operation is counted once its last
 * completion was reaped. A loop belongs to one thread from init to done.
 */
#ifndef COF_BENCH_LOOP_H
#define COF_BENCH_LOOP_H

#include "common/latency.h"
#include "common/options.h"
#include "common/plan.h"
#include "common/target.h"
#include <stdatomic.h>

struct cof_bench_slot;

struct cof_bench_loop {
    const struct cof_bench_options *options;
    const struct cof_bench_target *target;
    struct coffer_queue *queue;
    struct cof_bench_plan plan; /* the caller sets it before run */
    struct cof_bench_slot *slots;
    uint8_t *buffers;
    struct cof_bench_slot **free_slots;
    struct coffer_io *batch;
    struct coffer_cqe *cqes;
    unsigned depth, reap_max, free_count, batch_count, in_flight;
    uint64_t next_sample_ns;
    const atomic_bool *stop; /* ends the load when it becomes true; NULL: none */

    uint64_t operations, bytes;
    uint64_t memory_bytes_max; /* the engine's, sampled */
    struct cof_bench_latency latency;
};

COFFER_MUST_CHECK int cof_bench_loop_init(struct cof_bench_loop *loop,
                                          const struct cof_bench_options *options,
                                          const struct cof_bench_target *target);

/* Work until the plan is over and nothing is in flight. */
COFFER_MUST_CHECK int cof_bench_loop_run(struct cof_bench_loop *loop, uint64_t start_ns);

/* Look at the engine's memory now. */
void cof_bench_loop_sample(struct cof_bench_loop *loop, uint64_t now_ns);

void cof_bench_loop_done(struct cof_bench_loop *loop);

#endif
