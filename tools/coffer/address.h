/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/address.h - STORE:VOLUME[@SNAPSHOT], and where STORE comes from when it is left out.
 *
 * The last colon divides, so that a path may contain colons. Without a colon the word is a volume
 * of the store that --store or COFFER_STORE names; a word with a slash in it is a path, and then
 * the volume is missing. An operand that is a STORE is taken whole. One thread, no I/O.
 */
#ifndef COF_TOOLS_COFFER_ADDRESS_H
#define COF_TOOLS_COFFER_ADDRESS_H

#include "common/args.h"
#include <coffer/coffer.h>
#include <limits.h>
#include <stdbool.h>

#define CLI_NAME_BYTES_MAX (2 * COFFER_NAME_BYTES_MAX) /* "VOLUME@SNAPSHOT" with its NUL */

struct cli_address {
    char store[PATH_MAX];
    char volume[COFFER_NAME_BYTES_MAX];   /* empty for a store's address                  */
    char snapshot[COFFER_NAME_BYTES_MAX]; /* empty for a volume's                         */
    char name[CLI_NAME_BYTES_MAX];        /* VOLUME or VOLUME@SNAPSHOT, as libcoffer takes it */
};

enum cli_what {
    CLI_STORE = 0,
    CLI_VOLUME,
    CLI_SNAPSHOT,
    CLI_VOLUME_OR_SNAPSHOT,
    CLI_ANY, /* the next one, or a snapshot */
    CLI_STORE_OR_VOLUME /* a word is a volume when a colon is in its last part, or when the store is
                         * known and it has no slash; "STORE:" is a store in any case */
};

/* These return 0 or the exit code of the usage error that they have reported. word may be NULL
 * where it can be a store: then --store or COFFER_STORE must name it. */
int cli_address_take(const struct cof_tool_call *call, enum cli_what what, const char *word,
                     struct cli_address *ret_address);
int cli_address_store(const struct cof_tool_call *call, const char *word,
                      struct cli_address *ret_address);

/* Let address name another snapshot of its volume, or with "" the volume. snapshot is a good name
 * or has come from one. */
void cli_address_aim(struct cli_address *address, const char *snapshot);

/* Whether both are in one store, whatever its path is called. */
bool cli_address_same_store(const struct cli_address *a, const struct cli_address *b);

#endif
