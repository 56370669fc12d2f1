/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/sigv4_fixture.h - requests as the vectors have them, as text: read into what the key service
 * takes, and printed again. A line that begins with a blank goes on with the header before it.
 */
#ifndef COF_TEST_SIGV4_FIXTURE_H
#define COF_TEST_SIGV4_FIXTURE_H

#include "kms/sigv4/sigv4.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SIGV4_TEXT_MAX 16384u
#define SIGV4_HEADERS_MAX 140u

struct sigv4_request {
    char text[SIGV4_TEXT_MAX]; /* taken apart in place */
    struct coffer_kms_header headers[SIGV4_HEADERS_MAX];
    struct coffer_kms_http_request http;
};

static inline bool sigv4_take_line(struct sigv4_request *request, char *line, char **after)
{
    char *end = strchr(line, '\n'), *colon;

    while (end != NULL && (end[1] == ' ' || end[1] == '\t')) {
        end = strchr(end + 1, '\n');
    }
    *after = end == NULL ? line + strlen(line) : end + 1;
    if (end != NULL) {
        *end = '\0';
    }
    colon = strchr(line, ':');
    if (colon == NULL || request->http.header_count == SIGV4_HEADERS_MAX) {
        return false;
    }
    *colon = '\0';
    request->headers[request->http.header_count].name = line;
    request->headers[request->http.header_count].value = colon + 1;
    request->http.header_count++;
    return true;
}

/* False for a text that isn't one. bytes must leave room for a NUL. */
static inline bool sigv4_request_read(struct sigv4_request *request, const void *bytes,
                                      size_t count)
{
    static const char version[] = " HTTP/1.1";
    char *at = request->text, *end, *blank;

    memset(&request->http, 0, sizeof(request->http));
    if (count >= SIGV4_TEXT_MAX || memchr(bytes, '\0', count) != NULL) {
        return false;
    }
    memcpy(request->text, bytes, count);
    request->text[count] = '\0';
    request->http.size = sizeof(request->http);
    request->http.method = at;
    request->http.headers = request->headers;
    end = strchr(at, '\n');
    blank = strchr(at, ' ');
    if (end == NULL || blank == NULL || end - blank < (long)sizeof(version) ||
        strncmp(end - (sizeof(version) - 1), version, sizeof(version) - 1) != 0) {
        return false;
    }
    *blank = '\0';
    end[-(long)(sizeof(version) - 1)] = '\0';
    request->http.target = blank + 1;
    at = end + 1;
    while (*at != '\0' && *at != '\n') {
        if (!sigv4_take_line(request, at, &at)) {
            return false;
        }
    }
    if (*at == '\n') {
        request->http.body = (const uint8_t *)at + 1;
        request->http.body_bytes = strlen(at + 1);
    }
    return true;
}

/* With what signing made of it; made may be NULL. */
static inline void sigv4_request_print(const struct coffer_kms_http_request *http,
                                       const struct coffer_kms_signed *made, char *text,
                                       size_t capacity)
{
    size_t at;
    unsigned i;

    at = (size_t)snprintf(text, capacity, "%s %s HTTP/1.1\n", http->method,
                          made == NULL ? http->target : made->target);
    for (i = 0; i < http->header_count; i++) {
        at += (size_t)snprintf(text + at, capacity - at, "%s:%s\n", http->headers[i].name,
                               http->headers[i].value);
    }
    for (i = 0; made != NULL && i < made->header_count; i++) {
        at += (size_t)snprintf(text + at, capacity - at, "%s:%s\n", made->headers[i].name,
                               made->headers[i].value);
    }
    (void)snprintf(text + at, capacity - at, "\n%.*s", (int)http->body_bytes,
                   http->body_bytes == 0 ? "" : (const char *)http->body);
}

/* One access key, and perhaps the token that must come with it. */
struct sigv4_key {
    const char *id, *secret, *token;
    bool expired;
    int error; /* to fail with */
    unsigned asked;
};

static inline int sigv4_secret(void *ctx, const char *access_key_id, const char *token,
                               char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                               enum cof_sigv4_verdict *ret_verdict)
{
    struct sigv4_key *key = ctx;
    bool same_token =
        token == NULL || key->token == NULL ? token == key->token : strcmp(token, key->token) == 0;

    key->asked++;
    if (key->error != 0) {
        return key->error;
    }
    if (strcmp(access_key_id, key->id) != 0 || !same_token) {
        *ret_verdict = COF_SIGV4_UNKNOWN_KEY;
        return 0;
    }
    (void)snprintf(ret_secret, COFFER_KMS_SECRET_BYTES_MAX, "%s", key->secret);
    *ret_verdict = key->expired ? COF_SIGV4_SESSION_EXPIRED : COF_SIGV4_GOOD;
    return 0;
}

#endif
