/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/sessions.c - temporary credentials: of the caller, or of a role. Within a call.
 *
 * Invariants: a session names its owner's row and the moment that was made, so it ends when its
 * owner is deleted, whoever gets the name later; it can't make another of itself.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS 1000000000ull

static int check_seconds(struct cof_kms_call *call, uint32_t seconds, uint32_t most)
{
    return seconds >= COF_IDENTITY_SECONDS_MIN && seconds <= most
               ? 0
               : cof_kms_fault(call->fault, COFFER_E_INVALID, "a session lasts %u to %u seconds",
                               COF_IDENTITY_SECONDS_MIN, most);
}

/* Draw credentials for principal, whose row (of owner) was made at created_ns, and seal them. */
static int make(struct cof_kms_call *call, struct cof_identity_session *session, uint32_t seconds,
                struct cof_identity_credentials *credentials)
{
    struct coffer_keystore *ks = call->ks;
    char *secret = (char *)ks->secrets->material;
    int error = cof_identity_draw(ks, "ASIA", credentials->access_key_id, secret);

    session->access_key_id = credentials->access_key_id;
    session->secret = secret;
    session->expires_ns = cof_kms_wall_ns(&ks->env) / SECOND_NS * SECOND_NS + seconds * SECOND_NS;
    if (error == 0) {
        error = cof_identity_token_make(ks, session, credentials->token);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    credentials->secret = secret;
    credentials->expires_ns = session->expires_ns;
    (void)snprintf(credentials->principal, sizeof(credentials->principal), "%s",
                   session->principal);
    return 0;
}

int cof_identity_session_token(struct cof_kms_call *call, uint32_t seconds,
                               struct cof_identity_credentials *ret_credentials)
{
    struct cof_identity_session session = {.principal = call->caller.principal,
                                           .owner = call->caller.principal};
    uint32_t chosen = seconds == 0 ? COF_IDENTITY_ROLE_SECONDS_MAX : seconds;
    struct cof_kms_principal_row *row;
    int error = check_seconds(call, chosen, COF_IDENTITY_SESSION_SECONDS_MAX);

    (void)snprintf(call->detail, sizeof(call->detail), "{\"durationSeconds\":%u}", chosen);
    if (error == 0) {
        error = cof_identity_authorize(call, "sts:GetSessionToken", "*");
    }
    if (error == 0 && call->caller.session_ends_ns != 0) {
        error = cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                              "a session may not make a session of itself: use the access key");
    }
    if (error != 0 || cof_identity_is_root(call->caller.principal)) {
        return error == 0 ? make(call, &session, chosen, ret_credentials) : error;
    }
    row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_db_principal_get(call->ks->db, call->caller.principal, row, call->fault);
    if (error == 0) {
        session.owner_created_ns = row->created_ns;
        error = make(call, &session, chosen, ret_credentials);
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}

/* ---- roles ------------------------------------------------------------------------------- */

/* The trust policy has the say, as a key's policy has for the key. */
static int check_trusted(struct cof_kms_call *call, const struct cof_kms_principal_row *role)
{
    struct cof_policy_request request = {.principal = call->caller.principal,
                                         .action = "sts:AssumeRole",
                                         .resource = role->arn,
                                         .region = call->caller.region,
                                         .source_ip = call->caller.source_ip,
                                         .user_agent = call->caller.user_agent,
                                         .now_ns = cof_kms_wall_ns(&call->ks->env)};
    struct cof_decision_input input = {.request = &request, .account = role->account};
    struct cof_identity_policies policies;
    struct cof_policy *trust = NULL;
    const char *reason = "";
    int error =
        cof_identity_policies(call, call->caller.principal, call->caller.session_policy, &policies);

    if (error != 0) {
        return error;
    }
    error = cof_policy_parse(&call->ks->env, COF_POLICY_TRUST, role->trust_policy,
                             strlen(role->trust_policy), &trust, call->fault);
    if (error == 0) {
        cof_identity_decision(&policies, &input);
        input.key_policy = trust;
        if (!cof_policy_decide(&input, &reason)) {
            error = cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                                  "%.80s is not authorized to perform: sts:AssumeRole %s",
                                  call->caller.principal, reason);
        }
    }
    cof_policy_free(trust);
    cof_identity_policies_done(&policies);
    return error;
}

static int check_session_policy(struct cof_kms_call *call, const char *policy)
{
    struct cof_policy *parsed = NULL;
    int error;

    if (policy == NULL) {
        return 0;
    }
    if (strlen(policy) > COF_IDENTITY_SESSION_POLICY_BYTES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT,
                             "a session policy has at most %u characters",
                             COF_IDENTITY_SESSION_POLICY_BYTES_MAX);
    }
    error = cof_policy_parse(&call->ks->env, COF_POLICY_IDENTITY, policy, strlen(policy), &parsed,
                             call->fault);
    cof_policy_free(parsed);
    return error;
}

/* The role's row. Who may not know of it hears the same as who names one that isn't. */
static int find_role(struct cof_kms_call *call, const char *role_arn,
                     struct cof_kms_principal_row *row)
{
    static const char aws[] = "arn:aws:", ours[] = "arn:coffer:";
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    bool is_aws = strncmp(role_arn, aws, sizeof(aws) - 1) == 0;
    int error;

    (void)snprintf(arn, sizeof(arn), "%s%s", is_aws ? ours : "",
                   is_aws ? role_arn + sizeof(aws) - 1 : role_arn);
    error = cof_kms_db_principal_get(call->ks->db, arn, row, call->fault);
    if (error == COFFER_E_NOT_FOUND || (error == 0 && strcmp(row->kind, COF_IDENTITY_ROLE) != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "%.80s is not authorized to perform: sts:AssumeRole on the role",
                             call->caller.principal);
    }
    return error;
}

static int assume(struct cof_kms_call *call, const struct cof_kms_principal_row *role,
                  const char *name, uint32_t seconds, const char *policy,
                  struct cof_identity_credentials *ret_credentials)
{
    char principal[COFFER_PRINCIPAL_BYTES_MAX];
    struct cof_identity_session session = {.principal = principal,
                                           .owner = role->arn,
                                           .owner_created_ns = role->created_ns,
                                           .policy = policy};
    int error = check_trusted(call, role);

    (void)snprintf(principal, sizeof(principal), "arn:coffer:sts::%s:assumed-role/%s/%s",
                   role->account, role->name, name);
    (void)snprintf(call->detail, sizeof(call->detail),
                   "{\"roleArn\":\"%s\",\"roleSessionName\":\"%s\",\"durationSeconds\":%u}",
                   role->arn, name, seconds);
    return error == 0 ? make(call, &session, seconds, ret_credentials) : error;
}

int cof_identity_assume_role(struct cof_kms_call *call, const char *role_arn, const char *session,
                             uint32_t seconds, const char *policy,
                             struct cof_identity_credentials *ret_credentials)
{
    uint32_t chosen = seconds == 0 ? 3600u : seconds;
    struct cof_kms_principal_row *row;
    int error = check_seconds(call, chosen, COF_IDENTITY_ROLE_SECONDS_MAX);

    if (error == 0 && !cof_identity_name_ok(session, COF_IDENTITY_NAME_CHARACTERS_MAX)) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "a session's name is 1 to %u of A-Z a-z 0-9 + = , . @ _ -",
                              COF_IDENTITY_NAME_CHARACTERS_MAX);
    }
    if (error == 0) {
        error = check_session_policy(call, policy);
    }
    if (error != 0) {
        return error;
    }
    row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = find_role(call, role_arn, row);
    if (error == 0) {
        error = assume(call, row, session, chosen, policy, ret_credentials);
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}
