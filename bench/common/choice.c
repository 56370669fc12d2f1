/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/choice.c - see choice.h.
 */
#include "common/choice.h"

#include <math.h>

#define ZIPF_THETA 0.99
#define SCRAMBLE UINT64_C(2654435761)

uint64_t cof_bench_choice_random(struct cof_bench_choice *choice) /* xorshift128+ */
{
    uint64_t a = choice->random[0], b = choice->random[1];
    choice->random[0] = b;
    a ^= a << 23;
    choice->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return choice->random[1] + b;
}

/* Gray et al., Quickly generating billion-record synthetic databases, 1994. */
void cof_bench_choice_init(struct cof_bench_choice *choice, enum cof_bench_choice_kind kind,
                           uint64_t pages, uint64_t seed)
{
    double two = 1.0 + pow(0.5, ZIPF_THETA);
    *choice = (struct cof_bench_choice){.kind = kind, .pages = pages};
    choice->random[0] = seed * UINT64_C(0x9e3779b97f4a7c15) + 1u;
    choice->random[1] = ~seed ^ UINT64_C(0xbf58476d1ce4e5b9);
    for (unsigned i = 0; i < 16; i++) {
        (void)cof_bench_choice_random(choice);
    }
    if (kind == COF_BENCH_ZIPF) {
        for (uint64_t i = 1; i <= pages; i++) {
            choice->zeta += pow((double)i, -ZIPF_THETA);
        }
        choice->eta =
            (1.0 - pow(2.0 / (double)pages, 1.0 - ZIPF_THETA)) / (1.0 - two / choice->zeta);
    }
}

static uint64_t zipf(struct cof_bench_choice *choice)
{
    double u = (double)(cof_bench_choice_random(choice) >> 11) / 9007199254740992.0;
    double at = u * choice->zeta;
    uint64_t rank;
    if (at < 1.0) {
        rank = 0;
    } else if (at < 1.0 + pow(0.5, ZIPF_THETA)) {
        rank = 1;
    } else {
        rank = (uint64_t)((double)choice->pages *
                          pow(choice->eta * (u - 1.0) + 1.0, 1.0 / (1.0 - ZIPF_THETA)));
    }
    return rank % choice->pages * SCRAMBLE % choice->pages;
}

uint64_t cof_bench_choice_next(struct cof_bench_choice *choice)
{
    uint64_t hot = choice->pages / 10u;
    switch (choice->kind) {
    case COF_BENCH_HOT:
        return cof_bench_choice_random(choice) % 10u != 0
                   ? cof_bench_choice_random(choice) % hot
                   : hot + cof_bench_choice_random(choice) % (choice->pages - hot);
    case COF_BENCH_ZIPF:
        return zipf(choice);
    case COF_BENCH_SEQUENTIAL:
        return choice->cursor++ % choice->pages;
    default:
        return cof_bench_choice_random(choice) % choice->pages;
    }
}
