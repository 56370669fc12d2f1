/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_alias.c - rows of aliases. No alias is followed before its MAC was checked: an edited
 * one could send new data under another key. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL "coffer/kms/row/alias/1"

static int read_row(struct cof_kms_db *db, sqlite3_stmt *stmt, struct cof_kms_alias_row *row,
                    struct coffer_fault *fault)
{
    int error = cof_kms_sql_row_check(db, stmt, LABEL, fault);

    if (error != 0) {
        return error;
    }
    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 1, row->key_id, sizeof(row->key_id), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 2, INT64_MAX, &error);
    row->updated_ns = cof_kms_sql_u64(stmt, 3, INT64_MAX, &error);
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

int cof_kms_db_alias_get(struct cof_kms_db *db, const char *name,
                         struct cof_kms_alias_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_GET, &stmt, fault, "t", name);

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
    }
    if (error == 0 && !found) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "there is no %.100s", name);
    }
    if (error == 0) {
        error = read_row(db, stmt, ret_row, fault);
        (void)sqlite3_reset(stmt);
    }
    return error;
}

int cof_kms_db_alias_add(struct cof_kms_db *db, const struct cof_kms_alias_row *row,
                         struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_ADD, &stmt, fault, "ttii", row->name,
                                  row->key_id, (int64_t)row->created_ns,
                                  (int64_t)row->updated_ns);

    if (error == 0) {
        error = cof_kms_sql_done(db, stmt, fault);
    }
    if (error == 0) {
        error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_GET, &stmt, fault, "t", row->name);
    }
    return error == 0
               ? cof_kms_sql_row_sign(db, stmt, LABEL, COF_KMS_SQL_ALIAS_MAC, row->name, fault)
               : error;
}

int cof_kms_db_alias_count(struct cof_kms_db *db, const char *key_id, uint64_t *ret_count,
                           struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_COUNT, &stmt, fault, "t", key_id);

    return error == 0 ? cof_kms_sql_number(db, stmt, ret_count, fault) : error;
}

int cof_kms_db_alias_each(struct cof_kms_db *db, const char *key_id, const char *after,
                          unsigned limit,
                          int (*visit)(void *ctx, const struct cof_kms_alias_row *row), void *ctx,
                          struct coffer_fault *fault)
{
    struct cof_kms_alias_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_EACH, &stmt, fault, "tti", key_id, after,
                                  limit == 0 ? (int64_t)-1 : (int64_t)limit);

    while (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_row(db, stmt, &row, fault);
        if (error == 0) {
            error = visit(ctx, &row);
        }
    }
    if (error != 0 && stmt != NULL) {
        (void)sqlite3_reset(stmt);
    }
    return error;
}
