/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision over every combination of key policy, identity policies, boundary, session policy
 * and grant, from the own account and from another, by user, root and session of a role. Each is
 * compared with a formula that is written from the rules of docs/kms.md, not from the code.
 *
 * Negative control: the same with statements of Effect Deny left out must differ.
 */
#include "policy_fixture.h"

enum { NONE, ALLOW, DELEGATE, DENY, BOTH }; /* BOTH: an Allow, and a Deny behind it */

static const char *const callers[] = {ALICE, ROOT, SESSION, STRANGER,
                                      "arn:coffer:iam::444455556666:root"};

struct combination {
    unsigned key, identity, boundary, session; /* of the above */
    bool has_boundary, has_session, has_grant, keyless;
    const char *caller;
};

/* ---- documents ---------------------------------------------------------------------------- */

static struct cof_policy *key_policy_of(unsigned what, const char *caller)
{
    char document[900], account[13];
    const char *named = strcmp(caller, SESSION) == 0 ? ADMIN : caller;

    cof_policy_account_of(caller, account);
    snprintf(document, sizeof(document),
             "{'Statement':[{'Effect':'Allow','Principal':{'AWS':'" BOB "'}," ALL "}"
             "%s%s%s%s%s%s%s%s%s]}",
             what == ALLOW || what == BOTH ? ",{'Effect':'Allow','Principal':{'AWS':'" : "",
             what == ALLOW || what == BOTH ? named : "",
             what == ALLOW || what == BOTH ? "'}," ALL "}" : "",
             what == DELEGATE ? ",{'Effect':'Allow','Principal':{'AWS':'" : "",
             what == DELEGATE ? account : "", what == DELEGATE ? "'}," ALL "}" : "",
             what == DENY || what == BOTH ? ",{'Effect':'Deny','Principal':{'AWS':'" : "",
             what == DENY || what == BOTH ? account : "",
             what == DENY || what == BOTH ? "'},'Action':'kms:Decrypt','Resource':'*'}" : "");
    return policy_of(COF_POLICY_KEY, document);
}

static struct cof_policy *identity_policies[BOTH + 1];

static int make_identity_policies(void **state)
{
    const char *other = STATEMENT("Allow", "'Action':'kms:Sign','Resource':'*'");
    const char *allow = STATEMENT("Allow", "'Action':['kms:D*','kms:Put*'],'Resource':'*'");
    const char *deny = STATEMENT("Deny", "'Action':'kms:Decrypt','Resource':'*'");
    char document[400];
    unsigned what;

    (void)state;
    for (what = NONE; what <= BOTH; what++) {
        bool allows = what == ALLOW || what == BOTH, denies = what == DENY || what == BOTH;

        snprintf(document, sizeof(document), "{'Statement':[%s%s%s%s%s]}", other, allows ? "," : "",
                 allows ? allow : "", denies ? "," : "", denies ? deny : "");
        identity_policies[what] = policy_of(COF_POLICY_IDENTITY, document);
    }
    return 0;
}

static int free_identity_policies(void **state)
{
    unsigned what;

    (void)state;
    for (what = NONE; what <= BOTH; what++) {
        cof_policy_free(identity_policies[what]);
    }
    return 0;
}

/* ---- the rules, once more ----------------------------------------------------------------- */

static bool expected(const struct combination *c)
{
    bool foreign = strcmp(c->caller, STRANGER) == 0 || strstr(c->caller, ABROAD) != NULL;
    bool root = strstr(c->caller, ":root") != NULL;
    bool permitted = root || c->identity == ALLOW;
    bool denied = (c->key >= DENY && !c->keyless) || c->identity >= DENY ||
                  (c->has_boundary && c->boundary >= DENY) ||
                  (c->has_session && c->session >= DENY);
    bool within =
        (!c->has_boundary || c->boundary == ALLOW) && (!c->has_session || c->session == ALLOW);

    if (denied || !within) {
        return false;
    }
    if (c->keyless) {
        return !foreign && permitted;
    }
    if (c->has_grant) {
        return true;
    }
    if (c->key == NONE) {
        return false;
    }
    if (!foreign && (c->key == ALLOW || root)) {
        return true;
    }
    return permitted;
}

/* ---- all of them -------------------------------------------------------------------------- */

static bool decide(const struct combination *c, const struct cof_policy *key, const char **reason)
{
    const struct cof_policy *identities[2] = {identity_policies[NONE],
                                              identity_policies[c->identity]};
    struct cof_policy_request request = request_of(c->caller, "kms:Decrypt");
    struct cof_decision_input input;

    memset(&input, 0, sizeof(input));
    input.request = &request;
    input.account = HOME;
    input.key_policy = c->keyless ? NULL : key;
    input.keyless = c->keyless;
    input.identity_policies = identities;
    input.identity_policy_count = 2;
    input.boundary = c->has_boundary ? identity_policies[c->boundary] : NULL;
    input.session_policy = c->has_session ? identity_policies[c->session] : NULL;
    input.grant_allows = c->has_grant;
    return cof_policy_decide(&input, reason);
}

static bool agrees(const struct combination *c, const struct cof_policy *key)
{
    const char *reason = NULL;
    bool allowed = decide(c, key, &reason);

    assert_non_null(reason);
    assert_int_equal(strncmp(reason, "by ", 3) == 0, allowed);
    assert_true(strlen(reason) > 5);
    if (allowed != expected(c) && cof_kms_test_break == COF_KMS_BREAK_NONE) {
        print_error("%s key %u identity %u boundary %d/%u session %d/%u grant %d keyless %d: %d\n",
                    c->caller, c->key, c->identity, c->has_boundary, c->boundary, c->has_session,
                    c->session, c->has_grant, c->keyless, allowed);
    }
    return allowed == expected(c);
}

/* Boundary and session: 0 is none, else what it says plus one. DELEGATE is for key policies. */
static unsigned count_others(struct combination *c, const struct cof_policy *key, unsigned *total)
{
    unsigned wrong = 0, bits;

    for (bits = 0; bits < 6 * 6 * 5 * 4; bits++) {
        unsigned boundary = bits % 6, session = bits / 6 % 6;

        c->identity = bits / 36 % 5;
        c->has_grant = bits / 180 % 2 == 1;
        c->keyless = bits / 360 == 1;
        c->has_boundary = boundary > 0;
        c->boundary = boundary > 0 ? boundary - 1 : NONE;
        c->has_session = session > 0;
        c->session = session > 0 ? session - 1 : NONE;
        if (c->identity == DELEGATE || c->boundary == DELEGATE || c->session == DELEGATE) {
            continue;
        }
        (*total)++;
        wrong += agrees(c, key) ? 0 : 1;
    }
    return wrong;
}

static unsigned count_wrong(unsigned *total)
{
    struct combination c;
    unsigned wrong = 0;
    size_t i;

    memset(&c, 0, sizeof(c));
    *total = 0;
    for (i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
        c.caller = callers[i];
        for (c.key = NONE; c.key <= BOTH; c.key++) {
            struct cof_policy *key = key_policy_of(c.key, c.caller);

            wrong += count_others(&c, key, total);
            cof_policy_free(key);
        }
    }
    return wrong;
}

static void every_combination_is_decided_by_the_rules(void **state)
{
    unsigned total;

    (void)state;
    assert_int_equal(count_wrong(&total), 0);
    assert_int_equal(total, 5 * 5 * 5 * 5 * 4 * 2 * 2);
}

static void a_decision_that_ignores_deny_is_caught(void **state)
{
    unsigned total, wrong;

    (void)state;
    cof_kms_test_break = COF_KMS_BREAK_IGNORE_DENY;
    wrong = count_wrong(&total);
    cof_kms_test_break = COF_KMS_BREAK_NONE;
    assert_true(wrong > 100);
}

/* ---- reasons, lockout, simulation --------------------------------------------------------- */

static void reasons_name_the_policy_that_decided(void **state)
{
    static const struct {
        struct combination c;
        const char *reason;
    } cases[] = {
        {{DENY, DENY, 0, 0, false, false, true, false, ALICE},
         "with an explicit deny in a resource-based policy"},
        {{ALLOW, DENY, DENY, DENY, true, true, true, false, ALICE},
         "with an explicit deny in an identity-based policy"},
        {{ALLOW, ALLOW, DENY, NONE, true, true, true, false, ALICE},
         "with an explicit deny in a permissions boundary"},
        {{ALLOW, ALLOW, NONE, DENY, true, true, true, false, ALICE},
         "with an explicit deny in a session policy"},
        {{ALLOW, ALLOW, NONE, NONE, true, true, true, false, ALICE},
         "because no permissions boundary allows the action"},
        {{ALLOW, ALLOW, ALLOW, NONE, true, true, true, false, ALICE},
         "because no session policy allows the action"},
        {{NONE, ALLOW, 0, 0, false, false, false, false, ALICE},
         "because no resource-based policy allows the action"},
        {{DELEGATE, NONE, 0, 0, false, false, false, false, ALICE},
         "because no identity-based policy allows the action"},
        {{ALLOW, NONE, 0, 0, false, false, false, false, STRANGER},
         "because no identity-based policy allows the action"},
        {{NONE, ALLOW, 0, 0, false, false, false, true, STRANGER},
         "because the resource is of another account"},
        {{ALLOW, NONE, 0, 0, false, false, true, false, ALICE}, "by the key policy"},
        {{DELEGATE, ALLOW, 0, 0, false, false, true, false, ALICE},
         "by the key policy and an identity policy"},
        {{DELEGATE, NONE, 0, 0, false, false, true, false, ALICE}, "by a grant"},
        {{NONE, ALLOW, 0, 0, false, false, true, true, ALICE}, "by an identity policy"},
    };
    const char *reason;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cof_policy *key = key_policy_of(cases[i].c.key, cases[i].c.caller);

        (void)decide(&cases[i].c, key, &reason);
        assert_string_equal(reason, cases[i].reason);
        cof_policy_free(key);
    }
}

static bool keeps(const char *document, const char *caller, unsigned identity)
{
    struct cof_policy *policy = policy_of(COF_POLICY_KEY, document);
    const struct cof_policy *identities[1] = {identity_policies[identity]};
    struct cof_policy_request request = request_of(caller, "kms:CreateKey");
    struct cof_decision_input input;
    bool kept;

    memset(&input, 0, sizeof(input));
    input.request = &request;
    input.account = HOME;
    input.key_policy = policy;
    input.identity_policies = identities;
    input.identity_policy_count = 1;
    input.keyless = true; /* as of CreateKey: it must not count, nor the grant */
    input.grant_allows = true;
    kept = cof_policy_keeps(&input);
    cof_policy_free(policy);
    return kept;
}

static void a_policy_that_locks_its_caller_out_is_seen(void **state)
{
#define FOR(who, action)                                                                 \
    "{'Statement':{'Effect':'Allow','Principal':{'AWS':'" who "'},'Action':'kms:" action \
    "','Resource':'*'}}"
    char standard[COF_POLICY_DEFAULT_BYTES];

    (void)state;
    cof_policy_default(HOME, standard);
    assert_true(keeps(standard, ROOT, NONE));
    assert_true(keeps(standard, ALICE, ALLOW));
    assert_false(keeps(standard, ALICE, NONE));
    assert_false(keeps(standard, STRANGER, ALLOW));
    assert_true(keeps(FOR(ALICE, "*"), ALICE, NONE));
    assert_true(keeps(FOR(ALICE, "PutKeyPolicy"), ALICE, NONE));
    assert_false(keeps(FOR(ALICE, "Encrypt"), ALICE, ALLOW));
    assert_false(keeps(FOR(ALICE, "*"), ROOT, NONE));
    assert_false(keeps(FOR(BOB, "*"), ALICE, ALLOW));
    assert_false(keeps("{'Statement':[{'Effect':'Allow','Principal':'*'," ALL "},"
                       "{'Effect':'Deny','Principal':'*','Action':'kms:Put*','Resource':'*'}]}",
                       ALICE, ALLOW));
#undef FOR
}

static void accounts_are_read_from_arns(void **state)
{
    char account[13];

    (void)state;
    cof_policy_account_of(STRANGER, account);
    assert_string_equal(account, ABROAD);
    cof_policy_account_of("arn:coffer:iam::44445555666:root", account);
    assert_string_equal(account, "");
    cof_policy_account_of("arn:coffer:iam::44445555666x:root", account);
    assert_string_equal(account, "");
    cof_policy_account_of("alice", account);
    assert_string_equal(account, "");
    cof_policy_account_of(NULL, account);
    assert_string_equal(account, "");
}

static void a_service_needs_its_name_in_the_key_policy(void **state)
{
    const char *name = "rds.example.com", *reason;
    struct combination c = {NONE, NONE, 0, 0, false, false, false, false, name};
    struct cof_policy *named = policy_of(
        COF_POLICY_KEY,
        "{'Statement':{'Effect':'Allow','Principal':{'Service':'rds.example.com'}," ALL "}}");
    struct cof_policy *open =
        policy_of(COF_POLICY_KEY, "{'Statement':{'Effect':'Allow','Principal':'*'," ALL "}}");

    (void)state;
    assert_true(decide(&c, named, &reason));
    assert_false(decide(&c, open, &reason));
    c.keyless = true;
    c.identity = ALLOW;
    assert_false(decide(&c, NULL, &reason));
    cof_policy_free(named);
    cof_policy_free(open);
}

static void a_key_without_policy_is_closed(void **state)
{
    struct combination c = {NONE, ALLOW, 0, 0, false, false, false, false, ROOT};
    const char *reason;

    (void)state;
    assert_false(decide(&c, NULL, &reason));
}

static void simulation_shows_the_statements_that_applied(void **state)
{
    struct cof_policy *key = key_policy_of(DELEGATE, ALICE);
    const struct cof_policy *identities[2] = {identity_policies[NONE], identity_policies[BOTH]};
    struct cof_policy_request request = request_of(ALICE, "kms:Decrypt");
    struct cof_decision_input input;
    json_t *result, *matched;
    const char *type, *effect;
    int index, statement, by_account;

    (void)state;
    memset(&input, 0, sizeof(input));
    input.request = &request;
    input.account = HOME;
    input.key_policy = key;
    input.identity_policies = identities;
    input.identity_policy_count = 2;
    assert_int_equal(cof_policy_simulate(&input, &result), 0);
    assert_string_equal(json_string_value(json_object_get(result, "EvalDecision")), "explicitDeny");
    assert_string_equal(json_string_value(json_object_get(result, "EvalActionName")),
                        "kms:Decrypt");
    matched = json_object_get(result, "MatchedStatements");
    assert_int_equal(json_array_size(matched), 3);
    assert_int_equal(json_unpack(json_array_get(matched, 0), "{s:s,s:i,s:i,s:b,s:s}",
                                 "SourcePolicyType", &type, "PolicyIndex", &index, "StatementIndex",
                                 &statement, "ByAccount", &by_account, "Effect", &effect),
                     0);
    assert_string_equal(type, "key");
    assert_int_equal(statement, 1);
    assert_true(by_account);
    assert_int_equal(json_unpack(json_array_get(matched, 2), "{s:s,s:i,s:i,s:b,s:s}",
                                 "SourcePolicyType", &type, "PolicyIndex", &index, "StatementIndex",
                                 &statement, "ByAccount", &by_account, "Effect", &effect),
                     0);
    assert_string_equal(type, "identity");
    assert_string_equal(effect, "Deny");
    assert_int_equal(index, 1);
    assert_int_equal(statement, 2);
    json_decref(result);
    identities[1] = identity_policies[ALLOW];
    assert_int_equal(cof_policy_simulate(&input, &result), 0);
    assert_string_equal(json_string_value(json_object_get(result, "EvalDecision")), "allowed");
    json_decref(result);
    identities[1] = identity_policies[NONE];
    assert_int_equal(cof_policy_simulate(&input, &result), 0);
    assert_string_equal(json_string_value(json_object_get(result, "EvalDecision")), "implicitDeny");
    json_decref(result);
    cof_policy_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_is_decided_by_the_rules),
        cmocka_unit_test(a_decision_that_ignores_deny_is_caught),
        cmocka_unit_test(reasons_name_the_policy_that_decided),
        cmocka_unit_test(a_policy_that_locks_its_caller_out_is_seen),
        cmocka_unit_test(accounts_are_read_from_arns),
        cmocka_unit_test(a_service_needs_its_name_in_the_key_policy),
        cmocka_unit_test(a_key_without_policy_is_closed),
        cmocka_unit_test(simulation_shows_the_statements_that_applied),
    };

    return cmocka_run_group_tests(tests, make_identity_policies, free_identity_policies);
}
