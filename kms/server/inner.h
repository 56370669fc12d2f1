/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/inner.h - a server that runs: its sockets, its connections, its queue.
 *
 * All of it is the loop's thread's, but for what pool.h lends to workers.
 */
#ifndef COF_KMS_SERVER_INNER_H
#define COF_KMS_SERVER_INNER_H

#include "env.h"
#include "server/listen.h"
#include "server/pool.h"
#include "server/server.h"
#include "server/tls.h"

#include <event2/event.h>

struct bufferevent;
struct cof_connection;
struct evbuffer_cb_entry;
struct evconnlistener;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evhttp_request;

#define COF_SERVER_SIGNALS 3u

/* One evhttp for TCP and one for the unix socket, which differ in what a connection begins with. */
struct cof_front {
    struct cof_server *server;
    struct evhttp *http;
    struct cof_server_tls *tls; /* NULL: plain                                */
    bool has_peers;             /* the other side has an address to be shown */
};

struct cof_server {
    struct cof_server_opts opts; /* with its defaults filled in */
    struct cof_kms_env env;
    struct event_base *base;
    struct cof_server_tls *tls;
    struct cof_front tcp, local;
    struct cof_server_socket sockets[COF_SERVER_LISTEN_MAX];
    struct evhttp_bound_socket *bound[COF_SERVER_LISTEN_MAX];
    struct cof_front *bound_to[COF_SERVER_LISTEN_MAX];
    unsigned socket_count;
    int lock_fd; /* of the unix socket, or -1 */

    /* connection.c */
    struct cof_connection *connections;
    struct cof_connection **by_fd;
    unsigned connection_count, by_fd_count;
    uint64_t charged_bytes;
    bool accepting;

    struct cof_server_pool pool;
    struct cof_server_job tick;
    struct coffer_fault tick_fault;
    int tick_error;
    bool ticking;

    struct event *signals[COF_SERVER_SIGNALS];
    struct event *pool_event, *tick_event, *watchdog_event, *stop_event;
    bool stopping; /* takes no connection and no further request on those that are there */
    bool forced;   /* waits for nothing but what runs                                     */
};

/* ---- connection.c ------------------------------------------------------------------------ */

/*
 *        first byte         last byte          answer made          answer sent
 *   NEW ------------> READING ------> WORKING ------------> WRITING ------------> IDLE
 *                        ^                                                          |
 *                        +----------------------- first byte -----------------------+
 *
 * Each but WORKING has a deadline and ends with it, with an error, or when the other side closes.
 */
enum cof_phase { COF_NEW, COF_READING, COF_WORKING, COF_WRITING, COF_IDLE };

struct cof_connection {
    struct cof_connection *next, **link;
    struct cof_server *server;
    struct bufferevent *bev;        /* a reference of our own             */
    struct evhttp_connection *http; /* NULL until the loop's next turn    */
    struct evbuffer_cb_entry *input;
    struct event *deadline;
    evutil_socket_t fd;
    enum cof_phase phase;
    bool doomed;                   /* will be closed in the loop's next turn       */
    unsigned requests;             /* begun on it                                  */
    uint64_t charge_bytes;         /* its part of charged_bytes                    */
    struct cof_exchange *exchange; /* while WORKING */
};

/* evhttp's callback for a new connection: ctx is a front. */
struct bufferevent *cof_connection_new(struct event_base *base, void *ctx);
/* The connection that a request came on; NULL for one that is going away. */
struct cof_connection *cof_connection_of(struct cof_server *server, struct evhttp_request *req);
void cof_connection_begin_work(struct cof_connection *connection);
/* Its answer goes out: so many bytes, and whether the connection ends with it. */
void cof_connection_begin_answer(struct cof_connection *connection, struct evhttp_request *req,
                                 size_t bytes);
/* Close those that nothing is read from or written to; force: all that have no call at work. */
void cof_connections_stop(struct cof_server *server, bool force);

/* ---- exchange.c -------------------------------------------------------------------------- */

/* evhttp's callback for a request that was read: ctx is a front. */
void cof_exchange_begin(struct evhttp_request *req, void *ctx);
/* Its connection is gone; the call is made all the same. */
void cof_exchange_abandon(struct cof_exchange *exchange);

/* ---- front.c ----------------------------------------------------------------------------- */

/* Listen on all that the options name. What was opened before one failed is for close. */
COFFER_MUST_CHECK int cof_front_open(struct cof_server *server, struct coffer_fault *fault);
void cof_front_close(struct cof_server *server);
/* Take connections or leave them in the backlog. */
void cof_server_accept(struct cof_server *server, bool accept);

/* ---- memory.c ---------------------------------------------------------------------------- */

/* Have libevent's memory wiped; before its first use. */
void cof_server_memory_wipe(void);

/* ---- server.c ---------------------------------------------------------------------------- */

void cof_server_say(struct cof_server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* To be called when a connection or a call has ended: leave the loop when there is no more. */
void cof_server_settle(struct cof_server *server);

#endif
