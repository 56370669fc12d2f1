/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/rights.c - the policies that count for a principal, and what they say of a call on
 * identities. Within a call. Invariant: a policy that can't be read whole fails the call.
 */
#include "identity/identity.h"

#include <string.h>

struct gathering {
    struct cof_kms_call *call;
    struct cof_identity_policies *policies;
    struct cof_kms_identity_policy_row *row; /* scratch */
};

static int parse_named(struct gathering *gathering, const char *account, const char *name,
                       struct cof_policy **ret_policy)
{
    struct cof_kms_call *call = gathering->call;
    int error =
        cof_kms_db_identity_policy_get(call->ks->db, account, name, gathering->row, call->fault);

    return error != 0
               ? error
               : cof_policy_parse(&call->ks->env, COF_POLICY_IDENTITY, gathering->row->document,
                                  strlen(gathering->row->document), ret_policy, call->fault);
}

struct names {
    struct cof_kms_attachment_row list[COF_IDENTITY_ATTACHED_MAX];
    unsigned count;
};

static int take_name(void *ctx, const struct cof_kms_attachment_row *row)
{
    struct names *names = ctx;

    if (names->count == COF_IDENTITY_ATTACHED_MAX) {
        return COFFER_E_LIMIT;
    }
    names->list[names->count++] = *row;
    return 0;
}

/* A listing's statement is done with before the next one is used, so names come first. */
static int gather_attached(struct gathering *gathering, const char *owner)
{
    struct cof_kms_call *call = gathering->call;
    struct names *names;
    char account[13];
    unsigned i;
    int error;

    if (!cof_kms_principal_account(owner, account)) {
        return cof_kms_fault(call->fault, COFFER_E_ARN, "%.90s is no ARN of a principal", owner);
    }
    names = cof_kms_alloc(&call->ks->env, sizeof(*names));
    if (names == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error =
        cof_kms_db_attachment_each(call->ks->db, owner, account, "", take_name, names, call->fault);
    for (i = 0; i < names->count && error == 0; i++) {
        error = parse_named(gathering, names->list[i].account, names->list[i].policy_name,
                            &gathering->policies->list[i]);
        gathering->policies->count += error == 0;
    }
    cof_kms_free(&call->ks->env, names);
    return error;
}

static int gather_boundary(struct gathering *gathering, const char *owner)
{
    struct cof_kms_call *call = gathering->call;
    struct cof_kms_principal_row *row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    int error;

    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_db_principal_get(call->ks->db, owner, row, call->fault);
    if (error == COFFER_E_NOT_FOUND) {
        error = 0;
    } else if (error == 0 && row->boundary[0] != '\0') {
        error = parse_named(gathering, row->account, row->boundary, &gathering->policies->boundary);
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}

int cof_identity_policies(struct cof_kms_call *call, const char *principal,
                          const char *session_policy, struct cof_identity_policies *ret_policies)
{
    struct cof_kms_env *env = &call->ks->env;
    struct cof_identity_policies policies = {.env = env};
    struct gathering gathering = {call, &policies, NULL};
    char owner[COFFER_PRINCIPAL_BYTES_MAX];
    int error = 0;

    if (session_policy != NULL) {
        error = cof_policy_parse(env, COF_POLICY_IDENTITY, session_policy, strlen(session_policy),
                                 &policies.session, call->fault);
    }
    cof_identity_owner(principal, owner);
    if (error == 0 && !cof_identity_is_root(owner)) {
        gathering.row = cof_kms_alloc(env, sizeof(*gathering.row));
        error = gathering.row == NULL ? cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL)
                                      : gather_attached(&gathering, owner);
        if (error == 0) {
            error = gather_boundary(&gathering, owner);
        }
        cof_kms_free(env, gathering.row);
    }
    if (error != 0) {
        cof_identity_policies_done(&policies);
        return error;
    }
    *ret_policies = policies;
    return 0;
}

void cof_identity_policies_done(struct cof_identity_policies *policies)
{
    unsigned i;

    for (i = 0; i < policies->count; i++) {
        cof_policy_free(policies->list[i]);
    }
    cof_policy_free(policies->boundary);
    cof_policy_free(policies->session);
    memset(policies, 0, sizeof(*policies));
}

void cof_identity_decision(const struct cof_identity_policies *policies,
                           struct cof_decision_input *input)
{
    input->identity_policies = (const struct cof_policy *const *)policies->list;
    input->identity_policy_count = policies->count;
    input->boundary = policies->boundary;
    input->session_policy = policies->session;
}

int cof_identity_authorize(struct cof_kms_call *call, const char *action, const char *resource)
{
    struct cof_policy_request request = {.principal = call->caller.principal,
                                         .action = action,
                                         .resource = resource,
                                         .region = call->caller.region,
                                         .source_ip = call->caller.source_ip,
                                         .user_agent = call->caller.user_agent,
                                         .via_service = call->caller.via_service,
                                         .now_ns = cof_kms_wall_ns(&call->ks->env)};
    struct cof_decision_input input = {
        .request = &request, .account = call->owner.account, .keyless = true};
    struct cof_identity_policies policies;
    const char *reason = "";
    int error =
        cof_identity_policies(call, call->caller.principal, call->caller.session_policy, &policies);

    if (error != 0) {
        return error;
    }
    cof_identity_decision(&policies, &input);
    if (!cof_policy_decide(&input, &reason)) {
        error = cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                              "%.70s is not authorized to perform: %s %s", call->caller.principal,
                              action, reason);
    }
    cof_identity_policies_done(&policies);
    return error;
}
