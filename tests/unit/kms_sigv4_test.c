/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed requests as a key service gets them: what is refused, by which name; and every single bit
 * of every signed part turned over, one at a time, which must be refused, each.
 */
#include "kms/sigv4/internal.h"
#include "sigv4_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN "FwoGZXIvYXdzEBYaD//token+of=a/session=="
#define SECOND_NS 1000000000ull
#define NOW_NS (1440938160u * SECOND_NS)

static const char plain[] = "POST / HTTP/1.1\n"
                            "Host:kms.local-1.example.org\n"
                            "Content-Type:application/x-amz-json-1.1\n"
                            "X-Amz-Target:TrentService.ListKeys\n"
                            "User-Agent:someone\n"
                            "\n"
                            "{\"Limit\": 7}";

struct fixture {
    struct cof_kms_env env;
    struct sigv4_key key;
    struct cof_sigv4_expected expected;
    struct sigv4_request request;
    struct cof_sigv4_result result;
    char text[SIGV4_TEXT_MAX]; /* of the signed request */
};

/* Sign `plain`, and read what came of it as a server would. */
static void sign(struct fixture *f, const char *token, uint32_t expires_seconds, uint32_t flags)
{
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = ID,
                                         .secret = SECRET,
                                         .session_token = token,
                                         .region = "local-1",
                                         .time_ns = NOW_NS,
                                         .expires_seconds = expires_seconds,
                                         .flags = flags};
    struct coffer_kms_signed made = {.size = sizeof(made)};

    assert_true(sigv4_request_read(&f->request, plain, sizeof(plain) - 1));
    assert_int_equal(coffer_kms_sign(NULL, &f->request.http, &signing, &made, NULL), 0);
    sigv4_request_print(&f->request.http, &made, f->text, sizeof(f->text));
    coffer_kms_signed_done(&made);
    assert_true(sigv4_request_read(&f->request, f->text, strlen(f->text)));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    cof_kms_env_init(&f->env, NULL);
    f->key.id = ID;
    f->key.secret = SECRET;
    f->expected.region = "local-1";
    f->expected.service = COFFER_KMS_SIGNING_NAME;
    f->expected.now_ns = NOW_NS;
    f->expected.secret = sigv4_secret;
    f->expected.ctx = &f->key;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static enum cof_sigv4_verdict verdict(struct fixture *f)
{
    assert_int_equal(cof_sigv4_verify(&f->env, &f->request.http, &f->expected, &f->result), 0);
    return f->result.verdict;
}

/* Put `with` where `what` stands in the signed text, and verify that. */
static enum cof_sigv4_verdict changed(struct fixture *f, const char *what, const char *with)
{
    char text[SIGV4_TEXT_MAX];
    char *at = strstr(f->text, what);

    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - f->text), f->text, with, at + strlen(what));
    assert_true(sigv4_request_read(&f->request, text, strlen(text)));
    return verdict(f);
}

static void what_was_signed_is_accepted_and_names_its_key(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    assert_string_equal(f->result.access_key_id, ID);
    assert_string_equal(f->result.region, "local-1");
    assert_int_equal(f->key.asked, 1);
    sign(f, NULL, 900, 0);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    f->key.token = TOKEN;
    sign(f, TOKEN, 0, COFFER_KMS_SIGN_BODY);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    sign(f, TOKEN, 900, 0);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
}

static void a_header_that_changes_on_the_way_may_change(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    assert_int_equal(changed(f, "User-Agent:someone", "User-Agent:another"), COF_SIGV4_GOOD);
    assert_int_equal(changed(f, "User-Agent:someone\n", ""), COF_SIGV4_GOOD);
    assert_int_equal(changed(f, "Host:", "Accept:*/*\nHost:"), COF_SIGV4_GOOD);
}

static void a_request_without_a_signature_lacks_its_token(void **state)
{
    struct fixture *f = *state;

    assert_true(sigv4_request_read(&f->request, plain, sizeof(plain) - 1));
    assert_int_equal(verdict(f), COF_SIGV4_MISSING);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "MissingAuthenticationToken");
    assert_int_equal(cof_sigv4_verdict_status(f->result.verdict), 403);
    assert_int_equal(f->key.asked, 0);
}

static void a_signature_with_parts_missing_twice_or_malformed_is_incomplete(void **state)
{
    static const char *const changes[][2] = {
        {"AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA1 "},
        {"AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"},
        {"Credential=", "Credentials="},
        {"Credential=" ID, "Credential="},
        {"Credential=" ID, "Credential=" ID "/more"},
        {"/aws4_request", "/aws5_request"},
        {"/aws4_request", ""},
        {"SignedHeaders=", "SignedHeader="},
        {"SignedHeaders=content-type;", "SignedHeaders=Content-Type;"},
        {"SignedHeaders=content-type;host;", "SignedHeaders=host;content-type;"},
        {"SignedHeaders=content-type;", "SignedHeaders=content-type;content-type;"},
        {"SignedHeaders=content-type;", "SignedHeaders=content-type;;"},
        {"SignedHeaders=content-type;host;", "SignedHeaders=content-type;"},
        {";x-amz-date;", ";"},
        {", Signature=", ", Signature=A"},
        {", Signature=", ", Signature=0"},
        {", Signature=", ", Signature=00, Signature="},
        {", Signature=", ", Signature"},
        {"Authorization:", "Authorization:AWS4-HMAC-SHA256 x\nAuthorization:"},
        {"X-Amz-Date:", "X-Amz-Date:20150830T123600Z\nX-Amz-Date:"},
        {"X-Amz-Date:20150830T123600Z", "X-Amz-Date:20150832T123600Z"},
        {"X-Amz-Date:20150830T123600Z", "X-Amz-Date:2015-08-30"},
        {"POST / ", "POST x "},
        {"POST / ", "POST /?a=%2 "},
        {"POST / ", "POST /?a=%00 "},
        {"POST / ", "POST /?X-Amz-Signature=1 "},
    };
    struct fixture *f = *state;
    size_t i;

    sign(f, NULL, 0, 0);
    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        if (changed(f, changes[i][0], changes[i][1]) != COF_SIGV4_INCOMPLETE) {
            fail_msg("'%s' for '%s' is %s", changes[i][1], changes[i][0],
                     cof_sigv4_verdict_name(f->result.verdict));
        }
    }
    assert_string_equal(cof_sigv4_verdict_name(COF_SIGV4_INCOMPLETE), "IncompleteSignature");
    assert_int_equal(f->key.asked, 0);
}

static void a_presigned_query_with_parts_missing_twice_or_malformed_is_incomplete(void **state)
{
    static const char *const changes[][2] = {
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA1"},
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""},
        {"&X-Amz-Expires=900", ""},
        {"&X-Amz-Expires=900", "&X-Amz-Expires=0"},
        {"&X-Amz-Expires=900", "&X-Amz-Expires=604801"},
        {"&X-Amz-Expires=900", "&X-Amz-Expires=4294967297"},
        {"&X-Amz-Expires=900", "&X-Amz-Expires=-9"},
        {"&X-Amz-Expires=900", "&X-Amz-Expires=900&X-Amz-Expires=900"},
        {"&X-Amz-Date=2015", "&X-Amz-Date=15"},
        {"&X-Amz-Signature=", "&X-Amz-Signature=0"},
        {"&X-Amz-Signature=", "&x-amz-signature="},
        {"%3Bhost%3B", "%3B"},
        {"Host:", "X-Amz-Security-Token:of the header\nHost:"},
    };
    struct fixture *f = *state;
    size_t i;

    sign(f, NULL, 900, 0);
    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        if (changed(f, changes[i][0], changes[i][1]) != COF_SIGV4_INCOMPLETE) {
            fail_msg("'%s' for '%s' is %s", changes[i][1], changes[i][0],
                     cof_sigv4_verdict_name(f->result.verdict));
        }
    }
    assert_int_equal(f->key.asked, 0);
}

static void an_amz_header_that_is_not_signed_is_refused(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    assert_int_equal(changed(f, "Host:", "x-Amz-Meta:1\nHost:"), COF_SIGV4_MISMATCH);
    assert_int_equal(changed(f, "X-Amz-Target:TrentService.ListKeys\n", ""), COF_SIGV4_MISMATCH);
    f->key.token = TOKEN;
    sign(f, TOKEN, 0, COFFER_KMS_SIGN_TOKEN_AFTER);
    assert_int_equal(verdict(f), COF_SIGV4_MISMATCH);
    f->expected.flags = COFFER_KMS_SIGN_TOKEN_AFTER;
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
}

static void a_hash_that_is_not_the_bodys_is_refused_even_if_signed(void **state)
{
    struct fixture *f = *state;
    char with[128];

    sign(f, NULL, 0, COFFER_KMS_SIGN_BODY);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    assert_int_equal(changed(f, "x-amz-content-sha256:", "x-amz-content-sha256:f"),
                     COF_SIGV4_MISMATCH);
    snprintf(with, sizeof(with), "%s", "x-amz-content-sha256:UNSIGNED-PAYLOAD\nX-Skip:");
    assert_int_equal(changed(f, "x-amz-content-sha256:", with), COF_SIGV4_MISMATCH);
    assert_non_null(strstr(f->result.message, "SHA-256 of the body"));
    assert_int_equal(changed(f, "\"Limit\"", "\"limit\""), COF_SIGV4_MISMATCH);
    assert_int_equal(f->key.asked, 1);
    sign(f, NULL, 900, 0);
    assert_int_equal(changed(f, "&X-Amz-Date", "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Date"),
                     COF_SIGV4_MISMATCH);
    assert_non_null(strstr(f->result.message, "SHA-256 of the body"));
}

static void the_scope_names_this_date_region_and_service(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    assert_int_equal(changed(f, "/local-1/", "/local-2/"), COF_SIGV4_MISMATCH);
    assert_int_equal(changed(f, "/kms/", "/sts/"), COF_SIGV4_MISMATCH);
    assert_int_equal(changed(f, ID "/20150830", ID "/20150831"), COF_SIGV4_MISMATCH);
    assert_non_null(strstr(f->result.message, "20150831"));
    assert_int_equal(f->key.asked, 0);
}

static enum cof_sigv4_verdict at_second(struct fixture *f, int64_t second)
{
    f->expected.now_ns = (uint64_t)((int64_t)NOW_NS + second * (int64_t)SECOND_NS);
    return verdict(f);
}

static void a_request_is_good_for_fifteen_minutes_either_way(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    assert_int_equal(at_second(f, 900), COF_SIGV4_GOOD);
    assert_int_equal(at_second(f, 901), COF_SIGV4_EXPIRED);
    assert_int_equal(at_second(f, -900), COF_SIGV4_GOOD);
    assert_int_equal(at_second(f, -901), COF_SIGV4_EXPIRED);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "RequestExpired");
}

static void a_presigned_request_is_good_for_as_long_as_it_says(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 60, 0);
    assert_int_equal(at_second(f, 60), COF_SIGV4_GOOD);
    assert_int_equal(at_second(f, 61), COF_SIGV4_EXPIRED);
    assert_int_equal(at_second(f, -900), COF_SIGV4_GOOD);
    assert_int_equal(at_second(f, -901), COF_SIGV4_EXPIRED);
    sign(f, NULL, COFFER_KMS_EXPIRES_SECONDS_MAX, 0);
    assert_int_equal(at_second(f, 604800), COF_SIGV4_GOOD);
    assert_int_equal(at_second(f, 604801), COF_SIGV4_EXPIRED);
}

static void a_date_header_will_do(void **state)
{
    struct fixture *f = *state;
    int64_t seconds = 0;

    assert_true(cof_sigv4_date_seconds("Sun, 30 Aug 2015 12:36:00 GMT", &seconds));
    assert_int_equal(seconds, NOW_NS / SECOND_NS);
    assert_false(cof_sigv4_date_seconds("Mon, 30 Aug 2015 12:36:00 GMT", &seconds));
    assert_false(cof_sigv4_date_seconds("Sun, 30 Aug 2015 24:36:00 GMT", &seconds));
    assert_false(cof_sigv4_date_seconds("Sun, 30 gAu 2015 12:36:00 GMT", &seconds));
    assert_true(cof_sigv4_stamp_seconds("20160229T235959Z", &seconds));
    assert_false(cof_sigv4_stamp_seconds("20150229T235959Z", &seconds));
    /* Signed under X-Amz-Date, so it gets as far as the signature and no farther. */
    sign(f, NULL, 0, 0);
    (void)changed(f, ";x-amz-date;", ";");
    assert_int_equal(f->result.verdict, COF_SIGV4_INCOMPLETE);
    assert_non_null(strstr(f->result.message, "x-amz-date"));
}

static void keys_and_tokens_that_do_not_fit_are_invalid(void **state)
{
    struct fixture *f = *state;

    sign(f, NULL, 0, 0);
    f->key.id = "AKIAANOTHER";
    assert_int_equal(verdict(f), COF_SIGV4_UNKNOWN_KEY);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "InvalidClientTokenId");
    f->key.id = ID;
    f->key.token = TOKEN;
    assert_int_equal(verdict(f), COF_SIGV4_UNKNOWN_KEY);
    sign(f, TOKEN "x", 0, 0);
    assert_int_equal(verdict(f), COF_SIGV4_UNKNOWN_KEY);
    sign(f, TOKEN, 0, 0);
    f->key.expired = true;
    assert_int_equal(verdict(f), COF_SIGV4_SESSION_EXPIRED);
    assert_string_equal(cof_sigv4_verdict_name(f->result.verdict), "ExpiredTokenException");
    f->key.error = COFFER_E_TAMPER;
    assert_int_equal(cof_sigv4_verify(&f->env, &f->request.http, &f->expected, &f->result),
                     COFFER_E_TAMPER);
}

static void what_cannot_be_signed_is_said(void **state)
{
    struct fixture *f = *state;
    struct coffer_kms_signing signing = {
        .size = sizeof(signing), .access_key_id = ID, .secret = SECRET, .region = "local-1"};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    struct coffer_fault fault;

    assert_true(sigv4_request_read(&f->request, plain, sizeof(plain) - 1));
    signing.expires_seconds = COFFER_KMS_EXPIRES_SECONDS_MAX + 1;
    assert_int_equal(coffer_kms_sign(NULL, &f->request.http, &signing, &made, &fault),
                     COFFER_E_INVALID);
    signing.expires_seconds = 0;
    signing.region = "no region";
    assert_int_equal(coffer_kms_sign(NULL, &f->request.http, &signing, &made, &fault),
                     COFFER_E_INVALID);
    signing.region = "local-1";
    f->request.headers[0].name = "Hosts";
    assert_int_equal(coffer_kms_sign(NULL, &f->request.http, &signing, &made, &fault),
                     COFFER_E_INVALID);
    assert_non_null(strstr(fault.detail, "Host"));
    f->request.headers[0].name = "Host";
    f->request.http.target = "/?%";
    assert_int_equal(coffer_kms_sign(NULL, &f->request.http, &signing, &made, &fault),
                     COFFER_E_INVALID);
    assert_null(made.memory);
}

/* ---- every bit --------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The two changes that mean nothing: the case of a header's name, and of an escape's hex digit. */
static bool means_nothing(const struct fixture *f, size_t at, unsigned bit)
{
    const char *line_end = strchr(f->text, '\n');
    const char *from = f->text + at, *colon;

    if (bit != 5 || !is_letter(*from)) {
        return false;
    }
    if (from < line_end) {
        return (from[-1] == '%' || from[-2] == '%') && from > f->text + 2;
    }
    while (from[-1] != '\n') {
        from--;
    }
    colon = strchr(from, ':');
    return colon != NULL && f->text + at < colon && strstr(f->text, "\n\n") > from;
}

static bool is_signed(const struct fixture *f, size_t at)
{
    const char *agent = strstr(f->text, "User-Agent:someone");
    const char *line_end = strchr(f->text, '\n');
    const char *from = f->text + at;

    /* The framing of a message is HTTP's, and ends of lines are not part of what is signed. */
    return *from != '\n' && !(from >= line_end - 9 && from < line_end) &&
           !(from >= agent && from < agent + strlen("User-Agent:someone"));
}

static void flip_all(struct fixture *f, unsigned nothing_expected)
{
    unsigned nothing = 0, refused = 0, bit;
    char text[SIGV4_TEXT_MAX];
    size_t bytes = strlen(f->text), at;

    for (at = 0; at < bytes; at++) {
        for (bit = 0; bit < 8 && is_signed(f, at); bit++) {
            memcpy(text, f->text, bytes + 1);
            text[at] = (char)(text[at] ^ (1 << bit));
            if (!sigv4_request_read(&f->request, text, bytes)) {
                refused++; /* no message any more */
            } else if (verdict(f) == COF_SIGV4_GOOD) {
                if (!means_nothing(f, at, bit)) {
                    fail_msg("bit %u of byte %zu ('%c') turned over, and accepted", bit, at,
                             f->text[at]);
                }
                nothing++;
            } else {
                refused++;
            }
        }
    }
    assert_true(refused > 8 * 300);
    assert_int_equal(nothing, nothing_expected);
}

static void every_bit_of_a_request_signed_by_header_counts(void **state)
{
    struct fixture *f = *state;

    f->key.token = TOKEN;
    sign(f, TOKEN, 0, COFFER_KMS_SIGN_BODY);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    /* Letters in the names of Host, Content-Type, X-Amz-Target, -Security-Token, -Date,
     * -Content-Sha256 and Authorization. */
    flip_all(f, 4 + 11 + 10 + 17 + 8 + 14 + 13);
}

static void every_bit_of_a_presigned_request_counts(void **state)
{
    struct fixture *f = *state;

    f->key.token = TOKEN;
    sign(f, TOKEN, 3600, 0);
    assert_int_equal(verdict(f), COF_SIGV4_GOOD);
    /* Host, Content-Type, X-Amz-Target; 4 %2F of the scope, 2 %3B of the names, and in the token
     * 3 %2F, 1 %2B and 3 %3D. */
    flip_all(f, 4 + 11 + 10 + 4 + 2 + 3 + 1 + 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_signed_is_accepted_and_names_its_key),
        CASE(a_header_that_changes_on_the_way_may_change),
        CASE(a_request_without_a_signature_lacks_its_token),
        CASE(a_signature_with_parts_missing_twice_or_malformed_is_incomplete),
        CASE(a_presigned_query_with_parts_missing_twice_or_malformed_is_incomplete),
        CASE(an_amz_header_that_is_not_signed_is_refused),
        CASE(a_hash_that_is_not_the_bodys_is_refused_even_if_signed),
        CASE(the_scope_names_this_date_region_and_service),
        CASE(a_request_is_good_for_fifteen_minutes_either_way),
        CASE(a_presigned_request_is_good_for_as_long_as_it_says),
        CASE(a_date_header_will_do),
        CASE(keys_and_tokens_that_do_not_fit_are_invalid),
        CASE(what_cannot_be_signed_is_said),
        CASE(every_bit_of_a_request_signed_by_header_counts),
        CASE(every_bit_of_a_presigned_request_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
