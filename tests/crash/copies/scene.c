/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/scene.c - see scene.h.
 */
#include "scene.h"

#include "common/harness.h"

#include <string.h>

#define PAGES 60u
#define PAGES_LARGE SITE_PAGES_MAX
#define EXTENTS_LARGE 6u /* so that a copy has steps */
#define NAME "w"         /* of what is made within one store, and of volumes */
#define ROOM_PAGES 10u   /* nodes of the store's trees, which do not shrink   */

const struct scene scenes[SCENES] = {
    {.name = "whole"},
    {.name = "keyed", .keyed = true},
    {.name = "plain", .plain = true, .written = true},
    {.name = "incremental", .incremental = true, .written = true},
    {.name = "incremental_keyed", .incremental = true, .keyed = true},
    {.name = "back", .incremental = true, .back = true},
    {.name = "again", .stopped = true, .incremental = true},
    {.name = "fork", .forked = true},
    {.name = "anew", .anew = true, .written = true},
    {.name = "anew_keyed", .anew = true, .keyed = true},
    {.name = "anew_within", .anew = true, .within = true, .written = true},
    {.name = "within", .within = true},
    {.name = "restored", .plain = true, .within = true, .restored = true},
};

const struct scene *scene_find(const char *name)
{
    for (unsigned i = 0; i < SCENES; i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            return &scenes[i];
        }
    }
    return NULL;
}

bool campaign_wants(const struct scene *scene)
{
    return (campaign.scene == NULL || strcmp(campaign.scene, scene->name) == 0) &&
           harness_failures() < 20 && !(campaign.stop_at_first && harness_failures() > 0);
}

/* The source's volume goes on meanwhile. */
static void write_meanwhile(void *ctx)
{
    struct stage *stage = ctx;
    if (stage->from->pending_count < 8) {
        must(stage->from,
             site_write(stage->from, stage->volume, realm_pick(&stage->realm, PAGES), 1));
    }
}

static void write_some(struct site *site, unsigned volume)
{
    for (unsigned i = 0; i < 3; i++) {
        must(site, site_write(site, volume, realm_pick(site->realm, PAGES - 4u), 4));
    }
    must(site, site_discard(site, volume, realm_pick(site->realm, PAGES), 1));
}

/* Something else on either side, which must not suffer. */
static void add_bystander(struct site *site)
{
    unsigned volume, snapshot;
    must(site, site_volume_create(site, 16, true, 3, &volume));
    must(site, site_write(site, volume, 0, 8));
    must(site, site_snapshot(site, volume, &snapshot));
    must(site, site_write(site, volume, 4, 8));
    must(site, site_volume_close(site, volume));
}

/* A first snapshot comes over; where it goes back, a volume is made of it there. */
static void bring_base(struct stage *stage, const struct scene *scene)
{
    struct site_copy how = {.key = scene->plain ? SITE_OWN_KEY : 2u};
    unsigned copy;
    must(stage->from, site_snapshot(stage->from, stage->volume, &stage->snapshot));
    must(stage->to, site_copy(stage->from, stage->snapshot, stage->to, &how, &copy));
    if (scene->back) {
        struct site *other = stage->from;
        must(stage->to, site_restore(stage->to, copy, SITE_OWN_KEY, &stage->volume));
        stage->from = stage->to;
        stage->to = other;
    }
    write_some(stage->from, stage->volume);
}

/* In several extents and ranges, more than a store keeps back when it is full. */
static void write_much(struct site *site, unsigned volume)
{
    const uint32_t each = (PAGES_LARGE - PAGES) / EXTENTS_LARGE;
    for (uint32_t i = 0; i < EXTENTS_LARGE; i++) {
        unsigned earlier;
        for (uint32_t page = 0; page + 50u < each; page += 50u) {
            must(site, site_write(site, volume, PAGES + i * each + page, 50));
        }
        must(site, site_snapshot(site, volume, &earlier));
    }
}

/* What is sealed anew goes through in a piece a range, several of them under way at once. */
static void cut_into_ranges(struct site *site, unsigned volume)
{
    for (uint32_t page = 4; page < PAGES / 2u; page += 5u) {
        must(site, site_discard(site, volume, page, 1));
    }
}

void scene_begin(struct stage *stage, const struct scene *scene, uint64_t seed, bool large,
                 bool tell)
{
    struct realm *realm = &stage->realm;
    uint32_t pages = large ? PAGES_LARGE : PAGES;
    memset(stage, 0, sizeof *stage);
    stage->scene = scene;
    realm_init(realm, seed, 2);
    realm->tell = tell;
    stage->from = &realm->sites[0];
    stage->to = &realm->sites[1];
    site_make(realm, 0, 0);
    site_make(realm, 1, scene->keyed ? 1 : 0);
    must(stage->from, site_volume_create(stage->from, pages, !scene->plain, 1, &stage->volume));
    must(stage->from, site_write(stage->from, stage->volume, 0, PAGES / 2u));
    if (scene->anew || scene->restored) {
        cut_into_ranges(stage->from, stage->volume);
    }
    if (scene->forked) {
        must(stage->from, site_close(stage->from));
        must(stage->to, site_close(stage->to));
        site_fork(stage->to, stage->from);
        must(stage->from, site_open(stage->from));
        must(stage->to, site_open(stage->to));
    }
    add_bystander(stage->to);
    if (scene->incremental) {
        bring_base(stage, scene);
    }
    if (large) {
        write_much(stage->from, stage->volume);
    }
    must(stage->from, site_snapshot(stage->from, stage->volume, &stage->snapshot));
    write_some(stage->from, stage->volume);
    stage->how.key = scene->plain ? SITE_OWN_KEY : scene->anew ? 2u : 3u;
    stage->how.flags = scene->anew ? COFFER_COPY_REENCRYPT : 0u;
    if (scene->restored) {
        stage->how.key = 2;
    }
    if (scene->within) {
        stage->to = stage->from;
        stage->how.volume = NAME;
    }
    if (scene->stopped) {
        stage->how.stop_at = 1;
        harness_require(site_copy(stage->from, stage->snapshot, stage->to, &stage->how, NULL) ==
                            SITE_STOPPED,
                        "the copy was not stopped");
        stage->how.stop_at = 0;
    }
    if (scene->written) {
        must(stage->from, site_volume_open(stage->from, stage->volume));
        stage->how.during = write_meanwhile;
        stage->how.ctx = stage;
    } else {
        must(stage->from, site_close_volumes(stage->from));
    }
    site_mark(stage->from);
    site_mark(stage->to);
}

int scene_copy(struct stage *stage, struct site *to, struct site_copy *how, unsigned *ret_copy)
{
    struct site *from = stage->from == stage->to ? to : stage->from;
    how = how != NULL ? how : &stage->how;
    if (stage->scene->restored) {
        return site_restore_as(to, stage->snapshot, how, ret_copy);
    }
    return site_copy(from, stage->snapshot, to, how, ret_copy);
}

unsigned scene_doubt(struct stage *stage, struct site *to)
{
    struct site *from = stage->from == stage->to ? to : stage->from;
    if (!stage->scene->restored) {
        return site_copy_doubtful(from, stage->snapshot, to, &stage->how);
    }
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (!to->holdings[i].used && strcmp(to->holdings[i].name, NAME) == 0) {
            to->holdings[i].used = true;
            return i;
        }
    }
    return SITE_NONE;
}

struct room scene_room(struct site *site)
{
    struct coffer_store_info info = {.size = sizeof info};
    must(site, coffer_store_checkpoint(site->store, &site->fault));
    must(site, coffer_store_info_get(site->store, &info));
    return (struct room){.live_bytes = info.live_bytes, .entries = info.volume_count};
}

void scene_check_room(struct site *site, const struct room *most, const char *when)
{
    struct room room = scene_room(site);
    harness_require(room.entries <= most->entries, "site %u: %u entries %s, not %u", site->index,
                    room.entries, when, most->entries);
    harness_require(room.live_bytes <= most->live_bytes + ROOM_PAGES * COFFER_PAGE_BYTES,
                    "site %u: %llu pages %s, not %llu", site->index,
                    (unsigned long long)room.live_bytes / COFFER_PAGE_BYTES, when,
                    (unsigned long long)most->live_bytes / COFFER_PAGE_BYTES);
}
