/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/exchange.c - a request that has been read, its call, its answer.
 *
 * The loop makes the exchange, a worker the call, the loop sends the answer. While the call is at
 * work the request is the exchange's alone: evhttp reads no further, and what the worker sees
 * points into it. The answer's body is lent to libevent and wiped when it has been sent, or when
 * its connection is gone; libevent's own memory is wiped by server.c's allocator.
 */
#include "server/head.h"
#include "server/inner.h"
#include "server/log.h"

#include "name.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/util.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

struct cof_exchange {
    struct cof_server_job job;
    struct cof_server *server;
    struct cof_connection *connection; /* NULL once it is gone */
    struct evhttp_request *req;
    struct cof_server_head head;
    struct coffer_kms_header *headers;
    struct coffer_kms_http_request request;
    struct coffer_kms_http_response response;
    const struct cof_server_refusal *refusal; /* in place of a response; or healthy */
    bool close;                               /* the connection after the answer */
    int error;                                /* of the call */
    uint64_t start_ns;
    void (*http_done)(struct coffer_kms_http_response *response);
    struct cof_kms_env *env;
    char request_id[COFFER_KMS_REQUEST_ID_BYTES]; /* of the server's own answers */
};

/* GET /healthz, for load balancers, without a signature: it lives and takes requests. */
static const struct cof_server_refusal healthy = {200, "-", "ok"};

/* ---- beginning --------------------------------------------------------------------------- */

static int take_headers(struct cof_exchange *x)
{
    const struct evkeyvalq *list = evhttp_request_get_input_headers(x->req);
    const struct evkeyval *item;
    unsigned count = 0;
    TAILQ_FOREACH(item, list, next)
    {
        count++;
    }
    x->headers = cof_kms_alloc(x->env, (count + 1) * sizeof *x->headers);
    if (x->headers == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    TAILQ_FOREACH(item, list, next)
    {
        x->headers[x->head.header_count].name = item->key;
        x->headers[x->head.header_count++].value = item->value;
    }
    x->head.headers = x->headers;
    return 0;
}

static const char *method_of(const struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    default:
        return "-"; /* evhttp has refused it */
    }
}

static int fill(struct cof_exchange *x, const struct cof_front *front)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(x->req);
    x->head.major = x->req->major;
    x->head.minor = x->req->minor;
    /* evhttp answers in the version of the request, HTTP/-1.1 if need be. */
    x->req->major = 1;
    x->req->minor = 1;
    x->head.method = method_of(x->req);
    x->head.target = evhttp_request_get_uri(x->req);
    int error = take_headers(x);
    x->request = (struct coffer_kms_http_request){
        .size = sizeof x->request,
        .method = x->head.method,
        .target = x->head.target,
        .headers = x->headers,
        .header_count = x->head.header_count,
        .body_bytes = evbuffer_get_length(body),
        .body = evbuffer_pullup(body, -1),
        .peer = front->has_peers ? x->req->remote_host : NULL,
    };
    x->response.size = sizeof x->response;
    return error != 0 || (x->request.body_bytes > 0 && x->request.body == NULL) ? COFFER_E_NO_MEMORY
                                                                                : 0;
}

static void work(struct cof_server_job *job)
{
    struct cof_exchange *x = (struct cof_exchange *)(void *)job;
    x->error = x->server->opts.calls->http(x->server->opts.calls->ctx, &x->request, &x->response);
}

/* ---- answer ------------------------------------------------------------------------------ */

static void free_exchange(struct cof_exchange *x)
{
    x->http_done(&x->response);
    cof_kms_free(x->env, x->headers);
    cof_kms_free(x->env, x);
}

static void on_body_sent(const void *data, size_t bytes, void *ctx)
{
    (void)data;
    (void)bytes;
    free_exchange(ctx);
}

static void add(struct cof_exchange *x, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(x->req), name, value);
}

static void add_own(struct cof_exchange *x, struct evbuffer *body)
{
    uint8_t random[16];
    if (cof_kms_random(x->env, random, sizeof random) == 0) {
        cof_kms_uuid_text(random, x->request_id);
    }
    add(x, "x-amzn-RequestId", x->request_id);
    if (x->refusal == &healthy) {
        add(x, "Content-Type", "text/plain");
        add(x, "Cache-Control", "no-store");
        (void)evbuffer_add_printf(body, "%s\n", healthy.message);
        return;
    }
    add(x, "Content-Type", COFFER_KMS_CONTENT_TYPE);
    add(x, "x-amzn-ErrorType", x->refusal->type);
    (void)evbuffer_add_printf(body, "{\"__type\":\"%s\",\"message\":\"%s\"}", x->refusal->type,
                              x->refusal->message);
}

static void log_exchange(const struct cof_exchange *x, int status, size_t bytes)
{
    struct cof_server_log_line line = {
        .wall_ns = cof_kms_wall_ns(x->env),
        .took_ns = x->env->api.monotonic_ns(x->env->api.ctx) - x->start_ns,
        .head = &x->head,
        .peer = x->request.peer,
        .status = status,
        .request_id = x->request_id,
        .error = "-",
        .bytes_in = x->request.body_bytes,
        .bytes_out = bytes,
    };
    if (x->refusal != NULL) {
        line.error = x->refusal->type;
    } else {
        const struct coffer_kms_http_response *r = &x->response;
        const char *id = cof_server_header(r->headers, r->header_count, "x-amzn-RequestId");
        const char *error = cof_server_header(r->headers, r->header_count, "x-amzn-ErrorType");
        line.request_id = id == NULL ? "-" : id;
        line.error = error == NULL ? "-" : error;
    }
    cof_server_log(x->server, &line);
}

/* Without memory for an answer. */
static void give_up(struct cof_exchange *x)
{
    if (x->connection != NULL) {
        x->connection->exchange = NULL;
        evhttp_send_error(x->req, 500, NULL);
    } else {
        evhttp_request_free(x->req);
    }
    free_exchange(x);
}

/* By the service's clock, which clients correct theirs by; evhttp would take the machine's. */
static void add_date(struct cof_exchange *x)
{
    time_t seconds = (time_t)(cof_kms_wall_ns(x->env) / 1000000000u);
    struct tm parts;
    char text[64];
    if (gmtime_r(&seconds, &parts) != NULL &&
        evutil_date_rfc1123(text, sizeof text, &parts) > 0) {
        add(x, "Date", text);
    }
}

static bool add_response(struct cof_exchange *x, struct evbuffer *body)
{
    const struct coffer_kms_http_response *r = &x->response;
    for (unsigned i = 0; i < r->header_count; i++) {
        add(x, r->headers[i].name, r->headers[i].value);
    }
    return r->body_bytes > 0 &&
           evbuffer_add_reference(body, r->body, r->body_bytes, on_body_sent, x) == 0;
}

/* Hand the answer to evhttp, which frees the request. */
static void pass_on(struct cof_exchange *x, int status, struct evbuffer *body)
{
    struct cof_connection *connection = x->connection;
    if (connection == NULL) {
        evhttp_request_free(x->req);
        return;
    }
    add_date(x);
    if (x->close || x->server->stopping || connection->requests >= x->server->opts.requests_max) {
        add(x, "Connection", "close");
    }
    connection->exchange = NULL;
    cof_connection_begin_answer(connection, x->req, evbuffer_get_length(body));
    evhttp_send_reply(x->req, status, NULL, body);
}

/* The end of the body, or of the memory that it lay in, is the exchange's end. */
static void send_answer(struct cof_exchange *x)
{
    struct evbuffer *body = evbuffer_new();
    int status = x->refusal != NULL ? x->refusal->status : x->response.status;
    bool lent = false;
    if (body == NULL) {
        give_up(x);
        return;
    }
    if (x->refusal != NULL) {
        add_own(x, body);
    } else {
        lent = add_response(x, body);
    }
    log_exchange(x, status, evbuffer_get_length(body));
    pass_on(x, status, body);
    /* An exchange whose body was lent may be gone by now. */
    evbuffer_free(body);
    if (!lent) {
        free_exchange(x);
    }
}

static void on_done(struct cof_server_job *job)
{
    struct cof_exchange *x = (struct cof_exchange *)(void *)job;
    struct cof_server *server = x->server;
    if (x->error != 0) {
        x->refusal = &cof_server_internal;
    }
    send_answer(x);
    cof_server_settle(server);
}

static void on_drop(struct cof_server_job *job)
{
    struct cof_exchange *x = (struct cof_exchange *)(void *)job;
    x->refusal = &cof_server_busy;
    x->close = true;
    send_answer(x);
}

void cof_exchange_abandon(struct cof_exchange *x)
{
    x->connection = NULL;
}

void cof_exchange_begin(struct evhttp_request *req, void *ctx)
{
    struct cof_front *front = ctx;
    struct cof_server *server = front->server;
    struct cof_connection *connection = cof_connection_of(server, req);
    struct cof_exchange *x = cof_kms_alloc(&server->env, sizeof *x);
    if (x == NULL || connection == NULL) {
        cof_kms_free(&server->env, x);
        evhttp_send_error(req, 503, NULL);
        return;
    }
    x->job = (struct cof_server_job){.work = work, .done = on_done, .drop = on_drop};
    x->server = server;
    x->env = &server->env;
    x->http_done = server->opts.calls->http_done;
    x->connection = connection;
    x->req = req;
    x->start_ns = server->env.api.monotonic_ns(server->env.api.ctx);
    connection->exchange = x;
    cof_connection_begin_work(connection);
    x->refusal = fill(x, front) != 0 ? &cof_server_internal : cof_server_head_check(&x->head);
    if (x->refusal != NULL) {
        x->close = true;
        send_answer(x);
    } else if (strcmp(x->head.method, "GET") == 0 && strcmp(x->head.target, "/healthz") == 0) {
        x->refusal = server->stopping ? &cof_server_busy : &healthy;
        send_answer(x);
    } else if (!cof_server_pool_push(&server->pool, &x->job)) {
        x->refusal = &cof_server_busy;
        send_answer(x);
    }
}
