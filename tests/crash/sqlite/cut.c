/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/cut.c - the power goes, and SQLite opens what is left: what must hold then.
 *
 * The story is only read here. What was noted while SQLite recovered is where the second cut falls.
 */
#include "story.h"

#include "common/harness.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_EACH 6u

struct cut_counts cut_counts;

static struct moments recovery; /* of the world that was opened after a cut */

static bool before(const struct world *world, const struct moment *a, const struct moment *b)
{
    return a->events[0] <= b->events[0] &&
           (world->scene->stores == 1 || a->events[1] <= b->events[1]);
}

static void check_sound(struct world *world)
{
    for (unsigned i = 0; i < world->scene->databases; i++) {
        sql_check_sound(world->db, database_schema(i));
    }
}

/* Which transaction the databases are at; what they hold is what they held after it. */
static unsigned identify(struct world *world)
{
    char signature[SQL_ANSWER_BYTES];
    unsigned number = 0;
    for (unsigned i = 0; i < world->scene->databases; i++) {
        story_sign(world->db, i, signature);
        unsigned found = (unsigned)strtoul(signature, NULL, 10);
        harness_require(i == 0 || found == number, "one database is at %u, the other at %u", number,
                        found);
        number = found;
        harness_require(number <= story.done &&
                            strcmp(signature, story.commits[number].signature[i]) == 0,
                        "%s holds %s, but %s after transaction %u", database_names[i], signature,
                        story.commits[number <= story.done ? number : 0].signature[i], number);
    }
    return number;
}

static unsigned judge(struct world *world, const struct cut *cut)
{
    unsigned acknowledged = 0, begun = 0;
    check_sound(world);
    unsigned number = identify(world);
    for (unsigned i = 0; i <= story.done; i++) {
        acknowledged = before(world, &story.commits[i].done, &cut->at) ? i : acknowledged;
        begun = before(world, &story.commits[i].begun, &cut->at) ? i : begun;
    }
    bool promised = world->scene->promises || cut->variant == SIM_CUT_KILL;
    harness_require(!promised || number >= acknowledged,
                    "transaction %u was acknowledged, and %u is the last one there", acknowledged,
                    number);
    harness_require(number <= begun, "transaction %u was not begun", number);
    cut_counts.rolled += number < begun ? 1u : 0u;
    return number;
}

static void second_cut(struct world *first, const struct cut *cut, unsigned number)
{
    struct world world = {.scene = first->scene};
    struct cut again = {.variant = cut->variant, .seed = cut->seed + 1};
    struct prng prng = {prng_mix(cut->seed, 5)};
    moments_take_events(&recovery, first, 0);
    again.at = recovery.list[prng_below(&prng, recovery.count)];
    for (unsigned i = 0; i < world.scene->stores; i++) {
        databases_cut(&world, first, i, &again, first->sites[i].incarnation + 100);
    }
    databases_connect(&world, prng_below(&prng, world.scene->databases));
    check_sound(&world);
    unsigned found = identify(&world);
    harness_require(found == number, "a second cut led to transaction %u, the first to %u", found,
                    number);
    databases_leave(&world, true);
    databases_free(&world);
    cut_counts.second++;
}

void cut_story(void *ctx)
{
    const struct cut *cut = ctx;
    struct world world = {.scene = story.world.scene};
    struct prng prng = {prng_mix(cut->seed, 9)};
    harness_watch_cpu(60, 600);
    for (unsigned i = 0; i < world.scene->stores; i++) {
        databases_cut(&world, &story.world, i, cut,
                      1000 + 10 * cut->at.events[i] + (uint64_t)cut->variant);
    }
    moments_follow(&recovery, &world);
    databases_connect(&world, prng_below(&prng, world.scene->databases));
    unsigned number = judge(&world, cut);
    moments_follow(NULL, NULL);
    bool second = prng_chance(&prng, 1, SECOND_EACH);
    if (!second) {
        story_set_modes(&world);
        story_transaction(&world, &prng, number + 1);
        check_sound(&world);
    }
    databases_leave(&world, !second);
    if (second) {
        second_cut(&world, cut, number);
    }
    databases_free(&world);
    cut_counts.cuts++;
    cut_counts.by_variant[cut->variant]++;
}
