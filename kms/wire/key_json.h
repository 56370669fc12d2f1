/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/key_json.h - rows of the store as AWS KMS shows them. NULL when there is no memory.
 */
#ifndef COF_KMS_WIRE_KEY_JSON_H
#define COF_KMS_WIRE_KEY_JSON_H

#include "store.h"
#include "wire/json.h"

/* KeyMetadata, but for the replicas of a multi-Region key (wire.h has the whole). */
json_t *cof_wire_key_json(const struct cof_kms_key_row *row);
/* The names of the algorithms that a key of this spec has for usage. */
json_t *cof_wire_algorithms_json(const char *spec, const char *usage);
/* And the member of KeyMetadata that they stand in. */
const char *cof_wire_algorithms_member(const char *usage);
/* An entry of ListAliases. */
json_t *cof_wire_alias_json(const struct cof_kms_alias_row *row);
/* An entry of ListGrants. */
json_t *cof_wire_grant_json(struct cof_kms_env *env, const struct cof_kms_grant_row *row);
/* An entry of ListKeyRotations; with the material's state when all materials are listed. */
json_t *cof_wire_material_json(const struct cof_kms_material_row *row, bool with_material);

#endif
