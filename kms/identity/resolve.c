/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/resolve.c - whose access key or session that is.
 *
 * Within a transaction, under the lock. Invariant: who is gone has neither: a key's owner must be
 * there, and a session's must be the one of old, not who has its name now.
 */
#include "identity/identity.h"

#include "secret.h"

#include <stdio.h>
#include <string.h>

/* Whether owner is there, and the one of old: NOT_FOUND. */
static int check_owner(struct coffer_keystore *ks, const char *owner, uint64_t created_ns)
{
    struct cof_kms_principal_row *row;
    struct cof_kms_account_row account;
    char number[13] = "";
    int error;

    if (cof_identity_is_root(owner)) {
        if (!cof_kms_principal_account(owner, number)) {
            return COFFER_E_TAMPER;
        }
        return strcmp(number, ks->header.owner.account) == 0
                   ? 0
                   : cof_kms_db_account_get(ks->db, number, &account, NULL);
    }
    row = cof_kms_alloc(&ks->env, sizeof(*row));
    if (row == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    error = cof_kms_db_principal_get(ks->db, owner, row, NULL);
    if (error == 0 && created_ns != 0 && row->created_ns != created_ns) {
        error = COFFER_E_NOT_FOUND;
    }
    cof_kms_free(&ks->env, row);
    return error;
}

static int resolve_key(struct coffer_keystore *ks, const char *access_key_id,
                       struct cof_identity_caller *caller, char *ret_secret)
{
    struct cof_kms_access_key_row row;
    int error = cof_kms_db_access_key_get(ks->db, access_key_id, &row, NULL);

    if (error == 0) {
        error = check_owner(ks, row.principal_arn, 0);
    }
    if (error != 0) {
        return error;
    }
    (void)snprintf(caller->principal, sizeof(caller->principal), "%s", row.principal_arn);
    caller->last_used_ns = row.last_used_ns;
    return strcmp(row.status, "Active") == 0 ? cof_identity_secret_open(ks, &row, ret_secret)
                                             : COFFER_E_AUTH_UNKNOWN;
}

static int copy_policy(struct cof_kms_env *env, const char *policy, char **ret_copy)
{
    if (policy != NULL) {
        *ret_copy = cof_kms_alloc(env, strlen(policy) + 1);
        if (*ret_copy == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        memcpy(*ret_copy, policy, strlen(policy) + 1);
    }
    return 0;
}

static int resolve_session(struct coffer_keystore *ks, const char *access_key_id, const char *token,
                           uint64_t now_ns, struct cof_identity_caller *caller, char *ret_secret)
{
    struct cof_identity_session session;
    int error = cof_identity_token_open(ks, token, &session);

    if (error == 0 && strcmp(session.access_key_id, access_key_id) != 0) {
        error = COFFER_E_AUTH_UNKNOWN;
    }
    if (error == 0) {
        error = check_owner(ks, session.owner, session.owner_created_ns);
    }
    if (error != 0) {
        return error;
    }
    (void)snprintf(caller->principal, sizeof(caller->principal), "%s", session.principal);
    if (now_ns >= session.expires_ns) {
        return COFFER_E_AUTH_EXPIRED;
    }
    caller->session_ends_ns = session.expires_ns;
    error = copy_policy(&ks->env, session.policy, &caller->session_policy);
    if (error == 0) {
        (void)snprintf(ret_secret, COFFER_KMS_SECRET_BYTES_MAX, "%s", session.secret);
    }
    return error;
}

int cof_identity_resolve(struct coffer_keystore *ks, const char *access_key_id, const char *token,
                         uint64_t now_ns, struct cof_identity_caller *caller,
                         char ret_secret[COFFER_KMS_SECRET_BYTES_MAX])
{
    int error;

    memset(caller, 0, sizeof(*caller));
    caller->env = &ks->env;
    (void)snprintf(caller->access_key_id, sizeof(caller->access_key_id), "%s", access_key_id);
    error = token == NULL ? resolve_key(ks, access_key_id, caller, ret_secret)
                          : resolve_session(ks, access_key_id, token, now_ns, caller, ret_secret);
    cof_kms_wipe(ks->secrets->plaintext, sizeof(ks->secrets->plaintext));
    if (caller->principal[0] != '\0' &&
        !cof_kms_principal_account(caller->principal, caller->account)) {
        return COFFER_E_TAMPER;
    }
    return error == COFFER_E_NOT_FOUND ? COFFER_E_AUTH_UNKNOWN : error;
}

void cof_identity_caller_done(struct cof_identity_caller *caller)
{
    if (caller->env != NULL) {
        cof_kms_free(caller->env, caller->session_policy);
        caller->session_policy = NULL;
    }
}
