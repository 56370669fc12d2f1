/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/env.c - the system's own memory, clock and randomness, and the filling of faults.
 *
 * Callable from any thread. Never prints; a line goes to the injected log or nowhere.
 */
#include "env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static void *system_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void system_dealloc(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t system_monotonic_ns(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t system_wall_ns(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_REALTIME);
}

static int system_random(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;

    (void)ctx;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return -1;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static void system_log(void *ctx, enum coffer_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

void cof_kms_env_init(struct cof_kms_env *env, const struct coffer_env *api)
{
    struct coffer_env resolved = {sizeof(resolved), NULL, NULL, NULL, NULL, NULL, NULL, NULL};

    if (api != NULL) {
        size_t known = api->size < sizeof(resolved) ? api->size : sizeof(resolved);

        memcpy(&resolved, api, known);
        resolved.size = sizeof(resolved);
    }
    if (resolved.alloc == NULL || resolved.dealloc == NULL) {
        resolved.alloc = system_alloc;
        resolved.dealloc = system_dealloc;
    }
    if (resolved.monotonic_ns == NULL) {
        resolved.monotonic_ns = system_monotonic_ns;
    }
    if (resolved.wall_ns == NULL) {
        resolved.wall_ns = system_wall_ns;
    }
    if (resolved.random == NULL) {
        resolved.random = system_random;
    }
    if (resolved.log == NULL) {
        resolved.log = system_log;
    }
    env->api = resolved;
}

void *cof_kms_alloc(struct cof_kms_env *env, size_t bytes)
{
    void *memory = env->api.alloc(env->api.ctx, bytes);

    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

void cof_kms_free(struct cof_kms_env *env, void *memory)
{
    if (memory != NULL) {
        env->api.dealloc(env->api.ctx, memory);
    }
}

uint64_t cof_kms_wall_ns(struct cof_kms_env *env)
{
    return env->api.wall_ns(env->api.ctx);
}

int cof_kms_random(struct cof_kms_env *env, void *buffer, size_t bytes)
{
    if (env->api.random(env->api.ctx, buffer, bytes) != 0) {
        memset(buffer, 0, bytes);
        return COFFER_E_CRYPTO;
    }
    return 0;
}

void cof_kms_warn(struct cof_kms_env *env, const char *format, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    env->api.log(env->api.ctx, COFFER_LOG_WARN, line);
}

void cof_kms_fault_clear(struct coffer_fault *fault)
{
    if (fault == NULL) {
        return;
    }
    memset(fault, 0, sizeof(*fault));
    fault->page = COFFER_NOWHERE;
    fault->segment = COFFER_NOWHERE;
    fault->offset = COFFER_NOWHERE;
}

int cof_kms_fault(struct coffer_fault *fault, int error, const char *format, ...)
{
    int saved_errno = errno;
    va_list arguments;

    if (fault == NULL) {
        return error;
    }
    cof_kms_fault_clear(fault);
    fault->error = error;
    fault->stage = COFFER_STAGE_KEY;
    if (error == COFFER_E_ACCESS || error == COFFER_E_IO) {
        fault->os_errno = saved_errno;
    }
    if (format == NULL) {
        (void)snprintf(fault->detail, sizeof(fault->detail), "%s", coffer_error_sentence(error));
        return error;
    }
    va_start(arguments, format);
    (void)vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
    va_end(arguments);
    return error;
}
