/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_access.c - rows of access keys; the secret is sealed. Under the key store's lock.
 */
#include "store_identity.h"
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_ACCESS_KEY_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_access_key_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->access_key_id, sizeof(row->access_key_id), &error);
    cof_kms_sql_text(stmt, 1, row->principal_arn, sizeof(row->principal_arn), &error);
    cof_kms_sql_text(stmt, 2, row->status, sizeof(row->status), &error);
    row->sealed_secret_bytes =
        cof_kms_sql_blob_up_to(stmt, 3, row->sealed_secret, sizeof(row->sealed_secret), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 4, INT64_MAX, &error);
    row->last_used_ns = cof_kms_sql_u64(stmt, 5, INT64_MAX, &error);
    return error;
}

int cof_kms_db_access_key_set(struct cof_kms_db *db, const struct cof_kms_access_key_row *row,
                              struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_ACCESS_KEY_SET, LABEL, fault, "tttBiI",
                           row->access_key_id, row->principal_arn, row->status, row->sealed_secret,
                           row->sealed_secret_bytes, (int64_t)row->created_ns,
                           (int64_t)row->last_used_ns);
}

int cof_kms_db_access_key_remove(struct cof_kms_db *db, const char *access_key_id,
                                 struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_ACCESS_KEY_REMOVE, fault, "t", access_key_id);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "there is no access key %.64s",
                             access_key_id);
    }
    return error;
}

int cof_kms_db_access_key_get(struct cof_kms_db *db, const char *access_key_id,
                              struct cof_kms_access_key_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ACCESS_KEY_GET, &stmt, fault, "t", access_key_id);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, LABEL, fault, COFFER_E_NOT_FOUND,
                                 "there is no access key %.64s", access_key_id);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_access_key_each(struct cof_kms_db *db, const char *principal_arn, const char *after,
                               unsigned limit,
                               int (*visit)(void *ctx, const struct cof_kms_access_key_row *row),
                               void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_access_key_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ACCESS_KEY_EACH, &stmt, fault, "tti",
                                  principal_arn, after, cof_kms_sql_limit(limit));

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
