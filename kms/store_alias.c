/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_alias.c - rows of aliases. No alias is followed before its MAC was checked: an edited
 * one could send new data under another key. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_ALIAS_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_alias_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->owner.account, sizeof(row->owner.account), &error);
    cof_kms_sql_text(stmt, 1, row->owner.region, sizeof(row->owner.region), &error);
    cof_kms_sql_text(stmt, 2, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 3, row->key_arn, sizeof(row->key_arn), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 4, INT64_MAX, &error);
    row->updated_ns = cof_kms_sql_u64(stmt, 5, INT64_MAX, &error);
    return error;
}

static int put_row(struct cof_kms_db *db, enum cof_kms_sql which,
                   const struct cof_kms_alias_row *row, struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, which, LABEL, fault, "ttttii", row->owner.account, row->owner.region,
                           row->name, row->key_arn, (int64_t)row->created_ns,
                           (int64_t)row->updated_ns);
}

int cof_kms_db_alias_add(struct cof_kms_db *db, const struct cof_kms_alias_row *row,
                         struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_ALIAS_ADD, row, fault);
}

int cof_kms_db_alias_set(struct cof_kms_db *db, const struct cof_kms_alias_row *row,
                         struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_ALIAS_SET, row, fault);
}

int cof_kms_db_alias_remove(struct cof_kms_db *db, const struct cof_kms_owner *owner,
                            const char *name, struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_ALIAS_REMOVE, fault, "ttt", owner->account,
                                owner->region, name);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "there is no %.100s", name);
    }
    return error;
}

int cof_kms_db_alias_get(struct cof_kms_db *db, const struct cof_kms_owner *owner, const char *name,
                         struct cof_kms_alias_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_GET, &stmt, fault, "ttt", owner->account,
                                  owner->region, name);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, LABEL, fault, COFFER_E_NOT_FOUND, "there is no %.100s",
                                 name);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_alias_count(struct cof_kms_db *db, const char *key_arn, uint64_t *ret_count,
                           struct coffer_fault *fault)
{
    return cof_kms_sql_count(db, COF_KMS_SQL_ALIAS_COUNT, key_arn, ret_count, fault);
}

int cof_kms_db_alias_each(struct cof_kms_db *db, const struct cof_kms_owner *owner,
                          const char *key_arn, const char *after, unsigned limit,
                          int (*visit)(void *ctx, const struct cof_kms_alias_row *row), void *ctx,
                          struct coffer_fault *fault)
{
    struct cof_kms_alias_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ALIAS_EACH, &stmt, fault, "tttti", owner->account,
                                  owner->region, key_arn, after, cof_kms_sql_limit(limit));

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
