/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/crypt.c - encrypt, decrypt, re-encrypt, generate data key.
 *
 * Invariants: plaintext and material lie in locked scratch and leave it only by a caller's pointer,
 * after the audit record is durable; re-encrypt's plaintext never leaves it. Any thread.
 */
#include "kms.h"

#include "secret.h"

#include <string.h>

/* ---- parts of verbs ---------------------------------------------------------------------- */

static void fill_used(const char *arn, const uint8_t *material_id, struct coffer_key_used *ret_used)
{
    if (ret_used != NULL) {
        (void)memcpy(ret_used->arn, arn, strlen(arn) + 1);
        cof_kms_hex(material_id, COF_KMS_MATERIAL_ID_BYTES, ret_used->material_id);
    }
}

/* Seal plaintext under the key's newest material; row and blob are the results. */
static int seal_under(struct cof_kms_call *call, const char *key, struct cof_kms_bytes plaintext,
                      struct cof_kms_bytes context, struct cof_kms_key_row *row,
                      struct coffer_key_blob *blob)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_material material;
    int error = cof_kms_key_find(call, key, false, row);

    if (error == 0) {
        error = cof_kms_key_usable(call, row);
    }
    if (error == 0) {
        error = cof_kms_key_material(call, row, row->material_id);
    }
    if (error != 0) {
        return error;
    }
    memcpy(material.id, row->material_id, sizeof(material.id));
    material.key = secrets->material;
    error = cof_kms_blob_seal(&call->ks->env, &material, row->arn, context, plaintext,
                              secrets->subkey, blob);
    cof_kms_wipe(secrets->material, sizeof(secrets->material));
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* The key that the blob names; the same answer whether it is foreign or never was. */
static int find_blob_key(struct cof_kms_call *call, const char *arn, struct cof_kms_key_row *row)
{
    struct cof_kms_key_ref ref;
    int error = cof_kms_key_parse(&call->owner, arn, &ref, call->fault);

    if (error == 0 && (ref.is_alias || !ref.is_arn)) {
        error = COFFER_E_KEY_NOT_FOUND;
    }
    if (error == 0) {
        error = cof_kms_db_key_get(call->ks->db, arn, row, call->fault);
    }
    if (error == COFFER_E_KEY_NOT_FOUND || error == COFFER_E_ARN) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "the ciphertext refers to a key that does not exist, is not in this "
                             "region, or that you may not use");
    }
    if (error == 0) {
        memcpy(call->arn, row->arn, sizeof(call->arn));
    }
    return error;
}

/* Find the key to open view with: the one given, which must be the blob's, or the blob's. */
static int choose_key(struct cof_kms_call *call, const char *key,
                      const struct cof_kms_blob_view *view, struct cof_kms_key_row *row)
{
    int error;

    if (key == NULL) {
        return find_blob_key(call, view->arn, row);
    }
    error = cof_kms_key_find(call, key, false, row);
    if (error == 0 && strcmp(row->arn, view->arn) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_CIPHERTEXT,
                             "the ciphertext was not made under %s: name its own key", row->arn);
    }
    return error;
}

/* Open blob into secrets->plaintext. */
static int open_blob(struct cof_kms_call *call, const char *key, struct cof_kms_bytes blob,
                     struct cof_kms_bytes context, struct cof_kms_key_row *row,
                     struct cof_kms_blob_view *view)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_material material;
    int error = cof_kms_blob_parse(blob, view);

    if (error != 0) {
        return cof_kms_fault(call->fault, error,
                             "these %zu bytes are no ciphertext of this service, or are damaged",
                             blob.length_bytes);
    }
    error = choose_key(call, key, view, row);
    if (error == 0) {
        error = cof_kms_key_usable(call, row);
    }
    if (error == 0) {
        error = cof_kms_key_material(call, row, view->material_id);
    }
    if (error != 0) {
        return error;
    }
    memcpy(material.id, view->material_id, sizeof(material.id));
    material.key = secrets->material;
    error = cof_kms_blob_open(&material, view, context, secrets->subkey, secrets->plaintext);
    cof_kms_wipe(secrets->material, sizeof(secrets->material));
    if (error == COFFER_E_KEY_CIPHERTEXT) {
        return cof_kms_fault(call->fault, error,
                             "the ciphertext is damaged or its encryption context is not this one");
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* ---- verbs ------------------------------------------------------------------------------- */

int coffer_keystore_encrypt(struct coffer_keystore *store, const char *key,
                            const uint8_t *plaintext, size_t plaintext_bytes,
                            const struct coffer_context *context,
                            struct coffer_key_blob *ret_blob, struct coffer_key_used *ret_used,
                            struct coffer_fault *fault)
{
    struct cof_kms_bytes input = {plaintext, plaintext_bytes};
    struct coffer_key_blob blob;
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || plaintext == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "Encrypt", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_context(&call, 0, context);
    if (error == 0 && (plaintext_bytes == 0 || plaintext_bytes > COFFER_PLAINTEXT_BYTES_MAX)) {
        error = cof_kms_fault(call.fault, COFFER_E_INVALID,
                              "Encrypt takes 1 to %u bytes and got %zu: encrypt more under a data "
                              "key", COFFER_PLAINTEXT_BYTES_MAX, plaintext_bytes);
    }
    if (error == 0) {
        error = seal_under(&call, key, input, call.context, &row, &blob);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        *ret_blob = blob;
        fill_used(row.arn, row.material_id, ret_used);
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_decrypt(struct coffer_keystore *store, const char *key, const uint8_t *blob,
                            size_t blob_bytes, const struct coffer_context *context,
                            uint8_t *plaintext, size_t capacity, size_t *ret_plaintext_bytes,
                            struct coffer_key_used *ret_used, struct coffer_fault *fault)
{
    struct cof_kms_bytes input = {blob, blob_bytes};
    struct cof_kms_blob_view view;
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || blob == NULL || plaintext == NULL || ret_plaintext_bytes == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "Decrypt", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_context(&call, 0, context);
    if (error == 0) {
        error = open_blob(&call, key, input, call.context, &row, &view);
    }
    if (error == 0 && view.ciphertext.length_bytes > capacity) {
        error = cof_kms_fault(call.fault, COFFER_E_RANGE,
                              "the plaintext has %zu bytes and there is room for %zu",
                              view.ciphertext.length_bytes, capacity);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        memcpy(plaintext, store->secrets->plaintext, view.ciphertext.length_bytes);
        *ret_plaintext_bytes = view.ciphertext.length_bytes;
        fill_used(row.arn, view.material_id, ret_used);
    }
    cof_kms_call_leave(&call);
    return error;
}

/* Decrypt under the source and seal under the destination, within one call. */
static int move_blob(struct cof_kms_call *call, const char *source_key, struct cof_kms_bytes blob,
                     const char *destination_key, struct cof_kms_blob_view *view,
                     struct cof_kms_key_row *row, struct coffer_key_blob *ret_blob)
{
    struct cof_kms_bytes plaintext = {call->ks->secrets->plaintext, 0};
    int error = open_blob(call, source_key, blob, call->source_context, row, view);

    memcpy(call->source_arn, call->arn, sizeof(call->source_arn));
    memset(call->arn, 0, sizeof(call->arn));
    if (error != 0) {
        return error;
    }
    plaintext.length_bytes = view->ciphertext.length_bytes;
    error = seal_under(call, destination_key, plaintext, call->context, row, ret_blob);
    cof_kms_wipe(call->ks->secrets->plaintext, sizeof(call->ks->secrets->plaintext));
    return error;
}

int coffer_keystore_re_encrypt(struct coffer_keystore *store, const char *source_key,
                               const uint8_t *blob, size_t blob_bytes,
                               const struct coffer_context *source_context,
                               const char *destination_key,
                               const struct coffer_context *destination_context,
                               struct coffer_key_blob *ret_blob,
                               struct coffer_key_used *ret_source,
                               struct coffer_key_used *ret_destination, struct coffer_fault *fault)
{
    struct cof_kms_bytes input = {blob, blob_bytes};
    struct coffer_key_blob moved;
    struct cof_kms_blob_view view;
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || blob == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ReEncrypt", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_context(&call, 0, destination_context);
    if (error == 0) {
        error = cof_kms_call_context(&call, 1, source_context);
    }
    if (error == 0) {
        error = move_blob(&call, source_key, input, destination_key, &view, &row, &moved);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        fill_used(view.arn, view.material_id, ret_source);
        fill_used(row.arn, row.material_id, ret_destination);
        *ret_blob = moved;
    }
    cof_kms_call_leave(&call);
    return error;
}

static int draw_data_key(struct cof_kms_call *call, const char *key, size_t bytes,
                         struct cof_kms_key_row *row, struct coffer_key_blob *blob)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_bytes plaintext = {secrets->plaintext, bytes};

    if (bytes == 0 || bytes > COFFER_DATA_KEY_BYTES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a data key has 1 to %u bytes, not %zu", COFFER_DATA_KEY_BYTES_MAX,
                             bytes);
    }
    if (cof_kms_random(&call->ks->env, secrets->plaintext, bytes) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_CRYPTO, NULL);
    }
    return seal_under(call, key, plaintext, call->context, row, blob);
}

int coffer_keystore_generate_data_key(struct coffer_keystore *store, const char *key,
                                      size_t data_key_bytes, const struct coffer_context *context,
                                      uint8_t *plaintext, struct coffer_key_blob *ret_blob,
                                      struct coffer_key_used *ret_used, struct coffer_fault *fault)
{
    struct coffer_key_blob blob;
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store,
                               plaintext != NULL ? "GenerateDataKey"
                                                 : "GenerateDataKeyWithoutPlaintext",
                               COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_context(&call, 0, context);
    if (error == 0) {
        error = draw_data_key(&call, key, data_key_bytes, &row, &blob);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        if (plaintext != NULL) {
            memcpy(plaintext, store->secrets->plaintext, data_key_bytes);
        }
        *ret_blob = blob;
        fill_used(row.arn, row.material_id, ret_used);
    }
    cof_kms_call_leave(&call);
    return error;
}
