/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_sqlite.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/sqlite.h>
#include <sqlite3.h>
#include <string.h>

/* Open the database in a volume that is open. The volume is given back, once the database is
 * closed, by coffer_sqlite_unregister("ledger", fault). */
int open_ledger(struct coffer_store *store, struct coffer_volume *volume, sqlite3 **ret_db,
                struct coffer_fault *fault)
{
    struct coffer_sqlite_opts opts;
    int error;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.name = "ledger";
    opts.store = store;
    opts.volume = volume;
    error = coffer_sqlite_register(&opts, fault);
    if (error != 0) {
        return error;
    }
    return sqlite3_open_v2("ledger", ret_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                           COFFER_SQLITE_VFS);
}
