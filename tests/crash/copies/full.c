/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/full.c - the destination becomes full by another volume's writes: before the copy,
 * or at each of its steps, when there was room for it as it began.
 *
 * The copy is made or says NO_SPACE. The store lives: its volumes read, a write is taken or has no
 * space, the check is clean, volumes are deleted. What there is of the copy is what a failed one
 * may leave; with the room back it becomes whole when it is asked for again.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#define FILLER_PAGES 30000u
#define WRITE_PAGES 64u
#define STRIDE_POINTS 120u /* from so many points on, at each step */

struct filling {
    uint64_t at, step; /* the step that it is full from; 0: before the copy */
    uint32_t page;
};

static struct stage stage;
static struct coffer_volume *filler;
static uint8_t *bytes;

static void open_filler(struct site *site)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = "filler",
                                               .size_bytes =
                                                   (uint64_t)FILLER_PAGES * COFFER_PAGE_BYTES,
                                               .not_encrypted = 1,
                                               .provider = &site->kms->api};
    struct coffer_volume_open_opts open = {
        .size = sizeof open, .name = "filler", .flags = COFFER_VOLUME_ALLOW_PLAIN};
    must(site, coffer_volume_create(site->store, &create, &site->fault));
    must(site, coffer_volume_open(site->store, &open, &filler, &site->fault));
}

static void delete_filler(struct site *site)
{
    struct coffer_volume_open_opts open = {
        .size = sizeof open, .name = "filler", .flags = COFFER_VOLUME_ALLOW_PLAIN};
    must(site, coffer_volume_delete(site->store, &open, &site->fault));
}

static int write_filler(struct site *site, uint32_t page, uint32_t pages)
{
    return coffer_volume_write(filler, bytes, (uint64_t)page * COFFER_PAGE_BYTES,
                               (size_t)pages * COFFER_PAGE_BYTES, 0, &site->fault);
}

/* By large writes, then by small ones. */
static void fill(struct site *site, struct filling *filling)
{
    for (uint32_t pages = WRITE_PAGES; pages > 0; pages /= 8u) {
        int error = 0;
        while (error == 0 && filling->page + pages <= FILLER_PAGES) {
            error = write_filler(site, filling->page, pages);
            filling->page += error == 0 ? pages : 0u;
        }
        harness_require(error == COFFER_E_NO_SPACE, "the store takes %u pages, then says %s",
                        filling->page, coffer_error_name(error));
    }
}

static void fill_at(void *ctx)
{
    struct filling *filling = ctx;
    if (++filling->step == filling->at) {
        fill(stage.to, filling);
    }
}

/* Full, and alive. */
static void check_full_store(struct site *site)
{
    int error = write_filler(site, 0, 1);
    harness_require(error == 0 || error == COFFER_E_NO_SPACE, "a write to a full store: %s",
                    coffer_error_name(error));
    must(site, coffer_volume_close(filler));
    filler = NULL;
    must(site, site_close_volumes(site));
    site_check(site, 0);
    delete_filler(site);
}

static void one_filling(void *ctx)
{
    struct filling *filling = ctx;
    struct site_copy how;
    struct room before;
    unsigned copy = SITE_NONE;
    int error;
    harness_context("copies --scene %s --seed %llu --only full (at step %llu)", stage.scene->name,
                    (unsigned long long)campaign.seed, (unsigned long long)filling->at);
    harness_watch(60);
    recorder_reset();
    scene_begin(&stage, stage.scene, campaign.seed, true, campaign.tell);
    before = scene_room(stage.to);
    open_filler(stage.to);
    if (filling->at == 0) {
        fill(stage.to, filling);
    }
    site_mark(stage.to);
    how = stage.how;
    how.during = fill_at;
    how.ctx = filling;
    error = scene_copy(&stage, stage.to, &how, &copy);
    harness_require(error == 0 || error == COFFER_E_NO_SPACE, "a copy to a full store: %s",
                    coffer_error_name(error));
    copies_counts.fillings += filling->page > 0 ? 1u : 0u;
    copies_counts.without_room += error != 0 ? 1u : 0u;
    copy = error != 0 ? scene_doubt(&stage, stage.to) : copy;
    check_full_store(stage.to);
    site_settle(stage.to, error == 0);
    for (unsigned again = 0; again < 2; again++) {
        for (unsigned i = 0; i < 2; i++) {
            site_look(&stage.realm.sites[i]);
            site_check(&stage.realm.sites[i], 0);
        }
        if (!stage.to->holdings[copy].used) {
            scene_check_room(stage.to, &before, "after the copy had no room");
        }
        if (!stage.to->holdings[copy].used || stage.to->holdings[copy].copying) {
            how.during = NULL;
            must(stage.to, scene_copy(&stage, stage.to, &how, &copy));
        }
        must(stage.to, site_close(stage.to));
        must(stage.to, site_open(stage.to));
    }
    realm_done(&stage.realm);
    recorder_check();
}

void fill_scene(void *ctx)
{
    struct filling filling = {0};
    stage.scene = ctx;
    bytes = calloc(WRITE_PAGES, COFFER_PAGE_BYTES);
    if (bytes == NULL) {
        abort();
    }
    memset(bytes, 0x5a, (size_t)WRITE_PAGES * COFFER_PAGE_BYTES);
    for (uint64_t at = 0; filling.step >= filling.at && campaign_wants(ctx);
         at += at == 0 ? 1u : 1u + STRIDE_POINTS / campaign.points) {
        filling = (struct filling){.at = at};
        (void)harness_run(one_filling, &filling);
    }
    free(bytes);
    recorder_reset();
}
