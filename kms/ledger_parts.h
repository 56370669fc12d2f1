/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/ledger_parts.h - what ledger.c and ledger_read.c share.
 */
#ifndef COF_KMS_LEDGER_PARTS_H
#define COF_KMS_LEDGER_PARTS_H

#include "ledger.h"
#include "pack.h"

#include <sys/types.h>

#define COF_LEDGER_RECORD_OVERHEAD_BYTES (4u + 1u + COF_KMS_MAC_BYTES)
#define COF_LEDGER_PAYLOAD_BYTES_MAX 512u
#define COF_LEDGER_FILE_BYTES_MAX (1ll << 30)
#define COF_LEDGER_HEADS_MAX 8u /* restores in a row that a crash may have cut short, and one */

enum cof_ledger_kind { COF_LEDGER_DEAD = 1, COF_LEDGER_BACK, COF_LEDGER_HEAD, COF_LEDGER_RESTORE };

struct cof_kms_ledger {
    struct cof_kms_env *env;
    const uint8_t *key;
    bool read_only;
    int fd; /* -1: there is no file yet */
    off_t offset;
    uint8_t mac[COF_KMS_MAC_BYTES];
    uint8_t uuid[16];
    struct cof_kms_tombstone_row *dead;
    size_t dead_count, dead_room;
    struct cof_kms_audit_head heads[COF_LEDGER_HEADS_MAX]; /* the newest last */
    unsigned head_count;
    char path[1100];
};

/* An error for errno, and for bytes that aren't ours. */
int cof_ledger_io_fail(const struct cof_kms_ledger *ledger, struct coffer_fault *fault);
int cof_ledger_altered(const struct cof_kms_ledger *ledger, struct coffer_fault *fault);

/* The MAC of a record whose first bytes (length, kind, payload) are given. */
COFFER_MUST_CHECK int cof_ledger_chain(const struct cof_kms_ledger *ledger,
                                       struct cof_kms_bytes record,
                                       uint8_t ret_mac[COF_KMS_MAC_BYTES]);
/* count bytes at offset; -1 and errno when they can't be had. */
int cof_ledger_read_all(const struct cof_kms_ledger *ledger, uint8_t *bytes, size_t count);
/* Read what is behind offset: what this process has not seen. */
COFFER_MUST_CHECK int cof_ledger_catch_up(struct cof_kms_ledger *ledger,
                                          struct coffer_fault *fault);

#endif
