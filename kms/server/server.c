/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/server.c - a server's life: build it up, run the loop, stop gracefully, take it down.
 *
 * Stopping: the sockets close, quiet connections go, what is being read is read to its end and
 * answered, and each answer closes its connection. After stop_timeout_ms, or a second signal, what
 * waits for a worker is answered 503 and what is still being read is dropped; calls that are at
 * work are waited for in any case, since a commit can't be recalled.
 */
#include "server/inner.h"

#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/notify.h"

#define FILES_KEPT 256u /* not for connections */
#define CONNECTIONS_MIN 16u

/* ---- what it says ------------------------------------------------------------------------ */

void cof_server_say(struct cof_server *server, const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(line, sizeof line, format, list);
    va_end(list);
    server->opts.calls->log(server->opts.calls->ctx, false, line);
}

/* ---- stopping ---------------------------------------------------------------------------- */

void cof_server_settle(struct cof_server *server)
{
    if (server->stopping && server->connection_count == 0 && server->pool.outside == 0) {
        (void)event_base_loopbreak(server->base);
    }
}

static void force(struct cof_server *server)
{
    server->forced = true;
    cof_server_pool_drop(&server->pool);
    cof_connections_stop(server, true);
    cof_server_settle(server);
}

static void on_stop_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct cof_server *server = ctx;
    (void)fd;
    (void)what;
    cof_server_say(server, "stopping: %u connections did not end in time",
                   server->connection_count);
    force(server);
}

static void on_stop_signal(evutil_socket_t number, short what, void *ctx)
{
    struct cof_server *server = ctx;
    struct timeval after = {(time_t)(server->opts.stop_timeout_ms / 1000u),
                            (suseconds_t)(server->opts.stop_timeout_ms % 1000u) * 1000};
    (void)number;
    (void)what;
    if (server->stopping) {
        force(server);
        return;
    }
    cof_server_notify(server->opts.notify_socket, "STOPPING=1");
    cof_server_say(server, "stopping: %u connections", server->connection_count);
    cof_front_close(server);
    server->stopping = true;
    (void)event_del(server->tick_event);
    (void)evtimer_add(server->stop_event, &after);
    cof_connections_stop(server, false);
    cof_server_settle(server);
}

static void on_reload_signal(evutil_socket_t number, short what, void *ctx)
{
    struct cof_server *server = ctx;
    struct coffer_fault fault;
    (void)number;
    (void)what;
    if (server->tls == NULL || server->stopping) {
        return;
    }
    cof_server_notify(server->opts.notify_socket, "RELOADING=1");
    if (cof_server_tls_reload(server->tls, &fault) == 0) {
        cof_server_say(server, "the certificate was read again");
    } else {
        cof_server_say(server, "the certificate stays as it was: %s", fault.detail);
    }
    cof_server_notify(server->opts.notify_socket, "READY=1");
}

/* ---- what is due ------------------------------------------------------------------------- */

static void tick_work(struct cof_server_job *job)
{
    struct cof_server *server =
        (struct cof_server *)(void *)((char *)job - offsetof(struct cof_server, tick));
    server->tick_error = server->opts.calls->tick(server->opts.calls->ctx, &server->tick_fault);
}

static void tick_done(struct cof_server_job *job)
{
    struct cof_server *server =
        (struct cof_server *)(void *)((char *)job - offsetof(struct cof_server, tick));
    server->ticking = false;
    if (server->tick_error != 0) {
        cof_server_say(server, "what was due could not be done: %s", server->tick_fault.detail);
    }
    cof_server_settle(server);
}

static void tick_drop(struct cof_server_job *job)
{
    (void)job;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct cof_server *server = ctx;
    (void)fd;
    (void)what;
    if (server->opts.calls->tick != NULL && !server->ticking) {
        server->tick =
            (struct cof_server_job){.work = tick_work, .done = tick_done, .drop = tick_drop};
        server->ticking = cof_server_pool_push(&server->pool, &server->tick);
    }
}

static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
    struct cof_server *server = ctx;
    (void)fd;
    (void)what;
    cof_server_notify(server->opts.notify_socket, "WATCHDOG=1");
}

static void on_pool(evutil_socket_t fd, short what, void *ctx)
{
    struct cof_server *server = ctx;
    (void)fd;
    (void)what;
    cof_server_pool_collect(&server->pool);
}

/* ---- up and down ------------------------------------------------------------------------- */

static unsigned fallback(unsigned given, unsigned otherwise)
{
    return given == 0 ? otherwise : given;
}

static int take_opts(struct cof_server *server, const struct cof_server_opts *given,
                     struct coffer_fault *fault)
{
    struct cof_server_opts *opts = &server->opts;
    struct rlimit files;
    *opts = *given;
    opts->workers = fallback(opts->workers, 16);
    opts->queue_max = fallback(opts->queue_max, 1024);
    opts->connections_max = fallback(opts->connections_max, 16384);
    opts->requests_max = fallback(opts->requests_max, 100000);
    opts->request_timeout_ms = fallback(opts->request_timeout_ms, 20000);
    opts->idle_timeout_ms = fallback(opts->idle_timeout_ms, 60000);
    opts->stop_timeout_ms = fallback(opts->stop_timeout_ms, 30000);
    opts->tick_ms = fallback(opts->tick_ms, 60000);
    opts->memory_bytes_max = opts->memory_bytes_max == 0 ? 256u << 20 : opts->memory_bytes_max;
    if (opts->workers > COF_SERVER_WORKERS_MAX || opts->connections_max > 1000000) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "at most %u workers and 1000000 connections",
                             COF_SERVER_WORKERS_MAX);
    }
    if ((opts->tls_cert_file == NULL) != (opts->tls_key_file == NULL)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "TLS takes a certificate and a key: give --tls-cert and --tls-key");
    }
    if (opts->listen_count == 0 && opts->unix_path == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "nothing to listen on: give --listen HOST:PORT or --unix PATH");
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
        files.rlim_cur < opts->connections_max + FILES_KEPT) {
        opts->connections_max = files.rlim_cur > FILES_KEPT + CONNECTIONS_MIN
                                    ? (unsigned)files.rlim_cur - FILES_KEPT
                                    : CONNECTIONS_MIN;
    }
    return 0;
}

static int add_events(struct cof_server *server, struct coffer_fault *fault)
{
    static const int numbers[COF_SERVER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    uint64_t us = server->opts.watchdog_us / 2;
    struct timeval tick = {(time_t)(server->opts.tick_ms / 1000u),
                           (suseconds_t)(server->opts.tick_ms % 1000u) * 1000};
    struct timeval watch = {(time_t)(us / 1000000u), (suseconds_t)(us % 1000000u)};
    bool ok = true;
    for (unsigned i = 0; i < COF_SERVER_SIGNALS; i++) {
        server->signals[i] =
            evsignal_new(server->base, numbers[i],
                         numbers[i] == SIGHUP ? on_reload_signal : on_stop_signal, server);
        ok = ok && server->signals[i] != NULL && event_add(server->signals[i], NULL) == 0;
    }
    server->pool_event =
        event_new(server->base, server->pool.event_fd, EV_READ | EV_PERSIST, on_pool, server);
    server->tick_event = event_new(server->base, -1, EV_PERSIST, on_tick, server);
    server->watchdog_event = event_new(server->base, -1, EV_PERSIST, on_watchdog, server);
    server->stop_event = evtimer_new(server->base, on_stop_timeout, server);
    ok = ok && server->pool_event != NULL && event_add(server->pool_event, NULL) == 0 &&
         server->tick_event != NULL && event_add(server->tick_event, &tick) == 0 &&
         server->watchdog_event != NULL && server->stop_event != NULL &&
         (us == 0 || event_add(server->watchdog_event, &watch) == 0);
    return ok ? 0 : cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
}

/* A connection's events change four times a request: they go to the kernel once a turn. */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config == NULL) {
        return NULL;
    }
    if (event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0) {
        base = event_base_new_with_config(config);
    }
    event_config_free(config);
    return base;
}

static int build(struct cof_server *server, const struct cof_server_opts *opts,
                 struct coffer_fault *fault)
{
    int error = take_opts(server, opts, fault);
    if (error == 0 && server->opts.tls_cert_file != NULL) {
        error = cof_server_tls_new(&server->env, server->opts.tls_cert_file,
                                   server->opts.tls_key_file, &server->tls, fault);
    }
    if (error == 0) {
        server->base = make_base();
        error = server->base == NULL ? cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL) : 0;
    }
    if (error == 0) {
        error = cof_server_pool_init(&server->pool, server->opts.workers, server->opts.queue_max,
                                     fault);
    }
    if (error == 0) {
        error = add_events(server, fault);
    }
    return error != 0 ? error : cof_front_open(server, fault);
}

static void free_event(struct event *event)
{
    if (event != NULL) {
        event_free(event);
    }
}

static void take_down(struct cof_server *server)
{
    server->stopping = true;
    if (server->base == NULL) {
        cof_server_tls_free(server->tls);
        return;
    }
    cof_front_close(server);
    /* Answers to what the workers still had need their connections. */
    cof_server_pool_done(&server->pool);
    if (server->tcp.http != NULL) {
        evhttp_free(server->tcp.http);
    }
    if (server->local.http != NULL) {
        evhttp_free(server->local.http);
    }
    for (unsigned i = 0; i < COF_SERVER_SIGNALS; i++) {
        free_event(server->signals[i]);
    }
    free_event(server->pool_event);
    free_event(server->tick_event);
    free_event(server->watchdog_event);
    free_event(server->stop_event);
    event_base_free(server->base);
    cof_kms_free(&server->env, server->by_fd);
    cof_server_tls_free(server->tls);
}

static void announce(struct cof_server *server)
{
    for (unsigned i = 0; i < server->socket_count; i++) {
        bool local = server->bound_to[i] == &server->local;
        cof_server_say(server, "listening on %s%s",
                       local                 ? "unix:"
                       : server->tls != NULL ? "https://"
                                             : "http://",
                       server->sockets[i].place);
    }
    cof_server_say(server, "ready: at most %u connections, %u workers",
                   server->opts.connections_max, server->opts.workers);
    cof_server_notify(server->opts.notify_socket, "READY=1");
}

int cof_server_run(const struct cof_server_opts *opts, struct coffer_fault *fault)
{
    struct cof_server *server;
    struct cof_kms_env env;
    cof_kms_env_init(&env, opts->env);
    cof_server_memory_wipe();
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    server = cof_kms_alloc(&env, sizeof *server);
    if (server == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    server->env = env;
    server->lock_fd = -1;
    int error = build(server, opts, fault);
    if (error == 0) {
        announce(server);
        on_tick(-1, 0, server);
        if (event_base_dispatch(server->base) < 0) {
            error = cof_kms_fault(fault, COFFER_E_INTERNAL, "the event loop failed");
        }
        cof_server_say(server, "stopped");
    }
    take_down(server);
    cof_kms_free(&env, server);
    return error;
}
