/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/identity_fixture.h - a key store whose clock the test moves, called by coffer_kms_call as
 * whom the test says, and requests signed and authenticated as whom they say.
 */
#ifndef COF_TEST_IDENTITY_FIXTURE_H
#define COF_TEST_IDENTITY_FIXTURE_H

#include "kms/wire/authenticate.h"
#include "kms_fixture.h"

#include <jansson.h>

#define SECOND_NS 1000000000ull
#define HOME "000000000000"
#define ARN_OF(rest) "arn:coffer:iam::" HOME ":" rest
#define ALLOW(actions)                                                                     \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":" actions \
    ",\"Resource\":\"*\"}]}"
#define DENY(actions)                                                                     \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Action\":" actions \
    ",\"Resource\":\"*\"}]}"
#define TRUST(arn)                                                                             \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":" \
    "\"" arn "\"},\"Action\":\"sts:AssumeRole\"}]}"

struct identity_key {
    char id[64], secret[64];
    char token[COF_IDENTITY_TOKEN_BYTES_MAX];
};

struct identity_fixture {
    struct kms_fixture kms;
    struct coffer_env env;
    uint64_t now_ns;
    struct coffer_kms_request request; /* principal and what else a test sets stay */
    char error[COFFER_KMS_ERROR_BYTES_MAX];
    char message[512];
    json_t *answer;
    struct cof_identity_caller caller;
    struct cof_sigv4_result result;
};

static inline uint64_t identity_clock(void *ctx)
{
    return ((struct identity_fixture *)ctx)->now_ns;
}

static inline int identity_setup(void **state)
{
    struct identity_fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->now_ns = 1795000000 * SECOND_NS;
    f->env.size = sizeof(f->env);
    f->env.ctx = f;
    f->env.wall_ns = identity_clock;
    fixture_init(&f->kms);
    f->kms.opts.env = &f->env;
    assert_int_equal(fixture_open(&f->kms), 0);
    *state = f;
    return 0;
}

static inline int identity_teardown(void **state)
{
    struct identity_fixture *f = *state;

    json_decref(f->answer);
    cof_identity_caller_done(&f->caller);
    fixture_done(&f->kms);
    free(f);
    return 0;
}

/* body is stolen. The answer, or the error's name and message, are in f; true when it was done. */
static inline bool identity_call(struct identity_fixture *f, const char *operation, json_t *body)
{
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    char *text = json_dumps(body, JSON_COMPACT);
    const json_t *message;

    assert_non_null(text);
    json_decref(body);
    f->request.size = sizeof(f->request);
    f->request.operation = operation;
    f->request.body = (const uint8_t *)text;
    f->request.body_bytes = strlen(text);
    assert_int_equal(coffer_kms_call(f->kms.store, &f->request, &answer), 0);
    json_decref(f->answer);
    f->answer = answer.body_bytes == 0
                    ? json_object()
                    : json_loadb((const char *)answer.body, answer.body_bytes, 0, NULL);
    assert_non_null(f->answer);
    memcpy(f->error, answer.error, sizeof(f->error));
    message = json_object_get(f->answer, "message");
    message = message == NULL ? json_object_get(f->answer, "Message") : message;
    snprintf(f->message, sizeof(f->message), "%s",
             message == NULL ? "" : json_string_value(message));
    coffer_kms_answer_done(&answer);
    free(text);
    return f->error[0] == '\0';
}

#define good(f, operation, ...)                                          \
    do {                                                                 \
        if (!identity_call(f, operation, json_pack(__VA_ARGS__))) {      \
            fail_msg("%s: %s: %s", operation, (f)->error, (f)->message); \
        }                                                                \
    } while (0)

#define bad(f, name, operation, ...)                                       \
    do {                                                                   \
        assert_false(identity_call(f, operation, json_pack(__VA_ARGS__))); \
        assert_string_equal((f)->error, name);                             \
    } while (0)

/* "AccessKey.AccessKeyId" or "Users.0.Arn" of the answer; NULL when it isn't there. */
static inline const json_t *identity_at(const struct identity_fixture *f, const char *path)
{
    const json_t *value = f->answer;
    char name[64];

    while (value != NULL && *path != '\0') {
        size_t bytes = strcspn(path, ".");

        snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(name))
                                     : json_object_get(value, name);
        path += bytes + (path[bytes] == '.');
    }
    return value;
}

static inline const char *text_at(const struct identity_fixture *f, const char *path)
{
    const json_t *value = identity_at(f, path);

    if (!json_is_string(value)) {
        fail_msg("the answer has no text %s", path);
    }
    return json_string_value(value);
}

static inline void take_key(const struct identity_fixture *f, const char *member,
                            struct identity_key *key)
{
    const json_t *value = json_object_get(f->answer, member);
    const json_t *token = json_object_get(value, "SessionToken");

    assert_non_null(value);
    snprintf(key->id, sizeof(key->id), "%s",
             json_string_value(json_object_get(value, "AccessKeyId")));
    snprintf(key->secret, sizeof(key->secret), "%s",
             json_string_value(json_object_get(value, "SecretAccessKey")));
    snprintf(key->token, sizeof(key->token), "%s", token == NULL ? "" : json_string_value(token));
}

static inline void make_key(struct identity_fixture *f, const char *user, struct identity_key *key)
{
    good(f, "CreateAccessKey", "{s:s}", "UserName", user);
    take_key(f, "AccessKey", key);
}

/* Send a request signed by key, now; who it is from is in f->caller when it is GOOD. */
static inline enum cof_sigv4_verdict authenticate(struct identity_fixture *f,
                                                  const struct identity_key *key)
{
    static const struct coffer_kms_header own[] = {{"Host", "localhost"},
                                                   {"X-Amz-Target", "TrentService.ListKeys"}};
    struct coffer_kms_header all[8];
    struct coffer_kms_http_request http = {.size = sizeof(http),
                                           .method = "POST",
                                           .target = "/",
                                           .headers = own,
                                           .header_count = 2,
                                           .body = (const uint8_t *)"{}",
                                           .body_bytes = 2,
                                           .peer = "192.0.2.7"};
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = key->id,
                                         .secret = key->secret,
                                         .session_token = key->token,
                                         .region = "local-1"};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    bool announced = true;

    assert_int_equal(coffer_kms_sign(&f->env, &http, &signing, &made, NULL), 0);
    memcpy(all, own, sizeof(own));
    memcpy(all + 2, made.headers, made.header_count * sizeof(all[0]));
    http.headers = all;
    http.header_count = 2 + made.header_count;
    cof_identity_caller_done(&f->caller);
    memset(&f->caller, 0, sizeof(f->caller));
    cof_kms_batch_announce(f->kms.store);
    assert_int_equal(
        cof_identity_authenticate(f->kms.store, &http, &announced, &f->caller, &f->result), 0);
    if (announced) {
        cof_kms_batch_withdraw(f->kms.store);
    }
    coffer_kms_signed_done(&made);
    return f->result.verdict;
}

/* Go on as who was authenticated, or as root. */
static inline void act_as_caller(struct identity_fixture *f)
{
    f->request.principal = f->caller.principal;
    f->request.session_policy = f->caller.session_policy;
    f->request.session_ends_ns = f->caller.session_ends_ns;
}

static inline void act_as_root(struct identity_fixture *f)
{
    f->request.principal = NULL;
    f->request.session_policy = NULL;
    f->request.session_ends_ns = 0;
}

#endif
