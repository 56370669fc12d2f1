/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_http - whole requests, from the head to the answer: a byte that says by whom it is
 * signed, and the request as text (unit/sigv4_fixture.h).
 *
 * 0: as it stands; 1: signed here with a long-term access key; 2: with a session's. Whatever comes,
 * there is an answer with a request id, its body is JSON, the service is never at fault, and
 * nothing but health is told to who didn't sign.
 */
#include "fuzz/fuzz_driver.h"
#include "fuzz/fuzz_keystore.h"
#include "unit/sigv4_fixture.h"

#include "kms/identity/identity.h"
#include "wire/errors.h"

#include <coffer/kms.h>
#include <jansson.h>
#include <strings.h>

#define CALLS_MAX 3000u /* of one store: it would grow for ever */

struct key {
    char id[COF_IDENTITY_KEY_ID_BYTES], secret[COF_IDENTITY_SECRET_BYTES];
    char token[COF_IDENTITY_TOKEN_BYTES_MAX];
};

static struct key keys[2];

static void make(void)
{
    static struct coffer_fault fault;
    static struct cof_identity_credentials credentials;
    struct cof_kms_access_key_row row;
    struct cof_kms_call call;
    const char *secret = NULL;
    fuzz_keystore_make();
    harness_require(cof_kms_call_begin(&call, fuzz_keystore, "CreateAccessKey", COF_KMS_CHANGES,
                                       &fault) == 0 &&
                        cof_identity_key_create(&call, "root", &row, &secret) == 0,
                    "no access key");
    snprintf(keys[0].id, sizeof keys[0].id, "%.20s", row.access_key_id);
    snprintf(keys[0].secret, sizeof keys[0].secret, "%s", secret);
    harness_require(cof_identity_session_token(&call, 0, &credentials) == 0, "no session");
    snprintf(keys[1].id, sizeof keys[1].id, "%s", credentials.access_key_id);
    snprintf(keys[1].secret, sizeof keys[1].secret, "%s", credentials.secret);
    snprintf(keys[1].token, sizeof keys[1].token, "%s", credentials.token);
    harness_require(cof_kms_call_settle(&call, 0) == 0, "no commit");
    cof_kms_call_leave(&call);
}

/* Sign in place; false when the signer takes no such request. */
static bool sign(struct sigv4_request *request, const struct key *key,
                 struct coffer_kms_signed *made)
{
    struct coffer_kms_signing signing = {.size = sizeof signing,
                                         .access_key_id = key->id,
                                         .secret = key->secret,
                                         .session_token = key->token[0] != '\0' ? key->token : NULL,
                                         .region = "local-1",
                                         .time_ns = FUZZ_NOW_NS};
    if (coffer_kms_sign(NULL, &request->http, &signing, made, NULL) != 0 ||
        request->http.header_count + made->header_count > SIGV4_HEADERS_MAX) {
        return false;
    }
    memcpy(request->headers + request->http.header_count, made->headers,
           made->header_count * sizeof request->headers[0]);
    request->http.header_count += made->header_count;
    request->http.target = made->target;
    return true;
}

static const char *header(const struct coffer_kms_http_response *response, const char *name)
{
    for (unsigned i = 0; i < response->header_count; i++) {
        if (strcasecmp(response->headers[i].name, name) == 0) {
            return response->headers[i].value;
        }
    }
    return "";
}

static void judge(const struct coffer_kms_http_response *response)
{
    const char *error = header(response, "x-amzn-ErrorType");
    harness_require(strlen(header(response, "x-amzn-RequestId")) == 36, "no request id");
    harness_require(response->status >= 200 && response->status < 500, "status %d: %.200s",
                    response->status, (const char *)response->body);
    harness_require((response->status == 200) == (error[0] == '\0'), "status %d and error '%s'",
                    response->status, error);
    if (response->body_bytes > 0) {
        json_t *value = json_loadb((const char *)response->body, response->body_bytes, 0, NULL);
        harness_require(json_is_object(value), "the body is no object");
        json_decref(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sigv4_request request;
    static unsigned calls;
    struct coffer_kms_signed made = {.size = sizeof made};
    struct coffer_kms_http_response response = {.size = sizeof response};
    bool good = size > 1 && sigv4_request_read(&request, data + 1, size - 1);
    unsigned by = size > 0 ? data[0] % 3u : 0;
    if (fuzz_keystore == NULL || ++calls % CALLS_MAX == 0) {
        make();
    }
    if (good && by > 0) {
        good = sign(&request, &keys[by - 1], &made);
    }
    if (good) {
        harness_require(coffer_kms_http(fuzz_keystore, &request.http, &response) == 0, "no answer");
        judge(&response);
        good = response.status == 200;
        harness_require(!good || by > 0 || strncmp(request.http.target, "/healthz", 8) == 0 ||
                            memmem(data, size, keys[0].id, strlen(keys[0].id)) != NULL ||
                            memmem(data, size, keys[1].id, strlen(keys[1].id)) != NULL,
                        "a call by nobody");
    }
    coffer_kms_http_response_done(&response);
    coffer_kms_signed_done(&made);
    return good;
}

static const char *const bodies[][2] = {
    {"TrentService.DescribeKey", "{\"KeyId\":\"%s\"}"},
    {"TrentService.Encrypt", "{\"KeyId\":\"%s\",\"Plaintext\":\"QUJD\"}"},
    {"CofferIdentity.ListUsers", "{}"},
    {"CofferIdentity.GetCallerIdentity", "{}"},
};

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    char body[256];
    int length;
    if (fuzz_keystore == NULL) {
        make();
    }
    bytes[0] = (uint8_t)(1 + number % 2);
    if (number == 6) {
        static const char health[] = "0GET /healthz HTTP/1.1\nHost:kms\n\n";
        memcpy(bytes, health, sizeof health - 1);
        return sizeof health - 1;
    }
    if (number > 6) {
        return 0;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(body, sizeof body, bodies[number / 2][1], fuzz_key.key_id);
#pragma GCC diagnostic pop
    length = snprintf((char *)bytes + 1, room - 1,
                      "POST / HTTP/1.1\nHost:kms\nContent-Type:application/x-amz-json-1.1\n"
                      "X-Amz-Target:%s\n\n%s",
                      bodies[number / 2][0], body);
    return 1 + (size_t)length;
}

FUZZ_MAIN("fuzz_kms_http", 10000)
