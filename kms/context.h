/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/context.h - encryption contexts: the canonical form that is bound as associated data, and the
 * JSON form that the audit trail shows.
 *
 * Canonical form: u32 count, then for each pair in ascending order of the key's bytes (a prefix
 * first): u32 length and bytes of the key, u32 length and bytes of the value. So {"a":"bc"} and
 * {"ab":"c"} differ, order given doesn't matter, and NULL equals the empty context.
 */
#ifndef COF_KMS_CONTEXT_H
#define COF_KMS_CONTEXT_H

#include "env.h"
#include "seal.h"

#include <coffer/keys.h>
#include <coffer/keystore.h>

#define COF_KMS_CONTEXT_PAIRS_MAX 1024u /* each takes 9 bytes at least, so 8192 bytes hold 910 */

/* Write the canonical form into buffer (COFFER_CONTEXT_BYTES_MAX). INVALID with a sentence for an
 * empty or doubled key, bytes that are not UTF-8, or too long a form. */
COFFER_MUST_CHECK int cof_kms_context_pack(struct cof_kms_env *env,
                                           const struct coffer_context *context, uint8_t *buffer,
                                           struct cof_kms_bytes *ret_packed,
                                           struct coffer_fault *fault);

/* A packed context taken apart again; strings are copied. Freed by context_free. */
struct cof_kms_context {
    struct coffer_context_pair *pairs;
    unsigned pair_count;
    char *text;
};

COFFER_MUST_CHECK int cof_kms_context_unpack(struct cof_kms_env *env, struct cof_kms_bytes packed,
                                             struct cof_kms_context *ret_context);
void cof_kms_context_free(struct cof_kms_env *env, struct cof_kms_context *context);

/* The packed context as a JSON object, NUL-terminated, in memory of env. */
COFFER_MUST_CHECK int cof_kms_context_json(struct cof_kms_env *env, struct cof_kms_bytes packed,
                                           char **ret_json);

#endif
