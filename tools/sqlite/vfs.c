/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/vfs.c - the methods of the VFS: names, opening, deleting; the rest is the default VFS's.
 */
#include "vfs.h"
#include <stdio.h>
#include <string.h>

SQLITE_EXTENSION_INIT3

#define PATH_BYTES_MAX (4096 + 256)

/* Found once, by cof_sqlite_vfs_install. */
static sqlite3_vfs *parent;
static sqlite3_vfs *memory;

/* ---- names ------------------------------------------------------------------------------- */

struct name {
    char database[PATH_BYTES_MAX + 1];
    enum cof_sqlite_kind kind;
    enum cof_sqlite_part part;
    const char *suffix;
};

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* What a name names, by its end. */
static bool take_apart(const char *text, struct name *name)
{
    size_t length = strlen(text);
    size_t tail = 0;
    if (length == 0 || length > PATH_BYTES_MAX) {
        return false;
    }
    name->kind = COF_SQLITE_FILE_PART;
    name->part = COF_SQLITE_MAIN;
    if (ends_with(text, length, "-journal")) {
        tail = 8;
        name->part = COF_SQLITE_JOURNAL;
    } else if (ends_with(text, length, "-wal")) {
        tail = 4;
        name->part = COF_SQLITE_WAL;
    } else if (length > 12 && cof_sqlite_super_is_name(text + length - 12)) {
        tail = 12;
        name->kind = COF_SQLITE_FILE_SUPER;
    }
    memcpy(name->database, text, length - tail);
    name->database[length - tail] = '\0';
    name->suffix = text + length - tail;
    return true;
}

/* The same for a file that is opened as a database, whatever its name ends in. */
static bool take_whole(const char *text, struct name *name)
{
    if (strlen(text) > PATH_BYTES_MAX) {
        return false;
    }
    strcpy(name->database, text);
    name->kind = COF_SQLITE_FILE_PART;
    name->part = COF_SQLITE_MAIN;
    name->suffix = "";
    return true;
}

/* ---- there or not ------------------------------------------------------------------------ */

static bool is_there(struct cof_sqlite_database *database, const struct name *name)
{
    pthread_mutex_lock(&database->mutex);
    bool made = database->exists[name->part];
    pthread_mutex_unlock(&database->mutex);
    return made || name->part == COF_SQLITE_MAIN ||
           cof_sqlite_volume_length(&database->volume, name->part) > 0;
}

static void set_there(struct cof_sqlite_database *database, enum cof_sqlite_part part, bool there)
{
    pthread_mutex_lock(&database->mutex);
    database->exists[part] = there;
    if (part == COF_SQLITE_JOURNAL && !there) {
        database->journal_live = false;
    }
    pthread_mutex_unlock(&database->mutex);
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Whether a journal may still name the super-journal of an earlier process. One that has been begun
 * anew does not; of one that can't be looked at it is not known. */
static bool journal_needs(const char *journal)
{
    struct cof_sqlite_database *database;
    struct coffer_fault fault;
    struct name name;
    if (!take_apart(journal, &name) || name.part != COF_SQLITE_JOURNAL ||
        cof_sqlite_database_get(name.database, NULL, true, &database, &fault) != 0) {
        return true;
    }
    pthread_mutex_lock(&database->mutex);
    bool live = database->journal_live;
    pthread_mutex_unlock(&database->mutex);
    bool needs = !live && cof_sqlite_volume_length(&database->volume, COF_SQLITE_JOURNAL) > 0;
    return cof_sqlite_database_put(database, &fault) != 0 || needs;
}

static int open_super(struct cof_sqlite_file *file, const struct name *name, int flags,
                      struct coffer_fault *fault)
{
    struct cof_sqlite_volume *volume = &file->database->volume;
    int error = cof_sqlite_supers_find(volume, name->suffix, &file->slot, fault);
    if (error == COFFER_E_NOT_FOUND && (flags & SQLITE_OPEN_CREATE) != 0) {
        error = cof_sqlite_supers_create(volume, name->suffix, &file->slot, fault);
        if (error == COFFER_E_LIMIT &&
            cof_sqlite_supers_reclaim(volume, journal_needs, fault) == 0) {
            error = cof_sqlite_supers_create(volume, name->suffix, &file->slot, fault);
        }
        return error;
    }
    return error == 0 && (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? COFFER_E_EXISTS : error;
}

static int open_part(struct cof_sqlite_file *file, const struct name *name, int flags,
                     struct coffer_fault *fault)
{
    struct cof_sqlite_database *database = file->database;
    bool creates = (flags & SQLITE_OPEN_CREATE) != 0;
    if (name->part == COF_SQLITE_MAIN && !creates && !database->volume.formatted) {
        return cof_sqlite_fault(fault, COFFER_E_NOT_FOUND, "the volume holds no database yet");
    }
    if (!creates && !is_there(database, name)) {
        return COFFER_E_NOT_FOUND;
    }
    if (creates) {
        set_there(database, name->part, true);
    }
    return 0;
}

static int open_file(struct cof_sqlite_file *file, const char *uri, const struct name *name,
                     int flags, struct coffer_fault *fault)
{
    bool read_only = (flags & SQLITE_OPEN_READWRITE) == 0;
    struct coffer_fault late;
    int error = cof_sqlite_database_get(name->database, uri, read_only, &file->database, fault);
    if (error != 0) {
        return error;
    }
    file->kind = name->kind;
    file->part = name->part;
    file->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    error = name->kind == COF_SQLITE_FILE_SUPER ? open_super(file, name, flags, fault)
                                                : open_part(file, name, flags, fault);
    if (error != 0) {
        int closed = cof_sqlite_database_put(file->database, &late);
        (void)closed; /* the first error is told */
    }
    return error;
}

static int open_memory(sqlite3_file *base, int flags, int *ret_flags)
{
    if (memory == NULL) {
        return cof_sqlite_result(COFFER_E_UNSUPPORTED, NULL, SQLITE_CANTOPEN,
                                 "open a temporary file (SQLite was built without memdb) of", "");
    }
    return memory->xOpen(memory, NULL, base, flags, ret_flags);
}

static int vfs_open(sqlite3_vfs *self, const char *text, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;
    struct cof_sqlite_file *file = (struct cof_sqlite_file *)base;
    struct coffer_fault fault;
    struct name name;
    (void)self;
    memset(&fault, 0, sizeof fault);
    base->pMethods = NULL;
    if (text == NULL || (flags & (SQLITE_OPEN_MAIN_DB | journals)) == 0) {
        return open_memory(base, flags, ret_flags);
    }
    bool is_main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    if (is_main ? !take_whole(text, &name) : !take_apart(text, &name)) {
        return SQLITE_CANTOPEN;
    }
    memset(file, 0, sizeof *file);
    int error = open_file(file, is_main ? text : NULL, &name, flags, &fault);
    if (error != 0) {
        return cof_sqlite_result(error, &fault, SQLITE_CANTOPEN, "open", text);
    }
    if (ret_flags != NULL) {
        bool read_only = file->database->source.read_only;
        *ret_flags = read_only ? (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) |
                                     SQLITE_OPEN_READONLY
                               : flags;
    }
    base->pMethods = &cof_sqlite_methods;
    return SQLITE_OK;
}

/* ---- deleting and asking ----------------------------------------------------------------- */

static int delete_part(struct cof_sqlite_database *database, const struct name *name, bool durable,
                       struct coffer_fault *fault)
{
    if (name->part == COF_SQLITE_MAIN || !is_there(database, name)) {
        return COFFER_E_NOT_FOUND;
    }
    set_there(database, name->part, false);
    bool owed = cof_sqlite_take_owed(database);
    return cof_sqlite_volume_truncate(&database->volume, name->part, 0, durable || owed, fault);
}

static int vfs_delete(sqlite3_vfs *self, const char *text, int sync_directory)
{
    struct cof_sqlite_database *database;
    struct coffer_fault fault;
    struct coffer_fault late;
    struct name name;
    (void)self;
    memset(&fault, 0, sizeof fault);
    if (!take_apart(text, &name)) {
        return SQLITE_IOERR_DELETE;
    }
    int error = cof_sqlite_database_get(name.database, NULL, false, &database, &fault);
    if (error != 0) {
        return cof_sqlite_result(error, &fault, SQLITE_IOERR_DELETE, "delete", text);
    }
    error = name.kind == COF_SQLITE_FILE_SUPER
                ? cof_sqlite_supers_delete(&database->volume, name.suffix, &fault)
                : delete_part(database, &name, sync_directory != 0, &fault);
    int closed = cof_sqlite_database_put(database, &late);
    if (error == COFFER_E_NOT_FOUND) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    return cof_sqlite_result(error != 0 ? error : closed, &fault, SQLITE_IOERR_DELETE, "delete",
                             text);
}

/* A super-journal may lie in a database that is not open: not to find out is an error, as its
 * absence would commit what has to be rolled back. */
static int vfs_access(sqlite3_vfs *self, const char *text, int flags, int *ret_there)
{
    struct cof_sqlite_database *database;
    struct coffer_fault fault;
    struct coffer_fault late;
    struct name name;
    unsigned slot = 0;
    (void)self;
    (void)flags;
    memset(&fault, 0, sizeof fault);
    *ret_there = 0;
    if (!take_apart(text, &name)) {
        return SQLITE_OK;
    }
    int error = cof_sqlite_database_get(name.database, NULL, true, &database, &fault);
    if (error != 0) {
        return cof_sqlite_result(error, &fault, SQLITE_IOERR_ACCESS, "look for", text);
    }
    if (name.kind == COF_SQLITE_FILE_SUPER) {
        error = cof_sqlite_supers_find(&database->volume, name.suffix, &slot, &fault);
        *ret_there = error == 0;
        error = error == COFFER_E_NOT_FOUND ? 0 : error;
    } else {
        *ret_there = is_there(database, &name);
    }
    int closed = cof_sqlite_database_put(database, &late);
    return cof_sqlite_result(error != 0 ? error : closed, &fault, SQLITE_IOERR_ACCESS, "look for",
                             text);
}

static int vfs_full_name(sqlite3_vfs *self, const char *text, int capacity, char *full)
{
    const struct cof_sqlite_opener *opener = cof_sqlite_opener_get();
    struct coffer_fault fault;
    (void)self;
    memset(&fault, 0, sizeof fault);
    if (opener != NULL && !cof_sqlite_database_is_lent(text)) {
        int error = opener->full_name(text, full, (size_t)capacity, &fault);
        return cof_sqlite_result(error, &fault, SQLITE_CANTOPEN, "open", text);
    }
    if (snprintf(full, (size_t)capacity, "%s", text) >= capacity) {
        return SQLITE_CANTOPEN;
    }
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *self, int capacity, char *text)
{
    (void)self;
    if (text != NULL && capacity > 0) {
        coffer_sqlite_last_error(text, (size_t)capacity);
    }
    return 0;
}

/* ---- the default VFS's part -------------------------------------------------------------- */

static void *vfs_dl_open(sqlite3_vfs *self, const char *path)
{
    (void)self;
    return parent->xDlOpen(parent, path);
}

static void vfs_dl_error(sqlite3_vfs *self, int capacity, char *text)
{
    (void)self;
    parent->xDlError(parent, capacity, text);
}

static void (*vfs_dl_symbol(sqlite3_vfs *self, void *library, const char *symbol))(void)
{
    (void)self;
    return parent->xDlSym(parent, library, symbol);
}

static void vfs_dl_close(sqlite3_vfs *self, void *library)
{
    (void)self;
    parent->xDlClose(parent, library);
}

static int vfs_random(sqlite3_vfs *self, int bytes, char *buffer)
{
    (void)self;
    return parent->xRandomness(parent, bytes, buffer);
}

static int vfs_sleep(sqlite3_vfs *self, int microseconds)
{
    (void)self;
    return parent->xSleep(parent, microseconds);
}

static int vfs_time(sqlite3_vfs *self, double *ret_days)
{
    (void)self;
    return parent->xCurrentTime(parent, ret_days);
}

static int vfs_time_int64(sqlite3_vfs *self, sqlite3_int64 *ret_ms)
{
    double days = 0;
    (void)self;
    if (parent->iVersion >= 2 && parent->xCurrentTimeInt64 != NULL) {
        return parent->xCurrentTimeInt64(parent, ret_ms);
    }
    int result = parent->xCurrentTime(parent, &days);
    *ret_ms = (sqlite3_int64)(days * 86400000.0);
    return result;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .mxPathname = PATH_BYTES_MAX,
    .zName = COFFER_SQLITE_VFS,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_name,
    .xDlOpen = vfs_dl_open,
    .xDlError = vfs_dl_error,
    .xDlSym = vfs_dl_symbol,
    .xDlClose = vfs_dl_close,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_time_int64,
};

static int install(bool make_default)
{
    sqlite3_vfs *other = sqlite3_vfs_find(COFFER_SQLITE_VFS);
    if (other != NULL && other != &vfs) {
        return SQLITE_MISUSE;
    }
    if (other == NULL) {
        parent = sqlite3_vfs_find(NULL);
        memory = sqlite3_vfs_find("memdb");
        if (parent == NULL) {
            return SQLITE_ERROR;
        }
        vfs.szOsFile = (int)sizeof(struct cof_sqlite_file);
        if (memory != NULL && memory->szOsFile > vfs.szOsFile) {
            vfs.szOsFile = memory->szOsFile;
        }
    }
    return other == NULL || make_default ? sqlite3_vfs_register(&vfs, make_default) : SQLITE_OK;
}

int cof_sqlite_vfs_install(bool make_default)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    int result = sqlite3_initialize();
    pthread_mutex_lock(&once);
    result = result == SQLITE_OK ? install(make_default) : result;
    pthread_mutex_unlock(&once);
    return result;
}
