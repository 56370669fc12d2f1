/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/claim.c - what a signed request says of itself, by header or by query, taken apart.
 *
 * Everything here comes from who may not be who they say. Invariants: each part is there once, has
 * the form that it must have, and fits; what a sentence repeats of it is cut to a few characters.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

void cof_sigv4_refuse(struct cof_sigv4_result *result, enum cof_sigv4_verdict verdict,
                      const char *format, ...)
{
    va_list arguments;

    if (result->verdict != COF_SIGV4_GOOD) {
        return;
    }
    result->verdict = verdict;
    va_start(arguments, format);
    (void)vsnprintf(result->message, sizeof(result->message), format, arguments);
    va_end(arguments);
}

/* The header's value; more than one of that name are refused. */
static const char *single_header(const struct coffer_kms_http_request *request, const char *name,
                                 struct cof_sigv4_result *result)
{
    unsigned count;
    const char *value = cof_sigv4_header(request, name, &count);

    if (count > 1) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE, "The request has the header %s twice", name);
    }
    return value;
}

/* ---- parts ------------------------------------------------------------------------------- */

/* Copy the part of a credential up to the next slash, or to the end, into ret_part. */
static const char *take_part(const char *at, char *ret_part, size_t capacity)
{
    size_t bytes = at == NULL ? 0 : strcspn(at, "/");

    if (bytes == 0 || bytes >= capacity) {
        return NULL;
    }
    memcpy(ret_part, at, bytes);
    ret_part[bytes] = '\0';
    return at + bytes + (at[bytes] == '/');
}

static void read_credential(const char *credential, struct cof_sigv4_claim *claim,
                            struct cof_sigv4_result *result)
{
    const char *at = take_part(credential, claim->access_key_id, sizeof(claim->access_key_id));

    at = take_part(at, claim->date, sizeof(claim->date));
    at = take_part(at, claim->region, sizeof(claim->region));
    at = take_part(at, claim->service, sizeof(claim->service));
    if (at == NULL || strcmp(at, COF_SIGV4_TERMINATOR) != 0 ||
        claim->access_key_id[strspn(claim->access_key_id, KEY_ID_CHARACTERS)] != '\0') {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "Credential must be KEY-ID/YYYYMMDD/REGION/SERVICE/" COF_SIGV4_TERMINATOR);
        return;
    }
    memcpy(result->access_key_id, claim->access_key_id, sizeof(result->access_key_id));
    memcpy(result->region, claim->region, sizeof(result->region));
}

/* Lower case, ascending, each once. */
static void check_signed_headers(const char *names, struct cof_sigv4_result *result)
{
    char name[2][COF_SIGV4_NAME_BYTES_MAX] = {"", ""};
    unsigned i = 0;

    while ((names = cof_sigv4_next_name(names, name[i % 2])) != NULL) {
        if (strcmp(name[(i + 1) % 2], name[i % 2]) >= 0) {
            break;
        }
        if (*names == '\0') {
            return;
        }
        names++;
        i++;
    }
    cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                     "SignedHeaders must be names in lower case, ascending, separated by ';'");
}

static void check_signature(const char *signature, struct cof_sigv4_result *result)
{
    if (strlen(signature) != COF_SIGV4_HEX_BYTES ||
        signature[strspn(signature, "0123456789abcdef")] != '\0') {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "Signature must be 64 hex digits in lower case");
    }
}

/* ---- by header --------------------------------------------------------------------------- */

static char *skip_blanks(char *at)
{
    return at + strspn(at, " \t");
}

/* Set one of the three parts; false when the name is none of them, or was there before. */
static bool set_part(const char *name, const char *value, const char *parts[3])
{
    static const char *const names[3] = {"Credential", "SignedHeaders", "Signature"};
    unsigned i;

    for (i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            bool was_there = parts[i] != NULL;

            parts[i] = value;
            return !was_there;
        }
    }
    return false;
}

/* Take "Name=value, Name=value, ..." apart in place. */
static bool split_authorization(char *at, const char *parts[3])
{
    while (*at != '\0') {
        char *name = skip_blanks(at), *value = strchr(name, '='), *end;

        if (value == NULL) {
            return false;
        }
        *value++ = '\0';
        end = value + strcspn(value, ", \t");
        at = skip_blanks(end);
        if (*at != '\0' && *at++ != ',') {
            return false;
        }
        *end = '\0';
        if (!set_part(name, value, parts)) {
            return false;
        }
    }
    return parts[0] != NULL && parts[1] != NULL && parts[2] != NULL;
}

static void read_date(const struct coffer_kms_http_request *request, struct cof_sigv4_claim *claim,
                      struct cof_sigv4_result *result)
{
    const char *stamp = single_header(request, "x-amz-date", result);
    const char *date = stamp == NULL ? single_header(request, "date", result) : NULL;
    bool good;

    claim->date_header = stamp != NULL ? "x-amz-date" : "date";
    if (stamp != NULL) {
        good = cof_sigv4_stamp_seconds(stamp, &claim->seconds);
    } else {
        good = date != NULL && (cof_sigv4_stamp_seconds(date, &claim->seconds) ||
                                cof_sigv4_date_seconds(date, &claim->seconds));
    }
    if (!good) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "The request needs one header X-Amz-Date of the form YYYYMMDDTHHMMSSZ");
        return;
    }
    cof_sigv4_stamp((uint64_t)claim->seconds * 1000000000u, claim->stamp);
}

static int read_headers(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                        const char *authorization, struct cof_sigv4_claim *claim,
                        struct cof_sigv4_result *result)
{
    static const size_t name_bytes = sizeof(COF_SIGV4_ALGORITHM) - 1;
    const char *parts[3] = {NULL, NULL, NULL};

    if (strncmp(authorization, COF_SIGV4_ALGORITHM, name_bytes) != 0 ||
        strcspn(authorization + name_bytes, " \t") != 0) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "Authorization must begin with " COF_SIGV4_ALGORITHM);
        return 0;
    }
    authorization += name_bytes;
    claim->memory = cof_kms_alloc(env, strlen(authorization) + 1);
    if (claim->memory == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(claim->memory, authorization, strlen(authorization) + 1);
    if (!split_authorization(claim->memory, parts)) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "Authorization needs Credential, SignedHeaders and Signature, each once, "
                         "separated by commas");
        return 0;
    }
    claim->signed_headers = parts[1];
    claim->signature = parts[2];
    claim->token = single_header(request, "x-amz-security-token", result);
    read_credential(parts[0], claim, result);
    read_date(request, claim, result);
    return 0;
}

/* ---- by query ---------------------------------------------------------------------------- */

static void read_expires(const char *text, struct cof_sigv4_claim *claim,
                         struct cof_sigv4_result *result)
{
    size_t digits = strspn(text, "0123456789");
    uint32_t seconds = 0;
    size_t i;

    for (i = 0; i < digits && digits <= 6; i++) {
        seconds = seconds * 10 + (uint32_t)(text[i] - '0');
    }
    if (text[digits] != '\0' || seconds == 0 || seconds > COFFER_KMS_EXPIRES_SECONDS_MAX) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE, "X-Amz-Expires must be 1 to %u seconds",
                         COFFER_KMS_EXPIRES_SECONDS_MAX);
    }
    claim->expires_seconds = seconds;
}

static void read_query(const struct coffer_kms_http_request *request, struct cof_sigv4_claim *claim,
                       struct cof_sigv4_result *result)
{
    static const char *const names[] = {"X-Amz-Algorithm",     "X-Amz-Credential",
                                        "X-Amz-Date",          "X-Amz-Expires",
                                        "X-Amz-SignedHeaders", "X-Amz-Signature"};
    const char *parts[6];
    unsigned i, count;
    bool twice = false;

    claim->presigned = true;
    for (i = 0; i < 6; i++) {
        parts[i] = cof_sigv4_query_find(&claim->query, names[i], &twice);
        if (parts[i] == NULL || twice) {
            cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                             "A presigned query needs %s, and only once", names[i]);
            return;
        }
    }
    claim->token = cof_sigv4_query_find(&claim->query, "X-Amz-Security-Token", &twice);
    (void)cof_sigv4_header(request, "x-amz-security-token", &count);
    if (twice || count > 0) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "A presigned query has one X-Amz-Security-Token, and no header of it");
    }
    if (strcmp(parts[0], COF_SIGV4_ALGORITHM) != 0) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "X-Amz-Algorithm must be " COF_SIGV4_ALGORITHM);
    }
    read_credential(parts[1], claim, result);
    if (!cof_sigv4_stamp_seconds(parts[2], &claim->seconds)) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "X-Amz-Date must have the form YYYYMMDDTHHMMSSZ");
    } else {
        memcpy(claim->stamp, parts[2], sizeof(claim->stamp));
    }
    read_expires(parts[3], claim, result);
    claim->signed_headers = parts[4];
    claim->signature = parts[5];
}

/* ---- both -------------------------------------------------------------------------------- */

static bool has_query(const struct cof_sigv4_query *query)
{
    bool twice = false;

    return cof_sigv4_query_find(query, "X-Amz-Algorithm", &twice) != NULL ||
           cof_sigv4_query_find(query, "X-Amz-Credential", &twice) != NULL ||
           cof_sigv4_query_find(query, "X-Amz-Signature", &twice) != NULL;
}

int cof_sigv4_claim_read(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                         struct cof_sigv4_claim *claim, struct cof_sigv4_result *result)
{
    const char *authorization;
    int error;

    memset(claim, 0, sizeof(*claim));
    error = cof_sigv4_query_parse(env, request->target, &claim->query);
    if (error == COFFER_E_NO_MEMORY) {
        return error;
    }
    if (error != 0 || request->header_count > COF_SIGV4_HEADERS_MAX) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "The request's path, query or headers are malformed or too many");
        return 0;
    }
    authorization = single_header(request, "authorization", result);
    if (result->verdict != COF_SIGV4_GOOD) {
        return 0;
    }
    if (authorization != NULL && has_query(&claim->query)) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE,
                         "The request is signed by header and by query: use one of them");
    } else if (authorization != NULL) {
        error = read_headers(env, request, authorization, claim, result);
    } else if (has_query(&claim->query)) {
        read_query(request, claim, result);
    } else {
        cof_sigv4_refuse(result, COF_SIGV4_MISSING, "Request is missing Authentication Token");
    }
    if (error == 0 && result->verdict == COF_SIGV4_GOOD) {
        check_signed_headers(claim->signed_headers, result);
        check_signature(claim->signature, result);
    }
    return error;
}

void cof_sigv4_claim_done(struct cof_kms_env *env, struct cof_sigv4_claim *claim)
{
    cof_sigv4_query_done(env, &claim->query);
    cof_kms_free(env, claim->memory);
    claim->memory = NULL;
}
