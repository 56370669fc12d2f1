/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_tag.c - rows of tags, and of what was destroyed. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define TAG_LABEL COF_KMS_TAG_LABEL
#define TOMBSTONE_LABEL COF_KMS_TOMBSTONE_LABEL

/* ---- tags ------------------------------------------------------------------------------- */

static int read_tag(sqlite3_stmt *stmt, struct cof_kms_tag_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->key_arn, sizeof(row->key_arn), &error);
    cof_kms_sql_text(stmt, 1, row->name, sizeof(row->name), &error);
    cof_kms_sql_text(stmt, 2, row->value, sizeof(row->value), &error);
    return error;
}

int cof_kms_db_tag_set(struct cof_kms_db *db, const struct cof_kms_tag_row *row,
                       struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_TAG_SET, TAG_LABEL, fault, "ttt", row->key_arn,
                           row->name, row->value);
}

int cof_kms_db_tag_remove(struct cof_kms_db *db, const char *key_arn, const char *name,
                          struct coffer_fault *fault)
{
    return cof_kms_sql_run(db, COF_KMS_SQL_TAG_REMOVE, fault, "tt", key_arn, name);
}

int cof_kms_db_tag_count(struct cof_kms_db *db, const char *key_arn, uint64_t *ret_count,
                         struct coffer_fault *fault)
{
    return cof_kms_sql_count(db, COF_KMS_SQL_TAG_COUNT, key_arn, ret_count, fault);
}

int cof_kms_db_tag_each(struct cof_kms_db *db, const char *key_arn, const char *after,
                        unsigned limit, int (*visit)(void *ctx, const struct cof_kms_tag_row *row),
                        void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_tag_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_TAG_EACH, &stmt, fault, "tti", key_arn, after,
                                  cof_kms_sql_limit(limit));

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, TAG_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_tag(stmt, &row);
        error = error == 0 ? visit(ctx, &row) : cof_kms_sql_end(stmt, error, fault);
    }
    (void)sqlite3_reset(stmt);
    return error;
}

/* ---- tombstones ------------------------------------------------------------------------- */

static int read_tombstone(sqlite3_stmt *stmt, struct cof_kms_tombstone_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->arn, sizeof(row->arn), &error);
    cof_kms_sql_blob(stmt, 1, row->material_id, sizeof(row->material_id), &error);
    cof_kms_sql_text(stmt, 2, row->key_id, sizeof(row->key_id), &error);
    row->deleted_ns = cof_kms_sql_u64(stmt, 3, INT64_MAX, &error);
    return error;
}

int cof_kms_db_tombstone_set(struct cof_kms_db *db, const struct cof_kms_tombstone_row *row,
                             struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_TOMBSTONE_SET, TOMBSTONE_LABEL, fault, "tbti", row->arn,
                           row->material_id, sizeof(row->material_id), row->key_id,
                           (int64_t)row->deleted_ns);
}

int cof_kms_db_tombstone_remove(struct cof_kms_db *db, const char *arn, const uint8_t *material_id,
                                struct coffer_fault *fault)
{
    return cof_kms_sql_run(db, COF_KMS_SQL_TOMBSTONE_REMOVE, fault, "tb", arn, material_id,
                           (size_t)COF_KMS_MATERIAL_ID_BYTES);
}

int cof_kms_db_tombstone_get(struct cof_kms_db *db, const char *arn, const uint8_t *material_id,
                             struct cof_kms_tombstone_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_TOMBSTONE_GET, &stmt, fault, "tb", arn,
                                  material_id, (size_t)COF_KMS_MATERIAL_ID_BYTES);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, TOMBSTONE_LABEL, fault, COFFER_E_NOT_FOUND,
                                 "%.110s was not deleted", arn);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_tombstone(stmt, ret_row), fault) : error;
}

int cof_kms_db_tombstone_each(struct cof_kms_db *db,
                              int (*visit)(void *ctx, const struct cof_kms_tombstone_row *row),
                              void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_tombstone_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_TOMBSTONE_EACH, &stmt, fault, "");

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, TOMBSTONE_LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_tombstone(stmt, &row);
        error = error == 0 ? visit(ctx, &row) : cof_kms_sql_end(stmt, error, fault);
    }
    (void)sqlite3_reset(stmt);
    return error;
}
