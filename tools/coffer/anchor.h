/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/anchor.h - the rollback anchor of the command line: a file on another medium.
 *
 * --anchor FILE or COFFER_ANCHOR names it; FILE may hold many stores. An entry is what the engine
 * puts (struct coffer_anchor_state) and where the store was: another store at that path is refused,
 * since an older copy under a new uuid would be bound as if nobody had seen it. The file is JSON of
 * mode 0600 with a sum over its entries; one that is damaged, or that others could have written, is
 * refused and never taken for one that knows nothing. docs/decisions/0011 has the reasons.
 *
 * The engine calls get and put under its lock, so these report nothing: they leave what went wrong
 * in the struct, and cli_anchor_report says it once the engine's call has come back. One thread.
 */
#ifndef COF_TOOLS_COFFER_ANCHOR_H
#define COF_TOOLS_COFFER_ANCHOR_H

#include "common/args.h"
#include <coffer/coffer.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

struct cli_anchor {
    const struct cof_tool_call *call;
    const char *file; /* NULL: no anchor */
    const char *store_path;
    bool accept; /* --accept-rollback                              */
    bool known;  /* state is what the file holds                   */
    bool noted;  /* an accepted rollback, or an unknown store      */
    struct coffer_anchor_state state;
    int error, os_errno; /* of the first get or put that failed    */
    char why[160];       /* set unless os_errno says it            */
};

/* Read the options; touches no file. store_path must outlive the anchor. Exit code. */
int cli_anchor_begin(struct cli_anchor *anchor, const struct cof_tool_call *call,
                     const char *store_path);
/* Whether the file can be read and believed. Exit code. */
int cli_anchor_probe(struct cli_anchor *anchor);
/* Give the engine the anchor, and leave to take a rollback, as the options say. */
void cli_anchor_use(struct cli_anchor *anchor, struct coffer_store_opts *opts,
                    struct coffer_env *env);
/* After an open for reading only, which binds nothing: say so where the store is not known. */
void cli_anchor_opened(struct cli_anchor *anchor);
/* A new store stands at the path: forget that another one was anchored there. Exit code. */
int cli_anchor_forget_path(struct cli_anchor *anchor);
/* Report anchor->error. Exit code. */
int cli_anchor_report(const struct cli_anchor *anchor, const char *what);
/* The entry as `store describe` shows it; null without an anchor. */
json_t *cli_anchor_describe(const struct cli_anchor *anchor);

#endif
