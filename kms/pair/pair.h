/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/pair.h - RSA and elliptic-curve key pairs: made, used, written and read.
 *
 * The private half of a pair is spec->material_bytes of secret memory, in this layout, so that it
 * goes to OpenSSL and comes back without a copy on the heap. Numbers are in the machine's byte
 * order (little endian on all we build for), padded with zeros at the high end.
 *
 *   RSA, k bits       n k/8 | e 4 | d k/8 | p k/16 | q k/16 | d mod p-1 k/16 | d mod q-1 k/16 |
 *                     1/q mod p k/16
 *   P-256 to P-521    private number, w = 32, 48, 66 | public point, 04 and two coordinates of w
 *                     in big endian, as in SEC 1
 *   Edwards 25519     private key 32 | public key 32, as in RFC 8032
 *
 * The public half is a SubjectPublicKeyInfo in DER.
 *
 * Invariants: private bytes lie in the caller's secret memory and, for the length of one call, in
 * OpenSSL's objects, which wipe them when freed; the thread's error queue is left clean, as a
 * server's TLS reads the same one. Any thread, no I/O.
 */
#ifndef COF_KMS_PAIR_PAIR_H
#define COF_KMS_PAIR_PAIR_H

#include "kms/seal.h"
#include "kms/spec.h"

#define COF_PAIR_SIGNATURE_BYTES_MAX 512u
#define COF_PAIR_PKCS8_BYTES_MAX 2400u

/* ret_private: spec->material_bytes of secret memory. Seconds for RSA_4096. */
COFFER_MUST_CHECK int cof_pair_generate(const struct cof_kms_spec *spec, uint8_t *ret_private);

COFFER_MUST_CHECK int cof_pair_public(const struct cof_kms_spec *spec, const uint8_t *private_half,
                                      uint8_t ret_der[COF_PAIR_PUBLIC_BYTES_MAX],
                                      size_t *ret_der_bytes);

/* Sign message, or with is_digest the hash itself (INVALID when it hasn't the hash's length, or the
 * algorithm signs messages only). */
COFFER_MUST_CHECK int cof_pair_sign(const struct cof_kms_spec *spec, const uint8_t *private_half,
                                    const struct cof_kms_algorithm *algorithm, bool is_digest,
                                    struct cof_kms_bytes message,
                                    uint8_t ret_signature[COF_PAIR_SIGNATURE_BYTES_MAX],
                                    size_t *ret_signature_bytes);
/* TAMPER when the signature isn't of this message and key. */
COFFER_MUST_CHECK int cof_pair_verify(struct cof_kms_bytes public_half,
                                      const struct cof_kms_algorithm *algorithm, bool is_digest,
                                      struct cof_kms_bytes message, struct cof_kms_bytes signature);

/* The most that the algorithm encrypts under such a key. */
size_t cof_pair_plaintext_max(const struct cof_kms_spec *spec,
                              const struct cof_kms_algorithm *algorithm);
/* RSA. ret_ciphertext: spec->bits / 8 bytes. INVALID when plaintext is too long. */
COFFER_MUST_CHECK int cof_pair_encrypt(const struct cof_kms_spec *spec,
                                       struct cof_kms_bytes public_half,
                                       const struct cof_kms_algorithm *algorithm,
                                       struct cof_kms_bytes plaintext, uint8_t *ret_ciphertext);
/* KEY_CIPHERTEXT for what does not open. ret_plaintext: spec->bits / 8 bytes of secret memory. */
COFFER_MUST_CHECK int cof_pair_decrypt(const struct cof_kms_spec *spec, const uint8_t *private_half,
                                       const struct cof_kms_algorithm *algorithm,
                                       struct cof_kms_bytes ciphertext, uint8_t *ret_plaintext,
                                       size_t *ret_plaintext_bytes);

/* agree.c: what an elliptic pair shares with the owner of peer_half (a SubjectPublicKeyInfo):
 * INVALID when that is none, or of another curve. ret_secret: (spec->bits + 7) / 8 bytes of secret
 * memory. */
COFFER_MUST_CHECK int cof_pair_agree(const struct cof_kms_spec *spec, const uint8_t *private_half,
                                     struct cof_kms_bytes peer_half, uint8_t *ret_secret,
                                     size_t *ret_secret_bytes);

/* pkcs8.c, pkcs8_read.c: PrivateKeyInfo (RFC 5208), as `openssl pkcs8 -topk8 -nocrypt` writes it.
 * ret_der: secret memory. */
COFFER_MUST_CHECK int cof_pair_to_pkcs8(const struct cof_kms_spec *spec,
                                        const uint8_t *private_half,
                                        uint8_t ret_der[COF_PAIR_PKCS8_BYTES_MAX],
                                        size_t *ret_der_bytes);
/* INVALID when it isn't exactly one sound private key of this spec. */
COFFER_MUST_CHECK int cof_pair_from_pkcs8(const struct cof_kms_spec *spec, struct cof_kms_bytes der,
                                          uint8_t *ret_private);

#endif
