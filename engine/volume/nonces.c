/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/nonces.c - the seals that a store's bytes name, for the audit of nonces (coffer/audit.h).
 *
 * Every block of the device is read, in order, and each that decodes as a batch header is taken,
 * wherever it lies and whatever session or store it names: free segments, the remains of lost
 * tails and of older stores are what an audit is about. The header alone says what was sealed under
 * which name; whether its pages are still there does not matter, because they were sealed. Wraps
 * and records stand in the blocks behind the header, so those must be there and whole.
 *
 * What the cleaner moved may stand nowhere else any more, and the header of a group says what it
 * holds (tags), but not under which name. That says the placement table of the root, so the live
 * pages of moved extents are taken through it; in an older table a place may be another's by now.
 *
 * Invariants
 *  1. Nothing is left out for being old, dead or foreign; what can't be read is told.
 *  2. No key and no state of the store is used but its channel to the device and, for what was
 *     moved, its placement table: what is parsed here is untrusted, and nothing of it is believed
 *     beyond its own bounds.
 *  3. A name never says less than (key, nonce): see coffer/audit.h.
 */
#include "volume/store.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "format/vaddr.h"

#include <coffer/audit.h>
#include <string.h>

#define PIECE_BYTES COF_SYNC_IO_BOUNCE_BYTES
#define NAME_SEED UINT64_C(0x6e616d65)       /* the seeds keep names and ciphertexts apart, */
#define CIPHERTEXT_SEED UINT64_C(0x63697068) /* and kinds among them                        */
#define RAW_KIND_SHIFT 56u

struct audit {
    struct coffer_store *store;
    const struct coffer_seals_opts *opts;
    struct coffer_seals_summary summary;
    uint8_t *piece;  /* PIECE_BYTES */
    uint8_t *record; /* a catalogue record: COF_BATCH_PAGES_MAX blocks */
    uint32_t segment;
    uint64_t total_bytes;
};

/* A header at hand: where it was found, and where its parts lie. */
struct found {
    const uint8_t *block;
    struct cof_batch_header header;
    uint32_t offset; /* within the segment */
};

static void set_name(struct coffer_seal *seal, const uint8_t *unique, size_t unique_bytes,
                     uint32_t slot)
{
    uint8_t slot_bytes[4];
    cof_le32_put(slot_bytes, slot);
    cof_checksum128(NAME_SEED + (uint64_t)seal->kind, unique, unique_bytes, slot_bytes,
                    sizeof slot_bytes, seal->name);
}

static void set_ciphertext(struct coffer_seal *seal, const uint8_t *tag, size_t tag_bytes,
                           const uint8_t *rest, size_t rest_bytes)
{
    cof_checksum128(CIPHERTEXT_SEED + (uint64_t)seal->kind, tag, tag_bytes, rest, rest_bytes,
                    seal->ciphertext);
}

static int give(struct audit *audit, const struct coffer_seal *seal)
{
    switch (seal->kind) {
    case COFFER_SEAL_PAGE:
        audit->summary.pages++;
        break;
    case COFFER_SEAL_LIST:
        audit->summary.lists++;
        break;
    case COFFER_SEAL_WRAP:
        audit->summary.wraps++;
        break;
    case COFFER_SEAL_RECORD:
        audit->summary.records++;
        break;
    }
    return audit->opts->on_seal(audit->opts->ctx, seal);
}

static void begin_seal(const struct audit *audit, const struct found *found,
                       enum coffer_seal_kind kind, struct coffer_seal *seal)
{
    memset(seal, 0, sizeof *seal);
    seal->kind = kind;
    memcpy(seal->store_uuid.bytes, found->header.store_uuid, 16);
    seal->segment = audit->segment;
    seal->offset = found->offset;
}

/* ---- what an extent's subkey sealed ---- */

static int visit_list(struct audit *audit, const struct found *found, const struct cof_run *run,
                      size_t list_offset)
{
    struct coffer_seal seal;
    begin_seal(audit, found, COFFER_SEAL_LIST, &seal);
    memcpy(seal.uuid.bytes, run->uuid, 16);
    seal.extent = run->extent;
    seal.slot = run->first_slot;
    set_name(&seal, run->uuid, 16, seal.slot);
    set_ciphertext(&seal, run->tag, 16, found->block + list_offset, cof_run_list_bytes(run));
    return give(audit, &seal);
}

/* entry: of the run's first page. */
static int visit_pages(struct audit *audit, const struct found *found, const struct cof_run *run,
                       size_t entry)
{
    struct coffer_seal seal;
    int err = 0;
    begin_seal(audit, found, COFFER_SEAL_PAGE, &seal);
    memcpy(seal.uuid.bytes, run->uuid, 16);
    seal.extent = run->extent;
    for (unsigned i = 0; err == 0 && i < cof_run_pages(run); i++) {
        const uint8_t *at = found->block + entry + (size_t)i * COF_ENTRY_BYTES;
        seal.slot = run->first_slot + i;
        set_name(&seal, run->uuid, 16, seal.slot);
        set_ciphertext(&seal, at, 16, at + 16, 8);
        err = give(audit, &seal);
    }
    return err;
}

/* ---- what volume keys sealed: records of the catalogue ---- */

static int visit_entry(struct audit *audit, const struct found *found, uint32_t offset,
                       size_t length)
{
    struct coffer_seal seal;
    struct cof_volume_entry entry;
    size_t at;
    if (cof_volume_entry_decode(audit->record, &entry) != 0 || !entry.encrypted) {
        return 0; /* a node of the tree, or a plain volume */
    }
    at = COF_VOLUME_ENTRY_BYTES + (size_t)entry.ring_bytes;
    if (at + COF_RECORD_BYTES > length) {
        return 0;
    }
    begin_seal(audit, found, COFFER_SEAL_RECORD, &seal);
    seal.extent = entry.number;
    seal.offset = offset;
    set_name(&seal, entry.nonce, sizeof entry.nonce, 0);
    set_ciphertext(&seal, entry.tag, 16, audit->record + at, COF_RECORD_BYTES);
    return give(audit, &seal);
}

/* A node of the catalogue's tree may have the key of a part of data keys, when that is a multiple
 * of the tree's fan-out; where an entry has its last extent, a node then has the segment and block
 * counts of a pointer, which no extent number is as large as. */
static bool may_be_node(uint64_t part, const struct cof_ek_entry *entry)
{
    return part % COF_TREE_FANOUT == 0 &&
           (entry->last_extent == 0 || entry->last_extent > COF_EXTENT_MAX);
}

static int visit_keys(struct audit *audit, const struct found *found, uint64_t key, uint32_t offset,
                      size_t length)
{
    struct coffer_seal seal;
    int err = 0;
    begin_seal(audit, found, COFFER_SEAL_WRAP, &seal);
    seal.extent = key >> 10;
    seal.offset = offset;
    for (size_t at = 0; err == 0 && at + COF_EK_ENTRY_BYTES <= length; at += COF_EK_ENTRY_BYTES) {
        struct cof_ek_entry entry;
        cof_ek_entry_decode(audit->record + at, &entry);
        if (entry.key_id == 0 || may_be_node(key & 0x3ffu, &entry)) {
            continue;
        }
        seal.slot = entry.key_id;
        set_name(&seal, entry.nonce, sizeof entry.nonce, 0);
        set_ciphertext(&seal, entry.wrapped, COF_TAG_BYTES, entry.wrapped + COF_TAG_BYTES,
                       sizeof entry.wrapped - COF_TAG_BYTES);
        err = give(audit, &seal);
    }
    return err;
}

/* Under the same key as records, so of the same kind: a nonce of both would be one too many. */
static int visit_tags(struct audit *audit, const struct found *found, uint64_t key, uint32_t offset,
                      size_t length)
{
    struct coffer_seal seal;
    struct cof_taglist_header header;
    if (cof_taglist_header_decode(audit->record, &header) != 0 || !header.encrypted ||
        header.list_bytes > length - COF_TAGLIST_HEADER_BYTES) {
        return 0;
    }
    begin_seal(audit, found, COFFER_SEAL_RECORD, &seal);
    seal.extent = key >> 10;
    seal.offset = offset;
    set_name(&seal, header.nonce, sizeof header.nonce, 0);
    set_ciphertext(&seal, header.tag, 16, audit->record + COF_TAGLIST_HEADER_BYTES,
                   header.list_bytes);
    return give(audit, &seal);
}

/* Whether the run's blocks are there, each as its entry in the header says. */
static bool fetch_record(struct audit *audit, const struct found *found, const struct cof_run *run,
                         size_t entry, uint32_t offset)
{
    size_t length = (size_t)cof_run_pages(run) * COF_BLOCK_BYTES;
    if (offset + length > audit->store->geometry.segment_bytes ||
        cof_sync_io_read(&audit->store->io, audit->segment, offset, audit->record, length) != 0) {
        return false;
    }
    for (unsigned i = 0; i < cof_run_pages(run); i++) {
        const uint8_t *sum = found->block + entry + (size_t)i * COF_ENTRY_BYTES + 16u;
        if (cof_checksum64(audit->record + (size_t)i * COF_BLOCK_BYTES, COF_BLOCK_BYTES) !=
            cof_le64_get(sum)) {
            return false;
        }
    }
    return true;
}

static int visit_raw(struct audit *audit, const struct found *found, const struct cof_run *run,
                     size_t entry, unsigned first_page)
{
    uint64_t key = run->extent & ((UINT64_C(1) << RAW_KIND_SHIFT) - 1u);
    uint64_t part = key & 0x3ffu;
    size_t length = (size_t)cof_run_pages(run) * COF_BLOCK_BYTES;
    uint32_t offset = found->offset + (1u + first_page) * COF_BLOCK_BYTES;
    if (run->extent >> RAW_KIND_SHIFT != COF_RAW_CATALOGUE || key >> 10 == 0 || length == 0 ||
        part > COF_CATALOGUE_TAGS_PART) {
        return 0;
    }
    if (!fetch_record(audit, found, run, entry, offset)) {
        audit->summary.records_lost++;
        return 0;
    }
    if (part == COF_CATALOGUE_TAGS_PART) {
        return visit_tags(audit, found, key, offset, length);
    }
    return part == COF_CATALOGUE_ENTRY_PART ? visit_entry(audit, found, offset, length)
                                            : visit_keys(audit, found, key, offset, length);
}

/* ---- blocks ---- */

static int visit_runs(struct audit *audit, const struct found *found)
{
    size_t list = cof_batch_lists_offset(&found->header);
    size_t entries = cof_batch_entries_offset(found->block, &found->header);
    unsigned first_page = 0;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < found->header.runs; i++) {
        size_t entry = entries + (size_t)first_page * COF_ENTRY_BYTES;
        struct cof_run run;
        cof_run_decode(found->block + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, &run);
        if (run.volume == COF_VOLUME_TAG_RAW) {
            err = visit_raw(audit, found, &run, entry, first_page);
        } else if (run.key_id == 0) {
            audit->summary.plain_pages += cof_run_pages(&run);
        } else {
            err = visit_list(audit, found, &run, list);
            if (err == 0) {
                err = visit_pages(audit, found, &run, entry);
            }
        }
        list += cof_run_list_bytes(&run);
        first_page += cof_run_pages(&run);
    }
    return err;
}

static int visit_block(struct audit *audit, const uint8_t *block, uint32_t offset)
{
    struct found found = {.block = block, .offset = offset};
    if (cof_batch_header_decode(block, &found.header) != 0) {
        return 0;
    }
    audit->summary.headers++;
    return visit_runs(audit, &found);
}

static int tell_unreadable(struct audit *audit, int error, uint32_t offset, uint32_t length)
{
    audit->summary.unreadable_bytes += length;
    return audit->opts->on_unreadable == NULL
               ? 0
               : audit->opts->on_unreadable(audit->opts->ctx, error, audit->segment, offset,
                                            length);
}

/* The piece did not read: find out which of its blocks do. */
static int visit_blocks_alone(struct audit *audit, uint32_t offset)
{
    struct coffer_store *store = audit->store;
    uint32_t bad_bytes = 0;
    int err = 0, bad = 0;
    for (uint32_t at = 0; err == 0 && at < PIECE_BYTES; at += COF_BLOCK_BYTES) {
        int got = cof_sync_io_read(&store->io, audit->segment, offset + at, audit->piece,
                                   COF_BLOCK_BYTES);
        if (got != 0) {
            bad = got;
            bad_bytes += COF_BLOCK_BYTES;
            continue;
        }
        audit->summary.bytes_read += COF_BLOCK_BYTES;
        if (bad_bytes > 0) {
            err = tell_unreadable(audit, bad, offset + at - bad_bytes, bad_bytes);
            bad_bytes = 0;
        }
        if (err == 0) {
            err = visit_block(audit, audit->piece, offset + at);
        }
    }
    if (err == 0 && bad_bytes > 0) {
        err = tell_unreadable(audit, bad, offset + PIECE_BYTES - bad_bytes, bad_bytes);
    }
    return err == 0 && store->io.broken ? COFFER_E_IO : err;
}

static int visit_piece(struct audit *audit, uint32_t offset)
{
    int err =
        cof_sync_io_read(&audit->store->io, audit->segment, offset, audit->piece, PIECE_BYTES);
    if (err != 0) {
        err = visit_blocks_alone(audit, offset);
    } else {
        audit->summary.bytes_read += PIECE_BYTES;
        for (uint32_t at = 0; err == 0 && at < PIECE_BYTES; at += COF_BLOCK_BYTES) {
            err = visit_block(audit, audit->piece + at, offset + at);
        }
    }
    if (err == 0 && audit->opts->on_progress != NULL) {
        err = audit->opts->on_progress(audit->opts->ctx,
                                       audit->summary.bytes_read + audit->summary.unreadable_bytes,
                                       audit->total_bytes);
    }
    return err;
}

/* All segments that the device has: a store that was made smaller leaves sealed bytes behind its
 * end. The root segments too; a store that was made over an older one has remains there. */
static int visit_device(struct audit *audit)
{
    const struct coffer_geometry *geometry = &audit->store->geometry;
    int err = 0;
    audit->total_bytes = (uint64_t)geometry->segment_count * geometry->segment_bytes;
    for (uint32_t segment = 0; err == 0 && segment < geometry->segment_count; segment++) {
        audit->segment = segment;
        for (uint32_t offset = 0; err == 0 && offset < geometry->segment_bytes;
             offset += PIECE_BYTES) {
            err = visit_piece(audit, offset);
        }
    }
    return err;
}

/* ---- what was moved ---- */

static int visit_stretch(struct audit *audit, const struct cof_desc *desc,
                         const struct cof_stretch *stretch)
{
    struct coffer_store *store = audit->store;
    struct coffer_seal seal = {.kind = COFFER_SEAL_PAGE, .extent = desc->extent};
    uint32_t page = stretch->block - stretch->header_block - 1u;
    const uint8_t *entries = NULL;
    unsigned pages = 0;
    int err =
        cof_sync_io_read(&store->io, stretch->segment, stretch->header_block * COF_BLOCK_BYTES,
                         audit->record, COF_BLOCK_BYTES);
    if (err == 0) {
        entries = cof_header_entries(store, audit->record, stretch->segment, stretch->header_block,
                                     &pages);
    } else if (store->io.broken) {
        return COFFER_E_IO; /* else it was told when the device was read */
    }
    memcpy(seal.store_uuid.bytes, store->uuid, 16);
    memcpy(seal.uuid.bytes, desc->uuid, 16);
    seal.segment = stretch->segment;
    seal.offset = stretch->header_block * COF_BLOCK_BYTES;
    err = 0;
    for (unsigned slot = stretch->first_slot; err == 0 && slot < stretch->end_slot; slot++) {
        if (entries != NULL && page < pages && cof_bitmap_get(&desc->live, slot)) {
            const uint8_t *at = entries + (size_t)page * COF_ENTRY_BYTES;
            seal.slot = slot;
            set_name(&seal, desc->uuid, 16, slot);
            set_ciphertext(&seal, at, 16, at + 16, 8);
            err = give(audit, &seal);
        }
        page += cof_bitmap_get(&desc->present, slot) ? 1u : 0u;
    }
    return err;
}

static int visit_moved_extent(struct audit *audit, const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    int err = 0;
    if (desc->key_id == 0) {
        audit->summary.plain_pages += cof_bitmap_count(&desc->live);
        return 0;
    }
    for (unsigned slot = 0; err == 0 && cof_desc_stretch(desc, slot, &stretch);
         slot = stretch.end_slot) {
        err = visit_stretch(audit, desc, &stretch);
    }
    return err;
}

static int visit_moved_of(struct audit *audit, uint32_t lineage)
{
    struct coffer_store *store = audit->store;
    uint64_t left = (uint64_t)store->segments.count * store->segment_blocks;
    int err = 0;
    for (uint64_t extent = 1; err == 0 && extent <= COF_EXTENT_MAX && left > 0; extent++) {
        struct cof_desc *desc, moved;
        int found;
        pthread_mutex_lock(&store->lock);
        found = cof_place_next(&store->place, lineage, &extent, &desc);
        if (found == 0) {
            moved = *desc; /* all of it: what was moved has no references */
        }
        cof_place_trim(&store->place);
        pthread_mutex_unlock(&store->lock);
        if (found == COFFER_E_NOT_FOUND || found == COFFER_E_NO_MEMORY) {
            return found == COFFER_E_NOT_FOUND ? 0 : found;
        }
        if (found != 0) {
            audit->summary.records_lost++;
            extent |= COF_BUCKET_EXTENTS - 1u;
            left--;
        } else if (cof_desc_moved(&moved)) {
            err = visit_moved_extent(audit, &moved);
        }
    }
    return err;
}

static int visit_moved(struct audit *audit)
{
    struct coffer_store *store = audit->store;
    bool any = (store->root.incompat & COF_INCOMPAT_CLEANED) != 0;
    int err = 0;
    for (uint32_t lineage = 0; any && err == 0 && lineage <= store->lineage_count; lineage++) {
        err = visit_moved_of(audit, lineage);
    }
    return err;
}

int coffer_store_visit_seals(struct coffer_store *store, const struct coffer_seals_opts *opts,
                             struct coffer_seals_summary *ret_summary, struct coffer_fault *fault)
{
    struct audit audit = {.store = store, .opts = opts};
    int err = 0;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts || opts->on_seal == NULL || !store->read_only) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "seals are visited in a store that is open for reading only");
    }
    audit.piece = cof_alloc(&store->env, PIECE_BYTES);
    audit.record = cof_alloc(&store->env, (size_t)COF_BATCH_PAGES_MAX * COF_BLOCK_BYTES);
    if (audit.piece == NULL || audit.record == NULL) {
        err = cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_NONE, "no memory for the audit");
    } else {
        err = visit_device(&audit);
        if (err == 0) {
            err = visit_moved(&audit);
        }
        if (err != 0 && store->io.broken) {
            cof_fault(fault, err, COFFER_STAGE_IO, "the device does not answer any more");
            cof_fault_at(fault, COFFER_NOWHERE, audit.segment, COFFER_NOWHERE);
        } else if (err != 0) {
            cof_fault(fault, err, COFFER_STAGE_NONE, "the audit was stopped");
        }
    }
    cof_free(&store->env, audit.piece);
    cof_free(&store->env, audit.record);
    if (err == 0 && ret_summary != NULL) {
        *ret_summary = audit.summary;
    }
    return err;
}
