/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/condition.c - what the operators of Condition hold for.
 *
 * A positive operator holds when a value of the request fits one of the policy's; a negated one
 * when it fits none. Without a value in the request a positive one is false, a negated one true,
 * and one with IfExists true. Any thread, no state.
 */
#include "policy/condition.h"

static bool compares(enum cof_policy_relation relation, int64_t given, int64_t wanted)
{
    switch (relation) {
    case RELATION_EQUAL:
        return given == wanted;
    case RELATION_LESS:
        return given < wanted;
    case RELATION_LESS_OR_EQUAL:
        return given <= wanted;
    case RELATION_GREATER:
        return given > wanted;
    case RELATION_GREATER_OR_EQUAL:
        return given >= wanted;
    }
    return false;
}

static bool fits(struct cof_policy_run *run, const struct cof_policy_operator *op,
                 const struct cof_policy_operand *operand, const char *value)
{
    int64_t number;

    switch (op->family) {
    case FAMILY_TEXT:
    case FAMILY_LIKE:
        return cof_policy_pattern_matches(run, operand->pattern, value, false);
    case FAMILY_FOLDED:
        return cof_policy_pattern_matches(run, operand->pattern, value, true);
    case FAMILY_ARN:
        return cof_policy_pattern_matches_arn(run, operand->pattern, value);
    case FAMILY_NUMBER:
        return cof_policy_number_read(value, &number) &&
               compares(op->relation, number, operand->number);
    case FAMILY_DATE:
        return cof_policy_date_read(value, &number) &&
               compares(op->relation, number, operand->number);
    case FAMILY_BOOL:
    case FAMILY_NULL:
        return cof_policy_same_fold(operand->pattern, value);
    case FAMILY_NETWORK:
        return cof_policy_network_holds(&operand->network, value);
    }
    return false;
}

static bool fits_any(struct cof_policy_run *run, const struct cof_policy_condition *condition,
                     const char *value)
{
    bool found = false;
    unsigned i;

    for (i = 0; i < condition->operand_count && !found; i++) {
        found = fits(run, condition->op, &condition->operands[i], value);
    }
    return found;
}

/* What holds when the request has no value. */
static bool holds_without(const struct cof_policy_condition *condition)
{
    if (condition->if_exists || condition->qualifier == COF_QUALIFIER_ALL) {
        return true;
    }
    return condition->qualifier == COF_QUALIFIER_NONE && condition->op->negated;
}

bool cof_policy_condition_holds(struct cof_policy_run *run,
                                const struct cof_policy_condition *condition, bool allows)
{
    bool negated = condition->op->negated, all = true, any = false, present = false;
    struct cof_policy_cursor cursor;
    const char *value;

    cof_policy_values(run, &condition->key, &cursor);
    if (condition->op->family == FAMILY_NULL) {
        value = cof_policy_next_value(&cursor) == NULL ? "true" : "false";
        return fits_any(run, condition, value);
    }
    /* Not to fit what has no value must not open a door: only a Deny may be read so. */
    run->unresolved_matches = negated && allows;
    while ((value = cof_policy_next_value(&cursor)) != NULL) {
        bool holds = fits_any(run, condition, value) != negated;

        present = true;
        all = all && holds;
        any = any || holds;
    }
    run->unresolved_matches = false;
    if (!present) {
        return holds_without(condition);
    }
    if (condition->qualifier == COF_QUALIFIER_NONE) {
        return negated ? all : any;
    }
    return condition->qualifier == COF_QUALIFIER_ALL ? all : any;
}
