/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/testhook.c - storage of the test hooks; empty in the installed library.
 */
#include "base/testhook.h"

#ifdef COF_TEST_HOOKS
enum cof_test_cipher cof_test_cipher = COF_TEST_CIPHER_AUTO;
enum cof_break cof_test_break = COF_BREAK_NONE;
void (*cof_test_on_seal)(const uint8_t key[32], const uint8_t nonce[12]) = 0;
#else
typedef int cof_testhook_unused;
#endif
