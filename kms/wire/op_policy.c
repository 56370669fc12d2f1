/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_policy.c - key policies.
 */
#include "wire/shapes.h"
#include "wire/wire.h"

#define NAME "default"

static const struct cof_wire_member get_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"PolicyName", &cof_shape_policy_name, false}, {0}};
static const struct cof_wire_member put_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"PolicyName", &cof_shape_policy_name, false},
    {"Policy", &cof_shape_policy, true},
    {"BypassPolicyLockoutSafetyCheck", &cof_shape_flag, false},
    {0}};
static const struct cof_wire_member list_members[] = {{"KeyId", &cof_shape_key_id, true},
                                                      {"Limit", &cof_shape_limit, false},
                                                      {"Marker", &cof_shape_marker, false},
                                                      {0}};

static const char *name_of(const struct cof_wire *wire)
{
    const char *name = cof_wire_text(wire, "PolicyName");

    return name == NULL ? NAME : name;
}

static int get_policy(struct cof_wire *wire)
{
    char *policy = cof_wire_take(wire, COF_KMS_POLICY_BYTES_MAX + 1);
    int error = policy == NULL ? COFFER_E_NO_MEMORY
                               : cof_kms_get_key_policy(&wire->call, cof_wire_text(wire, "KeyId"),
                                                        name_of(wire), policy);

    if (error == 0) {
        error = cof_wire_set_text(wire, "Policy", policy);
    }
    return error == 0 ? cof_wire_set_text(wire, "PolicyName", NAME) : error;
}

static int put_policy(struct cof_wire *wire)
{
    return cof_kms_put_key_policy(&wire->call, cof_wire_text(wire, "KeyId"), name_of(wire),
                                  cof_wire_text(wire, "Policy"),
                                  cof_wire_flag(wire, "BypassPolicyLockoutSafetyCheck"));
}

/* There is one name, so no page follows another and no marker was ever given. */
static int list_policies(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, 0);
    int error = cof_kms_list_key_policies(&wire->call, cof_wire_text(wire, "KeyId"));

    if (error == 0 && page.marker != NULL) {
        error = cof_kms_fault(&wire->fault, COFFER_E_MARKER, NULL);
    }
    if (error == 0) {
        error = cof_wire_set(wire, "PolicyNames", json_pack("[s]", NAME));
    }
    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

const struct cof_wire_operation cof_wire_policy_rows[] = {
    {"GetKeyPolicy", COF_KMS_READS, 0, get_members, get_policy},
    {"PutKeyPolicy", COF_KMS_CHANGES, 0, put_members, put_policy},
    {"ListKeyPolicies", COF_KMS_READS, 0, list_members, list_policies},
    {0}};
