/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/file.c - the methods of an open file.
 *
 * When a sync is a flush. What a store holds after a crash is a prefix of what was written to it,
 * in order, whatever was flushed. So syncs that SQLite makes for order alone cost nothing (it
 * leaves most of them out itself, told SQLITE_IOCAP_SEQUENTIAL), and what is left is durability:
 *
 *  - the database's sync before the journal of its transaction goes is owed, not done: until that
 *    end is durable, too, nobody has been told anything. It is paid with the journal's end
 *    (delete, or the sync behind a cut or a wiped header), at SQLITE_FCNTL_COMMIT_PHASETWO, or
 *    when the lock is given up, whichever is first.
 *  - not so in a transaction over several databases, which may lie in several stores, between which
 *    there is no order: there each sync is a flush at once.
 *  - every other sync is a flush, if anything was written since the last one.
 */
#include "vfs.h"
#include <string.h>

SQLITE_EXTENSION_INIT3

static struct cof_sqlite_file *file_of(sqlite3_file *base)
{
    return (struct cof_sqlite_file *)base;
}

static int told(const struct cof_sqlite_file *file, int error, const struct coffer_fault *fault,
                int usual, const char *what)
{
    return cof_sqlite_result(error, fault, usual, what, file->database->name);
}

static struct coffer_fault no_fault(void)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    return fault;
}

/* ---- what is owed ------------------------------------------------------------------------ */

/* Note what a write to the journal means: it lives, or its header was wiped and it has ended. */
static void note_journal(struct cof_sqlite_database *database, const uint8_t *bytes, int count,
                         sqlite3_int64 offset)
{
    bool wiped = offset == 0;
    for (int i = 0; wiped && i < count; i++) {
        wiped = bytes[i] == 0;
    }
    pthread_mutex_lock(&database->mutex);
    database->journal_live = !wiped;
    pthread_mutex_unlock(&database->mutex);
}

/* Whether the database's sync may wait; then it is owed from now on. */
static bool may_owe(struct cof_sqlite_file *file)
{
    struct cof_sqlite_database *database = file->database;
    pthread_mutex_lock(&database->mutex);
    bool alone = !file->has_super || COF_SQLITE_BROKEN(OWE_ALL);
    bool may = file->part == COF_SQLITE_MAIN && database->journal_live && alone;
    if (may) {
        database->sync_owed = true;
    }
    pthread_mutex_unlock(&database->mutex);
    return may;
}

bool cof_sqlite_take_owed(struct cof_sqlite_database *database)
{
    pthread_mutex_lock(&database->mutex);
    bool owed = database->sync_owed;
    database->sync_owed = false;
    pthread_mutex_unlock(&database->mutex);
    return owed;
}

int cof_sqlite_pay(struct cof_sqlite_database *database, struct coffer_fault *fault)
{
    return cof_sqlite_take_owed(database) ? cof_sqlite_volume_sync(&database->volume, fault)
                                          : cof_sqlite_volume_settle(&database->volume, fault);
}

/* ---- bytes ------------------------------------------------------------------------------- */

static int file_read(sqlite3_file *base, void *buffer, int amount, sqlite3_int64 offset)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    size_t got = 0;
    int error;
    if (file->kind == COF_SQLITE_FILE_SUPER) {
        error = cof_sqlite_supers_read(&file->database->volume, file->slot, buffer,
                                       (uint32_t)offset, (size_t)amount, &got, &fault);
    } else {
        error = cof_sqlite_ahead_read(file, buffer, (uint64_t)offset, (size_t)amount, &got, &fault);
    }
    if (error != 0) {
        return told(file, error, &fault, SQLITE_IOERR_READ, "read");
    }
    if (got < (size_t)amount) {
        memset((uint8_t *)buffer + got, 0, (size_t)amount - got);
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int file_write(sqlite3_file *base, const void *buffer, int amount, sqlite3_int64 offset)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    int error;
    if (file->kind == COF_SQLITE_FILE_SUPER) {
        error = offset > INT32_MAX
                    ? COFFER_E_LIMIT
                    : cof_sqlite_supers_write(&file->database->volume, file->slot, buffer,
                                              (uint32_t)offset, (size_t)amount, &fault);
    } else {
        if (file->part == COF_SQLITE_JOURNAL) {
            note_journal(file->database, buffer, amount, offset);
        }
        error = cof_sqlite_volume_write(&file->database->volume, file->part, buffer,
                                        (uint64_t)offset, (size_t)amount, &fault);
    }
    return told(file, error, &fault, SQLITE_IOERR_WRITE, "write");
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    if (file->kind == COF_SQLITE_FILE_SUPER) {
        return SQLITE_IOERR_TRUNCATE;
    }
    if (file->part == COF_SQLITE_JOURNAL && size == 0) {
        note_journal(file->database, NULL, 0, 0);
    }
    int error = cof_sqlite_volume_truncate(&file->database->volume, file->part, (uint64_t)size,
                                           false, &fault);
    return told(file, error, &fault, SQLITE_IOERR_TRUNCATE, "truncate");
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    int error;
    (void)flags;
    if (may_owe(file)) {
        error = cof_sqlite_volume_settle(&file->database->volume, &fault);
    } else {
        (void)cof_sqlite_take_owed(file->database);
        error =
            file->has_super ? cof_sqlite_volume_note_journal(&file->database->volume, &fault) : 0;
        error = error != 0 ? error : cof_sqlite_volume_sync(&file->database->volume, &fault);
    }
    return told(file, error, &fault, SQLITE_IOERR_FSYNC, "sync");
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    uint32_t length = 0;
    if (file->kind == COF_SQLITE_FILE_PART) {
        *ret_size = (sqlite3_int64)cof_sqlite_volume_length(&file->database->volume, file->part);
        return SQLITE_OK;
    }
    int error = cof_sqlite_supers_length(&file->database->volume, file->slot, &length, &fault);
    *ret_size = length;
    return told(file, error, &fault, SQLITE_IOERR_FSTAT, "size");
}

/* ---- locks ------------------------------------------------------------------------------- */

static int file_lock(sqlite3_file *base, int level)
{
    struct cof_sqlite_file *file = file_of(base);
    return cof_sqlite_lock(file->database, file, &file->level, level);
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    int error = 0;
    if (file->level >= SQLITE_LOCK_RESERVED && level < SQLITE_LOCK_RESERVED) {
        error = cof_sqlite_pay(file->database, &fault);
    }
    cof_sqlite_unlock(file->database, file, &file->level, level);
    return told(file, error, &fault, SQLITE_IOERR_UNLOCK, "unlock");
}

static int file_check_reserved(sqlite3_file *base, int *ret_reserved)
{
    *ret_reserved = cof_sqlite_is_reserved(file_of(base)->database);
    return SQLITE_OK;
}

static int file_shm_map(sqlite3_file *base, int region, int region_bytes, int extend,
                        void volatile **ret_memory)
{
    struct cof_sqlite_file *file = file_of(base);
    return cof_sqlite_shm_map(file->database, &file->shm, region, region_bytes, extend != 0,
                              ret_memory);
}

static int file_shm_lock(sqlite3_file *base, int first, int count, int flags)
{
    struct cof_sqlite_file *file = file_of(base);
    struct coffer_fault fault = no_fault();
    int error = 0;
    if (flags == (SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)) {
        error = cof_sqlite_volume_settle(&file->database->volume, &fault);
    }
    int result = cof_sqlite_shm_lock(file->database, &file->shm, first, count, flags);
    return error != 0 ? told(file, error, &fault, SQLITE_IOERR_SHMLOCK, "write") : result;
}

static void file_shm_barrier(sqlite3_file *base)
{
    (void)base;
    __sync_synchronize();
}

static int file_shm_unmap(sqlite3_file *base, int delete_too)
{
    struct cof_sqlite_file *file = file_of(base);
    (void)delete_too;
    cof_sqlite_shm_unmap(file->database, &file->shm);
    return SQLITE_OK;
}

/* ---- the rest ---------------------------------------------------------------------------- */

static int file_close(sqlite3_file *base)
{
    struct cof_sqlite_file *file = file_of(base);
    struct cof_sqlite_database *database = file->database;
    struct coffer_fault fault = no_fault();
    int result = file_unlock(base, SQLITE_LOCK_NONE);
    if (file->shm.mapped) {
        cof_sqlite_shm_unmap(database, &file->shm);
    }
    cof_sqlite_ahead_done(file);
    if (file->delete_on_close && file->kind == COF_SQLITE_FILE_PART) {
        (void)file_truncate(base, 0);
    }
    char name[sizeof database->name];
    memcpy(name, database->name, sizeof name);
    int error = cof_sqlite_database_put(database, &fault);
    base->pMethods = NULL;
    return error == 0 ? result
                      : cof_sqlite_result(error, &fault, SQLITE_IOERR_CLOSE, "close", name);
}

static int file_sector_size(sqlite3_file *base)
{
    (void)base;
    return (int)COFFER_PAGE_BYTES;
}

/* docs/format.md says why each may be claimed, and why others are not. */
static int file_characteristics(sqlite3_file *base)
{
    const int pages = SQLITE_IOCAP_ATOMIC512 | SQLITE_IOCAP_ATOMIC1K | SQLITE_IOCAP_ATOMIC2K |
                      SQLITE_IOCAP_ATOMIC4K | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
    return file_of(base)->kind == COF_SQLITE_FILE_SUPER ? SQLITE_IOCAP_POWERSAFE_OVERWRITE
                                                        : pages | SQLITE_IOCAP_SEQUENTIAL;
}

const sqlite3_io_methods cof_sqlite_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = cof_sqlite_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};
