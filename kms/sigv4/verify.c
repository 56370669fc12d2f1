/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/verify.c - whether a request was signed by who it says, and now.
 *
 * Order: form, scope, time, what must be signed, body, then the secret and the signature. What
 * comes first needs no secret. Invariants: the signature is compared in constant time; the secret
 * lies in locked pages, which are wiped before the verdict is given; a failure is never GOOD.
 */
#include "internal.h"

#include <string.h>
#include <strings.h>

const char *cof_sigv4_verdict_name(enum cof_sigv4_verdict verdict)
{
    static const char *const names[] = {"",
                                        "MissingAuthenticationToken",
                                        "IncompleteSignature",
                                        "InvalidClientTokenId",
                                        "SignatureDoesNotMatch",
                                        "RequestExpired",
                                        "ExpiredTokenException"};

    return names[verdict];
}

int cof_sigv4_verdict_status(enum cof_sigv4_verdict verdict)
{
    switch (verdict) {
    case COF_SIGV4_GOOD:
        return 200;
    case COF_SIGV4_INCOMPLETE:
    case COF_SIGV4_EXPIRED:
        return 400;
    default:
        return 403;
    }
}

static void check_scope(const struct cof_sigv4_claim *claim,
                        const struct cof_sigv4_expected *expected, struct cof_sigv4_result *result)
{
    if (expected->region != NULL && strcmp(claim->region, expected->region) != 0) {
        cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                         "Credential should be scoped to region %s, not '%s'", expected->region,
                         claim->region);
    }
    if (strcmp(claim->service, expected->service) != 0) {
        cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                         "Credential should be scoped to service '%s', not '%s'", expected->service,
                         claim->service);
    }
    if (strlen(claim->date) != 8 || strncmp(claim->date, claim->stamp, 8) != 0) {
        cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                         "Date in Credential scope (%s) does not match that of the request (%s)",
                         claim->date, claim->stamp);
    }
}

static void check_time(const struct cof_sigv4_claim *claim, uint64_t now_ns,
                       struct cof_sigv4_result *result)
{
    /* Whole seconds, as the stamp has them; a request may not outlive its last second. */
    int64_t now = (int64_t)(now_ns / 1000000000u);
    int64_t last = claim->seconds +
                   (claim->presigned ? (int64_t)claim->expires_seconds : COF_SIGV4_SKEW_SECONDS);
    char stamp[COF_SIGV4_STAMP_BYTES];

    cof_sigv4_stamp(now_ns, stamp);
    if (now < claim->seconds - (int64_t)COF_SIGV4_SKEW_SECONDS) {
        cof_sigv4_refuse(result, COF_SIGV4_EXPIRED,
                         "Signature not yet current: %s is still later than %s + 15 min",
                         claim->stamp, stamp);
    }
    if (now > last) {
        cof_sigv4_refuse(result, COF_SIGV4_EXPIRED,
                         "Signature expired: signed at %s, valid for %lld seconds, and it is %s",
                         claim->stamp, (long long)(last - claim->seconds), stamp);
    }
}

/* Every X-Amz-* header that is there is signed. */
static void check_present(const struct coffer_kms_http_request *request,
                          const struct cof_sigv4_claim *claim, uint32_t flags,
                          struct cof_sigv4_result *result)
{
    char name[COF_SIGV4_NAME_BYTES_MAX];
    unsigned i;

    for (i = 0; i < request->header_count; i++) {
        if (strncasecmp(request->headers[i].name, "x-amz-", 6) != 0 ||
            ((flags & COFFER_KMS_SIGN_TOKEN_AFTER) != 0 &&
             cof_sigv4_same_name(request->headers[i].name, "x-amz-security-token"))) {
            continue;
        }
        if (!cof_sigv4_lower(request->headers[i].name, name) ||
            !cof_sigv4_is_signed(claim->signed_headers, name)) {
            cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                             "The header %.80s is present and not signed",
                             request->headers[i].name);
        }
    }
}

/* Host and the date are signed, and what is signed is there. */
static void check_signed(const struct coffer_kms_http_request *request,
                         const struct cof_sigv4_claim *claim, struct cof_sigv4_result *result)
{
    const char *at = claim->signed_headers;
    char name[COF_SIGV4_NAME_BYTES_MAX];
    unsigned count;

    if (!cof_sigv4_is_signed(at, "host") ||
        (!claim->presigned && !cof_sigv4_is_signed(at, claim->date_header))) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE, "SignedHeaders must have host%s%s",
                         claim->presigned ? "" : " and ",
                         claim->presigned ? "" : claim->date_header);
    }
    while ((at = cof_sigv4_next_name(at, name)) != NULL) {
        (void)cof_sigv4_header(request, name, &count);
        if (count == 0) {
            cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                             "The header %.80s is signed and not present", name);
        }
        at += *at == ';';
    }
}

/* A hash that was sent must be the body's. */
static int check_body(const struct coffer_kms_http_request *request,
                      const struct cof_sigv4_claim *claim, struct cof_sigv4_result *result)
{
    char hash[COFFER_KMS_SIGNATURE_BYTES];
    const char *sent[2];
    bool twice = false;
    unsigned count, i;
    int error = cof_sigv4_body_hash(request, hash);

    if (error != 0) {
        return error;
    }
    sent[0] = cof_sigv4_header(request, "x-amz-content-sha256", &count);
    sent[1] = cof_sigv4_query_find(&claim->query, "X-Amz-Content-Sha256", &twice);
    if (twice || count > 1) {
        cof_sigv4_refuse(result, COF_SIGV4_INCOMPLETE, "X-Amz-Content-Sha256 is there twice");
    }
    for (i = 0; i < 2; i++) {
        if (sent[i] != NULL && strcmp(sent[i], hash) != 0) {
            cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                             "X-Amz-Content-Sha256 is not the SHA-256 of the body");
        }
    }
    return 0;
}

static int check_signature(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                           const struct cof_sigv4_claim *claim,
                           const struct cof_sigv4_expected *expected, struct cof_sigv4_keys *keys,
                           struct cof_sigv4_result *result)
{
    char signature[COFFER_KMS_SIGNATURE_BYTES] = "";
    struct cof_sigv4_text canonical, to_sign;
    int error;

    cof_sigv4_text_init(&canonical, env);
    cof_sigv4_text_init(&to_sign, env);
    error = cof_sigv4_canonical(request, &claim->query, claim->signed_headers, expected->flags,
                                &canonical);
    if (error == 0) {
        error = cof_sigv4_string_to_sign(claim->stamp, claim->region, claim->service, canonical.at,
                                         &to_sign);
    }
    if (error == 0) {
        error = cof_sigv4_signature(keys, claim->stamp, claim->region, claim->service, to_sign.at,
                                    signature);
    }
    if (error == 0 && !cof_kms_equal(signature, claim->signature, COF_SIGV4_HEX_BYTES)) {
        cof_sigv4_refuse(result, COF_SIGV4_MISMATCH,
                         "The request signature we calculated does not match the signature you "
                         "provided. Check your AWS Secret Access Key and signing method.");
    }
    cof_sigv4_text_done(&canonical);
    cof_sigv4_text_done(&to_sign);
    return error;
}

static int check_secret(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                        const struct cof_sigv4_claim *claim,
                        const struct cof_sigv4_expected *expected, struct cof_sigv4_result *result)
{
    struct cof_sigv4_keys *keys = cof_sigv4_keys_new(expected->spares);
    enum cof_sigv4_verdict verdict = COF_SIGV4_UNKNOWN_KEY;
    int error;

    if (keys == NULL) {
        return COFFER_E_LOCKED_MEMORY;
    }
    error = expected->secret(expected->ctx, claim->access_key_id, claim->token,
                             cof_sigv4_keys_secret(keys), &verdict);
    if (error == 0 && verdict == COF_SIGV4_SESSION_EXPIRED) {
        cof_sigv4_refuse(result, verdict, "The security token included in the request is expired");
    } else if (error == 0 && verdict != COF_SIGV4_GOOD) {
        cof_sigv4_refuse(result, verdict, "The security token included in the request is invalid.");
    } else if (error == 0) {
        error = check_signature(env, request, claim, expected, keys, result);
    }
    cof_sigv4_keys_free(expected->spares, keys);
    return error;
}

int cof_sigv4_verify(struct cof_kms_env *env, const struct coffer_kms_http_request *request,
                     const struct cof_sigv4_expected *expected, struct cof_sigv4_result *ret_result)
{
    struct cof_sigv4_result result;
    struct cof_sigv4_claim claim;
    int error;

    memset(&result, 0, sizeof(result));
    error = cof_sigv4_claim_read(env, request, &claim, &result);
    if (error == 0 && result.verdict == COF_SIGV4_GOOD) {
        check_scope(&claim, expected, &result);
        check_time(&claim, expected->now_ns, &result);
        check_signed(request, &claim, &result);
        check_present(request, &claim, expected->flags, &result);
        error = check_body(request, &claim, &result);
    }
    if (error == 0 && result.verdict == COF_SIGV4_GOOD) {
        error = check_secret(env, request, &claim, expected, &result);
    }
    cof_sigv4_claim_done(env, &claim);
    if (error == 0) {
        *ret_result = result;
    }
    return error;
}
