/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite_killer - kill -9 of a process that commits to SQLite on a volume of a real file.
 *
 * The child opens the store and commits transactions of random size, one after another, in a
 * journal mode that changes with the round; after each COMMIT it tells the parent its number
 * through a pipe. The parent, the witness, kills it at a random moment, opens the store itself and
 * looks: the database is sound, each transaction is there whole or not at all, and none that was
 * told of is missing, nor one behind the first that is. Now and then the child takes a snapshot,
 * too: the newest one must be sound, and at the number that its name says.
 *
 * As process death loses nothing that was written, synchronous=OFF keeps the same promise, and
 * takes its turn. The negative control (--lie) lets the child tell of a transaction that it never
 * made.
 */
#include "common/harness.h"
#include "common/killing.h"
#include "common/prng.h"
#include "common/victim.h"
#include "sqlite/sql.h"

#include <coffer/sqlite.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VOLUME_BYTES (1ull << 40)

static const char *const modes[] = {"delete", "wal", "truncate", "persist"};
static const char *const syncs[] = {"FULL", "FULL", "NORMAL", "OFF"};

static struct coffer_fault fault;
static struct {
    uint64_t commits, unseen, snapshots;
} counts;

struct opened {
    struct coffer_store *store;
    struct coffer_volume *volume;
    sqlite3 *db;
};

static uint64_t ask_number(sqlite3 *db, const char *text)
{
    char answer[SQL_ANSWER_BYTES];
    sql_ask(db, text, answer);
    return strtoull(answer, NULL, 10);
}

/* ---- the store --------------------------------------------------------------------------- */

static void create_store(void)
{
    killing_create("db", VOLUME_BYTES);
}

static void lend(struct opened *opened, const char *name, unsigned volume_flags,
                 unsigned sqlite_flags)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = name, .flags = volume_flags, .provider = &killing_kms.api};
    struct coffer_sqlite_opts lent = {.size = sizeof lent,
                                      .name = name,
                                      .store = opened->store,
                                      .flags = sqlite_flags,
                                      .provider = &killing_kms.api};
    killing_must(coffer_volume_open(opened->store, &opts, &opened->volume, &fault),
                 "open the volume", &fault);
    lent.volume = opened->volume;
    killing_must(coffer_sqlite_register(&lent, &fault), "lend the volume", &fault);
    harness_require(sqlite3_open_v2(name, &opened->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                    COFFER_SQLITE_VFS) == SQLITE_OK,
                    "open %s: %s", name, sqlite3_errmsg(opened->db));
}

static void open_database(struct opened *opened)
{
    opened->store = killing_open();
    lend(opened, "db", 0, 0);
}

static void take_back(struct opened *opened, const char *name)
{
    harness_require(sqlite3_close(opened->db) == SQLITE_OK, "close: %s",
                    sqlite3_errmsg(opened->db));
    killing_must(coffer_sqlite_unregister(name, &fault), "take the volume back", &fault);
    killing_must(coffer_volume_close(opened->volume), "close the volume", NULL);
}

/* ---- the child --------------------------------------------------------------------------- */

static void transaction(sqlite3 *db, struct prng *prng, uint64_t number)
{
    unsigned rows = prng_chance(prng, 1, 8) ? 400 : 1 + prng_below(prng, 12);
    sql(db, "BEGIN");
    sql(db,
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT %u) INSERT INTO t "
        "SELECT %llu, x, hex(randomblob(%u)) FROM c",
        rows, (unsigned long long)number, 1 + prng_below(prng, 400));
    if (prng_chance(prng, 1, 10)) {
        sql(db, "UPDATE t SET v = v || 'y' WHERE id %% 50 = %u", prng_below(prng, 50));
    }
    sql(db, "INSERT INTO done VALUES(%llu, %u)", (unsigned long long)number, rows);
    sql(db, "COMMIT");
}

struct round {
    uint64_t seed;
    bool lie;
    uint64_t last; /* told of; 0: none */
};

static void child(void *ctx, int fd)
{
    const struct round *round = ctx;
    struct opened opened;
    struct prng prng = {round->seed};
    open_database(&opened);
    sql(opened.db, "PRAGMA synchronous = %s; PRAGMA journal_mode = %s", syncs[round->seed % 4],
        modes[round->seed / 4 % 4]);
    sql(opened.db, "PRAGMA cache_size = 40; PRAGMA wal_autocheckpoint = 50");
    sql(opened.db, "CREATE TABLE IF NOT EXISTS t(id, x, v); CREATE INDEX IF NOT EXISTS i ON t(id, "
                   "x); CREATE TABLE IF NOT EXISTS done(id INTEGER PRIMARY KEY, n)");
    uint64_t number = ask_number(opened.db, "SELECT coalesce(max(id), 0) FROM done");
    if (round->lie) {
        uint64_t never = number + 1000000;
        victim_tell(fd, &never, sizeof never);
        (void)pause();
    }
    for (;;) {
        transaction(opened.db, &prng, ++number);
        victim_tell(fd, &number, sizeof number);
        if (prng_chance(&prng, 1, 40)) {
            sql(opened.db, "PRAGMA coffer_snapshot = 's%llu'", (unsigned long long)number);
        }
    }
}

/* ---- the witness ------------------------------------------------------------------------- */

static void hear(void *ctx, const void *note)
{
    struct round *round = ctx;
    memcpy(&round->last, note, sizeof round->last);
    counts.commits++;
}

static uint64_t look_at(sqlite3 *db)
{
    sql_check_sound(db, "main");
    uint64_t last = ask_number(db, "SELECT coalesce(max(id), 0) FROM done");
    harness_require(ask_number(db, "SELECT count(*) FROM done") == last,
                    "a transaction before the last one is missing");
    harness_require(ask_number(db, "SELECT count(*) FROM (SELECT id, count(*) AS c FROM t GROUP BY "
                                   "id) JOIN done USING(id) WHERE c <> n") == 0 &&
                        ask_number(db, "SELECT count(DISTINCT id) FROM t") == last,
                    "a transaction is there in part");
    return last;
}

static int newest_snapshot(void *ctx, const struct coffer_snapshot_info *info)
{
    uint64_t *newest = ctx;
    uint64_t number = strtoull(info->name + 1, NULL, 10);
    *newest = number > *newest ? number : *newest;
    return 0;
}

static void look_at_snapshot(const struct opened *opened)
{
    struct opened snapshot = *opened;
    uint64_t number = 0;
    char name[64];
    killing_must(coffer_snapshot_list(opened->store, "db", &killing_kms.api, newest_snapshot,
                                      &number, &fault),
                 "list snapshots", &fault);
    if (number > 0) {
        snprintf(name, sizeof name, "db@s%llu", (unsigned long long)number);
        lend(&snapshot, name, COFFER_VOLUME_READ_ONLY, COFFER_SQLITE_READ_ONLY);
        uint64_t last = look_at(snapshot.db);
        harness_require(last == number, "snapshot s%llu is at transaction %llu",
                        (unsigned long long)number, (unsigned long long)last);
        take_back(&snapshot, name);
        counts.snapshots++;
    }
}

static void one_round(uint64_t seed, bool lie)
{
    struct round round = {.seed = seed, .lie = lie};
    struct prng prng = {prng_mix(seed, 3)};
    struct victim victim = {sizeof round.last, child, hear, &round};
    struct opened opened;
    victim_kill(&victim, lie ? 1 : prng_below(&prng, 60));
    open_database(&opened);
    if (ask_number(opened.db, "SELECT count(*) FROM sqlite_schema WHERE name = 'done'") == 1) {
        uint64_t found = look_at(opened.db);
        harness_require(found >= round.last,
                        "transaction %llu was committed, and %llu is the last one",
                        (unsigned long long)round.last, (unsigned long long)found);
        counts.unseen += found > round.last ? 1u : 0u;
        look_at_snapshot(&opened);
    } else {
        harness_require(round.last == 0, "transaction %llu was committed, and there is no table",
                        (unsigned long long)round.last);
    }
    take_back(&opened, "db");
    killing_must(coffer_store_close(opened.store), "close the store", NULL);
}

static void tell_counts(void)
{
    printf("%llu transactions told of, %llu times one more was there, %llu snapshots looked at\n",
           (unsigned long long)counts.commits, (unsigned long long)counts.unseen,
           (unsigned long long)counts.snapshots);
}

int main(int argc, char **argv)
{
    static const struct killing killing = {
        .program = "sqlite_killer",
        .what = "kill -9 of SQLite on a volume of a real file",
        .lie = "a transaction that was never made",
        .rounds = 20,
        .rounds_of_a_store = 50,
        .create = create_store,
        .round = one_round,
        .tell = tell_counts,
    };
    return killing_main(&killing, argc, argv);
}
