/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/secret.h - the pages in which every key and every plaintext of the room lives.
 *
 * Pages are locked, left out of core dumps, zeroed in a forked child and fenced by guard pages
 * (coffer_keystore_secret_new in coffer/keystore.h). Thread-safe: no state is shared but spares.
 */
#ifndef COF_KMS_SECRET_H
#define COF_KMS_SECRET_H

#include <coffer/error.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* As coffer_keystore_secret_new, but pages that can't be locked are taken unlocked: for the 64 MiB
 * of Argon2, which hold no key but from which a guess could be checked. */
COFFER_MUST_CHECK int cof_kms_scratch_new(size_t bytes, uint8_t **ret_memory);

/* Locked pages that are given back wiped and lie ready: mapping and locking new ones, and the flush
 * of other processors' tables when they go, cost more than what a call does with them. Each is of
 * COF_KMS_SPARE_BYTES. Any thread, without a lock; one that was zeroed is empty. */
#define COF_KMS_SPARE_BYTES 4096u
#define COF_KMS_SPARES_MAX 16u
struct cof_kms_spares {
    _Atomic(uint8_t *) all[COF_KMS_SPARES_MAX];
};

/* As coffer_keystore_secret_new. spares may be NULL. */
COFFER_MUST_CHECK int cof_kms_spare_take(struct cof_kms_spares *spares, uint8_t **ret_memory);
/* To where it was taken from. NULL memory is allowed. */
void cof_kms_spare_give(struct cof_kms_spares *spares, uint8_t *memory);
void cof_kms_spares_done(struct cof_kms_spares *spares);

/* Overwrite so that no compiler leaves it out. */
void cof_kms_wipe(void *memory, size_t bytes);

#endif
