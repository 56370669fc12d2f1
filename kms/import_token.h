/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import_token.h - the token of GetParametersForImport: all that ImportKeyMaterial needs,
 * sealed under a key that derives from the store's root key, so that nothing of it is kept.
 *
 *   offset  bytes  field
 *        0      4  magic "CfIT"
 *        4      1  format, 1
 *        5     32  salt, random
 *       37   61+N  sealed secret (sealed.h) of N bytes; bytes 0 to 37 are its associated data
 *
 *   the secret:
 *        0      1  wrapping algorithm: 1 to 4, in the order of pair/wrap.c
 *        1      1  kibibits of the wrapping key: 2, 3 or 4
 *        2      8  expires, nanoseconds since 1970
 *       10      P  private half of the wrapping key (pair/pair.h); P follows from its bits
 *     10+P      .  ARN of the key that it is for, to the end
 *
 * Less than 2600 bytes; callers must allow 6144. It serves any number of times until it expires.
 */
#ifndef COF_KMS_IMPORT_TOKEN_H
#define COF_KMS_IMPORT_TOKEN_H

#include "pair/pair.h"
#include "pair/wrap.h"
#include "root.h"

#define COF_KMS_IMPORT_TOKEN_HEAD_BYTES 37u
#define COF_KMS_IMPORT_SECRET_BYTES_MAX (10u + COFFER_KEY_ARN_BYTES_MAX + COF_PAIR_BYTES_MAX)
#define COF_KMS_IMPORT_TOKEN_BYTES_MAX                                 \
    (COF_KMS_IMPORT_TOKEN_HEAD_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + \
     COF_KMS_IMPORT_SECRET_BYTES_MAX)
#define COF_KMS_IMPORT_OPENED_BYTES 4608u /* a PKCS#8 key, and an RSA block behind it */

/* Secret memory of whoever makes or opens a token. */
struct cof_kms_import_scratch {
    uint8_t subkey[64];
    uint8_t secret[COF_KMS_IMPORT_SECRET_BYTES_MAX];
    uint8_t opened[COF_KMS_IMPORT_OPENED_BYTES]; /* what was wrapped */
};

struct cof_kms_import_token {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    const struct cof_kms_spec *wrapping;
    const struct cof_wrap_algorithm *algorithm;
    uint64_t expires_ns;
};

/* What seals tokens. */
struct cof_kms_import_root {
    struct cof_kms_env *env;
    const uint8_t *root_key;
    const uint8_t *uuid; /* of the store, 16 bytes */
};

/* Where the private half of the wrapping key is, before a token is made and after one is opened. */
uint8_t *cof_kms_import_half(struct cof_kms_import_scratch *scratch);

/* Seal token and the private half. */
COFFER_MUST_CHECK int cof_kms_import_token_make(const struct cof_kms_import_root *root,
                                                const struct cof_kms_import_token *token,
                                                struct cof_kms_import_scratch *scratch,
                                                uint8_t ret_token[COF_KMS_IMPORT_TOKEN_BYTES_MAX],
                                                size_t *ret_token_bytes);

/* IMPORT_TOKEN when it isn't one that this store made. Whether it has expired is the caller's to
 * see. */
COFFER_MUST_CHECK int cof_kms_import_token_open(const struct cof_kms_import_root *root,
                                                struct cof_kms_bytes bytes,
                                                struct cof_kms_import_scratch *scratch,
                                                struct cof_kms_import_token *ret_token);

#endif
