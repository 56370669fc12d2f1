/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/seal.c - the only file of the room that knows OpenSSL.
 *
 * Invariants: no output is written before its authentication is known; every context is freed on
 * every path (OpenSSL cleanses what it copied); a failure of the library is CRYPTO, never ignored.
 * OpenSSL's algorithms are looked up once in a process and kept; they know no key. Any thread. It
 * must never see a file or a row.
 */
#include "seal.h"

#include "secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#define INFO_BYTES_MAX 256u

/* What OpenSSL takes as long to look up as to run. */
static struct {
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    EVP_KDF *hkdf;
    EVP_MAC_CTX *hmac; /* of SHA-256, without a key: to be copied */
} algorithms;
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;

static void look_up(void)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    algorithms.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    algorithms.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    algorithms.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    algorithms.hmac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    if (algorithms.hmac != NULL && EVP_MAC_CTX_set_params(algorithms.hmac, params) != 1) {
        EVP_MAC_CTX_free(algorithms.hmac);
        algorithms.hmac = NULL;
    }
}

/* Whether all are there. */
static bool have_algorithms(void)
{
    (void)pthread_once(&algorithms_once, look_up);
    return algorithms.sha256 != NULL && algorithms.gcm != NULL && algorithms.hkdf != NULL &&
           algorithms.hmac != NULL;
}

int cof_kms_derive(const uint8_t key[COF_KMS_KEY_BYTES], struct cof_kms_bytes salt,
                   const char *label, struct cof_kms_bytes info, uint8_t *ret_key,
                   size_t key_bytes)
{
    uint8_t full_info[INFO_BYTES_MAX];
    size_t label_bytes = strlen(label) + 1;
    EVP_KDF_CTX *ctx = NULL;
    OSSL_PARAM params[5];
    int done = 0;

    if (label_bytes + info.length_bytes > sizeof(full_info)) {
        return COFFER_E_INTERNAL;
    }
    memcpy(full_info, label, label_bytes);
    if (info.length_bytes > 0) {
        memcpy(full_info + label_bytes, info.at, info.length_bytes);
    }
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key,
                                                  COF_KMS_KEY_BYTES);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.at,
                                                  salt.length_bytes);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, full_info,
                                                  label_bytes + info.length_bytes);
    params[4] = OSSL_PARAM_construct_end();
    if (have_algorithms()) {
        ctx = EVP_KDF_CTX_new(algorithms.hkdf);
    }
    if (ctx != NULL) {
        done = EVP_KDF_derive(ctx, ret_key, key_bytes, params) == 1;
    }
    EVP_KDF_CTX_free(ctx);
    if (!done) {
        cof_kms_wipe(ret_key, key_bytes);
        return COFFER_E_CRYPTO;
    }
    return 0;
}

/* Feed key, nonce and associated data to a fresh context for either direction. */
static EVP_CIPHER_CTX *gcm_begin(const uint8_t *key, const uint8_t *nonce,
                                 struct cof_kms_bytes aad, int encrypt)
{
    EVP_CIPHER_CTX *ctx = have_algorithms() ? EVP_CIPHER_CTX_new() : NULL;
    int done_bytes = 0;

    if (ctx == NULL) {
        return NULL;
    }
    if (aad.length_bytes > INT32_MAX ||
        EVP_CipherInit_ex(ctx, algorithms.gcm, NULL, key, nonce, encrypt) != 1 ||
        (aad.length_bytes > 0 &&
         EVP_CipherUpdate(ctx, NULL, &done_bytes, aad.at, (int)aad.length_bytes) != 1)) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

int cof_kms_gcm_seal(const uint8_t key[COF_KMS_KEY_BYTES],
                     const uint8_t nonce[COF_KMS_NONCE_BYTES], struct cof_kms_bytes aad,
                     struct cof_kms_bytes plaintext, uint8_t *ret_ciphertext,
                     uint8_t ret_tag[COF_KMS_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = gcm_begin(key, nonce, aad, 1);
    int done_bytes = 0, final_bytes = 0, done;

    if (ctx == NULL) {
        return COFFER_E_CRYPTO;
    }
    done = plaintext.length_bytes <= INT32_MAX &&
           EVP_CipherUpdate(ctx, ret_ciphertext, &done_bytes, plaintext.at,
                            (int)plaintext.length_bytes) == 1 &&
           EVP_CipherFinal_ex(ctx, ret_ciphertext + done_bytes, &final_bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, COF_KMS_TAG_BYTES, ret_tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return done ? 0 : COFFER_E_CRYPTO;
}

int cof_kms_gcm_open(const uint8_t key[COF_KMS_KEY_BYTES],
                     const uint8_t nonce[COF_KMS_NONCE_BYTES], struct cof_kms_bytes aad,
                     struct cof_kms_bytes ciphertext, const uint8_t tag[COF_KMS_TAG_BYTES],
                     uint8_t *ret_plaintext)
{
    EVP_CIPHER_CTX *ctx = gcm_begin(key, nonce, aad, 0);
    uint8_t expected[COF_KMS_TAG_BYTES];
    int done_bytes = 0, final_bytes = 0, error = COFFER_E_CRYPTO;

    if (ctx == NULL) {
        return COFFER_E_CRYPTO;
    }
    memcpy(expected, tag, sizeof(expected));
    if (ciphertext.length_bytes <= INT32_MAX &&
        EVP_CipherUpdate(ctx, ret_plaintext, &done_bytes, ciphertext.at,
                         (int)ciphertext.length_bytes) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, COF_KMS_TAG_BYTES, expected) == 1) {
        error = EVP_CipherFinal_ex(ctx, ret_plaintext + done_bytes, &final_bytes) == 1
                    ? 0
                    : COFFER_E_TAMPER;
    }
    EVP_CIPHER_CTX_free(ctx);
    if (error != 0) {
        cof_kms_wipe(ret_plaintext, ciphertext.length_bytes);
    }
    return error;
}

int cof_kms_hmac_by(const char *digest, struct cof_kms_bytes key, struct cof_kms_bytes data,
                    uint8_t *ret_mac, size_t mac_bytes)
{
    size_t made_bytes = 0;
    unsigned char *made = EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key.at, key.length_bytes,
                                    data.at, data.length_bytes, ret_mac, mac_bytes, &made_bytes);

    return made != NULL && made_bytes == mac_bytes ? 0 : COFFER_E_CRYPTO;
}

int cof_kms_hmac(struct cof_kms_bytes key, struct cof_kms_bytes data,
                 uint8_t ret_mac[COF_KMS_MAC_BYTES])
{
    EVP_MAC_CTX *ctx = have_algorithms() ? EVP_MAC_CTX_dup(algorithms.hmac) : NULL;
    size_t made_bytes = 0;
    int done = ctx != NULL && EVP_MAC_init(ctx, key.at, key.length_bytes, NULL) == 1 &&
               EVP_MAC_update(ctx, data.at, data.length_bytes) == 1 &&
               EVP_MAC_final(ctx, ret_mac, &made_bytes, COF_KMS_MAC_BYTES) == 1;

    EVP_MAC_CTX_free(ctx);
    return done && made_bytes == COF_KMS_MAC_BYTES ? 0 : COFFER_E_CRYPTO;
}

int cof_kms_mac(const uint8_t key[COF_KMS_KEY_BYTES], struct cof_kms_bytes data,
                uint8_t ret_mac[COF_KMS_MAC_BYTES])
{
    struct cof_kms_bytes whole = {key, COF_KMS_KEY_BYTES};

    return cof_kms_hmac(whole, data, ret_mac);
}

int cof_kms_sha256(struct cof_kms_bytes data, uint8_t ret_digest[COF_KMS_MAC_BYTES])
{
    EVP_MD_CTX *ctx = have_algorithms() ? EVP_MD_CTX_new() : NULL;
    int done = ctx != NULL && EVP_DigestInit_ex2(ctx, algorithms.sha256, NULL) == 1 &&
               EVP_DigestUpdate(ctx, data.at, data.length_bytes) == 1 &&
               EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return done ? 0 : COFFER_E_CRYPTO;
}

int cof_kms_ed25519_sign(const uint8_t seed[COF_KMS_KEY_BYTES], struct cof_kms_bytes message,
                         uint8_t ret_signature[64], uint8_t ret_public_key[32])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, COF_KMS_KEY_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[64], public_key[32];
    size_t signature_bytes = sizeof(signature), key_bytes = sizeof(public_key);
    int done = key != NULL && ctx != NULL &&
               EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
               EVP_DigestSign(ctx, signature, &signature_bytes, message.at,
                              message.length_bytes) == 1 &&
               EVP_PKEY_get_raw_public_key(key, public_key, &key_bytes) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!done) {
        return COFFER_E_CRYPTO;
    }
    memcpy(ret_signature, signature, sizeof(signature));
    memcpy(ret_public_key, public_key, sizeof(public_key));
    return 0;
}

bool cof_kms_equal(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}
