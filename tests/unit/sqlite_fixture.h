/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/sqlite_fixture.h - databases on volumes of a store on the simulated device, beside the same
 * in SQLite's own memory: what both were told must read the same.
 */
#ifndef COF_TEST_SQLITE_FIXTURE_H
#define COF_TEST_SQLITE_FIXTURE_H

#include "unit/volume_fixture.h"

#include <coffer/sqlite.h>
#include <sqlite3.h>

#define DATABASE_PAGES 65536u /* 256 MiB, of which little is ever used */

struct sqlite_fixture {
    struct volume_fixture world;
    struct coffer_volume *volume;
};

static inline void lend(struct sqlite_fixture *f, struct coffer_volume *volume, const char *name,
                        unsigned flags)
{
    const struct coffer_sqlite_opts opts = {.size = sizeof opts,
                                            .name = name,
                                            .store = f->world.store,
                                            .volume = volume,
                                            .flags = flags,
                                            .provider = &f->world.kms.api};
    int error = coffer_sqlite_register(&opts, &f->world.fault);
    if (error != 0) {
        fail_msg("register %s: %s: %s", name, coffer_error_name(error), f->world.fault.detail);
    }
}

static inline void take_back(struct sqlite_fixture *f, const char *name)
{
    int error = coffer_sqlite_unregister(name, &f->world.fault);
    if (error != 0) {
        fail_msg("unregister %s: %s: %s", name, coffer_error_name(error), f->world.fault.detail);
    }
}

static inline void sqlite_fixture_make(struct sqlite_fixture *f, uint64_t seed)
{
    fixture_make(&f->world, seed);
    make_volume(&f->world, "db", DATABASE_PAGES, 0);
    f->volume = open_volume(&f->world, "db");
    lend(f, f->volume, "db", 0);
}

static inline void sqlite_fixture_done(struct sqlite_fixture *f)
{
    take_back(f, "db");
    assert_int_equal(coffer_volume_close(f->volume), 0);
    fixture_done(&f->world);
}

static inline sqlite3 *connect_with(const char *name, int flags, const char *vfs)
{
    sqlite3 *db = NULL;
    int result = sqlite3_open_v2(name, &db, flags, vfs);
    if (result != SQLITE_OK) {
        char why[512];
        coffer_sqlite_last_error(why, sizeof why);
        fail_msg("open %s: %s; %s", name, sqlite3_errmsg(db), why);
    }
    return db;
}

static inline sqlite3 *connect_to(const char *name)
{
    return connect_with(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI,
                        COFFER_SQLITE_VFS);
}

static inline sqlite3 *connect_plain(void)
{
    return connect_with(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
}

static inline void disconnect(sqlite3 *db)
{
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline int try_sql(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static inline void run_sql(sqlite3 *db, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void run_sql(sqlite3 *db, const char *format, ...)
{
    char *message = NULL;
    char sql[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(sql, sizeof sql, format, list);
    va_end(list);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        char why[512];
        coffer_sqlite_last_error(why, sizeof why);
        fail_msg("%s: %s; %s", sql, message, why);
    }
}

/* The first column of the first row, as text. */
static inline const char *ask(sqlite3 *db, const char *sql)
{
    static char answer[8][256];
    static unsigned next;
    char *text = answer[next++ % 8u];
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    int result = sqlite3_step(statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    const void *column = result == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
    snprintf(text, 256, "%s", column == NULL ? "" : (const char *)column);
    sqlite3_finalize(statement);
    return text;
}

static inline void check_answer(sqlite3 *db, const char *sql, const char *expected)
{
    const char *got = ask(db, sql);
    if (strcmp(got, expected) != 0) {
        fail_msg("%s: %s, not %s", sql, got, expected);
    }
}

static inline void check_sound(sqlite3 *db)
{
    check_answer(db, "PRAGMA integrity_check", "ok");
}

/* ---- equality ---------------------------------------------------------------------------- */

static inline bool same_row(sqlite3_stmt *a, sqlite3_stmt *b)
{
    for (int i = 0; i < sqlite3_column_count(a); i++) {
        int bytes = sqlite3_column_bytes(a, i);
        if (sqlite3_column_type(a, i) != sqlite3_column_type(b, i) ||
            bytes != sqlite3_column_bytes(b, i) ||
            (bytes > 0 &&
             memcmp(sqlite3_column_blob(a, i), sqlite3_column_blob(b, i), (size_t)bytes) != 0)) {
            return false;
        }
    }
    return true;
}

static inline void check_same_rows(sqlite3 *a, sqlite3 *b, const char *sql)
{
    sqlite3_stmt *left, *right;
    int step;
    assert_int_equal(sqlite3_prepare_v2(a, sql, -1, &left, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(b, sql, -1, &right, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_column_count(left), sqlite3_column_count(right));
    for (unsigned long row = 0;; row++) {
        step = sqlite3_step(left);
        if (step != sqlite3_step(right) || (step == SQLITE_ROW && !same_row(left, right))) {
            fail_msg("%s: row %lu differs", sql, row);
        }
        if (step != SQLITE_ROW) {
            break;
        }
    }
    assert_int_equal(step, SQLITE_DONE);
    sqlite3_finalize(left);
    sqlite3_finalize(right);
}

static inline void check_same(sqlite3 *a, sqlite3 *b)
{
    const char *tables = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2";
    sqlite3_stmt *names;
    check_same_rows(a, b, tables);
    assert_int_equal(sqlite3_prepare_v2(a, "SELECT name FROM sqlite_schema WHERE type = 'table'",
                                        -1, &names, NULL),
                     SQLITE_OK);
    while (sqlite3_step(names) == SQLITE_ROW) {
        char sql[256];
        snprintf(sql, sizeof sql, "SELECT rowid, * FROM \"%s\" ORDER BY rowid",
                 (const char *)sqlite3_column_text(names, 0));
        check_same_rows(a, b, sql);
    }
    sqlite3_finalize(names);
}

#endif
