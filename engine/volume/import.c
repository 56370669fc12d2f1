/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/import.c - extents of another store: read there as they lie, written here as they are.
 *
 * No page is opened and no key is needed: the ciphertext, its tag and its checksum travel together,
 * and the subkey is a function of lineage, extent and uuid, which stay. What is read is checked
 * against its checksum. An extent is written in one segment, in raw runs of the checkpoint lane
 * that carry tags; its descriptor is ours. Each call under the lock of the store that it touches.
 */
#include "volume/import.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

static bool wanted(const struct cof_desc *desc, unsigned slot)
{
    return slot != COF_SUMMARY_SLOT && cof_bitmap_get(&desc->live, slot);
}

unsigned cof_import_pages(const struct cof_desc *desc)
{
    return cof_bitmap_count(&desc->live) -
           (cof_bitmap_get(&desc->live, COF_SUMMARY_SLOT) ? 1u : 0u);
}

static unsigned end_of(const struct cof_desc *desc, unsigned ref)
{
    return ref + 1u < desc->ref_count ? desc->refs[ref + 1u].first_slot : COF_BITMAP_BITS;
}

/* What has to be read of a reference: its header up to the last page that is wanted. blocks 0:
 * nothing. */
static int span(const struct cof_desc *desc, unsigned ref, struct cof_block_run *run)
{
    uint32_t header = 0, last = 0;
    memset(run, 0, sizeof *run);
    for (unsigned slot = desc->refs[ref].first_slot; slot < end_of(desc, ref); slot++) {
        int err =
            wanted(desc, slot) ? cof_desc_locate(desc, slot, &run->segment, &last, &header) : 0;
        if (err != 0) {
            return err;
        }
    }
    if (last != 0) {
        run->block = header;
        run->blocks = last - header + 1u;
    }
    return run->blocks > COF_BATCH_PAGES_MAX + 1u ? COFFER_E_CORRUPT : 0;
}

/* Take the pages of a reference out of what was read of it. */
static int take_pages(struct coffer_store *store, const struct cof_desc *desc, unsigned ref,
                      const struct cof_block_run *run, struct cof_extent_copy *copy)
{
    int err = 0;
    for (unsigned slot = desc->refs[ref].first_slot; slot < end_of(desc, ref) && err == 0; slot++) {
        uint8_t *entry = copy->entries[copy->pages];
        uint32_t segment, block = 0, header = 0;
        const uint8_t *page;
        if (!wanted(desc, slot)) {
            continue;
        }
        err = cof_desc_locate(desc, slot, &segment, &block, &header);
        if (err == 0) {
            err = cof_entry_from_header(store, run->bytes, segment, header, block, entry);
        }
        page = run->bytes + (size_t)(block - header) * COF_BLOCK_BYTES;
        if (err == 0 && cof_checksum64(page, COF_BLOCK_BYTES) != cof_le64_get(entry + 16)) {
            err = COFFER_E_CORRUPT;
        }
        copy->at[copy->pages] = page;
        copy->slots[copy->pages] = (uint16_t)slot;
        copy->pages += err == 0 ? 1u : 0u;
    }
    return err;
}

/* References from `first` on, as many as are read at once; *ret_next is the one after them. */
static int read_some(struct coffer_store *store, const struct cof_desc *desc, unsigned first,
                     size_t *used, struct cof_extent_copy *copy, unsigned *ret_next)
{
    struct cof_block_run runs[COF_SYNC_IO_WINDOW];
    unsigned refs[COF_SYNC_IO_WINDOW], count = 0, ref = first;
    int err = 0;
    for (; err == 0 && ref < desc->ref_count && count < COF_SYNC_IO_WINDOW; ref++) {
        struct cof_block_run *run = &runs[count];
        err = span(desc, ref, run);
        if (err == 0 && run->blocks > 0) {
            size_t bytes = (size_t)run->blocks * COF_BLOCK_BYTES;
            if (*used + bytes > COF_IMPORT_BUFFER_BYTES) {
                return COFFER_E_CORRUPT; /* its references overlap */
            }
            run->bytes = copy->buffer + *used;
            *used += bytes;
            refs[count++] = ref;
        }
    }
    if (err == 0) {
        err = cof_sync_io_read_runs(&store->io, runs, count);
    }
    for (unsigned i = 0; err == 0 && i < count; i++) {
        err = take_pages(store, desc, refs[i], &runs[i], copy);
    }
    *ret_next = ref;
    return err;
}

int cof_extent_read(struct coffer_store *store, const struct cof_desc *desc,
                    struct cof_extent_copy *copy)
{
    size_t used = 0;
    int err = 0;
    copy->pages = 0;
    copy->extent = desc->extent;
    copy->key_id = desc->key_id;
    copy->slots_used = desc->slots_used;
    copy->metadata = desc->metadata;
    memcpy(copy->uuid, desc->uuid, 16);
    for (unsigned ref = 0; err == 0 && ref < desc->ref_count;) {
        err = read_some(store, desc, ref, &used, copy, &ref);
    }
    if (err == 0 && copy->pages != cof_import_pages(desc)) {
        err = COFFER_E_CORRUPT; /* live slots that no reference has */
    }
    return err;
}

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
                      uint32_t lineage, struct cof_desc *desc)
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
        (uint64_t)COF_RAW_IMPORT << 56 | (uint64_t)(lineage & 0x1ffffu) << 39 | copy->extent;
    first = cof_lane_place(lane, NULL, &run, 0, NULL, count, &new_run);
    for (unsigned i = 0; i < count; i++) {
        memcpy(cof_batch_page(batch, first + i), copy->at[at + i], COF_BLOCK_BYTES);
        memcpy(batch->entries[first + i], copy->entries[at + i], COF_ENTRY_BYTES);
        /* An extent of this name may have been here before, of a fork. */
        cof_tags_put(&store->tags,
                     cof_vaddr_make(lineage, copy->extent, copy->slots[at + i], false),
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

int cof_extent_write(struct coffer_store *store, uint32_t number, uint32_t lineage,
                     const struct cof_extent_copy *copy)
{
    struct cof_lane *lane = &store->meta;
    struct cof_desc *desc = cof_desc_new(&store->env, COF_BATCH_REFS_MAX);
    int err = desc == NULL ? COFFER_E_NO_MEMORY : make_room(lane, copy->pages);
    if (err != 0) {
        return err;
    }
    desc->extent = copy->extent;
    desc->lineage = lineage;
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
            at += place(store, copy, at, lineage, desc);
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
    cof_segments_live_add(&store->segments, desc->pieces[0].segment, copy->pages);
    return 0;
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

/* Of the volume that the entry is a snapshot of, under the store's own lineage. */
static bool has_extent(const struct cof_volume_entry *entry, const struct cof_desc *desc)
{
    return entry != NULL && desc->extent <= (desc->metadata ? entry->own_node_cut : entry->own_cut);
}

int cof_import_purge(struct coffer_store *store, uint32_t number,
                     const struct cof_volume_entry *inherited)
{
    for (uint32_t lineage = 0; lineage <= store->lineage_count; lineage++) {
        for (uint64_t extent = 1; extent <= COF_EXTENT_MAX; extent++) {
            struct cof_desc *desc;
            int err = cof_place_next(&store->place, lineage, &extent, &desc);
            if (err == COFFER_E_NOT_FOUND) {
                break;
            }
            if (err == 0 && desc->volume == number && !has_extent(inherited, desc)) {
                err = kill_all(store, desc);
            }
            if (err != 0) {
                return err;
            }
            cof_place_trim(&store->place);
        }
    }
    return 0;
}
