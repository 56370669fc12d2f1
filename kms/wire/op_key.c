/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_key.c - keys: made, described, listed, enabled, disabled, deleted.
 */
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

/* A row of a key is too large for a stack; this one lives as long as the request. */
static struct cof_kms_key_row *new_row(struct cof_wire *wire)
{
    return cof_wire_take(wire, sizeof(struct cof_kms_key_row));
}

static int describe_key(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = new_row(wire);
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_kms_key_find(&wire->call, cof_wire_text(wire, "KeyId"), false, row);

    return error == 0 ? cof_wire_set(wire, "KeyMetadata", cof_wire_key_json(row)) : error;
}

static const struct cof_wire_member describe_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"GrantTokens", &cof_shape_grant_tokens, false}, {0}};

const struct cof_wire_operation cof_wire_key_rows[] = {
    {"DescribeKey", COF_KMS_READS, 0, describe_members, describe_key},
    {0}};
