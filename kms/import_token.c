/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import_token.c - import tokens, made and opened; the layout stands in import_token.h.
 *
 * Invariants: each token is sealed under a key of its own, from a random salt; the private half of
 * the wrapping key is never outside secret memory but sealed. Any thread, no I/O.
 */
#include "import_token.h"

#include "pack.h"
#include "secret.h"

#include <string.h>

#define MAGIC "CfIT"
#define MAGIC_BYTES 4u
#define FORMAT 1u
#define SALT_AT 5u
#define SALT_BYTES 32u
#define LABEL "coffer/kms/import-token/1"
#define UUID_BYTES 16u
#define HALF_AT 10u /* in the secret */
#define BITS_UNIT 1024u

_Static_assert(SALT_AT + SALT_BYTES == COF_KMS_IMPORT_TOKEN_HEAD_BYTES, "layout of a token");

static struct cof_kms_sealed_place place_of(const struct cof_kms_import_root *root,
                                            const uint8_t *head)
{
    struct cof_kms_sealed_place place = {LABEL,
                                         {head + SALT_AT, SALT_BYTES},
                                         {root->uuid, UUID_BYTES},
                                         {head, COF_KMS_IMPORT_TOKEN_HEAD_BYTES}};

    return place;
}

uint8_t *cof_kms_import_half(struct cof_kms_import_scratch *scratch)
{
    return scratch->secret + HALF_AT;
}

int cof_kms_import_token_make(const struct cof_kms_import_root *root,
                              const struct cof_kms_import_token *token,
                              struct cof_kms_import_scratch *scratch,
                              uint8_t ret_token[COF_KMS_IMPORT_TOKEN_BYTES_MAX],
                              size_t *ret_token_bytes)
{
    struct cof_kms_pack pack = cof_kms_pack_into(scratch->secret, HALF_AT);
    struct cof_kms_sealed_place place = place_of(root, ret_token);
    size_t half_bytes = token->wrapping->material_bytes;
    struct cof_kms_bytes secret = {scratch->secret, HALF_AT + half_bytes + strlen(token->arn)};
    int error;

    cof_kms_pack_u8(&pack, (uint8_t)cof_wrap_number(token->algorithm->name));
    cof_kms_pack_u8(&pack, (uint8_t)(token->wrapping->bits / BITS_UNIT));
    cof_kms_pack_u64(&pack, token->expires_ns);
    memcpy(scratch->secret + HALF_AT + half_bytes, token->arn, strlen(token->arn));
    memcpy(ret_token, MAGIC, MAGIC_BYTES);
    ret_token[MAGIC_BYTES] = FORMAT;
    error = cof_kms_random(root->env, ret_token + SALT_AT, SALT_BYTES);
    if (error == 0) {
        error = cof_kms_sealed_make(root->env, root->root_key, &place, secret, scratch->subkey,
                                    ret_token + COF_KMS_IMPORT_TOKEN_HEAD_BYTES);
    }
    if (error == 0) {
        *ret_token_bytes =
            COF_KMS_IMPORT_TOKEN_HEAD_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + secret.length_bytes;
    }
    return error;
}

static const struct cof_kms_spec *wrapping_spec(unsigned kibibits)
{
    static const char *const names[] = {"RSA_2048", "RSA_3072", "RSA_4096"};

    return kibibits >= 2 && kibibits <= 4 ? cof_kms_spec_find(names[kibibits - 2]) : NULL;
}

/* A seal lets through only what was written above, so a flaw here is of another version of this
 * program: the token is refused like any other. */
static int parse_secret(const uint8_t *at, size_t bytes, struct cof_kms_import_token *ret_token)
{
    size_t arn_at;

    if (bytes < HALF_AT) {
        return COFFER_E_IMPORT_TOKEN;
    }
    ret_token->algorithm = cof_wrap_algorithm(at[0]);
    ret_token->wrapping = wrapping_spec(at[1]);
    ret_token->expires_ns = cof_kms_unpack_number(at + 2, 8);
    if (ret_token->algorithm == NULL || ret_token->wrapping == NULL) {
        return COFFER_E_IMPORT_TOKEN;
    }
    arn_at = HALF_AT + ret_token->wrapping->material_bytes;
    if (bytes <= arn_at || bytes - arn_at >= sizeof(ret_token->arn) ||
        memchr(at + arn_at, '\0', bytes - arn_at) != NULL) {
        return COFFER_E_IMPORT_TOKEN;
    }
    memcpy(ret_token->arn, at + arn_at, bytes - arn_at);
    ret_token->arn[bytes - arn_at] = '\0';
    return 0;
}

int cof_kms_import_token_open(const struct cof_kms_import_root *root, struct cof_kms_bytes bytes,
                              struct cof_kms_import_scratch *scratch,
                              struct cof_kms_import_token *ret_token)
{
    struct cof_kms_bytes sealed = {bytes.at, bytes.length_bytes};
    struct cof_kms_sealed_place place;
    struct cof_kms_import_token token;
    int error;

    if (bytes.length_bytes <= COF_KMS_IMPORT_TOKEN_HEAD_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES ||
        bytes.length_bytes > COF_KMS_IMPORT_TOKEN_BYTES_MAX ||
        memcmp(bytes.at, MAGIC, MAGIC_BYTES) != 0 || bytes.at[MAGIC_BYTES] != FORMAT) {
        return COFFER_E_IMPORT_TOKEN;
    }
    sealed.at += COF_KMS_IMPORT_TOKEN_HEAD_BYTES;
    sealed.length_bytes -= COF_KMS_IMPORT_TOKEN_HEAD_BYTES;
    place = place_of(root, bytes.at);
    error = cof_kms_sealed_open(root->root_key, &place, sealed, scratch->subkey, scratch->secret);
    if (error == COFFER_E_COMMIT || error == COFFER_E_TAMPER) {
        return COFFER_E_IMPORT_TOKEN;
    }
    if (error == 0) {
        error = parse_secret(scratch->secret, sealed.length_bytes - COF_KMS_SEALED_OVERHEAD_BYTES,
                             &token);
    }
    if (error == 0) {
        *ret_token = token;
    }
    return error;
}
