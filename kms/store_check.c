/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_check.c - the whole file looked through: structure, the MAC of every row, and what must
 * hold between rows. It changes nothing. Under the key store's lock, in a transaction.
 */
#include "store_columns.h"
#include "store_sql.h"

static const struct {
    const char *label, *sql;
} tables[] = {
#define TABLE(label, name, columns)            \
    {                                          \
        label, "SELECT " columns " FROM " name \
    }
    TABLE(COF_KMS_STORE_LABEL, "store", STORE_COLUMNS),
    TABLE(COF_KMS_KEY_LABEL, "key", KEY_COLUMNS),
    TABLE(COF_KMS_MATERIAL_LABEL, "material", MATERIAL_COLUMNS),
    TABLE(COF_KMS_ALIAS_LABEL, "alias", ALIAS_COLUMNS),
    TABLE(COF_KMS_GRANT_LABEL, "key_grant", GRANT_COLUMNS),
    TABLE(COF_KMS_TAG_LABEL, "tag", TAG_COLUMNS),
    TABLE(COF_KMS_TOMBSTONE_LABEL, "tombstone", TOMBSTONE_COLUMNS),
    TABLE(COF_KMS_KEY_STORE_LABEL, "key_store", KEY_STORE_COLUMNS),
    TABLE(COF_KMS_ACCOUNT_LABEL, "account", ACCOUNT_COLUMNS),
    TABLE(COF_KMS_PRINCIPAL_LABEL, "principal", PRINCIPAL_COLUMNS),
    TABLE(COF_KMS_ACCESS_KEY_LABEL, "access_key", ACCESS_KEY_COLUMNS),
    TABLE(COF_KMS_IDENTITY_POLICY_LABEL, "identity_policy", IDENTITY_POLICY_COLUMNS),
    TABLE(COF_KMS_ATTACHMENT_LABEL, "attachment", ATTACHMENT_COLUMNS),
#undef TABLE
};

/* What must give no row, and what it says when it does. */
static const struct {
    int error;
    const char *sql, *sentence;
} rules[] = {
    {COFFER_E_CORRUPT, "SELECT 1 FROM pragma_quick_check(1) WHERE quick_check <> 'ok'",
     "the file is damaged"},
    {COFFER_E_TAMPER, "SELECT 1 FROM pragma_foreign_key_check LIMIT 1",
     "a row belongs to a key that isn't there"},
    {COFFER_E_TAMPER,
     "SELECT 1 FROM key AS k WHERE k.material_id IS NOT NULL AND k.key_store_id = '' AND NOT EXISTS"
     " (SELECT 1 FROM material AS m WHERE m.key_arn = k.arn AND m.material_id = k.material_id)"
     " LIMIT 1",
     "a key's material is missing"},
    {COFFER_E_CORRUPT,
     "SELECT 1 WHERE (SELECT count(*) FROM audit INDEXED BY audit_use WHERE " AUDIT_IS_USE
     ") <> (SELECT count(*) FROM audit NOT INDEXED WHERE " AUDIT_IS_USE
     ") OR (SELECT count(*) FROM audit INDEXED BY audit_use_as_source WHERE " AUDIT_IS_SOURCE_USE
     ") <> (SELECT count(*) FROM audit NOT INDEXED WHERE " AUDIT_IS_SOURCE_USE ")",
     "an index of the audit trail is damaged"},
    {COFFER_E_TAMPER,
     "SELECT 1 FROM tombstone AS t JOIN key AS k ON k.arn = t.arn"
     " WHERE t.material_id = zeroblob(32) LIMIT 1",
     "a key that was deleted is back"},
    {COFFER_E_TAMPER,
     "SELECT 1 FROM tombstone AS t JOIN material AS m ON m.key_arn = t.arn"
     " AND m.material_id = t.material_id WHERE m.sealed IS NOT NULL LIMIT 1",
     "key material that was deleted is back"},
};

static int prepare(struct cof_kms_db *db, const char *sql, sqlite3_stmt **ret_stmt,
                   struct coffer_fault *fault)
{
    int result = sqlite3_prepare_v2(db->sqlite, sql, -1, ret_stmt, NULL);

    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, "checking the key store", fault);
}

static int check_table(struct cof_kms_db *db, const char *label, const char *sql, uint64_t *rows,
                       struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    int error = prepare(db, sql, &stmt, fault);

    while (error == 0) {
        error = cof_kms_sql_next(db, stmt, label, &row, fault);
        if (error != 0 || !row) {
            break;
        }
        (*rows)++;
    }
    (void)sqlite3_finalize(stmt);
    return error;
}

static int check_rule(struct cof_kms_db *db, size_t which, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    int error = prepare(db, rules[which].sql, &stmt, fault);

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &row, fault);
    }
    (void)sqlite3_finalize(stmt);
    if (error == 0 && row) {
        error = cof_kms_fault(fault, rules[which].error,
                              "the key store does not hold together: %s: restore it from a copy",
                              rules[which].sentence);
    }
    return error;
}

int cof_kms_db_check(struct cof_kms_db *db, uint64_t *ret_rows, struct coffer_fault *fault)
{
    uint64_t rows = 0;
    size_t i;
    int error = 0;

    for (i = 0; error == 0 && i < sizeof(tables) / sizeof(tables[0]); i++) {
        error = check_table(db, tables[i].label, tables[i].sql, &rows, fault);
    }
    for (i = 0; error == 0 && i < sizeof(rules) / sizeof(rules[0]); i++) {
        error = check_rule(db, i, fault);
    }
    if (error == 0) {
        *ret_rows = rows;
    }
    return error;
}
