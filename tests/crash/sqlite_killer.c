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
#include "common/fake_kms.h"
#include "common/harness.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <coffer/sqlite.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VOLUME_BYTES (1ull << 40)
#define KMS_SEED 99u

static const char *const modes[] = {"delete", "wal", "truncate", "persist"};
static const char *const syncs[] = {"FULL", "FULL", "NORMAL", "OFF"};

static struct fake_kms kms;
static const char *store_path;
static struct coffer_fault fault;
static struct {
    uint64_t rounds, commits, unseen, snapshots;
} counts;

struct opened {
    struct coffer_store *store;
    struct coffer_volume *volume;
    sqlite3 *db;
};

static void must(int error, const char *what)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    fault.error == error ? fault.detail : "");
}

static void sql(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sql(sqlite3 *db, const char *format, ...)
{
    char text[512], why[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        coffer_sqlite_last_error(why, sizeof why);
        harness_fail("%s: %s; %s", text, sqlite3_errmsg(db), why);
    }
}

static void ask(sqlite3 *db, const char *text, char answer[256])
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
    result = result == SQLITE_OK ? sqlite3_step(statement) : result;
    harness_require(result == SQLITE_ROW, "%s: %s", text, sqlite3_errmsg(db));
    snprintf(answer, 256, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
}

static uint64_t ask_number(sqlite3 *db, const char *text)
{
    char answer[256];
    ask(db, text, answer);
    return strtoull(answer, NULL, 10);
}

/* ---- the store --------------------------------------------------------------------------- */

static void create_store(void)
{
    struct coffer_store_create_opts opts = {.size = sizeof opts,
                                            .path = store_path,
                                            .size_bytes = 512u << 20,
                                            .segment_bytes = 1u << 20};
    struct coffer_volume_create_opts volume = {.size = sizeof volume,
                                               .name = "db",
                                               .size_bytes = VOLUME_BYTES,
                                               .kms_key_id = "alias/k1",
                                               .provider = &kms.api};
    struct coffer_store_opts open = {
        .size = sizeof open, .path = store_path, .flags = COFFER_OPEN_BUFFERED};
    struct coffer_store *store = NULL;
    (void)unlink(store_path);
    must(coffer_store_create(&opts, &fault), "create the store");
    must(coffer_store_open(&open, &store, &fault), "open the new store");
    must(coffer_volume_create(store, &volume, &fault), "create the volume");
    must(coffer_store_close(store), "close the new store");
}

static void lend(struct opened *opened, const char *name, unsigned volume_flags,
                 unsigned sqlite_flags)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = name, .flags = volume_flags, .provider = &kms.api};
    struct coffer_sqlite_opts lent = {.size = sizeof lent,
                                      .name = name,
                                      .store = opened->store,
                                      .flags = sqlite_flags,
                                      .provider = &kms.api};
    must(coffer_volume_open(opened->store, &opts, &opened->volume, &fault), "open the volume");
    lent.volume = opened->volume;
    must(coffer_sqlite_register(&lent, &fault), "lend the volume");
    harness_require(sqlite3_open_v2(name, &opened->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                    COFFER_SQLITE_VFS) == SQLITE_OK,
                    "open %s: %s", name, sqlite3_errmsg(opened->db));
}

static void open_database(struct opened *opened)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = store_path};
    int error = coffer_store_open(&opts, &opened->store, &fault);
    if (error == COFFER_E_ACCESS || error == COFFER_E_IO || error == COFFER_E_UNSUPPORTED) {
        opts.flags = COFFER_OPEN_BUFFERED; /* a file system without O_DIRECT */
        error = coffer_store_open(&opts, &opened->store, &fault);
    }
    must(error, "open the store");
    lend(opened, "db", 0, 0);
}

static void take_back(struct opened *opened, const char *name)
{
    harness_require(sqlite3_close(opened->db) == SQLITE_OK, "close: %s",
                    sqlite3_errmsg(opened->db));
    must(coffer_sqlite_unregister(name, &fault), "take the volume back");
    must(coffer_volume_close(opened->volume), "close the volume");
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

static void child(int fd, uint64_t seed, bool lie)
{
    struct opened opened;
    struct prng prng = {seed};
    open_database(&opened);
    sql(opened.db, "PRAGMA synchronous = %s; PRAGMA journal_mode = %s", syncs[seed % 4],
        modes[seed / 4 % 4]);
    sql(opened.db, "PRAGMA cache_size = 40; PRAGMA wal_autocheckpoint = 50");
    sql(opened.db, "CREATE TABLE IF NOT EXISTS t(id, x, v); CREATE INDEX IF NOT EXISTS i ON t(id, "
                   "x); CREATE TABLE IF NOT EXISTS done(id INTEGER PRIMARY KEY, n)");
    uint64_t number = ask_number(opened.db, "SELECT coalesce(max(id), 0) FROM done");
    if (lie) {
        uint64_t never = number + 1000000;
        _exit(write(fd, &never, sizeof never) == (ssize_t)sizeof never && pause() ? 4 : 3);
    }
    for (;;) {
        transaction(opened.db, &prng, ++number);
        if (write(fd, &number, sizeof number) != (ssize_t)sizeof number) {
            _exit(3);
        }
        if (prng_chance(&prng, 1, 40)) {
            sql(opened.db, "PRAGMA coffer_snapshot = 's%llu'", (unsigned long long)number);
        }
    }
}

static void child_case(void *ctx)
{
    const uint64_t *told = ctx;
    child((int)told[0], told[1], told[2] != 0);
}

/* ---- the witness ------------------------------------------------------------------------- */

/* The number of the last transaction that was told of; 0: none. */
static uint64_t listen_and_kill(int fd, pid_t pid, uint64_t notes, double seconds)
{
    double start = harness_seconds();
    uint64_t last = 0, number = 0;
    bool killed = false;
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        if (!killed && (notes == 0 || harness_seconds() - start > seconds)) {
            (void)kill(pid, SIGKILL);
            killed = true;
        }
        if (poll(&waiting, 1, 20) < 0 && errno != EINTR) {
            break;
        }
        if ((waiting.revents & (POLLIN | POLLHUP)) == 0) {
            continue;
        }
        if (read(fd, &number, sizeof number) != (ssize_t)sizeof number) {
            break;
        }
        last = number;
        counts.commits++;
        notes -= notes > 0 ? 1u : 0u;
    }
    return last;
}

static uint64_t look_at(sqlite3 *db)
{
    char answer[256];
    ask(db, "PRAGMA integrity_check", answer);
    harness_require(strcmp(answer, "ok") == 0, "integrity_check: %s", answer);
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
    must(coffer_snapshot_list(opened->store, "db", &kms.api, newest_snapshot, &number, &fault),
         "list snapshots");
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

struct round {
    uint64_t seed;
    bool lie;
};

static void one_round(void *ctx)
{
    const struct round *round = ctx;
    struct prng prng = {prng_mix(round->seed, 3)};
    struct opened opened;
    int ends[2], status;
    harness_context("sqlite_killer --seed %llu --rounds 1", (unsigned long long)round->seed);
    harness_require(pipe(ends) == 0, "pipe: %s", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    harness_require(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        uint64_t told[3] = {(uint64_t)ends[1], round->seed, round->lie};
        close(ends[0]);
        harness_quiet(false);
        (void)harness_run(child_case, told);
        _exit(1);
    }
    close(ends[1]);
    uint64_t last = listen_and_kill(ends[0], pid, round->lie ? 1 : prng_below(&prng, 60), 10.0);
    close(ends[0]);
    (void)waitpid(pid, &status, 0);
    harness_require(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                    "the child ended by itself, status %d", status);
    open_database(&opened);
    if (ask_number(opened.db, "SELECT count(*) FROM sqlite_schema WHERE name = 'done'") == 1) {
        uint64_t found = look_at(opened.db);
        harness_require(found >= last, "transaction %llu was committed, and %llu is the last one",
                        (unsigned long long)last, (unsigned long long)found);
        counts.unseen += found > last ? 1u : 0u;
        look_at_snapshot(&opened);
    } else {
        harness_require(last == 0, "transaction %llu was committed, and there is no table",
                        (unsigned long long)last);
    }
    take_back(&opened, "db");
    must(coffer_store_close(opened.store), "close the store");
}

static void fresh_store(void *ctx)
{
    (void)ctx;
    create_store();
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, rounds = 20;
    bool lie = false;
    char path[64];
    const char *directory = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--rounds", &rounds, NULL, NULL, "kills [20]"},
        {"--directory", NULL, &directory, NULL, "where the store's file goes [.]"},
        {"--lie", NULL, NULL, &lie, "negative control: the child tells of what it never made"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "kill -9 of SQLite on a volume of a real file");
    snprintf(path, sizeof path, "%.40s/sqlite.%d.coffer", directory == NULL ? "." : directory,
             (int)getpid());
    store_path = path;
    fake_kms_init(&kms, KMS_SEED);
    harness_quiet(lie);
    for (uint64_t i = 0; i < rounds && harness_failures() == 0; i++) {
        struct round round = {.seed = seed + i, .lie = lie};
        if (i % 50 == 0 && !harness_run(fresh_store, NULL)) {
            break;
        }
        (void)harness_run(one_round, &round);
        counts.rounds++;
    }
    (void)unlink(path);
    printf("sqlite_killer: seed %llu, %llu kills, %llu transactions told of, %llu times one more "
           "was there, %llu snapshots looked at, %.1f s\n",
           (unsigned long long)seed, (unsigned long long)counts.rounds,
           (unsigned long long)counts.commits, (unsigned long long)counts.unseen,
           (unsigned long long)counts.snapshots, harness_seconds() - start);
    return harness_close("sqlite_killer", counts.rounds,
                         lie ? "a transaction that was never made" : NULL);
}
