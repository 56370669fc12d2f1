/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.c - a SQLite database on a volume of a store that the program has open: lend the volume to
 * the VFS, open its name with SQLite, commit, take a backup, read both.
 *
 * It is also the shape for any other store of pages: tools/sqlite/volume.h has what lies between
 * the engine and SQLite (regions of one volume for several files, writes in order, a flush for each
 * commit) and knows nothing of SQLite itself. Plain volume, to keep to the point; embed.c has keys.
 *
 *     cc sqlite.c $(pkg-config --cflags --libs coffer-sqlite coffer sqlite3) && ./a.out DIRECTORY
 */
#include <coffer/sqlite.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOLUME_BYTES (1ull << 40) /* sparse: it costs what it holds */

static struct coffer_fault fault;
static struct coffer_store *store;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s: %s\n", what, coffer_error_sentence(error), fault.detail);
        exit(1);
    }
}

static void open_store(const char *path)
{
    struct coffer_store_create_opts create;
    struct coffer_store_opts open;
    struct coffer_volume_create_opts volume;

    memset(&create, 0, sizeof create);
    create.size = sizeof create;
    create.path = path;
    create.size_bytes = 1ull << 30;
    must(coffer_store_create(&create, &fault), "create the store");
    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.path = path;
    must(coffer_store_open(&open, &store, &fault), "open the store");
    memset(&volume, 0, sizeof volume);
    volume.size = sizeof volume;
    volume.name = "ledger";
    volume.size_bytes = VOLUME_BYTES;
    volume.not_encrypted = 1;
    must(coffer_volume_create(store, &volume, &fault), "create the volume");
}

/* Open a volume or snapshot and lend it to SQLite under its own name. */
static struct coffer_volume *lend(const char *name, int is_snapshot)
{
    struct coffer_volume_open_opts open;
    struct coffer_sqlite_opts lent;
    struct coffer_volume *volume;

    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.name = name;
    open.flags = is_snapshot ? COFFER_VOLUME_READ_ONLY : 0;
    must(coffer_volume_open(store, &open, &volume, &fault), "open the volume");
    memset(&lent, 0, sizeof lent);
    lent.size = sizeof lent;
    lent.name = name;
    lent.store = store;
    lent.volume = volume;
    lent.flags = is_snapshot ? COFFER_SQLITE_READ_ONLY : 0;
    must(coffer_sqlite_register(&lent, &fault), "lend the volume");
    return volume;
}

static void take_back(const char *name, struct coffer_volume *volume)
{
    must(coffer_sqlite_unregister(name, &fault), "take the volume back");
    must(coffer_volume_close(volume), "close the volume");
}

static sqlite3 *connect_to(const char *name)
{
    sqlite3 *db;
    char why[512];
    if (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, COFFER_SQLITE_VFS) !=
        SQLITE_OK) {
        coffer_sqlite_last_error(why, sizeof why);
        fprintf(stderr, "%s: %s: %s\n", name, sqlite3_errmsg(db), why);
        exit(1);
    }
    return db;
}

static void run(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
        exit(1);
    }
}

static int count(sqlite3 *db)
{
    sqlite3_stmt *statement;
    int rows = -1;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM entry", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        rows = sqlite3_column_int(statement, 0);
    }
    sqlite3_finalize(statement);
    return rows;
}

int main(int argc, char **argv)
{
    struct coffer_volume *ledger, *monday;
    char path[4096];
    sqlite3 *db, *backup;
    int now, then;

    if (argc != 2) {
        fprintf(stderr, "usage: sqlite DIRECTORY\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/sqlite.coffer", argv[1]);
    open_store(path);
    ledger = lend("ledger", 0);
    db = connect_to("ledger");
    run(db, "PRAGMA journal_mode = wal; CREATE TABLE entry(id INTEGER PRIMARY KEY, amount)");
    run(db, "BEGIN; INSERT INTO entry(amount) VALUES(1), (2), (3); COMMIT"); /* durable now */
    run(db, "PRAGMA coffer_snapshot = 'monday'; DELETE FROM entry WHERE amount = 2");

    monday = lend("ledger@monday", 1);
    backup = connect_to("ledger@monday");
    now = count(db);
    then = count(backup);
    printf("%d entries now, %d on monday\n", now, then);
    sqlite3_close(backup);
    take_back("ledger@monday", monday);
    sqlite3_close(db);
    take_back("ledger", ledger);
    must(coffer_store_close(store), "close the store");
    return now == 2 && then == 3 ? 0 : 1;
}
