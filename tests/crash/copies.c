/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies - a copy between two stores, of each kind: the power goes on either side at each
 * event (cuts), a call fails on either side (faults), the source's medium is damaged (damage).
 *
 * What is judged stands at the head of each part. Everything follows from the seed; a failure
 * prints the scene and the part that repeat it.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "copies/scene.h"

#include <stdio.h>
#include <string.h>

struct campaign campaign = {.seed = 1, .points = 40};
struct copies_counts copies_counts;

static void tell_counts(double seconds)
{
    const struct copies_counts *c = &copies_counts;
    printf("copies: seed %llu, %.1f s\n"
           "  cuts: %llu, %llu of them of the source, %llu more followed; the copy was absent %llu "
           "times, half there %llu, whole %llu\n"
           "  faults: %llu, %llu told\n"
           "  damage: %llu changes, %llu stores refused, %llu copies taken back, %llu told by "
           "reads, %llu without effect\n",
           (unsigned long long)campaign.seed, seconds, (unsigned long long)c->cuts,
           (unsigned long long)c->cuts_source, (unsigned long long)c->second_cuts,
           (unsigned long long)c->absent, (unsigned long long)c->half, (unsigned long long)c->whole,
           (unsigned long long)c->faults, (unsigned long long)c->struck,
           (unsigned long long)c->damaged, (unsigned long long)c->refused,
           (unsigned long long)c->taken_back, (unsigned long long)c->reported,
           (unsigned long long)c->harmless);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void *scene);
    } parts[] = {{"cuts", cut_scene}, {"faults", fail_scene}, {"damage", spoil_scene}};
    const char *only = NULL, *broken = NULL;
    uint64_t seeds = 1;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &campaign.seed, NULL, NULL, "first seed [1]"},
        {"--seeds", &seeds, NULL, NULL, "how many [1]"},
        {"--points", &campaign.points, NULL, NULL, "places a kind of call that fails [40]"},
        {"--scene", NULL, &campaign.scene, NULL, "only this one"},
        {"--only", NULL, &only, NULL, "cuts, faults or damage"},
        {"--tell", NULL, NULL, &campaign.tell, "print each call"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "cuts, faults and damage during copies between stores");
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
        for (unsigned at = 0; at < SCENES * 3u; at++) {
            struct scene scene = scenes[at / 3u];
            if ((only == NULL || strcmp(only, parts[at % 3u].name) == 0) &&
                campaign_wants(&scene)) {
                (void)harness_run(parts[at % 3u].run, &scene);
                recorder_reset();
            }
        }
    }
    harness_watch(0);
    tell_counts(harness_seconds() - start);
    return harness_close("copies",
                         copies_counts.cuts + copies_counts.second_cuts + copies_counts.faults +
                             copies_counts.damaged,
                         broken);
}
