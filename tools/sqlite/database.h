/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/database.h - a database that connections of this process share, and their locks on it.
 *
 * Databases are found by name in one list. A name is there because a program lent its volume
 * (coffer_sqlite_register), or because the extension opened one (struct cof_sqlite_opener); the
 * latter leave the list with their last connection.
 *
 * Locks are SQLite's five levels, and the eight locks of the wal-index, which lies in memory: one
 * process has the store, so no other can have a share in them.
 *
 * Any thread: one lock for the list, which is held while a database is opened, one for each
 * database's locks.
 */
#ifndef COF_TOOLS_SQLITE_DATABASE_H
#define COF_TOOLS_SQLITE_DATABASE_H

#include "volume.h"
#include <coffer/sqlite.h>
#include <sqlite3ext.h>

#define COF_SQLITE_SHM_REGIONS_MAX 65536u

struct cof_sqlite_locks {
    unsigned shared;    /* connections at SHARED or above */
    const void *writer; /* who has RESERVED or more, or NULL */
    bool pending;       /* the writer lets no new readers in */
    bool exclusive;
};

struct cof_sqlite_shm {
    unsigned users;
    unsigned region_count;
    int region_bytes;
    uint8_t **regions;
    unsigned shared[SQLITE_SHM_NLOCK];
    bool exclusive[SQLITE_SHM_NLOCK];
};

/* What a database's volume is, and how it is given back. */
struct cof_sqlite_source {
    struct coffer_store *store;
    struct coffer_volume *volume;
    struct coffer_key_provider provider; /* ops NULL: none */
    bool read_only;
    void (*close)(void *ctx); /* NULL: lent */
    void *ctx;
};

struct cof_sqlite_database {
    struct cof_sqlite_database *next;
    char name[COFFER_SQLITE_NAME_BYTES_MAX + 4096];
    unsigned users; /* open files */
    struct cof_sqlite_source source;
    struct cof_sqlite_volume volume;
    pthread_mutex_t mutex; /* of what follows */
    struct cof_sqlite_locks locks;
    struct cof_sqlite_shm shm;
    bool exists[COF_SQLITE_PARTS]; /* a file without a byte is there all the same */
    bool journal_live;             /* a transaction of this process has its journal in the volume */
    bool sync_owed;                /* the database's sync waits for the journal's end */
};

/* How names are opened that nobody lent; set once, before the first connection. */
struct cof_sqlite_opener {
    /* The full name of what a user calls name. capacity counts the NUL. */
    int (*full_name)(const char *name, char *full, size_t capacity, struct coffer_fault *fault);
    /* name is a full name; uri may be asked for parameters (sqlite3_uri_parameter), or NULL. */
    int (*open)(const char *name, const char *uri, bool read_only,
                struct cof_sqlite_source *ret_source, struct coffer_fault *fault);
};

void cof_sqlite_opener_set(const struct cof_sqlite_opener *opener);
const struct cof_sqlite_opener *cof_sqlite_opener_get(void);

/* Find or open; counted in users. */
COFFER_MUST_CHECK int cof_sqlite_database_get(const char *name, const char *uri, bool read_only,
                                              struct cof_sqlite_database **ret_database,
                                              struct coffer_fault *fault);
/* Without the last user an opened database is closed; the error is that of its last writes. */
COFFER_MUST_CHECK int cof_sqlite_database_put(struct cof_sqlite_database *database,
                                              struct coffer_fault *fault);
bool cof_sqlite_database_is_lent(const char *name);

/* ---- locks; results are SQLite's --------------------------------------------------------- */

/* owner is the connection's file; level is what it has and what it gets. */
int cof_sqlite_lock(struct cof_sqlite_database *database, const void *owner, int *level,
                    int wanted);
void cof_sqlite_unlock(struct cof_sqlite_database *database, const void *owner, int *level,
                       int wanted);
bool cof_sqlite_is_reserved(struct cof_sqlite_database *database);

/* held: the connection's shared and exclusive locks, a bit each. */
struct cof_sqlite_shm_held {
    bool mapped;
    uint16_t shared, exclusive;
};

int cof_sqlite_shm_map(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held,
                       int region, int region_bytes, bool extend, void volatile **ret_memory);
int cof_sqlite_shm_lock(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held,
                        int first, int count, int flags);
void cof_sqlite_shm_unmap(struct cof_sqlite_database *database, struct cof_sqlite_shm_held *held);

/* ---- failures ---------------------------------------------------------------------------- */

/* Keep the sentence, log it to SQLite, and give SQLite's code: `usual`, unless the error has a
 * better one. what: "open", "read", ...; name: the database's. */
int cof_sqlite_result(int error, const struct coffer_fault *fault, int usual, const char *what,
                      const char *name);

#endif
