/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/params.h - the plugin's parameters, which are options of the command line by the
 * same names: store=PATH volume=VOLUME[@SNAPSHOT] kms=URI root-key-file=FILE, and so on.
 *
 * They are kept as a struct cof_tool_call, so that opening, pins, anchor, keys and messages are
 * those of `coffer`. Used by one thread, before there are others.
 */
#ifndef COF_TOOLS_ATTACH_NBDKIT_PARAMS_H
#define COF_TOOLS_ATTACH_NBDKIT_PARAMS_H

#include "common/args.h"

/* For nbdkit's --help. */
extern const char plug_params_help[];

struct cof_tool_call *plug_params(void);

/* Take one KEY=VALUE: 0, or -1 with the reason reported. */
int plug_params_take(const char *key, const char *value);

/* The URI at which `coffer serve`, which started the server, says that it listens; NULL: somebody
 * else started it. Such a server does not fork: the store is opened before it listens, and what
 * goes wrong till then is reported as the verb's, with its exit codes. */
const char *plug_params_served_at(void);

#endif
