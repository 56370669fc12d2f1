/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/elements.c - Principal, Action and Resource of a statement, and their opposites.
 *
 * What could never apply where it stands is refused: another service's action in a key policy, a
 * partition that isn't ours, a principal with a wildcard inside. So a document that was taken means
 * what it looks like. Never looks up whether a principal or resource exists.
 */
#include "name.h"
#include "policy/parts.h"

#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define ALNUM LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define DATABASE_ACTION "coffer-db:*"
#define DATABASE_ARN "arn:coffer-db:"

/* ---- principals --------------------------------------------------------------------------- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* user/NAME, role/PATH/NAME, assumed-role/ROLE/SESSION: pieces of text, none empty. */
static bool is_principal_resource(struct cof_policy_text service, const char *resource)
{
    bool session = cof_policy_text_is(service, "sts") && begins(resource, "assumed-role/");
    const char *first = strchr(resource, '/'), *second;

    if (!session && !(cof_policy_text_is(service, "iam") &&
                      (begins(resource, "user/") || begins(resource, "role/")))) {
        return false;
    }
    second = strchr(first + 1, '/');
    return strspn(resource, ALNUM "+=,.@_-/") == strlen(resource) &&
           strstr(resource, "//") == NULL && resource[strlen(resource) - 1] != '/' &&
           (!session || (second != NULL && strchr(second + 1, '/') == NULL));
}

/* Set kind and name (in place of arn, the kept text) of a principal given by ARN. */
static bool classify_arn(const char *arn, struct cof_policy_principal *principal)
{
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS];
    char account[13];

    cof_policy_account_of(arn, account);
    if (account[0] == '\0' || !cof_policy_arn_split(cof_policy_text_of(arn), parts) ||
        !cof_policy_text_is(parts[0], "arn") || !cof_policy_text_is(parts[1], "coffer") ||
        parts[3].bytes != 0 || strlen(arn) >= COFFER_PRINCIPAL_BYTES_MAX) {
        return false;
    }
    principal->kind = COF_PRINCIPAL_ARN;
    principal->name = arn;
    if (cof_policy_text_is(parts[2], "iam") && strcmp(parts[5].at, "root") == 0) {
        principal->kind = COF_PRINCIPAL_ACCOUNT;
        return true;
    }
    return is_principal_resource(parts[2], parts[5].at);
}

static bool classify(bool service, const char *name, struct cof_policy_principal *principal)
{
    principal->name = name;
    if (service) {
        principal->kind = COF_PRINCIPAL_SERVICE;
        return strspn(name, LOWER "0123456789.-") == strlen(name);
    }
    if (strcmp(name, "*") == 0) {
        principal->kind = COF_PRINCIPAL_ANYONE;
        return true;
    }
    if (cof_kms_account_ok(name)) {
        principal->kind = COF_PRINCIPAL_ACCOUNT;
        return true;
    }
    return classify_arn(name, principal);
}

static int read_principal(const struct cof_policy_reader *reader, const char *type,
                          const char *source, struct cof_policy_principal *principal)
{
    const char *name;
    int error = cof_policy_keep_pattern(reader, "Principal", source, COF_PATTERN_ARN, &name);

    if (error != 0) {
        return error;
    }
    if (!classify(strcmp(type, "Service") == 0, name, principal)) {
        return cof_policy_malformed(reader, "'%.60s' is no principal of type %s", source, type);
    }
    if (principal->kind == COF_PRINCIPAL_ACCOUNT && name[0] == 'a') {
        char *account = cof_policy_keep(reader->policy, 13);

        if (account == NULL) {
            return cof_policy_no_memory(reader);
        }
        cof_policy_account_of(name, account);
        principal->name = account;
    }
    return 0;
}

static int count_principals(const struct cof_policy_reader *reader, const char *name, json_t *value,
                            unsigned *ret_count)
{
    const char *type;
    json_t *names;
    unsigned count = 0, of_type = 0;
    int error;

    if (!json_is_object(value) || json_object_size(value) == 0) {
        return cof_policy_malformed(reader, "%s is neither \"*\" nor an object", name);
    }
    json_object_foreach(value, type, names)
    {
        if (strcmp(type, "AWS") != 0 && strcmp(type, "Service") != 0) {
            return cof_policy_malformed(
                reader, "%s has the type '%.40s'; there are AWS and Service", name, type);
        }
        error = cof_policy_count_values(reader, name, names, &of_type);
        if (error != 0) {
            return error;
        }
        count += of_type;
    }
    *ret_count = count;
    return 0;
}

static int read_typed_principals(const struct cof_policy_reader *reader, const char *name,
                                 json_t *value, struct cof_policy_statement *statement)
{
    const char *type, *source;
    json_t *names;
    unsigned i, of_type = 0;
    int error;

    json_object_foreach(value, type, names)
    {
        error = cof_policy_count_values(reader, name, names, &of_type);
        for (i = 0; i < of_type && error == 0; i++) {
            error = cof_policy_text_item(reader, name, names, i, &source);
            if (error == 0) {
                error = read_principal(reader, type, source,
                                       &statement->principals[statement->principal_count++]);
            }
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int cof_policy_read_principals(const struct cof_policy_reader *reader, const char *name,
                               json_t *value, struct cof_policy_statement *statement)
{
    bool anyone = json_is_string(value) && strcmp(json_string_value(value), "*") == 0;
    unsigned count = 1;
    int error = anyone ? 0 : count_principals(reader, name, value, &count);

    if (error != 0) {
        return error;
    }
    if (statement->principals != NULL) {
        return cof_policy_malformed(reader, "only one of Principal and NotPrincipal may be there");
    }
    statement->principals_inverted = strcmp(name, "NotPrincipal") == 0;
    statement->principals = cof_policy_keep(reader->policy, count * sizeof(*statement->principals));
    if (statement->principals == NULL) {
        return cof_policy_no_memory(reader);
    }
    if (anyone) {
        statement->principals[0].kind = COF_PRINCIPAL_ANYONE;
        statement->principal_count = 1;
        return 0;
    }
    return read_typed_principals(reader, name, value, statement);
}

/* ---- actions ------------------------------------------------------------------------------ */

typedef int (*check_fn)(const struct cof_policy_reader *reader, const char *source,
                        struct cof_policy_statement *statement);

static int read_list(const struct cof_policy_reader *reader, const char *name, json_t *value,
                     unsigned flags, check_fn check, struct cof_policy_statement *statement,
                     struct cof_policy_list *list)
{
    unsigned i, count;
    const char *source;
    int error = cof_policy_count_values(reader, name, value, &count);

    if (error != 0) {
        return error;
    }
    list->inverted = begins(name, "Not");
    list->patterns = cof_policy_keep(reader->policy, count * sizeof(*list->patterns));
    if (list->patterns == NULL) {
        return cof_policy_no_memory(reader);
    }
    for (i = 0; i < count && error == 0; i++) {
        error = cof_policy_text_item(reader, name, value, i, &source);
        error = error != 0 ? error : check(reader, source, statement);
        error = error != 0
                    ? error
                    : cof_policy_keep_pattern(reader, name, source, flags, &list->patterns[i]);
    }
    list->count = i;
    return error;
}

static int check_database_action(const struct cof_policy_reader *reader, const char *source)
{
    if (reader->policy->kind != COF_POLICY_IDENTITY) {
        return cof_policy_malformed(reader, "'%.40s' is for policies of users and roles alone",
                                    source);
    }
    if (!cof_policy_same_fold(source, DATABASE_ACTION)) {
        return cof_policy_malformed(
            reader, "'%.40s' grants nothing; there is only " DATABASE_ACTION, source);
    }
    return 0;
}

static int check_action(const struct cof_policy_reader *reader, const char *source,
                        struct cof_policy_statement *statement)
{
    static const char *const services[] = {"", "kms", NULL, "sts"};
    const char *wanted = services[reader->policy->kind], *colon = strchr(source, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - source);
    char service[32] = "";

    if (strcmp(source, "*") == 0) {
        return 0;
    }
    if (bytes == 0 || bytes >= sizeof(service) || strspn(source, ALNUM "-") != bytes ||
        colon[1] == '\0' || strspn(colon + 1, ALNUM "*?-_") != strlen(colon + 1)) {
        return cof_policy_malformed(reader, "'%.60s' is no action: write SERVICE:Name", source);
    }
    memcpy(service, source, bytes);
    if (cof_policy_same_fold(service, "coffer-db")) {
        statement->has_database_action = true;
        return check_database_action(reader, source);
    }
    statement->has_other_action = true;
    if (wanted != NULL && !cof_policy_same_fold(service, wanted)) {
        return cof_policy_malformed(reader, "'%.60s' is no action of %s", source, wanted);
    }
    return 0;
}

int cof_policy_read_actions(const struct cof_policy_reader *reader, const char *name, json_t *value,
                            struct cof_policy_statement *statement)
{
    if (statement->actions.patterns != NULL) {
        return cof_policy_malformed(reader, "only one of Action and NotAction may be there");
    }
    return read_list(reader, name, value, COF_PATTERN_WILDCARDS, check_action, statement,
                     &statement->actions);
}

/* ---- resources ---------------------------------------------------------------------------- */

/* arn:coffer-db:REGION:ACCOUNT:RESOURCE-ID/(star), one region and account, wildcards in the id. */
static bool is_database_arn(const char *source)
{
    char region[COF_KMS_REGION_BYTES_MAX] = "", account[13] = "";
    const char *at = source + strlen(DATABASE_ARN);
    size_t region_bytes = strcspn(at, ":"), id_bytes;

    if (region_bytes >= sizeof(region) || at[region_bytes] != ':') {
        return false;
    }
    memcpy(region, at, region_bytes);
    at += region_bytes + 1;
    if (strcspn(at, ":") != 12 || at[12] != ':') {
        return false;
    }
    memcpy(account, at, 12);
    at += 13;
    id_bytes = strspn(at, ALNUM "*?-_");
    return cof_kms_region_ok(region) && cof_kms_account_ok(account) && id_bytes > 0 &&
           strcmp(at + id_bytes, "/*") == 0;
}

static bool is_arn(const char *source, const char *service)
{
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS];

    if (!cof_policy_arn_split(cof_policy_text_of(source), parts)) {
        return false;
    }
    return cof_policy_text_is(parts[0], "arn") &&
           (cof_policy_text_is(parts[1], "coffer") || cof_policy_text_is(parts[1], "aws")) &&
           parts[2].bytes > 0 && strspn(parts[2].at, LOWER "0123456789-") == parts[2].bytes &&
           (service == NULL || cof_policy_text_is(parts[2], service));
}

static int check_resource(const struct cof_policy_reader *reader, const char *source,
                          struct cof_policy_statement *statement)
{
    bool of_key = reader->policy->kind == COF_POLICY_KEY;

    if (begins(source, DATABASE_ARN)) {
        statement->has_database_resource = true;
        if (of_key) {
            return cof_policy_malformed(reader, "'%.40s' has no place in a key policy", source);
        }
        if (!is_database_arn(source)) {
            return cof_policy_malformed(
                reader, "'%.50s' is not " DATABASE_ARN "REGION:ACCOUNT:RESOURCE-ID/*", source);
        }
        return 0;
    }
    statement->has_other_resource = true;
    if (strcmp(source, "*") != 0 && !is_arn(source, of_key ? "kms" : NULL)) {
        return cof_policy_malformed(reader, "Resource '%.60s' is neither * nor an ARN of %s",
                                    source, of_key ? "kms" : "partition coffer");
    }
    return 0;
}

int cof_policy_read_resources(const struct cof_policy_reader *reader, const char *name,
                              json_t *value, struct cof_policy_statement *statement)
{
    unsigned flags = COF_PATTERN_WILDCARDS | COF_PATTERN_ARN |
                     (reader->policy->variables ? COF_PATTERN_VARIABLES : 0);

    if (statement->resources.patterns != NULL) {
        return cof_policy_malformed(reader, "only one of Resource and NotResource may be there");
    }
    return read_list(reader, name, value, flags, check_resource, statement, &statement->resources);
}
