/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_key.c - rows of keys and of their material.
 *
 * Invariant: no key row is used before its MAC was checked. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL "coffer/kms/row/key/1"

static int read_row(struct cof_kms_db *db, sqlite3_stmt *stmt, struct cof_kms_key_row *row,
                    struct coffer_fault *fault)
{
    int error = cof_kms_sql_row_check(db, stmt, LABEL, fault);

    if (error != 0) {
        return error;
    }
    memset(row, 0, sizeof(*row));
    cof_kms_sql_text(stmt, 0, row->key_id, sizeof(row->key_id), &error);
    cof_kms_sql_text(stmt, 1, row->arn, sizeof(row->arn), &error);
    cof_kms_sql_text(stmt, 2, row->owner.account, sizeof(row->owner.account), &error);
    cof_kms_sql_text(stmt, 3, row->owner.region, sizeof(row->owner.region), &error);
    row->state = (enum coffer_key_state)cof_kms_sql_u64(stmt, 4, COFFER_KEY_UNAVAILABLE, &error);
    row->managed = cof_kms_sql_u64(stmt, 5, 1, &error) != 0;
    cof_kms_sql_text(stmt, 6, row->origin, sizeof(row->origin), &error);
    cof_kms_sql_text(stmt, 7, row->key_spec, sizeof(row->key_spec), &error);
    cof_kms_sql_text(stmt, 8, row->key_usage, sizeof(row->key_usage), &error);
    row->multi_region = cof_kms_sql_u64(stmt, 9, 1, &error) != 0;
    cof_kms_sql_text(stmt, 10, row->description, sizeof(row->description), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 12, INT64_MAX, &error);
    row->deletion_ns = cof_kms_sql_u64(stmt, 13, INT64_MAX, &error);
    row->valid_to_ns = cof_kms_sql_u64(stmt, 14, INT64_MAX, &error);
    cof_kms_sql_blob(stmt, 17, row->material_id, sizeof(row->material_id), &error);
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

int cof_kms_db_key_get(struct cof_kms_db *db, const char *key_id, struct cof_kms_key_row *ret_row,
                       struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_GET, &stmt, fault, "t", key_id);

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
    }
    if (error == 0 && !found) {
        return cof_kms_fault(fault, COFFER_E_KEY_NOT_FOUND,
                             "there is no key %.64s in this key store: see list-keys", key_id);
    }
    if (error == 0) {
        error = read_row(db, stmt, ret_row, fault);
        (void)sqlite3_reset(stmt);
    }
    return error;
}

static int sign_row(struct cof_kms_db *db, const char *key_id, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_GET, &stmt, fault, "t", key_id);

    return error == 0
               ? cof_kms_sql_row_sign(db, stmt, LABEL, COF_KMS_SQL_KEY_MAC, key_id, fault)
               : error;
}

int cof_kms_db_key_add(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                       struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(
        db, COF_KMS_SQL_KEY_ADD, &stmt, fault, "ttttiitttitiIIb", row->key_id, row->arn,
        row->owner.account, row->owner.region, (int64_t)row->state, (int64_t)row->managed,
        row->origin, row->key_spec, row->key_usage, (int64_t)row->multi_region, row->description,
        (int64_t)row->created_ns, (int64_t)row->deletion_ns, (int64_t)row->valid_to_ns,
        row->material_id, sizeof(row->material_id));

    if (error == 0) {
        error = cof_kms_sql_done(db, stmt, fault);
    }
    return error == 0 ? sign_row(db, row->key_id, fault) : error;
}

int cof_kms_db_key_set_state(struct cof_kms_db *db, const char *key_id,
                             enum coffer_key_state state, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_STATE, &stmt, fault, "it", (int64_t)state,
                                  key_id);

    if (error == 0) {
        error = cof_kms_sql_done(db, stmt, fault);
    }
    return error == 0 ? sign_row(db, key_id, fault) : error;
}

int cof_kms_db_key_count(struct cof_kms_db *db, uint64_t *ret_count, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_COUNT, &stmt, fault, "");

    return error == 0 ? cof_kms_sql_number(db, stmt, ret_count, fault) : error;
}

int cof_kms_db_key_each(struct cof_kms_db *db, const char *after, unsigned limit,
                        int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
                        struct coffer_fault *fault)
{
    struct cof_kms_key_row *row = cof_kms_alloc(db->env, sizeof(*row));
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error;

    if (row == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_EACH, &stmt, fault, "ti", after,
                              limit == 0 ? (int64_t)-1 : (int64_t)limit);
    while (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_row(db, stmt, row, fault);
        if (error == 0) {
            error = visit(ctx, row);
        }
    }
    if (error != 0 && stmt != NULL) {
        (void)sqlite3_reset(stmt);
    }
    cof_kms_free(db->env, row);
    return error;
}

int cof_kms_db_material_add(struct cof_kms_db *db, const struct cof_kms_material_row *row,
                            struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_MATERIAL_ADD, &stmt, fault, "btitib", row->id,
                                  sizeof(row->id), row->key_id, (int64_t)row->version, row->source,
                                  (int64_t)row->created_ns, row->sealed, sizeof(row->sealed));

    return error == 0 ? cof_kms_sql_done(db, stmt, fault) : error;
}

int cof_kms_db_material_get(struct cof_kms_db *db, const char *key_id, const uint8_t *material_id,
                            struct cof_kms_material_row *ret_row, struct coffer_fault *fault)
{
    struct cof_kms_material_row row;
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_MATERIAL_GET, &stmt, fault, "bt", material_id,
                                  (size_t)COF_KMS_MATERIAL_ID_BYTES, key_id);

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
    }
    if (error != 0) {
        return error;
    }
    if (!found) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "key %.40s has no such material", key_id);
    }
    memset(&row, 0, sizeof(row));
    cof_kms_sql_blob(stmt, 0, row.id, sizeof(row.id), &error);
    cof_kms_sql_text(stmt, 1, row.key_id, sizeof(row.key_id), &error);
    row.version = (uint32_t)cof_kms_sql_u64(stmt, 2, UINT32_MAX, &error);
    cof_kms_sql_text(stmt, 3, row.source, sizeof(row.source), &error);
    row.created_ns = cof_kms_sql_u64(stmt, 4, INT64_MAX, &error);
    cof_kms_sql_blob(stmt, 5, row.sealed, sizeof(row.sealed), &error);
    (void)sqlite3_reset(stmt);
    if (error != 0) {
        return cof_kms_fault(fault, error,
                             "material of key %.40s was altered: restore the file from a copy",
                             key_id);
    }
    *ret_row = row;
    return 0;
}
