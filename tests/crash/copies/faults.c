/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/faults.c - a call fails during a copy: of the device or an allocation on either
 * side, of either key service; once, and from there on.
 *
 * The copy tells the error or is whole; when the fault is gone both stores open with what they had,
 * the copy is absent, half there or whole, and is whole when it is asked for again. It holds no
 * more room than one that was never disturbed, and none where it is absent. Nothing leaks.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "scene.h"

#include <errno.h>

#define ERRORS 4u

enum fault_kind { FAULT_ALLOC = SIM_CALLS, FAULT_KMS, FAULT_RANDOM, FAULT_KINDS };

struct fault {
    const struct scene *scene;
    unsigned kind, error;
    bool source, sticky;
    uint64_t at;
};

static struct stage stage;
static struct room before, after; /* of the destination: without the copy, and with it */

static const char *const kind_names[FAULT_KINDS] = {
    "read",     "append", "sync",   "trim",         "condition", "grow",  "root_read",
    "root_cas", "shrink", "submit", "channel_open", "poll",      "alloc", "kms",       "random"};

static struct site *side(bool source)
{
    return source ? stage.from : stage.to;
}

static uint64_t calls_of(const struct site *site, unsigned kind)
{
    switch (kind) {
    case FAULT_ALLOC:
        return site->env.allocations;
    case FAULT_KMS:
        return site->kms->calls;
    case FAULT_RANDOM:
        return site->env.random_calls;
    default:
        return sim_disk_calls(site->disk, kind);
    }
}

static void plant(struct site *site, const struct fault *fault)
{
    static const struct {
        int error, os_errno;
    } device[] = {{COFFER_E_IO, EIO},
                  {COFFER_E_NO_SPACE, ENOSPC},
                  {COFFER_E_IO, 0}, /* a short transfer */
                  {COFFER_E_CANCELLED, ECANCELED}};
    static const int service[] = {COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_ACCESS,
                                  COFFER_E_KEY_DISABLED, COFFER_E_KEY_NOT_FOUND};
    struct sim_fault planted = {.call = fault->kind,
                                .at = calls_of(site, fault->kind) + fault->at,
                                .error = device[fault->error % ERRORS].error,
                                .os_errno = device[fault->error % ERRORS].os_errno,
                                .sticky = fault->sticky};
    if (fault->kind == FAULT_ALLOC) {
        det_env_fail(&site->env, fault->at, fault->sticky);
    } else if (fault->kind == FAULT_KMS) {
        fake_kms_fail(site->kms, fault->at, fault->sticky, service[fault->error % ERRORS]);
    } else if (fault->kind == FAULT_RANDOM) {
        site->env.random_fail_at = site->env.random_calls + fault->at;
    } else {
        sim_disk_inject(site->disk, &planted);
    }
}

static void unplant(struct site *site)
{
    sim_disk_inject(site->disk, NULL);
    det_env_fail_none(&site->env);
    fake_kms_fail_none(site->kms);
    site->env.random_fail_at = UINT64_MAX;
}

/* What a failed store still has to close may fail; memory comes back, and it opens again. */
static void open_again(struct site *site)
{
    (void)site_close(site);
    det_env_check_leaks(&site->env);
    must(site, site_open(site));
}

/* Both stores when the fault is gone, one after the other; or the one that is both. */
static void look_again(int error)
{
    for (unsigned i = 0; i < (stage.from == stage.to ? 1u : 2u); i++) {
        struct site *site = i == 0 ? stage.to : stage.from;
        open_again(site);
        site_settle(site, site != stage.to || error == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        site_look(&stage.realm.sites[i]);
        site_check(&stage.realm.sites[i], 0);
    }
}

static void judge(const struct fault *fault, int error, unsigned copy)
{
    struct site_copy how = stage.how;
    const struct holding *holding;
    how.during = NULL;
    if (error != 0) {
        copy = scene_doubt(&stage, stage.to);
    }
    holding = &stage.to->holdings[copy];
    look_again(error);
    harness_require(error == 0 || fault->kind != FAULT_KMS || !holding->used ||
                        fault->scene->stopped,
                    "a refusal of the key service left something of the copy");
    if (!holding->used) {
        scene_check_room(stage.to, &before, "after the fault");
    }
    if (!holding->used || holding->copying) {
        must(stage.to, scene_copy(&stage, stage.to, &how, &copy));
    }
    scene_check_room(stage.to, &after, "when it was asked for again");
    site_look(stage.to);
    site_check(stage.to, COFFER_CHECK_SCRUB);
}

static void one_fault(void *ctx)
{
    const struct fault *fault = ctx;
    unsigned copy = SITE_NONE;
    int error;
    harness_context("copies --scene %s --seed %llu --only faults (%s %s %llu, error %u, %s)",
                    fault->scene->name, (unsigned long long)campaign.seed,
                    fault->source ? "source" : "destination", kind_names[fault->kind],
                    (unsigned long long)fault->at, fault->error, fault->sticky ? "sticky" : "once");
    harness_watch(30);
    recorder_reset();
    scene_begin(&stage, fault->scene, campaign.seed, false, campaign.tell);
    stage.how.during = NULL;
    before = scene_room(stage.to);
    site_mark(stage.to);
    plant(side(fault->source), fault);
    error = scene_copy(&stage, stage.to, NULL, &copy);
    unplant(side(fault->source));
    copies_counts.faults++;
    copies_counts.struck += error != 0 ? 1u : 0u;
    harness_require(error != 0 || fault->source || fault->kind != COFFER_SEGDEV_SYNC,
                    "a sync failed, and the copy says that it is whole");
    judge(fault, error, copy);
    realm_done(&stage.realm);
    recorder_check();
}

static void count_calls(const struct scene *scene, uint64_t calls[2][FAULT_KINDS])
{
    unsigned copy;
    recorder_reset();
    scene_begin(&stage, scene, campaign.seed, false, false);
    stage.how.during = NULL;
    before = scene_room(stage.to);
    for (unsigned i = 0; i < 2u * FAULT_KINDS; i++) {
        calls[i / FAULT_KINDS][i % FAULT_KINDS] =
            calls_of(side(i / FAULT_KINDS == 1), i % FAULT_KINDS);
    }
    must(stage.to, scene_copy(&stage, stage.to, NULL, &copy));
    for (unsigned i = 0; i < 2u * FAULT_KINDS; i++) {
        calls[i / FAULT_KINDS][i % FAULT_KINDS] =
            calls_of(side(i / FAULT_KINDS == 1), i % FAULT_KINDS) -
            calls[i / FAULT_KINDS][i % FAULT_KINDS];
    }
    after = scene_room(stage.to);
    realm_done(&stage.realm);
}

void fail_scene(void *ctx)
{
    const struct scene *scene = ctx;
    uint64_t calls[2][FAULT_KINDS];
    count_calls(scene, calls);
    for (unsigned i = 0; i < 4u * FAULT_KINDS; i++) {
        struct fault fault = {.scene = scene,
                              .kind = i % FAULT_KINDS,
                              .source = i / FAULT_KINDS % 2u == 1,
                              .sticky = i / FAULT_KINDS / 2u == 1};
        uint64_t of = calls[fault.source ? 1 : 0][fault.kind];
        uint64_t stride = 1 + of / campaign.points;
        bool never =
            (fault.sticky && (fault.kind == SIM_CALL_POLL || fault.kind == FAULT_RANDOM)) ||
            (fault.source && stage.from == stage.to);
        for (fault.at = campaign.seed % stride; fault.at < of && !never && campaign_wants(scene);
             fault.at += stride) {
            fault.error =
                (unsigned)(fault.at / stride + campaign.seed); /* four seeds: each of them */
            (void)harness_run(one_fault, &fault);
        }
    }
    recorder_reset();
}
