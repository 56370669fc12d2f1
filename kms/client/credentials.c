/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/credentials.c - what a client signs with, and others when those are over.
 *
 * Invariants: credentials lie in locked pages only; a request is signed with a set of them, never
 * with halves of two. Any thread, under secrets_lock.
 */
#include "client/client.h"

#include "secret.h"

#include <string.h>

/* Printable ASCII without blanks: it goes into a header. */
static bool good_word(const char *word, size_t bytes_max)
{
    size_t length = word == NULL ? 0 : strnlen(word, bytes_max);

    for (size_t i = 0; i < length; i++) {
        if (word[i] <= ' ' || word[i] > '~') {
            return false;
        }
    }
    return length > 0 && length < bytes_max;
}

static bool good(const char *access_key_id, const char *secret, const char *session_token)
{
    return good_word(access_key_id, COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX) &&
           good_word(secret, COFFER_KMS_SECRET_BYTES_MAX) &&
           (session_token == NULL || good_word(session_token, COFFER_KMS_SESSION_TOKEN_BYTES_MAX));
}

/* Into next, and from there, if they are any, to now. */
static int ask(struct coffer_kms_client *client)
{
    struct coffer_kms_credentials *next = &client->secrets->next;
    int error;

    cof_kms_wipe(next, sizeof(*next));
    error = client->credentials(client->credentials_ctx, next);
    if (error == 0 && !good(next->access_key_id, next->secret,
                            next->session_token[0] != '\0' ? next->session_token : NULL)) {
        error = COFFER_E_INVALID;
    }
    if (error == 0) {
        client->secrets->now = *next;
    }
    cof_kms_wipe(next, sizeof(*next));
    return error;
}

static void take(struct coffer_kms_client *client, const struct coffer_kms_client_opts *opts)
{
    struct coffer_kms_credentials *now = &client->secrets->now;

    memcpy(now->access_key_id, opts->access_key_id, strlen(opts->access_key_id));
    memcpy(now->secret, opts->secret, strlen(opts->secret));
    if (opts->session_token != NULL) {
        memcpy(now->session_token, opts->session_token, strlen(opts->session_token));
    }
}

int cof_client_credentials_init(struct coffer_kms_client *client,
                                const struct coffer_kms_client_opts *opts,
                                struct coffer_fault *fault)
{
    uint8_t *pages = NULL;
    int error;

    if (opts->credentials == NULL &&
        !good(opts->access_key_id, opts->secret, opts->session_token)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a key service needs an access key id and its secret");
    }
    error = coffer_keystore_secret_new(sizeof(*client->secrets), &pages);
    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    client->secrets = (struct cof_client_secrets *)(void *)pages;
    client->secrets->canary = COF_CLIENT_CANARY;
    client->credentials = opts->credentials;
    client->credentials_ctx = opts->credentials_ctx;
    if (opts->credentials == NULL) {
        take(client, opts);
        return 0;
    }
    error = ask(client);
    return error == 0
               ? 0
               : cof_kms_fault(fault, error, "no credentials for the key service could be had: %s",
                               coffer_error_sentence(error));
}

bool cof_client_credentials_over(const struct coffer_kms_answer *answer)
{
    static const char *const names[] = {"ExpiredTokenException", "InvalidClientTokenId",
                                        "UnrecognizedClientException"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(answer->error, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool cof_client_credentials_renew(struct coffer_kms_client *client)
{
    char before[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX];
    bool others = false;

    if (client->credentials == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&client->secrets_lock);
    memcpy(before, client->secrets->now.access_key_id, sizeof(before));
    if (ask(client) == 0) {
        others = strcmp(before, client->secrets->now.access_key_id) != 0;
    }
    (void)pthread_mutex_unlock(&client->secrets_lock);
    return others;
}
