/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_schema.c - the tables, and the proof at open that they are these and no others.
 *
 * A newer program adds tables and columns by a step that inserts a row into schema_version; a
 * program that meets a version above its own refuses (TOO_NEW). A file whose tables, indexes or
 * triggers differ from what its version says was altered, and is refused: a trigger slipped in
 * would run with our writes.
 */
#include "store_sql.h"

#include <string.h>

#define APPLICATION_ID 0x434b4d53 /* "CKMS" */

struct schema_item {
    const char *name;
    const char *sql;
};

static const struct schema_item schema[] = {
    {"schema_version", "CREATE TABLE schema_version (\n"
                       "  version INTEGER PRIMARY KEY,\n"
                       "  applied_ns INTEGER NOT NULL) STRICT"},
    {"store", "CREATE TABLE store (\n"
              "  id INTEGER PRIMARY KEY CHECK (id = 1),\n"
              "  uuid BLOB NOT NULL,\n"
              "  account TEXT NOT NULL,\n"
              "  region TEXT NOT NULL,\n"
              "  created_ns INTEGER NOT NULL,\n"
              "  schema_version INTEGER NOT NULL,\n"
              "  root_kind INTEGER NOT NULL,\n"
              "  argon2_memory_kib INTEGER NOT NULL,\n"
              "  argon2_passes INTEGER NOT NULL,\n"
              "  argon2_lanes INTEGER NOT NULL,\n"
              "  salt BLOB NOT NULL,\n"
              "  sealed_root BLOB NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"key", "CREATE TABLE key (\n"
            "  key_id TEXT PRIMARY KEY NOT NULL,\n"
            "  arn TEXT NOT NULL UNIQUE,\n"
            "  account TEXT NOT NULL,\n"
            "  region TEXT NOT NULL,\n"
            "  state INTEGER NOT NULL,\n"
            "  managed INTEGER NOT NULL,\n"
            "  origin TEXT NOT NULL,\n"
            "  key_spec TEXT NOT NULL,\n"
            "  key_usage TEXT NOT NULL,\n"
            "  multi_region INTEGER NOT NULL,\n"
            "  description TEXT NOT NULL,\n"
            "  policy TEXT NOT NULL,\n"
            "  created_ns INTEGER NOT NULL,\n"
            "  deletion_ns INTEGER,\n"
            "  valid_to_ns INTEGER,\n"
            "  rotation_period_days INTEGER NOT NULL,\n"
            "  next_rotation_ns INTEGER,\n"
            "  material_id BLOB,\n"
            "  mac BLOB NOT NULL) STRICT"},
    {"material", "CREATE TABLE material (\n"
                 "  material_id BLOB PRIMARY KEY NOT NULL,\n"
                 "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
                 "  version INTEGER NOT NULL,\n"
                 "  source TEXT NOT NULL,\n"
                 "  created_ns INTEGER NOT NULL,\n"
                 "  sealed BLOB NOT NULL,\n"
                 "  UNIQUE (key_id, version)) STRICT"},
    {"alias", "CREATE TABLE alias (\n"
              "  name TEXT PRIMARY KEY NOT NULL,\n"
              "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
              "  created_ns INTEGER NOT NULL,\n"
              "  updated_ns INTEGER NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"alias_by_key", "CREATE INDEX alias_by_key ON alias (key_id, name)"},
    {"key_grant", "CREATE TABLE key_grant (\n"
                  "  grant_id TEXT PRIMARY KEY NOT NULL,\n"
                  "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
                  "  name TEXT NOT NULL,\n"
                  "  grantee TEXT NOT NULL,\n"
                  "  retiring_principal TEXT NOT NULL,\n"
                  "  operations TEXT NOT NULL,\n"
                  "  constraint_kind INTEGER NOT NULL,\n"
                  "  constraint_context BLOB NOT NULL,\n"
                  "  created_ns INTEGER NOT NULL,\n"
                  "  mac BLOB NOT NULL) STRICT"},
    {"key_grant_by_key", "CREATE INDEX key_grant_by_key ON key_grant (key_id, grant_id)"},
    {"audit", "CREATE TABLE audit (\n"
              "  seq INTEGER PRIMARY KEY AUTOINCREMENT,\n"
              "  time_ns INTEGER NOT NULL,\n"
              "  event TEXT NOT NULL,\n"
              "  request_id TEXT NOT NULL,\n"
              "  principal TEXT NOT NULL,\n"
              "  key_arn TEXT NOT NULL,\n"
              "  source_key_arn TEXT NOT NULL,\n"
              "  context TEXT NOT NULL,\n"
              "  source_context TEXT NOT NULL,\n"
              "  detail TEXT NOT NULL,\n"
              "  error TEXT NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"audit_by_key", "CREATE INDEX audit_by_key ON audit (key_arn, seq)"},
    {"audit_is_kept", "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit"
                      " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
    {"audit_is_final", "CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit"
                       " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
};

#define SCHEMA_ITEMS (sizeof(schema) / sizeof(schema[0]))

static int run(struct cof_kms_db *db, const char *sql, struct coffer_fault *fault)
{
    int result = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, "making the key store", fault);
}

int cof_kms_schema_make(struct cof_kms_db *db, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    size_t i;
    int result, error = run(db, "PRAGMA application_id = 0x434b4d53", fault);

    for (i = 0; error == 0 && i < SCHEMA_ITEMS; i++) {
        error = run(db, schema[i].sql, fault);
    }
    if (error != 0) {
        return error;
    }
    result = sqlite3_prepare_v2(db->sqlite, "INSERT INTO schema_version VALUES (?, ?)", -1, &stmt,
                                NULL);
    if (result == SQLITE_OK) {
        (void)sqlite3_bind_int64(stmt, 1, COF_KMS_SCHEMA_VERSION);
        (void)sqlite3_bind_int64(stmt, 2, (int64_t)cof_kms_wall_ns(db->env));
        result = sqlite3_step(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return result == SQLITE_DONE ? 0 : cof_kms_sql_fail(db, result, "making the key store", fault);
}

/* The number that sql gives, or fallback when it gives none. */
static int ask_number(struct cof_kms_db *db, const char *sql, int64_t *ret_number,
                      struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(db->sqlite, sql, -1, &stmt, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(stmt);
    }
    if (result == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(stmt, 0);
    }
    (void)sqlite3_finalize(stmt);
    return result == SQLITE_ROW ? 0
                                : cof_kms_sql_fail(db, result, "opening the key store", fault);
}

static int check_item(struct cof_kms_db *db, const struct schema_item *item,
                      struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool same = false;
    int result = sqlite3_prepare_v2(db->sqlite, "SELECT sql FROM sqlite_schema WHERE name = ?", -1,
                                    &stmt, NULL);

    if (result == SQLITE_OK) {
        (void)sqlite3_bind_text(stmt, 1, item->name, -1, SQLITE_STATIC);
        result = sqlite3_step(stmt);
    }
    if (result == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(stmt, 0);

        same = found != NULL && strcmp(found, item->sql) == 0;
    }
    (void)sqlite3_finalize(stmt);
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        return cof_kms_sql_fail(db, result, "opening the key store", fault);
    }
    return same ? 0
                : cof_kms_fault(fault, COFFER_E_TAMPER,
                                "the key store's table or trigger %s was altered: restore the "
                                "file from a copy", item->name);
}

static int check_version(struct cof_kms_db *db, struct coffer_fault *fault)
{
    int64_t version = 0, tables = 0;
    int error = ask_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'"
                               " AND type = 'table'", &tables, fault);

    if (error == 0 && tables == 1) {
        error = ask_number(db, "SELECT coalesce(max(version), 0) FROM schema_version", &version,
                           fault);
    }
    if (error != 0) {
        return error;
    }
    if (version > (int64_t)COF_KMS_SCHEMA_VERSION) {
        return cof_kms_fault(fault, COFFER_E_TOO_NEW,
                             "the key store has schema %lld and this program knows %u: use a "
                             "newer program", (long long)version, COF_KMS_SCHEMA_VERSION);
    }
    if (version != (int64_t)COF_KMS_SCHEMA_VERSION) {
        return cof_kms_fault(fault, COFFER_E_CORRUPT,
                             "the key store names no schema version: restore it from a copy");
    }
    return 0;
}

int cof_kms_schema_check(struct cof_kms_db *db, struct coffer_fault *fault)
{
    int64_t number = 0;
    size_t i;
    int error = ask_number(db, "PRAGMA application_id", &number, fault);

    if (error == 0 && number != APPLICATION_ID) {
        return cof_kms_fault(fault, COFFER_E_NOT_A_STORE,
                             "%.100s is not a key store: name another file", db->path);
    }
    if (error == 0) {
        error = check_version(db, fault);
    }
    for (i = 0; error == 0 && i < SCHEMA_ITEMS; i++) {
        error = check_item(db, &schema[i], fault);
    }
    if (error == 0) {
        error = ask_number(db, "SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL"
                               " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", &number, fault);
    }
    if (error == 0 && number != (int64_t)SCHEMA_ITEMS) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "the key store has tables or triggers that it was not made with: "
                             "restore the file from a copy");
    }
    return error;
}
