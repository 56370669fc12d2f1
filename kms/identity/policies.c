/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/policies.c - identity policies: documents with a name, attached to users and roles.
 * Within a call, in the caller's account.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

/* The policy's name out of a name or ARN, checked, allowed and on the record. */
static int begin(struct cof_kms_call *call, const char *text, const char *action,
                 const char **ret_name)
{
    const char *name = cof_identity_name_in(call->owner.account, "policy", text);
    char arn[COFFER_PRINCIPAL_BYTES_MAX];

    if (name == NULL) {
        return cof_kms_fault(
            call->fault, COFFER_E_INVALID,
            "a policy is given by its name, 1 to 128 of A-Z a-z 0-9 + = , . @ _ -, "
            "or by its ARN");
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"policyName\":\"%s\"}", name);
    cof_identity_arn(call->owner.account, "policy", name, arn);
    *ret_name = name;
    return cof_identity_authorize(call, action, arn);
}

static int check_document(struct cof_kms_call *call, const char *document)
{
    struct cof_policy *policy = NULL;
    int error = strlen(document) > COF_KMS_POLICY_BYTES_MAX
                    ? cof_kms_fault(call->fault, COFFER_E_LIMIT, "the document is too long")
                    : cof_policy_parse(&call->ks->env, COF_POLICY_IDENTITY, document,
                                       strlen(document), &policy, call->fault);

    cof_policy_free(policy);
    return error;
}

int cof_identity_policy_put(struct cof_kms_call *call, const char *name, const char *document)
{
    struct cof_kms_identity_policy_row *row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    int error;

    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = begin(call, name, "iam:PutPolicy", &name);
    if (error == 0) {
        error = cof_identity_account_check(call, call->owner.account);
    }
    if (error == 0) {
        error = check_document(call, document);
    }
    if (error == 0) {
        error = cof_kms_db_identity_policy_get(call->ks->db, call->owner.account, name, row,
                                               call->fault);
    }
    if (error == COFFER_E_NOT_FOUND) {
        row->created_ns = cof_kms_wall_ns(&call->ks->env);
        memcpy(row->account, call->owner.account, sizeof(row->account));
        (void)snprintf(row->name, sizeof(row->name), "%s", name);
        error = 0;
    }
    if (error == 0) {
        (void)snprintf(row->document, sizeof(row->document), "%s", document);
        error = cof_kms_db_identity_policy_set(call->ks->db, row, call->fault);
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}

int cof_identity_policy_get(struct cof_kms_call *call, const char *name,
                            struct cof_kms_identity_policy_row *ret_row)
{
    int error = begin(call, name, "iam:GetPolicy", &name);

    return error == 0 ? cof_kms_db_identity_policy_get(call->ks->db, call->owner.account, name,
                                                       ret_row, call->fault)
                      : error;
}

static int refuse_attached(void *ctx, const struct cof_kms_attachment_row *row)
{
    struct cof_kms_call *call = ctx;

    return cof_kms_fault(call->fault, COFFER_E_CONFLICT,
                         "the policy is attached to %.90s: detach it first", row->principal_arn);
}

struct bound {
    struct cof_kms_call *call;
    const char *name;
};

static int refuse_bound(void *ctx, const struct cof_kms_principal_row *row)
{
    const struct bound *bound = ctx;

    return strcmp(row->boundary, bound->name) != 0
               ? 0
               : cof_kms_fault(bound->call->fault, COFFER_E_CONFLICT,
                               "the policy bounds %.90s: take that away first", row->arn);
}

int cof_identity_policy_delete(struct cof_kms_call *call, const char *name)
{
    struct cof_kms_db *db = call->ks->db;
    struct bound bound = {call, NULL};
    int error = begin(call, name, "iam:DeletePolicy", &name);

    bound.name = name;
    if (error == 0) {
        error = cof_kms_db_attachment_each(db, "", call->owner.account, name, refuse_attached, call,
                                           call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_principal_each(db, call->owner.account, "", "", 0, refuse_bound, &bound,
                                          call->fault);
    }
    return error == 0
               ? cof_kms_db_identity_policy_remove(db, call->owner.account, name, call->fault)
               : error;
}

/* ---- where they are attached ------------------------------------------------------------- */

static int count_attached(void *ctx, const struct cof_kms_attachment_row *row)
{
    (void)row;
    ++*(unsigned *)ctx;
    return 0;
}

/* Both names checked, the caller may do action to the principal, and the row that says it. */
static int begin_attachment(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                            const char *action, const char *name, const char *policy,
                            struct cof_kms_attachment_row *ret_row)
{
    const char *policy_name = cof_identity_name_in(call->owner.account, "policy", policy);

    memset(ret_row, 0, sizeof(*ret_row));
    if (policy_name == NULL || !cof_identity_name_ok(name, COF_IDENTITY_NAME_CHARACTERS_MAX)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "give the name of a %s, and the name or ARN of a policy of this "
                             "account",
                             kind->kind);
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"%sName\":\"%s\",\"policyName\":\"%s\"}",
                   kind->kind, name, policy_name);
    cof_identity_arn(call->owner.account, kind->kind, name, ret_row->principal_arn);
    memcpy(ret_row->account, call->owner.account, sizeof(ret_row->account));
    (void)snprintf(ret_row->policy_name, sizeof(ret_row->policy_name), "%s", policy_name);
    return cof_identity_authorize(call, action, ret_row->principal_arn);
}

/* Both are there, and there is room for one more. */
static int check_attachment(struct cof_kms_call *call, const struct cof_kms_attachment_row *row)
{
    struct cof_kms_principal_row *principal = cof_kms_alloc(&call->ks->env, sizeof(*principal));
    struct cof_kms_identity_policy_row *policy = cof_kms_alloc(&call->ks->env, sizeof(*policy));
    struct cof_kms_db *db = call->ks->db;
    unsigned attached = 0;
    int error = principal == NULL || policy == NULL
                    ? cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL)
                    : cof_kms_db_principal_get(db, row->principal_arn, principal, call->fault);

    if (error == 0) {
        error =
            cof_kms_db_identity_policy_get(db, row->account, row->policy_name, policy, call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_attachment_each(db, row->principal_arn, row->account, "", count_attached,
                                           &attached, call->fault);
    }
    cof_kms_free(&call->ks->env, principal);
    cof_kms_free(&call->ks->env, policy);
    if (error == 0 && attached >= COF_IDENTITY_ATTACHED_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT, "%u policies are attached to it",
                             attached);
    }
    return error;
}

int cof_identity_attach(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                        const char *name, const char *policy)
{
    struct cof_kms_attachment_row row;
    int error = begin_attachment(call, kind, kind->attach, name, policy, &row);

    if (error == 0) {
        error = check_attachment(call, &row);
    }
    return error == 0 ? cof_kms_db_attachment_set(call->ks->db, &row, call->fault) : error;
}

int cof_identity_detach(struct cof_kms_call *call, const struct cof_identity_kind *kind,
                        const char *name, const char *policy)
{
    struct cof_kms_attachment_row row;
    int error = begin_attachment(call, kind, kind->detach, name, policy, &row);

    return error == 0 ? cof_kms_db_attachment_remove(call->ks->db, &row, call->fault) : error;
}
