/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/spec.c - the tables of key specs and algorithms; spec.h says what they are for.
 */
#include "spec.h"

#include <string.h>

#define RSA_BYTES(bits) ((bits) / 8 + 4 + (bits) / 8 + 5 * ((bits) / 16))
#define EC_BYTES(bits) (((bits) + 7) / 8 + 1 + 2 * (((bits) + 7) / 8))

_Static_assert(RSA_BYTES(4096) == COF_PAIR_BYTES_MAX, "the largest material");

static const struct cof_kms_spec specs[] = {
    {"SYMMETRIC_DEFAULT", COF_KMS_SYMMETRIC, 256, 32, NULL},
    {"HMAC_224", COF_KMS_HMAC, 224, 28, NULL},
    {"HMAC_256", COF_KMS_HMAC, 256, 32, NULL},
    {"HMAC_384", COF_KMS_HMAC, 384, 48, NULL},
    {"HMAC_512", COF_KMS_HMAC, 512, 64, NULL},
    {"RSA_2048", COF_KMS_RSA, 2048, RSA_BYTES(2048), NULL},
    {"RSA_3072", COF_KMS_RSA, 3072, RSA_BYTES(3072), NULL},
    {"RSA_4096", COF_KMS_RSA, 4096, RSA_BYTES(4096), NULL},
    {"ECC_NIST_P256", COF_KMS_EC, 256, EC_BYTES(256), "P-256"},
    {"ECC_NIST_P384", COF_KMS_EC, 384, EC_BYTES(384), "P-384"},
    {"ECC_NIST_P521", COF_KMS_EC, 521, EC_BYTES(521), "P-521"},
    {"ECC_NIST_EDWARDS25519", COF_KMS_EDWARDS, 256, 64, NULL},
};

static const struct cof_kms_algorithm algorithms[] = {
    {"SYMMETRIC_DEFAULT", COF_KMS_SYMMETRIC, 0, COF_KMS_USAGE_ENCRYPT, COF_KMS_NO_PADDING, NULL, 0},
    {"RSAES_OAEP_SHA_1", COF_KMS_RSA, 0, COF_KMS_USAGE_ENCRYPT, COF_KMS_OAEP, "SHA1", 20},
    {"RSAES_OAEP_SHA_256", COF_KMS_RSA, 0, COF_KMS_USAGE_ENCRYPT, COF_KMS_OAEP, "SHA256", 32},
    {"RSASSA_PKCS1_V1_5_SHA_256", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PKCS1, "SHA256", 32},
    {"RSASSA_PKCS1_V1_5_SHA_384", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PKCS1, "SHA384", 48},
    {"RSASSA_PKCS1_V1_5_SHA_512", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PKCS1, "SHA512", 64},
    {"RSASSA_PSS_SHA_256", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PSS, "SHA256", 32},
    {"RSASSA_PSS_SHA_384", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PSS, "SHA384", 48},
    {"RSASSA_PSS_SHA_512", COF_KMS_RSA, 0, COF_KMS_USAGE_SIGN, COF_KMS_PSS, "SHA512", 64},
    {"ECDSA_SHA_256", COF_KMS_EC, 256, COF_KMS_USAGE_SIGN, COF_KMS_NO_PADDING, "SHA256", 32},
    {"ECDSA_SHA_384", COF_KMS_EC, 384, COF_KMS_USAGE_SIGN, COF_KMS_NO_PADDING, "SHA384", 48},
    {"ECDSA_SHA_512", COF_KMS_EC, 521, COF_KMS_USAGE_SIGN, COF_KMS_NO_PADDING, "SHA512", 64},
    {"ECDH", COF_KMS_EC, 0, COF_KMS_USAGE_AGREE, COF_KMS_NO_PADDING, NULL, 0},
    {"ED25519_SHA_512", COF_KMS_EDWARDS, 0, COF_KMS_USAGE_SIGN, COF_KMS_NO_PADDING, NULL, 0},
    {"HMAC_SHA_224", COF_KMS_HMAC, 224, COF_KMS_USAGE_MAC, COF_KMS_NO_PADDING, "SHA224", 28},
    {"HMAC_SHA_256", COF_KMS_HMAC, 256, COF_KMS_USAGE_MAC, COF_KMS_NO_PADDING, "SHA256", 32},
    {"HMAC_SHA_384", COF_KMS_HMAC, 384, COF_KMS_USAGE_MAC, COF_KMS_NO_PADDING, "SHA384", 48},
    {"HMAC_SHA_512", COF_KMS_HMAC, 512, COF_KMS_USAGE_MAC, COF_KMS_NO_PADDING, "SHA512", 64},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const struct cof_kms_spec *cof_kms_spec_find(const char *name)
{
    size_t i;

    for (i = 0; i < COUNT(specs); i++) {
        if (strcmp(specs[i].name, name) == 0) {
            return &specs[i];
        }
    }
    return NULL;
}

bool cof_kms_spec_is_pair(const struct cof_kms_spec *spec)
{
    return spec->family >= COF_KMS_RSA;
}

static bool fits(const struct cof_kms_algorithm *algorithm, const struct cof_kms_spec *spec,
                 const char *usage)
{
    return algorithm->family == spec->family &&
           (algorithm->bits == 0 || algorithm->bits == spec->bits) &&
           strcmp(algorithm->usage, usage) == 0;
}

const struct cof_kms_algorithm *cof_kms_algorithm_next(const struct cof_kms_spec *spec,
                                                       const char *usage,
                                                       const struct cof_kms_algorithm *after)
{
    const struct cof_kms_algorithm *at = after == NULL ? algorithms : after + 1;

    for (; at < algorithms + COUNT(algorithms); at++) {
        if (fits(at, spec, usage)) {
            return at;
        }
    }
    return NULL;
}

const struct cof_kms_algorithm *cof_kms_algorithm_find(const struct cof_kms_spec *spec,
                                                       const char *usage, const char *name)
{
    const struct cof_kms_algorithm *at = NULL;

    while ((at = cof_kms_algorithm_next(spec, usage, at)) != NULL) {
        if (strcmp(at->name, name) == 0) {
            return at;
        }
    }
    return NULL;
}

bool cof_kms_spec_allows(const struct cof_kms_spec *spec, const char *usage)
{
    return cof_kms_algorithm_next(spec, usage, NULL) != NULL;
}
