/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_copy.c - a copy of the whole file, as it stands at one moment.
 *
 * SQLite's backup reads the source within one transaction: others go on writing, and the copy has
 * all of a commit or nothing of it. Pages are copied as they are: no key is needed, nothing is
 * unsealed. The copy takes no log of its own, so that it can be read where nothing can be written.
 * The source handle belongs to the caller alone.
 */
#include "store_sql.h"

static int copy_pages(struct cof_kms_db *from, struct cof_kms_db *to, struct coffer_fault *fault)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->sqlite, "main", from->sqlite, "main");
    int result, ended;

    if (backup == NULL) {
        return cof_kms_sql_fail(to, sqlite3_extended_errcode(to->sqlite), "copying the key store",
                                fault);
    }
    result = sqlite3_backup_step(backup, -1);
    ended = sqlite3_backup_finish(backup);
    if (result == SQLITE_DONE) {
        result = ended;
    }
    if (result == SQLITE_OK) {
        result = sqlite3_exec(to->sqlite, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    }
    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(to, result, "copying the key store", fault);
}

int cof_kms_db_copy(struct cof_kms_db *from, const char *built, struct coffer_fault *fault)
{
    struct cof_kms_db *to = NULL;
    int error = cof_kms_sql_connect(from->env, built, SQLITE_OPEN_READWRITE, &to, fault);

    if (error == 0) {
        error = cof_kms_sql_set_up(to, true, 0, fault);
    }
    if (error == 0) {
        error = copy_pages(from, to, fault);
    }
    cof_kms_db_close(to);
    return error;
}
