/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/story.c - the transactions of a run, and what the databases hold after each.
 *
 * All follows from the seed, and a transaction's number is the last thing that it writes, so that
 * what is found after a cut can be told apart from what was there before and after it.
 */
#include "story.h"

#include <stdio.h>

struct story story;

void story_sign(sqlite3 *db, unsigned database, char ret_signature[SQL_ANSWER_BYTES])
{
    char text[512];
    const char *of = database_schema(database);
    snprintf(text, sizeof text,
             "SELECT c || '/' || (SELECT count(*) || ':' || coalesce(sum(k), 0) || ':' || "
             "coalesce(sum(length(v) * (k %% 977 + 1)), 0) || ':' || "
             "coalesce(sum(unicode(v) * (k %% 877 + 1)), 0) FROM %s.t) FROM %s.meta",
             of, of);
    sql_ask(db, text, ret_signature);
}

static void change(sqlite3 *db, const char *of, struct prng *prng, unsigned number)
{
    unsigned key = prng_below(prng, 500);
    switch (prng_below(prng, 4)) {
    case 0:
        sql(db,
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT %u) INSERT INTO "
            "%s.t SELECT x * 31 + %u, printf('%%c%%*c', 65 + %u, %u, 'x') FROM c",
            1 + key / 6, of, key, number, 1 + prng_below(prng, 400));
        break;
    case 1:
        sql(db, "UPDATE %s.t SET v = printf('%%c', 97 + %u) || v WHERE k %% 5 = %u", of, number,
            key % 5);
        break;
    case 2:
        sql(db, "DELETE FROM %s.t WHERE k %% 7 = %u", of, key % 7);
        break;
    default:
        sql(db, "INSERT INTO %s.t VALUES(%u, printf('%%*c', %u, 'z'))", of, key,
            1 + prng_below(prng, 20000));
    }
}

void story_set_modes(const struct world *world)
{
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = database_schema(i);
        sql(world->db, "PRAGMA %s.synchronous = %s; PRAGMA %s.journal_mode = %s", of,
            world->scene->synchronous, of, world->scene->mode);
    }
    sql(world->db, "PRAGMA cache_size = 12; PRAGMA wal_autocheckpoint = 20");
}

static void note_commit(struct world *world, unsigned number, const struct moment *begun)
{
    struct commit *commit = &story.commits[number];
    commit->begun = *begun;
    commit->done = databases_moment(world);
    for (unsigned i = 0; i < world->scene->databases; i++) {
        story_sign(world->db, i, commit->signature[i]);
    }
    story.done = number;
}

void story_transaction(struct world *world, struct prng *prng, unsigned number)
{
    bool rolls_back = prng_chance(prng, 1, 4);
    unsigned steps = 1 + prng_below(prng, 4);
    if (rolls_back) {
        sql(world->db, "BEGIN");
        change(world->db, "main", prng, number);
        sql(world->db, "ROLLBACK");
    }
    sql(world->db, "BEGIN");
    for (unsigned step = 0; step < steps; step++) {
        for (unsigned i = 0; i < world->scene->databases; i++) {
            change(world->db, database_schema(i), prng, number);
        }
    }
    for (unsigned i = 0; i < world->scene->databases; i++) {
        sql(world->db, "UPDATE %s.meta SET c = %u", database_schema(i), number);
    }
    sql(world->db, "COMMIT");
}

static void make_tables(struct world *world)
{
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = database_schema(i);
        sql(world->db, "PRAGMA %s.page_size = %u", of, world->scene->page_bytes);
    }
    story_set_modes(world);
    sql(world->db, "BEGIN");
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = database_schema(i);
        sql(world->db,
            "CREATE TABLE %s.t(k, v); CREATE INDEX %s.i ON t(k); CREATE TABLE %s.meta(c); "
            "INSERT INTO %s.meta VALUES(0)",
            of, of, of, of);
    }
    sql(world->db, "COMMIT");
    databases_checkpoint(world);
}

void story_record(void *ctx)
{
    const uint64_t *seed = ctx;
    struct world *world = &story.world;
    struct prng prng = {prng_mix(*seed, 77)};
    databases_make(world, *seed);
    databases_connect(world, 0);
    make_tables(world);
    struct moment begun = databases_moment(world);
    note_commit(world, 0, &begun);
    moments_follow(&story.moments, world);
    for (unsigned number = 1; number <= TRANSACTIONS; number++) {
        begun = databases_moment(world);
        story_transaction(world, &prng, number);
        note_commit(world, number, &begun);
    }
    sql(world->db, "VACUUM");
    databases_leave(world, true);
    moments_follow(NULL, NULL);
    moments_take_events(&story.moments, world, story.commits[0].done.events[0]);
}
