/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/load.h - runs a load, in one thread or several, and measures it.
 *
 * Reads of a load expect that all of its span was written before; random reads replay the offsets
 * of random writes of the same seed, so that a sparse volume can be read where it was written. The
 * measured time ends with the flush that makes all writes durable. Nothing is judged here.
 */
#ifndef COF_BENCH_LOAD_H
#define COF_BENCH_LOAD_H

#include "common/options.h"
#include "common/target.h"
#include "tools/load/latency.h"

struct cof_bench_result {
    uint64_t operations;
    uint64_t bytes;
    uint64_t elapsed_ns;                 /* the final flush included                       */
    uint64_t flush_ns;                   /* of that flush alone                            */
    uint64_t checkpoint_ns;              /* of a checkpoint run after it, not in elapsed   */
    uint64_t cpu_user_ns, cpu_system_ns; /* the process's, over elapsed          */
    uint64_t checkpoint_cpu_ns;          /* user and system, over checkpoint_ns  */
    uint64_t memory_bytes_max;           /* the engine's, sampled                          */
    uint64_t resident_bytes_max;
    struct cof_load_latency latency;
    uint64_t reader_operations; /* of the readers beside the load, not counted above */
    struct cof_load_latency reader_latency;
};

/* Run options' load on target. ret_result is filled on success only. */
COFFER_MUST_CHECK int cof_bench_load_run(const struct cof_bench_options *options,
                                         const struct cof_bench_target *target,
                                         struct cof_bench_result *ret_result);

/* The same shape without a store: one write and one fdatasync at a time on options->file. */
COFFER_MUST_CHECK int cof_bench_load_raw(const struct cof_bench_options *options,
                                         struct cof_bench_result *ret_result);

/* Processor time of this process so far, and the most memory it ever had resident. */
void cof_bench_usage(uint64_t *ret_user_ns, uint64_t *ret_system_ns, uint64_t *ret_resident_bytes);

#endif
