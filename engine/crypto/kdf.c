/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/kdf.c - HKDF-Expand (RFC 5869, SHA-256, one block) by HMAC (RFC 2104).
 *
 * HMAC stands here as two digests, not as EVP_MAC: OpenSSL 3.0 takes 580 to 810 ns for an EVP_MAC
 * that must not keep its key, and copies the key into its heap; two digests take 260, and what
 * enters the heap is a digest state that is cleansed with its context. A cold read pays this once
 * for each extent. The Wycheproof vectors of HMAC and HKDF run through these functions.
 *
 * Any thread. Temporaries on the stack are wiped whatever is returned.
 */
#include "crypto/internal.h"

#include <assert.h>
#include <string.h>

#define BLOCK_BYTES 64u /* of SHA-256 */
#define DIGEST_BYTES 32u
#define LABEL_BYTES_MAX 32u
#define INNER_PAD 0x36u
#define OUTER_PAD 0x5cu

struct hmac {
    uint8_t pad[BLOCK_BYTES];
    uint8_t inner[DIGEST_BYTES];
    uint8_t mac[DIGEST_BYTES];
};

static void pad_key(struct hmac *hmac, const uint8_t *key, size_t key_bytes, uint8_t with)
{
    memset(hmac->pad, with, sizeof hmac->pad);
    for (size_t i = 0; i < key_bytes; i++) {
        hmac->pad[i] = (uint8_t)(key[i] ^ with);
    }
}

static int digest(EVP_MD_CTX *context, const uint8_t pad[BLOCK_BYTES], const void *a,
                  size_t a_bytes, const void *b, size_t b_bytes, uint8_t out[DIGEST_BYTES])
{
    if (EVP_DigestInit_ex2(context, cof_digest_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(context, pad, BLOCK_BYTES) != 1 ||
        EVP_DigestUpdate(context, a, a_bytes) != 1 || EVP_DigestUpdate(context, b, b_bytes) != 1 ||
        EVP_DigestFinal_ex(context, out, NULL) != 1) {
        return COFFER_E_CRYPTO;
    }
    return 0;
}

int cof_kdf_hmac(const uint8_t *key, size_t key_bytes, const void *a, size_t a_bytes, const void *b,
                 size_t b_bytes, uint8_t ret_mac[32])
{
    struct hmac hmac;
    EVP_MD_CTX *context;
    int error;
    assert(key_bytes <= BLOCK_BYTES);
    context = cof_digest_sha256() != NULL ? EVP_MD_CTX_new() : NULL;
    if (context == NULL) {
        return COFFER_E_CRYPTO;
    }
    pad_key(&hmac, key, key_bytes, INNER_PAD);
    error = digest(context, hmac.pad, a, a_bytes, b, b_bytes, hmac.inner);
    if (error == 0) {
        pad_key(&hmac, key, key_bytes, OUTER_PAD);
        error = digest(context, hmac.pad, hmac.inner, DIGEST_BYTES, NULL, 0, hmac.mac);
    }
    EVP_MD_CTX_free(context);
    if (error == 0) {
        memcpy(ret_mac, hmac.mac, DIGEST_BYTES);
    }
    cof_wipe(&hmac, sizeof hmac);
    return error;
}

int cof_kdf_expand(const struct cof_secret *prk, const char *label, const uint8_t *info,
                   size_t info_bytes, uint8_t ret_bytes[COF_SECRET_BYTES])
{
    uint8_t message[LABEL_BYTES_MAX + COF_SUBKEY_INFO_BYTES + 1];
    size_t label_bytes = strlen(label);
    assert(label_bytes <= LABEL_BYTES_MAX && info_bytes <= COF_SUBKEY_INFO_BYTES);
    memcpy(message, label, label_bytes);
    if (info_bytes > 0) {
        memcpy(message + label_bytes, info, info_bytes);
    }
    message[label_bytes + info_bytes] = 0x01;
    return cof_kdf_hmac(prk->bytes, sizeof prk->bytes, message, label_bytes + info_bytes + 1, NULL,
                        0, ret_bytes);
}

int cof_kdf_derive(struct cof_arena *arena, const struct cof_secret *prk, const char *label,
                   const uint8_t *info, size_t info_bytes, struct cof_secret **ret_secret)
{
    struct cof_secret *secret = NULL;
    int error = cof_secret_new(arena, &secret);
    if (error != 0) {
        return error;
    }
    error = cof_kdf_expand(prk, label, info, info_bytes, secret->bytes);
    if (error != 0) {
        cof_secret_free(arena, secret);
        return error;
    }
    *ret_secret = secret;
    return 0;
}
