/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/finish.c - the end of a checkpoint: deaths, trees, tables, roots, and the space that they
 * give up.
 *
 * Applies the deaths that the merges collected, writes placement, catalogue and segment table into
 * the checkpoint lane, and makes the root that names them. Then, in steps between which the lock
 * may be let go:
 *
 *   LOG_SYNC --none of the log's is under way--> LANE_SYNC --the lane's--> FLIP --both--> over
 *
 * and what had died when the root was made is free. A light checkpoint is this alone.
 *
 * Invariants
 *  1. All that a root names was synced before it, and stands in the root as it was when the tables
 *     were written: what comes after that is the next root's.
 *  2. A segment is reused only after the roots that do not need it are durable.
 *  3. The persisted counts, bitmaps and trees are those of the freeze: what was appended after it
 *     is young, and left to the log.
 *  4. Until the root is durable the cleaner publishes nothing, and the log begins no sync.
 * Under the store's lock throughout.
 */
#include "volume/store.h"

#include "base/testhook.h"

#include <string.h>

#define POOL_SEGMENTS_MIN 64u
#define TRIMS_MAX 256u /* a checkpoint */

/* ---- blocks of trees ---- */

static int put_raw(void *ctx, enum cof_raw_kind kind, uint64_t key, const uint8_t *bytes,
                   unsigned blocks, struct cof_tree_pointer *ret_place)
{
    struct coffer_store *store = ctx;
    struct cof_lane *lane = &store->meta;
    const struct cof_batch *batch;
    unsigned first;
    bool small;
    for (;;) {
        int err = cof_lane_prepare(lane, true);
        if (err == COFFER_E_AGAIN) {
            err = cof_lane_poll(lane, true) < 0 ? COFFER_E_IO : 0;
            if (err == 0) {
                continue;
            }
        }
        if (err != 0) {
            return err;
        }
        if (cof_lane_room(lane, NULL, 0, false) >= blocks) {
            break;
        }
        small = lane->open_batch->pages == 0; /* the rest of the segment does not hold it */
        cof_lane_close_batch(lane);
        if (small) {
            cof_lane_leave_segment(lane);
        }
    }
    batch = lane->open_batch;
    first = cof_lane_place_raw(lane, (uint64_t)kind << 56 | key, bytes, blocks);
    ret_place->segment = batch->segment;
    ret_place->block = (uint16_t)(batch->block + 1u + first);
    ret_place->blocks = (uint16_t)blocks;
    return 0;
}

/* Records behind the end of a store that was made smaller. */
static int drop_records(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    int err = 0;
    for (unsigned record = cof_segments_records(&store->segments);
         err == 0 && record < store->segments.records_written; record++) {
        err = cof_ptree_write(&store->segment_tree, writer, record, NULL, 0);
    }
    store->segments.records_written = cof_segments_records(&store->segments);
    return err;
}

static int write_segment_table(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    uint8_t block[4096];
    bool again = true;
    int err = drop_records(store, writer);
    while (err == 0 && again) {
        again = false;
        for (unsigned record = 0; record < cof_segments_records(&store->segments); record++) {
            if (!store->segments.dirty[record]) {
                continue;
            }
            store->segments.dirty[record] = false;
            again = true;
            cof_segments_record_encode(&store->segments, record, block);
            err = cof_ptree_write(&store->segment_tree, writer, record, block, 1);
            if (err != 0) {
                return err;
            }
        }
        err = cof_ptree_flush(&store->segment_tree, writer);
    }
    return err;
}

/* ---- deaths ---- */

/* The run lists of a merged volume's tail are not needed any more, nor are its summaries. */
static int settle_tail(struct coffer_store *store, const struct coffer_volume *volume)
{
    for (uint64_t extent = volume->frozen_tail_first;
         extent <= volume->frozen_tail_last && volume->frozen_tail_last != 0; extent++) {
        struct cof_desc *desc;
        int err = cof_place_next(&store->place, COF_LINEAGE_LOCAL, &extent, &desc);
        if (err == COFFER_E_NOT_FOUND || (err == 0 && extent > volume->frozen_tail_last)) {
            break;
        }
        if (err != 0) {
            return err;
        }
        if (desc->volume != volume->number || !desc->pinned || desc->young) {
            continue;
        }
        desc->pinned = false;
        cof_segments_pin(&store->segments, desc->pieces[0].segment, -1);
        err = cof_place_touch(&store->place, desc);
        if (err == 0 && desc->summary) {
            err = cof_place_kill(&store->place, COF_LINEAGE_LOCAL, extent, COF_SUMMARY_SLOT);
        }
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int cof_deaths_spill(struct coffer_store *store)
{
    struct cof_raw_writer writer = {store, put_raw};
    return cof_place_spill(&store->place, &writer);
}

int cof_death_add(struct cof_kills *deaths, const struct coffer_volume *volume,
                  struct cof_vaddr addr)
{
    return cof_lineage_of(volume, addr) == COF_LINEAGE_NONE
               ? 0
               : cof_kills_add(deaths, cof_store_address(volume, addr));
}

/* Those from the first on that are of its extent. */
static uint64_t of_one_extent(const struct cof_kills *deaths, uint64_t first)
{
    const struct cof_vaddr *addrs = deaths->addrs + first;
    uint64_t count = 1;
    while (first + count < deaths->count &&
           cof_vaddr_extent(addrs[count]) == cof_vaddr_extent(addrs[0]) &&
           cof_vaddr_index(addrs[count]) == cof_vaddr_index(addrs[0])) {
        count++;
    }
    return count;
}

int cof_deaths_apply(struct coffer_store *store, struct cof_kills *deaths)
{
    int err = cof_kills_sort(deaths);
    for (uint64_t i = 0, count; err == 0 && i < deaths->count; i += count) {
        count = of_one_extent(deaths, i);
        err = cof_place_kill_all(&store->place, deaths->addrs + i, count);
        if (err == 0) {
            err = cof_deaths_spill(store);
        }
    }
    return err;
}

/* Of all volumes that were merged, each bucket's together, so that it is written once; then the
 * tails, whose buckets change in any case and are pinned until then. */
static int apply_deaths(struct coffer_store *store)
{
    struct cof_kills deaths;
    int err = 0;
    cof_kills_init(&deaths, &store->env);
    for (struct coffer_volume *volume = store->volumes; err == 0 && volume != NULL;
         volume = volume->next) {
        for (uint64_t i = 0; err == 0 && volume->frozen_valid && i < volume->frozen_kills.count;
             i++) {
            err = cof_death_add(&deaths, volume, volume->frozen_kills.addrs[i]);
        }
        cof_kills_done(&volume->frozen_kills);
    }
    if (err == 0) {
        err = cof_deaths_apply(store, &deaths);
    }
    cof_kills_done(&deaths);
    for (struct coffer_volume *volume = store->volumes; err == 0 && volume != NULL;
         volume = volume->next) {
        err = volume->frozen_valid ? settle_tail(store, volume) : 0;
    }
    return err;
}

/* The sealed record of an open volume, as of the freeze (full) or with only its keys renewed. */
static int write_record(struct coffer_volume *volume, const struct cof_raw_writer *writer,
                        bool full)
{
    struct cof_record *record = &volume->record;
    int err = cof_keys_flush(volume, writer);
    if (err == 0) {
        err = cof_taglist_flush(volume, writer);
    }
    if (err != 0) {
        return err;
    }
    if (volume->encrypted) {
        cof_keys_reserve_uses(volume);
    }
    record->size_pages = volume->size_pages;
    if (full && volume->frozen_valid) {
        record->height = volume->tree.height;
        record->root_address = volume->tree.root.bits;
        record->mapped_pages = volume->mapped_pages;
        record->chain_extent = volume->frozen_chain_extent;
        record->chain_slots = (uint16_t)volume->frozen_chain_slots;
        volume->item->entry.tail_first = 1;
        volume->item->entry.tail_last = 0;
    }
    record->modified_ns = cof_wall_ns(&volume->store->env);
    volume->item->entry.data_keys = volume->ek_count;
    return cof_record_seal(volume->vk, volume->vk_uuid, volume->item, record);
}

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

/* ---- all of it ---- */

/* A snapshot or a clone comes into the catalogue. */
static int bear(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    struct cof_birth *birth = store->birth;
    int err = birth->write(birth, writer);
    if (err == 0 && birth->item != NULL) {
        cof_catalogue_append(store, birth->item);
        birth->item->dirty = true;
        store->root.incompat |= COF_INCOMPAT_SNAPSHOTS;
    }
    birth->done = err == 0;
    return err;
}

static int write_all(struct coffer_store *store, bool full)
{
    struct cof_raw_writer writer = {store, put_raw};
    int err = full ? apply_deaths(store) : 0;
    if (COF_BROKEN(EARLY_FREE)) {
        cof_segments_free_early(store);
    }
    if (err == 0) {
        err = cof_place_flush(&store->place, &writer);
    }
    for (struct coffer_volume *volume = store->volumes; err == 0 && volume != NULL;
         volume = volume->next) {
        err = volume->read_only || volume->deleting ? 0 : write_record(volume, &writer, full);
    }
    store->keys_wanted = false;
    if (err == 0 && store->birth != NULL && !store->birth->done) {
        err = bear(store, &writer);
    }
    if (err == 0) {
        err = cof_catalogue_flush(store, &writer);
    }
    if (err == 0) {
        err = cof_cleaning_renew(store, &writer);
    }
    if (err == 0) {
        err = cof_ptree_flush(&store->catalogue_tree, &writer);
    }
    if (err == 0) {
        err = cof_ptree_flush(&store->placement_tree, &writer);
    }
    if (err == 0) {
        err = write_segment_table(store, &writer);
    }
    cof_lane_close_batch(&store->meta);
    return err;
}

/* The root of what is written, and what it does not need: all as of now. */
static int make_root(struct coffer_store *store, bool clean)
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

int cof_checkpoint_roots(struct coffer_store *store)
{
    store->checkpoint.full = false;
    return make_root(store, false);
}

int cof_checkpoint_finish(struct coffer_store *store, bool full, bool clean)
{
    int err = cof_arena_usable(store->arena);
    if (err == 0) {
        err = write_all(store, full);
    }
    if (err != 0) {
        return err;
    }
    store->checkpoint.full = full;
    return make_root(store, clean);
}

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
    struct cof_lane *log = &store->lane;
    int moved = log->sync_in_flight ? cof_lane_poll(log, wait) : 0;
    if (log->error != 0 || moved < 0) {
        return log->error != 0 ? log->error : moved;
    }
    if (log->sync_in_flight) {
        return moved;
    }
    cof_lane_sync_begins(log);
    cof_lane_want_durable(&store->meta, store->checkpoint.lane_batch);
    store->checkpoint.settling = COF_SETTLING_LANE_SYNC;
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
    cof_lane_synced(&store->lane);
    store->checkpoint.settling = COF_SETTLING_FLIP;
    return 1;
}

int cof_checkpoint_settle_step(struct coffer_store *store, bool wait)
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

int cof_checkpoint_fd(struct coffer_store *store)
{
    const struct cof_checkpoint *checkpoint = &store->checkpoint;
    if (checkpoint->state != COF_CHECKPOINT_SETTLE || store->geometry.works_in_poll ||
        checkpoint->settling == COF_SETTLING_LOG_SYNC) {
        return -1;
    }
    return checkpoint->settling == COF_SETTLING_LANE_SYNC ? cof_lane_fd(&store->meta)
                                                          : cof_roots_fd(store);
}
