/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/det_env.h - a deterministic world for the engine: clock, randomness, memory.
 *
 * The clock moves by a step at each reading and by what a test adds. Randomness is a stream from
 * (seed, incarnation): the same run draws the same bytes, but two incarnations of a store (before
 * and after a crash, or two copies) never draw from the same stream, as two processes would not.
 * Memory is malloc with a count, a leak check, and a planted failure. One thread.
 */
#ifndef TESTS_COMMON_DET_ENV_H
#define TESTS_COMMON_DET_ENV_H

#include <coffer/env.h>
#include <stdbool.h>
#include <stdint.h>

struct det_env {
    struct coffer_env api; /* hand &api to the engine */
    uint64_t random_state[2];
    uint64_t random_bytes;
    uint64_t now_ns, step_ns;
    uint64_t allocations;  /* so far */
    uint64_t outstanding, outstanding_bytes;
    uint64_t largest_bytes; /* asked for at once */
    bool planted, planted_sticky;
    uint64_t planted_at;   /* this allocation (from 0) fails */
    uint64_t fired;
    uint64_t random_calls, random_fail_at; /* UINT64_MAX: never */
};

void det_env_init(struct det_env *env, uint64_t seed, uint64_t incarnation);
/* A new stream for a new incarnation; clock and counts go on. */
void det_env_incarnate(struct det_env *env, uint64_t seed, uint64_t incarnation);
void det_env_advance(struct det_env *env, uint64_t ns);

/* Let the allocation number `at`, counted from now, fail; sticky: and all after it. */
void det_env_fail(struct det_env *env, uint64_t at, bool sticky);
void det_env_fail_none(struct det_env *env);

/* Fails the case when something that was allocated was not given back. */
void det_env_check_leaks(const struct det_env *env);

#endif
