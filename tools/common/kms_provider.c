/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_provider.c - providers that open the key service when they are called, as the caller
 * or as the engine.
 *
 * Invariant: an identity that was asked for and can't be had is an error, never another identity.
 * One thread, as the session.
 */
#include "kms_args.h"
#include "kms_engine.h"
#include "kms_remote.h"
#include "kms_secret.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who --------------------------------------------------------------------------------- */

static bool knows(const struct cof_tool_kms *kms, const char *option)
{
    return cof_tool_option_find(kms->call->program, option, strlen(option)) != NULL;
}

static const char *setting(const struct cof_tool_kms *kms, const char *option, const char *variable)
{
    const char *value = getenv(variable);
    if (!knows(kms, option)) { /* a program that has no volumes */
        return NULL;
    }
    return cof_tool_text(kms->call, option, value != NULL && value[0] != '\0' ? value : NULL);
}

static const char *engine_as(const struct cof_tool_kms *kms)
{
    return setting(kms, "engine-as", "COFFER_ENGINE_AS");
}

static const char *engine_credentials(const struct cof_tool_kms *kms)
{
    return setting(kms, "engine-credentials", "COFFER_ENGINE_CREDENTIALS");
}

bool cof_tool_kms_has_engine(const struct cof_tool_kms *kms)
{
    return knows(kms, "engine-as") && (engine_as(kms) != NULL || engine_credentials(kms) != NULL);
}

/* In a store in a file; "": the root of its account. */
static int name_principal(struct cof_tool_kms *kms, bool engine,
                          char ret_principal[COFFER_PRINCIPAL_BYTES_MAX])
{
    const char *who = engine ? engine_as(kms) : setting(kms, "as", "COFFER_AS");
    struct coffer_keystore_info info = {.size = sizeof info};
    int error = coffer_keystore_info_get(kms->store, &info);
    ret_principal[0] = '\0';
    if (error == 0 && who != NULL &&
        !cof_tool_principal(who, engine ? "role/" : "user/", info.account, ret_principal)) {
        error = cof_tool_secret_fail(&kms->fault, COFFER_E_INVALID, "'%.80s' is too long", who);
    }
    return error;
}

static int in_store(struct cof_tool_kms *kms, bool engine, struct coffer_key_provider *ret_provider)
{
    char principal[COFFER_PRINCIPAL_BYTES_MAX];
    int error = name_principal(kms, engine, principal);
    if (error == 0 && engine && principal[0] == '\0') {
        error = cof_tool_secret_fail(&kms->fault, COFFER_E_INVALID,
                                     "a key store in a file has no use for --engine-credentials "
                                     "alone: say who the engine is with --engine-as");
    }
    if (error == 0) {
        error = coffer_keystore_provider_as(kms->store, principal[0] != '\0' ? principal : NULL,
                                            ret_provider);
    }
    return error != COFFER_E_INVALID || kms->fault.error != 0
               ? error
               : cof_tool_secret_fail(&kms->fault, error,
                                      "'%.80s' is nobody: give user/NAME, role/NAME or an ARN",
                                      principal);
}

static int elsewhere(struct cof_tool_kms *kms, bool engine,
                     struct coffer_key_provider *ret_provider)
{
    if (!engine && setting(kms, "as", "COFFER_AS") != NULL) {
        return cof_tool_secret_fail(&kms->fault, COFFER_E_INVALID,
                                    "--as (COFFER_AS) is for a key store in a file: elsewhere you "
                                    "are who signs, by AWS_ACCESS_KEY_ID");
    }
    if (engine && engine_credentials(kms) == NULL) {
        return cof_tool_secret_fail(&kms->fault, COFFER_E_INVALID,
                                    "at a key service elsewhere the engine needs credentials of "
                                    "its own: name them with --engine-credentials");
    }
    if (engine && kms->engine_client == NULL) {
        struct cof_tool_engine with = {.credentials = engine_credentials(kms),
                                       .as = engine_as(kms)};
        int error = cof_tool_kms_connect_as(kms, &with, &kms->engine_client);
        if (error != 0) {
            return error;
        }
    }
    return coffer_kms_client_provider(engine ? kms->engine_client : kms->client, ret_provider);
}

static int inner(void *ctx, struct coffer_key_provider *ret_provider)
{
    const struct cof_tool_kms_side *side = ctx;
    struct cof_tool_kms *kms = side->kms;
    int error = cof_tool_kms_open(kms);
    if (error == 0) {
        error = kms->store != NULL ? in_store(kms, side->engine, ret_provider)
                                   : elsewhere(kms, side->engine, ret_provider);
        kms->open_error = error;
    }
    return error;
}

/* ---- one request ------------------------------------------------------------------------- */

/* A refusal as an error with its name; its value otherwise. The answer is given back. */
static int take_answer(struct coffer_kms_answer *answer, json_t **ret_value,
                       struct coffer_fault *fault)
{
    int error = 0;
    if (strcmp(answer->error, "UnknownOperationException") == 0) {
        error = COFFER_E_UNSUPPORTED;
    } else if (answer->error[0] != '\0') {
        error = cof_tool_secret_fail(fault, answer->code, "%s", answer->error);
    } else if (ret_value != NULL) {
        *ret_value = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
        error = *ret_value != NULL ? 0 : COFFER_E_KEY_UNREACHABLE;
    }
    coffer_kms_answer_done(answer);
    return error;
}

static int ask(struct cof_tool_kms *kms, struct coffer_kms_request *request, json_t **ret_value,
               struct coffer_fault *fault)
{
    struct coffer_kms_answer answer = {.size = sizeof answer};
    char principal[COFFER_PRINCIPAL_BYTES_MAX] = "";
    int error = cof_tool_kms_open(kms);
    if (error == 0 && kms->store != NULL) {
        error = name_principal(kms, false, principal);
    }
    if (error == 0) {
        request->principal = principal[0] != '\0' ? principal : NULL;
        error = cof_tool_kms_call(kms, request, &answer);
    }
    if (error != 0) {
        *fault = kms->fault;
        return error;
    }
    return take_answer(&answer, ret_value, fault);
}

int cof_tool_kms_ask(struct cof_tool_kms *kms, const char *operation, json_t *params,
                     json_t **ret_value, struct coffer_fault *fault)
{
    size_t bytes = json_dumpb(params, NULL, 0, JSON_COMPACT);
    char *body = bytes > 0 ? malloc(bytes) : NULL;
    struct coffer_kms_request request = {.size = sizeof request,
                                         .operation = operation,
                                         .user_agent = kms->call->program->name,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = bytes};
    int error = COFFER_E_NO_MEMORY;
    if (body != NULL) {
        (void)json_dumpb(params, body, bytes, JSON_COMPACT);
        error = ask(kms, &request, ret_value, fault);
    }
    json_decref(params);
    free(body);
    return error;
}

int cof_tool_kms_record_export(struct cof_tool_kms *kms, const char *key_arn,
                               const struct coffer_context *context, struct coffer_fault *fault)
{
    json_t *pairs = json_object();
    for (unsigned i = 0; i < context->pair_count; i++) {
        json_object_set_new(pairs, context->pairs[i].key, json_string(context->pairs[i].value));
    }
    return cof_tool_kms_ask(kms, "CofferExportPlaintext",
                            json_pack("{s:s, s:o}", "KeyId", key_arn, "EncryptionContext", pairs),
                            NULL, fault);
}

/* ---- the provider's calls ---------------------------------------------------------------- */

/* Whose fault is to be reported. */
static int note(void *ctx, int error)
{
    const struct cof_tool_kms_side *side = ctx;
    if (error != 0) {
        side->kms->engine_failed = side->engine;
    }
    return error;
}

static int lazy_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx, error != 0 ? error : provider.ops->describe(provider.ctx, key, ret_info));
}

static int lazy_generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                         struct coffer_key_blob *ret_blob)
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx, error != 0 ? error
                                : provider.ops->generate_data_key_without_plaintext(
                                      provider.ctx, key_arn, context, ret_blob));
}

static int lazy_decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                        const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx, error != 0
                         ? error
                         : provider.ops->decrypt(provider.ctx, key_arn, blob, context, key_bytes));
}

static int lazy_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                           const struct coffer_context *source_context,
                           const char *destination_key_arn,
                           const struct coffer_context *destination_context,
                           struct coffer_key_blob *ret_blob)
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx, error != 0 ? error
                                : provider.ops->re_encrypt(provider.ctx, blob, source_context,
                                                           destination_key_arn, destination_context,
                                                           ret_blob));
}

static int lazy_create_grant(void *ctx, const char *key_arn, const char *grantee, const char *name,
                             const char *const *operations, unsigned operation_count,
                             const struct coffer_context *context, char ret_grant_id[65])
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx, error != 0 ? error
                                : provider.ops->create_grant(provider.ctx, key_arn, grantee, name,
                                                             operations, operation_count, context,
                                                             ret_grant_id));
}

static int lazy_retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct coffer_key_provider provider;
    int error = inner(ctx, &provider);
    return note(ctx,
                error != 0 ? error : provider.ops->retire_grant(provider.ctx, key_arn, grant_id));
}

/* Without an engine of its own grants are for whom the library names. */
static int lazy_principal(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const struct cof_tool_kms_side *side = ctx;
    struct coffer_key_provider provider;
    int error = side->engine ? inner(ctx, &provider) : COFFER_E_UNSUPPORTED;
    return error != 0 ? error : provider.ops->principal(provider.ctx, ret_arn);
}

static const struct coffer_key_provider_ops lazy_ops = {
    sizeof lazy_ops, lazy_describe,     lazy_generate,     lazy_decrypt,
    lazy_re_encrypt, lazy_create_grant, lazy_retire_grant, lazy_principal};

void cof_tool_kms_provider(struct cof_tool_kms *kms, bool engine,
                           struct coffer_key_provider *ret_provider)
{
    ret_provider->ops = &lazy_ops;
    ret_provider->ctx = &kms->sides[engine ? 1 : 0];
}
