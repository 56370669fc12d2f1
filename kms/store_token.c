/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_token.c - rows of custom key stores. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_KEY_STORE_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_key_store_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->id, sizeof(row->id), &error);
    cof_kms_sql_text(stmt, 1, row->owner.account, sizeof(row->owner.account), &error);
    cof_kms_sql_text(stmt, 2, row->owner.region, sizeof(row->owner.region), &error);
    cof_kms_sql_text(stmt, 3, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 4, row->type, sizeof(row->type), &error);
    cof_kms_sql_text(stmt, 5, row->uri, sizeof(row->uri), &error);
    cof_kms_sql_text(stmt, 6, row->state, sizeof(row->state), &error);
    cof_kms_sql_text(stmt, 7, row->error_code, sizeof(row->error_code), &error);
    row->sealed_pin_bytes =
        cof_kms_sql_blob_up_to(stmt, 8, row->sealed_pin, sizeof(row->sealed_pin), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 9, INT64_MAX, &error);
    return error;
}

int cof_kms_db_key_store_set(struct cof_kms_db *db, const struct cof_kms_key_store_row *row,
                             struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_KEY_STORE_SET, LABEL, fault, "ttttttttBi", row->id,
                           row->owner.account, row->owner.region, row->name, row->type, row->uri,
                           row->state, row->error_code, row->sealed_pin, row->sealed_pin_bytes,
                           (int64_t)row->created_ns);
}

int cof_kms_db_key_store_remove(struct cof_kms_db *db, const char *id, struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_KEY_STORE_REMOVE, fault, "t", id);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_KEY_STORE_NOT_FOUND,
                             "there is no custom key store %.64s", id);
    }
    return error;
}

int cof_kms_db_key_store_get(struct cof_kms_db *db, const char *id,
                             struct cof_kms_key_store_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_STORE_GET, &stmt, fault, "t", id);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, LABEL, fault, COFFER_E_KEY_STORE_NOT_FOUND,
                                 "there is no custom key store %.64s", id);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_key_store_each(struct cof_kms_db *db, const struct cof_kms_owner *owner,
                              const char *name, const char *after, unsigned limit,
                              int (*visit)(void *ctx, const struct cof_kms_key_store_row *row),
                              void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_key_store_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error =
        cof_kms_sql_start(db, COF_KMS_SQL_KEY_STORE_EACH, &stmt, fault, "tttti", owner->account,
                          owner->region, name, after, cof_kms_sql_limit(limit));

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_row(stmt, &row);
        error = error == 0 ? visit(ctx, &row) : cof_kms_sql_end(stmt, error, fault);
    }
    (void)sqlite3_reset(stmt);
    return error;
}
