/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/cuts.c - the power goes on one side of a copy, at each event and in each way.
 *
 * Then what was there is there bit for bit, and the copy is whole, absent, or half there; when it
 * is asked for again it becomes whole. A cut of the source costs the copy nothing that came.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "scene.h"

#define CHECK_EACH 5u

struct cut {
    struct stage *stage;
    const struct scene *scene;
    bool source;
    unsigned copy;
    uint64_t event;
    enum sim_variant variant;
};

static struct stage stage;

static void note(const struct site *site, unsigned copy)
{
    copies_counts.absent += site->holdings[copy].used ? 0u : 1u;
    copies_counts.half += site->holdings[copy].used && site->holdings[copy].copying ? 1u : 0u;
    copies_counts.whole += site->holdings[copy].used && !site->holdings[copy].copying ? 1u : 0u;
}

/* Asked for again, it is whole. */
static void ask_again(struct cut *cut, struct site *site)
{
    struct site_copy how = cut->stage->how;
    unsigned copy = cut->copy;
    how.during = NULL;
    if (!site->holdings[copy].used || site->holdings[copy].copying) {
        must(site, site_copy(cut->stage->from, cut->stage->snapshot, site, &how, &copy));
    }
    must(site, site_look_one(site, copy, true));
}

static void one_cut(void *ctx)
{
    static struct site site;
    struct cut *cut = ctx;
    struct site *of = cut->source ? cut->stage->from : cut->stage->to;
    struct sim_image *image =
        sim_disk_image_at(of->disk, cut->event, cut->variant, prng_mix(campaign.seed, cut->event));
    bool thorough = prng_mix(cut->event, (uint64_t)cut->variant) % CHECK_EACH == 0;
    harness_context("copies --scene %s --seed %llu --only cuts (%s cut at %llu, %s)",
                    cut->scene->name, (unsigned long long)campaign.seed,
                    cut->source ? "source" : "destination", (unsigned long long)cut->event,
                    sim_variant_name(cut->variant));
    harness_watch(30);
    site_on_image(&site, of, image);
    sim_image_free(image);
    must(&site, site_open(&site));
    site_settle(&site, cut->event == sim_disk_events(of->disk));
    site_look(&site);
    if (!cut->source) {
        note(&site, cut->copy);
        if (thorough) {
            site_check(&site, 0);
        }
        ask_again(cut, &site);
    }
    if (thorough) {
        site_check(&site, COFFER_CHECK_SCRUB);
        site_look(&site);
    }
    site_done(&site);
    recorder_check();
    copies_counts.cuts++;
    copies_counts.cuts_source += cut->source ? 1u : 0u;
}

static void cut_side(struct cut *cut)
{
    struct site *of = cut->source ? cut->stage->from : cut->stage->to;
    uint64_t end = sim_disk_events(of->disk);
    for (cut->event = of->marked_event; cut->event <= end; cut->event++) {
        bool same = sim_disk_unsynced_at(of->disk, cut->event) == 0;
        for (unsigned variant = 0; variant < SIM_VARIANTS && campaign_wants(cut->scene);
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
    struct cut cut = {.stage = &stage, .scene = scene};
    harness_context("copies --scene %s --seed %llu --only cuts", scene->name,
                    (unsigned long long)campaign.seed);
    harness_watch(60);
    scene_begin(&stage, scene, campaign.seed, campaign.tell);
    must(stage.to, scene_copy(&stage, &cut.copy));
    cut_side(&cut);
    cut.source = true;
    cut_side(&cut);
    site_look(stage.from);
    site_check(stage.from, COFFER_CHECK_SCRUB);
    realm_done(&stage.realm);
}
