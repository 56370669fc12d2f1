/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/space.c - whether there is room: for pages that a caller wants to write, and for the
 * checkpoint that must follow them; and when a checkpoint is due.
 *
 * What may live is all segments but a reserve, which deaths that no checkpoint has settled, the
 * log's headers and the cleaner work in. A full store takes no new pages; it goes on with those
 * that take the place of pages of the volume's own, with discards and with deletions, as each gives
 * back at the next checkpoint what it takes.
 *
 * A checkpoint that runs out of space half-way fails the store, so none may begin without the
 * blocks that it can need at most. Whoever may wait leaves more segments free than whoever must
 * not: writes leave those that an administrator's calls need, these leave one that a volume can be
 * opened with, and the opening of the store takes what there is.
 * Under the store's lock throughout.
 */
#include "volume/store.h"

#define LOG_PAGES_MAX (UINT64_C(6) << 20) /* 24 GiB of log: a second to open, at 40 ms a GiB */
#define ROOT_SEGMENTS 3u
#define RESERVE_PERCENT 7u  /* docs/decisions/0016 */
#define RESERVE_SEGMENTS 8u /* that lanes and heads hold, whatever the size */
#define RESERVE_SEGMENTS_MIN 16u
#define WARN_HYSTERESIS 5u     /* percent less, before it is said again */
#define RELIEFS_PER_SEGMENT 4u /* of the store, in vain, before it is called full */
#define RELIEFS_OF_CLEANING 8u /* in vain, before deaths are settled, and the emptiest taken */
#define RELIEFS_FOR_MORE 16u   /* of who has what he needs, but leaves too little */

/* ---- room ---- */

/* Blocks of a segment that one can count on: the rest may go with batch headers and with what does
 * not fit its end. */
static uint64_t usable_blocks(const struct coffer_store *store)
{
    return (uint64_t)(store->segment_blocks - 4u) * 9u / 10u;
}

/* Buckets that there are, at most: no more can change. */
static uint64_t buckets_max(const struct coffer_store *store)
{
    uint64_t fresh = (store->young_count + store->frozen_count) / COF_BUCKET_EXTENTS + 2u;
    return store->placement_tree.records_known
               ? store->placement_tree.record_count + fresh
               : store->next_extent / COF_BUCKET_EXTENTS + store->lineage_count + 2u;
}

/* Pages that may die of a delta: those below a hole, whatever is there. */
static uint64_t pages_of(const struct cof_delta *delta)
{
    uint64_t pages = 0;
    for (unsigned level = 0; level <= COF_MAP_LEVELS_MAX; level++) {
        pages += delta->level_counts[level] << (COF_NODE_SHIFT * level);
    }
    return pages;
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

/* Nodes that a merge may write: of each level no more than of the one below, nor than the volume
 * has. */
static uint64_t nodes_of(const struct coffer_volume *volume, const struct cof_delta *delta)
{
    uint64_t changed = delta->leaf_count, there = volume->size_pages, nodes = 0;
    do {
        there = there / COF_NODE_FANOUT + 1u;
        changed = at_most(changed, there);
        nodes += changed;
    } while (there > 1u);
    return nodes;
}

/* Buckets that changed, or will when the moves under way are published. */
static uint64_t moved_buckets(const struct coffer_store *store)
{
    return (uint64_t)store->place.dirty_count + store->cleaner.move_count;
}

/* Buckets that the next checkpoint may have to write, without a bound. */
static uint64_t changed_buckets(const struct coffer_store *store)
{
    uint64_t changed = moved_buckets(store);
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        changed += pages_of(&volume->active) + pages_of(&volume->frozen);
        changed += volume->active_kills.count;
    }
    return changed;
}

/* Blocks for so many buckets more, where `changed` of at most `most` change already. */
static uint64_t more_blocks(uint64_t changed, uint64_t buckets, uint64_t most)
{
    return (at_most(changed + buckets, most) - at_most(changed, most)) * COF_BUCKET_BLOCKS;
}

uint64_t cof_bucket_blocks(const struct coffer_store *store, uint64_t buckets)
{
    return more_blocks(changed_buckets(store), buckets, buckets_max(store));
}

/* Blocks that a checkpoint of what is dirty may need: a leaf and its parents, a bucket for each
 * death and each extent that moved, the entries of volumes that are written to, and the tables.
 * And what so many buckets more would add. */
static uint64_t need_with(const struct coffer_store *store, uint64_t buckets, uint64_t *ret_more)
{
    uint64_t nodes = 4u, entries = 4u * COF_ENTRY_BLOCKS;
    uint64_t changed = changed_buckets(store), most = buckets_max(store);
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        nodes += nodes_of(volume, &volume->active) + nodes_of(volume, &volume->frozen) + 4u;
        entries += COF_ENTRY_BLOCKS + volume->ek_count / COF_EK_PER_PART;
    }
    *ret_more = more_blocks(changed, buckets, most);
    return nodes + at_most(changed, most) * COF_BUCKET_BLOCKS + entries +
           store->cleaning.renewal_blocks + cof_segments_records(&store->segments);
}

static uint64_t checkpoint_need(const struct coffer_store *store)
{
    uint64_t more;
    return need_with(store, 0, &more);
}

static uint64_t light_need(const struct coffer_store *store)
{
    return moved_buckets(store) * COF_BUCKET_BLOCKS + 4u * COF_ENTRY_BLOCKS +
           store->cleaning.renewal_blocks + cof_segments_records(&store->segments);
}

/* Of that, what the checkpoint lane's own segments hold. */
static uint64_t blocks_here(const struct coffer_store *store)
{
    const struct cof_lane *meta = &store->meta;
    uint64_t here = 0;
    if (meta->segment != COF_NO_SEGMENT &&
        meta->block + COF_FOOTER_BLOCKS < store->segment_blocks) {
        here = (store->segment_blocks - meta->block - COF_FOOTER_BLOCKS) / 2u;
    }
    return here + (meta->next_segment != COF_NO_SEGMENT ? usable_blocks(store) : 0u);
}

/* Segments for a checkpoint of so many blocks, beside what its lane has. */
static uint32_t segments_for(const struct coffer_store *store, uint64_t blocks)
{
    uint64_t here = blocks_here(store), usable = usable_blocks(store);
    return blocks <= here ? 0u : (uint32_t)((blocks - here + usable - 1u) / usable);
}

/* Whether the blocks fit, with so many segments left free: what the lane has already counts for
 * more than those. */
static bool has_room(const struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    uint64_t free_segments = store->segments.free_count;
    free_segments -= free_segments < spare ? free_segments : spare;
    return blocks <= blocks_here(store) + free_segments * usable_blocks(store);
}

/* The same, but for the segments that are to be left: without them nothing can be cleaned. */
static bool leaves_room(const struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    return segments_for(store, blocks) + spare <= store->segments.free_count;
}

int cof_light_room(const struct coffer_store *store, bool full_follows, uint32_t freed)
{
    uint64_t light = light_need(store), need = checkpoint_need(store);
    uint64_t after =
        blocks_here(store) + ((uint64_t)store->segments.free_count + freed) * usable_blocks(store);
    return has_room(store, full_follows ? light : need, 0) &&
                   (!full_follows || light + need <= after)
               ? 0
               : COFFER_E_NO_SPACE;
}

int cof_checkpoint_room(const struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    return has_room(store, checkpoint_need(store) + blocks, spare) ? 0 : COFFER_E_NO_SPACE;
}

/* Reliefs that may follow each other without a segment more being free. */
struct patience {
    uint32_t most_free, reliefs;
};

/* Whether a checkpoint settles more deaths than it takes blocks. */
static bool settling_pays(const struct coffer_store *store)
{
    uint64_t deaths = 0;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        deaths += volume->active.count + volume->active_kills.count;
    }
    return deaths > checkpoint_need(store);
}

/* Victims in which much is dead but not settled move as they are: cleaning can go round and round
 * without a segment more, as long as no checkpoint says what died. */
static int relieve(struct coffer_store *store, struct patience *patience)
{
    bool in_vain = patience->reliefs % RELIEFS_OF_CLEANING == RELIEFS_OF_CLEANING - 1u;
    int err = in_vain && settling_pays(store) ? cof_checkpoint_whole(store, 0) : COFFER_E_NO_SPACE;
    if (err == COFFER_E_NO_SPACE) {
        err = cof_store_relieve(store, patience->reliefs >= RELIEFS_OF_CLEANING);
    }
    if (store->segments.free_count > patience->most_free) {
        patience->most_free = store->segments.free_count;
        patience->reliefs = 0;
    }
    patience->reliefs++;
    return err == 0 && patience->reliefs > RELIEFS_PER_SEGMENT * store->segments.count
               ? COFFER_E_NO_SPACE
               : err;
}

/* What can be had is taken when some reliefs did not give more. */
int cof_checkpoint_ready(struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    struct patience patience = {store->segments.free_count, 0};
    unsigned more = 0;
    int err = cof_checkpoint_settle(store);
    while (err == 0 && !leaves_room(store, checkpoint_need(store) + blocks, spare) &&
           (more < RELIEFS_FOR_MORE || cof_checkpoint_room(store, blocks, spare) != 0)) {
        err = relieve(store, &patience);
        if (err == 0) {
            err = cof_checkpoint_settle(store);
        }
        more++;
    }
    if (err == COFFER_E_NO_SPACE && cof_checkpoint_room(store, blocks, spare) == 0) {
        err = cof_checkpoint_settle(store);
    }
    return store->error != 0 ? COFFER_E_FAILED : err;
}

uint32_t cof_checkpoint_segments(const struct coffer_store *store)
{
    return segments_for(store, checkpoint_need(store));
}

uint32_t cof_checkpoint_floor(const struct coffer_store *store)
{
    return 1u + cof_checkpoint_segments(store);
}

static uint32_t kept_for(const struct coffer_store *store, uint64_t blocks)
{
    return 1u + segments_for(store, blocks) + COF_CLEANER_SEGMENTS;
}

uint32_t cof_segments_kept(const struct coffer_store *store)
{
    return kept_for(store, checkpoint_need(store));
}

/* ---- admission ---- */

static uint32_t reserve_of(uint32_t segments)
{
    uint32_t reserve = RESERVE_SEGMENTS + (uint32_t)((uint64_t)segments * RESERVE_PERCENT / 100u);
    return reserve < RESERVE_SEGMENTS_MIN ? RESERVE_SEGMENTS_MIN : reserve;
}

uint32_t cof_reserve_segments(const struct coffer_store *store)
{
    return reserve_of(store->segments.ceiling);
}

static uint64_t capacity_of(const struct coffer_store *store, uint32_t segments)
{
    return (uint64_t)(segments - ROOT_SEGMENTS - reserve_of(segments)) * store->segment_blocks;
}

uint64_t cof_capacity_blocks(const struct coffer_store *store)
{
    return capacity_of(store, store->segments.ceiling);
}

/* The reserve grows by one segment at most where the store does, so the capacity never falls. */
uint32_t cof_segments_needed(const struct coffer_store *store)
{
    uint32_t fewest = COF_SEGMENTS_MIN, most = store->segments.count;
    while (fewest < most) {
        uint32_t middle = fewest + (most - fewest) / 2u;
        if (capacity_of(store, middle) < store->segments.live_total) {
            fewest = middle + 1u;
        } else {
            most = middle;
        }
    }
    return fewest;
}

/* Whether what lives, with `grown` pages more, stays below the reserve. */
static bool fits(const struct coffer_store *store, uint64_t grown)
{
    uint64_t live = store->segments.live_total;
    live -= live < store->deaths_ahead ? live : store->deaths_ahead;
    return live + grown <= cof_capacity_blocks(store);
}

static bool above(const struct coffer_store *store, uint32_t percent)
{
    return store->segments.live_total > cof_capacity_blocks(store) / 100u * percent;
}

bool cof_space_is_low(const struct coffer_store *store)
{
    return above(store, store->warn_percent);
}

void cof_space_warn(struct coffer_store *store)
{
    uint32_t less = store->warn_percent > WARN_HYSTERESIS ? WARN_HYSTERESIS : 0u;
    bool low = cof_space_is_low(store);
    if (low && !store->warned) {
        cof_log(&store->env, COFFER_LOG_WARN,
                "the store is %u %% full: make it larger, or delete what is not needed",
                (unsigned)(store->segments.live_total * 100u / cof_capacity_blocks(store)));
    }
    store->warned = low || (store->warned && above(store, store->warn_percent - less));
}

/* Nodes that a checkpoint may write more for pages that follow each other. */
static uint64_t nodes_above(uint64_t pages)
{
    return (pages / COF_NODE_FANOUT + 2u) * COF_MAP_LEVELS_MAX;
}

/* Whether the log has segments for `pages` pages, at two blocks each, and the checkpoint after them
 * has room. Ample: and leaves what the cleaner must have. */
static bool log_has_room(const struct coffer_store *store, uint64_t pages, bool *ret_ample)
{
    const struct cof_lane *lane = &store->lane;
    uint64_t more, need = need_with(store, pages, &more) + nodes_above(pages);
    uint64_t usable = usable_blocks(store), kept = kept_for(store, need);
    uint64_t free_segments = store->segments.free_count;
    uint64_t room = free_segments > kept ? (free_segments - kept) * usable : 0;
    if (lane->segment != COF_NO_SEGMENT &&
        lane->block + COF_FOOTER_BLOCKS + 4u < store->segment_blocks) {
        room += store->segment_blocks - lane->block - COF_FOOTER_BLOCKS - 4u;
    }
    room += lane->next_segment != COF_NO_SEGMENT ? usable : 0u;
    *ret_ample = leaves_room(store, need + more, COF_SPARE_WRITE);
    return pages * 2u <= room && has_room(store, need + more, COF_SPARE_WRITE);
}

int cof_log_ready(struct coffer_store *store, uint64_t pages)
{
    struct patience patience = {store->segments.free_count, 0};
    bool ample, room = log_has_room(store, pages, &ample);
    int err = 0;
    for (unsigned i = 0; err == 0 && (!room || (!ample && i < RELIEFS_FOR_MORE)); i++) {
        err = relieve(store, &patience);
        room = log_has_room(store, pages, &ample);
    }
    err = err == COFFER_E_NO_SPACE && room ? 0 : err;
    return store->error != 0 ? COFFER_E_FAILED : err;
}

int cof_log_help(struct coffer_store *store)
{
    return store->lane.next_segment == COF_NO_SEGMENT || store->lane.next_announced
               ? cof_store_relieve(store, true)
               : cof_checkpoint_whole(store, 0);
}

/* Pages of the range that have no page of the volume's own under them: what is overwritten there
 * stays, with a snapshot or because it was nothing. What can't be read is taken for new. */
static uint64_t count_grown(struct coffer_volume *volume, uint64_t page, uint64_t pages)
{
    const struct cof_birth *birth = volume->store->birth;
    uint64_t held = volume->cut.pages, grown = 0;
    if (birth != NULL && birth->volume == volume && !birth->done && birth->cut > held) {
        held = birth->cut;
    }
    for (uint64_t i = 0; i < pages; i++) {
        struct cof_vaddr addr;
        grown += cof_volume_lookup(volume, page + i, &addr) != 0 || cof_vaddr_zero(addr) ||
                         cof_vaddr_position(addr) <= held
                     ? 1u
                     : 0u;
    }
    return grown;
}

bool cof_store_admits(const struct coffer_store *store, uint64_t pages)
{
    bool ample;
    return store->error == 0 && log_has_room(store, pages, &ample) && fits(store, pages);
}

int cof_store_admit(struct coffer_volume *volume, uint64_t page, uint64_t pages)
{
    struct coffer_store *store = volume->store;
    uint64_t grown;
    int err = cof_log_ready(store, pages);
    if (err != 0 || fits(store, pages)) {
        return err;
    }
    grown = count_grown(volume, page, pages);
    if (grown > 0 && !fits(store, grown)) {
        err = cof_checkpoint_whole(store, 0);
        if (err == 0) {
            err = cof_log_ready(store, pages);
        }
        if (err != 0) {
            return err;
        }
        grown = count_grown(volume, page, pages);
        if (grown > 0 && !fits(store, grown)) {
            return COFFER_E_NO_SPACE;
        }
    }
    store->deaths_ahead += pages - grown;
    return 0;
}

int cof_import_admit(struct coffer_store *store, uint64_t pages)
{
    unsigned spare = (unsigned)(COF_SPARE_WRITE + pages / usable_blocks(store) + 1u);
    int err = fits(store, pages) ? 0 : cof_checkpoint_whole(store, 0);
    if (err == 0 && !fits(store, pages)) {
        err = COFFER_E_NO_SPACE;
    }
    return err == 0 ? cof_checkpoint_ready(store, pages * 2u, spare) : err;
}

/* ---- time ---- */

/* Log that may wait for a checkpoint: an eighth of what does not live, which is what the cleaner
 * lives on (docs/decisions/0015). */
static uint64_t log_pages_due(const struct coffer_store *store)
{
    uint64_t blocks = (uint64_t)(store->segments.ceiling - ROOT_SEGMENTS) * store->segment_blocks;
    uint64_t live = store->segments.live_total;
    uint64_t due = live < blocks ? (blocks - live) / 8u : 0u;
    return due < LOG_PAGES_MAX ? due : LOG_PAGES_MAX;
}

bool cof_checkpoint_due(struct coffer_store *store)
{
    uint64_t dirty = 0, kills = 0, bytes = 0;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        dirty += volume->active.count;
        kills += volume->active_kills.count;
        bytes += cof_delta_bytes(&volume->active);
    }
    if (dirty == 0 && kills == 0) {
        return false;
    }
    return store->keys_wanted || dirty + kills >= store->delta_entries_max ||
           bytes >= store->delta_entries_max * COF_DELTA_ENTRY_BYTES ||
           store->log_pages_since_checkpoint >= log_pages_due(store) ||
           cof_monotonic_ns(&store->env) - store->checkpoint.last_ns >= store->checkpoint_ns;
}
