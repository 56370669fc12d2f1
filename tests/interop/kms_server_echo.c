/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interop/kms_server_echo - the server of kms/server with calls of a test behind it, so that what
 * sockets, TLS, HTTP and threads do can be tested without keys and signatures:
 *
 *   Echo   answers with the body
 *   Note   appends the body and a newline to --ledger, synced, and answers with the body
 *   Hold   appends likewise, then opens the fifo that the body names and waits for its other end
 *   Large  answers with as many bytes as the body says
 *   Fail   gives no answer
 *
 * The answer names in X-Peer where the request came from. Lines go to standard error.
 */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int ledger_fd = -1;

struct option {
    const char *name;
    unsigned *number;
    const char **text;
};

static const char *header(const struct coffer_kms_http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return "";
}

static void hold(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && read(fd, &byte, 1) < 0 && errno == EINTR) {
    }
    close(fd);
}

static int note(const uint8_t *body, size_t bytes)
{
    char line[256];
    int length = snprintf(line, sizeof line, "%.*s\n", (int)bytes, (const char *)body);
    return write(ledger_fd, line, (size_t)length) == length && fdatasync(ledger_fd) == 0
               ? 0
               : COFFER_E_IO;
}

/* What the response's memory is. */
struct answer {
    struct coffer_kms_header headers[4];
    char peer[64];
    char name[64];
};

static int make_answer(const struct coffer_kms_http_request *request, const uint8_t *body,
                       size_t bytes, struct coffer_kms_http_response *response)
{
    struct answer *answer = calloc(1, sizeof *answer);
    uint8_t *copy = malloc(bytes + 1);
    if (answer == NULL || copy == NULL) {
        free(answer);
        free(copy);
        return COFFER_E_NO_MEMORY;
    }
    snprintf(answer->peer, sizeof answer->peer, "%s", request->peer == NULL ? "-" : request->peer);
    answer->headers[0] = (struct coffer_kms_header){"Content-Type", COFFER_KMS_CONTENT_TYPE};
    answer->headers[1] = (struct coffer_kms_header){"X-Peer", answer->peer};
    answer->headers[2] = (struct coffer_kms_header){"x-amzn-RequestId", "test"};
    if (body != NULL) {
        memcpy(copy, body, bytes);
    } else {
        memset(copy, 'x', bytes);
    }
    response->status = 200;
    response->headers = answer->headers;
    response->header_count = 3;
    response->body = copy;
    response->body_bytes = bytes;
    return 0;
}

static int on_http(void *ctx, const struct coffer_kms_http_request *request,
                   struct coffer_kms_http_response *ret_response)
{
    const char *target = header(request, "X-Amz-Target");
    char text[128] = "";
    int error = 0;
    (void)ctx;
    if (request->body_bytes < sizeof text) {
        memcpy(text, request->body_bytes == 0 ? (const uint8_t *)"" : request->body,
               request->body_bytes);
    }
    if (strcmp(target, "TrentService.Fail") == 0) {
        return COFFER_E_NO_MEMORY;
    }
    if (strcmp(target, "TrentService.Large") == 0) {
        return make_answer(request, NULL, strtoul(text, NULL, 10), ret_response);
    }
    if (strcmp(target, "TrentService.Note") == 0 || strcmp(target, "TrentService.Hold") == 0) {
        error = note(request->body, request->body_bytes);
    }
    if (strcmp(target, "TrentService.Hold") == 0) {
        hold(text);
    }
    return error != 0 ? error
                      : make_answer(request, request->body, request->body_bytes, ret_response);
}

static void on_http_done(struct coffer_kms_http_response *response)
{
    if (response->headers != NULL) {
        free((void *)(uintptr_t)response->headers);
        free(response->body);
        memset(response, 0, sizeof *response);
    }
}

static int on_tick(void *ctx, struct coffer_fault *fault)
{
    (void)ctx;
    (void)fault;
    return note((const uint8_t *)"tick", 4);
}

static void on_log(void *ctx, bool access, const char *line)
{
    (void)ctx;
    (void)access;
    dprintf(STDERR_FILENO, "%s\n", line);
}

static void parse(int argc, char **argv, const struct option *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const struct option *option = options;
        while (option->name != NULL && strcmp(option->name, argv[i]) != 0) {
            option++;
        }
        if (option->name == NULL) {
            fprintf(stderr, "kms_server_echo: there is no %s\n", argv[i]);
            exit(2);
        }
        if (option->text != NULL) {
            *option->text = argv[i + 1];
        } else {
            *option->number = (unsigned)strtoul(argv[i + 1], NULL, 10);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct cof_server_calls calls = {NULL, on_http, on_http_done, on_tick, on_log};
    struct cof_server_opts opts = {.calls = &calls};
    struct coffer_fault fault = {0};
    const char *listen = NULL, *ledger = "/dev/null";
    unsigned memory_kib = 0;
    const struct option options[] = {
        {"--listen", NULL, &listen},
        {"--unix", NULL, &opts.unix_path},
        {"--tls-cert", NULL, &opts.tls_cert_file},
        {"--tls-key", NULL, &opts.tls_key_file},
        {"--ledger", NULL, &ledger},
        {"--workers", &opts.workers, NULL},
        {"--queue", &opts.queue_max, NULL},
        {"--connections", &opts.connections_max, NULL},
        {"--requests", &opts.requests_max, NULL},
        {"--request-ms", &opts.request_timeout_ms, NULL},
        {"--idle-ms", &opts.idle_timeout_ms, NULL},
        {"--stop-ms", &opts.stop_timeout_ms, NULL},
        {"--tick-ms", &opts.tick_ms, NULL},
        {"--memory-kib", &memory_kib, NULL},
        {NULL, NULL, NULL},
    };
    parse(argc, argv, options);
    opts.listen = &listen;
    opts.listen_count = listen != NULL;
    opts.memory_bytes_max = (uint64_t)memory_kib << 10;
    opts.notify_socket = getenv("NOTIFY_SOCKET");
    ledger_fd = open(ledger, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    (void)cof_server_harden(opts.connections_max == 0 ? 16384 : opts.connections_max);
    int error = cof_server_run(&opts, &fault);
    if (error != 0) {
        fprintf(stderr, "kms_server_echo: %s: %s\n", coffer_error_name(error), fault.detail);
    }
    return error == 0 ? 0 : 1;
}
