/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/env.c - the system's own memory, clocks and randomness, and the resolved environment.
 *
 * Each allocation carries a header with its size, so that the bytes in use are known whatever
 * allocator was injected. Any thread.
 */
#include "base/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#define HEADER_BYTES 16u /* keeps max_align_t */
#define IO_ALIGN 4096u
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

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

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t system_monotonic(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t system_wall(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

static int system_random(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    (void)ctx;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
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

void cof_env_init(struct cof_env *env, const struct coffer_env *api)
{
    memset(env, 0, sizeof *env);
    if (api != NULL) {
        size_t known = api->size < sizeof *api ? api->size : sizeof *api;
        memcpy(&env->api, api, known);
    }
    env->api.size = sizeof env->api;
    if (env->api.alloc == NULL || env->api.dealloc == NULL) {
        env->api.alloc = system_alloc;
        env->api.dealloc = system_dealloc;
    }
    if (env->api.monotonic_ns == NULL) {
        env->api.monotonic_ns = system_monotonic;
    }
    if (env->api.wall_ns == NULL) {
        env->api.wall_ns = system_wall;
    }
    if (env->api.random == NULL) {
        env->api.random = system_random;
    }
    if (env->api.log == NULL) {
        env->api.log = system_log;
    }
}

/* Count what was got, behind a header. */
static void *counted(struct cof_env *env, uint8_t *memory, size_t bytes)
{
    if (memory == NULL) {
        return NULL;
    }
    memcpy(memory, &bytes, sizeof bytes);
    atomic_fetch_add_explicit(&env->heap_bytes, bytes, memory_order_relaxed);
    return memory + HEADER_BYTES;
}

void *cof_alloc(struct cof_env *env, size_t bytes)
{
    if (bytes > SIZE_MAX - HEADER_BYTES) {
        return NULL;
    }
    return counted(env, env->api.alloc(env->api.ctx, bytes + HEADER_BYTES), bytes);
}

void *cof_calloc(struct cof_env *env, size_t count, size_t bytes)
{
    size_t total;
    void *memory;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        return NULL;
    }
    if (env->api.alloc == system_alloc && total <= SIZE_MAX - HEADER_BYTES) {
        /* Large memory of the system's is zeros already, and is there when it is touched: a cache
         * of 64 MiB takes no time at an open. */
        return counted(env, calloc(1, total + HEADER_BYTES), total);
    }
    memory = cof_alloc(env, total);
    if (memory != NULL) {
        memset(memory, 0, total);
    }
    return memory;
}

void cof_free(struct cof_env *env, void *memory)
{
    size_t bytes;
    uint8_t *start;
    if (memory == NULL) {
        return;
    }
    start = (uint8_t *)memory - HEADER_BYTES;
    memcpy(&bytes, start, sizeof bytes);
    atomic_fetch_sub_explicit(&env->heap_bytes, bytes, memory_order_relaxed);
    env->api.dealloc(env->api.ctx, start);
}

/* What lies in one piece for a device, too, is one descriptor of a transfer: in small pages a MiB
 * takes 256, which is all that many a virtual disk has. That it can't be had is no failure. */
static void want_huge_pages(uint8_t *memory, size_t bytes)
{
    (void)madvise(memory, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
}

void *cof_alloc_aligned(struct cof_env *env, size_t bytes)
{
    bool huge = bytes >= 2u * HUGE_PAGE_BYTES; /* half as much more is lost to alignment, at most */
    size_t align = huge ? HUGE_PAGE_BYTES : IO_ALIGN;
    uint8_t *base, *aligned;
    if (bytes > SIZE_MAX - align - IO_ALIGN) {
        return NULL;
    }
    base = cof_alloc(env, bytes + align);
    if (base == NULL) {
        return NULL;
    }
    aligned = base + align - ((uintptr_t)base % align);
    memcpy(aligned - sizeof base, &base, sizeof base);
    if (huge) {
        want_huge_pages(aligned, bytes);
    }
    return aligned;
}

void cof_free_aligned(struct cof_env *env, void *memory)
{
    void *base;
    if (memory == NULL) {
        return;
    }
    memcpy(&base, (uint8_t *)memory - sizeof base, sizeof base);
    cof_free(env, base);
}

uint64_t cof_monotonic_ns(struct cof_env *env)
{
    return env->api.monotonic_ns(env->api.ctx);
}

uint64_t cof_wall_ns(struct cof_env *env)
{
    return env->api.wall_ns(env->api.ctx);
}

int cof_random(struct cof_env *env, void *buffer, size_t bytes)
{
    return env->api.random(env->api.ctx, buffer, bytes) == 0 ? 0 : COFFER_E_CRYPTO;
}

void cof_log(struct cof_env *env, enum coffer_log_level level, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    env->api.log(env->api.ctx, level, line);
}

void cof_fault_clear(struct coffer_fault *fault)
{
    if (fault != NULL) {
        memset(fault, 0, sizeof *fault);
        cof_fault_at(fault, COFFER_NOWHERE, COFFER_NOWHERE, COFFER_NOWHERE);
    }
}

int cof_fault(struct coffer_fault *fault, int error, enum coffer_stage stage, const char *format,
              ...)
{
    va_list args;
    if (fault == NULL) {
        return error;
    }
    cof_fault_clear(fault);
    fault->error = error;
    fault->stage = stage;
    va_start(args, format);
    vsnprintf(fault->detail, sizeof fault->detail, format, args);
    va_end(args);
    return error;
}

void cof_fault_at(struct coffer_fault *fault, uint64_t page, uint64_t segment, uint64_t offset)
{
    if (fault != NULL) {
        fault->page = page;
        fault->segment = segment;
        fault->offset = offset;
    }
}
