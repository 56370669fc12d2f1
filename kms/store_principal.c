/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_principal.c - rows of accounts, and of their users and roles. Under the key store's
 * lock.
 */
#include "store_identity.h"
#include "store_sql.h"

#include <string.h>

#define ACCOUNT_LABEL COF_KMS_ACCOUNT_LABEL
#define PRINCIPAL_LABEL COF_KMS_PRINCIPAL_LABEL

/* ---- accounts --------------------------------------------------------------------------- */

static int read_account(sqlite3_stmt *stmt, struct cof_kms_account_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->account, sizeof(row->account), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 1, INT64_MAX, &error);
    return error;
}

int cof_kms_db_account_add(struct cof_kms_db *db, const struct cof_kms_account_row *row,
                           struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_ACCOUNT_ADD, ACCOUNT_LABEL, fault, "ti", row->account,
                           (int64_t)row->created_ns);
}

int cof_kms_db_account_remove(struct cof_kms_db *db, const char *account,
                              struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_ACCOUNT_REMOVE, fault, "t", account);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND,
                             "there is no account %.12s in this key store", account);
    }
    return error;
}

int cof_kms_db_account_get(struct cof_kms_db *db, const char *account,
                           struct cof_kms_account_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ACCOUNT_GET, &stmt, fault, "t", account);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, ACCOUNT_LABEL, fault, COFFER_E_NOT_FOUND,
                                 "there is no account %.12s in this key store", account);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_account(stmt, ret_row), fault) : error;
}

int cof_kms_db_account_each(struct cof_kms_db *db, const char *after, unsigned limit,
                            int (*visit)(void *ctx, const struct cof_kms_account_row *row),
                            void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_account_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ACCOUNT_EACH, &stmt, fault, "ti", after,
                                  cof_kms_sql_limit(limit));

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, ACCOUNT_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_account(stmt, &row);
        error = error == 0 ? visit(ctx, &row) : cof_kms_sql_end(stmt, error, fault);
    }
    (void)sqlite3_reset(stmt);
    return error;
}

/* ---- principals ------------------------------------------------------------------------- */

static int read_principal(sqlite3_stmt *stmt, struct cof_kms_principal_row *row)
{
    int error = 0;

    cof_kms_sql_text(stmt, 0, row->arn, sizeof(row->arn), &error);
    cof_kms_sql_text(stmt, 1, row->account, sizeof(row->account), &error);
    cof_kms_sql_text(stmt, 2, row->kind, sizeof(row->kind), &error);
    cof_kms_sql_text(stmt, 3, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 4, row->trust_policy, sizeof(row->trust_policy), &error);
    cof_kms_sql_text(stmt, 5, row->boundary, sizeof(row->boundary), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 6, INT64_MAX, &error);
    return error;
}

int cof_kms_db_principal_set(struct cof_kms_db *db, const struct cof_kms_principal_row *row,
                             struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_PRINCIPAL_SET, PRINCIPAL_LABEL, fault, "tttttti",
                           row->arn, row->account, row->kind, row->name, row->trust_policy,
                           row->boundary, (int64_t)row->created_ns);
}

int cof_kms_db_principal_remove(struct cof_kms_db *db, const char *arn, struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_PRINCIPAL_REMOVE_ACCESS_KEYS, fault, "t", arn);

    if (error == 0) {
        error = cof_kms_sql_run(db, COF_KMS_SQL_PRINCIPAL_REMOVE_ATTACHMENTS, fault, "t", arn);
    }
    if (error == 0) {
        error = cof_kms_sql_run(db, COF_KMS_SQL_PRINCIPAL_REMOVE, fault, "t", arn);
    }
    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "there is no principal %.110s", arn);
    }
    return error;
}

int cof_kms_db_principal_get(struct cof_kms_db *db, const char *arn,
                             struct cof_kms_principal_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_PRINCIPAL_GET, &stmt, fault, "t", arn);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, PRINCIPAL_LABEL, fault, COFFER_E_NOT_FOUND,
                                 "there is no principal %.110s", arn);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_principal(stmt, ret_row), fault) : error;
}

int cof_kms_db_principal_each(struct cof_kms_db *db, const char *account, const char *kind,
                              const char *after, unsigned limit,
                              int (*visit)(void *ctx, const struct cof_kms_principal_row *row),
                              void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_principal_row *row = cof_kms_alloc(db->env, sizeof(*row));
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error;

    if (row == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_sql_start(db, COF_KMS_SQL_PRINCIPAL_EACH, &stmt, fault, "ttti", account, kind,
                              after, cof_kms_sql_limit(limit));
    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, PRINCIPAL_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_principal(stmt, row);
        error = error == 0 ? visit(ctx, row) : cof_kms_sql_end(stmt, error, fault);
    }
    cof_kms_free(db->env, row);
    (void)sqlite3_reset(stmt);
    return error;
}
