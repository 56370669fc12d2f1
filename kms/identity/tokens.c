/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/tokens.c - a session as a token: everything about it, sealed, in base64.
 *
 *   token    base64(salt (32, random) | sealed.h's form of what follows, padded to whole groups)
 *   sealed   text access key id | text secret | text principal | text owner | u64 owner's
 *            creation | u64 end | text policy | zeros
 *
 * The key is HKDF(root key, salt, "coffer/kms/session/1", store uuid): only this store makes and
 * opens them. Both happen in the call's locked scratch. Invariant: what is unsealed was sealed
 * here, so its form is ours, and a flaw in it is TAMPER.
 */
#include "identity/identity.h"

#include "base64.h"
#include "pack.h"
#include "secret.h"

#include <string.h>

#define LABEL "coffer/kms/session/1"
#define SALT_BYTES 32u
#define TOKEN_BYTES_MAX ((COF_IDENTITY_TOKEN_BYTES_MAX - 1) / 4 * 3)
#define SEALED_BYTES_MAX (TOKEN_BYTES_MAX - SALT_BYTES)

_Static_assert(SEALED_BYTES_MAX - COF_KMS_SEALED_OVERHEAD_BYTES >= COFFER_PLAINTEXT_BYTES_MAX,
               "a token has room for all that the scratch holds");

static struct cof_kms_sealed_place place_of(const struct coffer_keystore *ks, const uint8_t *salt)
{
    struct cof_kms_sealed_place place = {LABEL,
                                         {salt, SALT_BYTES},
                                         {ks->header.uuid, sizeof(ks->header.uuid)},
                                         {(const uint8_t *)LABEL, sizeof(LABEL)}};

    return place;
}

int cof_identity_token_make(struct coffer_keystore *ks, const struct cof_identity_session *session,
                            char ret_token[COF_IDENTITY_TOKEN_BYTES_MAX])
{
    struct cof_kms_pack pack =
        cof_kms_pack_into(ks->secrets->plaintext, sizeof(ks->secrets->plaintext));
    struct cof_kms_sealed_place place;
    struct cof_kms_bytes plaintext;
    uint8_t *bytes;
    int error;

    cof_kms_pack_text(&pack, session->access_key_id);
    cof_kms_pack_text(&pack, session->secret);
    cof_kms_pack_text(&pack, session->principal);
    cof_kms_pack_text(&pack, session->owner);
    cof_kms_pack_u64(&pack, session->owner_created_ns);
    cof_kms_pack_u64(&pack, session->expires_ns);
    cof_kms_pack_text(&pack, session->policy == NULL ? "" : session->policy);
    while ((SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + pack.length_bytes) % 3 != 0 &&
           !pack.overflowed) {
        cof_kms_pack_u8(&pack, 0);
    }
    if (pack.overflowed) {
        return COFFER_E_LIMIT;
    }
    bytes = cof_kms_alloc(&ks->env, TOKEN_BYTES_MAX);
    if (bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    plaintext = cof_kms_packed(&pack);
    place = place_of(ks, bytes);
    error = cof_kms_random(&ks->env, bytes, SALT_BYTES);
    if (error == 0) {
        error = cof_kms_sealed_make(&ks->env, ks->secrets->root_key, &place, plaintext,
                                    ks->secrets->subkey, bytes + SALT_BYTES);
    }
    if (error == 0) {
        struct cof_kms_bytes token = {bytes, SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES +
                                                 plaintext.length_bytes};

        (void)cof_kms_base64_encode(token, ret_token);
    }
    cof_kms_wipe(ks->secrets->plaintext, sizeof(ks->secrets->plaintext));
    cof_kms_free(&ks->env, bytes);
    return error;
}

/* The text at *at becomes NUL-terminated in place: the length that follows it has been read. */
static char *take_text(uint8_t **at, uint8_t *end)
{
    char *text;
    size_t bytes;

    if (*at == NULL || end - *at < 4) {
        *at = NULL;
        return NULL;
    }
    bytes = (size_t)cof_kms_unpack_number(*at, 4);
    if (bytes > (size_t)(end - *at) - 4) {
        *at = NULL;
        return NULL;
    }
    /* One byte to the left, over its length, so that there is room for the NUL. */
    text = memmove(*at + 3, *at + 4, bytes);
    text[bytes] = '\0';
    *at += 4 + bytes;
    return text;
}

static uint64_t take_number(uint8_t **at, uint8_t *end)
{
    uint64_t number = 0;

    if (*at == NULL || end - *at < 8) {
        *at = NULL;
        return 0;
    }
    number = cof_kms_unpack_number(*at, 8);
    *at += 8;
    return number;
}

static int read_session(uint8_t *at, uint8_t *end, struct cof_identity_session *ret_session)
{
    struct cof_identity_session session;

    session.access_key_id = take_text(&at, end);
    session.secret = take_text(&at, end);
    session.principal = take_text(&at, end);
    session.owner = take_text(&at, end);
    session.owner_created_ns = take_number(&at, end);
    session.expires_ns = take_number(&at, end);
    session.policy = take_text(&at, end);
    if (at == NULL) {
        return COFFER_E_TAMPER;
    }
    if (session.policy[0] == '\0') {
        session.policy = NULL;
    }
    *ret_session = session;
    return 0;
}

int cof_identity_token_open(struct coffer_keystore *ks, const char *token,
                            struct cof_identity_session *ret_session)
{
    size_t characters = strlen(token), count = 0;
    uint8_t *scratch = ks->secrets->plaintext, *bytes;
    int error = COFFER_E_AUTH_UNKNOWN;

    if (characters >= COF_IDENTITY_TOKEN_BYTES_MAX) {
        return error;
    }
    bytes = cof_kms_alloc(&ks->env, TOKEN_BYTES_MAX);
    if (bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (cof_kms_base64_decode(token, characters, bytes, &count) == 0 &&
        count > SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES &&
        count <= SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + sizeof(ks->secrets->plaintext)) {
        struct cof_kms_sealed_place place = place_of(ks, bytes);
        struct cof_kms_bytes sealed = {bytes + SALT_BYTES, count - SALT_BYTES};

        error = cof_kms_sealed_open(ks->secrets->root_key, &place, sealed, ks->secrets->subkey,
                                    scratch);
        if (error == COFFER_E_COMMIT || error == COFFER_E_TAMPER) {
            error = COFFER_E_AUTH_UNKNOWN;
        }
        if (error == 0) {
            error = read_session(
                scratch, scratch + (sealed.length_bytes - COF_KMS_SEALED_OVERHEAD_BYTES),
                ret_session);
        }
    }
    cof_kms_free(&ks->env, bytes);
    return error;
}
