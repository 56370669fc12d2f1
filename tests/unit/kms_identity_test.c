/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, roles, access keys and sessions: what they are, when they end, what is on record of them,
 * and that no secret is found where it should not be.
 */
#include "identity_fixture.h"

/* ---- users and access keys --------------------------------------------------------------- */

static void users_are_made_listed_by_pages_and_deleted(void **state)
{
    struct identity_fixture *f = *state;

    good(f, "CreateUser", "{s:s}", "UserName", "bob");
    assert_string_equal(text_at(f, "User.Arn"), ARN_OF("user/bob"));
    good(f, "CreateUser", "{s:s}", "UserName", "alice@example.org");
    bad(f, "AlreadyExistsException", "CreateUser", "{s:s}", "UserName", "bob");
    bad(f, "ValidationException", "CreateUser", "{s:s}", "UserName", "root");
    bad(f, "ValidationException", "CreateUser", "{s:s}", "UserName", "a/b");
    bad(f, "ValidationException", "CreateUser", "{s:s}", "UserName", "a\"b");
    good(f, "GetUser", "{s:s}", "UserName", "bob");
    assert_true(json_is_number(identity_at(f, "User.CreateDate")));
    good(f, "ListUsers", "{s:i}", "MaxItems", 1);
    assert_string_equal(text_at(f, "Users.0.UserName"), "alice@example.org");
    assert_true(json_is_true(identity_at(f, "IsTruncated")));
    good(f, "ListUsers", "{s:i, s:s}", "MaxItems", 1, "Marker", "alice@example.org");
    assert_string_equal(text_at(f, "Users.0.UserName"), "bob");
    assert_true(json_is_false(identity_at(f, "IsTruncated")));
    good(f, "DeleteUser", "{s:s}", "UserName", "bob");
    bad(f, "NotFoundException", "GetUser", "{s:s}", "UserName", "bob");
    bad(f, "NotFoundException", "DeleteUser", "{s:s}", "UserName", "bob");
}

static void a_signed_request_says_who_sent_it(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key, other;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    make_key(f, "alice", &key);
    assert_int_equal(strlen(key.id), 20);
    assert_int_equal(strncmp(key.id, "AKIA", 4), 0);
    assert_int_equal(strlen(key.secret), 40);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.principal, ARN_OF("user/alice"));
    assert_string_equal(f->caller.account, HOME);
    assert_string_equal(f->caller.region, "local-1");
    assert_null(f->caller.session_policy);
    make_key(f, "root", &other);
    assert_int_equal(authenticate(f, &other), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.principal, ARN_OF("root"));
    memcpy(other.secret, key.secret, sizeof(other.secret));
    assert_int_equal(authenticate(f, &other), COF_SIGV4_MISMATCH);
    strcpy(other.id, "AKIAIOSFODNN7EXAMPLE");
    assert_int_equal(authenticate(f, &other), COF_SIGV4_UNKNOWN_KEY);
    strcpy(key.token, "not a token");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
}

static void a_key_is_used_when_active_only_and_says_when_it_was(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    good(f, "CreateUser", "{s:s}", "UserName", "bob");
    make_key(f, "alice", &key);
    good(f, "ListAccessKeys", "{s:s}", "UserName", "alice");
    assert_null(identity_at(f, "AccessKeyMetadata.0.LastUsedDate"));
    assert_null(identity_at(f, "AccessKeyMetadata.0.SecretAccessKey"));
    f->now_ns += 3600 * SECOND_NS;
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    good(f, "ListAccessKeys", "{s:s}", "UserName", "alice");
    assert_int_equal(json_number_value(identity_at(f, "AccessKeyMetadata.0.LastUsedDate")),
                     f->now_ns / SECOND_NS);
    good(f, "UpdateAccessKey", "{s:s, s:s, s:s}", "UserName", "alice", "AccessKeyId", key.id,
         "Status", "Inactive");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
    bad(f, "NotFoundException", "UpdateAccessKey", "{s:s, s:s, s:s}", "UserName", "bob",
        "AccessKeyId", key.id, "Status", "Active");
    bad(f, "NotFoundException", "DeleteAccessKey", "{s:s, s:s}", "UserName", "bob", "AccessKeyId",
        key.id);
    good(f, "UpdateAccessKey", "{s:s, s:s, s:s}", "UserName", "alice", "AccessKeyId", key.id,
         "Status", "Active");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    good(f, "DeleteAccessKey", "{s:s, s:s}", "UserName", "alice", "AccessKeyId", key.id);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
}

static void a_principal_has_two_keys_at_most(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key one, two;

    make_key(f, "root", &one);
    make_key(f, "root", &two);
    assert_string_not_equal(one.id, two.id);
    assert_string_not_equal(one.secret, two.secret);
    bad(f, "LimitExceededException", "CreateAccessKey", "{s:s}", "UserName", "root");
    good(f, "DeleteAccessKey", "{s:s, s:s}", "UserName", "root", "AccessKeyId", one.id);
    make_key(f, "root", &one);
    bad(f, "NotFoundException", "CreateAccessKey", "{s:s}", "UserName", "nobody");
}

static void keys_outlive_the_handle_and_move_to_no_one_else(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key;
    char sql[256];

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    make_key(f, "alice", &key);
    fixture_close(&f->kms);
    assert_int_equal(fixture_open(&f->kms), 0);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    snprintf(sql, sizeof(sql), "UPDATE access_key SET principal_arn = '%s'", ARN_OF("root"));
    fixture_sql(&f->kms, sql);
    good(f, "GetCallerIdentity", "{}");
    bad(f, "KMSInternalException", "ListAccessKeys", "{s:s}", "UserName", "root");
}

/* ---- sessions ---------------------------------------------------------------------------- */

static void sessions_end_with_their_time(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key;

    bad(f, "ValidationException", "GetSessionToken", "{s:i}", "DurationSeconds", 899);
    bad(f, "ValidationException", "GetSessionToken", "{s:i}", "DurationSeconds", 129601);
    good(f, "GetSessionToken", "{s:i}", "DurationSeconds", 900);
    take_key(f, "Credentials", &key);
    assert_int_equal(strncmp(key.id, "ASIA", 4), 0);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.principal, ARN_OF("root"));
    assert_int_equal(f->caller.session_ends_ns, f->now_ns + 900 * SECOND_NS);
    f->now_ns += 899 * SECOND_NS;
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    f->now_ns += 2 * SECOND_NS;
    assert_int_equal(authenticate(f, &key), COF_SIGV4_SESSION_EXPIRED);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "ExpiredTokenException");
}

static void a_token_belongs_to_its_key_and_to_this_store(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key old, new, mixed;
    size_t i, characters;

    good(f, "GetSessionToken", "{}");
    take_key(f, "Credentials", &old);
    good(f, "GetSessionToken", "{}");
    take_key(f, "Credentials", &new);
    mixed = new;
    memcpy(mixed.token, old.token, sizeof(mixed.token));
    assert_int_equal(authenticate(f, &mixed), COF_SIGV4_UNKNOWN_KEY);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "InvalidClientTokenId");
    mixed.token[0] = '\0';
    assert_int_equal(authenticate(f, &mixed), COF_SIGV4_UNKNOWN_KEY);
    mixed = new;
    memcpy(mixed.secret, old.secret, sizeof(mixed.secret));
    assert_int_equal(authenticate(f, &mixed), COF_SIGV4_MISMATCH);
    /* Every character of the token, and every way to cut it short. */
    characters = strlen(new.token);
    for (i = 0; i < characters; i++) {
        mixed = new;
        mixed.token[i] = mixed.token[i] == 'A' ? 'B' : 'A';
        assert_int_equal(authenticate(f, &mixed), COF_SIGV4_UNKNOWN_KEY);
        mixed.token[i] = '\0';
        assert_int_equal(authenticate(f, &mixed), COF_SIGV4_UNKNOWN_KEY);
    }
    assert_int_equal(authenticate(f, &new), COF_SIGV4_GOOD);
}

static void sessions_and_keys_end_with_their_user(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key, session;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "sessions", "PolicyDocument",
         ALLOW("\"sts:GetSessionToken\""));
    good(f, "AttachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn", "sessions");
    make_key(f, "alice", &key);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    act_as_caller(f);
    good(f, "GetSessionToken", "{}");
    take_key(f, "Credentials", &session);
    assert_int_equal(authenticate(f, &session), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.principal, ARN_OF("user/alice"));
    act_as_caller(f);
    bad(f, "AccessDeniedException", "GetSessionToken", "{}");
    act_as_root(f);
    good(f, "DeleteUser", "{s:s}", "UserName", "alice");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
    assert_int_equal(authenticate(f, &session), COF_SIGV4_UNKNOWN_KEY);
    f->now_ns += SECOND_NS;
    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
    assert_int_equal(authenticate(f, &session), COF_SIGV4_UNKNOWN_KEY);
}

static void roles_are_assumed_by_whom_their_trust_names(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    good(f, "CreateUser", "{s:s}", "UserName", "bob");
    bad(f, "MalformedPolicyDocumentException", "CreateRole", "{s:s, s:s}", "RoleName", "backup",
        "AssumeRolePolicyDocument", ALLOW("\"sts:AssumeRole\""));
    good(f, "CreateRole", "{s:s, s:s}", "RoleName", "backup", "AssumeRolePolicyDocument",
         TRUST("arn:aws:iam::" HOME ":user/alice"));
    f->request.principal = ARN_OF("user/bob");
    bad(f, "AccessDeniedException", "AssumeRole", "{s:s, s:s}", "RoleArn", ARN_OF("role/backup"),
        "RoleSessionName", "s");
    f->request.principal = ARN_OF("user/alice");
    bad(f, "AccessDeniedException", "AssumeRole", "{s:s, s:s}", "RoleArn", ARN_OF("role/none"),
        "RoleSessionName", "s");
    bad(f, "ValidationException", "AssumeRole", "{s:s, s:s, s:i}", "RoleArn", ARN_OF("role/backup"),
        "RoleSessionName", "s", "DurationSeconds", 43201);
    good(f, "AssumeRole", "{s:s, s:s, s:s}", "RoleArn", "arn:aws:iam::" HOME ":role/backup",
         "RoleSessionName", "night", "Policy", ALLOW("\"kms:Decrypt\""));
    assert_string_equal(text_at(f, "AssumedRoleUser.Arn"),
                        "arn:coffer:sts::" HOME ":assumed-role/backup/night");
    take_key(f, "Credentials", &key);
    assert_int_equal(authenticate(f, &key), COF_SIGV4_GOOD);
    assert_string_equal(f->caller.principal, "arn:coffer:sts::" HOME ":assumed-role/backup/night");
    assert_string_equal(f->caller.session_policy, ALLOW("\"kms:Decrypt\""));
    act_as_root(f);
    bad(f, "ValidationException", "CreateAccessKey", "{s:s}", "UserName", "role/backup");
    good(f, "UpdateAssumeRolePolicy", "{s:s, s:s}", "RoleName", "backup", "PolicyDocument",
         TRUST("arn:coffer:iam::" HOME ":user/bob"));
    f->request.principal = ARN_OF("user/alice");
    bad(f, "AccessDeniedException", "AssumeRole", "{s:s, s:s}", "RoleArn", ARN_OF("role/backup"),
        "RoleSessionName", "s");
    act_as_root(f);
    good(f, "DeleteRole", "{s:s}", "RoleName", "backup");
    assert_int_equal(authenticate(f, &key), COF_SIGV4_UNKNOWN_KEY);
}

/* ---- the record -------------------------------------------------------------------------- */

static bool file_has(const char *path, const char *text)
{
    static char bytes[8u << 20];
    FILE *file = fopen(path, "rb");
    size_t count;

    if (file == NULL) {
        return false;
    }
    count = fread(bytes, 1, sizeof(bytes), file);
    assert_true(count < sizeof(bytes));
    fclose(file);
    return memmem(bytes, count, text, strlen(text)) != NULL;
}

static void every_call_is_on_record_and_no_secret_is_in_the_file(void **state)
{
    struct identity_fixture *f = *state;
    struct identity_key key, session;
    char log[120];

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    make_key(f, "alice", &key);
    good(f, "GetSessionToken", "{}");
    take_key(f, "Credentials", &session);
    bad(f, "NotFoundException", "GetUser", "{s:s}", "UserName", "nobody");
    assert_int_equal(fixture_number(&f->kms, "SELECT count(*) FROM audit WHERE event IN "
                                             "('CreateUser', 'CreateAccessKey', 'GetSessionToken') "
                                             "AND error = ''"),
                     3);
    assert_int_equal(fixture_number(&f->kms, "SELECT count(*) FROM audit WHERE event = 'GetUser' "
                                             "AND error = 'NOT_FOUND' AND "
                                             "detail LIKE '%nobody%'"),
                     1);
    key.secret[0] ^= 1;
    assert_int_equal(authenticate(f, &key), COF_SIGV4_MISMATCH);
    key.secret[0] ^= 1;
    assert_int_equal(fixture_number(&f->kms, "SELECT count(*) FROM audit WHERE event = "
                                             "'Authenticate' AND error = 'AUTH_SIGNATURE' AND "
                                             "principal = '" ARN_OF("user/alice") "'"),
                     1);
    snprintf(log, sizeof(log), "%s-wal", f->kms.path);
    assert_true(file_has(f->kms.path, key.id) || file_has(log, key.id));
    assert_false(file_has(f->kms.path, key.secret) || file_has(log, key.secret));
    assert_false(file_has(f->kms.path, session.secret) || file_has(log, session.secret));
    assert_false(file_has(f->kms.path, session.token) || file_has(log, session.token));
}

/* ---- want of memory ---------------------------------------------------------------------- */

static unsigned allocations, fails_at;

static void *alloc_or_fail(void *ctx, size_t bytes)
{
    (void)ctx;
    return ++allocations == fails_at ? NULL : malloc(bytes);
}

static void dealloc(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

/* 0, or what the call or its answer failed with. */
static int call_with(struct identity_fixture *f, const char *operation, const char *body)
{
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation,
                                         .principal = f->request.principal,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = strlen(body)};
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    int error = coffer_kms_call(f->kms.store, &request, &answer);

    error = error == 0 ? answer.code : error;
    coffer_kms_answer_done(&answer);
    return error;
}

static void every_allocation_may_fail_and_the_call_says_so(void **state)
{
    static const struct {
        const char *operation, *body;
    } calls[] = {
        {"CreateUser", "{\"UserName\":\"bob\"}"},
        {"CreateAccessKey", "{\"UserName\":\"alice\"}"},
        {"GetSessionToken", "{}"},
        {"ListUsers", "{}"},
        {"SimulatePrincipalPolicy",
         "{\"PolicySourceArn\":\"" ARN_OF("user/alice") "\",\"ActionNames\":[\"kms:Sign\"]}"}};
    struct identity_fixture *f = *state;
    uint64_t records = 0;
    size_t i;

    good(f, "CreateUser", "{s:s}", "UserName", "alice");
    good(f, "PutPolicy", "{s:s, s:s}", "PolicyName", "p", "PolicyDocument", ALLOW("\"*\""));
    good(f, "AttachUserPolicy", "{s:s, s:s}", "UserName", "alice", "PolicyArn", "p");
    fixture_close(&f->kms);
    f->env.alloc = alloc_or_fail;
    f->env.dealloc = dealloc;
    fails_at = 0;
    assert_int_equal(fixture_open(&f->kms), 0);
    f->request.principal = ARN_OF("user/alice");
    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        unsigned failures = 0;
        int error;

        do {
            allocations = 0;
            fails_at = failures + 1;
            error = call_with(f, calls[i].operation, calls[i].body);
            if (allocations >= fails_at) {
                assert_int_equal(error, COFFER_E_NO_MEMORY);
                failures++;
            }
        } while (allocations >= fails_at);
        /* What had no answer was not done, so that it can be done now. */
        assert_int_equal(error, 0);
        assert_true(failures > 5);
    }
    fails_at = 0;
    good(f, "ListAccessKeys", "{s:s}", "UserName", "alice");
    assert_int_equal(json_array_size(identity_at(f, "AccessKeyMetadata")), 1);
    assert_int_equal(coffer_keystore_audit_verify(f->kms.store, &records, NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, identity_setup, identity_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(users_are_made_listed_by_pages_and_deleted),
        CASE(a_signed_request_says_who_sent_it),
        CASE(a_key_is_used_when_active_only_and_says_when_it_was),
        CASE(a_principal_has_two_keys_at_most),
        CASE(keys_outlive_the_handle_and_move_to_no_one_else),
        CASE(sessions_end_with_their_time),
        CASE(a_token_belongs_to_its_key_and_to_this_store),
        CASE(sessions_and_keys_end_with_their_user),
        CASE(roles_are_assumed_by_whom_their_trust_names),
        CASE(every_call_is_on_record_and_no_secret_is_in_the_file),
        CASE(every_allocation_may_fail_and_the_call_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
