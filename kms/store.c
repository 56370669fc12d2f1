/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store.c - the SQLite file: connecting, opening, and its transactions.
 *
 * Invariant: journal WAL and synchronous FULL, so what commit acknowledged is durable.
 * Under the key store's lock. It never sees a key but the one that its MACs need.
 */
#include "store_sql.h"

#include "testhook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


/* ---- one connection ---------------------------------------------------------------------- */

int cof_kms_sql_set_up(struct cof_kms_db *db, bool read_only, unsigned busy_ms,
                  struct coffer_fault *fault)
{
    static const char pragmas[] = "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
                                  "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                                  "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON";
    int result;

    (void)sqlite3_extended_result_codes(db->sqlite, 1);
    (void)sqlite3_busy_timeout(db->sqlite, (int)busy_ms);
    (void)sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_limit(db->sqlite, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_limit(db->sqlite, SQLITE_LIMIT_LENGTH, 1 << 20);
    result = sqlite3_exec(db->sqlite, pragmas, NULL, NULL, NULL);
    if (COF_KMS_BROKEN(LAZY_SYNC)) {
        result = sqlite3_exec(db->sqlite, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    }
    if (result == SQLITE_OK && !read_only) {
        result = sqlite3_exec(db->sqlite, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, "opening the key store", fault);
}

int cof_kms_sql_connect(struct cof_kms_env *env, const char *path, int flags,
                        struct cof_kms_db **ret_db, struct coffer_fault *fault)
{
    struct cof_kms_db *db = cof_kms_alloc(env, sizeof(*db));
    int result;

    if (db == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    db->env = env;
    (void)snprintf(db->path, sizeof(db->path), "%s", path);
    db->row_buffer = cof_kms_alloc(env, COF_KMS_ROW_BYTES_MAX);
    if (db->row_buffer == NULL) {
        cof_kms_db_close(db);
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    result = sqlite3_open_v2(path, &db->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK) {
        int error = cof_kms_sql_fail(db, result, "opening the key store", fault);

        cof_kms_db_close(db);
        return error;
    }
    *ret_db = db;
    return 0;
}

void cof_kms_db_close(struct cof_kms_db *db)
{
    size_t i;

    if (db == NULL) {
        return;
    }
    for (i = 0; i < COF_KMS_SQL_COUNT; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->sqlite);
    cof_kms_free(db->env, db->row_buffer);
    cof_kms_free(db->env, db);
}

const char *cof_kms_db_path(const struct cof_kms_db *db)
{
    return db->path;
}

int cof_kms_sql_path_fail(const char *path, int saved, struct coffer_fault *fault)
{
    int error = COFFER_E_IO;

    if (saved == ENOENT || saved == ENOTDIR) {
        error = COFFER_E_NOT_FOUND;
    } else if (saved == EACCES || saved == EPERM || saved == EROFS) {
        error = COFFER_E_ACCESS;
    } else if (saved == ENOSPC || saved == EDQUOT) {
        error = COFFER_E_NO_SPACE;
    }
    errno = saved;
    return cof_kms_fault(fault, error, "key store %.110s: %s", path, strerror(saved));
}

/* ---- opening ----------------------------------------------------------------------------- */

/* "file:" and path with all but plain characters escaped, for the URI that names it immutable. */
static void immutable_uri(const char *path, char *ret_uri, size_t capacity)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t length = (size_t)snprintf(ret_uri, capacity, "file:");

    for (; *path != '\0' && length + 20 < capacity; path++) {
        unsigned char c = (unsigned char)*path;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '/' || c == '.' || c == '-' || c == '_') {
            ret_uri[length++] = (char)c;
        } else {
            ret_uri[length++] = '%';
            ret_uri[length++] = digits[c >> 4];
            ret_uri[length++] = digits[c & 15];
        }
    }
    (void)snprintf(ret_uri + length, capacity - length, "?immutable=1");
}

static bool log_is_empty(const char *path)
{
    char beside[1100];
    struct stat about;

    (void)snprintf(beside, sizeof(beside), "%s-wal", path);
    return stat(beside, &about) != 0 || about.st_size == 0;
}

static int connect_read_only(struct cof_kms_env *env, const char *path, unsigned busy_ms,
                             struct cof_kms_db **ret_db, struct coffer_fault *fault)
{
    char uri[4096];
    struct cof_kms_db *db = NULL;
    uint32_t version = 0;
    int error = cof_kms_sql_connect(env, path, SQLITE_OPEN_READONLY, &db, fault);

    if (error == 0) {
        error = cof_kms_sql_set_up(db, true, busy_ms, fault);
    }
    if (error == 0) {
        error = cof_kms_schema_check(db, &version, fault);
    }
    if (error == COFFER_E_ACCESS && log_is_empty(path)) {
        /* SQLite can't put its shared index beside the file: read it as one that nobody writes. */
        cof_kms_db_close(db);
        db = NULL;
        immutable_uri(path, uri, sizeof(uri));
        error = cof_kms_sql_connect(env, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &db, fault);
        if (error == 0) {
            error = cof_kms_sql_set_up(db, true, busy_ms, fault);
        }
        if (error == 0) {
            error = cof_kms_schema_check(db, &version, fault);
        }
    }
    if (error != 0) {
        cof_kms_db_close(db);
        return error;
    }
    db->read_only = true;
    *ret_db = db;
    return 0;
}

static int check_file(struct cof_kms_env *env, const char *path, bool read_only,
                      struct coffer_fault *fault)
{
    struct stat about;

    if (stat(path, &about) != 0) {
        return cof_kms_sql_path_fail(path, errno, fault);
    }
    if (!S_ISREG(about.st_mode) || about.st_size == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_A_STORE,
                             "%.90s is %s: name another path, or remove it", path,
                             S_ISREG(about.st_mode) ? "an empty file" : "not a file");
    }
    if (access(path, read_only ? R_OK : R_OK | W_OK) != 0) {
        return cof_kms_sql_path_fail(path, errno, fault);
    }
    if ((about.st_mode & 077) != 0) {
        cof_kms_warn(env, "key store %s is open to others (mode %03o): chmod 600 it", path,
                     (unsigned)about.st_mode & 0777u);
    }
    return 0;
}

int cof_kms_db_open(struct cof_kms_env *env, const char *path, bool read_only, unsigned busy_ms,
                    struct cof_kms_db **ret_db, struct coffer_fault *fault)
{
    struct cof_kms_db *db = NULL;
    uint32_t version = 0;
    int error = check_file(env, path, read_only, fault);

    if (error != 0) {
        return error;
    }
    if (read_only) {
        return connect_read_only(env, path, busy_ms, ret_db, fault);
    }
    error = cof_kms_sql_connect(env, path, SQLITE_OPEN_READWRITE, &db, fault);
    if (error == 0) {
        (void)sqlite3_busy_timeout(db->sqlite, (int)busy_ms);
        error = cof_kms_schema_check(db, &version, fault);
    }
    if (error == 0) {
        error = cof_kms_sql_set_up(db, false, busy_ms, fault);
    }
    if (error != 0) {
        cof_kms_db_close(db);
        return error;
    }
    *ret_db = db;
    return 0;
}

/* ---- transactions ------------------------------------------------------------------------ */

static int run(struct cof_kms_db *db, enum cof_kms_sql which, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, which, &stmt, fault, "");

    return error == 0 ? cof_kms_sql_done(db, stmt, fault) : error;
}

int cof_kms_db_begin(struct cof_kms_db *db, bool writes, struct coffer_fault *fault)
{
    int error = run(db, writes ? COF_KMS_SQL_BEGIN_WRITE : COF_KMS_SQL_BEGIN_READ, fault);

    db->writes = error == 0 && writes;
    return error;
}

int cof_kms_db_mark(struct cof_kms_db *db, struct coffer_fault *fault)
{
    return run(db, COF_KMS_SQL_MARK, fault);
}

int cof_kms_db_undo(struct cof_kms_db *db, struct coffer_fault *fault)
{
    return run(db, COF_KMS_SQL_UNDO, fault);
}

int cof_kms_db_release(struct cof_kms_db *db, struct coffer_fault *fault)
{
    return run(db, COF_KMS_SQL_RELEASE, fault);
}

bool cof_kms_db_is_lost(const struct cof_kms_db *db)
{
    return db->writes && sqlite3_get_autocommit(db->sqlite) != 0;
}

int cof_kms_db_commit(struct cof_kms_db *db, struct coffer_fault *fault)
{
    int error = COF_KMS_BROKEN(FAIL_COMMIT) ? cof_kms_sql_fail(db, SQLITE_FULL, "a test", fault)
                                            : run(db, COF_KMS_SQL_COMMIT, fault);

    if (error != 0) {
        cof_kms_db_rollback(db);
    }
    db->writes = false;
    return error;
}

void cof_kms_db_rollback(struct cof_kms_db *db)
{
    int error;

    db->writes = false;
    /* An error such as a full disk may have rolled back already. */
    if (sqlite3_get_autocommit(db->sqlite) == 0) {
        error = run(db, COF_KMS_SQL_ROLLBACK, NULL);
        if (error != 0) {
            cof_kms_warn(db->env, "rolling back: %s", coffer_error_sentence(error));
        }
    }
}

void cof_kms_db_checkpoint(struct cof_kms_db *db)
{
    int result = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                           NULL);

    if (result != SQLITE_OK && result != SQLITE_BUSY) {
        cof_kms_warn(db->env, "emptying the key store's write-ahead log: %s",
                     sqlite3_errstr(result));
    }
}
