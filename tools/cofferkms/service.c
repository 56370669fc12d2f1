/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/service.c - a verb: its options to a request, the request to the key service, the
 * answer to standard output in the shape of `aws kms`. One thread.
 */
#include "ask.h"
#include "common/error.h"
#include "common/key_usage.h"
#include "common/output.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

struct trait {
    const char *verb;
    const char *required; /* options, separated by blanks            */
    bool creates;         /* makes the key store when there is none  */
    const char *people;   /* member that a table shows; NULL: answer */
    const char *columns;  /* of a list of objects                    */
};

/* Verbs that the table lacks need nothing and make no store. */
static const struct trait traits[] = {
    {"create-key", "", true, "KeyMetadata", NULL},
    {"describe-key", "key-id", false, "KeyMetadata", NULL},
    {"get-key-last-usage", "key-id", false, "KeyLastUsage", NULL},
    {"list-keys", "", true, "Keys", "KeyId KeyArn"},
    {"enable-key", "key-id", false, NULL, NULL},
    {"disable-key", "key-id", false, NULL, NULL},
    {"schedule-key-deletion", "key-id", false, NULL, NULL},
    {"cancel-key-deletion", "key-id", false, NULL, NULL},
    {"update-key-description", "key-id description", false, NULL, NULL},
    {"replicate-key", "key-id replica-region", false, "ReplicaKeyMetadata", NULL},
    {"update-primary-region", "key-id primary-region", false, NULL, NULL},
    {"create-alias", "alias-name target-key-id", false, NULL, NULL},
    {"update-alias", "alias-name target-key-id", false, NULL, NULL},
    {"delete-alias", "alias-name", false, NULL, NULL},
    {"list-aliases", "", true, "Aliases", "AliasName TargetKeyId"},
    {"encrypt", "key-id plaintext", true, NULL, NULL},
    {"decrypt", "ciphertext-blob", false, NULL, NULL},
    {"re-encrypt", "ciphertext-blob destination-key-id", false, NULL, NULL},
    {"coffer-re-encrypt-batch", "destination-key-id entries", false, "Results", NULL},
    {"generate-data-key", "key-id", true, NULL, NULL},
    {"generate-data-key-without-plaintext", "key-id", true, NULL, NULL},
    {"generate-data-key-pair", "key-id key-pair-spec", true, NULL, NULL},
    {"generate-data-key-pair-without-plaintext", "key-id key-pair-spec", true, NULL, NULL},
    {"sign", "key-id message signing-algorithm", false, NULL, NULL},
    {"verify", "key-id message signature signing-algorithm", false, NULL, NULL},
    {"get-public-key", "key-id", false, NULL, NULL},
    {"generate-mac", "key-id message mac-algorithm", false, NULL, NULL},
    {"verify-mac", "key-id message mac mac-algorithm", false, NULL, NULL},
    {"derive-shared-secret", "key-id key-agreement-algorithm public-key", false, NULL, NULL},
    {"get-parameters-for-import", "key-id wrapping-algorithm wrapping-key-spec", false, NULL, NULL},
    {"import-key-material", "key-id import-token encrypted-key-material", false, NULL, NULL},
    {"delete-imported-key-material", "key-id", false, NULL, NULL},
    {"create-custom-key-store",
     "custom-key-store-name custom-key-store-type coffer-token-uri", false, NULL, NULL},
    {"connect-custom-key-store", "custom-key-store-id", false, NULL, NULL},
    {"disconnect-custom-key-store", "custom-key-store-id", false, NULL, NULL},
    {"describe-custom-key-stores", "", false, "CustomKeyStores",
     "CustomKeyStoreId CustomKeyStoreName ConnectionState"},
    {"update-custom-key-store", "custom-key-store-id", false, NULL, NULL},
    {"delete-custom-key-store", "custom-key-store-id", false, NULL, NULL},
    {"generate-random", "", true, NULL, NULL},
    {"create-grant", "key-id grantee-principal operations", false, NULL, NULL},
    {"list-grants", "key-id", false, "Grants", "GrantId GranteePrincipal Name"},
    {"list-retirable-grants", "retiring-principal", false, "Grants", "GrantId KeyId Name"},
    {"retire-grant", "", false, NULL, NULL},
    {"revoke-grant", "key-id grant-id", false, NULL, NULL},
    {"put-key-policy", "key-id policy", false, NULL, NULL},
    {"get-key-policy", "key-id", false, NULL, NULL},
    {"list-key-policies", "key-id", false, NULL, NULL},
    {"enable-key-rotation", "key-id", false, NULL, NULL},
    {"disable-key-rotation", "key-id", false, NULL, NULL},
    {"get-key-rotation-status", "key-id", false, NULL, NULL},
    {"rotate-key-on-demand", "key-id", false, NULL, NULL},
    {"list-key-rotations", "key-id", false, "Rotations", "RotationDate RotationType KeyMaterialId"},
    {"tag-resource", "key-id tags", false, NULL, NULL},
    {"untag-resource", "key-id tag-keys", false, NULL, NULL},
    {"list-resource-tags", "key-id", false, "Tags", "TagKey TagValue"},
};

static const struct trait *trait_of(const char *verb)
{
    static const struct trait none = {NULL, "", false, NULL, NULL};
    for (size_t i = 0; i < sizeof traits / sizeof traits[0]; i++) {
        if (strcmp(traits[i].verb, verb) == 0) {
            return &traits[i];
        }
    }
    return &none;
}

/* Print an answer, which is stolen; one without members is of an operation without results. */
static int print(struct cof_tool_call *call, const struct trait *trait, json_t *answer)
{
    struct cof_tool_view view = {.columns = trait->columns};
    const char *marker = json_string_value(json_object_get(answer, "NextMarker"));
    if (json_object_size(answer) == 0) {
        json_decref(answer);
        return 0;
    }
    if (marker != NULL) {
        cof_tool_note(call, "more follow: --marker %s", marker);
    }
    if (trait->people != NULL) {
        view.people = json_incref(json_object_get(answer, trait->people));
    }
    return cof_tool_print(call, answer, &view);
}

/* Ask the stores that the line names; *ret_over: that was all that was to be done. */
static int ask_stores(struct cof_key_session *session, const struct cof_tool_guard *guard,
                      const json_t *params, bool *ret_over)
{
    const struct cof_tool_call *call = session->call;
    json_t *which, *answer = NULL;
    if (!cof_tool_given(call, "check-store") && !cof_tool_given(call, "dry-run")) {
        return 0;
    }
    which = json_pack("{s:O}", "KeyId", json_object_get(params, "KeyId"));
    int exit_code = cof_key_ask(session, "DescribeKey", which, &answer);
    json_decref(which);
    if (exit_code == 0) {
        const char *arn = json_string_value(
            json_object_get(json_object_get(answer, "KeyMetadata"), "Arn"));
        exit_code = cof_tool_guard_key(call, arn != NULL ? arn : "", guard, ret_over);
    }
    json_decref(answer);
    return exit_code;
}

/* The key that was made rotates from the beginning. */
static int enable_rotation(struct cof_key_session *session, const json_t *made)
{
    const struct cof_tool_call *call = session->call;
    const char *arn = json_string_value(json_object_get(json_object_get(made, "KeyMetadata"),
                                                        "Arn"));
    json_t *params = json_pack("{s:s}", "KeyId", arn != NULL ? arn : ""), *answer = NULL;
    if (cof_tool_given(call, "rotation-period-in-days")) {
        uint64_t days = cof_tool_number(call, "rotation-period-in-days", 0);
        (void)json_object_set_new(params, "RotationPeriodInDays",
                                  json_integer(days > INT32_MAX ? INT32_MAX : (json_int_t)days));
    }
    int exit_code = cof_key_ask(session, "EnableKeyRotation", params, &answer);
    if (exit_code != 0) {
        cof_tool_note(call, "the key %s was made all the same, and does not rotate",
                      arn != NULL ? arn : "");
    }
    json_decref(params);
    json_decref(answer);
    return exit_code;
}

int cof_key_create_key(struct cof_tool_call *call)
{
    const struct trait *trait = trait_of(call->verb->name);
    struct cof_key_session session;
    json_t *params = NULL, *answer = NULL;
    bool rotates = cof_tool_given(call, "enable-rotation");
    if (!rotates && cof_tool_given(call, "rotation-period-in-days")) {
        return cof_tool_usage(call, NULL,
                              "--rotation-period-in-days goes with --enable-rotation");
    }
    int exit_code = cof_key_request(call, COF_ROTATION_NAMES, &params);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = cof_key_open(&session, call, trait->creates);
    if (exit_code == 0) {
        exit_code = cof_key_ask(&session, "CreateKey", params, &answer);
        if (exit_code == 0 && rotates) {
            exit_code = enable_rotation(&session, answer);
        }
        cof_key_close(&session);
    }
    json_decref(params);
    if (exit_code != 0) {
        json_decref(answer);
        return exit_code;
    }
    return print(call, trait, answer);
}

static int ask_service(struct cof_tool_call *call, const struct cof_tool_guard *guard)
{
    const struct trait *trait = trait_of(call->verb->name);
    struct cof_key_session session;
    char operation[COF_KEY_NAME_BYTES];
    json_t *params = NULL, *answer = NULL;
    bool over = false;
    int exit_code = cof_key_required(call, trait->required);
    if (exit_code == 0) {
        exit_code = cof_key_request(call, guard != NULL ? COF_GUARD_NAMES : "", &params);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    cof_key_name(call->verb->name, operation);
    exit_code = cof_key_open(&session, call, trait->creates);
    if (exit_code == 0) {
        exit_code = guard != NULL ? ask_stores(&session, guard, params, &over) : 0;
        if (exit_code == 0 && !over) {
            exit_code = cof_key_ask(&session, operation, params, &answer);
        }
        cof_key_close(&session);
    }
    json_decref(params);
    return exit_code == 0 && !over ? print(call, trait, answer) : exit_code;
}

int cof_key_verb(struct cof_tool_call *call)
{
    return ask_service(call, NULL);
}

int cof_key_disable_key(struct cof_tool_call *call)
{
    static const struct cof_tool_guard guard = {
        "disable the key",
        "open volumes stop at the next check of their key, after half of their lease (5 minutes, "
        "unless it was opened with another), and can be started for seven days; nothing else opens "
        "from now on",
        0};
    return ask_service(call, &guard);
}

int cof_key_schedule_key_deletion(struct cof_tool_call *call)
{
    const struct cof_tool_guard guard = {
        "delete the key",
        "open volumes stop at the next check of their key, as if it were disabled; when the days "
        "have passed, whatever is encrypted under it is lost for good",
        (unsigned)cof_tool_number(call, "pending-window-in-days", 30)};
    return ask_service(call, &guard);
}
