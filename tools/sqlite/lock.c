/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/lock.c - the five levels of a database's lock, and the locks and memory of a wal-index,
 * between the connections of one process. Nothing here waits: SQLite's busy handlers do.
 */
#include "database.h"
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT3

/* ---- levels ------------------------------------------------------------------------------ */

static int lock_shared(struct cof_sqlite_locks *locks)
{
    if (locks->pending || locks->exclusive) {
        return SQLITE_BUSY;
    }
    locks->shared++;
    return SQLITE_OK;
}

static int lock_writer(struct cof_sqlite_locks *locks, const void *owner, int *level, int wanted)
{
    if (locks->writer != NULL && locks->writer != owner) {
        return SQLITE_BUSY;
    }
    locks->writer = owner;
    if (wanted == SQLITE_LOCK_RESERVED) {
        return SQLITE_OK;
    }
    locks->pending = true;
    if (locks->shared > 1) {
        *level = SQLITE_LOCK_PENDING;
        return SQLITE_BUSY;
    }
    locks->exclusive = true;
    return SQLITE_OK;
}

int cof_sqlite_lock(struct cof_sqlite_database *database, const void *owner, int *level, int wanted)
{
    if (*level >= wanted) {
        return SQLITE_OK;
    }
    pthread_mutex_lock(&database->mutex);
    int result = wanted == SQLITE_LOCK_SHARED ? lock_shared(&database->locks)
                                              : lock_writer(&database->locks, owner, level, wanted);
    if (result == SQLITE_OK) {
        *level = wanted;
    }
    pthread_mutex_unlock(&database->mutex);
    return result;
}

void cof_sqlite_unlock(struct cof_sqlite_database *database, const void *owner, int *level,
                       int wanted)
{
    struct cof_sqlite_locks *locks = &database->locks;
    if (*level <= wanted) {
        return;
    }
    pthread_mutex_lock(&database->mutex);
    if (locks->writer == owner) {
        locks->writer = NULL;
        locks->pending = false;
        locks->exclusive = false;
    }
    if (wanted == SQLITE_LOCK_NONE) {
        locks->shared--;
    }
    *level = wanted;
    pthread_mutex_unlock(&database->mutex);
}

bool cof_sqlite_is_reserved(struct cof_sqlite_database *database)
{
    pthread_mutex_lock(&database->mutex);
    bool reserved = database->locks.writer != NULL;
    pthread_mutex_unlock(&database->mutex);
    return reserved;
}

/* ---- the wal-index ----------------------------------------------------------------------- */

static int add_regions(struct cof_sqlite_shm *shm, unsigned count)
{
    uint8_t **regions = realloc(shm->regions, count * sizeof *regions);
    if (regions == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    shm->regions = regions;
    while (shm->region_count < count) {
        regions[shm->region_count] = calloc(1, (size_t)shm->region_bytes);
        if (regions[shm->region_count] == NULL) {
            return SQLITE_IOERR_NOMEM;
        }
        shm->region_count++;
    }
    return SQLITE_OK;
}

int cof_sqlite_shm_map(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held,
                       int region, int region_bytes, bool extend, void volatile **ret_memory)
{
    struct cof_sqlite_shm *shm = &database->shm;
    int result = SQLITE_OK;
    *ret_memory = NULL;
    pthread_mutex_lock(&database->mutex);
    if (!held->mapped) {
        held->mapped = true;
        shm->users++;
    }
    if (shm->region_count == 0) {
        shm->region_bytes = region_bytes;
    }
    if (region < 0 || region >= (int)COF_SQLITE_SHM_REGIONS_MAX || region_bytes <= 0 ||
        region_bytes != shm->region_bytes) {
        result = SQLITE_IOERR_SHMSIZE;
    } else if ((unsigned)region >= shm->region_count && extend) {
        result = add_regions(shm, (unsigned)region + 1u);
    }
    if (result == SQLITE_OK && (unsigned)region < shm->region_count) {
        *ret_memory = shm->regions[region];
    }
    pthread_mutex_unlock(&database->mutex);
    return result;
}

static void drop(struct cof_sqlite_shm *shm, struct cof_sqlite_shm_held *held, int slot)
{
    uint16_t bit = (uint16_t)(1u << slot);
    if ((held->shared & bit) != 0) {
        shm->shared[slot]--;
        held->shared &= (uint16_t)~bit;
    }
    if ((held->exclusive & bit) != 0) {
        shm->exclusive[slot] = false;
        held->exclusive &= (uint16_t)~bit;
    }
}

/* Whether the lock could be taken; a connection never asks for the other kind of one it holds. */
static bool is_free(const struct cof_sqlite_shm *shm, const struct cof_sqlite_shm_held *held,
                    int slot, bool exclusive)
{
    bool ours = (held->shared >> slot & 1u) != 0;
    unsigned readers = shm->shared[slot] - (ours ? 1u : 0u);
    if (exclusive) {
        return readers == 0 && (!shm->exclusive[slot] || (held->exclusive >> slot & 1u) != 0);
    }
    return !shm->exclusive[slot];
}

static void take(struct cof_sqlite_shm *shm, struct cof_sqlite_shm_held *held, int slot,
                 bool exclusive)
{
    uint16_t bit = (uint16_t)(1u << slot);
    if (exclusive) {
        shm->exclusive[slot] = true;
        held->exclusive |= bit;
    } else if ((held->shared & bit) == 0) {
        shm->shared[slot]++;
        held->shared |= bit;
    }
}

int cof_sqlite_shm_lock(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held,
                        int first, int count, int flags)
{
    struct cof_sqlite_shm *shm = &database->shm;
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    bool unlocks = (flags & SQLITE_SHM_UNLOCK) != 0;
    int result = SQLITE_OK;
    pthread_mutex_lock(&database->mutex);
    for (int slot = first; slot < first + count && !unlocks; slot++) {
        if (!is_free(shm, held, slot, exclusive)) {
            result = SQLITE_BUSY;
        }
    }
    for (int slot = first; slot < first + count && result == SQLITE_OK; slot++) {
        if (unlocks) {
            drop(shm, held, slot);
        } else {
            take(shm, held, slot, exclusive);
        }
    }
    pthread_mutex_unlock(&database->mutex);
    return result;
}

/* With the last user the index goes, so that the next one makes it anew from the log. */
void cof_sqlite_shm_unmap(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held)
{
    struct cof_sqlite_shm *shm = &database->shm;
    pthread_mutex_lock(&database->mutex);
    for (int slot = 0; slot < SQLITE_SHM_NLOCK; slot++) {
        drop(shm, held, slot);
    }
    if (held->mapped) {
        held->mapped = false;
        shm->users--;
    }
    if (shm->users == 0) {
        for (unsigned i = 0; i < shm->region_count; i++) {
            free(shm->regions[i]);
        }
        free(shm->regions);
        memset(shm, 0, sizeof *shm);
    }
    pthread_mutex_unlock(&database->mutex);
}
