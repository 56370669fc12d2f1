/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/transfer.c - one signed POST and its answer, by libcurl. A redirect is an answer like any
 * other (no key service gives one), and so is what a proxy says.
 *
 * Invariants
 * - One try takes no longer than the time that its call has left, and no more memory than the
 *   caller allowed for an answer.
 * - A handle belongs to one thread while it is in use; idle ones wait in client->idle with their
 *   connections. A request that must not be done twice goes over a connection of its own, since
 *   libcurl repeats what it sent over one that turns out to be dead.
 * - A message names host, port and reason, never a header or a body.
 */
#include "client/client.h"

#include "wire/wire.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define USER_AGENT "coffer"
#define CIPHERS_13 "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int init_error;

static void init(void)
{
    init_error = cof_client_memory_init();
}

int cof_client_transfer_init(void)
{
    (void)pthread_once(&init_once, init);
    return init_error;
}

/* ---- handles ----------------------------------------------------------------------------- */

static CURL *take_handle(struct coffer_kms_client *client)
{
    CURL *handle = NULL;

    (void)pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0) {
        handle = client->idle[--client->idle_count];
    }
    (void)pthread_mutex_unlock(&client->lock);
    return handle != NULL ? handle : curl_easy_init();
}

static void give_handle(struct coffer_kms_client *client, CURL *handle)
{
    curl_easy_reset(handle);
    (void)pthread_mutex_lock(&client->lock);
    if (client->idle_count < client->connections_max) {
        client->idle[client->idle_count++] = handle;
        handle = NULL;
    }
    (void)pthread_mutex_unlock(&client->lock);
    curl_easy_cleanup(handle);
}

void cof_client_transfer_done(struct coffer_kms_client *client)
{
    while (client->idle_count > 0) {
        curl_easy_cleanup(client->idle[--client->idle_count]);
    }
}

/* ---- the request ------------------------------------------------------------------------- */

static int add_header(struct curl_slist **headers, const char *name, const char *value)
{
    char line[COFFER_KMS_SESSION_TOKEN_BYTES_MAX + 64];
    struct curl_slist *longer;

    if ((size_t)snprintf(line, sizeof(line), "%s: %s", name, value) >= sizeof(line)) {
        return COFFER_E_INVALID;
    }
    longer = curl_slist_append(*headers, line);
    if (longer == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    *headers = longer;
    return 0;
}

/* Identities are another service's, in AWS's world as in ours. */
static const char *prefix_of(const char *operation)
{
    const struct cof_wire_operation *known = cof_wire_find(operation);

    return known != NULL && (known->flags & COF_WIRE_IDENTITY) != 0 ? COFFER_KMS_IDENTITY_PREFIX
                                                                    : COFFER_KMS_TARGET_PREFIX;
}

static int sign(struct coffer_kms_client *client, const struct cof_client_try *try_,
                struct curl_slist **headers, struct coffer_fault *fault)
{
    char target[COFFER_KMS_ERROR_BYTES_MAX + sizeof(COFFER_KMS_IDENTITY_PREFIX)];
    const struct coffer_kms_header own[] = {{"Host", client->endpoint.host},
                                            {"Content-Type", COFFER_KMS_CONTENT_TYPE},
                                            {"X-Amz-Target", target}};
    struct coffer_kms_http_request request = {.size = sizeof(request),
                                              .method = "POST",
                                              .target = "/",
                                              .headers = own,
                                              .header_count = sizeof(own) / sizeof(own[0]),
                                              .body = try_->body,
                                              .body_bytes = try_->body_bytes};
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = client->secrets->now.access_key_id,
                                         .secret = client->secrets->now.secret,
                                         .region = client->region};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    int error;

    (void)snprintf(target, sizeof(target), "%s%s", prefix_of(try_->operation), try_->operation);
    (void)pthread_mutex_lock(&client->secrets_lock);
    if (client->secrets->now.session_token[0] != '\0') {
        signing.session_token = client->secrets->now.session_token;
    }
    error = coffer_kms_sign(&client->env.api, &request, &signing, &made, fault);
    (void)pthread_mutex_unlock(&client->secrets_lock);
    if (error != 0) {
        return error;
    }
    for (unsigned i = 0; error == 0 && i < request.header_count; i++) {
        error = add_header(headers, own[i].name, own[i].value);
    }
    for (unsigned i = 0; error == 0 && i < made.header_count; i++) {
        error = add_header(headers, made.headers[i].name, made.headers[i].value);
    }
    coffer_kms_signed_done(&made);
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

static size_t keep_bytes(char *bytes, size_t one, size_t count, void *ctx)
{
    return cof_client_body_add(ctx, bytes, one * count) == 0 ? one * count : 0;
}

static CURLcode harden(CURL *handle, void *ssl_ctx, void *ctx)
{
    (void)handle;
    (void)ctx;
    cof_client_tls_harden(ssl_ctx);
    return CURLE_OK;
}

static void set_tls(const struct coffer_kms_client *client, CURL *handle)
{
    long oldest = (client->flags & COFFER_KMS_CLIENT_TLS12) != 0 ? CURL_SSLVERSION_TLSv1_2
                                                                 : CURL_SSLVERSION_TLSv1_3;

    (void)curl_easy_setopt(handle, CURLOPT_SSLVERSION, oldest);
    (void)curl_easy_setopt(handle, CURLOPT_TLS13_CIPHERS, CIPHERS_13);
    (void)curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, harden);
    if (client->ca_file != NULL) {
        (void)curl_easy_setopt(handle, CURLOPT_CAINFO, client->ca_file);
        (void)curl_easy_setopt(handle, CURLOPT_CAPATH, NULL);
    }
}

static void set_up(const struct coffer_kms_client *client, const struct cof_client_try *try_,
                   CURL *handle, struct curl_slist *headers, struct cof_client_body *body)
{
    uint64_t left_ms = try_->time_left_ns / 1000000u + 1;
    uint64_t connect_ms = left_ms < client->connect_timeout_ms ? left_ms
                                                               : client->connect_timeout_ms;

    (void)curl_easy_setopt(handle, CURLOPT_URL, client->endpoint.url);
    (void)curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, client->endpoint.tls ? "https" : "http");
    (void)curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(handle, CURLOPT_USERAGENT, USER_AGENT);
    (void)curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)left_ms);
    (void)curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(handle, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(handle, CURLOPT_POSTFIELDS, (const char *)try_->body);
    (void)curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)try_->body_bytes);
    (void)curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, keep_bytes);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, body);
    (void)curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, try_->safe ? 0L : 1L);
    if ((client->flags & COFFER_KMS_CLIENT_PROXY) == 0) {
        (void)curl_easy_setopt(handle, CURLOPT_PROXY, "");
    }
    if (client->endpoint.unix_path[0] != '\0') {
        (void)curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, client->endpoint.unix_path);
    }
    set_tls(client, handle);
}

/* ---- the answer -------------------------------------------------------------------------- */

static void read_request_id(CURL *handle, struct coffer_kms_answer *answer)
{
    struct curl_header *header = NULL;

    if (curl_easy_header(handle, "x-amzn-RequestId", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strspn(header->value, "0123456789abcdefABCDEF-") == strlen(header->value)) {
        (void)snprintf(answer->request_id, sizeof(answer->request_id), "%s", header->value);
    }
}

/* AWS says application/x-amz-json-1.1; what is in front of it may say application/json. */
static bool says_json(CURL *handle)
{
    const char *type = NULL;

    (void)curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
    return type != NULL && (strncasecmp(type, COFFER_KMS_CONTENT_TYPE,
                                        sizeof(COFFER_KMS_CONTENT_TYPE) - 1) == 0 ||
                            strncasecmp(type, "application/json", 16) == 0);
}

static int unreachable(const struct coffer_kms_client *client, CURLcode code,
                       const struct cof_client_body *body, struct coffer_fault *fault)
{
    const char *where = client->endpoint.unix_path[0] != '\0' ? client->endpoint.unix_path
                                                              : client->endpoint.host;

    if (body->too_long) {
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                             "the key service %s answered with more than %zu bytes", where,
                             body->max);
    }
    if (code == CURLE_WRITE_ERROR) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        /* libcurl says so of a header beyond its own bound, too. */
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                             "no memory for the answer of the key service %s, or for its headers",
                             where);
    }
    if (code == CURLE_SSL_CACERT_BADFILE) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "cannot read the CA certificates of %s",
                             client->ca_file != NULL ? client->ca_file : "the system");
    }
    return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE, "cannot reach the key service %s: %s",
                         where, curl_easy_strerror(code));
}

static int read_answer(CURL *handle, struct cof_client_body *body,
                       struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    struct coffer_kms_answer answer = {.size = ret_answer->size};
    long status = 0;
    int error;

    (void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (int)status;
    answer.body = body->bytes;
    answer.body_bytes = body->count;
    read_request_id(handle, &answer);
    if ((body->count > 0 || status != 200) && !says_json(handle)) {
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                             "HTTP %d without JSON: is the URL that of a key service?",
                             answer.status);
    }
    error = cof_client_answer_read(&answer, fault);
    if (error == 0) {
        *ret_answer = answer;
        body->bytes = NULL;
    }
    return error;
}

static int perform(struct coffer_kms_client *client, struct cof_client_try *try_, CURL *handle,
                   struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    struct cof_client_body body = {.env = &client->env, .max = client->answer_bytes_max};
    struct curl_slist *headers = NULL;
    long sent_bytes = 0;
    CURLcode code;
    int error = sign(client, try_, &headers, fault);

    if (error == 0) {
        set_up(client, try_, handle, headers, &body);
        code = curl_easy_perform(handle);
        (void)curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &sent_bytes);
        try_->arrived = sent_bytes > 0;
        error = code == CURLE_OK ? read_answer(handle, &body, ret_answer, fault)
                                 : unreachable(client, code, &body, fault);
    }
    curl_slist_free_all(headers);
    cof_client_body_done(&body);
    return error;
}

int cof_client_transfer(struct coffer_kms_client *client, struct cof_client_try *try_,
                        struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    CURL *handle = take_handle(client);
    int error;

    try_->arrived = false;
    if (handle == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = perform(client, try_, handle, ret_answer, fault);
    give_handle(client, handle);
    return error;
}
