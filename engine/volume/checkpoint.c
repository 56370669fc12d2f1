/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/checkpoint.c - freeze, drain, merge, finish.
 *
 *   IDLE --freeze--> DRAIN --batches below the freeze complete--> MERGE --all volumes--> FINISH
 *     ^                                                                                    |
 *     +--------------------- the root is durable --- SETTLE <------ the root is made ------+
 *
 * A freeze is a point in the log: data extents are closed, deltas switched, the lane's position
 * noted. The merge writes new map nodes into the checkpoint lane, a leaf a step, while writes go
 * on; and so they do while the root settles. The ends are volume/finish.c and settle.c.
 *
 * A failure fails the store: nothing is half-applied in a store that goes on. So none begins
 * without room for all of it (volume/space.c).
 * Under the store's lock throughout.
 */
#include "volume/store.h"

#include <poll.h>
#include <sched.h>
#include <string.h>

#define UNSYNCED_BYTES_MAX (UINT64_C(64) << 20)
#define SLICE_STEPS 8u
#define SLEEP_MS 2 /* others may have taken what made it readable */

void cof_store_fail(struct coffer_store *store, int error)
{
    if (store->error == 0) {
        store->error = error;
        cof_log(&store->env, COFFER_LOG_ERROR, "the store failed: %s",
                coffer_error_sentence(error));
    }
    if (store->lanes_ready) {
        cof_lane_fail(&store->lane, error);
        cof_lane_fail(&store->meta, error);
    }
    cof_queues_wake(store);
}

/* ---- freeze ---- */

static void freeze_volume(struct coffer_volume *volume)
{
    struct cof_env *env = &volume->store->env;
    cof_extent_close(volume, false, false);
    volume->frozen_chain_extent = volume->chain_extent;
    volume->frozen_chain_slots = volume->chain_slots;
    volume->frozen_tail_first = volume->tail_first;
    volume->frozen_tail_last = volume->tail_last;
    volume->tail_first = UINT64_MAX;
    volume->tail_last = 0;
    cof_delta_done(&volume->frozen);
    cof_kills_done(&volume->frozen_kills);
    volume->frozen = volume->active;
    volume->frozen_kills = volume->active_kills;
    cof_delta_init(&volume->active, env);
    cof_kills_init(&volume->active_kills, env);
    volume->has_frozen = true;
    volume->frozen_valid = true;
    for (unsigned i = 0; i < volume->ek_count; i++) {
        volume->eks_dirty = volume->eks_dirty || volume->eks[i].young != 0;
        volume->eks[i].young = 0;
    }
}

static void freeze_young(struct coffer_store *store)
{
    uint64_t *list = store->frozen_extents;
    for (unsigned i = 0; i < store->young_count; i++) {
        struct cof_desc *desc;
        if (cof_place_find(&store->place, COF_LINEAGE_LOCAL, store->young_extents[i], &desc) == 0) {
            desc->young = false;
        }
    }
    store->frozen_extents = store->young_extents;
    store->frozen_count = store->young_count;
    store->young_extents = list;
    store->young_count = 0;
    store->young_capacity = 0;
    cof_free(&store->env, list);
    store->young_extents = NULL;
}

void cof_checkpoint_begin_here(struct coffer_store *store)
{
    const struct cof_lane *lane = &store->lane;
    cof_lane_head(lane, &store->checkpoint.head);
    store->checkpoint.head_sequence = lane->segment != COF_NO_SEGMENT ? lane->sequence
                                      : lane->next_segment != COF_NO_SEGMENT
                                          ? lane->next_sequence
                                          : store->segments.next_sequence;
}

static void freeze(struct coffer_store *store)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (!volume->read_only) {
            freeze_volume(volume);
        }
    }
    if (store->birth != NULL && store->birth->volume != NULL && !store->birth->done) {
        /* Every data extent below is closed. */
        store->birth->cut = cof_position(store->birth->volume->index, store->next_extent - 1u);
        store->birth->size_pages = store->birth->volume->size_pages;
    }
    cof_lane_close_batch(&store->lane);
    freeze_young(store);
    cof_segments_freeze(&store->segments);
    cof_checkpoint_begin_here(store);
    checkpoint->freeze_batch = cof_lane_last(&store->lane);
    checkpoint->volume = store->volumes;
    checkpoint->merging = false;
    checkpoint->state = COF_CHECKPOINT_DRAIN;
    store->log_pages_since_checkpoint = 0;
    store->frozen_deaths_ahead = store->deaths_ahead;
    store->segments.clock_of_deaths = store->segments.clock;
}

/* ---- merge ---- */

/* The volume's tree is that of the freeze: what a snapshot of it holds. */
static int merged(struct coffer_store *store, struct coffer_volume *volume)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    volume->tree = checkpoint->merge.tree;
    volume->mapped_pages += (uint64_t)checkpoint->merge.mapped_change;
    cof_extent_close(volume, true, false);
    volume->has_frozen = false;
    cof_delta_done(&volume->frozen);
    checkpoint->volume = volume->next;
    if (store->birth == NULL || store->birth->volume != volume || store->birth->done) {
        return 0; /* done: another checkpoint began before its caller came to take it away */
    }
    return cof_snapshot_merged(store);
}

/* One step of the current volume's merge; moves on to the next volume when it is done. */
static int merge_step(struct coffer_store *store)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    struct coffer_volume *volume = checkpoint->volume;
    int err = 0;
    if (volume == NULL) {
        checkpoint->state = COF_CHECKPOINT_FINISH;
        return 0;
    }
    if (!volume->frozen_valid) {
        checkpoint->volume = volume->next;
        return 0;
    }
    if (!checkpoint->merging) {
        err = cof_merge_begin(&checkpoint->merge, &store->env, &volume->node_io, &volume->tree,
                              &volume->frozen, volume->size_pages, &volume->cut,
                              &volume->frozen_kills);
        if (err != 0) {
            return err;
        }
        checkpoint->merging = true;
    }
    if (!checkpoint->merge.done) {
        err = cof_merge_step(&checkpoint->merge);
    }
    if (err != 0 || checkpoint->merge.done) {
        if (err == 0) {
            err = merged(store, volume);
        }
        cof_merge_end(&checkpoint->merge);
        checkpoint->merging = false;
    }
    return err;
}

/* ---- steps ---- */

static int step(struct coffer_store *store, bool clean, bool *ret_progress)
{
    struct cof_checkpoint *checkpoint = &store->checkpoint;
    int err = 0;
    *ret_progress = true;
    if (store->error != 0) {
        return COFFER_E_FAILED;
    }
    switch (checkpoint->state) {
    case COF_CHECKPOINT_IDLE:
        freeze(store);
        break;
    case COF_CHECKPOINT_DRAIN:
        if (store->lane.completed_upto >= checkpoint->freeze_batch) {
            checkpoint->state = COF_CHECKPOINT_MERGE;
            break;
        }
        *ret_progress = cof_lane_busy(&store->lane) && cof_lane_poll(&store->lane, clean) > 0;
        err = store->lane.error;
        break;
    case COF_CHECKPOINT_MERGE:
        err = merge_step(store);
        break;
    case COF_CHECKPOINT_FINISH:
        err = cof_checkpoint_finish(store, true, clean);
        break;
    case COF_CHECKPOINT_SETTLE:
        err = cof_settle_step(store, false);
        *ret_progress = err > 0;
        err = err > 0 ? 0 : err;
        break;
    case COF_CHECKPOINT_HELD:
        *ret_progress = false;
        break;
    }
    if (err != 0) {
        cof_store_fail(store, err);
    }
    return err;
}

int cof_checkpoint_step(struct coffer_store *store, bool *ret_more)
{
    bool progress = false;
    int err = 0;
    *ret_more = false;
    if (store->read_only || store->error != 0) {
        return store->error;
    }
    if (store->checkpoint.state != COF_CHECKPOINT_IDLE ||
        (cof_checkpoint_due(store) && cof_checkpoint_room(store, 0, COF_SPARE_ADMIN) == 0)) {
        err = step(store, false, &progress);
        *ret_more = progress && store->checkpoint.state != COF_CHECKPOINT_IDLE;
    }
    return err;
}

/* Let other threads in: one of them may have to finish sealing. */
static void breathe(struct coffer_store *store, bool progress)
{
    struct pollfd wait = {.fd = progress ? -1 : cof_settle_fd(store), .events = POLLIN};
    pthread_mutex_unlock(&store->lock);
    if (wait.fd >= 0) {
        (void)poll(&wait, 1, SLEEP_MS);
    } else if (!progress) {
        sched_yield();
    }
    pthread_mutex_lock(&store->lock);
}

static int run_to_idle(struct coffer_store *store, bool clean)
{
    while (store->checkpoint.state != COF_CHECKPOINT_IDLE && store->error == 0) {
        bool progress;
        int err = step(store, clean, &progress);
        if (err != 0) {
            return err;
        }
        breathe(store, progress);
    }
    return store->error;
}

int cof_checkpoint_settle(struct coffer_store *store)
{
    return store->error != 0 ? COFFER_E_FAILED : run_to_idle(store, false);
}

void cof_checkpoint_breathe(struct coffer_store *store)
{
    breathe(store, true);
}

int cof_checkpoint_end(struct coffer_store *store)
{
    int err = 0;
    while (err >= 0 && store->checkpoint.state == COF_CHECKPOINT_SETTLE && store->error == 0) {
        err = cof_settle_step(store, true);
    }
    if (err < 0) {
        cof_store_fail(store, err);
        return err;
    }
    return store->error != 0 ? COFFER_E_FAILED : 0;
}

static int run_whole(struct coffer_store *store, bool clean)
{
    bool progress;
    int err = step(store, clean, &progress);
    return err == 0 ? run_to_idle(store, clean) : err;
}

int cof_checkpoint_run(struct coffer_store *store, bool clean)
{
    int err = cof_checkpoint_ready(store, 0, COF_SPARE_ADMIN);
    return err == 0 ? run_whole(store, clean) : err;
}

int cof_checkpoint_whole(struct coffer_store *store, unsigned spare)
{
    int err = cof_checkpoint_settle(store);
    if (err == 0) {
        err = cof_checkpoint_room(store, 0, spare);
    }
    return err == 0 ? run_whole(store, false) : err;
}

int cof_checkpoint_light_begin(struct coffer_store *store)
{
    int err = cof_checkpoint_finish(store, false, false);
    if (err != 0) {
        cof_store_fail(store, err);
    }
    return err;
}

int cof_checkpoint_light(struct coffer_store *store)
{
    int err = cof_checkpoint_end(store); /* lets nobody in, where that is all that is under way */
    if (err == 0) {
        err = cof_checkpoint_settle(store);
    }
    if (err == 0) {
        err = cof_checkpoint_light_begin(store);
    }
    return err == 0 ? cof_checkpoint_end(store) : err;
}

/* ---- slices ---- */

static int slice(struct coffer_store *store, bool cleaning)
{
    struct cof_lane *lane = &store->lane;
    bool more = true;
    int err;
    if (store->read_only) {
        return 0;
    }
    if (cof_arena_usable(store->arena) != 0) {
        return COFFER_E_FORKED;
    }
    if (lane->oldest_unsynced_ns != 0 && lane->error == 0 &&
        (lane->bytes_since_sync >= UNSYNCED_BYTES_MAX ||
         cof_monotonic_ns(&store->env) - lane->oldest_unsynced_ns >= store->sync_ns)) {
        cof_lane_want_durable(lane, cof_lane_last(lane));
    }
    for (unsigned i = 0; more && i < SLICE_STEPS; i++) {
        err = cof_checkpoint_step(store, &more);
        if (err != 0) {
            return err;
        }
    }
    err = cleaning ? cof_cleaning_slice(store) : 0;
    return err < 0 ? err : more || err > 0;
}

/* Callers help the thread when it does not keep up: before they wait for room they pay for it. */
int cof_store_slice(struct coffer_store *store, bool pays)
{
    uint32_t have = store->segments.free_count;
    if (store->background.running && have < cof_cleaning_low(store)) {
        cof_background_wake(store);
    }
    return slice(store,
                 pays && (!store->background.running || have <= cof_segments_kept(store) + 1u));
}

int cof_store_work(struct coffer_store *store)
{
    int more = slice(store, true);
    return more < 0 || cof_lane_poll(&store->lane, false) <= 0 ? more : 1;
}
