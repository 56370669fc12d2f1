/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_sql.h - SQLite as the store*.c files use it: one table of statements, binding by
 * letters, reading with bounds, and the MAC over a row.
 *
 * Included by store*.c only. Every statement is prepared once a handle and bound, never pasted.
 */
#ifndef COF_KMS_STORE_SQL_H
#define COF_KMS_STORE_SQL_H

#include "pack.h"
#include "store.h"

#include <sqlite3.h>

enum cof_kms_sql {
    COF_KMS_SQL_BEGIN_READ,
    COF_KMS_SQL_BEGIN_WRITE,
    COF_KMS_SQL_ROLLBACK,
    COF_KMS_SQL_MARK, /* from here on nothing runs in a transaction that was lost */
    COF_KMS_SQL_UNDO,
    COF_KMS_SQL_RELEASE,
    COF_KMS_SQL_COMMIT,
    COF_KMS_SQL_STORE_GET,
    COF_KMS_SQL_STORE_SET,
    COF_KMS_SQL_KEY_GET,
    COF_KMS_SQL_KEY_EACH,
    COF_KMS_SQL_KEY_EACH_IN_STORE,
    COF_KMS_SQL_KEY_EACH_KIN,
    COF_KMS_SQL_KEY_DUE,
    COF_KMS_SQL_KEY_ADD,
    COF_KMS_SQL_KEY_SET,
    COF_KMS_SQL_KEY_REMOVE,
    COF_KMS_SQL_KEY_COUNT,
    COF_KMS_SQL_KEY_REMOVE_MATERIAL,
    COF_KMS_SQL_KEY_REMOVE_ALIASES,
    COF_KMS_SQL_KEY_REMOVE_GRANTS,
    COF_KMS_SQL_KEY_REMOVE_TAGS,
    COF_KMS_SQL_MATERIAL_GET,
    COF_KMS_SQL_MATERIAL_EACH,
    COF_KMS_SQL_MATERIAL_ADD,
    COF_KMS_SQL_MATERIAL_SET,
    COF_KMS_SQL_MATERIAL_REMOVE,
    COF_KMS_SQL_MATERIAL_COUNT,
    COF_KMS_SQL_ALIAS_GET,
    COF_KMS_SQL_ALIAS_EACH,
    COF_KMS_SQL_ALIAS_ADD,
    COF_KMS_SQL_ALIAS_SET,
    COF_KMS_SQL_ALIAS_REMOVE,
    COF_KMS_SQL_ALIAS_COUNT,
    COF_KMS_SQL_GRANT_EACH,
    COF_KMS_SQL_GRANT_ADD,
    COF_KMS_SQL_GRANT_REMOVE,
    COF_KMS_SQL_GRANT_COUNT,
    COF_KMS_SQL_TAG_EACH,
    COF_KMS_SQL_TAG_SET,
    COF_KMS_SQL_TAG_REMOVE,
    COF_KMS_SQL_TAG_COUNT,
    COF_KMS_SQL_TOMBSTONE_GET,
    COF_KMS_SQL_TOMBSTONE_EACH,
    COF_KMS_SQL_TOMBSTONE_SET,
    COF_KMS_SQL_TOMBSTONE_REMOVE,
    COF_KMS_SQL_KEY_STORE_GET,
    COF_KMS_SQL_KEY_STORE_EACH,
    COF_KMS_SQL_KEY_STORE_SET,
    COF_KMS_SQL_KEY_STORE_REMOVE,
    COF_KMS_SQL_ACCOUNT_GET,
    COF_KMS_SQL_ACCOUNT_EACH,
    COF_KMS_SQL_ACCOUNT_ADD,
    COF_KMS_SQL_ACCOUNT_REMOVE,
    COF_KMS_SQL_PRINCIPAL_GET,
    COF_KMS_SQL_PRINCIPAL_EACH,
    COF_KMS_SQL_PRINCIPAL_SET,
    COF_KMS_SQL_PRINCIPAL_REMOVE,
    COF_KMS_SQL_PRINCIPAL_REMOVE_ACCESS_KEYS,
    COF_KMS_SQL_PRINCIPAL_REMOVE_ATTACHMENTS,
    COF_KMS_SQL_ACCESS_KEY_GET,
    COF_KMS_SQL_ACCESS_KEY_EACH,
    COF_KMS_SQL_ACCESS_KEY_SET,
    COF_KMS_SQL_ACCESS_KEY_REMOVE,
    COF_KMS_SQL_IDENTITY_POLICY_GET,
    COF_KMS_SQL_IDENTITY_POLICY_EACH,
    COF_KMS_SQL_IDENTITY_POLICY_SET,
    COF_KMS_SQL_IDENTITY_POLICY_REMOVE,
    COF_KMS_SQL_ATTACHMENT_EACH,
    COF_KMS_SQL_ATTACHMENT_SET,
    COF_KMS_SQL_ATTACHMENT_REMOVE,
    COF_KMS_SQL_AUDIT_LAST,
    COF_KMS_SQL_AUDIT_ADD,
    COF_KMS_SQL_AUDIT_EACH,
    COF_KMS_SQL_AUDIT_AT,
    COF_KMS_SQL_AUDIT_LAST_USE,
    COF_KMS_SQL_AUDIT_ROOT_CHANGES,
    COF_KMS_SQL_TALLY,
    COF_KMS_SQL_COUNT
};

extern const char *const cof_kms_statements[COF_KMS_SQL_COUNT];

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
    bool read_only;
    bool writes; /* the transaction that is open does */
    char path[1024];
};

/* Map a SQLite result to an error, with a sentence. Never 0. */
int cof_kms_sql_fail(struct cof_kms_db *db, int result, const char *what,
                     struct coffer_fault *fault);

/*
 * Reset statement `which`, and bind by letters: t text, T text or NULL when empty, i int64,
 * I int64 or NULL when 0, b blob and size_t, B blob or NULL when empty.
 */
COFFER_MUST_CHECK int cof_kms_sql_start(struct cof_kms_db *db, enum cof_kms_sql which,
                                        sqlite3_stmt **ret_stmt, struct coffer_fault *fault,
                                        const char *letters, ...);
/* The same and run it: it gives no rows. */
COFFER_MUST_CHECK int cof_kms_sql_run(struct cof_kms_db *db, enum cof_kms_sql which,
                                      struct coffer_fault *fault, const char *letters, ...);
/* Put a row whose columns are the letters': the MAC over them, under label, is the last one. */
COFFER_MUST_CHECK int cof_kms_sql_put(struct cof_kms_db *db, enum cof_kms_sql which,
                                      const char *label, struct coffer_fault *fault,
                                      const char *letters, ...);
/* Step: *ret_row says whether there is a row. After the last row the statement is reset. */
COFFER_MUST_CHECK int cof_kms_sql_step(struct cof_kms_db *db, sqlite3_stmt *stmt, bool *ret_row,
                                       struct coffer_fault *fault);
/* Step to a row and check its MAC; as step, and the statement is reset on failure. */
COFFER_MUST_CHECK int cof_kms_sql_next(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                       const char *label, bool *ret_row,
                                       struct coffer_fault *fault);
/* Step to the one row that there may be, as next does; where there is none, the error `missing`
 * with the sentence that is given. */
COFFER_MUST_CHECK int cof_kms_sql_only(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label,
                                       struct coffer_fault *fault, int missing, const char *format,
                                       ...) __attribute__((format(printf, 6, 7)));
/* Step a statement that gives no rows, and reset it. */
COFFER_MUST_CHECK int cof_kms_sql_done(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                       struct coffer_fault *fault);
/* The first column of the first row as a number, then reset. */
COFFER_MUST_CHECK int cof_kms_sql_number(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                         uint64_t *ret_number, struct coffer_fault *fault);
/* Start with one text, and give its number: how many rows belong to it. */
COFFER_MUST_CHECK int cof_kms_sql_count(struct cof_kms_db *db, enum cof_kms_sql which,
                                        const char *text, uint64_t *ret_count,
                                        struct coffer_fault *fault);
/* End a reading, early or not, and word an error that its columns gave. Returns error. */
int cof_kms_sql_end(sqlite3_stmt *stmt, int error, struct coffer_fault *fault);
/* What a limit binds as: 0 is no limit. */
int64_t cof_kms_sql_limit(unsigned limit);

/* Columns of the row at hand. The error is remembered in *error (0 before), so that a whole row is
 * read and then checked once: TAMPER for a wrong type, a text or blob of the wrong length. */
void cof_kms_sql_text(sqlite3_stmt *stmt, int column, char *ret_text, size_t capacity, int *error);
void cof_kms_sql_blob(sqlite3_stmt *stmt, int column, uint8_t *ret_blob, size_t bytes, int *error);
uint64_t cof_kms_sql_u64(sqlite3_stmt *stmt, int column, uint64_t max, int *error);
/* Up to capacity bytes; 0 for NULL. */
size_t cof_kms_sql_blob_up_to(sqlite3_stmt *stmt, int column, uint8_t *ret_blob, size_t capacity,
                              int *error);

/* Check the MAC in the last column of the row at hand. label names the table and its row format. */
COFFER_MUST_CHECK int cof_kms_sql_row_check(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                            const char *label, struct coffer_fault *fault);
/* Pack the first `columns` columns of the row at hand behind label and the store's uuid. */
COFFER_MUST_CHECK int cof_kms_sql_row_pack(struct cof_kms_db *db, sqlite3_stmt *stmt,
                                           const char *label, int columns,
                                           struct cof_kms_bytes *ret_packed);

/* What row_pack packs, piece by piece: what stands before the columns, then each column. */
void cof_kms_sql_row_head(struct cof_kms_db *db, struct cof_kms_pack *pack, const char *label,
                          int columns);
void cof_kms_sql_pack_null(struct cof_kms_pack *pack);
void cof_kms_sql_pack_i64(struct cof_kms_pack *pack, int64_t number);
void cof_kms_sql_pack_text(struct cof_kms_pack *pack, const void *text, size_t bytes);
void cof_kms_sql_pack_blob(struct cof_kms_pack *pack, const void *blob, size_t bytes);

/* store_schema.c: make the tables; check that they are ours and as a program of their version made
 * them, which it gives. */
COFFER_MUST_CHECK int cof_kms_schema_make(struct cof_kms_db *db, struct coffer_fault *fault);
/* Make the items that aren't there. */
COFFER_MUST_CHECK int cof_kms_schema_add(struct cof_kms_db *db, struct coffer_fault *fault);
/* Note in schema_version that the file has the present one. */
COFFER_MUST_CHECK int cof_kms_schema_note(struct cof_kms_db *db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_schema_check(struct cof_kms_db *db, uint32_t *ret_version,
                                           struct coffer_fault *fault);

/* A table, index or trigger, and the statement that made it, letter by letter. */
struct cof_kms_schema_item {
    const char *name;
    const char *sql;
};
/* store_schema_1.c, store_tables.c: what version 1 is made of, what all since 2 have, and what 2
 * and 3 have besides; the end has no name. */
extern const struct cof_kms_schema_item cof_kms_schema_1[];
extern const struct cof_kms_schema_item cof_kms_schema_tables[];
extern const struct cof_kms_schema_item cof_kms_schema_2[];
extern const struct cof_kms_schema_item cof_kms_schema_3[];

/* store_migrate.c: bring a file of an older version up to date; for a handle that only reads, its
 * copy in memory, which takes the file's place. */
COFFER_MUST_CHECK int cof_kms_schema_migrate(struct cof_kms_db *db, struct coffer_fault *fault);

/* store.c: a connection, its settings, and the error for an errno on path. */
COFFER_MUST_CHECK int cof_kms_sql_connect(struct cof_kms_env *env, const char *path, int flags,
                                          struct cof_kms_db **ret_db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_sql_set_up(struct cof_kms_db *db, bool read_only, unsigned busy_ms,
                                         struct coffer_fault *fault);
int cof_kms_sql_path_fail(const char *path, int saved, struct coffer_fault *fault);

/* What a row's MAC begins with: its table and the version of its columns. */
#define COF_KMS_STORE_LABEL "coffer/kms/row/store/2"
#define COF_KMS_KEY_LABEL "coffer/kms/row/key/2"
#define COF_KMS_MATERIAL_LABEL "coffer/kms/row/material/2"
#define COF_KMS_ALIAS_LABEL "coffer/kms/row/alias/2"
#define COF_KMS_GRANT_LABEL "coffer/kms/row/grant/2"
#define COF_KMS_TAG_LABEL "coffer/kms/row/tag/2"
#define COF_KMS_TOMBSTONE_LABEL "coffer/kms/row/tombstone/2"
#define COF_KMS_KEY_STORE_LABEL "coffer/kms/row/key_store/2"
#define COF_KMS_ACCOUNT_LABEL "coffer/kms/row/account/2"
#define COF_KMS_PRINCIPAL_LABEL "coffer/kms/row/principal/2"
#define COF_KMS_ACCESS_KEY_LABEL "coffer/kms/row/access_key/2"
#define COF_KMS_IDENTITY_POLICY_LABEL "coffer/kms/row/identity_policy/2"
#define COF_KMS_ATTACHMENT_LABEL "coffer/kms/row/attachment/2"
/* Version 1's. */
#define COF_KMS_STORE_LABEL_1 "coffer/kms/row/store/1"
#define COF_KMS_KEY_LABEL_1 "coffer/kms/row/key/1"
#define COF_KMS_ALIAS_LABEL_1 "coffer/kms/row/alias/1"
#define COF_KMS_GRANT_LABEL_1 "coffer/kms/row/grant/1"

#endif
