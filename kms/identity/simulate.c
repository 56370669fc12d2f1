/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/simulate.c - what a user or role may do, and why: the decision, without the deed.
 *
 * Within a call. Grants are left out: they are of one key, not of the policies. Invariant: the
 * answer is that of the decision itself, with the documents that are in force now.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

/* The policy of the key that resource is the ARN of; NULL when there is no such key. */
static int load_key_policy(struct cof_kms_call *call, const char *resource,
                           struct cof_policy **ret_policy, char ret_account[13])
{
    struct cof_kms_key_row *row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    char standard[COF_POLICY_DEFAULT_BYTES];
    const char *json;
    int error;

    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_db_key_get(call->ks->db, resource, row, call->fault);
    if (error == 0) {
        cof_policy_default(row->owner.account, standard);
        json = row->policy[0] == '\0' ? standard : row->policy;
        memcpy(ret_account, row->owner.account, sizeof(row->owner.account));
        error = cof_policy_parse(&call->ks->env, COF_POLICY_KEY, json, strlen(json), ret_policy,
                                 call->fault);
    }
    cof_kms_free(&call->ks->env, row);
    return error == COFFER_E_KEY_NOT_FOUND ? 0 : error;
}

static int decide(struct cof_kms_call *call, struct cof_decision_input *input, json_t *results)
{
    struct cof_policy *key_policy = NULL;
    char account[13] = "";
    json_t *result = NULL;
    int error = load_key_policy(call, input->request->resource, &key_policy, account);

    if (error != 0) {
        return error;
    }
    input->key_policy = key_policy;
    input->keyless = key_policy == NULL;
    if (key_policy == NULL) {
        cof_policy_account_of(input->request->resource, account);
    }
    input->account = account[0] == '\0' ? call->owner.account : account;
    error = cof_policy_simulate(input, &result);
    cof_policy_free(key_policy);
    if (error == 0 && json_array_append_new(results, result) != 0) {
        error = COFFER_E_NO_MEMORY;
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* `arn:aws:` is read as `arn:coffer:`. */
static void own_partition(const char *arn, char ret_arn[COF_IDENTITY_RESOURCE_BYTES_MAX])
{
    bool is_aws = strncmp(arn, "arn:aws:", 8) == 0;

    (void)snprintf(ret_arn, COF_IDENTITY_RESOURCE_BYTES_MAX, "%s%s", is_aws ? "arn:coffer:" : "",
                   is_aws ? arn + 8 : arn);
}

/* The principal is one of the caller's account, and is there. */
static int check_principal(struct cof_kms_call *call, const char *principal)
{
    struct cof_kms_principal_row *row;
    char account[13] = "";
    int error;

    if (!cof_kms_principal_account(principal, account) ||
        strcmp(account, call->owner.account) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_ARN,
                             "give the ARN of a user, role or root of account %s",
                             call->owner.account);
    }
    if (cof_identity_is_root(principal)) {
        return 0;
    }
    row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    error = row == NULL ? cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL)
                        : cof_kms_db_principal_get(call->ks->db, principal, row, call->fault);
    cof_kms_free(&call->ks->env, row);
    return error;
}

int cof_identity_simulate(struct cof_kms_call *call, const struct cof_identity_question *question,
                          json_t *results)
{
    char principal[COF_IDENTITY_RESOURCE_BYTES_MAX], resource[COF_IDENTITY_RESOURCE_BYTES_MAX];
    struct cof_policy_request request = {.principal = principal,
                                         .resource = resource,
                                         .region = call->caller.region,
                                         .now_ns = cof_kms_wall_ns(&call->ks->env)};
    struct cof_decision_input input = {.request = &request};
    struct cof_identity_policies policies;
    unsigned a, r;
    int error;

    own_partition(question->principal, principal);
    error = cof_identity_authorize(call, "iam:SimulatePrincipalPolicy", principal);
    if (error == 0) {
        error = check_principal(call, principal);
    }
    if (error == 0) {
        error = cof_identity_policies(call, principal, NULL, &policies);
    }
    if (error != 0) {
        return error;
    }
    cof_identity_decision(&policies, &input);
    for (a = 0; a < question->action_count && error == 0; a++) {
        for (r = 0; r < question->resource_count && error == 0; r++) {
            request.action = question->actions[a];
            own_partition(question->resources[r], resource);
            error = decide(call, &input, results);
        }
    }
    cof_identity_policies_done(&policies);
    return error;
}
