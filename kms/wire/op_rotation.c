/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_rotation.c - rotation of keys.
 */
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

#define LIST_DEFAULT 100u

static const struct cof_wire_member enable_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"RotationPeriodInDays", &cof_shape_rotation_period, false},
    {0}};
static const struct cof_wire_member list_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"IncludeKeyMaterial", &cof_shape_include_material, false},
    {"Limit", &cof_shape_limit, false},
    {"Marker", &cof_shape_marker, false},
    {0}};

static int enable_rotation(struct cof_wire *wire)
{
    return cof_kms_enable_key_rotation(&wire->call, cof_wire_text(wire, "KeyId"),
                                       cof_wire_number(wire, "RotationPeriodInDays", 0));
}

static int disable_rotation(struct cof_wire *wire)
{
    return cof_kms_disable_key_rotation(&wire->call, cof_wire_text(wire, "KeyId"));
}

static int rotation_status(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_kms_get_key_rotation_status(&wire->call,
                                                              cof_wire_text(wire, "KeyId"), row);

    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", row->arn);
    }
    if (error == 0) {
        error =
            cof_wire_set(wire, "KeyRotationEnabled", json_boolean(row->rotation_period_days != 0));
    }
    if (error == 0 && row->rotation_period_days != 0) {
        error = cof_wire_set(wire, "RotationPeriodInDays", json_integer(row->rotation_period_days));
    }
    if (error == 0 && row->next_rotation_ns != 0) {
        error = cof_wire_set(wire, "NextRotationDate", cof_wire_json_time(row->next_rotation_ns));
    }
    return error;
}

static int rotate_on_demand(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    int error = row == NULL
                    ? COFFER_E_NO_MEMORY
                    : cof_kms_rotate_key_on_demand(&wire->call, cof_wire_text(wire, "KeyId"), row);

    return error == 0 ? cof_wire_set_text(wire, "KeyId", row->arn) : error;
}

struct rotations {
    json_t *list;
    bool with_material;
};

static int add_rotation(void *ctx, const struct cof_kms_material_row *row)
{
    struct rotations *rotations = ctx;
    json_t *entry = cof_wire_material_json(row, rotations->with_material);

    return json_array_append_new(rotations->list, entry) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_rotations(struct cof_wire *wire)
{
    const char *include = cof_wire_text(wire, "IncludeKeyMaterial");
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    struct rotations rotations = {cof_wire_list(wire, "Rotations"),
                                  include != NULL && strcmp(include, "ALL_KEY_MATERIAL") == 0};
    int error =
        cof_kms_list_key_rotations(&wire->call, cof_wire_text(wire, "KeyId"),
                                   rotations.with_material, &page, add_rotation, &rotations);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

const struct cof_wire_operation cof_wire_rotation_rows[] = {
    {"EnableKeyRotation", COF_KMS_CHANGES, 0, enable_members, enable_rotation},
    {"DisableKeyRotation", COF_KMS_CHANGES, 0, cof_wire_id_members, disable_rotation},
    {"GetKeyRotationStatus", COF_KMS_READS, 0, cof_wire_id_members, rotation_status},
    {"RotateKeyOnDemand", COF_KMS_CHANGES, 0, cof_wire_id_members, rotate_on_demand},
    {"ListKeyRotations", COF_KMS_READS, 0, list_members, list_rotations},
    {0}};
