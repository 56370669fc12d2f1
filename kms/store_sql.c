/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_sql.c - binding and running statements, and making a row with its MAC.
 *
 * Invariants: no SQL is built at run time; the bytes that are bound are the bytes that are MACed;
 * each result code of SQLite becomes one error with a sentence. Under the store's lock.
 */
#include "store_sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

static int bind_text(sqlite3_stmt *stmt, int index, const char *text, bool may_be_null,
                     struct cof_kms_pack *pack)
{
    if (may_be_null && text[0] == '\0') {
        cof_kms_sql_pack_null(pack);
        return sqlite3_bind_null(stmt, index);
    }
    cof_kms_sql_pack_text(pack, text, strlen(text));
    return sqlite3_bind_text(stmt, index, text, -1, SQLITE_TRANSIENT);
}

static int bind_number(sqlite3_stmt *stmt, int index, int64_t number, bool may_be_null,
                       struct cof_kms_pack *pack)
{
    if (may_be_null && number == 0) {
        cof_kms_sql_pack_null(pack);
        return sqlite3_bind_null(stmt, index);
    }
    cof_kms_sql_pack_i64(pack, number);
    return sqlite3_bind_int64(stmt, index, number);
}

static int bind_blob(sqlite3_stmt *stmt, int index, const void *blob, size_t bytes,
                     bool may_be_null, struct cof_kms_pack *pack)
{
    if (may_be_null && bytes == 0) {
        cof_kms_sql_pack_null(pack);
        return sqlite3_bind_null(stmt, index);
    }
    cof_kms_sql_pack_blob(pack, blob, bytes);
    return bytes == 0 ? sqlite3_bind_zeroblob(stmt, index, 0)
                      : sqlite3_bind_blob64(stmt, index, blob, bytes, SQLITE_TRANSIENT);
}

/* Bind and pack what letters say; the number of parameters is their count. */
static int bind_all(sqlite3_stmt *stmt, const char *letters, va_list arguments,
                    struct cof_kms_pack *pack)
{
    int result = SQLITE_OK, index;

    for (index = 1; result == SQLITE_OK && *letters != '\0'; index++, letters++) {
        const void *blob;

        switch (*letters) {
        case 't':
        case 'T':
            result = bind_text(stmt, index, va_arg(arguments, const char *), *letters == 'T',
                               pack);
            break;
        case 'i':
        case 'I':
            result = bind_number(stmt, index, va_arg(arguments, int64_t), *letters == 'I', pack);
            break;
        case 'b':
        case 'B':
            blob = va_arg(arguments, const void *);
            result = bind_blob(stmt, index, blob, va_arg(arguments, size_t), *letters == 'B',
                               pack);
            break;
        default:
            result = SQLITE_MISUSE;
            break;
        }
    }
    return result;
}

static int prepare(struct cof_kms_db *db, enum cof_kms_sql which, sqlite3_stmt **ret_stmt,
                   struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = db->statements[which];

    if (which >= COF_KMS_SQL_MARK && cof_kms_db_is_lost(db)) {
        return cof_kms_fault(fault, COFFER_E_IO,
                             "an error took back what was written to the key store: try again");
    }
    if (stmt == NULL) {
        int result = sqlite3_prepare_v3(db->sqlite, cof_kms_statements[which], -1,
                                        SQLITE_PREPARE_PERSISTENT, &stmt, NULL);

        if (result != SQLITE_OK) {
            return cof_kms_sql_fail(db, result, "reading the key store", fault);
        }
        db->statements[which] = stmt;
    }
    /* reset repeats the error of the last run, which was reported then. */
    (void)sqlite3_reset(stmt);
    *ret_stmt = stmt;
    return 0;
}

static int start(struct cof_kms_db *db, enum cof_kms_sql which, sqlite3_stmt **ret_stmt,
                 struct coffer_fault *fault, const char *letters, va_list arguments)
{
    struct cof_kms_pack nowhere = cof_kms_pack_into(NULL, 0);
    sqlite3_stmt *stmt = NULL;
    int result, error = prepare(db, which, &stmt, fault);

    if (error != 0) {
        return error;
    }
    result = bind_all(stmt, letters, arguments, &nowhere);
    if (result != SQLITE_OK) {
        return cof_kms_sql_fail(db, result, "using the key store", fault);
    }
    *ret_stmt = stmt;
    return 0;
}

int cof_kms_sql_start(struct cof_kms_db *db, enum cof_kms_sql which, sqlite3_stmt **ret_stmt,
                      struct coffer_fault *fault, const char *letters, ...)
{
    va_list arguments;
    int error;

    va_start(arguments, letters);
    error = start(db, which, ret_stmt, fault, letters, arguments);
    va_end(arguments);
    return error;
}

int cof_kms_sql_run(struct cof_kms_db *db, enum cof_kms_sql which, struct coffer_fault *fault,
                    const char *letters, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list arguments;
    int error;

    va_start(arguments, letters);
    error = start(db, which, &stmt, fault, letters, arguments);
    va_end(arguments);
    return error == 0 ? cof_kms_sql_done(db, stmt, fault) : error;
}

int cof_kms_sql_put(struct cof_kms_db *db, enum cof_kms_sql which, const char *label,
                    struct coffer_fault *fault, const char *letters, ...)
{
    struct cof_kms_pack pack = cof_kms_pack_into(db->row_buffer, COF_KMS_ROW_BYTES_MAX);
    int columns = (int)strlen(letters);
    uint8_t mac[COF_KMS_MAC_BYTES];
    sqlite3_stmt *stmt = NULL;
    va_list arguments;
    int result, error = prepare(db, which, &stmt, fault);

    if (error != 0) {
        return error;
    }
    cof_kms_sql_row_head(db, &pack, label, columns);
    va_start(arguments, letters);
    result = bind_all(stmt, letters, arguments, &pack);
    va_end(arguments);
    if (result == SQLITE_OK && pack.overflowed) {
        return cof_kms_fault(fault, COFFER_E_LIMIT, "a row of the key store would be too long");
    }
    if (result == SQLITE_OK) {
        error = cof_kms_mac(db->mac_key, cof_kms_packed(&pack), mac);
        result = sqlite3_bind_blob64(stmt, columns + 1, mac, sizeof(mac), SQLITE_TRANSIENT);
    }
    if (result != SQLITE_OK) {
        return cof_kms_sql_fail(db, result, "using the key store", fault);
    }
    return error == 0 ? cof_kms_sql_done(db, stmt, fault) : cof_kms_fault(fault, error, NULL);
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

int cof_kms_sql_next(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label, bool *ret_row,
                     struct coffer_fault *fault)
{
    int error = cof_kms_sql_step(db, stmt, ret_row, fault);

    if (error == 0 && *ret_row) {
        error = cof_kms_sql_row_check(db, stmt, label, fault);
        if (error != 0) {
            (void)sqlite3_reset(stmt);
        }
    }
    return error;
}

int cof_kms_sql_only(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label,
                     struct coffer_fault *fault, int missing, const char *format, ...)
{
    char sentence[sizeof(fault->detail)];
    bool found = false;
    va_list arguments;
    int error = cof_kms_sql_next(db, stmt, label, &found, fault);

    if (error != 0 || found) {
        return error;
    }
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    return cof_kms_fault(fault, missing, "%s", sentence);
}

int cof_kms_sql_count(struct cof_kms_db *db, enum cof_kms_sql which, const char *text,
                      uint64_t *ret_count, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, which, &stmt, fault, "t", text);

    return error == 0 ? cof_kms_sql_number(db, stmt, ret_count, fault) : error;
}

int cof_kms_sql_end(sqlite3_stmt *stmt, int error, struct coffer_fault *fault)
{
    (void)sqlite3_reset(stmt);
    return error == COFFER_E_TAMPER
               ? cof_kms_fault(fault, error,
                               "a row of the key store was altered: restore the file from a copy")
               : error;
}

int64_t cof_kms_sql_limit(unsigned limit)
{
    return limit == 0 ? -1 : (int64_t)limit;
}
