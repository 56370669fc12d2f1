/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/anchor_file.h - the anchor file itself: reading it, finding a store, replacing it.
 *
 * Functions return 0 or an enum coffer_error and leave the reason in the anchor.
 */
#ifndef COF_TOOLS_COFFER_ANCHOR_FILE_H
#define COF_TOOLS_COFFER_ANCHOR_FILE_H

#include "anchor.h"

/* What a path is written as, in ASCII; empty when it can't be resolved. */
#define CLI_ANCHOR_PATH_BYTES (3 * PATH_MAX + 1)
void cli_anchor_path_text(const char *path, char text[CLI_ANCHOR_PATH_BYTES]);

/* The array of entries, sound; an empty one when there is no file. */
COFFER_MUST_CHECK int cli_anchor_load(struct cli_anchor *anchor, json_t **ret_stores);
/* Load under the lock, let change edit the array, and replace the file. */
COFFER_MUST_CHECK int cli_anchor_change(struct cli_anchor *anchor,
                                        int (*change)(struct cli_anchor *anchor, json_t *stores,
                                                      void *ctx),
                                        void *ctx);
/* The entry of a store; NULL when there is none. */
json_t *cli_anchor_entry(const json_t *stores, const struct coffer_uuid *uuid);
/* Between the entry and the engine's struct. */
json_t *cli_anchor_encode(const struct coffer_anchor_state *state, const char *path);
COFFER_MUST_CHECK int cli_anchor_decode(struct cli_anchor *anchor, const json_t *entry,
                                        struct coffer_anchor_state *ret_state);

/* Note the first failure, with words or with errno. Returns error. */
int cli_anchor_fault(struct cli_anchor *anchor, int error, const char *why);
int cli_anchor_fault_errno(struct cli_anchor *anchor);

#endif
