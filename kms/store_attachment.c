/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_attachment.c - rows of identity policies, and of where they are attached. Under the key
 * store's lock.
 */
#include "store_identity.h"
#include "store_sql.h"

#include <string.h>

#define POLICY_LABEL COF_KMS_IDENTITY_POLICY_LABEL
#define ATTACHMENT_LABEL COF_KMS_ATTACHMENT_LABEL

/* ---- identity policies ------------------------------------------------------------------ */

static int read_policy(sqlite3_stmt *stmt, struct cof_kms_identity_policy_row *row)
{
    int error = 0;

    cof_kms_sql_text(stmt, 0, row->account, sizeof(row->account), &error);
    cof_kms_sql_text(stmt, 1, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 2, row->document, sizeof(row->document), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 3, INT64_MAX, &error);
    return error;
}

int cof_kms_db_identity_policy_set(struct cof_kms_db *db,
                                   const struct cof_kms_identity_policy_row *row,
                                   struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_IDENTITY_POLICY_SET, POLICY_LABEL, fault, "ttti",
                           row->account, row->name, row->document, (int64_t)row->created_ns);
}

int cof_kms_db_identity_policy_remove(struct cof_kms_db *db, const char *account, const char *name,
                                      struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_IDENTITY_POLICY_REMOVE, fault, "tt", account, name);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "account %.12s has no policy %.100s",
                             account, name);
    }
    return error;
}

int cof_kms_db_identity_policy_get(struct cof_kms_db *db, const char *account, const char *name,
                                   struct cof_kms_identity_policy_row *ret_row,
                                   struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error =
        cof_kms_sql_start(db, COF_KMS_SQL_IDENTITY_POLICY_GET, &stmt, fault, "tt", account, name);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, POLICY_LABEL, fault, COFFER_E_NOT_FOUND,
                                 "account %.12s has no policy %.100s", account, name);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_policy(stmt, ret_row), fault) : error;
}

int cof_kms_db_identity_policy_each(struct cof_kms_db *db, const char *account, const char *after,
                                    unsigned limit,
                                    int (*visit)(void *ctx,
                                                 const struct cof_kms_identity_policy_row *row),
                                    void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_identity_policy_row *row = cof_kms_alloc(db->env, sizeof(*row));
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error;

    if (row == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_sql_start(db, COF_KMS_SQL_IDENTITY_POLICY_EACH, &stmt, fault, "tti", account,
                              after, cof_kms_sql_limit(limit));
    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, POLICY_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_policy(stmt, row);
        error = error == 0 ? visit(ctx, row) : cof_kms_sql_end(stmt, error, fault);
    }
    cof_kms_free(db->env, row);
    (void)sqlite3_reset(stmt);
    return error;
}

/* ---- attachments ------------------------------------------------------------------------ */

static int read_attachment(sqlite3_stmt *stmt, struct cof_kms_attachment_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->principal_arn, sizeof(row->principal_arn), &error);
    cof_kms_sql_text(stmt, 1, row->account, sizeof(row->account), &error);
    cof_kms_sql_text(stmt, 2, row->policy_name, sizeof(row->policy_name), &error);
    return error;
}

int cof_kms_db_attachment_set(struct cof_kms_db *db, const struct cof_kms_attachment_row *row,
                              struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_ATTACHMENT_SET, ATTACHMENT_LABEL, fault, "ttt",
                           row->principal_arn, row->account, row->policy_name);
}

int cof_kms_db_attachment_remove(struct cof_kms_db *db, const struct cof_kms_attachment_row *row,
                                 struct coffer_fault *fault)
{
    int error = cof_kms_sql_run(db, COF_KMS_SQL_ATTACHMENT_REMOVE, fault, "ttt", row->principal_arn,
                                row->account, row->policy_name);

    if (error == 0 && sqlite3_changes(db->sqlite) == 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "policy %.80s is not attached there",
                             row->policy_name);
    }
    return error;
}

int cof_kms_db_attachment_each(struct cof_kms_db *db, const char *principal_arn,
                               const char *account, const char *policy_name,
                               int (*visit)(void *ctx, const struct cof_kms_attachment_row *row),
                               void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_attachment_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_ATTACHMENT_EACH, &stmt, fault, "ttt",
                                  principal_arn, account, policy_name);

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, ATTACHMENT_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_attachment(stmt, &row);
        error = error == 0 ? visit(ctx, &row) : cof_kms_sql_end(stmt, error, fault);
    }
    (void)sqlite3_reset(stmt);
    return error;
}
