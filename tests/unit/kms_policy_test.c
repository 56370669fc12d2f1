/* SPDX-License-Identifier: Apache-2.0 */
/* Policy documents: what is taken, what is refused and how, and whom and what statements are for. */
#include "policy_fixture.h"

static void refused(enum cof_policy_kind kind, const char *document, int error, const char *words)
{
    struct cof_policy *policy = NULL;
    struct coffer_fault fault;
    int got = policy_read(kind, document, &policy, &fault);

    if (got != error || policy != NULL || strstr(fault.detail, words) == NULL) {
        fail_msg("%s gave %d '%s', not %d '%s'", document, got, fault.detail, error, words);
    }
}

#define KEY_STATEMENT(parts) DOCUMENT("{'Effect':'Allow','Principal':'*'," parts "}")
#define USER_STATEMENT(parts) DOCUMENT("{'Effect':'Allow'," parts "}")

static void malformed_documents_are_refused_with_what_is_wrong(void **state)
{
    static const struct {
        enum cof_policy_kind kind;
        const char *document, *words;
    } cases[] = {
        {COF_POLICY_KEY, "", "line 1"},
        {COF_POLICY_KEY, "{", "line 1"},
        {COF_POLICY_KEY, "[]", "no JSON object"},
        {COF_POLICY_KEY, "{} {}", "line 1"},
        {COF_POLICY_KEY, "{'Statement':[],'Statement':[]}", "duplicate"},
        {COF_POLICY_KEY, "{'Version':'2012-10-17'}", "Statement is missing"},
        {COF_POLICY_KEY, "{'Version':'2012-10-18','Statement':[]}", "Version is neither"},
        {COF_POLICY_KEY, "{'Version':2012,'Statement':[]}", "Version is neither"},
        {COF_POLICY_KEY, "{'Statement':[]}", "Statement is empty"},
        {COF_POLICY_KEY, "{'Statement':[7]}", "statement 1: it is no object"},
        {COF_POLICY_KEY, "{'Statement':'x'}", "statement 1: it is no object"},
        {COF_POLICY_KEY, "{'Id':5,'Statement':[]}", "Id is no text"},
        {COF_POLICY_KEY, "{'Name':'n','Statement':[]}", "no element 'Name'"},
        {COF_POLICY_KEY, DOCUMENT("{}"), "Effect is missing"},
        {COF_POLICY_KEY, DOCUMENT("{'Effect':'allow'}"), "Effect is neither"},
        {COF_POLICY_KEY, DOCUMENT("{'Effect':['Allow']}"), "Effect is neither"},
        {COF_POLICY_KEY, DOCUMENT(STATEMENT("Allow", ALL)), "Principal (or NotPrincipal)"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Resource':'*'"), "Action (or NotAction) is missing"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*'"), "Resource (or NotResource)"},
        {COF_POLICY_KEY, KEY_STATEMENT(ALL ",'NotAction':'kms:Sign'"), "only one of Action"},
        {COF_POLICY_KEY, KEY_STATEMENT(ALL ",'NotResource':'*'"), "only one of Resource"},
        {COF_POLICY_KEY, KEY_STATEMENT("'NotPrincipal':'*'," ALL), "only one of Principal"},
        {COF_POLICY_KEY, KEY_STATEMENT(ALL ",'Condtion':{}"), "no element 'Condtion'"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Sid':7," ALL), "Sid is no text"},
        {COF_POLICY_KEY,
         DOCUMENT("{'Sid':'A','Effect':'Deny','Principal':'*'," ALL "},"
                  "{'Sid':'A','Effect':'Deny','Principal':'*'," ALL "}"),
         "statement 2: Sid 'A' is that of statement 1"},
        {COF_POLICY_KEY, DOCUMENT(STATEMENT("Allow", "'NotPrincipal':{'AWS':'" ALICE "'}," ALL)),
         "NotPrincipal with Allow"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':[],'Resource':'*'"), "Action is empty"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':[1],'Resource':'*'"), "Action is neither"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'','Resource':'*'"), "Action is neither"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':{},'Resource':'*'"), "Action is neither"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'Decrypt','Resource':'*'"), "is no action"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'k*:x','Resource':'*'"), "is no action"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:','Resource':'*'"), "is no action"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'s3:Get','Resource':'*'"), "no action of kms"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*','Resource':'key/1'"), "nor an ARN"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*','Resource':'arn:aws:s3:::b'"), "of kms"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*','Resource':'arn:aws-cn:kms:r:1:key/x'"),
         "nor an ARN"},
        {COF_POLICY_KEY, KEY_STATEMENT("'Action':'kms:*','Resource':'arn:*'"), "nor an ARN"},
        {COF_POLICY_IDENTITY, DOCUMENT(STATEMENT("Allow", "'Principal':'*'," ALL)),
         "Principal has no place in an identity policy"},
        {COF_POLICY_TRUST, KEY_STATEMENT("'Action':'sts:AssumeRole','Resource':'*'"),
         "Resource has no place in a trust policy"},
        {COF_POLICY_TRUST, KEY_STATEMENT("'Action':'kms:Sign'"), "no action of sts"},
        {COF_POLICY_IDENTITY, USER_STATEMENT("'Action':'kms:*','Resource':'a\\u0001b'"), "nor an"},
        {COF_POLICY_IDENTITY,
         USER_STATEMENT("'Action':'kms:*','Resource':'arn:aws:kms:r:1:key/\\u0001'"), "control"},
        {COF_POLICY_IDENTITY,
         USER_STATEMENT("'Action':'kms:*','Resource':'arn:aws:kms:r:1:key/\\u0000'"), "line 1"},
        {COF_POLICY_IDENTITY,
         USER_STATEMENT("'Action':'kms:*','Resource':'arn:aws:kms:r:1:key/${aws:nobody}'"),
         "policy variable"},
        {COF_POLICY_IDENTITY,
         USER_STATEMENT("'Action':'kms:*','Resource':'arn:aws:kms:r:1:key/${aws:username'"),
         "without its }"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].kind, cases[i].document, COFFER_E_INVALID, cases[i].words);
    }
}

static void malformed_principals_are_refused(void **state)
{
    static const char *const principals[] = {
        "'arn:aws:iam::111122223333:root'",
        "{}",
        "[]",
        "{'AWS':[]}",
        "{'AWS':7}",
        "{'Federated':'accounts.example.com'}",
        "{'CanonicalUser':'abc'}",
        "{'AWS':'11112222333'}",
        "{'AWS':'alice'}",
        "{'AWS':'arn:aws:iam::111122223333:user/*'}",
        "{'AWS':'arn:aws:iam::111122223333:user/'}",
        "{'AWS':'arn:aws:iam::111122223333:user//a'}",
        "{'AWS':'arn:aws:iam::111122223333:group/g'}",
        "{'AWS':'arn:aws:iam:r:111122223333:root'}",
        "{'AWS':'arn:aws:iam::1111:root'}",
        "{'AWS':'arn:aws-cn:iam::111122223333:root'}",
        "{'AWS':'arn:aws:sts::111122223333:assumed-role/r'}",
        "{'AWS':'arn:aws:sts::111122223333:assumed-role/r/s/t'}",
        "{'AWS':'arn:aws:sts::111122223333:root'}",
        "{'Service':'*'}",
        "{'Service':'Rds.amazonaws.com'}",
    };
    char document[300];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(principals) / sizeof(principals[0]); i++) {
        snprintf(document, sizeof(document),
                 "{'Statement':{'Effect':'Deny','Principal':%s," ALL "}}", principals[i]);
        refused(COF_POLICY_KEY, document, COFFER_E_INVALID, "statement 1: ");
    }
}

static void malformed_conditions_are_refused(void **state)
{
    static const struct {
        const char *condition, *words;
    } cases[] = {
        {"[]", "Condition is no object"},
        {"{}", "Condition is no object"},
        {"{'StringEquals':{}}", "has no condition keys"},
        {"{'StringEquals':'x'}", "has no condition keys"},
        {"{'StringSame':{'kms:KeySpec':'x'}}", "no condition operator 'StringSame'"},
        {"{'stringequals':{'kms:KeySpec':'x'}}", "no condition operator"},
        {"{'ForSomeValues:StringEquals':{'kms:KeySpec':'x'}}", "no condition operator"},
        {"{'IfExists':{'kms:KeySpec':'x'}}", "no condition operator"},
        {"{'NullIfExists':{'kms:KeySpec':'true'}}", "Null takes no"},
        {"{'ForAllValues:Null':{'kms:KeySpec':'true'}}", "Null takes no"},
        {"{'Null':{'kms:KeySpec':['true','false']}}", "not a list"},
        {"{'Null':{'kms:KeySpec':'maybe'}}", "true or false"},
        {"{'Bool':{'kms:MultiRegion':'yes'}}", "true or false"},
        {"{'NumericEquals':{'kms:RotationPeriodInDays':'ten'}}", "wants a number"},
        {"{'NumericEquals':{'kms:RotationPeriodInDays':'1.'}}", "wants a number"},
        {"{'NumericEquals':{'kms:RotationPeriodInDays':'1234567890123'}}", "wants a number"},
        {"{'NumericEquals':{'kms:RotationPeriodInDays':1.5}}", "is no text"},
        {"{'DateLessThan':{'aws:CurrentTime':'2026-02-29'}}", "wants a date"},
        {"{'DateLessThan':{'aws:CurrentTime':'2026-01-01T00:00'}}", "wants a date"},
        {"{'IpAddress':{'aws:SourceIp':'10.0.0.0/33'}}", "an address"},
        {"{'IpAddress':{'aws:SourceIp':'10.0.0'}}", "an address"},
        {"{'IpAddress':{'aws:SourceIp':'10.0.0.0/'}}", "an address"},
        {"{'StringEquals':{'kms:KeySpec':[]}}", "is empty"},
        {"{'StringEquals':{'kms:KeySpec':null}}", "is no text"},
        {"{'StringEquals':{'kms:KeySpec':{}}}", "is no text"},
        {"{'StringEquals':{'aws:SourceVpc':'v'}}", "condition key 'aws:SourceVpc' isn't known"},
        {"{'StringEquals':{'kms:EncryptionContext:':'v'}}", "isn't known"},
        {"{'StringEquals':{'kms:KeySpec':'${aws:SourceIp}'}}", "policy variable"},
    };
    char document[300];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(document, sizeof(document),
                 "{'Version':'2012-10-17','Statement':{'Effect':'Deny','Principal':'*'," ALL
                 ",'Condition':%s}}",
                 cases[i].condition);
        refused(COF_POLICY_KEY, document, COFFER_E_INVALID, cases[i].words);
    }
}

/* Fill room with a document of count times piece, commas between. */
static void repeat(char *room, const char *head, const char *piece, unsigned count,
                   const char *tail)
{
    unsigned i;

    strcpy(room, head);
    for (i = 0; i < count; i++) {
        strcat(room, i > 0 ? "," : "");
        strcat(room, piece);
    }
    strcat(room, tail);
}

static void bounds_hold_and_one_more_is_refused(void **state)
{
    static char room[3 * COF_POLICY_KEY_BYTES_MAX];
    const char *deny = "{'Effect':'Deny','Principal':'*'," ALL "}";
    const char *head = "{'Statement':{'Effect':'Allow','Resource':'*','Action':[";
    struct cof_policy *policy;
    struct coffer_fault fault;
    size_t repeated;

    (void)state;
    repeat(room, "{'Statement':[", deny, COF_POLICY_STATEMENTS_MAX, "]}");
    cof_policy_free(policy_of(COF_POLICY_KEY, room));
    repeat(room, "{'Statement':[", deny, COF_POLICY_STATEMENTS_MAX + 1, "]}");
    refused(COF_POLICY_KEY, room, COFFER_E_INVALID, "more than 128 statements");
    repeat(room, head, "'a:b'", COF_POLICY_VALUES_MAX, "]}}");
    cof_policy_free(policy_of(COF_POLICY_IDENTITY, room));
    repeat(room, head, "'a:b'", COF_POLICY_VALUES_MAX + 1, "]}}");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_INVALID, "more than 512 entries");
    repeat(room, head, "'kms:CancelKeyDeletion'", 400, "]}}");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_LIMIT, "too long");

    /* White space counts for the bytes of all, and not for the length of an identity policy. */
    repeat(room, "{'Statement':", "{'Effect':'Allow','Resource':'*','Action':'a:b'}", 1, "}");
    memset(room + strlen(room), ' ', COF_POLICY_KEY_BYTES_MAX - strlen(room));
    room[COF_POLICY_KEY_BYTES_MAX] = '\0';
    assert_int_equal(policy_read(COF_POLICY_IDENTITY, room, &policy, &fault), 0);
    cof_policy_free(policy);
    strcat(room, " ");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_LIMIT, "too long");
    memset(room, '[', COF_POLICY_KEY_BYTES_MAX);
    room[COF_POLICY_KEY_BYTES_MAX] = '\0';
    refused(COF_POLICY_KEY, room, COFFER_E_INVALID, "maximum parsing depth");
    strcpy(room, "{'Statement':{'Effect':'Allow','Action':'*','Resource':'arn:coffer:kms:r:1:");
    repeated = strlen(room);
    memset(room + repeated, 'x', COF_POLICY_PATTERN_BYTES_MAX);
    strcpy(room + repeated + COF_POLICY_PATTERN_BYTES_MAX, "'}}");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_INVALID, "more than 2048 bytes");
}

struct counted {
    unsigned left, live;
};

static void *counted_alloc(void *ctx, size_t bytes)
{
    struct counted *counted = ctx;

    if (counted->left == 0) {
        return NULL;
    }
    counted->left--;
    counted->live++;
    return malloc(bytes);
}

static void counted_dealloc(void *ctx, void *memory)
{
    struct counted *counted = ctx;

    counted->live--;
    free(memory);
}

static void no_memory_is_told_and_nothing_leaks(void **state)
{
    static char room[COF_POLICY_KEY_BYTES_MAX];
    struct counted counted = {0, 0};
    struct coffer_env api;
    struct cof_kms_env env;
    struct cof_policy *policy = NULL;
    unsigned allowed;
    int error = COFFER_E_NO_MEMORY;
    char *at;

    (void)state;
    memset(&api, 0, sizeof(api));
    api.size = sizeof(api);
    api.ctx = &counted;
    api.alloc = counted_alloc;
    api.dealloc = counted_dealloc;
    cof_kms_env_init(&env, &api);
    repeat(room, "{'Statement':[",
           "{'Effect':'Deny','Principal':{'AWS':'" ROOT "'}," ALL
           ",'Condition':{'Bool':{'kms:MultiRegion':true}}}",
           100, "]}");
    while ((at = strchr(room, '\'')) != NULL) {
        *at = '"';
    }
    for (allowed = 0; error == COFFER_E_NO_MEMORY && allowed < 1000; allowed++) {
        counted.left = allowed;
        error = cof_policy_parse(&env, COF_POLICY_KEY, room, strlen(room), &policy, NULL);
        assert_int_equal(counted.live > 0, error == 0);
    }
    assert_int_equal(error, 0);
    assert_true(allowed > 5);
    cof_policy_free(policy);
    assert_int_equal(counted.live, 0);
    cof_policy_free(NULL);
}

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
        refused(cases[i].kind, cases[i].document, COFFER_E_INVALID, cases[i].words);
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
        cmocka_unit_test(malformed_documents_are_refused_with_what_is_wrong),
        cmocka_unit_test(malformed_principals_are_refused),
        cmocka_unit_test(malformed_conditions_are_refused),
        cmocka_unit_test(bounds_hold_and_one_more_is_refused),
        cmocka_unit_test(no_memory_is_told_and_nothing_leaks),
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
