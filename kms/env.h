/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/env.h - memory, clock, randomness and log of a key store, and how it words its faults.
 *
 * The room sees installed headers only, so it resolves struct coffer_env by itself. Heap memory
 * never holds a key or a plaintext: those live in secret.h's pages.
 */
#ifndef COF_KMS_ENV_H
#define COF_KMS_ENV_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

struct cof_kms_env {
    struct coffer_env api; /* no member is NULL */
};

/* Resolve api (NULL or partly NULL: the system's own). */
void cof_kms_env_init(struct cof_kms_env *env, const struct coffer_env *api);

/* Zeroed; NULL when there is none. */
void *cof_kms_alloc(struct cof_kms_env *env, size_t bytes);
void cof_kms_free(struct cof_kms_env *env, void *memory);
uint64_t cof_kms_wall_ns(struct cof_kms_env *env);
/* 0 or CRYPTO; never partly filled. */
COFFER_MUST_CHECK int cof_kms_random(struct cof_kms_env *env, void *buffer, size_t bytes);
void cof_kms_warn(struct cof_kms_env *env, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fill fault (may be NULL) and return error. A format of NULL takes the error's own sentence. */
int cof_kms_fault(struct coffer_fault *fault, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void cof_kms_fault_clear(struct coffer_fault *fault);

#endif
