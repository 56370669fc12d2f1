/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/kms.h - the one way into the key service, as AWS KMS speaks it.
 *
 * coffer_kms_call() takes one operation by name with its JSON parameters, and gives the status, the
 * name of the error and the JSON answer. coffer_kms_http() puts HTTP and Signature Version 4 before
 * it. Neither opens a socket: a server hands over what it read, the embedded caller what it wants.
 *
 * - Whatever the caller sends, there is an answer: what is wrong with the request stands in it. A
 *   function fails only when there is none: INVALID (an argument of its own), NO_MEMORY, FORKED.
 *   ret_ outputs are untouched then.
 * - coffer_kms_call() believes the principal it is given. Whoever calls it has authenticated it.
 * - Bodies may hold secrets (Plaintext). The answer's is wiped by its _done; the request's is the
 *   caller's to wipe.
 * - Operations that only read work on a store opened READ_ONLY; all others give
 *   UnsupportedOperationException there.
 *
 * Threads: as coffer/keystore.h; a store may be shared, calls are serialised inside.
 */
#ifndef COFFER_KMS_H
#define COFFER_KMS_H

#include <coffer/error.h>
#include <coffer/keystore.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_KMS_BODY_BYTES_MAX (1u << 20)     /* of a request                               */
#define COFFER_KMS_ERROR_BYTES_MAX 64            /* name of an error, with its NUL             */
#define COFFER_KMS_REQUEST_ID_BYTES 37           /* 8-4-4-4-12 lower-case hex, with its NUL    */
#define COFFER_KMS_TARGET_PREFIX "TrentService." /* of X-Amz-Target                            */
#define COFFER_KMS_IDENTITY_PREFIX "CofferIdentity." /* the same, of users, keys, sessions */
#define COFFER_KMS_CONTENT_TYPE "application/x-amz-json-1.1"
#define COFFER_KMS_SIGNING_NAME "kms" /* service in a credential scope              */

/* ---- one call ---------------------------------------------------------------------------- */

struct coffer_kms_request {
    size_t size;           /* sizeof (struct coffer_kms_request)                           */
    const char *operation; /* "Encrypt", "DescribeKey", ...                                */
    const char *principal; /* ARN of who calls; NULL: root of the store's own account      */
    const char *region;    /* NULL: the store's own                                        */
    const char *source_ip; /* each of these may be NULL: not known, or does not apply      */
    const char *user_agent;
    const char *via_service;    /* "engine" when the engine calls on the principal's behalf     */
    const char *session_policy; /* JSON that narrows what the principal may do                  */
    const uint8_t *body;        /* a JSON object; 0 bytes stand for {}                          */
    size_t body_bytes;
    uint64_t session_ends_ns; /* since 1970, of temporary credentials; 0: principal has no end  */
};

struct coffer_kms_answer {
    size_t size;                            /* set by the caller                             */
    int status;                             /* as of HTTP: 200, 400, 403, 404, 413, 500      */
    int code;                               /* 0, or the enum coffer_error behind error      */
    char error[COFFER_KMS_ERROR_BYTES_MAX]; /* "", or "NotFoundException"                    */
    char request_id[COFFER_KMS_REQUEST_ID_BYTES];
    uint8_t *body; /* JSON, NUL after body_bytes; may be of 0 bytes */
    size_t body_bytes;
};

/* Do one operation; durable on return. The answer is the caller's: coffer_kms_answer_done. */
COFFER_MUST_CHECK int coffer_kms_call(struct coffer_keystore *store,
                                      const struct coffer_kms_request *request,
                                      struct coffer_kms_answer *ret_answer);

/* Wipe and release the body; NULL and an answer without one are allowed. */
void coffer_kms_answer_done(struct coffer_kms_answer *answer);

/* ---- the same behind HTTP ---------------------------------------------------------------- */

struct coffer_kms_header {
    const char *name;
    const char *value;
};

struct coffer_kms_http_request {
    size_t size;
    const char *method; /* "POST"                                                               */
    const char *target; /* as on the request line: path, and query if any                       */
    const struct coffer_kms_header *headers; /* in order; names in any case                     */
    unsigned header_count;
    const uint8_t *body;
    size_t body_bytes;
    const char *peer; /* address of the other side as text, or NULL                             */
};

struct coffer_kms_http_response {
    size_t size; /* set by the caller                                                           */
    int status;
    const struct coffer_kms_header *headers; /* the response's own; no Content-Length, no Date  */
    unsigned header_count;
    uint8_t *body;
    size_t body_bytes;
};

/*
 * Answer one HTTP request: POST / with X-Amz-Target and a signature, GET /healthz without one.
 * Authenticates by the store's own identities, limits the rate of each account, then does the call.
 */
COFFER_MUST_CHECK int coffer_kms_http(struct coffer_keystore *store,
                                      const struct coffer_kms_http_request *request,
                                      struct coffer_kms_http_response *ret_response);

/* Wipe and release; NULL and a response without a body are allowed. */
void coffer_kms_http_response_done(struct coffer_kms_http_response *response);

/* Do what is due by the clock: rotations, deletions, expiry of imported material, each with its
 * record; and note in the ledger how far the audit trail goes. Calls do what is due of the keys
 * that they name by themselves: this is for those that nobody names. */
COFFER_MUST_CHECK int coffer_kms_tick(struct coffer_keystore *store, struct coffer_fault *fault);

/* ---- rates ------------------------------------------------------------------------------- */

/*
 * How many requests by HTTP an account may make: burst at once, and per_second on average. Beyond
 * that the answer is ThrottlingException. The clock is the store's. per_second 0: no limit.
 */
struct coffer_kms_rates {
    size_t size;         /* sizeof (struct coffer_kms_rates) */
    uint32_t per_second; /* [5500]  at most 1,000,000        */
    uint32_t burst;      /* [11000] at least 1               */
};

/* Applies to what comes after it; INVALID for rates out of bounds. */
COFFER_MUST_CHECK int coffer_kms_rates_set(struct coffer_keystore *store,
                                           const struct coffer_kms_rates *rates);

/* ---- signing ----------------------------------------------------------------------------- */

#define COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX 129 /* each with its NUL                            */
#define COFFER_KMS_SECRET_BYTES_MAX 129
#define COFFER_KMS_SIGNATURE_BYTES 65          /* hex                                          */
#define COFFER_KMS_EXPIRES_SECONDS_MAX 604800u /* of a presigned request: seven days           */

enum coffer_kms_signing_flags {
    COFFER_KMS_SIGN_PATH_AS_IS = 1, /* keep dots and double slashes of the path, as S3 does      */
    COFFER_KMS_SIGN_BODY = 2,       /* also send the body's hash, as X-Amz-Content-Sha256        */
    COFFER_KMS_SIGN_TOKEN_AFTER = 4 /* send the session token unsigned; key services refuse that */
};

struct coffer_kms_signing {
    size_t size; /* sizeof (struct coffer_kms_signing)                                          */
    const char *access_key_id;
    const char *secret;        /* secret access key; read during the call only, kept nowhere    */
    const char *session_token; /* or NULL                                                       */
    const char *region;
    const char *service;  /* NULL: COFFER_KMS_SIGNING_NAME                                      */
    uint64_t time_ns;     /* since 1970; 0: the environment's clock                             */
    uint32_t expires_seconds; /* 0: sign by header; else presign, up to EXPIRES_SECONDS_MAX     */
    uint32_t flags;           /* enum coffer_kms_signing_flags                                  */
};

struct coffer_kms_signed {
    size_t size;                             /* set by the caller                                */
    const char *target;                      /* to send: the request's, or presigned             */
    const struct coffer_kms_header *headers; /* to send behind the request's own; may be none    */
    unsigned header_count;
    const char *canonical_request; /* the three steps, for who wants to see them                 */
    const char *string_to_sign;
    char signature[COFFER_KMS_SIGNATURE_BYTES];
    void *memory; /* of all these; coffer_kms_signed_done                                        */
};

/*
 * Sign a request by AWS Signature Version 4: every header that the request has is signed, but those
 * that are known to change on the way (Connection, User-Agent, X-Amzn-Trace-Id, ...). Host is
 * needed; X-Amz-Date, Authorization and the other headers of signing must not be there yet.
 * env may be NULL. INVALID for a request that can't be signed, NO_MEMORY, LOCKED_MEMORY, CRYPTO.
 */
COFFER_MUST_CHECK int coffer_kms_sign(const struct coffer_env *env,
                                      const struct coffer_kms_http_request *request,
                                      const struct coffer_kms_signing *signing,
                                      struct coffer_kms_signed *ret_signed,
                                      struct coffer_fault *fault);

/* NULL and one that was never signed are allowed. */
void coffer_kms_signed_done(struct coffer_kms_signed *made);

#ifdef __cplusplus
}
#endif
#endif
