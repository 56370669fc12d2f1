/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/env.h - the environment an object lives in: memory, clocks, randomness, log.
 *
 * struct cof_env is a resolved copy of the caller's coffer_env: no member is NULL. It also counts
 * the heap bytes in use, so that bounds can be shown. Every engine object keeps a pointer to the
 * store's env; nothing in the engine calls malloc, clock_gettime or getrandom beside it.
 */
#ifndef COF_BASE_ENV_H
#define COF_BASE_ENV_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <stdatomic.h>
#include <stdbool.h>

struct cof_env {
    struct coffer_env api;
    _Atomic uint64_t heap_bytes;
};

/* Resolve api (NULL or partly NULL: the system's own) into *env. */
void cof_env_init(struct cof_env *env, const struct coffer_env *api);

/* Memory from the environment: NULL when there is none. cof_calloc is zeroed and checks for
 * overflow. cof_free takes NULL. cof_alloc_aligned gives page-aligned memory for I/O buffers; from
 * 4 MiB on, in huge pages where the system has them. */
void *cof_alloc(struct cof_env *env, size_t bytes);
void *cof_calloc(struct cof_env *env, size_t count, size_t bytes);
void *cof_alloc_aligned(struct cof_env *env, size_t bytes);
void cof_free(struct cof_env *env, void *memory);
void cof_free_aligned(struct cof_env *env, void *memory);

uint64_t cof_monotonic_ns(struct cof_env *env);
uint64_t cof_wall_ns(struct cof_env *env);

/* 0, or COFFER_E_CRYPTO: never partly filled, never retried with something weaker. */
COFFER_MUST_CHECK int cof_random(struct cof_env *env, void *buffer, size_t bytes);

void cof_log(struct cof_env *env, enum coffer_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fill fault (may be NULL) with error, stage and a sentence, places set to COFFER_NOWHERE, and
 * return error. cof_fault_at adds the place to a fault already filled. */
int cof_fault(struct coffer_fault *fault, int error, enum coffer_stage stage, const char *format,
              ...) __attribute__((format(printf, 4, 5)));
void cof_fault_at(struct coffer_fault *fault, uint64_t page, uint64_t segment, uint64_t offset);
void cof_fault_clear(struct coffer_fault *fault);

#endif
