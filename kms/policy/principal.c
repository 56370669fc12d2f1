/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/principal.c - the ARNs of who calls, and what of them conditions may ask.
 *
 * A session of a role, arn:coffer:sts::ACCOUNT:assumed-role/ROLE/SESSION, stands for its role
 * arn:coffer:iam::ACCOUNT:role/ROLE wherever a policy names that. Any thread, no state.
 */
#include "policy/principal.h"

#include "name.h"

#include <stdio.h>
#include <string.h>

#define SESSION_PREFIX "assumed-role/"

void cof_policy_account_of(const char *arn, char ret_account[13])
{
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS];
    char account[13] = "";

    if (arn != NULL && cof_policy_arn_split(cof_policy_text_of(arn), parts) &&
        parts[4].bytes == 12) {
        memcpy(account, parts[4].at, 12);
    }
    if (!cof_kms_account_ok(account)) {
        account[0] = '\0';
    }
    memcpy(ret_account, account, sizeof(account));
}

void cof_policy_default(const char *account, char ret_json[COF_POLICY_DEFAULT_BYTES])
{
    (void)snprintf(ret_json, COF_POLICY_DEFAULT_BYTES,
                   "{\"Version\":\"2012-10-17\",\"Id\":\"key-default-1\",\"Statement\":[{"
                   "\"Sid\":\"Enable IAM User Permissions\",\"Effect\":\"Allow\","
                   "\"Principal\":{\"AWS\":\"arn:coffer:iam::%s:root\"},"
                   "\"Action\":\"kms:*\",\"Resource\":\"*\"}]}",
                   account);
}

/* The role's name in the resource part of a session's ARN; 0 bytes when it is none. */
static struct cof_policy_text role_of(const char *arn)
{
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS], role = {arn, 0};
    const char *slash;

    if (!cof_policy_arn_split(cof_policy_text_of(arn), parts) ||
        !cof_policy_text_is(parts[2], "sts") ||
        strncmp(parts[5].at, SESSION_PREFIX, strlen(SESSION_PREFIX)) != 0) {
        return role;
    }
    role.at = parts[5].at + strlen(SESSION_PREFIX);
    slash = strchr(role.at, '/');
    role.bytes = slash == NULL ? 0 : (size_t)(slash - role.at);
    return role;
}

void cof_policy_run_init(struct cof_policy_run *run, const struct cof_policy_request *request)
{
    const char *principal = request->principal == NULL ? "" : request->principal;
    struct cof_policy_text role = role_of(principal);

    run->request = request;
    run->steps_left = COF_POLICY_STEPS_MAX;
    run->overrun = request->principal == NULL || request->action == NULL ||
                   request->resource == NULL || strlen(principal) >= COFFER_PRINCIPAL_BYTES_MAX;
    run->unresolved_matches = false;
    cof_policy_account_of(principal, run->account);
    if (role.bytes > 0) {
        (void)snprintf(run->principal, sizeof(run->principal), "arn:coffer:iam::%s:role/%.*s",
                       run->account, (int)role.bytes, role.at);
    } else {
        (void)snprintf(run->principal, sizeof(run->principal), "%s", principal);
    }
}

const char *cof_policy_principal_resource(const char *arn)
{
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS];

    return cof_policy_arn_split(cof_policy_text_of(arn), parts) ? parts[5].at : "";
}

bool cof_policy_is_root(const struct cof_policy_run *run)
{
    return run->account[0] != '\0' &&
           strcmp(cof_policy_principal_resource(run->principal), "root") == 0;
}

bool cof_policy_is_session(const struct cof_policy_run *run)
{
    return run->request->principal != NULL && role_of(run->request->principal).bytes > 0;
}

/* The last piece of a role's or user's path, which is its name. */
static const char *last_piece(const char *resource)
{
    const char *slash = strrchr(resource, '/');

    return slash == NULL ? resource : slash + 1;
}

/* A session's ARN doesn't tell its role's path, but names of roles are unique in an account. */
static bool is_role_of_session(const struct cof_policy_run *run, const char *named)
{
    const char *resource = cof_policy_principal_resource(named);
    char account[13];

    cof_policy_account_of(named, account);
    return cof_policy_is_session(run) && strcmp(account, run->account) == 0 &&
           strncmp(resource, "role/", 5) == 0 &&
           strcmp(last_piece(resource), last_piece(run->principal)) == 0;
}

enum cof_policy_named cof_policy_principal_named(const struct cof_policy_run *run,
                                                 const struct cof_policy_principal *principal)
{
    const char *caller = run->request->principal;
    bool named = false;

    if (caller == NULL) {
        return COF_POLICY_NOT_NAMED;
    }
    switch (principal->kind) {
    case COF_PRINCIPAL_ANYONE:
        named = run->account[0] != '\0';
        break;
    case COF_PRINCIPAL_ACCOUNT:
        if (strcmp(principal->name, run->account) != 0) {
            return COF_POLICY_NOT_NAMED;
        }
        return cof_policy_is_root(run) ? COF_POLICY_NAMED : COF_POLICY_ACCOUNT_NAMED;
    case COF_PRINCIPAL_ARN:
        named = strcmp(principal->name, caller) == 0 || is_role_of_session(run, principal->name);
        break;
    case COF_PRINCIPAL_SERVICE:
        named = strcmp(principal->name, caller) == 0;
        break;
    }
    return named ? COF_POLICY_NAMED : COF_POLICY_NOT_NAMED;
}
