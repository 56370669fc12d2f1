/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/copies/rounds.c - a snapshot goes from A to B and back to A, again and again.
 *
 * Each leg: the volume that was made of what came last is written, a snapshot of it is taken and
 * copied to the other side under another key, incrementally; there a volume is made of it. What is
 * written behind the snapshot stays at home. Between legs keys change, at each depth, on either
 * side; snapshots and volumes of earlier legs are deleted, but the newest common ancestor stays.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "tale.h"

#include <string.h>

#define PAGES 600u
#define WRITTEN_PAGES 24u
#define KEPT 6u            /* snapshots that stay on a side          */
#define LEG_PAGES_MAX 120u /* what a leg may send: writes, and paths */

static unsigned oldest(const struct site *site, bool snapshot)
{
    unsigned found = SITE_NONE, count = 0;
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        const struct holding *holding = &site->holdings[i];
        if (holding->used && holding->snapshot == snapshot) {
            count++;
            if (found == SITE_NONE || holding->family < site->holdings[found].family) {
                found = i;
            }
        }
    }
    return count > (snapshot ? KEPT : 2u) ? found : SITE_NONE;
}

static void prune(struct site *site)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        unsigned at;
        while ((at = oldest(site, kind == 0)) != SITE_NONE) {
            must(site, site_delete(site, at));
        }
    }
}

static void write_some(struct site *site, unsigned volume)
{
    for (uint32_t written = 0; written < WRITTEN_PAGES; written += 8) {
        uint32_t page = realm_pick(site->realm, PAGES - 8u);
        must(site, realm_pick(site->realm, 8) == 0 ? site_discard(site, volume, page, 8)
                                                   : site_write(site, volume, page, 8));
    }
}

static void change_keys(struct site *site)
{
    for (unsigned i = 0; i < SITE_HOLDINGS_MAX; i++) {
        const struct holding *holding = &site->holdings[i];
        if (holding->used && !holding->snapshot && realm_pick(site->realm, 2) == 0) {
            must(site, site_rekey(site, i, realm_pick(site->realm, FAKE_KMS_KEYS),
                                  (enum coffer_rekey_depth)realm_pick(site->realm, 3)));
        }
    }
}

/* From `here`, whose volume is that, to `there`; returns the volume that is made there. */
static unsigned leg(struct site *here, unsigned volume, struct site *there, bool first)
{
    struct realm *realm = here->realm;
    struct site_copy how = {.key = realm_pick(realm, FAKE_KMS_KEYS),
                            .keyed = realm_pick(realm, 2) == 0};
    unsigned snapshot, copy, made;
    write_some(here, volume);
    must(here, site_snapshot(here, volume, &snapshot));
    write_some(here, volume);
    site_must(there, site_copy(here, snapshot, there, &how, &copy), "copy");
    harness_require(first || how.total_bytes <= LEG_PAGES_MAX * COFFER_PAGE_BYTES,
                    "an incremental copy sends %llu pages",
                    (unsigned long long)how.total_bytes / COFFER_PAGE_BYTES);
    must(there, site_restore(there, copy, SITE_OWN_KEY, &made));
    tale_counts.copies++;
    return made;
}

void tale_there_and_back(void *ctx)
{
    const struct tale_rounds *journey = ctx;
    static struct realm realm;
    struct site *a = &realm.sites[0], *b = &realm.sites[1];
    unsigned volume;
    harness_watch(60);
    realm_init(&realm, journey->seed, 2);
    realm.tell = journey->tell;
    site_make(&realm, 0, 0);
    site_make(&realm, 1, (unsigned)(journey->seed % SERVICES));
    must(a, site_volume_create(a, PAGES, true, 1, &volume));
    for (uint32_t page = 0; page < PAGES; page += 40) {
        must(a, site_write(a, volume, page, 40));
    }
    for (uint64_t round = 0; round < journey->rounds; round++) {
        harness_context("copies --seed %llu --rounds %llu (round %llu)",
                        (unsigned long long)journey->seed, (unsigned long long)journey->rounds,
                        (unsigned long long)round);
        volume = leg(a, volume, b, round == 0);
        volume = leg(b, volume, a, false);
        for (unsigned i = 0; i < 2; i++) {
            prune(&realm.sites[i]);
            change_keys(&realm.sites[i]);
            if (round % 10 == 9) {
                site_look(&realm.sites[i]);
                site_check(&realm.sites[i], 0);
                must(&realm.sites[i], site_close(&realm.sites[i]));
                must(&realm.sites[i], site_open(&realm.sites[i]));
            }
        }
        tale_counts.rounds++;
    }
    for (unsigned i = 0; i < 2; i++) {
        site_look(&realm.sites[i]);
        site_check(&realm.sites[i], COFFER_CHECK_SCRUB);
        site_delete_all(&realm.sites[i]);
    }
    realm_done(&realm);
    recorder_check();
}
