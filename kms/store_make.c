/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_make.c - making the SQLite file: whole or not at all.
 *
 * Invariants:
 * - A file at the store's path is complete: it is built under another name, synced, and linked.
 * - The file, and the two that SQLite puts beside it, have mode 0600.
 * No lock is needed: the name that it is built under belongs to this call.
 */
#include "store_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fill the empty file at path with the tables and the header's row. */
static int fill_file(struct cof_kms_env *env, const char *path,
                     const struct cof_kms_header *header, const uint8_t *mac_key,
                     struct coffer_fault *fault)
{
    struct cof_kms_db *db = NULL;
    int error = cof_kms_sql_connect(env, path, SQLITE_OPEN_READWRITE, &db, fault);

    if (error != 0) {
        return error;
    }
    db->mac_key = mac_key;
    memcpy(db->uuid, header->uuid, sizeof(db->uuid));
    error = cof_kms_sql_set_up(db, false, 0, fault);
    if (error == 0) {
        error = cof_kms_db_begin(db, true, fault);
    }
    if (error == 0) {
        error = cof_kms_schema_make(db, fault);
        if (error == 0) {
            error = cof_kms_sql_put_header(db, header, fault);
        }
        if (error == 0) {
            error = cof_kms_db_commit(db, fault);
        } else {
            cof_kms_db_rollback(db);
        }
    }
    /* Closing the last connection moves the write-ahead log into the file and removes it. */
    cof_kms_db_close(db);
    return error;
}

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

static void remove_built(const char *path)
{
    char beside[1100];

    (void)unlink(path);
    (void)snprintf(beside, sizeof(beside), "%s-wal", path);
    (void)unlink(beside);
    (void)snprintf(beside, sizeof(beside), "%s-shm", path);
    (void)unlink(beside);
}

int cof_kms_db_create(struct cof_kms_env *env, const char *path,
                      const struct cof_kms_header *header, const uint8_t *mac_key,
                      struct coffer_fault *fault)
{
    char built[1060];
    char hex[17];
    int fd, error;

    cof_kms_hex(header->uuid, 8, hex);
    (void)snprintf(built, sizeof(built), "%s.new-%s", path, hex);
    fd = open(built, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return cof_kms_sql_path_fail(path, errno, fault);
    }
    (void)close(fd);
    error = fill_file(env, built, header, mac_key, fault);
    if (error == 0) {
        error = sync_path(built, 0, fault);
    }
    if (error == 0 && link(built, path) != 0) {
        error = errno == EEXIST ? cof_kms_fault(fault, COFFER_E_EXISTS, NULL)
                                : cof_kms_sql_path_fail(path, errno, fault);
    }
    remove_built(built);
    return error == 0 ? cof_kms_sync_directory_of(path, fault) : error;
}
