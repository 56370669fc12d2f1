/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/serve.c - the key service on sockets, until a signal stops it.
 *
 * Opens the store once and lends it to the server's workers. What the server says goes to standard
 * error, a line at a time; nothing goes to standard output.
 */
#include "common/error.h"
#include "common/kms_args.h"
#include "server/server.h"
#include "verbs.h"
#include <coffer/kms.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 640u
#define SECONDS_MAX 86400u

struct serving {
    struct cof_key_run run;
    bool access_log;
};

static int on_http(void *ctx, const struct coffer_kms_http_request *request,
                   struct coffer_kms_http_response *ret_response)
{
    struct serving *serving = ctx;
    return coffer_kms_http(serving->run.kms.store, request, ret_response);
}

static int on_tick(void *ctx, struct coffer_fault *fault)
{
    struct serving *serving = ctx;
    return coffer_kms_tick(serving->run.kms.store, fault);
}

/* One write, so that lines of several writers do not mix. */
static void on_log(void *ctx, bool access, const char *text)
{
    const struct serving *serving = ctx;
    char line[LINE_BYTES];
    if (access && !serving->access_log) {
        return;
    }
    int bytes = snprintf(line, sizeof line, "%s%s\n", access ? "" : "cofferkms: ", text);
    (void)!write(STDERR_FILENO, line, bytes < (int)sizeof line ? (size_t)bytes : sizeof line - 1);
}

static int take_number(struct cof_tool_call *call, const char *name, uint64_t least, uint64_t most,
                       unsigned *ret_number)
{
    uint64_t number = cof_tool_number(call, name, 0);
    if (cof_tool_given(call, name) && (number < least || number > most)) {
        return cof_tool_usage(call, NULL, "--%s is %llu to %llu", name, (unsigned long long)least,
                              (unsigned long long)most);
    }
    *ret_number = (unsigned)number;
    return 0;
}

static int take_seconds(struct cof_tool_call *call, const char *name, unsigned *ret_ms)
{
    int exit_code = take_number(call, name, 1, SECONDS_MAX, ret_ms);
    *ret_ms *= 1000u;
    return exit_code;
}

static int take_options(struct cof_tool_call *call, struct cof_server_opts *opts)
{
    const char *watchdog = getenv("WATCHDOG_USEC");
    int exit_code = take_number(call, "workers", 1, 64, &opts->workers);
    opts->listen_count = cof_tool_list(call, "listen", &opts->listen);
    opts->unix_path = cof_tool_text(call, "unix", NULL);
    opts->tls_cert_file = cof_tool_text(call, "tls-cert", NULL);
    opts->tls_key_file = cof_tool_text(call, "tls-key", NULL);
    opts->notify_socket = getenv("NOTIFY_SOCKET");
    opts->watchdog_us = watchdog == NULL ? 0 : strtoull(watchdog, NULL, 10);
    opts->memory_bytes_max = cof_tool_size(call, "max-memory", 0);
    const struct {
        const char *name;
        unsigned least, most;
        unsigned *number;
    } numbers[] = {
        {"max-queue", 1, 1000000, &opts->queue_max},
        {"max-connections", 1, 1000000, &opts->connections_max},
        {"max-requests", 1, 1000000000, &opts->requests_max},
    };
    const struct {
        const char *name;
        unsigned *ms;
    } times[] = {
        {"request-timeout", &opts->request_timeout_ms},
        {"idle-timeout", &opts->idle_timeout_ms},
        {"stop-timeout", &opts->stop_timeout_ms},
        {"tick", &opts->tick_ms},
    };
    for (size_t i = 0; exit_code == 0 && i < sizeof numbers / sizeof numbers[0]; i++) {
        exit_code = take_number(call, numbers[i].name, numbers[i].least, numbers[i].most,
                                numbers[i].number);
    }
    for (size_t i = 0; exit_code == 0 && i < sizeof times / sizeof times[0]; i++) {
        exit_code = take_seconds(call, times[i].name, times[i].ms);
    }
    if (exit_code == 0 && opts->listen_count == 0 && opts->unix_path == NULL) {
        exit_code = cof_tool_usage(call, "MissingParameter",
                                   "nothing to listen on: give --listen HOST:PORT or --unix PATH");
    }
    return exit_code;
}

static int set_rates(struct cof_tool_call *call, struct coffer_keystore *store)
{
    struct coffer_kms_rates rates = {.size = sizeof rates, .per_second = 5500, .burst = 11000};
    if (!cof_tool_given(call, "rate") && !cof_tool_given(call, "burst")) {
        return 0;
    }
    rates.per_second = (uint32_t)cof_tool_number(call, "rate", rates.per_second);
    uint64_t burst = cof_tool_number(call, "burst", 2ull * rates.per_second);
    rates.burst = burst > UINT32_MAX ? 0 : (uint32_t)(burst == 0 ? 1 : burst);
    return cof_tool_number(call, "rate", 0) > UINT32_MAX || coffer_kms_rates_set(store, &rates) != 0
               ? cof_tool_usage(call, NULL,
                                "--rate is 0 to 1000000 requests a second, and --burst "
                                "1 to 4294967295")
               : 0;
}

int cof_key_serve(struct cof_tool_call *call)
{
    struct serving serving = {.access_log =
                                  strcmp(cof_tool_text(call, "log", "access"), "access") == 0};
    const struct cof_server_calls calls = {&serving, on_http, coffer_kms_http_response_done,
                                           on_tick, on_log};
    struct cof_server_opts opts = {.calls = &calls};
    int exit_code = take_options(call, &opts);
    if (exit_code != 0) {
        return exit_code;
    }
    const char *missing =
        cof_server_harden(opts.connections_max == 0 ? 16384 : opts.connections_max);
    if (missing != NULL) {
        cof_tool_note(call, "%s", missing);
    }
    exit_code = cof_key_run_begin(&serving.run, call, COFFER_KEYSTORE_CREATE, "");
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = set_rates(call, serving.run.kms.store);
    if (exit_code != 0) {
        (void)cof_key_run_end(&serving.run, 0, "");
        return exit_code;
    }
    int error = cof_server_run(&opts, &serving.run.fault);
    return cof_key_run_end(&serving.run, error, "cannot serve");
}
