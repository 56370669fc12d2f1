/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/control.c - xFileControl: what SQLite says of its syncs and commits, and
 *
 *     PRAGMA coffer_snapshot = 'NAME'
 *
 * which takes a snapshot of the volume: a backup of the database, at once, whatever its size. It is
 * taken between transactions, so that it opens read-only as it is: with the write-ahead log in it,
 * and never with a journal that would have to be rolled back.
 */
#include "vfs.h"
#include <string.h>

SQLITE_EXTENSION_INIT3

static int answer(char **words, int result, char *text)
{
    words[0] = text;
    return text == NULL ? SQLITE_NOMEM : result;
}

/* The wal-index's first lock is the writer's. */
static bool is_writing(const struct cof_sqlite_database *database)
{
    return database->locks.writer != NULL || database->shm.exclusive[0];
}

static int take_snapshot(struct cof_sqlite_database *database, const char *name,
                         struct coffer_fault *fault)
{
    const struct coffer_snapshot_opts opts = {
        .size = sizeof opts,
        .name = name,
        .provider = database->source.provider.ops != NULL ? &database->source.provider : NULL};
    int error = 0;
    /* Held meanwhile: whoever would begin to write waits. */
    pthread_mutex_lock(&database->mutex);
    if (is_writing(database)) {
        error = cof_sqlite_fault(fault, COFFER_E_BUSY,
                                 "a transaction is writing: commit it, then take the snapshot");
    }
    if (error == 0) {
        error = cof_sqlite_volume_sync(&database->volume, fault);
    }
    if (error == 0) {
        error = coffer_snapshot_create(database->source.volume, &opts, NULL, fault);
    }
    pthread_mutex_unlock(&database->mutex);
    return error;
}

static int pragma(struct cof_sqlite_file *file, char **words)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    if (sqlite3_stricmp(words[1], "coffer_snapshot") != 0) {
        return SQLITE_NOTFOUND;
    }
    if (words[2] == NULL || words[2][0] == '\0') {
        return answer(words, SQLITE_ERROR,
                      sqlite3_mprintf("name the snapshot: PRAGMA coffer_snapshot = 'NAME'"));
    }
    int error = take_snapshot(file->database, words[2], &fault);
    if (error != 0) {
        int code = cof_sqlite_result(error, &fault, SQLITE_ERROR, "snapshot", file->database->name);
        return answer(words, error == COFFER_E_BUSY ? SQLITE_BUSY : code,
                      sqlite3_mprintf("snapshot %s: %s", words[2],
                                      fault.error == error && fault.detail[0] != '\0'
                                          ? fault.detail
                                          : coffer_error_sentence(error)));
    }
    return answer(words, SQLITE_OK, sqlite3_mprintf("%s@%s", file->database->name, words[2]));
}

static int finish_commit(struct cof_sqlite_file *file)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    int error = cof_sqlite_pay(file->database, &fault);
    return cof_sqlite_result(error, &fault, SQLITE_IOERR_FSYNC, "commit", file->database->name);
}

int cof_sqlite_control(sqlite3_file *base, int op, void *arg)
{
    struct cof_sqlite_file *file = (struct cof_sqlite_file *)base;
    if (file->kind != COF_SQLITE_FILE_PART || file->part != COF_SQLITE_MAIN) {
        return SQLITE_NOTFOUND;
    }
    switch (op) {
    case SQLITE_FCNTL_SYNC:
        file->has_super = arg != NULL && ((const char *)arg)[0] != '\0';
        return SQLITE_OK;
    case SQLITE_FCNTL_COMMIT_PHASETWO:
        return finish_commit(file);
    case SQLITE_FCNTL_LOCKSTATE:
        *(int *)arg = file->level;
        return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME:
        *(char **)arg = sqlite3_mprintf("%s", COFFER_SQLITE_VFS);
        return SQLITE_OK;
    case SQLITE_FCNTL_POWERSAFE_OVERWRITE:
        *(int *)arg = 1;
        return SQLITE_OK;
    case SQLITE_FCNTL_HAS_MOVED:
        *(int *)arg = 0;
        return SQLITE_OK;
    case SQLITE_FCNTL_PRAGMA:
        return pragma(file, arg);
    default:
        return SQLITE_NOTFOUND;
    }
}
