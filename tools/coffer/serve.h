/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/serve.h - the command line of nbdkit, as `coffer serve` makes it.
 */
#ifndef COF_TOOLS_COFFER_SERVE_H
#define COF_TOOLS_COFFER_SERVE_H

#include "address.h"
#include "common/args.h"

#define CLI_SERVE_WORDS_MAX 64u
#define CLI_SERVE_AT_BYTES 512u

struct cli_serve {
    struct cof_tool_call *call;
    struct cli_address address;
    char *words[CLI_SERVE_WORDS_MAX]; /* NULL behind the last one */
    unsigned word_count;
    int exit_code;               /* 0 until something failed, which has been reported */
    char at[CLI_SERVE_AT_BYTES]; /* NBD URI of what is served */
};

/* Add one word, unless something has failed. */
void cli_serve_add(struct cli_serve *serve, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Add where to listen and by which certificates, and set `at`. Without TLS only a unix socket and
 * this machine's own addresses will do, unless --insecure says otherwise. A socket that a killed
 * server left is removed; one that somebody listens on is not.
 */
void cli_serve_listen(struct cli_serve *serve);

#endif
