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

/* What the number-th thing is that files of a version have, or NULL. */
static const struct cof_kms_schema_item *item_at(uint32_t version, unsigned number)
{
    static const struct cof_kms_schema_item *const parts[COF_KMS_SCHEMA_VERSION + 1][3] = {
        [1] = {cof_kms_schema_1, NULL, NULL},
        [2] = {cof_kms_schema_tables, cof_kms_schema_2, NULL},
        [3] = {cof_kms_schema_tables, cof_kms_schema_3, NULL}};
    const struct cof_kms_schema_item *const *part, *item;

    for (part = parts[version]; *part != NULL; part++) {
        for (item = *part; item->name != NULL; item++) {
            if (number-- == 0) {
                return item;
            }
        }
    }
    return NULL;
}

static int run(struct cof_kms_db *db, const char *sql, struct coffer_fault *fault)
{
    int result = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : cof_kms_sql_fail(db, result, "making the key store", fault);
}

int cof_kms_schema_note(struct cof_kms_db *db, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(db->sqlite, "INSERT INTO schema_version VALUES (?, ?)", -1,
                                    &stmt, NULL);

    if (result == SQLITE_OK) {
        (void)sqlite3_bind_int64(stmt, 1, COF_KMS_SCHEMA_VERSION);
        (void)sqlite3_bind_int64(stmt, 2, (int64_t)cof_kms_wall_ns(db->env));
        result = sqlite3_step(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return result == SQLITE_DONE ? 0 : cof_kms_sql_fail(db, result, "making the key store", fault);
}

int cof_kms_schema_make(struct cof_kms_db *db, struct coffer_fault *fault)
{
    int error = run(db, "PRAGMA application_id = 0x434b4d53", fault);

    if (error == 0) {
        error = cof_kms_schema_add(db, fault);
    }
    return error == 0 ? cof_kms_schema_note(db, fault) : error;
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

/* What the file has under the item's name: nothing, the same, or something else. */
enum presence { ABSENT, SAME, OTHER };

static int look_at(struct cof_kms_db *db, const struct cof_kms_schema_item *item,
                   enum presence *ret_presence, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(db->sqlite, "SELECT sql FROM sqlite_schema WHERE name = ?", -1,
                                    &stmt, NULL);

    *ret_presence = ABSENT;
    if (result == SQLITE_OK) {
        (void)sqlite3_bind_text(stmt, 1, item->name, -1, SQLITE_STATIC);
        result = sqlite3_step(stmt);
    }
    if (result == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(stmt, 0);

        *ret_presence = found != NULL && strcmp(found, item->sql) == 0 ? SAME : OTHER;
    }
    (void)sqlite3_finalize(stmt);
    return result == SQLITE_ROW || result == SQLITE_DONE
               ? 0
               : cof_kms_sql_fail(db, result, "opening the key store", fault);
}

int cof_kms_schema_add(struct cof_kms_db *db, struct coffer_fault *fault)
{
    const struct cof_kms_schema_item *item;
    enum presence presence;
    unsigned number = 0;
    int error = 0;

    while (error == 0 && (item = item_at(COF_KMS_SCHEMA_VERSION, number++)) != NULL) {
        error = look_at(db, item, &presence, fault);
        if (error == 0 && presence == ABSENT) {
            error = run(db, item->sql, fault);
        }
    }
    return error;
}

static int check_item(struct cof_kms_db *db, const struct cof_kms_schema_item *item,
                      struct coffer_fault *fault)
{
    enum presence presence;
    int error = look_at(db, item, &presence, fault);

    if (error == 0 && presence != SAME) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "the key store's table or trigger %s was altered: restore the file "
                             "from a copy", item->name);
    }
    return error;
}

static int check_version(struct cof_kms_db *db, uint32_t *ret_version, struct coffer_fault *fault)
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
    if (version < 1) {
        return cof_kms_fault(fault, COFFER_E_CORRUPT,
                             "the key store names no schema version: restore it from a copy");
    }
    *ret_version = (uint32_t)version;
    return 0;
}

int cof_kms_schema_check(struct cof_kms_db *db, uint32_t *ret_version, struct coffer_fault *fault)
{
    const struct cof_kms_schema_item *item;
    int64_t number = 0;
    unsigned items = 0;
    uint32_t version = 0;
    int error = ask_number(db, "PRAGMA application_id", &number, fault);

    if (error == 0 && number != APPLICATION_ID) {
        return cof_kms_fault(fault, COFFER_E_NOT_A_STORE,
                             "%.100s is not a key store: name another file", db->path);
    }
    if (error == 0) {
        error = check_version(db, &version, fault);
    }
    while (error == 0 && (item = item_at(version, items)) != NULL) {
        error = check_item(db, item, fault);
        items++;
    }
    if (error == 0) {
        error = ask_number(db, "SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL"
                               " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", &number, fault);
    }
    if (error == 0 && number != (int64_t)items) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "the key store has tables or triggers that it was not made with: "
                             "restore the file from a copy");
    }
    if (error == 0) {
        *ret_version = version;
    }
    return error;
}
