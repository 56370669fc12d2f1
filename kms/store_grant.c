/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_grant.c - rows of grants. No grant counts before its MAC was checked. Under the key
 * store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL "coffer/kms/row/grant/1"

static int read_row(struct cof_kms_db *db, sqlite3_stmt *stmt, struct cof_kms_grant_row *row,
                    struct coffer_fault *fault)
{
    int error = cof_kms_sql_row_check(db, stmt, LABEL, fault);

    if (error != 0) {
        return error;
    }
    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->grant_id, sizeof(row->grant_id), &error);
    cof_kms_sql_text(stmt, 1, row->key_id, sizeof(row->key_id), &error);
    cof_kms_sql_text(stmt, 2, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 3, row->grantee, sizeof(row->grantee), &error);
    cof_kms_sql_text(stmt, 4, row->retiring_principal, sizeof(row->retiring_principal), &error);
    cof_kms_sql_text(stmt, 5, row->operations, sizeof(row->operations), &error);
    row->constraint = (enum coffer_grant_constraint)cof_kms_sql_u64(
        stmt, 6, COFFER_GRANT_CONTEXT_SUBSET, &error);
    row->context.at = sqlite3_column_blob(stmt, 7);
    row->context.length_bytes = (size_t)sqlite3_column_bytes(stmt, 7);
    row->created_ns = cof_kms_sql_u64(stmt, 8, INT64_MAX, &error);
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

int cof_kms_db_grant_add(struct cof_kms_db *db, const struct cof_kms_grant_row *row,
                         struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_GRANT_ADD, &stmt, fault, "ttttttibi",
                                  row->grant_id, row->key_id, row->name, row->grantee,
                                  row->retiring_principal, row->operations,
                                  (int64_t)row->constraint, row->context.at,
                                  row->context.length_bytes, (int64_t)row->created_ns);

    if (error == 0) {
        error = cof_kms_sql_done(db, stmt, fault);
    }
    if (error == 0) {
        error = cof_kms_sql_start(db, COF_KMS_SQL_GRANT_GET, &stmt, fault, "t", row->grant_id);
    }
    return error == 0
               ? cof_kms_sql_row_sign(db, stmt, LABEL, COF_KMS_SQL_GRANT_MAC, row->grant_id, fault)
               : error;
}

int cof_kms_db_grant_remove(struct cof_kms_db *db, const char *key_id, const char *grant_id,
                            struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_GRANT_REMOVE, &stmt, fault, "tt", grant_id,
                                  key_id);

    if (error == 0) {
        error = cof_kms_sql_done(db, stmt, fault);
    }
    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "the key has no grant %.64s", grant_id);
    }
    return error;
}

int cof_kms_db_grant_count(struct cof_kms_db *db, const char *key_id, uint64_t *ret_count,
                           struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_GRANT_COUNT, &stmt, fault, "t", key_id);

    return error == 0 ? cof_kms_sql_number(db, stmt, ret_count, fault) : error;
}

int cof_kms_db_grant_each(struct cof_kms_db *db, const char *key_id, const char *name,
                          const char *after, unsigned limit,
                          int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx,
                          struct coffer_fault *fault)
{
    struct cof_kms_grant_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_GRANT_EACH, &stmt, fault, "ttti", key_id, name,
                                  after, limit == 0 ? (int64_t)-1 : (int64_t)limit);

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
