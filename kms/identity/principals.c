/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/principals.c - accounts, users and roles. Within a call, in the caller's account.
 *
 * Invariant: names are checked before they reach a row, an ARN or the audit trail, so that none of
 * them needs escaping.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

const struct cof_identity_kind cof_identity_users = {
    COF_IDENTITY_USER,      "iam:CreateUser",       "iam:DeleteUser",
    "iam:GetUser",          "iam:ListUsers",        "iam:PutUserPermissionsBoundary",
    "iam:AttachUserPolicy", "iam:DetachUserPolicy", "iam:ListAttachedUserPolicies"};
const struct cof_identity_kind cof_identity_roles = {
    COF_IDENTITY_ROLE,      "iam:CreateRole",       "iam:DeleteRole",
    "iam:GetRole",          "iam:ListRoles",        "iam:PutRolePermissionsBoundary",
    "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:ListAttachedRolePolicies"};

/* ---- accounts ---------------------------------------------------------------------------- */

int cof_identity_account_check(struct cof_kms_call *call, const char *account)
{
    struct cof_kms_account_row row;

    return strcmp(account, call->ks->header.owner.account) == 0
               ? 0
               : cof_kms_db_account_get(call->ks->db, account, &row, call->fault);
}

int cof_identity_account_create(struct cof_kms_call *call, const char *account)
{
    struct cof_kms_account_row row;
    int error;

    if (!cof_kms_account_ok(account)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "an account is 12 digits");
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"accountId\":\"%s\"}", account);
    if (strcmp(call->caller.principal, call->ks->principal) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "only the root of the store's own account may make accounts");
    }
    error = cof_identity_account_check(call, account);
    if (error == 0) {
        return cof_kms_fault(call->fault, COFFER_E_EXISTS, "account %s is there", account);
    }
    if (error != COFFER_E_NOT_FOUND) {
        return error;
    }
    memset(&row, 0, sizeof(row));
    memcpy(row.account, account, sizeof(row.account));
    row.created_ns = cof_kms_wall_ns(&call->ks->env);
    return cof_kms_db_account_add(call->ks->db, &row, call->fault);
}

/* ---- users and roles --------------------------------------------------------------------- */

/* The name is one, the caller may do action to it, and both are on the record. */
static int begin(struct cof_kms_call *call, const struct cof_identity_kind *kind, const char *name,
                 const char *action, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    if (!cof_identity_name_ok(name, COF_IDENTITY_NAME_CHARACTERS_MAX)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "the name of a %s is 1 to %u of A-Z a-z 0-9 + = , . @ _ -", kind->kind,
                             COF_IDENTITY_NAME_CHARACTERS_MAX);
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"%sName\":\"%s\"}", kind->kind, name);
    cof_identity_arn(call->owner.account, kind->kind, name, ret_arn);
    return cof_identity_authorize(call, action, ret_arn);
}

static int check_trust(struct cof_kms_call *call, const char *trust)
{
    struct cof_policy *policy = NULL;
    int error = strlen(trust) > COF_KMS_POLICY_BYTES_MAX
                    ? COFFER_E_LIMIT
                    : cof_policy_parse(&call->ks->env, COF_POLICY_TRUST, trust, strlen(trust),
                                       &policy, call->fault);

    cof_policy_free(policy);
    return error;
}

int cof_identity_create(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                        const char *name, const char *trust, struct cof_kms_principal_row *ret_row)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error = begin(call, kind, name, kind->create, arn);

    if (error == 0) {
        error = cof_identity_account_check(call, call->owner.account);
    }
    if (error == 0 && strcmp(name, "root") == 0 && kind == &cof_identity_users) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "root is the account's root: choose another name");
    }
    if (error == 0 && trust != NULL) {
        error = check_trust(call, trust);
    }
    if (error != 0) {
        return error;
    }
    error = cof_kms_db_principal_get(call->ks->db, arn, ret_row, call->fault);
    if (error == 0) {
        return cof_kms_fault(call->fault, COFFER_E_EXISTS, "%s %s is there", kind->kind, name);
    }
    if (error != COFFER_E_NOT_FOUND) {
        return error;
    }
    memset(ret_row, 0, sizeof(*ret_row));
    (void)snprintf(ret_row->arn, sizeof(ret_row->arn), "%s", arn);
    memcpy(ret_row->account, call->owner.account, sizeof(ret_row->account));
    (void)snprintf(ret_row->kind, sizeof(ret_row->kind), "%s", kind->kind);
    (void)snprintf(ret_row->name, sizeof(ret_row->name), "%s", name);
    if (trust != NULL) {
        (void)snprintf(ret_row->trust_policy, sizeof(ret_row->trust_policy), "%s", trust);
    }
    ret_row->created_ns = cof_kms_wall_ns(&call->ks->env);
    return cof_kms_db_principal_set(call->ks->db, ret_row, call->fault);
}

int cof_identity_delete(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                        const char *name)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error = begin(call, kind, name, kind->remove, arn);

    return error == 0 ? cof_kms_db_principal_remove(call->ks->db, arn, call->fault) : error;
}

int cof_identity_get(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                     const char *name, struct cof_kms_principal_row *ret_row)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error = begin(call, kind, name, kind->get, arn);

    return error == 0 ? cof_kms_db_principal_get(call->ks->db, arn, ret_row, call->fault) : error;
}

int cof_identity_trust(struct cof_kms_call *call, const char *role, const char *trust)
{
    struct cof_kms_principal_row *row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error;

    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = begin(call, &cof_identity_roles, role, "iam:UpdateAssumeRolePolicy", arn);
    if (error == 0) {
        error = check_trust(call, trust);
    }
    if (error == 0) {
        error = cof_kms_db_principal_get(call->ks->db, arn, row, call->fault);
    }
    if (error == 0) {
        (void)snprintf(row->trust_policy, sizeof(row->trust_policy), "%s", trust);
        error = cof_kms_db_principal_set(call->ks->db, row, call->fault);
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}

static int set_boundary(struct cof_kms_call *call, const char *arn, const char *policy)
{
    struct cof_kms_principal_row *row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    struct cof_kms_identity_policy_row *bound = cof_kms_alloc(&call->ks->env, sizeof(*bound));
    int error =
        row == NULL || bound == NULL ? cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL) : 0;

    if (error == 0) {
        error = cof_kms_db_principal_get(call->ks->db, arn, row, call->fault);
    }
    if (error == 0 && policy != NULL) {
        error =
            cof_kms_db_identity_policy_get(call->ks->db, row->account, policy, bound, call->fault);
    }
    if (error == 0) {
        (void)snprintf(row->boundary, sizeof(row->boundary), "%s", policy == NULL ? "" : policy);
        error = cof_kms_db_principal_set(call->ks->db, row, call->fault);
    }
    cof_kms_free(&call->ks->env, row);
    cof_kms_free(&call->ks->env, bound);
    return error;
}

int cof_identity_bound(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                       const char *name, const char *policy)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    const char *bound = NULL;
    int error = begin(call, kind, name, kind->bound, arn);

    if (error == 0 && policy != NULL) {
        bound = cof_identity_name_in(call->owner.account, "policy", policy);
        if (bound == NULL) {
            return cof_kms_fault(call->fault, COFFER_E_INVALID,
                                 "a boundary is a policy of this account, by its name or ARN");
        }
    }
    return error == 0 ? set_boundary(call, arn, bound) : error;
}
