/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pins_file.h - the pin file itself: where it is, reading it, replacing it under a lock.
 */
#ifndef COF_TOOLS_COFFER_PINS_FILE_H
#define COF_TOOLS_COFFER_PINS_FILE_H

#include "common/args.h"
#include <jansson.h>
#include <stdbool.h>

/* The file's document, with an array at "pins"; an empty one when there is no file. */
int cli_pins_load(const struct cof_tool_call *call, json_t **ret_file);

/* Load, let change edit the array (0, or -1 for no memory), and replace the file when the array
 * differs. create: make the file when it is not there; else nothing is done then. */
int cli_pins_change(const struct cof_tool_call *call, bool create,
                    int (*change)(json_t *entries, void *ctx), void *ctx);

/* Report that the file can't be trusted; exit code 4. */
int cli_pins_complain(const struct cof_tool_call *call, const char *why);

#endif
