/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue_read.c - pages from the device to the caller's memory.
 *
 * Addresses are looked up under the store's lock; pages that lie in consecutive blocks of one
 * batch become one device read. When a tag is not cached the batch's header is read, too: with the
 * pages where they come right behind it, beside them elsewhere. A few pages land in memory of the
 * store's own (landing.c) if there is room, single ones where the caller wants them.
 * Pages are opened outside the lock: from look-up until then the segment has a reader, so what dies
 * or moves meanwhile still stands where it was found. When a page does not open, the error is the
 * page's, its memory is zeroed, and the other pages are delivered.
 */
#include "volume/queue.h"

#include <sched.h>
#include <string.h>

#define POOL_MAX 64u
#define LANDING_PAGES_MIN 4u /* below, its lock costs threads that share it more than it saves */

static struct cof_read_run *run_new(struct coffer_queue *queue)
{
    struct cof_env *env = &queue->store->env;
    struct cof_read_run *run = queue->run_pool;
    uint8_t *header;
    if (run != NULL) {
        queue->run_pool = run->next;
        queue->run_pool_count--;
        header = run->header_block_bytes;
    } else {
        run = cof_alloc(env, sizeof *run);
        header = run != NULL ? cof_alloc_aligned(env, COF_BLOCK_BYTES) : NULL;
        if (header == NULL) {
            cof_free(env, run);
            return NULL;
        }
    }
    run->header_block_bytes = header;
    run->next = NULL;
    run->pages = 0;
    run->waiting = 0;
    run->keeps_tags = false;
    run->opener = NULL;
    run->tags_known = true;
    run->landing = NULL;
    return run;
}

void cof_run_free(struct coffer_queue *queue, struct cof_read_run *run)
{
    if (queue->run_pool_count < POOL_MAX) {
        run->next = queue->run_pool;
        queue->run_pool = run;
        queue->run_pool_count++;
        return;
    }
    cof_free_aligned(&queue->store->env, run->header_block_bytes);
    cof_free(&queue->store->env, run);
}

static void fail_page(struct cof_io_request *request, uint64_t page, uint8_t *target, int err,
                      enum coffer_stage stage, uint32_t segment, uint32_t block)
{
    struct coffer_fault fault;
    memset(target, 0, COF_PAGE_BYTES);
    cof_fault(&fault, err, stage, "page %llu: %s", (unsigned long long)page,
              coffer_error_sentence(err));
    cof_fault_at(&fault, page, segment == COF_NO_SEGMENT ? COFFER_NOWHERE : segment,
                 segment == COF_NO_SEGMENT ? COFFER_NOWHERE : (uint64_t)block * COF_BLOCK_BYTES);
    cof_request_fail(request, err, &fault);
}

/* ---- opening ---- */

static enum coffer_stage stage_of(int err)
{
    return err == COFFER_E_TAMPER    ? COFFER_STAGE_TAG
           : err == COFFER_E_CORRUPT ? COFFER_STAGE_CHECKSUM
           : err == COFFER_E_IO      ? COFFER_STAGE_IO
                                     : COFFER_STAGE_PLACEMENT;
}

static bool header_landed(const struct cof_read_run *run)
{
    return run->landing != NULL && run->landing_blocks > run->pages;
}

/* A page as it was read. */
static const uint8_t *page_read(const struct cof_read_run *run, unsigned i)
{
    return run->landing != NULL
               ? run->landing + (run->landing_blocks - run->pages + i) * (size_t)COF_BLOCK_BYTES
               : run->targets[i];
}

static int tags_from_header(struct cof_read_run *run)
{
    unsigned pages = 0, first = run->block - run->header_block - 1u;
    const uint8_t *header = header_landed(run) ? run->landing : run->header_block_bytes;
    const uint8_t *entries;
    if (run->header.result != 0) {
        return run->header.result;
    }
    entries = cof_header_entries(run->owner->queue->store, header, run->segment, run->header_block,
                                 &pages);
    if (entries == NULL || first + run->pages > pages) {
        return COFFER_E_CORRUPT;
    }
    memcpy(run->entries, entries + (size_t)first * COF_ENTRY_BYTES,
           (size_t)run->pages * COF_ENTRY_BYTES);
    return 0;
}

/* The tags go into the cache, unless the extent was sealed anew since they were looked up: they
 * are right for what was read, and for nothing that is read from now on. */
static void keep_tags(const struct cof_read_run *run)
{
    const struct cof_opener *opener = run->opener;
    struct coffer_store *store = run->owner->queue->store;
    struct cof_desc *desc;
    if (cof_place_find(&store->place, opener->lineage, opener->extent, &desc) != 0 ||
        memcmp(desc->uuid, opener->uuid, sizeof desc->uuid) != 0) {
        return;
    }
    for (unsigned i = 0; i < run->pages; i++) {
        cof_tags_put(&store->tags, cof_store_address(run->owner->io.volume, run->addrs[i]),
                     run->entries[i]);
    }
}

/* All of a run is there: open its pages. */
static void open_run(struct cof_read_run *run)
{
    struct cof_io_request *request = run->owner;
    struct coffer_queue *queue = request->queue;
    int err = run->data.result;
    int tags = err == 0 && !run->tags_known ? tags_from_header(run) : 0;
    for (unsigned i = 0; i < run->pages; i++) {
        int page_err = err != 0 ? err : tags;
        if (page_err == 0) {
            page_err = cof_unprotect_page(queue->aead, run->opener, COF_PAGE_DATA,
                                          cof_vaddr_slot(run->addrs[i]), run->first_page + i,
                                          page_read(run, i), run->targets[i], run->entries[i]);
        }
        if (page_err != 0) {
            fail_page(request, run->first_page + i, run->targets[i], page_err, stage_of(page_err),
                      run->segment, run->block + i);
        }
    }
    if (run->landing != NULL) {
        cof_landing_give(queue->store, run->landing, run->landing_blocks);
        run->landing = NULL;
    }
    run->keeps_tags = err == 0 && tags == 0 && !run->tags_known;
    run->next = queue->opened;
    queue->opened = run;
}

void cof_read_release(struct coffer_queue *queue)
{
    struct coffer_store *store = queue->store;
    while (queue->opened != NULL) {
        struct cof_read_run *run = queue->opened;
        queue->opened = run->next;
        if (run->keeps_tags) {
            keep_tags(run);
        }
        cof_segments_read(&store->segments, run->segment, -1);
        cof_opener_put(store, run->opener);
        cof_run_free(queue, run);
    }
}

/* What a write waits for comes first, as others may wait for its pages. */
static void arrive(struct coffer_queue *queue, struct cof_read_run *run)
{
    if (run->owner->io.op != COFFER_IO_READ && queue->arrived != NULL) {
        run->next = queue->arrived;
        queue->arrived = run;
        return;
    }
    run->next = NULL;
    *(queue->arrived_last != NULL ? &queue->arrived_last->next : &queue->arrived) = run;
    queue->arrived_last = run;
}

void cof_read_arrived(struct coffer_queue *queue, struct coffer_segdev_request *list)
{
    while (list != NULL) {
        struct coffer_segdev_request *next = list->next;
        struct cof_read_run *run = list->user;
        queue->reads_in_flight--;
        run->waiting--;
        if (run->waiting == 0) {
            arrive(queue, run);
        }
        list = next;
    }
}

void cof_read_open_next(struct coffer_queue *queue)
{
    struct cof_read_run *run = queue->arrived;
    struct cof_io_request *request = run->owner;
    queue->arrived = run->next;
    if (queue->arrived == NULL) {
        queue->arrived_last = NULL;
    }
    open_run(run);
    request->reads_in_flight--;
}

/* ---- finding ---- */

enum found { FOUND_ZERO, FOUND_MEMORY, FOUND_DEVICE, FOUND_BUSY, FOUND_ERROR };

struct place {
    struct cof_vaddr addr;
    struct cof_desc *desc;
    uint32_t segment, block, header_block;
    struct cof_batch *batch;
    int err;
};

static enum found find_page(struct coffer_volume *volume, uint64_t page, struct place *place)
{
    struct coffer_store *store = volume->store;
    memset(place, 0, sizeof *place);
    cof_place_trim(&store->place);
    place->err = cof_volume_lookup(volume, page, &place->addr);
    if (place->err != 0) {
        return FOUND_ERROR;
    }
    if (cof_vaddr_zero(place->addr)) {
        return FOUND_ZERO;
    }
    place->err = cof_place_find(&store->place, cof_lineage_of(volume, place->addr),
                                cof_vaddr_extent(place->addr), &place->desc);
    if (place->err == 0 && !cof_volume_may_hold(volume, place->desc)) {
        place->err = COFFER_E_NOT_FOUND;
    }
    if (place->err == 0) {
        place->err = cof_desc_locate(place->desc, cof_vaddr_slot(place->addr), &place->segment,
                                     &place->block, &place->header_block);
    }
    if (place->err != 0) {
        place->err = place->err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT : place->err;
        return FOUND_ERROR;
    }
    if (store->lanes_ready) {
        place->batch = cof_lane_find(&store->lane, place->segment, place->block);
        if (place->batch != NULL) {
            return place->batch->ready[place->block - place->batch->block - 1u] ? FOUND_MEMORY
                                                                                : FOUND_BUSY;
        }
    }
    return FOUND_DEVICE;
}

/* Whether the page goes on where the run ends. */
static bool continues(const struct cof_read_run *run, const struct place *place, uint64_t page,
                      const struct coffer_volume *volume)
{
    return run != NULL && run->pages < COF_READ_IOV_MAX && run->first_page + run->pages == page &&
           run->segment == place->segment && run->header_block == place->header_block &&
           run->block + run->pages == place->block &&
           run->opener->extent == cof_vaddr_extent(place->addr) &&
           run->opener->volume == volume->number && run->opener->lineage == place->desc->lineage;
}

/* Under the lock. */
static int begin_run(struct cof_io_request *request, const struct place *place, uint64_t page,
                     struct cof_read_run **ret_run)
{
    struct cof_read_run *run = run_new(request->queue);
    int err;
    if (run == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_opener_get(request->io.volume, place->desc, &run->opener);
    if (err != 0) {
        cof_run_free(request->queue, run);
        return err;
    }
    cof_segments_read(&request->queue->store->segments, place->segment, 1);
    run->owner = request;
    run->first_page = page;
    run->segment = place->segment;
    run->block = place->block;
    run->header_block = place->header_block;
    *ret_run = run;
    return 0;
}

static void add_page(struct cof_read_run *run, const struct place *place, uint8_t *target)
{
    struct coffer_store *store = run->owner->queue->store;
    unsigned i = run->pages++;
    run->addrs[i] = place->addr;
    run->targets[i] = target;
    run->tags_known =
        cof_tags_get(&store->tags, cof_store_address(run->owner->io.volume, place->addr),
                     run->entries[i]) &&
        run->tags_known;
}

/* ---- device ---- */

static void submit_one(struct coffer_queue *queue, struct cof_read_run *run,
                       struct coffer_segdev_request *request, uint32_t block, struct iovec *iov,
                       unsigned iov_count)
{
    int err;
    memset(request, 0, sizeof *request);
    request->op = COFFER_SEGDEV_READ;
    request->segment = run->segment;
    request->offset = block * COF_BLOCK_BYTES;
    request->iov = iov;
    request->iov_count = iov_count;
    request->buffer_index = -1;
    request->user = run;
    do {
        err = queue->store->dev->ops->submit(queue->channel, request);
        if (err == COFFER_E_AGAIN) {
            struct coffer_segdev_request *list = NULL;
            int count = queue->store->dev->ops->poll(queue->channel, 1, &list);
            if (count < 0) {
                err = count;
            }
            cof_read_arrived(queue, list);
            if (queue->arrived != NULL) {
                cof_read_open_next(queue); /* there are no more of them than the channel holds */
            }
        }
    } while (err == COFFER_E_AGAIN);
    request->result = err;
    if (err == 0) {
        queue->reads_in_flight++;
        queue->device_reads++;
    } else {
        run->waiting--;
    }
}

/* Where one read puts the run, in one piece if there is memory for that: its header, if that comes
 * along, then its pages, each stretch of them that is contiguous. */
static unsigned lay_out(struct cof_read_run *run, bool with_header)
{
    struct iovec *iov = run->iov;
    unsigned count = 0;
    run->landing_blocks = run->pages + (with_header ? 1u : 0u);
    if (run->pages >= LANDING_PAGES_MIN) {
        run->landing = cof_landing_take(run->owner->queue->store, run->landing_blocks);
    }
    if (run->landing != NULL) {
        iov[0].iov_base = run->landing;
        iov[0].iov_len = (size_t)run->landing_blocks * COF_BLOCK_BYTES;
        return 1;
    }
    if (with_header) {
        iov[count++] = run->header_iov;
    }
    for (unsigned i = 0; i < run->pages; i++) {
        if (count > 0 &&
            (uint8_t *)iov[count - 1u].iov_base + iov[count - 1u].iov_len == run->targets[i]) {
            iov[count - 1u].iov_len += COF_PAGE_BYTES;
        } else {
            iov[count].iov_base = run->targets[i];
            iov[count].iov_len = COF_PAGE_BYTES;
            count++;
        }
    }
    return count;
}

static void submit_run(struct cof_read_run *run)
{
    struct coffer_queue *queue = run->owner->queue;
    bool together = !run->tags_known && run->block == run->header_block + 1u;
    unsigned iov_count;
    run->header_iov.iov_base = run->header_block_bytes;
    run->header_iov.iov_len = COF_BLOCK_BYTES;
    iov_count = lay_out(run, together);
    run->owner->reads_in_flight++;
    run->waiting = run->tags_known || together ? 1u : 2u;
    run->header.result = 0; /* when it comes with the data, that tells of it */
    if (!run->tags_known && !together) {
        submit_one(queue, run, &run->header, run->header_block, &run->header_iov, 1);
    }
    submit_one(queue, run, &run->data, together ? run->header_block : run->block, run->iov,
               iov_count);
    queue->device_read_bytes += (uint64_t)run->pages * COF_PAGE_BYTES;
    if (run->waiting == 0) {
        arrive(queue, run); /* with the error of not having been submitted */
    }
}

/* ---- start ---- */

static void append(struct cof_read_search *search, struct cof_read_run *run)
{
    *(search->last != NULL ? &search->last->next : &search->first) = run;
    search->last = run;
}

/* Copied under the lock, opened without it. */
static int take_from_memory(struct cof_read_search *search, const struct place *place,
                            uint8_t *target)
{
    uint32_t at = place->block - place->batch->block - 1u;
    struct cof_read_run *run;
    int err = begin_run(search->request, place, search->page, &run);
    if (err == 0) {
        add_page(run, place, target);
        memcpy(target, cof_batch_page(place->batch, at), COF_PAGE_BYTES);
        memcpy(run->entries[0], place->batch->entries[at], COF_ENTRY_BYTES);
        run->next = search->memory;
        search->memory = run;
    }
    return err;
}

static int take_from_device(struct cof_read_search *search, const struct place *place,
                            uint8_t *target)
{
    struct cof_read_run *run = search->last;
    int err = 0;
    if (!continues(run, place, search->page, search->request->io.volume)) {
        err = begin_run(search->request, place, search->page, &run);
        if (err == 0) {
            append(search, run);
        }
    }
    if (err == 0) {
        add_page(run, place, target);
    }
    return err;
}

/* Up to the first page that another thread, or this one, is sealing right now. */
void cof_read_look_up(struct cof_read_search *search)
{
    struct cof_io_request *request = search->request;
    for (; search->page < search->end; search->page++) {
        uint8_t *target = cof_request_page(request, search->page);
        struct place place;
        enum found found = find_page(request->io.volume, search->page, &place);
        int err = place.err;
        if (found == FOUND_BUSY) {
            return;
        }
        if (found == FOUND_ZERO) {
            memset(target, 0, COF_PAGE_BYTES);
        } else if (found == FOUND_MEMORY) {
            err = take_from_memory(search, &place, target);
        } else if (found == FOUND_DEVICE) {
            err = take_from_device(search, &place, target);
        }
        if (err != 0) {
            fail_page(request, search->page, target, err, stage_of(err), place.segment,
                      place.block);
        }
    }
}

void cof_read_begin(struct cof_read_search *search, struct cof_io_request *request,
                    uint64_t first_page, uint64_t count)
{
    memset(search, 0, sizeof *search);
    search->request = request;
    search->page = first_page;
    search->end = first_page + count;
    request->reads_in_flight++; /* held until all is submitted */
}

static void open_memory(struct cof_read_search *search)
{
    while (search->memory != NULL) {
        struct cof_read_run *run = search->memory;
        search->memory = run->next;
        run->data.result = 0;
        run->tags_known = true;
        open_run(run);
    }
}

void cof_read_submit(struct cof_read_search *search)
{
    struct coffer_store *store = search->request->queue->store;
    open_memory(search);
    while (search->page < search->end) {
        sched_yield(); /* another thread is sealing the page right now */
        pthread_mutex_lock(&store->lock);
        cof_read_look_up(search);
        pthread_mutex_unlock(&store->lock);
        open_memory(search);
    }
    while (search->first != NULL) {
        struct cof_read_run *run = search->first;
        search->first = run->next;
        submit_run(run);
    }
    search->request->reads_in_flight--;
}

void cof_read_start(struct cof_io_request *request, uint64_t first_page, uint64_t count)
{
    struct coffer_store *store = request->queue->store;
    struct cof_read_search search;
    cof_read_begin(&search, request, first_page, count);
    pthread_mutex_lock(&store->lock);
    cof_read_look_up(&search);
    pthread_mutex_unlock(&store->lock);
    cof_read_submit(&search);
}
