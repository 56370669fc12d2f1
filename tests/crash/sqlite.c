/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite - power cuts while SQLite works on volumes, in the simulator.
 *
 * A scene is a journal mode, a page size, a setting of `synchronous`, and one database, two in one
 * store, or two in two stores. Its transactions insert, change and delete at random, roll back now
 * and then, and each that commits notes its number inside the database and, outside it, what the
 * database then holds and when COMMIT came back. The medium is then cut at its events; what is left
 * is opened as SQLite does it after a crash, with whatever it finds to roll back or to recover.
 *
 * It must be sound (integrity_check), hold exactly what it held after one of the transactions, and
 * that one is no older than the last that was acknowledged before the cut, where the scene promises
 * that: synchronous=FULL, or the death of the process alone. Scenes that do not promise it must be
 * sound all the same. Two databases of one transaction must be at the same one. Then it goes on:
 * one more transaction, or a second cut while it was being opened, which must lead to the same.
 *
 * Where two stores take part each has its own medium; the clock's readings, which the engine makes
 * often, say which events of the one came before which of the other.
 */
#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/harness.h"
#include "common/prng.h"
#include "common/sim_segdev.h"
#include "sqlite/volume.h"

#include <coffer/sqlite.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES (1u << 20)
#define SEGMENTS 64u
#define VOLUME_BYTES (64ull << 20)
#define TRANSACTIONS 12u
#define MOMENTS_MAX 65536u
#define SIGNATURE_BYTES 128u
#define SECOND_EACH 6u

struct scene {
    const char *name, *mode, *synchronous;
    unsigned page_bytes, databases, stores;
    bool promises; /* what was acknowledged survives a power cut */
};

static const struct scene scenes[] = {
    {"delete", "delete", "FULL", 4096, 1, 1, true},
    {"delete_small", "delete", "FULL", 512, 1, 1, true},
    {"delete_big", "delete", "FULL", 65536, 1, 1, true},
    {"delete_normal", "delete", "NORMAL", 4096, 1, 1, true},
    {"delete_off", "delete", "OFF", 1024, 1, 1, false},
    {"truncate", "truncate", "FULL", 2048, 1, 1, true},
    {"persist", "persist", "FULL", 4096, 1, 1, true},
    {"persist_off", "persist", "OFF", 4096, 1, 1, false},
    {"wal", "wal", "FULL", 4096, 1, 1, true},
    {"wal_small", "wal", "FULL", 512, 1, 1, true},
    {"wal_normal", "wal", "NORMAL", 4096, 1, 1, false},
    {"wal_off", "wal", "OFF", 1024, 1, 1, false},
    {"together", "delete", "FULL", 4096, 2, 1, true},
    {"together_persist", "persist", "FULL", 4096, 2, 1, true},
    {"apart", "delete", "FULL", 4096, 2, 2, true},
    {"apart_truncate", "truncate", "FULL", 4096, 2, 2, true},
};
#define SCENES (sizeof scenes / sizeof scenes[0])

static const char *const names[2] = {"a", "b"};

struct site {
    struct det_env env;
    struct fake_kms kms;
    struct sim_disk *disk;
    struct coffer_store *store;
    uint64_t seed, incarnation;
};

struct world {
    const struct scene *scene;
    struct site sites[2];
    struct coffer_volume *volumes[2];
    sqlite3 *db;
};

/* How far both media were. */
struct moment {
    uint64_t events[2];
};

struct commit {
    struct moment begun, done;
    char signature[2][SIGNATURE_BYTES];
};

struct cut {
    struct moment at;
    enum sim_variant variant;
    uint64_t seed;
};

/* Moments of a world, in order. */
struct moments {
    const struct world *of; /* NULL: none are noted now */
    struct moment list[MOMENTS_MAX];
    unsigned count;
};

static struct {
    struct world world; /* recorded */
    struct commit commits[TRANSACTIONS + 1];
    unsigned done;
    struct moments moments;
} run;

static struct moments recovery; /* of the world that was opened after a cut */

static struct {
    uint64_t cuts, second, runs, rolled, by_variant[SIM_VARIANTS];
} counts;

static struct coffer_fault fault;

static void must(int error, const char *what)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    fault.error == error ? fault.detail : "");
}

/* ---- SQL --------------------------------------------------------------------------------- */

static const char *why(sqlite3 *db)
{
    static char text[900];
    char detail[512];
    coffer_sqlite_last_error(detail, sizeof detail);
    snprintf(text, sizeof text, "%.300s; %s", sqlite3_errmsg(db), detail);
    return text;
}

static void sql(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sql(sqlite3 *db, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    harness_require(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text, why(db));
}

static void ask(sqlite3 *db, char answer[SIGNATURE_BYTES], const char *text)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    harness_require(result == SQLITE_ROW, "%s: %s", text, why(db));
    snprintf(answer, SIGNATURE_BYTES, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
}

/* What a database holds, in a word; it begins with the number of the transaction. */
static void sign(sqlite3 *db, unsigned database, char signature[SIGNATURE_BYTES])
{
    char text[512];
    const char *of = database == 0 ? "main" : "b";
    snprintf(text, sizeof text,
             "SELECT c || '/' || (SELECT count(*) || ':' || coalesce(sum(k), 0) || ':' || "
             "coalesce(sum(length(v) * (k %% 977 + 1)), 0) || ':' || "
             "coalesce(sum(unicode(v) * (k %% 877 + 1)), 0) FROM %s.t) FROM %s.meta",
             of, of);
    ask(db, signature, text);
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

static void set_modes(const struct world *world)
{
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = i == 0 ? "main" : "b";
        sql(world->db, "PRAGMA %s.synchronous = %s; PRAGMA %s.journal_mode = %s", of,
            world->scene->synchronous, of, world->scene->mode);
    }
    sql(world->db, "PRAGMA cache_size = 12; PRAGMA wal_autocheckpoint = 20");
}

/* ---- stores ------------------------------------------------------------------------------ */

static struct moment moment_of(const struct world *world)
{
    struct moment now = {{sim_disk_events(world->sites[0].disk), 0}};
    if (world->scene->stores == 2) {
        now.events[1] = sim_disk_events(world->sites[1].disk);
    }
    return now;
}

static void note_moment(struct moments *moments)
{
    struct moment now = moment_of(moments->of);
    struct moment *last = &moments->list[moments->count];
    if (moments->count > 0 && memcmp(last - 1, &now, sizeof now) == 0) {
        return;
    }
    harness_require(moments->count < MOMENTS_MAX, "too many moments");
    *last = now;
    moments->count++;
}

/* A reading of the clock notes a moment, so that cuts know of one medium where the other was. */
static uint64_t (*clock_below)(void *ctx);

static uint64_t noted_clock(void *ctx)
{
    if (run.moments.of != NULL) {
        note_moment(&run.moments);
    }
    if (recovery.of != NULL) {
        note_moment(&recovery);
    }
    return clock_below(ctx);
}

/* Of one medium each event is a moment. */
static void note_all_events(struct moments *moments, const struct world *world, uint64_t first)
{
    if (world->scene->stores == 1) {
        uint64_t last = sim_disk_events(world->sites[0].disk);
        moments->count = 0;
        for (uint64_t k = first; k <= last; k++) {
            harness_require(moments->count < MOMENTS_MAX, "too many moments");
            moments->list[moments->count++] = (struct moment){{k, 0}};
        }
    }
}

static void open_site(struct site *site)
{
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .device = sim_disk_open(site->disk),
                                     .env = &site->env.api,
                                     .staging_bytes = 1u << 20,
                                     .node_cache_bytes = 1u << 18,
                                     .tag_cache_bytes = 1u << 18,
                                     .placement_bytes = 1u << 18,
                                     .key_arena_bytes = 1u << 16};
    det_env_incarnate(&site->env, site->seed, ++site->incarnation);
    must(coffer_store_open(&opts, &site->store, &fault), "open a store");
}

static void make_site(struct site *site, uint64_t seed)
{
    struct sim_disk_options options = {
        .seed = seed, .record = true, .delay_polls_max = 3, .shuffle = true};
    struct coffer_store_create_opts opts = {.size = sizeof opts, .segment_bytes = SEGMENT_BYTES};
    memset(site, 0, sizeof *site);
    site->seed = seed;
    det_env_init(&site->env, seed, 0);
    clock_below = site->env.api.monotonic_ns;
    site->env.api.monotonic_ns = noted_clock;
    fake_kms_init(&site->kms, seed);
    site->disk = sim_disk_new(SEGMENT_BYTES, SEGMENTS, 2 * SEGMENTS, &options);
    opts.device = sim_disk_open(site->disk);
    opts.env = &site->env.api;
    must(coffer_store_create(&opts, &fault), "create a store");
    open_site(site);
}

static struct site *site_of(struct world *world, unsigned database)
{
    return &world->sites[world->scene->stores == 2 ? database : 0];
}

static void make_volume(struct world *world, unsigned database)
{
    struct site *site = site_of(world, database);
    const struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                                   .name = names[database],
                                                   .size_bytes = VOLUME_BYTES,
                                                   .provider = &site->kms.api};
    must(coffer_volume_create(site->store, &opts, &fault), "create a volume");
}

static void lend(struct world *world, unsigned database)
{
    struct site *site = site_of(world, database);
    const struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = names[database], .provider = &site->kms.api};
    struct coffer_sqlite_opts lent = {
        .size = sizeof lent, .name = names[database], .store = site->store};
    must(coffer_volume_open(site->store, &opts, &world->volumes[database], &fault),
         "open a volume");
    lent.volume = world->volumes[database];
    must(coffer_sqlite_register(&lent, &fault), "lend a volume");
}

/* first: which database is opened first, the other is attached, for what hangs on the order. */
static void connect_all(struct world *world, unsigned first)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        lend(world, i);
    }
    if (first == 1) {
        sqlite3 *alone = NULL;
        harness_require(sqlite3_open_v2("b", &alone, flags, COFFER_SQLITE_VFS) == SQLITE_OK,
                        "open b: %s", why(alone));
        sql(alone, "SELECT count(*) FROM sqlite_schema");
        harness_require(sqlite3_close(alone) == SQLITE_OK, "close b");
    }
    harness_require(sqlite3_open_v2("a", &world->db, flags, COFFER_SQLITE_VFS) == SQLITE_OK,
                    "open a: %s", why(world->db));
    if (world->scene->databases == 2) {
        sql(world->db, "ATTACH 'b' AS b");
    }
}

/* The power has gone, or everything is said: give back what the process has. */
static void leave(struct world *world, bool alive)
{
    for (unsigned i = 0; i < world->scene->stores && !alive; i++) {
        sim_disk_power_off(world->sites[i].disk);
    }
    harness_require(sqlite3_close(world->db) == SQLITE_OK || !alive, "close: %s", why(world->db));
    world->db = NULL;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        int error = coffer_sqlite_unregister(names[i], &fault);
        harness_require(error == 0 || !alive, "take back: %s", coffer_error_name(error));
    }
    for (unsigned i = 0; i < world->scene->stores; i++) {
        int error = coffer_store_close(world->sites[i].store);
        harness_require(error == 0 || !alive, "close a store: %s", coffer_error_name(error));
        world->sites[i].store = NULL;
    }
}

static void free_disks(struct world *world)
{
    for (unsigned i = 0; i < world->scene->stores; i++) {
        det_env_check_leaks(&world->sites[i].env);
        sim_disk_free(world->sites[i].disk);
    }
}

/* ---- the run that is cut ----------------------------------------------------------------- */

static void note_commit(struct world *world, unsigned number, const struct moment *begun)
{
    struct commit *commit = &run.commits[number];
    commit->begun = *begun;
    commit->done = moment_of(world);
    for (unsigned i = 0; i < world->scene->databases; i++) {
        sign(world->db, i, commit->signature[i]);
    }
    run.done = number;
}

static void transaction(struct world *world, struct prng *prng, unsigned number)
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
            change(world->db, i == 0 ? "main" : "b", prng, number);
        }
    }
    for (unsigned i = 0; i < world->scene->databases; i++) {
        sql(world->db, "UPDATE %s.meta SET c = %u", i == 0 ? "main" : "b", number);
    }
    sql(world->db, "COMMIT");
}

static void make_tables(struct world *world)
{
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = i == 0 ? "main" : "b";
        sql(world->db, "PRAGMA %s.page_size = %u", of, world->scene->page_bytes);
    }
    set_modes(world);
    sql(world->db, "BEGIN");
    for (unsigned i = 0; i < world->scene->databases; i++) {
        const char *of = i == 0 ? "main" : "b";
        sql(world->db,
            "CREATE TABLE %s.t(k, v); CREATE INDEX %s.i ON t(k); CREATE TABLE %s.meta(c); "
            "INSERT INTO %s.meta VALUES(0)",
            of, of, of, of);
    }
    sql(world->db, "COMMIT");
    for (unsigned i = 0; i < world->scene->stores; i++) {
        must(coffer_store_checkpoint(world->sites[i].store, &fault), "checkpoint");
    }
}

static void record(void *ctx)
{
    const uint64_t *seed = ctx;
    struct world *world = &run.world;
    struct prng prng = {prng_mix(*seed, 77)};
    for (unsigned i = 0; i < world->scene->stores; i++) {
        make_site(&world->sites[i], prng_mix(*seed, i));
    }
    for (unsigned i = 0; i < world->scene->databases; i++) {
        make_volume(world, i);
    }
    connect_all(world, 0);
    make_tables(world);
    struct moment begun = moment_of(world);
    note_commit(world, 0, &begun);
    run.moments.of = world;
    for (unsigned number = 1; number <= TRANSACTIONS; number++) {
        begun = moment_of(world);
        transaction(world, &prng, number);
        note_commit(world, number, &begun);
    }
    sql(world->db, "VACUUM");
    leave(world, true);
    run.moments.of = NULL;
    note_all_events(&run.moments, world, run.commits[0].done.events[0]);
}

/* ---- a cut ------------------------------------------------------------------------------- */

static bool before(const struct world *world, const struct moment *a, const struct moment *b)
{
    return a->events[0] <= b->events[0] &&
           (world->scene->stores == 1 || a->events[1] <= b->events[1]);
}

static void copy_site(struct site *site, const struct site *from, uint64_t event,
                      const struct cut *cut, uint64_t incarnation)
{
    struct sim_disk_options options = {.seed = cut->seed, .record = true};
    struct sim_image *image = sim_disk_image_at(from->disk, event, cut->variant, cut->seed);
    memset(site, 0, sizeof *site);
    site->seed = from->seed;
    site->incarnation = incarnation;
    det_env_init(&site->env, site->seed, incarnation);
    site->kms = from->kms;
    site->kms.api.ctx = &site->kms;
    site->env.api.monotonic_ns = noted_clock;
    site->disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    open_site(site);
}

static unsigned number_in(const char *signature)
{
    return (unsigned)strtoul(signature, NULL, 10);
}

static void check_sound(struct world *world)
{
    char answer[SIGNATURE_BYTES];
    ask(world->db, answer, "PRAGMA main.integrity_check");
    harness_require(strcmp(answer, "ok") == 0, "integrity_check: %s", answer);
    if (world->scene->databases == 2) {
        ask(world->db, answer, "PRAGMA b.integrity_check");
        harness_require(strcmp(answer, "ok") == 0, "integrity_check of b: %s", answer);
    }
}

/* Which transaction the databases are at; what they hold is what they held after it. */
static unsigned identify(struct world *world)
{
    char signature[SIGNATURE_BYTES];
    unsigned number = 0;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        sign(world->db, i, signature);
        unsigned found = number_in(signature);
        harness_require(i == 0 || found == number, "one database is at %u, the other at %u", number,
                        found);
        number = found;
        harness_require(number <= run.done &&
                            strcmp(signature, run.commits[number].signature[i]) == 0,
                        "%s holds %s, but %s after transaction %u", names[i], signature,
                        run.commits[number <= run.done ? number : 0].signature[i], number);
    }
    return number;
}

static unsigned judge(struct world *world, const struct cut *cut)
{
    unsigned acknowledged = 0, begun = 0;
    check_sound(world);
    unsigned number = identify(world);
    for (unsigned i = 0; i <= run.done; i++) {
        acknowledged = before(world, &run.commits[i].done, &cut->at) ? i : acknowledged;
        begun = before(world, &run.commits[i].begun, &cut->at) ? i : begun;
    }
    bool promised = world->scene->promises || cut->variant == SIM_CUT_KILL;
    harness_require(!promised || number >= acknowledged,
                    "transaction %u was acknowledged, and %u is the last one there", acknowledged,
                    number);
    harness_require(number <= begun, "transaction %u was not begun", number);
    counts.rolled += number < begun ? 1u : 0u;
    return number;
}

static void second_cut(struct world *first, const struct cut *cut, unsigned number)
{
    struct world world = {.scene = first->scene};
    struct cut again = {.variant = cut->variant, .seed = cut->seed + 1};
    struct prng prng = {prng_mix(cut->seed, 5)};
    note_all_events(&recovery, first, 0);
    again.at = recovery.list[prng_below(&prng, recovery.count)];
    for (unsigned i = 0; i < world.scene->stores; i++) {
        copy_site(&world.sites[i], &first->sites[i], again.at.events[i], &again,
                  first->sites[i].incarnation + 100);
    }
    connect_all(&world, prng_below(&prng, world.scene->databases));
    check_sound(&world);
    unsigned found = identify(&world);
    harness_require(found == number, "a second cut led to transaction %u, the first to %u", found,
                    number);
    leave(&world, true);
    free_disks(&world);
    counts.second++;
}

static void one_cut(void *ctx)
{
    const struct cut *cut = ctx;
    struct world world = {.scene = run.world.scene};
    struct prng prng = {prng_mix(cut->seed, 9)};
    harness_watch_cpu(60, 600);
    for (unsigned i = 0; i < world.scene->stores; i++) {
        copy_site(&world.sites[i], &run.world.sites[i], cut->at.events[i], cut,
                  1000 + 10 * cut->at.events[i] + (uint64_t)cut->variant);
    }
    recovery.count = 0;
    recovery.of = &world;
    note_moment(&recovery);
    connect_all(&world, prng_below(&prng, world.scene->databases));
    unsigned number = judge(&world, cut);
    recovery.of = NULL;
    bool second = prng_chance(&prng, 1, SECOND_EACH);
    if (!second) {
        set_modes(&world);
        transaction(&world, &prng, number + 1);
        check_sound(&world);
    }
    leave(&world, !second);
    if (second) {
        second_cut(&world, cut, number);
    }
    free_disks(&world);
    counts.cuts++;
    counts.by_variant[cut->variant]++;
}

/* ---- campaigns --------------------------------------------------------------------------- */

static bool wrong(const char *broken)
{
    return harness_failures() > 0 && (broken == NULL || broken[0] != '\0');
}

static uint64_t seed_of(uint64_t seed, unsigned moment, unsigned variant)
{
    return prng_mix(seed * SIM_VARIANTS + variant, moment);
}

static void cut_at(const struct scene *scene, uint64_t seed, unsigned moment, unsigned variant)
{
    struct cut cut = {.at = run.moments.list[moment],
                      .variant = (enum sim_variant)variant,
                      .seed = seed_of(seed, moment, variant)};
    harness_context("sqlite --replay %llu:%s:%u:%s", (unsigned long long)seed, scene->name, moment,
                    sim_variant_name(cut.variant));
    (void)harness_run(one_cut, &cut);
}

/* SQLite's own randomness follows the seed, so that a failure can be repeated. */
static bool record_scene(const struct scene *scene, uint64_t seed)
{
    memset(&run, 0, sizeof run);
    run.world.scene = scene;
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(seed & 0x7fffffff) + 1, NULL);
    sqlite3_randomness(0, NULL);
    harness_context("sqlite --replay %llu:%s", (unsigned long long)seed, scene->name);
    counts.runs++;
    return harness_run(record, &seed);
}

static void forget_scene(void)
{
    for (unsigned i = 0; i < run.world.scene->stores; i++) {
        sim_disk_free(run.world.sites[i].disk);
    }
}

static void cut_scene(const struct scene *scene, uint64_t seed, uint64_t cuts_max,
                      const char *broken)
{
    uint64_t all = (uint64_t)run.moments.count * SIM_VARIANTS;
    uint64_t stride = all > cuts_max ? all / cuts_max : 1;
    for (uint64_t i = seed % stride; i < all && !wrong(broken); i += stride) {
        cut_at(scene, seed, (unsigned)(i / SIM_VARIANTS),
               (unsigned)((i + i / SIM_VARIANTS) % SIM_VARIANTS));
    }
}

static const struct scene *find_scene(const char *name)
{
    for (unsigned i = 0; i < SCENES; i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            return &scenes[i];
        }
    }
    printf("no scene is called %s\n", name);
    exit(2);
}

static int replay(const char *text)
{
    char name[32] = "", variant[16] = "";
    unsigned long long seed = 0;
    unsigned moment = 0;
    int parts = sscanf(text, "%llu:%31[^:]:%u:%15s", &seed, name, &moment, variant);
    const struct scene *scene = find_scene(name);
    if (record_scene(scene, seed) && parts == 4) {
        for (unsigned i = 0; i < SIM_VARIANTS; i++) {
            if (strcmp(sim_variant_name((enum sim_variant)i), variant) == 0 &&
                moment < run.moments.count) {
                cut_at(scene, seed, moment, i);
            }
        }
    }
    return harness_close("sqlite", 1, NULL);
}

static void plant(const char *name)
{
    static const char *const known[] = {"NO_SYNC", "KEEP_JOURNAL", "OWE_ALL", "EARLY_MAIN"};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], name) == 0) {
            cof_sqlite_test_break = (enum cof_sqlite_break)(i + 1u);
            harness_quiet(true);
            return;
        }
    }
    harness_break(name);
}

static void tell(uint64_t first_seed, double seconds)
{
    printf("sqlite: seed %llu, %llu runs, %llu cuts, %llu during recovery, %llu rolled back or "
           "lost what was not acknowledged, %.1f s\n",
           (unsigned long long)first_seed, (unsigned long long)counts.runs,
           (unsigned long long)counts.cuts, (unsigned long long)counts.second,
           (unsigned long long)counts.rolled, seconds);
    for (unsigned i = 0; i < SIM_VARIANTS; i++) {
        printf("  %-7s %llu\n", sim_variant_name((enum sim_variant)i),
               (unsigned long long)counts.by_variant[i]);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, seeds = 1, cuts = 60;
    const char *again = NULL, *broken = NULL, *only = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--seeds", &seeds, NULL, NULL, "how many [1]"},
        {"--cuts", &cuts, NULL, NULL, "at most so many cuts of each scene [60]"},
        {"--scene", NULL, &only, NULL, "only this one"},
        {"--break", NULL, &broken, NULL, "plant a fault, which must be caught"},
        {"--replay", NULL, &again, NULL, "SEED:SCENE[:MOMENT:VARIANT]"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "power cuts under SQLite on volumes");
    if (broken != NULL) {
        plant(broken);
    }
    if (again != NULL) {
        return replay(again);
    }
    for (uint64_t s = seed; s < seed + seeds && !wrong(broken); s++) {
        for (unsigned i = 0; i < SCENES && !wrong(broken); i++) {
            if ((only == NULL || strcmp(only, scenes[i].name) == 0) &&
                record_scene(&scenes[i], s)) {
                cut_scene(&scenes[i], s, cuts, broken);
                forget_scene();
            }
        }
    }
    harness_watch(0);
    tell(seed, harness_seconds() - start);
    return harness_close("sqlite", counts.cuts, broken);
}
