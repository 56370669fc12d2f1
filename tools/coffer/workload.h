/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/workload.h - one measured load on an open volume, and who seals its pages.
 */
#ifndef COF_TOOLS_COFFER_WORKLOAD_H
#define COF_TOOLS_COFFER_WORKLOAD_H

#include "load/latency.h"
#include "load/shape.h"
#include <coffer/coffer.h>

#define CLI_WORKLOAD_DEPTH_MAX 1024u

struct cli_workload {
    struct coffer_store *store;
    struct coffer_volume *volume;
    uint64_t area_bytes; /* offsets lie below this; at least one block */
    struct cof_load_shape shape;
};

struct cli_workload_result {
    uint64_t operations, bytes;
    uint64_t elapsed_ns, cpu_ns;
    const char *cipher; /* "evp", "ipsec-mb", or "none" of an unencrypted volume */
    struct cof_load_latency latency;
    struct coffer_fault fault; /* when run failed */
};

/* 0 or an error; CANCELLED when the user interrupted. Writes are flushed at the end, which counts
 * into the time. One thread. */
COFFER_MUST_CHECK int cli_workload_run(const struct cli_workload *workload,
                                       struct cli_workload_result *result);

#endif
