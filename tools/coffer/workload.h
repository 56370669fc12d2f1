/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/workload.h - one measured run of requests against an open volume, over the public queue.
 *
 * Offsets are drawn or counted up; buffers hold bytes that do not compress. Each completion is
 * followed by the next request until the time or the amount is used up, then what is in flight is
 * waited for. writeflush pairs a write with a flush, and the latency is that of the pair. One
 * thread.
 */
#ifndef COF_TOOLS_COFFER_WORKLOAD_H
#define COF_TOOLS_COFFER_WORKLOAD_H

#include "latency.h"
#include <coffer/coffer.h>
#include <stdbool.h>

#define CLI_WORKLOAD_DEPTH_MAX 1024u

struct cli_workload {
    struct coffer_store *store;
    struct coffer_volume *volume;
    uint64_t area_bytes;  /* offsets lie below this; a multiple of block_bytes */
    size_t block_bytes;   /* a multiple of 512                                 */
    unsigned depth;
    bool write, random, flush_each;
    uint64_t bytes_max;   /* 0: no limit */
    uint64_t runtime_ns;  /* 0: no limit */
};

struct cli_workload_result {
    uint64_t operations, bytes;
    uint64_t elapsed_ns, cpu_ns;
    struct cli_latency latency;
    struct coffer_fault fault; /* when run failed */
};

/* 0 or an error; CANCELLED when the user interrupted. Writes are flushed at the end, which counts
 * into the time. */
COFFER_MUST_CHECK int cli_workload_run(const struct cli_workload *workload,
                                       struct cli_workload_result *result);

#endif
