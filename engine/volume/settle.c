/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/settle.c - a root that is made becomes durable, and what it gives up is free.
 *
 * What a root says, and which segments it does not need, are taken when it is made, when all that
 * it names was written. Then, in steps between which the lock may be let go:
 *
 *   LOG_SYNC --none of the log's is under way--> LANE_SYNC --the lane's--> FLIP --both--> over
 *
 * Invariants
 *  1. All that a root names was synced before it.
 *  2. A segment is reused only after the roots that do not need it are durable: one that died after
 *     the root was made waits for the next.
 *  3. Until the root is durable the cleaner publishes nothing, and the log begins no sync: of two
 *     syncs at a time, one may have the error and the other lie.
 * Under the store's lock throughout. Why in steps: docs/decisions/0026.
 */
#include "volume/store.h"

#include "base/testhook.h"

#define POOL_SEGMENTS_MIN 64u
#define TRIMS_MAX 256u /* a root */

/* ---- roots ---- */

static void build_root(struct coffer_store *store, bool clean, struct cof_root *root)
{
    *root = store->root;
    root->clean = clean;
    root->catalogue = store->catalogue_tree.root;
    root->placement = store->placement_tree.root;
    root->segments = store->segment_tree.root;
    root->placement_records =
        store->placement_tree.records_known ? store->placement_tree.record_count + 1u : 0u;
    root->next_extent = store->next_extent;
    root->next_number = store->next_number;
    root->next_sequence = store->segments.next_sequence;
    root->conditioned = store->segments.conditioned;
    root->segment_count = store->segments.count;
    root->lanes[COF_LANE_USER] = store->checkpoint.head;
    root->lanes[COF_LANE_USER].durable_upto = store->lane.durable_upto;
    cof_lane_head(&store->meta, &root->lanes[COF_LANE_CHECKPOINT]);
    if (store->lane.segment == store->checkpoint.head.segment &&
        root->lanes[COF_LANE_USER].next_segment == COF_NO_SEGMENT) {
        root->lanes[COF_LANE_USER].next_segment = store->lane.next_segment;
        /* Where no segment was begun yet nothing but roots can name it: the next ones, too. */
        store->checkpoint.head.next_segment = store->lane.next_segment;
    }
}

/* ---- space ---- */

static void condemn(struct coffer_store *store)
{
    uint32_t keep[5u + COF_CLEANER_HEADS_MAX] = {store->lane.segment, store->lane.next_segment,
                                                 store->meta.segment, store->meta.next_segment,
                                                 store->checkpoint.head.segment};
    for (unsigned i = 0; i < COF_CLEANER_HEADS_MAX; i++) {
        keep[5u + i] = store->cleaner.heads[i].segment;
    }
    cof_segments_condemn(&store->segments, keep, 5u + COF_CLEANER_HEADS_MAX,
                         store->checkpoint.head_sequence);
}

/* Give the space of free segments back to the file system or device, the highest first, but for a
 * pool of written ones, a quarter of the store: appends to those run at up to twice the speed, so
 * what a busy volume frees and takes again has to stay. A failure only keeps the space. */
static void give_back(struct coffer_store *store)
{
    struct cof_segments *segments = &store->segments;
    uint32_t pool =
        segments->count / 4u > POOL_SEGMENTS_MIN ? segments->count / 4u : POOL_SEGMENTS_MIN;
    uint32_t at = segments->ceiling;
    for (unsigned i = 0; i < TRIMS_MAX && segments->free_count > segments->hole_count + pool; i++) {
        at = cof_segments_written(segments, at);
        if (at == COF_NO_SEGMENT || cof_sync_io_control(&store->io, COFFER_SEGDEV_TRIM, at) != 0) {
            return;
        }
        cof_segments_given_back(segments, at);
    }
}

/* What a negative control must catch: segments that only the coming root gives up, given up now. */
void cof_segments_free_early(struct coffer_store *store)
{
    condemn(store);
    (void)cof_segments_collect(&store->segments);
    for (uint32_t i = 0; i < store->segments.conditioned; i++) {
        if (store->segments.table[i].state == COF_SEGMENT_FREE) {
            (void)!cof_sync_io_control(&store->io, COFFER_SEGDEV_TRIM, i);
        }
    }
}

/* ---- making ---- */

/* The root of what is written, and what it does not need: all as of now. */
int cof_settle_begin(struct coffer_store *store, bool clean)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    struct cof_root root;
    build_root(store, clean, &root);
    if (!clean) {
        condemn(store);
    }
    checkpoint->clean = clean;
    checkpoint->lane_batch = cof_lane_last(&store->meta);
    checkpoint->lane_sequence = store->meta.sequence;
    checkpoint->settling = COF_SETTLING_LOG_SYNC;
    checkpoint->state = COF_CHECKPOINT_SETTLE;
    cof_cleaning_condemned(store);
    cof_lane_hold_syncs(&store->lane, true);
    return cof_roots_begin(store, &root);
}

int cof_settle_roots(struct coffer_store *store)
{
    store->checkpoint.full = false;
    return cof_settle_begin(store, false);
}

/* ---- settling ---- */

static void settle_full(struct coffer_store *store)
{
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        volume->frozen_valid = false;
    }
    cof_free(&store->env, store->frozen_extents);
    store->frozen_extents = NULL;
    store->frozen_count = 0;
    store->checkpoint.count++;
    store->deaths_ahead -= store->frozen_deaths_ahead;
    store->frozen_deaths_ahead = 0;
    store->checkpoint.last_ns = cof_monotonic_ns(&store->env);
}

/* The roots are durable. */
static void settled(struct coffer_store *store)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    cof_lane_hold_syncs(&store->lane, false);
    if (store->root.lanes[COF_LANE_USER].next_segment == store->lane.next_segment) {
        cof_lane_announced(&store->lane);
    }
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        cof_keys_listed(volume);
    }
    if (checkpoint->full) {
        settle_full(store);
    }
    if (!checkpoint->clean) {
        (void)cof_segments_collect(&store->segments);
        give_back(store);
    }
    cof_cleaning_settled(store, checkpoint->lane_sequence);
    checkpoint->state = COF_CHECKPOINT_IDLE;
}

/* Waits for no sync of the log's, with wait for one answer. */
static int end_log_sync(struct coffer_store *store, bool wait)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    struct cof_lane *log = &store->lane, *meta = &store->meta;
    int moved = log->sync_in_flight ? cof_lane_poll(log, wait) : 0;
    if (log->error != 0 || moved < 0) {
        return log->error != 0 ? log->error : moved;
    }
    if (log->sync_in_flight) {
        return moved;
    }
    /* Where the lane has nothing to sync there is none that could make the log durable. */
    checkpoint->lane_syncs = !meta->sync_in_flight && meta->durable_upto < checkpoint->lane_batch;
    if (checkpoint->lane_syncs) {
        cof_lane_sync_begins(log);
    }
    cof_lane_want_durable(meta, checkpoint->lane_batch);
    checkpoint->settling = COF_SETTLING_LANE_SYNC;
    return 1;
}

static int end_lane_sync(struct coffer_store *store, bool wait)
{
    struct cof_lane *meta = &store->meta;
    int moved = 0;
    if (meta->durable_upto < store->checkpoint.lane_batch) {
        moved = cof_lane_busy(meta) ? cof_lane_poll(meta, wait) : COFFER_E_INTERNAL;
    }
    if (meta->error != 0 || moved < 0) {
        return meta->error != 0 ? meta->error : moved;
    }
    if (meta->durable_upto < store->checkpoint.lane_batch) {
        return moved;
    }
    if (store->checkpoint.lane_syncs) {
        cof_lane_synced(&store->lane);
    }
    store->checkpoint.settling = COF_SETTLING_FLIP;
    return 1;
}

int cof_settle_step(struct coffer_store *store, bool wait)
{
    enum cof_settling before = store->checkpoint.settling;
    bool durable = false;
    int moved = before == COF_SETTLING_LOG_SYNC    ? end_log_sync(store, wait)
                : before == COF_SETTLING_LANE_SYNC ? end_lane_sync(store, wait)
                                                   : cof_roots_step(store, wait, &durable);
    if (moved > 0 && durable) {
        settled(store);
    }
    if (moved > 0) {
        cof_queues_wake(store); /* what they may wait for is another descriptor now */
    }
    return moved;
}

int cof_settle_fd(struct coffer_store *store)
{
    const struct cof_checkpoint *checkpoint = &store->checkpoint;
    if (checkpoint->state != COF_CHECKPOINT_SETTLE || store->geometry.works_in_poll ||
        checkpoint->settling == COF_SETTLING_LOG_SYNC) {
        return -1;
    }
    return checkpoint->settling == COF_SETTLING_LANE_SYNC ? cof_lane_fd(&store->meta)
                                                          : cof_roots_fd(store);
}
