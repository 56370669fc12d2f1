/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/flipbytes/copies.c - see copies.h.
 */
#include "crash/flipbytes/copies.h"

#include "common/harness.h"
#include "common/site.h"
#include "format/catalogue_format.h"

#include <string.h>

#define PAGES 24u

static struct realm realm;
static struct site damaged;

/* The destination of the copies. */
static struct site *destination(void)
{
    return &realm.sites[1];
}

static void copy_all(void)
{
    struct site *from = &realm.sites[0], *to = destination();
    struct site_copy whole = {.key = 2}, stopped = {.key = 3, .stop_at = 1};
    unsigned volume, snapshot, copy, clone;
    must(from, site_volume_create(from, PAGES, true, 1, &volume));
    must(from, site_write(from, volume, 0, 8));
    must(from, site_snapshot(from, volume, &snapshot));
    must(to, site_copy(from, snapshot, to, &whole, &copy));
    must(to, site_restore(to, copy, SITE_OWN_KEY, &clone));
    must(to, site_write(to, clone, 2, 2));
    must(from, site_write(from, volume, 4, 4));
    must(from, site_snapshot(from, volume, &snapshot));
    must(to, site_copy(from, snapshot, to, &whole, NULL));
    must(from, site_volume_create(from, PAGES, true, 1, &volume));
    must(from, site_write(from, volume, 0, 12));
    must(from, site_snapshot(from, volume, &snapshot));
    harness_require(site_copy(from, snapshot, to, &stopped, NULL) == SITE_STOPPED,
                    "copies: the copy did not stop");
    must(from, site_close(from));
    must(to, site_close(to));
}

/* ---- what it holds ---- */

struct held {
    const struct sim_image *image;
    unsigned imported, lineages, verbatim, copying;
};

static void visit_catalogue(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct held *held = ctx;
    struct cof_volume_entry entry;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES];
    if (key == 0) {
        held->lineages++;
    } else if ((key & 1023u) == COF_CATALOGUE_ENTRY_PART) {
        forge_read(held->image, record->segment, record->block, 0, bytes, sizeof bytes);
        harness_require(cof_volume_entry_decode(bytes, &entry) == 0, "copies: a bad entry");
        held->verbatim += entry.verbatim && entry.kind == COF_KIND_SNAPSHOT ? 1u : 0u;
        held->copying += entry.kind == COF_KIND_COPYING ? 1u : 0u;
    }
}

static void require_all(const struct sim_image *image, const struct forge_map *map)
{
    struct held held = {.image = image};
    for (unsigned i = 0; i < map->batch_count; i++) {
        for (unsigned r = 0; r < map->batches[i].header.runs; r++) {
            struct cof_run run;
            unsigned page;
            forge_run(image, &map->batches[i], r, &run, &page);
            held.imported +=
                run.volume == COF_VOLUME_TAG_RAW && run.extent >> 56 == COF_RAW_IMPORT ? 1u : 0u;
        }
    }
    forge_tree_records(image, &map->root.catalogue, visit_catalogue, &held);
    harness_require(held.imported > 0, "copies: the store holds no imported run");
    harness_require(held.lineages > 0, "copies: the store holds no list of lineages");
    harness_require(held.verbatim > 1, "copies: the store holds %u verbatim entries",
                    held.verbatim);
    harness_require(held.copying > 0, "copies: the store holds no copy on its way");
}

void copies_make(struct sim_image **ret_image, struct forge_map *map)
{
    realm_init(&realm, 5, 2);
    site_make(&realm, 0, 0);
    site_make(&realm, 1, 0);
    copy_all();
    *ret_image = sim_disk_image_live(destination()->disk);
    forge_map_init(map, *ret_image);
    require_all(*ret_image, map);
}

/* ---- judging ---- */

/* The errors of world_says_damage. */
static bool says_damage(int error, bool forged)
{
    enum coffer_error_class cls = coffer_error_class_of(error);
    return cls == COFFER_CLASS_CORRUPT || cls == COFFER_CLASS_TAMPER ||
           cls == COFFER_CLASS_FORMAT || cls == COFFER_CLASS_KEY ||
           (forged && (cls == COFFER_CLASS_ABSENT || cls == COFFER_CLASS_FULL));
}

static uint64_t read_pages(const struct holding *holding, struct coffer_volume *volume, bool forged)
{
    struct coffer_volume_info info = {.size = sizeof info};
    uint8_t page[COFFER_PAGE_BYTES];
    uint64_t refused = 0;
    must(&damaged, coffer_volume_info_get(volume, &info));
    harness_require(info.size_bytes == (uint64_t)holding->pages * COFFER_PAGE_BYTES,
                    "%s has another size", holding->name);
    for (uint32_t i = 0; i < holding->pages; i++) {
        int error = coffer_volume_read(volume, page, (uint64_t)i * COFFER_PAGE_BYTES,
                                       COFFER_PAGE_BYTES, &damaged.fault);
        harness_require(error == 0 || says_damage(error, forged), "read of a damaged store: %s: %s",
                        coffer_error_name(error), damaged.fault.detail);
        harness_require(error != 0 || site_page_version(page) == holding->versions[i],
                        "wrong data: %s page %u", holding->name, i);
        refused += error != 0 ? 1u : 0u;
    }
    return refused;
}

static uint64_t look(const struct holding *holding, bool forged)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = holding->name,
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &damaged.kms->api};
    struct coffer_volume *volume;
    uint64_t refused;
    int error = coffer_volume_open(damaged.store, &opts, &volume, &damaged.fault);
    if ((holding->copying || forged) && error == COFFER_E_BUSY) {
        return holding->copying ? 0 : 1; /* whether a copy is whole stands in clear */
    }
    harness_require(error == 0 || says_damage(error, forged), "open of %s, damaged: %s: %s",
                    holding->name, coffer_error_name(error), damaged.fault.detail);
    if (error != 0) {
        return 1;
    }
    harness_require(!holding->copying || forged, "%s opens, and is not whole", holding->name);
    refused = read_pages(holding, volume, forged);
    must(&damaged, coffer_volume_close(volume));
    return refused;
}

int copies_judge(const struct sim_image *image, bool forged, uint64_t *ret_refused)
{
    int error;
    site_on_image(&damaged, destination(), image);
    error = site_open(&damaged);
    *ret_refused = error != 0 ? 1u : 0u;
    harness_require(error == 0 || says_damage(error, forged), "open of a damaged store: %s: %s",
                    coffer_error_name(error), damaged.fault.detail);
    for (unsigned i = 0; error == 0 && i < SITE_HOLDINGS_MAX; i++) {
        if (damaged.holdings[i].used) {
            *ret_refused += look(&damaged.holdings[i], forged);
        }
    }
    (void)site_close(&damaged);
    site_done(&damaged);
    return error;
}
