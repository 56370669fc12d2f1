/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/snapshots/story.h - one random history of snapshots, and the parts that make its steps.
 */
#ifndef TESTS_MODEL_SNAPSHOTS_STORY_H
#define TESTS_MODEL_SNAPSHOTS_STORY_H

#include "common/world_snapshot.h"

#define STORY_VOLUMES_MAX 6u
#define STORY_SNAPSHOTS_MAX 14u
#define STORY_SLOTS_MAX (MODEL_VOLUMES_MAX - 4u) /* then what is gone must be forgotten */
#define STORY_LABELS 8u

struct story {
    struct world world;
    struct prng prng;
    uint32_t pages_max; /* of a volume: one leaf of its tree, or several */
    char dead_name[32]; /* of a deleted volume; empty: none */
};

struct story_counts {
    uint64_t steps, losses, reopens, checks, full, snapshots, mixed, taken, clones, resealed,
        deleted, hidden, volumes_deleted, rekeys, reencrypts, reencrypted, recipients, diffs, lists,
        refused;
};

extern struct story_counts story_counts;

enum story_node { STORY_OPEN_VOLUME, STORY_VOLUME, STORY_SNAPSHOT, STORY_NODE };

static inline uint32_t story_pick(struct story *story, uint32_t bound)
{
    return prng_below(&story->prng, bound);
}

/* Any of the kind, or MODEL_NONE; kin: of this one's family only, unless that is MODEL_NONE. */
unsigned story_any(struct story *story, enum story_node kind, unsigned kin);
/* A volume's first size. */
uint32_t story_size(struct story *story);
unsigned story_count(const struct story *story, enum story_node kind);

/* ---- changes.c ---- */

/* Wait for what is in flight. */
void story_drain(struct story *story);
/* A full store is no failure, but what happened is unknown then: settle it. */
void story_settle(struct story *story, int error);
/* Close, open, look at all, judge, and go on from there. */
void story_reopen(struct story *story);
void story_close_volumes(struct story *story);

void story_write(struct story *story);
void story_discard(struct story *story);
void story_burst(struct story *story);
void story_flush(struct story *story);
void story_resize(struct story *story);
void story_checkpoint(struct story *story);
void story_time(struct story *story);
void story_lose(struct story *story);

/* ---- kin.c ---- */

void story_new_volume(struct story *story);
void story_delete_volume(struct story *story);
void story_snapshot(struct story *story);
void story_restore(struct story *story);
void story_delete_snapshot(struct story *story);
void story_look(struct story *story);
void story_diff(struct story *story);
void story_list(struct story *story);
void story_rekey(struct story *story);
void story_reencrypt(struct story *story);
void story_recipient(struct story *story);
/* What must be refused, and change nothing. */
void story_refused(struct story *story);
/* Delete all there is, in any order: a store that keeps nothing. */
void story_delete_all(struct story *story);

#endif
