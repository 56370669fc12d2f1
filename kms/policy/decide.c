/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/decide.c - who may do what: the one place where policies and grants meet.
 *
 * Silence is no. A Deny is asked for first and everywhere, so no order of documents or statements
 * matters. Any thread, no state.
 */
#include "policy/principal.h"

#include <string.h>

struct answers {
    enum cof_policy_effect key, identity, boundary, session;
};

static enum cof_policy_effect ask_identity(const struct cof_decision_input *input,
                                           const struct cof_policy_run *run)
{
    enum cof_policy_effect strongest = cof_policy_is_root(run) ? COF_POLICY_ALLOW : COF_POLICY_NONE;
    unsigned i;

    for (i = 0; i < input->identity_policy_count; i++) {
        enum cof_policy_effect effect =
            cof_policy_eval(input->identity_policies[i], input->request);

        strongest = effect > strongest ? effect : strongest;
    }
    return strongest;
}

/* The first policy that denies, or NONE. */
static enum cof_policy_reason denied_by(const struct answers *answers)
{
    if (answers->key == COF_POLICY_DENY) {
        return COF_REASON_KEY_DENIES;
    }
    if (answers->identity == COF_POLICY_DENY) {
        return COF_REASON_IDENTITY_DENIES;
    }
    if (answers->boundary == COF_POLICY_DENY) {
        return COF_REASON_BOUNDARY_DENIES;
    }
    return answers->session == COF_POLICY_DENY ? COF_REASON_SESSION_DENIES : COF_REASON_NONE;
}

/* A boundary or session policy that doesn't allow, or NONE. */
static enum cof_policy_reason outside(const struct cof_decision_input *input,
                                      const struct answers *answers)
{
    if (input->boundary != NULL && answers->boundary != COF_POLICY_ALLOW) {
        return COF_REASON_BOUNDARY_SILENT;
    }
    if (input->session_policy != NULL && answers->session != COF_POLICY_ALLOW) {
        return COF_REASON_SESSION_SILENT;
    }
    return COF_REASON_NONE;
}

static enum cof_policy_reason judge_keyless(const struct answers *answers, bool same_account)
{
    if (!same_account) {
        return COF_REASON_OTHER_ACCOUNT;
    }
    return answers->identity == COF_POLICY_ALLOW ? COF_REASON_BY_IDENTITY
                                                 : COF_REASON_IDENTITY_SILENT;
}

/* alone: the key policy's Allow suffices. */
static enum cof_policy_reason judge_key(const struct answers *answers, bool alone)
{
    if (answers->key == COF_POLICY_ALLOW && alone) {
        return COF_REASON_BY_KEY;
    }
    if (answers->key == COF_POLICY_NONE) {
        return COF_REASON_KEY_SILENT;
    }
    return answers->identity == COF_POLICY_ALLOW ? COF_REASON_BY_KEY_AND_IDENTITY
                                                 : COF_REASON_IDENTITY_SILENT;
}

enum cof_policy_reason cof_policy_judge(const struct cof_decision_input *input)
{
    const struct cof_policy_request *request = input->request;
    enum cof_policy_reason reason;
    struct answers answers;
    struct cof_policy_run run;
    bool same_account, is_service;

    cof_policy_run_init(&run, request);
    same_account = run.account[0] != '\0' && strcmp(run.account, input->account) == 0;
    /* A service is of no account: its name in the key policy is all there can be. */
    is_service = strchr(run.principal, ':') == NULL;
    answers.key = cof_policy_eval(input->key_policy, request);
    answers.identity = ask_identity(input, &run);
    answers.boundary = cof_policy_eval(input->boundary, request);
    answers.session = cof_policy_eval(input->session_policy, request);

    reason = denied_by(&answers);
    if (reason == COF_REASON_NONE) {
        reason = outside(input, &answers);
    }
    if (reason != COF_REASON_NONE) {
        return reason;
    }
    if (input->keyless) {
        return judge_keyless(&answers, same_account);
    }
    reason = judge_key(&answers, same_account || is_service);
    return reason < COF_REASON_BY_KEY && input->grant_allows ? COF_REASON_BY_GRANT : reason;
}

bool cof_policy_decide(const struct cof_decision_input *input, const char **ret_reason)
{
    static const char *const texts[] = {
        [COF_REASON_NONE] = "",
        [COF_REASON_KEY_DENIES] = "with an explicit deny in a resource-based policy",
        [COF_REASON_IDENTITY_DENIES] = "with an explicit deny in an identity-based policy",
        [COF_REASON_BOUNDARY_DENIES] = "with an explicit deny in a permissions boundary",
        [COF_REASON_SESSION_DENIES] = "with an explicit deny in a session policy",
        [COF_REASON_BOUNDARY_SILENT] = "because no permissions boundary allows the action",
        [COF_REASON_SESSION_SILENT] = "because no session policy allows the action",
        [COF_REASON_OTHER_ACCOUNT] = "because the resource is of another account",
        [COF_REASON_IDENTITY_SILENT] = "because no identity-based policy allows the action",
        [COF_REASON_KEY_SILENT] = "because no resource-based policy allows the action",
        [COF_REASON_BY_KEY] = "by the key policy",
        [COF_REASON_BY_KEY_AND_IDENTITY] = "by the key policy and an identity policy",
        [COF_REASON_BY_IDENTITY] = "by an identity policy",
        [COF_REASON_BY_GRANT] = "by a grant",
    };
    enum cof_policy_reason reason = cof_policy_judge(input);

    *ret_reason = texts[reason];
    return reason >= COF_REASON_BY_KEY;
}

bool cof_policy_keeps(const struct cof_decision_input *input)
{
    struct cof_policy_request request = *input->request;
    struct cof_decision_input after = *input;
    const char *reason;

    request.action = "kms:PutKeyPolicy";
    request.context = NULL;
    request.conditions = NULL;
    request.condition_count = 0;
    after.request = &request;
    after.keyless = false;
    after.grant_allows = false;
    return cof_policy_decide(&after, &reason);
}
