/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/address.h - STORE:VOLUME, and where STORE comes from when it is left out.
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

struct cli_address {
    char store[PATH_MAX];
    char volume[COFFER_NAME_BYTES_MAX]; /* empty for a store's address */
};

/* Both return 0 or the exit code of the usage error that they have reported. */
int cli_address_volume(const struct cof_tool_call *call, const char *word,
                       struct cli_address *ret_address);
/* word may be NULL: then --store or COFFER_STORE must name the store. */
int cli_address_store(const struct cof_tool_call *call, const char *word,
                      struct cli_address *ret_address);

#endif
