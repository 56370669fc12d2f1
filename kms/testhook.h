/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/testhook.h - ways to break the key service, for the test build alone.
 *
 * Compiled only with COF_TEST_HOOKS, which the installed library never has: there the macro is a
 * constant. Each harness must catch each break it is meant for.
 */
#ifndef COF_KMS_TESTHOOK_H
#define COF_KMS_TESTHOOK_H

enum cof_kms_break {
    COF_KMS_BREAK_NONE = 0,
    COF_KMS_BREAK_IGNORE_DENY, /* statements with Effect Deny don't apply        */
    COF_KMS_BREAK_LAZY_SYNC,   /* a commit is acknowledged before it is synced  */
    COF_KMS_BREAK_LAZY_LEDGER, /* so is what the ledger notes                   */
    COF_KMS_BREAK_LONG_TEXT,   /* a text of the ledger may be longer than its room */
    COF_KMS_BREAK_LATE_NOTE,   /* a restore is noted when it has been done      */
    COF_KMS_BREAK_EARLY_ANSWER, /* a call doesn't wait for its batch            */
    COF_KMS_BREAK_FAIL_COMMIT   /* no break: commits fail, as on a full disk     */
};

#ifdef COF_TEST_HOOKS
extern enum cof_kms_break cof_kms_test_break;
#define COF_KMS_BROKEN(what) (cof_kms_test_break == COF_KMS_BREAK_##what)
#else
#define COF_KMS_BROKEN(what) (0)
#endif

#endif
