/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/seal.h - the primitives: HKDF-SHA256, AES-256-GCM, HMAC-SHA256, SHA-256,
 * Ed25519.
 *
 * One-shot and stateless; callable from any thread. Keys are passed by pointer into secret.h's
 * pages. OpenSSL's contexts hold copies for the length of a call, and wipe them when freed.
 */
#ifndef COF_KMS_SEAL_H
#define COF_KMS_SEAL_H

#include <coffer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COF_KMS_KEY_BYTES 32u
#define COF_KMS_NONCE_BYTES 12u
#define COF_KMS_TAG_BYTES 16u
#define COF_KMS_MAC_BYTES 32u

struct cof_kms_bytes {
    const uint8_t *at;
    size_t length_bytes;
};

/* HKDF-SHA256 (RFC 5869), extract and expand: info is label, a zero byte, and info. */
COFFER_MUST_CHECK int cof_kms_derive(const uint8_t key[COF_KMS_KEY_BYTES],
                                     struct cof_kms_bytes salt, const char *label,
                                     struct cof_kms_bytes info, uint8_t *ret_key,
                                     size_t key_bytes);

/* AES-256-GCM. A key and nonce must never meet twice: every caller derives the key for one use. */
COFFER_MUST_CHECK int cof_kms_gcm_seal(const uint8_t key[COF_KMS_KEY_BYTES],
                                       const uint8_t nonce[COF_KMS_NONCE_BYTES],
                                       struct cof_kms_bytes aad, struct cof_kms_bytes plaintext,
                                       uint8_t *ret_ciphertext,
                                       uint8_t ret_tag[COF_KMS_TAG_BYTES]);
/* TAMPER when the tag doesn't match; plaintext is wiped then. */
COFFER_MUST_CHECK int cof_kms_gcm_open(const uint8_t key[COF_KMS_KEY_BYTES],
                                       const uint8_t nonce[COF_KMS_NONCE_BYTES],
                                       struct cof_kms_bytes aad, struct cof_kms_bytes ciphertext,
                                       const uint8_t tag[COF_KMS_TAG_BYTES],
                                       uint8_t *ret_plaintext);

/* HMAC-SHA256. */
COFFER_MUST_CHECK int cof_kms_mac(const uint8_t key[COF_KMS_KEY_BYTES], struct cof_kms_bytes data,
                                  uint8_t ret_mac[COF_KMS_MAC_BYTES]);

/* The same with a key of any length. */
COFFER_MUST_CHECK int cof_kms_hmac(struct cof_kms_bytes key, struct cof_kms_bytes data,
                                   uint8_t ret_mac[COF_KMS_MAC_BYTES]);
/* With another hash, by OpenSSL's name of it; mac_bytes is the hash's. */
COFFER_MUST_CHECK int cof_kms_hmac_by(const char *digest, struct cof_kms_bytes key,
                                      struct cof_kms_bytes data, uint8_t *ret_mac,
                                      size_t mac_bytes);
COFFER_MUST_CHECK int cof_kms_sha256(struct cof_kms_bytes data,
                                     uint8_t ret_digest[COF_KMS_MAC_BYTES]);

/* Ed25519 (RFC 8032) under the key pair of a seed. */
COFFER_MUST_CHECK int cof_kms_ed25519_sign(const uint8_t seed[COF_KMS_KEY_BYTES],
                                           struct cof_kms_bytes message, uint8_t ret_signature[64],
                                           uint8_t ret_public_key[32]);

/* In constant time. */
bool cof_kms_equal(const void *a, const void *b, size_t bytes);

#endif
