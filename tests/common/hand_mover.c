/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/hand_mover.c - see hand_mover.h. Places are counted here by groups, not by the engine's
 * functions.
 */
#include "common/hand_mover.h"

#include "common/harness.h"
#include "format/group_format.h"

#include <stdlib.h>

/* A segment that is being filled, in memory. */
struct heap {
    struct coffer_store *store;
    uint8_t *bytes;
    uint32_t segment; /* COF_NO_SEGMENT: none */
    uint32_t pages;
    uint16_t runs; /* of the group at hand */
    uint32_t last_lineage;
    uint64_t last_extent;
};

static uint32_t pages_max(const struct heap *heap)
{
    return heap->store->segment_blocks / 128u * 127u;
}

static uint8_t *group_of(struct heap *heap, uint32_t page)
{
    return heap->bytes + (size_t)(page / 127u) * 128u * COF_BLOCK_BYTES;
}

static void close_group(struct heap *heap, uint32_t pages)
{
    struct cof_group_header header = {.lane = 1, .pages = (uint16_t)pages, .runs = heap->runs};
    header.segment = heap->segment;
    header.block = (heap->pages - 1u) / 127u * 128u;
    memcpy(header.store_uuid, heap->store->uuid, 16);
    cof_group_header_encode(&header, group_of(heap, heap->pages - 1u));
    heap->runs = 0;
    heap->last_extent = 0;
}

static void append(struct heap *heap)
{
    struct coffer_segdev *dev = heap->store->dev;
    struct coffer_segdev_channel *channel;
    struct iovec iov = {heap->bytes, (size_t)heap->store->segment_blocks * COF_BLOCK_BYTES};
    struct coffer_segdev_request request = {.op = COFFER_SEGDEV_APPEND,
                                            .segment = heap->segment,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .buffer_index = -1};
    struct coffer_segdev_request *list = NULL;
    int got = 0;
    harness_require(dev->ops->channel_open(dev, 1, &channel) == 0 &&
                        dev->ops->submit(channel, &request) == 0,
                    "the device takes no segment");
    while (got == 0) {
        got = dev->ops->poll(channel, 1, &list);
    }
    harness_require(got == 1 && request.result == 0, "a segment was not written");
    dev->ops->channel_close(channel);
}

static void finish(struct heap *heap)
{
    if (heap->segment != COF_NO_SEGMENT && heap->pages > 0) {
        if (heap->pages % 127u != 0) {
            close_group(heap, heap->pages % 127u);
        }
        append(heap);
    }
    heap->segment = COF_NO_SEGMENT;
}

/* The piece lies in one segment. */
static void make_room(struct heap *heap, unsigned pages)
{
    uint64_t sequence;
    bool fresh;
    harness_require(pages <= pages_max(heap), "an extent of more than a segment");
    if (heap->segment != COF_NO_SEGMENT && heap->pages + pages <= pages_max(heap)) {
        return;
    }
    finish(heap);
    harness_require(
        cof_segments_take(&heap->store->segments, 1, 0, &heap->segment, &sequence, &fresh) == 0,
        "no free segment");
    memset(heap->bytes, 0, (size_t)heap->store->segment_blocks * COF_BLOCK_BYTES);
    heap->pages = 0;
    heap->runs = 0;
    heap->last_extent = 0;
}

static void put(struct heap *heap, const struct cof_desc *desc, unsigned slot)
{
    struct coffer_store *store = heap->store;
    uint8_t header[4096], *group = group_of(heap, heap->pages);
    uint32_t segment, block, header_block, number = heap->pages % 127u;
    harness_require(cof_desc_locate(desc, slot, &segment, &block, &header_block) == 0 &&
                        cof_sync_io_read(&store->io, segment, header_block * COF_BLOCK_BYTES,
                                         header, 4096) == 0 &&
                        cof_entry_from_header(store, header, segment, header_block, block,
                                              group + 64u + (size_t)number * 24u) == 0 &&
                        cof_sync_io_read(&store->io, segment, block * COF_BLOCK_BYTES,
                                         group + (size_t)(1u + number) * COF_BLOCK_BYTES,
                                         COF_BLOCK_BYTES) == 0,
                    "a page does not read");
    if (heap->last_lineage != desc->lineage || heap->last_extent != desc->extent) {
        harness_require(heap->runs < COF_GROUP_RUNS_MAX, "a group of too many runs");
        cof_group_run_put(group, heap->runs++, desc->lineage, desc->extent);
        heap->last_lineage = desc->lineage;
        heap->last_extent = desc->extent;
    }
    cof_segments_live_sub(&store->segments, segment, 1);
    cof_segments_live_add(&store->segments, heap->segment, 1);
    heap->pages++;
    if (number == 126u) {
        close_group(heap, 127);
    }
}

/* Live slots from *slot on, `count` of them. */
static void move_piece(struct heap *heap, const struct cof_desc *desc, unsigned *slot,
                       unsigned count, struct cof_piece *ret_piece)
{
    make_room(heap, count);
    ret_piece->segment = heap->segment;
    ret_piece->block = (uint16_t)(heap->pages / 127u * 128u + heap->pages % 127u + 1u);
    ret_piece->first_slot = (uint16_t)*slot;
    ret_piece->cleaner = true;
    for (; count > 0; (*slot)++) {
        if (cof_bitmap_get(&desc->live, *slot)) {
            put(heap, desc, *slot);
            count--;
        }
    }
}

static void move_extent(struct heap *heaps, struct cof_desc *desc, unsigned pieces)
{
    struct cof_piece moved[COF_PIECES_MAX];
    unsigned live = cof_bitmap_count(&desc->live), slot = 0;
    pieces = pieces < live ? pieces : live;
    for (unsigned i = 0; i < pieces; i++) {
        unsigned count = live / pieces + (i < live % pieces ? 1u : 0u);
        move_piece(&heaps[i], desc, &slot, count, &moved[i]);
    }
    memcpy(desc->pieces, moved, sizeof moved);
    desc->piece_count = (uint8_t)pieces;
    desc->ref_count = 0;
    desc->present = desc->live;
    harness_require(cof_place_touch(&heaps[0].store->place, desc) == 0, "no bucket");
}

static unsigned move_lineage(struct heap *heaps, unsigned pieces, uint32_t lineage)
{
    struct coffer_store *store = heaps[0].store;
    struct cof_desc *desc;
    unsigned count = 0;
    for (uint64_t extent = 1; cof_place_next(&store->place, lineage, &extent, &desc) == 0;
         extent++) {
        if (!desc->pinned && !desc->young && cof_bitmap_count(&desc->live) > 0) {
            move_extent(heaps, desc, pieces);
            count++;
        }
    }
    return count;
}

unsigned hand_move_all(struct coffer_store *store, unsigned pieces)
{
    struct heap heaps[COF_PIECES_MAX];
    unsigned count = 0;
    harness_require(pieces > 0 && pieces <= COF_PIECES_MAX, "%u pieces", pieces);
    pthread_mutex_lock(&store->lock);
    for (unsigned i = 0; i < pieces; i++) {
        memset(&heaps[i], 0, sizeof heaps[i]);
        heaps[i].store = store;
        heaps[i].bytes =
            aligned_alloc(COF_BLOCK_BYTES, (size_t)store->segment_blocks * COF_BLOCK_BYTES);
        harness_require(heaps[i].bytes != NULL, "no memory");
    }
    for (uint32_t lineage = 0; lineage <= store->lineage_count; lineage++) {
        count += move_lineage(heaps, pieces, lineage);
    }
    for (unsigned i = 0; i < pieces; i++) {
        finish(&heaps[i]);
        free(heaps[i].bytes);
    }
    store->root.incompat |= count > 0 ? COF_INCOMPAT_CLEANED : 0u;
    pthread_mutex_unlock(&store->lock);
    return count;
}
