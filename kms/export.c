/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/export.c - the record that plaintext leaves what a key protects.
 *
 * Who gives contents out does so by itself, with a key that Decrypt gave it; this is how it says so
 * beforehand. It is a record and nothing else: no key is used. Any thread.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

/* An ARN of a key of another account than the caller's. */
static bool is_foreign(const struct cof_kms_call *call, const char *key)
{
    char account[13] = "";

    return sscanf(key, "arn:%*[^:]:kms:%*[^:]:%12[0-9]:key/", account) == 1 &&
           strcmp(account, call->owner.account) != 0;
}

int cof_kms_export_plaintext(struct cof_kms_call *call, const char *key,
                             const struct coffer_context *context)
{
    struct cof_kms_key_row row;
    int error = cof_kms_call_context(call, 0, context);

    if (error == 0) {
        error = cof_kms_key_find(call, key, false, &row);
    }
    /* Whether another account has such a key is no business of the caller's. */
    if (error == COFFER_E_KEY_NOT_FOUND && is_foreign(call, key)) {
        (void)snprintf(call->arn, sizeof(call->arn), "%s", key);
        cof_kms_fault_clear(call->fault);
        error = 0;
    }
    return error;
}

int coffer_keystore_export_plaintext(struct coffer_keystore *store, const char *key,
                                     const struct coffer_context *context,
                                     struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error;

    if (store == NULL || key == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ExportPlaintext", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_export_plaintext(&call, key, context));
    cof_kms_call_leave(&call);
    return error;
}
