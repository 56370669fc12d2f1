/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/agree.c - the secret that two elliptic-curve pairs share (ECDH, SP 800-56A rev. 3).
 *
 * Invariants: the peer's public half is a point of the same curve, checked before the private half
 * meets it, so that no answer tells anything about the private half; the curves have the cofactor
 * 1. The secret is the x coordinate as it is: nobody may use it as a key undigested. Any thread.
 */
#include "internal.h"

#include "kms/secret.h"

#include <openssl/x509.h>
#include <string.h>

/* Whether der is how the key is written, and nothing else. */
static bool is_written(const EVP_PKEY *key, struct cof_kms_bytes der)
{
    unsigned char *again = NULL;
    int bytes = i2d_PUBKEY(key, &again);
    bool same = bytes > 0 && (size_t)bytes == der.length_bytes &&
                memcmp(again, der.at, der.length_bytes) == 0;

    OPENSSL_free(again);
    return same;
}

/* NULL unless der is one public half, from its first byte to its last. */
static EVP_PKEY *load_peer(struct cof_kms_bytes der)
{
    EVP_PKEY *peer = cof_pair_load_public(der);

    if (peer != NULL && !is_written(peer, der)) {
        EVP_PKEY_free(peer);
        peer = NULL;
    }
    return peer;
}

static int agree(EVP_PKEY *key, EVP_PKEY *peer, uint8_t *secret, size_t bytes)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t made_bytes = bytes;
    int error = COFFER_E_CRYPTO;

    if (ctx != NULL && EVP_PKEY_derive_init(ctx) == 1) {
        error =
            EVP_PKEY_parameters_eq(key, peer) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, peer, 1) == 1
                ? 0
                : COFFER_E_INVALID;
    }
    if (error == 0 && (EVP_PKEY_derive(ctx, secret, &made_bytes) != 1 || made_bytes != bytes)) {
        error = COFFER_E_CRYPTO;
    }
    EVP_PKEY_CTX_free(ctx);
    return error;
}

int cof_pair_agree(const struct cof_kms_spec *spec, const uint8_t *private_half,
                   struct cof_kms_bytes peer_half, uint8_t *ret_secret, size_t *ret_secret_bytes)
{
    size_t bytes = (spec->bits + 7) / 8;
    EVP_PKEY *peer = load_peer(peer_half);
    EVP_PKEY *key = peer != NULL ? cof_pair_load(spec, private_half) : NULL;
    int error;

    if (peer == NULL) {
        error = COFFER_E_INVALID;
    } else {
        error = key != NULL ? agree(key, peer, ret_secret, bytes) : COFFER_E_CRYPTO;
    }
    EVP_PKEY_free(peer);
    EVP_PKEY_free(key);
    if (error == 0) {
        *ret_secret_bytes = bytes;
    } else {
        cof_kms_wipe(ret_secret, bytes);
    }
    return cof_pair_end(error);
}
