/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/extension/params.h - parameters of a database's URI as the options of a call, and what
 * such a call reports as a fault.
 */
#ifndef COF_TOOLS_SQLITE_EXTENSION_PARAMS_H
#define COF_TOOLS_SQLITE_EXTENSION_PARAMS_H

#include "common/args.h"
#include <coffer/coffer.h>

/* A call with the options that the URI of a file has as parameters, an underscore for a dash; uri
 * is what SQLite gave to xOpen, or NULL. NULL: no memory, or a usage error that was reported. */
struct cof_tool_call *cof_sqlite_params_new(const char *uri);
void cof_sqlite_params_free(struct cof_tool_call *call);

/* Between these, reports and notes of the toolkit are kept. End gives an exit code's fault, with
 * the first report as its sentence, and returns its error; a note without a failure is logged. */
void cof_sqlite_reports_begin(void);
int cof_sqlite_reports_end(int exit_code, struct coffer_fault *fault);

#endif
