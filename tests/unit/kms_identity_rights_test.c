/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what to identities: by policies, boundaries and sessions, and in which account.
 */
#include "identity_fixture.h"

#include "kms/wire/wire.h"

static void who_has_no_policy_may_nothing_but_ask_who_they_are(void **state)
{
    struct identity_fixture *f = *state;
    const struct cof_wire_operation *row;
    unsigned refused = 0;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    f->request.principal = ARN_OF("user/alice");
    for (row = cof_wire_identity_rows; row->name != NULL; row++, refused++) {
        bad(f, "AccessDeniedException", row->name, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
            "AccountId", "111111111111", "UserName", "alice", "RoleName", "r", "PolicyDocument",
            TRUST("*"), "AssumeRolePolicyDocument", TRUST("*"), "PermissionsBoundary", "p",
            "AccessKeyId", "AKIA", "Status", "Active");
    }
    for (row = cof_wire_access_rows; row->name != NULL; row++) {
        if (strcmp(row->name, "GetCallerIdentity") != 0) {
            bad(f, "AccessDeniedException", row->name,
                "{s:[s], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ActionNames", "kms:Decrypt",
                "PolicyName", "p", "PolicyArn", "p", "UserName", "alice", "RoleName", "r",
                "PolicyDocument", ALLOW("\"*\""), "RoleArn", ARN_OF("role/r"), "RoleSessionName",
                "s", "PolicySourceArn", ARN_OF("user/alice"));
            refused++;
        }
    }
    assert_true(refused >= 30);
    good(f, "GetCallerIdentity", "{}");
    assert_string_equal(text_at(f, "Arn"), ARN_OF("user/alice"));
    assert_string_equal(text_at(f, "Account"), HOME);
}

static void policies_give_and_take_rights_at_once(void **state)
{
    struct identity_fixture *f = *state;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    bad(f, "MalformedPolicyDocumentException", "PutPolicy", "{s:s, s:s}", "PolicyName", "admin",
        "PolicyDocument", "{}");
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "admin", "PolicyDocument", ALLOW("\"iam:*\""));
    assert_string_equal(text_at(f, "Policy.Arn"), ARN_OF("policy/admin"));
    good(f, "AttachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn",
         ARN_OF("policy/admin"));
    f->request.principal = ARN_OF("user/alice");
    good(f, "CreateUser", "{s:s}", "UserName", "bob");
    bad(f, "AccessDeniedException", "GetSessionToken", "{}");
    bad(f, "AccessDeniedException", "CreateAccount", "{s:s}", "AccountId", "111111111111");
    /* Another document under the same name. */
    act_as_root(f);
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "admin", "PolicyDocument",
         ALLOW("[\"iam:GetUser\", \"sts:*\"]"));
    f->request.principal = ARN_OF("user/alice");
    bad(f, "AccessDeniedException", "CreateUser", "{s:s}", "UserName", "carol");
    good(f, "GetUser", "{s:s}", "UserName", "bob");
    good(f, "GetSessionToken", "{}");
    /* A session's own policy narrows. */
    f->request.session_policy = ALLOW("\"kms:*\"");
    bad(f, "AccessDeniedException", "GetUser", "{s:s}", "UserName", "bob");
    f->request.session_policy = NULL;
    /* A deny wins, and a boundary bounds. */
    act_as_root(f);
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "no", "PolicyDocument",
         DENY("\"iam:GetUser\""));
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "sts", "PolicyDocument", ALLOW("\"sts:*\""));
    good(f, "AttachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn", "no");
    f->request.principal = ARN_OF("user/alice");
    bad(f, "AccessDeniedException", "GetUser", "{s:s}", "UserName", "bob");
    act_as_root(f);
    good(f, "DetachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn", "no");
    good(f, "PutUserPermissionsBoundary", "{s:s, s:s}", "UserName", "alice", "PermissionsBoundary",
         "sts");
    f->request.principal = ARN_OF("user/alice");
    bad(f, "AccessDeniedException", "GetUser", "{s:s}", "UserName", "bob");
    good(f, "GetSessionToken", "{}");
    act_as_root(f);
    bad(f, "ConflictException", "DeletePolicy", "{s:s}", "PolicyName", "sts");
    good(f, "DeleteUserPermissionsBoundary", "{s:s}", "UserName", "alice");
    good(f, "DeletePolicy", "{s:s}", "PolicyName", "sts");
    f->request.principal = ARN_OF("user/alice");
    good(f, "GetUser", "{s:s}", "UserName", "bob");
}

static const char *decision(struct identity_fixture *f, const char *action, const char *resource)
{
    good(f, "SimulatePrincipalPolicy", "{s:s, s:[s], s:[s]}", "PolicySourceArn",
         "arn:aws:iam::" HOME ":user/alice", "ActionNames", action, "ResourceArns", resource);
    return text_at(f, "EvaluationResults.0.EvalDecision");
}

static void what_policies_come_to_can_be_asked(void **state)
{
    struct identity_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];

    memcpy(arn, fixture_key(&f->kms)->arn, sizeof(arn));
    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    assert_string_equal(decision(f, "kms:Decrypt", arn), "implicitDeny");
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "p", "PolicyDocument", ALLOW("\"kms:*\""));
    good(f, "AttachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn", "p");
    assert_string_equal(decision(f, "kms:Decrypt", arn), "allowed");
    assert_string_equal(decision(f, "iam:CreateUser", "*"), "implicitDeny");
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "p", "PolicyDocument",
         DENY("\"kms:Decrypt\""));
    assert_string_equal(decision(f, "kms:Decrypt", arn), "explicitDeny");
    bad(f, "NotFoundException", "SimulatePrincipalPolicy", "{s:s, s:[s]}", "PolicySourceArn",
        ARN_OF("user/bob"), "ActionNames", "kms:Decrypt");
    bad(f, "InvalidArnException", "SimulatePrincipalPolicy", "{s:s, s:[s]}", "PolicySourceArn",
        "arn:coffer:iam::111111111111:user/bob", "ActionNames", "kms:Decrypt");
}

static void policies_are_listed_and_kept_while_attached(void **state)
{
    struct identity_fixture *f = *state;
    char name[8];
    int i;

    good(f, "CreateRole", "{s:s, s:s}", "RoleName", "r", "AssumeRolePolicyDocument", TRUST("*"));
    for (i = 0; i < 11; i++) {
        snprintf(name, sizeof(name), "p%02d", i);
        good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", name, "PolicyDocument",
             ALLOW("\"kms:*\""));
        if (i < 10) {
            good(f, "AttachRolePolicy", "{s:s, s:s}", "RoleName", "r", "PolicyArn", name);
        }
    }
    bad(f, "LimitExceededException", "AttachRolePolicy", "{s:s, s:s}", "RoleName", "r", "PolicyArn",
        "p10");
    bad(f, "NotFoundException", "AttachRolePolicy", "{s:s, s:s}", "RoleName", "r", "PolicyArn",
        "none");
    bad(f, "NotFoundException", "DetachRolePolicy", "{s:s, s:s}", "RoleName", "r", "PolicyArn",
        "p10");
    good(f, "ListPolicies", "{s:i, s:s}", "MaxItems", 2, "Marker", "p07");
    assert_string_equal(text_at(f, "Policies.1.PolicyName"), "p09");
    assert_string_equal(text_at(f, "Marker"), "p09");
    good(f, "GetPolicy", "{s:s}", "PolicyName", "p03");
    assert_string_equal(text_at(f, "Policy.PolicyDocument"), ALLOW("\"kms:*\""));
    good(f, "ListAttachedRolePolicies", "{s:s}", "RoleName", "r");
    assert_int_equal(json_array_size(identity_at(f, "AttachedPolicies")), 10);
    bad(f, "ConflictException", "DeletePolicy", "{s:s}", "PolicyName", "p03");
    good(f, "DeleteRole", "{s:s}", "RoleName", "r");
    good(f, "DeletePolicy", "{s:s}", "PolicyName", "p03");
    bad(f, "NotFoundException", "GetPolicy", "{s:s}", "PolicyName", "p03");
}

static void accounts_know_nothing_of_each_other(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key;

    good(f, "CreateAccount", "{s:s}", "AccountId", "111111111111");
    bad(f, "AlreadyExistsException", "CreateAccount", "{s:s}", "AccountId", "111111111111");
    bad(f, "AlreadyExistsException", "CreateAccount", "{s:s}", "AccountId", HOME);
    bad(f, "ValidationException", "CreateAccount", "{s:s}", "AccountId", "11111111111x");
    good(f, "ListAccounts", "{}");
    assert_string_equal(text_at(f, "Accounts.0.Id"), HOME);
    assert_string_equal(text_at(f, "Accounts.1.Arn"), "arn:coffer:iam::111111111111:root");
    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    f->request.principal = "arn:coffer:iam::111111111111:root";
    bad(f, "AccessDeniedException", "ListAccounts", "{}");
    bad(f, "AccessDeniedException", "CreateAccount", "{s:s}", "AccountId", "222222222222");
    bad(f, "NotFoundException", "GetUser", "{s:s}", "UserName", "alice");
    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    assert_string_equal(text_at(f, "User.Arn"), "arn:coffer:iam::111111111111:user/alice");
    make_key(f, "alice", &key);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.account, "111111111111");
    f->request.principal = "arn:coffer:iam::333333333333:root";
    bad(f, "NotFoundException", "CreateUser", "{s:s}", "UserName", "alice");
    bad(f, "NotFoundException", "CreateAccessKey", "{s:s}", "UserName", "root");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, identity_setup, identity_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_has_no_policy_may_nothing_but_ask_who_they_are),
        CASE(policies_give_and_take_rights_at_once),
        CASE(what_policies_come_to_can_be_asked),
        CASE(policies_are_listed_and_kept_while_attached),
        CASE(accounts_know_nothing_of_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
