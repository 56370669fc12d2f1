/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/authenticate.c - from a signed request to who sent it.
 *
 * The verifier asks for the secret of an access key; it is found and unsealed under the store's
 * lock, straight into the verifier's locked memory. Invariant: a caller is filled in only under the
 * verdict GOOD. Any thread, without the lock.
 */
#include "identity/identity.h"

#include "secret.h"

#include <stdio.h>
#include <string.h>

#define USED_STEP_NS (900ull * 1000000000u) /* how fine LastUsedDate is */

struct authentication {
    struct coffer_keystore *ks;
    uint64_t now_ns;
    struct cof_identity_caller caller;
    bool known; /* the key exists: caller has its owner */
};

/* ---- who that is ------------------------------------------------------------------------- */

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
                       struct cof_identity_caller *caller, char *ret_secret,
                       enum cof_sigv4_verdict *verdict)
{
    struct cof_kms_access_key_row row;
    int error = cof_kms_db_access_key_get(ks->db, access_key_id, &row, NULL);

    if (error == 0) {
        error = check_owner(ks, row.principal_arn, 0);
    }
    if (error != 0) {
        return error == COFFER_E_NOT_FOUND ? 0 : error;
    }
    (void)snprintf(caller->principal, sizeof(caller->principal), "%s", row.principal_arn);
    if (strcmp(row.status, "Active") != 0) {
        return 0;
    }
    error = cof_identity_secret_open(ks, &row, ret_secret);
    if (error == 0) {
        *verdict = COF_SIGV4_GOOD;
    }
    return error;
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

static int resolve_session(struct coffer_keystore *ks, const char *access_key_id,
                           const char *token, uint64_t now_ns, struct cof_identity_caller *caller,
                           char *ret_secret, enum cof_sigv4_verdict *verdict)
{
    struct cof_identity_session session;
    int error = cof_identity_token_open(ks, token, &session);

    if (error == COFFER_E_AUTH_UNKNOWN) {
        return 0;
    }
    if (error != 0 || strcmp(session.access_key_id, access_key_id) != 0) {
        return error;
    }
    error = check_owner(ks, session.owner, session.owner_created_ns);
    if (error != 0) {
        return error == COFFER_E_NOT_FOUND ? 0 : error;
    }
    (void)snprintf(caller->principal, sizeof(caller->principal), "%s", session.principal);
    if (now_ns >= session.expires_ns) {
        *verdict = COF_SIGV4_SESSION_EXPIRED;
        return 0;
    }
    caller->session_ends_ns = session.expires_ns;
    error = copy_policy(&ks->env, session.policy, &caller->session_policy);
    if (error == 0) {
        (void)snprintf(ret_secret, COFFER_KMS_SECRET_BYTES_MAX, "%s", session.secret);
        *verdict = COF_SIGV4_GOOD;
    }
    return error;
}

int cof_identity_resolve(struct coffer_keystore *ks, const char *access_key_id, const char *token,
                         uint64_t now_ns, struct cof_identity_caller *caller,
                         char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                         enum cof_sigv4_verdict *ret_verdict)
{
    int error;

    *ret_verdict = COF_SIGV4_UNKNOWN_KEY;
    memset(caller, 0, sizeof(*caller));
    caller->env = &ks->env;
    (void)snprintf(caller->access_key_id, sizeof(caller->access_key_id), "%s", access_key_id);
    error = token == NULL ? resolve_key(ks, access_key_id, caller, ret_secret, ret_verdict)
                          : resolve_session(ks, access_key_id, token, now_ns, caller, ret_secret,
                                            ret_verdict);
    if (error == 0 && caller->principal[0] != '\0' &&
        !cof_kms_principal_account(caller->principal, caller->account)) {
        error = COFFER_E_TAMPER;
    }
    cof_kms_wipe(ks->secrets->plaintext, sizeof(ks->secrets->plaintext));
    return error;
}

/* ---- the verifier's question ------------------------------------------------------------- */

static int begin_read(struct coffer_keystore *ks)
{
    int error;

    if (ks->secrets->canary != COF_KMS_CANARY) {
        return COFFER_E_FORKED;
    }
    (void)pthread_mutex_lock(&ks->lock);
    error = cof_kms_db_begin(ks->db, false, NULL);
    if (error != 0) {
        (void)pthread_mutex_unlock(&ks->lock);
    }
    return error;
}

static int find_secret(void *ctx, const char *access_key_id, const char *token,
                       char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                       enum cof_sigv4_verdict *ret_verdict)
{
    struct authentication *auth = ctx;
    int error = begin_read(auth->ks);

    if (error != 0) {
        return error;
    }
    error = cof_identity_resolve(auth->ks, access_key_id, token, auth->now_ns, &auth->caller,
                                 ret_secret, ret_verdict);
    auth->known = auth->caller.principal[0] != '\0';
    cof_kms_db_rollback(auth->ks->db);
    (void)pthread_mutex_unlock(&auth->ks->lock);
    return error;
}

/* ---- what is remembered of it ------------------------------------------------------------ */

/* LastUsedDate; a key store that can't be written now leaves it as it is. */
static void note_use(struct authentication *auth)
{
    struct coffer_keystore *ks = auth->ks;
    struct cof_kms_access_key_row row;
    int error;

    if (ks->read_only || auth->caller.session_ends_ns != 0) {
        return;
    }
    error = begin_read(ks);
    if (error != 0) {
        return;
    }
    error = cof_kms_db_access_key_get(ks->db, auth->caller.access_key_id, &row, NULL);
    cof_kms_db_rollback(ks->db);
    if (error == 0 && (auth->now_ns < row.last_used_ns ||
                       auth->now_ns - row.last_used_ns >= USED_STEP_NS)) {
        error = cof_kms_db_begin(ks->db, true, NULL);
        if (error == 0) {
            row.last_used_ns = auth->now_ns;
            error = cof_kms_db_access_key_set(ks->db, &row, NULL);
            if (error != 0 || cof_kms_db_commit(ks->db, NULL) != 0) {
                cof_kms_db_rollback(ks->db);
            }
        }
    }
    (void)pthread_mutex_unlock(&ks->lock);
}

static int code_of(enum cof_sigv4_verdict verdict)
{
    switch (verdict) {
    case COF_SIGV4_UNKNOWN_KEY:
        return COFFER_E_AUTH_UNKNOWN;
    case COF_SIGV4_SESSION_EXPIRED:
        return COFFER_E_AUTH_EXPIRED;
    default:
        return COFFER_E_AUTH_SIGNATURE;
    }
}

/* Refused, and the key is one of ours: its owner should see that in the trail. */
static void record_refusal(struct authentication *auth,
                           const struct coffer_kms_http_request *request,
                           enum cof_sigv4_verdict verdict)
{
    struct cof_kms_caller caller = {.principal = auth->caller.principal,
                                    .source_ip = request->peer};
    struct coffer_fault fault;
    struct cof_kms_call call;
    int code = code_of(verdict);

    if (cof_kms_call_begin_as(&call, auth->ks, "Authenticate", COF_KMS_READS, &caller, &fault) !=
        0) {
        return;
    }
    (void)snprintf(call.detail, sizeof(call.detail), "{\"accessKeyId\":\"%s\"}",
                   auth->caller.access_key_id);
    (void)cof_kms_fault(&fault, code, NULL);
    if (cof_kms_call_settle(&call, code) != code) {
        cof_kms_warn(&auth->ks->env, "a refused signature could not be recorded");
    }
    cof_kms_call_leave(&call);
}

int cof_identity_authenticate(struct coffer_keystore *ks,
                              const struct coffer_kms_http_request *request,
                              struct cof_identity_caller *ret_caller,
                              struct cof_sigv4_result *ret_result)
{
    struct authentication auth = {.ks = ks, .now_ns = cof_kms_wall_ns(&ks->env)};
    struct cof_sigv4_expected expected = {.service = COFFER_KMS_SIGNING_NAME,
                                          .now_ns = auth.now_ns,
                                          .secret = find_secret,
                                          .ctx = &auth};
    int error = cof_sigv4_verify(&ks->env, request, &expected, ret_result);

    if (error != 0 || ret_result->verdict != COF_SIGV4_GOOD) {
        if (error == 0 && auth.known) {
            record_refusal(&auth, request, ret_result->verdict);
        }
        cof_identity_caller_done(&auth.caller);
        return error;
    }
    memcpy(auth.caller.region, ret_result->region, sizeof(auth.caller.region));
    note_use(&auth);
    *ret_caller = auth.caller;
    return 0;
}

void cof_identity_caller_done(struct cof_identity_caller *caller)
{
    if (caller->env != NULL) {
        cof_kms_free(caller->env, caller->session_policy);
        caller->session_policy = NULL;
    }
}
