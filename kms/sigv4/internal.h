/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/internal.h - the steps that signer and verifier share.
 *
 * A text grows as it is written and remembers when memory ran out; whoever reads it asks first. The
 * room's files are: text.c (texts), target.c (path and query), headers.c, canonical.c (steps 1 and
 * 2), key.c (dates, step 3), claim.c (what a signed request says of itself), sign.c and verify.c.
 */
#ifndef COF_KMS_SIGV4_INTERNAL_H
#define COF_KMS_SIGV4_INTERNAL_H

#include "seal.h"
#include "sigv4/sigv4.h"

#include <stdbool.h>

#define COF_SIGV4_TERMINATOR "aws4_request"
#define COF_SIGV4_HEX_BYTES 64u
#define COF_SIGV4_STAMP_BYTES 17u /* 20150830T123600Z, with its NUL */
#define COF_SIGV4_REGION_BYTES_MAX 33u
#define COF_SIGV4_NAME_BYTES_MAX 128u /* of a header */
#define COF_SIGV4_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-_."

/* ---- texts (text.c) ---------------------------------------------------------------------- */

struct cof_sigv4_text {
    struct cof_kms_env *env;
    char *at; /* NUL-terminated; NULL while empty */
    size_t length_bytes, capacity_bytes;
    bool failed;
};

void cof_sigv4_text_init(struct cof_sigv4_text *text, struct cof_kms_env *env);
void cof_sigv4_text_done(struct cof_sigv4_text *text);
void cof_sigv4_put(struct cof_sigv4_text *text, const char *bytes, size_t count);
void cof_sigv4_put_text(struct cof_sigv4_text *text, const char *more);
/* %XX, upper case, for all but A-Z a-z 0-9 - . _ ~ and, if keep_slash, the slash. */
void cof_sigv4_put_escaped(struct cof_sigv4_text *text, const char *bytes, size_t count,
                           bool keep_slash);
/* White space trimmed at both ends, and each run of it within made one blank. */
void cof_sigv4_put_trimmed(struct cof_sigv4_text *text, const char *value);

/* ---- path and query (target.c) ----------------------------------------------------------- */

struct cof_sigv4_parameter {
    const char *name, *value;
};

struct cof_sigv4_query {
    char *memory;
    unsigned count;
    struct cof_sigv4_parameter all[COF_SIGV4_PARAMETERS_MAX]; /* unescaped, in their order */
};

/* INVALID: no path, too long, too many parameters, an escape that is none, or one of NUL. */
COFFER_MUST_CHECK int cof_sigv4_query_parse(struct cof_kms_env *env, const char *target,
                                            struct cof_sigv4_query *ret_query);
void cof_sigv4_query_done(struct cof_kms_env *env, struct cof_sigv4_query *query);
/* The parameter's value; NULL when it isn't there. *ret_twice: it is there more than once. */
const char *cof_sigv4_query_find(const struct cof_sigv4_query *query, const char *name,
                                 bool *ret_twice);
void cof_sigv4_put_path(struct cof_sigv4_text *text, const char *target, bool as_is);
/* Sorted; without X-Amz-Signature and, if token_after, without X-Amz-Security-Token. */
void cof_sigv4_put_query(struct cof_sigv4_text *text, const struct cof_sigv4_query *query,
                         bool token_after);

/* ---- headers (headers.c) ----------------------------------------------------------------- */

bool cof_sigv4_same_name(const char *a, const char *b);
/* In lower case; false when it is no name, or one too long. */
bool cof_sigv4_lower(const char *name, char ret_name[COF_SIGV4_NAME_BYTES_MAX]);
/* The only header of that name; NULL when there is none or more than one. */
const char *cof_sigv4_header(const struct coffer_kms_http_request *request, const char *name,
                             unsigned *ret_count);
/* The first name of "a;b;c", and what follows it: ";b;c", or "". NULL: there is no name. */
const char *cof_sigv4_next_name(const char *list, char ret_name[COF_SIGV4_NAME_BYTES_MAX]);
bool cof_sigv4_is_signed(const char *signed_headers, const char *name);
/* "host;x-amz-date": all headers but those that change on the way. INVALID for what is no name. */
COFFER_MUST_CHECK int cof_sigv4_list_names(const struct coffer_kms_http_request *request,
                                           struct cof_sigv4_text *list);

/* ---- steps 1 and 2 (canonical.c) --------------------------------------------------------- */

COFFER_MUST_CHECK int cof_sigv4_body_hash(const struct coffer_kms_http_request *request,
                                          char ret_hex[COFFER_KMS_SIGNATURE_BYTES]);
/* query: the request's. flags: PATH_AS_IS, TOKEN_AFTER. */
COFFER_MUST_CHECK int cof_sigv4_canonical(const struct coffer_kms_http_request *request,
                                          const struct cof_sigv4_query *query,
                                          const char *signed_headers, uint32_t flags,
                                          struct cof_sigv4_text *text);
COFFER_MUST_CHECK int cof_sigv4_string_to_sign(const char *stamp, const char *region,
                                               const char *service, const char *canonical,
                                               struct cof_sigv4_text *text);

/* ---- dates and step 3 (key.c) ------------------------------------------------------------ */

void cof_sigv4_stamp(uint64_t time_ns, char ret_stamp[COF_SIGV4_STAMP_BYTES]);
/* Of a stamp, or of a Date header as HTTP has it; false when text is neither. */
bool cof_sigv4_stamp_seconds(const char *text, int64_t *ret_seconds);
bool cof_sigv4_date_seconds(const char *text, int64_t *ret_seconds);

/* In locked memory. */
struct cof_sigv4_keys {
    char prefixed[4 + COFFER_KMS_SECRET_BYTES_MAX]; /* the secret stands behind "AWS4" */
    uint8_t key[COF_KMS_MAC_BYTES], next[COF_KMS_MAC_BYTES];
};

/* NULL: no memory that can be locked. spares may be NULL. */
struct cof_sigv4_keys *cof_sigv4_keys_new(struct cof_kms_spares *spares);
void cof_sigv4_keys_free(struct cof_kms_spares *spares, struct cof_sigv4_keys *keys);
char *cof_sigv4_keys_secret(struct cof_sigv4_keys *keys);
COFFER_MUST_CHECK int cof_sigv4_signature(struct cof_sigv4_keys *keys, const char *stamp,
                                          const char *region, const char *service,
                                          const char *string_to_sign,
                                          char ret_signature[COFFER_KMS_SIGNATURE_BYTES]);

/* ---- what a request claims (claim.c) ----------------------------------------------------- */

struct cof_sigv4_claim {
    bool presigned;
    char access_key_id[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX];
    char date[9];
    char region[COF_SIGV4_REGION_BYTES_MAX];
    char service[COF_SIGV4_REGION_BYTES_MAX];
    char stamp[COF_SIGV4_STAMP_BYTES];
    int64_t seconds; /* of stamp since 1970 */
    uint32_t expires_seconds;
    const char *date_header; /* "x-amz-date" or "date"; NULL: presigned */
    const char *signed_headers;
    const char *signature; /* 64 hex digits, lower case               */
    const char *token;     /* or NULL                                 */
    struct cof_sigv4_query query;
    char *memory;
};

/* MISSING and INCOMPLETE leave a sentence in result; what could be read of the scope goes there,
 * too. claim is to be done with in every case. */
COFFER_MUST_CHECK int cof_sigv4_claim_read(struct cof_kms_env *env,
                                           const struct coffer_kms_http_request *request,
                                           struct cof_sigv4_claim *claim,
                                           struct cof_sigv4_result *result);
void cof_sigv4_claim_done(struct cof_kms_env *env, struct cof_sigv4_claim *claim);
/* Set a verdict and its sentence, unless there is one. */
void cof_sigv4_refuse(struct cof_sigv4_result *result, enum cof_sigv4_verdict verdict,
                      const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
