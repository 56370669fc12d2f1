/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/asymmetric.h - what keys do that are not SYMMETRIC_DEFAULT: sign and verify, RSA encryption,
 * MACs, key agreement; and data key pairs.
 *
 * All are parts of a call (kms.h). A key argument is a key id, a key ARN, an alias or its ARN; the
 * key's ARN goes into the call's record. Common errors: those of a key's state, KEY_ACCESS,
 * KEY_USAGE when the key, by usage or spec, is not for this or not for the algorithm.
 */
#ifndef COF_KMS_ASYMMETRIC_H
#define COF_KMS_ASYMMETRIC_H

#include "kms.h"
#include "pair/pair.h"
#include "verbs.h"

#define COF_KMS_MESSAGE_BYTES_MAX 4096u
#define COF_KMS_MAC_TAG_BYTES_MAX 64u /* of HMAC_SHA_512 */

/* A message and how it is to be taken. */
struct cof_kms_message {
    const char *key;
    const char *algorithm;
    struct cof_kms_bytes bytes; /* 1 to 4096 */
    bool is_digest;             /* MessageType DIGEST */
};

/* INVALID when a digest hasn't the length of the algorithm's. */
COFFER_MUST_CHECK int cof_kms_sign(struct cof_kms_call *call, const struct cof_kms_message *message,
                                   uint8_t ret_signature[COF_PAIR_SIGNATURE_BYTES_MAX],
                                   size_t *ret_signature_bytes);
/* SIGNATURE_INVALID. */
COFFER_MUST_CHECK int cof_kms_verify(struct cof_kms_call *call,
                                     const struct cof_kms_message *message,
                                     struct cof_kms_bytes signature);

COFFER_MUST_CHECK int cof_kms_generate_mac(struct cof_kms_call *call,
                                           const struct cof_kms_message *message,
                                           uint8_t ret_mac[COF_KMS_MAC_TAG_BYTES_MAX],
                                           size_t *ret_mac_bytes);
/* MAC_INVALID. */
COFFER_MUST_CHECK int cof_kms_verify_mac(struct cof_kms_call *call,
                                         const struct cof_kms_message *message,
                                         struct cof_kms_bytes mac);

/* The row of a pair's key, with its public half. UNSUPPORTED for a key that has none. */
COFFER_MUST_CHECK int cof_kms_public_key(struct cof_kms_call *call, const char *key,
                                         struct cof_kms_key_row *ret_row);

/*
 * RSA under the row's key, which has been found, authorized and found usable. A plaintext that is
 * too long is INVALID. Decrypting leaves it in secrets->plaintext; KEY_CIPHERTEXT.
 */
COFFER_MUST_CHECK int cof_kms_rsa_encrypt(struct cof_kms_call *call,
                                          const struct cof_kms_key_row *row, const char *algorithm,
                                          struct cof_kms_bytes plaintext,
                                          uint8_t ret_ciphertext[COF_PAIR_SIGNATURE_BYTES_MAX],
                                          size_t *ret_ciphertext_bytes);
COFFER_MUST_CHECK int cof_kms_rsa_decrypt(struct cof_kms_call *call,
                                          const struct cof_kms_key_row *row, const char *algorithm,
                                          struct cof_kms_bytes ciphertext,
                                          size_t *ret_plaintext_bytes);

/*
 * The secret that key shares with the owner of peer_half, a SubjectPublicKeyInfo in DER, into
 * secrets->plaintext. INVALID when peer_half is none, or of another curve than the key's.
 */
COFFER_MUST_CHECK int cof_kms_derive_secret(struct cof_kms_call *call, const char *key,
                                            const char *algorithm, struct cof_kms_bytes peer_half,
                                            struct cof_kms_key_row *ret_row,
                                            size_t *ret_secret_bytes);

/* ---- data key pairs ---------------------------------------------------------------------- */

struct cof_kms_data_pair {
    const struct cof_kms_spec *spec;
    size_t public_bytes;
    size_t private_bytes; /* of the PKCS#8 at ks->secrets->plaintext */
    uint8_t public_half[COF_PAIR_PUBLIC_BYTES_MAX];
    struct coffer_key_blob blob; /* the PKCS#8, encrypted */
    struct cof_kms_used used;
};

/* Draw a pair into private_half, COF_PAIR_BYTES_MAX of secret memory: takes seconds, so it is done
 * outside of the store's lock. UNSUPPORTED when spec is none of a pair. */
COFFER_MUST_CHECK int cof_kms_data_pair_draw(const char *spec, uint8_t *private_half,
                                             struct cof_kms_data_pair *pair);
/* Encrypt it under key (any name). The call's event is the operation's name, and its right. */
COFFER_MUST_CHECK int cof_kms_data_pair_seal(struct cof_kms_call *call, const char *key,
                                             const uint8_t *private_half,
                                             const struct coffer_context *context,
                                             struct cof_kms_data_pair *pair);

#endif
