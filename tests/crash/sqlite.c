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
#include "common/harness.h"
#include "common/prng.h"
#include "sqlite/story.h"
#include "sqlite/volume.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static uint64_t runs;

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
    struct cut cut = {.at = story.moments.list[moment],
                      .variant = (enum sim_variant)variant,
                      .seed = seed_of(seed, moment, variant)};
    harness_context("sqlite --replay %llu:%s:%u:%s", (unsigned long long)seed, scene->name, moment,
                    sim_variant_name(cut.variant));
    (void)harness_run(cut_story, &cut);
}

/* SQLite's own randomness follows the seed, so that a failure can be repeated. */
static bool record_scene(const struct scene *scene, uint64_t seed)
{
    memset(&story, 0, sizeof story);
    story.world.scene = scene;
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(seed & 0x7fffffff) + 1, NULL);
    sqlite3_randomness(0, NULL);
    harness_context("sqlite --replay %llu:%s", (unsigned long long)seed, scene->name);
    runs++;
    return harness_run(story_record, &seed);
}

static void forget_scene(void)
{
    for (unsigned i = 0; i < story.world.scene->stores; i++) {
        sim_disk_free(story.world.sites[i].disk);
    }
}

static void cut_scene(const struct scene *scene, uint64_t seed, uint64_t cuts_max,
                      const char *broken)
{
    uint64_t all = (uint64_t)story.moments.count * SIM_VARIANTS;
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
                moment < story.moments.count) {
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
           (unsigned long long)first_seed, (unsigned long long)runs,
           (unsigned long long)cut_counts.cuts, (unsigned long long)cut_counts.second,
           (unsigned long long)cut_counts.rolled, seconds);
    for (unsigned i = 0; i < SIM_VARIANTS; i++) {
        printf("  %-7s %llu\n", sim_variant_name((enum sim_variant)i),
               (unsigned long long)cut_counts.by_variant[i]);
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
    return harness_close("sqlite", cut_counts.cuts, broken);
}
