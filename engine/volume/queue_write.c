/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue_write.c - pages into the log.
 *
 * Place and slot of a page and its entry in the delta are taken together, under the store's lock:
 * slot order is batch order is the order in which concurrent writes win. The pages of all requests
 * that are submitted together are then sealed straight into the batches' buffers, on the caller's
 * core, with the lock let go. A page that is
 * covered in part is read first; until its new version is placed nobody else may place one of it,
 * so it is kept in the volume's table of locked pages, which whole-page writes look at too.
 */
#include "volume/queue.h"

#include "format/endian.h"

#include <string.h>

#define CHUNK_PAGES 64u
#define LANE_HELPS_MAX 64u

static bool overlaps_locked(const struct coffer_volume *volume, uint64_t first, uint64_t count)
{
    for (unsigned i = 0; i < volume->locked_count; i++) {
        if (volume->locked_pages[i] >= first && volume->locked_pages[i] - first < count) {
            return true;
        }
    }
    return false;
}

/* Looked at before room is made, and again after: the lock may have been let go for it. */
static bool is_kept_off(const struct cof_io_request *request, uint64_t first, uint64_t count)
{
    return !request->locked && overlaps_locked(request->io.volume, first, count);
}

static uint64_t last_page(const struct cof_io_request *request)
{
    return request->first_page + request->page_count - 1u;
}

static bool wants_page(const struct cof_io_request *request, bool tail)
{
    if (!tail) {
        return request->head_partial;
    }
    return request->tail_partial && (request->page_count > 1 || !request->head_partial);
}

void cof_write_unlock_pages(struct cof_io_request *request)
{
    struct coffer_volume *volume = request->io.volume;
    if (!request->locked) {
        return;
    }
    request->locked = false;
    for (unsigned tail = 0; tail < 2; tail++) {
        uint64_t page = tail ? last_page(request) : request->first_page;
        for (unsigned i = 0; wants_page(request, tail != 0) && i < volume->locked_count; i++) {
            if (volume->locked_pages[i] == page) {
                volume->locked_pages[i] = volume->locked_pages[--volume->locked_count];
                break;
            }
        }
    }
}

static int lock_pages(struct cof_io_request *request)
{
    struct coffer_volume *volume = request->io.volume;
    if (overlaps_locked(volume, request->first_page, request->page_count)) {
        return COFFER_E_AGAIN;
    }
    if (volume->locked_count + 2u > volume->locked_capacity) {
        struct cof_env *env = &volume->store->env;
        unsigned capacity = volume->locked_capacity * 2u + 16u;
        uint64_t *pages = cof_calloc(env, capacity, sizeof *pages);
        if (pages == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (volume->locked_count > 0) {
            memcpy(pages, volume->locked_pages, volume->locked_count * sizeof *pages);
        }
        cof_free(env, volume->locked_pages);
        volume->locked_pages = pages;
        volume->locked_capacity = capacity;
    }
    for (unsigned tail = 0; tail < 2; tail++) {
        if (wants_page(request, tail != 0)) {
            volume->locked_pages[volume->locked_count++] =
                tail ? last_page(request) : request->first_page;
        }
    }
    request->locked = true;
    return 0;
}

/* ---- discards in the delta ---- */

int cof_volume_apply_discard(struct coffer_volume *volume, uint64_t page, uint64_t pages,
                             struct cof_vaddr addr)
{
    uint64_t end = page + pages; /* of a volume that was larger */
    unsigned height = cof_tree_height_for(end > volume->size_pages ? end : volume->size_pages);
    while (pages > 0) {
        struct cof_vaddr loser;
        unsigned level = 0;
        int err;
        while (level < height &&
               (page & ((UINT64_C(1) << (COF_NODE_SHIFT * (level + 1u))) - 1u)) == 0 &&
               pages >= UINT64_C(1) << (COF_NODE_SHIFT * (level + 1u))) {
            level++;
        }
        err = cof_delta_put(&volume->active, cof_delta_key(level, page >> (COF_NODE_SHIFT * level)),
                            addr, &loser);
        if (err == 0) {
            err = cof_kills_add(&volume->active_kills, loser);
        }
        if (err != 0) {
            return err;
        }
        page += UINT64_C(1) << (COF_NODE_SHIFT * level);
        pages -= UINT64_C(1) << (COF_NODE_SHIFT * level);
    }
    return 0;
}

/* ---- placing ---- */

static int prepare(struct cof_io_request *request, struct cof_extent **ret_extent)
{
    int err = cof_extent_prepare(request->io.volume, false, ret_extent);
    for (unsigned i = 0;
         err == COFFER_E_NO_SPACE && request->queue->placed_count == 0 && i < LANE_HELPS_MAX; i++) {
        err = cof_log_help(request->queue->store);
        if (err == 0) {
            err = cof_extent_prepare(request->io.volume, false, ret_extent);
        }
    }
    return err;
}

static int remember(struct coffer_volume *volume, uint64_t page, struct cof_vaddr addr)
{
    struct cof_vaddr loser;
    int err = cof_delta_put(&volume->active, cof_delta_key(0, page), addr, &loser);
    return err == 0 ? cof_kills_add(&volume->active_kills, loser) : err;
}

static void seal(struct coffer_queue *queue, struct cof_placed *placed)
{
    struct cof_batch *batch = placed->batch;
    for (unsigned i = 0; placed->err == 0 && i < placed->count; i++) {
        placed->err = cof_protect_page(
            queue->aead, placed->extent, COF_PAGE_DATA, placed->slot + i, placed->page + i,
            cof_request_page(placed->request, placed->page + i),
            cof_batch_page(batch, placed->first + i), batch->entries[placed->first + i]);
    }
}

static void sealed(struct coffer_store *store, const struct cof_placed *placed)
{
    struct cof_batch *batch = placed->batch;
    if (placed->err != 0) {
        cof_store_fail(store, placed->err); /* and with it what waits for the batch */
    }
    for (unsigned i = 0; placed->err == 0 && i < placed->count; i++) {
        cof_tags_put(
            &store->tags,
            cof_vaddr_make(COF_LINEAGE_LOCAL, placed->extent->number, placed->slot + i, false),
            batch->entries[placed->first + i]);
    }
    cof_lane_sealed(&store->lane, batch, placed->first, placed->count);
    cof_extent_put(store, placed->extent);
}

void cof_write_seal(struct coffer_queue *queue)
{
    struct coffer_store *store = queue->store;
    if (queue->placed_count == 0) {
        return;
    }
    pthread_mutex_unlock(&store->lock);
    for (unsigned i = 0; i < queue->placed_count; i++) {
        seal(queue, &queue->placed[i]);
    }
    pthread_mutex_lock(&store->lock);
    for (unsigned i = 0; i < queue->placed_count; i++) {
        sealed(store, &queue->placed[i]);
    }
    queue->placed_count = 0;
    queue->placed_pages = 0;
    cof_queues_rouse(store);
}

/* Nobody waits for room while the lane waits for pages that he has still to seal. */
static int admit(struct cof_io_request *request, uint64_t page, unsigned count)
{
    struct coffer_volume *volume = request->io.volume;
    if (request->queue->placed_count == 0) {
        return cof_store_admit(volume, page, count);
    }
    return cof_store_admits(volume->store, count) ? 0 : COFFER_E_NO_SPACE;
}

static void note_placed(struct cof_io_request *request, const struct cof_placed *placed)
{
    struct coffer_queue *queue = request->queue;
    queue->placed[queue->placed_count++] = *placed;
    queue->placed_pages += placed->count;
    placed->extent->refs++;
}

/* Place whole pages, as many as are sealed at once. */
static int place_pages(struct cof_io_request *request, uint64_t page, uint64_t left,
                       unsigned *ret_count)
{
    struct coffer_volume *volume = request->io.volume;
    struct coffer_store *store = volume->store;
    struct cof_placed placed = {.request = request, .page = page};
    uint64_t words[CHUNK_PAGES];
    unsigned room = CHUNK_PAGES - request->queue->placed_pages;
    unsigned count = left < room ? (unsigned)left : room;
    int err;
    cof_delta_expect_record(&volume->active, page);
    err = admit(request, page, count);
    if (err == 0) {
        err = prepare(request, &placed.extent);
    }
    if (err == 0 && is_kept_off(request, page, count)) {
        err = COFFER_E_AGAIN;
    }
    if (err != 0) {
        return err;
    }
    room = cof_lane_room(&store->lane, placed.extent, placed.extent->desc->slots_used, false);
    count = count < room ? count : room;
    room = COF_EXTENT_SLOTS - placed.extent->desc->slots_used;
    count = count < room ? count : room;
    for (unsigned i = 0; i < count; i++) {
        words[i] = cof_word(COF_WORD_PAGE, page + i);
    }
    placed.batch = store->lane.open_batch;
    placed.count = count;
    err = cof_extent_place(placed.extent, &store->lane, words, count, false, &placed.slot,
                           &placed.first);
    for (unsigned i = 0; err == 0 && i < count; i++) {
        err =
            remember(volume, page + i,
                     cof_vaddr_make(volume->index, placed.extent->number, placed.slot + i, false));
    }
    if (err != 0) {
        /* Placed and not in the map: the store can't go on, as its counts would be wrong. */
        cof_store_fail(store, err);
        cof_lane_sealed(&store->lane, placed.batch, placed.first, count);
        return err;
    }
    request->commit_batch = placed.batch->number;
    note_placed(request, &placed);
    *ret_count = count;
    return 0;
}

/* Whole pages become holes: two slots in the log, whatever their number. */
static int place_discard(struct cof_io_request *request, uint64_t page, uint64_t pages)
{
    struct coffer_volume *volume = request->io.volume;
    struct coffer_store *store = volume->store;
    struct cof_extent *extent;
    uint64_t words[2] = {cof_word(COF_WORD_DISCARD_START, page),
                         cof_word(COF_WORD_DISCARD_LENGTH, pages)};
    unsigned slot, first;
    int err = cof_log_ready(store, 2);
    for (;;) {
        if (err == 0) {
            err = prepare(request, &extent);
        }
        if (err == 0 && is_kept_off(request, page, pages)) {
            err = COFFER_E_AGAIN;
        }
        if (err != 0) {
            return err;
        }
        if (extent->desc->slots_used + 2u > COF_EXTENT_SLOTS) {
            cof_extent_close(volume, false, true);
        } else if (cof_lane_room(&store->lane, extent, extent->desc->slots_used, true) < 2u) {
            cof_lane_close_batch(&store->lane);
        } else {
            break;
        }
    }
    request->commit_batch = store->lane.open_batch->number;
    err = cof_extent_place(extent, &store->lane, words, 2, true, &slot, &first);
    if (err == 0) {
        err = cof_volume_apply_discard(volume, page, pages,
                                       cof_vaddr_make(volume->index, extent->number, slot, true));
    }
    if (err != 0) {
        cof_store_fail(store, err);
    }
    return err;
}

/* ---- the request ---- */

/* Put the caller's bytes over what was read of the partial pages. */
static void overlay(struct cof_io_request *request)
{
    uint64_t left = request->io.length_bytes;
    size_t skip = request->head_skip;
    const struct iovec *iov = request->io.iov;
    uint8_t *to = request->bounce + skip;
    if (request->zeroes) {
        uint8_t *tail = cof_request_page(request, last_page(request));
        size_t head_end = request->page_count == 1 ? request->tail_end : COF_PAGE_BYTES;
        if (request->head_partial) {
            memset(request->bounce + skip, 0, head_end - skip);
        }
        if (request->tail_partial && wants_page(request, true)) {
            memset(tail, 0, request->tail_end);
        }
        return;
    }
    for (; left > 0; iov++) {
        memcpy(to, iov->iov_base, iov->iov_len);
        to += iov->iov_len;
        left -= iov->iov_len;
    }
}

static bool is_partial(const struct cof_io_request *request, uint64_t page)
{
    return (request->head_partial && page == request->first_page) ||
           (request->tail_partial && page == last_page(request));
}

/* Place the next piece, or seal what is in its way. */
static int write_some(struct cof_io_request *request)
{
    struct coffer_queue *queue = request->queue;
    uint64_t page = request->first_page + request->at;
    uint64_t left = request->page_count - request->at;
    bool holes_next = request->zeroes && !is_partial(request, page);
    unsigned placed = 0;
    int err;
    if (queue->placed_count == COF_PLACED_MAX || queue->placed_pages == CHUNK_PAGES ||
        (queue->placed_count > 0 && holes_next)) {
        cof_write_seal(queue);
    }
    if (is_kept_off(request, page, left)) {
        return COFFER_E_AGAIN;
    }
    if (holes_next) {
        uint64_t holes = left - (request->tail_partial ? 1u : 0u);
        err = place_discard(request, page, holes);
        request->at += err == 0 ? holes : 0u;
        return err;
    }
    err = place_pages(request, page, request->zeroes ? 1u : left, &placed);
    if (err == COFFER_E_NO_SPACE && queue->placed_count > 0) {
        cof_write_seal(queue);
        return 0;
    }
    request->at += placed;
    return err;
}

static void start_merge(struct cof_io_request *request)
{
    struct coffer_store *store = request->queue->store;
    request->phase = COF_PHASE_MERGE;
    pthread_mutex_unlock(&store->lock);
    request->reads_in_flight++;
    for (unsigned tail = 0; tail < 2; tail++) {
        if (wants_page(request, tail != 0)) {
            cof_read_start(request, tail ? last_page(request) : request->first_page, 1);
        }
    }
    request->reads_in_flight--;
    pthread_mutex_lock(&store->lock);
}

void cof_write_advance(struct cof_io_request *request)
{
    struct coffer_store *store = request->queue->store;
    int err = 0;
    if (request->reads_in_flight > 0) {
        return; /* the device still writes to its memory, whatever became of the store */
    }
    if (store->error != 0 || store->lane.error != 0) {
        err = COFFER_E_FAILED;
    }
    if (err == 0 && request->phase == COF_PHASE_LOCK) {
        cof_write_seal(request->queue); /* or it might wait for a page of its own */
        err = lock_pages(request);
        if (err == 0) {
            start_merge(request);
        }
    }
    if (err == 0 && request->phase == COF_PHASE_MERGE) {
        if (request->reads_in_flight > 0) {
            return;
        }
        err = request->result;
        if (err == 0) {
            overlay(request);
            request->phase = COF_PHASE_WRITE;
        }
    }
    while (err == 0 && request->phase == COF_PHASE_WRITE && request->at < request->page_count) {
        err = write_some(request);
    }
    if (err == COFFER_E_AGAIN) {
        return;
    }
    cof_write_unlock_pages(request);
    if (err != 0) {
        cof_request_fail(request, err, NULL);
        request->phase = COF_PHASE_DONE;
        cof_queues_wake(store); /* no batch will, that pages are free which others wait for */
        return;
    }
    request->phase = COF_PHASE_COMMIT;
    if (request->want_durable) {
        cof_lane_want_durable(&store->lane, request->commit_batch);
    } else if (!request->write_back) {
        cof_lane_hurry(&store->lane, request->commit_batch);
    }
}
