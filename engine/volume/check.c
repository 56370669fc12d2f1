/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/check.c - check and scrub.
 *
 * Without keys: every tree of the root, every descriptor, every live page against the checksum in
 * its header, what groups name, and the live blocks counted anew against the segment table. With
 * keys, for each volume that opens: its map against the live bitmaps, both ways, every page read,
 * its tag verified, and its list of tags. Nothing is changed. Findings go to the caller; only what
 * stops the check itself is an error. Extents are taken in the order of their numbers, which is
 * nearly that of the disk.
 */
#include "volume/queue.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/group_format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define READ_BYTES (1u << 20)

/* What all trees together refer to, by extent. */
struct seen {
    uint64_t key; /* lineage and extent; 0: free */
    struct cof_bitmap slots;
};

struct check {
    struct coffer_store *store;
    const struct coffer_check_opts *opts;
    struct coffer_check_summary summary;
    uint32_t *live; /* blocks of each segment, counted anew */
    uint8_t *batch; /* a batch, or a piece of a volume */
    struct seen *seen;
    uint64_t seen_capacity, seen_count;
    uint32_t *doubts; /* families of which not every tree could be read */
    unsigned doubt_count;
    struct coffer_volume *volume;
    uint64_t began_ns, total_bytes;
    int stop;
};

static int report(struct check *check, int error, enum coffer_stage stage, uint64_t page,
                  uint64_t segment, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

static int report(struct check *check, int error, enum coffer_stage stage, uint64_t page,
                  uint64_t segment, uint64_t offset, const char *format, ...)
{
    struct coffer_finding finding;
    va_list args;
    memset(&finding, 0, sizeof finding);
    finding.error = error;
    finding.stage = stage;
    finding.page = page;
    finding.segment = segment;
    finding.offset = offset;
    if (check->volume != NULL) {
        memcpy(finding.volume, check->volume->record.name, sizeof finding.volume - 1u);
    }
    va_start(args, format);
    vsnprintf(finding.text, sizeof finding.text, format, args);
    va_end(args);
    check->summary.findings++;
    if (check->stop == 0 && check->opts->on_finding != NULL) {
        check->stop = check->opts->on_finding(check->opts->ctx, &finding);
    }
    return check->stop;
}

/* Count what was read, keep to the rate, tell how far it is. */
static int advance(struct check *check, uint64_t bytes)
{
    struct cof_env *env = &check->store->env;
    uint64_t rate = check->opts->bytes_per_second_max;
    check->summary.bytes_read += bytes;
    if (rate != 0) {
        uint64_t due = check->summary.bytes_read / rate * UINT64_C(1000000000) +
                       check->summary.bytes_read % rate * UINT64_C(1000000000) / rate;
        uint64_t now = cof_monotonic_ns(env) - check->began_ns;
        if (due > now) {
            struct timespec pause = {(time_t)((due - now) / 1000000000u),
                                     (long)((due - now) % 1000000000u)};
            nanosleep(&pause, NULL);
        }
    }
    if (check->stop == 0 && check->opts->on_progress != NULL) {
        check->stop = check->opts->on_progress(check->opts->ctx, check->summary.bytes_read,
                                               check->total_bytes);
    }
    return check->stop;
}

/* ---- trees of the root ---- */

static int count_block(struct check *check, const struct cof_tree_pointer *pointer, bool own)
{
    if (pointer->segment >= check->store->segments.count) {
        return report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                      pointer->segment, COFFER_NOWHERE, "a tree points outside the store");
    }
    check->live[pointer->segment] += own ? 0u : pointer->blocks;
    return advance(check, (uint64_t)pointer->blocks * COF_BLOCK_BYTES);
}

struct tree_walk {
    struct check *check;
    struct cof_ptree *tree;
    uint8_t *bytes;
};

static int tree_damage(void *ctx, const struct cof_tree_pointer *pointer, int error)
{
    struct tree_walk *walk = ctx;
    return report(walk->check, error, COFFER_STAGE_ROOT, COFFER_NOWHERE, pointer->segment,
                  (uint64_t)pointer->block * COF_BLOCK_BYTES, "a block of tree %d: %s",
                  (int)walk->tree->kind, coffer_error_sentence(error));
}

static int tree_node(void *ctx, const struct cof_tree_pointer *pointer)
{
    struct tree_walk *walk = ctx;
    return count_block(walk->check, pointer, walk->tree->kind == COF_RAW_SEGMENTS);
}

static int tree_record(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    struct tree_walk *walk = ctx;
    int err;
    (void)key;
    if (pointer->blocks > COF_BATCH_PAGES_MAX) {
        return tree_damage(ctx, pointer, COFFER_E_CORRUPT);
    }
    err = cof_ptree_fetch(walk->tree, pointer, walk->bytes);
    if (err != 0) {
        return tree_damage(ctx, pointer, err);
    }
    return tree_node(ctx, pointer);
}

static int check_trees(struct check *check)
{
    struct coffer_store *store = check->store;
    struct cof_ptree *trees[3] = {&store->catalogue_tree, &store->placement_tree,
                                  &store->segment_tree};
    int err = 0;
    for (unsigned i = 0; err == 0 && i < 3; i++) {
        struct tree_walk walk = {check, trees[i], check->batch};
        struct cof_ptree_visitor visitor = {&walk, tree_record, tree_node, tree_damage};
        err = cof_ptree_visit(trees[i], &visitor);
        if (err == COFFER_E_CORRUPT && check->stop == 0) {
            err = report(check, err, COFFER_STAGE_ROOT, COFFER_NOWHERE, COFFER_NOWHERE,
                         COFFER_NOWHERE, "a tree of the root has no end");
        }
    }
    return err;
}

/* ---- descriptors and pages ---- */

/* Into check->batch: the header, and behind it the pages. */
static int read_stretch(struct check *check, const struct cof_stretch *stretch)
{
    struct cof_sync_io *io = &check->store->io;
    size_t bytes = (size_t)stretch->pages * COF_BLOCK_BYTES;
    bool adjoins = stretch->block == stretch->header_block + 1u;
    int err = cof_sync_io_read(io, stretch->segment, stretch->header_block * COF_BLOCK_BYTES,
                               check->batch, COF_BLOCK_BYTES + (adjoins ? bytes : 0u));
    if (err == 0 && !adjoins && bytes > 0) {
        err = cof_sync_io_read(io, stretch->segment, stretch->block * COF_BLOCK_BYTES,
                               check->batch + COF_BLOCK_BYTES, bytes);
    }
    return err;
}

/* The page in slot, which is number `page` of its stretch. */
static int check_slot(struct check *check, const struct cof_desc *desc,
                      const struct cof_stretch *stretch, unsigned slot, unsigned page)
{
    const uint8_t *bytes = check->batch + (size_t)(1u + page) * COF_BLOCK_BYTES;
    uint8_t entry[COF_ENTRY_BYTES];
    uint32_t block = stretch->block + page;
    int err = cof_entry_from_header(check->store, check->batch, stretch->segment,
                                    stretch->header_block, block, entry);
    check->live[stretch->segment]++;
    check->summary.pages_checked++;
    if (err == 0 && cof_checksum64(bytes, COF_BLOCK_BYTES) == cof_le64_get(entry + 16)) {
        return 0;
    }
    return report(check, COFFER_E_CORRUPT, COFFER_STAGE_CHECKSUM, COFFER_NOWHERE, stretch->segment,
                  (uint64_t)block * COF_BLOCK_BYTES,
                  err != 0 ? "extent %llu slot %u: its header is damaged"
                           : "extent %llu slot %u: the page is damaged",
                  (unsigned long long)desc->extent, slot);
}

/* The cleaner finds what lives in a segment by what its groups name. */
static int check_group_names(struct check *check, const struct cof_desc *desc,
                             const struct cof_stretch *stretch)
{
    struct cof_group_header header;
    if (cof_group_header_decode(check->batch, &header) != 0) {
        return 0; /* each of its pages has been reported */
    }
    for (unsigned i = 0; i < header.runs; i++) {
        uint32_t lineage;
        uint64_t extent;
        cof_group_run(check->batch, i, &lineage, &extent);
        if (lineage == desc->lineage && extent == desc->extent) {
            return 0;
        }
    }
    return report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE, stretch->segment,
                  (uint64_t)stretch->header_block * COF_BLOCK_BYTES,
                  "extent %llu: its group does not name it", (unsigned long long)desc->extent);
}

static int check_stretch(struct check *check, const struct cof_desc *desc,
                         const struct cof_stretch *stretch)
{
    unsigned page = 0;
    int err = read_stretch(check, stretch);
    if (err != 0) {
        return report(check, err, COFFER_STAGE_IO, COFFER_NOWHERE, stretch->segment,
                      (uint64_t)stretch->header_block * COF_BLOCK_BYTES,
                      "extent %llu can't be read: %s", (unsigned long long)desc->extent,
                      coffer_error_sentence(err));
    }
    for (unsigned slot = stretch->first_slot; err == 0 && slot < stretch->end_slot; slot++) {
        if (cof_bitmap_get(&desc->live, slot)) {
            err = check_slot(check, desc, stretch, slot, page);
        }
        page += cof_bitmap_get(&desc->present, slot) ? 1u : 0u;
    }
    if (err == 0 && cof_desc_moved(desc)) {
        err = check_group_names(check, desc, stretch);
    }
    return err != 0 ? err : advance(check, (uint64_t)(stretch->pages + 1u) * COF_BLOCK_BYTES);
}

static int check_desc(struct check *check, const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < desc->piece_count; i++) {
        uint32_t segment = desc->pieces[i].segment;
        if (check->store->segments.table[segment].state != COF_SEGMENT_USED) {
            err = report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE, segment,
                         COFFER_NOWHERE, "extent %llu lies in a segment that is free",
                         (unsigned long long)desc->extent);
        }
    }
    for (unsigned slot = 0; err == 0 && cof_desc_stretch(desc, slot, &stretch);
         slot = stretch.end_slot) {
        err = check_stretch(check, desc, &stretch);
    }
    return err;
}

/* Each descriptor of a lineage, whether the table or the log gave it. */
static int each_of(struct check *check, uint32_t lineage,
                   int (*visit)(struct check *, const struct cof_desc *))
{
    struct coffer_store *store = check->store;
    int err = 0;
    for (uint64_t extent = 1; err == 0 && extent <= COF_EXTENT_MAX; extent++) {
        struct cof_desc *desc;
        int found = cof_place_next(&store->place, lineage, &extent, &desc);
        if (found == COFFER_E_NOT_FOUND) {
            break;
        }
        if (found == 0) {
            err = visit(check, desc);
        } else {
            err = report(check, found, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE, COFFER_NOWHERE,
                         COFFER_NOWHERE, "descriptors of extents %llu to %llu: %s",
                         (unsigned long long)extent,
                         (unsigned long long)(extent | (COF_BUCKET_EXTENTS - 1u)),
                         coffer_error_sentence(found));
            if (extent == COF_EXTENT_MAX) {
                break;
            }
            extent |= COF_BUCKET_EXTENTS - 1u;
        }
        cof_place_trim(&store->place);
    }
    return err;
}

static int each_desc(struct check *check, int (*visit)(struct check *, const struct cof_desc *))
{
    int err = 0;
    for (uint32_t lineage = 0; err == 0 && lineage <= check->store->lineage_count; lineage++) {
        err = each_of(check, lineage, visit);
    }
    return err;
}

static int check_counts(struct check *check)
{
    struct coffer_store *store = check->store;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < store->segments.count; i++) {
        const struct cof_segment *segment = &store->segments.table[i];
        check->summary.segments += segment->state == COF_SEGMENT_USED ? 1u : 0u;
        if (segment->live != check->live[i]) {
            err = report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE, i,
                         COFFER_NOWHERE, "segment has %u live blocks, its record says %u",
                         check->live[i], segment->live);
        }
    }
    return err;
}

static int check_keyless(struct check *check)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    check->total_bytes = check->store->segments.live_total * COF_BLOCK_BYTES;
    err = check_trees(check);
    if (err == 0) {
        err = each_desc(check, check_desc);
    }
    if (err == 0) {
        err = check_counts(check);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}

/* ---- maps against bitmaps ---- */

static uint64_t seen_key(uint32_t lineage, uint64_t extent)
{
    return (uint64_t)lineage << COF_EXTENT_BITS | extent;
}

static struct seen *seen_place(struct seen *table, uint64_t capacity, uint64_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (capacity - 1u);
    while (table[at].key != 0 && table[at].key != key) {
        at = (at + 1u) & (capacity - 1u);
    }
    return &table[at];
}

static int seen_add(struct check *check, struct cof_vaddr addr)
{
    struct cof_env *env = &check->store->env;
    struct seen *place;
    uint64_t key = seen_key(cof_lineage_of(check->volume, addr), cof_vaddr_extent(addr));
    if (cof_vaddr_zero(addr)) {
        return 0;
    }
    if (check->seen_count * 2u >= check->seen_capacity) {
        uint64_t capacity = check->seen_capacity == 0 ? 1024u : check->seen_capacity * 2u;
        struct seen *table = cof_calloc(env, capacity, sizeof *table);
        if (table == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        for (uint64_t i = 0; i < check->seen_capacity; i++) {
            if (check->seen[i].key != 0) {
                *seen_place(table, capacity, check->seen[i].key) = check->seen[i];
            }
        }
        cof_free(env, check->seen);
        check->seen = table;
        check->seen_capacity = capacity;
    }
    place = seen_place(check->seen, check->seen_capacity, key);
    if (place->key == 0) {
        place->key = key;
        check->seen_count++;
    }
    cof_bitmap_set(&place->slots, cof_vaddr_slot(addr));
    return 0;
}

static int visit_address(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    (void)level;
    (void)index;
    return seen_add(ctx, addr);
}

static uint32_t family_of(const struct cof_catalogue_item *item)
{
    return item->entry.family != 0 ? item->entry.family : item->entry.number;
}

static int doubt(struct check *check, const struct cof_catalogue_item *item)
{
    if (check->doubts == NULL) {
        check->doubts = cof_calloc(&check->store->env, COFFER_SNAPSHOTS_MAX, sizeof *check->doubts);
    }
    if (check->doubts == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (check->doubt_count < COFFER_SNAPSHOTS_MAX) {
        check->doubts[check->doubt_count++] = family_of(item);
    }
    return 0;
}

/* Whether some tree that may refer to the extent was not read. */
static bool doubtful(const struct check *check, const struct cof_desc *desc)
{
    const struct cof_catalogue_item *item = cof_catalogue_at(check->store, desc->volume);
    if (item ==
        NULL) { /* the volume is gone, and relatives keep its pages: which, it doesn't say */
        return check->doubt_count > 0;
    }
    for (unsigned i = 0; i < check->doubt_count; i++) {
        if (check->doubts[i] == family_of(item)) {
            return true;
        }
    }
    return false;
}

static int visit_damage(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index, int error)
{
    struct check *check = ctx;
    struct cof_desc *desc;
    uint32_t segment = 0, block = 0, header;
    int err = doubt(check, check->volume->item);
    bool placed = cof_place_find(&check->store->place, cof_lineage_of(check->volume, addr),
                                 cof_vaddr_extent(addr), &desc) == 0 &&
                  cof_desc_locate(desc, cof_vaddr_slot(addr), &segment, &block, &header) == 0;
    return err != 0 ? err
                    : report(check, error,
                             error == COFFER_E_TAMPER ? COFFER_STAGE_TAG : COFFER_STAGE_MAP,
                             index << (COF_NODE_SHIFT * level), placed ? segment : COFFER_NOWHERE,
                             placed ? (uint64_t)block * COF_BLOCK_BYTES : COFFER_NOWHERE,
                             "map node of level %u, index %llu: %s", level,
                             (unsigned long long)index, coffer_error_sentence(error));
}

static int collect_delta(struct check *check, const struct cof_delta *delta)
{
    int err = 0;
    for (unsigned i = 0; i < COF_DELTA_SHARDS; i++) {
        for (uint64_t at = 0; err == 0 && at < delta->shards[i].capacity; at++) {
            err = seen_add(check, delta->shards[i].entries[at].addr);
        }
    }
    return err;
}

static uint64_t segment_of(const struct cof_desc *desc, unsigned slot)
{
    uint32_t segment, block, header;
    return cof_desc_locate(desc, slot, &segment, &block, &header) == 0 ? segment : COFFER_NOWHERE;
}

/* What is live and what is referred to must be the same; summaries and deaths that wait for the
 * next checkpoint are both. */
static int compare_desc(struct check *check, const struct cof_desc *desc)
{
    static const struct cof_bitmap none;
    struct seen *seen = NULL;
    const struct cof_bitmap *slots = &none;
    const struct cof_catalogue_item *owner = cof_catalogue_at(check->store, desc->volume);
    /* A copy without keys brings whole extents: more than its tree refers to. */
    bool unknown = doubtful(check, desc);
    bool imported = owner == NULL ? desc->lineage != COF_LINEAGE_LOCAL : cof_item_is_import(owner);
    int err = 0;
    if (check->seen_capacity > 0) {
        seen = seen_place(check->seen, check->seen_capacity, seen_key(desc->lineage, desc->extent));
        slots = seen->key != 0 ? &seen->slots : &none;
    }
    for (unsigned slot = 0; err == 0 && slot < COF_BITMAP_BITS && !unknown; slot++) {
        bool live = cof_bitmap_get(&desc->live, slot);
        bool used = cof_bitmap_get(slots, slot);
        if (slot == COF_SUMMARY_SLOT || live == used || (live && imported)) {
            continue;
        }
        err = report(check, COFFER_E_CORRUPT, COFFER_STAGE_MAP, COFFER_NOWHERE,
                     segment_of(desc, slot), COFFER_NOWHERE,
                     live ? "extent %llu slot %u is live, but nothing refers to it"
                          : "extent %llu slot %u is in use, but marked as dead",
                     (unsigned long long)desc->extent, slot);
    }
    if (seen != NULL && seen->key != 0) {
        memset(&seen->slots, 0, sizeof seen->slots); /* found; what stays has no descriptor */
    }
    return err;
}

static int report_placeless(struct check *check)
{
    int err = 0;
    for (uint64_t i = 0; err == 0 && i < check->seen_capacity; i++) {
        if (check->seen[i].key != 0 && cof_bitmap_count(&check->seen[i].slots) != 0) {
            err = report(check, COFFER_E_CORRUPT, COFFER_STAGE_PLACEMENT, COFFER_NOWHERE,
                         COFFER_NOWHERE, COFFER_NOWHERE, "extent %llu is in use but has no place",
                         (unsigned long long)(check->seen[i].key & COF_EXTENT_MAX));
        }
    }
    return err;
}

static int check_map(struct check *check)
{
    struct coffer_volume *volume = check->volume;
    struct cof_tree_visitor visitor = {check, visit_address, visit_damage};
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = cof_tree_visit(&volume->tree, &volume->node_io, &visitor);
    if (err == 0) {
        err = collect_delta(check, &volume->active);
    }
    for (uint64_t i = 0; err == 0 && i < volume->active_kills.count; i++) {
        err = seen_add(check, volume->active_kills.addrs[i]);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}

/* The tags of the volume that is open. */
static int check_tags(struct check *check, const char *id)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = cof_taglist_check(check->volume);
    pthread_mutex_unlock(&check->store->lock);
    return err == 0 || err == COFFER_E_NO_MEMORY
               ? err
               : report(check, err, COFFER_STAGE_ROOT, COFFER_NOWHERE, COFFER_NOWHERE,
                        COFFER_NOWHERE, "the tags of %s: %s", id, coffer_error_sentence(err));
}

/* After all trees. Below a node that does not read, and of a volume that does not open, nothing is
 * known: its family is left out. */
static int check_liveness(struct check *check)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = each_desc(check, compare_desc);
    if (err == 0) {
        err = report_placeless(check);
    }
    pthread_mutex_unlock(&check->store->lock);
    return err;
}

/* ---- every page of a volume ---- */

static int check_piece(struct check *check, uint64_t offset, uint64_t length)
{
    struct coffer_fault fault;
    int err = coffer_volume_read(check->volume, check->batch, offset, (size_t)length, &fault);
    if (err == COFFER_E_NO_MEMORY) {
        return err;
    }
    for (uint64_t at = 0; err != 0 && at < length; at += COF_PAGE_BYTES) {
        int page_err =
            coffer_volume_read(check->volume, check->batch, offset + at, COF_PAGE_BYTES, &fault);
        if (page_err != 0 && report(check, page_err, fault.stage, (offset + at) / COF_PAGE_BYTES,
                                    fault.segment, fault.offset, "page %llu: %s",
                                    (unsigned long long)((offset + at) / COF_PAGE_BYTES),
                                    coffer_error_sentence(page_err)) != 0) {
            return check->stop;
        }
    }
    check->summary.tags_checked += length / COF_PAGE_BYTES;
    return advance(check, length);
}

static int check_pages(struct check *check)
{
    uint64_t offset = 0, length = 1;
    struct coffer_fault fault;
    int err = 0;
    while (err == 0 && length > 0) {
        err = coffer_volume_next_data(check->volume, &offset, &length, &fault);
        if (err != 0) { /* a node above does not read: the map's check has said so */
            return err == COFFER_E_NO_MEMORY ? err : 0;
        }
        for (uint64_t at = 0; err == 0 && at < length;) {
            uint64_t piece = length - at < READ_BYTES / 4u ? length - at : READ_BYTES / 4u;
            err = check_piece(check, offset + at, piece);
            at += piece;
        }
        offset += length;
    }
    return err;
}

/* ---- volumes ---- */

/* The next entry after *number, opened: volumes, snapshots and hidden nodes alike. NOT_FOUND when
 * there is none; entries may come and go between two calls. */
static int open_next(struct check *check, uint32_t *number, char id[COFFER_RESOURCE_ID_BYTES],
                     struct coffer_fault *fault)
{
    struct coffer_store *store = check->store;
    struct cof_catalogue_item *item;
    int err = COFFER_E_NOT_FOUND;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    item = store->items;
    while (item != NULL &&
           (item->entry.number <= *number || item->entry.kind == COF_KIND_COPYING)) {
        item = item->next;
    }
    if (item != NULL) {
        *number = item->entry.number;
        cof_resource_id(item->entry.kind == COF_KIND_VOLUME ? "vol" : "snap", item->entry.uuid, id);
        check->summary.volumes++;
        err = store->error != 0
                  ? COFFER_E_FAILED
                  : cof_volume_open_item(store, item, COFFER_VOLUME_READ_ONLY,
                                         check->opts->provider, &check->volume, fault);
        if (err != 0) {
            check->volume = NULL;
            err = doubt(check, item) == 0 && err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT : err;
        }
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

/* What the open entry refers to, or why it does not open. */
static int check_entry(struct check *check, int err, const char *id,
                       const struct coffer_fault *fault)
{
    if (err == COFFER_E_NO_MEMORY) {
        return err;
    }
    if (err != 0) {
        return coffer_error_class_of(err) == COFFER_CLASS_KEY
                   ? 0
                   : report(check, err, fault->stage, fault->page, fault->segment, fault->offset,
                            "%s does not open: %.100s", id, fault->detail);
    }
    check->summary.volumes_opened++;
    err = check_map(check);
    if (err == 0) {
        err = check_tags(check, id);
    }
    if (err == 0) {
        err = check_pages(check);
    }
    (void)coffer_volume_close(check->volume);
    check->volume = NULL;
    return err;
}

static int check_keyed(struct check *check)
{
    uint32_t number = 0;
    int err = 0;
    while (err == 0) {
        char id[COFFER_RESOURCE_ID_BYTES];
        struct coffer_fault fault;
        int opened;
        cof_fault_clear(&fault);
        opened = open_next(check, &number, id, &fault);
        if (opened == COFFER_E_NOT_FOUND) {
            return check_liveness(check);
        }
        err = check_entry(check, opened, id, &fault);
    }
    return err;
}

int coffer_store_check(struct coffer_store *store, const struct coffer_check_opts *opts,
                       struct coffer_check_summary *ret_summary, struct coffer_fault *fault)
{
    struct check check;
    int err = 0;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (store->volumes != NULL) {
        return cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "close the store's volumes before it is checked");
    }
    memset(&check, 0, sizeof check);
    check.store = store;
    check.opts = opts;
    check.began_ns = cof_monotonic_ns(&store->env);
    check.live = cof_calloc(&store->env, store->segments.count, sizeof *check.live);
    check.batch = cof_alloc_aligned(&store->env, READ_BYTES);
    if (check.live == NULL || check.batch == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    if (err == 0) {
        err = check_keyless(&check);
    }
    if (err == 0 && (opts->flags & COFFER_CHECK_KEYLESS) == 0) {
        err = check_keyed(&check);
    }
    cof_free(&store->env, check.live);
    cof_free_aligned(&store->env, check.batch);
    cof_free(&store->env, check.seen);
    cof_free(&store->env, check.doubts);
    if (err != 0 && err == check.stop) {
        return err;
    }
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_NONE, "the check could not go on: %s",
                         coffer_error_sentence(err));
    }
    *ret_summary = check.summary;
    return 0;
}
