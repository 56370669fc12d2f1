/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/kms_client.h - a key service over HTTP: ours, or AWS KMS.
 *
 * coffer_kms_client_call() is coffer_kms_call() of a service elsewhere: the same operations and
 * answers, signed by Signature Version 4. The provider over it is what an engine takes.
 *
 * - https:// anywhere, with TLS 1.3 and the system's certificate authorities unless opts say
 *   otherwise; http:// only to a loopback address, and unix: to a socket. No redirect is followed,
 *   no proxy used unless asked for, no cookie kept.
 * - A call ends within total_timeout_ms, whatever the other side does: tries, waits between them
 *   and the answer's bytes together. Answers beyond answer_bytes_max are refused.
 * - Throttling, refused connections and failures of the service are tried again, after a random
 *   wait that grows (full jitter). What may have been done is tried again only when doing it twice
 *   is the same as once: reading, cryptographic calls, Enable..., Disable..., Put..., Tag...,
 *   Update..., Import..., and CreateGrant with a Name. CreateKey, CreateAlias, RotateKeyOnDemand,
 *   ScheduleKeyDeletion and the like are tried again only when the request cannot have arrived, or
 *   was refused for its rate.
 * - Credentials lie in locked memory. What libcurl frees is wiped, if nobody has set up libcurl's
 *   memory before; that is the process's own.
 *
 * Threads: a client may be shared; each call that runs at the same time has a connection of its
 * own, and connections are kept and used again. A forked child gets COFFER_E_FORKED.
 * `ret_` outputs are untouched on failure. A struct coffer_fault pointer may be NULL.
 */
#ifndef COFFER_KMS_CLIENT_H
#define COFFER_KMS_CLIENT_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <coffer/keys.h>
#include <coffer/kms.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_KMS_SESSION_TOKEN_BYTES_MAX 8193u /* with its NUL */

struct coffer_kms_client;

enum coffer_kms_client_flags {
    COFFER_KMS_CLIENT_TLS12 = 1u << 0, /* TLS 1.2 will do, too: for AWS's own endpoints         */
    COFFER_KMS_CLIENT_PROXY = 1u << 1  /* heed https_proxy and no_proxy of the environment      */
};

/* Who calls; each text with its NUL, session_token empty for none. */
struct coffer_kms_credentials {
    char access_key_id[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX];
    char secret[COFFER_KMS_SECRET_BYTES_MAX];
    char session_token[COFFER_KMS_SESSION_TOKEN_BYTES_MAX];
};

/* Write the credentials as they are now into ret_credentials, which is zeroed and in locked memory.
 * Returns 0 or a negative enum coffer_error. Any thread; one call at a time of a client. */
typedef int (*coffer_kms_credentials_fn)(void *ctx, struct coffer_kms_credentials *ret_credentials);

struct coffer_kms_client_opts {
    size_t size;     /* sizeof (struct coffer_kms_client_opts)                                   */
    const char *url; /* https://HOST[:PORT], http://LOOPBACK[:PORT] or unix:/PATH                */
    const char *region; /* NULL: that of a host kms.REGION.DOMAIN, else local-1                   */
    const char *access_key_id; /* copied, as the next two are                                    */
    const char *secret;
    const char *session_token; /* or NULL                                                        */
    const char *ca_file;       /* PEM; NULL: the system's certificate authorities                */
    unsigned flags;            /* enum coffer_kms_client_flags                                   */

    /* 0 is the default in brackets. */
    uint32_t connect_timeout_ms; /* [3000]    for a connection, its handshake included           */
    uint32_t total_timeout_ms;   /* [10000]   for a call                                         */
    uint32_t tries_max;          /* [5]       1: never try again                                 */
    uint32_t backoff_ms;         /* [50]      longest wait before the second try; doubles        */
    uint32_t backoff_max_ms;     /* [2000]    and is never longer                                */
    uint32_t connections_max;    /* [8]       kept when idle                                     */
    size_t answer_bytes_max;     /* [1 MiB]                                                      */

    const struct coffer_env *env;
    /* Wait; NULL: sleep. ctx is env->ctx. */
    void (*wait_ns)(void *ctx, uint64_t ns);

    /* For credentials that change, as those of a role's session do, in the place of the three
     * above: asked by new, and again when the service says that the last ones are over or unknown,
     * which is tried again once if there are others by then. */
    coffer_kms_credentials_fn credentials;
    void *credentials_ctx;
    /* ARN of whom grants for the provider have to name; copied. NULL: as in coffer/keys.h */
    const char *principal;
};

/* Connects to nothing yet. INVALID for a URL, region or credentials that can't be ones; NO_MEMORY,
 * LOCKED_MEMORY, CRYPTO. */
COFFER_MUST_CHECK int coffer_kms_client_new(const struct coffer_kms_client_opts *opts,
                                            struct coffer_kms_client **ret_client,
                                            struct coffer_fault *fault);

/* Close the connections and wipe; NULL is allowed. No call may be running. */
void coffer_kms_client_free(struct coffer_kms_client *client);

/*
 * One operation with its JSON parameters (0 bytes stand for {}). Returns 0 with an answer of the
 * service, which may be a refusal: answer->error, and its enum coffer_error in answer->code. It is
 * the caller's: coffer_kms_answer_done. KEY_UNREACHABLE when there was none that can be believed:
 * no connection, no time, no certificate, nothing that a key service says; and INVALID, NO_MEMORY,
 * FORKED, CRYPTO.
 */
COFFER_MUST_CHECK int coffer_kms_client_call(struct coffer_kms_client *client,
                                             const char *operation, const uint8_t *body,
                                             size_t body_bytes,
                                             struct coffer_kms_answer *ret_answer,
                                             struct coffer_fault *fault);

/* The region that requests are signed for; good until the client is freed. */
const char *coffer_kms_client_region(const struct coffer_kms_client *client);

/* Fill ret_provider, which is good until the client is freed. Its calls give KEY_UNREACHABLE, too,
 * when the service answered that it can't now (its own failures, throttling). */
COFFER_MUST_CHECK int coffer_kms_client_provider(struct coffer_kms_client *client,
                                                 struct coffer_key_provider *ret_provider);

/* A provider's calls take no fault: this copies that of the last one that failed, whichever thread
 * made it, or a fault with error 0. */
void coffer_kms_client_provider_fault(struct coffer_kms_client *client,
                                      struct coffer_fault *ret_fault);

#ifdef __cplusplus
}
#endif
#endif
