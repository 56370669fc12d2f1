/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_file.c - a file built aside takes its place: whole, durable, or not at all.
 *
 * Invariants:
 * - A file at a store's path is complete: it was built under another name, synced, and linked or
 *   renamed there; the directory is synced before a call returns.
 * - No write-ahead log of one store ever lies beside another store's file: SQLite would play it in.
 * - What a store is replaced by never takes the place of one that a process has open.
 * The name that a file is built under belongs to one call, so no lock guards it.
 */
#include "store_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIDE_BYTES_MAX (COF_KMS_BUILT_BYTES_MAX + 8u)

static const char *beside(const char *path, const char *suffix, char side[SIDE_BYTES_MAX])
{
    (void)snprintf(side, SIDE_BYTES_MAX, "%s%s", path, suffix);
    return side;
}

static int name_aside(struct cof_kms_env *env, const char *path, const char *what,
                      char ret_name[COF_KMS_BUILT_BYTES_MAX], struct coffer_fault *fault)
{
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1];

    if (cof_kms_random(env, random, sizeof(random)) != 0) {
        return cof_kms_fault(fault, COFFER_E_CRYPTO, NULL);
    }
    cof_kms_hex(random, sizeof(random), hex);
    if ((size_t)snprintf(ret_name, COF_KMS_BUILT_BYTES_MAX, "%s.%s-%s", path, what, hex) >=
        COF_KMS_BUILT_BYTES_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "the path %.60s... is too long", path);
    }
    return 0;
}

int cof_kms_file_begin(struct cof_kms_env *env, const char *path,
                       char ret_built[COF_KMS_BUILT_BYTES_MAX], struct coffer_fault *fault)
{
    int fd, error = name_aside(env, path, "new", ret_built, fault);

    if (error != 0) {
        return error;
    }
    fd = open(ret_built, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return cof_kms_sql_path_fail(path, errno, fault);
    }
    (void)close(fd);
    return 0;
}

void cof_kms_file_discard(const char *built)
{
    char side[SIDE_BYTES_MAX];

    (void)unlink(built);
    (void)unlink(beside(built, "-wal", side));
    (void)unlink(beside(built, "-shm", side));
    (void)unlink(beside(built, "-journal", side));
}

/* ---- syncing ----------------------------------------------------------------------------- */

static int sync_path(const char *path, int flags, struct coffer_fault *fault)
{
    int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    int saved = errno;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (result != 0) {
        errno = saved;
        return cof_kms_fault(fault, saved == ENOSPC ? COFFER_E_NO_SPACE : COFFER_E_IO,
                             "syncing %.100s: %s", path, strerror(saved));
    }
    return 0;
}

int cof_kms_sync_directory_of(const char *path, struct coffer_fault *fault)
{
    char directory[1024];
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return sync_path(".", O_DIRECTORY, fault);
    }
    if (slash == path) {
        return sync_path("/", O_DIRECTORY, fault);
    }
    (void)snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    return sync_path(directory, O_DIRECTORY, fault);
}

static bool has_log(const char *path)
{
    char side[SIDE_BYTES_MAX];
    struct stat about;

    return stat(beside(path, "-wal", side), &about) == 0 && about.st_size > 0;
}

/* What SQLite could not bring into the file when it was closed is not in what would be linked. */
static int sync_built(const char *built, struct coffer_fault *fault)
{
    if (has_log(built)) {
        return cof_kms_fault(fault, COFFER_E_IO, "%.90s could not be written: see the file system",
                             built);
    }
    return sync_path(built, 0, fault);
}

/* ---- a new file -------------------------------------------------------------------------- */

static bool is_there(const char *path)
{
    struct stat about;

    return lstat(path, &about) == 0;
}

/* A log without its store: whoever takes the path would have it played in. */
static int check_no_log(const char *path, struct coffer_fault *fault)
{
    if (has_log(path) && !is_there(path)) {
        return cof_kms_fault(fault, COFFER_E_CONFLICT,
                             "%.80s-wal is left of another key store: move it away first", path);
    }
    return 0;
}

int cof_kms_file_link(const char *built, const char *path, struct coffer_fault *fault)
{
    int error = sync_built(built, fault);

    if (error == 0) {
        error = check_no_log(path, fault);
    }
    if (error == 0 && link(built, path) != 0) {
        error = errno == EEXIST ? cof_kms_fault(fault, COFFER_E_EXISTS,
                                                "%.100s is there already: name another path", path)
                                : cof_kms_sql_path_fail(path, errno, fault);
    }
    return error == 0 ? cof_kms_sync_directory_of(path, fault) : error;
}

/* ---- in the place of another ------------------------------------------------------------- */

/* Be alone with the store that leaves, its log brought into it, until *ret_alone is closed. One
 * that SQLite can't make out is nobody's: *ret_alone is then of no use, and its log stays as
 * it is. */
static int be_alone(const char *path, sqlite3 **ret_alone, struct coffer_fault *fault)
{
    int result =
        sqlite3_open_v2(path, ret_alone, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_exec(*ret_alone, "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE", NULL,
                              NULL, NULL);
    }
    if ((result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED) {
        return cof_kms_fault(fault, COFFER_E_BUSY,
                             "a process has the key store %.70s open: stop it first", path);
    }
    return 0;
}

/* Keep the store that leaves under a name of its own, with the log that it couldn't take in. */
static int set_aside(struct cof_kms_env *env, const char *path, struct coffer_fault *fault)
{
    char kept[COF_KMS_BUILT_BYTES_MAX], kept_log[SIDE_BYTES_MAX], log[SIDE_BYTES_MAX];
    int error = name_aside(env, path, "replaced", kept, fault);

    if (error == 0 && link(path, kept) != 0) {
        error = cof_kms_sql_path_fail(kept, errno, fault);
    }
    if (error == 0 && rename(beside(path, "-wal", log), beside(kept, "-wal", kept_log)) != 0 &&
        errno != ENOENT) {
        error = cof_kms_sql_path_fail(path, errno, fault);
        (void)unlink(kept);
    }
    (void)unlink(beside(path, "-shm", log));
    return error;
}

int cof_kms_file_replace(struct cof_kms_env *env, const char *built, const char *path,
                         struct coffer_fault *fault)
{
    sqlite3 *alone = NULL;
    int error;

    if (!is_there(path)) {
        return cof_kms_file_link(built, path, fault);
    }
    error = sync_built(built, fault);
    if (error == 0) {
        error = be_alone(path, &alone, fault);
    }
    if (error == 0) {
        error = set_aside(env, path, fault);
    }
    if (error == 0 && rename(built, path) != 0) {
        error = cof_kms_sql_path_fail(path, errno, fault);
    }
    if (error == 0) {
        error = cof_kms_sync_directory_of(path, fault);
    }
    (void)sqlite3_close(alone);
    return error;
}
