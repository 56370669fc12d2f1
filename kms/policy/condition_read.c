/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/condition_read.c - Condition of a statement: operators, condition keys, values.
 *
 * A value must be what its operator compares: a number, a date, a network. Any thread, no state.
 */
#include "policy/condition.h"

#include <stdio.h>
#include <string.h>

static const struct cof_policy_operator operators[] = {
    {"StringEquals", FAMILY_TEXT, RELATION_EQUAL, false},
    {"StringNotEquals", FAMILY_TEXT, RELATION_EQUAL, true},
    {"StringEqualsIgnoreCase", FAMILY_FOLDED, RELATION_EQUAL, false},
    {"StringNotEqualsIgnoreCase", FAMILY_FOLDED, RELATION_EQUAL, true},
    {"StringLike", FAMILY_LIKE, RELATION_EQUAL, false},
    {"StringNotLike", FAMILY_LIKE, RELATION_EQUAL, true},
    {"NumericEquals", FAMILY_NUMBER, RELATION_EQUAL, false},
    {"NumericNotEquals", FAMILY_NUMBER, RELATION_EQUAL, true},
    {"NumericLessThan", FAMILY_NUMBER, RELATION_LESS, false},
    {"NumericLessThanEquals", FAMILY_NUMBER, RELATION_LESS_OR_EQUAL, false},
    {"NumericGreaterThan", FAMILY_NUMBER, RELATION_GREATER, false},
    {"NumericGreaterThanEquals", FAMILY_NUMBER, RELATION_GREATER_OR_EQUAL, false},
    {"DateEquals", FAMILY_DATE, RELATION_EQUAL, false},
    {"DateNotEquals", FAMILY_DATE, RELATION_EQUAL, true},
    {"DateLessThan", FAMILY_DATE, RELATION_LESS, false},
    {"DateLessThanEquals", FAMILY_DATE, RELATION_LESS_OR_EQUAL, false},
    {"DateGreaterThan", FAMILY_DATE, RELATION_GREATER, false},
    {"DateGreaterThanEquals", FAMILY_DATE, RELATION_GREATER_OR_EQUAL, false},
    {"Bool", FAMILY_BOOL, RELATION_EQUAL, false},
    {"IpAddress", FAMILY_NETWORK, RELATION_EQUAL, false},
    {"NotIpAddress", FAMILY_NETWORK, RELATION_EQUAL, true},
    {"ArnEquals", FAMILY_ARN, RELATION_EQUAL, false},
    {"ArnLike", FAMILY_ARN, RELATION_EQUAL, false},
    {"ArnNotEquals", FAMILY_ARN, RELATION_EQUAL, true},
    {"ArnNotLike", FAMILY_ARN, RELATION_EQUAL, true},
    {"Null", FAMILY_NULL, RELATION_EQUAL, false},
};

static bool is_bool(const char *text)
{
    return cof_policy_same_fold(text, "true") || cof_policy_same_fold(text, "false");
}

/* What a value of family must be when text is none; NULL when it is one. */
static const char *wants(enum cof_policy_family family, const char *text,
                         struct cof_policy_operand *operand)
{
    switch (family) {
    case FAMILY_NUMBER:
        return cof_policy_number_read(text, &operand->number) ? NULL : "a number";
    case FAMILY_DATE:
        return cof_policy_date_read(text, &operand->number) ? NULL : "a date";
    case FAMILY_BOOL:
    case FAMILY_NULL:
        return is_bool(text) ? NULL : "true or false";
    case FAMILY_NETWORK:
        return cof_policy_network_read(text, &operand->network) ? NULL : "an address or network";
    default:
        return NULL;
    }
}

static unsigned pattern_flags(const struct cof_policy_reader *reader,
                              const struct cof_policy_condition *condition)
{
    enum cof_policy_family family = condition->op->family;
    unsigned flags = reader->policy->variables && family <= FAMILY_ARN ? COF_PATTERN_VARIABLES : 0;

    if (family == FAMILY_LIKE || family == FAMILY_ARN) {
        flags |= COF_PATTERN_WILDCARDS;
    }
    if (family == FAMILY_ARN || cof_policy_key_is_arn(&condition->key)) {
        flags |= COF_PATTERN_ARN;
    }
    return flags;
}

/* The text of a value, which may be written as a number or bool as well; NULL for another kind. */
static const char *text_of(const json_t *value, char scratch[32])
{
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_integer(value)) {
        (void)snprintf(scratch, 32, "%lld", (long long)json_integer_value(value));
        return scratch;
    }
    if (json_is_boolean(value)) {
        return json_is_true(value) ? "true" : "false";
    }
    return NULL;
}

static int read_operand(const struct cof_policy_reader *reader, const json_t *value,
                        const struct cof_policy_condition *condition,
                        struct cof_policy_operand *operand)
{
    char scratch[32];
    const char *text = text_of(value, scratch), *missed;

    if (text == NULL) {
        return cof_policy_malformed(reader, "a value of %s is no text", condition->op->name);
    }
    missed = wants(condition->op->family, text, operand);
    if (missed != NULL) {
        return cof_policy_malformed(reader, "%s wants %s, and '%.40s' is none", condition->op->name,
                                    missed, text);
    }
    return cof_policy_keep_pattern(reader, condition->op->name, text,
                                   pattern_flags(reader, condition), &operand->pattern);
}

/* Take name apart: [ForAllValues:|ForAnyValue:]OPERATOR[IfExists]. */
static int read_operator(const struct cof_policy_reader *reader, const char *name,
                         struct cof_policy_condition *condition)
{
    const char *at = name;
    size_t i, bytes;

    if (strncmp(at, "ForAllValues:", 13) == 0) {
        condition->qualifier = COF_QUALIFIER_ALL;
        at += 13;
    } else if (strncmp(at, "ForAnyValue:", 12) == 0) {
        condition->qualifier = COF_QUALIFIER_ANY;
        at += 12;
    }
    bytes = strlen(at);
    condition->if_exists = bytes > 8 && strcmp(at + bytes - 8, "IfExists") == 0;
    bytes -= condition->if_exists ? 8 : 0;
    for (i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        struct cof_policy_text text = {at, bytes};

        if (cof_policy_text_is(text, operators[i].name)) {
            condition->op = &operators[i];
        }
    }
    if (condition->op == NULL) {
        return cof_policy_malformed(reader, "there is no condition operator '%.60s'", name);
    }
    if (condition->op->family == FAMILY_NULL &&
        (condition->if_exists || condition->qualifier != COF_QUALIFIER_NONE)) {
        return cof_policy_malformed(reader, "Null takes no qualifier and no IfExists");
    }
    return 0;
}

static int read_condition(const struct cof_policy_reader *reader, const char *op, const char *key,
                          json_t *values, struct cof_policy_condition *condition)
{
    unsigned i;
    char *kept;
    int error = read_operator(reader, op, condition);

    if (error == 0) {
        error = cof_policy_count_values(reader, op, values, &condition->operand_count);
    }
    if (error != 0) {
        return error;
    }
    kept = cof_policy_keep(reader->policy, strlen(key) + 1);
    condition->operands =
        cof_policy_keep(reader->policy, condition->operand_count * sizeof(*condition->operands));
    if (kept == NULL || condition->operands == NULL) {
        return cof_policy_no_memory(reader);
    }
    memcpy(kept, key, strlen(key));
    if (!cof_policy_key_find(kept, &condition->key)) {
        return cof_policy_malformed(reader, "condition key '%.60s' isn't known here", key);
    }
    if (condition->op->family == FAMILY_NULL && condition->operand_count != 1) {
        return cof_policy_malformed(reader, "Null wants true or false, not a list");
    }
    for (i = 0; i < condition->operand_count && error == 0; i++) {
        error =
            read_operand(reader, cof_policy_item(values, i), condition, &condition->operands[i]);
    }
    return error;
}

static int count_conditions(const struct cof_policy_reader *reader, json_t *value,
                            unsigned *ret_count)
{
    const char *op;
    json_t *keys;
    size_t count = 0;

    if (!json_is_object(value) || json_object_size(value) == 0) {
        return cof_policy_malformed(reader, "Condition is no object of operators");
    }
    json_object_foreach(value, op, keys)
    {
        if (!json_is_object(keys) || json_object_size(keys) == 0) {
            return cof_policy_malformed(reader, "%.40s has no condition keys", op);
        }
        count += json_object_size(keys);
    }
    if (count > COF_POLICY_VALUES_MAX) {
        return cof_policy_malformed(reader, "more than %u conditions", COF_POLICY_VALUES_MAX);
    }
    *ret_count = (unsigned)count;
    return 0;
}

int cof_policy_read_conditions(const struct cof_policy_reader *reader, const char *name,
                               json_t *value, struct cof_policy_statement *statement)
{
    const char *op, *key;
    json_t *keys, *values;
    unsigned count = 0, at = 0;
    int error = count_conditions(reader, value, &count);

    (void)name;
    if (error != 0) {
        return error;
    }
    statement->conditions = cof_policy_keep(reader->policy, count * sizeof(*statement->conditions));
    if (statement->conditions == NULL) {
        return cof_policy_no_memory(reader);
    }
    json_object_foreach(value, op, keys)
    {
        json_object_foreach(keys, key, values)
        {
            error = read_condition(reader, op, key, values, &statement->conditions[at++]);
            if (error != 0) {
                return error;
            }
        }
    }
    statement->condition_count = count;
    return 0;
}
