/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/rich_inventory.c - which structures of docs/format.md a store's image holds.
 *
 * Told from the bytes alone, but for what is sealed: that an encrypted tree has two levels follows
 * from a page beyond 512 that the model says is mapped. A structure that is held nowhere fails the
 * case, so a change of the history or of the engine can't take one away without a word.
 */
#include "common/rich_store.h"

#include "common/harness.h"
#include "format/catalogue_format.h"
#include "format/endian.h"
#include "format/taglist_format.h"
#include "format/vaddr.h"

#include <string.h>

enum held {
    ROOT_EVEN,
    ROOT_ODD,
    LANE_USER,
    LANE_CHECKPOINT,
    OLD_SESSION,
    FOOTER_IN_TAIL,
    BATCH_BEFORE_TAIL,
    BATCH_IN_TAIL,
    BATCH_BEHIND_FOOTER,
    BATCH_WITHOUT_PAGE,
    BATCH_OF_SEVERAL,
    RUN_SEALED,
    RUN_PLAIN,
    RUN_SEALED_DISCARD,
    RUN_PLAIN_DISCARD,
    RUN_SEALED_SUMMARY,
    RUN_PLAIN_SUMMARY,
    RUN_SEALED_NODE,
    RUN_PLAIN_NODE,
    RUN_PLACEMENT,
    RUN_CATALOGUE,
    RUN_SEGMENTS,
    TREE_PLACEMENT,
    TREE_CATALOGUE,
    TREE_SEGMENTS,
    DESC_DATA,
    DESC_METADATA,
    DESC_SUMMARY,
    DESC_SEVERAL_BATCHES,
    DESC_PRESENT_BITMAP,
    DESC_PRESENT_LIST,
    DESC_LIVE_EQUAL,
    DESC_LIVE_BITMAP,
    DESC_LIVE_LIST,
    SEGMENT_FREE,
    SEGMENT_ROOTS,
    SEGMENT_USER,
    SEGMENT_CHECKPOINT,
    ENTRY_SEALED,
    ENTRY_PLAIN,
    ENTRY_SNAPSHOT,
    ENTRY_HIDDEN,
    ENTRY_CHILD,
    ENTRY_TAIL,
    ENTRY_WRITERS,
    RING_RECIPIENT,
    TAGS_SEALED,
    TAGS_PLAIN,
    KEY_OPEN_END,
    KEY_ENDED,
    KEY_SPARE,
    KEY_INHERITED,
    TREE_OF_TWO_LEVELS,
    HELD
};

static const char *const names[HELD] = {
    [ROOT_EVEN] = "root of an even epoch, twice",
    [ROOT_ODD] = "root of an odd epoch, twice",
    [LANE_USER] = "segment of the user lane",
    [LANE_CHECKPOINT] = "segment of the checkpoint lane",
    [OLD_SESSION] = "segment of a session before",
    [FOOTER_IN_TAIL] = "footer that a replay takes",
    [BATCH_BEFORE_TAIL] = "batch before the tail",
    [BATCH_IN_TAIL] = "batch in the tail",
    [BATCH_BEHIND_FOOTER] = "batch behind the segment with the footer",
    [BATCH_WITHOUT_PAGE] = "batch without a page",
    [BATCH_OF_SEVERAL] = "batch of several volumes",
    [RUN_SEALED] = "run of encrypted pages",
    [RUN_PLAIN] = "run of plain pages",
    [RUN_SEALED_DISCARD] = "discard of an encrypted volume",
    [RUN_PLAIN_DISCARD] = "discard of a plain volume",
    [RUN_SEALED_SUMMARY] = "encrypted summary",
    [RUN_PLAIN_SUMMARY] = "plain summary",
    [RUN_SEALED_NODE] = "encrypted map node",
    [RUN_PLAIN_NODE] = "plain map node",
    [RUN_PLACEMENT] = "raw run of placement",
    [RUN_CATALOGUE] = "raw run of the catalogue",
    [RUN_SEGMENTS] = "raw run of the segment table",
    [TREE_PLACEMENT] = "placement tree with a node",
    [TREE_CATALOGUE] = "catalogue tree with two levels of nodes",
    [TREE_SEGMENTS] = "segment table",
    [DESC_DATA] = "descriptor of a data extent",
    [DESC_METADATA] = "descriptor of a metadata extent",
    [DESC_SUMMARY] = "descriptor of an extent with a summary",
    [DESC_SEVERAL_BATCHES] = "descriptor of several batches",
    [DESC_PRESENT_BITMAP] = "descriptor with a bitmap of present slots",
    [DESC_PRESENT_LIST] = "descriptor with a list of present slots",
    [DESC_LIVE_EQUAL] = "descriptor of which all lives",
    [DESC_LIVE_BITMAP] = "descriptor with a bitmap of live slots",
    [DESC_LIVE_LIST] = "descriptor with a list of live slots",
    [SEGMENT_FREE] = "record of a free segment",
    [SEGMENT_ROOTS] = "record of a segment with root slots",
    [SEGMENT_USER] = "record of a segment of the user lane",
    [SEGMENT_CHECKPOINT] = "record of a segment of the checkpoint lane",
    [ENTRY_SEALED] = "entry of an encrypted volume",
    [ENTRY_PLAIN] = "entry of a plain volume",
    [ENTRY_SNAPSHOT] = "entry of a snapshot",
    [ENTRY_HIDDEN] = "entry of a hidden snapshot",
    [ENTRY_CHILD] = "entry with a parent",
    [ENTRY_TAIL] = "entry with a tail of a session before",
    [ENTRY_WRITERS] = "entry with writers",
    [RING_RECIPIENT] = "key ring with two wraps",
    [TAGS_SEALED] = "sealed list of tags",
    [TAGS_PLAIN] = "plain list of tags",
    [KEY_OPEN_END] = "data key without an end",
    [KEY_ENDED] = "data key whose range has ended",
    [KEY_SPARE] = "spare data key",
    [KEY_INHERITED] = "inherited data key",
    [TREE_OF_TWO_LEVELS] = "encrypted tree of two levels",
};

struct inventory {
    const struct rich_store *rich;
    uint64_t count[HELD];
    uint32_t data_keys; /* of the entry visited last */
    bool encrypted;
};

static void count_if(struct inventory *inventory, enum held held, bool there)
{
    inventory->count[held] += there ? 1u : 0u;
}

static void count_roots(struct inventory *inventory)
{
    unsigned odd = 0, even = 0;
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        struct cof_root root;
        if (cof_root_decode(sim_image_bytes(inventory->rich->image, SIM_ROOT, slot), &root) == 0) {
            odd += root.epoch % 2 != 0 ? 1u : 0u;
            even += root.epoch % 2 == 0 ? 1u : 0u;
        }
    }
    count_if(inventory, ROOT_EVEN, even == 2);
    count_if(inventory, ROOT_ODD, odd == 2);
}

static void count_segments(struct inventory *inventory)
{
    const struct rich_store *rich = inventory->rich;
    const struct forge_map *map = &rich->map;
    for (unsigned i = 0; i < map->segment_count; i++) {
        struct cof_segment_header header;
        harness_require(cof_segment_header_decode(sim_image_bytes(rich->image, map->segments[i], 0),
                                                  &header) == 0,
                        "rich store: a segment header is bad");
        count_if(inventory, LANE_USER, header.lane == COF_LANE_USER);
        count_if(inventory, LANE_CHECKPOINT, header.lane == COF_LANE_CHECKPOINT);
        count_if(inventory, OLD_SESSION, memcmp(header.session, map->root.session, 16) != 0);
    }
}

/* The first batch behind the head is the footer's first: only then a replay takes it. Returns the
 * last batch that it describes, or 0. */
static uint64_t count_footers(struct inventory *inventory)
{
    const struct forge_map *map = &inventory->rich->map;
    uint64_t last = 0;
    for (unsigned i = 0; i < map->footer_count; i++) {
        uint8_t bytes[COF_FOOTER_BYTES];
        struct cof_footer footer;
        uint32_t block = sim_image_blocks(inventory->rich->image, 0) - COF_FOOTER_BLOCKS;
        forge_read(inventory->rich->image, map->footers[i], block, 0, bytes, sizeof bytes);
        if (cof_footer_decode(bytes, &footer) == 0 && footer.complete &&
            memcmp(footer.session, map->root.session, 16) == 0 &&
            footer.first_batch == map->root.lanes[COF_LANE_USER].batch_no) {
            last = footer.last_batch;
        }
    }
    count_if(inventory, FOOTER_IN_TAIL, last != 0);
    return last;
}

static void count_raw(struct inventory *inventory, const struct cof_run *run)
{
    unsigned kind = (unsigned)(run->extent >> 56);
    count_if(inventory, RUN_PLACEMENT, kind == COF_RAW_PLACEMENT);
    count_if(inventory, RUN_CATALOGUE, kind == COF_RAW_CATALOGUE);
    count_if(inventory, RUN_SEGMENTS, kind == COF_RAW_SEGMENTS);
}

static void count_run(struct inventory *inventory, const struct cof_run *run)
{
    bool plain = run->key_id == 0;
    if (run->volume == COF_VOLUME_TAG_RAW) {
        count_raw(inventory, run);
    } else if (run->metadata) {
        count_if(inventory, plain ? RUN_PLAIN_NODE : RUN_SEALED_NODE, true);
    } else if (run->no_pages) {
        count_if(inventory, plain ? RUN_PLAIN_DISCARD : RUN_SEALED_DISCARD, true);
    } else if (run->first_slot == COF_SUMMARY_SLOT) {
        count_if(inventory, plain ? RUN_PLAIN_SUMMARY : RUN_SEALED_SUMMARY, true);
    } else {
        count_if(inventory, plain ? RUN_PLAIN : RUN_SEALED, true);
    }
}

static void count_batches(struct inventory *inventory, uint64_t footer_last)
{
    const struct forge_map *map = &inventory->rich->map;
    uint64_t head = map->root.lanes[COF_LANE_USER].batch_no;
    for (unsigned i = 0; i < map->batch_count; i++) {
        const struct forge_batch *batch = &map->batches[i];
        bool user = batch->header.lane == COF_LANE_USER, several = false;
        uint32_t first_volume = 0;
        for (unsigned r = 0; r < batch->header.runs; r++) {
            struct cof_run run;
            unsigned page;
            forge_run(inventory->rich->image, batch, r, &run, &page);
            count_run(inventory, &run);
            first_volume = r == 0 ? run.volume : first_volume;
            several = several || (run.volume != first_volume && run.first_slot < COF_SUMMARY_SLOT);
        }
        count_if(inventory, BATCH_BEFORE_TAIL, user && batch->header.number < head);
        count_if(inventory, BATCH_IN_TAIL, user && batch->header.number >= head);
        count_if(inventory, BATCH_BEHIND_FOOTER, user && batch->header.number > footer_last);
        count_if(inventory, BATCH_WITHOUT_PAGE, batch->header.pages == 0);
        count_if(inventory, BATCH_OF_SEVERAL, user && several);
    }
}

/* ---- the keyless trees ---- */

static void count_descriptor(struct inventory *inventory, const uint8_t *at)
{
    unsigned flags = cof_le16_get(at + 34), present = at[38], live = at[39];
    count_if(inventory, DESC_DATA, (flags & 1u) == 0);
    count_if(inventory, DESC_METADATA, (flags & 1u) != 0);
    count_if(inventory, DESC_SUMMARY, (flags & 2u) != 0);
    count_if(inventory, DESC_SEVERAL_BATCHES, at[37] > 1);
    count_if(inventory, DESC_PRESENT_BITMAP, present == 1);
    count_if(inventory, DESC_PRESENT_LIST, present == 2);
    count_if(inventory, DESC_LIVE_EQUAL, live == 0);
    count_if(inventory, DESC_LIVE_BITMAP, live == 1);
    count_if(inventory, DESC_LIVE_LIST, live == 2);
}

static void visit_bucket(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct inventory *inventory = ctx;
    uint8_t bytes[COF_BUCKET_BLOCKS_MAX * COFFER_BLOCK_BYTES] = {0};
    uint32_t offset = COF_BUCKET_HEADER_BYTES;
    (void)key;
    harness_require(record->blocks <= COF_BUCKET_BLOCKS_MAX, "rich store: a bucket of %u blocks",
                    record->blocks);
    forge_read(inventory->rich->image, record->segment, record->block, 0, bytes,
               record->blocks * COFFER_BLOCK_BYTES);
    for (unsigned i = 0; i < cof_le16_get(bytes + 4); i++) {
        count_descriptor(inventory, bytes + offset);
        offset += cof_le16_get(bytes + offset + 42);
    }
}

static void visit_segments(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct inventory *inventory = ctx;
    uint8_t bytes[COFFER_BLOCK_BYTES];
    (void)key;
    forge_read(inventory->rich->image, record->segment, record->block, 0, bytes, sizeof bytes);
    for (unsigned i = 0; i < sim_image_segment_count(inventory->rich->image); i++) {
        struct cof_segment_record segment;
        cof_segment_record_decode(bytes + i * 16u, &segment);
        count_if(inventory, SEGMENT_FREE, segment.state == COF_SEGMENT_FREE);
        count_if(inventory, SEGMENT_ROOTS, segment.state == COF_SEGMENT_RESERVED);
        count_if(inventory, SEGMENT_USER,
                 segment.state == COF_SEGMENT_USED && segment.lane == COF_LANE_USER);
        count_if(inventory, SEGMENT_CHECKPOINT,
                 segment.state == COF_SEGMENT_USED && segment.lane == COF_LANE_CHECKPOINT);
    }
}

static void count_entry(struct inventory *inventory, const uint8_t *bytes)
{
    struct cof_volume_entry entry;
    harness_require(cof_volume_entry_decode(bytes, &entry) == 0,
                    "rich store: an entry of the catalogue is bad");
    inventory->data_keys = entry.data_keys;
    inventory->encrypted = entry.encrypted;
    count_if(inventory, ENTRY_SEALED, entry.kind == COF_KIND_VOLUME && entry.encrypted);
    count_if(inventory, ENTRY_PLAIN, entry.kind == COF_KIND_VOLUME && !entry.encrypted);
    count_if(inventory, ENTRY_SNAPSHOT, entry.kind == COF_KIND_SNAPSHOT);
    count_if(inventory, ENTRY_HIDDEN, entry.kind == COF_KIND_HIDDEN);
    count_if(inventory, ENTRY_CHILD, entry.parent_number != 0);
    count_if(inventory, ENTRY_TAIL, entry.tail_first <= entry.tail_last);
    count_if(inventory, ENTRY_WRITERS, entry.writers > 0);
    count_if(inventory, RING_RECIPIENT,
             entry.ring_slots > 0 && cof_le16_get(bytes + COF_VOLUME_ENTRY_BYTES + 20) > 1);
}

/* The entry of a volume is visited before its data keys. */
static void visit_catalogue(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct inventory *inventory = ctx;
    uint8_t bytes[COF_EK_PER_PART * COF_EK_ENTRY_BYTES] = {0};
    unsigned part = (unsigned)(key & 1023u);
    uint32_t length = record->blocks * COFFER_BLOCK_BYTES;
    forge_read(inventory->rich->image, record->segment, record->block, 0, bytes,
               length < sizeof bytes ? length : (uint32_t)sizeof bytes);
    if (part == COF_CATALOGUE_ENTRY_PART) {
        count_entry(inventory, bytes);
        return;
    }
    if (part == COF_CATALOGUE_TAGS_PART) {
        count_if(inventory, inventory->encrypted ? TAGS_SEALED : TAGS_PLAIN, true);
        return;
    }
    for (unsigned i = 0; i < inventory->data_keys && i < COF_EK_PER_PART; i++) {
        struct cof_ek_entry entry;
        bool open;
        cof_ek_entry_decode(bytes + i * COF_EK_ENTRY_BYTES, &entry);
        open = entry.last_extent == (UINT64_C(1) << COF_EXTENT_BITS) - 1u;
        count_if(inventory, KEY_SPARE, (entry.flags & COF_EK_FLAG_SPARE) != 0);
        count_if(inventory, KEY_OPEN_END, open && (entry.flags & COF_EK_FLAG_SPARE) == 0);
        count_if(inventory, KEY_ENDED, !open);
        count_if(inventory, KEY_INHERITED, (entry.flags & COF_EK_FLAG_INHERITED) != 0);
    }
}

static void count_trees(struct inventory *inventory)
{
    const struct cof_root *root = &inventory->rich->map.root;
    const struct sim_image *image = inventory->rich->image;
    count_if(inventory, TREE_PLACEMENT, root->placement.height >= 1);
    count_if(inventory, TREE_CATALOGUE, root->catalogue.height >= 2);
    count_if(inventory, TREE_SEGMENTS, root->segments.blocks != 0);
    forge_tree_records(image, &root->placement, visit_bucket, inventory);
    forge_tree_records(image, &root->segments, visit_segments, inventory);
    forge_tree_records(image, &root->catalogue, visit_catalogue, inventory);
}

/* A page beyond the first leaf, of a volume that was closed, so is in its tree. */
static void count_levels(struct inventory *inventory)
{
    const struct rich_store *rich = inventory->rich;
    const struct model_volume *volume = &rich->world.model->volumes[rich->clone];
    for (uint64_t page = COF_NODE_FANOUT; page < volume->pages_max; page++) {
        count_if(inventory, TREE_OF_TWO_LEVELS, volume->encrypted && volume->pages[page].count > 0);
    }
}

void rich_store_require_all(const struct rich_store *rich)
{
    struct inventory inventory = {.rich = rich};
    count_roots(&inventory);
    count_segments(&inventory);
    count_batches(&inventory, count_footers(&inventory));
    count_trees(&inventory);
    count_levels(&inventory);
    for (unsigned i = 0; i < HELD; i++) {
        harness_require(inventory.count[i] > 0, "the rich store holds no %s", names[i]);
    }
}
