/* SPDX-License-Identifier: Apache-2.0 */
/* Policy documents that are refused, and the words for it; bounds; want of memory. */
#include "policy_fixture.h"

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
        refused(cases[i].kind, cases[i].document, COFFER_E_POLICY, cases[i].words);
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
        refused(COF_POLICY_KEY, document, COFFER_E_POLICY, "statement 1: ");
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
        refused(COF_POLICY_KEY, document, COFFER_E_POLICY, cases[i].words);
    }
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
    refused(COF_POLICY_KEY, room, COFFER_E_POLICY, "more than 128 statements");
    repeat(room, head, "'a:b'", COF_POLICY_VALUES_MAX, "]}}");
    cof_policy_free(policy_of(COF_POLICY_IDENTITY, room));
    repeat(room, head, "'a:b'", COF_POLICY_VALUES_MAX + 1, "]}}");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_POLICY, "more than 512 entries");
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
    refused(COF_POLICY_KEY, room, COFFER_E_POLICY, "maximum parsing depth");
    strcpy(room, "{'Statement':{'Effect':'Allow','Action':'*','Resource':'arn:coffer:kms:r:1:");
    repeated = strlen(room);
    memset(room + repeated, 'x', COF_POLICY_PATTERN_BYTES_MAX);
    strcpy(room + repeated + COF_POLICY_PATTERN_BYTES_MAX, "'}}");
    refused(COF_POLICY_IDENTITY, room, COFFER_E_POLICY, "more than 2048 bytes");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_documents_are_refused_with_what_is_wrong),
        cmocka_unit_test(malformed_principals_are_refused),
        cmocka_unit_test(malformed_conditions_are_refused),
        cmocka_unit_test(bounds_hold_and_one_more_is_refused),
        cmocka_unit_test(no_memory_is_told_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
