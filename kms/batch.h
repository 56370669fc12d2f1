/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/batch.h - group commit: calls that are at work at the same time share one commit.
 *
 * A batch is one SQLite transaction. Calls run in it one after the other, under the store's lock,
 * each within a savepoint; one that is done waits, without the lock, until the batch is committed.
 *
 * Whoever is about to take the lock for a call has said so before (announce). The batch is
 * committed by the last: by whoever gives up the lock, or takes his announcement back, when nobody
 * else is announced; or when COF_KMS_BATCH_CALLS_MAX calls are in it. So nobody waits for company
 * that isn't on its way, and there is no clock and no thread of its own.
 *
 * Invariants
 * - A batch is open only while a call or an announcement is under way.
 * - No answer leaves before the commit of its batch. When that fails, each call of it fails.
 * - A call that writes beside the transaction, into the ledger or the header in memory, is alone:
 *   the batch before it is committed first, and its own holds nothing else.
 * - What a call of a batch changed in memory and not in the file is either taken back by a failed
 *   commit (open tokens) or not changed before the commit (all else).
 * - A thread holds at most one announcement, and none while it waits or works for long: else the
 *   others wait for it.
 */
#ifndef COF_KMS_BATCH_H
#define COF_KMS_BATCH_H

#include <coffer/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define COF_KMS_BATCH_CALLS_MAX 64u

struct coffer_keystore;
struct cof_kms_call;

struct cof_kms_batch {
    atomic_uint coming; /* announced, and not under the lock yet */
    /* Under the store's lock: */
    bool open;      /* its transaction is; the number is its own, or the last one's */
    bool caught_up; /* what was due at its beginning has been done                  */
    uint64_t number;
    uint64_t failed; /* the last one that could not be committed; 0: none            */
    unsigned count;
    struct cof_kms_call *first, **last; /* those that wait for its end               */
};

void cof_kms_batch_init(struct cof_kms_batch *batch);

/* Without the lock. Taken back by enter, or by withdraw. */
void cof_kms_batch_announce(struct coffer_keystore *ks);
void cof_kms_batch_withdraw(struct coffer_keystore *ks);

/* Take the lock, and the announcement back; with the call's savepoint in an open batch, or with a
 * transaction that reads when the store does. On failure nothing is held. */
COFFER_MUST_CHECK int cof_kms_batch_enter(struct cof_kms_call *call);
/* The call is done; its work and record are in the batch when joins. Gives up the lock and returns
 * once the batch is durable, with the error of its commit in the call when it had none. */
void cof_kms_batch_finish(struct cof_kms_call *call, bool joins);

/* ---- under the lock ---------------------------------------------------------------------- */

/* Open one unless it is. BUSY. */
COFFER_MUST_CHECK int cof_kms_batch_open(struct coffer_keystore *ks, struct coffer_fault *fault);
/* Commit what is open, if any; those who wait for it are told. Durable on return. */
COFFER_MUST_CHECK int cof_kms_batch_commit(struct coffer_keystore *ks, struct coffer_fault *fault);
/* Undo what is open, if any; those who wait for it have failed with error. 0: nobody waits, and
 * nobody has seen anything of it. */
void cof_kms_batch_abandon(struct coffer_keystore *ks, int error, const struct coffer_fault *fault);

/* To read without a call: take the lock, and begin a transaction unless one is open. *ret_seen is
 * the number of the batch whose changes can be seen, or 0: a call that rests on what was read says
 * so (cof_kms_caller.seen_batch). */
COFFER_MUST_CHECK int cof_kms_batch_look(struct coffer_keystore *ks, uint64_t *ret_seen);
void cof_kms_batch_look_away(struct coffer_keystore *ks);

#endif
