/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_client_fault_test.c - a client against a server that refuses, hangs, cuts, throttles, errs
 * and lies: a clear error each, in bounded time and memory, and nothing done twice that must not
 * be.
 */
#include "kms_client_fixture.h"

#define LINES(script) ((int)(sizeof(script) / sizeof((script)[0])))
#define OK_BODY "{\"Keys\":[],\"Truncated\":false}"

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void says(const struct client_fixture *f, const char *part)
{
    if (strstr(f->fault.detail, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", f->fault.detail, part);
    }
}

/* ---- good -------------------------------------------------------------------------------- */

static void an_answer_is_given_as_it_came(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, 1);

    (void)state;
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    assert_int_equal(f->answer.status, 200);
    assert_string_equal((const char *)f->answer.body, OK_BODY);
    assert_string_equal(f->answer.error, "");
    assert_string_equal(f->answer.request_id, "01234567-89ab-4cde-8f01-23456789abcd");
    client_stop(f);
}

static void calls_share_a_connection(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, 1);

    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
        coffer_kms_answer_done(&f->answer);
    }
    assert_int_equal(f->server.requests, 20);
    assert_int_equal(f->server.connections, 1);
    client_stop(f);
}

static void a_refusal_is_an_answer_with_its_code(void **state)
{
    static const struct line script[] = {
        {ANSWER, 400, NULL, "{\"__type\":\"DisabledException\",\"message\":\"off\"}"},
        {ANSWER, 400, NULL, "{\"__type\":\"com.amazonaws.kms#NotFoundException\"}"},
        {ANSWER, 400, "application/json", "{\"__type\":\"UnrecognizedClientException\"}"},
        {ANSWER, 400, NULL, "{\"__type\":\"NewestException\"}"}};
    static const struct {
        const char *name;
        int code;
    } wanted[] = {{"DisabledException", COFFER_E_KEY_DISABLED},
                  {"NotFoundException", COFFER_E_KEY_NOT_FOUND},
                  {"UnrecognizedClientException", COFFER_E_AUTH_UNKNOWN},
                  {"NewestException", COFFER_E_KEY_ACCESS}};
    struct client_fixture *f = client_start(script, LINES(script));

    (void)state;
    for (int i = 0; i < LINES(script); i++) {
        assert_int_equal(client_call(f, "DescribeKey", "{}"), 0);
        assert_string_equal(f->answer.error, wanted[i].name);
        assert_int_equal(f->answer.code, wanted[i].code);
        coffer_kms_answer_done(&f->answer);
    }
    assert_int_equal(f->world.waits, 0);
    client_stop(f);
}

/* ---- tried again ------------------------------------------------------------------------- */

static const struct line throttles_twice[] = {
    {ANSWER, 400, NULL, "{\"__type\":\"ThrottlingException\"}"},
    {ANSWER, 400, NULL, "{\"__type\":\"ThrottlingException\"}"},
    {ANSWER, 200, NULL, OK_BODY}};
static const struct line fails_once[] = {
    {ANSWER, 500, NULL, "{\"__type\":\"KMSInternalException\"}"}, {ANSWER, 200, NULL, OK_BODY}};
static const struct line cuts_once[] = {{CUT_BEFORE, 0, NULL, NULL}, {ANSWER, 200, NULL, OK_BODY}};

static void throttled_calls_are_tried_again(void **state)
{
    static const char *const operations[] = {"ListKeys", "CreateKey"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client_fixture *f = client_start(throttles_twice, LINES(throttles_twice));

        assert_int_equal(client_call(f, operations[i], "{}"), 0);
        assert_int_equal(f->answer.status, 200);
        assert_int_equal(f->server.requests, 3);
        assert_int_equal(f->world.waits, 2);
        assert_true(f->world.waited_ns <= 30 * 1000000u); /* 10 ms, then 20 ms at most */
        client_stop(f);
    }
}

static void what_may_have_been_done_is_repeated_only_if_it_may_be(void **state)
{
    static const struct {
        const char *operation, *body;
        bool again;
    } calls[] = {{"Decrypt", "{}", true},
                 {"EnableKey", "{}", true},
                 {"CreateKey", "{}", false},
                 {"RotateKeyOnDemand", "{}", false},
                 {"CreateGrant", "{}", false},
                 {"CreateGrant", "{\"Name\":\"once\"}", true}};
    static const struct line *const scripts[] = {fails_once, cuts_once};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(calls) / sizeof(calls[0]); i++) {
        struct client_fixture *f = client_start(scripts[i % 2], 2);
        int error = client_call(f, calls[i / 2].operation, calls[i / 2].body);

        assert_int_equal(f->server.requests, calls[i / 2].again ? 2 : 1);
        if (calls[i / 2].again) {
            assert_int_equal(error, 0);
            assert_int_equal(f->answer.status, 200);
        } else if (i % 2 == 0) {
            assert_int_equal(error, 0);
            assert_string_equal(f->answer.error, "KMSInternalException");
        } else {
            assert_int_equal(error, COFFER_E_KEY_UNREACHABLE);
        }
        client_stop(f);
    }
}

/* The server keeps the connection, and closes it under the second request. */
static void a_request_over_a_dead_connection_is_not_sent_twice(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}, {CUT_BEFORE, 0, NULL, NULL},
                                         {ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, LINES(script));

    (void)state;
    f->opts.tries_max = 1;
    assert_int_equal(client_call(f, "CreateKey", "{}"), 0);
    coffer_kms_answer_done(&f->answer);
    assert_int_equal(client_call(f, "CreateKey", "{}"), COFFER_E_KEY_UNREACHABLE);
    assert_int_equal(f->server.requests, 2);
    client_stop(f);
}

static void tries_and_waits_have_an_end(void **state)
{
    static const struct line script[] = {
        {ANSWER, 503, NULL, "{\"__type\":\"KMSInternalException\"}"}};
    struct client_fixture *f = client_start(script, 1);

    (void)state;
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    assert_int_equal(f->answer.status, 503);
    assert_int_equal(f->server.requests, 4);
    client_stop(f);

    /* The clock moves by the waits alone, so the last try may have too little time in truth. */
    f = client_start(script, 1);
    f->opts.tries_max = 10000;
    f->opts.backoff_ms = 1000;
    int error = client_call(f, "ListKeys", "{}");
    assert_true(error == 0 || error == COFFER_E_KEY_UNREACHABLE);
    assert_true(f->world.waited_ns < TOTAL_MS * (uint64_t)1000000u);
    assert_true(f->server.requests < 1000);
    client_stop(f);
}

static void nobody_listens(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, 1);

    (void)state;
    f->opts.url = "http://127.0.0.1:1";
    assert_int_equal(client_call(f, "CreateKey", "{\"Plaintext\":\"" MARKER "\"}"),
                     COFFER_E_KEY_UNREACHABLE);
    says(f, "127.0.0.1:1");
    assert_int_equal(f->world.waits, 3); /* refused connections are tried again, whatever it is */
    client_stop(f);
}

/* ---- in bounded time and memory ---------------------------------------------------------- */

static void hostile_answers_end_in_a_sentence(void **state)
{
    static const struct {
        struct line line;
        const char *part;
    } cases[] = {
        {{HANG, 0, NULL, NULL}, "Timeout"},
        {{CUT_BEFORE, 0, NULL, NULL}, "cannot reach"},
        {{CUT_HEAD, 0, NULL, NULL}, "cannot reach"},
        {{CUT_BODY, 0, NULL, NULL}, "cannot reach"},
        {{ENDLESS, 0, NULL, NULL}, "more than 65536 bytes"},
        {{ENDLESS_HEAD, 0, NULL, NULL}, "headers"},
        {{ANSWER, 200, "text/html", "<html>it works</html>"}, "without JSON"},
        {{ANSWER, 200, NULL, "<html>it works</html>"}, "no JSON object"},
        {{ANSWER, 200, NULL, "[1,2]"}, "no JSON object"},
        {{ANSWER, 302, NULL, "{}"}, "HTTP 302"},
        {{ANSWER, 404, "text/plain", "no"}, "HTTP 404"},
        {{ANSWER, 400, NULL, "{\"__type\":7}"}, "without the name of an error"},
        {{ANSWER, 400, NULL, "{\"__type\":\"a\\r\\nb\"}"}, "without the name of an error"},
        {{ANSWER, 400, NULL, "{\"__type\":"}, "without the name of an error"},
        {{ANSWER, 400, NULL, "{}"}, "without the name of an error"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_fixture *f = client_start(&cases[i].line, 1);
        uint64_t before = now_ms();

        f->opts.tries_max = 2;
        f->opts.total_timeout_ms = cases[i].line.what == HANG ? 300 : TOTAL_MS;
        assert_int_equal(client_call(f, "Encrypt", "{\"Plaintext\":\"" MARKER "\"}"),
                         COFFER_E_KEY_UNREACHABLE);
        says(f, cases[i].part);
        assert_true(now_ms() - before < TOTAL_MS);
        assert_true(f->world.heap_peak_bytes < 4u * 65536u);
        client_stop(f);
    }
}

static void an_answer_may_be_as_long_as_allowed(void **state)
{
    static char body[65536 + 1];
    const struct line script[] = {{ANSWER, 200, NULL, body}};
    struct client_fixture *f = client_start(script, 1);

    (void)state;
    memset(body, ' ', sizeof(body) - 1);
    body[0] = '{';
    body[sizeof(body) - 2] = '}';
    assert_int_equal(client_call(f, "ListKeys", "{}"), 0);
    assert_int_equal(f->answer.body_bytes, 65536);
    client_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_given_as_it_came),
        cmocka_unit_test(calls_share_a_connection),
        cmocka_unit_test(a_refusal_is_an_answer_with_its_code),
        cmocka_unit_test(throttled_calls_are_tried_again),
        cmocka_unit_test(what_may_have_been_done_is_repeated_only_if_it_may_be),
        cmocka_unit_test(a_request_over_a_dead_connection_is_not_sent_twice),
        cmocka_unit_test(tries_and_waits_have_an_end),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(hostile_answers_end_in_a_sentence),
        cmocka_unit_test(an_answer_may_be_as_long_as_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
