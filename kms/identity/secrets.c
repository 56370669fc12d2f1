/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/secrets.c - access key ids and secrets: drawing them, and sealing a secret.
 *
 * A sealed secret is 32 random bytes, and the secret as sealed.h seals it under a key derived from
 * the store's root key with these bytes as salt and the store's uuid as info. Id and owner are
 * authenticated with it, so a secret can't be moved to another row. Secrets stand in locked memory.
 */
#include "identity/identity.h"

#include "base64.h"
#include "pack.h"
#include "secret.h"

#include <string.h>

#define LABEL "coffer/kms/access-key/1"
#define SALT_BYTES 32u
#define ID_RANDOM_BYTES 10u
#define SECRET_RANDOM_BYTES 30u
#define SECRET_CHARACTERS (COF_IDENTITY_SECRET_BYTES - 1)

int cof_identity_draw(struct coffer_keystore *ks, const char *prefix,
                      char ret_id[COF_IDENTITY_KEY_ID_BYTES],
                      char ret_secret[COF_IDENTITY_SECRET_BYTES])
{
    static const char id_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    struct cof_kms_bytes drawn = {ks->secrets->subkey, SECRET_RANDOM_BYTES};
    uint8_t random[ID_RANDOM_BYTES];
    uint64_t bits = 0;
    unsigned held = 0, used = 0;
    char *out = ret_id + 4;
    int error = cof_kms_random(&ks->env, random, sizeof(random));

    /* The key's own scratch, which is locked: the secret's bytes stand nowhere else. */
    if (error == 0) {
        error = cof_kms_random(&ks->env, ks->secrets->subkey, SECRET_RANDOM_BYTES);
    }
    if (error != 0) {
        return error;
    }
    memcpy(ret_id, prefix, 4);
    while (used < sizeof(random) || held > 0) {
        if (held < 5) {
            bits = bits << 8 | random[used++];
            held += 8;
        }
        held -= 5;
        *out++ = id_digits[bits >> held & 31];
    }
    *out = '\0';
    (void)cof_kms_base64_encode(drawn, ret_secret);
    cof_kms_wipe(ks->secrets->subkey, sizeof(ks->secrets->subkey));
    return 0;
}

static struct cof_kms_sealed_place place_of(const struct coffer_keystore *ks,
                                            const struct cof_kms_access_key_row *row,
                                            struct cof_kms_pack *aad)
{
    struct cof_kms_sealed_place place;

    cof_kms_pack_text(aad, LABEL);
    cof_kms_pack_text(aad, row->access_key_id);
    cof_kms_pack_text(aad, row->principal_arn);
    place.label = LABEL;
    place.salt.at = row->sealed_secret;
    place.salt.length_bytes = SALT_BYTES;
    place.info.at = ks->header.uuid;
    place.info.length_bytes = sizeof(ks->header.uuid);
    place.aad = cof_kms_packed(aad);
    return place;
}

int cof_identity_secret_seal(struct coffer_keystore *ks, const char *secret,
                             struct cof_kms_access_key_row *row)
{
    struct cof_kms_bytes bytes = {(const uint8_t *)secret, SECRET_CHARACTERS};
    uint8_t buffer[512];
    struct cof_kms_pack aad = cof_kms_pack_into(buffer, sizeof(buffer));
    struct cof_kms_sealed_place place = place_of(ks, row, &aad);
    int error = cof_kms_random(&ks->env, row->sealed_secret, SALT_BYTES);

    if (error == 0) {
        error = cof_kms_sealed_make(&ks->env, ks->secrets->root_key, &place, bytes,
                                    ks->secrets->subkey, row->sealed_secret + SALT_BYTES);
    }
    if (error == 0) {
        row->sealed_secret_bytes = SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + SECRET_CHARACTERS;
    }
    return error;
}

int cof_identity_secret_open(struct coffer_keystore *ks, const struct cof_kms_access_key_row *row,
                             char ret_secret[COFFER_KMS_SECRET_BYTES_MAX])
{
    uint8_t buffer[512];
    struct cof_kms_pack aad = cof_kms_pack_into(buffer, sizeof(buffer));
    struct cof_kms_sealed_place place = place_of(ks, row, &aad);
    struct cof_kms_bytes sealed = {row->sealed_secret + SALT_BYTES,
                                   row->sealed_secret_bytes - SALT_BYTES};
    int error;

    if (row->sealed_secret_bytes !=
        SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + SECRET_CHARACTERS) {
        return COFFER_E_TAMPER;
    }
    error = cof_kms_sealed_open(ks->secrets->root_key, &place, sealed, ks->secrets->subkey,
                                (uint8_t *)ret_secret);
    if (error == 0) {
        ret_secret[SECRET_CHARACTERS] = '\0';
    }
    return error == COFFER_E_COMMIT ? COFFER_E_TAMPER : error;
}
