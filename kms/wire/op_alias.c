/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_alias.c - aliases.
 */
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#define LIST_DEFAULT 50u

static const struct cof_wire_member name_members[] = {{"AliasName", &cof_shape_alias, true}, {0}};
static const struct cof_wire_member target_members[] = {
    {"AliasName", &cof_shape_alias, true}, {"TargetKeyId", &cof_shape_key_id, true}, {0}};
static const struct cof_wire_member list_members[] = {{"KeyId", &cof_shape_key_id, false},
                                                      {"Limit", &cof_shape_limit_100, false},
                                                      {"Marker", &cof_shape_marker, false},
                                                      {0}};

static int create_alias(struct cof_wire *wire)
{
    return cof_kms_create_alias(&wire->call, cof_wire_text(wire, "AliasName"),
                                cof_wire_text(wire, "TargetKeyId"));
}

static int update_alias(struct cof_wire *wire)
{
    return cof_kms_update_alias(&wire->call, cof_wire_text(wire, "AliasName"),
                                cof_wire_text(wire, "TargetKeyId"));
}

static int delete_alias(struct cof_wire *wire)
{
    return cof_kms_delete_alias(&wire->call, cof_wire_text(wire, "AliasName"));
}

static int add_alias(void *ctx, const struct cof_kms_alias_row *row)
{
    return json_array_append_new(ctx, cof_wire_alias_json(row)) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_aliases(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    json_t *aliases = cof_wire_list(wire, "Aliases");
    int error =
        cof_kms_list_aliases(&wire->call, cof_wire_text(wire, "KeyId"), &page, add_alias, aliases);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

const struct cof_wire_operation cof_wire_alias_rows[] = {
    {"CreateAlias", COF_KMS_CHANGES, 0, target_members, create_alias},
    {"UpdateAlias", COF_KMS_CHANGES, 0, target_members, update_alias},
    {"DeleteAlias", COF_KMS_CHANGES, 0, name_members, delete_alias},
    {"ListAliases", COF_KMS_READS, 0, list_members, list_aliases},
    {0}};
