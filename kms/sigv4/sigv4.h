/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/sigv4.h - AWS Signature Version 4: sign a request, verify one.
 *
 * Pure: no store, no clock, no socket. Any thread. A secret is read from the caller's memory, or
 * written by the caller's lookup into locked pages, and is wiped before the call ends; no message,
 * canonical form or header that is made here holds a secret, or a key made from one.
 *
 * What the verifier insists on, beyond the signature:
 *   - one carrier: an Authorization header or a presigned query, never both, nothing twice;
 *   - scope = date of the request / region / service / aws4_request;
 *   - by header: the date within 15 minutes of now; presigned: not from the future (the same 15
 *     minutes), 1 to 604800 seconds long, and not over;
 *   - signed: Host, the header that gives the date, and every X-Amz-* header of the request;
 *   - names in SignedHeaders in lower case, ascending, each once, and each in the request;
 *   - the body's SHA-256 is always computed; X-Amz-Content-Sha256, if sent, must be it.
 *     UNSIGNED-PAYLOAD and STREAMING-* are never it, so they are refused: a key service has no
 *     body that is too long to hash.
 */
#ifndef COF_KMS_SIGV4_SIGV4_H
#define COF_KMS_SIGV4_SIGV4_H

#include "env.h"

#include <coffer/kms.h>

#define COF_SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define COF_SIGV4_SKEW_SECONDS 900u
#define COF_SIGV4_HEADERS_MAX 128u    /* of a request                            */
#define COF_SIGV4_PARAMETERS_MAX 128u /* of a query                              */
#define COF_SIGV4_TARGET_BYTES_MAX 16384u

/* ---- sign -------------------------------------------------------------------------------- */

/* coffer_kms_sign of coffer/kms.h, with an environment that is resolved. */
COFFER_MUST_CHECK int cof_sigv4_sign(struct cof_kms_env *env,
                                     const struct coffer_kms_http_request *request,
                                     const struct coffer_kms_signing *signing,
                                     struct coffer_kms_signed *ret_signed,
                                     struct coffer_fault *fault);

/* ---- verify ------------------------------------------------------------------------------ */

enum cof_sigv4_verdict {
    COF_SIGV4_GOOD = 0,
    COF_SIGV4_MISSING,        /* no signature at all                                      */
    COF_SIGV4_INCOMPLETE,     /* a part of it is missing or malformed                     */
    COF_SIGV4_UNKNOWN_KEY,    /* no such access key, an inactive one, or a token not of it */
    COF_SIGV4_MISMATCH,       /* signature, scope or body's hash                          */
    COF_SIGV4_EXPIRED,        /* dated too early or too late, or presigned too long ago   */
    COF_SIGV4_SESSION_EXPIRED /* the session token's time is over                         */
};

struct cof_sigv4_expected {
    const char *region;  /* NULL: any; cof_sigv4_result tells which               */
    const char *service; /* "kms"                                                 */
    uint64_t now_ns;
    uint32_t flags; /* PATH_AS_IS, TOKEN_AFTER of enum coffer_kms_signing_flags */
    /*
     * The secret of an access key, NUL-terminated, into ret_secret (locked memory). token is NULL
     * or the session token that came with it. Returns 0 with *ret_verdict GOOD, UNKNOWN_KEY or
     * SESSION_EXPIRED; anything but 0 is a failure of the store and ends the verification.
     */
    int (*secret)(void *ctx, const char *access_key_id, const char *token,
                  char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                  enum cof_sigv4_verdict *ret_verdict);
    void *ctx;
    struct cof_kms_spares *spares; /* to take locked memory from; NULL: new pages */
};

struct cof_sigv4_result {
    enum cof_sigv4_verdict verdict;
    char access_key_id[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX]; /* as claimed, once it could be read */
    char region[33];                                        /* of the scope, likewise            */
    char message[200];                                      /* a sentence for the caller         */
};

/* 0 when there is a verdict, which may be a refusal; NO_MEMORY, LOCKED_MEMORY, CRYPTO, or what the
 * lookup returned. */
COFFER_MUST_CHECK int cof_sigv4_verify(struct cof_kms_env *env,
                                       const struct coffer_kms_http_request *request,
                                       const struct cof_sigv4_expected *expected,
                                       struct cof_sigv4_result *ret_result);

/* "IncompleteSignature" and so on, "" for GOOD; and the HTTP status that goes with it. */
const char *cof_sigv4_verdict_name(enum cof_sigv4_verdict verdict);
int cof_sigv4_verdict_status(enum cof_sigv4_verdict verdict);

#endif
