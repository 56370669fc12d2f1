/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site.c - stores that are made, forked, put back, cut; see site.h.
 */
#include "common/site.h"

#include "common/cleaning.h"
#include "common/harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void realm_tell(const struct realm *realm, const char *format, ...)
{
    va_list args;
    if (!realm->tell) {
        return;
    }
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

uint32_t realm_pick(struct realm *realm, uint32_t bound)
{
    return prng_below(&realm->prng, bound);
}

void site_must(const struct site *site, int error, const char *what)
{
    harness_require(error == 0, "site %u: %s: %s: %s", site->index, what, coffer_error_name(error),
                    site->fault.error == error ? site->fault.detail : "");
}

void realm_init(struct realm *realm, uint64_t seed, unsigned site_count)
{
    memset(realm, 0, sizeof *realm);
    realm->seed = seed;
    realm->site_count = site_count;
    realm->prng.state = prng_mix(seed, 0x7265616cu);
    for (unsigned i = 0; i < SERVICES; i++) {
        fake_kms_init(&realm->services[i], prng_mix(seed, 0x736572u + i));
        realm->others[i] = realm->services[i].api;
        fake_kms_blind_init(&realm->blind[i], &realm->services[i]);
    }
}

void realm_done(struct realm *realm)
{
    for (unsigned i = 0; i < realm->site_count; i++) {
        site_done(&realm->sites[i]);
    }
}

/* ---- stores ---- */

static void site_init(struct site *site, struct realm *realm, unsigned index)
{
    memset(site, 0, sizeof *site);
    site->realm = realm;
    site->index = index;
    det_env_init(&site->env, realm->seed, ++realm->incarnations);
}

static struct sim_disk_options disk_options(struct site *site)
{
    struct sim_disk_options options = {
        .seed = prng_mix(site->realm->seed, ++site->realm->incarnations), .record = true};
    return options;
}

void site_make(struct realm *realm, unsigned index, unsigned service)
{
    struct site *site = &realm->sites[index];
    struct coffer_store_create_opts opts = {.size = sizeof opts,
                                            .segment_bytes = SITE_SEGMENT_BYTES};
    struct sim_disk_options options;
    uint32_t segments;
    site_init(site, realm, index);
    site->kms = &realm->services[service];
    options = disk_options(site);
    segments = realm->tight ? SITE_TIGHT_SEGMENTS : SITE_SEGMENTS;
    site->disk = sim_disk_new(SITE_SEGMENT_BYTES, segments, segments, &options);
    opts.device = sim_disk_open(site->disk);
    opts.env = &site->env.api;
    must(site, coffer_store_create(&opts, &site->fault));
    must(site, site_open(site));
    if (realm->tight) {
        site_tighten(site);
    }
}

int site_open(struct site *site)
{
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .device = sim_disk_open(site->disk),
                                     .env = &site->env.api,
                                     .staging_bytes = 1u << 20,
                                     .node_cache_bytes = 1u << 18,
                                     .tag_cache_bytes = 1u << 18,
                                     .placement_bytes = 1u << 18,
                                     .key_arena_bytes = 1u << 16};
    int error;
    det_env_incarnate(&site->env, site->realm->seed, ++site->realm->incarnations);
    error = coffer_store_open(&opts, &site->store, &site->fault);
    realm_tell(site->realm, "%u: open: %s", site->index, coffer_error_name(error));
    return error;
}

int site_close_volumes(struct site *site)
{
    int error = 0;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (site->holdings[i].handle != NULL) {
            int close_error = site_volume_close(site, i);
            error = error != 0 ? error : close_error;
        }
    }
    return error;
}

int site_close(struct site *site)
{
    int error = site->store == NULL ? 0 : site_close_volumes(site);
    int close_error;
    cleaning_note(site->store);
    close_error = coffer_store_close(site->store);
    site->store = NULL;
    realm_tell(site->realm, "%u: close: %s", site->index, coffer_error_name(close_error));
    if (error == 0 && close_error == 0) {
        site->pending_count = 0;
    }
    return error != 0 ? error : close_error;
}

static void forget_kept(struct site *site)
{
    if (site->kept != NULL) {
        sim_image_free(site->kept);
        free(site->kept_holdings);
        site->kept = NULL;
        site->kept_holdings = NULL;
    }
}

void site_done(struct site *site)
{
    if (site->disk == NULL) {
        return;
    }
    if (site->store != NULL) {
        (void)site_close(site);
    }
    forget_kept(site);
    data_keys_forget(&site->leaving);
    sim_disk_free(site->disk);
    site->disk = NULL;
    det_env_check_leaks(&site->env);
}

static void replace_disk(struct site *site, const struct sim_image *image)
{
    struct sim_disk_options options = disk_options(site);
    struct sim_disk *disk = sim_disk_from_image(image, &options);
    sim_disk_free(site->disk);
    site->disk = disk;
}

void site_fork(struct site *site, const struct site *from)
{
    struct sim_image *image = sim_disk_image_live(from->disk);
    harness_require(from->store == NULL && site->store == NULL, "site: fork of an open store");
    replace_disk(site, image);
    sim_image_free(image);
    forget_kept(site);
    memcpy(site->holdings, from->holdings, sizeof site->holdings);
    memcpy(site->ballast, from->ballast, sizeof site->ballast);
    site->kms = from->kms;
}

void site_keep(struct site *site)
{
    forget_kept(site);
    harness_require(site->store == NULL, "site: keep of an open store");
    site->kept = sim_disk_image_live(site->disk);
    site->kept_holdings = malloc(sizeof site->holdings);
    if (site->kept_holdings == NULL) {
        abort();
    }
    memcpy(site->kept_holdings, site->holdings, sizeof site->holdings);
}

void site_put_back(struct site *site)
{
    harness_require(site->kept != NULL, "site: nothing was kept");
    must(site, site_close(site));
    replace_disk(site, site->kept);
    memcpy(site->holdings, site->kept_holdings, sizeof site->holdings);
    forget_kept(site);
    must(site, site_open(site));
}

void site_on_image(struct site *site, struct site *from, const struct sim_image *image)
{
    struct sim_disk_options options;
    site_init(site, from->realm, from->index);
    options = disk_options(site);
    site->kms = from->kms;
    site->disk = sim_disk_from_image(image, &options);
    memcpy(site->holdings, from->holdings, sizeof site->holdings);
    memcpy(site->marked, from->marked, sizeof site->marked);
    memcpy(site->ballast, from->ballast, sizeof site->ballast);
    memcpy(site->pending, from->pending, sizeof site->pending);
    site->pending_count = from->pending_count;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        site->holdings[i].handle = NULL;
        site->marked[i].handle = NULL;
    }
}

/* ---- cuts ---- */

void site_mark(struct site *site)
{
    must(site, site_flush(site));
    memcpy(site->marked, site->holdings, sizeof site->marked);
    site->marked_event = sim_disk_events(site->disk);
}

static bool may_show(const struct site *site, const struct site_pending *at, uint32_t version)
{
    bool first = true;
    for (unsigned i = 0; i < site->pending_count; i++) {
        const struct site_pending *other = &site->pending[i];
        if (other->holding == at->holding && other->page == at->page) {
            if (other->version == version || (first && other->before == version)) {
                return true;
            }
            first = false;
        }
    }
    return false;
}

/* Pages that were written since are in doubt: each shows one of its versions. */
static void settle_pages(struct site *site)
{
    uint8_t page[COFFER_PAGE_BYTES];
    for (unsigned i = 0; i < site->pending_count; i++) {
        const struct site_pending *pending = &site->pending[i];
        struct holding *holding = &site->holdings[pending->holding];
        uint32_t found;
        must(site, site_volume_open(site, pending->holding));
        must(site,
             coffer_volume_read(holding->handle, page, (uint64_t)pending->page * COFFER_PAGE_BYTES,
                                COFFER_PAGE_BYTES, &site->fault));
        found = site_page_version(page);
        harness_require(may_show(site, pending, found),
                        "site %u: %s page %u shows version %u after the cut", site->index,
                        holding->name, pending->page, found);
        holding->versions[pending->page] = found;
    }
    site->pending_count = 0;
}

/* A half copy may have begun anew meanwhile. */
static bool same_state(const struct holding *a, const struct holding *b)
{
    return a->used == b->used &&
           (!a->used || (!a->copying && !b->copying && a->key == b->key &&
                         a->recipients == b->recipients && strcmp(a->name, b->name) == 0));
}

/* A rekey, or a change of recipients, happened or did not. */
static void settle_keys(struct site *site, struct holding *now, const struct holding *before)
{
    if (now->key != before->key && site_opens_by(site, now, before->key)) {
        now->key = before->key;
    }
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        unsigned bit = 1u << key;
        if (((now->recipients ^ before->recipients) & bit) != 0) {
            now->recipients =
                site_opens_by(site, now, key) ? now->recipients | bit : now->recipients & ~bit;
        }
    }
}

static void settle_holding(struct site *site, unsigned at, bool done)
{
    static const char *const names[] = {"absent", "whole", "half there"};
    struct holding *now = &site->holdings[at];
    const struct holding *before = &site->marked[at];
    const struct holding *either = now->used ? now : before;
    enum site_presence found, wanted;
    if (same_state(now, before)) {
        return;
    }
    found = site_probe(site, either);
    wanted = !now->used ? SITE_ABSENT : now->copying ? SITE_COPYING : SITE_WHOLE;
    harness_require(!done || found == wanted, "site %u: %s was acknowledged as %s, yet is %s",
                    site->index, either->name, names[wanted], names[found]);
    harness_require(found != SITE_ABSENT || !now->used || !before->used || before->copying,
                    "site %u: %s is gone", site->index, either->name);
    harness_require(found != SITE_COPYING || either->copyable, "site %u: %s is half there",
                    site->index, either->name);
    if (found == SITE_ABSENT) {
        now->used = false;
        return;
    }
    if (!now->used) {
        *now = *before;
    } else if (before->used && !before->copying && !done) {
        settle_keys(site, now, before);
    }
    now->copying = found == SITE_COPYING;
}

void site_settle(struct site *site, bool done)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        settle_holding(site, i, done);
    }
    settle_pages(site);
}

void site_cut(struct site *site, uint64_t event, enum sim_variant variant, uint64_t seed)
{
    bool done = event == sim_disk_events(site->disk);
    struct sim_image *image = sim_disk_image_at(site->disk, event, variant, seed);
    realm_tell(site->realm, "%u: cut at %llu of %llu to %llu, %s", site->index,
               (unsigned long long)event, (unsigned long long)site->marked_event,
               (unsigned long long)sim_disk_events(site->disk), sim_variant_name(variant));
    cleaning_note(site->store);
    sim_disk_power_off(site->disk);
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        (void)coffer_volume_close(site->holdings[i].handle);
        site->holdings[i].handle = NULL;
        site->marked[i].handle = NULL;
    }
    (void)coffer_store_close(site->store);
    site->store = NULL;
    det_env_check_leaks(&site->env);
    replace_disk(site, image);
    sim_image_free(image);
    must(site, site_open(site));
    site_settle(site, done);
}
