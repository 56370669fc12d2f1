/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/rounds/rounds.h - one store that is filled and freed again and again: its state, its steps,
 * its counts.
 */
#ifndef TESTS_MODEL_ROUNDS_ROUNDS_H
#define TESTS_MODEL_ROUNDS_ROUNDS_H

#include "common/world_snapshot.h"

#define ROUNDS_VOLUMES 4u /* that are always there; clones beside them */
#define ROUNDS_CLONES_MAX 2u
#define ROUNDS_SNAPSHOTS_MAX 5u
#define ROUNDS_RUN_MAX 256u        /* pages of one write */
#define ROUNDS_REQUESTS_MAX 60000u /* of one call to the device: more is a call without end */
#define ROUNDS_ENTRIES_MAX 40u     /* blocks of metadata for each volume and snapshot */

struct rounds {
    struct world world;
    struct prng prng;
    uint64_t seed;
    uint32_t volume_pages;
    uint64_t capacity_bytes;
    uint32_t own_from[MODEL_VOLUMES_MAX]; /* what this operation and later ones wrote is shared with
                                             nobody: no snapshot was taken since */
    uint32_t labels;
};

struct rounds_counts {
    uint64_t rounds, crashes, reopens, written, overwritten, refused, snapshots, clones, freed,
        deleted, requests_max;
};
extern struct rounds_counts rounds_counts;

static inline uint32_t rounds_pick(struct rounds *rounds, uint32_t bound)
{
    return prng_below(&rounds->prng, bound);
}

enum rounds_node { ROUNDS_OPEN, ROUNDS_SNAPSHOT, ROUNDS_CLONE };

/* Any of the kind, or MODEL_NONE. */
unsigned rounds_any(struct rounds *rounds, enum rounds_node kind);
unsigned rounds_count(const struct rounds *rounds, enum rounds_node kind);
struct coffer_store_info rounds_info(const struct rounds *rounds);

/* ---- steps.c ---- */

/* 0 or NO_SPACE; anything else fails the case. Requests of the next call count from here. */
int rounds_settle(struct rounds *rounds, int error, const char *what);
/* What may never be refused. */
#define rounds_must(rounds, call) \
    harness_require(rounds_settle(rounds, call, #call) == 0, "refused: %s", #call)
void rounds_new_volume(struct rounds *rounds);
int rounds_snapshot(struct rounds *rounds);
int rounds_clone(struct rounds *rounds);
void rounds_delete_snapshot(struct rounds *rounds);
void rounds_delete_volume(struct rounds *rounds);
/* Zeros from here on, for so many pages at most; how many were found. */
uint32_t rounds_find_new(struct rounds *rounds, uint32_t most, unsigned *ret_volume,
                         uint64_t *ret_page);
/* The same for pages that nothing else holds. */
uint32_t rounds_find_private(struct rounds *rounds, uint32_t most, unsigned *ret_volume,
                             uint64_t *ret_page);

/* ---- phases.c ---- */

/* Write, snapshot, clone until a page that is new is refused. */
void rounds_fill(struct rounds *rounds);
/* What a full store does and what it refuses. */
void rounds_at_full(struct rounds *rounds);
/* Discard and delete down to a part of the capacity; then there is room again. */
void rounds_free(struct rounds *rounds);
/* The power goes, or the store is closed; all that is there is judged. */
void rounds_reopen(struct rounds *rounds, bool crash);
/* Volumes are closed; check finds nothing, its recount is the accounting; they are opened again. */
void rounds_check(struct rounds *rounds, bool scrub);
/* Nothing is left: what is accounted then is next to nothing. */
void rounds_empty(struct rounds *rounds);

#endif
