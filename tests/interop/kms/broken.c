/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broken.c - the negative control: a server that lets every state of a key through. The linker puts
 * this in the place of the rule (--wrap).
 */
#include "kms.h"

int __wrap_cof_kms_key_usable(struct cof_kms_call *call, const struct cof_kms_key_row *row);

int __wrap_cof_kms_key_usable(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    (void)call;
    (void)row;
    return 0;
}
