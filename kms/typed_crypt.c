/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/typed_crypt.c - coffer/keystore.h's cryptographic functions: the work of verbs.h, as the root
 * of the store's own account.
 *
 * Invariant: a plaintext leaves locked memory by the caller's pointer alone, after the audit record
 * is durable: until then it waits in locked memory of its own, since the scratch serves the next
 * call by then. Any thread.
 */
#include "verbs.h"

#include <string.h>

static void give_used(const struct cof_kms_used *used, struct coffer_key_used *ret_used)
{
    if (ret_used != NULL) {
        memset(ret_used, 0, sizeof(*ret_used));
        memcpy(ret_used->arn, used->arn, strlen(used->arn) + 1);
        cof_kms_hex(used->material_id, sizeof(used->material_id), ret_used->material_id);
    }
}

_Static_assert(COFFER_PLAINTEXT_BYTES_MAX <= COF_KMS_SPARE_BYTES, "a plaintext fits into a spare");

/* Begin, with locked memory for a plaintext until the record is durable. */
static int begin_holding(struct cof_kms_call *call, struct coffer_keystore *store,
                         const char *event, enum cof_kms_access access, uint8_t **ret_held,
                         struct coffer_fault *fault)
{
    uint8_t *held = NULL;
    int error = cof_kms_spare_take(&store->spares, &held);

    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    error = cof_kms_call_begin(call, store, event, access, fault);
    if (error != 0) {
        cof_kms_spare_give(&store->spares, held);
        return error;
    }
    *ret_held = held;
    return 0;
}

int coffer_keystore_encrypt(struct coffer_keystore *store, const char *key,
                            const uint8_t *plaintext, size_t plaintext_bytes,
                            const struct coffer_context *context,
                            struct coffer_key_blob *ret_blob, struct coffer_key_used *ret_used,
                            struct coffer_fault *fault)
{
    const struct cof_kms_encrypt params = {key, NULL, {plaintext, plaintext_bytes}, context};
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    struct cof_kms_call call;
    int error;

    if (store == NULL || plaintext == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "Encrypt", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_encrypt(&call, &params, &blob, &used));
    if (error == 0) {
        *ret_blob = blob;
        give_used(&used, ret_used);
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_decrypt(struct coffer_keystore *store, const char *key, const uint8_t *blob,
                            size_t blob_bytes, const struct coffer_context *context,
                            uint8_t *plaintext, size_t capacity, size_t *ret_plaintext_bytes,
                            struct coffer_key_used *ret_used, struct coffer_fault *fault)
{
    const struct cof_kms_decrypt params = {key, NULL, {blob, blob_bytes}, context};
    struct cof_kms_used used;
    struct cof_kms_call call;
    uint8_t *held = NULL;
    size_t bytes = 0;
    int error;

    if (store == NULL || blob == NULL || plaintext == NULL || ret_plaintext_bytes == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = begin_holding(&call, store, "Decrypt", COF_KMS_READS, &held, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_decrypt(&call, &params, &bytes, &used);
    if (error == 0 && bytes > capacity) {
        error = cof_kms_fault(call.fault, COFFER_E_RANGE,
                              "the plaintext has %zu bytes and there is room for %zu", bytes,
                              capacity);
    }
    memcpy(held, store->secrets->plaintext, error == 0 ? bytes : 0);
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        memcpy(plaintext, held, bytes);
        *ret_plaintext_bytes = bytes;
        give_used(&used, ret_used);
    }
    cof_kms_spare_give(&store->spares, held);
    cof_kms_call_leave(&call);
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
    const struct cof_kms_re_encrypt params = {
        {source_key, NULL, {blob, blob_bytes}, source_context},
        destination_key, NULL, destination_context};
    struct cof_kms_used source, destination;
    struct coffer_key_blob moved;
    struct cof_kms_call call;
    int error;

    if (store == NULL || blob == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ReEncrypt", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(
        &call, cof_kms_re_encrypt(&call, &params, &moved, &source, &destination));
    if (error == 0) {
        give_used(&source, ret_source);
        give_used(&destination, ret_destination);
        *ret_blob = moved;
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_generate_data_key(struct coffer_keystore *store, const char *key,
                                      size_t data_key_bytes, const struct coffer_context *context,
                                      uint8_t *plaintext, struct coffer_key_blob *ret_blob,
                                      struct coffer_key_used *ret_used, struct coffer_fault *fault)
{
    const char *event =
        plaintext != NULL ? "GenerateDataKey" : "GenerateDataKeyWithoutPlaintext";
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    struct cof_kms_call call;
    uint8_t *held = NULL;
    int error;

    if (store == NULL || ret_blob == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = begin_holding(&call, store, event, COF_KMS_CHANGES, &held, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_generate_data_key(&call, key, data_key_bytes, context, &blob, &used);
    memcpy(held, store->secrets->plaintext, error == 0 ? data_key_bytes : 0);
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        if (plaintext != NULL) {
            memcpy(plaintext, held, data_key_bytes);
        }
        *ret_blob = blob;
        give_used(&used, ret_used);
    }
    cof_kms_spare_give(&store->spares, held);
    cof_kms_call_leave(&call);
    return error;
}
