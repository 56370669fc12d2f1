/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/head.c - the checks of a head, each against a way to smuggle a request past somebody:
 *
 * - names are tokens, values have no control characters: "Host : x" is no header;
 * - headers that decide who asks, what for, or where the body ends stand once;
 * - a body's end is told by one of Content-Length and Transfer-Encoding, in one spelling;
 * - GET has no body, since libevent would take it for the next request.
 *
 * Never repeats what the client sent: messages are fixed.
 */
#include "server/head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MALFORMED "MalformedHttpRequestException"

const struct cof_server_refusal cof_server_busy = {503, "ServiceUnavailableException",
                                                   "The service is busy or stopping: try again"};
const struct cof_server_refusal cof_server_internal = {500, "KMSInternalException",
                                                       "The request could not be processed"};

static const struct cof_server_refusal version = {505, MALFORMED, "HTTP/1.1 is what there is"};
static const struct cof_server_refusal target = {
    400, MALFORMED, "The request's target is not a path of printable characters"};
static const struct cof_server_refusal header = {
    400, MALFORMED, "A header has a name or value with characters that it may not have"};
static const struct cof_server_refusal repeated = {
    400, MALFORMED, "A header that may stand once stands more than once"};
static const struct cof_server_refusal host = {400, MALFORMED, "There is no Host header"};
static const struct cof_server_refusal both = {
    400, MALFORMED, "Content-Length and Transfer-Encoding contradict each other: give one"};
static const struct cof_server_refusal length = {400, MALFORMED,
                                                 "Content-Length is not a decimal number"};
static const struct cof_server_refusal coding = {501, MALFORMED,
                                                 "The only Transfer-Encoding is chunked"};
static const struct cof_server_refusal expectation = {417, MALFORMED,
                                                      "The only expectation is 100-continue"};
static const struct cof_server_refusal body = {400, MALFORMED, "GET takes no body"};

/* Two of one of these are two requests in one. */
static const char *const single[] = {
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Authorization",
    "X-Amz-Target",
    "X-Amz-Security-Token",
    "X-Amz-Date",
    "Date",
    "Content-Type",
    "X-Amz-Content-Sha256",
    "Expect",
};

const char *cof_server_header(const struct coffer_kms_header *headers, unsigned count,
                              const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcasecmp(headers[i].name, name) == 0) {
            return headers[i].value;
        }
    }
    return NULL;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token(const char *text)
{
    const char *at = text;
    while (*at != '\0' && (is_alnum(*at) || strchr("!#$%&'*+-.^_`|~", *at) != NULL)) {
        at++;
    }
    return at != text && *at == '\0';
}

static bool is_value(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_target(const char *text)
{
    if (text == NULL || text[0] != '/') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text <= 0x20 || *text >= 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_length(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 16 && text[digits] == '\0';
}

static const struct cof_server_refusal *check_headers(const struct cof_server_head *head)
{
    unsigned seen[sizeof single / sizeof single[0]] = {0};
    for (unsigned i = 0; i < head->header_count; i++) {
        if (!is_token(head->headers[i].name) || !is_value(head->headers[i].value)) {
            return &header;
        }
        for (unsigned s = 0; s < sizeof single / sizeof single[0]; s++) {
            if (strcasecmp(head->headers[i].name, single[s]) == 0 && seen[s]++ > 0) {
                return &repeated;
            }
        }
    }
    return seen[0] == 0 ? &host : NULL;
}

static const struct cof_server_refusal *check_body(const struct cof_server_head *head)
{
    const char *bytes = cof_server_header(head->headers, head->header_count, "Content-Length");
    const char *how = cof_server_header(head->headers, head->header_count, "Transfer-Encoding");
    const char *expect = cof_server_header(head->headers, head->header_count, "Expect");
    if (bytes != NULL && how != NULL) {
        return &both;
    }
    if (bytes != NULL && !is_length(bytes)) {
        return &length;
    }
    if (how != NULL && strcasecmp(how, "chunked") != 0) {
        return &coding;
    }
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0) {
        return &expectation;
    }
    if (strcmp(head->method, "GET") == 0 &&
        (how != NULL || (bytes != NULL && strspn(bytes, "0") != strlen(bytes)))) {
        return &body;
    }
    return NULL;
}

const struct cof_server_refusal *cof_server_head_check(const struct cof_server_head *head)
{
    if (head->major != 1 || head->minor != 1) {
        return &version;
    }
    if (!is_target(head->target)) {
        return &target;
    }
    const struct cof_server_refusal *refusal = check_headers(head);
    return refusal != NULL ? refusal : check_body(head);
}

/* The letters and digits at the beginning of text, if `end` or the text's end follows them. */
static void take_word(const char *text, char end, char ret_word[COF_SERVER_WORD_BYTES])
{
    size_t bytes = 0;
    while (text != NULL && is_alnum(text[bytes])) {
        bytes++;
    }
    if (text == NULL || bytes == 0 || bytes >= COF_SERVER_WORD_BYTES || text[bytes] != end) {
        strcpy(ret_word, "-");
        return;
    }
    memcpy(ret_word, text, bytes);
    ret_word[bytes] = '\0';
}

void cof_server_head_operation(const struct cof_server_head *head,
                               char ret_word[COF_SERVER_WORD_BYTES])
{
    const char *text = cof_server_header(head->headers, head->header_count, "X-Amz-Target");
    size_t prefix_bytes = strlen(COFFER_KMS_TARGET_PREFIX);
    if (text != NULL) {
        text =
            strncmp(text, COFFER_KMS_TARGET_PREFIX, prefix_bytes) == 0 ? text + prefix_bytes : NULL;
    }
    take_word(text, '\0', ret_word);
}

void cof_server_head_access_key(const struct cof_server_head *head,
                                char ret_word[COF_SERVER_WORD_BYTES])
{
    static const char begin[] = "Credential=";
    const char *text = cof_server_header(head->headers, head->header_count, "Authorization");
    text = text == NULL ? NULL : strstr(text, begin);
    take_word(text == NULL ? NULL : text + sizeof begin - 1, '/', ret_word);
}
