/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_grant.c - rows of grants. No grant counts before its MAC was checked. Under the key
 * store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_GRANT_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_grant_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->grant_id, sizeof(row->grant_id), &error);
    cof_kms_sql_text(stmt, 1, row->key_arn, sizeof(row->key_arn), &error);
    cof_kms_sql_text(stmt, 2, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 3, row->grantee, sizeof(row->grantee), &error);
    cof_kms_sql_text(stmt, 4, row->retiring_principal, sizeof(row->retiring_principal), &error);
    cof_kms_sql_text(stmt, 5, row->operations, sizeof(row->operations), &error);
    row->constraint =
        (enum coffer_grant_constraint)cof_kms_sql_u64(stmt, 6, COFFER_GRANT_CONTEXT_SUBSET, &error);
    row->context.at = sqlite3_column_blob(stmt, 7);
    row->context.length_bytes = (size_t)sqlite3_column_bytes(stmt, 7);
    row->created_ns = cof_kms_sql_u64(stmt, 8, INT64_MAX, &error);
    cof_kms_sql_text(stmt, 9, row->issuing_account, sizeof(row->issuing_account), &error);
    cof_kms_sql_text(stmt, 10, row->source_arn, sizeof(row->source_arn), &error);
    return error;
}

int cof_kms_db_grant_add(struct cof_kms_db *db, const struct cof_kms_grant_row *row,
                         struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_GRANT_ADD, LABEL, fault, "ttttttibitt", row->grant_id,
                           row->key_arn, row->name, row->grantee, row->retiring_principal,
                           row->operations, (int64_t)row->constraint, row->context.at,
                           row->context.length_bytes, (int64_t)row->created_ns,
                           row->issuing_account, row->source_arn);
}

int cof_kms_db_grant_remove(struct cof_kms_db *db, const char *key_arn, const char *grant_id,
                            struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_GRANT_REMOVE, fault, "tt", grant_id, key_arn);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "the key has no grant %.64s", grant_id);
    }
    return error;
}

int cof_kms_db_grant_count(struct cof_kms_db *db, const char *key_arn, uint64_t *ret_count,
                           struct coffer_fault *fault)
{
    return cof_kms_sql_count(db, COF_KMS_SQL_GRANT_COUNT, key_arn, ret_count, fault);
}

static const char *or_any(const char *text)
{
    return text == NULL ? "" : text;
}

int cof_kms_db_grant_each(struct cof_kms_db *db, const struct cof_kms_grant_filter *filter,
                          const char *after, unsigned limit,
                          int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx,
                          struct coffer_fault *fault)
{
    struct cof_kms_grant_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(
        db, COF_KMS_SQL_GRANT_EACH, &stmt, fault, "tttttti", or_any(filter->key_arn),
        or_any(filter->grant_id), or_any(filter->name), or_any(filter->grantee),
        or_any(filter->retiring_principal), after, cof_kms_sql_limit(limit));

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
