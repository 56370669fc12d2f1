/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/front.c - the sockets that connections come in by, and what libevent does with them.
 *
 * Invariant: what was listened on is in server->sockets, and behind socket_count nothing is open.
 * The loop's thread.
 */
#include "server/inner.h"

#include <event2/http.h>
#include <event2/listener.h>
#include <unistd.h>

void cof_server_accept(struct cof_server *server, bool accept)
{
    if (accept == server->accepting || server->stopping ||
        (accept && server->connection_count >= server->opts.connections_max)) {
        return;
    }
    for (unsigned i = 0; i < server->socket_count; i++) {
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(server->bound[i]);
        (void)(accept ? evconnlistener_enable(listener) : evconnlistener_disable(listener));
    }
    server->accepting = accept;
}

/* Out of descriptors: the next one that is closed is the next to be given. */
static void on_accept_error(struct evconnlistener *listener, void *ctx)
{
    struct cof_front *front = ctx;
    (void)listener;
    if (front->server->connection_count > 0) {
        cof_server_accept(front->server, false);
    }
}

static int make_front(struct cof_server *server, struct cof_front *front,
                      struct cof_server_tls *tls, bool has_peers, struct coffer_fault *fault)
{
    unsigned ms = server->opts.idle_timeout_ms > server->opts.request_timeout_ms
                      ? server->opts.idle_timeout_ms
                      : server->opts.request_timeout_ms;
    front->server = server;
    front->tls = tls;
    front->has_peers = has_peers;
    front->http = evhttp_new(server->base);
    if (front->http == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    evhttp_set_max_headers_size(front->http, COF_SERVER_HEAD_BYTES_MAX);
    evhttp_set_max_body_size(front->http, COF_SERVER_BODY_BYTES_MAX);
    evhttp_set_allowed_methods(front->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    /* Connections have deadlines of their own, which are shorter. */
    evhttp_set_timeout(front->http, (int)(ms / 1000u) + 60);
    evhttp_set_bevcb(front->http, cof_connection_new, front);
    evhttp_set_gencb(front->http, cof_exchange_begin, front);
    return 0;
}

static int serve_socket(struct cof_server *server, struct cof_front *front,
                        struct coffer_fault *fault)
{
    unsigned at = server->socket_count;
    struct evconnlistener *listener =
        evconnlistener_new(server->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                           0, server->sockets[at].fd);
    server->bound[at] = listener == NULL ? NULL : evhttp_bind_listener(front->http, listener);
    if (server->bound[at] == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    server->bound_to[at] = front;
    server->socket_count++;
    return 0;
}

static int listen_unix(struct cof_server *server, struct coffer_fault *fault)
{
    int error;
    if (server->socket_count == COF_SERVER_LISTEN_MAX) {
        return cof_kms_fault(fault, COFFER_E_LIMIT, "at most %u addresses to listen on",
                             COF_SERVER_LISTEN_MAX);
    }
    error = cof_server_listen_unix(server->opts.unix_path, &server->sockets[server->socket_count],
                                   &server->lock_fd, fault);
    return error != 0 ? error : serve_socket(server, &server->local, fault);
}

int cof_front_open(struct cof_server *server, struct coffer_fault *fault)
{
    const struct cof_server_opts *opts = &server->opts;
    int error = make_front(server, &server->tcp, server->tls, true, fault);
    if (error == 0) {
        error = make_front(server, &server->local, NULL, false, fault);
    }
    server->accepting = true;
    for (unsigned i = 0; i < opts->listen_count && error == 0; i++) {
        unsigned count = server->socket_count;
        error = cof_server_listen(opts->listen[i], server->tls != NULL, server->sockets, &count,
                                  COF_SERVER_LISTEN_MAX, fault);
        while (error == 0 && server->socket_count < count) {
            error = serve_socket(server, &server->tcp, fault);
        }
        while (error != 0 && count > server->socket_count) {
            close(server->sockets[--count].fd);
        }
    }
    return error == 0 && opts->unix_path != NULL ? listen_unix(server, fault) : error;
}

void cof_front_close(struct cof_server *server)
{
    for (unsigned i = 0; i < server->socket_count; i++) {
        evhttp_del_accept_socket(server->bound_to[i]->http, server->bound[i]);
    }
    server->socket_count = 0;
    if (server->lock_fd >= 0) {
        (void)unlink(server->opts.unix_path);
        close(server->lock_fd);
        server->lock_fd = -1;
    }
}
