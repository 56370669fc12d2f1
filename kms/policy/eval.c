/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/eval.c - whether a statement applies to a request, and what a policy says to it.
 *
 * Each question is answered by all of a statement's elements; a policy's answer is its strongest
 * statement's. Work is bounded, and a run that reaches the bound denies. Any thread, no state.
 */
#include "policy/principal.h"

#include "testhook.h"

static bool list_holds(struct cof_policy_run *run, const struct cof_policy_list *list,
                       const char *value, bool fold, bool allows)
{
    bool found = false;
    unsigned i;

    if (list->patterns == NULL) {
        return true; /* a trust policy is about its role alone */
    }
    run->unresolved_matches = list->inverted && allows;
    for (i = 0; i < list->count && !found; i++) {
        found = value != NULL && cof_policy_pattern_matches(run, list->patterns[i], value, fold);
    }
    run->unresolved_matches = false;
    return found != list->inverted;
}

static enum cof_policy_named named_by(const struct cof_policy_run *run,
                                      const struct cof_policy_statement *statement)
{
    enum cof_policy_named strongest = COF_POLICY_NOT_NAMED;
    unsigned i;

    for (i = 0; i < statement->principal_count; i++) {
        enum cof_policy_named named = cof_policy_principal_named(run, &statement->principals[i]);

        strongest = named > strongest ? named : strongest;
    }
    return strongest;
}

/* What the statement does to the caller, were its other elements to hold. */
static enum cof_policy_effect effect_on_caller(const struct cof_policy_run *run,
                                               const struct cof_policy_statement *statement)
{
    enum cof_policy_named named;

    if (statement->principals == NULL) {
        return statement->effect;
    }
    named = named_by(run, statement);
    if (statement->principals_inverted) {
        return named == COF_POLICY_NAMED ? COF_POLICY_NONE : statement->effect;
    }
    if (named == COF_POLICY_NOT_NAMED) {
        return COF_POLICY_NONE;
    }
    if (statement->effect == COF_POLICY_ALLOW && named == COF_POLICY_ACCOUNT_NAMED) {
        return COF_POLICY_DELEGATE;
    }
    return statement->effect;
}

enum cof_policy_effect cof_policy_statement_effect(struct cof_policy_run *run,
                                                   const struct cof_policy_statement *statement)
{
    const struct cof_policy_request *request = run->request;
    enum cof_policy_effect effect = effect_on_caller(run, statement);
    bool allows = statement->effect == COF_POLICY_ALLOW;
    unsigned i;

    if (effect == COF_POLICY_NONE || (effect == COF_POLICY_DENY && COF_KMS_BROKEN(IGNORE_DENY)) ||
        !list_holds(run, &statement->actions, request->action, true, allows) ||
        !list_holds(run, &statement->resources, request->resource, false, allows)) {
        return COF_POLICY_NONE;
    }
    for (i = 0; i < statement->condition_count; i++) {
        if (!cof_policy_condition_holds(run, &statement->conditions[i], allows)) {
            return COF_POLICY_NONE;
        }
    }
    return effect;
}

enum cof_policy_effect cof_policy_eval(const struct cof_policy *policy,
                                       const struct cof_policy_request *request)
{
    enum cof_policy_effect strongest = COF_POLICY_NONE;
    struct cof_policy_run run;
    unsigned i;

    if (policy == NULL) {
        return COF_POLICY_NONE;
    }
    cof_policy_run_init(&run, request);
    for (i = 0; i < policy->statement_count && strongest != COF_POLICY_DENY; i++) {
        enum cof_policy_effect effect = cof_policy_statement_effect(&run, &policy->statements[i]);

        strongest = effect > strongest ? effect : strongest;
    }
    return run.overrun ? COF_POLICY_DENY : strongest;
}
