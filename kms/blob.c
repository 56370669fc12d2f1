/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/blob.c - sealing, parsing and opening of ciphertext blobs; the layout stands in blob.h.
 *
 * Invariants: each blob has a key of its own (a 256-bit random salt), so its nonce never meets
 * another's; a blob that opens is byte for byte one that was sealed. Any thread, no I/O.
 */
#include "blob.h"

#include "name.h"
#include "pack.h"
#include "secret.h"

#include <coffer/keystore.h>
#include <string.h>

#define MAGIC "CfKB"
#define LABEL "coffer/kms/blob/1"
#define FORMAT 1u
#define ALGORITHM 1u
#define SALT_BYTES 32u
#define ARN_LENGTH_AT 6u
#define MATERIAL_AT 8u
#define SALT_AT 40u
#define COMMITMENT_AT 72u
#define NONCE_AT 104u
#define LENGTH_AT 116u
#define FIXED_BYTES 120u

_Static_assert(NONCE_AT + COF_KMS_NONCE_BYTES == LENGTH_AT, "layout of a blob");
_Static_assert(FIXED_BYTES + COFFER_KEY_ARN_BYTES_MAX + COFFER_PLAINTEXT_BYTES_MAX +
                       COF_KMS_TAG_BYTES <= COFFER_KEY_BLOB_BYTES_MAX, "a blob fits its bound");

static int derive_subkey(const struct cof_kms_material *material, const uint8_t *salt,
                         uint8_t *subkey)
{
    struct cof_kms_bytes salt_bytes = {salt, SALT_BYTES};
    struct cof_kms_bytes info = {material->id, sizeof(material->id)};
    int error = material->derive != NULL ? material->derive(material->ctx, salt_bytes) : 0;

    if (error != 0) {
        return error;
    }
    return cof_kms_derive(material->key, salt_bytes, LABEL, info, subkey, COF_KMS_SUBKEY_BYTES);
}

/* Header and context, one after the other, into buffer. */
static struct cof_kms_bytes join_aad(struct cof_kms_bytes header, struct cof_kms_bytes context,
                                     uint8_t *buffer, size_t capacity)
{
    struct cof_kms_pack pack = cof_kms_pack_into(buffer, capacity);

    cof_kms_pack_bytes(&pack, header.at, header.length_bytes);
    cof_kms_pack_bytes(&pack, context.at, context.length_bytes);
    return cof_kms_packed(&pack);
}

#define AAD_BYTES_MAX (FIXED_BYTES + COFFER_KEY_ARN_BYTES_MAX + COFFER_CONTEXT_BYTES_MAX)

int cof_kms_blob_seal(struct cof_kms_env *env, const struct cof_kms_material *material,
                      const char *arn, struct cof_kms_bytes context, struct cof_kms_bytes plaintext,
                      uint8_t *subkey, struct coffer_key_blob *ret_blob)
{
    uint8_t aad[AAD_BYTES_MAX];
    uint8_t random[SALT_BYTES + COF_KMS_NONCE_BYTES];
    struct cof_kms_pack pack = cof_kms_pack_into(ret_blob->bytes, sizeof(ret_blob->bytes));
    uint8_t *ciphertext;
    int error;

    if (plaintext.length_bytes == 0 || plaintext.length_bytes > COFFER_PLAINTEXT_BYTES_MAX) {
        return COFFER_E_INTERNAL;
    }
    error = cof_kms_random(env, random, sizeof(random));
    if (error == 0) {
        error = derive_subkey(material, random, subkey);
    }
    if (error != 0) {
        return error;
    }
    cof_kms_pack_bytes(&pack, MAGIC, 4);
    cof_kms_pack_u8(&pack, FORMAT);
    cof_kms_pack_u8(&pack, ALGORITHM);
    cof_kms_pack_u16(&pack, (uint16_t)strlen(arn));
    cof_kms_pack_bytes(&pack, material->id, sizeof(material->id));
    cof_kms_pack_bytes(&pack, random, SALT_BYTES);
    cof_kms_pack_bytes(&pack, subkey + COF_KMS_KEY_BYTES, COF_KMS_KEY_BYTES);
    cof_kms_pack_bytes(&pack, random + SALT_BYTES, COF_KMS_NONCE_BYTES);
    cof_kms_pack_u32(&pack, (uint32_t)plaintext.length_bytes);
    cof_kms_pack_bytes(&pack, arn, strlen(arn));
    ciphertext = ret_blob->bytes + pack.length_bytes;
    error = cof_kms_gcm_seal(subkey, random + SALT_BYTES,
                             join_aad(cof_kms_packed(&pack), context, aad, sizeof(aad)), plaintext,
                             ciphertext, ciphertext + plaintext.length_bytes);
    cof_kms_wipe(subkey, COF_KMS_SUBKEY_BYTES);
    if (error == 0) {
        ret_blob->length_bytes = pack.length_bytes + plaintext.length_bytes + COF_KMS_TAG_BYTES;
    }
    return error;
}

int cof_kms_blob_parse(struct cof_kms_bytes blob, struct cof_kms_blob_view *ret_view)
{
    struct cof_kms_blob_view view;
    size_t arn_bytes, plaintext_bytes;

    if (blob.length_bytes < FIXED_BYTES + COF_KMS_TAG_BYTES || memcmp(blob.at, MAGIC, 4) != 0 ||
        blob.at[4] != FORMAT || blob.at[5] != ALGORITHM) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    arn_bytes = (size_t)cof_kms_unpack_number(blob.at + ARN_LENGTH_AT, 2);
    plaintext_bytes = (size_t)cof_kms_unpack_number(blob.at + LENGTH_AT, 4);
    if (arn_bytes == 0 || arn_bytes >= COFFER_KEY_ARN_BYTES_MAX || plaintext_bytes == 0 ||
        plaintext_bytes > COFFER_PLAINTEXT_BYTES_MAX ||
        blob.length_bytes != FIXED_BYTES + arn_bytes + plaintext_bytes + COF_KMS_TAG_BYTES) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    memset(&view, 0, sizeof(view));
    memcpy(view.arn, blob.at + FIXED_BYTES, arn_bytes);
    if (strlen(view.arn) != arn_bytes || !cof_kms_text_ok(view.arn)) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    view.material_id = blob.at + MATERIAL_AT;
    view.salt = blob.at + SALT_AT;
    view.commitment = blob.at + COMMITMENT_AT;
    view.nonce = blob.at + NONCE_AT;
    view.header.at = blob.at;
    view.header.length_bytes = FIXED_BYTES + arn_bytes;
    view.ciphertext.at = blob.at + view.header.length_bytes;
    view.ciphertext.length_bytes = plaintext_bytes;
    view.tag = view.ciphertext.at + plaintext_bytes;
    *ret_view = view;
    return 0;
}

int cof_kms_blob_open(const struct cof_kms_material *material, const struct cof_kms_blob_view *view,
                      struct cof_kms_bytes context, uint8_t *subkey, uint8_t *ret_plaintext)
{
    uint8_t aad[AAD_BYTES_MAX];
    int error = derive_subkey(material, view->salt, subkey);

    if (error == 0 &&
        !cof_kms_equal(view->commitment, subkey + COF_KMS_KEY_BYTES, COF_KMS_KEY_BYTES)) {
        error = COFFER_E_KEY_CIPHERTEXT;
    }
    if (error == 0) {
        error = cof_kms_gcm_open(subkey, view->nonce,
                                 join_aad(view->header, context, aad, sizeof(aad)),
                                 view->ciphertext, view->tag, ret_plaintext);
    }
    cof_kms_wipe(subkey, COF_KMS_SUBKEY_BYTES);
    return error == COFFER_E_TAMPER ? COFFER_E_KEY_CIPHERTEXT : error;
}
