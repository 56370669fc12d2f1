/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/sign.c - sign a request, by header or by query.
 *
 * What is made lies in one struct on the heap, of which coffer_kms_signed points at parts: texts
 * that travel in clear. The secret is copied into locked pages and wiped there.
 */
#include "internal.h"

#include "name.h"

#include <stdio.h>
#include <string.h>

#define ADDED_MAX 4u /* token, date, hash, Authorization */

/* Owned by coffer_kms_signed.memory. */
struct signed_memory {
    struct cof_kms_env env;
    struct cof_sigv4_text target, names, canonical, to_sign, authorization, token;
    char stamp[COF_SIGV4_STAMP_BYTES];
    char hash[COFFER_KMS_SIGNATURE_BYTES];
    struct coffer_kms_header headers[ADDED_MAX];
    unsigned header_count;
};

/* One signing: the request with what was added to it. */
struct signing {
    const struct coffer_kms_signing *how;
    const char *service;
    struct coffer_kms_http_request request;
    struct coffer_kms_header headers[COF_SIGV4_HEADERS_MAX + ADDED_MAX];
    struct signed_memory *made;
};

/* ---- checks ------------------------------------------------------------------------------ */

static int check_key(const struct coffer_kms_signing *how, struct coffer_fault *fault)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

    if (how->access_key_id == NULL || how->secret == NULL || how->access_key_id[0] == '\0' ||
        how->access_key_id[strspn(how->access_key_id, letters)] != '\0' ||
        strlen(how->access_key_id) >= COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX ||
        how->secret[0] == '\0' || strlen(how->secret) >= COFFER_KMS_SECRET_BYTES_MAX) {
        return cof_kms_fault(
            fault, COFFER_E_INVALID,
            "signing needs an access key id and its secret, of 1 to %u letters and "
            "digits",
            COFFER_KMS_SECRET_BYTES_MAX - 1);
    }
    if (how->region == NULL || !cof_kms_region_ok(how->region) ||
        (how->service != NULL && !cof_kms_region_ok(how->service))) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "signing needs a region (and service) of a-z, 0-9 and -, at most %u",
                             COF_KMS_REGION_BYTES_MAX - 1);
    }
    if (how->expires_seconds > COFFER_KMS_EXPIRES_SECONDS_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a presigned request is good for %u seconds at most",
                             COFFER_KMS_EXPIRES_SECONDS_MAX);
    }
    return 0;
}

static int check_headers(const struct coffer_kms_http_request *request, struct coffer_fault *fault)
{
    static const char *const own[] = {"authorization", "x-amz-date", "x-amz-security-token",
                                      "x-amz-content-sha256"};
    unsigned count, i;

    if (request->method == NULL || request->method[0] == '\0' || request->target == NULL ||
        (request->header_count > 0 && request->headers == NULL) ||
        (request->body_bytes > 0 && request->body == NULL) ||
        request->header_count > COF_SIGV4_HEADERS_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a request to sign needs a method, a target and at most %u headers",
                             COF_SIGV4_HEADERS_MAX);
    }
    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        (void)cof_sigv4_header(request, own[i], &count);
        if (count > 0) {
            return cof_kms_fault(fault, COFFER_E_INVALID,
                                 "the request has the header %s, which signing adds: leave it out",
                                 own[i]);
        }
    }
    (void)cof_sigv4_header(request, "host", &count);
    if (count != 1) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "a request to sign needs one header Host");
    }
    return 0;
}

/* ---- what is added ----------------------------------------------------------------------- */

static void add_header(struct signing *signing, const char *name, const char *value, bool is_signed)
{
    struct coffer_kms_header header = {name, value};

    signing->made->headers[signing->made->header_count++] = header;
    if (is_signed) {
        signing->headers[signing->request.header_count++] = header;
    }
}

static void put_credential(struct signing *signing, struct cof_sigv4_text *text)
{
    cof_sigv4_put_text(text, signing->how->access_key_id);
    cof_sigv4_put(text, "/", 1);
    cof_sigv4_put(text, signing->made->stamp, 8);
    cof_sigv4_put(text, "/", 1);
    cof_sigv4_put_text(text, signing->how->region);
    cof_sigv4_put(text, "/", 1);
    cof_sigv4_put_text(text, signing->service);
    cof_sigv4_put_text(text, "/" COF_SIGV4_TERMINATOR);
}

/* ---- steps ------------------------------------------------------------------------------- */

static int make_signature(struct signing *signing, char *ret_signature)
{
    struct signed_memory *made = signing->made;
    struct cof_sigv4_keys *keys;
    struct cof_sigv4_query query;
    int error = cof_sigv4_query_parse(&made->env, signing->request.target, &query);

    if (error != 0) {
        return error;
    }
    error = cof_sigv4_canonical(&signing->request, &query, made->names.at, signing->how->flags,
                                &made->canonical);
    cof_sigv4_query_done(&made->env, &query);
    if (error == 0) {
        error = cof_sigv4_string_to_sign(made->stamp, signing->how->region, signing->service,
                                         made->canonical.at, &made->to_sign);
    }
    if (error != 0) {
        return error;
    }
    keys = cof_sigv4_keys_new(NULL);
    if (keys == NULL) {
        return COFFER_E_LOCKED_MEMORY;
    }
    memcpy(cof_sigv4_keys_secret(keys), signing->how->secret, strlen(signing->how->secret) + 1);
    error = cof_sigv4_signature(keys, made->stamp, signing->how->region, signing->service,
                                made->to_sign.at, ret_signature);
    cof_sigv4_keys_free(NULL, keys);
    return error;
}

static int sign_headers(struct signing *signing, char *ret_signature)
{
    struct signed_memory *made = signing->made;
    struct cof_sigv4_text *authorization = &made->authorization;
    int error = cof_sigv4_body_hash(&signing->request, made->hash);

    if (error != 0) {
        return error;
    }
    cof_sigv4_put_text(&made->target, signing->request.target);
    if (made->token.at != NULL) {
        add_header(signing, "X-Amz-Security-Token", made->token.at,
                   (signing->how->flags & COFFER_KMS_SIGN_TOKEN_AFTER) == 0);
    }
    add_header(signing, "X-Amz-Date", made->stamp, true);
    if ((signing->how->flags & COFFER_KMS_SIGN_BODY) != 0) {
        add_header(signing, "x-amz-content-sha256", made->hash, true);
    }
    error = cof_sigv4_list_names(&signing->request, &signing->made->names);
    if (error == 0) {
        error = make_signature(signing, ret_signature);
    }
    if (error != 0) {
        return error;
    }
    cof_sigv4_put_text(authorization, COF_SIGV4_ALGORITHM " Credential=");
    put_credential(signing, authorization);
    cof_sigv4_put_text(authorization, ", SignedHeaders=");
    cof_sigv4_put_text(authorization, made->names.at);
    cof_sigv4_put_text(authorization, ", Signature=");
    cof_sigv4_put_text(authorization, ret_signature);
    add_header(signing, "Authorization", authorization->at, false);
    return authorization->failed || made->target.failed ? COFFER_E_NO_MEMORY : 0;
}

static void put_parameter(struct cof_sigv4_text *target, const char *name, const char *value)
{
    cof_sigv4_put(target, strchr(target->at, '?') == NULL ? "?" : "&", 1);
    cof_sigv4_put_text(target, name);
    cof_sigv4_put(target, "=", 1);
    cof_sigv4_put_escaped(target, value, strlen(value), false);
}

static int sign_query(struct signing *signing, char *ret_signature)
{
    struct signed_memory *made = signing->made;
    struct cof_sigv4_text credential;
    char expires[12];
    int error = cof_sigv4_list_names(&signing->request, &signing->made->names);

    if (error != 0) {
        return error;
    }
    (void)snprintf(expires, sizeof(expires), "%u", signing->how->expires_seconds);
    cof_sigv4_text_init(&credential, &made->env);
    put_credential(signing, &credential);
    cof_sigv4_put_text(&made->target, signing->request.target);
    if (credential.failed || made->target.failed) {
        cof_sigv4_text_done(&credential);
        return COFFER_E_NO_MEMORY;
    }
    put_parameter(&made->target, "X-Amz-Algorithm", COF_SIGV4_ALGORITHM);
    put_parameter(&made->target, "X-Amz-Credential", credential.at);
    cof_sigv4_text_done(&credential);
    put_parameter(&made->target, "X-Amz-Date", made->stamp);
    put_parameter(&made->target, "X-Amz-SignedHeaders", made->names.at);
    put_parameter(&made->target, "X-Amz-Expires", expires);
    if (made->token.at != NULL) {
        put_parameter(&made->target, "X-Amz-Security-Token", made->token.at);
    }
    if (made->target.failed) {
        return COFFER_E_NO_MEMORY;
    }
    signing->request.target = made->target.at;
    error = make_signature(signing, ret_signature);
    if (error == 0) {
        put_parameter(&made->target, "X-Amz-Signature", ret_signature);
        error = made->target.failed ? COFFER_E_NO_MEMORY : 0;
    }
    return error;
}

/* ---- whole ------------------------------------------------------------------------------- */

static void free_memory(struct signed_memory *made)
{
    struct cof_kms_env env = made->env;

    cof_sigv4_text_done(&made->target);
    cof_sigv4_text_done(&made->names);
    cof_sigv4_text_done(&made->canonical);
    cof_sigv4_text_done(&made->to_sign);
    cof_sigv4_text_done(&made->authorization);
    cof_sigv4_text_done(&made->token);
    cof_kms_free(&env, made);
}

static struct signed_memory *new_memory(struct cof_kms_env *env,
                                        const struct coffer_kms_signing *how)
{
    struct signed_memory *made = cof_kms_alloc(env, sizeof(*made));

    if (made == NULL) {
        return NULL;
    }
    made->env = *env;
    cof_sigv4_text_init(&made->target, &made->env);
    cof_sigv4_text_init(&made->names, &made->env);
    cof_sigv4_text_init(&made->canonical, &made->env);
    cof_sigv4_text_init(&made->to_sign, &made->env);
    cof_sigv4_text_init(&made->authorization, &made->env);
    cof_sigv4_text_init(&made->token, &made->env);
    if (how->session_token != NULL && how->session_token[0] != '\0') {
        cof_sigv4_put_text(&made->token, how->session_token);
    }
    cof_sigv4_stamp(how->time_ns == 0 ? cof_kms_wall_ns(env) : how->time_ns, made->stamp);
    return made;
}

static void hand_out(struct signed_memory *made, const char *signature,
                     struct coffer_kms_signed *ret_signed)
{
    ret_signed->target = made->target.at;
    ret_signed->headers = made->headers;
    ret_signed->header_count = made->header_count;
    ret_signed->canonical_request = made->canonical.at;
    ret_signed->string_to_sign = made->to_sign.at;
    memcpy(ret_signed->signature, signature, COFFER_KMS_SIGNATURE_BYTES);
    ret_signed->memory = made;
}

int cof_sigv4_sign(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                   const struct coffer_kms_signing *signing_opts,
                   struct coffer_kms_signed *ret_signed, struct coffer_fault *fault)
{
    struct signing signing;
    char signature[COFFER_KMS_SIGNATURE_BYTES] = "";
    int error = check_key(signing_opts, fault);

    if (error == 0) {
        error = check_headers(request, fault);
    }
    if (error != 0) {
        return error;
    }
    signing.how = signing_opts;
    signing.service =
        signing_opts->service == NULL ? COFFER_KMS_SIGNING_NAME : signing_opts->service;
    signing.request = *request;
    if (request->header_count > 0) {
        memcpy(signing.headers, request->headers,
               request->header_count * sizeof(*request->headers));
    }
    signing.request.headers = signing.headers;
    signing.made = new_memory(env, signing_opts);
    if (signing.made == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = signing.made->token.failed ? COFFER_E_NO_MEMORY : 0;
    if (error == 0) {
        error = signing_opts->expires_seconds == 0 ? sign_headers(&signing, signature)
                                                   : sign_query(&signing, signature);
    }
    if (error != 0) {
        free_memory(signing.made);
        return error == COFFER_E_INVALID
                   ? cof_kms_fault(fault, error,
                                   "the request's target or a header's name is "
                                   "malformed, or it has too many parameters")
                   : cof_kms_fault(fault, error, NULL);
    }
    hand_out(signing.made, signature, ret_signed);
    return 0;
}

int coffer_kms_sign(const struct coffer_env *env, const struct coffer_kms_http_request *request,
                    const struct coffer_kms_signing *signing, struct coffer_kms_signed *ret_signed,
                    struct coffer_fault *fault)
{
    struct cof_kms_env resolved;

    if (request == NULL || signing == NULL || ret_signed == NULL ||
        request->size < sizeof(*request) || signing->size < sizeof(*signing) ||
        ret_signed->size < sizeof(*ret_signed)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    cof_kms_env_init(&resolved, env);
    return cof_sigv4_sign(&resolved, request, signing, ret_signed, fault);
}

void coffer_kms_signed_done(struct coffer_kms_signed *made)
{
    if (made != NULL && made->memory != NULL) {
        free_memory(made->memory);
        made->memory = NULL;
        made->target = NULL;
        made->headers = NULL;
        made->header_count = 0;
        made->canonical_request = NULL;
        made->string_to_sign = NULL;
    }
}
