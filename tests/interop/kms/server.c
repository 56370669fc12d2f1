/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c - the key service's server over a store whose clock is ahead by what a file says.
 *
 * usage: kms_conform_server prepare STORE ROOT_KEY ACCOUNT...  make the store, its accounts, and an
 *                                   access key for the root of each: JSON on standard output
 *        kms_conform_server serve STORE ROOT_KEY CLOCK   serve on a free port of loopback; its
 *                                        log, with the address, on standard error
 *
 * CLOCK holds a decimal number of seconds. What serves is the server and the library that the
 * installed programs are made of; only the clock differs, so that no test waits for a date. Built a
 * second time with a rule taken out (broken.c), as the negative control.
 */
#include "server/server.h"

#include <coffer/keystore.h>
#include <coffer/kms.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOME_ACCOUNT "111122223333"
#define HOME_REGION "test-1"

static uint64_t shifted_wall_ns(void *ctx)
{
    const char *path = ctx;
    struct timespec now = {0, 0};
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (fd >= 0) {
        ssize_t got = read(fd, text, sizeof(text) - 1);

        (void)got;
        (void)close(fd);
    }
    return ((uint64_t)now.tv_sec + strtoull(text, NULL, 10)) * 1000000000u + (uint64_t)now.tv_nsec;
}

static int fail(const char *what, int error, const struct coffer_fault *fault)
{
    (void)fprintf(stderr, "%s: %s: %s\n", what, coffer_error_name(error), fault->detail);
    return 1;
}

static struct coffer_keystore *open_store(const char *path, const char *root_key,
                                          const struct coffer_env *env)
{
    struct coffer_keystore_opts opts = {.size = sizeof(opts),
                                        .path = path,
                                        .account = HOME_ACCOUNT,
                                        .region = HOME_REGION,
                                        .flags = COFFER_KEYSTORE_CREATE,
                                        .root_key_file = root_key,
                                        .env = env};
    struct coffer_keystore *store = NULL;
    struct coffer_fault fault = {0};
    int error = coffer_keystore_open(&opts, &store, &fault);

    if (error != 0) {
        (void)fail("cannot open the key store", error, &fault);
    }
    return store;
}

/* ---- prepare ----------------------------------------------------------------------------- */

/* One operation as the root of account; NULL after a complaint. */
static json_t *ask(struct coffer_keystore *store, const char *account, const char *operation,
                   json_t *params)
{
    char principal[64];
    char *body = json_dumps(params, 0);
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation,
                                         .principal = principal,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = strlen(body)};
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    json_t *value = NULL;

    (void)snprintf(principal, sizeof(principal), "arn:coffer:iam::%s:root", account);
    if (coffer_kms_call(store, &request, &answer) == 0) {
        value = json_loadb((const char *)answer.body, answer.body_bytes, 0, NULL);
        if (answer.status != 200) {
            (void)fprintf(stderr, "%s: %s\n", operation, answer.error);
            json_decref(value);
            value = NULL;
        }
    }
    coffer_kms_answer_done(&answer);
    json_decref(params);
    free(body);
    return value;
}

static int prepare(struct coffer_keystore *store, char **accounts, int count)
{
    json_t *all = json_object();

    for (int i = -1; i < count; i++) {
        const char *account = i < 0 ? HOME_ACCOUNT : accounts[i];

        if (i >= 0) {
            json_t *made = ask(store, HOME_ACCOUNT, "CreateAccount",
                               json_pack("{s:s}", "AccountId", account));

            if (made == NULL) {
                return 1;
            }
            json_decref(made);
        }
        json_t *key = ask(store, account, "CreateAccessKey", json_object());
        if (key == NULL) {
            return 1;
        }
        (void)json_object_set(all, account, json_object_get(key, "AccessKey"));
        json_decref(key);
    }
    (void)json_dumpf(all, stdout, 0);
    json_decref(all);
    return 0;
}

/* ---- serve ------------------------------------------------------------------------------- */

static int serve_http(void *ctx, const struct coffer_kms_http_request *request,
                      struct coffer_kms_http_response *ret_response)
{
    return coffer_kms_http(ctx, request, ret_response);
}

static void log_line(void *ctx, bool access, const char *line)
{
    (void)ctx;
    (void)access;
    (void)fprintf(stderr, "%s\n", line);
    (void)fflush(stderr);
}

static int serve(struct coffer_keystore *store)
{
    static const char *const listen[] = {"127.0.0.1:0"};
    const struct coffer_kms_rates rates = {.size = sizeof(rates), .per_second = 0, .burst = 1};
    const struct cof_server_calls calls = {.ctx = store,
                                           .http = serve_http,
                                           .http_done = coffer_kms_http_response_done,
                                           .log = log_line};
    const struct cof_server_opts opts = {.calls = &calls, .listen = listen, .listen_count = 1};
    struct coffer_fault fault = {0};
    int error = coffer_kms_rates_set(store, &rates);

    if (error == 0) {
        error = cof_server_run(&opts, &fault);
    }
    return error == 0 ? 0 : fail("cannot serve", error, &fault);
}

int main(int argc, char **argv)
{
    struct coffer_env env = {.size = sizeof(env), .wall_ns = shifted_wall_ns};
    bool prepares = argc >= 4 && strcmp(argv[1], "prepare") == 0;
    bool serves = argc == 5 && strcmp(argv[1], "serve") == 0;
    struct coffer_keystore *store;
    int code;

    if (!prepares && !serves) {
        (void)fprintf(stderr, "usage: %s prepare STORE ROOT_KEY ACCOUNT... | serve STORE ROOT_KEY "
                              "CLOCK\n",
                      argv[0]);
        return 2;
    }
    env.ctx = serves ? argv[4] : NULL;
    store = open_store(argv[2], argv[3], serves ? &env : NULL);
    if (store == NULL) {
        return 1;
    }
    code = serves ? serve(store) : prepare(store, argv + 4, argc - 4);
    coffer_keystore_close(store);
    return code;
}
