/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/space.c - whether there is room: for pages that a caller wants to write, and for the
 * checkpoint that must follow them; and when a checkpoint is due.
 *
 * A checkpoint that runs out of space half-way fails the store, so none may begin without the
 * blocks that it can need at most. Whoever may wait leaves more segments free than whoever must
 * not: writes leave those that an administrator's calls need, these leave one that a volume can be
 * opened with, and the opening of the store takes what there is.
 * Under the store's lock throughout.
 */
#include "volume/store.h"

#define LOG_PAGES_MAX (UINT64_C(4) << 20) /* 16 GiB of log */

/* ---- room ---- */

/* Blocks of a segment that one can count on: the rest may go with batch headers and with what does
 * not fit its end. */
static uint64_t usable_blocks(const struct coffer_store *store)
{
    return (uint64_t)(store->segment_blocks - 4u) * 9u / 10u;
}

/* Blocks that a checkpoint of what is dirty may need: a leaf and its parents, a bucket for each
 * death, the entries of volumes that are written to, and the tables. */
static uint64_t checkpoint_need(const struct coffer_store *store)
{
    uint64_t buckets = store->next_extent / COF_BUCKET_EXTENTS + 2u;
    uint64_t leaves = 2u, dirty = 0, entries = 4u * COF_ENTRY_BLOCKS;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        leaves += volume->active.leaf_estimate + volume->frozen.leaf_estimate + 2u;
        dirty += volume->active.count + volume->frozen.count + volume->active_kills.count;
        entries += COF_ENTRY_BLOCKS + volume->ek_count / COF_EK_PER_PART;
    }
    if (dirty > buckets) {
        dirty = buckets; /* a volume's pages die under the store's own lineage only */
    }
    return leaves * 2u + dirty * COF_BUCKET_BLOCKS + entries;
}

int cof_checkpoint_room(const struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    uint64_t free_segments = store->segments.free_count;
    uint64_t here = 0;
    if (store->meta.segment != COF_NO_SEGMENT &&
        store->meta.block + COF_FOOTER_BLOCKS < store->segment_blocks) {
        here = (store->segment_blocks - store->meta.block - COF_FOOTER_BLOCKS) / 2u;
    }
    free_segments += store->meta.next_segment != COF_NO_SEGMENT ? 1u : 0u;
    free_segments -= free_segments < spare ? free_segments : spare;
    return checkpoint_need(store) + blocks <= here + free_segments * usable_blocks(store)
               ? 0
               : COFFER_E_NO_SPACE;
}

int cof_checkpoint_ready(struct coffer_store *store, uint64_t blocks, unsigned spare)
{
    int err = cof_checkpoint_settle(store);
    return err == 0 ? cof_checkpoint_room(store, blocks, spare) : err;
}

uint32_t cof_segments_kept(const struct coffer_store *store)
{
    uint32_t kept = store->segments.count / 32u;
    return kept < 4u ? 4u : kept;
}

int cof_store_admit(struct coffer_store *store, uint64_t pages)
{
    uint64_t usable = usable_blocks(store), kept = cof_segments_kept(store);
    uint64_t free_segments = store->segments.free_count;
    uint64_t spare = free_segments > kept ? (free_segments - kept) * usable : 0;
    uint64_t here = 0;
    bool dirty = false;
    if (store->lane.segment != COF_NO_SEGMENT &&
        store->lane.block + COF_FOOTER_BLOCKS + 4u < store->segment_blocks) {
        here = (store->segment_blocks - store->lane.block - COF_FOOTER_BLOCKS - 4u) / 2u;
    }
    here += store->lane.next_segment != COF_NO_SEGMENT && store->lane.next_announced ? usable : 0u;
    if (pages * 2u <= here + spare &&
        cof_checkpoint_room(store, pages * COF_BUCKET_BLOCKS, COF_SPARE_WRITE) == 0) {
        return 0;
    }
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        dirty = dirty || volume->active.count != 0 || volume->active_kills.count != 0 ||
                volume->frozen_valid;
    }
    return dirty ? COFFER_E_AGAIN : COFFER_E_NO_SPACE;
}

/* ---- time ---- */

/* Log that may wait for a checkpoint: an eighth of the free space, which it ties up, or 1/32 of the
 * store when that is more. Rarer is quicker: each checkpoint holds the lane for its syncs. */
static uint64_t log_pages_due(const struct coffer_store *store)
{
    uint64_t free_pages = (uint64_t)store->segments.free_count * store->segment_blocks;
    uint64_t store_pages = (uint64_t)store->segments.count * store->segment_blocks;
    return free_pages / 8u > store_pages / 32u ? free_pages / 8u : store_pages / 32u;
}

bool cof_checkpoint_due(struct coffer_store *store)
{
    uint64_t dirty = 0, kills = 0;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        dirty += volume->active.count;
        kills += volume->active_kills.count;
    }
    if (dirty == 0 && kills == 0) {
        return false;
    }
    return store->keys_wanted || dirty + kills >= store->delta_entries_max ||
           store->log_pages_since_checkpoint >= LOG_PAGES_MAX ||
           store->log_pages_since_checkpoint >= log_pages_due(store) ||
           cof_monotonic_ns(&store->env) - store->checkpoint.last_ns >= store->checkpoint_ns;
}
