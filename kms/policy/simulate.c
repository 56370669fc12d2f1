/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/simulate.c - the decision with the statements that led to it, as JSON.
 *
 * The answer is cof_policy_decide's own; what this adds is only which statements applied.
 */
#include "policy/parts.h"

static const char *effect_name(enum cof_policy_effect effect)
{
    return effect == COF_POLICY_DENY ? "Deny" : "Allow";
}

/* Append the statements of policy (NULL: none) that apply. */
static int add_matched(json_t *matched, const struct cof_policy *policy, const char *type,
                       unsigned index, const struct cof_policy_request *request)
{
    struct cof_policy_run run;
    unsigned i;

    if (policy == NULL) {
        return 0;
    }
    cof_policy_run_init(&run, request);
    for (i = 0; i < policy->statement_count; i++) {
        const struct cof_policy_statement *statement = &policy->statements[i];
        enum cof_policy_effect effect = cof_policy_statement_effect(&run, statement);

        if (effect == COF_POLICY_NONE) {
            continue;
        }
        if (json_array_append_new(matched, json_pack("{s:s, s:i, s:i, s:s, s:s, s:b}",
                                                     "SourcePolicyType", type, "PolicyIndex",
                                                     (int)index, "StatementIndex", (int)i, "Sid",
                                                     statement->sid == NULL ? "" : statement->sid,
                                                     "Effect", effect_name(effect), "ByAccount",
                                                     effect == COF_POLICY_DELEGATE)) != 0) {
            return COFFER_E_NO_MEMORY;
        }
    }
    return 0;
}

static int collect(const struct cof_decision_input *input, json_t *matched)
{
    const struct cof_policy_request *request = input->request;
    unsigned i;
    int error = add_matched(matched, input->key_policy, "key", 0, request);

    for (i = 0; i < input->identity_policy_count && error == 0; i++) {
        error = add_matched(matched, input->identity_policies[i], "identity", i, request);
    }
    if (error == 0) {
        error = add_matched(matched, input->boundary, "boundary", 0, request);
    }
    if (error == 0) {
        error = add_matched(matched, input->session_policy, "session", 0, request);
    }
    return error;
}

int cof_policy_simulate(const struct cof_decision_input *input, json_t **ret_result)
{
    enum cof_policy_reason why = cof_policy_judge(input);
    const char *reason, *decision;
    json_t *matched = json_array(), *result;

    if (matched == NULL || collect(input, matched) != 0) {
        json_decref(matched);
        return COFFER_E_NO_MEMORY;
    }
    if (cof_policy_decide(input, &reason)) {
        decision = "allowed";
    } else {
        decision = why <= COF_REASON_SESSION_DENIES ? "explicitDeny" : "implicitDeny";
    }
    result = json_pack("{s:s, s:s, s:s, s:s, s:o}", "EvalActionName", input->request->action,
                       "EvalResourceName", input->request->resource, "EvalDecision", decision,
                       "Reason", reason, "MatchedStatements", matched);
    if (result == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    *ret_result = result;
    return 0;
}
