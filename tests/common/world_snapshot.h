/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_snapshot.h - a world's snapshots, volumes made of them, and changes of keys.
 *
 * As in world.h, each call does the operation, tells the model, and returns the engine's error.
 * Calls that ask something (diff, info, list) judge the answer against the model; they want nothing
 * in flight, and no operation that failed since the last look.
 */
#ifndef TESTS_COMMON_WORLD_SNAPSHOT_H
#define TESTS_COMMON_WORLD_SNAPSHOT_H

#include "common/model_snapshot.h"
#include "common/world.h"

#define WORLD_OWN_KEY (-1)

/* "VOLUME@SNAPSHOT" in two. */
struct world_halves {
    char volume[32];
    const char *name;
};

/* The options that name a snapshot; halves and the model must outlive them. */
void world_snapshot_opts(const struct world *world, unsigned snapshot, struct world_halves *halves,
                         struct coffer_snapshot_opts *opts);

/* "VOLUME@sLABEL" of an open volume; requests may be in flight. Where that name is taken, EXISTS is
 * what it must say; that returns 0 and gives MODEL_NONE. */
int world_snapshot_create(struct world *world, unsigned volume, unsigned label,
                          unsigned *ret_snapshot);
/* Read it, so that the model knows what it has of requests that were in flight. */
int world_snapshot_settle(struct world *world, unsigned snapshot);
int world_snapshot_delete(struct world *world, unsigned snapshot);
/* A volume of the snapshot, not opened; key: of the fake key service, or the snapshot's own. */
int world_snapshot_restore(struct world *world, unsigned snapshot, int key, unsigned *ret_volume);

/* Checkpoint, then ask which pages of `to` are not those of `from`: exactly those must be told. */
int world_snapshot_diff(struct world *world, unsigned from, unsigned to);
/* Checkpoint, then ask for all snapshots, and for each by name: names, sizes, relations, keys, and
 * how many pages it holds, alone and in all. */
int world_snapshots_check(struct world *world);

/* Put a volume that is not open (or, where that is gone, a snapshot) and its snapshots under a key.
 * When that succeeded, the old one must open none of them. */
int world_rekey(struct world *world, unsigned volume, int key, enum coffer_rekey_depth depth);
/* Deep re-encryption of the node's family. Begin: all of it is closed, unless it goes on. Steps: at
 * its end no table may have an old data key. Finish: whatever is begun, to its end. */
int world_reencrypt_begin(struct world *world, unsigned node);
int world_reencrypt_steps(struct world *world, unsigned steps, bool *ret_over);
int world_reencrypt_finish(struct world *world);
/* Whether the node's family has one that was begun and is not over. */
int world_reencrypt_look(struct world *world, unsigned node, bool *ret_begun);
/* Whether one is under way in this process. */
bool world_reencrypt_runs(const struct world *world);
/* Bit k: the key k alone opens it. Only such keys are tried as it has had since the last rebase. */
int world_keys_opening(struct world *world, unsigned node, unsigned *ret_keys);
/* Only this key of the service can be used. */
void world_keys_only(struct world *world, unsigned key);
/* All can; with options.spare_keys only those that something needs. */
void world_keys_needed(struct world *world);
/* Let another key open a snapshot, or no longer: then it opens that, or nothing, of the family.
 * Nothing of it may be open. */
int world_recipient_set(struct world *world, unsigned snapshot, unsigned key, bool add);

#endif
