/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_sql.h - SQLite as the store*.c files use it: one table of statements, binding by
 * letters, reading with bounds, and the MAC over a row.
 *
 * Included by store*.c only. Every statement is prepared once a handle and bound, never pasted.
 */
#ifndef COF_KMS_STORE_SQL_H
#define COF_KMS_STORE_SQL_H

#include "store.h"

#include <sqlite3.h>

enum cof_kms_sql {
    COF_KMS_SQL_BEGIN_READ,
    COF_KMS_SQL_BEGIN_WRITE,
    COF_KMS_SQL_SAVEPOINT,
    COF_KMS_SQL_UNDO,
    COF_KMS_SQL_COMMIT,
    COF_KMS_SQL_ROLLBACK,
    COF_KMS_SQL_STORE_GET,
    COF_KMS_SQL_STORE_ADD,
    COF_KMS_SQL_STORE_MAC,
    COF_KMS_SQL_KEY_GET,
    COF_KMS_SQL_KEY_EACH,
    COF_KMS_SQL_KEY_ADD,
    COF_KMS_SQL_KEY_STATE,
    COF_KMS_SQL_KEY_MAC,
    COF_KMS_SQL_KEY_COUNT,
    COF_KMS_SQL_MATERIAL_GET,
    COF_KMS_SQL_MATERIAL_ADD,
    COF_KMS_SQL_ALIAS_GET,
    COF_KMS_SQL_ALIAS_EACH,
    COF_KMS_SQL_ALIAS_ADD,
    COF_KMS_SQL_ALIAS_MAC,
    COF_KMS_SQL_ALIAS_COUNT,
    COF_KMS_SQL_GRANT_GET,
    COF_KMS_SQL_GRANT_EACH,
    COF_KMS_SQL_GRANT_ADD,
    COF_KMS_SQL_GRANT_MAC,
    COF_KMS_SQL_GRANT_REMOVE,
    COF_KMS_SQL_GRANT_COUNT,
    COF_KMS_SQL_AUDIT_LAST,
    COF_KMS_SQL_AUDIT_ADD,
    COF_KMS_SQL_AUDIT_EACH,
    COF_KMS_SQL_COUNT
};

/* A row packed for its MAC: an audit record has two contexts, escaped. */
#define COF_KMS_ROW_BYTES_MAX (160u << 10)

struct cof_kms_db {
    struct cof_kms_env *env;
    sqlite3 *sqlite;
    sqlite3_stmt *statements[COF_KMS_SQL_COUNT];
    uint8_t uuid[16];         /* the store's, bound into each row's MAC */
    const uint8_t *mac_key;   /* NULL until unlocked                    */
    const uint8_t *audit_key;
    uint8_t *row_buffer;      /* COF_KMS_ROW_BYTES_MAX                  */
    char path[1024];
};

/* Map a SQLite result to an error, with a sentence. Never 0. */
int cof_kms_sql_fail(struct cof_kms_db *db, int result, const char *what,
                     struct coffer_fault *fault);

/*
 * Reset statement `which`, and bind by letters: t text, T text or NULL when empty, i int64,
 * I int64 or NULL when 0, b blob and size_t.
 */
COFFER_MUST_CHECK int cof_kms_sql_start(struct cof_kms_db *db, enum cof_kms_sql which,
                                        sqlite3_stmt **ret_stmt, struct coffer_fault *fault,
                                        const char *letters, ...);
/* Step: *ret_row says whether there is a row. After the last row the statement is reset. */
COFFER_MUST_CHECK int cof_kms_sql_step(struct cof_kms_db *db, sqlite3_stmt *stmt, bool *ret_row,
                                       struct coffer_fault *fault);
/* Step a statement that gives no rows, and reset it. */
COFFER_MUST_CHECK int cof_kms_sql_done(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                       struct coffer_fault *fault);
/* The first column of the first row as a number, then reset. */
COFFER_MUST_CHECK int cof_kms_sql_number(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                         uint64_t *ret_number, struct coffer_fault *fault);

/* Columns of the row at hand. The error is remembered in *error (0 before), so that a whole row is
 * read and then checked once: TAMPER for a wrong type, a text or blob of the wrong length. */
void cof_kms_sql_text(sqlite3_stmt *stmt, int column, char *ret_text, size_t capacity, int *error);
void cof_kms_sql_blob(sqlite3_stmt *stmt, int column, uint8_t *ret_blob, size_t bytes, int *error);
uint64_t cof_kms_sql_u64(sqlite3_stmt *stmt, int column, uint64_t max, int *error);

/* Check the MAC in the last column of the row at hand. label names the table and its row format. */
COFFER_MUST_CHECK int cof_kms_sql_row_check(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                            const char *label, struct coffer_fault *fault);
/* Read the row that get (bound, one row) gives, make its MAC and put it with put_mac, whose
 * parameters are the MAC and then `key`. Resets both. */
COFFER_MUST_CHECK int cof_kms_sql_row_sign(struct cof_kms_db *db, sqlite3_stmt *get,
                                           const char *label, enum cof_kms_sql put_mac,
                                           const char *key, struct coffer_fault *fault);
/* Pack the first `columns` columns of the row at hand behind label and the store's uuid. */
COFFER_MUST_CHECK int cof_kms_sql_row_pack(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                           const char *label, int columns,
                                           struct cof_kms_bytes *ret_packed);

/* store_schema.c: make the tables; check that they are ours and as we made them. */
COFFER_MUST_CHECK int cof_kms_schema_make(struct cof_kms_db *db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_schema_check(struct cof_kms_db *db, struct coffer_fault *fault);
/* store.c: a connection, its settings, and the error for an errno on path. */
COFFER_MUST_CHECK int cof_kms_sql_connect(struct cof_kms_env *env, const char *path, int flags,
                                          struct cof_kms_db **ret_db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_sql_set_up(struct cof_kms_db *db, bool read_only, unsigned busy_ms,
                                         struct coffer_fault *fault);
int cof_kms_sql_path_fail(const char *path, int saved, struct coffer_fault *fault);

#define COF_KMS_STORE_LABEL "coffer/kms/row/store/1"

#endif
