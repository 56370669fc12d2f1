/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_client_test.c - what a client sends, where it goes at all, and what the engine gets of it.
 */
#include "kms_client_fixture.h"

#include "sigv4/sigv4.h"

#include <sys/wait.h>

#define OK_BODY "{\"Keys\":[]}"
#define ARN "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000"
#define KEY_BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/* ---- where it goes ----------------------------------------------------------------------- */

static int open_url(const char *url, struct coffer_fault *fault)
{
    struct coffer_kms_client_opts opts = {
        .size = sizeof(opts), .url = url, .access_key_id = ACCESS_KEY, .secret = SECRET};
    struct coffer_kms_client *client = NULL;
    int error = coffer_kms_client_new(&opts, &client, fault);

    coffer_kms_client_free(client);
    return error;
}

static void urls_that_are_none_are_refused(void **state)
{
    static const char *const good[] = {"https://kms.example.com", "https://kms.example.com:8443/",
                                       "https://192.0.2.1", "https://[2001:db8::1]:8443",
                                       "http://127.0.0.1:8080", "http://127.1.2.3", "http://[::1]/",
                                       "http://localhost:1", "unix:/run/kms.sock"};
    static const char *const bad[] = {"", "kms.example.com", "ftp://kms.example.com",
                                      "http://kms.example.com", "http://192.0.2.1",
                                      "http://127.0.0.1.example.com",
                                      "http://localhost.example.com",
                                      "https://", "https://user:pass@kms.example.com",
                                      "https://kms.example.com/path", "https://kms.example.com?q=1",
                                      "https://kms.example.com:0", "https://kms.example.com:65536",
                                      "https://kms.example.com:1x", "https://kms example.com",
                                      "https://kms.example.com\r\nX: y", "https://[::1",
                                      "https://[x]",
                                      "unix:relative", "HTTP://127.0.0.1", "http://0.0.0.0"};
    struct coffer_fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(open_url(good[i], &fault), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (open_url(bad[i], &fault) != COFFER_E_INVALID) {
            fail_msg("%s was taken", bad[i]);
        }
        assert_null(strstr(fault.detail, "pass"));
    }
}

static void options_that_are_none_are_refused(void **state)
{
    struct coffer_kms_client_opts good = {.size = sizeof(good),
                                          .url = "https://kms.example.com",
                                          .access_key_id = ACCESS_KEY,
                                          .secret = SECRET};
    struct coffer_kms_client_opts bad[] = {good, good, good, good, good, good};
    struct coffer_kms_client *client = NULL;
    struct coffer_fault fault;

    (void)state;
    bad[0].access_key_id = NULL;
    bad[1].secret = "";
    bad[2].secret = "with\nnewline";
    bad[3].session_token = "with blank";
    bad[4].region = "Upper";
    bad[5].size = 8;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(coffer_kms_client_new(&bad[i], &client, &fault), COFFER_E_INVALID);
        assert_null(client);
    }
}

/* ---- what it sends ----------------------------------------------------------------------- */

static int secret_of(void *ctx, const char *access_key_id, const char *token,
                     char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                     enum cof_sigv4_verdict *ret_verdict)
{
    const char *wanted_token = ctx;

    assert_string_equal(access_key_id, ACCESS_KEY);
    assert_true((token == NULL) == (wanted_token == NULL));
    assert_true(token == NULL || strcmp(token, wanted_token) == 0);
    strcpy(ret_secret, SECRET);
    *ret_verdict = COF_SIGV4_GOOD;
    return 0;
}

/* The lines of a head as headers; head is cut up. */
static unsigned split_headers(char *head, struct coffer_kms_header *headers, unsigned max)
{
    unsigned count = 0;
    char *rest = NULL;

    (void)strtok_r(head, "\r\n", &rest);
    for (char *line = strtok_r(NULL, "\r\n", &rest); line != NULL && count < max;
         line = strtok_r(NULL, "\r\n", &rest)) {
        char *colon = strchr(line, ':');

        assert_non_null(colon);
        *colon = '\0';
        headers[count].name = line;
        headers[count++].value = colon + 1 + strspn(colon + 1, " ");
    }
    return count;
}

static enum cof_sigv4_verdict verdict_on(struct client_fixture *f, const char *region, char *token)
{
    struct coffer_kms_header headers[32];
    struct cof_kms_env env;
    struct coffer_kms_http_request request = {
        .size = sizeof(request), .method = "POST", .target = "/", .headers = headers};
    struct cof_sigv4_expected expected = {.region = region,
                                          .service = "kms",
                                          .now_ns = world_wall(&f->world),
                                          .secret = secret_of,
                                          .ctx = token};
    struct cof_sigv4_result result;

    cof_kms_env_init(&env, NULL);
    pthread_mutex_lock(&f->server.lock);
    request.header_count = split_headers(f->server.head, headers, 32);
    request.body = (const uint8_t *)f->server.body;
    request.body_bytes = strlen(f->server.body);
    assert_int_equal(cof_sigv4_verify(&env, &request, &expected, &result), 0);
    pthread_mutex_unlock(&f->server.lock);
    return result.verdict;
}

static const struct line answers_well[] = {{ANSWER, 200, NULL, OK_BODY}};

static void requests_are_signed(void **state)
{
    static char token[] = "AQoDYXdzEPT//////////wEXAMPLE==";
    struct client_fixture *f = client_start(answers_well, 1);

    (void)state;
    f->opts.region = "eu-west-1";
    assert_int_equal(client_call(f, "ListKeys", "{\"Limit\":5}"), 0);
    assert_string_equal(f->server.body, "{\"Limit\":5}");
    assert_non_null(strstr(f->server.head, "POST / HTTP/1.1\r\n"));
    assert_non_null(strstr(f->server.head, "X-Amz-Target: TrentService.ListKeys\r\n"));
    assert_null(strstr(f->server.head, SECRET));
    assert_int_equal(verdict_on(f, "eu-west-1", NULL), COF_SIGV4_GOOD);
    client_stop(f);

    f = client_start(answers_well, 1);
    f->opts.session_token = token;
    assert_int_equal(client_call(f, "ListKeys", ""), 0);
    assert_string_equal(f->server.body, "{}");
    assert_int_equal(verdict_on(f, "local-1", token), COF_SIGV4_GOOD);
    client_stop(f);
}

static void a_forked_child_is_refused(void **state)
{
    struct client_fixture *f = client_start(answers_well, 1);
    int status = 0;

    (void)state;
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    pid_t child = fork();
    if (child == 0) {
        struct coffer_kms_answer answer = {.size = sizeof(answer)};
        int error = coffer_kms_client_call(f->client, "ListKeys", NULL, 0, &answer, NULL);

        coffer_kms_client_free(f->client);
        _exit(error == COFFER_E_FORKED ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    coffer_kms_answer_done(&f->answer);
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    client_stop(f);
}

static void *many_calls(void *ctx)
{
    struct client_fixture *f = ctx;

    for (int i = 0; i < 20; i++) {
        struct coffer_kms_answer answer = {.size = sizeof(answer)};

        if (coffer_kms_client_call(f->client, "ListKeys", NULL, 0, &answer, NULL) != 0 ||
            answer.status != 200) {
            return f;
        }
        coffer_kms_answer_done(&answer);
    }
    return NULL;
}

static void threads_share_a_client(void **state)
{
    struct client_fixture *f = client_start(answers_well, 1);
    pthread_t threads[4];
    void *wrong = NULL;

    (void)state;
    f->opts.env = NULL; /* the world counts bytes for one thread */
    f->opts.wait_ns = NULL;
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, many_calls, f), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(f->server.requests, 81);
    assert_true(f->server.connections <= 5);
    client_stop(f);
}

/* ---- the engine's provider --------------------------------------------------------------- */

static struct coffer_key_provider provider_of(struct client_fixture *f)
{
    struct coffer_key_provider provider;

    assert_int_equal(coffer_kms_client_new(&f->opts, &f->client, &f->fault), 0);
    assert_int_equal(coffer_kms_client_provider(f->client, &provider), 0);
    return provider;
}

static void the_provider_asks_and_understands(void **state)
{
    static const struct line script[] = {
        {ANSWER, 200, NULL,
         "{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":\"PendingDeletion\","
         "\"KeyManager\":\"CUSTOMER\"}}"},
        {ANSWER, 200, NULL, "{\"CiphertextBlob\":\"AQID\",\"KeyId\":\"" ARN "\"}"},
        {ANSWER, 200, NULL, "{\"Plaintext\":\"" KEY_BASE64 "\",\"KeyId\":\"" ARN "\"}"},
        {ANSWER, 200, NULL, "{\"CiphertextBlob\":\"BAUG\"}"},
        {ANSWER, 200, NULL, "{\"GrantId\":\"abc\",\"GrantToken\":\"t\"}"},
        {ANSWER, 200, NULL, ""}};
    static const struct coffer_context_pair pair = {"a", "bc"};
    static const struct coffer_context context = {&pair, 1};
    static const char *const operations[] = {"Decrypt"};
    struct client_fixture *f = client_start(script, 6);
    struct coffer_key_provider p = provider_of(f);
    struct coffer_key_info info;
    static struct coffer_key_blob blob;
    uint8_t key[COFFER_KEY_BYTES];
    char grant[65];

    (void)state;
    assert_int_equal(p.ops->describe(p.ctx, NULL, &info), 0);
    assert_string_equal(info.arn, ARN);
    assert_int_equal(info.state, COFFER_KEY_PENDING_DELETION);
    assert_int_equal(info.managed, 0);
    assert_string_equal(f->server.body, "{\"KeyId\":\"alias/coffer/default\"}");
    assert_int_equal(p.ops->generate_data_key_without_plaintext(p.ctx, ARN, &context, &blob), 0);
    assert_int_equal(blob.length_bytes, 3);
    assert_non_null(strstr(f->server.body, "\"EncryptionContext\":{\"a\":\"bc\"}"));
    assert_non_null(strstr(f->server.body, "\"NumberOfBytes\":32"));
    assert_int_equal(p.ops->decrypt(p.ctx, ARN, &blob, &context, key), 0);
    assert_non_null(strstr(f->server.body, "\"CiphertextBlob\":\"AQID\""));
    for (int i = 0; i < COFFER_KEY_BYTES; i++) {
        assert_int_equal(key[i], i);
    }
    assert_int_equal(p.ops->re_encrypt(p.ctx, &blob, &context, ARN, NULL, &blob), 0);
    assert_int_equal(blob.bytes[0], 4);
    assert_int_equal(
        p.ops->create_grant(p.ctx, ARN, "arn:x", NULL, operations, 1, &context, grant), 0);
    assert_string_equal(grant, "abc");
    assert_non_null(strstr(f->server.body, "\"EncryptionContextSubset\":{\"a\":\"bc\"}"));
    assert_non_null(strstr(f->server.body, "\"Name\":\""));
    assert_int_equal(p.ops->retire_grant(p.ctx, ARN, grant), 0);
    client_stop(f);
}

/* Answers of the right type that mean something else, for each of the engine's calls. */
static void the_provider_believes_no_lie(void **state)
{
    static const struct {
        struct line line;
        int describe, decrypt;
    } cases[] = {
        {{ANSWER, 200, NULL, "{}"}, COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 200, NULL, ""}, COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 200, NULL, "{broken}"}, COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 200, NULL, "{\"Plaintext\":7,\"KeyMetadata\":[]}"}, COFFER_E_KEY_UNREACHABLE,
         COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 200, NULL, "{\"Plaintext\":\"AQID\"}"}, COFFER_E_KEY_UNREACHABLE,
         COFFER_E_KEY_CIPHERTEXT},
        {{ANSWER, 200, NULL, "{\"Plaintext\":\"A?ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}"},
         COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 200, NULL, "{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":\"Dancing\"}}"},
         COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 400, NULL, "{\"__type\":\"DisabledException\",\"message\":\"it is off\"}"},
         COFFER_E_KEY_DISABLED, COFFER_E_KEY_DISABLED},
        {{ANSWER, 400, NULL, "{\"__type\":\"ThrottlingException\"}"}, COFFER_E_KEY_UNREACHABLE,
         COFFER_E_KEY_UNREACHABLE},
        {{ANSWER, 500, NULL, "{\"__type\":\"KMSInternalException\"}"}, COFFER_E_KEY_UNREACHABLE,
         COFFER_E_KEY_UNREACHABLE}};
    static const struct coffer_key_blob blob = {{1, 2, 3}, 3};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_fixture *f = client_start(&cases[i].line, 1);
        struct coffer_key_provider p = provider_of(f);
        struct coffer_key_info info;
        uint8_t key[COFFER_KEY_BYTES];

        assert_int_equal(p.ops->describe(p.ctx, "k", &info), cases[i].describe);
        assert_int_equal(p.ops->decrypt(p.ctx, ARN, &blob, NULL, key), cases[i].decrypt);
        coffer_kms_client_provider_fault(f->client, &f->fault);
        assert_int_equal(f->fault.error, cases[i].decrypt);
        assert_true(strlen(f->fault.detail) > 10);
        client_stop(f);
    }
}

/* ---- credentials that change ------------------------------------------------------------- */

static int asked;

static int next_credentials(void *ctx, struct coffer_kms_credentials *ret_credentials)
{
    int last = *(int *)ctx;

    (void)snprintf(ret_credentials->access_key_id, sizeof(ret_credentials->access_key_id),
                   "ASIA%d", asked < last ? asked : last);
    strcpy(ret_credentials->secret, SECRET);
    strcpy(ret_credentials->session_token, "token");
    asked++;
    return 0;
}

static int no_credentials(void *ctx, struct coffer_kms_credentials *ret_credentials)
{
    (void)ctx;
    (void)ret_credentials;
    return COFFER_E_NOT_FOUND;
}

static struct coffer_kms_client *client_of(struct client_fixture *f, int *last)
{
    struct coffer_kms_client_opts opts = {.size = sizeof(opts),
                                          .url = f->url,
                                          .env = &f->env,
                                          .credentials = next_credentials,
                                          .credentials_ctx = last,
                                          .principal = "arn:coffer:iam::000000000000:role/r"};
    struct coffer_kms_client *client = NULL;

    asked = 0;
    assert_int_equal(coffer_kms_client_new(&opts, &client, &f->fault), 0);
    return client;
}

static void credentials_that_are_over_are_asked_for_again(void **state)
{
    static const struct line script[] = {
        {ANSWER, 403, NULL, "{\"__type\":\"ExpiredTokenException\"}"},
        {ANSWER, 200, NULL, OK_BODY},
        {ANSWER, 403, NULL, "{\"__type\":\"ExpiredTokenException\"}"}};
    struct client_fixture *f = client_start(script, 3);
    int last = 1;
    struct coffer_kms_client *client = client_of(f, &last);
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    struct coffer_key_provider p;
    char arn[COFFER_PRINCIPAL_BYTES_MAX];

    (void)state;
    assert_int_equal(asked, 1);
    /* Not repeatable, and sent again all the same: nothing was done. */
    assert_int_equal(coffer_kms_client_call(client, "CreateKey", NULL, 0, &answer, &f->fault), 0);
    assert_string_equal(answer.error, "");
    coffer_kms_answer_done(&answer);
    assert_int_equal(asked, 2);
    assert_non_null(strstr(f->server.head, "Credential=ASIA1/"));
    assert_non_null(strstr(f->server.head, "token"));
    /* There are no others by then: it is what the service says. */
    assert_int_equal(coffer_kms_client_call(client, "ListKeys", NULL, 0, &answer, &f->fault), 0);
    assert_string_equal(answer.error, "ExpiredTokenException");
    coffer_kms_answer_done(&answer);
    assert_int_equal(asked, 3);
    assert_int_equal(atomic_load(&f->server.requests), 3);
    assert_int_equal(coffer_kms_client_provider(client, &p), 0);
    assert_int_equal(p.ops->principal(p.ctx, arn), 0);
    assert_string_equal(arn, "arn:coffer:iam::000000000000:role/r");
    coffer_kms_client_free(client);
    client_stop(f);
}

static void a_client_without_credentials_is_none(void **state)
{
    struct coffer_kms_client_opts opts = {.size = sizeof(opts),
                                          .url = "https://kms.example.com",
                                          .credentials = no_credentials};
    struct coffer_kms_client *client = NULL;
    struct coffer_fault fault;

    (void)state;
    assert_int_equal(coffer_kms_client_new(&opts, &client, &fault), COFFER_E_NOT_FOUND);
    assert_null(client);
    assert_non_null(strstr(fault.detail, "no credentials"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_that_are_none_are_refused),
        cmocka_unit_test(options_that_are_none_are_refused),
        cmocka_unit_test(requests_are_signed),
        cmocka_unit_test(a_forked_child_is_refused),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(the_provider_asks_and_understands),
        cmocka_unit_test(the_provider_believes_no_lie),
        cmocka_unit_test(credentials_that_are_over_are_asked_for_again),
        cmocka_unit_test(a_client_without_credentials_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
