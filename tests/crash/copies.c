/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies - a copy between two stores or within one, of each kind, and a restore under a key:
 * the power goes on either side at each event (cuts), a call fails on either side (faults), the
 * destination becomes full (full), the source's medium is damaged (damage).
 *
 * What is judged stands at the head of each part. Everything follows from the seed; a failure
 * prints the scene and the part that repeat it.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "copies/scene.h"

#include <stdio.h>
#include <string.h>

#define PARTS 4u

struct campaign campaign = {.seed = 1, .points = 40};
struct copies_counts copies_counts;

#define number(counter) ((unsigned long long)copies_counts.counter)

static void tell_counts(uint64_t first_seed, double seconds)
{
    printf("copies: seed %llu, %.1f s\n", (unsigned long long)first_seed, seconds);
    printf("  cuts: %llu, %llu of them of the source, %llu more followed; the copy was absent %llu "
           "times, half there %llu, whole %llu\n",
           number(cuts), number(cuts_source), number(second_cuts), number(absent), number(half),
           number(whole));
    printf("  faults: %llu, %llu told\n", number(faults), number(struck));
    printf("  full: %llu times, %llu without room for the copy\n", number(fillings),
           number(without_room));
    printf("  damage: %llu changes, %llu stores refused, %llu copies taken back, %llu told by "
           "reads, %llu without effect\n",
           number(damaged), number(refused), number(taken_back), number(reported),
           number(harmless));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void *scene);
    } parts[] = {
        {"cuts", cut_scene}, {"faults", fail_scene}, {"full", fill_scene}, {"damage", spoil_scene}};
    const char *only = NULL, *broken = NULL;
    uint64_t seeds = 1;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &campaign.seed, NULL, NULL, "first seed [1]"},
        {"--seeds", &seeds, NULL, NULL, "how many [1]"},
        {"--points", &campaign.points, NULL, NULL, "places a kind of call that fails [40]"},
        {"--scene", NULL, &campaign.scene, NULL, "only this one"},
        {"--only", NULL, &only, NULL, "cuts, faults, full or damage"},
        {"--tell", NULL, NULL, &campaign.tell, "print each call"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options,
                    "cuts, faults, want of room and damage during copies of snapshots");
    if (campaign.scene != NULL && scene_find(campaign.scene) == NULL) {
        printf("there is no scene %s\n", campaign.scene);
        return 2;
    }
    campaign.points = campaign.points == 0 ? 1 : campaign.points;
    campaign.stop_at_first = broken != NULL;
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    for (uint64_t i = 0; i < seeds; i++, campaign.seed++) {
        for (unsigned at = 0; at < SCENES * PARTS; at++) {
            struct scene scene = scenes[at / PARTS];
            if ((only == NULL || strcmp(only, parts[at % PARTS].name) == 0) &&
                campaign_wants(&scene)) {
                (void)harness_run(parts[at % PARTS].run, &scene);
                recorder_reset();
            }
        }
    }
    harness_watch(0);
    tell_counts(campaign.seed - seeds, harness_seconds() - start);
    return harness_close("copies",
                         copies_counts.cuts + copies_counts.second_cuts + copies_counts.faults +
                             copies_counts.fillings + copies_counts.damaged,
                         broken);
}
