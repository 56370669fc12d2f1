/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/ledger.h - the file beside the store that says what an older copy of the store must not undo.
 *
 *   header  magic "CfKL" | format u8 = 1 | store uuid (16) | mac (32)
 *   record  u32 length of the payload | kind u8 | payload | mac (32)
 *
 * mac(0) = HMAC(ledger key, text "coffer/kms/ledger/1" | uuid), and mac(n) = HMAC(ledger key,
 * mac(n-1) | length | kind | payload). A record is valid if and only if all its bytes are there and
 * its MAC fits. A last record that is cut off was never acknowledged: it is ignored, and
 * overwritten by the next. So is a last one that lost a sector to a power cut and has zeros there.
 * Any other record whose MAC doesn't fit is TAMPER.
 *
 *   kind 1  a key or material is destroyed:  text ARN | material id (32, zeros: the key) |
 *           text key id | u64 deleted_ns
 *   kind 2  material is back (imported again): text ARN | material id (32)
 *   kind 3  head of the audit trail: u64 records | mac (32); the one of most records counts
 *   kind 4  a copy is about to be put back, by its secret: the same as kind 3, of the copy. From
 *           here to the next kind 3 the trail may be the copy's or the one before: a crash decides
 *
 * Appending is durable on return. Several processes append under a lock of the file, each after
 * reading what the others wrote. Whoever puts back store and ledger together undoes both: the
 * ledger may lie elsewhere (coffer_keystore_opts.ledger_path).
 */
#ifndef COF_KMS_LEDGER_H
#define COF_KMS_LEDGER_H

#include "store.h"

struct cof_kms_ledger;

/* Open the ledger at path and read it. One that isn't there is empty, and is made when something is
 * noted. mac_key outlives the ledger. TAMPER, ACCESS, IO. */
COFFER_MUST_CHECK int cof_kms_ledger_open(struct cof_kms_env *env, const char *path,
                                          const uint8_t uuid[16], const uint8_t *mac_key,
                                          bool read_only, struct cof_kms_ledger **ret_ledger,
                                          struct coffer_fault *fault);
/* Whether there is a file. */
bool cof_kms_ledger_is_there(const struct cof_kms_ledger *ledger);
/* NULL is allowed. */
void cof_kms_ledger_close(struct cof_kms_ledger *ledger);

/* Note that a key, or material of one, is destroyed; nothing happens when it is noted already. */
COFFER_MUST_CHECK int cof_kms_ledger_bury(struct cof_kms_ledger *ledger,
                                          const struct cof_kms_tombstone_row *dead,
                                          struct coffer_fault *fault);
/* Note that material which was destroyed is back. */
COFFER_MUST_CHECK int cof_kms_ledger_raise(struct cof_kms_ledger *ledger, const char *arn,
                                           const uint8_t *material_id, struct coffer_fault *fault);
/* Note how far the audit trail goes; nothing happens when the ledger has it as far already. */
COFFER_MUST_CHECK int cof_kms_ledger_note_head(struct cof_kms_ledger *ledger,
                                               const struct cof_kms_audit_head *head,
                                               struct coffer_fault *fault);
/* Who has the store's secret puts a copy of it back, whose trail ends at head: before it gets the
 * store's path. */
COFFER_MUST_CHECK int cof_kms_ledger_note_restore(struct cof_kms_ledger *ledger,
                                                   const struct cof_kms_audit_head *head,
                                                   struct coffer_fault *fault);
/* The heads of which the audit trail must have one: one, unless a copy was put back last. They are
 * the ledger's. */
unsigned cof_kms_ledger_heads(const struct cof_kms_ledger *ledger,
                              const struct cof_kms_audit_head **ret_heads);

/* Whether the ledger has it among the dead. */
bool cof_kms_ledger_has(const struct cof_kms_ledger *ledger, const char *arn,
                        const uint8_t *material_id);
/* Each of the dead, until visit answers non-zero, which is returned. */
int cof_kms_ledger_each(const struct cof_kms_ledger *ledger,
                        int (*visit)(void *ctx, const struct cof_kms_tombstone_row *dead),
                        void *ctx);

#endif
