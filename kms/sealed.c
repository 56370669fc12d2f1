/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sealed.c - sealing and opening of 32-byte keys; the layout stands in sealed.h.
 *
 * Invariant: the commitment is compared, in constant time, before the tag. Any thread, no I/O.
 */
#include "sealed.h"

#include "secret.h"

#include <string.h>

#define FORMAT 1u
#define NONCE_AT 1u
#define COMMITMENT_AT 13u
#define COMMITMENT_BYTES 32u
#define CIPHERTEXT_AT 45u
#define TAG_AT 77u
#define SUBKEY_BYTES 64u

_Static_assert(TAG_AT + COF_KMS_TAG_BYTES == COF_KMS_SEALED_BYTES, "layout of a sealed key");

int cof_kms_sealed_make(struct cof_kms_env *env, const uint8_t *wrapping_key,
                        const struct cof_kms_sealed_place *place, const uint8_t *key,
                        uint8_t *subkey, uint8_t ret_sealed[COF_KMS_SEALED_BYTES])
{
    struct cof_kms_bytes plaintext = {key, COF_KMS_KEY_BYTES};
    uint8_t sealed[COF_KMS_SEALED_BYTES];
    int error = cof_kms_derive(wrapping_key, place->salt, place->label, place->info, subkey,
                               SUBKEY_BYTES);

    if (error == 0) {
        sealed[0] = FORMAT;
        error = cof_kms_random(env, sealed + NONCE_AT, COF_KMS_NONCE_BYTES);
    }
    if (error == 0) {
        memcpy(sealed + COMMITMENT_AT, subkey + COF_KMS_KEY_BYTES, COMMITMENT_BYTES);
        error = cof_kms_gcm_seal(subkey, sealed + NONCE_AT, place->aad, plaintext,
                                 sealed + CIPHERTEXT_AT, sealed + TAG_AT);
    }
    cof_kms_wipe(subkey, SUBKEY_BYTES);
    if (error == 0) {
        memcpy(ret_sealed, sealed, sizeof(sealed));
    }
    return error;
}

int cof_kms_sealed_open(const uint8_t *wrapping_key, const struct cof_kms_sealed_place *place,
                        const uint8_t sealed[COF_KMS_SEALED_BYTES], uint8_t *subkey,
                        uint8_t *ret_key)
{
    struct cof_kms_bytes ciphertext = {sealed + CIPHERTEXT_AT, COF_KMS_KEY_BYTES};
    int error = cof_kms_derive(wrapping_key, place->salt, place->label, place->info, subkey,
                               SUBKEY_BYTES);

    if (error == 0 && sealed[0] != FORMAT) {
        error = COFFER_E_TAMPER;
    }
    if (error == 0 && !cof_kms_equal(sealed + COMMITMENT_AT, subkey + COF_KMS_KEY_BYTES,
                                     COMMITMENT_BYTES)) {
        error = COFFER_E_COMMIT;
    }
    if (error == 0) {
        error = cof_kms_gcm_open(subkey, sealed + NONCE_AT, place->aad, ciphertext,
                                 sealed + TAG_AT, ret_key);
    }
    cof_kms_wipe(subkey, SUBKEY_BYTES);
    return error;
}
