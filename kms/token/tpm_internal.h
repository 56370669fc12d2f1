/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/tpm_internal.h - between tpm.c, which has the URI and the file, and tpm_seal.c, which
 * speaks to the TPM.
 */
#ifndef COF_KMS_TOKEN_TPM_INTERNAL_H
#define COF_KMS_TOKEN_TPM_INTERNAL_H

#include "kms/seal.h"
#include "tpm.h"

#define COF_TPM_AUTH_BYTES_MAX 32u
#define COF_TPM_SEALED_BYTES_MAX 1024u /* both halves, marshalled */

/* tcti NULL: the library's own choice. auth lies in secret memory. */
COFFER_MUST_CHECK int cof_tpm_seal(const char *tcti, struct cof_kms_bytes auth,
                                   const uint8_t secret[COF_TPM_SECRET_BYTES],
                                   uint8_t ret_sealed[COF_TPM_SEALED_BYTES_MAX],
                                   size_t *ret_sealed_bytes, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_tpm_unseal(const char *tcti, struct cof_kms_bytes auth,
                                     struct cof_kms_bytes sealed,
                                     uint8_t ret_secret[COF_TPM_SECRET_BYTES],
                                     struct coffer_fault *fault);

#endif
