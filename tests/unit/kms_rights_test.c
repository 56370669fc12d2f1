/* SPDX-License-Identifier: Apache-2.0 */
/* Who may: key policies, identity policies, grants with constraints and tokens, other accounts and
 * regions, as the calls meet them. */
#include "kms/store_identity.h"
#include "kms_call_fixture.h"

#define ALICE "arn:coffer:iam::000000000000:user/alice"
#define BOB "arn:coffer:iam::000000000000:user/bob"
#define CARL "arn:coffer:iam::111111111111:user/carl"
#define ROLE "arn:coffer:iam::000000000000:role/reader"
#define SESSION "arn:coffer:sts::000000000000:assumed-role/reader/s1"
#define DENIED COFFER_E_KEY_ACCESS

static char arn[COFFER_KEY_ARN_BYTES_MAX];
static struct coffer_key_blob blob, made;
static char grant_id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
static struct cof_kms_key_row row;
static const struct coffer_context_pair ab_pairs[] = {{"a", "1"}, {"b", "2"}};
static const struct coffer_context a = {ab_pairs, 1}, ab = {ab_pairs, 2};

static int setup(void **state)
{
    struct kms_fixture *f;

    assert_int_equal(call_setup(state), 0);
    f = *state;
    strcpy(arn, make_key(f, NULL)->arn);
    assert_int_equal(encrypt(f, arn, &a, &blob), 0);
    return 0;
}

static void as(const char *principal)
{
    memset(&caller, 0, sizeof(caller));
    caller.principal = principal;
}

static int grant(struct kms_fixture *f, const char *grantee, const char *operation,
                 enum coffer_grant_constraint constraint, const struct coffer_context *context)
{
    const char *const operations[] = {operation, "CreateGrant"};
    const struct cof_kms_create_grant params = {
        .key = arn, .grantee = grantee, .operations = operations,
        .operation_count = strcmp(operation, "Encrypt") == 0 ? 2 : 1,
        .constraint = constraint, .context = context};

    return CALL(f, "CreateGrant", cof_kms_create_grant(&call, &params, grant_id, token));
}

static int put_policy(struct kms_fixture *f, const char *statements, bool bypass)
{
    char text[2048];

    snprintf(text, sizeof(text), "{\"Version\":\"2012-10-17\",\"Statement\":[%s]}", statements);
    return CALL(f, "PutKeyPolicy", cof_kms_put_key_policy(&call, arn, NULL, text, bypass));
}

#define ROOT_ALL                                                                                   \
    "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::000000000000:root\"},"            \
    "\"Action\":\"kms:*\",\"Resource\":\"*\"}"
#define ALLOW(who, action)                                                                         \
    "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" who "\"},\"Action\":\"" action               \
    "\",\"Resource\":\"*\"}"
#define DENY(who, action)                                                                          \
    "{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"" who "\"},\"Action\":\"" action                \
    "\",\"Resource\":\"*\"}"

/* Give a user or role one identity policy. */
static void give(struct kms_fixture *f, const char *principal, const char *effect,
                 const char *action)
{
    static struct cof_kms_principal_row who;
    static struct cof_kms_identity_policy_row policy;
    struct cof_kms_attachment_row at;
    struct cof_kms_db *db = f->store->db;

    memset(&who, 0, sizeof(who));
    memset(&policy, 0, sizeof(policy));
    memset(&at, 0, sizeof(at));
    strcpy(who.arn, principal);
    assert_true(cof_kms_principal_account(principal, who.account));
    strcpy(who.kind, "user");
    strcpy(who.name, "x");
    strcpy(policy.account, who.account);
    snprintf(policy.name, sizeof(policy.name), "%s", effect);
    snprintf(policy.document, sizeof(policy.document),
             "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"%s\",\"Action\":\"%s\","
             "\"Resource\":\"*\"}]}", effect, action);
    strcpy(at.principal_arn, principal);
    strcpy(at.account, who.account);
    strcpy(at.policy_name, policy.name);
    assert_int_equal(cof_kms_db_begin(db, true, &f->fault), 0);
    assert_int_equal(cof_kms_db_principal_set(db, &who, &f->fault), 0);
    assert_int_equal(cof_kms_db_identity_policy_set(db, &policy, &f->fault), 0);
    assert_int_equal(cof_kms_db_attachment_set(db, &at, &f->fault), 0);
    assert_int_equal(cof_kms_db_commit(db, &f->fault), 0);
}

/* ---- policies ---------------------------------------------------------------------------- */

static void nobody_may_by_default_and_a_deny_wins(void **state)
{
    struct kms_fixture *f = *state;

    as(ALICE);
    assert_int_equal(decrypt(f, arn, &a, &blob), DENIED);
    assert_non_null(strstr(f->fault.detail, "kms:Decrypt"));
    /* Who names no key doesn't learn whether there is one. */
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    assert_non_null(strstr(f->fault.detail, "does not exist in this region"));
    give(f, ALICE, "Allow", "kms:Decrypt");
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    assert_int_equal(encrypt(f, arn, &a, &made), DENIED);
    give(f, ALICE, "Deny", "kms:Decrypt");
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE error = 'KEY_ACCESS' AND"
                                       " principal = '" ALICE "'"), 4);
}

static void a_key_policy_allows_and_denies_by_name(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(put_policy(f, ROOT_ALL "," ALLOW(ALICE, "kms:Decrypt"), false), 0);
    as(ALICE);
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    as(BOB);
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    as(NULL);
    assert_int_equal(put_policy(f, ROOT_ALL "," DENY("*", "kms:Decrypt"), false), 0);
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    assert_int_equal(encrypt(f, arn, &a, &made), 0);
}

static void a_policy_that_locks_out_is_refused_unless_asked_for(void **state)
{
    static char text[COF_KMS_POLICY_BYTES_MAX + 1];
    struct kms_fixture *f = *state;

    assert_int_equal(put_policy(f, ALLOW(ALICE, "kms:*"), false), COFFER_E_POLICY);
    assert_int_equal(CALL(f, "GetKeyPolicy", cof_kms_get_key_policy(&call, arn, NULL, text)), 0);
    assert_non_null(strstr(text, "arn:coffer:iam::000000000000:root"));
    assert_int_equal(put_policy(f, "{\"Effect\":\"Maybe\"}", false), COFFER_E_POLICY);
    assert_int_equal(CALL(f, "GetKeyPolicy", cof_kms_get_key_policy(&call, arn, "x", text)),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(put_policy(f, ALLOW(ALICE, "kms:*"), true), 0);
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)), DENIED);
    as(ALICE);
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)), 0);
}

static void a_session_is_bounded_by_its_policy(void **state)
{
    struct kms_fixture *f = *state;

    give(f, ROLE, "Allow", "kms:*");
    as(SESSION);
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    caller.session_policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                            "\"Action\":\"kms:Encrypt\",\"Resource\":\"*\"}]}";
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    assert_int_equal(encrypt(f, arn, &a, &made), 0);
}

/* ---- other accounts and regions ---------------------------------------------------------- */

static void another_account_needs_both_sides_and_the_arn(void **state)
{
    struct kms_fixture *f = *state;

    as(CARL);
    assert_int_equal(encrypt(f, arn, &a, &made), DENIED);
    give(f, CARL, "Allow", "kms:*");
    assert_int_equal(encrypt(f, arn, &a, &made), DENIED);
    as(NULL);
    assert_int_equal(put_policy(f, ROOT_ALL "," ALLOW("111111111111", "kms:Encrypt"), false), 0);
    as(CARL);
    assert_int_equal(encrypt(f, arn, &a, &made), 0);
    assert_int_equal(encrypt(f, strrchr(arn, '/') + 1, &a, &made), COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
}

static void a_key_is_seen_in_its_own_region_only(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_key_row there;
    const struct cof_kms_create_key params = {.description = "there"};

    caller.region = "local-2";
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &params, &there)), 0);
    assert_non_null(strstr(there.arn, ":local-2:"));
    assert_string_not_equal(describe(f, NULL)->arn, arn);
    caller.region = NULL;
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, there.arn, &row)),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, there.key_id, &row)),
                     COFFER_E_KEY_NOT_FOUND);
}

static void who_calls_must_be_somebody(void **state)
{
    struct kms_fixture *f = *state;

    as("alice");
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)),
                     COFFER_E_INVALID);
    as(ALICE);
    caller.region = "Nowhere";
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)),
                     COFFER_E_INVALID);
}

/* ---- grants ------------------------------------------------------------------------------ */

static void a_grant_allows_its_operations_within_its_constraint(void **state)
{
    static const struct coffer_context_pair case_pairs[] = {{"A", "1"}}, other_pairs[] = {
                                                                             {"a", "2"}};
    static const struct coffer_context other = {other_pairs, 1}, upper = {case_pairs, 1};
    struct kms_fixture *f = *state;

    assert_int_equal(grant(f, ALICE, "Encrypt", COFFER_GRANT_CONTEXT_SUBSET, &a), 0);
    as(ALICE);
    assert_int_equal(encrypt(f, arn, &a, &made), 0);
    assert_int_equal(encrypt(f, arn, &ab, &made), 0);
    assert_int_equal(encrypt(f, arn, &upper, &made), 0);
    assert_int_equal(encrypt(f, arn, &other, &made), DENIED);
    assert_int_equal(encrypt(f, arn, NULL, &made), DENIED);
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
    as(BOB);
    assert_int_equal(encrypt(f, arn, &a, &made), DENIED);
    as(NULL);
    assert_int_equal(grant(f, BOB, "Encrypt", COFFER_GRANT_CONTEXT_EQUALS, &a), 0);
    as(BOB);
    assert_int_equal(encrypt(f, arn, &a, &made), 0);
    assert_int_equal(encrypt(f, arn, &ab, &made), DENIED);
}

static void a_grant_to_a_role_is_its_sessions_and_suffices_abroad(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(grant(f, "arn:aws:iam::000000000000:role/reader", "Decrypt",
                           COFFER_GRANT_NO_CONSTRAINT, NULL), 0);
    assert_int_equal(grant(f, CARL, "Decrypt", COFFER_GRANT_NO_CONSTRAINT, NULL), 0);
    as(SESSION);
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    as(CARL);
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    as("arn:coffer:sts::000000000000:assumed-role/writer/s1");
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
}

static void a_deny_wins_over_a_grant(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(grant(f, ALICE, "Decrypt", COFFER_GRANT_NO_CONSTRAINT, NULL), 0);
    as(ALICE);
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    give(f, ALICE, "Deny", "kms:Decrypt");
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
}

static void a_grant_that_grants_makes_none_that_is_wider(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(grant(f, ALICE, "Encrypt", COFFER_GRANT_CONTEXT_SUBSET, &a), 0);
    as(ALICE);
    assert_int_equal(grant(f, BOB, "Encrypt", COFFER_GRANT_NO_CONSTRAINT, NULL), DENIED);
    assert_int_equal(grant(f, BOB, "Decrypt", COFFER_GRANT_CONTEXT_SUBSET, &a), DENIED);
    assert_int_equal(grant(f, BOB, "Encrypt", COFFER_GRANT_CONTEXT_SUBSET, &a), 0);
    assert_int_equal(grant(f, BOB, "Encrypt", COFFER_GRANT_CONTEXT_EQUALS, &ab), 0);
    as(NULL);
    assert_int_equal(grant(f, ROLE, "Encrypt", COFFER_GRANT_CONTEXT_EQUALS, &ab), 0);
    as(ROLE);
    assert_int_equal(grant(f, BOB, "Encrypt", COFFER_GRANT_CONTEXT_SUBSET, &ab), DENIED);
}

static void a_grant_ends_by_whom_it_names(void **state)
{
    static const char *const operations[] = {"Encrypt", "RetireGrant"};
    const struct cof_kms_create_grant params = {.key = arn, .grantee = ALICE, .name = "n",
                                                .retiring_principal = BOB,
                                                .operations = operations, .operation_count = 2};
    static const char *const enders[] = {ALICE, BOB, NULL};
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < 3; i++) {
        as(NULL);
        assert_int_equal(CALL(f, "CreateGrant",
                              cof_kms_create_grant(&call, &params, grant_id, token)), 0);
        as(CARL);
        assert_int_equal(CALL(f, "RetireGrant", cof_kms_retire_grant(&call, NULL, arn, grant_id)),
                         DENIED);
        as(ALICE);
        assert_int_equal(encrypt(f, arn, NULL, &made), 0);
        assert_int_equal(CALL(f, "RevokeGrant", cof_kms_revoke_grant(&call, arn, grant_id)),
                         DENIED);
        as(enders[i]);
        assert_int_equal(CALL(f, "RetireGrant", cof_kms_retire_grant(&call, token, NULL, NULL)),
                         0);
        as(ALICE);
        assert_int_equal(encrypt(f, arn, NULL, &made), DENIED);
    }
    as(NULL);
    assert_int_equal(CALL(f, "RetireGrant", cof_kms_retire_grant(&call, token, NULL, NULL)),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(CALL(f, "RetireGrant", cof_kms_retire_grant(&call, "00", NULL, NULL)),
                     COFFER_E_GRANT_TOKEN);
    assert_int_equal(CALL(f, "RetireGrant", cof_kms_retire_grant(&call, NULL, arn, NULL)),
                     COFFER_E_INVALID);
    assert_int_equal(CALL(f, "RevokeGrant", cof_kms_revoke_grant(&call, arn, "x")),
                     COFFER_E_GRANT_ID);
}

static void a_token_is_checked_to_its_last_digit(void **state)
{
    struct kms_fixture *f = *state;
    const char *const tokens[] = {token};
    char whole[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    size_t i;

    assert_int_equal(grant(f, ALICE, "Decrypt", COFFER_GRANT_NO_CONSTRAINT, NULL), 0);
    strcpy(whole, token);
    as(ALICE);
    caller.grant_tokens = tokens;
    caller.grant_token_count = 1;
    assert_int_equal(decrypt(f, NULL, &a, &blob), 0);
    for (i = 0; i < strlen(whole); i += 13) {
        token[i] = whole[i] == '0' ? '1' : '0';
        assert_int_equal(decrypt(f, NULL, &a, &blob), COFFER_E_GRANT_TOKEN);
        token[i] = whole[i];
    }
    token[strlen(token) - 2] = '\0';
    assert_int_equal(decrypt(f, NULL, &a, &blob), COFFER_E_GRANT_TOKEN);
    strcpy(token, whole);
    as(BOB);
    caller.grant_tokens = tokens;
    caller.grant_token_count = 1;
    assert_int_equal(decrypt(f, NULL, &a, &blob), DENIED);
}

static void a_grant_names_what_its_key_can(void **state)
{
    static const struct cof_kms_create_key mac = {.key_spec = "HMAC_256",
                                                  .key_usage = "GENERATE_VERIFY_MAC"};
    struct kms_fixture *f = *state;

    assert_int_equal(grant(f, ALICE, "Sign", COFFER_GRANT_NO_CONSTRAINT, NULL), COFFER_E_INVALID);
    assert_int_equal(grant(f, ALICE, "PutKeyPolicy", COFFER_GRANT_NO_CONSTRAINT, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(grant(f, "arn:coffer:s3:::x", "Decrypt", COFFER_GRANT_NO_CONSTRAINT, NULL),
                     COFFER_E_ARN);
    assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &mac, &row)), 0);
    strcpy(arn, row.arn);
    assert_int_equal(grant(f, ALICE, "GenerateMac", COFFER_GRANT_NO_CONSTRAINT, NULL), 0);
    assert_int_equal(grant(f, ALICE, "GenerateMac", COFFER_GRANT_CONTEXT_SUBSET, &a),
                     COFFER_E_INVALID);
    assert_int_equal(grant(f, ALICE, "Decrypt", COFFER_GRANT_NO_CONSTRAINT, NULL),
                     COFFER_E_INVALID);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(nobody_may_by_default_and_a_deny_wins),
        CASE(a_key_policy_allows_and_denies_by_name),
        CASE(a_policy_that_locks_out_is_refused_unless_asked_for),
        CASE(a_session_is_bounded_by_its_policy),
        CASE(another_account_needs_both_sides_and_the_arn),
        CASE(a_key_is_seen_in_its_own_region_only),
        CASE(who_calls_must_be_somebody),
        CASE(a_grant_allows_its_operations_within_its_constraint),
        CASE(a_grant_to_a_role_is_its_sessions_and_suffices_abroad),
        CASE(a_deny_wins_over_a_grant),
        CASE(a_grant_that_grants_makes_none_that_is_wider),
        CASE(a_grant_ends_by_whom_it_names),
        CASE(a_token_is_checked_to_its_last_digit),
        CASE(a_grant_names_what_its_key_can)};

    return cmocka_run_group_tests_name("kms rights", tests, NULL, NULL);
}
