/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/testhook.c - storage of the test hooks; empty in the installed library.
 */
#include "testhook.h"

#ifdef COF_TEST_HOOKS
enum cof_kms_break cof_kms_test_break = COF_KMS_BREAK_NONE;
#else
typedef int cof_kms_testhook_unused;
#endif
