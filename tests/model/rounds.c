/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/rounds - a store is filled to 100 %, and freed, again and again.
 *
 * A round writes new pages, and some of the old, takes snapshots and makes volumes of them until
 * one new page is refused, again and again. Then it is full: reads, overwrites of pages that
 * nothing else holds, discards, flushes, checkpoints, deletions, closing and opening must work, and
 * new pages are refused with NO_SPACE. Then discards and deletions free a part, and there is room
 * again. Volumes are encrypted and not. Each round ends with a clean reopen or a power cut, after
 * which everything is held against the reference model, and check must find nothing; its recount
 * and the accounting must agree with each other and with what the model holds.
 *
 * Never stuck: no call may ask the device for more than so many requests.
 *
 * --file DIRECTORY: the same on a real file there, without cuts.
 */
#include "rounds/rounds.h"
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rounds_counts rounds_counts;

static struct {
    uint64_t seed, rounds, segments;
    const char *directory;
    bool tell;
} plan = {.seed = 1, .rounds = 12, .segments = 64};

static char path[200];

static void begin(struct rounds *rounds)
{
    struct world *world = &rounds->world;
    struct world_options options;
    memset(rounds, 0, sizeof *rounds);
    memset(&options, 0, sizeof options);
    rounds->seed = plan.seed;
    rounds->prng.state = prng_mix(plan.seed, 0x726f756eu);
    options.seed = plan.seed;
    options.segments = (uint32_t)plan.segments;
    options.path = plan.directory != NULL ? path : NULL;
    options.disk.shuffle = rounds_pick(rounds, 2) == 0;
    options.disk.delay_polls_max = rounds_pick(rounds, 4);
    options.anchor = rounds_pick(rounds, 2) == 0;
    world_init(world, &options);
    world->lenient = true;
    world->tell = plan.tell;
    world->open_flags = plan.directory != NULL ? COFFER_OPEN_BUFFERED : 0;
    must(world, world_create(world));
    must(world, world_open(world));
    rounds->capacity_bytes = rounds_info(rounds).capacity_bytes;
    rounds->volume_pages = (uint32_t)(rounds->capacity_bytes / COFFER_PAGE_BYTES / 5 * 3);
    for (unsigned i = 0; i < ROUNDS_VOLUMES; i++) {
        rounds_new_volume(rounds);
    }
}

static void one_round(struct rounds *rounds, uint64_t round)
{
    harness_watch_cpu(300, 1200);
    rounds_fill(rounds);
    rounds_at_full(rounds);
    if (rounds_pick(rounds, 2) == 0) {
        rounds_reopen(rounds, rounds_pick(rounds, 2) == 0);
        rounds_check(rounds, false);
    }
    rounds_free(rounds);
    rounds_reopen(rounds, rounds_pick(rounds, 3) == 0);
    rounds_check(rounds, round % 8 == 7);
    recorder_check();
    rounds_counts.rounds++;
}

static void all_rounds(void *ctx)
{
    static struct rounds rounds;
    (void)ctx;
    begin(&rounds);
    for (uint64_t round = 0; round < plan.rounds; round++) {
        harness_context("rounds --seed %llu --segments %llu --rounds %llu%s%s",
                        (unsigned long long)plan.seed, (unsigned long long)plan.segments,
                        (unsigned long long)round + 1, plan.directory == NULL ? "" : " --file ",
                        plan.directory == NULL ? "" : plan.directory);
        one_round(&rounds, round);
    }
    rounds_empty(&rounds);
    must(&rounds.world, world_close(&rounds.world));
    world_done(&rounds.world);
}

static void tell_counts(double seconds)
{
    const struct rounds_counts *c = &rounds_counts;
    printf("rounds: seed %llu, %llu segments, %llu rounds, %llu cuts, %llu reopens, %.1f s\n",
           (unsigned long long)plan.seed, (unsigned long long)plan.segments,
           (unsigned long long)c->rounds, (unsigned long long)c->crashes,
           (unsigned long long)c->reopens, seconds);
    printf("  %llu pages written, %llu written over at 100 %%, %llu discarded, %llu requests "
           "refused; %llu snapshots, %llu clones, %llu deletions\n",
           (unsigned long long)c->written, (unsigned long long)c->overwritten,
           (unsigned long long)c->freed, (unsigned long long)c->refused,
           (unsigned long long)c->snapshots, (unsigned long long)c->clones,
           (unsigned long long)c->deleted);
    printf("  at most %llu requests to the device in one call; %llu seals\n",
           (unsigned long long)c->requests_max, (unsigned long long)recorder_seals());
}

int main(int argc, char **argv)
{
    const char *broken = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &plan.seed, NULL, NULL, "of everything [1]"},
        {"--rounds", &plan.rounds, NULL, NULL, "how many [12]"},
        {"--segments", &plan.segments, NULL, NULL, "of 1 MiB [64]"},
        {"--file", NULL, &plan.directory, NULL, "on a real file in this directory"},
        {"--tell", NULL, NULL, &plan.tell, "print each call"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "a store filled to 100 % and freed, again and again");
    if (plan.directory != NULL) {
        snprintf(path, sizeof path, "%.150s/rounds.%d.coffer", plan.directory, (int)getpid());
    }
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    (void)harness_run(all_rounds, NULL);
    harness_watch(0);
    if (plan.directory != NULL) {
        (void)unlink(path);
    }
    tell_counts(harness_seconds() - start);
    return cleaning_close(harness_close("rounds", rounds_counts.rounds, broken), true);
}
