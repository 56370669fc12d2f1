/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/extent.c - open extents: where new pages get their addresses.
 *
 * A volume has at most one open data extent (in the user lane) and one open metadata extent (in
 * the checkpoint lane). Slots are given in order without gaps. An extent lies in one segment, and
 * closes when it is full, when its table of batches is, at the end of the segment, and at a
 * freeze. Its subkey is derived from the data key that this process drew, and lives until the last
 * batch with pages of it was sealed. Under the store's lock.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <string.h>

static void free_extent(struct coffer_store *store, struct cof_extent *extent)
{
    struct cof_extent **at = &store->extents;
    while (*at != extent) {
        at = &(*at)->next;
    }
    *at = extent->next;
    cof_subkey_seal_free(extent->subkey);
    cof_free(&store->env, extent);
}

void cof_extent_put(struct coffer_store *store, struct cof_extent *extent)
{
    extent->refs--;
    if (extent->refs == 0 && extent->closed) {
        free_extent(store, extent);
    }
}

void cof_extents_done(struct coffer_store *store)
{
    while (store->extents != NULL) {
        free_extent(store, store->extents);
    }
}

/* 128 bits from the environment's randomness, hashed with both clocks: a second, independent
 * source should the first ever repeat. */
int cof_extent_draw_uuid(struct coffer_store *store, uint8_t uuid[16])
{
    uint8_t seed[32], digest[32];
    int err = cof_random(&store->env, seed, 16);
    if (err == 0) {
        cof_le64_put(seed + 16, cof_monotonic_ns(&store->env));
        cof_le64_put(seed + 24, cof_wall_ns(&store->env));
        err = cof_sha256(seed, sizeof seed, digest);
    }
    if (err == 0) {
        memcpy(uuid, digest, 16);
    }
    return err;
}

static int derive(struct coffer_volume *volume, struct cof_extent *extent, struct cof_desc *desc)
{
    uint8_t info[COF_INFO_BYTES];
    struct cof_ek *ek;
    int err;
    if (!volume->encrypted) {
        extent->seed = cof_plain_seed(volume->store->root.store_uuid, desc->extent, desc->uuid);
        return 0;
    }
    if (!volume->eks_ready) {
        return COFFER_E_INTERNAL; /* the durable root does not list the keys of this process */
    }
    err = cof_keys_active(volume, desc->extent, desc->metadata, &ek);
    if (err != 0) {
        return err;
    }
    desc->key_id = ek->entry.key_id;
    cof_extent_info(ek->entry.lineage, desc->extent, desc->uuid, info);
    return cof_subkey_seal_new(ek->seal, info, &extent->subkey);
}

static int remember_young(struct coffer_store *store, uint64_t number)
{
    if (store->young_count == store->young_capacity) {
        unsigned capacity = store->young_capacity == 0 ? 64u : store->young_capacity * 2u;
        uint64_t *list = cof_calloc(&store->env, capacity, sizeof *list);
        if (list == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (store->young_count > 0) {
            memcpy(list, store->young_extents, store->young_count * sizeof *list);
        }
        cof_free(&store->env, store->young_extents);
        store->young_extents = list;
        store->young_capacity = capacity;
    }
    store->young_extents[store->young_count++] = number;
    return 0;
}

static void forget_young(struct coffer_store *store, const struct cof_desc *desc)
{
    if (desc != NULL && store->young_count > 0 &&
        store->young_extents[store->young_count - 1u] == desc->extent) {
        store->young_count--;
    }
}

static int open_extent(struct coffer_volume *volume, struct cof_lane *lane, bool metadata,
                       struct cof_extent **ret_extent)
{
    struct coffer_store *store = volume->store;
    struct cof_extent *extent = cof_calloc(&store->env, 1, sizeof *extent);
    struct cof_desc *desc = cof_desc_new(&store->env, COF_BATCH_REFS_MAX);
    int err = extent == NULL || desc == NULL ? COFFER_E_NO_MEMORY : 0;
    if (err == 0 && store->next_extent >= COF_EXTENT_MAX) {
        err = COFFER_E_LIMIT;
    }
    if (err == 0) {
        desc->extent = store->next_extent;
        desc->lineage = COF_LINEAGE_LOCAL;
        desc->volume = volume->number;
        desc->metadata = metadata;
        desc->young = !metadata;
        desc->pinned = !metadata;
        desc->piece_count = 1;
        desc->pieces[0].segment = lane->open_batch->segment;
        err = cof_extent_draw_uuid(store, desc->uuid);
    }
    if (err == 0) {
        err = derive(volume, extent, desc);
    }
    if (err == 0 && !metadata) {
        err = remember_young(store, desc->extent);
    }
    if (err == 0) {
        err = cof_place_add(&store->place, desc);
    }
    if (err != 0) {
        forget_young(store, desc);
        if (extent != NULL) {
            cof_subkey_seal_free(extent->subkey);
        }
        cof_free(&store->env, extent);
        cof_free(&store->env, desc);
        return err;
    }
    store->next_extent++;
    cof_keys_count(volume, desc->key_id, 1, !metadata);
    extent->volume = volume;
    extent->desc = desc;
    extent->number = desc->extent;
    extent->metadata = metadata;
    extent->next = store->extents;
    store->extents = extent;
    if (!metadata) {
        cof_segments_pin(&store->segments, desc->pieces[0].segment, 1);
        extent->chain = volume->chain_extent == 0
                            ? 0
                            : cof_chain_word(volume->chain_extent, volume->chain_slots);
        volume->chain_extent = extent->number;
        volume->chain_slots = 0;
        if (volume->tail_first > volume->tail_last) {
            volume->tail_first = extent->number;
        }
        volume->tail_last = extent->number;
    }
    *ret_extent = extent;
    return 0;
}

static struct cof_extent **current(struct coffer_volume *volume, bool metadata)
{
    return metadata ? &volume->meta_extent : &volume->data_extent;
}

/* Place the summary in the open batch if there is room now; it only saves replay time. */
static void place_summary(struct cof_extent *extent, struct cof_lane *lane)
{
    struct coffer_store *store = extent->volume->store;
    struct cof_batch *batch;
    uint8_t page[4096];
    uint64_t word = cof_word(COF_WORD_SUMMARY, 0);
    unsigned slot, at;
    if (extent->desc->slots_used < 2 || cof_lane_prepare(lane, true) != 0 ||
        lane->open_batch->segment != extent->desc->pieces[0].segment ||
        cof_lane_room(lane, extent, COF_SUMMARY_SLOT, false) == 0 ||
        extent->desc->ref_count >= COF_BATCH_REFS_MAX) {
        return;
    }
    batch = lane->open_batch;
    cof_le64_put(page, extent->chain);
    for (unsigned i = 0; i < COF_EXTENT_SLOTS; i++) {
        cof_le64_put(page + 8u + 8u * i, i < extent->desc->slots_used ? extent->words[i] : 0u);
    }
    if (cof_extent_place(extent, lane, &word, 1, false, &slot, &at) != 0) {
        return;
    }
    if (cof_protect_page(store->aead, extent, COF_PAGE_SUMMARY, slot, 0, page,
                         cof_batch_page(batch, at), batch->entries[at]) != 0) {
        cof_lane_fail(lane, COFFER_E_CRYPTO);
        return;
    }
    cof_lane_sealed(lane, batch, at, 1);
}

void cof_extent_close(struct coffer_volume *volume, bool metadata, bool summary)
{
    struct cof_extent **at = current(volume, metadata);
    struct cof_extent *extent = *at;
    struct coffer_store *store = volume->store;
    if (extent == NULL) {
        return;
    }
    *at = NULL;
    extent->refs++;
    if (summary && !metadata && store->lane.error == 0) {
        place_summary(extent, &store->lane);
    }
    if (!metadata) {
        store->lane.tail_reserve_blocks -= store->lane.tail_reserve_blocks >= 2u ? 2u : 0u;
    }
    extent->closed = true;
    cof_extent_put(store, extent);
}

int cof_extent_prepare(struct coffer_volume *volume, bool metadata, struct cof_extent **ret_extent)
{
    struct coffer_store *store = volume->store;
    struct cof_lane *lane = metadata ? &store->meta : &store->lane;
    struct cof_extent **at = current(volume, metadata);
    for (;;) {
        struct cof_extent *extent;
        bool full;
        int err = cof_lane_prepare(lane, metadata);
        if (err != 0) {
            return err;
        }
        extent = *at;
        full = extent != NULL && (extent->desc->slots_used >= COF_EXTENT_SLOTS ||
                                  extent->desc->ref_count + 1u >= COF_BATCH_REFS_MAX);
        if (full) {
            cof_extent_close(volume, metadata, true);
            continue;
        }
        if (extent == NULL) {
            if (cof_lane_room(lane, NULL, 0, false) == 0) {
                cof_lane_close_batch(lane);
                continue;
            }
            err = open_extent(volume, lane, metadata, at);
            if (err != 0) {
                return err;
            }
            if (!metadata) {
                lane->tail_reserve_blocks += 2u;
            }
            extent = *at;
        }
        if (cof_lane_room(lane, extent, extent->desc->slots_used, false) == 0) {
            cof_lane_close_batch(lane);
            continue;
        }
        *ret_extent = extent;
        return 0;
    }
}

static void add_ref(struct cof_desc *desc, const struct cof_batch *batch, unsigned first_slot,
                    unsigned first_page, bool no_pages)
{
    struct cof_batch_ref *ref = &desc->refs[desc->ref_count++];
    ref->first_slot = (uint16_t)first_slot;
    ref->block = (uint16_t)(no_pages ? batch->block : batch->block + 1u + first_page);
    ref->distance = (uint8_t)(no_pages ? 0u : 1u + first_page);
}

int cof_extent_place(struct cof_extent *extent, struct cof_lane *lane, const uint64_t *words,
                     unsigned count, bool no_pages, unsigned *ret_first_slot,
                     unsigned *ret_first_page)
{
    struct coffer_store *store = extent->volume->store;
    struct cof_desc *desc = extent->desc;
    struct cof_batch *batch = lane->open_batch;
    bool summary = cof_word_type(words[0]) == COF_WORD_SUMMARY;
    struct cof_run run;
    bool new_run;
    unsigned first = summary ? COF_SUMMARY_SLOT : desc->slots_used;
    memset(&run, 0, sizeof run);
    run.volume = extent->volume->number;
    run.lineage = COF_LINEAGE_LOCAL;
    run.extent = extent->number;
    memcpy(run.uuid, desc->uuid, 16);
    run.key_id = desc->key_id;
    run.first_slot = (uint16_t)first;
    run.no_pages = no_pages;
    run.metadata = extent->metadata;
    *ret_first_page = cof_lane_place(lane, extent, &run, extent->chain, words, count, &new_run);
    *ret_first_slot = first;
    if (new_run) {
        extent->refs++;
        add_ref(desc, batch, first, *ret_first_page, no_pages);
    }
    if (summary) {
        desc->summary = true;
    } else {
        memcpy(&extent->words[first], words, count * sizeof *words);
        desc->slots_used = (uint16_t)(desc->slots_used + count);
        if (!extent->metadata) {
            extent->volume->chain_slots = desc->slots_used;
        }
    }
    if (!no_pages) {
        for (unsigned i = 0; i < count; i++) {
            cof_bitmap_set(&desc->present, first + i);
            cof_bitmap_set(&desc->live, first + i);
        }
        if (extent->metadata) {
            cof_segments_live_add(&store->segments, batch->segment, count);
        } else {
            cof_segments_fresh_add(&store->segments, batch->segment, count);
            store->log_pages_since_checkpoint += count;
            store->written_pages += summary ? 0u : count;
            store->segments.clock += summary ? 0u : count;
        }
    }
    return 0;
}

/* ---- what the lanes ask for ---- */

static int seal_list(void *ctx, void *owner, const struct cof_run *run, uint64_t batch_no,
                     uint8_t *list, size_t length_bytes, uint8_t ret_tag[16])
{
    struct coffer_store *store = ctx;
    struct cof_extent *extent = owner;
    int err = cof_protect_list(store->aead, extent, run, store->root.session, batch_no, list,
                               length_bytes, ret_tag);
    cof_extent_put(store, extent);
    return err;
}

static int take_segment(void *ctx, unsigned lane_id, uint32_t *ret_segment, uint64_t *ret_sequence,
                        bool *ret_fresh)
{
    struct coffer_store *store = ctx;
    uint32_t keep = lane_id == COF_LANE_CHECKPOINT ? 0u : cof_segments_kept(store);
    return cof_segments_take(&store->segments, lane_id, keep, ret_segment, ret_sequence, ret_fresh);
}

static int user_segment_end(void *ctx, struct cof_lane *lane)
{
    struct coffer_store *store = ctx;
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (volume->data_extent != NULL &&
            volume->data_extent->desc->pieces[0].segment == lane->segment) {
            cof_extent_close(volume, false, true);
        }
    }
    return 0;
}

static int meta_segment_end(void *ctx, struct cof_lane *lane)
{
    struct coffer_store *store = ctx;
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (volume->meta_extent != NULL &&
            volume->meta_extent->desc->pieces[0].segment == lane->segment) {
            cof_extent_close(volume, true, false);
        }
    }
    return 0;
}

/* Where those of the extents begin that may lie in the footer's segment. They are in the order in
 * which they were opened, and a segment's end closes them: from the last one that lies in another
 * segment on, none is met again. */
static unsigned first_of(struct coffer_store *store, const struct cof_footer *footer,
                         const uint64_t *extents, unsigned count)
{
    unsigned first = count;
    while (first > 0) {
        struct cof_desc *desc;
        if (cof_place_find(&store->place, COF_LINEAGE_LOCAL, extents[first - 1u], &desc) == 0 &&
            desc->pieces[0].segment != footer->segment) {
            break;
        }
        first--;
    }
    return first;
}

/* Add the descriptors of those of the extents that lie in the footer's segment. */
static size_t describe(struct coffer_store *store, struct cof_footer *footer,
                       const uint64_t *extents, unsigned count, uint8_t *bytes, size_t used)
{
    for (unsigned i = first_of(store, footer, extents, count); footer->complete && i < count; i++) {
        struct cof_desc *desc;
        if (cof_place_find(&store->place, COF_LINEAGE_LOCAL, extents[i], &desc) != 0) {
            continue;
        }
        if (used + COF_DESC_BYTES_MAX > COF_FOOTER_BYTES - 8u) {
            footer->complete = false;
            break;
        }
        used += cof_desc_encode(desc, bytes + used);
        footer->descriptors++;
    }
    return used;
}

/* Descriptors of all data extents of the segment. Replay uses them only for a segment that this
 * session began. */
static int user_footer(void *ctx, struct cof_lane *lane, uint8_t *bytes)
{
    struct coffer_store *store = ctx;
    struct cof_footer footer;
    size_t used = COF_FOOTER_HEADER_BYTES;
    memset(&footer, 0, sizeof footer);
    footer.lane = (uint16_t)lane->id;
    memcpy(footer.store_uuid, lane->store_uuid, 16);
    memcpy(footer.session, lane->session, 16);
    footer.first_batch = lane->segment_first_batch;
    footer.last_batch = cof_lane_last(lane);
    footer.durable_upto = lane->durable_upto;
    footer.segment = lane->segment;
    footer.next_segment = lane->next_segment;
    footer.first_block = lane->segment_first_block;
    footer.complete = lane->segment_first_block == 1;
    if (footer.complete) {
        used = describe(store, &footer, store->frozen_extents, store->frozen_count, bytes, used);
        (void)describe(store, &footer, store->young_extents, store->young_count, bytes, used);
    }
    cof_footer_encode(&footer, bytes);
    return 1;
}

static int no_footer(void *ctx, struct cof_lane *lane, uint8_t *bytes)
{
    (void)ctx;
    (void)lane;
    (void)bytes;
    return 0;
}

/* A lane that failed takes the store with it: a checkpoint after a failed sync would make a root
 * that names pages the device may have dropped. */
static void progress(void *ctx)
{
    struct coffer_store *store = ctx;
    int error = store->lane.error != 0 ? store->lane.error : store->meta.error;
    if (error != 0 && store->error == 0) {
        cof_store_fail(store, error);
        return;
    }
    cof_queues_wake(store);
}

const struct cof_lane_ops cof_user_lane_ops = {seal_list, take_segment, user_segment_end,
                                               user_footer, progress};
const struct cof_lane_ops cof_meta_lane_ops = {seal_list, take_segment, meta_segment_end, no_footer,
                                               progress};
