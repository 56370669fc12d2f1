/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/wrap.h - what a caller wrapped for import, opened.
 *
 *   RSAES_OAEP_SHA_*       the material, encrypted to the wrapping key
 *   RSA_AES_KEY_WRAP_SHA_* a 32-byte AES key so encrypted, then the material under that key by
 *                          AES key wrap with padding (RFC 5649)
 *
 * Invariant: whatever is wrong with the bytes, the answer is KEY_CIPHERTEXT. Any thread, no I/O.
 */
#ifndef COF_KMS_PAIR_WRAP_H
#define COF_KMS_PAIR_WRAP_H

#include "kms/seal.h"
#include "kms/spec.h"

struct cof_wrap_algorithm {
    const char *name;
    struct cof_kms_algorithm oaep;
    bool with_aes;
};

/* 0 or the index of an algorithm and one more, to be kept in a token. */
unsigned cof_wrap_number(const char *name);
/* NULL when there is none of that number. */
const struct cof_wrap_algorithm *cof_wrap_algorithm(unsigned number);

/* Open wrapped into ret_material, capacity bytes of secret memory, at least spec->bits / 8.
 * private_half is of the wrapping key, whose spec is given. */
COFFER_MUST_CHECK int cof_wrap_open(const struct cof_kms_spec *spec, const uint8_t *private_half,
                                    const struct cof_wrap_algorithm *algorithm,
                                    struct cof_kms_bytes wrapped, uint8_t *ret_material,
                                    size_t capacity, size_t *ret_material_bytes);

#endif
