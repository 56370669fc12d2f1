/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/shrink.c - a smaller store: the segments that go are emptied while everything goes on.
 *
 *   fit      what lives fits the smaller store, and nothing lies there that can't move: else it is
 *            refused, with nothing changed
 *   start    segments that stay are cleaned until some are free, for what comes
 *   cap      no segment that goes is taken any more; lanes and cleaner heads leave theirs
 *   empty    each that has anything is a victim; trees' blocks are written anew
 *   commit   the root says that there are fewer
 *
 * Until the commit all this is in memory, or is what the cleaner does anyway: stopped, or after a
 * crash, the store has the size that it had. The log leaves its segments as it always does, by one
 * header after another, so replay follows it whenever it has to.
 * Under the store's lock, which is let go between victims.
 */
#include "volume/store.h"

#include "base/testhook.h"

#define START_SEGMENTS 4u   /* for lanes and heads, beyond what the cleaner wants free */
#define RELIEFS_MAX 100000u /* an end, should each help and none be enough */

struct shrink {
    struct coffer_store *store;
    const struct coffer_store_resize_opts *opts;
    struct coffer_fault *fault;
    uint32_t count;                     /* segments that stay */
    uint64_t total_blocks, done_blocks; /* of what goes, a block more for each segment */
};

static int failed(const struct shrink *shrink, int err)
{
    err = shrink->store->error != 0 ? COFFER_E_FAILED : err;
    return cof_fault(shrink->fault, err, COFFER_STAGE_NONE, "the store can't be made smaller: %s",
                     coffer_error_sentence(err));
}

/* ---- fit ---- */

static int check_fit(const struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    uint32_t needed = cof_segments_needed(store);
    if (needed <= shrink->count) {
        return 0;
    }
    return cof_fault(shrink->fault, COFFER_E_NO_SPACE, COFFER_STAGE_NONE,
                     "what lives in the store does not fit: it needs %llu MiB at least",
                     (unsigned long long)needed * (store->root.segment_bytes >> 20));
}

static bool stands_there(const struct shrink *shrink, const struct cof_catalogue_item *item)
{
    struct coffer_store *store = shrink->store;
    for (uint64_t extent = item->entry.tail_first;
         extent <= item->entry.tail_last && extent < store->next_extent; extent++) {
        struct cof_desc *desc;
        if (cof_place_next(&store->place, COF_LINEAGE_LOCAL, &extent, &desc) != 0 ||
            extent > item->entry.tail_last) {
            return false;
        }
        if (desc->volume == item->entry.number && desc->pinned &&
            desc->pieces[0].segment >= shrink->count) {
            return true;
        }
    }
    return false;
}

/* The log of a volume that nobody opened since stays where it is: its lists need its key. */
static int check_tails(const struct shrink *shrink)
{
    for (struct cof_catalogue_item *item = shrink->store->items; item != NULL; item = item->next) {
        char id[COFFER_RESOURCE_ID_BYTES];
        if ((item->open == NULL || item->open->read_only) && stands_there(shrink, item)) {
            cof_resource_id("vol", item->entry.uuid, id);
            return cof_fault(shrink->fault, COFFER_E_BUSY, COFFER_STAGE_LOG,
                             "volume %s has a log that lies in what would go, and only its key "
                             "can settle it: open the volume for writing once, and close it",
                             id);
        }
    }
    return 0;
}

/* ---- start, cap ---- */

static int relieve_until(struct coffer_store *store, uint32_t stay, uint32_t wanted)
{
    for (uint32_t i = 0; i < RELIEFS_MAX; i++) {
        int err;
        if (cof_segments_free_below(&store->segments, stay) >= cof_cleaning_low(store) + wanted) {
            return 0;
        }
        err = cof_store_relieve(store, true);
        if (err != 0) {
            return err;
        }
    }
    return COFFER_E_NO_SPACE;
}

static int leave_segments(struct shrink *shrink, struct cof_lane *lane)
{
    struct coffer_store *store = shrink->store;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < RELIEFS_MAX &&
                         (lane->segment >= shrink->count || lane->next_segment >= shrink->count);
         i++) {
        err = cof_checkpoint_settle(store);
        if (err == 0) {
            err = cof_lane_move_on(lane);
        }
        if (err == COFFER_E_AGAIN) {
            err = cof_lane_poll(lane, false) < 0 ? COFFER_E_FAILED : 0;
            cof_checkpoint_breathe(store);
        } else if (err == COFFER_E_NO_SPACE) {
            err = lane == &store->lane ? cof_log_help(store) : cof_store_relieve(store, true);
        }
    }
    return err;
}

/* From here on nothing is put into what goes; what stands there is old with the checkpoint. */
static int leave_all(struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    int err = cof_cleaner_leave(&store->cleaner, shrink->count);
    if (err != 0) {
        cof_store_fail(store, err);
        return err;
    }
    err = leave_segments(shrink, &store->lane);
    if (err == 0) {
        err = leave_segments(shrink, &store->meta);
    }
    return err == 0 ? cof_checkpoint_run(store, false) : err;
}

/* ---- empty ---- */

static bool is_used(const struct cof_segment *segment)
{
    return segment->state == COF_SEGMENT_USED;
}

static uint64_t blocks_of(const struct cof_segment *segment)
{
    return is_used(segment) ? 1u + segment->live + segment->own : 0u;
}

/* What is left to do; ret_busy: some of it waits for reads to end. */
static uint64_t blocks_left(const struct shrink *shrink, uint32_t *ret_segment, bool *ret_busy)
{
    const struct cof_segments *segments = &shrink->store->segments;
    uint64_t blocks = 0;
    *ret_busy = false;
    for (uint32_t i = segments->count; i > shrink->count; i--) {
        const struct cof_segment *segment = &segments->table[i - 1u];
        blocks += blocks_of(segment);
        if (is_used(segment)) {
            *ret_segment = i - 1u;
            *ret_busy = *ret_busy || segment->readers > 0 || segment->moving > 0;
        }
    }
    return blocks;
}

/* Let others in, and the caller say stop. */
static int tell(struct shrink *shrink)
{
    const struct coffer_store_resize_opts *opts = shrink->opts;
    int stop = 0;
    pthread_mutex_unlock(&shrink->store->lock);
    if (opts->on_progress != NULL) {
        stop = opts->on_progress(opts->ctx, shrink->done_blocks * COF_BLOCK_BYTES,
                                 shrink->total_blocks * COF_BLOCK_BYTES);
    }
    pthread_mutex_lock(&shrink->store->lock);
    if (stop != 0) {
        cof_fault(shrink->fault, stop, COFFER_STAGE_NONE,
                  "stopped: the store has the size that it had");
    }
    return stop;
}

/* One victim; that it did not move is found by the next look. */
static int clean(struct shrink *shrink, uint32_t segment)
{
    struct coffer_store *store = shrink->store;
    int err = 0;
    if (store->cleaning.waiting_count == COF_WAITING_MAX) {
        err = cof_store_relieve(store, true);
    }
    if (err == 0) {
        err = relieve_until(store, shrink->count, 0);
    }
    if (err == 0 && store->cleaner.state != COF_CLEANER_IDLE) {
        (void)!cof_clean_one(store, segment); /* another's victim first */
    }
    if (err == 0) {
        (void)!cof_clean_one(store, segment);
    }
    return err == 0 ? store->error : err;
}

static int sweep(struct shrink *shrink)
{
    struct cof_segments *segments = &shrink->store->segments;
    int err = 0;
    for (uint32_t i = shrink->count; err == 0 && i < segments->count; i++) {
        const struct cof_segment *segment = &segments->table[i];
        uint64_t blocks = blocks_of(segment);
        if (blocks <= 1u) {
            continue;
        }
        err = clean(shrink, i);
        if (err != 0) {
            return failed(shrink, err);
        }
        shrink->done_blocks += blocks;
        shrink->done_blocks =
            shrink->done_blocks < shrink->total_blocks ? shrink->done_blocks : shrink->total_blocks;
        err = tell(shrink);
    }
    return err;
}

/* What moved is published, and a root lets go of where it was. */
static int settle(struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    int err = cof_checkpoint_ready(store, 0, COF_SPARE_OPEN);
    if (err == 0) {
        err = cof_cleaner_drain(&store->cleaner);
        if (err != 0) {
            cof_store_fail(store, err);
        }
    }
    if (err == 0) {
        err = cof_checkpoint_ready(store, 0, COF_SPARE_OPEN);
    }
    if (err == 0) {
        err = cof_checkpoint_light(store);
    }
    return err == 0 ? 0 : failed(shrink, err);
}

static int stuck(const struct shrink *shrink, uint32_t segment)
{
    cof_fault(shrink->fault, COFFER_E_CORRUPT, COFFER_STAGE_CHECKSUM,
              "segment %u can't be emptied, as it is damaged: `check` names its pages; write over "
              "them, or discard them, and shrink again",
              segment);
    cof_fault_at(shrink->fault, COFFER_NOWHERE, segment, COFFER_NOWHERE);
    return COFFER_E_CORRUPT;
}

static int empty(struct shrink *shrink)
{
    struct cof_cleaner *cleaner = &shrink->store->cleaner;
    uint32_t segment = COF_NO_SEGMENT;
    bool busy;
    uint64_t left = blocks_left(shrink, &segment, &busy);
    int err = 0;
    shrink->total_blocks = left;
    while (err == 0 && left > 0) {
        uint64_t before = left;
        err = sweep(shrink);
        if (err == 0) {
            err = settle(shrink);
        }
        left = blocks_left(shrink, &segment, &busy);
        shrink->done_blocks =
            left < shrink->total_blocks ? shrink->total_blocks - left : shrink->done_blocks;
        if (err == 0 && left >= before && !busy) {
            err = cleaner->thorough ? stuck(shrink, segment) : 0;
            cleaner->thorough = true;
        }
        if (err == 0) {
            err = tell(shrink);
        }
    }
    cleaner->thorough = false;
    return err;
}

int cof_shrink_survey(struct coffer_store *store, uint32_t segment)
{
    for (uint32_t lineage = 0; lineage <= store->lineage_count; lineage++) {
        for (uint64_t extent = 1; extent <= COF_EXTENT_MAX; extent++) {
            struct cof_desc *desc;
            bool there = false;
            int err = cof_place_next(&store->place, lineage, &extent, &desc);
            if (err == COFFER_E_NOT_FOUND) {
                break;
            }
            for (unsigned i = 0; err == 0 && i < desc->piece_count; i++) {
                there = there || desc->pieces[i].segment == segment;
            }
            if (err == 0 && there) {
                err = cof_cleaner_name(&store->cleaner, lineage, extent);
            }
            if (err != 0) {
                return err;
            }
            cof_place_trim(&store->place);
        }
    }
    return 0;
}

/* ---- commit ---- */

/* A device that keeps its size has the space of what goes given back here. */
static void trim(struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    uint32_t at = store->segments.count;
    while (store->geometry.fixed_size) {
        at = cof_segments_written(&store->segments, at);
        if (at == COF_NO_SEGMENT || at < shrink->count ||
            cof_sync_io_control(&store->io, COFFER_SEGDEV_TRIM, at) != 0) {
            return;
        }
        cof_segments_given_back(&store->segments, at);
        cof_checkpoint_breathe(store);
    }
}

static int commit(struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    int err;
    trim(shrink);
    err = cof_checkpoint_ready(store, 0, COF_SPARE_OPEN);
    if (err == 0 && COF_BROKEN(SHRINK_EARLY)) {
        err = cof_sync_io_control(&store->io, COFFER_SEGDEV_SHRINK, shrink->count);
    }
    if (err == 0) {
        err = cof_segments_resize(&store->segments, shrink->count);
    }
    if (err == 0) {
        err = cof_checkpoint_light(store);
    }
    return err == 0 ? 0 : failed(shrink, err);
}

/* ---- all of it ---- */

static int prepare(struct shrink *shrink)
{
    struct coffer_store *store = shrink->store;
    int err = cof_checkpoint_run(store, false); /* what died is counted */
    if (err == COFFER_E_NO_SPACE && store->error == 0) {
        err = 0;
    }
    if (err != 0) {
        return failed(shrink, err);
    }
    err = check_fit(shrink);
    if (err == 0) {
        err = check_tails(shrink);
    }
    return err;
}

int cof_store_shrink(struct coffer_store *store, uint32_t count,
                     const struct coffer_store_resize_opts *opts, struct coffer_fault *fault)
{
    struct shrink shrink = {.store = store, .opts = opts, .fault = fault, .count = count};
    int err = prepare(&shrink);
    if (err != 0) {
        return err;
    }
    store->cleaner.end = count;
    cof_cleaner_forget_ahead(&store->cleaner);
    err = relieve_until(store, count, START_SEGMENTS);
    err = err == 0 ? check_fit(&shrink) : failed(&shrink, err); /* others wrote meanwhile */
    if (err == 0) {
        cof_segments_cap(&store->segments, count);
        err = leave_all(&shrink);
        err = err == 0 ? 0 : failed(&shrink, err);
    }
    if (err == 0) {
        err = empty(&shrink);
    }
    if (err == 0) {
        err = commit(&shrink);
    }
    store->cleaner.end = 0;
    if (store->segments.ceiling != store->segments.count) {
        cof_segments_cap(&store->segments, store->segments.count);
    }
    return err;
}
