/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import.h - key material from outside: GetParametersForImport, ImportKeyMaterial,
 * DeleteImportedKeyMaterial, and its expiry.
 *
 * Imported material is known by a digest under a key of the store's own, which is its id as well:
 * the same bytes imported again are the same material. A key that has lost any material it ever
 * encrypted with is in PendingImport until all of it is back; only the same comes back.
 */
#ifndef COF_KMS_IMPORT_H
#define COF_KMS_IMPORT_H

#include "import_token.h"
#include "kms.h"

#define COF_KMS_IMPORT_TOKEN_NS (24ull * 3600u * 1000000000u)
#define COF_KMS_IMPORT_VALID_NS (365ull * 24u * 3600u * 1000000000u) /* the most */

/* What GetParametersForImport answers. */
struct cof_kms_import_offer {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    uint64_t valid_to_ns;
    size_t public_bytes;
    size_t token_bytes;
    uint8_t public_half[COF_PAIR_PUBLIC_BYTES_MAX];
    uint8_t token[COF_KMS_IMPORT_TOKEN_BYTES_MAX];
};

/* Secret memory; to be freed with coffer_keystore_secret_free. */
COFFER_MUST_CHECK int cof_kms_import_scratch_new(struct cof_kms_import_scratch **ret_scratch);

/* Draw a wrapping key into scratch: takes a second, so it is done outside the store's lock.
 * UNSUPPORTED for a spec that is none. */
COFFER_MUST_CHECK int cof_kms_import_draw(struct cof_kms_import_scratch *scratch,
                                          const char *wrapping_spec,
                                          struct cof_kms_import_offer *offer);
/* In a call: the token for key (id or ARN), whose origin must be EXTERNAL. */
COFFER_MUST_CHECK int cof_kms_import_offer(struct cof_kms_call *call, const char *key,
                                           const char *wrapping_spec, const char *algorithm,
                                           struct cof_kms_import_scratch *scratch,
                                           struct cof_kms_import_offer *offer);

struct cof_kms_import {
    const char *key; /* id or ARN */
    struct cof_kms_bytes token;
    struct cof_kms_bytes wrapped;
    const char *expiration_model; /* NULL: KEY_MATERIAL_EXPIRES                               */
    uint64_t valid_to_ns;         /* 0: not given                                             */
    const char *import_type;      /* NULL: new for a key that never had any, else existing    */
    const char *description;      /* or NULL */
    const char *material_id;      /* hex, or NULL */
};

/* IMPORT_TOKEN, IMPORT_EXPIRED, KEY_CIPHERTEXT (nothing opens), KEY_MATERIAL (not the same, or of
 * no use for the key), KEY_STATE, UNSUPPORTED (not EXTERNAL), INVALID. */
COFFER_MUST_CHECK int cof_kms_import(struct cof_kms_call *call, const struct cof_kms_import *import,
                                     struct cof_kms_import_scratch *scratch,
                                     uint8_t ret_material_id[COF_KMS_MATERIAL_ID_BYTES]);

/* material_id: hex, or NULL for what encrypts now. ret_had is false when there was nothing. */
COFFER_MUST_CHECK int cof_kms_import_delete(struct cof_kms_call *call, const char *key,
                                            const char *material_id,
                                            uint8_t ret_material_id[COF_KMS_MATERIAL_ID_BYTES],
                                            bool *ret_had);

/* Drop what has expired at now_ns from row's key, and write the row. For the service's own hand. */
COFFER_MUST_CHECK int cof_kms_import_expire(struct cof_kms_call *call, struct cof_kms_key_row *row,
                                            uint64_t now_ns);

#endif
