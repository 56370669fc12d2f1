/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/server.h - the key service on sockets: what the program calls, and all that it calls.
 *
 * One thread runs the event loop and owns everything of libevent and OpenSSL; workers make the
 * calls, which block on the store's commits. Nothing here knows a key, a store or a policy: what a
 * request means is the business of struct cof_server_calls. Nothing prints: lines go to calls->log.
 */
#ifndef COF_KMS_SERVER_SERVER_H
#define COF_KMS_SERVER_SERVER_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <coffer/kms.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COF_SERVER_LISTEN_MAX 16u /* sockets, those that one name resolves to counted */
#define COF_SERVER_HEAD_BYTES_MAX \
    (16u * 1024u) /* request line and headers                        */
#define COF_SERVER_BODY_BYTES_MAX COFFER_KMS_BODY_BYTES_MAX

struct cof_server_calls {
    void *ctx;
    /* Any worker, several at a time. As coffer_kms_http. */
    int (*http)(void *ctx, const struct coffer_kms_http_request *request,
                struct coffer_kms_http_response *ret_response);
    /* Any thread. As coffer_kms_http_response_done. */
    void (*http_done)(struct coffer_kms_http_response *response);
    /* A worker, one at a time: what is due by the service's clock. NULL: nothing ever is. */
    int (*tick)(void *ctx, struct coffer_fault *fault);
    /* The loop's thread: a line without a newline, no secret in it. access: of a request. */
    void (*log)(void *ctx, bool access, const char *line);
};

struct cof_server_opts {
    const struct cof_server_calls *calls;
    const struct coffer_env *env; /* or NULL */

    const char *const *listen; /* HOST:PORT, [ADDRESS]:PORT; port 0: any free one                */
    unsigned listen_count;
    const char *unix_path;     /* or NULL                                                       */
    const char *tls_cert_file; /* both or neither: PEM, the chain and its key                   */
    const char *tls_key_file;
    const char *notify_socket; /* NOTIFY_SOCKET of the service manager, or NULL                 */
    uint64_t watchdog_us;      /* WATCHDOG_USEC, or 0                                           */

    /* 0 is the default in brackets. */
    unsigned workers;            /* [16]     at most 64; as many calls can share a commit         */
    unsigned queue_max;          /* [1024]   requests that wait for a worker                      */
    unsigned connections_max;    /* [16384]  at most 1,000,000                                    */
    unsigned requests_max;       /* [100000] of one connection, which is closed after them        */
    uint64_t memory_bytes_max;   /* [256 MiB] of requests that are read, wait or are answered     */
    unsigned request_timeout_ms; /* [20000] from a request's first byte to its last; handshake;
                                  *         sending an answer                                    */
    unsigned idle_timeout_ms;    /* [60000]  between two requests                                 */
    unsigned stop_timeout_ms;    /* [30000]  for what runs when the server is told to stop        */
    unsigned tick_ms;            /* [60000]  between two ticks                                    */
};

/*
 * Serve until SIGTERM or SIGINT; SIGHUP reads certificate and key again. Listens, says so by a line
 * and to the service manager, and returns 0 after a graceful stop: everything that was answered had
 * been done, and everything that was done was answered, as far as the other side took it. INVALID
 * for options that contradict each other, ACCESS for what the system refuses, BUSY for an address
 * that is in use, NOT_FOUND for files and names, CRYPTO for a bad certificate, NO_MEMORY.
 */
COFFER_MUST_CHECK int cof_server_run(const struct cof_server_opts *opts,
                                     struct coffer_fault *fault);

/* Before anything secret is in the process: no core dump, no rights for others on new files, room
 * for so many connections, a heap without holes, and, where the limit on locked memory allows it,
 * no swapping. Returns a sentence about what could not be had, or NULL. */
const char *cof_server_harden(unsigned connections_max);

#endif
