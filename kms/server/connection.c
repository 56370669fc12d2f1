/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/connection.c - connections: deadlines, their number, and the memory that they may take.
 *
 * evhttp makes the connection object after it has asked for the bufferevent, so the object is found
 * in the loop's next turn, as the argument of the bufferevent's callbacks; until then a reference
 * of our own keeps the bufferevent.
 *
 * Invariants:
 * - Every connection has a deadline, except while its call is at work.
 * - Nothing is read while a call is at work; otherwise at most INPUT_BYTES_MAX lie unparsed.
 * - charged_bytes is the sum of all charge_bytes. When it exceeds the bound, the connections that
 *   hold the most go, so that one sender of large halves cannot crowd out many small requests.
 * - A connection is closed from the loop, never from within a callback of its own buffers.
 */
#include "server/inner.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define INPUT_BYTES_MAX (COF_SERVER_HEAD_BYTES_MAX + COF_SERVER_BODY_BYTES_MAX + 4096u)
#define HEADER_COST_BYTES 160u /* what evhttp allocates for a header, beside its text */
#define CLOSE_MS 1000u         /* for an answer that is under way when the stop is forced */

/* ---- deadlines --------------------------------------------------------------------------- */

static void arm(struct cof_connection *c, unsigned ms)
{
    struct timeval after = {(time_t)(ms / 1000u), (suseconds_t)(ms % 1000u) * 1000};
    (void)evtimer_add(c->deadline, &after);
}

static void close_soon(struct cof_connection *c)
{
    c->doomed = true;
    event_active(c->deadline, EV_TIMEOUT, 0);
}

/* ---- memory ------------------------------------------------------------------------------ */

static void charge(struct cof_connection *c, uint64_t bytes)
{
    c->server->charged_bytes += bytes - c->charge_bytes;
    c->charge_bytes = bytes;
}

static void make_room(struct cof_server *server)
{
    while (server->charged_bytes > server->opts.memory_bytes_max) {
        struct cof_connection *largest = NULL;
        for (struct cof_connection *c = server->connections; c != NULL; c = c->next) {
            if (c->phase != COF_WORKING && c->charge_bytes > 0 &&
                (largest == NULL || c->charge_bytes > largest->charge_bytes)) {
                largest = c;
            }
        }
        if (largest == NULL) {
            return;
        }
        charge(largest, 0);
        close_soon(largest);
    }
}

static size_t count_lines(struct evbuffer *input, size_t added)
{
    struct evbuffer_ptr at;
    size_t lines = 0, from = evbuffer_get_length(input) - added;
    if (evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) != 0) {
        return 0;
    }
    for (;;) {
        at = evbuffer_search(input, "\n", 1, &at);
        if (at.pos < 0 || evbuffer_ptr_set(input, &at, 1, EVBUFFER_PTR_ADD) != 0) {
            return lines + (at.pos >= 0);
        }
        lines++;
    }
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *ctx)
{
    struct cof_connection *c = ctx;
    if (info->n_added == 0 || c->doomed) {
        return;
    }
    if (c->phase == COF_NEW || c->phase == COF_IDLE) {
        c->phase = COF_READING;
        arm(c, c->server->opts.request_timeout_ms);
    }
    /* A header of one letter takes far more memory than the three bytes that bring it. */
    charge(c,
           c->charge_bytes + info->n_added + HEADER_COST_BYTES * count_lines(input, info->n_added));
    make_room(c->server);
}

/* ---- beginning and end ------------------------------------------------------------------- */

static void release(struct cof_connection *c)
{
    struct cof_server *server = c->server;
    charge(c, 0);
    *c->link = c->next;
    if (c->next != NULL) {
        c->next->link = c->link;
    }
    if (c->http != NULL) {
        server->by_fd[c->fd] = NULL;
    }
    if (c->exchange != NULL) {
        cof_exchange_abandon(c->exchange);
    }
    (void)evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->input);
    event_free(c->deadline);
    (void)bufferevent_decref(c->bev);
    cof_kms_free(&server->env, c);
    server->connection_count--;
    cof_server_accept(server, true);
    cof_server_settle(server);
}

static void on_close(struct evhttp_connection *http, void *ctx)
{
    (void)http;
    release(ctx);
}

/* Whether there is a place for fd in the table. */
static bool reach_fd(struct cof_server *server, evutil_socket_t fd)
{
    unsigned count = server->by_fd_count == 0 ? 1024 : server->by_fd_count;
    if (fd < 0 || (unsigned)fd < server->by_fd_count) {
        return fd >= 0;
    }
    while (count <= (unsigned)fd) {
        count *= 2;
    }
    struct cof_connection **table = cof_kms_alloc(&server->env, count * sizeof *table);
    if (table == NULL) {
        return false;
    }
    for (unsigned i = 0; i < server->by_fd_count; i++) {
        table[i] = server->by_fd[i];
    }
    cof_kms_free(&server->env, server->by_fd);
    server->by_fd = table;
    server->by_fd_count = count;
    return true;
}

static void adopt(struct cof_connection *c)
{
    struct cof_server *server = c->server;
    void *http = NULL;
    int on = 1;
    bufferevent_getcb(c->bev, NULL, NULL, NULL, &http);
    c->fd = bufferevent_getfd(c->bev);
    if (http == NULL) {
        release(c); /* evhttp has given it up for want of memory */
        return;
    }
    if (!reach_fd(server, c->fd)) {
        release(c);
        evhttp_connection_free(http);
        return;
    }
    /* Head and body of an answer are two records of TLS: the second must not wait 40 ms for the
     * first one's acknowledgement. A unix socket has no such option and no such wait. */
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->http = http;
    server->by_fd[c->fd] = c;
    evhttp_connection_set_closecb(http, on_close, c);
    if (server->stopping) {
        close_soon(c);
    } else {
        arm(c, server->opts.request_timeout_ms);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct cof_connection *c = ctx;
    (void)fd;
    (void)what;
    if (c->http == NULL) {
        adopt(c);
    } else if (c->phase != COF_WORKING) {
        evhttp_connection_free(c->http);
    }
}

static struct bufferevent *make_bev(struct event_base *base, const struct cof_front *front)
{
    return front->tls != NULL ? cof_server_tls_accept(front->tls, base)
                              : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
}

static void link_in(struct cof_connection *c)
{
    struct cof_server *server = c->server;
    c->next = server->connections;
    c->link = &server->connections;
    if (c->next != NULL) {
        c->next->link = &c->next;
    }
    server->connections = c;
    server->connection_count++;
    if (server->connection_count >= server->opts.connections_max) {
        cof_server_accept(server, false);
    }
}

/* After NULL evhttp makes a plain bufferevent of its own, whose requests find no connection here
 * and are refused. */
struct bufferevent *cof_connection_new(struct event_base *base, void *ctx)
{
    struct cof_front *front = ctx;
    struct cof_server *server = front->server;
    struct cof_connection *c = cof_kms_alloc(&server->env, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->server = server;
    c->bev = make_bev(base, front);
    c->deadline = evtimer_new(base, on_deadline, c);
    if (c->bev != NULL) {
        c->input = evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c);
    }
    if (c->input == NULL || c->deadline == NULL) {
        if (c->bev != NULL) {
            bufferevent_free(c->bev);
        }
        if (c->deadline != NULL) {
            event_free(c->deadline);
        }
        cof_kms_free(&server->env, c);
        return NULL;
    }
    bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_BYTES_MAX);
    bufferevent_incref(c->bev);
    link_in(c);
    event_active(c->deadline, EV_TIMEOUT, 0);
    return c->bev;
}

struct cof_connection *cof_connection_of(struct cof_server *server, struct evhttp_request *req)
{
    struct evhttp_connection *http = evhttp_request_get_connection(req);
    evutil_socket_t fd =
        http == NULL ? -1 : bufferevent_getfd(evhttp_connection_get_bufferevent(http));
    return fd < 0 || (unsigned)fd >= server->by_fd_count ? NULL : server->by_fd[fd];
}

/* ---- a request and its answer ------------------------------------------------------------ */

void cof_connection_begin_work(struct cof_connection *c)
{
    c->phase = COF_WORKING;
    c->doomed = false; /* the last byte came first */
    c->requests++;
    (void)bufferevent_disable(c->bev, EV_READ);
    (void)evtimer_del(c->deadline);
}

/* evhttp goes on with the next request, which may be there already. */
static void on_sent(struct evhttp_request *req, void *ctx)
{
    struct cof_connection *c = ctx;
    size_t left = evbuffer_get_length(bufferevent_get_input(c->bev));
    (void)req;
    if (c->doomed) {
        return;
    }
    charge(c, left);
    c->phase = left > 0 ? COF_READING : COF_IDLE;
    arm(c, left > 0 ? c->server->opts.request_timeout_ms : c->server->opts.idle_timeout_ms);
    if (c->server->stopping) {
        close_soon(c);
    }
}

void cof_connection_begin_answer(struct cof_connection *c, struct evhttp_request *req, size_t bytes)
{
    c->phase = COF_WRITING;
    charge(c, bytes + evbuffer_get_length(bufferevent_get_input(c->bev)));
    arm(c, c->server->forced ? CLOSE_MS : c->server->opts.request_timeout_ms);
    evhttp_request_set_on_complete_cb(req, on_sent, c);
}

void cof_connections_stop(struct cof_server *server, bool force)
{
    for (struct cof_connection *c = server->connections; c != NULL; c = c->next) {
        bool quiet = c->phase == COF_IDLE || c->phase == COF_NEW;
        if (c->http != NULL && (quiet || (force && c->phase == COF_READING))) {
            close_soon(c);
        } else if (force && c->phase == COF_WRITING) {
            arm(c, CLOSE_MS);
        }
    }
}
