/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sealed.h - a secret of N bytes sealed under a key: the store root key, and keys' material.
 *
 *   offset  bytes  field
 *        0      1  format, 1
 *        1     12  nonce, random
 *       13     32  commitment
 *       45      N  ciphertext
 *     45+N     16  tag
 *
 * Wrapping key and commitment are the two halves of HKDF-SHA256(key, salt, label, info), 64 bytes.
 * Each caller's (salt, info) is new for each sealed key, so a wrapping key seals once.
 */
#ifndef COF_KMS_SEALED_H
#define COF_KMS_SEALED_H

#include "env.h"
#include "seal.h"

#define COF_KMS_SEALED_OVERHEAD_BYTES 61u
#define COF_KMS_SEALED_BYTES (COF_KMS_SEALED_OVERHEAD_BYTES + COF_KMS_KEY_BYTES) /* of a key */
#define COF_KMS_MATERIAL_BYTES_MAX 3072u /* a private key of RSA 4096 is the longest */
#define COF_KMS_SEALED_BYTES_MAX (COF_KMS_SEALED_OVERHEAD_BYTES + COF_KMS_MATERIAL_BYTES_MAX)

/* What binds a sealed key to its place. */
struct cof_kms_sealed_place {
    const char *label;
    struct cof_kms_bytes salt;
    struct cof_kms_bytes info;
    struct cof_kms_bytes aad;
};

/* subkey is 64 bytes of secret memory, wiped on return. ret_sealed has room for the secret and
 * COF_KMS_SEALED_OVERHEAD_BYTES. */
COFFER_MUST_CHECK int cof_kms_sealed_make(struct cof_kms_env *env, const uint8_t *wrapping_key,
                                          const struct cof_kms_sealed_place *place,
                                          struct cof_kms_bytes secret, uint8_t *subkey,
                                          uint8_t *ret_sealed);

/* COMMIT when the wrapping key isn't the one that sealed; TAMPER when anything else differs.
 * ret_secret has room for the sealed bytes less the overhead. */
COFFER_MUST_CHECK int cof_kms_sealed_open(const uint8_t *wrapping_key,
                                          const struct cof_kms_sealed_place *place,
                                          struct cof_kms_bytes sealed, uint8_t *subkey,
                                          uint8_t *ret_secret);

#endif
