/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/det_env.c - see det_env.h.
 */
#include "common/det_env.h"

#include "common/harness.h"
#include "common/prng.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 16u

static void *env_alloc(void *ctx, size_t bytes)
{
    struct det_env *env = ctx;
    uint64_t number = env->allocations++;
    uint8_t *memory;
    env->largest_bytes = bytes > env->largest_bytes ? bytes : env->largest_bytes;
    if (env->planted &&
        (number == env->planted_at || (env->planted_sticky && number > env->planted_at))) {
        env->fired++;
        return NULL;
    }
    memory = malloc(bytes + HEAD_BYTES);
    if (memory == NULL) {
        return NULL;
    }
    memcpy(memory, &bytes, sizeof bytes);
    env->outstanding++;
    env->outstanding_bytes += bytes;
    return memory + HEAD_BYTES;
}

static void env_dealloc(void *ctx, void *memory)
{
    struct det_env *env = ctx;
    uint8_t *start = (uint8_t *)memory - HEAD_BYTES;
    size_t bytes;
    if (memory == NULL) {
        return;
    }
    memcpy(&bytes, start, sizeof bytes);
    env->outstanding--;
    env->outstanding_bytes -= bytes;
    free(start);
}

static uint64_t env_monotonic(void *ctx)
{
    struct det_env *env = ctx;
    env->now_ns += env->step_ns;
    return env->now_ns;
}

static uint64_t env_wall(void *ctx)
{
    struct det_env *env = ctx;
    return UINT64_C(1700000000000000000) + env->now_ns;
}

static int env_random(void *ctx, void *buffer, size_t bytes)
{
    struct det_env *env = ctx;
    uint8_t *at = buffer;
    if (env->random_calls++ == env->random_fail_at) {
        return -1;
    }
    env->random_bytes += bytes;
    while (bytes > 0) {
        uint64_t word = prng_mix(env->random_state[0], env->random_state[1]++);
        size_t part = bytes < sizeof word ? bytes : sizeof word;
        memcpy(at, &word, part);
        at += part;
        bytes -= part;
    }
    return 0;
}

void det_env_incarnate(struct det_env *env, uint64_t seed, uint64_t incarnation)
{
    env->random_state[0] = prng_mix(seed, incarnation);
    env->random_state[1] = prng_mix(incarnation, seed);
}

void det_env_init(struct det_env *env, uint64_t seed, uint64_t incarnation)
{
    memset(env, 0, sizeof *env);
    env->api.size = sizeof env->api;
    env->api.ctx = env;
    env->api.alloc = env_alloc;
    env->api.dealloc = env_dealloc;
    env->api.monotonic_ns = env_monotonic;
    env->api.wall_ns = env_wall;
    env->api.random = env_random;
    env->step_ns = 1000;
    env->now_ns = UINT64_C(1000000000);
    env->random_fail_at = UINT64_MAX;
    det_env_incarnate(env, seed, incarnation);
}

void det_env_advance(struct det_env *env, uint64_t ns)
{
    env->now_ns += ns;
}

void det_env_fail(struct det_env *env, uint64_t at, bool sticky)
{
    env->planted = true;
    env->planted_sticky = sticky;
    env->planted_at = env->allocations + at;
    env->fired = 0;
}

void det_env_fail_none(struct det_env *env)
{
    env->planted = false;
}

void det_env_check_leaks(const struct det_env *env)
{
    harness_require(env->outstanding == 0, "leak: %llu allocations, %llu bytes not given back",
                    (unsigned long long)env->outstanding,
                    (unsigned long long)env->outstanding_bytes);
}
