/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/cuts.c - the power goes on one side of a copy (on both, where they are one store),
 * at each event and in each way; and again, here and there, during what follows: the recovery, and
 * the same copy asked for again.
 *
 * Then what was there is there bit for bit, and the copy is whole, absent, or (only one that goes
 * on where it was) half there. One that is absent holds no room, whether it is asked for again or
 * not. When it is asked for again it becomes whole, and holds no more than one that was never
 * disturbed; one that begins anew does so under another key, too, when the first is gone. A cut of
 * the source costs the copy nothing that came.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>

#define CHECK_EACH 5u
#define AGAIN_EACH 6u /* cuts that are followed by others      */
#define AGAIN_MAX 6u  /* and how many, spread over what follows */

struct cut {
    struct stage *stage;
    bool source;
    unsigned copy;
    uint64_t event;
    enum sim_variant variant;
    struct room before, after; /* of the destination: without the copy, and with it */
};

static struct stage stage;

static void note(const struct site *site, unsigned copy)
{
    copies_counts.absent += site->holdings[copy].used ? 0u : 1u;
    copies_counts.half += site->holdings[copy].used && site->holdings[copy].copying ? 1u : 0u;
    copies_counts.whole += site->holdings[copy].used && !site->holdings[copy].copying ? 1u : 0u;
}

static bool is_whole(const struct site *site, unsigned copy)
{
    return site->holdings[copy].used && !site->holdings[copy].copying;
}

static void check_room(const struct cut *cut, struct site *site, const char *when)
{
    if (!site->holdings[cut->copy].used || is_whole(site, cut->copy)) {
        scene_check_room(site, is_whole(site, cut->copy) ? &cut->after : &cut->before, when);
    }
}

static void keys_back(struct fake_kms *kms)
{
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        kms->keys[key].gone = false;
        kms->keys[key].state = COFFER_KEY_ENABLED;
    }
}

/* Asked for again, it is whole. */
static void ask_again(struct cut *cut, struct site *site, bool other_key)
{
    struct site_copy how = cut->stage->how;
    how.during = NULL;
    if (!is_whole(site, cut->copy)) {
        if (other_key) {
            site->kms->keys[how.key].gone = true;
            how.key = 0;
        }
        must(site, scene_copy(cut->stage, site, &how, &cut->copy));
        keys_back(site->kms);
    }
    must(site, site_look_one(site, cut->copy, true));
}

static void tell_context(const struct cut *cut, const struct cut *first)
{
    char before[64] = "";
    if (first != NULL) {
        snprintf(before, sizeof before, "%llu %s, then ", (unsigned long long)first->event,
                 sim_variant_name(first->variant));
    }
    harness_context("copies --scene %s --seed %llu --only cuts (%s cut at %s%llu, %s)",
                    cut->stage->scene->name, (unsigned long long)campaign.seed,
                    cut->source ? "source" : "destination", before, (unsigned long long)cut->event,
                    sim_variant_name(cut->variant));
}

static void open_cut(struct site *site, struct site *of, const struct cut *cut)
{
    struct sim_image *image =
        sim_disk_image_at(of->disk, cut->event, cut->variant, prng_mix(campaign.seed, cut->event));
    site_on_image(site, of, image);
    sim_image_free(image);
    must(site, site_open(site));
    site_settle(site, cut->event == sim_disk_events(of->disk));
    site_look(site);
}

/* The power went again, while the store recovered from the first cut or the copy was made again. */
static void second_cut(struct site *of, const struct cut *first, uint64_t event)
{
    static struct site site;
    struct cut cut = *first;
    cut.event = event;
    cut.variant = (enum sim_variant)(prng_mix(first->event, event) % SIM_VARIANTS);
    tell_context(&cut, first);
    open_cut(&site, of, &cut);
    check_room(&cut, &site, "after the second cut");
    ask_again(&cut, &site, false);
    check_room(&cut, &site, "when it was asked for again after two cuts");
    site_check(&site, COFFER_CHECK_SCRUB);
    site_look(&site);
    site_done(&site);
    copies_counts.second_cuts++;
}

static void second_cuts(struct site *of, const struct cut *first, const struct site *was)
{
    uint64_t end = sim_disk_events(of->disk);
    uint64_t stride = 1 + end / AGAIN_MAX;
    memcpy(of->marked, was->holdings, sizeof of->marked);
    for (uint64_t event = first->event % stride; event <= end; event += stride) {
        second_cut(of, first, event);
    }
    tell_context(first, NULL);
}

static void one_cut(void *ctx)
{
    static struct site site, was;
    struct cut cut = *(struct cut *)ctx;
    struct site *of = cut.source ? cut.stage->from : cut.stage->to;
    uint64_t dice = prng_mix(cut.event, (uint64_t)cut.variant);
    bool thorough = dice % CHECK_EACH == 0;
    bool other_key =
        cut.stage->scene->anew || cut.stage->scene->restored ? dice / 64u % 2u == 1 : false;
    tell_context(&cut, NULL);
    harness_watch(30);
    keys_back(of->kms); /* a case that failed left them so */
    open_cut(&site, of, &cut);
    if (!cut.source) {
        note(&site, cut.copy);
        if (thorough) {
            site_check(&site, 0);
        }
        check_room(&cut, &site, "after the cut");
        was = site;
        ask_again(&cut, &site, other_key);
        check_room(&cut, &site, "when it was asked for again");
        if (dice / 8u % AGAIN_EACH == 0 && !other_key) {
            second_cuts(&site, &cut, &was);
        }
    }
    if (thorough) {
        site_check(&site, COFFER_CHECK_SCRUB);
        site_look(&site);
    }
    site_done(&site);
    recorder_check();
    copies_counts.cuts++;
    copies_counts.cuts_source += cut.source ? 1u : 0u;
}

static void cut_side(struct cut *cut)
{
    struct site *of = cut->source ? cut->stage->from : cut->stage->to;
    uint64_t end = sim_disk_events(of->disk);
    for (cut->event = of->marked_event; cut->event <= end; cut->event++) {
        bool same = sim_disk_unsynced_at(of->disk, cut->event) == 0;
        for (unsigned variant = 0; variant < SIM_VARIANTS && campaign_wants(cut->stage->scene);
             variant++) {
            cut->variant = (enum sim_variant)variant;
            if (!same || variant == SIM_CUT_NONE) {
                (void)harness_run(one_cut, cut);
            }
        }
    }
}

void cut_scene(void *ctx)
{
    const struct scene *scene = ctx;
    struct cut cut = {.stage = &stage};
    harness_context("copies --scene %s --seed %llu --only cuts", scene->name,
                    (unsigned long long)campaign.seed);
    harness_watch(60);
    scene_begin(&stage, scene, campaign.seed, false, campaign.tell);
    cut.before = scene_room(stage.to);
    site_mark(stage.to);
    must(stage.to, scene_copy(&stage, stage.to, NULL, &cut.copy));
    cut.after = scene_room(stage.to);
    cut_side(&cut);
    cut.source = true;
    if (stage.from != stage.to) {
        cut_side(&cut);
    }
    site_look(stage.from);
    site_check(stage.from, COFFER_CHECK_SCRUB);
    realm_done(&stage.realm);
}
