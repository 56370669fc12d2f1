/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/rich_store.h - a small store that holds every structure of the format, for damage.
 *
 * Two encrypted volumes and a plain one. Of one a snapshot, with a recipient; of another a volume
 * with a tree of two levels, made of a snapshot that was deleted and stays, hidden. The store
 * crashed once, and one volume was not opened since, so its tail is of the session before. Behind
 * the checkpoint lies a log of which all but the last batches were flushed. rich_inventory.c has
 * the list, and holds the store against it. Copies (imported runs, verbatim entries, an entry of a
 * copy on its way, the list of lineages) are not in it: crash/flipbytes/copies.c has a store of its
 * own for them.
 */
#ifndef TESTS_COMMON_RICH_STORE_H
#define TESTS_COMMON_RICH_STORE_H

#include "common/disk_forge.h"
#include "common/world.h"

#define RICH_PAGES 48u /* of the first volume */

struct rich_store {
    struct world world; /* its model knows the truth; its store is closed */
    struct sim_image *image;
    struct forge_map map;
    uint64_t event;     /* for the oracles */
    unsigned volumes[3], snapshot, clone;
};

/* The log behind the checkpoint: a whole segment that its footer describes, and more; or within one
 * segment, many batches with a page each, of which every header counts. */
enum rich_tail { RICH_TAIL_FOOTER, RICH_TAIL_OPEN };

void rich_store_make(struct rich_store *rich, uint64_t seed, enum rich_tail tail);
/* Fails the case, and names it, when a structure of the format that this store is for is held
 * nowhere (rich_inventory.c has the list). Of a store with RICH_TAIL_FOOTER. */
void rich_store_require_all(const struct rich_store *rich);
void rich_store_done(struct rich_store *rich);

/* Open the image (a damaged clone) and look at all of it. Returns the error of opening the store,
 * which must be one that says damage, or 0; ret_refused counts what was refused. What can be read
 * must be right: not forged: a prefix of the log with all that was durable; forged: of each volume
 * alone a prefix. */
int rich_store_judge(const struct rich_store *rich, const struct sim_image *image, bool forged,
                     uint64_t incarnation, uint64_t *ret_refused);

#endif
