/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pins.h - what the command line remembers of each volume and snapshot, to know it again.
 *
 * The file is JSON of mode 0600 at COFFER_PINS, or $XDG_DATA_HOME/coffer/pins.json, or
 * ~/.local/share/coffer/pins.json. Every change is made under a lock on a file beside it and by
 * replacing it whole, so that readers need no lock. A file that others could have written, or that
 * is damaged, is refused: it would be no proof. docs/decisions/0010 says why it is kept.
 *
 * Functions report their own failures and return an exit code. One thread.
 */
#ifndef COF_TOOLS_COFFER_PINS_H
#define COF_TOOLS_COFFER_PINS_H

#include "address.h"
#include "common/args.h"
#include <coffer/coffer.h>
#include <stdbool.h>

#define CLI_UUID_TEXT_BYTES 37

struct cli_pin {
    struct coffer_uuid store_uuid;
    char volume[CLI_NAME_BYTES_MAX]; /* VOLUME or VOLUME@SNAPSHOT */
    struct coffer_uuid volume_uuid;
    bool encrypted;
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];  /* empty for a plain volume                        */
    char next_arn[COFFER_KEY_ARN_BYTES_MAX]; /* a rekey to it was begun: as good; empty: none   */
    char *path;                              /* of the store when it was pinned; put copies it  */
};

/* The pin of the volume called name. When the store is not known but another store was pinned at
 * path with a volume of that name, *ret_other is set: the store at path has been replaced. path is
 * resolved first. Nothing in ret_pin must be freed; its path is NULL. */
int cli_pins_find(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                  const char *name, const char *path, struct cli_pin *ret_pin, bool *ret_found,
                  bool *ret_other);

/* Add pin, or replace the one of the same store and name. */
int cli_pins_put(const struct cof_tool_call *call, const struct cli_pin *pin);
/* The volume called name and its snapshots are about to go over to the key next_arn: until each is
 * next opened, the one key is as good as the other. So a rekey that is killed raises no alarm. */
int cli_pins_expect_key(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                        const char *name, const char *next_arn);
/* Remove the pin of a volume; no pin is no failure. */
int cli_pins_remove(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                    const char *name);
/* A new store stands at path: forget that another one was seen there. Its pins stay. */
int cli_pins_forget_path(const struct cof_tool_call *call, const char *path);

const char *cli_uuid_text(const struct coffer_uuid *uuid, char text[CLI_UUID_TEXT_BYTES]);

#endif
