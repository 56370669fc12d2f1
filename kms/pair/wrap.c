/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/wrap.c - opening of wrapped material; wrap.h says what is in it.
 *
 * Invariant: the AES key lies in the caller's secret memory until it has been used, and is wiped
 * there. Any thread.
 */
#include "wrap.h"

#include "internal.h"
#include "kms/secret.h"

#include <string.h>

#define AES_KEY_BYTES 32u
#define AES_BLOCK_BYTES 8u /* of the key wrap */

#define OAEP(name, digest, bytes)                                                \
    {                                                                            \
        name, COF_KMS_RSA, 0, COF_KMS_USAGE_ENCRYPT, COF_KMS_OAEP, digest, bytes \
    }

static const struct cof_wrap_algorithm algorithms[] = {
    {"RSAES_OAEP_SHA_1", OAEP("RSAES_OAEP_SHA_1", "SHA1", 20), false},
    {"RSAES_OAEP_SHA_256", OAEP("RSAES_OAEP_SHA_256", "SHA256", 32), false},
    {"RSA_AES_KEY_WRAP_SHA_1", OAEP("RSAES_OAEP_SHA_1", "SHA1", 20), true},
    {"RSA_AES_KEY_WRAP_SHA_256", OAEP("RSAES_OAEP_SHA_256", "SHA256", 32), true},
};

#define COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

unsigned cof_wrap_number(const char *name)
{
    unsigned i;

    for (i = 0; i < COUNT; i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return i + 1;
        }
    }
    return 0;
}

const struct cof_wrap_algorithm *cof_wrap_algorithm(unsigned number)
{
    return number >= 1 && number <= COUNT ? &algorithms[number - 1] : NULL;
}

/* RFC 5649 under the 32 bytes at key. */
static int unwrap(const uint8_t *key, struct cof_kms_bytes wrapped, uint8_t *ret_material,
                  size_t *ret_material_bytes)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int bytes = 0, error = COFFER_E_CRYPTO;

    if (ctx != NULL) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        if (EVP_DecryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, key, NULL) == 1) {
            error = EVP_DecryptUpdate(ctx, ret_material, &bytes, wrapped.at,
                                      (int)wrapped.length_bytes) == 1 &&
                            bytes > 0
                        ? 0
                        : COFFER_E_KEY_CIPHERTEXT;
        }
    }
    EVP_CIPHER_CTX_free(ctx);
    if (error == 0) {
        *ret_material_bytes = (size_t)bytes;
    }
    return error;
}

/* The AES key is opened into the end of the caller's memory, behind the material's place. */
static int open_with_aes(const struct cof_kms_spec *spec, const uint8_t *private_half,
                         const struct cof_wrap_algorithm *algorithm, struct cof_kms_bytes wrapped,
                         uint8_t *ret_material, size_t capacity, size_t *ret_material_bytes)
{
    size_t modulus_bytes = spec->bits / 8;
    struct cof_kms_bytes first = {wrapped.at, modulus_bytes};
    struct cof_kms_bytes second = {wrapped.at + modulus_bytes,
                                   wrapped.length_bytes - modulus_bytes};
    uint8_t *key = ret_material + capacity - modulus_bytes;
    size_t key_bytes = 0;
    int error;

    if (second.length_bytes < 2 * AES_BLOCK_BYTES || second.length_bytes % AES_BLOCK_BYTES != 0 ||
        second.length_bytes > capacity - modulus_bytes) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    error = cof_pair_decrypt(spec, private_half, &algorithm->oaep, first, key, &key_bytes);
    if (error == 0 && key_bytes != AES_KEY_BYTES) {
        error = COFFER_E_KEY_CIPHERTEXT;
    }
    if (error == 0) {
        error = unwrap(key, second, ret_material, ret_material_bytes);
    }
    cof_kms_wipe(key, modulus_bytes);
    return error;
}

int cof_wrap_open(const struct cof_kms_spec *spec, const uint8_t *private_half,
                  const struct cof_wrap_algorithm *algorithm, struct cof_kms_bytes wrapped,
                  uint8_t *ret_material, size_t capacity, size_t *ret_material_bytes)
{
    size_t modulus_bytes = spec->bits / 8;
    int error = COFFER_E_KEY_CIPHERTEXT;

    if (capacity < modulus_bytes) {
        return COFFER_E_INTERNAL;
    }
    if (!algorithm->with_aes) {
        error = cof_pair_decrypt(spec, private_half, &algorithm->oaep, wrapped, ret_material,
                                 ret_material_bytes);
    } else if (wrapped.length_bytes > modulus_bytes) {
        error = open_with_aes(spec, private_half, algorithm, wrapped, ret_material, capacity,
                              ret_material_bytes);
    }
    if (error != 0) {
        cof_kms_wipe(ret_material, capacity);
    }
    return cof_pair_end(error);
}
