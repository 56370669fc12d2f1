/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/provider.c - a key service elsewhere behind coffer/keys.h, as the engine sees it.
 *
 * Invariants
 * - What the service answers is checked before it is handed on: a blob has 1 to 6144 bytes, an ARN
 *   fits its room, a volume key has 32 bytes.
 * - Key bytes go from the answer, which is wiped, straight into the engine's locked memory.
 *
 * Its calls take no fault; the last one is kept for coffer_kms_client_provider_fault. Any thread.
 */
#include "client/client.h"

#include "base64.h"
#include "name.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

/* ---- asking ------------------------------------------------------------------------------ */

/* Keep the fault of a call that failed, and pass its error on. */
static int keep(struct coffer_kms_client *client, int error, const struct coffer_fault *fault)
{
    if (error < 0) {
        (void)pthread_mutex_lock(&client->lock);
        client->provider_fault = *fault;
        (void)pthread_mutex_unlock(&client->lock);
    }
    return error;
}

static int lying(struct coffer_fault *fault, const char *operation)
{
    return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                         "the key service answered %s with something else than it means: is the "
                         "URL that of a key service?",
                         operation);
}

static int refused(const struct coffer_kms_answer *answer, struct coffer_fault *fault)
{
    char message[120];
    int code = answer->code;

    if (answer->status >= 500 || code == COFFER_E_THROTTLED) {
        code = COFFER_E_KEY_UNREACHABLE;
    }
    cof_client_answer_message(answer, message, sizeof(message));
    return cof_kms_fault(fault, code, "%s%s%s", answer->error, message[0] != '\0' ? ": " : "",
                         message);
}

/* What json_dumps gave belongs to jansson's memory, which is wiped when it is freed. */
static void free_text(char *text)
{
    json_malloc_t take = NULL;
    json_free_t give = NULL;

    json_get_alloc_funcs(&take, &give);
    give(text);
}

/* Send params, which is stolen; the answer as JSON, wiped when it is released. */
static int ask(struct coffer_kms_client *client, const char *operation, json_t *params,
               json_t **ret_value, struct coffer_fault *fault)
{
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    char why[160];
    char *body = params == NULL ? NULL : json_dumps(params, JSON_COMPACT);
    int error;

    json_decref(params);
    if (body == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = coffer_kms_client_call(client, operation, (const uint8_t *)body, strlen(body), &answer,
                                   fault);
    free_text(body);
    if (error == 0 && answer.error[0] != '\0') {
        error = refused(&answer, fault);
    } else if (error == 0 && answer.body_bytes > 0) {
        *ret_value = cof_wire_json_parse(answer.body, answer.body_bytes, why);
        error = *ret_value != NULL ? 0 : lying(fault, operation);
    }
    coffer_kms_answer_done(&answer);
    return error;
}

/* ---- values ------------------------------------------------------------------------------ */

/* NULL when there is no memory, or when a key or value is no UTF-8. */
static json_t *context_json(const struct coffer_context *context)
{
    json_t *object = json_object();

    for (unsigned i = 0; context != NULL && i < context->pair_count; i++) {
        if (json_object_set_new(object, context->pairs[i].key,
                                json_string(context->pairs[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *blob_json(const struct coffer_key_blob *blob)
{
    return cof_wire_json_blob((struct cof_kms_bytes){blob->bytes, blob->length_bytes});
}

static int read_blob(const json_t *value, const char *operation, struct coffer_key_blob *ret_blob,
                     struct coffer_fault *fault)
{
    const json_t *text = json_object_get(value, "CiphertextBlob");
    size_t length = json_string_length(text), count = 0;
    struct coffer_key_blob blob;

    if (length == 0 || length > (sizeof(blob.bytes) + 2) / 3 * 4 ||
        cof_kms_base64_decode(json_string_value(text), length, blob.bytes, &count) != 0 ||
        count == 0) {
        return lying(fault, operation);
    }
    memcpy(ret_blob->bytes, blob.bytes, count);
    ret_blob->length_bytes = count;
    return 0;
}

static int read_state(const char *name, enum coffer_key_state *ret_state)
{
    static const struct {
        const char *name;
        enum coffer_key_state state;
    } others[] = {{"Updating", COFFER_KEY_ENABLED},
                  {"Creating", COFFER_KEY_UNAVAILABLE},
                  {"PendingReplicaDeletion", COFFER_KEY_PENDING_DELETION}};

    for (int state = COFFER_KEY_ENABLED; state <= COFFER_KEY_UNAVAILABLE; state++) {
        if (strcmp(name, coffer_keystore_state_name((enum coffer_key_state)state)) == 0) {
            *ret_state = (enum coffer_key_state)state;
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i].name) == 0) {
            *ret_state = others[i].state;
            return 0;
        }
    }
    return COFFER_E_INVALID;
}

/* ---- the engine's calls ------------------------------------------------------------------ */

static int read_metadata(const json_t *value, struct coffer_key_info *ret_info,
                         struct coffer_fault *fault)
{
    const json_t *metadata = json_object_get(value, "KeyMetadata");
    const char *arn = json_string_value(json_object_get(metadata, "Arn"));
    const char *state = json_string_value(json_object_get(metadata, "KeyState"));
    const char *manager = json_string_value(json_object_get(metadata, "KeyManager"));
    struct coffer_key_info info;

    memset(&info, 0, sizeof(info));
    if (arn == NULL || arn[0] == '\0' || strlen(arn) >= sizeof(info.arn) || state == NULL ||
        read_state(state, &info.state) != 0) {
        return lying(fault, "DescribeKey");
    }
    (void)snprintf(info.arn, sizeof(info.arn), "%s", arn);
    info.managed = manager != NULL && strcmp(manager, COFFER_KEY_MANAGER_CUSTOMER) != 0;
    *ret_info = info;
    return 0;
}

static int describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    int error = ask(client, "DescribeKey",
                    json_pack("{s:s}", "KeyId", key != NULL ? key : COFFER_ALIAS_DEFAULT), &value,
                    &fault);

    error = error != 0 ? error : read_metadata(value, ret_info, &fault);
    json_decref(value);
    return keep(client, error, &fault);
}

static int generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                    struct coffer_key_blob *ret_blob)
{
    static const char operation[] = "GenerateDataKeyWithoutPlaintext";
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    int error = ask(client, operation,
                    json_pack("{s:s, s:i, s:o}", "KeyId", key_arn, "NumberOfBytes",
                              COFFER_KEY_BYTES, "EncryptionContext", context_json(context)),
                    &value, &fault);

    error = error != 0 ? error : read_blob(value, operation, ret_blob, &fault);
    json_decref(value);
    return keep(client, error, &fault);
}

/* 32 bytes are 44 characters that end in one =, so that key_bytes is never written beyond. */
static int read_key(const json_t *value, uint8_t key_bytes[COFFER_KEY_BYTES],
                    struct coffer_fault *fault)
{
    const json_t *text = json_object_get(value, "Plaintext");
    const char *base64 = json_string_value(text);
    size_t count = 0;

    if (base64 == NULL) {
        return lying(fault, "Decrypt");
    }
    if (json_string_length(text) != 44 || base64[43] != '=' || base64[42] == '=') {
        return cof_kms_fault(fault, COFFER_E_KEY_CIPHERTEXT,
                             "the ciphertext holds no key of %u bytes", COFFER_KEY_BYTES);
    }
    return cof_kms_base64_decode(base64, 44, key_bytes, &count) == 0 ? 0 : lying(fault, "Decrypt");
}

static int decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    int error = ask(client, "Decrypt",
                    json_pack("{s:s, s:o, s:o}", "KeyId", key_arn, "CiphertextBlob",
                              blob_json(blob), "EncryptionContext", context_json(context)),
                    &value, &fault);

    error = error != 0 ? error : read_key(value, key_bytes, &fault);
    json_decref(value);
    return keep(client, error, &fault);
}

static int re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                      const struct coffer_context *source_context, const char *destination_key_arn,
                      const struct coffer_context *destination_context,
                      struct coffer_key_blob *ret_blob)
{
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    int error = ask(client, "ReEncrypt",
                    json_pack("{s:o, s:o, s:s, s:o}", "CiphertextBlob", blob_json(blob),
                              "SourceEncryptionContext", context_json(source_context),
                              "DestinationKeyId", destination_key_arn,
                              "DestinationEncryptionContext", context_json(destination_context)),
                    &value, &fault);

    error = error != 0 ? error : read_blob(value, "ReEncrypt", ret_blob, &fault);
    json_decref(value);
    return keep(client, error, &fault);
}

/* A name makes a grant that is asked for twice, after a lost answer, one grant. */
static json_t *grant_json(struct coffer_kms_client *client, const char *key_arn,
                          const char *grantee, const char *name, const char *const *operations,
                          unsigned operation_count, const struct coffer_context *context)
{
    uint8_t random[16];
    char drawn[37];
    json_t *list = json_array();
    json_t *params;

    if (name == NULL && cof_kms_random(&client->env, random, sizeof(random)) != 0) {
        json_decref(list);
        return NULL;
    }
    if (name == NULL) {
        cof_kms_uuid_text(random, drawn);
        name = drawn;
    }
    for (unsigned i = 0; i < operation_count; i++) {
        (void)json_array_append_new(list, json_string(operations[i]));
    }
    params = json_pack("{s:s, s:s, s:s, s:o}", "KeyId", key_arn, "GranteePrincipal", grantee,
                       "Name", name, "Operations", list);
    if (params != NULL && context != NULL && context->pair_count > 0 &&
        json_object_set_new(params, "Constraints",
                            json_pack("{s:o}", "EncryptionContextSubset", context_json(context))) !=
            0) {
        json_decref(params);
        return NULL;
    }
    return params;
}

static int create_grant(void *ctx, const char *key_arn, const char *grantee, const char *name,
                        const char *const *operations, unsigned operation_count,
                        const struct coffer_context *context, char ret_grant_id[65])
{
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    const char *id;
    int error = ask(client, "CreateGrant",
                    grant_json(client, key_arn, grantee, name, operations, operation_count,
                               context),
                    &value, &fault);

    id = json_string_value(json_object_get(value, "GrantId"));
    if (error == 0 && (id == NULL || id[0] == '\0' || strlen(id) >= COFFER_GRANT_ID_BYTES)) {
        error = lying(&fault, "CreateGrant");
    }
    if (error == 0) {
        (void)snprintf(ret_grant_id, COFFER_GRANT_ID_BYTES, "%s", id);
    }
    json_decref(value);
    return keep(client, error, &fault);
}

static int retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct coffer_kms_client *client = ctx;
    struct coffer_fault fault = {0};
    json_t *value = NULL;
    int error = ask(client, "RetireGrant",
                    json_pack("{s:s, s:s}", "KeyId", key_arn, "GrantId", grant_id), &value, &fault);

    json_decref(value);
    return keep(client, error, &fault);
}

static int principal(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const struct coffer_kms_client *client = ctx;

    if (client->principal[0] == '\0') {
        return COFFER_E_UNSUPPORTED;
    }
    memcpy(ret_arn, client->principal, sizeof(client->principal));
    return 0;
}

static const struct coffer_key_provider_ops provider_ops = {
    .size = sizeof(provider_ops),
    .describe = describe,
    .generate_data_key_without_plaintext = generate,
    .decrypt = decrypt,
    .re_encrypt = re_encrypt,
    .create_grant = create_grant,
    .retire_grant = retire_grant,
    .principal = principal};

int coffer_kms_client_provider(struct coffer_kms_client *client,
                               struct coffer_key_provider *ret_provider)
{
    if (client == NULL || ret_provider == NULL) {
        return COFFER_E_INVALID;
    }
    ret_provider->ops = &provider_ops;
    ret_provider->ctx = client;
    return 0;
}

void coffer_kms_client_provider_fault(struct coffer_kms_client *client,
                                      struct coffer_fault *ret_fault)
{
    (void)pthread_mutex_lock(&client->lock);
    *ret_fault = client->provider_fault;
    (void)pthread_mutex_unlock(&client->lock);
}
