/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/table.c - all operations, from the arrays of the parts. Pure; any thread.
 */
#include "wire/wire.h"

#include <string.h>

static const struct cof_wire_operation *const parts[] = {
    cof_wire_key_rows,      cof_wire_policy_rows,     cof_wire_alias_rows, cof_wire_tag_rows,
    cof_wire_crypt_rows,    cof_wire_batch_rows,      cof_wire_grant_rows, cof_wire_rotation_rows,
    cof_wire_import_rows,   cof_wire_asymmetric_rows, cof_wire_key_store_rows,
    cof_wire_identity_rows, cof_wire_access_rows,     cof_wire_replica_rows, cof_wire_export_rows,
};

const struct cof_wire_operation *cof_wire_at(unsigned number)
{
    size_t part;

    for (part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
        const struct cof_wire_operation *row;

        for (row = parts[part]; row->name != NULL; row++) {
            if (number-- == 0) {
                return row;
            }
        }
    }
    return NULL;
}

const struct cof_wire_operation *cof_wire_find(const char *name)
{
    const struct cof_wire_operation *row;
    unsigned number = 0;

    while ((row = cof_wire_at(number)) != NULL && strcmp(row->name, name) != 0) {
        number++;
    }
    return row;
}
