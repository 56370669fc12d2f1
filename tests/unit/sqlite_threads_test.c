/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/sqlite_threads_test - connections of several threads to two databases on volumes of one
 * store: money moves within a database and from one to the other, while others read, checkpoint,
 * connect and disconnect. Its sum never changes, both are sound at the end, and TSan finds nothing
 * to say (label concurrent: pthread_create).
 *
 * Each thread has connections of its own; threads assert nothing, they keep the first complaint.
 */
#include "common/fake_kms.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <coffer/sqlite.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNTS 50u
#define EACH 1000u /* in an account, at the beginning */
#define TRANSFERS 60u
#define VISITS 60u

static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *volumes[2];
static const char *const names[2] = {"left", "right"};
static char path[64];
static pthread_mutex_t complaint_mutex = PTHREAD_MUTEX_INITIALIZER;
static char complaint[512];
static atomic_bool failed;

static void complain(const char *what, const char *why)
{
    pthread_mutex_lock(&complaint_mutex);
    if (!atomic_exchange(&failed, true)) {
        snprintf(complaint, sizeof complaint, "%.300s: %.200s", what, why);
    }
    pthread_mutex_unlock(&complaint_mutex);
}

static bool run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        complain(sql, sqlite3_errmsg(db));
        return false;
    }
    return true;
}

static sqlite3_int64 number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 answer = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        complain(sql, sqlite3_errmsg(db));
    } else {
        answer = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return answer;
}

/* Who finds a lock taken tries again at once, so that threads meet often. */
static int again(void *ctx, int count)
{
    (void)ctx;
    (void)count;
    sched_yield();
    return !atomic_load(&failed);
}

static sqlite3 *connect_to(const char *name)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, COFFER_SQLITE_VFS) !=
        SQLITE_OK) {
        complain(name, sqlite3_errmsg(db));
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_handler(db, again, NULL);
    return db;
}

/* ---- threads ----------------------------------------------------------------------------- */

/* Move money within a database. */
static void *transfer(void *ctx)
{
    unsigned side = (unsigned)(uintptr_t)ctx % 2u;
    struct prng prng = {(uint64_t)(uintptr_t)ctx + 1u};
    sqlite3 *db = connect_to(names[side]);
    char sql[512];
    if (db == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < TRANSFERS && !atomic_load(&failed); i++) {
        snprintf(sql, sizeof sql,
                 "BEGIN IMMEDIATE; UPDATE account SET amount = amount - 7 WHERE id = %u; "
                 "UPDATE account SET amount = amount + 7 WHERE id = %u; COMMIT",
                 prng_below(&prng, ACCOUNTS), prng_below(&prng, ACCOUNTS));
        if (!run(db, sql)) {
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    sqlite3_close(db);
    return NULL;
}

/* Both databases in one transaction, locked in one order, so that no two wait for each other. */
static void *transfer_across(void *ctx)
{
    struct prng prng = {(uint64_t)(uintptr_t)ctx};
    sqlite3 *db = connect_to(names[0]);
    char sql[512];
    snprintf(sql, sizeof sql, "ATTACH '%s' AS other", names[1]);
    if (db == NULL || !run(db, sql)) {
        sqlite3_close(db);
        return NULL;
    }
    for (unsigned i = 0; i < TRANSFERS / 3u && !atomic_load(&failed); i++) {
        int amount = (int)prng_below(&prng, 21) - 10;
        snprintf(sql, sizeof sql,
                 "BEGIN IMMEDIATE; UPDATE main.account SET amount = amount - (%d) WHERE id = %u; "
                 "UPDATE other.account SET amount = amount + (%d) WHERE id = %u; COMMIT",
                 amount, prng_below(&prng, ACCOUNTS), amount, prng_below(&prng, ACCOUNTS));
        if (!run(db, sql)) {
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    sqlite3_close(db);
    return NULL;
}

/* Come, look whether the accounts are all there, and go; the last one to go empties the log. */
static void *visit(void *ctx)
{
    const char *name = ctx;
    for (unsigned i = 0; i < VISITS && !atomic_load(&failed); i++) {
        sqlite3 *db = connect_to(name);
        if (db == NULL) {
            break;
        }
        if (number(db, "SELECT count(*) FROM account") != ACCOUNTS) {
            complain(name, "accounts are missing");
        }
        if (i % 8u == 0) {
            (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        }
        sqlite3_close(db);
    }
    return NULL;
}

/* ---- the store --------------------------------------------------------------------------- */

static void lend(unsigned side)
{
    struct coffer_volume_create_opts create = {
        .size = sizeof create, .name = names[side], .size_bytes = 256u << 20, .provider = &kms.api};
    struct coffer_volume_open_opts open = {
        .size = sizeof open, .name = names[side], .provider = &kms.api};
    assert_int_equal(coffer_volume_create(store, &create, NULL), 0);
    assert_int_equal(coffer_volume_open(store, &open, &volumes[side], NULL), 0);
    const struct coffer_sqlite_opts lent = {.size = sizeof lent,
                                            .name = names[side],
                                            .store = store,
                                            .volume = volumes[side],
                                            .provider = &kms.api};
    assert_int_equal(coffer_sqlite_register(&lent, NULL), 0);
}

static int make(void **state)
{
    struct coffer_store_create_opts create = {.size = sizeof create, .size_bytes = 1u << 30};
    struct coffer_store_opts open = {.size = sizeof open};
    (void)state;
    snprintf(path, sizeof path, "sqlite-threads.%d.store", (int)getpid());
    create.path = open.path = path;
    fake_kms_init(&kms, 9);
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    assert_int_equal(coffer_store_open(&open, &store, NULL), 0);
    lend(0);
    lend(1);
    return 0;
}

static int give_back(void **state)
{
    struct coffer_check_opts check = {.size = sizeof check, .provider = &kms.api};
    struct coffer_check_summary summary;
    (void)state;
    for (unsigned side = 0; side < 2; side++) {
        assert_int_equal(coffer_sqlite_unregister(names[side], NULL), 0);
        assert_int_equal(coffer_volume_close(volumes[side]), 0);
    }
    assert_int_equal(coffer_store_check(store, &check, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(coffer_store_close(store), 0);
    unlink(path);
    return 0;
}

/* The accounts anew, in a journal mode. */
static void found(unsigned side, const char *mode)
{
    char sql[512];
    sqlite3 *db = connect_to(names[side]);
    assert_non_null(db);
    snprintf(sql, sizeof sql,
             "PRAGMA journal_mode = %s; DROP TABLE IF EXISTS account; CREATE TABLE account(id "
             "INTEGER PRIMARY KEY, amount INTEGER); WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL "
             "SELECT x + 1 FROM c LIMIT %u) INSERT INTO account SELECT x, %u FROM c",
             mode, ACCOUNTS, EACH);
    assert_true(run(db, sql));
    sqlite3_close(db);
}

static sqlite3_int64 total(unsigned side)
{
    sqlite3 *db = connect_to(names[side]);
    assert_non_null(db);
    assert_int_equal(number(db, "SELECT count(*) FROM pragma_integrity_check "
                                "WHERE integrity_check = 'ok'"),
                     1);
    sqlite3_int64 sum = number(db, "SELECT sum(amount) FROM account");
    sqlite3_close(db);
    return sum;
}

static void money_moves(const char *mode)
{
    pthread_t threads[6];
    atomic_store(&failed, false);
    found(0, mode);
    found(1, mode);
    for (uintptr_t i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, transfer, (void *)i);
    }
    pthread_create(&threads[3], NULL, transfer_across, (void *)(uintptr_t)77);
    for (unsigned side = 0; side < 2; side++) {
        pthread_create(&threads[4 + side], NULL, visit, (void *)(uintptr_t)names[side]);
    }
    for (unsigned i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }
    if (atomic_load(&failed)) {
        fail_msg("%s: %s", mode, complaint);
    }
    assert_int_equal(total(0) + total(1), 2u * ACCOUNTS * EACH);
}

static void by_a_rollback_journal_no_money_is_lost(void **state)
{
    (void)state;
    money_moves("delete");
    money_moves("persist");
}

static void by_a_log_no_money_is_lost(void **state)
{
    (void)state;
    money_moves("wal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_a_rollback_journal_no_money_is_lost),
        cmocka_unit_test(by_a_log_no_money_is_lost),
    };
    return cmocka_run_group_tests(tests, make, give_back);
}
