/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/call.c - what every call has in common: a place in a batch, audit record, wiping.
 *
 * Invariants: a call that writes commits its work and its record together or neither; a call that
 * fails leaves its record alone; scratch is wiped before the lock is given up; what an error leaves
 * of a batch is never taken for a call's work. Any thread.
 */
#include "kms.h"

#include "secret.h"
#include "verbs.h"

#include <string.h>

static int take_caller(struct cof_kms_call *call, const struct cof_kms_caller *caller)
{
    const struct cof_kms_owner *home = &call->ks->header.owner;

    if (caller != NULL) {
        call->caller = *caller;
    }
    if (call->caller.principal == NULL) {
        call->caller.principal = call->ks->principal;
    }
    if (call->caller.region == NULL) {
        call->caller.region = home->region;
    }
    if (!cof_kms_principal_account(call->caller.principal, call->owner.account) ||
        !cof_kms_region_ok(call->caller.region) ||
        call->caller.grant_token_count > COF_KMS_GRANT_TOKENS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "%s: the caller's ARN, its region or its grant tokens are not valid",
                             call->event);
    }
    memcpy(call->owner.region, call->caller.region, strlen(call->caller.region) + 1);
    return 0;
}

int cof_kms_call_begin_as(struct cof_kms_call *call, struct coffer_keystore *ks, const char *event,
                          enum cof_kms_access access, const struct cof_kms_caller *caller,
                          struct coffer_fault *fault)
{
    int error;

    memset(call, 0, sizeof(*call));
    call->ks = ks;
    call->event = event;
    call->alone = access == COF_KMS_ALONE;
    call->fault = fault != NULL ? fault : &call->own;
    if (ks->secrets->canary != COF_KMS_CANARY) {
        return cof_kms_fault(call->fault, COFFER_E_FORKED, NULL);
    }
    if (ks->read_only && access != COF_KMS_READS) {
        return cof_kms_fault(call->fault, COFFER_E_READ_ONLY,
                             "%s: the key store was opened for reading only", event);
    }
    error = take_caller(call, caller);
    if (error != 0) {
        return error;
    }
    if (call->caller.announced != NULL && *call->caller.announced) {
        *call->caller.announced = false;
    } else {
        cof_kms_batch_announce(ks);
    }
    return cof_kms_batch_enter(call);
}

void cof_kms_call_condition(struct cof_kms_call *call, const char *name, const char *value)
{
    if (call->condition_count < COF_KMS_CONDITIONS_MAX && value != NULL) {
        call->condition_names[call->condition_count] = name;
        call->condition_values[call->condition_count++] = value;
    }
}

int cof_kms_call_begin(struct cof_kms_call *call, struct coffer_keystore *ks, const char *event,
                       enum cof_kms_access access, struct coffer_fault *fault)
{
    return cof_kms_call_begin_as(call, ks, event, access, NULL, fault);
}

static int write_record(struct cof_kms_call *call, int error, struct coffer_fault *fault)
{
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_audit_entry entry = {
        call->event, call->caller.principal, call->caller.request_id, call->arn, call->source_arn,
        "{}", "{}", call->detail[0] ? call->detail : "{}",
        error == 0 ? "" : coffer_error_name(error)};
    char *context = NULL, *source_context = NULL;
    int status = 0;

    if (call->context.length_bytes > 0) {
        status = cof_kms_context_json(&ks->env, call->context, &context);
    }
    if (status == 0 && call->source_context.length_bytes > 0) {
        status = cof_kms_context_json(&ks->env, call->source_context, &source_context);
    }
    if (context != NULL) {
        entry.context = context;
    }
    if (source_context != NULL) {
        entry.source_context = source_context;
    }
    status = status == 0 ? cof_kms_db_audit_add(ks->db, &entry, fault)
                         : cof_kms_fault(fault, status, NULL);
    cof_kms_free(&ks->env, context);
    cof_kms_free(&ks->env, source_context);
    return status;
}

int cof_kms_call_note(struct cof_kms_call *call, const char *event, const char *key_arn,
                      const char *detail)
{
    struct cof_kms_audit_entry entry = {event, "coffer", NULL, key_arn, "", "{}", "{}",
                                        detail != NULL ? detail : "{\"by\":\"service\"}", ""};

    return call->ks->read_only ? 0
                               : cof_kms_db_audit_add(call->ks->db, &entry, call->fault);
}

/* Make the call's work and its record part of the batch; on failure neither is. */
static int put_into_batch(struct cof_kms_call *call, struct coffer_fault *fault)
{
    struct coffer_keystore *ks = call->ks;
    int status = call->error < 0 ? cof_kms_db_undo(ks->db, fault) : 0;

    if (status == 0) {
        status = write_record(call, call->error < 0 ? call->error : 0, fault);
    }
    if (status == 0) {
        status = cof_kms_db_release(ks->db, fault);
    } else if (cof_kms_db_undo(ks->db, NULL) == 0 && cof_kms_db_release(ks->db, NULL) == 0) {
        return status;
    }
    if (status != 0) {
        cof_kms_batch_abandon(ks, status, fault);
    }
    return status;
}

int cof_kms_call_settle(struct cof_kms_call *call, int error)
{
    struct coffer_fault fault;
    int status;

    cof_kms_fault_clear(&fault);
    if (error == 0 && call->caller.dry_run) {
        error = cof_kms_fault(call->fault, COFFER_E_DRY_RUN,
                              "%s would have worked; it was a dry run and nothing was done",
                              call->event);
    }
    call->error = error;
    if (call->ks->read_only) {
        cof_kms_db_rollback(call->ks->db);
        cof_kms_call_leave(call);
        return error;
    }
    status = put_into_batch(call, &fault);
    /* What went wrong first is what the caller hears of. */
    if (status != 0 && error >= 0) {
        call->error = status;
        *call->fault = fault;
    }
    cof_kms_batch_finish(call, status == 0);
    return call->error;
}

void cof_kms_call_leave(struct cof_kms_call *call)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;

    if (call->holds) {
        call->holds = false;
        cof_kms_wipe(secrets->material, sizeof(secrets->material));
        cof_kms_wipe(secrets->subkey, sizeof(secrets->subkey));
        cof_kms_wipe(secrets->plaintext, sizeof(secrets->plaintext));
        (void)pthread_mutex_unlock(&call->ks->lock);
    }
}

int cof_kms_call_context(struct cof_kms_call *call, unsigned which,
                         const struct coffer_context *context)
{
    return cof_kms_context_pack(&call->ks->env, context, call->ks->contexts[which],
                                which == 0 ? &call->context : &call->source_context, call->fault);
}
