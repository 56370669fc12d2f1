/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/http.c - coffer_kms_http: a request as HTTP has it, authenticated, then one call.
 *
 * Order: size, health, method and path, signature, rate, content type, target, call. So nobody
 * without a valid signature learns which operations there are, or makes the service do more than
 * check one.
 *
 * Invariants: a call's principal is the owner of the access key that signed it, its region the one
 * of the credential scope; every answer has a request id. Any thread.
 */
#include "wire/authenticate.h"
#include "wire/errors.h"
#include "wire/wire.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX 4u

struct front {
    struct coffer_keystore *ks;
    const struct coffer_kms_http_request *request;
    struct cof_identity_caller caller;
    struct coffer_kms_answer answer;
    bool announced; /* batch.h: a call is on its way */
};

/* ---- what was asked ---------------------------------------------------------------------- */

static const char *header_of(const struct coffer_kms_http_request *request, const char *name)
{
    unsigned i;

    for (i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return NULL;
}

/* application/x-amz-json-1.1 or -1.0, whatever parameters follow. */
static bool content_type_ok(const char *type)
{
    static const char prefix[] = "application/x-amz-json-1.";
    size_t length = sizeof(prefix) - 1;

    return type != NULL && strncasecmp(type, prefix, length) == 0 &&
           (type[length] == '0' || type[length] == '1') &&
           (type[length + 1] == '\0' || type[length + 1] == ';' || type[length + 1] == ' ');
}

static bool path_is(const char *target, const char *path)
{
    size_t length = strlen(path);

    return strncmp(target, path, length) == 0 &&
           (target[length] == '\0' || target[length] == '?');
}

/* ---- answers ----------------------------------------------------------------------------- */

static int refuse(struct front *front, int status, const char *name, const char *message)
{
    struct coffer_kms_answer *answer = &front->answer;

    answer->status = status;
    (void)snprintf(answer->error, sizeof(answer->error), "%s", name);
    return cof_wire_body(front->ks, cof_wire_error_json(name, message), &answer->body,
                         &answer->body_bytes);
}

struct header_block {
    struct coffer_kms_header list[HEADERS_MAX];
    char request_id[COFFER_KMS_REQUEST_ID_BYTES];
    char error[COFFER_KMS_ERROR_BYTES_MAX];
};

/* Move the answer into the response, and block, which was had before the call: an answer that is
 * there gets out. */
static void respond(struct front *front, struct header_block *block,
                    struct coffer_kms_http_response *ret_response)
{
    unsigned count = 0;

    memcpy(block->request_id, front->answer.request_id, sizeof(block->request_id));
    memcpy(block->error, front->answer.error, sizeof(block->error));
    block->list[count++] = (struct coffer_kms_header){"x-amzn-RequestId", block->request_id};
    block->list[count++] = (struct coffer_kms_header){"Cache-Control", "no-store"};
    block->list[count++] = (struct coffer_kms_header){"Content-Type", COFFER_KMS_CONTENT_TYPE};
    if (block->error[0] != '\0') {
        block->list[count++] = (struct coffer_kms_header){"x-amzn-ErrorType", block->error};
    }
    ret_response->status = front->answer.status;
    ret_response->headers = block->list;
    ret_response->header_count = count;
    ret_response->body = front->answer.body;
    ret_response->body_bytes = front->answer.body_bytes;
}

void coffer_kms_http_response_done(struct coffer_kms_http_response *response)
{
    if (response != NULL) {
        cof_wire_block_free(response->body);
        /* The headers stand at the beginning of their block. */
        cof_wire_block_free((void *)(uintptr_t)response->headers);
        response->body = NULL;
        response->body_bytes = 0;
        response->headers = NULL;
        response->header_count = 0;
    }
}

/* ---- health ------------------------------------------------------------------------------ */

/* Ready: the store's file can be read, and its keys are in memory. Leaves no record. */
static int answer_health(struct front *front)
{
    struct coffer_keystore *ks = front->ks;
    uint64_t seen;
    int error = cof_kms_batch_look(ks, &seen);

    if (error == 0) {
        cof_kms_batch_look_away(ks);
    }
    front->answer.status = error == 0 ? 200 : 503;
    return cof_wire_body(ks, json_pack("{s:s}", "status", error == 0 ? "ready" : "not ready"),
                         &front->answer.body, &front->answer.body_bytes);
}

/* ---- the call ---------------------------------------------------------------------------- */

/* The operation that a target names, of either prefix; NULL when it is of none. */
static const char *operation_of(const char *target)
{
    static const struct {
        const char *prefix;
        unsigned flag;
    } prefixes[] = {{COFFER_KMS_TARGET_PREFIX, 0},
                    {COFFER_KMS_IDENTITY_PREFIX, COF_WIRE_IDENTITY}};
    size_t i;

    for (i = 0; target != NULL && i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i].prefix);

        if (strncmp(target, prefixes[i].prefix, length) == 0) {
            const struct cof_wire_operation *operation = cof_wire_find(target + length);

            return operation != NULL && (operation->flags & COF_WIRE_IDENTITY) == prefixes[i].flag
                       ? operation->name
                       : NULL;
        }
    }
    return NULL;
}

static int answer_call(struct front *front)
{
    const struct coffer_kms_http_request *http = front->request;
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation_of(header_of(http, "X-Amz-Target")),
                                         .principal = front->caller.principal,
                                         .region = front->caller.region,
                                         .source_ip = http->peer,
                                         .user_agent = header_of(http, "User-Agent"),
                                         .session_policy = front->caller.session_policy,
                                         .session_ends_ns = front->caller.session_ends_ns,
                                         .body = http->body,
                                         .body_bytes = http->body_bytes};
    const struct cof_wire_remote remote = {&front->announced, front->caller.seen_batch,
                                           front->answer.request_id};

    if (!content_type_ok(header_of(http, "Content-Type"))) {
        return refuse(front, 400, COF_WIRE_UNKNOWN_OPERATION,
                      "the content type is not " COFFER_KMS_CONTENT_TYPE);
    }
    if (request.operation == NULL) {
        return refuse(front, 400, COF_WIRE_UNKNOWN_OPERATION,
                      "X-Amz-Target names no operation that there is");
    }
    return cof_wire_call(front->ks, &request, &remote, &front->answer);
}

/* POST /, signed. */
static int answer_post(struct front *front)
{
    struct coffer_keystore *ks = front->ks;
    uint64_t now_ns = cof_kms_wall_ns(&ks->env);
    struct cof_sigv4_result result;
    int error;

    /* From here on a signature is all that keeps the call from the batch. */
    front->announced = ks->secrets->canary == COF_KMS_CANARY;
    if (front->announced) {
        cof_kms_batch_announce(ks);
    }
    error = cof_identity_authenticate(ks, front->request, &front->announced, &front->caller,
                                      &result);
    if (error != 0) {
        return error;
    }
    if (result.verdict != COF_SIGV4_GOOD) {
        return refuse(front, cof_sigv4_verdict_status(result.verdict),
                      cof_sigv4_verdict_name(result.verdict), result.message);
    }
    if (!cof_throttle_take(&ks->throttle, front->caller.account, now_ns)) {
        const struct cof_wire_error *throttled = cof_wire_error_of(COFFER_E_THROTTLED);

        return refuse(front, throttled->status, throttled->name, "Rate exceeded");
    }
    return answer_call(front);
}

static int answer_request(struct front *front)
{
    const struct coffer_kms_http_request *request = front->request;

    if (request->body_bytes > COFFER_KMS_BODY_BYTES_MAX) {
        return refuse(front, 413, COF_WIRE_TOO_LARGE, "a request has at most 1 MiB");
    }
    if (strcmp(request->method, "GET") == 0 && path_is(request->target, "/healthz")) {
        return answer_health(front);
    }
    if (strcmp(request->method, "POST") != 0 || !path_is(request->target, "/")) {
        return refuse(front, 404, COF_WIRE_UNKNOWN_OPERATION, "a request is POST /");
    }
    return answer_post(front);
}

int coffer_kms_http(struct coffer_keystore *store, const struct coffer_kms_http_request *request,
                    struct coffer_kms_http_response *ret_response)
{
    struct front front = {
        .ks = store, .request = request, .answer = {.size = sizeof(front.answer)}};
    struct header_block *block;
    int error;

    if (store == NULL || request == NULL || request->size != sizeof(*request) ||
        request->method == NULL || request->target == NULL ||
        (request->headers == NULL && request->header_count > 0) ||
        (request->body == NULL && request->body_bytes > 0) || ret_response == NULL ||
        ret_response->size != sizeof(*ret_response)) {
        return COFFER_E_INVALID;
    }
    cof_wire_json_init();
    block = cof_wire_block_new(&store->env, sizeof(*block));
    error = block == NULL ? COFFER_E_NO_MEMORY
                          : cof_wire_request_id(store, front.answer.request_id);
    if (error == 0) {
        error = answer_request(&front);
    }
    if (front.announced) {
        cof_kms_batch_withdraw(store);
    }
    cof_identity_caller_done(&front.caller);
    if (error == 0) {
        respond(&front, block, ret_response);
    } else {
        coffer_kms_answer_done(&front.answer);
        cof_wire_block_free(block);
    }
    return error;
}

int coffer_kms_rates_set(struct coffer_keystore *store, const struct coffer_kms_rates *rates)
{
    return store == NULL || rates == NULL || rates->size != sizeof(*rates)
               ? COFFER_E_INVALID
               : cof_throttle_set(&store->throttle, rates);
}
