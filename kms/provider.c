/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/provider.c - the key store behind coffer/keys.h, as the engine sees it.
 *
 * Its calls take no fault; the last one is kept for coffer_keystore_provider_fault. Any thread.
 */
#include "kms.h"

#include "secret.h"

#include <string.h>

/* Keep the fault of a call that failed, and pass its error on. */
static int keep(struct coffer_keystore *ks, int error, const struct coffer_fault *fault)
{
    if (error < 0) {
        (void)pthread_mutex_lock(&ks->provider_lock);
        ks->provider_fault = *fault;
        (void)pthread_mutex_unlock(&ks->provider_lock);
    }
    return error;
}

static int provider_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct coffer_keystore *ks = ctx;
    struct coffer_key_metadata *metadata;
    struct coffer_fault fault;
    int error;

    cof_kms_fault_clear(&fault);
    metadata = cof_kms_alloc(&ks->env, sizeof(*metadata));
    if (metadata == NULL) {
        return keep(ks, cof_kms_fault(&fault, COFFER_E_NO_MEMORY, NULL), &fault);
    }
    metadata->size = sizeof(*metadata);
    error = coffer_keystore_describe_key(ks, key, metadata, &fault);
    if (error == 0) {
        memcpy(ret_info->arn, metadata->arn, sizeof(ret_info->arn));
        ret_info->state = metadata->state;
        ret_info->managed = metadata->managed;
    }
    cof_kms_free(&ks->env, metadata);
    return keep(ks, error, &fault);
}

static int provider_generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                             struct coffer_key_blob *ret_blob)
{
    struct coffer_keystore *ks = ctx;
    struct coffer_fault fault;

    cof_kms_fault_clear(&fault);
    return keep(ks,
                coffer_keystore_generate_data_key(ks, key_arn, COFFER_KEY_BYTES, context, NULL,
                                                  ret_blob, NULL, &fault),
                &fault);
}

static int provider_decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                            const struct coffer_context *context,
                            uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct coffer_keystore *ks = ctx;
    struct coffer_fault fault;
    size_t bytes = 0;
    int error;

    cof_kms_fault_clear(&fault);
    error = coffer_keystore_decrypt(ks, key_arn, blob->bytes, blob->length_bytes, context,
                                    key_bytes, COFFER_KEY_BYTES, &bytes, NULL, &fault);
    if (error == COFFER_E_RANGE || (error == 0 && bytes != COFFER_KEY_BYTES)) {
        cof_kms_wipe(key_bytes, COFFER_KEY_BYTES);
        error = cof_kms_fault(&fault, COFFER_E_KEY_CIPHERTEXT,
                              "the ciphertext holds no key of %u bytes", COFFER_KEY_BYTES);
    }
    return keep(ks, error, &fault);
}

static int provider_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                               const struct coffer_context *source_context,
                               const char *destination_key_arn,
                               const struct coffer_context *destination_context,
                               struct coffer_key_blob *ret_blob)
{
    struct coffer_keystore *ks = ctx;
    struct coffer_fault fault;

    cof_kms_fault_clear(&fault);
    return keep(ks,
                coffer_keystore_re_encrypt(ks, NULL, blob->bytes, blob->length_bytes,
                                           source_context, destination_key_arn,
                                           destination_context, ret_blob, NULL, NULL, &fault),
                &fault);
}

static int provider_create_grant(void *ctx, const char *key_arn, const char *grantee,
                                 const char *const *operations, unsigned operation_count,
                                 const struct coffer_context *context, char ret_grant_id[65])
{
    struct coffer_keystore *ks = ctx;
    struct coffer_grant_opts opts;
    struct coffer_fault fault;

    cof_kms_fault_clear(&fault);
    memset(&opts, 0, sizeof(opts));
    opts.size = sizeof(opts);
    opts.key = key_arn;
    opts.grantee = grantee;
    opts.operations = operations;
    opts.operation_count = operation_count;
    opts.context = context;
    if (context != NULL && context->pair_count > 0) {
        opts.constraint = COFFER_GRANT_CONTEXT_SUBSET;
    }
    return keep(ks, coffer_keystore_create_grant(ks, &opts, ret_grant_id, &fault), &fault);
}

static int provider_retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct coffer_keystore *ks = ctx;
    struct coffer_fault fault;

    cof_kms_fault_clear(&fault);
    return keep(ks, coffer_keystore_retire_grant(ks, key_arn, grant_id, &fault), &fault);
}

static const struct coffer_key_provider_ops provider_ops = {
    sizeof(provider_ops), provider_describe,     provider_generate,    provider_decrypt,
    provider_re_encrypt,  provider_create_grant, provider_retire_grant};

int coffer_keystore_provider(struct coffer_keystore *store,
                             struct coffer_key_provider *ret_provider)
{
    if (store == NULL || ret_provider == NULL) {
        return COFFER_E_INVALID;
    }
    ret_provider->ops = &provider_ops;
    ret_provider->ctx = store;
    return 0;
}

void coffer_keystore_provider_fault(struct coffer_keystore *store, struct coffer_fault *ret_fault)
{
    (void)pthread_mutex_lock(&store->provider_lock);
    *ret_fault = store->provider_fault;
    (void)pthread_mutex_unlock(&store->provider_lock);
}
