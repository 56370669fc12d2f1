/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/key_policy.c - the policy document of a key. A key has one, "default"; a row whose policy is
 * empty has the one that CreateKey gives. Under the store's lock.
 */
#include "policy/policy.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

static int check_name(struct cof_kms_call *call, const char *name)
{
    if (name != NULL && strcmp(name, "default") != 0) {
        return cof_kms_fault(call->fault, COFFER_E_NOT_FOUND,
                             "a key has one policy, whose name is default, and not %.60s", name);
    }
    return 0;
}

int cof_kms_get_key_policy(struct cof_kms_call *call, const char *key, const char *name,
                           char *ret_policy)
{
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    if (error == 0) {
        error = cof_kms_authorize(call, &row, "kms:GetKeyPolicy");
    }
    if (error == 0) {
        error = check_name(call, name);
    }
    if (error != 0) {
        return error;
    }
    if (row.policy[0] == '\0') {
        cof_policy_default(row.owner.account, ret_policy);
    } else {
        (void)snprintf(ret_policy, COF_KMS_POLICY_BYTES_MAX + 1, "%s", row.policy);
    }
    return 0;
}

int cof_kms_put_key_policy(struct cof_kms_call *call, const char *key, const char *name,
                           const char *policy, bool bypass_lockout_check)
{
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    cof_kms_call_condition(call, "kms:BypassPolicyLockoutSafetyCheck",
                           bypass_lockout_check ? "true" : "false");
    if (error == 0) {
        error = cof_kms_authorize(call, &row, "kms:PutKeyPolicy");
    }
    if (error == 0) {
        error = check_name(call, name);
    }
    if (error == 0 && row.managed) {
        /* Unlike other changes it is allowed in every state. */
        error = cof_kms_key_changeable(call, &row);
    }
    if (error == 0) {
        error = cof_kms_policy_check(call, &row, policy, bypass_lockout_check);
    }
    if (error != 0) {
        return error;
    }
    (void)snprintf(row.policy, sizeof(row.policy), "%s", policy);
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

int cof_kms_list_key_policies(struct cof_kms_call *call, const char *key)
{
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    return error == 0 ? cof_kms_authorize(call, &row, "kms:ListKeyPolicies") : error;
}
