/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/authorize.c - whether a caller may do what it asks for: the one place where that is decided.
 *
 * It gathers what counts (the key's policy, the principal's identity policies and boundary, the
 * session's policy, grants) and asks cof_policy_decide. Invariants: what can't be read denies;
 * grants are asked last, so that a right of the caller's own never depends on one. Under the
 * store's lock.
 */
#include "identity/identity.h"
#include "policy/policy.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

struct gathered {
    struct cof_policy *key;
    struct cof_identity_policies principal;
    struct cof_kms_context context; /* owns what shown_context shows */
    struct coffer_context shown_context;
    struct cof_policy_condition_value conditions[COF_KMS_CONDITIONS_MAX + 6];
    const char *values[COF_KMS_CONDITIONS_MAX + 6];
    const char *operations[COF_KMS_OPERATIONS_MAX];
    char operation_text[512];
    unsigned condition_count;
    struct cof_policy_request request;
    struct cof_decision_input input;
};

/* ---- what counts ------------------------------------------------------------------------- */

static void let_go(struct cof_kms_call *call, struct gathered *all)
{
    cof_policy_free(all->key);
    cof_identity_policies_done(&all->principal);
    cof_kms_context_free(&call->ks->env, &all->context);
    cof_kms_free(&call->ks->env, all);
}

static int gather_key_policy(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                             struct gathered *all)
{
    struct cof_kms_env *env = &call->ks->env;
    char fallback[COF_POLICY_DEFAULT_BYTES];
    const char *text = row->policy;

    if (text[0] == '\0') {
        cof_policy_default(row->owner.account, fallback);
        text = fallback;
    }
    return cof_policy_parse(env, COF_POLICY_KEY, text, strlen(text), &all->key, call->fault);
}

/* ---- the request ------------------------------------------------------------------------- */

static void add_values(struct gathered *all, const char *name, const char *const *values,
                       unsigned count)
{
    struct cof_policy_condition_value *value = &all->conditions[all->condition_count++];

    value->name = name;
    value->values = values;
    value->count = count;
}

static void add_value(struct gathered *all, const char *name, const char *value)
{
    unsigned at = all->condition_count;

    all->values[at] = value;
    add_values(all, name, &all->values[at], 1);
}

static void add_conditions(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                           struct gathered *all)
{
    unsigned i, count = 0;
    char *rest = NULL, *name;

    if (row != NULL) {
        add_value(all, "kms:KeyOrigin", row->origin);
        add_value(all, "kms:KeySpec", row->key_spec);
        add_value(all, "kms:KeyUsage", row->key_usage);
        add_value(all, "kms:MultiRegion", row->multi_region ? "true" : "false");
    }
    for (i = 0; i < call->condition_count; i++) {
        add_value(all, call->condition_names[i], call->condition_values[i]);
    }
    if (call->new_grant != NULL) {
        add_value(all, "kms:GrantIsForAWSResource",
                  cof_identity_is_engine(call->new_grant->grantee) ? "true" : "false");
        (void)snprintf(all->operation_text, sizeof(all->operation_text), "%s",
                       call->new_grant->operations);
        for (name = strtok_r(all->operation_text, ",", &rest);
             name != NULL && count < COF_KMS_OPERATIONS_MAX; name = strtok_r(NULL, ",", &rest)) {
            all->operations[count++] = name;
        }
        add_values(all, "kms:GrantOperations", all->operations, count);
    }
}

static int fill_request(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                        const char *action, struct gathered *all)
{
    struct cof_policy_request *request = &all->request;
    struct cof_kms_bytes packed =
        strcmp(action, "kms:ReEncryptFrom") == 0 ? call->source_context : call->context;
    int error = 0;

    if (packed.length_bytes > 0) {
        error = cof_kms_context_unpack(&call->ks->env, packed, &all->context);
    }
    add_conditions(call, row, all);
    request->principal = call->caller.principal;
    request->action = action;
    request->resource = row != NULL ? row->arn : call->resource != NULL ? call->resource : "*";
    request->region = call->caller.region;
    request->source_ip = call->caller.source_ip;
    request->user_agent = call->caller.user_agent;
    request->via_service = call->caller.via_service;
    request->now_ns = cof_kms_wall_ns(&call->ks->env);
    request->conditions = all->conditions;
    request->condition_count = all->condition_count;
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* All that the decision asks about but grants. */
static int gather(struct cof_kms_call *call, const struct cof_kms_key_row *row, const char *action,
                  struct gathered **ret_all)
{
    struct gathered *all = cof_kms_alloc(&call->ks->env, sizeof(*all));
    int error;

    if (all == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = fill_request(call, row, action, all);
    if (error == 0 && row != NULL) {
        error = gather_key_policy(call, row, all);
    }
    if (error == 0) {
        error = cof_identity_policies(call, call->caller.principal, call->caller.session_policy,
                                      &all->principal);
    }
    if (error != 0) {
        let_go(call, all);
        return error;
    }
    if (all->context.pair_count > 0) {
        all->shown_context.pairs = all->context.pairs;
        all->shown_context.pair_count = all->context.pair_count;
        all->request.context = &all->shown_context;
    }
    all->input.request = &all->request;
    all->input.account = row != NULL ? row->owner.account : call->owner.account;
    all->input.key_policy = all->key;
    all->input.keyless = row == NULL;
    cof_identity_decision(&all->principal, &all->input);
    *ret_all = all;
    return 0;
}

/* ---- the decision ------------------------------------------------------------------------ */

/* Every token that was shown must be one; whether its grant counts, the grant itself says. */
static int check_tokens(struct cof_kms_call *call)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX], grant_id[COFFER_GRANT_ID_BYTES];
    unsigned i;
    int error = 0;

    for (i = 0; error == 0 && i < call->caller.grant_token_count; i++) {
        error = cof_kms_grant_token_open(call, call->caller.grant_tokens[i], arn, grant_id);
    }
    return error;
}

/* The root of the key's account, under the default policy: the decision needs no gathering. */
static bool is_plain_root(const struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    char root[COFFER_PRINCIPAL_BYTES_MAX];

    (void)snprintf(root, sizeof(root), "arn:coffer:iam::%s:root",
                   row == NULL ? call->owner.account : row->owner.account);
    return strcmp(call->caller.principal, root) == 0 && call->caller.session_policy == NULL &&
           (row == NULL || row->policy[0] == '\0');
}

int cof_kms_authorize(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                      const char *action)
{
    struct gathered *all = NULL;
    const char *reason = "";
    bool allowed;
    int error = check_tokens(call);

    if (error != 0 || is_plain_root(call, row)) {
        return error;
    }
    error = gather(call, row, action, &all);
    if (error != 0) {
        return error;
    }
    allowed = cof_policy_decide(&all->input, &reason);
    if (!allowed && row != NULL && strncmp(action, "kms:", 4) == 0) {
        error = cof_kms_grant_allows(call, row, action + 4, &all->input.grant_allows);
        allowed = error == 0 && all->input.grant_allows &&
                  cof_policy_decide(&all->input, &reason);
    }
    if (error == 0 && !allowed) {
        error = cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                              "%.70s is not authorized to perform: %s %.60s",
                              call->caller.principal, action, reason);
    }
    let_go(call, all);
    return error;
}

int cof_kms_policy_check(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                         const char *policy, bool bypass)
{
    struct cof_kms_env *env = &call->ks->env;
    struct cof_policy *parsed = NULL;
    struct gathered *all = NULL;
    int error = cof_policy_parse(env, COF_POLICY_KEY, policy, strlen(policy), &parsed, call->fault);

    if (error == COFFER_E_INVALID) {
        call->fault->error = COFFER_E_POLICY;
        return COFFER_E_POLICY;
    }
    if (error == 0 && !bypass) {
        error = gather(call, row, "kms:PutKeyPolicy", &all);
    }
    if (error == 0 && !bypass) {
        all->input.key_policy = parsed;
        if (!cof_policy_keeps(&all->input)) {
            error = cof_kms_fault(call->fault, COFFER_E_POLICY,
                                  "the new key policy will not allow you to update the key policy "
                                  "in the future");
        }
        let_go(call, all);
    }
    cof_policy_free(parsed);
    return error;
}
