/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/choice.h - which page is written next: the loads that write amplification is told by.
 *
 * The simulator of the cleaner and the run of the engine beside it draw from the same choice, so
 * that with one seed both see the same pages in the same order. Nothing secret comes from it.
 */
#ifndef COF_BENCH_CHOICE_H
#define COF_BENCH_CHOICE_H

#include <stdint.h>

enum cof_bench_choice_kind {
    COF_BENCH_UNIFORM = 0,
    COF_BENCH_HOT,  /* nine of ten in a tenth of the pages            */
    COF_BENCH_ZIPF, /* theta 0.99, the popular ones all over the pages */
    COF_BENCH_SEQUENTIAL,
    COF_BENCH_CHOICES
};

/* Names for a table of options: COF_BENCH_CHOICES of them. */
#define COF_BENCH_CHOICE_NAMES "uniform", "90/10", "zipf", "sequential"

struct cof_bench_choice {
    enum cof_bench_choice_kind kind;
    uint64_t pages, cursor;
    uint64_t random[2];
    double zeta, eta; /* of zipf */
};

/* Of so many pages, more than ten; zipf takes time in proportion to them. */
void cof_bench_choice_init(struct cof_bench_choice *choice, enum cof_bench_choice_kind kind,
                           uint64_t pages, uint64_t seed);
uint64_t cof_bench_choice_next(struct cof_bench_choice *choice);

/* 64 bits from the same stream, for what else is left to chance. */
uint64_t cof_bench_choice_random(struct cof_bench_choice *choice);

#endif
