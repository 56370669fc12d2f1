/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/canonical.c - steps 1 and 2: the canonical request, and the string to sign.
 *
 *   METHOD \n path \n query \n (name:values \n)... \n names;of;headers \n hex SHA-256 of the body
 *   AWS4-HMAC-SHA256 \n stamp \n date/region/service/aws4_request \n hex SHA-256 of the above
 *
 * Values of headers of one name are joined by commas in the request's order.
 */
#include "internal.h"

#include "name.h"

#include <string.h>

static int hash_hex(const void *bytes, size_t count, char ret_hex[COFFER_KMS_SIGNATURE_BYTES])
{
    struct cof_kms_bytes data = {bytes, count};
    uint8_t digest[COF_KMS_MAC_BYTES];
    int error = cof_kms_sha256(data, digest);

    if (error == 0) {
        cof_kms_hex(digest, sizeof(digest), ret_hex);
    }
    return error;
}

int cof_sigv4_body_hash(const struct coffer_kms_http_request *request,
                        char ret_hex[COFFER_KMS_SIGNATURE_BYTES])
{
    return hash_hex(request->body_bytes == 0 ? (const uint8_t *)"" : request->body,
                    request->body_bytes, ret_hex);
}

static void put_header(struct cof_sigv4_text *text, const struct coffer_kms_http_request *request,
                       const char *name)
{
    bool first = true;
    unsigned i;

    cof_sigv4_put_text(text, name);
    cof_sigv4_put(text, ":", 1);
    for (i = 0; i < request->header_count; i++) {
        if (cof_sigv4_same_name(request->headers[i].name, name)) {
            cof_sigv4_put(text, ",", !first);
            cof_sigv4_put_trimmed(text, request->headers[i].value);
            first = false;
        }
    }
    cof_sigv4_put(text, "\n", 1);
}

static void put_headers(struct cof_sigv4_text *text, const struct coffer_kms_http_request *request,
                        const char *signed_headers)
{
    char name[COF_SIGV4_NAME_BYTES_MAX];
    const char *at = signed_headers;

    while ((at = cof_sigv4_next_name(at, name)) != NULL) {
        put_header(text, request, name);
        at += *at == ';';
    }
}

int cof_sigv4_canonical(const struct coffer_kms_http_request *request,
                        const struct cof_sigv4_query *query, const char *signed_headers,
                        uint32_t flags, struct cof_sigv4_text *text)
{
    char hash[COFFER_KMS_SIGNATURE_BYTES];
    int error = cof_sigv4_body_hash(request, hash);

    if (error != 0) {
        return error;
    }
    cof_sigv4_put_text(text, request->method);
    cof_sigv4_put(text, "\n", 1);
    cof_sigv4_put_path(text, request->target, (flags & COFFER_KMS_SIGN_PATH_AS_IS) != 0);
    cof_sigv4_put(text, "\n", 1);
    cof_sigv4_put_query(text, query, (flags & COFFER_KMS_SIGN_TOKEN_AFTER) != 0);
    cof_sigv4_put(text, "\n", 1);
    put_headers(text, request, signed_headers);
    cof_sigv4_put(text, "\n", 1);
    cof_sigv4_put_text(text, signed_headers);
    cof_sigv4_put(text, "\n", 1);
    cof_sigv4_put_text(text, hash);
    return text->failed ? COFFER_E_NO_MEMORY : 0;
}

int cof_sigv4_string_to_sign(const char *stamp, const char *region, const char *service,
                             const char *canonical, struct cof_sigv4_text *text)
{
    char hash[COFFER_KMS_SIGNATURE_BYTES];
    int error = hash_hex(canonical, strlen(canonical), hash);

    if (error != 0) {
        return error;
    }
    cof_sigv4_put_text(text, COF_SIGV4_ALGORITHM "\n");
    cof_sigv4_put_text(text, stamp);
    cof_sigv4_put(text, "\n", 1);
    cof_sigv4_put(text, stamp, 8);
    cof_sigv4_put(text, "/", 1);
    cof_sigv4_put_text(text, region);
    cof_sigv4_put(text, "/", 1);
    cof_sigv4_put_text(text, service);
    cof_sigv4_put_text(text, "/" COF_SIGV4_TERMINATOR "\n");
    cof_sigv4_put_text(text, hash);
    return text->failed ? COFFER_E_NO_MEMORY : 0;
}
