/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/damage.c - a byte of the source's medium is changed, then a snapshot is copied.
 *
 * Either the copy is refused with an error, and nothing of it is left; or it is made, and each of
 * its pages shows what it must or gives an error. Half of the changes have their checksums put
 * right, as an attacker would: then no checksum tells, and tags must.
 */
#include "common/disk_forge.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "scene.h"

struct change {
    const struct scene *scene;
    const struct sim_image *source, *destination;
    const struct forge_map *map;
    uint32_t segment, block;
    bool forged;
};

static struct stage stage;
static struct site from, to;

static bool says_damage(int error)
{
    enum coffer_error_class cls = coffer_error_class_of(error);
    return cls == COFFER_CLASS_CORRUPT || cls == COFFER_CLASS_TAMPER ||
           cls == COFFER_CLASS_FORMAT || cls == COFFER_CLASS_KEY || cls == COFFER_CLASS_IO ||
           cls == COFFER_CLASS_ABSENT;
}

/* Each page alone: right, or an error that says damage. */
static uint64_t read_pages(struct site *site, const struct holding *holding)
{
    uint8_t page[COFFER_PAGE_BYTES];
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = holding->name,
                                           .flags =
                                               COFFER_VOLUME_ALLOW_PLAIN | COFFER_VOLUME_READ_ONLY,
                                           .provider = &site->kms->api};
    struct coffer_volume *volume;
    uint64_t bad = 0;
    int error = coffer_volume_open(site->store, &opts, &volume, &site->fault);
    harness_require(error == 0 || says_damage(error), "open of a damaged copy: %s",
                    coffer_error_name(error));
    if (error != 0) {
        return 1;
    }
    for (uint32_t i = 0; i < holding->pages; i++) {
        error = coffer_volume_read(volume, page, (uint64_t)i * COFFER_PAGE_BYTES, COFFER_PAGE_BYTES,
                                   &site->fault);
        harness_require(error == 0 || says_damage(error), "read of a damaged copy: %s",
                        coffer_error_name(error));
        harness_require(error != 0 || site_page_version(page) == holding->versions[i],
                        "page %u of a copy of a damaged source is silently wrong", i);
        bad += error != 0 ? 1u : 0u;
    }
    must(site, coffer_volume_close(volume));
    return bad;
}

static void copy_damaged(const struct change *change)
{
    struct site_copy how = stage.how;
    unsigned copy;
    int error;
    how.during = NULL;
    error = site_copy(&from, stage.snapshot, &to, &how, &copy);
    harness_require(error == 0 || says_damage(error) ||
                        (error == COFFER_E_EXISTS && change->forged), /* it seems another one */
                    "a copy of a damaged source: %s", coffer_error_name(error));
    if (error == 0) {
        uint64_t bad = read_pages(&to, &to.holdings[copy]);
        copies_counts.reported += bad > 0 ? 1u : 0u;
        copies_counts.harmless += bad == 0 ? 1u : 0u;
        return;
    }
    copies_counts.taken_back++;
    if (change->scene->stopped) { /* what was there of it before goes with it */
        copy = site_copy_doubtful(&from, stage.snapshot, &to, &how);
        site_settle(&to, false);
        harness_require(!to.holdings[copy].used || to.holdings[copy].copying,
                        "a copy failed, and is whole");
    }
    site_look(&to);
    site_check(&to, 0);
}

static void one_change(void *ctx)
{
    const struct change *change = ctx;
    struct sim_image *image = sim_image_clone(change->source);
    uint64_t drawn = prng_mix(campaign.seed, ((uint64_t)change->segment << 32) + change->block);
    uint32_t offset = (uint32_t)(drawn % COFFER_BLOCK_BYTES);
    uint8_t byte = sim_image_bytes(image, change->segment, change->block)[offset];
    int error;
    harness_context("copies --scene %s --seed %llu --only damage (segment %u block %u offset %u%s)",
                    change->scene->name, (unsigned long long)campaign.seed, change->segment,
                    change->block, offset, change->forged ? ", forged" : "");
    harness_watch(30);
    byte ^= (uint8_t)(1u << (drawn >> 32) % 8u);
    sim_image_poke(image, change->segment, change->block, offset, &byte, 1);
    if (change->forged) {
        forge_fix_all(image, change->map);
    }
    site_on_image(&from, stage.from, image);
    site_on_image(&to, stage.to, change->destination);
    sim_image_free(image);
    must(&to, site_open(&to));
    error = site_open(&from);
    harness_require(error == 0 || says_damage(error), "open of a damaged store: %s",
                    coffer_error_name(error));
    copies_counts.damaged++;
    if (error == 0) {
        copy_damaged(change);
    } else {
        copies_counts.refused++;
    }
    (void)site_close(&from);
    site_done(&from);
    site_done(&to);
    recorder_check();
}

static void spoil_all(struct change *change)
{
    uint32_t blocks = sim_image_blocks(change->source, 0);
    uint32_t segments = sim_image_segment_count(change->source);
    for (uint32_t s = 0; s < segments; s++) {
        for (uint32_t b = 0; b < blocks && campaign_wants(change->scene); b++) {
            if (sim_image_block(change->source, s, b) == NULL) {
                continue;
            }
            change->segment = s;
            change->block = b;
            for (unsigned forged = 0; forged < 2; forged++) {
                change->forged = forged == 1;
                (void)harness_run(one_change, change);
            }
        }
    }
}

void spoil_scene(void *ctx)
{
    struct change change = {.scene = ctx};
    struct sim_image *source, *destination;
    struct forge_map map;
    if (change.scene->within) {
        return; /* what else the store holds is damaged, too: crash/flipbytes */
    }
    recorder_reset();
    harness_context("copies --scene %s --seed %llu --only damage", change.scene->name,
                    (unsigned long long)campaign.seed);
    scene_begin(&stage, change.scene, campaign.seed, false, campaign.tell);
    must(stage.from, site_close(stage.from));
    must(stage.to, site_close(stage.to));
    source = sim_disk_image_live(stage.from->disk);
    destination = sim_disk_image_live(stage.to->disk);
    forge_map_init(&map, source);
    change.source = source;
    change.destination = destination;
    change.map = &map;
    spoil_all(&change);
    forge_map_done(&map);
    sim_image_free(source);
    sim_image_free(destination);
    realm_done(&stage.realm);
}
