/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/open.c - opening and closing a store, as a table of steps.
 *
 * Each step has an undo that can be run on a half-built store, so that a failure anywhere, an
 * allocation included, leaves nothing behind. Nothing is written to the device before the last
 * step, so recovery can be repeated as often as it is interrupted.
 */
#include "volume/reencrypt.h"

#include "volume/queue.h"

#include <string.h>

#define STAGING_DEFAULT (UINT64_C(16) << 20)
#define META_STAGING (UINT64_C(4) << 20)
#define DELTA_DEFAULT (UINT64_C(6) << 20)
#define NODE_CACHE_DEFAULT (UINT64_C(64) << 20)
#define TAG_CACHE_DEFAULT (UINT64_C(64) << 20)
#define PLACEMENT_DEFAULT (UINT64_C(64) << 20)
#define ARENA_DEFAULT (UINT64_C(1) << 20)
#define CHECKPOINT_NS_DEFAULT UINT64_C(60000000000)
#define SYNC_NS_DEFAULT UINT64_C(1000000000)
#define WARN_PERCENT_DEFAULT 85u
#define OPENERS_MAX 4096u

struct opening {
    struct coffer_store *store;
    const struct coffer_store_opts *opts;
    struct coffer_fault *fault;
    bool found; /* the log went beyond the root */
};

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static int open_device(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    const struct coffer_store_opts *opts = opening->opts;
    unsigned flags = (opts->flags & COFFER_OPEN_READ_ONLY) != 0 ? COFFER_SEGDEV_READ_ONLY : 0u;
    if (opts->device != NULL) {
        store->dev = opts->device;
        return 0;
    }
    if (opts->path == NULL) {
        return cof_fault(opening->fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "neither a path nor a device was given");
    }
    flags |= (opts->flags & COFFER_OPEN_BUFFERED) != 0 ? COFFER_SEGDEV_BUFFERED : 0u;
    return coffer_segdev_file_open(&store->env.api, opts->path, flags, 0, 0, &store->dev,
                                   opening->fault);
}

static int open_io(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    int err = cof_sync_io_init(&store->io, &store->env, store->dev);
    return err == 0 && !store->read_only ? cof_roots_init(store) : err;
}

static int open_root(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    int err = cof_store_find_root(store, opening->fault);
    store->next_extent = store->root.next_extent;
    return err;
}

static int open_keys(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    size_t bytes = (size_t)or_default(opening->opts->key_arena_bytes, ARENA_DEFAULT);
    int err = cof_arena_new(&store->env, bytes, &store->arena);
    if (err != 0) {
        return cof_fault(opening->fault, err, COFFER_STAGE_KEY,
                         "%zu bytes for keys can't be locked in memory: raise RLIMIT_MEMLOCK "
                         "(ulimit -l) or give a smaller arena",
                         bytes);
    }
    err = cof_cipher_choose(&store->env, store->arena,
                            (enum coffer_cipher_backend)opening->opts->cipher_backend, bytes,
                            &store->cipher);
    if (err != 0) {
        return cof_fault(opening->fault, err, COFFER_STAGE_KEY, "%s",
                         err == COFFER_E_CRYPTO
                             ? "OpenSSL's AES-256-GCM fails a test with known answers"
                             : coffer_error_sentence(err));
    }
    store->opener_max = cof_arena_slots_free(store->arena) / 2u;
    if (store->opener_max > OPENERS_MAX) {
        store->opener_max = OPENERS_MAX;
    }
    return cof_aead_new(&store->env, store->arena, &store->aead);
}

/* ---- tables ---- */

static int own_record(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    struct coffer_store *store = ctx;
    uint8_t block[4096];
    int err;
    if (key >= cof_segments_records(&store->segments) || pointer->blocks != 1) {
        return COFFER_E_CORRUPT;
    }
    err = cof_ptree_fetch(&store->segment_tree, pointer, block);
    if (err == 0) {
        cof_segments_record_decode(&store->segments, (unsigned)key, block);
    }
    return err;
}

static int own_block(struct coffer_store *store, const struct cof_tree_pointer *pointer)
{
    if (pointer->segment >= store->segments.count) {
        return COFFER_E_CORRUPT;
    }
    store->segments.table[pointer->segment].own += pointer->blocks;
    store->segments.table[pointer->segment].lane = COF_LANE_CHECKPOINT;
    return 0;
}

static int own_node(void *ctx, const struct cof_tree_pointer *pointer)
{
    return own_block(ctx, pointer);
}

static int own_leaf(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    (void)key;
    return own_block(ctx, pointer);
}

static int open_segments(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    struct cof_ptree_visitor records = {store, own_record, NULL, NULL};
    struct cof_ptree_visitor own = {store, own_leaf, own_node, NULL};
    const struct cof_raw_reader reader = {store, cof_raw_get};
    int err = cof_segments_init(&store->segments, &store->env, store->root.segment_count);
    if (err != 0) {
        return err;
    }
    store->segments.next_sequence = store->root.next_sequence;
    store->segments.conditioned = store->root.conditioned;
    store->segments.records_written = cof_segments_records(&store->segments);
    cof_ptree_init(&store->segment_tree, &store->env, &reader, &store->segments, COF_RAW_SEGMENTS,
                   store->segment_blocks, &store->root.segments);
    cof_ptree_init(&store->catalogue_tree, &store->env, &reader, &store->segments,
                   COF_RAW_CATALOGUE, store->segment_blocks, &store->root.catalogue);
    cof_ptree_init(&store->placement_tree, &store->env, &reader, &store->segments,
                   COF_RAW_PLACEMENT, store->segment_blocks, &store->root.placement);
    store->placement_tree.records_known =
        store->root.placement_records != 0 || store->root.placement.blocks == 0;
    store->placement_tree.record_count =
        store->root.placement_records != 0 ? store->root.placement_records - 1u : 0u;
    err = cof_ptree_visit(&store->segment_tree, &records);
    if (err == 0) {
        err = cof_ptree_visit(&store->segment_tree, &own);
    }
    if (err != 0) {
        cof_fault(opening->fault, err, COFFER_STAGE_ROOT, "the segment table does not read: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

static int open_caches(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    const struct coffer_store_opts *opts = opening->opts;
    int err =
        cof_place_init(&store->place, &store->env, &store->segments, &store->placement_tree,
                       store->segment_blocks, or_default(opts->placement_bytes, PLACEMENT_DEFAULT));
    if (err == 0) {
        err = cof_nodes_init(&store->nodes, &store->env,
                             or_default(opts->node_cache_bytes, NODE_CACHE_DEFAULT));
    }
    if (err == 0) {
        err = cof_tags_init(&store->tags, &store->env,
                            or_default(opts->tag_cache_bytes, TAG_CACHE_DEFAULT));
    }
    return err;
}

/* ---- the log ---- */

static void extent_dropped(void *ctx, const struct cof_desc *desc)
{
    struct coffer_store *store = ctx;
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (volume->number == desc->volume) {
            cof_keys_count(volume, desc->key_id, -1, false);
        }
    }
}

/* Tails of earlier sessions, of volumes that were not opened since: they stay where they are. */
static int pin_tails(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        for (uint64_t extent = item->entry.tail_first;
             extent <= item->entry.tail_last && extent < store->next_extent; extent++) {
            struct cof_desc *desc;
            int err = cof_place_next(&store->place, COF_LINEAGE_LOCAL, &extent, &desc);
            if (err == COFFER_E_NOT_FOUND || (err == 0 && extent > item->entry.tail_last)) {
                break;
            }
            if (err != 0) {
                return cof_fault(opening->fault, err, COFFER_STAGE_PLACEMENT,
                                 "the placement table is damaged");
            }
            if (desc->volume == item->entry.number && !desc->metadata && !desc->pinned &&
                !cof_desc_moved(desc)) {
                desc->pinned = true;
                cof_segments_pin(&store->segments, desc->pieces[0].segment, 1);
            }
        }
    }
    return 0;
}

static int open_log(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    uint64_t began = cof_monotonic_ns(&store->env);
    int err = cof_catalogue_load(store, opening->fault);
    if (err == 0) {
        err = cof_anchor_check(store, (opening->opts->flags & COFFER_OPEN_ACCEPT_ROLLBACK) != 0,
                               opening->fault);
    }
    if (err == 0) {
        err = pin_tails(opening);
    }
    if (err == 0) {
        err = cof_store_replay_lane(store, &opening->found, opening->fault);
    }
    store->recovery_ns = cof_monotonic_ns(&store->env) - began;
    store->place.ctx = store;
    store->place.dropped = extent_dropped;
    return err;
}

/* ---- becoming the writer ---- */

static int start_lane(struct coffer_store *store, struct cof_lane *lane,
                      const struct cof_lane_head *head)
{
    struct cof_lane_head begin = *head;
    int err;
    cof_lane_start(lane, &begin, store->root.store_uuid, store->root.session,
                   store->segment_blocks);
    lane->epoch = store->root.epoch;
    if (begin.segment != COF_NO_SEGMENT) {
        lane->sequence = store->segments.table[begin.segment].sequence;
    }
    if (begin.next_segment != COF_NO_SEGMENT) {
        lane->next_sequence = store->segments.table[begin.next_segment].sequence;
        return 0;
    }
    err = lane->ops->take_segment(lane->ctx, lane->id, &lane->next_segment, &lane->next_sequence,
                                  &lane->next_fresh);
    return err == COFFER_E_NO_SPACE ? 0 : err;
}

static int make_lanes(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    struct cof_lane_config user = {store->dev, &cof_user_lane_ops, store, COF_LANE_USER,
                                   or_default(opening->opts->staging_bytes, STAGING_DEFAULT)};
    struct cof_lane_config meta = {store->dev, &cof_meta_lane_ops, store, COF_LANE_CHECKPOINT,
                                   META_STAGING};
    int err = cof_lane_init(&store->lane, &store->env, &user);
    if (err == 0) {
        err = cof_lane_init(&store->meta, &store->env, &meta);
    }
    store->lanes_ready = err == 0;
    return err == 0 ? cof_cleaning_init(store, opening->opts->cleaner_heads) : err;
}

/* A new session: where a clean close left the lanes, or, after a crash, in fresh segments, since
 * nobody knows what lies behind the end of the log. */
static int become_writer(struct opening *opening)
{
    struct coffer_store *store = opening->store;
    bool clean = store->root.clean && !opening->found;
    struct cof_lane_head user = store->root.lanes[COF_LANE_USER];
    struct cof_lane_head meta = store->root.lanes[COF_LANE_CHECKPOINT];
    int err;
    if (store->read_only) {
        cof_segments_settle(&store->segments);
        return 0;
    }
    err = make_lanes(opening);
    if (err == 0) {
        err = cof_random(&store->env, store->root.session, sizeof store->root.session);
    }
    if (err != 0) {
        return err;
    }
    cof_segments_settle(&store->segments);
    if (clean) {
        cof_segments_hold(&store->segments, user.segment, COF_LANE_USER);
        cof_segments_hold(&store->segments, user.next_segment, COF_LANE_USER);
        cof_segments_hold(&store->segments, meta.segment, COF_LANE_CHECKPOINT);
        cof_segments_hold(&store->segments, meta.next_segment, COF_LANE_CHECKPOINT);
    } else {
        user.segment = COF_NO_SEGMENT;
        user.next_segment = COF_NO_SEGMENT;
        user.block = 0;
        user.batch_no = store->replayed_batch;
        meta.segment = COF_NO_SEGMENT;
        meta.next_segment = COF_NO_SEGMENT;
        meta.block = 0;
    }
    err = start_lane(store, &store->lane, &user);
    if (err == 0) {
        err = start_lane(store, &store->meta, &meta);
    }
    if (err == 0) {
        cof_checkpoint_begin_here(store);
        store->checkpoint.last_ns = cof_monotonic_ns(&store->env);
        /* The lane has left all its segments: whatever lies there, the last root named it. */
        store->cleaning.settled_sequence = clean ? 0 : store->segments.next_sequence;
        err = clean ? 0 : cof_cleaning_gather_roots(store);
    }
    if (err == 0) {
        err = clean ? cof_settle_roots(store) : cof_checkpoint_light(store);
    }
    if (err == 0) {
        err = cof_checkpoint_end(store);
    }
    if (err == 0) {
        err = cof_interim_sweep(store);
    }
    if (err == 0) {
        err = cof_access_sweep(store);
    }
    if (err != 0) {
        cof_fault(opening->fault, err, COFFER_STAGE_ROOT, "the store can't be written to: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

struct step {
    const char *name;
    int (*run)(struct opening *opening);
};

static const struct step steps[] = {
    {"device", open_device}, {"channel", open_io},        {"root", open_root},
    {"keys", open_keys},     {"segments", open_segments}, {"caches", open_caches},
    {"log", open_log},       {"session", become_writer},
};

/* Every part takes a store that never got as far. */
static void dismantle(struct coffer_store *store)
{
    struct cof_env env = store->env;
    cof_queues_done(store);
    cof_reencrypt_free(store->reencrypt);
    cof_cleaner_done(&store->cleaner);
    if (store->lanes_ready || store->lane.batches != NULL) {
        cof_lane_done(&store->lane);
    }
    if (store->lanes_ready || store->meta.batches != NULL) {
        cof_lane_done(&store->meta);
    }
    if (store->checkpoint.merging) {
        cof_merge_end(&store->checkpoint.merge);
    }
    cof_extents_done(store);
    cof_openers_forget(store, 0);
    cof_catalogue_done(store);
    if (store->place.hash != NULL) {
        cof_place_done(&store->place);
    }
    if (store->nodes.hash != NULL) {
        cof_nodes_done(&store->nodes);
    }
    cof_free(&store->env, store->tags.entries);
    if (store->segments.table != NULL) {
        cof_ptree_done(&store->catalogue_tree);
        cof_ptree_done(&store->placement_tree);
        cof_ptree_done(&store->segment_tree);
        cof_segments_done(&store->segments);
    }
    cof_free(&store->env, store->leaves_ahead);
    cof_free(&store->env, store->young_extents);
    cof_free(&store->env, store->frozen_extents);
    cof_aead_free(store->aead);
    cof_arena_free(store->arena);
    cof_roots_done(store);
    cof_sync_io_done(&store->io);
    if (store->dev != NULL) {
        store->dev->ops->close(store->dev);
    }
    if (store->lock_ready) {
        cof_landing_done(store);
        pthread_cond_destroy(&store->answered);
        pthread_mutex_destroy(&store->lock);
        pthread_mutex_destroy(&store->admin);
    }
    cof_free(&env, store);
}

/* It is held for fractions of a microsecond by threads of several cores: who finds it taken looks
 * again a few times before it sleeps. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    (void)pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(lock, &kind);
    pthread_mutexattr_destroy(&kind);
}

int coffer_store_open(const struct coffer_store_opts *opts, struct coffer_store **ret_store,
                      struct coffer_fault *fault)
{
    struct coffer_store_opts all;
    struct opening opening = {NULL, &all, fault, false};
    struct cof_env env;
    struct coffer_store *store;
    int err = 0;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < offsetof(struct coffer_store_opts, staging_bytes)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    memset(&all, 0, sizeof all); /* a caller of before knows fewer members */
    memcpy(&all, opts, opts->size < sizeof all ? opts->size : sizeof all);
    if (all.warn_percent > 100u || all.cleaner_heads > COF_CLEANER_HEADS_MAX ||
        all.cipher_backend > (uint32_t)COFFER_CIPHER_IPSEC_MB) {
        if (all.device != NULL) {
            all.device->ops->close(all.device);
        }
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a warning comes at 1 to 100 percent, there are 1 to %u cleaner heads, "
                         "and the cipher's back end is auto, evp or ipsec-mb",
                         COF_CLEANER_HEADS_MAX);
    }
    cof_env_init(&env, opts->env);
    store = cof_calloc(&env, 1, sizeof *store);
    if (store == NULL) {
        if (opts->device != NULL) {
            opts->device->ops->close(opts->device);
        }
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_NONE, "no memory");
    }
    cof_env_init(&store->env, opts->env);
    store->read_only = (opts->flags & COFFER_OPEN_READ_ONLY) != 0;
    store->anchor = opts->anchor;
    store->delta_entries_max = or_default(all.delta_entries_max, DELTA_DEFAULT);
    store->checkpoint_ns = or_default(all.checkpoint_ns, CHECKPOINT_NS_DEFAULT);
    store->sync_ns = or_default(all.sync_ns, SYNC_NS_DEFAULT);
    store->warn_percent = all.warn_percent != 0 ? all.warn_percent : WARN_PERCENT_DEFAULT;
    init_lock(&store->lock);
    pthread_mutex_init(&store->admin, NULL);
    pthread_cond_init(&store->answered, NULL);
    cof_landing_init(store, or_default(all.staging_bytes, STAGING_DEFAULT));
    cof_lease_schedule(store);
    store->lock_ready = true;
    pthread_mutex_lock(&store->lock);
    opening.store = store;
    for (size_t i = 0; err == 0 && i < sizeof steps / sizeof steps[0]; i++) {
        err = steps[i].run(&opening);
        if (err != 0) {
            if (fault != NULL && fault->error == 0) {
                cof_fault(fault, err, COFFER_STAGE_NONE, "opening the store failed at %s: %s",
                          steps[i].name, coffer_error_sentence(err));
            }
            cof_log(&store->env, COFFER_LOG_ERROR, "open failed at %s: %s", steps[i].name,
                    coffer_error_sentence(err));
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (err == 0 && (opts->flags & COFFER_OPEN_BACKGROUND) != 0 && !store->read_only) {
        err = cof_background_start(store);
        if (err != 0) {
            cof_fault(fault, err, COFFER_STAGE_NONE, "no thread can be started");
        }
    }
    if (err != 0) {
        dismantle(store);
        return err;
    }
    *ret_store = store;
    return 0;
}

/* There is no room to merge what was written, so it is left to the log, as at a crash: no root may
 * follow that begins behind it. */
static int leave_to_log(struct coffer_store *store)
{
    int err = 0;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    while (store->volumes != NULL) {
        int left = cof_volume_leave(store->volumes);
        err = err != 0 ? err : left;
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

static int close_log(struct coffer_store *store)
{
    int err;
    pthread_mutex_lock(&store->lock);
    err = cof_checkpoint_end(store);
    if (err == 0) {
        err = cof_lane_drain(&store->lane);
    }
    if (err == 0) {
        err = cof_checkpoint_run(store, true);
        if (err == COFFER_E_NO_SPACE && store->error == 0) {
            err = 0; /* it did not begin, and nothing waits for it */
        }
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

static bool has_requests(struct coffer_store *store)
{
    bool found = false;
    pthread_mutex_lock(&store->lock);
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        found = found || volume->requests > 0;
    }
    for (const struct coffer_volume *volume = store->stopped; volume != NULL;
         volume = volume->next) {
        found = found || volume->requests > 0;
    }
    pthread_mutex_unlock(&store->lock);
    return found;
}

int coffer_store_close(struct coffer_store *store)
{
    bool full = false;
    int err = 0, closed;
    if (store == NULL) {
        return 0;
    }
    if (has_requests(store)) {
        return COFFER_E_BUSY;
    }
    cof_background_stop(store);
    while (store->volumes != NULL && !full) {
        closed = coffer_volume_close(store->volumes);
        full = closed == COFFER_E_NO_SPACE && store->error == 0;
        err = err != 0 || full ? err : closed;
    }
    while (store->stopped != NULL) {
        (void)coffer_volume_close(store->stopped);
    }
    if (full) {
        err = leave_to_log(store);
    }
    cof_queues_done(store);
    if (!store->read_only && store->error == 0 && !full) {
        closed = close_log(store);
        err = err != 0 ? err : closed;
    } else if (store->error != 0) {
        err = COFFER_E_FAILED;
    }
    dismantle(store);
    return err;
}

int coffer_store_maintain(struct coffer_store *store)
{
    int err;
    cof_lease_run(store, true);
    pthread_mutex_lock(&store->lock);
    err = cof_store_slice(store, true);
    if (err >= 0 && store->lanes_ready) { /* no other call may come to hand it over */
        cof_lane_kick(&store->lane);
        (void)cof_lane_poll(&store->lane, false);
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

int coffer_store_checkpoint(struct coffer_store *store, struct coffer_fault *fault)
{
    int err;
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    pthread_mutex_lock(&store->lock);
    err = cof_checkpoint_run(store, false);
    pthread_mutex_unlock(&store->lock);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the checkpoint failed: %s",
                                coffer_error_sentence(err));
}
