/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_remote.c - credentials out of the environment, and a client of the service.
 *
 * Invariant: once taken, a secret stands in locked memory only; the environment's copy is wiped
 * where it stands, before the variable is removed. One thread.
 */
#include "kms_remote.h"
#include "kms_secret.h"
#include <coffer/keystore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES_MAX 8193

/* Lives in locked pages until the program ends: two services may be asked by one verb. */
struct credentials {
    char access_key_id[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX];
    char secret[COFFER_KMS_SECRET_BYTES_MAX];
    char session_token[TOKEN_BYTES_MAX]; /* empty: none */
};

static struct credentials *taken;

bool cof_tool_kms_is_remote(const char *uri)
{
    return uri != NULL && (strncmp(uri, "https:", 6) == 0 || strncmp(uri, "http:", 5) == 0 ||
                           strncmp(uri, "unix:", 5) == 0);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Copy a variable into room and wipe it from the environment. */
static int take(const char *name, char *room, size_t room_bytes, struct coffer_fault *fault)
{
    char *value = getenv(name);
    size_t bytes = value == NULL ? 0 : strlen(value);
    if (bytes >= room_bytes) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID, "%s is too long", name);
    }
    if (value != NULL) {
        memcpy(room, value, bytes);
        explicit_bzero(value, bytes);
        unsetenv(name);
    }
    return 0;
}

static int take_credentials(struct coffer_fault *fault)
{
    uint8_t *pages = NULL;
    if (taken != NULL) {
        return 0;
    }
    int error = coffer_keystore_secret_new(sizeof *taken, &pages);
    if (error != 0) {
        return cof_tool_secret_fail(fault, error, "%s", coffer_error_sentence(error));
    }
    struct credentials *found = (struct credentials *)(void *)pages;
    error = take("AWS_ACCESS_KEY_ID", found->access_key_id, sizeof found->access_key_id, fault);
    if (error == 0) {
        error = take("AWS_SECRET_ACCESS_KEY", found->secret, sizeof found->secret, fault);
    }
    if (error == 0) {
        error = take("AWS_SESSION_TOKEN", found->session_token, sizeof found->session_token, fault);
    }
    if (error == 0 && (found->access_key_id[0] == '\0' || found->secret[0] == '\0')) {
        error = cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                     "a key service over HTTP needs AWS_ACCESS_KEY_ID and "
                                     "AWS_SECRET_ACCESS_KEY in the environment");
    }
    if (error != 0) {
        coffer_keystore_secret_free(pages);
        return error;
    }
    taken = found;
    return 0;
}

static int read_flags(unsigned *ret_flags, struct coffer_fault *fault)
{
    const char *tls = environment("COFFER_KMS_TLS");
    const char *proxy = environment("COFFER_KMS_PROXY");
    *ret_flags = 0;
    if (tls != NULL && strcmp(tls, "1.2") != 0 && strcmp(tls, "1.3") != 0) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                    "COFFER_KMS_TLS is the oldest version taken: 1.2 or 1.3");
    }
    if (tls != NULL && strcmp(tls, "1.2") == 0) {
        *ret_flags |= COFFER_KMS_CLIENT_TLS12;
    }
    if (proxy != NULL && strcmp(proxy, "1") == 0) {
        *ret_flags |= COFFER_KMS_CLIENT_PROXY;
    }
    return 0;
}

/* Its file is read again when the service knows its credentials no more. */
static int engine_opts(const struct cof_tool_engine *engine, struct coffer_kms_client_opts *opts,
                       struct coffer_fault *fault)
{
    if (engine->as != NULL && strncmp(engine->as, "arn:", 4) != 0) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                    "at a key service elsewhere --engine-as is an ARN, and "
                                    "'%.60s' is none",
                                    engine->as);
    }
    opts->credentials = cof_tool_engine_read;
    opts->credentials_ctx = (void *)(uintptr_t)engine->credentials;
    opts->principal = engine->as;
    return 0;
}

static int environment_opts(struct coffer_kms_client_opts *opts, struct coffer_fault *fault)
{
    int error = take_credentials(fault);
    if (error == 0) {
        opts->access_key_id = taken->access_key_id;
        opts->secret = taken->secret;
        opts->session_token = taken->session_token[0] != '\0' ? taken->session_token : NULL;
    }
    return error;
}

static int connect_with(const struct coffer_kms_client_opts *opts,
                        const struct cof_tool_engine *engine, struct coffer_kms_client **ret_client,
                        struct coffer_fault *fault)
{
    struct coffer_fault why = {0};
    int error = coffer_kms_client_new(opts, ret_client, &why);
    if (error != 0 && engine != NULL && error != COFFER_E_NO_MEMORY) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                    "%.100s holds no credentials that can be used: %s: a file of "
                                    "mode 0600 as `cofferkms token assume-role --output-file` "
                                    "writes it",
                                    engine->credentials, coffer_error_sentence(error));
    }
    if (error != 0) {
        *fault = why;
    }
    return error;
}

int cof_tool_kms_connect(const char *uri, const char *region, const char *ca_file,
                         const struct cof_tool_engine *engine,
                         struct coffer_kms_client **ret_client, struct coffer_fault *fault)
{
    struct coffer_kms_client_opts opts = {.size = sizeof opts, .url = uri};
    int error = engine != NULL ? engine_opts(engine, &opts, fault) : environment_opts(&opts, fault);
    if (error == 0) {
        error = read_flags(&opts.flags, fault);
    }
    if (error != 0) {
        return error;
    }
    opts.region = region != NULL ? region : environment("AWS_REGION");
    if (opts.region == NULL) {
        opts.region = environment("AWS_DEFAULT_REGION");
    }
    opts.ca_file = ca_file != NULL ? ca_file : environment("COFFER_KMS_CA_FILE");
    return connect_with(&opts, engine, ret_client, fault);
}
