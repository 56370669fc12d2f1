/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/extension/extension.c - coffervfs.so: what SQLite calls when it loads the extension.
 *
 * It stays loaded: the VFS outlives the connection that brought it. Each connection that is opened
 * from then on has the function coffer_last_error(), which says why the last file could not be
 * opened, read or written: SQLite has a number for that, and no words.
 */
#include "opener.h"
#include "sqlite/vfs.h"
#include <sqlite3ext.h>

SQLITE_EXTENSION_INIT1

static void last_error(sqlite3_context *context, int count, sqlite3_value **values)
{
    char text[512];
    (void)count;
    (void)values;
    coffer_sqlite_last_error(text, sizeof text);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static int add_function(sqlite3 *db)
{
    return sqlite3_create_function(db, "coffer_last_error", 0, SQLITE_UTF8, NULL, last_error, NULL,
                                   NULL);
}

static int connect(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    return add_function(db);
}

int sqlite3_coffervfs_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);

int sqlite3_coffervfs_init(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    SQLITE_EXTENSION_INIT2(api)
    cof_sqlite_opener_set(&cof_sqlite_sessions);
    int result = cof_sqlite_vfs_install(false);
    if (result != SQLITE_OK) {
        *message = sqlite3_mprintf("SQLite refused the VFS, or another one has its name");
        return result;
    }
    union { /* SQLite takes it as a function without arguments */
        int (*entry)(sqlite3 *, char **, const sqlite3_api_routines *);
        void (*plain)(void);
    } automatic = {connect};
    result = sqlite3_auto_extension(automatic.plain);
    if (result == SQLITE_OK) {
        result = add_function(db);
    }
    return result == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : result;
}
