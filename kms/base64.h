/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/base64.h - RFC 4648: with padding, in one line, and one spelling for each value. Any thread.
 */
#ifndef COF_KMS_BASE64_H
#define COF_KMS_BASE64_H

#include "seal.h"

/* What count bytes take, with the NUL. */
#define COF_KMS_BASE64_ROOM(count) (((count) + 2) / 3 * 4 + 1)

/* Ends with a NUL; returns the characters before it. */
size_t cof_kms_base64_encode(struct cof_kms_bytes bytes, char *ret_text);
/* INVALID for whatever encode doesn't write; ret_bytes has room for 3/4 of length. */
COFFER_MUST_CHECK int cof_kms_base64_decode(const char *text, size_t length, uint8_t *ret_bytes,
                                            size_t *ret_count);

#endif
