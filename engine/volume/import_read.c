/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/import_read.c - extents of another store, read there as they lie.
 *
 * Begun under the store's lock, which the descriptor needs; waited for and checked without it. Its
 * pages may be moved meanwhile, but what they were moved from has readers, and stays. No page is
 * opened and no key is needed; each is checked against its checksum, and each header must be of
 * this store and this place.
 */
#include "volume/import.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <assert.h>
#include <string.h>

static_assert(COF_READ_RUNS_MAX >= 2u * COF_BATCH_REFS_MAX, "a header and pages each");

static bool wanted(const struct cof_desc *desc, unsigned slot)
{
    return slot != COF_SUMMARY_SLOT && cof_bitmap_get(&desc->live, slot);
}

unsigned cof_import_pages(const struct cof_desc *desc)
{
    return cof_bitmap_count(&desc->live) -
           (cof_bitmap_get(&desc->live, COF_SUMMARY_SLOT) ? 1u : 0u);
}

struct reading {
    struct cof_extent_copy *copy;
    uint8_t *bytes; /* of the buffer, behind what is taken */
    struct cof_block_run runs[COF_READ_RUNS_MAX];
    unsigned count;
};

static void add_run(struct reading *reading, uint32_t segment, uint32_t block, uint32_t blocks)
{
    struct cof_block_run *run = &reading->runs[reading->count++];
    run->segment = segment;
    run->block = block;
    run->blocks = blocks;
    run->bytes = reading->bytes;
    reading->bytes += (size_t)blocks * COF_BLOCK_BYTES;
}

/* The stretch's header, unless the one before it has the same, and its pages from the first to the
 * last that is wanted: what lies between header and pages is other extents'. No two stretches have
 * a slot in common, so all of it fits the buffer. */
static void plan_part(const struct cof_desc *desc, const struct cof_stretch *stretch,
                      struct reading *reading)
{
    struct cof_extent_copy *copy = reading->copy;
    struct cof_extent_part *part = &copy->parts[copy->part_count];
    uint32_t block = stretch->block, first = 0, last = 0;
    bool shared = copy->part_count > 0 && part[-1].segment == stretch->segment &&
                  part[-1].block == stretch->header_block;
    uint8_t *pages = reading->bytes + (shared ? 0u : COF_BLOCK_BYTES);
    part->header = shared ? part[-1].header : reading->bytes;
    part->segment = stretch->segment;
    part->block = stretch->header_block;
    part->count = 0;
    for (unsigned slot = stretch->first_slot; slot < stretch->end_slot; slot++) {
        if (wanted(desc, slot)) {
            first = part->count == 0 ? block : first;
            last = block;
            copy->at[copy->pages] = pages + (size_t)(block - first) * COF_BLOCK_BYTES;
            copy->places[copy->pages] = block - stretch->header_block - 1u;
            copy->slots[copy->pages++] = (uint16_t)slot;
            part->count++;
        }
        block += cof_bitmap_get(&desc->present, slot) ? 1u : 0u;
    }
    if (part->count > 0) {
        copy->part_count++;
        if (!shared) {
            add_run(reading, part->segment, part->block, 1);
        }
        add_run(reading, part->segment, first, last - first + 1u);
    }
}

void cof_extent_read_start(struct coffer_store *store, struct cof_reader *reader,
                           const struct cof_desc *desc, struct cof_extent_copy *copy)
{
    struct reading reading = {.copy = copy, .bytes = copy->buffer};
    struct cof_stretch stretch;
    copy->pages = 0;
    copy->part_count = 0;
    copy->extent = desc->extent;
    copy->segment = desc->pieces[0].segment;
    copy->key_id = desc->key_id;
    copy->slots_used = desc->slots_used;
    copy->metadata = desc->metadata;
    memcpy(copy->uuid, desc->uuid, 16);
    for (unsigned slot = 0; cof_desc_stretch(desc, slot, &stretch); slot = stretch.end_slot) {
        plan_part(desc, &stretch, &reading);
    }
    for (unsigned i = 0; i < copy->part_count; i++) {
        cof_segments_read(&store->segments, copy->parts[i].segment, 1);
    }
    copy->whole = copy->pages == cof_import_pages(desc); /* else live slots that have no place */
    cof_reader_start(reader, &copy->read, reading.runs, reading.count);
}

/* Pages from `first` on, which are the part's, against their header. */
static int check_part(const struct coffer_store *store, const struct cof_extent_part *part,
                      unsigned first, struct cof_extent_copy *copy)
{
    unsigned count;
    const uint8_t *entries =
        cof_header_entries(store, part->header, part->segment, part->block, &count);
    for (unsigned i = first; entries != NULL && i < first + part->count; i++) {
        const uint8_t *entry = entries + (size_t)copy->places[i] * COF_ENTRY_BYTES;
        if (copy->places[i] >= count ||
            cof_checksum64(copy->at[i], COF_BLOCK_BYTES) != cof_le64_get(entry + 16)) {
            return COFFER_E_CORRUPT;
        }
        memcpy(copy->entries[i], entry, COF_ENTRY_BYTES);
    }
    return entries != NULL ? 0 : COFFER_E_CORRUPT;
}

int cof_extent_read_finish(const struct coffer_store *store, struct cof_reader *reader,
                           struct cof_extent_copy *copy)
{
    unsigned first = 0;
    int err = cof_reader_wait(reader, &copy->read);
    for (unsigned i = 0; err == 0 && i < copy->part_count; i++) {
        err = check_part(store, &copy->parts[i], first, copy);
        first += copy->parts[i].count;
        copy->segment = err != 0 ? copy->parts[i].segment : copy->segment;
    }
    return err == 0 && !copy->whole ? COFFER_E_CORRUPT : err;
}

void cof_extent_read_end(struct coffer_store *store, struct cof_extent_copy *copy)
{
    for (unsigned i = 0; i < copy->part_count; i++) {
        cof_segments_read(&store->segments, copy->parts[i].segment, -1);
    }
    copy->part_count = 0;
}
