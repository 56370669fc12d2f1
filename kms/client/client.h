/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/client.h - inside a client: where the service is, who calls, one transfer, another try.
 *
 * libcurl stands in transfer.c and its memory in memory.c, OpenSSL in tls.c, and nowhere else.
 */
#ifndef COF_KMS_CLIENT_CLIENT_H
#define COF_KMS_CLIENT_CLIENT_H

#include "env.h"

#include <coffer/kms_client.h>
#include <pthread.h>
#include <stdbool.h>

#define COF_CLIENT_CANARY 0x636c69656e74ULL
#define COF_CLIENT_HOST_BYTES_MAX 262u /* host, colon, port, NUL */
#define COF_CLIENT_PATH_BYTES_MAX 108u /* of a socket, with its NUL */

/* Lives in locked pages (coffer_keystore_secret_new). */
struct cof_client_secrets {
    uint64_t canary; /* zero in a forked child */
    struct coffer_kms_credentials now;  /* what is signed with */
    struct coffer_kms_credentials next; /* while they are asked for */
};

struct cof_client_endpoint {
    bool tls;
    char url[COF_CLIENT_HOST_BYTES_MAX + 16];       /* what libcurl is given               */
    char host[COF_CLIENT_HOST_BYTES_MAX];           /* the Host header                     */
    char unix_path[COF_CLIENT_PATH_BYTES_MAX];      /* empty: by TCP                       */
    char region[33];                                /* what the host says, or empty        */
};

struct coffer_kms_client {
    struct cof_kms_env env;
    void (*wait_ns)(void *ctx, uint64_t ns);
    struct cof_client_endpoint endpoint;
    struct cof_client_secrets *secrets;
    char region[33];
    char *ca_file; /* or NULL */
    unsigned flags;
    uint32_t connect_timeout_ms, total_timeout_ms, tries_max, backoff_ms, backoff_max_ms;
    uint32_t connections_max;
    size_t answer_bytes_max;

    pthread_mutex_t lock; /* guards idle, idle_count and provider_fault */
    void **idle;          /* handles of libcurl, connections_max of them */
    uint32_t idle_count;
    struct coffer_fault provider_fault;

    pthread_mutex_t secrets_lock; /* guards secrets but the canary; taken last */
    coffer_kms_credentials_fn credentials; /* NULL: they never change */
    void *credentials_ctx;
    char principal[COFFER_PRINCIPAL_BYTES_MAX]; /* empty: not known */
};

/* ---- endpoint.c -------------------------------------------------------------------------- */

/* INVALID with a sentence for a URL that a client does not take. */
COFFER_MUST_CHECK int cof_client_endpoint_parse(const char *url,
                                                struct cof_client_endpoint *ret_endpoint,
                                                struct coffer_fault *fault);

/* ---- transfer.c -------------------------------------------------------------------------- */

struct cof_client_try {
    const char *operation;
    const uint8_t *body;
    size_t body_bytes;
    uint64_t time_left_ns;
    bool safe;    /* may be sent again by libcurl on another connection */
    bool arrived; /* out: the service may have got the request */
};

/* Before the first use of libcurl; any thread, any number of times. 0 or CRYPTO. */
COFFER_MUST_CHECK int cof_client_transfer_init(void);

/* Sign, send, read the answer. KEY_UNREACHABLE when there is none that can be believed. */
COFFER_MUST_CHECK int cof_client_transfer(struct coffer_kms_client *client,
                                          struct cof_client_try *try_,
                                          struct coffer_kms_answer *ret_answer,
                                          struct coffer_fault *fault);
void cof_client_transfer_done(struct coffer_kms_client *client);

/* memory.c: have libcurl wipe what it frees. 0 or CRYPTO. */
COFFER_MUST_CHECK int cof_client_memory_init(void);

/* tls.c: what libcurl has no option for; ssl_ctx is its SSL_CTX. */
void cof_client_tls_harden(void *ssl_ctx);

/* ---- answer.c ---------------------------------------------------------------------------- */

/* The body of an answer while it grows; wiped wherever it is given up. */
struct cof_client_body {
    struct cof_kms_env *env;
    uint8_t *bytes;
    size_t count, room, max;
    bool too_long;
};

COFFER_MUST_CHECK int cof_client_body_add(struct cof_client_body *body, const void *bytes,
                                          size_t count);
void cof_client_body_done(struct cof_client_body *body);

/* Fill in error and code of an answer by its status and body. KEY_UNREACHABLE when it is none that
 * a key service gives. */
COFFER_MUST_CHECK int cof_client_answer_read(struct coffer_kms_answer *answer,
                                             struct coffer_fault *fault);
/* What the service says about its refusal, without control characters. */
void cof_client_answer_message(const struct coffer_kms_answer *answer, char *ret_text,
                               size_t text_bytes);

/* ---- credentials.c ----------------------------------------------------------------------- */

/* Those of the options, or what their function gives, into locked pages. INVALID. */
COFFER_MUST_CHECK int cof_client_credentials_init(struct coffer_kms_client *client,
                                                  const struct coffer_kms_client_opts *opts,
                                                  struct coffer_fault *fault);
/* Whether the answer says that the credentials are of no use any more. */
bool cof_client_credentials_over(const struct coffer_kms_answer *answer);
/* Ask for others; true when there are. */
bool cof_client_credentials_renew(struct coffer_kms_client *client);

/* ---- retry.c ----------------------------------------------------------------------------- */

/* Whether doing it twice is the same as doing it once. */
bool cof_client_repeatable(const char *operation);
/* Whether the answer says that it may go better later; *ret_done is false when the request was
 * refused before anything was done. */
bool cof_client_passing(const struct coffer_kms_answer *answer, bool *ret_done);
/* How long to wait before the try after `tries` of them. */
uint64_t cof_client_backoff_ns(struct coffer_kms_client *client, uint32_t tries);

#endif
