/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/key_life.c - from state to state: enabled, disabled, waiting for deletion, and back.
 *
 *   Enabled <-> Disabled -> PendingDeletion -> (tick.c) gone
 *                  ^--------- cancelled -'
 *
 * A key that is Unavailable keeps in resume_state what it becomes when its token is back; one that
 * waits for its deletion, what it becomes when that is cancelled. Under the store's lock.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

void cof_kms_set_guard(struct coffer_keystore *ks, const struct cof_kms_guard *guard)
{
    ks->guard = guard == NULL ? NULL : guard->in_use;
    ks->guard_ctx = guard == NULL ? NULL : guard->ctx;
}

static int ask_guard(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    struct coffer_keystore *ks = call->ks;

    return ks->guard == NULL ? 0 : ks->guard(ks->guard_ctx, row, call->event, call->fault);
}

static int wrong_state(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "%s is in state %s", row->arn,
                         coffer_keystore_state_name(row->state));
}

/* Find the key, by id or ARN, and ask whether action is allowed. */
static int find_allowed(struct cof_kms_call *call, const char *key, const char *action,
                        struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, true, row);

    return error == 0 ? cof_kms_authorize(call, row, action) : error;
}

/* ---- enable-key, disable-key ------------------------------------------------------------- */

static int set_state(struct cof_kms_call *call, const char *key, const char *action,
                     enum coffer_key_state state)
{
    struct cof_kms_key_row row;
    int error = find_allowed(call, key, action, &row);

    if (error == 0) {
        error = cof_kms_key_changeable(call, &row);
    }
    if (error != 0) {
        return error;
    }
    if (row.state == COFFER_KEY_UNAVAILABLE) {
        row.resume_state = state;
        return cof_kms_db_key_set(call->ks->db, &row, call->fault);
    }
    if (row.state != COFFER_KEY_ENABLED && row.state != COFFER_KEY_IS_DISABLED) {
        return wrong_state(call, &row);
    }
    if (row.state == state) {
        return 0;
    }
    if (state == COFFER_KEY_IS_DISABLED) {
        error = ask_guard(call, &row);
    }
    row.state = state;
    return error == 0 ? cof_kms_db_key_set(call->ks->db, &row, call->fault) : error;
}

int cof_kms_enable_key(struct cof_kms_call *call, const char *key)
{
    return set_state(call, key, "kms:EnableKey", COFFER_KEY_ENABLED);
}

int cof_kms_disable_key(struct cof_kms_call *call, const char *key)
{
    return set_state(call, key, "kms:DisableKey", COFFER_KEY_IS_DISABLED);
}

int cof_kms_update_key_description(struct cof_kms_call *call, const char *key,
                                   const char *description)
{
    struct cof_kms_key_row row;
    int error = find_allowed(call, key, "kms:UpdateKeyDescription", &row);

    if (error == 0) {
        error = cof_kms_key_changeable(call, &row);
    }
    if (error == 0) {
        error = cof_kms_check_description(call, description);
    }
    if (error != 0) {
        return error;
    }
    (void)snprintf(row.description, sizeof(row.description), "%s", description);
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

/* ---- schedule-key-deletion, cancel-key-deletion ------------------------------------------ */

static int check_window(struct cof_kms_call *call, uint32_t days)
{
    if (days < COF_KMS_PENDING_DAYS_MIN || days > COF_KMS_PENDING_DAYS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a key waits %u to %u days for its deletion, not %u",
                             COF_KMS_PENDING_DAYS_MIN, COF_KMS_PENDING_DAYS_MAX, days);
    }
    return 0;
}

int cof_kms_schedule_key_deletion(struct cof_kms_call *call, const char *key, uint32_t window_days,
                                  struct cof_kms_key_row *ret_row)
{
    uint32_t days = window_days == 0 ? COF_KMS_PENDING_DAYS_MAX : window_days;
    unsigned replicas = 0;
    int error = check_window(call, days);

    (void)snprintf(call->number, sizeof(call->number), "%u", days);
    cof_kms_call_condition(call, "kms:ScheduleKeyDeletionPendingWindowInDays", call->number);
    if (error == 0) {
        error = find_allowed(call, key, "kms:ScheduleKeyDeletion", ret_row);
    }
    if (error == 0) {
        error = cof_kms_key_changeable(call, ret_row);
    }
    if (error == 0) {
        error = ask_guard(call, ret_row);
    }
    if (error != 0) {
        return error;
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"pendingWindowInDays\":%u}", days);
    if (ret_row->state != COFFER_KEY_UNAVAILABLE) {
        ret_row->resume_state = ret_row->state == COFFER_KEY_PENDING_IMPORT
                                    ? COFFER_KEY_PENDING_IMPORT
                                    : COFFER_KEY_IS_DISABLED;
    } else {
        ret_row->resume_state = COFFER_KEY_UNAVAILABLE;
    }
    if (!cof_kms_key_is_replica(ret_row)) {
        error = cof_kms_replica_count(call, ret_row, &replicas);
    }
    if (error != 0) {
        return error;
    }
    ret_row->state =
        replicas > 0 ? COFFER_KEY_PENDING_REPLICA_DELETION : COFFER_KEY_PENDING_DELETION;
    ret_row->pending_window_days = days;
    /* With replicas its own window begins when the last of them is gone. */
    ret_row->deletion_ns =
        replicas > 0 ? 0 : cof_kms_wall_ns(&call->ks->env) + days * COF_KMS_DAY_NS;
    return cof_kms_db_key_set(call->ks->db, ret_row, call->fault);
}

int cof_kms_cancel_key_deletion(struct cof_kms_call *call, const char *key,
                                struct cof_kms_key_row *ret_row)
{
    int error = find_allowed(call, key, "kms:CancelKeyDeletion", ret_row);

    if (error != 0) {
        return error;
    }
    if (ret_row->state != COFFER_KEY_PENDING_DELETION &&
        ret_row->state != COFFER_KEY_PENDING_REPLICA_DELETION) {
        return wrong_state(call, ret_row);
    }
    ret_row->state = ret_row->resume_state;
    ret_row->resume_state = COFFER_KEY_IS_DISABLED;
    ret_row->pending_window_days = 0;
    ret_row->deletion_ns = 0;
    return cof_kms_db_key_set(call->ks->db, ret_row, call->fault);
}
