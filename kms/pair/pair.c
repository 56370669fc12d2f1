/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/pair.c - pairs are generated, and go between their layout and OpenSSL.
 *
 * Invariant: OpenSSL reads and writes private parts in place. Its encoders and decoders are not
 * used for private keys, because they leave copies on the heap that nobody wipes. Any thread.
 */
#include "internal.h"

#include "kms/secret.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

int cof_pair_end(int error)
{
    ERR_clear_error();
    return error;
}

static unsigned rsa_parts(unsigned bits, uint8_t *at, struct cof_pair_part *parts)
{
    const struct {
        const char *name;
        size_t bytes;
    } fields[] = {
        {OSSL_PKEY_PARAM_RSA_N, bits / 8},          {OSSL_PKEY_PARAM_RSA_E, 4},
        {OSSL_PKEY_PARAM_RSA_D, bits / 8},          {OSSL_PKEY_PARAM_RSA_FACTOR1, bits / 16},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, bits / 16},   {OSSL_PKEY_PARAM_RSA_EXPONENT1, bits / 16},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, bits / 16}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, bits / 16},
    };
    unsigned i;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct cof_pair_part part = {fields[i].name, true, at, fields[i].bytes};

        parts[i] = part;
        at += part.bytes;
    }
    return i;
}

unsigned cof_pair_parts(const struct cof_kms_spec *spec, uint8_t *private_half,
                        struct cof_pair_part parts[COF_PAIR_PARTS_MAX])
{
    size_t width = (spec->bits + 7) / 8;

    if (spec->family == COF_KMS_RSA) {
        return rsa_parts(spec->bits, private_half, parts);
    }
    parts[0].name = OSSL_PKEY_PARAM_PRIV_KEY;
    parts[0].is_number = spec->family == COF_KMS_EC;
    parts[0].at = private_half;
    parts[0].bytes = width;
    parts[1].name = OSSL_PKEY_PARAM_PUB_KEY;
    parts[1].is_number = false;
    parts[1].at = private_half + width;
    parts[1].bytes = spec->material_bytes - width;
    return 2;
}

/* Room for a group's name and the end behind the parts. */
static unsigned fill_params(const struct cof_kms_spec *spec, uint8_t *private_half,
                            OSSL_PARAM params[COF_PAIR_PARTS_MAX + 2])
{
    struct cof_pair_part parts[COF_PAIR_PARTS_MAX];
    unsigned count = cof_pair_parts(spec, private_half, parts), i;

    for (i = 0; i < count; i++) {
        params[i] =
            parts[i].is_number
                ? OSSL_PARAM_construct_BN(parts[i].name, parts[i].at, parts[i].bytes)
                : OSSL_PARAM_construct_octet_string(parts[i].name, parts[i].at, parts[i].bytes);
    }
    params[count] = OSSL_PARAM_construct_end();
    return count;
}

static const char *family_name(const struct cof_kms_spec *spec)
{
    switch (spec->family) {
    case COF_KMS_RSA:
        return "RSA";
    case COF_KMS_EC:
        return "EC";
    case COF_KMS_EDWARDS:
        return "ED25519";
    case COF_KMS_SYMMETRIC:
    case COF_KMS_HMAC:
        break;
    }
    return "";
}

static EVP_PKEY *generate(const struct cof_kms_spec *spec)
{
    switch (spec->family) {
    case COF_KMS_RSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)spec->bits);
    case COF_KMS_EC:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", spec->group);
    case COF_KMS_EDWARDS:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case COF_KMS_SYMMETRIC:
    case COF_KMS_HMAC:
        break;
    }
    return NULL;
}

int cof_pair_generate(const struct cof_kms_spec *spec, uint8_t *ret_private)
{
    OSSL_PARAM params[COF_PAIR_PARTS_MAX + 2];
    unsigned count = fill_params(spec, ret_private, params), i;
    EVP_PKEY *key = generate(spec);
    bool done = key != NULL && EVP_PKEY_get_params(key, params) == 1;

    for (i = 0; done && i < count; i++) {
        done = OSSL_PARAM_modified(&params[i]) == 1;
    }
    EVP_PKEY_free(key);
    if (!done) {
        cof_kms_wipe(ret_private, spec->material_bytes);
        return cof_pair_end(COFFER_E_CRYPTO);
    }
    return cof_pair_end(0);
}

EVP_PKEY *cof_pair_load(const struct cof_kms_spec *spec, const uint8_t *private_half)
{
    OSSL_PARAM params[COF_PAIR_PARTS_MAX + 2];
    unsigned count = fill_params(spec, (uint8_t *)(uintptr_t)private_half, params);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, family_name(spec), NULL);
    EVP_PKEY *key = NULL;

    if (spec->group != NULL) {
        params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                           (char *)(uintptr_t)spec->group, 0);
        params[count] = OSSL_PARAM_construct_end();
    }
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1) {
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *cof_pair_load_public(struct cof_kms_bytes public_half)
{
    const unsigned char *at = public_half.at;

    return public_half.length_bytes <= COF_PAIR_PUBLIC_BYTES_MAX
               ? d2i_PUBKEY(NULL, &at, (long)public_half.length_bytes)
               : NULL;
}

int cof_pair_public(const struct cof_kms_spec *spec, const uint8_t *private_half,
                    uint8_t ret_der[COF_PAIR_PUBLIC_BYTES_MAX], size_t *ret_der_bytes)
{
    EVP_PKEY *key = cof_pair_load(spec, private_half);
    unsigned char *der = NULL;
    int der_bytes = key != NULL ? i2d_PUBKEY(key, &der) : -1;
    bool done = der_bytes > 0 && (size_t)der_bytes <= COF_PAIR_PUBLIC_BYTES_MAX;

    if (done) {
        memcpy(ret_der, der, (size_t)der_bytes);
        *ret_der_bytes = (size_t)der_bytes;
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return cof_pair_end(done ? 0 : COFFER_E_CRYPTO);
}
