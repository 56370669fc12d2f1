/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_model - the service's operations as JSON on standard output: {operation: {member: shape}},
 * for kms_model.py to hold against the published model of AWS KMS.
 */
#include "wire/wire.h"

#include <stdio.h>

static json_t *members_json(const struct cof_wire_member *members);

static json_t *shape_json(const struct cof_wire_shape *shape)
{
    static const char *const types[] = {"string", "integer", "timestamp", "boolean",
                                        "blob",   "map",     "list",      "structure"};
    json_t *value = json_pack("{s:s, s:i, s:i}", "type", types[shape->type], "min", (int)shape->min,
                              "max", (int)shape->max);

    if (shape->pattern != NULL) {
        json_object_set_new(value, "pattern", json_string(shape->pattern->text));
    }
    if (shape->values != NULL) {
        json_t *values = json_array();

        for (unsigned i = 0; shape->values[i] != NULL; i++) {
            json_array_append_new(values, json_string(shape->values[i]));
        }
        json_object_set_new(value, "enum", values);
    }
    if (shape->of != NULL) {
        json_object_set_new(value, "member", shape_json(shape->of));
    }
    if (shape->members != NULL) {
        json_object_set_new(value, "members", members_json(shape->members));
    }
    return value;
}

static json_t *members_json(const struct cof_wire_member *members)
{
    json_t *object = json_object();

    for (; members->name != NULL; members++) {
        json_t *value = shape_json(members->shape);

        json_object_set_new(value, "required", json_boolean(members->required));
        json_object_set_new(object, members->name, value);
    }
    return object;
}

int main(void)
{
    const struct cof_wire_operation *row;
    json_t *all = json_object();

    for (unsigned number = 0; (row = cof_wire_at(number)) != NULL; number++) {
        if ((row->flags & COF_WIRE_IDENTITY) == 0) {
            json_object_set_new(all, row->name, members_json(row->members));
        }
    }
    (void)json_dumpf(all, stdout, JSON_INDENT(1));
    json_decref(all);
    return 0;
}
