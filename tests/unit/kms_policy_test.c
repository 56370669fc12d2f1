/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: whom and what a statement is for, and that asking costs bounded work. */
#include "policy_fixture.h"

/* ---- who ---------------------------------------------------------------------------------- */

static enum cof_policy_effect names(const char *effect, const char *element, const char *who,
                                    const char *caller)
{
    char document[300];
    struct cof_policy_request request = request_of(caller, "kms:Decrypt");

    snprintf(document, sizeof(document), "{'Statement':{'Effect':'%s','%s':%s," ALL "}}", effect,
             element, who);
    return ask(COF_POLICY_KEY, document, &request);
}

static void principals_are_matched_as_written(void **state)
{
    static const struct {
        const char *who, *caller;
        enum cof_policy_effect effect;
    } cases[] = {
        {"'*'", ALICE, COF_POLICY_ALLOW},
        {"{'AWS':'*'}", STRANGER, COF_POLICY_ALLOW},
        {"{'AWS':'*'}", "rds.example.com", COF_POLICY_NONE},
        {"{'AWS':'" HOME "'}", ALICE, COF_POLICY_DELEGATE},
        {"{'AWS':'" HOME "'}", ROOT, COF_POLICY_ALLOW},
        {"{'AWS':'" HOME "'}", STRANGER, COF_POLICY_NONE},
        {"{'AWS':'arn:aws:iam::" HOME ":root'}", ALICE, COF_POLICY_DELEGATE},
        {"{'AWS':'" ROOT "'}", ROOT, COF_POLICY_ALLOW},
        {"{'AWS':'" ROOT "'}", SESSION, COF_POLICY_DELEGATE},
        {"{'AWS':'" ALICE "'}", ALICE, COF_POLICY_ALLOW},
        {"{'AWS':'" ALICE "'}", BOB, COF_POLICY_NONE},
        {"{'AWS':'" ALICE "'}", ROOT, COF_POLICY_NONE},
        {"{'AWS':'arn:aws:iam::" HOME ":user/alice'}", ALICE, COF_POLICY_ALLOW},
        {"{'AWS':['" BOB "','" ROOT "','" ALICE "']}", ALICE, COF_POLICY_ALLOW},
        {"{'AWS':['" BOB "','" ROOT "']}", ALICE, COF_POLICY_DELEGATE},
        {"{'AWS':'" ADMIN "'}", SESSION, COF_POLICY_ALLOW},
        {"{'AWS':'arn:aws:iam::" HOME ":role/team/admin'}", SESSION, COF_POLICY_ALLOW},
        {"{'AWS':'arn:aws:iam::" HOME ":role/admins'}", SESSION, COF_POLICY_NONE},
        {"{'AWS':'arn:aws:iam::" ABROAD ":role/admin'}", SESSION, COF_POLICY_NONE},
        {"{'AWS':'" SESSION "'}", SESSION, COF_POLICY_ALLOW},
        {"{'AWS':'" SESSION "x'}", SESSION, COF_POLICY_NONE},
        {"{'AWS':'arn:aws:iam::" HOME ":user/admin'}", SESSION, COF_POLICY_NONE},
        {"{'Service':'rds.example.com'}", "rds.example.com", COF_POLICY_ALLOW},
        {"{'Service':'rds.example.com'}", ALICE, COF_POLICY_NONE},
        {"{'Service':'rds.example.com','AWS':'" ALICE "'}", ALICE, COF_POLICY_ALLOW},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (names("Allow", "Principal", cases[i].who, cases[i].caller) != cases[i].effect) {
            fail_msg("%s and %s", cases[i].who, cases[i].caller);
        }
    }
}

static void a_deny_of_an_account_denies_all_in_it(void **state)
{
    (void)state;
    assert_int_equal(names("Deny", "Principal", "{'AWS':'" HOME "'}", ALICE), COF_POLICY_DENY);
    assert_int_equal(names("Deny", "Principal", "{'AWS':'" ROOT "'}", SESSION), COF_POLICY_DENY);
    assert_int_equal(names("Deny", "Principal", "{'AWS':'" HOME "'}", STRANGER), COF_POLICY_NONE);
}

static void not_principal_denies_all_but_those_named(void **state)
{
    const char *alice = "{'AWS':['" ALICE "','" HOME "']}";

    (void)state;
    assert_int_equal(names("Deny", "NotPrincipal", alice, ALICE), COF_POLICY_NONE);
    assert_int_equal(names("Deny", "NotPrincipal", alice, ROOT), COF_POLICY_NONE);
    assert_int_equal(names("Deny", "NotPrincipal", alice, BOB), COF_POLICY_DENY);
    assert_int_equal(names("Deny", "NotPrincipal", alice, STRANGER), COF_POLICY_DENY);
    assert_int_equal(names("Deny", "NotPrincipal", "{'AWS':'" ADMIN "'}", SESSION),
                     COF_POLICY_NONE);
}

static void requests_that_are_not_whole_are_denied(void **state)
{
    struct cof_policy *policy = policy_of(COF_POLICY_KEY, KEY_STATEMENT(ALL));
    struct cof_policy_request request = request_of(ALICE, "kms:Decrypt");
    char endless[600];

    (void)state;
    assert_int_equal(cof_policy_eval(policy, &request), COF_POLICY_ALLOW);
    assert_int_equal(cof_policy_eval(NULL, &request), COF_POLICY_NONE);
    request.action = NULL;
    assert_int_equal(cof_policy_eval(policy, &request), COF_POLICY_DENY);
    request = request_of(NULL, "kms:Decrypt");
    assert_int_equal(cof_policy_eval(policy, &request), COF_POLICY_DENY);
    request = request_of(ALICE, "kms:Decrypt");
    request.resource = NULL;
    assert_int_equal(cof_policy_eval(policy, &request), COF_POLICY_DENY);
    strcpy(endless, ALICE);
    memset(endless + strlen(endless), 'a', 500);
    endless[strlen(ALICE) + 500] = '\0';
    request = request_of(endless, "kms:Decrypt");
    assert_int_equal(cof_policy_eval(policy, &request), COF_POLICY_DENY);
    cof_policy_free(policy);
}

/* ---- what --------------------------------------------------------------------------------- */

static bool allows(const char *parts, const char *action, const char *resource)
{
    struct cof_policy_request request = request_of(ALICE, action);
    char document[600];

    request.resource = resource;
    snprintf(document, sizeof(document),
             "{'Version':'2012-10-17','Statement':{'Effect':'Allow',%s}}", parts);
    return ask(COF_POLICY_IDENTITY, document, &request) == COF_POLICY_ALLOW;
}

static void actions_are_matched_in_any_case_with_wildcards(void **state)
{
    (void)state;
    assert_true(allows("'Action':'kms:Decrypt','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_true(allows("'Action':'KMS:decrypt','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_false(allows("'Action':'kms:Decryp','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_false(allows("'Action':'kms:Decrypts','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_true(allows("'Action':'kms:*crypt*','Resource':'*'", "kms:ReEncryptTo", KEY_ARN));
    assert_true(allows("'Action':'kms:?ecrypt','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_false(allows("'Action':'kms:??ecrypt','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_true(allows("'Action':['s3:*','kms:D*'],'Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_true(allows("'Action':'*','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_true(allows("'NotAction':'kms:Enc*','Resource':'*'", "kms:Decrypt", KEY_ARN));
    assert_false(allows("'NotAction':['s3:*','kms:D*'],'Resource':'*'", "kms:Decrypt", KEY_ARN));
}

static void resources_are_matched_in_either_partition(void **state)
{
#define ON(resource) allows("'Action':'*','Resource':" resource, "kms:Sign", KEY_ARN)
    (void)state;
    assert_true(ON("'" KEY_ARN "'"));
    assert_true(ON("'arn:aws:kms:*:111122223333:key/*'"));
    assert_true(ON("'arn:aws:kms:local-?:*:*1'"));
    assert_false(ON("'arn:aws:kms:local-2:111122223333:key/*'"));
    assert_false(ON("'arn:aws:kms:local-1:111122223333:KEY/*'"));
    assert_true(ON("['arn:aws:s3:::b','arn:coffer:kms:*:*:key/*']"));
    assert_true(
        allows("'Action':'*','NotResource':'arn:aws:kms:*:*:alias/*'", "kms:Sign", KEY_ARN));
    assert_false(allows("'Action':'*','NotResource':'arn:aws:kms:*:*:key/*'", "kms:Sign", KEY_ARN));
#undef ON
}

static void variables_take_the_callers_values(void **state)
{
#define OF(user) "arn:coffer:kms:local-1:111122223333:alias/" user
#define USERS "arn:coffer:kms:*:${aws:PrincipalAccount}:alias/${aws:username}"
    struct cof_policy_request request = request_of(ROOT, "kms:Sign");
    const char *positive = DOCUMENT(STATEMENT("Allow", "'Action':'*','Resource':'" USERS "'"));
    const char *inverted = DOCUMENT(STATEMENT("Allow", "'Action':'*','NotResource':'" USERS "'"));
    const char *denied = DOCUMENT(STATEMENT("Deny", "'Action':'*','NotResource':'" USERS "'"));
    const char *old = "{'Statement':{'Effect':'Allow','Action':'*','Resource':'" USERS "'}}";

    (void)state;
    assert_true(allows("'Action':'*','Resource':'" USERS "'", "kms:Sign", OF("alice")));
    assert_false(allows("'Action':'*','Resource':'" USERS "'", "kms:Sign", OF("bob")));
    assert_true(
        allows("'Action':'*','Resource':'" OF("${*}${?}${$}*") "'", "kms:Sign", OF("*?$x")));
    assert_false(allows("'Action':'*','Resource':'" OF("${*}") "'", "kms:Sign", OF("x")));
    /* The root has no user name: nothing is his, and that opens nothing. */
    request.resource = OF("");
    assert_int_equal(ask(COF_POLICY_IDENTITY, positive, &request), COF_POLICY_NONE);
    assert_int_equal(ask(COF_POLICY_IDENTITY, inverted, &request), COF_POLICY_NONE);
    assert_int_equal(ask(COF_POLICY_IDENTITY, denied, &request), COF_POLICY_DENY);
    /* The older version has no variables. */
    request.principal = ALICE;
    request.resource = OF("alice");
    assert_int_equal(ask(COF_POLICY_IDENTITY, old, &request), COF_POLICY_NONE);
    request.resource = "arn:coffer:kms:r:${aws:PrincipalAccount}:alias/${aws:username}";
    assert_int_equal(ask(COF_POLICY_IDENTITY, old, &request), COF_POLICY_ALLOW);
}

/* ---- the data plane ----------------------------------------------------------------------- */

#define VOLUME "arn:coffer-db:us-east-1:123456789012:cluster-ABCD1234EFGH5678IJKL90MNOP/*"
#define OTHER_VOLUME "arn:coffer-db:us-east-1:123456789012:cluster-ZZZZ1234EFGH5678IJKL90MNOP/*"
#define EVERY_VOLUME "arn:coffer-db:us-east-1:123456789012:*/*"
#define CONNECT "'Action':['coffer-db:*'],'Resource':['"

/* The four sample policies of the reference, its service prefix mapped. */
static void reference_policies_decide_who_connects(void **state)
{
    static const struct {
        const char *document;
        enum cof_policy_effect volume, other, elsewhere;
    } cases[] = {
        {DOCUMENT(STATEMENT("Allow", CONNECT VOLUME "']")), COF_POLICY_ALLOW, COF_POLICY_NONE,
         COF_POLICY_NONE},
        {DOCUMENT(STATEMENT("Allow", CONNECT EVERY_VOLUME "']")), COF_POLICY_ALLOW,
         COF_POLICY_ALLOW, COF_POLICY_NONE},
        {DOCUMENT(STATEMENT("Deny", CONNECT VOLUME "']")), COF_POLICY_DENY, COF_POLICY_NONE,
         COF_POLICY_NONE},
        {DOCUMENT(STATEMENT("Deny", CONNECT EVERY_VOLUME "']")), COF_POLICY_DENY, COF_POLICY_DENY,
         COF_POLICY_NONE},
    };
    struct cof_policy_request request = request_of(ALICE, "coffer-db:Connect");
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request.resource = VOLUME;
        assert_int_equal(ask(COF_POLICY_IDENTITY, cases[i].document, &request), cases[i].volume);
        request.resource = OTHER_VOLUME;
        assert_int_equal(ask(COF_POLICY_IDENTITY, cases[i].document, &request), cases[i].other);
        request.resource = "arn:coffer-db:eu-west-1:123456789012:cluster-ABCD/*";
        assert_int_equal(ask(COF_POLICY_IDENTITY, cases[i].document, &request), cases[i].elsewhere);
        request.resource = "arn:coffer-db:us-east-1:999956789012:cluster-ABCD/*";
        assert_int_equal(ask(COF_POLICY_IDENTITY, cases[i].document, &request), cases[i].elsewhere);
    }
    request.resource = VOLUME;
    assert_int_equal(ask(COF_POLICY_IDENTITY,
                         DOCUMENT(STATEMENT("Allow", CONNECT EVERY_VOLUME
                                            "']") "," STATEMENT("Deny", CONNECT VOLUME "']")),
                         &request),
                     COF_POLICY_DENY);
}

static void data_plane_statements_have_one_form(void **state)
{
#define DB(resource, more) DOCUMENT(STATEMENT("Allow", CONNECT resource "']" more))
#define DB_ACTION(action) \
    DOCUMENT(STATEMENT("Allow", "'Action':" action ",'Resource':'" VOLUME "'"))
    static const struct {
        enum cof_policy_kind kind;
        const char *document, *words;
    } cases[] = {
        {COF_POLICY_IDENTITY, DB("arn:coffer:coffer:r1:123456789012:volume:v", ""), "alone"},
        {COF_POLICY_IDENTITY, DB("*", ""), "alone"},
        {COF_POLICY_IDENTITY, DB(VOLUME "','*", ""), "alone"},
        {COF_POLICY_IDENTITY, DB("arn:coffer-db:r1:123456789012:id", ""), "RESOURCE-ID"},
        {COF_POLICY_IDENTITY, DB("arn:coffer-db:*:123456789012:id/*", ""), "RESOURCE-ID"},
        {COF_POLICY_IDENTITY, DB("arn:coffer-db:r1:*:id/*", ""), "RESOURCE-ID"},
        {COF_POLICY_IDENTITY, DB("arn:coffer-db:r1:123456789012:/*", ""), "RESOURCE-ID"},
        {COF_POLICY_IDENTITY, DB("arn:coffer-db:r1:123456789012:a/b/*", ""), "RESOURCE-ID"},
        {COF_POLICY_IDENTITY, DB(VOLUME, ",'Condition':{'Null':{'aws:SourceIp':'true'}}"),
         "Condition isn't supported"},
        {COF_POLICY_IDENTITY, DB_ACTION("'coffer-db:Read'"), "grants nothing"},
        {COF_POLICY_IDENTITY, DB_ACTION("'coffer-db:C*'"), "grants nothing"},
        {COF_POLICY_IDENTITY, DB_ACTION("'kms:Decrypt'"), "only coffer-db:*"},
        {COF_POLICY_IDENTITY, DB_ACTION("['coffer-db:*','kms:Decrypt']"), "stands alone"},
        {COF_POLICY_IDENTITY,
         DOCUMENT(STATEMENT("Allow", "'NotAction':'coffer-db:*','Resource':'" VOLUME "'")),
         "stands alone"},
        {COF_POLICY_IDENTITY,
         DOCUMENT(STATEMENT("Allow", "'Action':'coffer-db:*','NotResource':'" VOLUME "'")),
         "stands alone"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'coffer-db:*','Resource':'*'"), "users and roles"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*','Resource':'" VOLUME "'"), "no place"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].kind, cases[i].document, COFFER_E_POLICY, cases[i].words);
    }
    cof_policy_free(policy_of(COF_POLICY_IDENTITY, DB_ACTION("'*'")));
}

/* ---- work --------------------------------------------------------------------------------- */

static void pathological_wildcards_cost_bounded_steps(void **state)
{
    static struct cof_policy_run run;
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");
    char source[64], value[1025], pattern[80];
    unsigned stars;

    (void)state;
    memset(value, 'a', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (stars = 1; stars <= 20; stars++) {
        source[0] = '\0';
        while (strlen(source) < 2 * stars) {
            strcat(source, "*a");
        }
        strcat(source, "b");
        cof_policy_run_init(&run, &request);
        assert_null(
            cof_policy_pattern_compile(source, COF_PATTERN_WILDCARDS, pattern, sizeof(pattern)));
        assert_false(cof_policy_pattern_matches(&run, pattern, value, false));
        assert_false(run.overrun);
        assert_true(COF_POLICY_STEPS_MAX - run.steps_left <= strlen(pattern) * strlen(value));
    }
}

static void a_policy_that_takes_too_many_steps_denies(void **state)
{
    static char document[COF_POLICY_KEY_BYTES_MAX], value[COFFER_CONTEXT_BYTES_MAX - 100];
    static const char *const head = "{'Statement':{'Effect':'Allow','Principal':'*'," ALL
                                    ",'Condition':{'StringLike':{'kms:EncryptionContext:k':[";
    struct coffer_context_pair pair = {"k", value};
    struct coffer_context context = {&pair, 1};
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");
    char piece[1100];

    (void)state;
    memset(value, 'a', sizeof(value) - 1);
    strcpy(piece, "'*");
    memset(piece + 2, 'a', 1000);
    strcpy(piece + 1002, "b'");
    repeat(document, head, piece, 30, "]}}}}");
    request.context = &context;
    assert_int_equal(ask(COF_POLICY_KEY, document, &request), COF_POLICY_DENY);
    strcpy(piece, "'*'");
    repeat(document, head, piece, 30, "]}}}}");
    assert_int_equal(ask(COF_POLICY_KEY, document, &request), COF_POLICY_ALLOW);
}

static void wildcards_take_whole_characters(void **state)
{
    static struct cof_policy_run run;
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");
    static const struct {
        const char *source, *value;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"**", "abc", true},
        {"?", "", false},
        {"?", "\xc3\xa9", true},
        {"??", "\xc3\xa9", false},
        {"*?", "\xc3\xa9", true},
        {"*??", "\xc3\xa9", false},
        {"a*c", "abcbc", true},
        {"a*c", "abcb", false},
        {"*a*b*", "xxaxxbxx", true},
        {"*ab?", "aabab", false},
        {"*ab?", "ababc", true},
        {"a?c*", "abc", true},
        {"A", "a", false},
        {"a*", "b", false},
        {"*aab", "aaaab", true},
    };
    char pattern[16];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cof_policy_run_init(&run, &request);
        assert_null(cof_policy_pattern_compile(cases[i].source, COF_PATTERN_WILDCARDS, pattern,
                                               sizeof(pattern)));
        if (cof_policy_pattern_matches(&run, pattern, cases[i].value, false) != cases[i].matches) {
            fail_msg("'%s' and '%s'", cases[i].source, cases[i].value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(principals_are_matched_as_written),
        cmocka_unit_test(a_deny_of_an_account_denies_all_in_it),
        cmocka_unit_test(not_principal_denies_all_but_those_named),
        cmocka_unit_test(requests_that_are_not_whole_are_denied),
        cmocka_unit_test(actions_are_matched_in_any_case_with_wildcards),
        cmocka_unit_test(resources_are_matched_in_either_partition),
        cmocka_unit_test(variables_take_the_callers_values),
        cmocka_unit_test(reference_policies_decide_who_connects),
        cmocka_unit_test(data_plane_statements_have_one_form),
        cmocka_unit_test(pathological_wildcards_cost_bounded_steps),
        cmocka_unit_test(a_policy_that_takes_too_many_steps_denies),
        cmocka_unit_test(wildcards_take_whole_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
