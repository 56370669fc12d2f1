/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/secret_file.h - credentials into a file that nobody else may read, instead of onto
 * standard output.
 *
 * The file is made before the secret is, so that none is lost for want of one. It has the form of a
 * credential_process of the AWS tools.
 */
#ifndef COF_TOOLS_COFFERKMS_SECRET_FILE_H
#define COF_TOOLS_COFFERKMS_SECRET_FILE_H

#include "common/args.h"
#include <jansson.h>

/* Make the file of --output-file, new and of mode 0600; *ret_fd stays -1 when path is NULL. Returns
 * an exit code. */
int cof_key_secret_open(const struct cof_tool_call *call, const char *path, int *ret_fd);

/* Write the credentials in value and close; out of value the secrets go. exit_code of what went
 * before: not 0 removes the file. Returns an exit code. */
int cof_key_secret_close(const struct cof_tool_call *call, const char *path, int fd, json_t *value,
                         int exit_code);

#endif
