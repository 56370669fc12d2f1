/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import_row.h - between import.c, which opens what comes in, and import_row.c, which keeps it.
 */
#ifndef COF_KMS_IMPORT_ROW_H
#define COF_KMS_IMPORT_ROW_H

#include "import.h"

#define COF_KMS_MATERIAL_EXPIRES "KEY_MATERIAL_EXPIRES"
#define COF_KMS_MATERIAL_STAYS "KEY_MATERIAL_DOES_NOT_EXPIRE"
#define COF_KMS_IMPORT_NEW "NEW_KEY_MATERIAL"
#define COF_KMS_IMPORT_EXISTING "EXISTING_KEY_MATERIAL"
#define COF_KMS_IMPORT_TEXT_MAX 256u /* of a description */

/* Find key (id or ARN); UNSUPPORTED unless its origin is EXTERNAL. */
COFFER_MUST_CHECK int cof_kms_import_find(struct cof_kms_call *call, const char *key,
                                          const char *action, struct cof_kms_key_row *row);

/* Put the material in secrets->material under id, where import says and the key allows it, and what
 * follows for the key. import's options have been checked. */
COFFER_MUST_CHECK int cof_kms_import_keep(struct cof_kms_call *call,
                                          const struct cof_kms_import *import,
                                          struct cof_kms_key_row *row,
                                          const struct cof_kms_spec *spec,
                                          const uint8_t id[COF_KMS_MATERIAL_ID_BYTES]);

#endif
