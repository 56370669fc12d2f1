/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/key_usage.h - what in a store needs a master key, and the guard of the verbs that take a
 * key away.
 *
 * A volume or snapshot needs the key that wraps its volume key, which stands in clear: no key is
 * asked for but to show names. A store that can't be read, as another process writes to it, is no
 * store without users: the guard refuses.
 *
 * Functions report their own failures and return an exit code. One thread.
 */
#ifndef COF_TOOLS_COMMON_KEY_USAGE_H
#define COF_TOOLS_COMMON_KEY_USAGE_H

#include "args.h"
#include <coffer/coffer.h>
#include <jansson.h>

#define COF_GUARD_NAMES "check-store force dry-run"
#define COF_GUARD_ROWS                                                                             \
    {"check-store", COF_TOOL_LIST, "STORE",                                                        \
     "refuse while a volume or snapshot of the store needs the key; may be given more than once"}, \
    {"force", COF_TOOL_FLAG, NULL, "go on although the key is needed"},                            \
    {"dry-run", COF_TOOL_FLAG, NULL, "show what would be done, and what would stop"}

/* Append an object for each volume and snapshot of the open store under the key, an ARN, to uses.
 * provider: for names; NULL: none are shown. A library error. */
COFFER_MUST_CHECK int cof_tool_key_uses(struct coffer_store *store, const char *path,
                                        const char *key_arn,
                                        const struct coffer_key_provider *provider, json_t *uses,
                                        struct coffer_fault *fault);

/* What is to be known before a key is taken away: what becomes of those who need it, and when. */
struct cof_tool_guard {
    const char *action;
    const char *effect;
    unsigned lost_after_days; /* 0: it can be given back at any time */
};

/* As the options say, before the key is taken away: 0 to go on. *ret_over: the verb was a dry run,
 * and has been shown (key_guard.c). */
int cof_tool_guard_key(const struct cof_tool_call *call, const char *key_arn,
                       const struct cof_tool_guard *guard, bool *ret_over);

#endif
