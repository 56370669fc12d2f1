/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_client_fixture.h - a small hostile HTTP server on loopback, and a client in a world whose
 * clock moves only when the client waits.
 *
 * The server answers each request by the script's next line, the last one for ever. A thread a
 * connection, up to CONNECTIONS_MAX of them.
 */
#ifndef KMS_CLIENT_FIXTURE_H
#define KMS_CLIENT_FIXTURE_H

#include "kms_fixture.h"

#include <arpa/inet.h>
#include <coffer/kms_client.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

#define ACCESS_KEY "AKIDEXAMPLEOFCLIENT"
#define CONNECTIONS_MAX 64
#define TOTAL_MS 60000 /* of a call; one that ends by itself takes milliseconds */
#define SECRET "wJalrXUtnFEMIveryverysecret0123456789ABCD"
#define MARKER "cGxhaW50ZXh0IG1hcmtlcg=="

enum hostile {
    ANSWER,      /* status, type, body                                   */
    HANG,        /* read the request, answer nothing                     */
    CUT_BEFORE,  /* close without a byte                                 */
    CUT_HEAD,    /* half a status line                                   */
    CUT_BODY,    /* ten bytes of a thousand                              */
    ENDLESS,     /* a body without end                                   */
    ENDLESS_HEAD /* a head without end                                   */
};

struct line {
    enum hostile what;
    int status;
    const char *type; /* NULL: that of a key service */
    const char *body;
};

struct server {
    int listener;
    uint16_t port;
    SSL_CTX *tls; /* or NULL */
    pthread_t thread;
    atomic_bool stop;
    atomic_int requests, connections;
    atomic_size_t sent_bytes;
    const struct line *script;
    int script_lines;
    pthread_t peers[CONNECTIONS_MAX];
    int peer_count;
    pthread_mutex_t lock; /* guards the last request */
    char head[16384];
    char body[16384];
};

/* ---- the server -------------------------------------------------------------------------- */

struct peer {
    struct server *server;
    int fd;
    SSL *tls;
    char head[16384];
    char body[16384];
};

static inline ssize_t peer_read(struct peer *peer, void *buffer, size_t room)
{
    return peer->tls != NULL ? SSL_read(peer->tls, buffer, (int)room)
                             : recv(peer->fd, buffer, room, 0);
}

static inline bool peer_write(struct server *server, struct peer *peer, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t done = peer->tls != NULL ? SSL_write(peer->tls, text, (int)left)
                                         : send(peer->fd, text, left, MSG_NOSIGNAL);

        if (done <= 0) {
            return false;
        }
        server->sent_bytes += (size_t)done;
        text += done;
        left -= (size_t)done;
    }
    return true;
}

/* Until the server is told to stop, or the other side goes. */
static inline void peer_idle(struct server *server, struct peer *peer)
{
    char byte;

    while (!server->stop) {
        struct pollfd wait = {peer->fd, POLLIN, 0};

        if (poll(&wait, 1, 10) > 0 && peer_read(peer, &byte, 1) <= 0) {
            return;
        }
    }
}

static inline void peer_keep(struct server *server, const struct peer *peer)
{
    pthread_mutex_lock(&server->lock);
    memcpy(server->head, peer->head, sizeof(server->head));
    memcpy(server->body, peer->body, sizeof(server->body));
    pthread_mutex_unlock(&server->lock);
}

/* Read a request, and keep it as the server's last. */
static inline bool peer_request(struct server *server, struct peer *peer)
{
    static const char length_name[] = "Content-Length: ";
    size_t got = 0, need = 0;
    char *end = NULL, *length;

    memset(peer->head, 0, sizeof(peer->head));
    memset(peer->body, 0, sizeof(peer->body));
    while (end == NULL) {
        struct pollfd wait = {peer->fd, POLLIN, 0};

        if (server->stop) {
            return false;
        }
        if ((peer->tls == NULL || SSL_pending(peer->tls) == 0) && poll(&wait, 1, 10) <= 0) {
            continue;
        }
        ssize_t more = peer_read(peer, peer->head + got, sizeof(peer->head) - 1 - got);

        if (more <= 0) {
            return false;
        }
        got += (size_t)more;
        end = strstr(peer->head, "\r\n\r\n");
    }
    length = strstr(peer->head, length_name);
    need = length == NULL ? 0 : strtoul(length + sizeof(length_name) - 1, NULL, 10);
    size_t had = got - (size_t)(end + 4 - peer->head);
    memcpy(peer->body, end + 4, had);
    end[2] = '\0';
    while (had < need) {
        ssize_t more = peer_read(peer, peer->body + had, need - had);

        if (more <= 0) {
            return false;
        }
        had += (size_t)more;
    }
    peer_keep(server, peer);
    return true;
}

static inline bool peer_answer(struct server *server, struct peer *peer, const struct line *line)
{
    char head[512];

    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "Location: http://127.0.0.1:1/\r\n"
                   "x-amzn-RequestId: 01234567-89ab-4cde-8f01-23456789abcd\r\n\r\n",
                   line->status, line->type != NULL ? line->type : COFFER_KMS_CONTENT_TYPE,
                   strlen(line->body));
    return peer_write(server, peer, head) && peer_write(server, peer, line->body);
}

static inline bool peer_act(struct server *server, struct peer *peer, const struct line *line)
{
    char chunk[65537];

    switch (line->what) {
    case ANSWER:
        return peer_answer(server, peer, line);
    case HANG:
        peer_idle(server, peer);
        return false;
    case CUT_BEFORE:
        return false;
    case CUT_HEAD:
        (void)peer_write(server, peer, "HTTP/1.1 2");
        return false;
    case CUT_BODY:
        (void)peer_write(server, peer,
                         "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                         "Content-Length: 1000\r\n\r\n{\"Keys\":[{");
        return false;
    default:
        memset(chunk, 'x', sizeof(chunk) - 1);
        chunk[sizeof(chunk) - 1] = '\0';
        (void)peer_write(server, peer,
                         line->what == ENDLESS
                             ? "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\nX-Long: ");
        while (!server->stop && peer_write(server, peer, chunk)) {
        }
        return false;
    }
}

static inline bool peer_greet(struct peer *peer)
{
    if (peer->server->tls == NULL) {
        return true;
    }
    peer->tls = SSL_new(peer->server->tls);
    SSL_set_fd(peer->tls, peer->fd);
    return SSL_accept(peer->tls) == 1;
}

static inline void *peer_run(void *ctx)
{
    struct peer *peer = ctx;
    struct server *server = peer->server;

    bool on = peer_greet(peer);

    while (on && peer_request(server, peer)) {
        int number = server->requests++;
        int last = server->script_lines - 1;

        on = peer_act(server, peer, &server->script[number < last ? number : last]);
    }
    SSL_free(peer->tls);
    close(peer->fd);
    free(peer);
    return NULL;
}

static inline void server_serve(struct server *server, int fd)
{
    struct timeval patience = {5, 0};
    struct peer *peer = calloc(1, sizeof(*peer));

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    peer->server = server;
    peer->fd = fd;
    server->connections++;
    assert_true(server->peer_count < CONNECTIONS_MAX);
    assert_int_equal(pthread_create(&server->peers[server->peer_count++], NULL, peer_run, peer), 0);
}

static inline void *server_run(void *ctx)
{
    struct server *server = ctx;

    while (!server->stop) {
        struct pollfd wait = {server->listener, POLLIN, 0};

        if (poll(&wait, 1, 10) > 0) {
            int fd = accept(server->listener, NULL, NULL);

            if (fd >= 0) {
                server_serve(server, fd);
            }
        }
    }
    return NULL;
}

static inline void server_start(struct server *server, const struct line *script, int lines)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    (void)signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&server->lock, NULL);
    server->script = script;
    server->script_lines = lines;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &length), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static inline void server_stop(struct server *server)
{
    server->stop = true;
    pthread_join(server->thread, NULL);
    while (server->peer_count > 0) {
        pthread_join(server->peers[--server->peer_count], NULL);
    }
    close(server->listener);
    SSL_CTX_free(server->tls);
}

/* ---- the client's world ------------------------------------------------------------------ */

struct world {
    uint64_t monotonic_ns, waited_ns;
    int waits;
    size_t heap_bytes, heap_peak_bytes;
};

union block {
    size_t bytes;
    max_align_t align;
};

static inline void *world_alloc(void *ctx, size_t bytes)
{
    struct world *world = ctx;
    union block *block = malloc(sizeof(*block) + bytes);

    block->bytes = bytes;
    world->heap_bytes += bytes;
    if (world->heap_bytes > world->heap_peak_bytes) {
        world->heap_peak_bytes = world->heap_bytes;
    }
    return block + 1;
}

static inline void world_dealloc(void *ctx, void *memory)
{
    struct world *world = ctx;

    if (memory != NULL) {
        union block *block = (union block *)memory - 1;

        world->heap_bytes -= block->bytes;
        free(block);
    }
}

static inline uint64_t world_monotonic(void *ctx)
{
    return ((struct world *)ctx)->monotonic_ns;
}

static inline uint64_t world_wall(void *ctx)
{
    return 1700000000000000000u + ((struct world *)ctx)->monotonic_ns;
}

static inline void world_wait(void *ctx, uint64_t ns)
{
    struct world *world = ctx;

    world->monotonic_ns += ns;
    world->waited_ns += ns;
    world->waits++;
}

struct client_fixture {
    struct server server;
    struct world world;
    struct coffer_env env;
    char url[64];
    struct coffer_kms_client_opts opts;
    struct coffer_kms_client *client;
    struct coffer_kms_answer answer;
    struct coffer_fault fault;
};

/* A server with that script, and a client of it. tls (or
 * NULL) is stolen. */
static inline struct client_fixture *client_start_tls(const struct line *script, int lines,
                                                      SSL_CTX *tls)
{
    struct client_fixture *f = calloc(1, sizeof(*f));

    f->server.tls = tls;
    server_start(&f->server, script, lines);
    f->env = (struct coffer_env){.size = sizeof(f->env),
                                 .ctx = &f->world,
                                 .alloc = world_alloc,
                                 .dealloc = world_dealloc,
                                 .monotonic_ns = world_monotonic,
                                 .wall_ns = world_wall};
    (void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u", f->server.port);
    f->opts = (struct coffer_kms_client_opts){.size = sizeof(f->opts),
                                              .url = f->url,
                                              .access_key_id = ACCESS_KEY,
                                              .secret = SECRET,
                                              .total_timeout_ms = TOTAL_MS,
                                              .backoff_ms = 10,
                                              .tries_max = 4,
                                              .answer_bytes_max = 65536,
                                              .env = &f->env,
                                              .wait_ns = world_wait};
    f->answer.size = sizeof(f->answer);
    return f;
}

static inline struct client_fixture *client_start(const struct line *script, int lines)
{
    return client_start_tls(script, lines, NULL);
}

static inline int client_call(struct client_fixture *f, const char *operation, const char *body)
{
    if (f->client == NULL) {
        assert_int_equal(coffer_kms_client_new(&f->opts, &f->client, &f->fault), 0);
    }
    return coffer_kms_client_call(f->client, operation, (const uint8_t *)body, strlen(body),
                                  &f->answer, &f->fault);
}

static inline void client_stop(struct client_fixture *f)
{
    /* Whatever happened, the sentence holds neither the secret nor what was sent. */
    assert_null(strstr(f->fault.detail, SECRET));
    assert_null(strstr(f->fault.detail, MARKER));
    coffer_kms_answer_done(&f->answer);
    coffer_kms_client_free(f->client);
    server_stop(&f->server);
    assert_int_equal(f->world.heap_bytes, 0);
    free(f);
}

#endif
