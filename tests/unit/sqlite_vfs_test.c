/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/sqlite_vfs_test - SQLite does on a volume what it does in a file: every journal mode and
 * page size, big transactions, VACUUM, blobs, several connections, ATTACH, names and refusals.
 */
#include "sqlite/database.h"
#include "unit/sqlite_fixture.h"

static const char *const modes[] = {"delete", "truncate", "persist", "memory", "wal"};

/* The same statements on both. */
static void both(sqlite3 *a, sqlite3 *b, const char *sql)
{
    run_sql(a, "%s", sql);
    run_sql(b, "%s", sql);
}

static void some_work(sqlite3 *a, sqlite3 *b, uint64_t seed)
{
    struct prng prng = {seed};
    char sql[512];
    for (unsigned i = 0; i < 40; i++) {
        unsigned what = prng_below(&prng, 6);
        unsigned key = prng_below(&prng, 400);
        unsigned bytes = prng_below(&prng, 20) == 0 ? 60000 : prng_below(&prng, 300);
        switch (what) {
        case 0:
            snprintf(sql, sizeof sql,
                     "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT %u) "
                     "INSERT INTO t(k, v) SELECT x * 7 + %u, printf('%%*c', %u, 'x') FROM c",
                     1 + key / 4, key, bytes);
            break;
        case 1:
            snprintf(sql, sizeof sql, "UPDATE t SET v = v || 'changed' WHERE k %% 11 = %u",
                     key % 11);
            break;
        case 2:
            snprintf(sql, sizeof sql, "DELETE FROM t WHERE k %% 13 = %u", key % 13);
            break;
        case 3:
            snprintf(sql, sizeof sql,
                     "BEGIN; INSERT INTO u VALUES(%u, zeroblob(%u)); UPDATE t SET k = k + 1; "
                     "ROLLBACK",
                     key, bytes);
            break;
        case 4:
            snprintf(sql, sizeof sql,
                     "BEGIN; INSERT INTO u VALUES(%u, zeroblob(%u)); SAVEPOINT s; DELETE FROM t; "
                     "ROLLBACK TO s; COMMIT",
                     key, bytes);
            break;
        default:
            snprintf(sql, sizeof sql, "INSERT INTO t(k, v) VALUES(%u, printf('%%*c', %u, 'y'))",
                     key, bytes);
        }
        both(a, b, sql);
    }
}

static void one_combination(const char *mode, unsigned page_bytes)
{
    struct sqlite_fixture f;
    sqlite3 *plain = connect_plain();
    char sql[128];
    sqlite_fixture_make(&f, page_bytes);
    sqlite3 *db = connect_to("db");
    snprintf(sql, sizeof sql, "PRAGMA page_size = %u", page_bytes);
    both(db, plain, sql);
    run_sql(db, "PRAGMA cache_size = 20");
    snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", mode);
    check_answer(db, sql, mode);
    both(db, plain, "CREATE TABLE t(k, v); CREATE INDEX i ON t(k); CREATE TABLE u(k, v)");
    some_work(db, plain, page_bytes);
    check_same(db, plain);
    both(db, plain, "VACUUM");
    check_sound(db);
    disconnect(db);
    take_back(&f, "db");
    assert_int_equal(coffer_volume_close(f.volume), 0);
    fixture_reopen(&f.world);
    f.volume = open_volume(&f.world, "db");
    lend(&f, f.volume, "db", 0);
    db = connect_to("db");
    snprintf(sql, sizeof sql, "%u", page_bytes);
    check_answer(db, "PRAGMA page_size", sql);
    some_work(db, plain, page_bytes + 1);
    check_same(db, plain);
    check_sound(db);
    disconnect(db);
    disconnect(plain);
    sqlite_fixture_done(&f);
}

static void every_journal_mode_and_page_size_reads_back(void **state)
{
    (void)state;
    for (unsigned m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        for (unsigned page_bytes = 512; page_bytes <= 65536; page_bytes *= 4) {
            one_combination(modes[m], page_bytes);
        }
        one_combination(modes[m], 65536);
        one_combination(modes[m], 4096);
    }
}

static void two_databases_commit_together(void **state)
{
    struct sqlite_fixture f;
    struct coffer_volume *second;
    (void)state;
    sqlite_fixture_make(&f, 3);
    make_volume(&f.world, "other", DATABASE_PAGES, 0);
    second = open_volume(&f.world, "other");
    lend(&f, second, "other", 0);
    sqlite3 *db = connect_to("db");
    run_sql(db, "ATTACH 'other' AS o; CREATE TABLE t(x); CREATE TABLE o.t(x)");
    for (unsigned i = 0; i < 20; i++) {
        run_sql(db, "BEGIN; INSERT INTO main.t VALUES(%u); INSERT INTO o.t VALUES(%u); COMMIT", i,
                i);
    }
    check_answer(db, "SELECT count(*) FROM main.t JOIN o.t USING(x)", "20");
    run_sql(db, "BEGIN; DELETE FROM main.t; DELETE FROM o.t; ROLLBACK");
    check_answer(db, "SELECT count(*) FROM main.t JOIN o.t USING(x)", "20");
    check_sound(db);
    disconnect(db);
    take_back(&f, "other");
    assert_int_equal(coffer_volume_close(second), 0);
    sqlite_fixture_done(&f);
}

/* Sixteen transactions over two databases were cut off; nobody needs what they left. */
static void what_cut_off_transactions_left_is_cleared(void **state)
{
    struct sqlite_fixture f;
    struct cof_sqlite_database *database;
    const char children[] = "db-journal\0other-journal";
    const char stranger[] = "elsewhere-journal";
    (void)state;
    sqlite_fixture_make(&f, 30);
    make_volume(&f.world, "other", DATABASE_PAGES, 0);
    struct coffer_volume *second = open_volume(&f.world, "other");
    lend(&f, second, "other", 0);
    sqlite3 *db = connect_to("db");
    run_sql(db, "ATTACH 'other' AS o; CREATE TABLE t(x); CREATE TABLE o.t(x)");
    for (unsigned pass = 0; pass < 2; pass++) {
        const char *content = pass == 0 ? children : stranger;
        assert_int_equal(cof_sqlite_database_get("db", NULL, false, &database, NULL), 0);
        for (unsigned i = 0; i < COF_SQLITE_SUPER_SLOTS; i++) {
            char name[16];
            unsigned slot;
            snprintf(name, sizeof name, "-mj%u%06X9%02X", pass, i, i);
            name[12] = '\0';
            assert_int_equal(cof_sqlite_supers_create(&database->volume, name, &slot, NULL), 0);
            assert_int_equal(cof_sqlite_supers_write(&database->volume, slot, content, 0,
                                                     pass == 0 ? sizeof children : sizeof stranger,
                                                     NULL),
                             0);
        }
        assert_int_equal(try_sql(db, "BEGIN; INSERT INTO main.t VALUES(1); INSERT INTO o.t "
                                     "VALUES(1); COMMIT"),
                         SQLITE_FULL); /* they are this process's own */
        database->volume.supers_ours = 0; /* as in the next one */
        assert_int_equal(cof_sqlite_database_put(database, NULL), 0);
        assert_int_equal(try_sql(db, "BEGIN; INSERT INTO main.t VALUES(2); INSERT INTO o.t "
                                     "VALUES(2); COMMIT"),
                         pass == 0 ? SQLITE_OK : SQLITE_FULL);
    }
    check_answer(db, "SELECT count(*) FROM main.t JOIN o.t USING(x)", "1");
    disconnect(db);
    take_back(&f, "other");
    assert_int_equal(coffer_volume_close(second), 0);
    sqlite_fixture_done(&f);
}

static void writers_and_readers_exclude_each_other(void **state)
{
    struct sqlite_fixture f;
    (void)state;
    sqlite_fixture_make(&f, 4);
    sqlite3 *a = connect_to("db");
    sqlite3 *b = connect_to("db");
    run_sql(a, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    run_sql(a, "BEGIN IMMEDIATE; INSERT INTO t VALUES(2)");
    check_answer(b, "SELECT count(*) FROM t", "1");
    assert_int_equal(try_sql(b, "BEGIN IMMEDIATE"), SQLITE_BUSY);
    run_sql(b, "BEGIN; SELECT * FROM t");
    assert_int_equal(try_sql(a, "COMMIT"), SQLITE_BUSY); /* b reads */
    run_sql(b, "COMMIT");
    run_sql(a, "COMMIT");
    check_answer(b, "SELECT count(*) FROM t", "2");
    run_sql(a, "BEGIN EXCLUSIVE");
    assert_int_equal(try_sql(b, "SELECT * FROM t"), SQLITE_BUSY);
    run_sql(a, "COMMIT");
    disconnect(b);
    disconnect(a);
    sqlite_fixture_done(&f);
}

static void the_log_lets_readers_keep_their_view(void **state)
{
    struct sqlite_fixture f;
    (void)state;
    sqlite_fixture_make(&f, 5);
    sqlite3 *a = connect_to("db");
    sqlite3 *b = connect_to("db");
    run_sql(a, "PRAGMA journal_mode = wal; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    run_sql(b, "BEGIN; SELECT * FROM t");
    run_sql(a, "INSERT INTO t VALUES(2)");
    check_answer(b, "SELECT count(*) FROM t", "1");
    assert_int_equal(try_sql(b, "INSERT INTO t VALUES(3)"), SQLITE_BUSY); /* a stale view */
    run_sql(b, "COMMIT");
    check_answer(b, "SELECT count(*) FROM t", "2");
    check_answer(a, "PRAGMA wal_checkpoint(TRUNCATE)", "0");
    run_sql(b, "INSERT INTO t VALUES(3)");
    check_answer(a, "SELECT count(*) FROM t", "3");
    disconnect(a);
    check_sound(b);
    disconnect(b);
    sqlite_fixture_done(&f);
}

static void a_snapshot_is_a_backup(void **state)
{
    struct sqlite_fixture f;
    (void)state;
    for (unsigned m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        sqlite_fixture_make(&f, 6 + m);
        sqlite3 *db = connect_to("db");
        run_sql(db, "PRAGMA journal_mode = %s", modes[m]);
        run_sql(db, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
        check_answer(db, "PRAGMA coffer_snapshot = 'monday'", "db@monday");
        run_sql(db, "DELETE FROM t");
        run_sql(db, "BEGIN IMMEDIATE");
        sqlite3 *other = connect_to("db");
        assert_int_equal(try_sql(other, "PRAGMA coffer_snapshot = 'busy'"), SQLITE_BUSY);
        disconnect(other);
        run_sql(db, "COMMIT");
        assert_int_equal(try_sql(db, "PRAGMA coffer_snapshot"), SQLITE_ERROR);
        assert_int_equal(try_sql(db, "PRAGMA coffer_snapshot = 'monday'"), SQLITE_ERROR);

        struct coffer_volume_open_opts opts = open_opts(&f.world, "db@monday");
        struct coffer_volume *snapshot;
        opts.flags |= COFFER_VOLUME_READ_ONLY;
        assert_int_equal(coffer_volume_open(f.world.store, &opts, &snapshot, NULL), 0);
        lend(&f, snapshot, "db@monday", COFFER_SQLITE_READ_ONLY);
        sqlite3 *old = connect_to("db@monday");
        check_answer(old, "SELECT count(*) FROM t", "1");
        check_answer(db, "SELECT count(*) FROM t", "0");
        check_sound(old);
        assert_int_equal(try_sql(old, "INSERT INTO t VALUES(2)"), SQLITE_READONLY);
        disconnect(old);
        take_back(&f, "db@monday");
        assert_int_equal(coffer_volume_close(snapshot), 0);
        disconnect(db);
        sqlite_fixture_done(&f);
    }
}

static void a_lent_volume_is_taken_back_only_when_nobody_uses_it(void **state)
{
    struct sqlite_fixture f;
    const struct coffer_sqlite_opts wrong = {.size = 3};
    (void)state;
    sqlite_fixture_make(&f, 20);
    struct coffer_sqlite_opts again = {
        .size = sizeof again, .name = "db", .store = f.world.store, .volume = f.volume};
    assert_int_equal(coffer_sqlite_register(&again, NULL), COFFER_E_EXISTS);
    assert_int_equal(coffer_sqlite_register(&wrong, NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_sqlite_unregister("none", NULL), COFFER_E_NOT_FOUND);
    sqlite3 *db = connect_to("db");
    run_sql(db, "CREATE TABLE t(x)");
    assert_int_equal(coffer_sqlite_unregister("db", NULL), COFFER_E_BUSY);
    disconnect(db);
    assert_int_equal(sqlite3_open_v2("none", &db, SQLITE_OPEN_READWRITE, COFFER_SQLITE_VFS),
                     SQLITE_CANTOPEN);
    char why[512];
    coffer_sqlite_last_error(why, sizeof why);
    assert_non_null(strstr(why, "no volume was registered under the name none"));
    sqlite3_close(db);
    sqlite_fixture_done(&f);
}

static void a_full_volume_rolls_back(void **state)
{
    struct sqlite_fixture f;
    (void)state;
    fixture_make(&f.world, 21);
    make_volume(&f.world, "db", 4096, 0); /* 16 MiB: 9 of them the database's */
    f.volume = open_volume(&f.world, "db");
    lend(&f, f.volume, "db", 0);
    for (unsigned m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        sqlite3 *db = connect_to("db");
        run_sql(db,
                "PRAGMA journal_mode = %s; DROP TABLE IF EXISTS t; CREATE TABLE t(x); "
                "INSERT INTO t VALUES(1)",
                modes[m]);
        int result = try_sql(db, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
                                 "LIMIT 300) INSERT INTO t SELECT zeroblob(100000) FROM c");
        assert_int_equal(result, SQLITE_FULL);
        check_answer(db, "SELECT count(*) FROM t", "1");
        check_sound(db);
        disconnect(db);
    }
    sqlite_fixture_done(&f);
}

static void foreign_volumes_are_refused(void **state)
{
    struct sqlite_fixture f;
    struct coffer_volume *volume;
    (void)state;
    sqlite_fixture_make(&f, 22);
    make_volume(&f.world, "foreign", DATABASE_PAGES, 0);
    make_volume(&f.world, "behind", DATABASE_PAGES, 1);
    make_volume(&f.world, "small", 4095, 0);
    static const struct {
        const char *name;
        uint64_t page;
        int error;
    } cases[] = {{"foreign", 0, COFFER_E_NOT_A_STORE},
                 {"behind", 700, COFFER_E_NOT_A_STORE},
                 {"small", UINT64_MAX, COFFER_E_RANGE}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        volume = open_volume(&f.world, cases[i].name);
        if (cases[i].page != UINT64_MAX) {
            write_page(volume, cases[i].page, 1);
        }
        const struct coffer_sqlite_opts opts = {
            .size = sizeof opts, .name = "x", .store = f.world.store, .volume = volume};
        assert_int_equal(coffer_sqlite_register(&opts, &f.world.fault), cases[i].error);
        assert_true(f.world.fault.detail[0] != '\0');
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    sqlite_fixture_done(&f);
}

static void reading_does_not_make_a_database(void **state)
{
    struct sqlite_fixture f;
    uint64_t at = 0, length = 1;
    sqlite3 *db;
    (void)state;
    sqlite_fixture_make(&f, 23);
    assert_int_equal(sqlite3_open_v2("db", &db, SQLITE_OPEN_READWRITE, COFFER_SQLITE_VFS),
                     SQLITE_CANTOPEN);
    sqlite3_close(db);
    db = connect_to("db");
    check_answer(db, "SELECT count(*) FROM sqlite_schema", "0");
    disconnect(db);
    assert_int_equal(coffer_volume_next_data(f.volume, &at, &length, NULL), 0);
    assert_int_equal(length, 0);
    sqlite_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_journal_mode_and_page_size_reads_back),
        cmocka_unit_test(two_databases_commit_together),
        cmocka_unit_test(what_cut_off_transactions_left_is_cleared),
        cmocka_unit_test(writers_and_readers_exclude_each_other),
        cmocka_unit_test(the_log_lets_readers_keep_their_view),
        cmocka_unit_test(a_snapshot_is_a_backup),
        cmocka_unit_test(a_lent_volume_is_taken_back_only_when_nobody_uses_it),
        cmocka_unit_test(a_full_volume_rolls_back),
        cmocka_unit_test(foreign_volumes_are_refused),
        cmocka_unit_test(reading_does_not_make_a_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
