/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_access.c - identity policies, what they come to, and sessions, by the names of IAM
 * and STS. A secret access key is in the answer that makes it, once.
 */
#include "identity/identity.h"
#include "wire/identity_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

static const struct cof_wire_shape seconds = {.type = COF_WIRE_NUMBER, .min = 1, .max = 129600};

static const struct cof_wire_shape action = {.type = COF_WIRE_TEXT, .min = 3, .max = 128};
static const struct cof_wire_shape actions = {
    .type = COF_WIRE_LIST, .min = 1, .max = 100, .of = &action};
static const struct cof_wire_shape resources = {
    .type = COF_WIRE_LIST, .min = 0, .max = 100, .of = &cof_shape_identity_arn};

/* ---- policies ---------------------------------------------------------------------------- */

static json_t *policy_json(const struct cof_kms_identity_policy_row *row, bool with_document)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    json_t *value;

    cof_identity_arn(row->account, "policy", row->name, arn);
    value = json_pack("{s:s, s:s, s:o}", "PolicyName", row->name, "Arn", arn, "CreateDate",
                      cof_wire_json_time(row->created_ns));
    if (value != NULL && with_document) {
        json_object_set_new(value, "PolicyDocument", json_string(row->document));
    }
    return value;
}

static int get_policy(struct cof_wire *wire)
{
    struct cof_kms_identity_policy_row *row = cof_wire_take(wire, sizeof(*row));
    int error = row == NULL
                    ? COFFER_E_NO_MEMORY
                    : cof_identity_policy_get(&wire->call, cof_wire_text(wire, "PolicyName"), row);

    return error == 0 ? cof_wire_set(wire, "Policy", policy_json(row, true)) : error;
}

static int put_policy(struct cof_wire *wire)
{
    const char *account = wire->call.owner.account;
    const char *name = cof_wire_text(wire, "PolicyName");
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error = cof_identity_policy_put(&wire->call, name, cof_wire_text(wire, "PolicyDocument"));

    if (error != 0) {
        return error;
    }
    name = cof_identity_name_in(account, "policy", name);
    cof_identity_arn(account, "policy", name, arn);
    return cof_wire_set(wire, "Policy", json_pack("{s:s, s:s}", "PolicyName", name, "Arn", arn));
}

static int delete_policy(struct cof_wire *wire)
{
    return cof_identity_policy_delete(&wire->call, cof_wire_text(wire, "PolicyName"));
}

static int add_policy(void *ctx, const struct cof_kms_identity_policy_row *row)
{
    struct cof_wire_page *page = ctx;

    return !cof_wire_page_takes(page, row->name) ||
                   json_array_append_new(page->list, policy_json(row, false)) == 0
               ? 0
               : COFFER_E_NO_MEMORY;
}

static int list_policies(struct cof_wire *wire)
{
    struct cof_kms_call *call = &wire->call;
    const char *marker = cof_wire_text(wire, "Marker");
    struct cof_wire_page page = {0};
    unsigned limit = cof_wire_page_begin(&page, wire);
    int error = cof_identity_authorize(call, "iam:ListPolicies", "*");

    if (error == 0) {
        error = cof_kms_db_identity_policy_each(call->ks->db, call->owner.account,
                                                marker == NULL ? "" : marker, limit, add_policy,
                                                &page, call->fault);
    }
    return cof_wire_page_end(&page, wire, "Policies", error);
}

/* ---- where they are attached ------------------------------------------------------------- */

static int attach_policy(struct cof_wire *wire)
{
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);

    return cof_identity_attach(&wire->call, kind, name, cof_wire_text(wire, "PolicyArn"));
}

static int detach_policy(struct cof_wire *wire)
{
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);

    return cof_identity_detach(&wire->call, kind, name, cof_wire_text(wire, "PolicyArn"));
}

static int add_attached(void *ctx, const struct cof_kms_attachment_row *row)
{
    char arn[COFFER_PRINCIPAL_BYTES_MAX];

    cof_identity_arn(row->account, "policy", row->policy_name, arn);
    return json_array_append_new(
               ctx, json_pack("{s:s, s:s}", "PolicyName", row->policy_name, "PolicyArn", arn)) == 0
               ? 0
               : COFFER_E_NO_MEMORY;
}

static int list_attached(struct cof_wire *wire)
{
    struct cof_kms_principal_row *row = cof_wire_take(wire, sizeof(*row));
    struct cof_kms_call *call = &wire->call;
    json_t *list = json_array();
    const char *name;
    const struct cof_identity_kind *kind = cof_wire_identity_kind(wire, &name);
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    int error;

    cof_identity_arn(call->owner.account, kind->kind, name, arn);
    error = row == NULL || list == NULL ? COFFER_E_NO_MEMORY
                                        : cof_identity_authorize(call, kind->attached, arn);
    if (error == 0) {
        error = cof_kms_db_principal_get(call->ks->db, arn, row, call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_attachment_each(call->ks->db, arn, call->owner.account, "", add_attached,
                                           list, call->fault);
    }
    if (error != 0) {
        json_decref(list);
        return error;
    }
    return cof_wire_set(wire, "AttachedPolicies", list);
}

/* ---- what they come to ------------------------------------------------------------------- */

static int simulate(struct cof_wire *wire)
{
    static const char *const anything[] = {"*"};
    struct cof_identity_question question = {.principal = cof_wire_text(wire, "PolicySourceArn")};
    json_t *results = json_array();
    int error = results == NULL ? COFFER_E_NO_MEMORY
                                : cof_wire_texts(wire, "ActionNames", &question.actions,
                                                 &question.action_count);

    if (error == 0) {
        error = cof_wire_texts(wire, "ResourceArns", &question.resources,
                               &question.resource_count);
    }
    if (error == 0 && question.resource_count == 0) {
        question.resources = anything;
        question.resource_count = 1;
    }
    if (error == 0) {
        error = cof_identity_simulate(&wire->call, &question, results);
    }
    if (error != 0) {
        json_decref(results);
        return error;
    }
    return cof_wire_set(wire, "EvaluationResults", results);
}

/* ---- sessions ---------------------------------------------------------------------------- */

static json_t *credentials_json(const struct cof_identity_credentials *credentials)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "AccessKeyId", credentials->access_key_id,
                     "SecretAccessKey", credentials->secret, "SessionToken", credentials->token,
                     "Expiration", cof_wire_json_time(credentials->expires_ns));
}

static int get_session_token(struct cof_wire *wire)
{
    struct cof_identity_credentials *made = cof_wire_take(wire, sizeof(*made));
    int error = made == NULL ? COFFER_E_NO_MEMORY
                             : cof_identity_session_token(
                                   &wire->call, cof_wire_number(wire, "DurationSeconds", 0), made);

    return error == 0 ? cof_wire_set(wire, "Credentials", credentials_json(made)) : error;
}

static int assume_role(struct cof_wire *wire)
{
    struct cof_identity_credentials *made = cof_wire_take(wire, sizeof(*made));
    int error = made == NULL ? COFFER_E_NO_MEMORY
                             : cof_identity_assume_role(&wire->call, cof_wire_text(wire, "RoleArn"),
                                                        cof_wire_text(wire, "RoleSessionName"),
                                                        cof_wire_number(wire, "DurationSeconds", 0),
                                                        cof_wire_text(wire, "Policy"), made);

    if (error == 0) {
        error = cof_wire_set(wire, "Credentials", credentials_json(made));
    }
    return error == 0
               ? cof_wire_set(wire, "AssumedRoleUser", json_pack("{s:s}", "Arn", made->principal))
               : error;
}

/* Anyone may ask who they are: the answer is what they signed as. */
static int get_caller_identity(struct cof_wire *wire)
{
    int error = cof_wire_set_text(wire, "Account", wire->call.owner.account);

    return error == 0 ? cof_wire_set_text(wire, "Arn", wire->call.caller.principal) : error;
}

/* ---- rows -------------------------------------------------------------------------------- */

static const struct cof_wire_member page_members[] = {
    {"MaxItems", &cof_shape_limit, false}, {"Marker", &cof_shape_identity_name, false}, {0}};
static const struct cof_wire_member policy_members[] = {
    {"PolicyName", &cof_shape_identity_arn, true}, {0}};
static const struct cof_wire_member document_members[] = {
    {"PolicyName", &cof_shape_identity_arn, true},
    {"PolicyDocument", &cof_shape_policy, true},
    {0}};
static const struct cof_wire_member user_policy_members[] = {
    {"UserName", &cof_shape_identity_name, true},
    {"PolicyArn", &cof_shape_identity_arn, true},
    {0}};
static const struct cof_wire_member role_policy_members[] = {
    {"RoleName", &cof_shape_identity_name, true},
    {"PolicyArn", &cof_shape_identity_arn, true},
    {0}};
static const struct cof_wire_member user_members[] = {{"UserName", &cof_shape_identity_name, true},
                                                      {0}};
static const struct cof_wire_member role_members[] = {{"RoleName", &cof_shape_identity_name, true},
                                                      {0}};
static const struct cof_wire_member simulate_members[] = {
    {"PolicySourceArn", &cof_shape_identity_arn, true},
    {"ActionNames", &actions, true},
    {"ResourceArns", &resources, false},
    {0}};
static const struct cof_wire_member session_members[] = {{"DurationSeconds", &seconds, false}, {0}};
static const struct cof_wire_member assume_members[] = {
    {"RoleArn", &cof_shape_identity_arn, true},
    {"RoleSessionName", &cof_shape_identity_name, true},
    {"DurationSeconds", &seconds, false},
    {"Policy", &cof_shape_policy, false},
    {0}};
static const struct cof_wire_member no_members[] = {{0}};

const struct cof_wire_operation cof_wire_access_rows[] = {
    {"PutPolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, document_members, put_policy},
    {"GetPolicy", COF_KMS_READS, COF_WIRE_IDENTITY, policy_members, get_policy},
    {"DeletePolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, policy_members, delete_policy},
    {"ListPolicies", COF_KMS_READS, COF_WIRE_IDENTITY, page_members, list_policies},
    {"AttachUserPolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_policy_members, attach_policy},
    {"AttachRolePolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, role_policy_members, attach_policy},
    {"DetachUserPolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, user_policy_members, detach_policy},
    {"DetachRolePolicy", COF_KMS_CHANGES, COF_WIRE_IDENTITY, role_policy_members, detach_policy},
    {"ListAttachedUserPolicies", COF_KMS_READS, COF_WIRE_IDENTITY, user_members, list_attached},
    {"ListAttachedRolePolicies", COF_KMS_READS, COF_WIRE_IDENTITY, role_members, list_attached},
    {"SimulatePrincipalPolicy", COF_KMS_READS, COF_WIRE_IDENTITY, simulate_members, simulate},
    {"GetSessionToken", COF_KMS_READS, COF_WIRE_IDENTITY, session_members, get_session_token},
    {"AssumeRole", COF_KMS_READS, COF_WIRE_IDENTITY, assume_members, assume_role},
    {"GetCallerIdentity", COF_KMS_READS, COF_WIRE_IDENTITY, no_members, get_caller_identity},
    {0}};
