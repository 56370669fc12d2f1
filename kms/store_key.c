/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_key.c - rows of keys.
 *
 * Invariant: no row is used before its MAC was checked. Under the key store's lock.
 */
#include "store_sql.h"

#include <string.h>

#define LABEL COF_KMS_KEY_LABEL

static int read_row(sqlite3_stmt *stmt, struct cof_kms_key_row *row)
{
    int error = 0;

    /* What may be copied whole holds nothing of whoever had the memory before. */
    memset(row, 0, offsetof(struct cof_kms_key_row, public_key));
    cof_kms_sql_text(stmt, 0, row->arn, sizeof(row->arn), &error);
    cof_kms_sql_text(stmt, 1, row->key_id, sizeof(row->key_id), &error);
    cof_kms_sql_text(stmt, 2, row->owner.account, sizeof(row->owner.account), &error);
    cof_kms_sql_text(stmt, 3, row->owner.region, sizeof(row->owner.region), &error);
    row->state = (enum coffer_key_state)cof_kms_sql_u64(
        stmt, 4, COFFER_KEY_PENDING_REPLICA_DELETION, &error);
    row->managed = cof_kms_sql_u64(stmt, 5, 1, &error) != 0;
    cof_kms_sql_text(stmt, 6, row->origin, sizeof(row->origin), &error);
    cof_kms_sql_text(stmt, 7, row->key_spec, sizeof(row->key_spec), &error);
    cof_kms_sql_text(stmt, 8, row->key_usage, sizeof(row->key_usage), &error);
    row->multi_region = cof_kms_sql_u64(stmt, 9, 1, &error) != 0;
    cof_kms_sql_text(stmt, 10, row->description, sizeof(row->description), &error);
    cof_kms_sql_text(stmt, 11, row->policy, sizeof(row->policy), &error);
    row->created_ns = cof_kms_sql_u64(stmt, 12, INT64_MAX, &error);
    row->deletion_ns = cof_kms_sql_u64(stmt, 13, INT64_MAX, &error);
    row->pending_window_days = (uint32_t)cof_kms_sql_u64(stmt, 14, UINT32_MAX, &error);
    row->valid_to_ns = cof_kms_sql_u64(stmt, 15, INT64_MAX, &error);
    cof_kms_sql_text(stmt, 16, row->expiration_model, sizeof(row->expiration_model), &error);
    row->rotation_period_days = (uint32_t)cof_kms_sql_u64(stmt, 17, UINT32_MAX, &error);
    row->next_rotation_ns = cof_kms_sql_u64(stmt, 18, INT64_MAX, &error);
    row->has_material =
        cof_kms_sql_blob_up_to(stmt, 19, row->material_id, sizeof(row->material_id), &error) > 0;
    cof_kms_sql_text(stmt, 20, row->primary_region, sizeof(row->primary_region), &error);
    cof_kms_sql_text(stmt, 21, row->key_store_id, sizeof(row->key_store_id), &error);
    cof_kms_sql_text(stmt, 22, row->token_label, sizeof(row->token_label), &error);
    row->resume_state = (enum coffer_key_state)cof_kms_sql_u64(
        stmt, 23, COFFER_KEY_PENDING_REPLICA_DELETION, &error);
    row->public_key_bytes =
        cof_kms_sql_blob_up_to(stmt, 24, row->public_key, sizeof(row->public_key), &error);
    return error;
}

static int put_row(struct cof_kms_db *db, enum cof_kms_sql which, const struct cof_kms_key_row *row,
                   struct coffer_fault *fault)
{
    return cof_kms_sql_put(
        db, which, LABEL, fault, "ttttiitttittiIiItiIBtttiB", row->arn, row->key_id,
        row->owner.account, row->owner.region, (int64_t)row->state, (int64_t)row->managed,
        row->origin, row->key_spec, row->key_usage, (int64_t)row->multi_region, row->description,
        row->policy, (int64_t)row->created_ns, (int64_t)row->deletion_ns,
        (int64_t)row->pending_window_days, (int64_t)row->valid_to_ns, row->expiration_model,
        (int64_t)row->rotation_period_days, (int64_t)row->next_rotation_ns, row->material_id,
        row->has_material ? sizeof(row->material_id) : (size_t)0, row->primary_region,
        row->key_store_id, row->token_label, (int64_t)row->resume_state, row->public_key,
        row->public_key_bytes);
}

int cof_kms_db_key_add(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                       struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_KEY_ADD, row, fault);
}

int cof_kms_db_key_set(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                       struct coffer_fault *fault)
{
    return put_row(db, COF_KMS_SQL_KEY_SET, row, fault);
}

int cof_kms_db_key_get(struct cof_kms_db *db, const char *arn, struct cof_kms_key_row *ret_row,
                       struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_GET, &stmt, fault, "t", arn);

    if (error == 0) {
        error = cof_kms_sql_only(db, stmt, LABEL, fault, COFFER_E_KEY_NOT_FOUND,
                                 "there is no key %.110s in this key store", arn);
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_key_due(struct cof_kms_db *db, uint64_t now_ns, const char *after,
                       struct cof_kms_key_row *ret_row, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_DUE, &stmt, fault, "it", (int64_t)now_ns,
                                  after);

    do {
        /* An altered row is found out by who uses it; here it must not hold up the others. */
        if (error == 0) {
            error = cof_kms_sql_step(db, stmt, &found, fault);
        }
    } while (error == 0 && found && cof_kms_sql_row_check(db, stmt, LABEL, NULL) != 0);
    if (error == 0 && !found) {
        return COFFER_E_NOT_FOUND;
    }
    return error == 0 ? cof_kms_sql_end(stmt, read_row(stmt, ret_row), fault) : error;
}

int cof_kms_db_key_remove(struct cof_kms_db *db, const char *arn, struct coffer_fault *fault)
{
    static const enum cof_kms_sql parts[] = {
        COF_KMS_SQL_KEY_REMOVE_MATERIAL, COF_KMS_SQL_KEY_REMOVE_ALIASES,
        COF_KMS_SQL_KEY_REMOVE_GRANTS, COF_KMS_SQL_KEY_REMOVE_TAGS, COF_KMS_SQL_KEY_REMOVE};
    size_t i;
    int error = 0;

    for (i = 0; error == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        error = cof_kms_sql_run(db, parts[i], fault, "t", arn);
    }
    return error;
}

int cof_kms_db_key_count(struct cof_kms_db *db, const struct cof_kms_owner *owner,
                         uint64_t *ret_count, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_COUNT, &stmt, fault, "tt", owner->account,
                                  owner->region);

    return error == 0 ? cof_kms_sql_number(db, stmt, ret_count, fault) : error;
}

/* Give each row of a statement that was started to visit. */
static int visit_rows(struct cof_kms_db *db, sqlite3_stmt *stmt,
                      int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
                      struct coffer_fault *fault)
{
    struct cof_kms_key_row *row = cof_kms_alloc(db->env, sizeof(*row));
    bool found = true;
    int error = row == NULL ? cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL) : 0;

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, LABEL, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = read_row(stmt, row);
        error = error == 0 ? visit(ctx, row) : cof_kms_sql_end(stmt, error, fault);
    }
    cof_kms_free(db->env, row);
    (void)sqlite3_reset(stmt);
    return error;
}

int cof_kms_db_key_each(struct cof_kms_db *db, const struct cof_kms_owner *owner, const char *after,
                        unsigned limit, int (*visit)(void *ctx, const struct cof_kms_key_row *row),
                        void *ctx, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_EACH, &stmt, fault, "ttti", owner->account,
                                  owner->region, after, cof_kms_sql_limit(limit));

    return error == 0 ? visit_rows(db, stmt, visit, ctx, fault) : error;
}

int cof_kms_db_key_each_in_store(struct cof_kms_db *db, const char *key_store_id,
                                 int (*visit)(void *ctx, const struct cof_kms_key_row *row),
                                 void *ctx, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error =
        cof_kms_sql_start(db, COF_KMS_SQL_KEY_EACH_IN_STORE, &stmt, fault, "t", key_store_id);

    return error == 0 ? visit_rows(db, stmt, visit, ctx, fault) : error;
}

int cof_kms_db_key_each_kin(struct cof_kms_db *db, const char *account, const char *key_id,
                            int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
                            struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_KEY_EACH_KIN, &stmt, fault, "tt", account,
                                  key_id);

    return error == 0 ? visit_rows(db, stmt, visit, ctx, fault) : error;
}
