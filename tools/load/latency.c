/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/latency.c - see latency.h. A duration's bucket is its highest bit and the six bits below
 * it; durations under 64 ns have a bucket each.
 */
#include "latency.h"
#include <string.h>
#include <time.h>

#define SUB_BITS 6u
#define SUB_COUNT (1u << SUB_BITS)

uint64_t cof_load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void cof_load_latency_init(struct cof_load_latency *latency)
{
    memset(latency, 0, sizeof *latency);
}

static unsigned bucket_of(uint64_t duration_ns)
{
    if (duration_ns < SUB_COUNT) {
        return (unsigned)duration_ns;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(duration_ns) - SUB_BITS;
    unsigned bucket = (shift << SUB_BITS) + (unsigned)(duration_ns >> shift);
    return bucket < COF_LOAD_LATENCY_BUCKETS ? bucket : COF_LOAD_LATENCY_BUCKETS - 1u;
}

/* The largest duration that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 2u * SUB_COUNT) {
        return bucket;
    }
    unsigned shift = (bucket >> SUB_BITS) - 1u;
    uint64_t lead = SUB_COUNT + (bucket & (SUB_COUNT - 1u));
    return ((lead + 1u) << shift) - 1u;
}

void cof_load_latency_add(struct cof_load_latency *latency, uint64_t duration_ns)
{
    latency->counts[bucket_of(duration_ns)]++;
    latency->total++;
    latency->sum_ns += duration_ns;
    if (duration_ns > latency->max_ns) {
        latency->max_ns = duration_ns;
    }
}

void cof_load_latency_merge(struct cof_load_latency *latency, const struct cof_load_latency *other)
{
    for (unsigned bucket = 0; bucket < COF_LOAD_LATENCY_BUCKETS; bucket++) {
        latency->counts[bucket] += other->counts[bucket];
    }
    latency->total += other->total;
    latency->sum_ns += other->sum_ns;
    if (other->max_ns > latency->max_ns) {
        latency->max_ns = other->max_ns;
    }
}

uint64_t cof_load_latency_percentile(const struct cof_load_latency *latency, double fraction)
{
    if (latency->total == 0) {
        return 0;
    }
    double exact = fraction * (double)latency->total;
    uint64_t wanted = (uint64_t)exact;
    if (exact - (double)wanted > 1e-6) { /* 0.07 * 200 is a hair above 14 */
        wanted++;
    }
    if (wanted == 0) {
        wanted = 1;
    }
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < COF_LOAD_LATENCY_BUCKETS; bucket++) {
        seen += latency->counts[bucket];
        if (seen >= wanted) {
            uint64_t end = bucket_end(bucket);
            return end < latency->max_ns ? end : latency->max_ns;
        }
    }
    return latency->max_ns;
}
