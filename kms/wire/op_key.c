/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_key.c - keys: made, described, listed, enabled, disabled, deleted.
 */
#include "verbs.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <stdio.h>

#define LIST_DEFAULT 100u

struct cof_kms_key_row *cof_wire_key_row(struct cof_wire *wire)
{
    return cof_wire_take(wire, sizeof(struct cof_kms_key_row));
}

/* ---- make -------------------------------------------------------------------------------- */

static const struct cof_wire_member create_members[] = {
    {"Policy", &cof_shape_policy, false},
    {"Description", &cof_shape_description, false},
    {"KeyUsage", &cof_shape_key_usage, false},
    {"CustomerMasterKeySpec", &cof_shape_old_key_spec, false},
    {"KeySpec", &cof_shape_key_spec, false},
    {"Origin", &cof_shape_origin, false},
    {"CustomKeyStoreId", &cof_shape_store_id, false},
    {"BypassPolicyLockoutSafetyCheck", &cof_shape_flag, false},
    {"Tags", &cof_shape_tags, false},
    {"MultiRegion", &cof_shape_flag, false},
    {"XksKeyId", &cof_shape_store_id, false},
    {0}};

/* Either name of the spec; both only when they agree. */
static int read_spec(struct cof_wire *wire, const char **ret_spec)
{
    const char *spec = cof_wire_text(wire, "KeySpec");
    const char *old_spec = cof_wire_text(wire, "CustomerMasterKeySpec");

    if (spec != NULL && old_spec != NULL) {
        return cof_kms_fault(&wire->fault, COFFER_E_INVALID,
                             "You cannot specify KeySpec and CustomerMasterKeySpec in the same "
                             "request. CustomerMasterKeySpec is deprecated.");
    }
    *ret_spec = spec != NULL ? spec : old_spec;
    return 0;
}

static int create_key(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    struct cof_kms_create_key made = {
        .policy = cof_wire_text(wire, "Policy"),
        .description = cof_wire_text(wire, "Description"),
        .key_usage = cof_wire_text(wire, "KeyUsage"),
        .origin = cof_wire_text(wire, "Origin"),
        .key_store_id = cof_wire_text(wire, "CustomKeyStoreId"),
        .bypass_lockout_check = cof_wire_flag(wire, "BypassPolicyLockoutSafetyCheck"),
        .multi_region = cof_wire_flag(wire, "MultiRegion"),
    };
    int error = row == NULL ? COFFER_E_NO_MEMORY : read_spec(wire, &made.key_spec);

    if (error == 0) {
        error = cof_wire_tags(wire, "Tags", &made.tags, &made.tag_count);
    }
    if (error == 0) {
        error = cof_kms_create_key(&wire->call, &made, row);
    }
    return error == 0 ? cof_wire_set_key(wire, "KeyMetadata", row) : error;
}

/* ---- look -------------------------------------------------------------------------------- */

static const struct cof_wire_member describe_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"GrantTokens", &cof_shape_grant_tokens, false}, {0}};

static int describe_key(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_kms_describe_key(&wire->call, cof_wire_text(wire, "KeyId"), row);

    return error == 0 ? cof_wire_set_key(wire, "KeyMetadata", row) : error;
}

/* Of KeyLastUsage, which has no members when the key was never used. */
static json_t *use_json(const struct cof_kms_audit_use *use)
{
    char seq[24];

    if (use->seq == 0) {
        return json_object();
    }
    (void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)use->seq);
    return json_pack("{s:s, s:o, s:s, s:s}", "Operation", use->event, "Timestamp",
                     cof_wire_json_time(use->time_ns), "CloudTrailEventId", seq, "KmsRequestId",
                     use->request_id);
}

static int last_usage(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    struct cof_kms_audit_use use = {0};
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_kms_get_key_last_usage(&wire->call, cof_wire_text(wire, "KeyId"),
                                                         row, &use);

    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", row->arn);
    }
    if (error == 0) {
        error = cof_wire_set(wire, "KeyLastUsage", use_json(&use));
    }
    /* Every key's records go back to its making. */
    if (error == 0) {
        error = cof_wire_set(wire, "TrackingStartDate", cof_wire_json_time(row->created_ns));
    }
    return error == 0
               ? cof_wire_set(wire, "KeyCreationDate", cof_wire_json_time(row->created_ns))
               : error;
}

static const struct cof_wire_member list_members[] = {
    {"Limit", &cof_shape_limit, false}, {"Marker", &cof_shape_marker, false}, {0}};

static int add_key(void *ctx, const struct cof_kms_key_row *row)
{
    json_t *entry = json_pack("{s:s, s:s}", "KeyId", row->key_id, "KeyArn", row->arn);

    return json_array_append_new(ctx, entry) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_keys(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    json_t *keys = cof_wire_list(wire, "Keys");
    int error = cof_kms_list_keys(&wire->call, &page, add_key, keys);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

/* ---- change ------------------------------------------------------------------------------ */

const struct cof_wire_member cof_wire_id_members[] = {{"KeyId", &cof_shape_key_id, true}, {0}};
static const struct cof_wire_member description_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"Description", &cof_shape_description, true}, {0}};
static const struct cof_wire_member deletion_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"PendingWindowInDays", &cof_shape_window, false}, {0}};

static int enable_key(struct cof_wire *wire)
{
    return cof_kms_enable_key(&wire->call, cof_wire_text(wire, "KeyId"));
}

static int disable_key(struct cof_wire *wire)
{
    return cof_kms_disable_key(&wire->call, cof_wire_text(wire, "KeyId"));
}

static int update_description(struct cof_wire *wire)
{
    return cof_kms_update_key_description(&wire->call, cof_wire_text(wire, "KeyId"),
                                          cof_wire_text(wire, "Description"));
}

static int schedule_deletion(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    int error =
        row == NULL
            ? COFFER_E_NO_MEMORY
            : cof_kms_schedule_key_deletion(&wire->call, cof_wire_text(wire, "KeyId"),
                                            cof_wire_number(wire, "PendingWindowInDays", 0), row);

    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", row->arn);
    }
    if (error == 0 && row->deletion_ns != 0) {
        error = cof_wire_set(wire, "DeletionDate", cof_wire_json_time(row->deletion_ns));
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyState", coffer_keystore_state_name(row->state));
    }
    return error == 0
               ? cof_wire_set(wire, "PendingWindowInDays", json_integer(row->pending_window_days))
               : error;
}

static int cancel_deletion(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    int error = row == NULL
                    ? COFFER_E_NO_MEMORY
                    : cof_kms_cancel_key_deletion(&wire->call, cof_wire_text(wire, "KeyId"), row);

    return error == 0 ? cof_wire_set_text(wire, "KeyId", row->arn) : error;
}

const struct cof_wire_operation cof_wire_key_rows[] = {
    {"CreateKey", COF_KMS_CHANGES, 0, create_members, create_key},
    {"DescribeKey", COF_KMS_READS, 0, describe_members, describe_key},
    {"GetKeyLastUsage", COF_KMS_READS, 0, cof_wire_id_members, last_usage},
    {"ListKeys", COF_KMS_READS, 0, list_members, list_keys},
    {"EnableKey", COF_KMS_CHANGES, 0, cof_wire_id_members, enable_key},
    {"DisableKey", COF_KMS_CHANGES, 0, cof_wire_id_members, disable_key},
    {"UpdateKeyDescription", COF_KMS_CHANGES, 0, description_members, update_description},
    {"ScheduleKeyDeletion", COF_KMS_CHANGES, 0, deletion_members, schedule_deletion},
    {"CancelKeyDeletion", COF_KMS_CHANGES, 0, cof_wire_id_members, cancel_deletion},
    {0}};
