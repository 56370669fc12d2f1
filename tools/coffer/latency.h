/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/latency.h - a histogram of latencies with 3 % resolution, in fixed memory.
 */
#ifndef COF_TOOLS_COFFER_LATENCY_H
#define COF_TOOLS_COFFER_LATENCY_H

#include <stdint.h>

#define CLI_LATENCY_STEPS 32u /* between two powers of two */
#define CLI_LATENCY_BUCKETS (60u * CLI_LATENCY_STEPS)

struct cli_latency {
    uint64_t counts[CLI_LATENCY_BUCKETS];
    uint64_t count, sum_ns, max_ns;
};

void cli_latency_add(struct cli_latency *latency, uint64_t ns);
/* The latency that the given share of all (0 to 1) does not exceed; 0 when there is none. */
uint64_t cli_latency_at(const struct cli_latency *latency, double share);

#endif
