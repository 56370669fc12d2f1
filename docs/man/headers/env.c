/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_env.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/coffer.h>
#include <stdio.h>
#include <string.h>

static void log_line(void *ctx, enum coffer_log_level level, const char *line)
{
    if (level <= COFFER_LOG_WARN) {
        fprintf((FILE *)ctx, "coffer: %s\n", line);
    }
}

/* Heap, clocks and randomness stay the system's: only the log is ours. */
int open_logged(const char *path, struct coffer_store **ret_store, struct coffer_fault *fault)
{
    struct coffer_store_opts opts;
    struct coffer_env env;

    memset(&env, 0, sizeof env);
    env.size = sizeof env;
    env.ctx = stderr;
    env.log = log_line;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.path = path;
    opts.env = &env; /* copied */
    return coffer_store_open(&opts, ret_store, fault);
}
