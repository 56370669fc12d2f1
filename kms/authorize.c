/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/authorize.c - whether a caller may do what it asks for: the one place where that is decided.
 *
 * Invariant: default deny. Under the store's lock.
 */
#include "kms.h"

#include <string.h>

int cof_kms_authorize(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                      const char *action)
{
    if (strcmp(call->caller.principal, call->ks->principal) == 0 &&
        (row == NULL || strcmp(row->owner.account, call->owner.account) == 0)) {
        return 0;
    }
    return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS, "%.80s may not do %s",
                         call->caller.principal, action);
}
