/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant_end.c - grants retired, by those whom the grant itself names, and revoked, by those
 * whom policies allow. Both work in every state of the key. Under the store's lock.
 */
#include "identity/identity.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

struct found {
    struct cof_kms_grant_row row; /* without its context, which lay in the statement */
    bool found;
};

static int visit_grant(void *ctx, const struct cof_kms_grant_row *row)
{
    struct found *found = ctx;

    found->row = *row;
    found->row.context = (struct cof_kms_bytes){NULL, 0};
    found->found = true;
    return 0;
}

static int find_grant(struct cof_kms_call *call, const char *key_arn, const char *grant_id,
                      struct cof_kms_grant_row *ret_row)
{
    struct cof_kms_grant_filter filter = {key_arn, grant_id, NULL, NULL, NULL};
    struct found found;
    int error;

    if (!cof_kms_hex_ok(grant_id, COFFER_GRANT_ID_BYTES - 1)) {
        return cof_kms_fault(call->fault, COFFER_E_GRANT_ID,
                             "'%.64s' is no grant id: give 64 hex digits", grant_id);
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"grantId\":\"%s\"}", grant_id);
    memset(&found, 0, sizeof(found));
    error = cof_kms_db_grant_each(call->ks->db, &filter, "", 1, visit_grant, &found, call->fault);
    if (error == 0 && !found.found) {
        return cof_kms_fault(call->fault, COFFER_E_NOT_FOUND, "the key has no grant %.64s",
                             grant_id);
    }
    if (error == 0) {
        *ret_row = found.row;
    }
    return error;
}

static bool is_caller(const struct cof_kms_call *call, const char *principal)
{
    char owner[COFFER_PRINCIPAL_BYTES_MAX];

    cof_identity_owner(call->caller.principal, owner);
    return strcmp(principal, call->caller.principal) == 0 || strcmp(principal, owner) == 0;
}

/* The retiring principal, a grantee who was given that, the root of the account that made it or of
 * the key's. */
static int may_retire(struct cof_kms_call *call, const struct cof_kms_key_row *key,
                      const struct cof_kms_grant_row *row)
{
    char root[COFFER_PRINCIPAL_BYTES_MAX];

    (void)snprintf(root, sizeof(root), "arn:coffer:iam::%s:root", key->owner.account);
    if (is_caller(call, row->retiring_principal) || is_caller(call, row->issuing_account) ||
        is_caller(call, root) ||
        (is_caller(call, row->grantee) && strstr(row->operations, "RetireGrant") != NULL)) {
        return 0;
    }
    return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                         "%.70s is not authorized to perform kms:RetireGrant: the grant names "
                         "others", call->caller.principal);
}

int cof_kms_retire_grant(struct cof_kms_call *call, const char *token, const char *key,
                         const char *grant_id)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX], id[COFFER_GRANT_ID_BYTES];
    struct cof_kms_key_row key_row;
    struct cof_kms_grant_row row;
    int error = 0;

    if ((token == NULL) == (key == NULL || grant_id == NULL)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "give a grant token, or a key and a grant id");
    }
    if (token != NULL) {
        error = cof_kms_grant_token_open(call, token, arn, id);
    }
    if (error == 0) {
        error = cof_kms_key_find(call, token != NULL ? arn : key, true, &key_row);
    }
    if (error == 0) {
        error = find_grant(call, key_row.arn, token != NULL ? id : grant_id, &row);
    }
    if (error == 0) {
        error = may_retire(call, &key_row, &row);
    }
    return error == 0 ? cof_kms_db_grant_remove(call->ks->db, row.key_arn, row.grant_id,
                                                call->fault)
                      : error;
}

int cof_kms_revoke_grant(struct cof_kms_call *call, const char *key, const char *grant_id)
{
    struct cof_kms_key_row key_row;
    struct cof_kms_grant_row row;
    int error = cof_kms_key_find(call, key, true, &key_row);

    if (error == 0) {
        error = cof_kms_authorize(call, &key_row, "kms:RevokeGrant");
    }
    if (error == 0) {
        error = find_grant(call, key_row.arn, grant_id, &row);
    }
    return error == 0 ? cof_kms_db_grant_remove(call->ks->db, row.key_arn, row.grant_id,
                                                call->fault)
                      : error;
}
