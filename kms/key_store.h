/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/key_store.h - custom key stores: PKCS#11 tokens that hold keys, by AWS KMS's names.
 *
 * All are parts of a call (kms.h). A store is DISCONNECTED until it is connected, which opens the
 * token; FAILED when that did not work, with an error code. Its keys are Unavailable unless it is
 * CONNECTED and the token is there. Errors: KEY_STORE_NOT_FOUND, KEY_STORE_STATE, KEY_STORE_IN_USE,
 * KEY_STORE_NAME, LIMIT, UNSUPPORTED, INVALID.
 */
#ifndef COF_KMS_KEY_STORE_H
#define COF_KMS_KEY_STORE_H

#include "token_key.h"
#include "verbs.h"

#define COF_KMS_KEY_STORES_MAX 10u /* of an account in a region */

struct cof_kms_key_store_params {
    const char *name;         /* create: 1 to 256 bytes; update: NULL leaves it              */
    const char *type;         /* create: PKCS11                                              */
    const char *uri;          /* of the token (token/pkcs11.h); update: NULL leaves it       */
    struct cof_kms_bytes pin; /* of length 0: the URI's pin-source; update: leaves it        */
};

COFFER_MUST_CHECK int cof_kms_create_key_store(struct cof_kms_call *call,
                                               const struct cof_kms_key_store_params *params,
                                               char ret_id[COF_KMS_KEY_STORE_ID_BYTES_MAX]);
/* Whether the token opened stands in the store's state: that is no error of the call. */
COFFER_MUST_CHECK int cof_kms_connect_key_store(struct cof_kms_call *call, const char *id);
COFFER_MUST_CHECK int cof_kms_disconnect_key_store(struct cof_kms_call *call, const char *id);
/* While it is DISCONNECTED, but for its name. */
COFFER_MUST_CHECK int cof_kms_update_key_store(struct cof_kms_call *call, const char *id,
                                               const struct cof_kms_key_store_params *params);
/* While it is DISCONNECTED and has no keys. */
COFFER_MUST_CHECK int cof_kms_delete_key_store(struct cof_kms_call *call, const char *id);
/* id and name, or either, NULL: all. */
COFFER_MUST_CHECK int cof_kms_describe_key_stores(
    struct cof_kms_call *call, const char *id, const char *name, struct cof_kms_page *page,
    int (*visit)(void *ctx, const struct cof_kms_key_store_row *row), void *ctx);

#endif
