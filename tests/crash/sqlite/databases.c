/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/databases.c - a scene's stores on simulated media, their volumes lent to SQLite, and
 * the moments at which they can be cut.
 *
 * Each site has its environment, its key service and its medium. Everything a crash would take goes
 * through databases_leave. One thread.
 */
#include "databases.h"

#include "common/harness.h"
#include "common/prng.h"
#include "sql.h"

#include <coffer/sqlite.h>
#include <string.h>

#define SEGMENT_BYTES (1u << 20)
#define SEGMENTS 64u
#define VOLUME_BYTES (64ull << 20)

const char *const database_names[2] = {"a", "b"};

static struct coffer_fault fault;

/* Whose moments are noted now, if any. */
static struct {
    const struct world *world;
    struct moments *moments;
} followed;

static void must(int error, const char *what)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    fault.error == error ? fault.detail : "");
}

const char *database_schema(unsigned database)
{
    return database == 0 ? "main" : "b";
}

/* ---- moments ---------------------------------------------------------------------------- */

struct moment databases_moment(const struct world *world)
{
    struct moment now = {{sim_disk_events(world->sites[0].disk), 0}};
    if (world->scene->stores == 2) {
        now.events[1] = sim_disk_events(world->sites[1].disk);
    }
    return now;
}

static void note_moment(void)
{
    struct moments *moments = followed.moments;
    struct moment now = databases_moment(followed.world);
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
    if (followed.moments != NULL) {
        note_moment();
    }
    return clock_below(ctx);
}

void moments_follow(struct moments *moments, const struct world *world)
{
    followed.moments = moments;
    followed.world = world;
    if (moments != NULL) {
        moments->count = 0;
        note_moment();
    }
}

void moments_take_events(struct moments *moments, const struct world *world, uint64_t first)
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

/* ---- stores ------------------------------------------------------------------------------ */

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

void databases_cut(struct world *world, const struct world *from_world, unsigned store,
                   const struct cut *cut, uint64_t incarnation)
{
    struct site *site = &world->sites[store];
    const struct site *from = &from_world->sites[store];
    struct sim_disk_options options = {.seed = cut->seed, .record = true};
    struct sim_image *image =
        sim_disk_image_at(from->disk, cut->at.events[store], cut->variant, cut->seed);
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

static struct site *site_of(struct world *world, unsigned database)
{
    return &world->sites[world->scene->stores == 2 ? database : 0];
}

static void make_volume(struct world *world, unsigned database)
{
    struct site *site = site_of(world, database);
    const struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                                   .name = database_names[database],
                                                   .size_bytes = VOLUME_BYTES,
                                                   .provider = &site->kms.api};
    must(coffer_volume_create(site->store, &opts, &fault), "create a volume");
}

void databases_make(struct world *world, uint64_t seed)
{
    for (unsigned i = 0; i < world->scene->stores; i++) {
        make_site(&world->sites[i], prng_mix(seed, i));
    }
    for (unsigned i = 0; i < world->scene->databases; i++) {
        make_volume(world, i);
    }
}

static void lend(struct world *world, unsigned database)
{
    struct site *site = site_of(world, database);
    const struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = database_names[database], .provider = &site->kms.api};
    struct coffer_sqlite_opts lent = {
        .size = sizeof lent, .name = database_names[database], .store = site->store};
    must(coffer_volume_open(site->store, &opts, &world->volumes[database], &fault),
         "open a volume");
    lent.volume = world->volumes[database];
    must(coffer_sqlite_register(&lent, &fault), "lend a volume");
}

void databases_connect(struct world *world, unsigned first)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        lend(world, i);
    }
    if (first == 1) {
        sqlite3 *alone = NULL;
        harness_require(sqlite3_open_v2("b", &alone, flags, COFFER_SQLITE_VFS) == SQLITE_OK,
                        "open b: %s", sql_why(alone));
        sql(alone, "SELECT count(*) FROM sqlite_schema");
        harness_require(sqlite3_close(alone) == SQLITE_OK, "close b");
    }
    harness_require(sqlite3_open_v2("a", &world->db, flags, COFFER_SQLITE_VFS) == SQLITE_OK,
                    "open a: %s", sql_why(world->db));
    if (world->scene->databases == 2) {
        sql(world->db, "ATTACH 'b' AS b");
    }
}

void databases_checkpoint(struct world *world)
{
    for (unsigned i = 0; i < world->scene->stores; i++) {
        must(coffer_store_checkpoint(world->sites[i].store, &fault), "checkpoint");
    }
}

void databases_leave(struct world *world, bool alive)
{
    for (unsigned i = 0; i < world->scene->stores && !alive; i++) {
        sim_disk_power_off(world->sites[i].disk);
    }
    harness_require(sqlite3_close(world->db) == SQLITE_OK || !alive, "close: %s",
                    sql_why(world->db));
    world->db = NULL;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        int error = coffer_sqlite_unregister(database_names[i], &fault);
        harness_require(error == 0 || !alive, "take back: %s", coffer_error_name(error));
    }
    for (unsigned i = 0; i < world->scene->stores; i++) {
        int error = coffer_store_close(world->sites[i].store);
        harness_require(error == 0 || !alive, "close a store: %s", coffer_error_name(error));
        world->sites[i].store = NULL;
    }
}

void databases_free(struct world *world)
{
    for (unsigned i = 0; i < world->scene->stores; i++) {
        det_env_check_leaks(&world->sites[i].env);
        sim_disk_free(world->sites[i].disk);
    }
}
