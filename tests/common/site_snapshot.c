/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site_snapshot.c - snapshots, volumes made from them, copies, changes of keys; see site.h.
 */
#include "common/site.h"

#include "common/harness.h"

#include <stdio.h>
#include <string.h>

struct halves {
    char volume[SITE_NAME_BYTES];
    const char *name;
};

static void split(const char *full, struct halves *halves)
{
    const char *at = strchr(full, '@');
    harness_require(at != NULL, "site: %s is no snapshot", full);
    snprintf(halves->volume, sizeof halves->volume, "%.*s", (int)(at - full), full);
    halves->name = at + 1;
}

/* A new holding with the other's content. */
static unsigned like(struct site *site, const struct holding *other)
{
    unsigned at = site_free_holding(site);
    harness_require(at != SITE_NONE, "site: no holding is free");
    site->holdings[at] = *other;
    site->holdings[at].used = false;
    site->holdings[at].handle = NULL;
    site->holdings[at].recipients = 0;
    site->holdings[at].copying = false;
    site->holdings[at].copyable = false;
    return at;
}

int site_snapshot(struct site *site, unsigned volume, unsigned *ret_holding)
{
    unsigned at = like(site, &site->holdings[volume]);
    struct holding *holding = &site->holdings[at];
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .provider = &site->kms->api};
    int error = site_volume_open(site, volume);
    char of[SITE_NAME_BYTES];
    memcpy(of, site->holdings[volume].name, sizeof of);
    snprintf(holding->name, sizeof holding->name, "%.15s@s%llu", of,
             (unsigned long long)++site->realm->labels);
    opts.name = strchr(holding->name, '@') + 1;
    if (error == 0) {
        error = coffer_snapshot_create(site->holdings[volume].handle, &opts, NULL, &site->fault);
        realm_tell(site->realm, "%u: snapshot %s: %s", site->index, holding->name,
                   coffer_error_name(error));
    }
    holding->snapshot = true;
    holding->used = error == 0;
    holding->identity = ++site->realm->identities;
    *ret_holding = at;
    return error;
}

static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct site_copy *how = ctx;
    harness_require(done_bytes >= how->done_bytes && done_bytes <= total_bytes,
                    "a copy's progress goes from %llu to %llu of %llu bytes",
                    (unsigned long long)how->done_bytes, (unsigned long long)done_bytes,
                    (unsigned long long)total_bytes);
    how->done_bytes = done_bytes;
    how->total_bytes = total_bytes;
    how->calls++;
    if (how->during != NULL) {
        how->during(how->ctx);
    }
    return how->stop_at != 0 && how->calls >= how->stop_at ? SITE_STOPPED : 0;
}

int site_restore(struct site *site, unsigned snapshot, unsigned key, unsigned *ret_holding)
{
    char name[SITE_NAME_BYTES];
    struct site_copy how = {.volume = name, .key = key};
    snprintf(name, sizeof name, "v%llu", (unsigned long long)++site->realm->labels);
    return site_restore_as(site, snapshot, &how, ret_holding);
}

int site_restore_as(struct site *site, unsigned snapshot, struct site_copy *how,
                    unsigned *ret_holding)
{
    const struct holding *from = &site->holdings[snapshot];
    unsigned at = like(site, from);
    struct holding *holding = &site->holdings[at];
    struct halves halves;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = halves.volume, .provider = &site->kms->api},
        .new_name = holding->name,
        .on_progress = on_progress,
        .ctx = how};
    int error;
    split(from->name, &halves);
    opts.snapshot.name = halves.name;
    snprintf(holding->name, sizeof holding->name, "%s", how->volume);
    holding->snapshot = false;
    holding->identity = 0;
    holding->family = ++site->realm->families;
    if (how->key != SITE_OWN_KEY) {
        fake_kms_arn(how->key, arn);
        opts.kms_key_id = arn;
        holding->key = how->key;
        holding->encrypted = true;
    }
    how->calls = how->done_bytes = how->total_bytes = 0;
    error = coffer_snapshot_restore(site->store, &opts, &site->fault);
    realm_tell(site->realm, "%u: restore %s as %s under %d: %s", site->index, from->name,
               holding->name, (int)how->key, coffer_error_name(error));
    holding->used = error == 0;
    *ret_holding = at;
    return error;
}

int site_delete(struct site *site, unsigned at)
{
    struct holding *holding = &site->holdings[at];
    int error = holding->handle != NULL ? site_volume_close(site, at) : 0;
    if (error == 0 && holding->snapshot) {
        struct halves halves;
        struct coffer_snapshot_opts opts = {.size = sizeof opts, .provider = &site->kms->api};
        split(holding->name, &halves);
        opts.volume = halves.volume;
        opts.name = halves.name;
        error = coffer_snapshot_delete(site->store, &opts, &site->fault);
    } else if (error == 0) {
        struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                               .name = holding->name,
                                               .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                               .provider = &site->kms->api};
        error = coffer_volume_delete(site->store, &opts, &site->fault);
    }
    realm_tell(site->realm, "%u: delete %s: %s", site->index, holding->name,
               coffer_error_name(error));
    holding->used = holding->used && error != 0;
    return error;
}

/* ---- keys ---- */

int site_rekey(struct site *site, unsigned at, unsigned key, enum coffer_rekey_depth depth)
{
    const uint64_t family = site->holdings[at].family;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = site->holdings[at].name,
                                     .kms_key_id = arn,
                                     .depth = depth,
                                     .provider = &site->kms->api};
    int error = site_close_volumes(site);
    fake_kms_arn(key, arn);
    if (error == 0) {
        error = coffer_volume_rekey(site->store, &opts, &site->fault);
    }
    realm_tell(site->realm, "%u: rekey %s from %u to %u, depth %d: %s", site->index,
               site->holdings[at].name, site->holdings[at].key, key, (int)depth,
               coffer_error_name(error));
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX && error == 0; i++) {
        struct holding *holding = &site->holdings[i];
        unsigned old = holding->key;
        if (!holding->used || holding->family != family) {
            continue;
        }
        holding->key = key;
        harness_require(old == key || (holding->recipients >> old & 1u) != 0 ||
                            !site_opens_by(site, holding, old),
                        "site %u: %s opens by the key of before its rekey", site->index,
                        holding->name);
    }
    return error;
}

static int begin_reencrypt(struct site *site, const char *name)
{
    struct coffer_reencrypt_opts opts = {
        .size = sizeof opts, .volume = name, .provider = &site->kms->api};
    int error = site_close_volumes(site);
    if (error == 0) {
        error = coffer_reencrypt_begin(site->store, &opts, &site->fault);
        realm_tell(site->realm, "%u: reencrypt %s: %s", site->index, name,
                   coffer_error_name(error));
    }
    return error == 0 ? data_keys_note(&site->leaving, site->store) : error;
}

int site_reencrypt(struct site *site, unsigned holding, unsigned steps, bool *ret_over)
{
    int error = 1;
    *ret_over = false;
    if (!data_keys_running(site->store)) {
        int begun = begin_reencrypt(site, site->holdings[holding].name);
        if (begun != 0) {
            return begun;
        }
    }
    for (unsigned i = 0; error == 1 && i < steps; i++) {
        error = coffer_reencrypt_step(site->store, NULL, &site->fault);
    }
    realm_tell(site->realm, "%u: reencrypt: %d", site->index, error);
    if (error == 0) {
        *ret_over = true;
        error = data_keys_absent(&site->leaving, site->store);
        coffer_reencrypt_end(site->store);
    }
    return error < 0 ? error : 0;
}

int site_recipient(struct site *site, unsigned snapshot, unsigned key, bool add)
{
    struct holding *holding = &site->holdings[snapshot];
    struct halves halves;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_recipient_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = halves.volume, .provider = &site->kms->api},
        .kms_key_id = arn};
    int error;
    split(holding->name, &halves);
    opts.snapshot.name = halves.name;
    fake_kms_arn(key, arn);
    error = add ? coffer_recipient_add(site->store, &opts, &site->fault)
                : coffer_recipient_remove(site->store, &opts, &site->fault);
    realm_tell(site->realm, "%u: %s recipient %u of %s: %s", site->index, add ? "add" : "remove",
               key, holding->name, coffer_error_name(error));
    if (error == 0) {
        holding->recipients =
            add ? holding->recipients | 1u << key : holding->recipients & ~(1u << key);
    }
    return error;
}

/* ---- copies ---- */

static void name_of_copy(const struct holding *from, const struct site_copy *how,
                         struct halves *halves, char full[SITE_NAME_BYTES])
{
    split(from->name, halves);
    snprintf(full, SITE_NAME_BYTES, "%.15s@%.14s",
             how->volume != NULL ? how->volume : halves->volume,
             how->name != NULL ? how->name : halves->name);
}

int site_copy_expected(const struct site *from, unsigned snapshot, const struct site *to,
                       const struct site_copy *how)
{
    const struct holding *source = &from->holdings[snapshot];
    char full[SITE_NAME_BYTES];
    struct halves halves;
    unsigned there;
    name_of_copy(source, how, &halves, full);
    there = site_find(to, full);
    if (there == SITE_NONE) {
        return 0;
    }
    return to->holdings[there].copying && to->holdings[there].identity == source->identity &&
                   (how->flags & COFFER_COPY_REENCRYPT) == 0
               ? 0
               : COFFER_E_EXISTS;
}

/* The holdings after a copy that is whole, or was stopped. */
static unsigned note_copy(struct site *from, unsigned snapshot, struct site *to,
                          const struct site_copy *how, const char *full, bool stopped)
{
    bool own = (how->flags & COFFER_COPY_REENCRYPT) == 0 && from != to;
    unsigned at = site_find(to, full);
    struct holding *holding;
    if (at == SITE_NONE && stopped && !own) {
        return SITE_NONE;
    }
    if (at == SITE_NONE) {
        at = like(to, &from->holdings[snapshot]);
        holding = &to->holdings[at];
        snprintf(holding->name, sizeof holding->name, "%s", full);
        holding->identity = own ? holding->identity : ++to->realm->identities;
        holding->family = ++to->realm->families;
        holding->copyable = own;
        holding->used = true;
    }
    to->holdings[at].copying = stopped;
    to->holdings[at].key = how->key != SITE_OWN_KEY ? how->key : from->holdings[snapshot].key;
    return at;
}

unsigned site_copy_doubtful(struct site *from, unsigned snapshot, struct site *to,
                            const struct site_copy *how)
{
    char full[SITE_NAME_BYTES];
    struct halves halves;
    name_of_copy(&from->holdings[snapshot], how, &halves, full);
    return note_copy(from, snapshot, to, how, full, false);
}

int site_copy(struct site *from, unsigned snapshot, struct site *to, struct site_copy *how,
              unsigned *ret_holding)
{
    const struct holding *source = &from->holdings[snapshot];
    unsigned service_from = (unsigned)(from->kms - from->realm->services);
    unsigned service_to = (unsigned)(to->kms - to->realm->services);
    struct halves halves;
    char arn[COFFER_KEY_ARN_BYTES_MAX], full[SITE_NAME_BYTES];
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = how->flags,
                                    .source = {.volume = halves.volume},
                                    .volume = how->volume,
                                    .name = how->name,
                                    .on_progress = on_progress,
                                    .ctx = how};
    int error;
    name_of_copy(source, how, &halves, full);
    opts.source.name = halves.name;
    opts.source.provider = how->keyed && service_from == service_to
                               ? &from->realm->others[service_from]
                               : &from->kms->api;
    opts.provider = &to->kms->api;
    if (how->blind && !how->keyed && service_from == service_to) {
        opts.provider = opts.source.provider = &from->realm->blind[service_from].api;
    }
    if (source->encrypted && how->key != SITE_OWN_KEY) {
        fake_kms_arn(how->key, arn);
        opts.kms_key_id = arn;
    }
    how->calls = how->done_bytes = how->total_bytes = 0;
    error = coffer_snapshot_copy(from->store, to->store, &opts, &to->fault);
    realm_tell(from->realm, "%u: copy %s to %u as %s under %d%s%s%s: %s, %llu of %llu pages",
               from->index, source->name, to->index, full, (int)how->key,
               how->keyed ? ", keyed" : "", how->blind ? ", blind" : "",
               how->flags != 0 ? ", sealed anew" : "", coffer_error_name(error),
               (unsigned long long)how->done_bytes / COFFER_PAGE_BYTES,
               (unsigned long long)how->total_bytes / COFFER_PAGE_BYTES);
    if (error == 0 || error == SITE_STOPPED) {
        unsigned at = note_copy(from, snapshot, to, how, full, error != 0);
        if (ret_holding != NULL) {
            *ret_holding = at;
        }
    }
    return error;
}
