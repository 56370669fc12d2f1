/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_grant.c - grants: made, listed, retired, revoked.
 */
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#define LIST_DEFAULT 50u

static const struct cof_wire_member create_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"GranteePrincipal", &cof_shape_principal, true},
    {"RetiringPrincipal", &cof_shape_principal, false},
    {"Operations", &cof_shape_grant_operations, true},
    {"Constraints", &cof_shape_grant_constraints, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"Name", &cof_shape_grant_name, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

/* At most one of the two maps. */
static int read_constraints(struct cof_wire *wire, struct cof_kms_create_grant *params,
                            struct coffer_context *context)
{
    const json_t *constraints = json_object_get(wire->params, "Constraints");
    const json_t *equals = json_object_get(constraints, "EncryptionContextEquals");
    const json_t *subset = json_object_get(constraints, "EncryptionContextSubset");

    params->source_arn = json_string_value(json_object_get(constraints, "SourceArn"));
    if (json_is_object(equals) && json_is_object(subset)) {
        return cof_kms_fault(&wire->fault, COFFER_E_INVALID,
                             "a grant has EncryptionContextEquals or EncryptionContextSubset, "
                             "not both");
    }
    if (!json_is_object(equals) && !json_is_object(subset)) {
        return 0;
    }
    params->constraint =
        json_is_object(equals) ? COFFER_GRANT_CONTEXT_EQUALS : COFFER_GRANT_CONTEXT_SUBSET;
    return cof_wire_context_of(wire, json_is_object(equals) ? equals : subset, context);
}

static int create_grant(struct cof_wire *wire)
{
    struct coffer_context context = {NULL, 0};
    struct cof_kms_create_grant params = {.key = cof_wire_text(wire, "KeyId"),
                                          .grantee = cof_wire_text(wire, "GranteePrincipal"),
                                          .retiring_principal =
                                              cof_wire_text(wire, "RetiringPrincipal"),
                                          .name = cof_wire_text(wire, "Name"),
                                          .context = &context};
    char id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    int error = cof_wire_texts(wire, "Operations", &params.operations, &params.operation_count);

    if (error == 0) {
        error = read_constraints(wire, &params, &context);
    }
    if (error == 0) {
        error = cof_kms_create_grant(&wire->call, &params, id, token);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "GrantToken", token);
    }
    return error == 0 ? cof_wire_set_text(wire, "GrantId", id) : error;
}

/* ---- listings ---------------------------------------------------------------------------- */

static const struct cof_wire_member list_members[] = {
    {"Limit", &cof_shape_limit_100, false},
    {"Marker", &cof_shape_marker, false},
    {"KeyId", &cof_shape_key_id, true},
    {"GrantId", &cof_shape_grant_id, false},
    {"GranteePrincipal", &cof_shape_principal, false},
    {0}};
static const struct cof_wire_member retirable_members[] = {
    {"Limit", &cof_shape_limit_100, false},
    {"Marker", &cof_shape_marker, false},
    {"RetiringPrincipal", &cof_shape_principal, true},
    {0}};

struct grants {
    struct cof_wire *wire;
    json_t *list;
};

static int add_grant(void *ctx, const struct cof_kms_grant_row *row)
{
    struct grants *grants = ctx;
    json_t *entry = cof_wire_grant_json(&grants->wire->ks->env, row);

    return json_array_append_new(grants->list, entry) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_grants(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    struct grants grants = {wire, cof_wire_list(wire, "Grants")};
    int error = cof_kms_list_grants(
        &wire->call, cof_wire_text(wire, "KeyId"), cof_wire_text(wire, "GrantId"),
        cof_wire_text(wire, "GranteePrincipal"), &page, add_grant, &grants);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

static int list_retirable(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    struct grants grants = {wire, cof_wire_list(wire, "Grants")};
    int error = cof_kms_list_retirable_grants(&wire->call, cof_wire_text(wire, "RetiringPrincipal"),
                                              &page, add_grant, &grants);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

/* ---- ends -------------------------------------------------------------------------------- */

static const struct cof_wire_member retire_members[] = {
    {"GrantToken", &cof_shape_grant_token, false},
    {"KeyId", &cof_shape_key_id, false},
    {"GrantId", &cof_shape_grant_id, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};
static const struct cof_wire_member revoke_members[] = {{"KeyId", &cof_shape_key_id, true},
                                                        {"GrantId", &cof_shape_grant_id, true},
                                                        {"DryRun", &cof_shape_flag, false},
                                                        {0}};

static int retire_grant(struct cof_wire *wire)
{
    const char *token = cof_wire_text(wire, "GrantToken"), *key = cof_wire_text(wire, "KeyId");
    const char *grant_id = cof_wire_text(wire, "GrantId");

    if ((token != NULL) == (key != NULL && grant_id != NULL) ||
        (key == NULL) != (grant_id == NULL)) {
        return cof_kms_fault(&wire->fault, COFFER_E_INVALID,
                             "give GrantToken, or KeyId and GrantId");
    }
    return cof_kms_retire_grant(&wire->call, token, key, grant_id);
}

static int revoke_grant(struct cof_wire *wire)
{
    return cof_kms_revoke_grant(&wire->call, cof_wire_text(wire, "KeyId"),
                                cof_wire_text(wire, "GrantId"));
}

const struct cof_wire_operation cof_wire_grant_rows[] = {
    {"CreateGrant", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, create_members, create_grant},
    {"ListGrants", COF_KMS_READS, 0, list_members, list_grants},
    {"ListRetirableGrants", COF_KMS_READS, 0, retirable_members, list_retirable},
    {"RetireGrant", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, retire_members, retire_grant},
    {"RevokeGrant", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, revoke_members, revoke_grant},
    {0}};
