/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_sql.c - every statement of the store, and the few ways in which they are run.
 *
 * Invariants: no SQL is built at run time; each result code of SQLite becomes one error with a
 * sentence. Under the store's lock.
 */
#include "store_sql.h"

#include <stdarg.h>

#define KEY_COLUMNS                                                                                \
    "key_id, arn, account, region, state, managed, origin, key_spec, key_usage, multi_region, "    \
    "description, policy, created_ns, deletion_ns, valid_to_ns, rotation_period_days, "            \
    "next_rotation_ns, material_id, mac"
#define GRANT_COLUMNS                                                                              \
    "grant_id, key_id, name, grantee, retiring_principal, operations, constraint_kind, "           \
    "constraint_context, created_ns, mac"
#define STORE_COLUMNS                                                                              \
    "id, uuid, account, region, created_ns, schema_version, root_kind, argon2_memory_kib, "        \
    "argon2_passes, argon2_lanes, salt, sealed_root, mac"
#define AUDIT_COLUMNS                                                                              \
    "seq, time_ns, event, request_id, principal, key_arn, source_key_arn, context, "               \
    "source_context, detail, error, mac"

static const char *const statements[COF_KMS_SQL_COUNT] = {
    [COF_KMS_SQL_BEGIN_READ] = "BEGIN DEFERRED",
    [COF_KMS_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [COF_KMS_SQL_SAVEPOINT] = "SAVEPOINT work",
    [COF_KMS_SQL_UNDO] = "ROLLBACK TO work",
    [COF_KMS_SQL_COMMIT] = "COMMIT",
    [COF_KMS_SQL_ROLLBACK] = "ROLLBACK",
    [COF_KMS_SQL_STORE_GET] = "SELECT " STORE_COLUMNS " FROM store WHERE id = 1",
    [COF_KMS_SQL_STORE_ADD] = "INSERT INTO store (" STORE_COLUMNS ")"
                              " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, x'')",
    [COF_KMS_SQL_STORE_MAC] = "UPDATE store SET mac = ?1 WHERE id = 1 AND ?2 = ''",
    [COF_KMS_SQL_KEY_GET] = "SELECT " KEY_COLUMNS " FROM key WHERE key_id = ?",
    [COF_KMS_SQL_KEY_EACH] = "SELECT " KEY_COLUMNS " FROM key WHERE key_id > ?"
                             " ORDER BY key_id LIMIT ?",
    [COF_KMS_SQL_KEY_ADD] = "INSERT INTO key (" KEY_COLUMNS ")"
                            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, 0, NULL, ?,"
                            " x'')",
    [COF_KMS_SQL_KEY_STATE] = "UPDATE key SET state = ?1 WHERE key_id = ?2",
    [COF_KMS_SQL_KEY_MAC] = "UPDATE key SET mac = ?1 WHERE key_id = ?2",
    [COF_KMS_SQL_KEY_COUNT] = "SELECT count(*) FROM key",
    [COF_KMS_SQL_MATERIAL_GET] = "SELECT material_id, key_id, version, source, created_ns, sealed"
                                 " FROM material WHERE material_id = ?1 AND key_id = ?2",
    [COF_KMS_SQL_MATERIAL_ADD] = "INSERT INTO material (material_id, key_id, version, source,"
                                 " created_ns, sealed) VALUES (?, ?, ?, ?, ?, ?)",
    [COF_KMS_SQL_ALIAS_GET] = "SELECT name, key_id, created_ns, updated_ns, mac FROM alias"
                              " WHERE name = ?",
    [COF_KMS_SQL_ALIAS_EACH] = "SELECT name, key_id, created_ns, updated_ns, mac FROM alias"
                               " WHERE (?1 = '' OR key_id = ?1) AND name > ?2"
                               " ORDER BY name LIMIT ?3",
    [COF_KMS_SQL_ALIAS_ADD] = "INSERT INTO alias (name, key_id, created_ns, updated_ns, mac)"
                              " VALUES (?, ?, ?, ?, x'')",
    [COF_KMS_SQL_ALIAS_MAC] = "UPDATE alias SET mac = ?1 WHERE name = ?2",
    [COF_KMS_SQL_ALIAS_COUNT] = "SELECT count(*) FROM alias WHERE key_id = ?",
    [COF_KMS_SQL_GRANT_GET] = "SELECT " GRANT_COLUMNS " FROM key_grant WHERE grant_id = ?",
    [COF_KMS_SQL_GRANT_EACH] = "SELECT " GRANT_COLUMNS " FROM key_grant WHERE key_id = ?1"
                               " AND (?2 = '' OR name = ?2) AND grant_id > ?3"
                               " ORDER BY grant_id LIMIT ?4",
    [COF_KMS_SQL_GRANT_ADD] = "INSERT INTO key_grant (" GRANT_COLUMNS ")"
                              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, x'')",
    [COF_KMS_SQL_GRANT_MAC] = "UPDATE key_grant SET mac = ?1 WHERE grant_id = ?2",
    [COF_KMS_SQL_GRANT_REMOVE] = "DELETE FROM key_grant WHERE grant_id = ?1 AND key_id = ?2",
    [COF_KMS_SQL_GRANT_COUNT] = "SELECT count(*) FROM key_grant WHERE key_id = ?",
    [COF_KMS_SQL_AUDIT_LAST] = "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1",
    [COF_KMS_SQL_AUDIT_ADD] = "INSERT INTO audit (" AUDIT_COLUMNS ")"
                              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [COF_KMS_SQL_AUDIT_EACH] = "SELECT " AUDIT_COLUMNS " FROM audit ORDER BY seq",
};

/* ---- errors ------------------------------------------------------------------------------ */

static int error_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return COFFER_E_BUSY;
    case SQLITE_FULL:
        return COFFER_E_NO_SPACE;
    case SQLITE_CORRUPT:
        return COFFER_E_CORRUPT;
    case SQLITE_NOTADB:
        return COFFER_E_NOT_A_STORE;
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return COFFER_E_ACCESS;
    case SQLITE_IOERR:
        return COFFER_E_IO;
    case SQLITE_NOMEM:
        return COFFER_E_NO_MEMORY;
    case SQLITE_TOOBIG:
        return COFFER_E_LIMIT;
    default:
        return COFFER_E_INTERNAL;
    }
}

static const char *advice_of(int error)
{
    switch (error) {
    case COFFER_E_BUSY:
        return "another process holds the key store: try again";
    case COFFER_E_NO_SPACE:
        return "the file system is full: make room";
    case COFFER_E_CORRUPT:
        return "the key store is damaged: restore it from a copy";
    case COFFER_E_NOT_A_STORE:
        return "this is not a key store";
    case COFFER_E_ACCESS:
        return "check the rights of the file and its directory";
    default:
        return coffer_error_sentence(error);
    }
}

int cof_kms_sql_fail(struct cof_kms_db *db, int result, const char *what,
                     struct coffer_fault *fault)
{
    int error = error_of(result);
    int status = cof_kms_fault(fault, error, "%s: %s: %s", what, sqlite3_errstr(result),
                               advice_of(error));

    if (fault != NULL && db->sqlite != NULL) {
        fault->os_errno = sqlite3_system_errno(db->sqlite);
    }
    return status;
}

/* ---- running ----------------------------------------------------------------------------- */

static int bind_one(sqlite3_stmt *stmt, int index, char letter, va_list *arguments)
{
    const char *text;
    const void *blob;
    int64_t number;

    switch (letter) {
    case 't':
    case 'T':
        text = va_arg(*arguments, const char *);
        return letter == 'T' && text[0] == '\0'
                   ? sqlite3_bind_null(stmt, index)
                   : sqlite3_bind_text(stmt, index, text, -1, SQLITE_TRANSIENT);
    case 'i':
    case 'I':
        number = va_arg(*arguments, int64_t);
        return letter == 'I' && number == 0 ? sqlite3_bind_null(stmt, index)
                                            : sqlite3_bind_int64(stmt, index, number);
    case 'b':
        blob = va_arg(*arguments, const void *);
        return sqlite3_bind_blob64(stmt, index, blob, va_arg(*arguments, size_t),
                                   SQLITE_TRANSIENT);
    default:
        return SQLITE_MISUSE;
    }
}

int cof_kms_sql_start(struct cof_kms_db *db, enum cof_kms_sql which, sqlite3_stmt **ret_stmt,
                      struct coffer_fault *fault, const char *letters, ...)
{
    sqlite3_stmt *stmt = db->statements[which];
    int result = SQLITE_OK, index;
    va_list arguments;

    if (stmt == NULL) {
        result = sqlite3_prepare_v3(db->sqlite, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    &stmt, NULL);
        if (result != SQLITE_OK) {
            return cof_kms_sql_fail(db, result, "reading the key store", fault);
        }
        db->statements[which] = stmt;
    }
    /* reset repeats the error of the last run, which was reported then. */
    (void)sqlite3_reset(stmt);
    va_start(arguments, letters);
    for (index = 1; result == SQLITE_OK && letters[index - 1] != '\0'; index++) {
        result = bind_one(stmt, index, letters[index - 1], &arguments);
    }
    va_end(arguments);
    if (result != SQLITE_OK) {
        return cof_kms_sql_fail(db, result, "using the key store", fault);
    }
    *ret_stmt = stmt;
    return 0;
}

int cof_kms_sql_step(struct cof_kms_db *db, sqlite3_stmt *stmt, bool *ret_row,
                     struct coffer_fault *fault)
{
    int result = sqlite3_step(stmt);

    if (result == SQLITE_ROW) {
        *ret_row = true;
        return 0;
    }
    (void)sqlite3_reset(stmt);
    if (result != SQLITE_DONE) {
        return cof_kms_sql_fail(db, result, "using the key store", fault);
    }
    *ret_row = false;
    return 0;
}

int cof_kms_sql_done(struct cof_kms_db *db, sqlite3_stmt *stmt, struct coffer_fault *fault)
{
    bool row = false;
    int error = cof_kms_sql_step(db, stmt, &row, fault);

    if (error == 0 && row) {
        (void)sqlite3_reset(stmt);
        return cof_kms_fault(fault, COFFER_E_INTERNAL, NULL);
    }
    return error;
}

int cof_kms_sql_number(struct cof_kms_db *db, sqlite3_stmt *stmt, uint64_t *ret_number,
                       struct coffer_fault *fault)
{
    bool row = false;
    int error = cof_kms_sql_step(db, stmt, &row, fault);

    if (error == 0 && !row) {
        return cof_kms_fault(fault, COFFER_E_INTERNAL, NULL);
    }
    if (error == 0) {
        *ret_number = cof_kms_sql_u64(stmt, 0, INT64_MAX, &error);
        (void)sqlite3_reset(stmt);
    }
    return error;
}
