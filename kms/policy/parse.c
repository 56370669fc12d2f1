/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/parse.c - a policy document, from JSON to statements.
 *
 * Strict: an element that isn't known, stands twice, or is of the wrong kind refuses the whole
 * document. Depth is bounded by its shape, size and counts by COF_POLICY_..._MAX.
 */
#include "policy/parts.h"

#include <string.h>

/* ---- statements --------------------------------------------------------------------------- */

static int read_effect(const struct cof_policy_reader *reader, const char *name, json_t *value,
                       struct cof_policy_statement *statement)
{
    const char *effect = json_string_value(value);

    if (effect != NULL && strcmp(effect, "Allow") == 0) {
        statement->effect = COF_POLICY_ALLOW;
    } else if (effect != NULL && strcmp(effect, "Deny") == 0) {
        statement->effect = COF_POLICY_DENY;
    } else {
        return cof_policy_malformed(reader, "%s is neither Allow nor Deny", name);
    }
    return 0;
}

static int read_sid(const struct cof_policy_reader *reader, const char *name, json_t *value,
                    struct cof_policy_statement *statement)
{
    const struct cof_policy *policy = reader->policy;
    const char *sid = json_string_value(value);
    unsigned i;

    if (sid == NULL) {
        return cof_policy_malformed(reader, "%s is no text", name);
    }
    for (i = 0; sid[0] != '\0' && i < policy->statement_count; i++) {
        if (policy->statements[i].sid != NULL && strcmp(policy->statements[i].sid, sid) == 0) {
            return cof_policy_malformed(reader, "Sid '%.40s' is that of statement %u", sid, i + 1);
        }
    }
    return cof_policy_keep_pattern(reader, name, sid, 0, &statement->sid);
}

enum kind_bits {
    IN_KEY = 1u << COF_POLICY_KEY,
    IN_IDENTITY = 1u << COF_POLICY_IDENTITY,
    IN_TRUST = 1u << COF_POLICY_TRUST,
    IN_ALL = IN_KEY | IN_IDENTITY | IN_TRUST
};

static const struct element {
    const char *name;
    unsigned kinds;
    int (*read)(const struct cof_policy_reader *reader, const char *name, json_t *value,
                struct cof_policy_statement *statement);
} elements[] = {
    {"Sid", IN_ALL, read_sid},
    {"Effect", IN_ALL, read_effect},
    {"Principal", IN_KEY | IN_TRUST, cof_policy_read_principals},
    {"NotPrincipal", IN_KEY | IN_TRUST, cof_policy_read_principals},
    {"Action", IN_ALL, cof_policy_read_actions},
    {"NotAction", IN_ALL, cof_policy_read_actions},
    {"Resource", IN_KEY | IN_IDENTITY, cof_policy_read_resources},
    {"NotResource", IN_KEY | IN_IDENTITY, cof_policy_read_resources},
    {"Condition", IN_ALL, cof_policy_read_conditions},
};

static const char *kind_name(enum cof_policy_kind kind)
{
    static const char *const names[] = {"", "a key policy", "an identity policy", "a trust policy"};

    return names[kind];
}

static int read_element(const struct cof_policy_reader *reader, const char *name, json_t *value,
                        struct cof_policy_statement *statement)
{
    enum cof_policy_kind kind = reader->policy->kind;
    size_t i;

    for (i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        if (strcmp(elements[i].name, name) != 0) {
            continue;
        }
        if ((elements[i].kinds & (1u << kind)) == 0) {
            return cof_policy_malformed(reader, "%s has no place in %s", name, kind_name(kind));
        }
        return elements[i].read(reader, name, value, statement);
    }
    return cof_policy_malformed(reader, "there is no element '%.60s'", name);
}

/* One of the two is there, where the kind has them; reading them saw to it that not both are. */
static int check_pair(const struct cof_policy_reader *reader, json_t *statement, const char *name,
                      const char *inverted, unsigned kinds)
{
    bool has = json_object_get(statement, name) != NULL;
    bool has_inverted = json_object_get(statement, inverted) != NULL;

    if ((kinds & (1u << reader->policy->kind)) == 0) {
        return 0;
    }
    if (!has && !has_inverted) {
        return cof_policy_malformed(reader, "%s (or %s) is missing", name, inverted);
    }
    return 0;
}

static int check_statement(const struct cof_policy_reader *reader, json_t *value,
                           const struct cof_policy_statement *statement)
{
    bool database = statement->has_database_action || statement->has_database_resource;
    int error = 0;

    if (statement->effect == COF_POLICY_NONE) {
        return cof_policy_malformed(reader, "Effect is missing");
    }
    error = check_pair(reader, value, "Principal", "NotPrincipal", IN_KEY | IN_TRUST);
    error = error != 0 ? error : check_pair(reader, value, "Action", "NotAction", IN_ALL);
    error = error != 0 ? error
                       : check_pair(reader, value, "Resource", "NotResource", IN_KEY | IN_IDENTITY);
    if (error != 0) {
        return error;
    }
    if (statement->principals_inverted && statement->effect == COF_POLICY_ALLOW) {
        return cof_policy_malformed(reader, "NotPrincipal with Allow would allow strangers; "
                                            "name who is allowed, or Deny");
    }
    if (statement->has_database_action &&
        (statement->has_other_action || statement->has_other_resource ||
         statement->actions.inverted || statement->resources.inverted)) {
        return cof_policy_malformed(reader, "coffer-db:* stands alone as Action, with Resource "
                                            "arn:coffer-db:REGION:ACCOUNT:ID/* only");
    }
    if (statement->has_database_resource && statement->has_other_action &&
        !statement->has_database_action) {
        return cof_policy_malformed(reader,
                                    "for arn:coffer-db: resources there is only coffer-db:*");
    }
    if (database && statement->condition_count > 0) {
        return cof_policy_malformed(reader, "Condition isn't supported for coffer-db");
    }
    return 0;
}

static int read_statement(const struct cof_policy_reader *reader, json_t *value,
                          struct cof_policy_statement *statement)
{
    const char *name;
    json_t *element;
    int error;

    if (!json_is_object(value)) {
        return cof_policy_malformed(reader, "it is no object");
    }
    json_object_foreach(value, name, element)
    {
        error = read_element(reader, name, element, statement);
        if (error != 0) {
            return error;
        }
    }
    return check_statement(reader, value, statement);
}

static int read_statements(struct cof_policy_reader *reader, json_t *value)
{
    struct cof_policy *policy = reader->policy;
    unsigned i, count;
    int error = cof_policy_count_values(reader, "Statement", value, &count);

    if (error != 0) {
        return error;
    }
    if (count > COF_POLICY_STATEMENTS_MAX) {
        return cof_policy_malformed(reader, "it has more than %u statements",
                                    COF_POLICY_STATEMENTS_MAX);
    }
    policy->statements = cof_policy_keep(policy, count * sizeof(*policy->statements));
    if (policy->statements == NULL) {
        return cof_policy_no_memory(reader);
    }
    for (i = 0; i < count && error == 0; i++) {
        reader->statement = i + 1;
        error = read_statement(reader, cof_policy_item(value, i), &policy->statements[i]);
        policy->statement_count = i + 1;
    }
    return error;
}

/* ---- documents ---------------------------------------------------------------------------- */

static int read_version(const struct cof_policy_reader *reader, json_t *value)
{
    const char *version = json_string_value(value);

    reader->policy->variables = version != NULL && strcmp(version, "2012-10-17") == 0;
    if (value == NULL || reader->policy->variables ||
        (version != NULL && strcmp(version, "2008-10-17") == 0)) {
        return 0;
    }
    return cof_policy_malformed(reader, "Version is neither \"2012-10-17\" nor \"2008-10-17\"");
}

static int read_document(struct cof_policy_reader *reader, json_t *document)
{
    const char *name;
    json_t *value;

    if (!json_is_object(document)) {
        return cof_policy_malformed(reader, "it is no JSON object");
    }
    json_object_foreach(document, name, value)
    {
        if (strcmp(name, "Id") == 0 && !json_is_string(value)) {
            return cof_policy_malformed(reader, "Id is no text");
        }
        if (strcmp(name, "Version") != 0 && strcmp(name, "Statement") != 0 &&
            strcmp(name, "Id") != 0) {
            return cof_policy_malformed(reader, "there is no element '%.60s'", name);
        }
    }
    value = json_object_get(document, "Statement");
    if (value == NULL) {
        return cof_policy_malformed(reader, "Statement is missing");
    }
    /* The version says how values are read, wherever it stands. */
    if (read_version(reader, json_object_get(document, "Version")) != 0) {
        return COFFER_E_POLICY;
    }
    return read_statements(reader, value);
}

static int check_size(const struct cof_policy_reader *reader, const char *json, size_t bytes)
{
    size_t i, counted = 0;

    for (i = 0; i < bytes && bytes <= COF_POLICY_KEY_BYTES_MAX; i++) {
        counted += strchr(" \t\r\n", json[i]) == NULL || json[i] == '\0' ? 1 : 0;
    }
    if (bytes > COF_POLICY_KEY_BYTES_MAX ||
        (reader->policy->kind != COF_POLICY_KEY && counted > COF_POLICY_IDENTITY_BYTES_MAX)) {
        return cof_kms_fault(reader->fault, COFFER_E_LIMIT,
                             "the policy is too long: a key's may have %u bytes, another's %u "
                             "without white space",
                             COF_POLICY_KEY_BYTES_MAX, COF_POLICY_IDENTITY_BYTES_MAX);
    }
    return 0;
}

static int load(struct cof_policy_reader *reader, const char *json, size_t bytes)
{
    json_error_t wrong;
    json_t *document;
    int error = check_size(reader, json, bytes);

    if (error != 0) {
        return error;
    }
    document = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &wrong);
    if (document == NULL && json_error_code(&wrong) == json_error_out_of_memory) {
        return cof_policy_no_memory(reader);
    }
    if (document == NULL) {
        return cof_policy_malformed(reader, "line %d, column %d: %.80s", wrong.line, wrong.column,
                                    wrong.text);
    }
    error = read_document(reader, document);
    json_decref(document);
    return error;
}

int cof_policy_parse(struct cof_kms_env *env, enum cof_policy_kind kind, const char *json,
                     size_t bytes, struct cof_policy **ret_policy, struct coffer_fault *fault)
{
    struct cof_policy *policy = cof_kms_alloc(env, sizeof(*policy));
    struct cof_policy_reader reader = {policy, 0, fault};
    int error;

    if (policy == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    policy->env = env;
    policy->kind = kind;
    error = load(&reader, json, bytes);
    if (error != 0) {
        cof_policy_free(policy);
        return error;
    }
    *ret_policy = policy;
    return 0;
}
