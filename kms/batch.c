/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/batch.c - batches of calls: opened, joined, committed, abandoned; batch.h has the rules.
 *
 * Any thread. A call that waits does so on a semaphore of its own, which whoever commits posts: no
 * herd wakes for the lock.
 */
#include "batch.h"

#include "kms.h"
#include "secret.h"
#include "testhook.h"
#include "token_key.h"

#include <errno.h>

#define EARLY_CALLS 8u /* of a batch, by the test hook */

void cof_kms_batch_init(struct cof_kms_batch *batch)
{
    batch->last = &batch->first;
}

/* ---- its end ----------------------------------------------------------------------------- */

/* Tell who waits. A call is its thread's again from its post on. */
static void settle_all(struct cof_kms_batch *batch, int error, const struct coffer_fault *fault)
{
    struct cof_kms_call *call = batch->first, *next;

    batch->first = NULL;
    batch->last = &batch->first;
    batch->count = 0;
    for (; call != NULL; call = next) {
        next = call->next;
        /* What went wrong first is what the caller hears of. */
        if (error != 0 && call->error >= 0) {
            call->error = error;
            *call->fault = *fault;
        }
        (void)sem_post(&call->settled);
    }
}

void cof_kms_batch_abandon(struct coffer_keystore *ks, int error, const struct coffer_fault *fault)
{
    if (ks->batch.open) {
        cof_kms_db_rollback(ks->db);
        ks->batch.open = false;
        if (error != 0) {
            ks->batch.failed = ks->batch.number;
            /* One may have been opened by a row that never came to be. */
            cof_kms_token_forget(ks, NULL);
        }
        settle_all(&ks->batch, error, fault);
    }
}

int cof_kms_batch_commit(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    struct coffer_fault own;
    int error;

    if (!ks->batch.open) {
        return 0;
    }
    cof_kms_fault_clear(&own);
    error = cof_kms_db_commit(ks->db, &own);
    if (error != 0) {
        cof_kms_batch_abandon(ks, error, &own);
        return cof_kms_fault(fault, error, "%s", own.detail);
    }
    ks->batch.open = false;
    settle_all(&ks->batch, 0, NULL);
    return 0;
}

/* Before the lock is given up: the last one commits. Whoever waits is told how that went. */
static void commit_if_last(struct coffer_keystore *ks)
{
    unsigned coming = atomic_load(&ks->batch.coming);

    if (ks->batch.open && (coming == 0 || ks->batch.count >= COF_KMS_BATCH_CALLS_MAX)) {
        (void)!cof_kms_batch_commit(ks, NULL);
    }
}

/* ---- its beginning ----------------------------------------------------------------------- */

void cof_kms_batch_announce(struct coffer_keystore *ks)
{
    (void)atomic_fetch_add(&ks->batch.coming, 1u);
}

static void arrive(struct coffer_keystore *ks)
{
    (void)pthread_mutex_lock(&ks->lock);
    (void)atomic_fetch_sub(&ks->batch.coming, 1u);
}

void cof_kms_batch_withdraw(struct coffer_keystore *ks)
{
    arrive(ks);
    commit_if_last(ks);
    (void)pthread_mutex_unlock(&ks->lock);
}

int cof_kms_batch_open(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    int error = ks->batch.open ? 0 : cof_kms_db_begin(ks->db, true, fault);

    if (error == 0 && !ks->batch.open) {
        ks->batch.open = true;
        ks->batch.caught_up = false;
        ks->batch.number++;
    }
    return error;
}

/* A savepoint in a batch, for a call that rests on nothing that failed. */
static int begin(struct cof_kms_call *call)
{
    struct coffer_keystore *ks = call->ks;
    int error = 0;

    if (ks->read_only) {
        return cof_kms_db_begin(ks->db, false, call->fault);
    }
    if (call->caller.seen_batch != 0 && call->caller.seen_batch <= ks->batch.failed) {
        return cof_kms_fault(call->fault, COFFER_E_IO,
                             "the key store could not be written: try again");
    }
    if (call->alone) {
        /* Those who wait for it are told; this call's own commit is another matter. */
        (void)!cof_kms_batch_commit(ks, NULL);
    }
    error = cof_kms_batch_open(ks, call->fault);
    if (error == 0 && !ks->batch.caught_up) {
        error = cof_kms_call_catch_up(call);
    }
    if (error == 0) {
        error = cof_kms_db_mark(ks->db, call->fault);
        if (error != 0 && cof_kms_db_is_lost(ks->db)) {
            cof_kms_batch_abandon(ks, error, call->fault);
        }
    }
    return error;
}

int cof_kms_batch_enter(struct cof_kms_call *call)
{
    int error;

    arrive(call->ks);
    error = begin(call);
    if (error != 0) {
        commit_if_last(call->ks);
        (void)pthread_mutex_unlock(&call->ks->lock);
    }
    call->holds = error == 0;
    return error;
}

/* ---- one call's end ---------------------------------------------------------------------- */

static void add(struct cof_kms_batch *batch, struct cof_kms_call *call)
{
    (void)sem_init(&call->settled, 0, 0);
    call->next = NULL;
    *batch->last = call;
    batch->last = &call->next;
    batch->count++;
}

static void wait_for(struct cof_kms_call *call)
{
    while (sem_wait(&call->settled) != 0 && errno == EINTR) {
    }
    (void)sem_destroy(&call->settled);
}

void cof_kms_batch_finish(struct cof_kms_call *call, bool joins)
{
    struct coffer_keystore *ks = call->ks;

    if (joins && COF_KMS_BROKEN(EARLY_ANSWER) && !call->alone) {
        /* The answer leaves, and some later call's commit may make it true. */
        if (++ks->batch.count >= EARLY_CALLS) {
            (void)!cof_kms_batch_commit(ks, NULL);
        }
        cof_kms_call_leave(call);
        return;
    }
    if (joins) {
        add(&ks->batch, call);
    }
    if (call->alone) {
        (void)!cof_kms_batch_commit(ks, NULL);
    } else {
        commit_if_last(ks);
        cof_kms_call_leave(call);
    }
    if (joins) {
        wait_for(call);
    }
}

/* ---- without a call ---------------------------------------------------------------------- */

int cof_kms_batch_look(struct coffer_keystore *ks, uint64_t *ret_seen)
{
    int error;

    if (ks->secrets->canary != COF_KMS_CANARY) {
        return COFFER_E_FORKED;
    }
    (void)pthread_mutex_lock(&ks->lock);
    error = ks->batch.open ? 0 : cof_kms_db_begin(ks->db, false, NULL);
    if (error != 0) {
        (void)pthread_mutex_unlock(&ks->lock);
        return error;
    }
    *ret_seen = ks->batch.open ? ks->batch.number : 0;
    return 0;
}

void cof_kms_batch_look_away(struct coffer_keystore *ks)
{
    if (!ks->batch.open) {
        cof_kms_db_rollback(ks->db);
    }
    (void)pthread_mutex_unlock(&ks->lock);
}
