/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/secret.h - the pages in which every key and every plaintext of the room lives.
 *
 * Pages are locked, left out of core dumps, zeroed in a forked child and fenced by guard pages
 * (coffer_keystore_secret_new in coffer/keystore.h). Thread-safe: no state is shared.
 */
#ifndef COF_KMS_SECRET_H
#define COF_KMS_SECRET_H

#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

/* As coffer_keystore_secret_new, but pages that can't be locked are taken unlocked: for the 64 MiB
 * of Argon2, which hold no key but from which a guess could be checked. */
COFFER_MUST_CHECK int cof_kms_scratch_new(size_t bytes, uint8_t **ret_memory);

/* Overwrite so that no compiler leaves it out. */
void cof_kms_wipe(void *memory, size_t bytes);

#endif
