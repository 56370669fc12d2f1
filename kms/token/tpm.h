/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/tpm.h - 32 bytes sealed by a TPM 2.0, in a file that is of no use without it.
 *
 *   tpm2:PATH?auth-source=file:PATH&tcti=CONFIGURATION
 *
 * PATH is the file, auth-source a file whose bytes (1 to 32, one line end taken off) the TPM asks
 * for before it unseals, and whose wrong guesses it counts; tcti says how to reach the TPM, as
 * tpm2-tools do ("device:/dev/tpmrm0"), and may be left out.
 *
 *   file:  magic "CfTP" | format u8 (1) | TPM2B_PUBLIC | TPM2B_PRIVATE, as the TPM marshals them
 *
 * The parent is the owner hierarchy's primary of the fixed template in tpm.c, which the TPM derives
 * anew each time, so nothing is stored in it. Errors: KEY_UNREACHABLE (no TPM that answers),
 * PASSPHRASE (wrong auth value, or locked out), TAMPER (the file is not this TPM's), NOT_FOUND,
 * EXISTS, INVALID. One thread at a time.
 */
#ifndef COF_KMS_TOKEN_TPM_H
#define COF_KMS_TOKEN_TPM_H

#include "kms/env.h"

#include <stdbool.h>

#define COF_TPM_SECRET_BYTES 32u

bool cof_tpm_is_uri(const char *text);

/* Seal secret into the URI's file, which must not be there; durable on return. */
COFFER_MUST_CHECK int cof_tpm_make(const char *uri, const uint8_t secret[COF_TPM_SECRET_BYTES],
                                   struct coffer_fault *fault);
/* ret_secret: secret memory. */
COFFER_MUST_CHECK int cof_tpm_open(const char *uri, uint8_t ret_secret[COF_TPM_SECRET_BYTES],
                                   struct coffer_fault *fault);

#endif
