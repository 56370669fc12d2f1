/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_replica.c - multi-Region keys, and what each of a family tells of the others.
 */
#include "policy/policy.h"
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

static const struct cof_wire_member replicate_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"ReplicaRegion", &cof_shape_region, true},
    {"Policy", &cof_shape_policy, false},
    {"BypassPolicyLockoutSafetyCheck", &cof_shape_flag, false},
    {"Description", &cof_shape_description, false},
    {"Tags", &cof_shape_tags, false},
    {0}};
static const struct cof_wire_member primary_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"PrimaryRegion", &cof_shape_region, true}, {0}};

static int add_replica(void *ctx, const struct cof_kms_key_row *row)
{
    json_t *entry = json_pack("{s:s, s:s}", "Arn", row->arn, "Region", row->owner.region);

    return json_array_append_new(ctx, entry) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

int cof_wire_set_key(struct cof_wire *wire, const char *name, const struct cof_kms_key_row *row)
{
    json_t *key = cof_wire_key_json(row), *replicas = row->multi_region ? json_array() : NULL;
    json_t *family = json_object_get(key, "MultiRegionConfiguration");
    int error = cof_wire_set(wire, name, key);

    if (error != 0 || !row->multi_region) {
        json_decref(replicas);
        return error;
    }
    error = json_object_set_new(family, "ReplicaKeys", replicas) == 0 ? 0 : COFFER_E_NO_MEMORY;
    return error == 0 ? cof_kms_replicas_each(&wire->call, row, add_replica, replicas) : error;
}

/* The replica's policy and tags, as they are from now on, besides its metadata. */
static int answer_replica(struct cof_wire *wire, const struct cof_kms_key_row *row,
                          const struct cof_kms_replicate *params)
{
    json_t *tags = cof_wire_list(wire, "ReplicaTags");
    char fallback[COF_POLICY_DEFAULT_BYTES];
    unsigned i;
    int error = cof_wire_set_key(wire, "ReplicaKeyMetadata", row);

    cof_policy_default(row->owner.account, fallback);
    if (error == 0) {
        error = cof_wire_set_text(wire, "ReplicaPolicy",
                                  row->policy[0] == '\0' ? fallback : row->policy);
    }
    for (i = 0; error == 0 && i < params->tag_count; i++) {
        json_t *tag = json_pack("{s:s, s:s}", "TagKey", params->tags[i].name, "TagValue",
                                params->tags[i].value);

        error = json_array_append_new(tags, tag) == 0 ? 0 : COFFER_E_NO_MEMORY;
    }
    return error;
}

static int replicate_key(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    struct cof_kms_replicate params = {
        .key = cof_wire_text(wire, "KeyId"),
        .region = cof_wire_text(wire, "ReplicaRegion"),
        .policy = cof_wire_text(wire, "Policy"),
        .description = cof_wire_text(wire, "Description"),
        .bypass_lockout_check = cof_wire_flag(wire, "BypassPolicyLockoutSafetyCheck"),
    };
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_wire_tags(wire, "Tags", &params.tags, &params.tag_count);

    if (error == 0) {
        error = cof_kms_replicate_key(&wire->call, &params, row);
    }
    return error == 0 ? answer_replica(wire, row, &params) : error;
}

static int update_primary(struct cof_wire *wire)
{
    return cof_kms_update_primary_region(&wire->call, cof_wire_text(wire, "KeyId"),
                                         cof_wire_text(wire, "PrimaryRegion"));
}

const struct cof_wire_operation cof_wire_replica_rows[] = {
    {"ReplicateKey", COF_KMS_CHANGES, 0, replicate_members, replicate_key},
    {"UpdatePrimaryRegion", COF_KMS_CHANGES, 0, primary_members, update_primary},
    {0}};
