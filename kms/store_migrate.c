/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_migrate.c - a file of an older schema version becomes one of the present, 3.
 *
 * One transaction. From version 1: every row that carries a MAC is checked under its old label, the
 * tables of the new version are made beside the old ones, filled, signed and checked, the old ones
 * dropped. From version 2 only indexes differ, and the header's row. A crash or a failure leaves
 * the older version. A handle that may only read takes a copy in memory through
 * the same, and reads that from then on: it sees the file as it was when it was opened.
 *
 * It must never run before the MAC key is known. Under the key store's lock, or before the store
 * is shared.
 */
#include "store_columns.h"
#include "store_sql.h"

/* Rows to check before anything is made of them; columns as version 1 MACed them. */
static const struct {
    const char *label, *sql;
} olds[] = {
    {COF_KMS_STORE_LABEL_1, "SELECT " STORE_COLUMNS " FROM store"},
    {COF_KMS_KEY_LABEL_1, "SELECT key_id, arn, account, region, state, managed, origin, key_spec,"
                          " key_usage, multi_region, description, policy, created_ns, deletion_ns,"
                          " valid_to_ns, rotation_period_days, next_rotation_ns, material_id, mac"
                          " FROM key"},
    {COF_KMS_ALIAS_LABEL_1, "SELECT name, key_id, created_ns, updated_ns, mac FROM alias"},
    {COF_KMS_GRANT_LABEL_1, "SELECT grant_id, key_id, name, grantee, retiring_principal,"
                            " operations, constraint_kind, constraint_context, created_ns, mac"
                            " FROM key_grant"},
};

static const char set_aside[] =
    "ALTER TABLE key RENAME TO key_1; ALTER TABLE material RENAME TO material_1;"
    "ALTER TABLE alias RENAME TO alias_1; ALTER TABLE key_grant RENAME TO key_grant_1;"
    "DROP INDEX alias_by_key; DROP INDEX key_grant_by_key; DROP INDEX audit_by_key;";

/* Children are dropped before the keys that they refer to. */
static const char fill[] =
    "INSERT INTO key (" KEY_COLUMNS ") SELECT arn, key_id, account, region, state, managed, origin,"
    " key_spec, key_usage, multi_region, description, policy, created_ns, deletion_ns, 0,"
    " valid_to_ns, '', rotation_period_days, next_rotation_ns, material_id, '', '', '', 0, NULL,"
    " x'' FROM key_1;"
    "INSERT INTO material (" MATERIAL_COLUMNS ") SELECT k.arn, m.material_id, m.version, m.source,"
    " '', 0, m.created_ns, NULL, NULL, '', NULL, m.sealed, x''"
    " FROM material_1 AS m JOIN key_1 AS k USING (key_id);"
    "INSERT INTO alias (" ALIAS_COLUMNS ") SELECT k.account, k.region, a.name, k.arn,"
    " a.created_ns, a.updated_ns, x'' FROM alias_1 AS a JOIN key_1 AS k USING (key_id);"
    "INSERT INTO key_grant (" GRANT_COLUMNS ") SELECT g.grant_id, k.arn, g.name, g.grantee,"
    " g.retiring_principal, g.operations, g.constraint_kind, g.constraint_context, g.created_ns,"
    " 'arn:coffer:iam::' || k.account || ':root', '', x''"
    " FROM key_grant_1 AS g JOIN key_1 AS k USING (key_id);"
    "UPDATE store SET schema_version = 3;"
    "DROP TABLE key_grant_1; DROP TABLE alias_1; DROP TABLE material_1; DROP TABLE key_1;";

static const char reindex[] = "DROP INDEX audit_by_key; UPDATE store SET schema_version = 3;";

/* Rows to sign, one after the other: their columns, MAC and row number. */
static const struct {
    const char *label, *get, *put;
} news[] = {
#define SIGN(label, table, columns)                                                               \
    {                                                                                             \
        label, "SELECT " columns ", rowid FROM " table " WHERE rowid > ? ORDER BY rowid LIMIT 1", \
            "UPDATE " table " SET mac = ? WHERE rowid = ?"                                        \
    }
    SIGN(COF_KMS_STORE_LABEL, "store", STORE_COLUMNS), /* the first: reindex has signed no other */
    SIGN(COF_KMS_KEY_LABEL, "key", KEY_COLUMNS),
    SIGN(COF_KMS_MATERIAL_LABEL, "material", MATERIAL_COLUMNS),
    SIGN(COF_KMS_ALIAS_LABEL, "alias", ALIAS_COLUMNS),
    SIGN(COF_KMS_GRANT_LABEL, "key_grant", GRANT_COLUMNS),
#undef SIGN
};

static const char doing[] = "bringing the key store up to date";

static int run(struct cof_kms_db *db, const char *sql, struct coffer_fault *fault)
{
    int result = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, doing, fault);
}

static int prepare(struct cof_kms_db *db, const char *sql, sqlite3_stmt **ret_stmt,
                   struct coffer_fault *fault)
{
    int result = sqlite3_prepare_v2(db->sqlite, sql, -1, ret_stmt, NULL);

    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, doing, fault);
}

static int check_rows(struct cof_kms_db *db, const char *label, const char *sql,
                      struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    int error = prepare(db, sql, &stmt, fault);

    while (error == 0 && row) {
        error = cof_kms_sql_next(db, stmt, label, &row, fault);
    }
    (void)sqlite3_finalize(stmt);
    return error;
}

/* Sign the first row after *rowid, and step there; *ret_row is false when there is none. */
static int sign_row(struct cof_kms_db *db, const char *label, sqlite3_stmt *get, sqlite3_stmt *put,
                    int64_t *rowid, bool *ret_row, struct coffer_fault *fault)
{
    int columns = sqlite3_column_count(get) - 2;
    struct cof_kms_bytes packed = {NULL, 0};
    uint8_t mac[COF_KMS_MAC_BYTES];
    int error;

    (void)sqlite3_bind_int64(get, 1, *rowid);
    error = cof_kms_sql_step(db, get, ret_row, fault);
    if (error != 0 || !*ret_row) {
        return error;
    }
    *rowid = sqlite3_column_int64(get, columns + 1);
    error = cof_kms_sql_row_pack(db, get, label, columns, &packed);
    (void)sqlite3_reset(get);
    if (error == 0) {
        error = cof_kms_mac(db->mac_key, packed, mac);
    }
    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    (void)sqlite3_bind_blob(put, 1, mac, sizeof(mac), SQLITE_TRANSIENT);
    (void)sqlite3_bind_int64(put, 2, *rowid);
    return cof_kms_sql_done(db, put, fault);
}

static int sign_rows(struct cof_kms_db *db, const char *label, const char *get_sql,
                     const char *put_sql, struct coffer_fault *fault)
{
    sqlite3_stmt *get = NULL, *put = NULL;
    int64_t rowid = INT64_MIN;
    bool row = true;
    int error = prepare(db, get_sql, &get, fault);

    if (error == 0) {
        error = prepare(db, put_sql, &put, fault);
    }
    while (error == 0 && row) {
        error = sign_row(db, label, get, put, &rowid, &row, fault);
    }
    (void)sqlite3_finalize(get);
    (void)sqlite3_finalize(put);
    return error;
}

static int note(struct cof_kms_db *db, uint32_t from, struct coffer_fault *fault)
{
    const struct cof_kms_audit_entry entry = {
        "MigrateKeyStore", "coffer", NULL, "", "", "{}", "{}",
        from == 1 ? "{\"by\":\"service\",\"from\":1,\"to\":3}"
                  : "{\"by\":\"service\",\"from\":2,\"to\":3}",
        ""};
    int error = cof_kms_schema_note(db, fault);

    return error == 0 && !db->read_only ? cof_kms_db_audit_add(db, &entry, fault) : error;
}

/* Check the rows of version 1 and move them into the tables of the present one. */
static int move_rows(struct cof_kms_db *db, struct coffer_fault *fault)
{
    size_t i;
    int error = 0;

    for (i = 0; error == 0 && i < sizeof(olds) / sizeof(olds[0]); i++) {
        error = check_rows(db, olds[i].label, olds[i].sql, fault);
    }
    if (error == 0) {
        error = run(db, set_aside, fault);
    }
    if (error == 0) {
        error = cof_kms_schema_add(db, fault);
    }
    if (error == 0) {
        error = run(db, fill, fault);
    }
    for (i = 0; error == 0 && i < sizeof(news) / sizeof(news[0]); i++) {
        error = sign_rows(db, news[i].label, news[i].get, news[i].put, fault);
    }
    return error;
}

static int index_anew(struct cof_kms_db *db, struct coffer_fault *fault)
{
    int error =
        check_rows(db, COF_KMS_STORE_LABEL, "SELECT " STORE_COLUMNS " FROM store", fault);

    if (error == 0) {
        error = run(db, reindex, fault);
    }
    if (error == 0) {
        error = cof_kms_schema_add(db, fault);
    }
    return error == 0 ? sign_rows(db, news[0].label, news[0].get, news[0].put, fault) : error;
}

static int convert(struct cof_kms_db *db, uint32_t from, struct coffer_fault *fault)
{
    uint32_t version = 0;
    int error = from == 1 ? move_rows(db, fault) : index_anew(db, fault);

    if (error == 0) {
        error = note(db, from, fault);
    }
    return error == 0 ? cof_kms_schema_check(db, &version, fault) : error;
}

/* Put a copy in memory in the place of the file. */
static int move_to_memory(struct cof_kms_db *db, struct coffer_fault *fault)
{
    sqlite3 *memory = NULL;
    sqlite3_backup *backup = NULL;
    size_t i;
    int result =
        sqlite3_open_v2(":memory:", &memory,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (result == SQLITE_OK) {
        backup = sqlite3_backup_init(memory, "main", db->sqlite, "main");
        result = backup == NULL ? sqlite3_errcode(memory) : sqlite3_backup_step(backup, -1);
        (void)sqlite3_backup_finish(backup);
    }
    if (result != SQLITE_DONE) {
        (void)sqlite3_close(memory);
        return cof_kms_sql_fail(db, result, doing, fault);
    }
    for (i = 0; i < COF_KMS_SQL_COUNT; i++) {
        (void)sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    (void)sqlite3_close(db->sqlite);
    db->sqlite = memory;
    return cof_kms_sql_set_up(db, true, 0, fault);
}

int cof_kms_schema_migrate(struct cof_kms_db *db, struct coffer_fault *fault)
{
    uint32_t version = 0;
    int error = db->read_only ? move_to_memory(db, fault) : 0;

    if (error == 0) {
        error = cof_kms_db_begin(db, true, fault);
    }
    if (error != 0) {
        return error;
    }
    /* Another process may have done it since the file was looked at. */
    error = cof_kms_schema_check(db, &version, fault);
    if (error == 0 && version < COF_KMS_SCHEMA_VERSION) {
        error = convert(db, version, fault);
    }
    if (error == 0) {
        return cof_kms_db_commit(db, fault);
    }
    cof_kms_db_rollback(db);
    return error;
}
