/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_engine.h - who the engine is at a key service elsewhere: a file of credentials, which
 * may be replaced at any time, and whom grants name. One thread but for the reading of the file.
 */
#ifndef COF_TOOLS_COMMON_KMS_ENGINE_H
#define COF_TOOLS_COMMON_KMS_ENGINE_H

#include <coffer/kms_client.h>
#include <stdbool.h>

struct cof_tool_engine {
    const char *credentials; /* path; outlives the client */
    const char *as;          /* an ARN, or NULL           */
};

/*
 * A coffer_kms_credentials_fn; ctx is the path of a file of mode 0600 in the form that
 * `cofferkms access-key create` and `cofferkms token assume-role` write (and AWS's
 * credential_process prints).
 */
int cof_tool_engine_read(void *ctx, struct coffer_kms_credentials *ret_credentials);

/* user/NAME, role/NAME, NAME (of kind: "user/"), root, 12 digits, or an ARN: as an ARN. False when
 * that needs an account, which may be NULL, or has no room. */
bool cof_tool_principal(const char *text, const char *kind, const char *account,
                        char ret_arn[COFFER_PRINCIPAL_BYTES_MAX]);

#endif
