/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/latency.h - a histogram of durations with bounded error and bounded memory.
 *
 * Buckets are log-linear: 64 to each power of two, so a percentile is at most 1.6 % above the
 * true one, from nanoseconds to hours, in 20 KiB. Counting costs a few instructions and never
 * allocates, so it may stand inside a timed loop. One thread.
 */
#ifndef COF_LOAD_LATENCY_H
#define COF_LOAD_LATENCY_H

#include <stdint.h>

#define COF_LOAD_LATENCY_BUCKETS 2560u

/* Of the monotonic clock. */
uint64_t cof_load_now_ns(void);

struct cof_load_latency {
    uint64_t counts[COF_LOAD_LATENCY_BUCKETS];
    uint64_t total;
    uint64_t sum_ns;
    uint64_t max_ns;
};

void cof_load_latency_init(struct cof_load_latency *latency);
void cof_load_latency_add(struct cof_load_latency *latency, uint64_t duration_ns);
/* Count all of other's in latency as well. */
void cof_load_latency_merge(struct cof_load_latency *latency, const struct cof_load_latency *other);

/* The smallest duration that at least `fraction` (0 to 1) of all do not exceed; 0 when empty. */
uint64_t cof_load_latency_percentile(const struct cof_load_latency *latency, double fraction);

#endif
