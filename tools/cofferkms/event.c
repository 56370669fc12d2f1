/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/event.c - an audit record in the shape of a CloudTrail event, and its class.
 */
#include "event.h"
#include <stdlib.h>
#include <string.h>

/* ---- classes ----------------------------------------------------------------------------- */

static bool begins(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strncmp(text, *words, strlen(*words)) == 0) {
            return true;
        }
    }
    return false;
}

/* CreateGrant and CreateAlias change what exists: a class is about keys. */
const char *cof_event_class(const char *event)
{
    static const char *const creation[] = {"CreateKey", "CreateCustomKeyStore", "CreateUser",
                                           "CreateRole", "CreateAccount", "CreateAccessKey",
                                           "ReplicateKey", NULL};
    static const char *const deletion[] = {"DeleteKey",  "ScheduleKeyDeletion", "DeleteImported",
                                           "DeleteUser", "DeleteRole", "DeleteAccount",
                                           "DeleteAccessKey", "DeleteCustomKeyStore",
                                           "ExpireKeyMaterial", NULL};
    static const char *const usage[] = {"Encrypt", "Decrypt", "ReEncrypt", "Generate", "Sign",
                                        "Verify", "ExportPlaintext", "GetPublicKey",
                                        "DeriveSharedSecret", NULL};
    static const char *const reading[] = {"Describe", "List", "Get", "BackupKeyStore",
                                          "CheckKeyStore", NULL};
    if (strcmp(event, "VerifyAudit") == 0) {
        return "reading";
    }
    return begins(event, creation)   ? "creation"
           : begins(event, deletion) ? "deletion"
           : begins(event, usage)    ? "usage"
           : begins(event, reading)  ? "reading"
                                     : "modification";
}

/* ---- shape ------------------------------------------------------------------------------- */

/* The field of an ARN, from 0; *ret_length 0 when there is none. */
static const char *arn_field(const char *arn, unsigned field, size_t *ret_length)
{
    while (field > 0 && *arn != '\0') {
        field -= *arn++ == ':' ? 1u : 0u;
    }
    *ret_length = strcspn(arn, ":");
    return arn;
}

static json_t *arn_field_json(const char *arn, unsigned field)
{
    size_t length;
    const char *at = arn_field(arn, field, &length);
    return length > 0 ? json_stringn(at, length) : NULL;
}

static json_t *identity_json(const char *principal)
{
    json_t *identity;
    if (strncmp(principal, "arn:", 4) != 0) {
        return json_pack("{s:s, s:s}", "type",
                         strcmp(principal, "coffer") == 0 ? "AWSService" : "Unknown",
                         strcmp(principal, "coffer") == 0 ? "invokedBy" : "principalId",
                         principal);
    }
    identity = json_pack("{s:s, s:s}", "type",
                         strstr(principal, ":assumed-role/") != NULL ? "AssumedRole"
                         : strstr(principal, ":root") != NULL        ? "Root"
                         : strstr(principal, ":role/") != NULL       ? "Role"
                                                                     : "IAMUser",
                         "arn", principal);
    if (identity != NULL) {
        (void)json_object_set_new(identity, "accountId", arn_field_json(principal, 4));
    }
    return identity;
}

static json_t *object_of(const char *text)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    return object;
}

/* What the record has of the request, as CloudTrail spells it. */
static json_t *parameters_json(const struct coffer_audit_record *record, json_t *detail)
{
    json_t *parameters = json_deep_copy(detail);
    static const char *const lifted[] = {"by", "region", "account", "sourceIPAddress", "userAgent",
                                         "errorMessage", "viaService"};
    for (unsigned i = 0; i < sizeof lifted / sizeof lifted[0]; i++) {
        (void)json_object_del(parameters, lifted[i]);
    }
    if (record->key_arn[0] != '\0') {
        (void)json_object_set_new(parameters, "keyId", json_string(record->key_arn));
    }
    if (strcmp(record->context, "{}") != 0) {
        (void)json_object_set_new(parameters, "encryptionContext", object_of(record->context));
    }
    if (strcmp(record->source_context, "{}") != 0) {
        (void)json_object_set_new(parameters, "sourceEncryptionContext",
                                  object_of(record->source_context));
    }
    return parameters;
}

static void add_resource(json_t *resources, const char *arn)
{
    if (arn[0] != '\0') {
        (void)json_array_append_new(resources, json_pack("{s:s, s:s, s:o*}", "ARN", arn, "type",
                                                         "AWS::KMS::Key", "accountId",
                                                         arn_field_json(arn, 4)));
    }
}

static bool is_read_only(const char *event)
{
    const char *kind = cof_event_class(event);
    return strcmp(kind, "reading") == 0 || strcmp(kind, "usage") == 0;
}

static void lift(json_t *event, json_t *detail, const char *from, const char *to)
{
    json_t *value = json_object_get(detail, from);
    if (value != NULL) {
        (void)json_object_set(event, to, value);
    }
}

json_t *cof_event_json(const struct coffer_audit_record *record)
{
    json_t *detail = object_of(record->detail);
    json_t *resources = json_array();
    json_t *region = arn_field_json(record->key_arn, 3);
    json_t *event;
    add_resource(resources, record->source_key_arn);
    add_resource(resources, record->key_arn);
    event = json_pack(
        "{s:s, s:o, s:o, s:s, s:s, s:s, s:o, s:n, s:s, s:I, s:b, s:o, s:s, s:s}", "eventVersion",
        "1.08", "userIdentity", identity_json(record->principal), "eventTime",
        cof_key_time_json(record->time_ns), "eventSource", "kms.coffer", "eventName",
        record->event, "eventClass", cof_event_class(record->event), "requestParameters",
        parameters_json(record, detail), "responseElements", "requestID", record->request_id,
        "sequence", (json_int_t)record->sequence, "readOnly", is_read_only(record->event),
        "resources", resources, "eventType",
        strncmp(record->principal, "arn:", 4) == 0 || json_object_get(detail, "by") == NULL
            ? "AwsApiCall"
            : "AwsServiceEvent",
        "eventCategory", "Management");
    if (event != NULL && region != NULL) {
        (void)json_object_set(event, "awsRegion", region);
    }
    json_decref(region);
    if (event != NULL && record->error[0] != '\0') {
        (void)json_object_set_new(event, "errorCode", json_string(record->error));
    }
    if (event != NULL) {
        lift(event, detail, "region", "awsRegion");
        lift(event, detail, "sourceIPAddress", "sourceIPAddress");
        lift(event, detail, "userAgent", "userAgent");
        lift(event, detail, "errorMessage", "errorMessage");
        lift(event, detail, "viaService", "viaService");
    }
    json_decref(detail);
    return event;
}
