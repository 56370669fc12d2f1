/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/client.c - a client's life, and one call: tries, and waits between them.
 *
 * Invariants
 * - A call ends by its deadline: a try gets the time that is left, and no wait begins that would
 *   not leave any.
 * - What may have been done is sent again only if it may be done twice (retry.c).
 * - What was refused for its credentials is sent again at once, with others if there are (once).
 */
#include "client/client.h"

#include "wire/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT(value, otherwise) ((value) != 0 ? (value) : (otherwise))

/* ---- new and free ------------------------------------------------------------------------ */

static void sleep_ns(void *ctx, uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    (void)ctx;
    while (nanosleep(&left, &left) != 0) {
    }
}

static int take_region(struct coffer_kms_client *client, const char *region,
                       struct coffer_fault *fault)
{
    const char *guess = client->endpoint.region[0] != '\0' ? client->endpoint.region
                                                           : COFFER_REGION_DEFAULT;

    region = region != NULL ? region : guess;
    if (region[0] == '\0' || strlen(region) >= sizeof(client->region) ||
        region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0') {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a region is 1 to 32 lower-case letters, digits and hyphens");
    }
    (void)snprintf(client->region, sizeof(client->region), "%s", region);
    return 0;
}

static int take_limits(struct coffer_kms_client *client, const struct coffer_kms_client_opts *opts,
                       struct coffer_fault *fault)
{
    if (opts->principal != NULL && strlen(opts->principal) >= sizeof(client->principal)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "the principal's ARN is too long");
    }
    (void)snprintf(client->principal, sizeof(client->principal), "%s",
                   opts->principal != NULL ? opts->principal : "");
    client->flags = opts->flags;
    client->wait_ns = opts->wait_ns != NULL ? opts->wait_ns : sleep_ns;
    client->connect_timeout_ms = DEFAULT(opts->connect_timeout_ms, 3000u);
    client->total_timeout_ms = DEFAULT(opts->total_timeout_ms, 10000u);
    client->tries_max = DEFAULT(opts->tries_max, 5u);
    client->backoff_ms = DEFAULT(opts->backoff_ms, 50u);
    client->backoff_max_ms = DEFAULT(opts->backoff_max_ms, 2000u);
    client->connections_max = DEFAULT(opts->connections_max, 8u);
    client->answer_bytes_max = DEFAULT(opts->answer_bytes_max, 1048576u);
    client->idle = cof_kms_alloc(&client->env, client->connections_max * sizeof(*client->idle));
    if (opts->ca_file != NULL) {
        client->ca_file = cof_kms_alloc(&client->env, strlen(opts->ca_file) + 1);
    }
    if (client->idle == NULL || (opts->ca_file != NULL && client->ca_file == NULL)) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    if (opts->ca_file != NULL) {
        memcpy(client->ca_file, opts->ca_file, strlen(opts->ca_file) + 1);
    }
    return 0;
}

int coffer_kms_client_new(const struct coffer_kms_client_opts *opts,
                          struct coffer_kms_client **ret_client, struct coffer_fault *fault)
{
    struct coffer_kms_client *client;
    struct cof_kms_env env;
    int error;

    cof_kms_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof(*opts) || opts->url == NULL || ret_client == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "a client needs its options and a URL");
    }
    cof_kms_env_init(&env, opts->env);
    cof_wire_json_init();
    client = cof_kms_alloc(&env, sizeof(*client));
    if (client == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    client->env = env;
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_mutex_init(&client->secrets_lock, NULL);
    error = cof_client_transfer_init();
    if (error != 0) {
        error = cof_kms_fault(fault, error, "libcurl could not be set up");
    }
    error = error != 0 ? error : cof_client_endpoint_parse(opts->url, &client->endpoint, fault);
    error = error != 0 ? error : take_region(client, opts->region, fault);
    error = error != 0 ? error : cof_client_credentials_init(client, opts, fault);
    error = error != 0 ? error : take_limits(client, opts, fault);
    if (error != 0) {
        coffer_kms_client_free(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

void coffer_kms_client_free(struct coffer_kms_client *client)
{
    if (client == NULL) {
        return;
    }
    struct cof_kms_env env = client->env;

    /* In a forked child the handles are the parent's, and so are their connections. */
    if (client->secrets == NULL || client->secrets->canary == COF_CLIENT_CANARY) {
        cof_client_transfer_done(client);
    }
    coffer_keystore_secret_free((uint8_t *)client->secrets);
    (void)pthread_mutex_destroy(&client->secrets_lock);
    (void)pthread_mutex_destroy(&client->lock);
    cof_kms_free(&env, client->idle);
    cof_kms_free(&env, client->ca_file);
    cof_kms_free(&env, client);
}

const char *coffer_kms_client_region(const struct coffer_kms_client *client)
{
    return client->region;
}

/* ---- one call ---------------------------------------------------------------------------- */

static uint64_t now_ns(struct coffer_kms_client *client)
{
    return client->env.api.monotonic_ns(client->env.api.ctx);
}

/* Wait before the next try. False when there is no time for one. */
static bool wait_for_next(struct coffer_kms_client *client, uint32_t tries, uint64_t deadline_ns)
{
    uint64_t wait_ns = cof_client_backoff_ns(client, tries);
    uint64_t now = now_ns(client);

    if (tries >= client->tries_max || now >= deadline_ns || wait_ns >= deadline_ns - now) {
        return false;
    }
    client->wait_ns(client->env.api.ctx, wait_ns);
    return now_ns(client) < deadline_ns;
}

/* Whether what came of a try is worth another one. */
static bool worth_another(const struct cof_client_try *try_, int error,
                          const struct coffer_kms_answer *answer)
{
    bool done = try_->arrived;

    if (error != 0 && error != COFFER_E_KEY_UNREACHABLE) {
        return false;
    }
    if (error == 0 && !cof_client_passing(answer, &done)) {
        return false;
    }
    return try_->safe || !done;
}

static int call_until(struct coffer_kms_client *client, struct cof_client_try *try_,
                      struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    uint64_t deadline_ns = now_ns(client) + client->total_timeout_ms * (uint64_t)1000000u;
    bool renewed = false;

    for (uint32_t tries = 1;; tries++) {
        struct coffer_kms_answer answer = {.size = ret_answer->size};
        uint64_t now = now_ns(client);
        int error;

        try_->time_left_ns = now < deadline_ns ? deadline_ns - now : 0;
        error = cof_client_transfer(client, try_, &answer, fault);
        if (error == 0 && !renewed && cof_client_credentials_over(&answer) &&
            cof_client_credentials_renew(client)) {
            renewed = true; /* nothing was done, and no wait makes it better */
            coffer_kms_answer_done(&answer);
            continue;
        }
        if (!worth_another(try_, error, &answer) || !wait_for_next(client, tries, deadline_ns)) {
            if (error == 0) {
                *ret_answer = answer;
                cof_kms_fault_clear(fault);
            }
            return error;
        }
        coffer_kms_answer_done(&answer);
    }
}

static bool good_operation(const char *operation)
{
    size_t length = operation == NULL ? 0 : strnlen(operation, COFFER_KMS_ERROR_BYTES_MAX);

    for (size_t i = 0; i < length; i++) {
        char letter = operation[i];

        if (!(letter >= 'A' && letter <= 'Z') && !(letter >= 'a' && letter <= 'z')) {
            return false;
        }
    }
    return length > 0 && length < COFFER_KMS_ERROR_BYTES_MAX;
}

/* A grant under a name is made once, however often it is asked for. */
static bool named_grant(const char *operation, const uint8_t *body, size_t body_bytes)
{
    char why[160];
    json_t *value = strcmp(operation, "CreateGrant") == 0
                        ? cof_wire_json_parse(body, body_bytes, why)
                        : NULL;
    bool named = json_is_string(json_object_get(value, "Name"));

    json_decref(value);
    return named;
}

int coffer_kms_client_call(struct coffer_kms_client *client, const char *operation,
                           const uint8_t *body, size_t body_bytes,
                           struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    static const uint8_t nothing[] = "{}";
    struct cof_client_try try_ = {.operation = operation, .body = body, .body_bytes = body_bytes};

    cof_kms_fault_clear(fault);
    if (client == NULL || ret_answer == NULL || ret_answer->size < sizeof(*ret_answer) ||
        !good_operation(operation) || (body == NULL && body_bytes > 0) ||
        body_bytes > COFFER_KMS_BODY_BYTES_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    if (client->secrets->canary != COF_CLIENT_CANARY) {
        return cof_kms_fault(fault, COFFER_E_FORKED, NULL);
    }
    if (body_bytes == 0) {
        try_.body = nothing;
        try_.body_bytes = sizeof(nothing) - 1;
    }
    try_.safe = cof_client_repeatable(operation) || named_grant(operation, body, body_bytes);
    return call_until(client, &try_, ret_answer, fault);
}
