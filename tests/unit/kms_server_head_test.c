/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads that are refused, and why; words that a log line may show.
 */
#include "server/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define HEADERS_MAX 8

struct fixture {
    struct coffer_kms_header headers[HEADERS_MAX];
    struct cof_server_head head;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->headers[0] = (struct coffer_kms_header){"Host", "kms"};
    f->head = (struct cof_server_head){1, 1, "POST", "/", f->headers, 1};
}

static void add(struct fixture *f, const char *name, const char *value)
{
    assert_true(f->head.header_count < HEADERS_MAX);
    f->headers[f->head.header_count++] = (struct coffer_kms_header){name, value};
}

static int status(const struct fixture *f)
{
    const struct cof_server_refusal *refusal = cof_server_head_check(&f->head);
    return refusal == NULL ? 0 : refusal->status;
}

static int status_with(const char *name, const char *value)
{
    struct fixture f;
    begin(&f);
    add(&f, name, value);
    return status(&f);
}

static void sound_heads_pass(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    assert_int_equal(status(&f), 0);
    f.head.method = "GET";
    add(&f, "Content-Length", "0");
    assert_int_equal(status(&f), 0);
    assert_int_equal(status_with("Content-Length", "1048576"), 0);
    assert_int_equal(status_with("transfer-encoding", "Chunked"), 0);
    assert_int_equal(status_with("Expect", "100-Continue"), 0);
    assert_int_equal(status_with("X-Any", "with\ttab and \xc3\xa9"), 0);
    assert_int_equal(status_with("X-Empty", ""), 0);
}

static void only_one_version_is_spoken(void **state)
{
    static const int versions[][2] = {{1, 0}, {0, 9}, {2, 0}, {1, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct fixture f;
        begin(&f);
        f.head.major = versions[i][0];
        f.head.minor = versions[i][1];
        assert_int_equal(status(&f), 505);
    }
}

static void targets_are_paths(void **state)
{
    static const char *const bad[] = {"", "*", "http://kms/", "kms:443", "/a b", "/\x7f", "/\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fixture f;
        begin(&f);
        f.head.target = bad[i];
        assert_int_equal(status(&f), 400);
    }
}

static void names_and_values_have_no_tricks(void **state)
{
    static const char *const names[] = {"", "a b", "Host ", "a:", "a\x01", "(a)", "\xc3\xa9"};
    static const char *const values[] = {"\x01", "a\nb", "a\rb", "\x7f", "\x1b[2J"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(status_with(names[i], "x"), 400);
    }
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_int_equal(status_with("X-Any", values[i]), 400);
    }
}

static void what_decides_stands_once(void **state)
{
    static const char *const names[] = {
        "Host",       "Authorization", "X-Amz-Target", "X-Amz-Security-Token",
        "X-Amz-Date", "Date",          "Content-Type", "X-Amz-Content-Sha256"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fixture f;
        begin(&f);
        if (i > 0) {
            add(&f, names[i], "a");
            assert_int_equal(status(&f), 0);
        }
        add(&f, names[i], "a");
        assert_int_equal(status(&f), 400);
    }
    struct fixture other;
    begin(&other);
    add(&other, "X-Any", "a");
    add(&other, "X-Any", "a");
    assert_int_equal(status(&other), 0);
    begin(&other);
    other.head.header_count = 0;
    assert_int_equal(status(&other), 400);
}

static void a_body_ends_in_one_way(void **state)
{
    static const char *const lengths[] = {
        "", "+1", "-1", "0x1", "1 ", " 1", "1,1", "1, 1", "1.0", "1e3", "12345678901234567"};
    struct fixture f;
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(status_with("Content-Length", lengths[i]), 400);
    }
    assert_int_equal(status_with("Transfer-Encoding", "gzip, chunked"), 501);
    assert_int_equal(status_with("Transfer-Encoding", "identity"), 501);
    assert_int_equal(status_with("Expect", "more"), 417);
    begin(&f);
    add(&f, "Content-Length", "1");
    add(&f, "Content-Length", "1");
    assert_int_equal(status(&f), 400);
    begin(&f);
    add(&f, "Content-Length", "1");
    add(&f, "Transfer-Encoding", "chunked");
    assert_int_equal(status(&f), 400);
    begin(&f);
    f.head.method = "GET";
    add(&f, "Content-Length", "01");
    assert_int_equal(status(&f), 400);
    begin(&f);
    f.head.method = "GET";
    add(&f, "Transfer-Encoding", "chunked");
    assert_int_equal(status(&f), 400);
}

static void operation_is(const char *target, const char *expected)
{
    struct fixture f;
    char word[COF_SERVER_WORD_BYTES];
    begin(&f);
    add(&f, "x-amz-target", target);
    cof_server_head_operation(&f.head, word);
    assert_string_equal(word, expected);
}

static void access_key_is(const char *authorization, const char *expected)
{
    struct fixture f;
    char word[COF_SERVER_WORD_BYTES];
    begin(&f);
    add(&f, "authorization", authorization);
    cof_server_head_access_key(&f.head, word);
    assert_string_equal(word, expected);
}

static void log_words_are_letters_and_digits(void **state)
{
    struct fixture f;
    char word[COF_SERVER_WORD_BYTES];
    (void)state;
    begin(&f);
    cof_server_head_operation(&f.head, word);
    assert_string_equal(word, "-");
    cof_server_head_access_key(&f.head, word);
    assert_string_equal(word, "-");
    operation_is("TrentService.Decrypt", "Decrypt");
    operation_is("TrentService.", "-");
    operation_is("Decrypt", "-");
    operation_is("TrentService.De crypt", "-");
    operation_is("TrentService.Decrypt status=200", "-");
    operation_is("TrentService.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    operation_is("TrentService.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                 "-");
    access_key_is("AWS4-HMAC-SHA256 Credential=AKIA1/20260101/r/kms/aws4_request, Signature=ff",
                  "AKIA1");
    access_key_is("AWS4-HMAC-SHA256 Credential=AKIA1", "-");
    access_key_is("AWS4-HMAC-SHA256 Credential=/x", "-");
    access_key_is("Basic c2VjcmV0", "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_heads_pass),
        cmocka_unit_test(only_one_version_is_spoken),
        cmocka_unit_test(targets_are_paths),
        cmocka_unit_test(names_and_values_have_no_tricks),
        cmocka_unit_test(what_decides_stands_once),
        cmocka_unit_test(a_body_ends_in_one_way),
        cmocka_unit_test(log_words_are_letters_and_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
