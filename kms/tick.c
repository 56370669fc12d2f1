/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/tick.c - what the service does by itself when its time has come: it rotates keys, lets
 * imported material expire, and destroys keys whose deletion was scheduled.
 *
 * Every batch of calls (batch.h) begins with what is due, each act in a transaction of its own with
 * a record of its own; a key whose time comes while a batch is open is known by it (keys.c). A key
 * is destroyed in this order: the tombstone into the ledger, synced; rows gone and the record
 * written, committed; the write-ahead log emptied, so that no sealed byte of it stays in a file. A
 * crash in between leaves the rest to the next call. Under the store's lock.
 */
#include "import.h"
#include "ledger.h"
#include "token_key.h"
#include "verbs.h"

#include <coffer/kms.h>
#include <stdio.h>
#include <string.h>

int cof_kms_key_destroy(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    struct cof_kms_tombstone_row dead;
    int error;

    memset(&dead, 0, sizeof(dead));
    memcpy(dead.arn, row->arn, sizeof(dead.arn));
    memcpy(dead.key_id, row->key_id, sizeof(dead.key_id));
    dead.deleted_ns = cof_kms_wall_ns(&call->ks->env);
    error = cof_kms_ledger_bury(call->ks->ledger, &dead, call->fault);
    if (error == 0) {
        error = cof_kms_db_tombstone_set(call->ks->db, &dead, call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_key_remove(call->ks->db, row->arn, call->fault);
    }
    if (error == 0 && cof_kms_key_is_replica(row)) {
        error = cof_kms_replica_gone(call, row);
    }
    if (error == 0) {
        cof_kms_token_key_destroy(call, row);
    }
    return error == 0 ? cof_kms_call_note(call, "DeleteKey", row->arn, NULL) : error;
}

static int rotate(struct cof_kms_call *call, struct cof_kms_key_row *row, uint64_t now_ns)
{
    uint64_t period_ns = row->rotation_period_days * COF_KMS_DAY_NS;
    int error;

    row->next_rotation_ns += period_ns;
    if (row->next_rotation_ns <= now_ns) {
        /* Nobody called for more than a period: one rotation is enough. */
        row->next_rotation_ns = now_ns + period_ns;
    }
    error = cof_kms_rotate(call, row, "AUTOMATIC");
    return error == 0 ? cof_kms_call_note(call, "RotateKey", row->arn,
                                          "{\"by\":\"service\",\"rotationType\":\"AUTOMATIC\"}")
                      : error;
}

static int expire(struct cof_kms_call *call, struct cof_kms_key_row *row, uint64_t now_ns)
{
    int error = cof_kms_import_expire(call, row, now_ns);

    return error == 0 ? cof_kms_call_note(call, "DeleteExpiredKeyMaterial", row->arn, NULL)
                      : error;
}

/* The one thing that is due for row's key. */
static int act(struct cof_kms_call *call, struct cof_kms_key_row *row, uint64_t now_ns,
               bool *ret_destroyed)
{
    if (row->deletion_ns != 0 && row->deletion_ns <= now_ns) {
        *ret_destroyed = true;
        return cof_kms_key_destroy(call, row);
    }
    if (row->valid_to_ns != 0 && row->valid_to_ns <= now_ns) {
        return expire(call, row, now_ns);
    }
    return rotate(call, row, now_ns);
}

/* Do what is due for row's key and commit it; no transaction is open afterwards. */
static int act_alone(struct cof_kms_call *call, struct cof_kms_key_row *row, uint64_t now_ns)
{
    struct coffer_keystore *ks = call->ks;
    bool destroyed = false, alone = call->alone;
    int error;

    call->alone = true;
    error = act(call, row, now_ns, &destroyed);
    call->alone = alone;
    if (error != 0) {
        /* Nothing but this was in it. */
        cof_kms_batch_abandon(ks, 0, NULL);
        return error;
    }
    error = cof_kms_batch_commit(ks, call->fault);
    if (error == 0 && destroyed) {
        cof_kms_db_checkpoint(ks->db);
    }
    return error;
}

int cof_kms_call_catch_up(struct cof_kms_call *call)
{
    struct coffer_keystore *ks = call->ks;
    uint64_t now_ns = cof_kms_wall_ns(&ks->env);
    char after[COFFER_KEY_ARN_BYTES_MAX] = "";
    struct cof_kms_key_row row;
    int error = 0;

    while (error == 0) {
        error = cof_kms_db_key_due(ks->db, now_ns, after, &row, call->fault);
        if (error != 0) {
            break;
        }
        error = act_alone(call, &row, now_ns);
        if (error != 0) {
            /* One key's trouble is not another's: cof_kms_key_get knows that its time has come. */
            cof_kms_warn(&ks->env, "%s: what is due could not be done: %s", row.arn,
                         coffer_error_sentence(error));
            memcpy(after, row.arn, sizeof(after));
        }
        error = cof_kms_batch_open(ks, call->fault);
        if (error != 0) {
            return error;
        }
    }
    if (error == COFFER_E_NOT_FOUND) {
        ks->batch.caught_up = true;
        cof_kms_fault_clear(call->fault);
        return 0;
    }
    cof_kms_batch_abandon(ks, error, call->fault);
    return error;
}

int cof_kms_tick(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    struct coffer_fault own;
    struct cof_kms_call call;
    int error;

    if (ks->secrets->canary != COF_KMS_CANARY) {
        return cof_kms_fault(fault, COFFER_E_FORKED, NULL);
    }
    memset(&call, 0, sizeof(call));
    call.ks = ks;
    call.event = "Tick";
    call.fault = fault != NULL ? fault : &own;
    if (ks->read_only) {
        return 0;
    }
    (void)pthread_mutex_lock(&ks->lock);
    call.holds = true;
    /* The head that the ledger is to note must be committed by then. */
    (void)!cof_kms_batch_commit(ks, NULL);
    error = cof_kms_batch_open(ks, call.fault);
    if (error == 0) {
        error = cof_kms_call_catch_up(&call);
    }
    if (error == 0) {
        error = cof_kms_batch_commit(ks, call.fault);
    }
    if (error == 0) {
        error = cof_kms_ledger_note(ks, call.fault);
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_kms_tick(struct coffer_keystore *store, struct coffer_fault *fault)
{
    return store == NULL ? cof_kms_fault(fault, COFFER_E_INVALID, NULL)
                         : cof_kms_tick(store, fault);
}
