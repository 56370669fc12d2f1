/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sealed.h - a 32-byte key sealed under another: the store root key, and each key's material.
 *
 *   offset  bytes  field
 *        0      1  format, 1
 *        1     12  nonce, random
 *       13     32  commitment
 *       45     32  ciphertext
 *       77     16  tag
 *
 * Wrapping key and commitment are the two halves of HKDF-SHA256(key, salt, label, info), 64 bytes.
 * Each caller's (salt, info) is new for each sealed key, so a wrapping key seals once.
 */
#ifndef COF_KMS_SEALED_H
#define COF_KMS_SEALED_H

#include "env.h"
#include "seal.h"

#define COF_KMS_SEALED_BYTES 93u

/* What binds a sealed key to its place. */
struct cof_kms_sealed_place {
    const char *label;
    struct cof_kms_bytes salt;
    struct cof_kms_bytes info;
    struct cof_kms_bytes aad;
};

/* subkey is 64 bytes of secret memory, wiped on return. */
COFFER_MUST_CHECK int cof_kms_sealed_make(struct cof_kms_env *env, const uint8_t *wrapping_key,
                                          const struct cof_kms_sealed_place *place,
                                          const uint8_t *key, uint8_t *subkey,
                                          uint8_t ret_sealed[COF_KMS_SEALED_BYTES]);

/* COMMIT when the wrapping key isn't the one that sealed; TAMPER when anything else differs. */
COFFER_MUST_CHECK int cof_kms_sealed_open(const uint8_t *wrapping_key,
                                          const struct cof_kms_sealed_place *place,
                                          const uint8_t sealed[COF_KMS_SEALED_BYTES],
                                          uint8_t *subkey, uint8_t *ret_key);

#endif
