/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 38 cases of tests/vectors/sigv4, each signed by header and by query and compared letter by
 * letter at every step, and each verified as it was published; with another secret, clock, region
 * or service each must be refused.
 */
#include "sigv4_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>

#define CASES 38u

struct vector {
    char folder[4400];
    json_t *context;
    struct sigv4_request request;
    struct sigv4_key key;
    uint32_t flags;
};

static struct vector vector;
static char text[SIGV4_TEXT_MAX], printed[SIGV4_TEXT_MAX];

static size_t load(const char *name, char *buffer)
{
    char path[8192];
    FILE *file;
    size_t count;

    snprintf(path, sizeof(path), "%s/%s", vector.folder, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is not there", path);
    }
    count = fread(buffer, 1, SIGV4_TEXT_MAX - 1, file);
    assert_true(count < SIGV4_TEXT_MAX - 1);
    buffer[count] = '\0';
    fclose(file);
    return count;
}

static void expect_file(const char *name, const char *made)
{
    size_t count = load(name, text);

    if (strlen(made) != count || memcmp(text, made, count) != 0) {
        fail_msg("%s/%s:\n%s\nis not what was made:\n%s", vector.folder, name, text, made);
    }
}

static const char *context_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void begin(const char *folder, const char *name)
{
    const json_t *credentials;
    char path[8192];
    json_error_t error;
    size_t count;

    memset(&vector, 0, sizeof(vector));
    snprintf(vector.folder, sizeof(vector.folder), "%s/%s", folder, name);
    snprintf(path, sizeof(path), "%s/context.json", vector.folder);
    vector.context = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (vector.context == NULL) {
        fail_msg("%s: %s", path, error.text);
    }
    credentials = json_object_get(vector.context, "credentials");
    vector.key.id = context_text(credentials, "access_key_id");
    vector.key.secret = context_text(credentials, "secret_access_key");
    vector.key.token = context_text(credentials, "token");
    assert_string_equal(context_text(vector.context, "timestamp"), "2015-08-30T12:36:00Z");
    vector.flags |=
        json_is_true(json_object_get(vector.context, "normalize")) ? 0 : COFFER_KMS_SIGN_PATH_AS_IS;
    vector.flags |=
        json_is_true(json_object_get(vector.context, "sign_body")) ? COFFER_KMS_SIGN_BODY : 0;
    vector.flags |= json_is_true(json_object_get(vector.context, "omit_session_token"))
                        ? COFFER_KMS_SIGN_TOKEN_AFTER
                        : 0;
    count = load("request.txt", text);
    assert_true(sigv4_request_read(&vector.request, text, count));
}

#define TIME_NS (1440938160u * 1000000000ull) /* 2015-08-30T12:36:00Z */

static void sign_one(const char *carrier, uint32_t expires_seconds)
{
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = vector.key.id,
                                         .secret = vector.key.secret,
                                         .session_token = vector.key.token,
                                         .region = context_text(vector.context, "region"),
                                         .service = context_text(vector.context, "service"),
                                         .time_ns = TIME_NS,
                                         .expires_seconds = expires_seconds,
                                         .flags = vector.flags};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    struct coffer_fault fault;
    char name[64];

    assert_int_equal(coffer_kms_sign(NULL, &vector.request.http, &signing, &made, &fault), 0);
    snprintf(name, sizeof(name), "%s-canonical-request.txt", carrier);
    expect_file(name, made.canonical_request);
    snprintf(name, sizeof(name), "%s-string-to-sign.txt", carrier);
    expect_file(name, made.string_to_sign);
    snprintf(name, sizeof(name), "%s-signature.txt", carrier);
    expect_file(name, made.signature);
    sigv4_request_print(&vector.request.http, &made, printed, sizeof(printed));
    snprintf(name, sizeof(name), "%s-signed-request.txt", carrier);
    expect_file(name, printed);
    coffer_kms_signed_done(&made);
    assert_null(made.memory);
}

static enum cof_sigv4_verdict verdict_of(struct cof_sigv4_expected *expected)
{
    struct cof_sigv4_result result;
    struct cof_kms_env env;

    cof_kms_env_init(&env, NULL);
    assert_int_equal(cof_sigv4_verify(&env, &vector.request.http, expected, &result), 0);
    assert_int_equal(result.message[0] == '\0', result.verdict == COF_SIGV4_GOOD);
    assert_string_equal(result.access_key_id, vector.key.id);
    return result.verdict;
}

static void verify_one(const char *carrier)
{
    struct cof_sigv4_expected expected = {context_text(vector.context, "region"),
                                          context_text(vector.context, "service"),
                                          TIME_NS,
                                          vector.flags,
                                          sigv4_secret,
                                          &vector.key,
                                          NULL};
    const char *secret = vector.key.secret;
    char name[64];
    size_t count;

    snprintf(name, sizeof(name), "%s-signed-request.txt", carrier);
    count = load(name, text);
    assert_true(sigv4_request_read(&vector.request, text, count));
    assert_int_equal(verdict_of(&expected), COF_SIGV4_GOOD);
    vector.key.secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEz";
    assert_int_equal(verdict_of(&expected), COF_SIGV4_MISMATCH);
    vector.key.secret = secret;
    expected.now_ns += 3601000000000u;
    assert_int_equal(verdict_of(&expected), COF_SIGV4_EXPIRED);
    expected.now_ns = TIME_NS;
    expected.service = "kms";
    assert_int_equal(verdict_of(&expected), COF_SIGV4_MISMATCH);
    expected.service = "service";
    expected.region = "us-east-2";
    assert_int_equal(verdict_of(&expected), COF_SIGV4_MISMATCH);
    expected.region = NULL;
    assert_int_equal(verdict_of(&expected), COF_SIGV4_GOOD);
}

static unsigned each_case(void (*run)(void))
{
    char folder[4096];
    struct dirent *entry;
    unsigned cases = 0;
    DIR *directory;

    if (getenv("COFFER_VECTORS") == NULL) {
        fail_msg("COFFER_VECTORS is not set: run it through ctest");
    }
    snprintf(folder, sizeof(folder), "%.4000s/sigv4/v4", getenv("COFFER_VECTORS"));
    directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            begin(folder, entry->d_name);
            run();
            json_decref(vector.context);
            cases++;
        }
    }
    closedir(directory);
    return cases;
}

static void sign_both(void)
{
    sign_one("header", 0);
    sign_one("query", (uint32_t)json_integer_value(
                          json_object_get(vector.context, "expiration_in_seconds")));
}

static void verify_both(void)
{
    verify_one("header");
    verify_one("query");
}

static void every_case_is_signed_as_published(void **state)
{
    (void)state;
    assert_int_equal(each_case(sign_both), CASES);
}

static void every_case_is_accepted_as_published(void **state)
{
    (void)state;
    assert_int_equal(each_case(verify_both), CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_signed_as_published),
        cmocka_unit_test(every_case_is_accepted_as_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
