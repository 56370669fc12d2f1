/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/pkcs11.h - a session with a PKCS#11 token, and what secret keys in it do.
 *
 * A token is named by a URI of RFC 7512 that has module-path (the token's library) and what tells
 * the token from others (token, serial, ...). Its PIN comes from the URI's pin-source=file:PATH, or
 * from the caller; a PIN inside of the URI is refused, since URIs stand in argv and rows.
 *
 * Keys are made in the token, sensitive and not extractable, and found by their label (object).
 * Errors: KEY_UNREACHABLE when the token is gone or doesn't answer, NOT_FOUND for a missing object,
 * PASSPHRASE for a wrong PIN, UNSUPPORTED for what the token can't do, INVALID for the URI.
 *
 * A token is used by one thread at a time. A forked child must not use it.
 */
#ifndef COF_KMS_TOKEN_PKCS11_H
#define COF_KMS_TOKEN_PKCS11_H

#include "kms/env.h"
#include "kms/seal.h"

#define COF_TOKEN_LABEL_BYTES_MAX 129u
#define COF_TOKEN_PIN_BYTES_MAX 256u

struct cof_token;

/* Whether text is such a URI, by its scheme alone. */
bool cof_token_is_uri(const char *text);

/* 0 when cof_token_open would go on from here to the token's library. */
COFFER_MUST_CHECK int cof_token_check_uri(struct cof_kms_env *env, const char *uri,
                                          struct coffer_fault *fault);

/* Open a session and log in. pin NULL: the URI's pin-source. */
COFFER_MUST_CHECK int cof_token_open(struct cof_kms_env *env, const char *uri,
                                     const struct cof_kms_bytes *pin, struct cof_token **ret_token,
                                     struct coffer_fault *fault);
/* NULL is allowed. */
void cof_token_close(struct cof_token *token);

/* The URI's object; "" when it names none. */
const char *cof_token_object(const struct cof_token *token);

/* Make a key for HMAC-SHA256, 32 bytes, of that label: EXISTS when there is one of it. */
COFFER_MUST_CHECK int cof_token_make(struct cof_token *token, const char *label,
                                     struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_token_find(struct cof_token *token, const char *label,
                                     unsigned long *ret_handle, struct coffer_fault *fault);
/* For good. */
COFFER_MUST_CHECK int cof_token_destroy(struct cof_token *token, const char *label,
                                        struct coffer_fault *fault);

/* HMAC-SHA256 of data under the object. ret_mac: secret memory. */
COFFER_MUST_CHECK int cof_token_mac(struct cof_token *token, unsigned long handle,
                                    struct cof_kms_bytes data, uint8_t ret_mac[COF_KMS_MAC_BYTES],
                                    struct coffer_fault *fault);

#endif
