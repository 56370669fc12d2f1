/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/cleaning.c - when the cleaner works, and what it asks of the store.
 *
 * In slices while segments are few, in the background of whatever the caller does; at once, when a
 * request finds no room. Victims are let go by a light checkpoint, some at a time; those with pages
 * in a group that is still filling wait for it, unless they are most of them.
 *
 * Invariants
 *  1. Nothing moves, and nothing is published, while a walk holds the trees or a root that was
 *     made is not durable yet.
 *  2. The cleaner leaves what the next checkpoint may need; the log leaves two segments more.
 *  3. An opening after a crash takes segments for its lanes. It gives back as many with the same
 *     root, so that however often it is cut short, the store opens the next time.
 * Under the store's lock throughout; breathes where it waits.
 */
#include "volume/store.h"

#include "base/testhook.h"

#include <string.h>

#define HEADS_FROM_SEGMENTS 1024u /* three heads from there on: docs/decisions/0015 */
#define SLICE_PAGES 32u
#define SLICE_PAGES_MAX 64u /* about 0.1 ms, for which nobody else has the lock */
#define SHARE_PAGES 4u
#define SHARE_PAGES_MAX 8u
#define HURRY_MISSING 2u /* with more segments missing the cleaner goes before the callers: */
#define HURRY_PAGES_MAX 32u
#define RUN_PAGES 512u
#define SETTLE_SEGMENTS 2u /* kept back for the deaths that wait: they are settled first */
#define RELEASES 256u      /* of so many segments, one is let go at a time */
#define GATHERED_MAX 4u    /* more than an opening takes */
#define THIN_PARTS 4u      /* of a segment, one at most */

/* ---- what the cleaner asks for ---- */

/* Segments that the cleaner leaves. */
static uint32_t kept(const struct coffer_store *store)
{
    return store->cleaning.pressed ? cof_checkpoint_segments(store) : cof_checkpoint_floor(store);
}

static int take_segment(void *ctx, unsigned lane, uint32_t *ret_segment)
{
    struct coffer_store *store = ctx;
    uint64_t sequence;
    bool fresh;
    int err =
        cof_segments_take(&store->segments, lane, kept(store), ret_segment, &sequence, &fresh);
    if (err == 0) {
        store->root.incompat |= COF_INCOMPAT_CLEANED;
    }
    return err;
}

static uint32_t segments_left(void *ctx)
{
    const struct coffer_store *store = ctx;
    uint32_t left = kept(store);
    return store->segments.free_count > left ? store->segments.free_count - left : 0u;
}

static bool may_change(void *ctx, unsigned descriptors)
{
    const struct coffer_store *store = ctx;
    return cof_checkpoint_room(store, cof_bucket_blocks(store, descriptors), 0) == 0;
}

static bool may_clean(void *ctx, uint32_t segment)
{
    const struct coffer_store *store = ctx;
    const struct cof_segment *at = &store->segments.table[segment];
    if (at->pins != 0 || segment == store->lane.segment || segment == store->lane.next_segment ||
        segment == store->meta.segment || segment == store->meta.next_segment ||
        segment == store->checkpoint.head.segment) {
        return false;
    }
    if (at->lane == COF_LANE_USER) {
        return at->sequence < store->checkpoint.head_sequence;
    }
    return at->lane != COF_LANE_CHECKPOINT || at->sequence < store->cleaning.settled_sequence;
}

/* A victim that is given up and tried again names the same records. */
static bool is_remembered(const struct cof_cleaning *cleaning, uint64_t key, uint32_t segment)
{
    for (unsigned i = 0; i < cleaning->renewal_count; i++) {
        if (cleaning->renewals[i].key == key && cleaning->renewals[i].segment == segment) {
            return true;
        }
    }
    return false;
}

static int remember_renewal(struct coffer_store *store, uint64_t key, uint32_t segment)
{
    struct cof_cleaning *cleaning = &store->cleaning;
    struct cof_tree_pointer pointer;
    int err;
    if (is_remembered(cleaning, key, segment)) {
        return 0;
    }
    err = cof_ptree_find(&store->catalogue_tree, key, &pointer);
    if (err != 0 || pointer.blocks > COF_BATCH_PAGES_MAX) {
        return err != 0 ? err : COFFER_E_CORRUPT; /* no batch holds it: nothing wrote it */
    }
    if (cleaning->renewal_count == COF_RENEWALS_MAX) {
        return COFFER_E_LIMIT; /* with the victim's next try */
    }
    cleaning->renewals[cleaning->renewal_count].key = key;
    cleaning->renewals[cleaning->renewal_count++].segment = segment;
    cleaning->renewal_blocks += pointer.blocks;
    return 0;
}

/* A block of a tree that stands in a victim: the next root has it elsewhere. What does not read
 * stays, and so does the victim. */
static int renew(void *ctx, enum cof_raw_kind kind, uint64_t key, uint32_t segment, uint32_t block)
{
    struct coffer_store *store = ctx;
    struct cof_ptree *tree = kind == COF_RAW_PLACEMENT   ? &store->placement_tree
                             : kind == COF_RAW_CATALOGUE ? &store->catalogue_tree
                             : kind == COF_RAW_SEGMENTS  ? &store->segment_tree
                                                         : NULL;
    bool record = false;
    int err = cof_checkpoint_room(store, COF_ENTRY_BLOCKS, 0);
    if (err != 0) {
        return err; /* what is marked must have a place in the next checkpoint */
    }
    err = tree != NULL ? cof_ptree_leave(tree, key, segment, block, &record) : 0;
    if (err == 0 && record) {
        if (kind == COF_RAW_PLACEMENT) {
            err = cof_place_renew(&store->place, key);
        } else if (kind == COF_RAW_CATALOGUE) {
            err = remember_renewal(store, key, segment);
        } else if (key < cof_segments_records(&store->segments)) {
            store->segments.dirty[key] = true;
        }
    }
    return err == COFFER_E_NO_MEMORY ? err : 0;
}

static int survey(void *ctx, uint32_t segment)
{
    return cof_shrink_survey(ctx, segment);
}

static void resealed(void *ctx, const struct cof_desc *old, const struct cof_desc *next)
{
    struct coffer_store *store = ctx;
    for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
        if (cof_bitmap_get(&next->present, slot)) {
            cof_tags_forget(&store->tags, cof_vaddr_make(next->lineage, next->extent, slot, false));
        }
    }
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (volume->number == next->volume) {
            cof_keys_count(volume, old->key_id, -1, false);
            cof_keys_count(volume, next->key_id, 1, false);
        }
    }
}

static const struct cof_cleaner_ops ops = {take_segment, renew,  may_clean, segments_left,
                                           may_change,   survey, resealed};

unsigned cof_cleaning_heads(const struct coffer_store *store)
{
    return store->segments.count < HEADS_FROM_SEGMENTS ? 1u : COF_CLEANER_HEADS_MAX;
}

int cof_cleaning_init(struct coffer_store *store, unsigned heads)
{
    struct cof_cleaner_config config = {.dev = store->dev,
                                        .io = &store->io,
                                        .segments = &store->segments,
                                        .place = &store->place,
                                        .segment_blocks = store->segment_blocks,
                                        .store_uuid = store->root.store_uuid,
                                        .head_count = heads,
                                        .ops = &ops,
                                        .ctx = store};
    if (heads == 0) {
        config.head_count = cof_cleaning_heads(store);
    } else if (heads > COF_CLEANER_HEADS_MAX) {
        return COFFER_E_INVALID;
    }
    return cof_cleaner_init(&store->cleaner, &store->env, &config);
}

/* ---- trees' blocks that leave ---- */

int cof_cleaning_renew(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    struct cof_cleaning *cleaning = &store->cleaning;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < cleaning->renewal_count; i++) {
        struct cof_tree_pointer pointer;
        uint64_t key = cleaning->renewals[i].key;
        uint8_t *bytes;
        if (cof_ptree_find(&store->catalogue_tree, key, &pointer) != 0 ||
            pointer.segment != cleaning->renewals[i].segment) {
            continue; /* it was written anew, or is gone */
        }
        bytes = cof_alloc(&store->env, (size_t)pointer.blocks * COF_BLOCK_BYTES);
        if (bytes != NULL && cof_ptree_fetch(&store->catalogue_tree, &pointer, bytes) == 0) {
            err = cof_ptree_write(&store->catalogue_tree, writer, key, bytes, pointer.blocks);
        }
        cof_free(&store->env, bytes);
    }
    cleaning->renewal_count = 0;
    cleaning->renewal_blocks = 0;
    return err;
}

/* ---- victims that wait ---- */

static uint32_t release_count(const struct coffer_store *store)
{
    uint32_t count = store->segments.count / RELEASES;
    return count < 2u ? 2u : count < COF_WAITING_MAX ? count : COF_WAITING_MAX;
}

uint32_t cof_cleaning_low(const struct coffer_store *store)
{
    return cof_checkpoint_floor(store) + release_count(store) + store->cleaner.head_count +
           COF_CLEANER_SEGMENTS;
}

/* Victims of which nothing is on its way any more. */
static unsigned ready_count(const struct coffer_store *store)
{
    const struct cof_cleaning *cleaning = &store->cleaning;
    unsigned count = 0;
    for (unsigned i = 0; i < cleaning->waiting_count; i++) {
        count += store->segments.table[cleaning->waiting[i]].moving == 0 ? 1u : 0u;
    }
    return count;
}

/* Time to let go: enough are ready, or many are not, which then have to wait no longer. */
static bool may_release(const struct coffer_store *store)
{
    return ready_count(store) >= release_count(store) ||
           store->cleaning.waiting_count >= 2u * release_count(store);
}

static void forget_published(struct coffer_store *store)
{
    struct cof_cleaning *cleaning = &store->cleaning;
    unsigned kept = 0;
    for (unsigned i = 0; i < cleaning->waiting_count; i++) {
        uint32_t segment = cleaning->waiting[i];
        if (segment < store->segments.count && store->segments.table[segment].moving != 0) {
            cleaning->waiting[kept++] = segment;
        }
    }
    cleaning->waiting_count = kept;
}

void cof_cleaning_condemned(struct coffer_store *store)
{
    forget_published(store);
}

void cof_cleaning_settled(struct coffer_store *store, uint64_t sequence)
{
    cof_space_warn(store);
    store->cleaning.settled_sequence = sequence;
}

static int fail(struct coffer_store *store, int err)
{
    cof_store_fail(store, err);
    return err;
}

/* A step of the cleaner. 1: it did something; 0: it waits for the device. Soft errors (no room, a
 * victim that does not read) end the victim only. */
static int work(struct coffer_store *store, unsigned pages, bool wait)
{
    struct cof_cleaning *cleaning = &store->cleaning;
    struct cof_cleaner *cleaner = &store->cleaner;
    uint64_t victims = cleaner->stats.victims;
    uint32_t victim = cleaner->victim;
    int err = cof_cleaner_step(cleaner, pages, wait);
    if (cleaner->stats.victims != victims && cleaning->waiting_count < COF_WAITING_MAX) {
        cleaning->waiting[cleaning->waiting_count++] = victim;
    }
    return cleaner->error != 0 ? fail(store, cleaner->error) : err;
}

static bool may_work(const struct coffer_store *store)
{
    return store->checkpoint.state != COF_CHECKPOINT_HELD &&
           store->checkpoint.state != COF_CHECKPOINT_SETTLE && store->error == 0 &&
           !store->read_only;
}

void cof_cleaning_wait(struct coffer_store *store)
{
    while (!may_work(store) && store->error == 0 && cof_checkpoint_end(store) == 0 &&
           store->checkpoint.state == COF_CHECKPOINT_HELD) {
        cof_checkpoint_breathe(store);
    }
}

/* The rest of a group that has to be written now takes what it holds of other victims: to give a
 * segment for a segment is no gain. */
static int fill_rest(struct coffer_store *store)
{
    struct cof_cleaner *cleaner = &store->cleaner;
    uint64_t before = cleaner->stats.put_pages - 1u;
    int err = 0;
    while (err >= 0 && cleaner->state == COF_CLEANER_IDLE && cof_cleaner_is_filling(cleaner) &&
           cleaner->stats.put_pages != before) {
        before = cleaner->stats.put_pages;
        err = cof_cleaner_begin_part(cleaner, COF_NO_SEGMENT);
        while (err >= 0 && store->error == 0 && cleaner->state != COF_CLEANER_IDLE) {
            err = work(store, RUN_PAGES, true);
        }
    }
    return store->error != 0 ? COFFER_E_FAILED : 0;
}

/* Unless half of the victims can go: write the groups that are filling, and wait for them. */
static int cut_if_most_wait(struct coffer_store *store)
{
    int err = 0;
    if (ready_count(store) * 2u >= store->cleaning.waiting_count) {
        return 0;
    }
    err = fill_rest(store);
    if (err == 0) {
        err = cof_cleaner_cut(&store->cleaner);
    }
    while (err >= 0 && store->cleaner.flying > 0) {
        err = cof_cleaner_poll(&store->cleaner, true);
    }
    return err < 0 ? fail(store, err) : 0;
}

static bool has_unsettled(const struct coffer_store *store)
{
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        if (volume->active.count != 0 || volume->active_kills.count != 0 || volume->frozen_valid) {
            return true;
        }
    }
    return false;
}

/* Victims that are free when the next root is durable, whatever happens. */
static uint32_t empty_count(const struct coffer_store *store)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < store->cleaning.waiting_count; i++) {
        const struct cof_segment *at = &store->segments.table[store->cleaning.waiting[i]];
        bool held = at->pins != 0 || at->readers != 0 || at->moving != 0;
        count += !held && at->live + at->fresh + at->own == 0 ? 1u : 0u;
    }
    return count;
}

/* Let victims go; with wait they are gone on return. A light checkpoint leaves deaths to a full
 * one, for which there must be room afterwards, in what it frees if nowhere else; else it is a full
 * one. NO_SPACE: not even that has room. */
static int release(struct coffer_store *store, bool wait)
{
    int err = cof_checkpoint_settle(store);
    if (err == 0) {
        err = cut_if_most_wait(store);
    }
    if (err != 0) {
        return err;
    }
    if (COF_BROKEN(CLEAN_FREE)) {
        cof_segments_free_early(store);
        forget_published(store);
        return 0;
    }
    if (cof_light_room(store, has_unsettled(store), empty_count(store)) != 0) {
        return cof_checkpoint_whole(store, 0);
    }
    err = wait ? cof_checkpoint_light(store) : cof_checkpoint_light_begin(store);
    store->cleaning.light_count += err == 0 ? 1u : 0u;
    return err;
}

/* ---- work ---- */

/* Pages that a slice may move: some, and for each page that was written since the last one the
 * more, the fewer segments are left; in pieces that others need not wait long for, but where much
 * was written at once. */
static uint64_t share(struct coffer_store *store, uint32_t missing)
{
    uint64_t written = store->written_pages - store->cleaning.paid_pages;
    uint64_t pages = SLICE_PAGES + written * SHARE_PAGES * missing;
    uint64_t most = written * (missing > HURRY_MISSING ? HURRY_PAGES_MAX : SHARE_PAGES_MAX);
    store->cleaning.paid_pages = store->written_pages;
    most = most > SLICE_PAGES_MAX ? most : SLICE_PAGES_MAX;
    return pages < most ? pages : most;
}

/* 1: it did something; 0: nothing to do, or it waits for the device. */
static int slice_step(struct coffer_store *store, unsigned pages)
{
    int err;
    if (store->cleaner.state != COF_CLEANER_IDLE) {
        return work(store, pages, false);
    }
    if (store->segments.free_count >= cof_cleaning_low(store) ||
        store->checkpoint.state != COF_CHECKPOINT_IDLE) {
        return 0;
    }
    err = may_release(store) ? release(store, false) : cof_cleaner_begin(&store->cleaner, false);
    return err == 0 && may_work(store);
}

int cof_cleaning_slice(struct coffer_store *store)
{
    uint64_t until;
    uint32_t low, have = store->segments.free_count;
    int err;
    if (!may_work(store)) {
        return 0;
    }
    low = cof_cleaning_low(store);
    err = cof_cleaner_poll(&store->cleaner, false);
    if (err < 0) {
        return fail(store, err);
    }
    if (have >= low && store->cleaner.state == COF_CLEANER_IDLE) {
        store->cleaning.paid_pages = store->written_pages;
        return 0;
    }
    store->cleaner.reads = have + HURRY_MISSING < low ? COF_VICTIM_READS_MAX : COF_VICTIM_READS;
    err = have < low ? cof_cleaner_read_ahead(&store->cleaner) : 0;
    if (err != 0) {
        return 0; /* with the victim's own turn */
    }
    err = 1;
    until = store->cleaner.stats.put_pages + share(store, have < low ? low - have : 1u);
    while (err > 0 && store->error == 0 && store->cleaner.stats.put_pages < until) {
        err = slice_step(store, (unsigned)(until - store->cleaner.stats.put_pages));
    }
    return store->error != 0 ? store->error : err > 0;
}

int cof_cleaning_fd(struct coffer_store *store, bool cleaning)
{
    const struct cof_cleaner *cleaner = &store->cleaner;
    bool busy = cleaning && (cleaner->flying > 0 || cleaner->reads_flying > 0);
    return busy && may_work(store) ? store->dev->ops->channel_fd(cleaner->channel)
                                   : cof_settle_fd(store);
}

/* One victim, from begin to end. NO_SPACE: none, or no room for its survivors. */
static int clean_best(struct coffer_store *store, bool emptiest, bool pressed, uint32_t victim)
{
    int err = 0;
    store->cleaning.pressed = pressed;
    store->cleaner.reads = COF_VICTIM_READS_MAX;
    cof_cleaning_wait(store);
    if (store->cleaner.state == COF_CLEANER_IDLE) {
        err = victim != COF_NO_SEGMENT
                  ? cof_cleaner_begin_with(&store->cleaner, victim)
                  : cof_cleaner_begin(&store->cleaner, emptiest || segments_left(store) == 0);
    }
    while (err >= 0 && store->error == 0 && store->cleaner.state != COF_CLEANER_IDLE) {
        err = work(store, RUN_PAGES, true);
        cof_checkpoint_breathe(store);
        cof_cleaning_wait(store);
    }
    store->cleaning.pressed = false;
    return store->error != 0 ? COFFER_E_FAILED : err < 0 ? COFFER_E_NO_SPACE : 0;
}

int cof_clean_one(struct coffer_store *store, uint32_t victim)
{
    return clean_best(store, false, false, victim);
}

/* Of the checkpoint lane, the emptiest but those that were gathered already. */
static uint32_t thinnest(struct coffer_store *store, const uint32_t *gathered, unsigned count)
{
    uint32_t found = COF_NO_SEGMENT, fewest = store->segment_blocks / THIN_PARTS + 1u;
    for (uint32_t i = 0; i < store->segments.count; i++) {
        const struct cof_segment *at = &store->segments.table[i];
        uint32_t used = at->live + at->own;
        bool again = false;
        for (unsigned k = 0; k < count; k++) {
            again = again || gathered[k] == i;
        }
        if (at->state == COF_SEGMENT_USED && at->lane == COF_LANE_CHECKPOINT && !again &&
            used > 0 && used < fewest && may_clean(store, i)) {
            fewest = used;
            found = i;
        }
    }
    return found;
}

int cof_cleaning_gather_roots(struct coffer_store *store)
{
    struct cof_cleaner *cleaner = &store->cleaner;
    uint32_t gathered[GATHERED_MAX];
    unsigned count = 0;
    int err = 0;
    while (err >= 0 && count < GATHERED_MAX &&
           store->segments.free_count + count < cof_cleaning_low(store)) {
        gathered[count] = thinnest(store, gathered, count);
        err = gathered[count] != COF_NO_SEGMENT ? cof_cleaner_begin_part(cleaner, gathered[count])
                                                : COFFER_E_NOT_FOUND;
        while (err >= 0 && store->error == 0 && cleaner->state != COF_CLEANER_IDLE) {
            err = work(store, RUN_PAGES, true);
        }
        count++;
    }
    return store->error != 0 ? COFFER_E_FAILED : 0;
}

int cof_store_relieve(struct coffer_store *store, bool emptiest)
{
    int err;
    if (store->error != 0) {
        return COFFER_E_FAILED;
    }
    if (store->checkpoint.state != COF_CHECKPOINT_IDLE) {
        return cof_checkpoint_settle(store);
    }
    if (cof_checkpoint_segments(store) > SETTLE_SEGMENTS && has_unsettled(store) &&
        cof_checkpoint_whole(store, 0) == 0) {
        return 0; /* what deaths kept back is more than victims give */
    }
    err = store->cleaning.waiting_count < release_count(store)
              ? clean_best(store, emptiest, emptiest, COF_NO_SEGMENT)
              : COFFER_E_NO_SPACE;
    if (err == COFFER_E_NO_SPACE && store->cleaning.waiting_count > 0) {
        err = release(store, true);
        store->cleaning.waiting_count = err == 0 ? store->cleaning.waiting_count : 0u;
    }
    if (err == COFFER_E_NO_SPACE && has_unsettled(store)) {
        err = cof_checkpoint_whole(store, 0);
    }
    return err == COFFER_E_NO_SPACE ? clean_best(store, true, true, COF_NO_SEGMENT) : err;
}
