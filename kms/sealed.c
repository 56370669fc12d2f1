/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sealed.c - sealing and opening of secrets; the layout stands in sealed.h.
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
#define SUBKEY_BYTES 64u

_Static_assert(CIPHERTEXT_AT + COF_KMS_TAG_BYTES == COF_KMS_SEALED_OVERHEAD_BYTES,
               "layout of a sealed secret");

int cof_kms_sealed_make(struct cof_kms_env *env, const uint8_t *wrapping_key,
                        const struct cof_kms_sealed_place *place, struct cof_kms_bytes secret,
                        uint8_t *subkey, uint8_t *ret_sealed)
{
    uint8_t nonce[COF_KMS_NONCE_BYTES];
    int error = cof_kms_derive(wrapping_key, place->salt, place->label, place->info, subkey,
                               SUBKEY_BYTES);

    if (error == 0) {
        error = cof_kms_random(env, nonce, sizeof(nonce));
    }
    if (error == 0) {
        error = cof_kms_gcm_seal(subkey, nonce, place->aad, secret, ret_sealed + CIPHERTEXT_AT,
                                 ret_sealed + CIPHERTEXT_AT + secret.length_bytes);
    }
    if (error == 0) {
        ret_sealed[0] = FORMAT;
        memcpy(ret_sealed + NONCE_AT, nonce, sizeof(nonce));
        memcpy(ret_sealed + COMMITMENT_AT, subkey + COF_KMS_KEY_BYTES, COMMITMENT_BYTES);
    }
    cof_kms_wipe(subkey, SUBKEY_BYTES);
    return error;
}

int cof_kms_sealed_open(const uint8_t *wrapping_key, const struct cof_kms_sealed_place *place,
                        struct cof_kms_bytes sealed, uint8_t *subkey, uint8_t *ret_secret)
{
    struct cof_kms_bytes ciphertext = {sealed.at + CIPHERTEXT_AT, 0};
    int error;

    if (sealed.length_bytes <= COF_KMS_SEALED_OVERHEAD_BYTES || sealed.at[0] != FORMAT) {
        return COFFER_E_TAMPER;
    }
    ciphertext.length_bytes = sealed.length_bytes - COF_KMS_SEALED_OVERHEAD_BYTES;
    error = cof_kms_derive(wrapping_key, place->salt, place->label, place->info, subkey,
                           SUBKEY_BYTES);
    if (error == 0 && !cof_kms_equal(sealed.at + COMMITMENT_AT, subkey + COF_KMS_KEY_BYTES,
                                     COMMITMENT_BYTES)) {
        error = COFFER_E_COMMIT;
    }
    if (error == 0) {
        error = cof_kms_gcm_open(subkey, sealed.at + NONCE_AT, place->aad, ciphertext,
                                 ciphertext.at + ciphertext.length_bytes, ret_secret);
    }
    cof_kms_wipe(subkey, SUBKEY_BYTES);
    return error;
}
