/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sign.c - read a request as HTTP has it, sign it, print it as it is to be sent.
 *
 * The head is read leniently (lines end in LF or CRLF, the version may be missing, a line that
 * begins with a blank goes on with the one before); the body is every byte behind the empty line.
 * The secret is read where the environment has it and copied nowhere. One thread.
 */
#include "sign.h"
#include "error.h"
#include "output.h"
#include <coffer/kms.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REQUEST_BYTES_MAX (COFFER_KMS_BODY_BYTES_MAX + (64u << 10))
#define HEADERS_MAX 128u

struct request {
    char *bytes; /* taken apart in place */
    size_t length;
    struct coffer_kms_header headers[HEADERS_MAX];
    struct coffer_kms_http_request http;
};

/* ---- the request ------------------------------------------------------------------------- */

static int read_file(const struct cof_tool_call *call, const char *name, struct request *request)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
    if (file == NULL) {
        return cof_tool_fail_errno(call, errno, NULL, "cannot open %s", name);
    }
    int exit_code = 0;
    request->bytes = malloc(REQUEST_BYTES_MAX + 2);
    if (request->bytes == NULL) {
        exit_code = cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot read %s", name);
    } else {
        errno = 0;
        request->length = fread(request->bytes, 1, REQUEST_BYTES_MAX + 1, file);
        request->bytes[request->length] = '\0';
        if (ferror(file)) {
            exit_code = cof_tool_fail_errno(call, errno, NULL, "cannot read %s", name);
        } else if (request->length > REQUEST_BYTES_MAX) {
            exit_code = cof_tool_usage(call, NULL, "%s is too long for a request: at most %u bytes",
                                       name, REQUEST_BYTES_MAX);
        }
    }
    if (file != stdin) {
        fclose(file);
    }
    return exit_code;
}

/* End the line at `at` and step behind it, over those that go on with it. */
static char *end_line(char *at, char *limit)
{
    char *end = memchr(at, '\n', (size_t)(limit - at));
    while (end != NULL && end + 1 < limit && (end[1] == ' ' || end[1] == '\t')) {
        end = memchr(end + 1, '\n', (size_t)(limit - end - 1));
    }
    if (end == NULL) {
        return limit;
    }
    *end = '\0';
    if (end > at && end[-1] == '\r') {
        end[-1] = '\0';
    }
    return end + 1;
}

static bool read_request_line(struct request *request, char *line)
{
    static const char version[] = " HTTP/1.1";
    char *blank = strchr(line, ' ');
    size_t bytes;
    if (blank == NULL || blank == line) {
        return false;
    }
    *blank = '\0';
    request->http.method = line;
    request->http.target = blank + 1;
    bytes = strlen(blank + 1);
    if (bytes > strlen(version) && strcmp(blank + 1 + bytes - strlen(version), version) == 0) {
        blank[1 + bytes - strlen(version)] = '\0';
    }
    return true;
}

static int parse_request(const struct cof_tool_call *call, struct request *request)
{
    char *at = request->bytes, *limit = request->bytes + request->length;
    char *next = end_line(at, limit);
    request->http.size = sizeof request->http;
    request->http.headers = request->headers;
    request->http.body = (const uint8_t *)limit;
    if (!read_request_line(request, at)) {
        return cof_tool_usage(call, NULL, "the first line must be METHOD TARGET HTTP/1.1");
    }
    for (at = next; at < limit; at = next) {
        next = end_line(at, limit);
        if (*at == '\0') {
            request->http.body = (const uint8_t *)next;
            request->http.body_bytes = (size_t)(limit - next);
            break;
        }
        char *colon = strchr(at, ':');
        if (colon == NULL || request->http.header_count == HEADERS_MAX) {
            return cof_tool_usage(call, NULL, "'%.40s' is no header NAME:VALUE, or one too many",
                                  at);
        }
        *colon = '\0';
        request->headers[request->http.header_count].name = at;
        request->headers[request->http.header_count].value = colon + 1;
        request->http.header_count++;
    }
    return 0;
}

/* ---- how to sign it ---------------------------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool parse_time(const char *text, uint64_t *ret_ns)
{
    struct tm parts;
    memset(&parts, 0, sizeof parts);
    const char *end = strptime(text, "%Y%m%dT%H%M%SZ", &parts);
    time_t seconds = end != NULL && *end == '\0' ? timegm(&parts) : -1;
    if (strlen(text) != 16 || seconds <= 0) {
        return false;
    }
    *ret_ns = (uint64_t)seconds * 1000000000u;
    return true;
}

static int choose(const struct cof_tool_call *call, struct coffer_kms_signing *signing)
{
    const char *region = environment("AWS_REGION");
    const char *stamp = cof_tool_text(call, "time", NULL);
    uint64_t expires = cof_tool_number(call, "expires-in", 0);
    signing->access_key_id = environment("AWS_ACCESS_KEY_ID");
    signing->secret = environment("AWS_SECRET_ACCESS_KEY");
    signing->session_token = environment("AWS_SESSION_TOKEN");
    signing->service = cof_tool_text(call, "service", NULL);
    signing->region = cof_tool_text(
        call, "region", region != NULL ? region : environment("AWS_DEFAULT_REGION"));
    if (signing->access_key_id == NULL || signing->secret == NULL) {
        return cof_tool_usage(call, NULL,
                              "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set");
    }
    if (signing->region == NULL) {
        return cof_tool_usage(call, NULL, "give --region, or set AWS_REGION");
    }
    if (cof_tool_given(call, "expires-in") &&
        (expires == 0 || expires > COFFER_KMS_EXPIRES_SECONDS_MAX)) {
        return cof_tool_usage(call, NULL, "--expires-in is 1 to %u",
                              COFFER_KMS_EXPIRES_SECONDS_MAX);
    }
    if (stamp != NULL && !parse_time(stamp, &signing->time_ns)) {
        return cof_tool_usage(call, NULL, "--time has the form YYYYMMDDTHHMMSSZ");
    }
    signing->expires_seconds = (uint32_t)expires;
    signing->flags = (cof_tool_given(call, "sign-body") ? COFFER_KMS_SIGN_BODY : 0u) |
                     (cof_tool_given(call, "path-as-is") ? COFFER_KMS_SIGN_PATH_AS_IS : 0u);
    return 0;
}

/* ---- results ----------------------------------------------------------------------------- */

static void print_headers(const struct coffer_kms_header *headers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        printf("%s:%s\n", headers[i].name, headers[i].value);
    }
}

static int print_request(const struct cof_tool_call *call, const struct request *request,
                         const struct coffer_kms_signed *made)
{
    printf("%s %s HTTP/1.1\n", request->http.method, made->target);
    print_headers(request->headers, request->http.header_count);
    print_headers(made->headers, made->header_count);
    putchar('\n');
    fwrite(request->http.body, 1, request->http.body_bytes, stdout);
    return cof_tool_finish_output(call);
}

static json_t *signed_json(const struct coffer_kms_signed *made)
{
    json_t *headers = json_object();
    for (unsigned i = 0; i < made->header_count; i++) {
        json_object_set_new(headers, made->headers[i].name, json_string(made->headers[i].value));
    }
    return json_pack("{s:s, s:o, s:s, s:s, s:s}", "Target", made->target, "Headers", headers,
                     "Signature", made->signature, "CanonicalRequest", made->canonical_request,
                     "StringToSign", made->string_to_sign);
}

int cof_tool_sign_request(struct cof_tool_call *call)
{
    static struct request request;
    struct coffer_kms_signing signing = {.size = sizeof signing};
    struct coffer_kms_signed made = {.size = sizeof made};
    struct coffer_fault fault = {0};
    int exit_code = choose(call, &signing);
    if (exit_code == 0) {
        exit_code = read_file(call, call->operands[0], &request);
    }
    if (exit_code == 0) {
        exit_code = parse_request(call, &request);
    }
    if (exit_code == 0) {
        int error = coffer_kms_sign(NULL, &request.http, &signing, &made, &fault);
        if (error != 0) {
            fault.stage = COFFER_STAGE_NONE;
            exit_code = cof_tool_fail(call, error, &fault, NULL, "cannot sign %s",
                                      call->operands[0]);
        } else if (cof_tool_given(call, "output") || cof_tool_given(call, "query")) {
            struct cof_tool_view view = {.schema_version = 1};
            exit_code = cof_tool_print(call, signed_json(&made), &view);
        } else {
            exit_code = print_request(call, &request, &made);
        }
    }
    coffer_kms_signed_done(&made);
    free(request.bytes);
    return exit_code;
}
