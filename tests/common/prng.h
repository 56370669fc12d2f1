/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/prng.h - the randomness of tests: splitmix64, the whole state one word.
 *
 * Everything a harness does follows from one seed; two streams that must differ get seeds mixed
 * from different numbers. Never for keys: the engine under test draws through det_env.
 */
#ifndef TESTS_COMMON_PRNG_H
#define TESTS_COMMON_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline uint64_t prng_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15) + b + UINT64_C(0x2545F4914F6CDD1D);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t x;
    prng->state += UINT64_C(0x9E3779B97F4A7C15);
    x = prng->state;
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* 0 to bound - 1; bound 0 gives 0. The bias is below 2^-32 for every bound a test uses. */
static inline uint32_t prng_below(struct prng *prng, uint32_t bound)
{
    return (uint32_t)(((prng_next(prng) >> 32) * (uint64_t)bound) >> 32);
}

static inline bool prng_chance(struct prng *prng, uint32_t part, uint32_t whole)
{
    return prng_below(prng, whole) < part;
}

#endif
