/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/copies - random histories over two or three stores between which snapshots are copied.
 *
 * A history is 60 steps (--steps) drawn from its seed: writes, discards, snapshots, volumes made
 * from them, deletions; full and incremental copies, back too, under other names and keys, with one
 * key service or two, sealed anew, within a store, without the right to decrypt; copies that are
 * stopped, cut off by the power on either side, asked for again from any store that has the
 * snapshot, given up; deep re-encrypts on either side and between; rekeys at each depth,
 * recipients, power cuts, reopens, stores that are forks of others or are put back to an older
 * image. Open volumes are written while copies are under way. At each loss and at the end every
 * volume and snapshot on every side shows the versions that it must, under its own key alone; check
 * finds nothing; no (key, nonce) comes twice; some end by deleting all, which must leave next to
 * nothing.
 *
 * --tight: on stores that are nearly full, so that the cleaner is at work in all of them.
 * --rounds N: instead, one history A to B to A N times, incrementally, with key changes between.
 */
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "copies/tale.h"

#include <stdio.h>
#include <string.h>

#define PAGES_SMALL 60u
#define PAGES_LARGE 640u /* of two leaves */

struct tale_counts tale_counts;
static uint64_t steps_max = 60;
static bool tell, tight;

static const struct {
    void (*step)(struct tale *tale);
    uint32_t weight;
} steps[] = {
    {tale_new_volume, 2}, {tale_write, 16}, {tale_discard, 3}, {tale_flush, 2},
    {tale_checkpoint, 2}, {tale_reopen, 2}, {tale_lose, 1},    {tale_keep, 1},
    {tale_put_back, 1},   {tale_fork, 1},   {tale_look, 1},    {tale_snapshot, 9},
    {tale_restore, 4},    {tale_delete, 6}, {tale_rekey, 2},   {tale_recipient, 2},
    {tale_copy, 18},      {tale_go_on, 4},  {tale_abandon, 1}, {tale_reencrypt, 6},
};

static void step_anything(struct tale *tale)
{
    uint32_t total = 0, drawn;
    size_t at = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        total += steps[i].weight;
    }
    drawn = realm_pick(&tale->realm, total);
    while (drawn >= steps[at].weight) {
        drawn -= steps[at++].weight;
    }
    steps[at].step(tale);
}

static void begin_tale(struct tale *tale, uint64_t seed)
{
    struct realm *realm = &tale->realm;
    unsigned services;
    memset(tale, 0, sizeof *tale);
    realm_init(realm, seed, 2);
    realm->site_count = 2u + realm_pick(realm, 2);
    realm->tell = tell;
    realm->tight = tight;
    services = 1u + realm_pick(realm, 2);
    tale->pages_max = realm_pick(realm, 5) == 0 ? PAGES_LARGE : PAGES_SMALL;
    for (unsigned i = 0; i < realm->site_count; i++) {
        site_make(realm, i, i % services);
    }
    tale_new_volume(tale);
    tale_snapshot(tale);
    if (realm_pick(realm, 4) == 0) {
        tale_fork(tale);
    }
}

static void end_tale(struct tale *tale)
{
    struct realm *realm = &tale->realm;
    bool empty = realm_pick(realm, 3) == 0;
    for (unsigned i = 0; i < realm->site_count && !tale->full; i++) {
        struct site *site = &realm->sites[i];
        site_look(site);
        site_check(site, COFFER_CHECK_SCRUB);
        if (empty) {
            site_delete_all(site);
            site_check(site, 0);
        }
    }
    realm_done(realm);
    recorder_check();
}

static void one_tale(void *ctx)
{
    static struct tale tale;
    uint64_t seed = *(const uint64_t *)ctx;
    harness_watch_cpu(60, 300);
    begin_tale(&tale, seed);
    for (uint64_t step = 0; step < steps_max && !tale.full; step++) {
        harness_context("copies%s --seed %llu --replay (step %llu)", tight ? " --tight" : "",
                        (unsigned long long)seed, (unsigned long long)step);
        step_anything(&tale);
        tale_counts.steps++;
    }
    harness_context("copies%s --seed %llu --replay (the end)", tight ? " --tight" : "",
                    (unsigned long long)seed);
    end_tale(&tale);
}

static void tell_counts(uint64_t seed, uint64_t done, double seconds)
{
    const struct tale_counts *c = &tale_counts;
    const uint64_t numbers[] = {c->copies,     c->keyless,   c->keyed,       c->within,
                                c->anew,       c->stopped,   c->cuts_source, c->cuts_destination,
                                c->gone_on,    c->abandoned, c->taken,       c->refused,
                                c->snapshots,  c->restores,  c->deleted,     c->rekeys,
                                c->recipients, c->cuts,      c->back,        c->forks,
                                c->looks,      c->hindered,  c->full,        c->reencrypts,
                                c->reencrypted};
    static const char *const names[] = {"copies",      "keyless",
                                        "keyed",       "within a store",
                                        "sealed anew", "stopped",
                                        "source cut",  "destination cut",
                                        "gone on",     "given up",
                                        "names taken", "names sealed",
                                        "snapshots",   "restores",
                                        "deletions",   "rekeys",
                                        "recipients",  "cuts",
                                        "put back",    "forks",
                                        "looks",       "deletions hindered",
                                        "times full",  "deep re-encrypts",
                                        "to their end"};
    printf("copies: seeds %llu to %llu, %llu steps, %llu seals, %.1f s\n ",
           (unsigned long long)seed, (unsigned long long)(seed + done),
           (unsigned long long)c->steps, (unsigned long long)recorder_seals(), seconds);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        printf(" %s %llu%s", names[i], (unsigned long long)numbers[i], i % 8 == 7 ? "\n " : ";");
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 1000, done = 0, rounds = 0;
    const char *broken = NULL;
    bool again = false;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--count", &count, NULL, NULL, "how many histories [1000]"},
        {"--steps", &steps_max, NULL, NULL, "steps each [60]"},
        {"--rounds", &rounds, NULL, NULL, "A to B to A so many times instead"},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--tell", NULL, NULL, &tell, "print each step"},
        {"--replay", NULL, NULL, &again, "only the history of --seed"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "random histories of copies between stores");
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    count = again || rounds > 0 ? 1 : count;
    for (; done < count; done++) {
        uint64_t at = seed + done;
        struct tale_rounds journey = {at, rounds, tell};
        harness_context("copies%s --seed %llu --replay", tight ? " --tight" : "",
                        (unsigned long long)at);
        (void)harness_run(rounds > 0 ? tale_there_and_back : one_tale,
                          rounds > 0 ? (void *)&journey : (void *)&at);
        if ((broken != NULL && harness_failures() > 0) || harness_failures() >= 20) {
            break;
        }
    }
    harness_watch(0);
    tell_counts(seed, done, harness_seconds() - start);
    return cleaning_close(harness_close("copies", done, broken), tight);
}
