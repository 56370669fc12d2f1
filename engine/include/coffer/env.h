/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/env.h - what the engine takes from the world: memory, time, randomness, a log.
 *
 * Each may be injected, which is what makes the deterministic simulator possible. A NULL env, or a
 * NULL member, means the system's own. The env is copied at open; what its ctx pointers point to
 * must outlive every object opened with it. Callbacks may be called from any thread that calls
 * into the library, and must not call back into it.
 */
#ifndef COFFER_ENV_H
#define COFFER_ENV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_log_level { COFFER_LOG_ERROR = 0, COFFER_LOG_WARN, COFFER_LOG_INFO, COFFER_LOG_DEBUG };

struct coffer_env {
    size_t size; /* sizeof (struct coffer_env) */
    void *ctx;   /* passed to every callback   */

    /* Heap memory, aligned for any type; alloc returns NULL when there is none. Key material is
     * never placed in it. */
    void *(*alloc)(void *ctx, size_t bytes);
    void (*dealloc)(void *ctx, void *memory);

    /* Monotonic time, and wall-clock time since 1970, both in nanoseconds. */
    uint64_t (*monotonic_ns)(void *ctx);
    uint64_t (*wall_ns)(void *ctx);

    /* Fill buffer with bytes fit for keys; 0, or negative when it cannot. The default is
     * getrandom(2). Injecting anything weaker forfeits every promise about nonces and keys. */
    int (*random)(void *ctx, void *buffer, size_t bytes);

    /* One line without a newline; never holds a secret. */
    void (*log)(void *ctx, enum coffer_log_level level, const char *line);
};

#ifdef __cplusplus
}
#endif
#endif
