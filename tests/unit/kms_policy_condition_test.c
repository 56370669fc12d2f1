/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions: each operator with what fits, what doesn't, nothing, and several values; each key. */
#include "policy_fixture.h"

#define NOW_NS UINT64_C(1795356000000000000) /* 2026-11-22T14:00:00Z */

/* Whether {operator: {key: wanted}} holds for a request that has given, texts with commas between
 * (NULL: none), under key. */
static bool holds(const char *op, const char *key, const char *wanted, const char *given)
{
    char document[800], texts[200] = "", *text;
    const char *values[8];
    struct cof_policy_condition_value value = {key, values, 0};
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");

    strncat(texts, given == NULL ? "" : given, sizeof(texts) - 1);
    for (text = strtok(texts, ","); text != NULL; text = strtok(NULL, ",")) {
        values[value.count++] = text;
    }
    request.conditions = &value;
    request.condition_count = given == NULL ? 0 : 1;
    request.now_ns = NOW_NS;
    snprintf(document, sizeof(document),
             "{'Version':'2012-10-17','Statement':{'Effect':'Allow'," ALL
             ",'Condition':{'%s':{'%s':%s}}}}",
             op, key, wanted);
    return ask(COF_POLICY_IDENTITY, document, &request) == COF_POLICY_ALLOW;
}

struct row {
    const char *op, *wanted, *given;
    bool holds;
};

static void check(const char *key, const struct row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (holds(rows[i].op, key, rows[i].wanted, rows[i].given) != rows[i].holds) {
            fail_msg("%s %s %s of %s", rows[i].op, key, rows[i].wanted,
                     rows[i].given == NULL ? "nothing" : rows[i].given);
        }
    }
}

#define CHECK(key, rows) check(key, rows, sizeof(rows) / sizeof((rows)[0]))

static void texts_are_compared(void **state)
{
    static const struct row rows[] = {
        {"StringEquals", "'a'", "a", true},
        {"StringEquals", "'a'", "A", false},
        {"StringEquals", "'a'", "b", false},
        {"StringEquals", "'a'", NULL, false},
        {"StringEquals", "['a','b']", "b", true},
        {"StringEquals", "'a*'", "ab", false},
        {"StringEquals", "'a*'", "a*", true},
        {"StringEquals", "7", "7", true},
        {"StringEquals", "[7,true,'x']", "true", true},
        {"StringNotEquals", "'a'", "a", false},
        {"StringNotEquals", "'a'", "b", true},
        {"StringNotEquals", "'a'", NULL, true},
        {"StringNotEquals", "['a','b']", "b", false},
        {"StringNotEquals", "['a','b']", "c", true},
        {"StringEqualsIgnoreCase", "'AbC'", "aBc", true},
        {"StringEqualsIgnoreCase", "'AbC'", "aBd", false},
        {"StringEqualsIgnoreCase", "'AbC'", NULL, false},
        {"StringNotEqualsIgnoreCase", "'AbC'", "aBc", false},
        {"StringNotEqualsIgnoreCase", "'AbC'", "aBd", true},
        {"StringNotEqualsIgnoreCase", "'AbC'", NULL, true},
        {"StringLike", "'a*z'", "abcz", true},
        {"StringLike", "'a?z'", "abz", true},
        {"StringLike", "'a?z'", "abcz", false},
        {"StringLike", "'a*'", "A", false},
        {"StringLike", "['x','y*']", "yes", true},
        {"StringLike", "'*'", NULL, false},
        {"StringNotLike", "'a*z'", "abcz", false},
        {"StringNotLike", "'a*z'", "abc", true},
        {"StringNotLike", "'*'", NULL, true},
        {"StringEqualsIfExists", "'a'", "b", false},
        {"StringEqualsIfExists", "'a'", "a", true},
        {"StringEqualsIfExists", "'a'", NULL, true},
        {"StringNotEqualsIfExists", "'a'", NULL, true},
        {"StringNotEqualsIfExists", "'a'", "a", false},
        {"StringLikeIfExists", "'a*'", NULL, true},
    };

    (void)state;
    CHECK("kms:KeySpec", rows);
}

static void numbers_are_compared(void **state)
{
    static const struct row rows[] = {
        {"NumericEquals", "'7'", "7", true},
        {"NumericEquals", "7", "7.0", true},
        {"NumericEquals", "'7'", "8", false},
        {"NumericEquals", "'7'", "x", false},
        {"NumericEquals", "'7'", NULL, false},
        {"NumericEquals", "[7,30]", "30", true},
        {"NumericEquals", "'-1.5'", "-1.500000", true},
        {"NumericNotEquals", "'7'", "7", false},
        {"NumericNotEquals", "'7'", "8", true},
        {"NumericNotEquals", "'7'", NULL, true},
        {"NumericLessThan", "'10'", "9", true},
        {"NumericLessThan", "'10'", "10", false},
        {"NumericLessThan", "'10'", NULL, false},
        {"NumericLessThanEquals", "'10'", "10", true},
        {"NumericLessThanEquals", "'10'", "11", false},
        {"NumericGreaterThan", "'9'", "10", true},
        {"NumericGreaterThan", "'10'", "9", false},
        {"NumericGreaterThan", "'-2'", "-1", true},
        {"NumericGreaterThanEquals", "'10'", "10", true},
        {"NumericGreaterThanEquals", "'10'", "9.999999", false},
        {"NumericGreaterThanIfExists", "'10'", NULL, true},
    };

    (void)state;
    CHECK("kms:RotationPeriodInDays", rows);
}

static void dates_are_compared(void **state)
{
    static const struct row rows[] = {
        {"DateEquals", "'2026-11-22T14:00:00Z'", NULL, true},
        {"DateEquals", "'2026-11-22T14:00Z'", NULL, true},
        {"DateEquals", "'2026-11-22T15:00:00+01:00'", NULL, true},
        {"DateEquals", "'2026-11-22T14:00:00.5Z'", NULL, false},
        {"DateEquals", "'1795356000'", NULL, true},
        {"DateEquals", "1795356000", NULL, true},
        {"DateNotEquals", "'2026-11-22T14:00:00Z'", NULL, false},
        {"DateNotEquals", "'2026'", NULL, true},
        {"DateLessThan", "'2026-11-22T14:00:00Z'", NULL, false},
        {"DateLessThan", "'2026-11-22T14:00:01Z'", NULL, true},
        {"DateLessThan", "'2027'", NULL, true},
        {"DateLessThanEquals", "'2026-11-22T14:00:00Z'", NULL, true},
        {"DateGreaterThan", "'2026-11'", NULL, true},
        {"DateGreaterThan", "'2026-11-22'", NULL, true},
        {"DateGreaterThan", "'2026-11-23'", NULL, false},
        {"DateGreaterThan", "'2026-11-22T10:00:00-0430'", NULL, false},
        {"DateGreaterThanEquals", "'2026-11-22T14:00:00Z'", NULL, true},
        {"DateGreaterThan", "'0001-01-01'", NULL, true},
        {"DateLessThan", "'9999-12-31T23:59:60Z'", NULL, true},
        {"DateGreaterThan", "'2024-02-29'", NULL, true},
    };
    static const struct row epochs[] = {
        {"NumericEquals", "'1795356000'", NULL, true},
        {"DateLessThan", "'2026-11-22T14:00:01Z'", NULL, true},
    };

    (void)state;
    CHECK("aws:CurrentTime", rows);
    CHECK("aws:EpochTime", epochs);
}

static void bools_and_absence_are_compared(void **state)
{
    static const struct row rows[] = {
        {"Bool", "'true'", "true", true},        {"Bool", "true", "true", true},
        {"Bool", "'TRUE'", "true", true},        {"Bool", "'true'", "false", false},
        {"Bool", "'false'", "false", true},      {"Bool", "'false'", NULL, false},
        {"BoolIfExists", "'false'", NULL, true}, {"Null", "'true'", NULL, true},
        {"Null", "'true'", "true", false},       {"Null", "'false'", "true", true},
        {"Null", "false", NULL, false},          {"Null", "'true'", "", true},
    };

    (void)state;
    CHECK("kms:GrantIsForAWSResource", rows);
}

static void several_values_need_a_qualifier_to_be_all(void **state)
{
    static const struct row rows[] = {
        {"ForAllValues:StringEquals", "['a','b']", "a,b", true},
        {"ForAllValues:StringEquals", "['a','b']", "a", true},
        {"ForAllValues:StringEquals", "['a','b']", "a,c", false},
        {"ForAllValues:StringEquals", "['a','b']", NULL, true},
        {"ForAllValues:StringEquals", "['a','b']", "", true},
        {"ForAllValues:StringNotEquals", "['a','b']", "c,d", true},
        {"ForAllValues:StringNotEquals", "['a','b']", "c,a", false},
        {"ForAllValues:StringLike", "'D*'", "Decrypt,DescribeKey", true},
        {"ForAnyValue:StringEquals", "['a','b']", "x,b", true},
        {"ForAnyValue:StringEquals", "['a','b']", "x,y", false},
        {"ForAnyValue:StringEquals", "['a','b']", NULL, false},
        {"ForAnyValue:StringEqualsIfExists", "['a','b']", NULL, true},
        {"ForAnyValue:StringNotEquals", "['a','b']", "a,c", true},
        {"ForAnyValue:StringNotEquals", "['a','b']", "a,b", false},
        {"ForAnyValue:StringNotEquals", "['a','b']", NULL, false},
        {"StringEquals", "'a'", "a,b", true},
        {"StringNotEquals", "'a'", "a,b", false},
        {"StringNotEquals", "'a'", "c,b", true},
    };

    (void)state;
    CHECK("kms:GrantOperations", rows);
}

/* ---- keys that the request itself answers ------------------------------------------------- */

static bool holds_for(struct cof_policy_request *request, const char *condition)
{
    char document[600];

    request->now_ns = NOW_NS;
    snprintf(document, sizeof(document),
             "{'Version':'2012-10-17','Statement':{'Effect':'Allow'," ALL ",'Condition':{%s}}}",
             condition);
    return ask(COF_POLICY_IDENTITY, document, request) == COF_POLICY_ALLOW;
}

static bool from_address(const char *op, const char *networks, const char *address)
{
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");
    char condition[200];

    request.source_ip = address;
    snprintf(condition, sizeof(condition), "'%s':{'aws:SourceIp':%s}", op, networks);
    return holds_for(&request, condition);
}

static void addresses_lie_in_networks(void **state)
{
    (void)state;
    assert_true(from_address("IpAddress", "'10.1.0.0/16'", "10.1.2.3"));
    assert_false(from_address("IpAddress", "'10.1.0.0/16'", "10.2.2.3"));
    assert_true(from_address("IpAddress", "'10.1.0.0/15'", "10.0.255.1"));
    assert_false(from_address("IpAddress", "'10.1.0.0/15'", "10.2.0.1"));
    assert_true(from_address("IpAddress", "'10.1.2.3'", "10.1.2.3"));
    assert_true(from_address("IpAddress", "'0.0.0.0/0'", "203.0.113.9"));
    assert_true(from_address("IpAddress", "'10.0.0.0/8'", "::ffff:10.1.2.3"));
    assert_true(from_address("IpAddress", "['192.0.2.0/24','2001:db8::/33']", "2001:db8:7fff::1"));
    assert_false(from_address("IpAddress", "'2001:db8::/33'", "2001:db8:8000::1"));
    assert_false(from_address("IpAddress", "'::/0'", "10.1.2.3"));
    assert_false(from_address("IpAddress", "'0.0.0.0/0'", "::1"));
    assert_false(from_address("IpAddress", "'0.0.0.0/0'", "not an address"));
    assert_false(from_address("IpAddress", "'0.0.0.0/0'", "10.0.0.0/8"));
    assert_false(from_address("IpAddress", "'0.0.0.0/0'", NULL));
    assert_true(from_address("NotIpAddress", "'10.0.0.0/8'", "11.0.0.1"));
    assert_false(from_address("NotIpAddress", "['11.0.0.0/8','10.0.0.0/8']", "11.0.0.1"));
    assert_true(from_address("NotIpAddress", "'10.0.0.0/8'", NULL));
}

static bool as_arn(const char *op, const char *wanted, const char *caller)
{
    struct cof_policy_request request = request_of(caller, "kms:Sign");
    char condition[300];

    snprintf(condition, sizeof(condition), "'%s':{'aws:PrincipalArn':'%s'}", op, wanted);
    return holds_for(&request, condition);
}

static void arns_are_compared_part_by_part(void **state)
{
    (void)state;
    assert_true(as_arn("ArnEquals", ALICE, ALICE));
    assert_true(as_arn("ArnLike", "arn:aws:iam::*:user/*", ALICE));
    assert_true(as_arn("ArnEquals", "arn:aws:iam::" HOME ":user/a*", ALICE));
    assert_false(as_arn("ArnLike", "arn:aws:*:user/alice", ALICE));
    assert_false(as_arn("ArnLike", "arn:aws:iam:*" HOME ":user/alice", ALICE));
    assert_false(as_arn("ArnLike", "*", ALICE));
    assert_false(as_arn("ArnLike", ALICE, "a service"));
    assert_false(as_arn("ArnNotEquals", ALICE, ALICE));
    assert_true(as_arn("ArnNotLike", "arn:*:iam::" ABROAD ":*", ALICE));
    assert_true(as_arn("ArnEquals", ADMIN, SESSION));
    assert_false(as_arn("ArnEquals", SESSION, SESSION));
    assert_true(as_arn("StringEquals", "arn:aws:iam::" HOME ":user/alice", ALICE));
    assert_true(as_arn("StringLike", "*alice", ALICE));
    assert_true(as_arn("ArnEquals", "arn:aws:iam::" HOME ":user/${aws:username}", ALICE));
    assert_true(as_arn("ArnEquals", "${aws:PrincipalArn}", ALICE));
}

static void the_request_answers_for_its_caller(void **state)
{
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");

    (void)state;
    assert_true(holds_for(&request, "'StringEquals':{'aws:PrincipalAccount':'" HOME "',"
                                    "'kms:CallerAccount':'" HOME "','AWS:UserName':'alice',"
                                    "'aws:PrincipalType':'User','aws:RequestedRegion':'local-1'},"
                                    "'Null':{'aws:SourceIp':'true','kms:ViaService':'true',"
                                    "'aws:UserAgent':'true','kms:EncryptionContextKeys':'true'}"));
    request.via_service = "engine";
    request.user_agent = "coffer/1";
    assert_true(holds_for(&request, "'StringEquals':{'kms:ViaService':'engine'},"
                                    "'StringLike':{'aws:UserAgent':'coffer/*'}"));
    assert_false(holds_for(&request, "'StringEquals':{'kms:ViaService':'engine'},"
                                     "'StringLike':{'aws:UserAgent':'curl/*'}"));
    assert_false(holds_for(&request, "'StringEquals':{'kms:ViaService':'engine',"
                                     "'kms:CallerAccount':'" ABROAD "'}"));
    request.principal = ROOT;
    assert_true(holds_for(&request, "'StringEquals':{'aws:PrincipalType':'Account'},"
                                    "'Null':{'aws:username':'true'}"));
    request.principal = SESSION;
    assert_true(holds_for(&request, "'StringEquals':{'aws:PrincipalType':'AssumedRole'},"
                                    "'Null':{'aws:username':true}"));
}

static void other_partitions_are_a_matter_of_arns_alone(void **state)
{
    struct coffer_context_pair pair = {"arn", "arn:aws:s3:::bucket"};
    struct coffer_context context = {&pair, 1};
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");

    (void)state;
    request.context = &context;
    assert_true(holds_for(
        &request, "'StringEquals':{'kms:EncryptionContext:arn':'arn:aws:s3:::bucket'}"));
    assert_false(holds_for(
        &request, "'StringEquals':{'kms:EncryptionContext:arn':'arn:coffer:s3:::bucket'}"));
}

static void values_that_callers_send_do_not_stand_for_their_own(void **state)
{
    static const char *const liar[] = {BOB};
    const struct cof_policy_condition_value value = {"aws:PrincipalArn", liar, 1};
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");

    (void)state;
    request.conditions = &value;
    request.condition_count = 1;
    assert_false(holds_for(&request, "'ArnEquals':{'aws:PrincipalArn':'" BOB "'}"));
}

static void encryption_contexts_are_asked_by_key(void **state)
{
    struct coffer_context_pair pairs[] = {{"App", "backup"}, {"volume", "v*"}, {"App2", "x"}};
    struct coffer_context context = {pairs, 3};
    struct cof_policy_request request = request_of(ALICE, "kms:Sign");

    (void)state;
    assert_false(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:App':'backup'}"));
    request.context = &context;
    assert_true(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:App':'backup'}"));
    assert_true(holds_for(&request, "'StringEquals':{'kms:encryptioncontext:app':'backup'}"));
    assert_false(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:App':'Backup'}"));
    assert_true(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:volume':'v*'}"));
    assert_false(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:Ap':'backup'}"));
    assert_true(holds_for(&request, "'Null':{'kms:EncryptionContext:Ap':'true'}"));
    assert_true(holds_for(&request, "'ForAnyValue:StringEquals':"
                                    "{'kms:EncryptionContextKeys':['volume']}"));
    assert_false(holds_for(&request, "'ForAnyValue:StringEquals':"
                                     "{'kms:EncryptionContextKeys':['app']}"));
    assert_true(holds_for(&request, "'ForAllValues:StringLike':"
                                    "{'kms:EncryptionContextKeys':['App*','volume']}"));
    assert_false(holds_for(&request, "'ForAllValues:StringEquals':"
                                     "{'kms:EncryptionContextKeys':['App','volume']}"));
    /* The key as the policy spells it comes before others that differ in case. */
    pairs[2].key = "APP";
    assert_true(holds_for(&request, "'StringNotEquals':{'kms:EncryptionContext:App':'x'}"));
    assert_true(holds_for(&request, "'StringEquals':{'kms:EncryptionContext:APP':'x'}"));
}

static void a_deny_needs_no_value_of_a_variable(void **state)
{
    struct cof_policy_request request = request_of(ROOT, "kms:Sign");
    static const char *const names[] = {"alice"};
    const struct cof_policy_condition_value value = {"kms:KeySpec", names, 1};

    (void)state;
    request.conditions = &value;
    request.condition_count = 1;
    assert_false(holds_for(&request, "'StringEquals':{'kms:KeySpec':'${aws:username}'}"));
    assert_false(holds_for(&request, "'StringNotEquals':{'kms:KeySpec':'${aws:username}'}"));
    assert_int_equal(ask(COF_POLICY_IDENTITY,
                         DOCUMENT(STATEMENT("Deny", ALL ",'Condition':{'StringNotEquals':"
                                                        "{'kms:KeySpec':'${aws:username}'}}")),
                         &request),
                     COF_POLICY_DENY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_compared),
        cmocka_unit_test(numbers_are_compared),
        cmocka_unit_test(dates_are_compared),
        cmocka_unit_test(bools_and_absence_are_compared),
        cmocka_unit_test(several_values_need_a_qualifier_to_be_all),
        cmocka_unit_test(addresses_lie_in_networks),
        cmocka_unit_test(arns_are_compared_part_by_part),
        cmocka_unit_test(the_request_answers_for_its_caller),
        cmocka_unit_test(other_partitions_are_a_matter_of_arns_alone),
        cmocka_unit_test(values_that_callers_send_do_not_stand_for_their_own),
        cmocka_unit_test(encryption_contexts_are_asked_by_key),
        cmocka_unit_test(a_deny_needs_no_value_of_a_variable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
