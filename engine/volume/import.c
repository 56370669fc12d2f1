/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/import.c - extents of another store, written here as they are, and taken back.
 *
 * No page is opened and no key is needed: the ciphertext, its tag and its checksum travel together,
 * and the subkey is a function of lineage, extent and uuid, which stay. An extent is written in one
 * segment, in raw runs of the checkpoint lane that carry tags; its descriptor is ours. Each call
 * under the lock of the store.
 */
#include "volume/import.h"

#include <string.h>

uint32_t cof_import_blocks(unsigned pages)
{
    return pages + pages / COF_BATCH_PAGES_MAX + 2u;
}

/* A batch of the checkpoint lane with room, in one segment with what follows. */
static int prepare(struct cof_lane *lane)
{
    for (;;) {
        int err = cof_lane_prepare(lane, true);
        if (err != COFFER_E_AGAIN) {
            if (err == 0 && cof_lane_room(lane, NULL, 0, false) == 0) {
                cof_lane_close_batch(lane);
                continue;
            }
            return err;
        }
        if (cof_lane_poll(lane, true) < 0) {
            return COFFER_E_IO;
        }
    }
}

/* Have the extent begin where its segment holds all of it. */
static int make_room(struct cof_lane *lane, unsigned pages)
{
    uint32_t need = cof_import_blocks(pages) + COF_FOOTER_BLOCKS + COF_BATCH_PAGES_MAX + 2u;
    if (lane->segment == COF_NO_SEGMENT || lane->block + need <= lane->segment_blocks) {
        return 0;
    }
    cof_lane_close_batch(lane); /* now lane->block is exact */
    if (lane->block + cof_import_blocks(pages) + COF_FOOTER_BLOCKS > lane->segment_blocks) {
        cof_lane_leave_segment(lane);
    }
    return 0;
}

/* Pages from `at` on into the open batch: one reference. */
static unsigned place(struct coffer_store *store, const struct cof_extent_copy *copy, unsigned at,
                      struct cof_desc *desc)
{
    struct cof_lane *lane = &store->meta;
    struct cof_batch *batch = lane->open_batch;
    struct cof_batch_ref *ref = &desc->refs[desc->ref_count++];
    struct cof_run run;
    unsigned room = cof_lane_room(lane, NULL, 0, false);
    unsigned count = copy->pages - at < room ? copy->pages - at : room;
    unsigned first;
    bool new_run;
    memset(&run, 0, sizeof run);
    run.extent =
        (uint64_t)COF_RAW_IMPORT << 56 | (uint64_t)(copy->lineage & 0x1ffffu) << 39 | copy->extent;
    first = cof_lane_place(lane, NULL, &run, 0, NULL, count, &new_run);
    for (unsigned i = 0; i < count; i++) {
        memcpy(cof_batch_page(batch, first + i), copy->at[at + i], COF_BLOCK_BYTES);
        memcpy(batch->entries[first + i], copy->entries[at + i], COF_ENTRY_BYTES);
        /* An extent of this name may have been here before, of a fork. */
        cof_tags_put(&store->tags,
                     cof_vaddr_make(copy->lineage, copy->extent, copy->slots[at + i], false),
                     copy->entries[at + i]);
        cof_bitmap_set(&desc->present, copy->slots[at + i]);
    }
    ref->first_slot = copy->slots[at];
    ref->block = (uint16_t)(batch->block + 1u + first);
    ref->distance = (uint8_t)(1u + first);
    desc->pieces[0].segment = batch->segment;
    cof_lane_sealed(lane, batch, first, count);
    return count;
}

int cof_extent_write(struct coffer_store *store, uint32_t number,
                     const struct cof_extent_copy *copy)
{
    struct cof_lane *lane = &store->meta;
    struct cof_desc *desc = cof_desc_new(&store->env, COF_BATCH_REFS_MAX);
    int err = desc == NULL ? COFFER_E_NO_MEMORY : make_room(lane, copy->pages);
    if (err != 0) {
        cof_free(&store->env, desc);
        return err;
    }
    desc->extent = copy->extent;
    desc->lineage = copy->lineage;
    desc->key_id = copy->key_id;
    desc->volume = number;
    desc->slots_used = copy->slots_used;
    desc->metadata = copy->metadata;
    desc->piece_count = 1;
    memcpy(desc->uuid, copy->uuid, 16);
    for (unsigned at = 0; err == 0 && at < copy->pages;) {
        err = prepare(lane);
        if (err == 0 && at > 0 && lane->open_batch->segment != desc->pieces[0].segment) {
            err = COFFER_E_INTERNAL; /* make_room saw to it */
        }
        if (err == 0) {
            at += place(store, copy, at, desc);
        }
    }
    desc->live = desc->present;
    if (err == 0) {
        err = cof_place_add(&store->place, desc);
    }
    if (err != 0) {
        cof_free(&store->env, desc);
        return err;
    }
    cof_moves_overtake(&store->cleaner, copy->lineage, copy->extent);
    cof_segments_live_add(&store->segments, desc->pieces[0].segment, copy->pages);
    return cof_lane_poll(lane, false) < 0 ? COFFER_E_IO : 0; /* the device has them meanwhile */
}

/* ---- taking back ---- */

/* Of the log's tail too: no replay will ask for it. */
static int kill_all(struct coffer_store *store, struct cof_desc *desc)
{
    uint32_t lineage = desc->lineage;
    uint64_t extent = desc->extent;
    struct cof_bitmap live = desc->live;
    int err = cof_place_touch(&store->place, desc);
    if (err == 0 && desc->pinned) {
        desc->pinned = false;
        cof_segments_pin(&store->segments, desc->pieces[0].segment, -1);
    }
    for (unsigned slot = 0; err == 0 && slot < COF_BITMAP_BITS; slot++) {
        if (cof_bitmap_get(&live, slot)) {
            err = cof_place_kill(&store->place, lineage, extent, slot);
        }
    }
    return err;
}

/* Of a volume, under the store's own lineage: whether its parent has it. */
static bool has_extent(const struct cof_inherited *inherited, const struct cof_desc *desc)
{
    uint64_t position;
    if (inherited == NULL || inherited->parent == NULL) {
        return false;
    }
    position = cof_position(inherited->index, desc->extent);
    return position <=
           (desc->metadata ? inherited->parent->own_node_cut : inherited->parent->own_cut);
}

static int each_extent(struct coffer_store *store, uint32_t number,
                       const struct cof_inherited *inherited, uint64_t *count)
{
    for (uint32_t lineage = 0; lineage <= store->lineage_count; lineage++) {
        for (uint64_t extent = 1; extent <= COF_EXTENT_MAX; extent++) {
            struct cof_desc *desc;
            int err = cof_place_next(&store->place, lineage, &extent, &desc);
            if (err == COFFER_E_NOT_FOUND) {
                break;
            }
            if (err == 0 && desc->volume == number && !has_extent(inherited, desc)) {
                if (count != NULL) {
                    ++*count;
                } else {
                    err = kill_all(store, desc);
                    err = err == 0 ? cof_deaths_spill(store) : err;
                }
            }
            if (err != 0) {
                return err;
            }
            cof_place_trim(&store->place);
        }
    }
    return 0;
}

int cof_import_count(struct coffer_store *store, uint32_t number,
                     const struct cof_inherited *inherited, uint64_t *count)
{
    return each_extent(store, number, inherited, count);
}

int cof_import_purge(struct coffer_store *store, uint32_t number,
                     const struct cof_inherited *inherited)
{
    return each_extent(store, number, inherited, NULL);
}
