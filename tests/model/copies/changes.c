/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/copies/changes.c - steps within one site: writes, snapshots, volumes made of them,
 * deletions, keys; and losses: power cuts in the midst of them, old images put back, forks.
 */
#include "common/harness.h"
#include "tale.h"

#define HELD_MAX 26u /* of SITE_HOLDINGS_MAX: copies and doubts need some */

bool tale_settle(struct tale *tale, const struct site *site, int error, const char *what)
{
    if (error == COFFER_E_NO_SPACE) {
        tale->full = true;
        tale_counts.full++;
        return false;
    }
    site_must(site, error, what);
    return true;
}

struct site *tale_site(struct tale *tale)
{
    return &tale->realm.sites[realm_pick(&tale->realm, tale->realm.site_count)];
}

static bool is_kind(const struct holding *holding, enum tale_kind kind)
{
    switch (kind) {
    case TALE_VOLUME:
        return holding->used && !holding->snapshot;
    case TALE_SNAPSHOT:
        return holding->used && holding->snapshot && !holding->copying;
    case TALE_COPYING:
        return holding->used && holding->copying;
    default:
        return holding->used;
    }
}

unsigned tale_any(struct tale *tale, const struct site *site, enum tale_kind kind)
{
    unsigned found = SITE_NONE, count = 0;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        if (is_kind(&site->holdings[i], kind) && realm_pick(&tale->realm, ++count) == 0) {
            found = i;
        }
    }
    return found;
}

unsigned tale_held(const struct site *site)
{
    unsigned held = 0;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        held += site->holdings[i].used ? 1u : 0u;
    }
    return held;
}

/* ---- contents ---- */

void tale_new_volume(struct tale *tale)
{
    struct site *site = tale_site(tale);
    uint32_t pages = 8 + realm_pick(&tale->realm, tale->pages_max - 7u);
    bool encrypted = realm_pick(&tale->realm, 6) != 0;
    unsigned key = realm_pick(&tale->realm, FAKE_KMS_KEYS), volume;
    if (tale_held(site) < HELD_MAX &&
        settle(tale, site, site_volume_create(site, pages, encrypted, key, &volume))) {
        (void)settle(tale, site, site_write(site, volume, 0, 4));
    }
}

static unsigned any_range(struct tale *tale, const struct site *site, uint32_t *page,
                          uint32_t *count)
{
    unsigned volume = tale_any(tale, site, TALE_VOLUME);
    if (volume != SITE_NONE) {
        uint32_t pages = site->holdings[volume].pages;
        uint32_t most = (const uint32_t[]){2, 8, 64}[realm_pick(&tale->realm, 3)];
        *count = 1 + realm_pick(&tale->realm, most < pages ? most : pages);
        *page = realm_pick(&tale->realm, pages - *count + 1u);
    }
    return volume;
}

void tale_write(struct tale *tale)
{
    struct site *site = tale_site(tale);
    uint32_t page, count;
    unsigned volume = any_range(tale, site, &page, &count);
    if (volume != SITE_NONE) {
        (void)settle(tale, site, site_write(site, volume, page, count));
    }
}

void tale_discard(struct tale *tale)
{
    struct site *site = tale_site(tale);
    uint32_t page, count;
    unsigned volume = any_range(tale, site, &page, &count);
    if (volume != SITE_NONE) {
        (void)settle(tale, site, site_discard(site, volume, page, count));
    }
}

void tale_flush(struct tale *tale)
{
    struct site *site = tale_site(tale);
    (void)settle(tale, site, site_flush(site));
}

void tale_checkpoint(struct tale *tale)
{
    struct site *site = tale_site(tale);
    (void)settle(tale, site, coffer_store_checkpoint(site->store, &site->fault));
}

/* ---- losses ---- */

void tale_reopen(struct tale *tale)
{
    struct site *site = tale_site(tale);
    if (settle(tale, site, site_close(site))) {
        must(site, site_open(site));
    }
}

/* The power goes at any event since the mark, or (now) after the last. */
static void lose(struct tale *tale, struct site *site, bool now)
{
    uint64_t events = sim_disk_events(site->disk), event = events;
    enum sim_variant variant = (enum sim_variant)realm_pick(&tale->realm, SIM_VARIANTS);
    if (!now) {
        uint32_t window = (uint32_t)(events - site->marked_event);
        event = site->marked_event + realm_pick(&tale->realm, window + 1u);
    }
    site_cut(site, event, variant, prng_next(&tale->realm.prng));
    site_look(site);
    tale_counts.cuts++;
}

void tale_lose(struct tale *tale)
{
    struct site *site = tale_site(tale);
    site_mark(site);
    for (unsigned i = realm_pick(&tale->realm, 3); i > 0 && !tale->full; i--) {
        uint32_t page, count;
        unsigned volume = any_range(tale, site, &page, &count);
        if (volume != SITE_NONE) {
            (void)settle(tale, site, site_write(site, volume, page, count));
        }
    }
    if (!tale->full) {
        lose(tale, site, true);
    }
}

void tale_keep(struct tale *tale)
{
    struct site *site = tale_site(tale);
    if (settle(tale, site, site_close(site))) {
        site_keep(site);
        must(site, site_open(site));
    }
}

void tale_put_back(struct tale *tale)
{
    struct site *site = tale_site(tale);
    if (site->kept != NULL) {
        site_put_back(site);
        site_look(site);
        tale_counts.back++;
    }
}

void tale_fork(struct tale *tale)
{
    struct site *from = tale_site(tale), *site = tale_site(tale);
    if (from == site || !settle(tale, from, site_close(from)) ||
        !settle(tale, site, site_close(site))) {
        if (from->store == NULL) {
            must(from, site_open(from));
        }
        return;
    }
    realm_tell(&tale->realm, "%u becomes a fork of %u", site->index, from->index);
    site_fork(site, from);
    must(from, site_open(from));
    must(site, site_open(site));
    tale_counts.forks++;
}

void tale_look(struct tale *tale)
{
    struct site *site = tale_site(tale);
    site_look(site);
    if (realm_pick(&tale->realm, 2) == 0) {
        site_check(site, realm_pick(&tale->realm, 2) == 0 ? COFFER_CHECK_SCRUB : 0);
    }
    tale_counts.looks++;
}

/* ---- one root each: now and then the power goes meanwhile ---- */

static bool begin(struct tale *tale, struct site *site)
{
    bool doubtful = realm_pick(&tale->realm, 5) == 0;
    if (doubtful) {
        site_mark(site);
    }
    return doubtful;
}

void tale_snapshot(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned volume = tale_any(tale, site, TALE_VOLUME), made;
    bool doubtful;
    if (volume == SITE_NONE || tale_held(site) >= HELD_MAX) {
        return;
    }
    doubtful = begin(tale, site);
    if (settle(tale, site, site_snapshot(site, volume, &made)) && doubtful) {
        lose(tale, site, false);
    }
    tale_counts.snapshots++;
}

void tale_restore(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned snapshot = tale_any(tale, site, TALE_SNAPSHOT), made, key = SITE_OWN_KEY;
    bool doubtful;
    if (snapshot == SITE_NONE || tale_held(site) >= HELD_MAX) {
        return;
    }
    if (realm_pick(&tale->realm, 3) == 0) {
        key = realm_pick(&tale->realm, FAKE_KMS_KEYS);
    }
    doubtful = begin(tale, site);
    if (settle(tale, site, site_restore(site, snapshot, key, &made)) && doubtful) {
        lose(tale, site, false);
    }
    tale_counts.restores++;
}

void tale_delete(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned at = tale_any(tale, site, realm_pick(&tale->realm, 5) == 0 ? TALE_ANY : TALE_SNAPSHOT);
    bool doubtful;
    int error;
    if (at == SITE_NONE || tale_held(site) < 3) {
        return;
    }
    if (site->holdings[at].handle != NULL) {
        if (!settle(tale, site, site_volume_close(site, at))) {
            return;
        }
    }
    doubtful = begin(tale, site);
    error = site_delete(site, at);
    if (error == COFFER_E_BUSY && tale_any(tale, site, TALE_COPYING) != SITE_NONE) {
        tale_counts.hindered++; /* by a copy that was interrupted and has this as its base */
        return;
    }
    if (settle(tale, site, error) && doubtful) {
        lose(tale, site, false);
    }
    tale_counts.deleted++;
}

/* The volume of a family, or a snapshot whose volume is gone. */
static unsigned head_of(const struct site *site, unsigned at)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        const struct holding *holding = &site->holdings[i];
        if (holding->used && !holding->snapshot && holding->family == site->holdings[at].family) {
            return i;
        }
    }
    return at;
}

void tale_rekey(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned at = tale_any(tale, site, TALE_SNAPSHOT),
             key = realm_pick(&tale->realm, FAKE_KMS_KEYS);
    enum coffer_rekey_depth depth = (enum coffer_rekey_depth)realm_pick(&tale->realm, 3);
    bool doubtful;
    if (at == SITE_NONE || !site->holdings[at].encrypted ||
        !settle(tale, site, site_close_volumes(site))) {
        return;
    }
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) { /* a recipient's key does not take over */
        if (site->holdings[i].used && site->holdings[i].family == site->holdings[at].family &&
            (site->holdings[i].recipients >> key & 1u) != 0) {
            return;
        }
    }
    at = head_of(site, at);
    doubtful = begin(tale, site);
    if (settle(tale, site, site_rekey(site, at, key, depth)) && doubtful) {
        lose(tale, site, false);
    }
    tale_counts.rekeys++;
}

void tale_recipient(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned at = tale_any(tale, site, TALE_SNAPSHOT);
    unsigned key = 1u + realm_pick(&tale->realm, FAKE_KMS_KEYS - 1u);
    const struct holding *holding = &site->holdings[at == SITE_NONE ? 0 : at];
    bool add, doubtful;
    if (at == SITE_NONE || !holding->encrypted || holding->key == 0 || holding->key == key) {
        return;
    }
    add = (holding->recipients >> key & 1u) == 0;
    doubtful = begin(tale, site);
    if (settle(tale, site, site_recipient(site, at, key, add)) && doubtful) {
        lose(tale, site, false);
    }
    tale_counts.recipients++;
}

/* Some steps, and whatever comes between those and the next: copies from it, copies to it. */
void tale_reencrypt(struct tale *tale)
{
    struct site *site = tale_site(tale);
    unsigned at =
        tale_any(tale, site, realm_pick(&tale->realm, 2) == 0 ? TALE_SNAPSHOT : TALE_VOLUME);
    bool over, doubtful;
    int error;
    if (at == SITE_NONE || !site->holdings[at].encrypted) {
        return;
    }
    doubtful = realm_pick(&tale->realm, 3) == 0 && begin(tale, site);
    error = site_reencrypt(site, head_of(site, at), 1u + realm_pick(&tale->realm, 20), &over);
    if (error == COFFER_E_BUSY && tale_any(tale, site, TALE_COPYING) != SITE_NONE) {
        tale_counts.hindered++;
    } else if (settle(tale, site, error)) {
        tale_counts.reencrypts++;
        tale_counts.reencrypted += over ? 1u : 0u;
    }
    if (doubtful && !tale->full) {
        lose(tale, site, false);
    }
}
