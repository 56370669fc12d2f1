/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_tag.c - tags of keys.
 */
#include "wire/shapes.h"
#include "wire/wire.h"

#define LIST_DEFAULT 50u

static const struct cof_wire_member tag_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"Tags", &cof_shape_tags, true}, {0}};
static const struct cof_wire_member untag_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"TagKeys", &cof_shape_tag_keys, true}, {0}};
static const struct cof_wire_member list_members[] = {{"KeyId", &cof_shape_key_id, true},
                                                      {"Limit", &cof_shape_limit_50, false},
                                                      {"Marker", &cof_shape_marker, false},
                                                      {0}};

static int tag_resource(struct cof_wire *wire)
{
    const struct cof_kms_tag *tags;
    unsigned count;
    int error = cof_wire_tags(wire, "Tags", &tags, &count);

    return error == 0 ? cof_kms_tag_resource(&wire->call, cof_wire_text(wire, "KeyId"), tags, count)
                      : error;
}

static int untag_resource(struct cof_wire *wire)
{
    const char *const *names;
    unsigned count;
    int error = cof_wire_texts(wire, "TagKeys", &names, &count);

    return error == 0
               ? cof_kms_untag_resource(&wire->call, cof_wire_text(wire, "KeyId"), names, count)
               : error;
}

static int add_tag(void *ctx, const struct cof_kms_tag_row *row)
{
    json_t *tag = json_pack("{s:s, s:s}", "TagKey", row->name, "TagValue", row->value);

    return json_array_append_new(ctx, tag) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_tags(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    json_t *tags = cof_wire_list(wire, "Tags");
    int error =
        cof_kms_list_resource_tags(&wire->call, cof_wire_text(wire, "KeyId"), &page, add_tag, tags);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

const struct cof_wire_operation cof_wire_tag_rows[] = {
    {"TagResource", COF_KMS_CHANGES, 0, tag_members, tag_resource},
    {"UntagResource", COF_KMS_CHANGES, 0, untag_members, untag_resource},
    {"ListResourceTags", COF_KMS_READS, 0, list_members, list_tags},
    {0}};
