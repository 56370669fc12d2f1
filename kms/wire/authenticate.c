/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/authenticate.c - from a signed request to who sent it.
 *
 * The verifier asks for the secret of an access key; it is found and unsealed under the store's
 * lock, straight into the verifier's locked memory. Invariant: a caller is handed out under the
 * verdict GOOD only. Any thread, without the lock.
 */
#include "wire/authenticate.h"

#include <stdio.h>
#include <string.h>

#define USED_STEP_NS (900ull * 1000000000u) /* how fine LastUsedDate is */

struct authentication {
    struct coffer_keystore *ks;
    uint64_t now_ns;
    struct cof_identity_caller caller;
    bool *announced;     /* batch.h */
    uint64_t seen_batch; /* batch.h */
    bool known; /* the key exists: caller has its owner */
};

/* ---- the verifier's question ------------------------------------------------------------- */

static int find_secret(void *ctx, const char *access_key_id, const char *token,
                       char ret_secret[COFFER_KMS_SECRET_BYTES_MAX],
                       enum cof_sigv4_verdict *ret_verdict)
{
    struct authentication *auth = ctx;
    int error = cof_kms_batch_look(auth->ks, &auth->seen_batch);

    if (error != 0) {
        return error;
    }
    error = cof_identity_resolve(auth->ks, access_key_id, token, auth->now_ns, &auth->caller,
                                 ret_secret);
    auth->known = auth->caller.principal[0] != '\0';
    cof_kms_batch_look_away(auth->ks);
    auth->caller.seen_batch = auth->seen_batch;
    *ret_verdict = error == 0                       ? COF_SIGV4_GOOD
                   : error == COFFER_E_AUTH_EXPIRED ? COF_SIGV4_SESSION_EXPIRED
                                                    : COF_SIGV4_UNKNOWN_KEY;
    return error == COFFER_E_AUTH_EXPIRED || error == COFFER_E_AUTH_UNKNOWN ? 0 : error;
}

/* ---- what is remembered of it ------------------------------------------------------------ */

/* LastUsedDate, in the batch of the call that follows; a key store that can't be written now leaves
 * it as it is. */
static void note_use(struct authentication *auth)
{
    struct coffer_keystore *ks = auth->ks;
    struct cof_kms_access_key_row row;
    uint64_t last_ns = auth->caller.last_used_ns;
    int error;

    if (ks->read_only || auth->caller.session_ends_ns != 0 ||
        (auth->now_ns >= last_ns && auth->now_ns - last_ns < USED_STEP_NS)) {
        return;
    }
    (void)pthread_mutex_lock(&ks->lock);
    error = cof_kms_batch_open(ks, NULL);
    if (error == 0) {
        error = cof_kms_db_access_key_get(ks->db, auth->caller.access_key_id, &row, NULL);
    }
    if (error == 0) {
        row.last_used_ns = auth->now_ns;
        error = cof_kms_db_access_key_set(ks->db, &row, NULL);
    }
    (void)error;
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
                                    .source_ip = request->peer,
                                    .announced = auth->announced,
                                    .seen_batch = auth->seen_batch};
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
                              const struct coffer_kms_http_request *request, bool *announced,
                              struct cof_identity_caller *ret_caller,
                              struct cof_sigv4_result *ret_result)
{
    struct authentication auth = {
        .ks = ks, .now_ns = cof_kms_wall_ns(&ks->env), .announced = announced};
    struct cof_sigv4_expected expected = {.service = COFFER_KMS_SIGNING_NAME,
                                          .now_ns = auth.now_ns,
                                          .secret = find_secret,
                                          .ctx = &auth,
                                          .spares = &ks->spares};
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
