/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/blob.h - ciphertext blobs: opaque to callers, self-describing, at most 4487 bytes.
 *
 *   offset  bytes  field
 *        0      4  magic "CfKB"
 *        4      1  format, 1
 *        5      1  algorithm, 1: HKDF-SHA256, AES-256-GCM with commitment
 *        6      2  A, length of the ARN
 *        8     32  material id
 *       40     32  salt, random
 *       72     32  commitment
 *      104     12  nonce, random
 *      116      4  N, length of the plaintext
 *      120      A  ARN of the key
 *    120+A      N  ciphertext
 *  120+A+N     16  tag
 *
 * Valid if and only if: magic, format and algorithm are these, the length is 136 + A + N exactly,
 * the commitment is the second half of HKDF-SHA256(material, salt, "coffer/kms/blob/1", material
 * id), and the tag opens under the first half with bytes 0 to 120+A and the canonical context as
 * associated data.
 */
#ifndef COF_KMS_BLOB_H
#define COF_KMS_BLOB_H

#include "env.h"
#include "seal.h"

#include <coffer/keys.h>

#define COF_KMS_MATERIAL_ID_BYTES 32u
#define COF_KMS_SUBKEY_BYTES 64u

struct cof_kms_material {
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    const uint8_t *key; /* 32 bytes of secret memory */
    /* Of a key in a token: fills key for a blob of this salt. NULL: key is the same for all. */
    int (*derive)(void *ctx, struct cof_kms_bytes salt);
    void *ctx;
};

struct cof_kms_blob_view {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    const uint8_t *material_id;
    const uint8_t *salt;
    const uint8_t *commitment;
    const uint8_t *nonce;
    const uint8_t *tag;
    struct cof_kms_bytes header; /* the associated part, ARN included */
    struct cof_kms_bytes ciphertext;
};

/* subkey: COF_KMS_SUBKEY_BYTES of secret memory, wiped on return. */
COFFER_MUST_CHECK int cof_kms_blob_seal(struct cof_kms_env *env,
                                        const struct cof_kms_material *material, const char *arn,
                                        struct cof_kms_bytes context,
                                        struct cof_kms_bytes plaintext, uint8_t *subkey,
                                        struct coffer_key_blob *ret_blob);

/* KEY_CIPHERTEXT when it is no blob. The view points into blob. */
COFFER_MUST_CHECK int cof_kms_blob_parse(struct cof_kms_bytes blob,
                                         struct cof_kms_blob_view *ret_view);

/* Decrypt into ret_plaintext, room for view->ciphertext.length_bytes. KEY_CIPHERTEXT when the blob
 * or the context is wrong. */
COFFER_MUST_CHECK int cof_kms_blob_open(const struct cof_kms_material *material,
                                        const struct cof_kms_blob_view *view,
                                        struct cof_kms_bytes context, uint8_t *subkey,
                                        uint8_t *ret_plaintext);

#endif
