/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/copies/travel.c - steps that copy snapshots between sites: whole, stopped, cut off by the
 * power on either side, asked for again, given up.
 */
#include "common/harness.h"
#include "tale.h"

#include <stdio.h>

#define HELD_MAX 30u

/* Volumes that are open are written while a copy is under way. */
static void write_meanwhile(void *ctx)
{
    struct tale *tale = ctx;
    struct site *site = tale_site(tale);
    unsigned volume = tale_any(tale, site, TALE_VOLUME);
    const struct holding *holding = &site->holdings[volume == SITE_NONE ? 0 : volume];
    if (volume != SITE_NONE && holding->handle != NULL && !tale->full &&
        site->pending_count + 8u <= SITE_PENDING_MAX) {
        tale->realm.within = true;
        (void)settle(tale, site,
                     site_write(site, volume, realm_pick(&tale->realm, holding->pages), 1));
        tale->realm.within = false;
    }
}

static void choose(struct tale *tale, const struct site *from, const struct site *to,
                   struct site_copy *how, char names[2][SITE_NAME_BYTES])
{
    struct realm *realm = &tale->realm;
    *how = (struct site_copy){.key = SITE_OWN_KEY, .during = write_meanwhile, .ctx = tale};
    how->key = realm_pick(realm, 2) == 0 ? realm_pick(realm, FAKE_KMS_KEYS) : SITE_OWN_KEY;
    how->keyed = realm_pick(realm, 3) == 0;
    how->blind = realm_pick(realm, 4) == 0 && from != to;
    how->flags = realm_pick(realm, 12) == 0 ? COFFER_COPY_REENCRYPT : 0;
    how->blind = how->blind && how->flags == 0;
    if (realm_pick(realm, 4) == 0 || from == to) {
        snprintf(names[0], SITE_NAME_BYTES, "w%u", realm_pick(realm, 4));
        how->volume = names[0];
    }
    if (realm_pick(realm, 4) == 0 || from == to) {
        snprintf(names[1], SITE_NAME_BYTES, "c%llu", (unsigned long long)++realm->labels);
        how->name = names[1];
    }
    if (realm_pick(realm, 3) == 0 && how->flags == 0 && from != to) {
        how->stop_at = 1 + realm_pick(realm, 4);
    }
}

/* The power goes on one side, at any moment of the copy. */
static void lose(struct tale *tale, struct site *from, struct site *to)
{
    struct site *site = realm_pick(&tale->realm, 3) == 0 ? from : to;
    uint64_t events = sim_disk_events(site->disk);
    enum sim_variant variant = (enum sim_variant)realm_pick(&tale->realm, SIM_VARIANTS);
    uint64_t event =
        site->marked_event + realm_pick(&tale->realm, (uint32_t)(events - site->marked_event) + 1u);
    site_cut(site, event, variant, prng_next(&tale->realm.prng));
    site_look(site);
    tale_counts.cuts_source += site == from ? 1u : 0u;
    tale_counts.cuts_destination += site == to ? 1u : 0u;
}

static void count(const struct site *from, const struct site *to, const struct site_copy *how,
                  bool encrypted)
{
    bool keyless = from->kms == to->kms && !how->keyed;
    tale_counts.copies++;
    tale_counts.keyless += encrypted && keyless ? 1u : 0u;
    tale_counts.keyed += encrypted && !keyless ? 1u : 0u;
    tale_counts.within += from == to ? 1u : 0u;
    tale_counts.anew += how->flags != 0 ? 1u : 0u;
}

/* Unencrypted snapshots have no key to be named, and are not sealed anew. */
static void make_plain(struct site_copy *how)
{
    how->key = SITE_OWN_KEY;
    how->flags = 0;
    how->blind = false;
}

static void copy(struct tale *tale, struct site *from, unsigned snapshot, struct site *to,
                 struct site_copy *how)
{
    bool encrypted = from->holdings[snapshot].encrypted, doubtful;
    int error, wanted;
    if (!encrypted) {
        make_plain(how);
    }
    wanted = site_copy_expected(from, snapshot, to, how);
    doubtful = realm_pick(&tale->realm, 3) == 0 && wanted == 0;
    if (doubtful) {
        site_mark(from);
        site_mark(to);
    }
    error = site_copy(from, snapshot, to, how, NULL);
    if (how->blind && error == COFFER_E_KEY_ACCESS) {
        tale_counts.refused++; /* a sealed name that may be the same */
        return;
    }
    if (wanted != 0) {
        harness_require(error == wanted, "a copy gives %s, not %s", coffer_error_name(error),
                        coffer_error_name(wanted));
        tale_counts.taken++;
        return;
    }
    if (error == SITE_STOPPED && how->stop_at != 0) {
        tale_counts.stopped++;
    } else if (!settle(tale, to, error)) {
        return;
    }
    count(from, to, how, encrypted);
    if (doubtful && !tale->full) {
        lose(tale, from, to);
    }
}

void tale_copy(struct tale *tale)
{
    char names[2][SITE_NAME_BYTES];
    struct site *from = tale_site(tale), *to = tale_site(tale);
    unsigned snapshot = tale_any(tale, from, TALE_SNAPSHOT);
    struct site_copy how;
    if (from == to && realm_pick(&tale->realm, 4) != 0) {
        to = &tale->realm.sites[(from->index + 1u) % tale->realm.site_count];
    }
    if (snapshot == SITE_NONE || tale_held(to) >= HELD_MAX) {
        return;
    }
    choose(tale, from, to, &how, names);
    copy(tale, from, snapshot, to, &how);
}

static unsigned find_source(struct tale *tale, const struct holding *half, struct site **ret_site)
{
    unsigned turn = realm_pick(&tale->realm, tale->realm.site_count);
    for (unsigned s = 0; s < tale->realm.site_count; s++) {
        struct site *site = &tale->realm.sites[(s + turn) % tale->realm.site_count];
        for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
            const struct holding *holding = &site->holdings[i];
            if (holding->used && holding->snapshot && !holding->copying &&
                holding->identity == half->identity) {
                *ret_site = site;
                return i;
            }
        }
    }
    return SITE_NONE;
}

/* A copy that was interrupted is asked for again, from wherever the snapshot is. */
void tale_go_on(struct tale *tale)
{
    struct site *to = tale_site(tale), *from = NULL;
    unsigned half = tale_any(tale, to, TALE_COPYING), snapshot;
    char volume[SITE_NAME_BYTES], name[SITE_NAME_BYTES];
    struct site_copy how = {.key = SITE_OWN_KEY,
                            .volume = volume,
                            .name = name,
                            .during = write_meanwhile,
                            .ctx = tale};
    if (half == SITE_NONE) {
        return;
    }
    snapshot = find_source(tale, &to->holdings[half], &from);
    if (snapshot == SITE_NONE || from == to) {
        return;
    }
    if (sscanf(to->holdings[half].name, "%31[^@]@%31s", volume, name) != 2) {
        harness_fail("no name of a snapshot: %s", to->holdings[half].name);
    }
    how.key = realm_pick(&tale->realm, 3) == 0 ? realm_pick(&tale->realm, FAKE_KMS_KEYS)
                                               : to->holdings[half].key;
    how.stop_at = realm_pick(&tale->realm, 4) == 0 ? 1 + realm_pick(&tale->realm, 3) : 0;
    copy(tale, from, snapshot, to, &how);
    tale_counts.gone_on++;
}

void tale_abandon(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned half = tale_any(tale, site, TALE_COPYING);
    if (half != SITE_NONE && settle(tale, site, site_delete(site, half))) {
        tale_counts.abandoned++;
    }
}
