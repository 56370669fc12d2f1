/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_sigv4 - signed requests as text. Nothing but what the signer makes is accepted: a
 * request that is found good must be found good again, and be refused under another secret.
 */
#include "fuzz/fuzz_driver.h"
#include "unit/sigv4_fixture.h"

#define ID "AKIAIOSFODNN7EXAMPLE"
#define TOKEN "FwoGZXIvYXdzEBYaD//token"
#define NOW_NS (1440938160u * 1000000000ull) /* 2015-08-30T12:36:00Z */

static enum cof_sigv4_verdict verify(struct sigv4_request *request, const char *secret,
                                     bool with_token)
{
    struct sigv4_key key = {ID, secret, with_token ? TOKEN : NULL, false, 0, 0};
    struct cof_sigv4_expected expected = {NULL, "kms", NOW_NS, 0, sigv4_secret, &key, NULL};
    struct cof_sigv4_result result;
    struct cof_kms_env env;
    int error;

    cof_kms_env_init(&env, NULL);
    error = cof_sigv4_verify(&env, &request->http, &expected, &result);
    harness_require(error == 0, "the verifier failed: %s", coffer_error_name(error));
    harness_require((result.verdict == COF_SIGV4_GOOD) == (result.message[0] == '\0'),
                    "a refusal without a sentence, or the reverse");
    return result.verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sigv4_request request;
    bool with_token;

    if (!sigv4_request_read(&request, data, size)) {
        return 0;
    }
    with_token = memmem(data, size, TOKEN, sizeof(TOKEN) - 1) != NULL ||
                 memmem(data, size, "FwoGZXIvYXdzEBYaD%2F", 20) != NULL;
    if (verify(&request, "the secret", with_token) != COF_SIGV4_GOOD) {
        return 0;
    }
    harness_require(verify(&request, "the secret", with_token) == COF_SIGV4_GOOD,
                    "good, and then not");
    harness_require(verify(&request, "another secret", with_token) == COF_SIGV4_MISMATCH,
                    "good under two secrets");
    return 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const char *const targets[] = {"/", "/?a=b&%E1%88%B4=c", "//x/../y%20/?b&a=1"};
    static struct sigv4_request request;
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = ID,
                                         .secret = "the secret",
                                         .session_token = number % 2 == 0 ? NULL : TOKEN,
                                         .region = "local-1",
                                         .time_ns = NOW_NS,
                                         .expires_seconds = number / 2 % 2 == 0 ? 0 : 3600,
                                         .flags = number < 4 ? 0 : COFFER_KMS_SIGN_BODY};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    char text[1024];

    if (number >= 12 || room < sizeof(text)) {
        return 0;
    }
    snprintf(text, sizeof(text),
             "POST %s HTTP/1.1\nHost:h\nX-Amz-Target:TrentService.Encrypt\nA: b  c\nA:d\n\n{}",
             targets[number % 3]);
    harness_require(sigv4_request_read(&request, text, strlen(text)), "a seed is no request");
    harness_require(coffer_kms_sign(NULL, &request.http, &signing, &made, NULL) == 0,
                    "a seed cannot be signed");
    sigv4_request_print(&request.http, &made, (char *)bytes, room);
    coffer_kms_signed_done(&made);
    return strlen((const char *)bytes);
}

FUZZ_MAIN("fuzz_kms_sigv4", 100000)
