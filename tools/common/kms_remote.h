/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_remote.h - a key service over HTTP, from its URI and the environment.
 *
 *   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN   who calls
 *   --region, AWS_REGION, AWS_DEFAULT_REGION                      where; else what the host says
 *   --kms-ca-file, COFFER_KMS_CA_FILE                             whose certificates are believed
 *   COFFER_KMS_TLS                                                1.2: TLS 1.2 will do, too
 *   COFFER_KMS_PROXY                                              1: by https_proxy and no_proxy
 *
 * The secrets are moved into locked memory at the first use and wiped from the environment, so that
 * no child of the program inherits them. One thread.
 */
#ifndef COF_TOOLS_COMMON_KMS_REMOTE_H
#define COF_TOOLS_COMMON_KMS_REMOTE_H

#include "args.h"
#include "kms_engine.h"
#include <coffer/kms_client.h>

/* Whether a URI of --kms names a service that is asked over HTTP: https:, http:, unix:. */
bool cof_tool_kms_is_remote(const char *uri);

/* region and ca_file: of the command line, or NULL. engine: who calls, where that is not who the
 * environment says; NULL otherwise. */
int cof_tool_kms_connect(const char *uri, const char *region, const char *ca_file,
                         const struct cof_tool_engine *engine,
                         struct coffer_kms_client **ret_client, struct coffer_fault *fault);

#endif
