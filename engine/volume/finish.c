/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/finish.c - the end of a checkpoint: deaths, trees and tables, which the next root names.
 *
 * Applies the deaths that the merges collected, and writes placement, records, catalogue and
 * segment table into the checkpoint lane; then the root is made (settle.c). A light checkpoint is
 * this alone.
 *
 * Invariant: the persisted counts, bitmaps and trees are those of the freeze: what was appended
 * after it is young, and left to the log. Under the store's lock throughout.
 */
#include "volume/store.h"

#include "base/testhook.h"

#include <string.h>

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
    return cof_settle_begin(store, clean);
}
