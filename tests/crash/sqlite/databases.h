/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/databases.h - the world of a scene: one store or two on simulated media, a database
 * or two in volumes of theirs, and a connection of SQLite to both.
 */
#ifndef TESTS_CRASH_SQLITE_DATABASES_H
#define TESTS_CRASH_SQLITE_DATABASES_H

#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/sim_segdev.h"

#include <coffer/coffer.h>
#include <sqlite3.h>

#define MOMENTS_MAX 65536u

struct scene {
    const char *name, *mode, *synchronous;
    unsigned page_bytes, databases, stores;
    bool promises; /* what was acknowledged survives a power cut */
};

struct site {
    struct det_env env;
    struct fake_kms kms;
    struct sim_disk *disk;
    struct coffer_store *store;
    uint64_t seed, incarnation;
};

struct world {
    const struct scene *scene;
    struct site sites[2];
    struct coffer_volume *volumes[2];
    sqlite3 *db;
};

/* How far both media were. */
struct moment {
    uint64_t events[2];
};

struct cut {
    struct moment at;
    enum sim_variant variant;
    uint64_t seed;
};

/* Moments of a world, in order. */
struct moments {
    struct moment list[MOMENTS_MAX];
    unsigned count;
};

extern const char *const database_names[2];

/* What SQL calls a database of a world's connection. */
const char *database_schema(unsigned database);

/* New media, stores and volumes, nothing lent yet. */
void databases_make(struct world *world, uint64_t seed);
/* A store of `from` as the cut left its medium, opened. */
void databases_cut(struct world *world, const struct world *from, unsigned store,
                   const struct cut *cut, uint64_t incarnation);
/* Lend the volumes, and open what is in them. first: which database is opened first, the other is
 * attached, for what hangs on the order. */
void databases_connect(struct world *world, unsigned first);
void databases_checkpoint(struct world *world);
/* The power has gone (not alive), or everything is said: give back what the process has. */
void databases_leave(struct world *world, bool alive);
void databases_free(struct world *world);

struct moment databases_moment(const struct world *world);
/* Note the world's moments from here on, anew, and no longer those of another. NULL: of none. */
void moments_follow(struct moments *moments, const struct world *world);
/* Of one medium each event is a moment. */
void moments_take_events(struct moments *moments, const struct world *world, uint64_t first);

#endif
