/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/load.c - what happens next, by chance: mostly writes of 1 to 64 pages, half of them in a
 * tenth of a volume; reads, discards, flushes; snapshots, clones and volumes that come and go.
 *
 * The clock moves with the pages that are written, so that so many capacities take so many hours.
 * Between 60 and 78 % of the capacity should live: above, the load makes room as an administrator
 * would; volumes are deleted for no reason only when many pages live.
 */
#include "hours/soak.h"

#define VOLUMES_MIN 3u
#define VOLUMES_MAX 7u
#define SNAPSHOTS_MAX 10u
#define FULL_PERCENT 78u
#define EASY_PERCENT 66u
#define MANY_PERCENT 60u

static uint64_t trees(const struct soak *soak, bool snapshot)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        const struct soak_tree *tree = &soak->trees[i];
        count += tree->used && !tree->hidden && tree->snapshot == snapshot ? 1u : 0u;
    }
    return count;
}

static unsigned oldest_snapshot(const struct soak *soak)
{
    unsigned found = SOAK_NONE;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        const struct soak_tree *tree = &soak->trees[i];
        if (tree->used && tree->snapshot && !tree->hidden &&
            (found == SOAK_NONE || tree->parent == SOAK_NONE)) {
            found = i;
        }
    }
    return found;
}

/* ---- requests ---- */

/* 1, 2, 4, ... 64 pages about equally often. */
static uint64_t some_pages(struct soak *soak)
{
    uint64_t most = UINT64_C(1) << prng_below(&soak->prng, 7);
    return 1u + prng_below(&soak->prng, (uint32_t)most);
}

static void request(struct soak *soak, enum soak_kind kind)
{
    unsigned at = soak_pick(soak, false, true);
    uint64_t count = some_pages(soak), pages, page;
    unsigned flags = kind == SOAK_WRITE && prng_chance(&soak->prng, 1, 16) ? COFFER_IO_FUA : 0;
    if (at == SOAK_NONE) {
        soak_open_volumes(soak);
        return;
    }
    pages = soak->trees[at].pages;
    if (prng_chance(&soak->prng, 1, 2)) {
        pages = pages / 10u;
    }
    page = prng_below(&soak->prng, (uint32_t)(pages - count));
    soak_io(soak, kind, at, kind == SOAK_FLUSH ? 0 : page, kind == SOAK_FLUSH ? 0 : count, flags);
    if (kind == SOAK_WRITE) {
        det_env_advance(&soak->env, count * soak->ns_per_page);
    }
}

/* ---- now and then ---- */

static void make_room(struct soak *soak)
{
    uint64_t snapshots = trees(soak, true), volumes = trees(soak, false);
    unsigned at = snapshots > 0 ? oldest_snapshot(soak) : SOAK_NONE;
    if (at != SOAK_NONE && (snapshots > 2u || volumes <= VOLUMES_MIN)) {
        soak_delete_snapshot(soak, at);
    } else if (volumes > VOLUMES_MIN) {
        at = soak_pick(soak, false, true);
        if (at != SOAK_NONE) {
            soak_delete_volume(soak, at);
        }
    } else {
        for (unsigned i = 0; i < 64; i++) {
            request(soak, SOAK_DISCARD);
        }
    }
    soak_drain(soak);
}

static void reopen(struct soak *soak)
{
    unsigned at = soak_pick(soak, false, true);
    if (at != SOAK_NONE && trees(soak, false) > 1) {
        soak_close_volume(soak, at);
        soak_open_volumes(soak);
        soak->counts.reopened_volumes++;
    }
}

static void administer(struct soak *soak)
{
    bool easy = soak->distinct * 100u < soak->capacity_pages * EASY_PERCENT;
    bool many = soak->distinct * 100u > soak->capacity_pages * MANY_PERCENT;
    unsigned at;
    switch (prng_below(&soak->prng, 8)) {
    case 0:
    case 1:
    case 2:
        at = soak_pick(soak, false, true);
        if (at != SOAK_NONE && trees(soak, true) < SNAPSHOTS_MAX) {
            soak_take_snapshot(soak, at);
        }
        break;
    case 3:
        at = soak_pick(soak, true, false);
        if (at != SOAK_NONE) {
            soak_delete_snapshot(soak, at);
        }
        break;
    case 4:
        at = soak_pick(soak, true, false);
        if (at != SOAK_NONE && easy && trees(soak, false) < VOLUMES_MAX) {
            soak_restore(soak, at);
        }
        break;
    case 5:
        if (easy && trees(soak, false) < VOLUMES_MAX) {
            (void)soak_create_volume(soak, soak->capacity_pages / 8u,
                                     prng_chance(&soak->prng, 2, 3));
        }
        break;
    case 6:
        at = soak_pick(soak, false, true);
        if (at != SOAK_NONE && many && trees(soak, false) > VOLUMES_MIN + 1u) {
            soak_delete_volume(soak, at);
        }
        break;
    default:
        reopen(soak);
    }
}

static void work_that_is_due(struct soak *soak)
{
    int result = coffer_store_maintain(soak->store);
    soak_must(soak, result < 0 && result != COFFER_E_NO_SPACE ? result : 0, "maintain");
}

void soak_step(struct soak *soak)
{
    uint32_t chance = prng_below(&soak->prng, 1000);
    if (soak->distinct * 100u > soak->capacity_pages * FULL_PERCENT) {
        make_room(soak);
    } else if (chance < 620) {
        request(soak, SOAK_WRITE);
    } else if (chance < 820) {
        request(soak, SOAK_READ);
    } else if (chance < 900) {
        request(soak, SOAK_DISCARD);
    } else if (chance < 950) {
        request(soak, SOAK_FLUSH);
    } else if (chance < 998) {
        work_that_is_due(soak);
    } else {
        administer(soak);
    }
}

/* Four volumes, of which a half of the capacity is written. */
void soak_begin(struct soak *soak)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned at = soak_create_volume(soak, soak->capacity_pages / 8u, i % 4u != 3u);
        harness_require(at != SOAK_NONE, "an empty store has no room");
        for (uint64_t page = 0; page + SOAK_IO_PAGES <= soak->trees[at].pages;
             page += SOAK_IO_PAGES) {
            soak_io(soak, SOAK_WRITE, at, page, SOAK_IO_PAGES, 0);
        }
        soak_drain(soak);
    }
    soak->counts.written_pages = 0;
}
