/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site_volume.c - volumes of a site and what is written to them; see site.h.
 *
 * A page of version v begins with v, and every word of it follows from v: it shows where it came
 * from in whatever store it turns up. Version 0 is zeros.
 */
#include "common/site.h"

#include "common/harness.h"

#include <stdio.h>
#include <string.h>

#define WRITE_PAGES_MAX 64u

static void fill_page(uint8_t *page, uint32_t version)
{
    uint64_t word = version;
    for (unsigned i = 0; i < COFFER_PAGE_BYTES; i += 8) {
        memcpy(page + i, &word, 8);
        word = version == 0 ? 0 : word * UINT64_C(0x9E3779B97F4A7C15) + version;
    }
}

uint32_t site_page_version(const uint8_t *page)
{
    uint8_t wanted[COFFER_PAGE_BYTES];
    uint64_t word;
    memcpy(&word, page, 8);
    fill_page(wanted, (uint32_t)word);
    harness_require(word <= UINT32_MAX && memcmp(page, wanted, sizeof wanted) == 0,
                    "a page shows what was never written (%016llx)", (unsigned long long)word);
    return (uint32_t)word;
}

unsigned site_find(const struct site *site, const char *name)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (site->holdings[i].used && strcmp(site->holdings[i].name, name) == 0) {
            return i;
        }
    }
    return SITE_NONE;
}

unsigned site_free_holding(const struct site *site)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (!site->holdings[i].used && !site->marked[i].used) {
            return i;
        }
    }
    return SITE_NONE;
}

int site_volume_create(struct site *site, uint32_t pages, bool encrypted, unsigned key,
                       unsigned *ret_holding)
{
    unsigned at = site_free_holding(site);
    struct holding *holding = &site->holdings[at];
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = holding->name,
                                             .size_bytes = (uint64_t)pages * COFFER_PAGE_BYTES,
                                             .not_encrypted = encrypted ? 0 : 1,
                                             .kms_key_id = encrypted ? arn : NULL,
                                             .provider = &site->kms->api};
    int error;
    harness_require(at != SITE_NONE, "site: no holding is free");
    memset(holding, 0, sizeof *holding);
    snprintf(holding->name, sizeof holding->name, "v%llu",
             (unsigned long long)++site->realm->labels);
    holding->encrypted = encrypted;
    holding->pages = pages;
    holding->key = key;
    holding->family = ++site->realm->families;
    fake_kms_arn(key, arn);
    error = coffer_volume_create(site->store, &opts, &site->fault);
    realm_tell(site->realm, "%u: create %s of %u pages%s under %u: %s", site->index, holding->name,
               pages, encrypted ? "" : ", unencrypted", key, coffer_error_name(error));
    holding->used = error == 0;
    *ret_holding = at;
    return error;
}

int site_volume_open(struct site *site, unsigned at)
{
    struct holding *holding = &site->holdings[at];
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = holding->name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &site->kms->api};
    int error;
    if (holding->handle != NULL) {
        return 0;
    }
    error = coffer_volume_open(site->store, &opts, &holding->handle, &site->fault);
    realm_tell(site->realm, "%u: open %s: %s", site->index, holding->name,
               coffer_error_name(error));
    return error;
}

static void drop_pending(struct site *site, unsigned at)
{
    unsigned left = 0;
    for (unsigned i = 0; i < site->pending_count; i++) {
        if (site->pending[i].holding != at) {
            site->pending[left++] = site->pending[i];
        }
    }
    site->pending_count = left;
}

int site_volume_close(struct site *site, unsigned at)
{
    struct holding *holding = &site->holdings[at];
    int error = coffer_volume_close(holding->handle);
    realm_tell(site->realm, "%u: close %s: %s", site->index, holding->name,
               coffer_error_name(error));
    holding->handle = NULL;
    if (error == 0) {
        drop_pending(site, at);
    }
    return error;
}

/* The page is to show the version from now on, whatever comes of the call. */
static void note(struct site *site, unsigned at, uint32_t page, uint32_t version)
{
    struct holding *holding = &site->holdings[at];
    struct site_pending *pending = &site->pending[site->pending_count++];
    harness_require(site->pending_count <= SITE_PENDING_MAX, "site: too much is pending");
    pending->holding = at;
    pending->page = page;
    pending->before = holding->versions[page];
    pending->version = version;
    holding->versions[page] = version;
}

static int make_ready(struct site *site, unsigned at, uint32_t count)
{
    int error = site_volume_open(site, at);
    if (error == 0 && site->pending_count + count > SITE_PENDING_MAX) {
        error = site_flush(site);
    }
    return error;
}

int site_write(struct site *site, unsigned at, uint32_t page, uint32_t count)
{
    static uint8_t bytes[WRITE_PAGES_MAX * COFFER_PAGE_BYTES];
    int error = make_ready(site, at, count);
    if (error != 0) {
        return error;
    }
    harness_require(count <= WRITE_PAGES_MAX, "site: so much is not written at once");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t version = ++site->realm->versions;
        fill_page(bytes + (size_t)i * COFFER_PAGE_BYTES, version);
        note(site, at, page + i, version);
    }
    error =
        coffer_volume_write(site->holdings[at].handle, bytes, (uint64_t)page * COFFER_PAGE_BYTES,
                            (size_t)count * COFFER_PAGE_BYTES, 0, &site->fault);
    realm_tell(site->realm, "%u: write %s %u+%u version %u..: %s", site->index,
               site->holdings[at].name, page, count, site->realm->versions - count + 1u,
               coffer_error_name(error));
    return error == 0 && site->realm->tight && !site->squeezing ? site_squeeze(site) : error;
}

int site_discard(struct site *site, unsigned at, uint32_t page, uint32_t count)
{
    int error = make_ready(site, at, count);
    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < count; i++) {
        note(site, at, page + i, 0);
    }
    error = coffer_volume_discard(site->holdings[at].handle, (uint64_t)page * COFFER_PAGE_BYTES,
                                  (uint64_t)count * COFFER_PAGE_BYTES, &site->fault);
    realm_tell(site->realm, "%u: discard %s %u+%u: %s", site->index, site->holdings[at].name, page,
               count, coffer_error_name(error));
    return error;
}

/* A volume that is closed has nothing that waits. */
int site_flush(struct site *site)
{
    int error = 0;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX && error == 0; i++) {
        if (site->holdings[i].handle != NULL) {
            error = coffer_volume_flush(site->holdings[i].handle, &site->fault);
            break;
        }
    }
    if (error == 0) {
        site->pending_count = 0;
    }
    return error;
}
