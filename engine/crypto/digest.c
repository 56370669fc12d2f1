/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/digest.c - SHA-256 at once and in pieces, wiping, and comparison in constant time.
 *
 * Any thread; a stream belongs to one at a time.
 */
#include "crypto/internal.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <string.h>

struct cof_sha256_stream {
    struct cof_env *env;
    EVP_MD_CTX *context;
};

/* Fetched at the first call and kept for the life of the process: a fetch by name costs more than
 * a short digest. Published without a lock; the loser of a race gives its copy back. A failure is
 * not remembered. */
const EVP_MD *cof_digest_sha256(void)
{
    static _Atomic(EVP_MD *) fetched;
    EVP_MD *digest = atomic_load_explicit(&fetched, memory_order_acquire);
    EVP_MD *none = NULL;
    if (digest != NULL) {
        return digest;
    }
    digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (digest == NULL) {
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&fetched, &none, digest)) {
        EVP_MD_free(digest);
        digest = none;
    }
    return digest;
}

int cof_sha256(const void *bytes, size_t length_bytes, uint8_t ret_digest[32])
{
    const EVP_MD *digest = cof_digest_sha256();
    uint8_t result[32];
    if (digest == NULL || EVP_Digest(bytes, length_bytes, result, NULL, digest, NULL) != 1) {
        return COFFER_E_CRYPTO;
    }
    memcpy(ret_digest, result, sizeof result);
    return 0;
}

static void free_stream(struct cof_sha256_stream *stream)
{
    EVP_MD_CTX_free(stream->context);
    cof_free(stream->env, stream);
}

int cof_sha256_begin(struct cof_env *env, struct cof_sha256_stream **ret_stream)
{
    const EVP_MD *digest = cof_digest_sha256();
    struct cof_sha256_stream *stream = cof_calloc(env, 1, sizeof *stream);
    if (stream == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    stream->env = env;
    stream->context = EVP_MD_CTX_new();
    if (digest == NULL || stream->context == NULL ||
        EVP_DigestInit_ex2(stream->context, digest, NULL) != 1) {
        free_stream(stream);
        return COFFER_E_CRYPTO;
    }
    *ret_stream = stream;
    return 0;
}

int cof_sha256_add(struct cof_sha256_stream *stream, const void *bytes, size_t length_bytes)
{
    return EVP_DigestUpdate(stream->context, bytes, length_bytes) == 1 ? 0 : COFFER_E_CRYPTO;
}

int cof_sha256_end(struct cof_sha256_stream *stream, uint8_t ret_digest[32])
{
    uint8_t result[32];
    int ok = EVP_DigestFinal_ex(stream->context, result, NULL);
    free_stream(stream);
    if (ok != 1) {
        return COFFER_E_CRYPTO;
    }
    memcpy(ret_digest, result, sizeof result);
    return 0;
}

void cof_wipe(void *memory, size_t bytes)
{
    /* An empty text may have no buffer. */
    if (bytes > 0) {
        OPENSSL_cleanse(memory, bytes);
    }
}

int cof_equal(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}
