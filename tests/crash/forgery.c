/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery - attacks on a store by one who has the disk, the format's description and no key.
 *
 * Each attack edits an image and puts every keyless checksum right. What must come of it: a
 * specific refusal, or harmlessness; never data that was not there, never a log with a hole in it.
 * Attacks that a disk alone can't show (an older state of the whole store) must be found with the
 * anchor.
 */
#include "crash/forgery/forgery.h"
#include "common/harness.h"
#include "common/recorder.h"

#include <stdio.h>
#include <string.h>

struct forgery forgery;

void attack_begin(struct attack *attack, const char *name, uint64_t number)
{
    harness_context("forgery --attack %s --number %llu", name, (unsigned long long)number);
    attack->image = sim_image_clone(forgery.rich.image);
    attack->must_refuse = attack->must_accept = false;
    attack->forged = true;
    harness_watch(20);
}

void attack_conclude(struct attack *attack)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t refused;
        int error = rich_store_judge(&forgery.rich, attack->image, attack->forged,
                                     forgery.next_incarnation++, &refused);
        harness_require(!attack->must_refuse || error != 0 || refused > 0,
                        "the attack went unnoticed");
        harness_require(!attack->must_accept || (error == 0 && refused == 0),
                        "the store is refused although enough is left");
        forgery.refused += error != 0 || refused > 0 ? 1u : 0u;
        forgery.harmless += error == 0 && refused == 0 ? 1u : 0u;
    }
    sim_image_free(attack->image);
    forgery.attacks++;
    recorder_check();
}

static uint64_t rounds = 60;
static const char *only;

struct attack_kind {
    const char *name;
    void (*run)(uint64_t number);
    uint64_t times; /* 0: rounds */
};

static const struct attack_kind kinds[] = {
    {"replay_page", replay_page, 0},
    {"swap_pages", swap_pages, 0},
    {"edit_run", edit_run, 0},
    {"graft_descriptor", graft_descriptor, 0},
    {"empty_batch", empty_batch, 8},
    {"omit_extent", omit_extent, 8},

    {"omit_batch", omit_batch, 8},
    {"damage_durable", damage_durable, 16},
    {"damage_roots", damage_roots, 4},
    {"turn_encrypted", turn_encrypted, 3},
    {"exchange_volumes", exchange_volumes, 6},
};

struct task {
    const struct attack_kind *kind;
    uint64_t number;
};

static void run_task(void *ctx)
{
    const struct task *task = ctx;
    task->kind->run(task->number);
}

static void run_other(void *ctx)
{
    (*(void (**)(void))ctx)();
}

static void run_grafts(void *ctx)
{
    graft_forks(*(const uint64_t *)ctx);
}

static bool asked(const char *name)
{
    return only == NULL || strcmp(only, name) == 0;
}

static void run_all(uint64_t number_only, bool stop_early)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } others[] = {{"roll_back", roll_back}, {"forge_epoch", forge_epoch}, {"pins", pins}};
    uint64_t grafts = 6 + rounds / 2;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint64_t times = kinds[i].times == 0 ? rounds : kinds[i].times;
        for (uint64_t n = 0; asked(kinds[i].name) && n < times; n++) {
            struct task task = {&kinds[i], n};
            forgery.prng.state = prng_mix(n, i);
            if (stop_early && harness_failures() > 0) {
                return;
            }
            if (number_only == UINT64_MAX || number_only == n) {
                (void)harness_run(run_task, &task);
            }
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        void (*run)(void) = others[i].run;
        if (asked(others[i].name)) {
            (void)harness_run(run_other, &run);
        }
    }
    if (asked("graft_fork")) {
        (void)harness_run(run_grafts, &grafts);
    }
}

static void make_store(void *ctx)
{
    forgery.next_incarnation = 100;
    rich_store_make(&forgery.rich, *(const uint64_t *)ctx, RICH_TAIL_OPEN);
}

int main(int argc, char **argv)
{
    uint64_t seed = 42, number = UINT64_MAX;
    const char *broken = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "of the store [42]"},
        {"--rounds", &rounds, NULL, NULL, "of each random attack [60]"},
        {"--attack", NULL, &only, NULL, "only this attack"},
        {"--number", &number, NULL, NULL, "only this round of it"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "attacks on the disk image");
    recorder_install();
    harness_context("forgery (making the store)");
    if (harness_run(make_store, &seed)) {
        if (broken != NULL) {
            harness_break(broken);
        }
        run_all(number, broken != NULL);
    }
    harness_watch(0);
    printf("forgery: seed %llu, %llu attacks, %llu opens refused in all or part, %llu harmless, "
           "%.1f s\n",
           (unsigned long long)seed, (unsigned long long)forgery.attacks,
           (unsigned long long)forgery.refused, (unsigned long long)forgery.harmless,
           harness_seconds() - start);
    return harness_close("forgery", forgery.attacks, broken);
}
