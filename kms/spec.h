/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/spec.h - what kinds of keys there are, and which algorithms each is for: tables, no code that
 * touches a key.
 *
 * Names are AWS's (KeySpec, KeyUsage, SigningAlgorithm, EncryptionAlgorithm, MacAlgorithm,
 * KeyAgreementAlgorithm).
 * Invariant: each name stands once. Any thread.
 */
#ifndef COF_KMS_SPEC_H
#define COF_KMS_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#define COF_KMS_USAGE_ENCRYPT "ENCRYPT_DECRYPT"
#define COF_KMS_USAGE_SIGN "SIGN_VERIFY"
#define COF_KMS_USAGE_MAC "GENERATE_VERIFY_MAC"
#define COF_KMS_USAGE_AGREE "KEY_AGREEMENT"

/* Of any spec's material, and of the public half of any pair (DER). */
#define COF_PAIR_BYTES_MAX 2308u
#define COF_PAIR_PUBLIC_BYTES_MAX 600u

enum cof_kms_family { COF_KMS_SYMMETRIC, COF_KMS_HMAC, COF_KMS_RSA, COF_KMS_EC, COF_KMS_EDWARDS };

struct cof_kms_spec {
    const char *name;
    enum cof_kms_family family;
    unsigned bits;         /* of the modulus, of the group's order, or of the secret           */
    size_t material_bytes; /* exactly; pair.h says how a pair's are laid out                   */
    const char *group;     /* OpenSSL's name of the curve, or NULL                             */
};

enum cof_kms_padding { COF_KMS_NO_PADDING, COF_KMS_OAEP, COF_KMS_PSS, COF_KMS_PKCS1 };

struct cof_kms_algorithm {
    const char *name;
    enum cof_kms_family family;
    unsigned bits; /* of the specs it is for; 0: all of the family */
    const char *usage;
    enum cof_kms_padding padding;
    const char *digest; /* OpenSSL's name; NULL: the message is signed as it is */
    size_t digest_bytes;
};

/* NULL when there is no such spec. */
const struct cof_kms_spec *cof_kms_spec_find(const char *name);
/* Pairs have a public half. */
bool cof_kms_spec_is_pair(const struct cof_kms_spec *spec);
/* Whether there are keys of the spec for usage. */
bool cof_kms_spec_allows(const struct cof_kms_spec *spec, const char *usage);

/* NULL when there is none of that name for such a key. */
const struct cof_kms_algorithm *cof_kms_algorithm_find(const struct cof_kms_spec *spec,
                                                       const char *usage, const char *name);
/* The algorithms of such a key, one after the other: first with NULL; NULL at the end. */
const struct cof_kms_algorithm *cof_kms_algorithm_next(const struct cof_kms_spec *spec,
                                                       const char *usage,
                                                       const struct cof_kms_algorithm *after);

#endif
