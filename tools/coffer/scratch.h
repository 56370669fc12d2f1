/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/scratch.h - a store, a key store and a volume for a measurement, gone afterwards.
 */
#ifndef COF_TOOLS_COFFER_SCRATCH_H
#define COF_TOOLS_COFFER_SCRATCH_H

#include "session.h"
#include <coffer/keystore.h>

struct cli_scratch {
    const struct cof_tool_call *call;
    char store_path[PATH_MAX];
    char folder[PATH_MAX];       /* of the key store; removed with it */
    bool store_made;
    struct coffer_keystore *keys;
    struct coffer_key_provider provider;
    struct coffer_store *store;
    struct coffer_volume *volume;
};

/* Make a store at path, which must not be there, with one encrypted volume of size_bytes, and open
 * it. Reports its failures and returns an exit code; close after either outcome. */
int cli_scratch_open(struct cli_scratch *scratch, const struct cof_tool_call *call,
                     const char *path, uint64_t size_bytes);
void cli_scratch_close(struct cli_scratch *scratch);

#endif
