/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/gcm.c - AES-256-GCM: key an EVP context, seal one message, open one message.
 *
 * EVP is the reference; ipsec_mb.c gives the same bytes faster. Each seal of any kind passes
 * cof_gcm_seal, where the test build records key and nonce. The IV stays at its default of 12
 * bytes, so that a message needs no parameter but its tag.
 *
 * A context belongs to one thread at a time. It holds the schedule of the last key it was given, in
 * OpenSSL's heap, until it gets another or is freed (which cleanses it).
 */
#include "crypto/internal.h"

#include "base/testhook.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

/* As cof_digest_sha256. */
static const EVP_CIPHER *fetch_cipher(void)
{
    static _Atomic(EVP_CIPHER *) fetched;
    EVP_CIPHER *cipher = atomic_load_explicit(&fetched, memory_order_acquire);
    EVP_CIPHER *none = NULL;
    if (cipher != NULL) {
        return cipher;
    }
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (cipher == NULL) {
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&fetched, &none, cipher)) {
        EVP_CIPHER_free(cipher);
        cipher = none;
    }
    return cipher;
}

int cof_gcm_context_new(EVP_CIPHER_CTX **ret_context)
{
    const EVP_CIPHER *cipher = fetch_cipher();
    EVP_CIPHER_CTX *context = cipher != NULL ? EVP_CIPHER_CTX_new() : NULL;
    if (context == NULL) {
        return COFFER_E_CRYPTO;
    }
    if (EVP_CipherInit_ex2(context, cipher, NULL, NULL, 1, NULL) != 1) {
        EVP_CIPHER_CTX_free(context);
        return COFFER_E_CRYPTO;
    }
    *ret_context = context;
    return 0;
}

int cof_gcm_key(EVP_CIPHER_CTX *context, int sealing, const struct cof_secret *key)
{
    return EVP_CipherInit_ex2(context, NULL, key->bytes, NULL, sealing, NULL) == 1
               ? 0
               : COFFER_E_CRYPTO;
}

static int fits(const struct cof_gcm_message *message)
{
    return message->length_bytes <= COF_GCM_MESSAGE_BYTES_MAX &&
           message->aad_bytes <= COF_GCM_MESSAGE_BYTES_MAX;
}

static void record_seal(const struct cof_secret *key, const uint8_t *nonce)
{
#ifdef COF_TEST_HOOKS
    if (cof_test_on_seal != NULL) {
        cof_test_on_seal(key->bytes, nonce);
    }
#else
    (void)key;
    (void)nonce;
#endif
}

/* EVP_CIPHER_CTX_ctrl would make this list of one anew, by way of a switch. */
static int get_tag(EVP_CIPHER_CTX *context, uint8_t ret_tag[COF_TAG_BYTES])
{
    OSSL_PARAM tag[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, ret_tag, COF_TAG_BYTES),
        OSSL_PARAM_END,
    };
    return EVP_CIPHER_CTX_get_params(context, tag);
}

static int set_tag(EVP_CIPHER_CTX *context, uint8_t expected[COF_TAG_BYTES])
{
    const OSSL_PARAM tag[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, COF_TAG_BYTES),
        OSSL_PARAM_END,
    };
    return EVP_CIPHER_CTX_set_params(context, tag);
}

int cof_evp_seal(EVP_CIPHER_CTX *context, const struct cof_gcm_message *message,
                 uint8_t ret_tag[COF_TAG_BYTES])
{
    int done = 0;
    if (EVP_EncryptInit_ex2(context, NULL, NULL, message->nonce, NULL) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (message->aad_bytes > 0 &&
        EVP_EncryptUpdate(context, NULL, &done, message->aad, (int)message->aad_bytes) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (message->length_bytes > 0 && EVP_EncryptUpdate(context, message->out, &done, message->in,
                                                       (int)message->length_bytes) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (EVP_EncryptFinal_ex(context, message->out, &done) != 1 || get_tag(context, ret_tag) != 1) {
        return COFFER_E_CRYPTO;
    }
    return 0;
}

int cof_evp_open(EVP_CIPHER_CTX *context, const struct cof_gcm_message *message,
                 const uint8_t tag[COF_TAG_BYTES])
{
    uint8_t expected[COF_TAG_BYTES];
    int done = 0;
    /* EVP wants the tag by a pointer to non-const. */
    memcpy(expected, tag, sizeof expected);
    if (EVP_DecryptInit_ex2(context, NULL, NULL, message->nonce, NULL) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (message->aad_bytes > 0 &&
        EVP_DecryptUpdate(context, NULL, &done, message->aad, (int)message->aad_bytes) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (message->length_bytes > 0 && EVP_DecryptUpdate(context, message->out, &done, message->in,
                                                       (int)message->length_bytes) != 1) {
        return COFFER_E_CRYPTO;
    }
    if (set_tag(context, expected) != 1) {
        return COFFER_E_CRYPTO;
    }
    return EVP_DecryptFinal_ex(context, message->out, &done) == 1 ? 0 : COFFER_E_TAMPER;
}

int cof_gcm_seal(EVP_CIPHER_CTX *context, const struct cof_schedule *schedule,
                 const struct cof_secret *key, const struct cof_gcm_message *message,
                 uint8_t ret_tag[COF_TAG_BYTES])
{
    if (!fits(message)) {
        return COFFER_E_INVALID;
    }
    record_seal(key, message->nonce);
    return schedule != NULL ? cof_ipsec_mb_seal(schedule, message, ret_tag)
                            : cof_evp_seal(context, message, ret_tag);
}

int cof_gcm_open(EVP_CIPHER_CTX *context, const struct cof_schedule *schedule,
                 const struct cof_gcm_message *message, const uint8_t tag[COF_TAG_BYTES])
{
    if (!fits(message)) {
        return COFFER_E_INVALID;
    }
    return schedule != NULL ? cof_ipsec_mb_open(schedule, message, tag)
                            : cof_evp_open(context, message, tag);
}

int cof_gcm_mac(EVP_CIPHER_CTX *context, const uint8_t nonce[COF_NONCE_BYTES], const uint8_t *first,
                size_t first_bytes, const uint8_t *second, size_t second_bytes,
                uint8_t ret_mac[COF_TAG_BYTES])
{
    uint8_t none[1];
    int done = 0;
    if (EVP_EncryptInit_ex2(context, NULL, NULL, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &done, first, (int)first_bytes) != 1 ||
        EVP_EncryptUpdate(context, NULL, &done, second, (int)second_bytes) != 1 ||
        EVP_EncryptFinal_ex(context, none, &done) != 1 || get_tag(context, ret_mac) != 1) {
        return COFFER_E_CRYPTO;
    }
    return 0;
}

int cof_gcm_hash_key(const struct cof_secret *key, uint8_t ret_block[16])
{
    static const uint8_t zeros[16];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    EVP_CIPHER_CTX *context = cipher != NULL ? EVP_CIPHER_CTX_new() : NULL;
    int done = 0;
    int error = context != NULL &&
                        EVP_EncryptInit_ex2(context, cipher, key->bytes, NULL, NULL) == 1 &&
                        EVP_EncryptUpdate(context, ret_block, &done, zeros, sizeof zeros) == 1 &&
                        done == (int)sizeof zeros
                    ? 0
                    : COFFER_E_CRYPTO;
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    return error;
}

int cof_gcm_seal_once(const struct cof_secret *key, const struct cof_gcm_message *message,
                      uint8_t ret_tag[COF_TAG_BYTES])
{
    EVP_CIPHER_CTX *context = NULL;
    int error = cof_gcm_context_new(&context);
    if (error == 0) {
        error = cof_gcm_key(context, 1, key);
    }
    if (error == 0) {
        error = cof_gcm_seal(context, NULL, key, message, ret_tag);
    }
    EVP_CIPHER_CTX_free(context);
    if (error != 0) {
        cof_wipe(message->out, message->length_bytes);
    }
    return error;
}

int cof_gcm_open_once(const struct cof_secret *key, const struct cof_gcm_message *message,
                      const uint8_t tag[COF_TAG_BYTES])
{
    EVP_CIPHER_CTX *context = NULL;
    int error = cof_gcm_context_new(&context);
    if (error == 0) {
        error = cof_gcm_key(context, 0, key);
    }
    if (error == 0) {
        error = cof_gcm_open(context, NULL, message, tag);
    }
    EVP_CIPHER_CTX_free(context);
    if (error != 0) {
        cof_wipe(message->out, message->length_bytes);
    }
    return error;
}
