/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_identity.c - accounts, users, roles and access keys, by the names of AWS IAM.
 *
 * Not part of AWS KMS: the same wire, so that one server and one signature serve for both, under
 * the target prefix CofferIdentity. Times are numbers as everywhere here. A secret access key is in
 * the answer that makes it, once.
 */
#include "identity/identity.h"
#include "wire/identity_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------ */

const struct cof_wire_shape cof_shape_identity_name = {.type = COF_WIRE_TEXT, .min = 1, .max = 128};
const struct cof_wire_shape cof_shape_identity_arn = {.type = COF_WIRE_TEXT, .min = 1, .max = 2048};
static const struct cof_wire_pattern digits = {"^[0-9]{12}$", COF_WIRE_ALNUM, NULL};
static const struct cof_wire_shape account_id = {
    .type = COF_WIRE_TEXT, .min = 12, .max = 12, .pattern = &digits};
static const struct cof_wire_shape status = {
    .type = COF_WIRE_TEXT, .values = (const char *const[]){"Active", "Inactive", NULL}};

/* ---- pages ------------------------------------------------------------------------------- */

#define ITEMS_DEFAULT 100u

unsigned cof_wire_page_begin(struct cof_wire_page *page, struct cof_wire *wire)
{
    page->limit = cof_wire_number(wire, "MaxItems", ITEMS_DEFAULT);
    page->list = json_array();
    return page->limit + 1;
}

bool cof_wire_page_takes(struct cof_wire_page *page, const char *mark)
{
    if (json_array_size(page->list) == page->limit) {
        page->more = true;
        return false;
    }
    (void)snprintf(page->last, sizeof(page->last), "%s", mark);
    return true;
}

int cof_wire_page_end(struct cof_wire_page *page, struct cof_wire *wire, const char *name,
                      int error)
{
    if (error != 0 || page->list == NULL) {
        json_decref(page->list);
        return error != 0 ? error : COFFER_E_NO_MEMORY;
    }
    error = cof_wire_set(wire, name, page->list);
    if (error == 0) {
        error = cof_wire_set(wire, "IsTruncated", json_boolean(page->more));
    }
    return error == 0 && page->more ? cof_wire_set_text(wire, "Marker", page->last) : error;
}

/* ---- accounts ---------------------------------------------------------------------------- */

static int create_account(struct cof_wire *wire)
{
    const char *account = cof_wire_text(wire, "AccountId");
    char root[COFFER_PRINCIPAL_BYTES_MAX];
    int error = cof_identity_account_create(&wire->call, account);

    cof_identity_root_arn(account, root);
    return error == 0
               ? cof_wire_set(wire, "Account", json_pack("{s:s, s:s}", "Id", account, "Arn", root))
               : error;
}

static int add_account(void *ctx, const struct cof_kms_account_row *row)
{
    struct cof_wire_page *page = ctx;
    char root[COFFER_PRINCIPAL_BYTES_MAX];

    if (!cof_wire_page_takes(page, row->account)) {
        return 0;
    }
    cof_identity_root_arn(row->account, root);
    return json_array_append_new(page->list,
                                 json_pack("{s:s, s:s, s:o}", "Id", row->account, "Arn", root,
                                           "CreateDate", cof_wire_json_time(row->created_ns))) == 0
               ? 0
               : COFFER_E_NO_MEMORY;
}

/* The store's own account is first, and has no row. */
static int list_accounts(struct cof_wire *wire)
{
    struct coffer_keystore *ks = wire->call.ks;
    const char *marker = cof_wire_text(wire, "Marker");
    struct cof_kms_account_row home = {.created_ns = ks->header.created_ns};
    struct cof_wire_page page = {0};
    unsigned limit = cof_wire_page_begin(&page, wire);
    int error = 0;

    if (strcmp(wire->call.caller.principal, ks->principal) != 0) {
        error = cof_kms_fault(wire->call.fault, COFFER_E_KEY_ACCESS,
                              "only the root of the store's own account may list accounts");
    }
    memcpy(home.account, ks->header.owner.account, sizeof(home.account));
    if (error == 0 && marker == NULL) {
        error = add_account(&page, &home);
    }
    if (error == 0) {
        error = cof_kms_db_account_each(
            ks->db, marker == NULL || strcmp(marker, home.account) == 0 ? "" : marker, limit,
            add_account, &page, wire->call.fault);
    }
    return cof_wire_page_end(&page, wire, "Accounts", error);
}

/* ---- users and roles --------------------------------------------------------------------- */

static json_t *principal_json(const struct cof_kms_principal_row *row)
{
    bool is_role = strcmp(row->kind, COF_IDENTITY_ROLE) == 0;
    json_t *value = json_pack("{s:s, s:s, s:o}", is_role ? "RoleName" : "UserName", row->name,
                              "Arn", row->arn, "CreateDate", cof_wire_json_time(row->created_ns));
    char arn[COFFER_PRINCIPAL_BYTES_MAX];

    if (value != NULL && is_role) {
        json_object_set_new(value, "AssumeRolePolicyDocument", json_string(row->trust_policy));
    }
    if (value != NULL && row->boundary[0] != '\0') {
        cof_identity_arn(row->account, "policy", row->boundary, arn);
        json_object_set_new(value, "PermissionsBoundary", json_string(arn));
    }
    return value;
}

const struct cof_identity_kind *cof_wire_identity_kind(const struct cof_wire *wire,
                                                       const char **ret_name)
{
    const char *user = cof_wire_text(wire, "UserName");

    *ret_name = user != NULL ? user : cof_wire_text(wire, "RoleName");
    return user != NULL ? &cof_identity_users : &cof_identity_roles;
}

static struct cof_kms_principal_row *new_row(struct cof_wire *wire)
{
    return cof_wire_take(wire, sizeof(struct cof_kms_principal_row));
}

static int set_principal(struct cof_wire *wire, const struct cof_kms_principal_row *row)
{
    return cof_wire_set(wire, strcmp(row->kind, COF_IDENTITY_ROLE) == 0 ? "Role" : "User",
                        principal_json(row));
}

static int create_principal(struct cof_wire *wire)
{
    struct cof_kms_principal_row *row = new_row(wire);
    const char *trust = cof_wire_text(wire, "AssumeRolePolicyDocument"), *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);
    int error =
        row == NULL ? COFFER_E_NO_MEMORY : cof_identity_create(&wire->call, kind, name, trust, row);

    return error == 0 ? set_principal(wire, row) : error;
}

static int get_principal(struct cof_wire *wire)
{
    struct cof_kms_principal_row *row = new_row(wire);
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);
    int error = row == NULL ? COFFER_E_NO_MEMORY : cof_identity_get(&wire->call, kind, name, row);

    return error == 0 ? set_principal(wire, row) : error;
}

static int delete_principal(struct cof_wire *wire)
{
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);

    return cof_identity_delete(&wire->call, kind, name);
}

static int update_trust(struct cof_wire *wire)
{
    return cof_identity_trust(&wire->call, cof_wire_text(wire, "RoleName"),
                              cof_wire_text(wire, "PolicyDocument"));
}

static int set_boundary(struct cof_wire *wire)
{
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);

    return cof_identity_bound(&wire->call, kind, name, cof_wire_text(wire, "PermissionsBoundary"));
}

static int add_principal(void *ctx, const struct cof_kms_principal_row *row)
{
    struct cof_wire_page *page = ctx;

    return !cof_wire_page_takes(page, row->name) ||
                   json_array_append_new(page->list, principal_json(row)) == 0
               ? 0
               : COFFER_E_NO_MEMORY;
}

static int list_principals(struct cof_wire *wire, const struct cof_identity_kind *kind,
                           const char *name)
{
    struct cof_kms_call *call = &wire->call;
    const char *marker = cof_wire_text(wire, "Marker");
    char after[COFFER_PRINCIPAL_BYTES_MAX] = "";
    struct cof_wire_page page = {0};
    unsigned limit = cof_wire_page_begin(&page, wire);
    int error = cof_identity_authorize(call, kind->list, "*");

    if (marker != NULL) {
        cof_identity_arn(call->owner.account, kind->kind, marker, after);
    }
    if (error == 0) {
        error = cof_kms_db_principal_each(call->ks->db, call->owner.account, kind->kind, after,
                                          limit, add_principal, &page, call->fault);
    }
    return cof_wire_page_end(&page, wire, name, error);
}

static int list_users(struct cof_wire *wire)
{
    return list_principals(wire, &cof_identity_users, "Users");
}

static int list_roles(struct cof_wire *wire)
{
    return list_principals(wire, &cof_identity_roles, "Roles");
}

/* ---- access keys ------------------------------------------------------------------------- */

static json_t *key_json(const struct cof_kms_access_key_row *row)
{
    json_t *value =
        json_pack("{s:s, s:s, s:s, s:o}", "UserName", cof_identity_name_of(row->principal_arn),
                  "AccessKeyId", row->access_key_id, "Status", row->status, "CreateDate",
                  cof_wire_json_time(row->created_ns));

    if (value != NULL && row->last_used_ns != 0) {
        json_object_set_new(value, "LastUsedDate", cof_wire_json_time(row->last_used_ns));
    }
    return value;
}

static int create_access_key(struct cof_wire *wire)
{
    struct cof_kms_access_key_row row;
    const char *secret = NULL;
    json_t *value;
    int error =
        cof_identity_key_create(&wire->call, cof_wire_text(wire, "UserName"), &row, &secret);

    if (error != 0) {
        return error;
    }
    value = key_json(&row);
    if (value == NULL || json_object_set_new(value, "SecretAccessKey", json_string(secret)) != 0) {
        json_decref(value);
        return COFFER_E_NO_MEMORY;
    }
    return cof_wire_set(wire, "AccessKey", value);
}

static int update_access_key(struct cof_wire *wire)
{
    return cof_identity_key_update(&wire->call, cof_wire_text(wire, "UserName"),
                                   cof_wire_text(wire, "AccessKeyId"),
                                   strcmp(cof_wire_text(wire, "Status"), "Active") == 0);
}

static int delete_access_key(struct cof_wire *wire)
{
    return cof_identity_key_delete(&wire->call, cof_wire_text(wire, "UserName"),
                                   cof_wire_text(wire, "AccessKeyId"));
}

static int add_key(void *ctx, const struct cof_kms_access_key_row *row)
{
    return json_array_append_new(ctx, key_json(row)) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int list_access_keys(struct cof_wire *wire)
{
    json_t *list = json_array();
    int error = cof_identity_key_each(&wire->call, cof_wire_text(wire, "UserName"), add_key, list);

    if (error != 0) {
        json_decref(list);
        return error;
    }
    return cof_wire_set(wire, "AccessKeyMetadata", list);
}

/* ---- rows -------------------------------------------------------------------------------- */

static const struct cof_wire_member page_members[] = {
    {"MaxItems", &cof_shape_limit, false}, {"Marker", &cof_shape_identity_name, false}, {0}};
static const struct cof_wire_member account_members[] = {{"AccountId", &account_id, true}, {0}};
static const struct cof_wire_member user_members[] = {{"UserName", &cof_shape_identity_name, true},
                                                      {0}};
static const struct cof_wire_member role_members[] = {{"RoleName", &cof_shape_identity_name, true},
                                                      {0}};
static const struct cof_wire_member new_role_members[] = {
    {"RoleName", &cof_shape_identity_name, true},
    {"AssumeRolePolicyDocument", &cof_shape_policy, true},
    {0}};
static const struct cof_wire_member trust_members[] = {
    {"RoleName", &cof_shape_identity_name, true}, {"PolicyDocument", &cof_shape_policy, true}, {0}};
static const struct cof_wire_member user_boundary_members[] = {
    {"UserName", &cof_shape_identity_name, true},
    {"PermissionsBoundary", &cof_shape_identity_arn, true},
    {0}};
static const struct cof_wire_member role_boundary_members[] = {
    {"RoleName", &cof_shape_identity_name, true},
    {"PermissionsBoundary", &cof_shape_identity_arn, true},
    {0}};
static const struct cof_wire_member own_members[] = {{"UserName", &cof_shape_identity_name, false},
                                                     {0}};
static const struct cof_wire_member key_members[] = {
    {"UserName", &cof_shape_identity_name, false},
    {"AccessKeyId", &cof_shape_identity_name, true},
    {0}};
static const struct cof_wire_member key_status_members[] = {
    {"UserName", &cof_shape_identity_name, false},
    {"AccessKeyId", &cof_shape_identity_name, true},
    {"Status", &status, true},
    {0}};

const struct cof_wire_operation cof_wire_identity_rows[] = {
    {"CreateAccount", COF_KMS_CHANGES, COF_WIRE_IDENTITY, account_members, create_account},
    {"ListAccounts", COF_KMS_READS, COF_WIRE_IDENTITY, page_members, list_accounts},
    {"CreateUser", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_members, create_principal},
    {"GetUser", COF_KMS_READS, COF_WIRE_IDENTITY, user_members, get_principal},
    {"DeleteUser", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_members, delete_principal},
    {"ListUsers", COF_KMS_READS, COF_WIRE_IDENTITY, page_members, list_users},
    {"CreateRole", COF_KMS_CHANGES, COF_WIRE_IDENTITY, new_role_members, create_principal},
    {"GetRole", COF_KMS_READS, COF_WIRE_IDENTITY, role_members, get_principal},
    {"DeleteRole", COF_KMS_CHANGES, COF_WIRE_IDENTITY, role_members, delete_principal},
    {"ListRoles", COF_KMS_READS, COF_WIRE_IDENTITY, page_members, list_roles},
    {"UpdateAssumeRolePolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, trust_members, update_trust},
    {"PutUserPermissionsBoundary", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_boundary_members,
     set_boundary},
    {"DeleteUserPermissionsBoundary", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_members,
     set_boundary},
    {"PutRolePermissionsBoundary", COF_KMS_CHANGES, COF_WIRE_IDENTITY, role_boundary_members,
     set_boundary},
    {"DeleteRolePermissionsBoundary", COF_KMS_CHANGES, COF_WIRE_IDENTITY, role_members,
     set_boundary},
    {"CreateAccessKey", COF_KMS_CHANGES, COF_WIRE_IDENTITY, own_members, create_access_key},
    {"UpdateAccessKey", COF_KMS_CHANGES, COF_WIRE_IDENTITY, key_status_members, update_access_key},
    {"DeleteAccessKey", COF_KMS_CHANGES, COF_WIRE_IDENTITY, key_members, delete_access_key},
    {"ListAccessKeys", COF_KMS_READS, COF_WIRE_IDENTITY, own_members, list_access_keys},
    {0}};
