/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/vfs.h - the VFS "coffer" and its files.
 *
 * A name is DATABASE, or DATABASE with what SQLite puts behind it: "-journal", "-wal", or the
 * suffix of a super-journal. A file without a name is temporary, and kept in memory by SQLite's own
 * VFS "memdb": nothing of a database ever comes on a disk but sealed.
 */
#ifndef COF_TOOLS_SQLITE_VFS_H
#define COF_TOOLS_SQLITE_VFS_H

#include "database.h"

enum cof_sqlite_kind { COF_SQLITE_FILE_PART = 0, COF_SQLITE_FILE_SUPER };

/* What was read ahead of a connection that goes through the database in order. */
struct cof_sqlite_ahead {
    uint8_t *bytes; /* NULL until it is worth while */
    uint64_t offset_bytes;
    size_t length_bytes;
    uint64_t changes;     /* of the database, when it was read */
    uint64_t next_offset; /* behind the last read */
    unsigned in_order;    /* reads that followed their predecessor */
};

struct cof_sqlite_file {
    sqlite3_file base;
    struct cof_sqlite_database *database;
    enum cof_sqlite_kind kind;
    enum cof_sqlite_part part;
    unsigned slot; /* SUPER */
    bool delete_on_close;
    bool has_super; /* the transaction that is being synced is one of several databases */
    int level;      /* SQLITE_LOCK_... */
    struct cof_sqlite_shm_held shm;
    struct cof_sqlite_ahead ahead;
};

extern const sqlite3_io_methods cof_sqlite_methods;

/* Register with SQLite, once; SQLite's result. */
int cof_sqlite_vfs_install(bool make_default);

/* Through what was read ahead, if that is worth while. */
COFFER_MUST_CHECK int cof_sqlite_ahead_read(struct cof_sqlite_file *file, void *buffer,
                                            uint64_t offset_bytes, size_t length_bytes,
                                            size_t *ret_bytes, struct coffer_fault *fault);
void cof_sqlite_ahead_done(struct cof_sqlite_file *file);

/* Whether the database's sync was owed; it is the caller's from now on. */
bool cof_sqlite_take_owed(struct cof_sqlite_database *database);
/* Pay what is owed; else see to it that all that was written has completed. */
COFFER_MUST_CHECK int cof_sqlite_pay(struct cof_sqlite_database *database,
                                     struct coffer_fault *fault);

/* xFileControl. */
int cof_sqlite_control(sqlite3_file *base, int op, void *arg);

#endif
