/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/provider.c - the key store behind coffer/keys.h, as the engine sees it.
 *
 * A provider speaks as somebody, by the engine (kms:ViaService). Invariant: it has that one's
 * rights and no others; the audit trail names it. Its calls take no fault; the last one is kept for
 * coffer_keystore_provider_fault. Any thread.
 */
#include "identity/identity.h"
#include "verbs.h"

#include "secret.h"

#include <string.h>

/* ---- who speaks -------------------------------------------------------------------------- */

/* One call as who the provider speaks as: begun, its fault at hand. */
struct spoken {
    struct coffer_keystore *ks;
    struct cof_kms_call call;
    struct coffer_fault fault;
};

static int begin(struct spoken *spoken, void *ctx, const char *event, enum cof_kms_access access)
{
    const struct cof_kms_speaker *speaker = ctx;
    struct cof_kms_caller caller = {.via_service = "engine"};

    caller.principal = speaker->principal[0] != '\0' ? speaker->principal : NULL;
    spoken->ks = speaker->ks;
    cof_kms_fault_clear(&spoken->fault);
    return cof_kms_call_begin_as(&spoken->call, speaker->ks, event, access, &caller,
                                 &spoken->fault);
}

/* Keep the fault of a call that failed, and pass its error on. */
static int keep(struct spoken *spoken, int error)
{
    struct coffer_keystore *ks = spoken->ks;

    if (error < 0) {
        (void)pthread_mutex_lock(&ks->provider_lock);
        ks->provider_fault = spoken->fault;
        (void)pthread_mutex_unlock(&ks->provider_lock);
    }
    return error;
}

static int leave(struct spoken *spoken, int error)
{
    cof_kms_call_leave(&spoken->call);
    return keep(spoken, error);
}

static int provider_principal(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const struct cof_kms_speaker *speaker = ctx;

    if (speaker->principal[0] == '\0') {
        return COFFER_E_UNSUPPORTED;
    }
    cof_identity_owner(speaker->principal, ret_arn);
    return 0;
}

/* ---- the engine's calls ------------------------------------------------------------------ */

static int provider_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct cof_kms_key_row row;
    struct spoken spoken;
    int error = begin(&spoken, ctx, "DescribeKey", COF_KMS_READS);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_call_settle(&spoken.call, cof_kms_describe_key(&spoken.call, key, &row));
    if (error == 0) {
        memcpy(ret_info->arn, row.arn, sizeof(ret_info->arn));
        ret_info->state = row.state;
        ret_info->managed = row.managed;
    }
    return leave(&spoken, error);
}

static int provider_generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                             struct coffer_key_blob *ret_blob)
{
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    struct spoken spoken;
    int error = begin(&spoken, ctx, "GenerateDataKeyWithoutPlaintext", COF_KMS_CHANGES);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_call_settle(&spoken.call,
                                cof_kms_generate_data_key(&spoken.call, key_arn, COFFER_KEY_BYTES,
                                                          context, &blob, &used));
    if (error == 0) {
        *ret_blob = blob;
    }
    return leave(&spoken, error);
}

static int provider_decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                            const struct coffer_context *context,
                            uint8_t key_bytes[COFFER_KEY_BYTES])
{
    const struct cof_kms_decrypt params = {key_arn, NULL, {blob->bytes, blob->length_bytes},
                                           context};
    struct cof_kms_used used;
    struct spoken spoken;
    uint8_t *held = NULL;
    size_t bytes = 0;
    int error = begin(&spoken, ctx, "Decrypt", COF_KMS_READS);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_spare_take(&spoken.ks->spares, &held);
    error = error != 0 ? cof_kms_fault(&spoken.fault, error, NULL)
                       : cof_kms_decrypt(&spoken.call, &params, &bytes, &used);
    if (error == 0 && bytes != COFFER_KEY_BYTES) {
        error = cof_kms_fault(&spoken.fault, COFFER_E_KEY_CIPHERTEXT,
                              "the ciphertext holds no key of %u bytes", COFFER_KEY_BYTES);
    }
    if (error == 0) {
        /* The scratch is another call's once this one is settled. */
        memcpy(held, spoken.ks->secrets->plaintext, COFFER_KEY_BYTES);
    }
    error = cof_kms_call_settle(&spoken.call, error);
    if (error == 0) {
        memcpy(key_bytes, held, COFFER_KEY_BYTES);
    }
    cof_kms_spare_give(&spoken.ks->spares, held);
    return leave(&spoken, error);
}

static int provider_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                               const struct coffer_context *source_context,
                               const char *destination_key_arn,
                               const struct coffer_context *destination_context,
                               struct coffer_key_blob *ret_blob)
{
    const struct cof_kms_re_encrypt params = {
        {NULL, NULL, {blob->bytes, blob->length_bytes}, source_context},
        destination_key_arn, NULL, destination_context};
    struct cof_kms_used source, destination;
    struct coffer_key_blob moved;
    struct spoken spoken;
    int error = begin(&spoken, ctx, "ReEncrypt", COF_KMS_CHANGES);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_call_settle(
        &spoken.call, cof_kms_re_encrypt(&spoken.call, &params, &moved, &source, &destination));
    if (error == 0) {
        *ret_blob = moved;
    }
    return leave(&spoken, error);
}

static int provider_create_grant(void *ctx, const char *key_arn, const char *grantee,
                                 const char *name, const char *const *operations,
                                 unsigned operation_count, const struct coffer_context *context,
                                 char ret_grant_id[COFFER_GRANT_ID_BYTES])
{
    bool constrained = context != NULL && context->pair_count > 0;
    const struct cof_kms_create_grant params = {
        .key = key_arn,
        .grantee = grantee,
        .name = name,
        .operations = operations,
        .operation_count = operation_count,
        .constraint = constrained ? COFFER_GRANT_CONTEXT_SUBSET : COFFER_GRANT_NO_CONSTRAINT,
        .context = context};
    char grant_id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    struct spoken spoken;
    int error = begin(&spoken, ctx, "CreateGrant", COF_KMS_CHANGES);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_call_settle(&spoken.call,
                                cof_kms_create_grant(&spoken.call, &params, grant_id, token));
    if (error == 0) {
        memcpy(ret_grant_id, grant_id, sizeof(grant_id));
    }
    return leave(&spoken, error);
}

static int provider_retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct spoken spoken;
    int error = begin(&spoken, ctx, "RetireGrant", COF_KMS_CHANGES);

    if (error != 0) {
        return keep(&spoken, error);
    }
    error = cof_kms_call_settle(&spoken.call,
                                cof_kms_retire_grant(&spoken.call, NULL, key_arn, grant_id));
    return leave(&spoken, error);
}

static const struct coffer_key_provider_ops provider_ops = {
    sizeof(provider_ops), provider_describe,     provider_generate,     provider_decrypt,
    provider_re_encrypt,  provider_create_grant, provider_retire_grant, provider_principal};

/* ---- providers --------------------------------------------------------------------------- */

/* The one of that principal, made when there is none; NULL without memory. The lock is held. */
static struct cof_kms_speaker *find_speaker(struct coffer_keystore *store, const char *principal)
{
    struct cof_kms_speaker *speaker = store->speakers;

    while (speaker != NULL && strcmp(speaker->principal, principal) != 0) {
        speaker = speaker->next;
    }
    if (speaker == NULL) {
        speaker = cof_kms_alloc(&store->env, sizeof(*speaker));
        if (speaker != NULL) {
            speaker->ks = store;
            memcpy(speaker->principal, principal, strlen(principal) + 1);
            speaker->next = store->speakers;
            store->speakers = speaker;
        }
    }
    return speaker;
}

int coffer_keystore_provider(struct coffer_keystore *store,
                             struct coffer_key_provider *ret_provider)
{
    return coffer_keystore_provider_as(store, NULL, ret_provider);
}

int coffer_keystore_provider_as(struct coffer_keystore *store, const char *principal,
                                struct coffer_key_provider *ret_provider)
{
    struct cof_kms_speaker *speaker;
    char account[13];

    if (store == NULL || ret_provider == NULL ||
        (principal != NULL && (strlen(principal) >= sizeof(speaker->principal) ||
                               !cof_kms_principal_account(principal, account)))) {
        return COFFER_E_INVALID;
    }
    (void)pthread_mutex_lock(&store->provider_lock);
    speaker = find_speaker(store, principal == NULL ? "" : principal);
    (void)pthread_mutex_unlock(&store->provider_lock);
    if (speaker == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    ret_provider->ops = &provider_ops;
    ret_provider->ctx = speaker;
    return 0;
}

void cof_kms_speakers_free(struct coffer_keystore *store)
{
    while (store->speakers != NULL) {
        struct cof_kms_speaker *speaker = store->speakers;

        store->speakers = speaker->next;
        cof_kms_free(&store->env, speaker);
    }
}

void coffer_keystore_provider_fault(struct coffer_keystore *store, struct coffer_fault *ret_fault)
{
    (void)pthread_mutex_lock(&store->provider_lock);
    *ret_fault = store->provider_fault;
    (void)pthread_mutex_unlock(&store->provider_lock);
}
