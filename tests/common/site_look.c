/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site_look.c - whether a site holds what it must, and nothing else; see site.h.
 */
#include "common/site.h"

#include "common/harness.h"

#include <stdio.h>
#include <string.h>

#define READ_PAGES 64u

static void keys_only(struct site *site, unsigned key)
{
    for (unsigned service = 0; service < SERVICES; service++) {
        struct fake_kms *kms = &site->realm->services[service];
        for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
            kms->keys[i].state =
                kms == site->kms && i == key ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED;
        }
    }
}

static void keys_all(struct site *site)
{
    for (unsigned service = 0; service < SERVICES; service++) {
        for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
            site->realm->services[service].keys[i].state = COFFER_KEY_ENABLED;
        }
    }
}

static int open_for_reading(struct site *site, const struct holding *holding,
                            struct coffer_volume **ret_volume)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = holding->name,
                                           .flags =
                                               COFFER_VOLUME_ALLOW_PLAIN | COFFER_VOLUME_READ_ONLY,
                                           .provider = &site->kms->api};
    return coffer_volume_open(site->store, &opts, ret_volume, &site->fault);
}

bool site_opens_by(struct site *site, const struct holding *holding, unsigned key)
{
    struct coffer_volume *volume;
    int error;
    keys_only(site, key);
    error = open_for_reading(site, holding, &volume);
    keys_all(site);
    if (error == 0) {
        must(site, coffer_volume_close(volume));
    }
    harness_require(error == 0 || coffer_error_class_of(error) == COFFER_CLASS_KEY,
                    "site %u: open of %s by key %u: %s", site->index, holding->name, key,
                    coffer_error_name(error));
    return error == 0;
}

enum site_presence site_probe(struct site *site, const struct holding *holding)
{
    struct coffer_snapshot_info info = {.size = sizeof info};
    struct coffer_volume *volume;
    char name[SITE_NAME_BYTES];
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = name, .provider = &site->kms->api};
    char *at;
    int error;
    snprintf(name, sizeof name, "%s", holding->name);
    at = strchr(name, '@');
    if (at == NULL) {
        error = holding->handle != NULL ? 0 : open_for_reading(site, holding, &volume);
        if (error == 0 && holding->handle == NULL) {
            must(site, coffer_volume_close(volume));
        }
        info.status = COFFER_SNAPSHOT_AVAILABLE;
    } else {
        *at = 0;
        opts.name = at + 1;
        error = coffer_snapshot_info_get(site->store, &opts, &info, &site->fault);
    }
    if (error == COFFER_E_NOT_FOUND) {
        return SITE_ABSENT;
    }
    site_must(site, error, holding->name);
    return info.status == COFFER_SNAPSHOT_FAILED ? SITE_COPYING : SITE_WHOLE;
}

static int compare(struct site *site, const struct holding *holding, struct coffer_volume *volume)
{
    static uint8_t bytes[READ_PAGES * COFFER_PAGE_BYTES];
    for (uint32_t page = 0; page < holding->pages; page += READ_PAGES) {
        uint32_t count = holding->pages - page < READ_PAGES ? holding->pages - page : READ_PAGES;
        int error = coffer_volume_read(volume, bytes, (uint64_t)page * COFFER_PAGE_BYTES,
                                       (size_t)count * COFFER_PAGE_BYTES, &site->fault);
        if (error != 0) {
            return error;
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t found = site_page_version(bytes + (size_t)i * COFFER_PAGE_BYTES);
            harness_require(found == holding->versions[page + i],
                            "site %u: %s page %u shows version %u, not %u", site->index,
                            holding->name, page + i, found, holding->versions[page + i]);
        }
    }
    return 0;
}

static void check_info(struct site *site, const struct holding *holding,
                       struct coffer_volume *volume)
{
    struct coffer_volume_info info = {.size = sizeof info};
    char arn[COFFER_KEY_ARN_BYTES_MAX] = "";
    uint64_t mapped = 0;
    must(site, coffer_volume_info_get(volume, &info));
    for (uint32_t page = 0; page < holding->pages; page++) {
        mapped += holding->versions[page] != 0 ? COFFER_PAGE_BYTES : 0;
    }
    if (holding->encrypted) {
        fake_kms_arn(holding->key, arn);
    }
    harness_require(info.size_bytes == (uint64_t)holding->pages * COFFER_PAGE_BYTES,
                    "site %u: %s has %llu bytes", site->index, holding->name,
                    (unsigned long long)info.size_bytes);
    harness_require(!holding->snapshot || info.mapped_bytes == mapped,
                    "site %u: %s says %llu mapped bytes, not %llu", site->index, holding->name,
                    (unsigned long long)info.mapped_bytes, (unsigned long long)mapped);
    harness_require(strcmp(info.key_arn, arn) == 0 && (info.encrypted != 0) == holding->encrypted,
                    "site %u: %s is under \"%s\", not \"%s\"", site->index, holding->name,
                    info.key_arn, arn);
}

int site_look_one(struct site *site, unsigned at, bool own_key_alone)
{
    const struct holding *holding = &site->holdings[at];
    struct coffer_volume *volume = holding->handle;
    int error = 0, close_error = 0;
    if (volume == NULL) {
        if (own_key_alone && !holding->copying) {
            keys_only(site, holding->key);
        }
        error = open_for_reading(site, holding, &volume);
        keys_all(site);
    }
    if (holding->copying) {
        harness_require(error == COFFER_E_BUSY, "site %u: %s, half there, opens: %s", site->index,
                        holding->name, coffer_error_name(error));
        return 0;
    }
    if (error != 0) {
        return error;
    }
    check_info(site, holding, volume);
    error = compare(site, holding, volume);
    if (holding->handle == NULL) {
        close_error = coffer_volume_close(volume);
    }
    return error != 0 ? error : close_error;
}

/* ---- nothing else ---- */

struct listing {
    struct site *site;
    unsigned count;
};

static int on_snapshot(void *ctx, const struct coffer_snapshot_info *info)
{
    struct listing *listing = ctx;
    char full[2 * COFFER_NAME_BYTES_MAX];
    unsigned at;
    snprintf(full, sizeof full, "%s@%s", info->volume, info->name);
    at = site_find(listing->site, full);
    harness_require(info->name_known && at != SITE_NONE, "site %u: the list has \"%s\"",
                    listing->site->index, full);
    harness_require(
        (info->status == COFFER_SNAPSHOT_FAILED) == listing->site->holdings[at].copying,
        "site %u: the list says %d of %s", listing->site->index, (int)info->status, full);
    listing->count++;
    return 0;
}

static int on_volume(void *ctx, const struct coffer_volume_info *info)
{
    struct listing *listing = ctx;
    harness_require(info->name_known && site_find(listing->site, info->name) != SITE_NONE,
                    "site %u: the list has \"%s\"", listing->site->index, info->name);
    listing->count++;
    return 0;
}

static void look_at_lists(struct site *site)
{
    struct listing listing = {site, 0};
    unsigned held = 0;
    must(site, coffer_snapshot_list(site->store, NULL, &site->kms->api, on_snapshot, &listing,
                                    &site->fault));
    must(site, coffer_volume_list(site->store, &site->kms->api, on_volume, &listing, &site->fault));
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        held += site->holdings[i].used ? 1u : 0u;
    }
    harness_require(listing.count == held, "site %u: the lists have %u of %u", site->index,
                    listing.count, held);
}

void site_look(struct site *site)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (site->holdings[i].used) {
            site_must(site, site_look_one(site, i, true), site->holdings[i].name);
        }
    }
    look_at_lists(site);
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    const struct site *site = ctx;
    harness_fail("site %u: check: %s: %s", site->index, finding->volume, finding->text);
    return 1;
}

void site_check(struct site *site, unsigned flags)
{
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = flags,
                                     .provider = &site->kms->api,
                                     .on_finding = on_finding,
                                     .ctx = site};
    struct coffer_check_summary summary;
    must(site, site_close_volumes(site));
    must(site, coffer_store_check(site->store, &opts, &summary, &site->fault));
    harness_require(summary.findings == 0 && summary.volumes == summary.volumes_opened,
                    "site %u: check: %llu findings, %llu of %llu volumes opened", site->index,
                    (unsigned long long)summary.findings,
                    (unsigned long long)summary.volumes_opened,
                    (unsigned long long)summary.volumes);
}

void site_delete_all(struct site *site)
{
    struct coffer_store_info info = {.size = sizeof info};
    unsigned turn = realm_pick(site->realm, SITE_HOLDINGS_MAX);
    for (unsigned i = 0; i < 2u * SITE_HOLDINGS_MAX; i++) {
        unsigned at = (turn + i * 7u) % SITE_HOLDINGS_MAX; /* in some order */
        bool first = i < SITE_HOLDINGS_MAX;                /* interrupted copies hinder others */
        if (site->holdings[at].used && (site->holdings[at].copying || !first)) {
            must(site, site_delete(site, at));
        }
    }
    must(site, coffer_store_checkpoint(site->store, &site->fault));
    must(site, coffer_store_info_get(site->store, &info));
    harness_require(info.live_bytes <= SITE_EMPTY_PAGES_MAX * COFFER_PAGE_BYTES,
                    "site %u: emptied, it holds %llu live bytes", site->index,
                    (unsigned long long)info.live_bytes);
    harness_require(info.volume_count == 0, "site %u: emptied, it has %u volumes", site->index,
                    info.volume_count);
}
