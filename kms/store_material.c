/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_material.c - rows of key material: sealed bytes, and what is known of them.
 *
 * Invariant: no row is used before its MAC was checked; the bytes carry a seal besides. Under the
 * key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_MATERIAL_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_material_row *row)
{
    int error = 0;

    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->key_arn, sizeof(row->key_arn), &error);
    cof_kms_sql_blob(stmt, 1, row->id, sizeof(row->id), &error);
    row->version = (uint32_t)cof_kms_sql_u64(stmt, 2, UINT32_MAX, &error);
    cof_kms_sql_text(stmt, 3, row->source, sizeof(row->source), &error);
    cof_kms_sql_text(stmt, 4, row->rotation, sizeof(row->rotation), &error);
    row->state = (enum cof_kms_material_state)cof_kms_sql_u64(
        stmt, 5, COF_KMS_MATERIAL_PENDING_ROTATION, &error);
    row->created_ns = cof_kms_sql_u64(stmt, 6, INT64_MAX, &error);
    row->rotated_ns = cof_kms_sql_u64(stmt, 7, INT64_MAX, &error);
    row->valid_to_ns = cof_kms_sql_u64(stmt, 8, INT64_MAX, &error);
    cof_kms_sql_text(stmt, 9, row->description, sizeof(row->description), &error);
    row->has_digest =
        cof_kms_sql_blob_up_to(stmt, 10, row->digest, sizeof(row->digest), &error) > 0;
    row->sealed_bytes = cof_kms_sql_blob_up_to(stmt, 11, row->sealed, sizeof(row->sealed), &error);
    return error;
}

static int put_row(struct cof_kms_db *db, enum cof_kms_sql which,
                   const struct cof_kms_material_row *row, struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, which, LABEL, fault, "tbittiiIItBB", row->key_arn, row->id,
                           sizeof(row->id), (int64_t)row->version, row->source, row->rotation,
                           (int64_t)row->state, (int64_t)row->created_ns, (int64_t)row->rotated_ns,
                           (int64_t)row->valid_to_ns, row->description, row->digest,
                           row->has_digest ? sizeof(row->digest) : (size_t)0, row->sealed,
                           row->sealed_bytes);
}

int cof_kms_db_material_add(struct cof_kms_db *db, const struct cof_kms_material_row *row,
                            struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_MATERIAL_ADD, row, fault);
}

int cof_kms_db_material_set(struct cof_kms_db *db, const struct cof_kms_material_row *row,
                            struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_MATERIAL_SET, row, fault);
}

int cof_kms_db_material_remove(struct cof_kms_db *db, const char *key_arn,
                               const uint8_t *material_id, struct coffer_fault *fault)
{
    return cof_kms_sql_run(db, COF_KMS_SQL_MATERIAL_REMOVE, fault, "tb", key_arn, material_id,
                           (size_t)COF_KMS_MATERIAL_ID_BYTES);
}

int cof_kms_db_material_get(struct cof_kms_db *db, const char *key_arn, const uint8_t *material_id,
                            struct cof_kms_material_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_MATERIAL_GET, &stmt, fault, "tb", key_arn,
                                  material_id, (size_t)COF_KMS_MATERIAL_ID_BYTES);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, LABEL, fault, COFFER_E_NOT_FOUND,
                                 "key %.110s has no such material", key_arn);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_material_count(struct cof_kms_db *db, const char *key_arn, uint64_t *ret_count,
                              struct coffer_fault *fault)
{
    return cof_kms_sql_count(db, COF_KMS_SQL_MATERIAL_COUNT, key_arn, ret_count, fault);
}

int cof_kms_db_material_each(struct cof_kms_db *db, const char *key_arn, uint32_t after,
                             unsigned limit,
                             int (*visit)(void *ctx, const struct cof_kms_material_row *row),
                             void *ctx, struct coffer_fault *fault)
{
    struct cof_kms_material_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_MATERIAL_EACH, &stmt, fault, "tii", key_arn,
                                  (int64_t)after, cof_kms_sql_limit(limit));

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
