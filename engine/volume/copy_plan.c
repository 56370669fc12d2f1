/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy_plan.c - what a copy has to send.
 *
 * The snapshot's entry says which volumes wrote its tree and up to where (writers): from that and
 * the placement table alone follows which extents it may refer to, without a key.
 *
 * The base is the newest ancestor (or the snapshot itself) that the destination has: what lies at
 * or below its own cuts is there. An extent that is there without being the base's or this copy's
 * own would be shared without a common ancestor: then all indexes get fresh lineage numbers, and
 * all is sent. Nothing is changed here, in either store.
 */
#include "volume/copy.h"

#include "base/testhook.h"

#include <string.h>

#define BREATH_EXTENTS 64u

/* The same indexes mean the same lineages in both. */
static bool same_lineages(const struct cof_copy *copy, const struct cof_catalogue_item *there,
                          const struct cof_catalogue_item *ancestor)
{
    uint32_t count = ancestor->entry.lineages > 0 ? ancestor->entry.lineages : 1u;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *a = cof_lineage_uuid(copy->source, cof_item_lineage(ancestor, i));
        const uint8_t *b = cof_lineage_uuid(copy->destination, cof_item_lineage(there, i));
        if (a == NULL || b == NULL || memcmp(a, b, 16) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- data keys ---- */

static int read_keys(struct coffer_store *store, struct cof_catalogue_item *item,
                     struct coffer_volume **ret_twin)
{
    uint8_t digest[32];
    struct coffer_volume *twin;
    int err = cof_twin_new(store, item, true, &twin);
    if (err == 0) {
        err = cof_keys_read(twin, item->entry.data_keys, digest);
        if (err != 0) {
            cof_twin_free(twin);
        }
    }
    if (err == 0) {
        *ret_twin = twin;
    }
    return err;
}

static bool overlap(const struct cof_ek_entry *a, const struct cof_ek_entry *b)
{
    return a->index == b->index && a->first_extent <= b->last_extent &&
           b->first_extent <= a->last_extent && ((a->flags | b->flags) & COF_EK_FLAG_SPARE) == 0;
}

static bool same_key(const struct cof_ek_entry *a, const struct cof_ek_entry *b)
{
    return a->key_id == b->key_id && memcmp(a->commitment, b->commitment, 32) == 0;
}

/* Whether b has each key of a: all of them, or those whose extents b has a key for. */
static bool has_keys(const struct coffer_volume *b, const struct coffer_volume *a, bool all)
{
    for (unsigned i = 0; i < a->ek_count; i++) {
        bool met = all && (a->eks[i].entry.flags & COF_EK_FLAG_SPARE) == 0, there = false;
        for (unsigned k = 0; k < b->ek_count; k++) {
            bool over = overlap(&a->eks[i].entry, &b->eks[k].entry);
            met = met || over;
            there = there || (over && same_key(&a->eks[i].entry, &b->eks[k].entry));
        }
        if (met && !there) {
            return false;
        }
    }
    return true;
}

/* What was sealed anew on one side has another uuid and key there. `whole`: of a copy on its way,
 * which must have every key of the snapshot; else of a base, whose extents both have. */
bool cof_copy_keys_fit(const struct cof_copy *copy, struct cof_catalogue_item *there, bool whole)
{
    struct coffer_volume *here = NULL, *other = NULL;
    bool fit;
    if (!copy->from->entry.encrypted || COF_BROKEN(COPY_STALE) ||
        ((copy->source->root.incompat | copy->destination->root.incompat) &
         COF_INCOMPAT_RESEALED) == 0) {
        return true;
    }
    fit = read_keys(copy->source, copy->from, &here) == 0 &&
          read_keys(copy->destination, there, &other) == 0 && has_keys(other, here, whole) &&
          (whole || has_keys(here, other, false));
    cof_twin_free(here);
    cof_twin_free(other);
    return fit;
}

/* ---- the base ---- */

void cof_copy_find_base(struct cof_copy *copy)
{
    const struct cof_catalogue_item *ancestor = copy->from;
    uint32_t left = copy->source->item_count; /* parents stand in clear: they may run in a circle */
    for (; ancestor != NULL && copy->base == NULL && left > 0;
         left--, ancestor = cof_catalogue_at(copy->source, ancestor->entry.parent_number)) {
        for (struct cof_catalogue_item *item = copy->destination->items; item != NULL;
             item = item->next) {
            bool whole =
                item->entry.kind == COF_KIND_SNAPSHOT || item->entry.kind == COF_KIND_HIDDEN;
            bool room = item->entry.writers + copy->from->entry.writers < COF_WRITERS_MAX;
            if (whole && room && item->entry.encrypted == copy->from->entry.encrypted &&
                memcmp(cof_copy_identity(item), cof_copy_identity(ancestor), 16) == 0 &&
                same_lineages(copy, item, ancestor) && cof_copy_keys_fit(copy, item, false)) {
                copy->base = item;
                copy->base_cut = ancestor->entry.own_cut;
                copy->base_node_cut = ancestor->entry.own_node_cut;
                break;
            }
        }
    }
}

static void drop_base(struct cof_copy *copy)
{
    copy->base = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    copy->fresh = true;
}

/* Whether a writer's extent is the snapshot's and not the base's. */
static bool belongs(const struct cof_copy *copy, const struct cof_writer *writer,
                    const struct cof_desc *desc)
{
    uint64_t at = cof_position(writer->index, desc->extent);
    return desc->volume == writer->number &&
           desc->extent <= (desc->metadata ? writer->last_metadata : writer->last_data) &&
           at > (desc->metadata ? copy->base_node_cut : copy->base_cut) &&
           !(COF_BROKEN(COPY_SHORT) && at == copy->base_cut + 1u) && cof_import_pages(desc) > 0;
}

/* Whether it is the turn of an earlier writer: in what was copied itself, all that wrote an index
 * stand with one number, each with the part up to its own last. */
static bool taken_before(const struct cof_copy *copy, const struct cof_writer *writer,
                         const struct cof_desc *desc)
{
    for (const struct cof_writer *before = copy->from->writers; before < writer; before++) {
        if (before->index == writer->index && belongs(copy, before, desc)) {
            return true;
        }
    }
    return false;
}

/* The next extent to take of a writer, at or after *extent. The source's lock is held. */
static int next_extent(struct cof_copy *copy, const struct cof_writer *writer, uint64_t *extent,
                       struct cof_desc **ret_desc)
{
    struct coffer_store *source = copy->source;
    uint32_t lineage = cof_item_lineage(copy->from, writer->index);
    uint64_t last =
        writer->last_data > writer->last_metadata ? writer->last_data : writer->last_metadata;
    for (; *extent <= last; (*extent)++) {
        int err = cof_place_next(&source->place, lineage, extent, ret_desc);
        if (err != 0 || *extent > last) {
            return err != 0 ? err : COFFER_E_NOT_FOUND;
        }
        if (belongs(copy, writer, *ret_desc) && !taken_before(copy, writer, *ret_desc)) {
            return 0;
        }
        cof_place_trim(&source->place);
        if (*extent % BREATH_EXTENTS == 0) {
            pthread_mutex_unlock(&source->lock);
            pthread_mutex_lock(&source->lock);
        }
    }
    return COFFER_E_NOT_FOUND;
}

int cof_copy_each(struct cof_copy *copy,
                  int (*visit)(struct cof_copy *, const struct cof_writer *, struct cof_desc *))
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < copy->from->entry.writers; i++) {
        const struct cof_writer *writer = &copy->from->writers[i];
        if (cof_item_lineage(copy->from, writer->index) == COF_LINEAGE_NONE) {
            return COFFER_E_CORRUPT; /* a forged entry: the copy would have nowhere to list it */
        }
        for (uint64_t extent = 1; err == 0; extent++) {
            struct cof_desc *desc;
            err = next_extent(copy, writer, &extent, &desc);
            if (err == COFFER_E_NOT_FOUND) {
                err = 0;
                break;
            }
            if (err == 0) {
                err = visit(copy, writer, desc);
            }
        }
    }
    return err;
}

static uint32_t lineages_of(const struct cof_catalogue_item *item)
{
    return item == NULL ? 0u : item->entry.lineages > 0 ? item->entry.lineages : 1u;
}

static bool has_lineage(const struct cof_catalogue_item *item, uint32_t number)
{
    for (uint32_t i = 0; i < lineages_of(item); i++) {
        if (cof_item_lineage(item, i) == number) {
            return true;
        }
    }
    return false;
}

uint32_t cof_copy_number_there(const struct cof_copy *copy, uint32_t index)
{
    const struct coffer_store *destination = copy->destination;
    const uint8_t *uuid = cof_lineage_uuid(copy->source, cof_item_lineage(copy->from, index));
    uint32_t of_base = lineages_of(copy->base), passed = 0;
    if (index < of_base) {
        return cof_item_lineage(copy->base, index);
    }
    for (uint32_t i = of_base; uuid != NULL && i < index; i++) { /* forks have one uuid */
        const uint8_t *other = cof_lineage_uuid(copy->source, cof_item_lineage(copy->from, i));
        passed += other != NULL && memcmp(other, uuid, 16) == 0 ? 1u : 0u;
    }
    for (uint32_t number = 1; !copy->fresh && uuid != NULL && number <= destination->lineage_count;
         number++) {
        if (memcmp(cof_lineage_uuid(destination, number), uuid, 16) == 0 &&
            !has_lineage(copy->base, number) && passed-- == 0) {
            return number;
        }
    }
    return COF_LINEAGE_NONE;
}

static int count_extent(struct cof_copy *copy, const struct cof_writer *writer,
                        struct cof_desc *desc)
{
    struct cof_desc *there;
    unsigned pages = cof_import_pages(desc);
    uint32_t lineage = cof_copy_number_there(copy, writer->index);
    uint64_t extent = desc->extent;
    int err = COFFER_E_NOT_FOUND;
    copy->total_pages += pages;
    copy->largest = pages > copy->largest ? pages : copy->largest;
    if (lineage != COF_LINEAGE_NONE) {
        pthread_mutex_lock(&copy->destination->lock);
        err = cof_place_find(&copy->destination->place, lineage, extent, &there);
        cof_place_trim(&copy->destination->place);
        pthread_mutex_unlock(&copy->destination->lock);
    }
    if (lineage == COF_LINEAGE_LOCAL) {
        return COFFER_E_EXISTS; /* of a fork of the destination: its numbers are used twice */
    }
    return err == COFFER_E_NOT_FOUND ? 0 : err == 0 ? COFFER_E_EXISTS : err;
}

/* Of a copy that goes on: where its extents go is settled. */
static int count_only(struct cof_copy *copy, const struct cof_writer *writer, struct cof_desc *desc)
{
    (void)writer;
    copy->total_pages += cof_import_pages(desc);
    return 0;
}

int cof_copy_plan(struct cof_copy *copy)
{
    int err;
    copy->total_pages = 0;
    pthread_mutex_lock(&copy->source->lock);
    err = cof_copy_each(copy, copy->to == NULL ? count_extent : count_only);
    if (err == COFFER_E_EXISTS) { /* shared with something that is no ancestor */
        drop_base(copy);
        copy->total_pages = 0;
        err = cof_copy_each(copy, count_extent);
    }
    pthread_mutex_unlock(&copy->source->lock);
    return err;
}

int cof_copy_check_room(struct cof_copy *copy)
{
    struct coffer_store *destination = copy->destination;
    uint64_t capacity = cof_capacity_blocks(destination);
    uint64_t live = destination->segments.live_total;
    if (cof_import_blocks((unsigned)copy->largest) + COF_FOOTER_BLOCKS + 2u >
        destination->segment_blocks) {
        return cof_fault(copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                         "the destination's segments are smaller than the source's extents: make "
                         "it with segments of the same size");
    }
    if (!COF_BROKEN(COPY_GREEDY) &&
        live + copy->total_pages + copy->total_pages / 64u + 64u > capacity) {
        return cof_fault(copy->fault, COFFER_E_NO_SPACE, COFFER_STAGE_NONE,
                         "the destination has no room for the %llu MiB of the snapshot",
                         (unsigned long long)(copy->total_pages >> 8));
    }
    return 0;
}
