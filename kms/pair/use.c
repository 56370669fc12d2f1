/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/use.c - signatures and RSA encryption.
 *
 * Invariants: PSS has a salt of the hash's length, and OAEP's mask the label's hash, as AWS KMS has
 * them; a ciphertext that doesn't open gives one error whatever is wrong with it. Any thread.
 */
#include "internal.h"

#include "kms/secret.h"

#include <openssl/core_names.h>
#include <string.h>

/* ---- signatures -------------------------------------------------------------------------- */

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static void fill_params(const struct cof_kms_algorithm *algorithm, OSSL_PARAM params[4])
{
    unsigned count = 0;

    params[count++] =
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, text(algorithm->digest), 0);
    if (algorithm->padding == COF_KMS_PSS) {
        params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                                           text(OSSL_PKEY_RSA_PAD_MODE_PSS), 0);
        params[count++] = OSSL_PARAM_construct_utf8_string(
            OSSL_SIGNATURE_PARAM_PSS_SALTLEN, text(OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST), 0);
    } else if (algorithm->padding == COF_KMS_PKCS1) {
        params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                                           text(OSSL_PKEY_RSA_PAD_MODE_PKCSV15), 0);
    } else if (algorithm->padding == COF_KMS_OAEP) {
        params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
                                                           text(OSSL_PKEY_RSA_PAD_MODE_OAEP), 0);
    }
    params[count] = OSSL_PARAM_construct_end();
}

/* What is signed: the hash of the message, or the one that was given. */
static int make_digest(const struct cof_kms_algorithm *algorithm, bool is_digest,
                       struct cof_kms_bytes message, uint8_t digest[EVP_MAX_MD_SIZE])
{
    size_t made_bytes = 0;

    if (is_digest) {
        if (algorithm->digest == NULL || message.length_bytes != algorithm->digest_bytes) {
            return COFFER_E_INVALID;
        }
        memcpy(digest, message.at, message.length_bytes);
        return 0;
    }
    return EVP_Q_digest(NULL, algorithm->digest, NULL, message.at, message.length_bytes, digest,
                        &made_bytes) == 1 &&
                   made_bytes == algorithm->digest_bytes
               ? 0
               : COFFER_E_CRYPTO;
}

static int sign_digest(EVP_PKEY *key, const struct cof_kms_algorithm *algorithm,
                       const uint8_t *digest, uint8_t *signature, size_t *bytes)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    OSSL_PARAM params[4];
    bool done;

    fill_params(algorithm, params);
    done = ctx != NULL && EVP_PKEY_sign_init_ex(ctx, params) == 1 &&
           EVP_PKEY_sign(ctx, signature, bytes, digest, algorithm->digest_bytes) == 1;
    EVP_PKEY_CTX_free(ctx);
    return done ? 0 : COFFER_E_CRYPTO;
}

/* Edwards curves hash by themselves. */
static int sign_message(EVP_PKEY *key, struct cof_kms_bytes message, uint8_t *signature,
                        size_t *bytes)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(ctx, signature, bytes, message.at, message.length_bytes) == 1;

    EVP_MD_CTX_free(ctx);
    return done ? 0 : COFFER_E_CRYPTO;
}

int cof_pair_sign(const struct cof_kms_spec *spec, const uint8_t *private_half,
                  const struct cof_kms_algorithm *algorithm, bool is_digest,
                  struct cof_kms_bytes message, uint8_t ret_signature[COF_PAIR_SIGNATURE_BYTES_MAX],
                  size_t *ret_signature_bytes)
{
    bool whole = algorithm->digest == NULL && !is_digest;
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint8_t signature[COF_PAIR_SIGNATURE_BYTES_MAX];
    size_t bytes = sizeof(signature);
    int error = whole ? 0 : make_digest(algorithm, is_digest, message, digest);
    EVP_PKEY *key;

    if (error != 0) {
        return cof_pair_end(error);
    }
    key = cof_pair_load(spec, private_half);
    if (key == NULL) {
        error = COFFER_E_CRYPTO;
    } else if (whole) {
        error = sign_message(key, message, signature, &bytes);
    } else {
        error = sign_digest(key, algorithm, digest, signature, &bytes);
    }
    EVP_PKEY_free(key);
    if (error == 0) {
        memcpy(ret_signature, signature, bytes);
        *ret_signature_bytes = bytes;
    }
    return cof_pair_end(error);
}

static bool digest_matches(EVP_PKEY *key, const struct cof_kms_algorithm *algorithm,
                           const uint8_t *digest, struct cof_kms_bytes signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    OSSL_PARAM params[4];
    bool matches;

    fill_params(algorithm, params);
    matches = ctx != NULL && EVP_PKEY_verify_init_ex(ctx, params) == 1 &&
              EVP_PKEY_verify(ctx, signature.at, signature.length_bytes, digest,
                              algorithm->digest_bytes) == 1;
    EVP_PKEY_CTX_free(ctx);
    return matches;
}

static bool message_matches(EVP_PKEY *key, struct cof_kms_bytes message,
                            struct cof_kms_bytes signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool matches = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestVerify(ctx, signature.at, signature.length_bytes, message.at,
                                    message.length_bytes) == 1;

    EVP_MD_CTX_free(ctx);
    return matches;
}

int cof_pair_verify(struct cof_kms_bytes public_half, const struct cof_kms_algorithm *algorithm,
                    bool is_digest, struct cof_kms_bytes message, struct cof_kms_bytes signature)
{
    bool whole = algorithm->digest == NULL && !is_digest;
    uint8_t digest[EVP_MAX_MD_SIZE];
    int error = whole ? 0 : make_digest(algorithm, is_digest, message, digest);
    EVP_PKEY *key;
    bool matches;

    if (error != 0) {
        return cof_pair_end(error);
    }
    key = cof_pair_load_public(public_half);
    if (key == NULL) {
        return cof_pair_end(COFFER_E_CRYPTO);
    }
    matches = whole ? message_matches(key, message, signature)
                    : digest_matches(key, algorithm, digest, signature);
    EVP_PKEY_free(key);
    return cof_pair_end(matches ? 0 : COFFER_E_TAMPER);
}

/* ---- RSA encryption ---------------------------------------------------------------------- */

size_t cof_pair_plaintext_max(const struct cof_kms_spec *spec,
                              const struct cof_kms_algorithm *algorithm)
{
    return spec->bits / 8 - 2 * algorithm->digest_bytes - 2;
}

int cof_pair_encrypt(const struct cof_kms_spec *spec, struct cof_kms_bytes public_half,
                     const struct cof_kms_algorithm *algorithm, struct cof_kms_bytes plaintext,
                     uint8_t *ret_ciphertext)
{
    EVP_PKEY *key = cof_pair_load_public(public_half);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    size_t bytes = spec->bits / 8;
    OSSL_PARAM params[4];
    int error = COFFER_E_CRYPTO;

    fill_params(algorithm, params);
    if (plaintext.length_bytes > cof_pair_plaintext_max(spec, algorithm)) {
        error = COFFER_E_INVALID;
    } else if (ctx != NULL && EVP_PKEY_encrypt_init_ex(ctx, params) == 1 &&
               EVP_PKEY_encrypt(ctx, ret_ciphertext, &bytes, plaintext.at,
                                plaintext.length_bytes) == 1 &&
               bytes == spec->bits / 8) {
        error = 0;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return cof_pair_end(error);
}

int cof_pair_decrypt(const struct cof_kms_spec *spec, const uint8_t *private_half,
                     const struct cof_kms_algorithm *algorithm, struct cof_kms_bytes ciphertext,
                     uint8_t *ret_plaintext, size_t *ret_plaintext_bytes)
{
    EVP_PKEY *key = cof_pair_load(spec, private_half);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    size_t bytes = spec->bits / 8;
    OSSL_PARAM params[4];
    int error = COFFER_E_CRYPTO;

    fill_params(algorithm, params);
    if (ctx != NULL && EVP_PKEY_decrypt_init_ex(ctx, params) == 1) {
        error = ciphertext.length_bytes == spec->bits / 8 &&
                        EVP_PKEY_decrypt(ctx, ret_plaintext, &bytes, ciphertext.at,
                                         ciphertext.length_bytes) == 1
                    ? 0
                    : COFFER_E_KEY_CIPHERTEXT;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (error == 0) {
        *ret_plaintext_bytes = bytes;
    } else {
        cof_kms_wipe(ret_plaintext, spec->bits / 8);
    }
    return cof_pair_end(error);
}
