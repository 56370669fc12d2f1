/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token_key.h - keys whose material is in a custom key store: a PKCS#11 token.
 *
 * Such a key is an HMAC key of the token, labelled "coffer-" and the key's id, and never leaves it.
 * What seals a blob is the token's MAC over the blob's salt, so the token is asked once for each
 * blob, and a blob opens with the token only. Under the store's lock.
 *
 * A key whose store isn't connected, or whose token is away, is Unavailable for as long as that is
 * so: its row says so when it is read (resume_state has what it was), and again what it was after.
 */
#ifndef COF_KMS_TOKEN_KEY_H
#define COF_KMS_TOKEN_KEY_H

#include "kms.h"

#define COF_KMS_STORE_CONNECTED "CONNECTED"
#define COF_KMS_STORE_DISCONNECTED "DISCONNECTED"
#define COF_KMS_STORE_FAILED "FAILED"

/* The store's token, opened when it isn't. KEY_UNREACHABLE, PASSPHRASE. */
COFFER_MUST_CHECK int cof_kms_token_of(struct cof_kms_call *call,
                                       const struct cof_kms_key_store_row *store,
                                       struct cof_token **ret_token);
/* Close the token of the store id, or with NULL all. */
void cof_kms_token_forget(struct coffer_keystore *ks, const char *id);
/* Seal pin into row, whose id is set. */
COFFER_MUST_CHECK int cof_kms_token_keep_pin(struct cof_kms_call *call, struct cof_kms_bytes pin,
                                             struct cof_kms_key_store_row *row);

/* Put a new key's row into the store id: KEY_STORE_NOT_FOUND, KEY_STORE_STATE unless it is
 * connected, UNSUPPORTED for what a token can't hold. */
COFFER_MUST_CHECK int cof_kms_token_key_place(struct cof_kms_call *call, const char *id,
                                              struct cof_kms_key_row *row);
/* Make the key in the token. */
COFFER_MUST_CHECK int cof_kms_token_key_make(struct cof_kms_call *call,
                                             const struct cof_kms_key_row *row);
/* Set the state of a row that was just read; rows of other keys stay. */
COFFER_MUST_CHECK int cof_kms_token_key_look(struct cof_kms_call *call,
                                             struct cof_kms_key_row *row);
/* As cof_kms_key_open. */
COFFER_MUST_CHECK int cof_kms_token_key_open(struct cof_kms_call *call,
                                             const struct cof_kms_key_row *row,
                                             struct cof_kms_material *material);
/* The key in the token, if that can be had; a warning is logged if not. */
void cof_kms_token_key_destroy(struct cof_kms_call *call, const struct cof_kms_key_row *row);

#endif
