/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/recover.c - the log from the place that the newest root names, without a key.
 *
 * A batch counts if and only
 * if its header and every page match their checksums, store, session, lane and place are the
 * expected ones, and its number is the next. Where that ends, later batches of the session are
 * looked for: if one of them says that the missing batch was durable, this is damage and is
 * refused, not the end of the log. A batch that names a later root than the one that was found
 * means that the newer root was lost, and is refused too.
 *
 * The log is followed twice: first to see how far it goes and what the highest durable_upto is,
 * then to take it. A whole segment that durable_upto covers is taken from its footer; the rest is
 * verified batch by batch.
 *
 * What is built: placement descriptors of the extents in the log, pinned, and the range of such
 * extents of each volume. Their lists are sealed; replay.c reads them when the volume is opened.
 * Nothing is written. Single thread, at open.
 */
#include "volume/log_read.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

#define SEARCH_SEGMENTS_MAX 72u /* beyond the internal sync's 64 MiB at the smallest segments */

struct scan {
    struct coffer_store *store;
    uint32_t segment, block;
    uint64_t number;       /* of the next batch */
    uint32_t next_segment; /* as the last header or the root says */
    uint64_t durable_upto; /* highest seen */
    bool found;
    struct cof_log_read *log;
    uint8_t *batch;        /* the header of the batch that was found */
    bool dry;              /* only look how far the log goes and what was durable */
    uint64_t trusted_upto; /* footers of segments that end later are not used */
};

/* A block of the store. RANGE: it has no such block. */
static int block_at(struct scan *scan, uint32_t segment, uint32_t block, const uint8_t **ret_block)
{
    const struct coffer_store *store = scan->store;
    if (block >= store->segment_blocks || segment == COF_NO_SEGMENT ||
        segment >= store->root.segment_count) {
        return COFFER_E_RANGE;
    }
    return cof_log_read_block(scan->log, segment, block, ret_block);
}

static bool of_session(const struct scan *scan, const struct cof_batch_header *header)
{
    return memcmp(header->store_uuid, scan->store->root.store_uuid, 16) == 0 &&
           memcmp(header->session, scan->store->root.session, 16) == 0 &&
           header->lane == COF_LANE_USER;
}

static bool ours(const struct scan *scan, const struct cof_batch_header *header, uint32_t segment,
                 uint32_t block)
{
    return of_session(scan, header) && header->segment == segment && header->block == block;
}

/* 0 when the pages behind a batch's header match it, else NOT_FOUND. */
static int match_pages(struct scan *scan, const struct cof_batch_header *header)
{
    size_t entries = cof_batch_entries_offset(scan->batch, header);
    for (unsigned i = 0; i < header->pages; i++) {
        const uint8_t *entry = scan->batch + entries + (size_t)i * COF_ENTRY_BYTES;
        const uint8_t *page;
        int err = block_at(scan, header->segment, header->block + 1u + i, &page);
        if (err != 0) {
            return err;
        }
        if (cof_checksum64(page, COF_BLOCK_BYTES) != cof_le64_get(entry + 16)) {
            return COFFER_E_NOT_FOUND;
        }
    }
    return 0;
}

/* The whole batch at a place; NOT_FOUND when what is there does not count. */
static int batch_at(struct scan *scan, uint32_t segment, uint32_t block,
                    struct cof_batch_header *ret_header)
{
    const uint8_t *header;
    int err = block_at(scan, segment, block, &header);
    if (err == COFFER_E_RANGE) {
        return COFFER_E_NOT_FOUND;
    }
    if (err != 0) {
        return err;
    }
    if (cof_batch_header_decode(header, ret_header) != 0 ||
        !ours(scan, ret_header, segment, block) ||
        block + ret_header->pages + 1u > scan->store->segment_blocks) {
        return COFFER_E_NOT_FOUND;
    }
    memcpy(scan->batch, header, COF_BLOCK_BYTES);
    return match_pages(scan, ret_header);
}

static struct cof_catalogue_item *item_of(struct coffer_store *store, uint32_t number)
{
    struct cof_catalogue_item *item = store->items;
    while (item != NULL && item->entry.number != number) {
        item = item->next;
    }
    return item;
}

static void widen_tail(struct coffer_store *store, uint32_t volume, uint64_t extent)
{
    struct cof_catalogue_item *item = item_of(store, volume);
    if (item == NULL) {
        return;
    }
    if (item->entry.tail_first > item->entry.tail_last) {
        item->entry.tail_first = extent;
        item->entry.tail_last = extent;
    }
    if (extent < item->entry.tail_first) {
        item->entry.tail_first = extent;
    }
    if (extent > item->entry.tail_last) {
        item->entry.tail_last = extent;
    }
    item->dirty = true;
}

/* Take over a descriptor found in the log. */
static int adopt(struct scan *scan, struct cof_desc *desc)
{
    struct coffer_store *store = scan->store;
    int err;
    desc->pinned = true;
    err = cof_place_add(&store->place, desc);
    if (err != 0) {
        return err;
    }
    cof_segments_pin(&store->segments, desc->pieces[0].segment, 1);
    if (desc->extent >= store->next_extent) {
        store->next_extent = desc->extent + 1u;
    }
    widen_tail(store, desc->volume, desc->extent);
    return 0;
}

/* The descriptor that a run belongs to: the one that the run before made, or a new one. */
static int desc_of_run(struct scan *scan, const struct cof_run *run, struct cof_desc **ret_desc)
{
    struct coffer_store *store = scan->store;
    struct cof_desc *desc = NULL;
    int err = cof_place_find(&store->place, run->lineage, run->extent, &desc);
    if (err != 0 && err != COFFER_E_NOT_FOUND) {
        return err;
    }
    if (err == 0 && memcmp(desc->uuid, run->uuid, 16) == 0 && desc->pinned) {
        *ret_desc = desc;
        return 0;
    }
    if (run->first_slot != 0) {
        return COFFER_E_CORRUPT; /* an extent begins at slot 0, after the root's position */
    }
    desc = cof_desc_new(&store->env, COF_BATCH_REFS_MAX);
    if (desc == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    desc->extent = run->extent;
    desc->lineage = run->lineage;
    desc->volume = run->volume;
    desc->key_id = run->key_id;
    memcpy(desc->uuid, run->uuid, 16);
    desc->piece_count = 1;
    desc->pieces[0].segment = scan->segment;
    err = adopt(scan, desc);
    if (err != 0) {
        cof_free(&store->env, desc);
        return err;
    }
    *ret_desc = desc;
    return 0;
}

static int take_run(struct scan *scan, const struct cof_run *run, unsigned first_page)
{
    struct cof_desc *desc;
    struct cof_batch_ref *ref;
    bool summary = run->first_slot == COF_SUMMARY_SLOT;
    int err;
    if (run->extent == 0 || run->extent > COF_EXTENT_MAX || run->lineage != COF_LINEAGE_LOCAL ||
        run->metadata) {
        return COFFER_E_CORRUPT;
    }
    err = desc_of_run(scan, run, &desc);
    if (err != 0) {
        return err;
    }
    if (desc->ref_count >= desc->ref_capacity || desc->summary ||
        desc->pieces[0].segment != scan->segment ||
        (!summary && (run->first_slot != desc->slots_used ||
                      desc->slots_used + run->slots > (int)COF_EXTENT_SLOTS))) {
        return COFFER_E_CORRUPT;
    }
    ref = &desc->refs[desc->ref_count++];
    ref->first_slot = run->first_slot;
    ref->block = (uint16_t)(run->no_pages ? scan->block : scan->block + 1u + first_page);
    ref->distance = (uint8_t)(run->no_pages ? 0u : 1u + first_page);
    if (summary) {
        desc->summary = true;
    } else {
        desc->slots_used = (uint16_t)(desc->slots_used + run->slots);
    }
    for (unsigned i = 0; !run->no_pages && i < run->slots; i++) {
        cof_bitmap_set(&desc->present, run->first_slot + i);
        cof_bitmap_set(&desc->live, run->first_slot + i);
    }
    cof_segments_live_add(&scan->store->segments, scan->segment, cof_run_pages(run));
    return 0;
}

/* Behind this segment the log goes on in that one. */
static void go_on(struct scan *scan, uint32_t next_segment)
{
    scan->next_segment = next_segment;
    cof_log_read_follow(scan->log, next_segment);
}

static int take_batch(struct scan *scan, const struct cof_batch_header *header)
{
    unsigned first_page = 0;
    for (unsigned i = 0; !scan->dry && i < header->runs; i++) {
        struct cof_run run;
        int err;
        cof_run_decode(scan->batch + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, &run);
        if (run.volume != COF_VOLUME_TAG_RAW) {
            err = take_run(scan, &run, first_page);
            if (err != 0) {
                return err;
            }
        }
        first_page += cof_run_pages(&run);
    }
    scan->store->recovered_blocks += scan->dry ? 0u : header->pages + 1u;
    scan->number = header->number + 1u;
    scan->block += header->pages + 1u;
    go_on(scan, header->next_segment);
    if (header->durable_upto > scan->durable_upto) {
        scan->durable_upto = header->durable_upto;
    }
    scan->found = true;
    return 0;
}

static int newer_root(struct scan *scan, uint64_t epoch, struct coffer_fault *fault)
{
    return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_ROOT,
                     "the log names root %llu but the newest that is whole is %llu: both copies of "
                     "the newer root are damaged; restore the store from a copy",
                     (unsigned long long)epoch, (unsigned long long)scan->store->root.epoch);
}

/* The footer of a segment that this session began, if it describes all of it. */
static int footer_at(struct scan *scan, uint32_t segment, const uint8_t **ret_bytes,
                     struct cof_footer *ret_footer)
{
    struct coffer_store *store = scan->store;
    const uint8_t *bytes;
    int err;
    if (segment == COF_NO_SEGMENT || segment >= store->root.segment_count) {
        return COFFER_E_NOT_FOUND;
    }
    err = cof_log_read_footer(scan->log, segment, &bytes);
    if (err != 0) {
        return err;
    }
    if (cof_footer_decode(bytes, ret_footer) != 0 || !ret_footer->complete ||
        memcmp(ret_footer->store_uuid, store->root.store_uuid, 16) != 0 ||
        memcmp(ret_footer->session, store->root.session, 16) != 0 ||
        ret_footer->lane != COF_LANE_USER || ret_footer->segment != segment ||
        ret_footer->first_batch != scan->number || ret_footer->last_batch < scan->number ||
        ret_footer->last_batch >= COF_BATCH_NO_MAX ||
        ret_footer->next_segment >= store->root.segment_count) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_bytes = bytes;
    return 0;
}

static int take_footer_desc(struct scan *scan, const uint8_t *bytes, size_t *used)
{
    struct coffer_store *store = scan->store;
    struct cof_desc *desc;
    size_t length;
    int err = cof_desc_decode(&store->env, bytes + *used, COF_FOOTER_BYTES - 8u - *used,
                              store->root.segment_count, store->segment_blocks, &desc, &length);
    if (err != 0) {
        return err;
    }
    *used += length;
    if (desc->pieces[0].segment != scan->segment || desc->metadata || cof_desc_moved(desc)) {
        cof_free(&store->env, desc);
        return COFFER_E_CORRUPT;
    }
    desc->live = desc->present;
    cof_segments_live_add(&store->segments, scan->segment, cof_bitmap_count(&desc->present));
    err = adopt(scan, desc);
    if (err != 0) {
        cof_free(&store->env, desc);
    }
    return err;
}

/* Take the next segment from its footer; NOT_FOUND when that can't be. */
static int take_footer(struct scan *scan)
{
    struct coffer_store *store = scan->store;
    struct cof_footer footer;
    const uint8_t *bytes = NULL;
    size_t used = COF_FOOTER_HEADER_BYTES;
    uint32_t segment = scan->next_segment;
    int err = footer_at(scan, segment, &bytes, &footer);
    if (err == 0 && footer.last_batch > scan->trusted_upto) {
        err = COFFER_E_NOT_FOUND;
    }
    if (err != 0) {
        return err;
    }
    scan->segment = segment;
    for (unsigned i = 0; err == 0 && !scan->dry && i < footer.descriptors; i++) {
        err = take_footer_desc(scan, bytes, &used);
    }
    scan->number = footer.last_batch + 1u;
    scan->block = store->segment_blocks;
    go_on(scan, footer.next_segment);
    if (footer.durable_upto > scan->durable_upto) {
        scan->durable_upto = footer.durable_upto;
    }
    scan->found = true;
    store->recovered_blocks += scan->dry ? 0u : store->segment_blocks;
    return err;
}

/* Go on into the next segment: by its footer, or batch by batch. NOT_FOUND: the log does not. */
static int next_segment(struct scan *scan, struct coffer_fault *fault)
{
    struct cof_batch_header header;
    uint32_t segment = scan->next_segment;
    int err = take_footer(scan);
    if (err != COFFER_E_NOT_FOUND) {
        return err;
    }
    err = batch_at(scan, segment, 1, &header);
    if (err == 0 && header.number == scan->number) {
        if (header.epoch > scan->store->root.epoch) {
            return newer_root(scan, header.epoch, fault);
        }
        scan->segment = segment;
        scan->block = 1;
        return take_batch(scan, &header);
    }
    return err == 0 ? COFFER_E_NOT_FOUND : err;
}

static int follow(struct scan *scan, struct coffer_fault *fault)
{
    for (;;) {
        struct cof_batch_header header;
        int err = COFFER_E_NOT_FOUND;
        if (scan->segment != COF_NO_SEGMENT && scan->block < scan->store->segment_blocks) {
            err = batch_at(scan, scan->segment, scan->block, &header);
        }
        if (err == 0 && header.number == scan->number) {
            if (header.epoch > scan->store->root.epoch) {
                return newer_root(scan, header.epoch, fault);
            }
            err = take_batch(scan, &header);
        } else if (err == 0 || err == COFFER_E_NOT_FOUND) {
            err = next_segment(scan, fault);
        }
        if (err != 0) {
            return err;
        }
    }
}

/* A header that the log has not come to; in another's place it still tells what was durable. */
static bool later_header(const struct scan *scan, const uint8_t *block,
                         struct cof_batch_header *ret_header)
{
    return cof_batch_header_decode(block, ret_header) == 0 && of_session(scan, ret_header) &&
           ret_header->number >= scan->number;
}

/* After the end: does anything later in this session say that more had been durable? */
static int look_for_damage(struct scan *scan, struct coffer_fault *fault)
{
    struct coffer_store *store = scan->store;
    uint32_t segment = scan->segment == COF_NO_SEGMENT ? scan->next_segment : scan->segment;
    uint32_t block = scan->segment == COF_NO_SEGMENT ? 1u : scan->block;
    uint32_t next = scan->segment == COF_NO_SEGMENT ? COF_NO_SEGMENT : scan->next_segment;
    for (unsigned looked = 0; segment != COF_NO_SEGMENT && looked < SEARCH_SEGMENTS_MAX; looked++) {
        for (; block < store->segment_blocks; block++) {
            struct cof_batch_header header;
            const uint8_t *at;
            bool in_place;
            int err = block_at(scan, segment, block, &at);
            if (err == COFFER_E_RANGE) {
                return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_LOG,
                                 "the log goes on in segment %u, which the store does not have: "
                                 "restore the store from a copy",
                                 segment);
            }
            if (err != 0) {
                return cof_fault(fault, err, COFFER_STAGE_LOG, "the log can't be read: %s",
                                 coffer_error_sentence(err));
            }
            if (!later_header(scan, at, &header)) {
                continue;
            }
            in_place = ours(scan, &header, segment, block);
            if (in_place && header.epoch > store->root.epoch) {
                return newer_root(scan, header.epoch, fault);
            }
            if (header.durable_upto >= scan->number) {
                cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_LOG,
                          "batch %llu of the log is damaged, and was durable: restore the store "
                          "from a copy",
                          (unsigned long long)scan->number);
                cof_fault_at(fault, COFFER_NOWHERE, scan->segment,
                             (uint64_t)scan->block * COF_BLOCK_BYTES);
                return COFFER_E_CORRUPT;
            }
            if (in_place) {
                next = header.next_segment;
                cof_log_read_follow(scan->log, next);
            }
        }
        segment = next != segment ? next : COF_NO_SEGMENT;
        next = COF_NO_SEGMENT;
        block = 1;
    }
    if (scan->durable_upto >= scan->number) {
        return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_LOG,
                         "the log ends at batch %llu but was durable up to %llu: restore the store "
                         "from a copy",
                         (unsigned long long)(scan->number - 1u),
                         (unsigned long long)scan->durable_upto);
    }
    return 0;
}

static void begin(struct scan *scan, struct coffer_store *store, bool dry)
{
    const struct cof_lane_head *head = &store->root.lanes[COF_LANE_USER];
    scan->store = store;
    scan->dry = dry;
    scan->segment = head->segment;
    scan->block = head->block == 0 ? 1u : head->block; /* behind the segment's header */
    scan->number = head->batch_no;
    scan->durable_upto = head->durable_upto;
    scan->trusted_upto = UINT64_MAX;
    scan->found = false;
    go_on(scan, head->next_segment);
}

/* Both passes, and what comes after the end. */
static int recover(struct scan *scan, struct coffer_store *store, struct coffer_fault *fault)
{
    int err;
    begin(scan, store, true);
    err = follow(scan, fault);
    if (err == COFFER_E_NOT_FOUND) {
        uint64_t durable_upto = scan->durable_upto;
        begin(scan, store, false);
        scan->durable_upto = durable_upto;
        scan->trusted_upto = durable_upto;
        err = follow(scan, fault);
    }
    if (err == COFFER_E_NOT_FOUND) {
        return look_for_damage(scan, fault);
    }
    if (fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_LOG, "the log can't be followed: %s",
                  coffer_error_sentence(err));
        cof_fault_at(fault, COFFER_NOWHERE, scan->segment, (uint64_t)scan->block * COF_BLOCK_BYTES);
    }
    return err;
}

int cof_store_replay_lane(struct coffer_store *store, bool *ret_found, struct coffer_fault *fault)
{
    struct scan scan = {0};
    int err = cof_log_read_new(store, &scan.log);
    cof_fault_clear(fault);
    scan.batch = cof_alloc(&store->env, COF_BLOCK_BYTES);
    if (err == 0 && scan.batch == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    err = err == 0 ? recover(&scan, store, fault)
                   : cof_fault(fault, err, COFFER_STAGE_LOG, "the log can't be read: %s",
                               coffer_error_sentence(err));
    cof_log_read_free(scan.log);
    cof_free(&store->env, scan.batch);
    if (err == 0) {
        *ret_found = scan.found;
        store->replayed_batch = scan.number;
    }
    return err;
}
