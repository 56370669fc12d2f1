/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant_token.c - tokens of grants: sealed, so that they are opaque, and nothing is stored.
 *
 * A token is hex of: salt (32 random bytes) and the sealed secret (sealed.h) text key ARN | text
 * grant id, under HKDF(root key, salt, "coffer/kms/grant-token/1", uuid). It proves that the grant
 * was made, and nothing else: whether it still is there, and for whom, its row says. Under the
 * store's lock.
 */
#include "kms.h"

#include "pack.h"

#include <string.h>

#define LABEL "coffer/kms/grant-token/1"
#define SALT_BYTES 32u
#define PAYLOAD_BYTES_MAX (8u + COFFER_KEY_ARN_BYTES_MAX + COFFER_GRANT_ID_BYTES)
#define TOKEN_BYTES_MAX (SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + PAYLOAD_BYTES_MAX)

static struct cof_kms_sealed_place place_of(const struct coffer_keystore *ks, const uint8_t *salt)
{
    struct cof_kms_sealed_place place = {
        LABEL, {salt, SALT_BYTES}, {ks->header.uuid, sizeof(ks->header.uuid)}, {NULL, 0}};

    return place;
}

int cof_kms_grant_token_make(struct cof_kms_call *call, const char *key_arn, const char *grant_id,
                             char *ret_token, size_t capacity)
{
    struct coffer_keystore *ks = call->ks;
    uint8_t payload[PAYLOAD_BYTES_MAX], token[TOKEN_BYTES_MAX] = {0};
    struct cof_kms_pack pack = cof_kms_pack_into(payload, sizeof(payload));
    struct cof_kms_sealed_place place = place_of(ks, token);
    size_t bytes;
    int error;

    cof_kms_pack_text(&pack, key_arn);
    cof_kms_pack_text(&pack, grant_id);
    bytes = SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + pack.length_bytes;
    error = pack.overflowed || capacity < 2 * bytes + 1
                ? COFFER_E_INTERNAL
                : cof_kms_random(&ks->env, token, SALT_BYTES);
    if (error == 0) {
        error = cof_kms_sealed_make(&ks->env, ks->secrets->root_key, &place, cof_kms_packed(&pack),
                                    ks->secrets->subkey, token + SALT_BYTES);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    cof_kms_hex(token, bytes, ret_token);
    return 0;
}

/* Take a sized text at *at into ret_text; false when it isn't there or doesn't fit. */
static bool take(const uint8_t **at, const uint8_t *end, char *ret_text, size_t capacity)
{
    size_t bytes;

    if (end - *at < 4) {
        return false;
    }
    bytes = (size_t)cof_kms_unpack_number(*at, 4);
    *at += 4;
    if (bytes >= capacity || (size_t)(end - *at) < bytes) {
        return false;
    }
    memcpy(ret_text, *at, bytes);
    ret_text[bytes] = '\0';
    *at += bytes;
    return true;
}

int cof_kms_grant_token_open(struct cof_kms_call *call, const char *token,
                             char ret_key_arn[COFFER_KEY_ARN_BYTES_MAX],
                             char ret_grant_id[COFFER_GRANT_ID_BYTES])
{
    struct coffer_keystore *ks = call->ks;
    uint8_t sealed[TOKEN_BYTES_MAX] = {0}, payload[PAYLOAD_BYTES_MAX];
    size_t bytes = strlen(token) / 2;
    struct cof_kms_sealed_place place = place_of(ks, sealed);
    struct cof_kms_bytes rest = {sealed + SALT_BYTES, 0};
    const uint8_t *at = payload;
    int error = COFFER_E_GRANT_TOKEN;

    if (bytes > SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES && bytes <= sizeof(sealed) &&
        cof_kms_unhex(token, sealed, bytes)) {
        rest.length_bytes = bytes - SALT_BYTES;
        error = cof_kms_sealed_open(ks->secrets->root_key, &place, rest, ks->secrets->subkey,
                                    payload);
    }
    if (error == 0) {
        const uint8_t *end = payload + (rest.length_bytes - COF_KMS_SEALED_OVERHEAD_BYTES);

        if (!take(&at, end, ret_key_arn, COFFER_KEY_ARN_BYTES_MAX) ||
            !take(&at, end, ret_grant_id, COFFER_GRANT_ID_BYTES) || at != end) {
            error = COFFER_E_GRANT_TOKEN;
        }
    }
    if (error == COFFER_E_CRYPTO || error == 0) {
        return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
    }
    return cof_kms_fault(call->fault, COFFER_E_GRANT_TOKEN,
                         "the grant token is not one that CreateGrant gave");
}
