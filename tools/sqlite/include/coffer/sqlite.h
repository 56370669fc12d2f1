/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/sqlite.h - SQLite databases on volumes: a VFS for a program that has a store open.
 *
 * A volume holds one database: the database itself, its rollback journal, its write-ahead log and
 * super-journals of transactions over several databases. The program opens store and volume, lends
 * the volume to the VFS under a name, and opens that name with SQLite:
 *
 *     coffer_sqlite_register(&(struct coffer_sqlite_opts){
 *                            .size = sizeof(struct coffer_sqlite_opts), .name = "ledger",
 *                            .store = store, .volume = volume}, &fault);
 *     sqlite3_open_v2("ledger", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "coffer");
 *
 * CAVEATS
 *
 * - Nothing else may write to the volume while it is lent. Any number of connections and threads
 *   of this process may use the database; others can't, as one process has a store open.
 * - A transaction is durable when SQLite says so under PRAGMA synchronous=FULL. Without it, it
 *   survives the death of the process all the same.
 * - Temporary files are kept in memory, never on a disk. A connection whose main database is an
 *   ordinary file, with a volume attached to it, has ordinary temporary files: set PRAGMA
 *   temp_store=MEMORY there.
 * - Keys do not survive fork, and neither does an SQLite connection.
 *
 * What lies where in the volume: docs/format.md, "A SQLite database in a volume". Programs that
 * are not linked with this use the loadable extension coffervfs.so, coffer-sqlite(7).
 */
#ifndef COFFER_SQLITE_H
#define COFFER_SQLITE_H

#include <coffer/coffer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_SQLITE_VFS "coffer"
#define COFFER_SQLITE_NAME_BYTES_MAX 512 /* a database's name, with its NUL */
#define COFFER_SQLITE_VOLUME_BYTES_MIN (16ull << 20)

enum coffer_sqlite_flags {
    COFFER_SQLITE_READ_ONLY = 1u << 0, /* a snapshot, or a volume opened for reading only   */
    COFFER_SQLITE_DEFAULT = 1u << 1    /* let SQLite use the VFS where no other is asked for */
};

struct coffer_sqlite_opts {
    size_t size;
    const char *name; /* what SQLite is to call the database: no '/' needed, any bytes but NUL */
    struct coffer_store *store;   /* the volume's */
    struct coffer_volume *volume; /* stays the caller's; open until unregister */
    unsigned flags;               /* enum coffer_sqlite_flags */
    /* For PRAGMA coffer_snapshot; may be NULL where a snapshot's name needs no key. */
    const struct coffer_key_provider *provider;
};

/*
 * Lend a volume to the VFS, which is registered with SQLite at the first call. A volume without
 * data is made a database's at SQLite's first write. EXISTS: the name is taken; NOT_A_STORE: the
 * volume holds something that is no database of this VFS; TOO_NEW; RANGE: the volume is smaller
 * than COFFER_SQLITE_VOLUME_BYTES_MIN; errors of reading. Any thread.
 */
COFFER_MUST_CHECK int coffer_sqlite_register(const struct coffer_sqlite_opts *opts,
                                             struct coffer_fault *fault);

/* Take it back, to be closed. BUSY: a connection has the database open. NOT_FOUND. */
COFFER_MUST_CHECK int coffer_sqlite_unregister(const char *name, struct coffer_fault *fault);

/* The sentence of the VFS's last failure in this process, which SQLite has no way to pass on ("" if
 * there was none). Cut to capacity, NUL included. Never holds a secret. */
void coffer_sqlite_last_error(char *text, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
