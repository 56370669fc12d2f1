/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/latency.c - buckets: below 64 one a nanosecond, then 32 to each power of two.
 */
#include "latency.h"

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 2 * CLI_LATENCY_STEPS) {
        return (unsigned)ns;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    unsigned shift = top - 5; /* leaves 32 to 63 */
    unsigned bucket = shift * CLI_LATENCY_STEPS + (unsigned)(ns >> shift);
    return bucket < CLI_LATENCY_BUCKETS ? bucket : CLI_LATENCY_BUCKETS - 1;
}

/* The largest latency that falls into bucket. */
static uint64_t upper_of(unsigned bucket)
{
    if (bucket < 2 * CLI_LATENCY_STEPS) {
        return bucket;
    }
    unsigned shift = bucket / CLI_LATENCY_STEPS - 1;
    uint64_t step = bucket % CLI_LATENCY_STEPS + CLI_LATENCY_STEPS;
    return ((step + 1) << shift) - 1;
}

void cli_latency_add(struct cli_latency *latency, uint64_t ns)
{
    latency->counts[bucket_of(ns)]++;
    latency->count++;
    latency->sum_ns += ns;
    if (ns > latency->max_ns) {
        latency->max_ns = ns;
    }
}

uint64_t cli_latency_at(const struct cli_latency *latency, double share)
{
    double wanted = share * (double)latency->count;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < CLI_LATENCY_BUCKETS && latency->count > 0; bucket++) {
        seen += latency->counts[bucket];
        if ((double)seen >= wanted && seen > 0) {
            uint64_t upper = upper_of(bucket);
            return upper < latency->max_ns ? upper : latency->max_ns;
        }
    }
    return latency->max_ns;
}
