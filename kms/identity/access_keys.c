/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/access_keys.c - access keys of users and roots. Within a call.
 *
 * Invariant: a secret stands in the call's locked scratch, and sealed in its row; the id alone is
 * put on record.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

/* Whose keys: a user of the caller's account, its root, or (NULL) the caller. */
static int find_owner(struct cof_kms_call *call, const char *user, const char *action,
                      char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const char *account = call->owner.account;
    struct cof_kms_principal_row *row;
    int error;

    if (user == NULL) {
        cof_identity_owner(call->caller.principal, ret_arn);
    } else if (strcmp(user, "root") == 0) {
        cof_identity_root_arn(account, ret_arn);
    } else if (cof_identity_name_ok(user, COF_IDENTITY_NAME_CHARACTERS_MAX)) {
        cof_identity_arn(account, COF_IDENTITY_USER, user, ret_arn);
    } else {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "'%.64s' is no name of a user", user);
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"userName\":\"%s\"}",
                   cof_identity_name_of(ret_arn));
    error = cof_identity_authorize(call, action, ret_arn);
    if (error != 0) {
        return error;
    }
    if (cof_identity_is_root(ret_arn)) {
        return cof_identity_account_check(call, account);
    }
    row = cof_kms_alloc(&call->ks->env, sizeof(*row));
    if (row == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_db_principal_get(call->ks->db, ret_arn, row, call->fault);
    if (error == 0 && strcmp(row->kind, COF_IDENTITY_USER) != 0) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "a role has no access keys: who becomes it gets a session");
    }
    cof_kms_free(&call->ks->env, row);
    return error;
}

static int count_key(void *ctx, const struct cof_kms_access_key_row *row)
{
    (void)row;
    ++*(unsigned *)ctx;
    return 0;
}

static void put_detail(struct cof_kms_call *call, const char *owner, const char *access_key_id)
{
    (void)snprintf(call->detail, sizeof(call->detail),
                   "{\"userName\":\"%s\",\"accessKeyId\":\"%s\"}", cof_identity_name_of(owner),
                   access_key_id);
}

int cof_identity_key_create(struct cof_kms_call *call, const char *user,
                            struct cof_kms_access_key_row *ret_row, const char **ret_secret)
{
    struct coffer_keystore *ks = call->ks;
    char *secret = (char *)ks->secrets->material;
    struct cof_kms_access_key_row row;
    unsigned count = 0;
    int error;

    memset(&row, 0, sizeof(row));
    error = find_owner(call, user, "iam:CreateAccessKey", row.principal_arn);
    if (error == 0) {
        error = cof_kms_db_access_key_each(ks->db, row.principal_arn, "", 0, count_key, &count,
                                           call->fault);
    }
    if (error == 0 && count >= COF_IDENTITY_KEYS_MAX) {
        error =
            cof_kms_fault(call->fault, COFFER_E_LIMIT, "%s has %u access keys: delete one first",
                          cof_identity_name_of(row.principal_arn), count);
    }
    if (error != 0) {
        return error;
    }
    error = cof_identity_draw(ks, "AKIA", row.access_key_id, secret);
    if (error == 0) {
        error = cof_identity_secret_seal(ks, secret, &row);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    (void)snprintf(row.status, sizeof(row.status), "Active");
    row.created_ns = cof_kms_wall_ns(&ks->env);
    put_detail(call, row.principal_arn, row.access_key_id);
    error = cof_kms_db_access_key_set(ks->db, &row, call->fault);
    if (error == 0) {
        *ret_row = row;
        *ret_secret = secret;
    }
    return error;
}

/* The user's key of that id; NOT_FOUND for one of another. */
static int find_key(struct cof_kms_call *call, const char *user, const char *access_key_id,
                    const char *action, struct cof_kms_access_key_row *ret_row)
{
    char owner[COFFER_PRINCIPAL_BYTES_MAX];
    int error = find_owner(call, user, action, owner);

    if (error == 0 && !cof_identity_name_ok(access_key_id, COF_KMS_ACCESS_KEY_ID_BYTES_MAX - 1)) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID, "this is not the id of an access key");
    }
    if (error != 0) {
        return error;
    }
    put_detail(call, owner, access_key_id);
    error = cof_kms_db_access_key_get(call->ks->db, access_key_id, ret_row, call->fault);
    if (error == 0 && strcmp(ret_row->principal_arn, owner) != 0) {
        error = cof_kms_fault(call->fault, COFFER_E_NOT_FOUND, "%s has no access key %.64s",
                              cof_identity_name_of(owner), access_key_id);
    }
    return error;
}

int cof_identity_key_update(struct cof_kms_call *call, const char *user, const char *access_key_id,
                            bool active)
{
    struct cof_kms_access_key_row row;
    int error = find_key(call, user, access_key_id, "iam:UpdateAccessKey", &row);

    if (error != 0) {
        return error;
    }
    (void)snprintf(row.status, sizeof(row.status), "%s", active ? "Active" : "Inactive");
    return cof_kms_db_access_key_set(call->ks->db, &row, call->fault);
}

int cof_identity_key_delete(struct cof_kms_call *call, const char *user, const char *access_key_id)
{
    struct cof_kms_access_key_row row;
    int error = find_key(call, user, access_key_id, "iam:DeleteAccessKey", &row);

    return error == 0 ? cof_kms_db_access_key_remove(call->ks->db, access_key_id, call->fault)
                      : error;
}

int cof_identity_key_each(struct cof_kms_call *call, const char *user,
                          int (*visit)(void *ctx, const struct cof_kms_access_key_row *row),
                          void *ctx)
{
    char owner[COFFER_PRINCIPAL_BYTES_MAX];
    int error = find_owner(call, user, "iam:ListAccessKeys", owner);

    return error == 0
               ? cof_kms_db_access_key_each(call->ks->db, owner, "", 0, visit, ctx, call->fault)
               : error;
}
