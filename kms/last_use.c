/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/last_use.c - what a key was last used for, and when: the audit trail's newest record of it.
 *
 * Nothing is written for this: each use is on the record already, committed with its call, and two
 * indexes find the newest one at once, however long the trail is. Under the store's lock.
 */
#include "verbs.h"

int cof_kms_get_key_last_usage(struct cof_kms_call *call, const char *key,
                               struct cof_kms_key_row *ret_row, struct cof_kms_audit_use *ret_use)
{
    int error = cof_kms_key_find(call, key, true, ret_row);

    if (error == 0) {
        error = cof_kms_authorize(call, ret_row, "kms:GetKeyLastUsage");
    }
    return error == 0 ? cof_kms_db_audit_last_use(call->ks->db, ret_row->arn, ret_use, call->fault)
                      : error;
}
