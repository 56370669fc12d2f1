/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy.c - a snapshot into another store.
 *
 * The snapshot's entry says which volumes wrote its tree and up to where (writers): from that and
 * the placement table alone follows which extents it may refer to, without a key. The copy's entry
 * is made first, marked as copying; then the extents follow, those that are there already are
 * passed over, and roots in between keep what has come. At the end the mark goes.
 *
 * The base is the newest ancestor (or the snapshot itself) that the destination has: what lies at
 * or below its own cuts is there. An extent that is there without being the base's or this copy's
 * own would be shared without a common ancestor: then all indexes get fresh lineage numbers, and
 * all is sent.
 *
 * Both stores' admin locks are held throughout, the lower address first; each lock only while its
 * store is touched.
 */
#include "volume/import.h"

#include "base/testhook.h"

#include <stdio.h>
#include <string.h>

#define BREATH_EXTENTS 64u
#define ROOT_EVERY_PAGES (UINT64_C(64) << 10) /* 256 MiB: what a kill can cost */

struct copy {
    struct coffer_store *source, *destination;
    const struct coffer_copy_opts *opts;
    struct coffer_fault *fault;
    char full[COF_FULL_NAME_BYTES];
    struct cof_catalogue_item *from, *base, *to;
    uint64_t base_cut, base_node_cut;
    bool keyless, fresh; /* fresh: no lineage number is shared with what is there */
    bool overtaken;      /* what an interrupted copy still lacks came with another meanwhile */
    uint64_t total_pages, done_pages, rooted_pages, largest;
    struct cof_extent_copy extent;
    int stopped;
};

static const uint8_t none[16];

static const uint8_t *identity(const struct cof_catalogue_item *item)
{
    return cof_item_is_import(item) ? item->entry.origin_uuid : item->entry.uuid;
}

/* ---- locks ---- */

static void lock_admins(struct copy *copy)
{
    bool source_first = copy->source < copy->destination;
    pthread_mutex_lock(source_first ? &copy->source->admin : &copy->destination->admin);
    pthread_mutex_lock(source_first ? &copy->destination->admin : &copy->source->admin);
}

static void unlock_admins(struct copy *copy)
{
    pthread_mutex_unlock(&copy->source->admin);
    pthread_mutex_unlock(&copy->destination->admin);
}

/* ---- the plan ---- */

/* The same indexes mean the same lineages in both. */
static bool same_lineages(const struct copy *copy, const struct cof_catalogue_item *there,
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

static void find_base(struct copy *copy)
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
                memcmp(identity(item), identity(ancestor), 16) == 0 &&
                same_lineages(copy, item, ancestor)) {
                copy->base = item;
                copy->base_cut = ancestor->entry.own_cut;
                copy->base_node_cut = ancestor->entry.own_node_cut;
                break;
            }
        }
    }
}

static void drop_base(struct copy *copy)
{
    copy->base = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    copy->fresh = true;
}

/* Whether a writer's extent is the snapshot's and not the base's. */
static bool belongs(const struct copy *copy, const struct cof_writer *writer,
                    const struct cof_desc *desc)
{
    uint64_t at = cof_position(writer->index, desc->extent);
    return desc->volume == writer->number &&
           desc->extent <= (desc->metadata ? writer->last_metadata : writer->last_data) &&
           at > (desc->metadata ? copy->base_node_cut : copy->base_cut) &&
           !(COF_BROKEN(COPY_SHORT) && at == copy->base_cut + 1u) && cof_import_pages(desc) > 0;
}

/* The next extent to take of a writer, at or after *extent. The source's lock is held. */
static int next_extent(struct copy *copy, const struct cof_writer *writer, uint64_t *extent,
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
        if (belongs(copy, writer, *ret_desc)) {
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

/* Do visit for each extent, with the source's lock held. */
static int each_extent(struct copy *copy,
                       int (*visit)(struct copy *, const struct cof_writer *, struct cof_desc *))
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < copy->from->entry.writers; i++) {
        const struct cof_writer *writer = &copy->from->writers[i];
        for (uint64_t extent = 1; err == 0; extent++) {
            struct cof_desc *desc;
            err = next_extent(copy, writer, &extent, &desc);
            if (err == 0) {
                err = visit(copy, writer, desc);
            }
        }
        err = err == COFFER_E_NOT_FOUND ? 0 : err;
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

/* The destination's number for an index of the snapshot; NONE: there is none yet. Its own lineage
 * only through the base: its own writer goes on in there. No two indexes have the same number. */
static uint32_t number_there(const struct copy *copy, uint32_t index)
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

static int count_extent(struct copy *copy, const struct cof_writer *writer, struct cof_desc *desc)
{
    struct cof_desc *there;
    unsigned pages = cof_import_pages(desc);
    uint32_t lineage = number_there(copy, writer->index);
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
static int count_only(struct copy *copy, const struct cof_writer *writer, struct cof_desc *desc)
{
    (void)writer;
    copy->total_pages += cof_import_pages(desc);
    return 0;
}

static int plan(struct copy *copy)
{
    int err;
    copy->total_pages = 0;
    pthread_mutex_lock(&copy->source->lock);
    err = each_extent(copy, copy->to == NULL ? count_extent : count_only);
    if (err == COFFER_E_EXISTS) { /* shared with something that is no ancestor */
        drop_base(copy);
        copy->total_pages = 0;
        err = each_extent(copy, count_extent);
    }
    pthread_mutex_unlock(&copy->source->lock);
    return err;
}

static int check_room(struct copy *copy)
{
    struct coffer_store *destination = copy->destination;
    uint64_t usable = (uint64_t)(destination->segment_blocks - 4u) * 9u / 10u;
    uint64_t kept = destination->segments.count / 32u < 4u ? 4u : destination->segments.count / 32u;
    uint64_t free_segments = destination->segments.free_count;
    if (cof_import_blocks((unsigned)copy->largest) + COF_FOOTER_BLOCKS + 2u >
        destination->segment_blocks) {
        return cof_fault(copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                         "the destination's segments are smaller than the source's extents: make "
                         "it with segments of the same size");
    }
    if (free_segments <= kept ||
        (copy->total_pages + copy->total_pages / 64u + 64u) > (free_segments - kept) * usable) {
        return cof_fault(copy->fault, COFFER_E_NO_SPACE, COFFER_STAGE_NONE,
                         "the destination has no room for the %llu MiB of the snapshot",
                         (unsigned long long)(copy->total_pages >> 8));
    }
    return 0;
}

/* ---- the entry ---- */

static int set_relations(struct copy *copy)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *to = copy->to;
    const struct cof_volume_entry *from = &copy->from->entry;
    uint32_t count = from->lineages > 0 ? from->lineages : 1u;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        uint32_t number = number_there(copy, i);
        if (number == COF_LINEAGE_NONE) {
            err = cof_lineage_add(destination,
                                  cof_lineage_uuid(copy->source, cof_item_lineage(copy->from, i)),
                                  &number);
        }
        if (err == 0) {
            err = cof_item_add_lineage(destination, to, number);
        }
    }
    for (uint32_t i = 0; err == 0 && copy->base != NULL && i < copy->base->entry.writers; i++) {
        err = cof_item_add_writer(destination, to, &copy->base->writers[i]);
    }
    for (uint32_t i = 0; err == 0 && i < from->writers; i++) {
        struct cof_writer writer = copy->from->writers[i];
        writer.number = to->entry.number;
        if (cof_position(writer.index, writer.last_metadata) > copy->base_node_cut) {
            err = cof_item_add_writer(destination, to, &writer);
        }
    }
    to->entry.own_cut = from->own_cut;
    to->entry.own_node_cut = from->own_node_cut;
    to->entry.cut = copy->base_cut;
    to->entry.node_cut = copy->base_node_cut;
    to->entry.parent_number = copy->base != NULL ? copy->base->entry.number : 0u;
    to->entry.family = copy->base != NULL ? copy->base->entry.family : to->entry.number;
    memcpy(to->entry.origin_uuid, identity(copy->from), 16);
    return err;
}

/* Ring and record as they are, but for the wrap. Both locks are held. */
static int make_keyless(struct copy *copy, struct coffer_volume *twin, const char *arn)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *to = copy->to;
    struct coffer_volume *reader;
    struct coffer_key_blob blob;
    uint8_t digest[32];
    int err = cof_ring_copy(destination, copy->from, to);
    memcpy(to->entry.context_uuid, none, 16);
    if (err == 0) {
        err = cof_ring_strip(destination, to);
    }
    if (err == 0) {
        pthread_mutex_unlock(&destination->lock);
        err = cof_ring_rewrapped(copy->source, copy->from, to->entry.uuid, arn,
                                 copy->opts->source.provider, &blob, copy->fault);
        pthread_mutex_lock(&destination->lock);
    }
    if (err == 0) {
        err = cof_ring_add(destination, to, arn, &blob);
    }
    if (err == 0) {
        err = cof_twin_new(copy->source, copy->from, true, &reader);
    }
    if (err != 0) {
        return err;
    }
    err = cof_keys_read(reader, copy->from->entry.data_keys, digest);
    for (unsigned i = 0; err == 0 && i < reader->ek_count; i++) {
        err = cof_keys_add(twin, &reader->eks[i].entry);
    }
    cof_twin_free(reader);
    to->entry.verbatim = true;
    to->entry.sealed_number =
        copy->from->entry.verbatim ? copy->from->entry.sealed_number : copy->from->entry.number;
    memcpy(to->entry.sealed_uuid,
           copy->from->entry.verbatim ? copy->from->entry.sealed_uuid : copy->from->entry.uuid, 16);
    to->entry.record_bytes = copy->from->entry.record_bytes;
    to->entry.data_keys = copy->from->entry.data_keys;
    memcpy(to->record, copy->from->record, sizeof to->record);
    memcpy(to->entry.nonce, copy->from->entry.nonce, sizeof to->entry.nonce);
    memcpy(to->entry.tag, copy->from->entry.tag, sizeof to->entry.tag);
    to->entry.clear_name_bytes = (uint16_t)strlen(copy->full);
    memcpy(to->clear_name, copy->full, strlen(copy->full));
    return err;
}

/* A volume key of the copy's own, and a record that is sealed here. Both locks are held. */
static int make_keyed(struct copy *copy, struct coffer_volume *twin, const char *arn)
{
    struct coffer_store *destination = copy->destination;
    struct cof_record *record = &twin->record;
    struct coffer_volume *from;
    int err = cof_volume_open_item(copy->source, copy->from, COFFER_VOLUME_READ_ONLY,
                                   copy->opts->source.provider, &from, copy->fault);
    if (err != 0) {
        return err;
    }
    *record = from->record;
    memcpy(record->uuid, copy->to->entry.uuid, 16);
    memcpy(record->parent, copy->base != NULL ? copy->base->entry.uuid : none, 16);
    record->kind = COF_KIND_SNAPSHOT;
    record->key_shared = false;
    record->cut = copy->base_cut;
    record->node_cut = copy->base_node_cut;
    memset(record->volume_name, 0, sizeof record->volume_name);
    memset(record->name, 0, sizeof record->name);
    memcpy(record->volume_name, copy->full, strcspn(copy->full, "@"));
    snprintf(record->name, sizeof record->name, "%.63s", strchr(copy->full, '@') + 1);
    if (copy->from->entry.encrypted) {
        memset(record->key_arn, 0, sizeof record->key_arn);
        memcpy(record->key_arn, arn, strlen(arn));
        pthread_mutex_unlock(&copy->source->lock);
        err = cof_keyring_new(destination, copy->to, 1, arn, copy->opts->provider, &twin->vk,
                              twin->vk_uuid, copy->fault);
        pthread_mutex_lock(&copy->source->lock);
        twin->generation = 1;
        if (err == 0) {
            err = cof_keys_rewrap(from, twin, 0);
        }
        record->key_uses = (uint64_t)twin->ek_count + 2u;
    }
    cof_volume_drop(from);
    return err;
}

static int write_entry(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct coffer_volume *twin = birth->ctx;
    bool sealed = birth->item->entry.verbatim;
    int err = twin->encrypted ? cof_keys_write(twin, writer) : 0;
    twin->store->root.incompat |= COF_INCOMPAT_IMPORTS;
    birth->item->entry.kind = COF_KIND_COPYING;
    return err != 0 || sealed
               ? err
               : cof_record_seal(twin->vk, twin->vk_uuid, birth->item, &twin->record);
}

/* Both locks are held. */
static int make_entry(struct copy *copy, const char *arn)
{
    struct coffer_store *destination = copy->destination;
    struct cof_birth birth = {.write = write_entry};
    struct coffer_volume *twin = NULL;
    int err = cof_catalogue_item_new(destination, COF_KIND_COPYING, copy->full, &copy->to);
    if (err == 0) {
        err = cof_twin_new(destination, copy->to, copy->from->entry.encrypted, &twin);
    }
    if (err == 0) {
        err = set_relations(copy);
    }
    if (err == 0) {
        err = copy->keyless ? make_keyless(copy, twin, arn) : make_keyed(copy, twin, arn);
    }
    if (err == 0) {
        birth.item = copy->to;
        birth.ctx = twin;
        pthread_mutex_unlock(&copy->source->lock);
        err = cof_give_birth(destination, &birth);
        pthread_mutex_lock(&copy->source->lock);
    }
    if (err != 0 && !birth.done) {
        cof_catalogue_item_free(destination, copy->to);
        copy->to = NULL;
    }
    cof_twin_free(twin);
    return err;
}

/* ---- sending ---- */

/* The destination's lock is taken here; the source's is held and let go meanwhile. */
static int store_extent(struct copy *copy, uint32_t lineage)
{
    struct coffer_store *destination = copy->destination;
    int err;
    pthread_mutex_unlock(&copy->source->lock);
    pthread_mutex_lock(&destination->lock);
    err = destination->error != 0
              ? COFFER_E_FAILED
              : cof_extent_write(destination, copy->to->entry.number, lineage, &copy->extent);
    copy->done_pages += copy->extent.pages;
    if (err == 0 && copy->done_pages - copy->rooted_pages >= ROOT_EVERY_PAGES) {
        copy->rooted_pages = copy->done_pages;
        err = cof_checkpoint_light(destination);
    } else if (err != 0 && destination->meta.error != 0) {
        cof_store_fail(destination, err); /* else nothing was half-done: the copy is taken back */
    }
    pthread_mutex_unlock(&destination->lock);
    if (err == 0 && copy->opts->on_progress != NULL) {
        copy->stopped = copy->opts->on_progress(copy->opts->ctx, copy->done_pages * COF_PAGE_BYTES,
                                                copy->total_pages * COF_PAGE_BYTES);
        err = copy->stopped;
    }
    pthread_mutex_lock(&copy->source->lock);
    return err;
}

static int send_extent(struct copy *copy, const struct cof_writer *writer, struct cof_desc *desc)
{
    uint32_t lineage = cof_item_lineage(copy->to, writer->index);
    struct cof_desc *there;
    int err;
    pthread_mutex_lock(&copy->destination->lock);
    cof_place_trim(&copy->destination->place);
    err = cof_place_find(&copy->destination->place, lineage, desc->extent, &there);
    if (err == 0) {
        bool ours =
            there->volume == copy->to->entry.number && memcmp(there->uuid, desc->uuid, 16) == 0;
        copy->done_pages += cof_import_pages(desc);
        copy->overtaken = !ours; /* ours: it came before the copy was interrupted */
        err = ours ? 0 : COFFER_E_EXISTS;
        pthread_mutex_unlock(&copy->destination->lock);
        return err;
    }
    pthread_mutex_unlock(&copy->destination->lock);
    if (err != COFFER_E_NOT_FOUND) {
        return err;
    }
    err = cof_extent_read(copy->source, desc, &copy->extent);
    if (err != 0) {
        cof_fault(copy->fault, err, COFFER_STAGE_CHECKSUM,
                  "extent %llu of the source does not read: %s", (unsigned long long)desc->extent,
                  coffer_error_sentence(err));
        cof_fault_at(copy->fault, COFFER_NOWHERE, desc->pieces[0].segment, COFFER_NOWHERE);
        return err;
    }
    return store_extent(copy, lineage);
}

static int send_all(struct copy *copy)
{
    struct cof_env *env = &copy->destination->env;
    int err = 0;
    copy->extent.buffer = cof_alloc_aligned(env, COF_IMPORT_BUFFER_BYTES);
    if (copy->extent.buffer == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    if (err == 0) {
        pthread_mutex_lock(&copy->source->lock);
        err = each_extent(copy, send_extent);
        pthread_mutex_unlock(&copy->source->lock);
    }
    cof_free_aligned(env, copy->extent.buffer);
    return err;
}

/* The copy is whole, or (took: it failed) it never was. The destination's lock is held. */
static int settle(struct copy *copy, bool whole)
{
    struct coffer_store *destination = copy->destination;
    int err = cof_checkpoint_settle(destination);
    if (err != 0) {
        return err;
    }
    if (!whole) {
        uint32_t parent = copy->to->entry.parent_number;
        err = cof_copy_abandon(destination, copy->to);
        return err != 0 ? err
                        : cof_node_remove_hidden(destination, parent, copy->opts->provider, NULL);
    }
    copy->to->entry.kind = COF_KIND_SNAPSHOT;
    copy->to->dirty = true;
    return cof_checkpoint_light(destination);
}

int cof_copy_abandon(struct coffer_store *store, struct cof_catalogue_item *item)
{
    int err = cof_import_purge(store, item->entry.number);
    if (err == 0) {
        err = cof_catalogue_remove(
            store, item, (item->entry.data_keys + COF_EK_PER_PART - 1u) / COF_EK_PER_PART);
    }
    if (err != 0) {
        cof_store_fail(store, err);
        return err;
    }
    cof_catalogue_item_free(store, item);
    return cof_checkpoint_light(store);
}

/* ---- the call ---- */

/* The interrupted copy of this snapshot under this name, if that is what there is. */
static int find_there(struct copy *copy)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *item;
    int err = cof_catalogue_find(destination, copy->full, copy->opts->provider, &item, copy->fault);
    if (err == COFFER_E_NOT_FOUND) {
        cof_fault_clear(copy->fault);
        return 0;
    }
    if (err == 0 && item->entry.kind == COF_KIND_COPYING &&
        memcmp(item->entry.origin_uuid, identity(copy->from), 16) == 0) {
        copy->to = item;
        copy->base = cof_catalogue_at(destination, item->entry.parent_number);
        copy->base_cut = item->entry.cut;
        copy->base_node_cut = item->entry.node_cut;
        return 0;
    }
    return err != 0 ? err
                    : cof_fault(copy->fault, COFFER_E_EXISTS, COFFER_STAGE_ROOT,
                                "the destination has a snapshot \"%.100s\" already", copy->full);
}

/* The destination's key: named, or the source's own, which must be known there. */
static int resolve(struct copy *copy, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    int err = cof_ring_wrap_at(copy->from, 0, arn, &blob);
    if (err == 0) {
        err = cof_key_resolve(copy->destination, copy->opts->provider,
                              copy->opts->kms_key_id != NULL ? copy->opts->kms_key_id : arn, &info,
                              copy->fault);
    }
    if (err == COFFER_E_KEY_NOT_FOUND && copy->opts->kms_key_id == NULL) {
        return cof_fault(copy->fault, err, COFFER_STAGE_KEY,
                         "the source's key %.70s is not known to the destination's key service: "
                         "name a key of its region",
                         arn);
    }
    if (err == 0) {
        memcpy(arn, info.arn, sizeof info.arn);
    }
    return err;
}

/* Whether what there is of the copy was begun in the same way, under the same key. */
static bool goes_on(const struct copy *copy, const char *arn)
{
    char began[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_key_blob blob;
    return !copy->to->entry.encrypted ||
           (copy->to->entry.verbatim == copy->keyless &&
            cof_ring_wrap_at(copy->to, 0, began, &blob) == 0 && strcmp(began, arn) == 0);
}

/* What there is of the copy, to begin anew. Both locks are held. */
static int take_back(struct copy *copy)
{
    int err;
    pthread_mutex_unlock(&copy->source->lock);
    err = settle(copy, false);
    pthread_mutex_unlock(&copy->destination->lock);
    pthread_mutex_lock(&copy->source->lock);
    pthread_mutex_lock(&copy->destination->lock);
    copy->to = NULL;
    copy->base = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    return err;
}

/* Everything before the first page: both locks are held. */
static int begin(struct copy *copy)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX] = "";
    bool encrypted;
    int err = cof_snapshot_find_sealed(copy->source, &copy->opts->source, &copy->from, copy->fault);
    if (err == 0) {
        err = find_there(copy);
    }
    if (err != 0) {
        return err;
    }
    encrypted = copy->from->entry.encrypted;
    if (!encrypted && copy->opts->kms_key_id != NULL) {
        return cof_fault(
            copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
            "a copy of an unencrypted snapshot is unencrypted: restore it under a key");
    }
    if (encrypted && (copy->opts->provider == NULL || copy->opts->source.provider == NULL)) {
        return cof_fault(copy->fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "copying an encrypted snapshot needs the key services of both sides");
    }
    copy->keyless = encrypted && copy->opts->provider == copy->opts->source.provider;
    if (encrypted) {
        pthread_mutex_unlock(&copy->source->lock);
        err = resolve(copy, arn);
        pthread_mutex_lock(&copy->source->lock);
    }
    if (err == 0 && copy->to != NULL && !goes_on(copy, arn)) {
        err = take_back(copy);
    }
    if (err == 0 && copy->to == NULL) {
        find_base(copy);
    }
    pthread_mutex_unlock(&copy->destination->lock);
    pthread_mutex_unlock(&copy->source->lock);
    if (err == 0) {
        err = plan(copy);
    }
    pthread_mutex_lock(&copy->source->lock);
    pthread_mutex_lock(&copy->destination->lock);
    if (err == 0 && copy->to == NULL) {
        err = check_room(copy);
        if (err == 0) {
            err = make_entry(copy, arn);
        }
    }
    return err;
}

static int run(struct copy *copy)
{
    struct coffer_store *source = copy->source, *destination = copy->destination;
    int err;
    pthread_mutex_lock(&source->lock);
    pthread_mutex_lock(&destination->lock);
    err = source->error != 0 || destination->error != 0 ? COFFER_E_FAILED : begin(copy);
    pthread_mutex_unlock(&destination->lock);
    pthread_mutex_unlock(&source->lock);
    if (err != 0) {
        return err;
    }
    err = send_all(copy);
    pthread_mutex_lock(&destination->lock);
    if (err == 0) {
        err = settle(copy, true);
    } else if (err == copy->stopped && copy->stopped != 0) {
        int kept = cof_checkpoint_light(destination); /* what came is there for the next time */
        err = kept != 0 ? kept : err;
    } else if (destination->error == 0) {
        int back = settle(copy, false);
        err = back != 0 ? back : err;
    }
    pthread_mutex_unlock(&destination->lock);
    if (err == 0 && copy->opts->on_progress != NULL) {
        (void)copy->opts->on_progress(copy->opts->ctx, copy->done_pages * COF_PAGE_BYTES,
                                      copy->done_pages * COF_PAGE_BYTES);
    }
    return err;
}

static void begin_anew(struct copy *copy)
{
    copy->overtaken = false;
    copy->fresh = false;
    copy->from = NULL;
    copy->base = NULL;
    copy->to = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    copy->done_pages = 0;
    copy->rooted_pages = 0;
    cof_fault_clear(copy->fault);
}

/* In the same store nothing is sent: the copy shares the pages, under a volume key of its own. */
static int copy_within(struct copy *copy)
{
    struct coffer_store *store = copy->source;
    int err;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = store->error != 0 ? COFFER_E_FAILED
                            : cof_snapshot_clone(store, &copy->opts->source, copy->full,
                                                 copy->opts->kms_key_id, copy->fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

/* Under data keys that the source never had. */
static int copy_resealed(struct copy *copy)
{
    const struct coffer_copy_opts *opts = copy->opts;
    struct coffer_store *destination = copy->destination;
    struct cof_reseal reseal = {.destination = destination,
                                .kms_key_id = opts->kms_key_id,
                                .provider = opts->provider,
                                .on_progress = opts->on_progress,
                                .ctx = opts->ctx};
    int err;
    pthread_mutex_lock(&destination->admin);
    pthread_mutex_lock(&destination->lock);
    err = cof_name_is_free(destination, copy->full, opts->provider, copy->fault);
    pthread_mutex_unlock(&destination->lock);
    pthread_mutex_unlock(&destination->admin);
    if (err == 0) {
        err = cof_snapshot_open(copy->source, &opts->source, &reseal.from, copy->fault);
    }
    if (err != 0) {
        return err;
    }
    if (!reseal.from->encrypted) {
        err = cof_fault(copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                        "an unencrypted snapshot becomes encrypted by restoring it under a key");
    } else {
        char volume[COFFER_NAME_BYTES_MAX];
        snprintf(volume, sizeof volume, "%.*s", (int)strcspn(copy->full, "@"), copy->full);
        reseal.volume = volume;
        reseal.snapshot = strchr(copy->full, '@') + 1;
        if (reseal.kms_key_id == NULL) {
            reseal.kms_key_id = reseal.from->record.key_arn;
        }
        err = cof_reseal_run(&reseal, copy->fault);
    }
    (void)coffer_volume_close(reseal.from);
    return err;
}

int coffer_snapshot_copy(struct coffer_store *source, struct coffer_store *destination,
                         const struct coffer_copy_opts *opts, struct coffer_fault *fault)
{
    struct copy *copy;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (destination->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the destination was opened for reading only");
    }
    copy = cof_calloc(&destination->env, 1, sizeof *copy);
    if (copy == NULL) {
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_NONE, "no memory");
    }
    copy->source = source;
    copy->destination = destination;
    copy->opts = opts;
    copy->fault = fault;
    err = cof_snapshot_full_name(opts->volume != NULL ? opts->volume : opts->source.volume,
                                 opts->name != NULL ? opts->name : opts->source.name, copy->full,
                                 fault);
    if (err == 0 && (opts->flags & COFFER_COPY_REENCRYPT) != 0) {
        err = copy_resealed(copy);
    } else if (err == 0 && source == destination) {
        err = copy_within(copy);
    } else if (err == 0) {
        lock_admins(copy);
        err = run(copy);
        if (copy->overtaken) { /* it was taken back: begin anew, with numbers of its own */
            begin_anew(copy);
            err = run(copy);
        }
        unlock_admins(copy);
    }
    if (err != 0 && err != copy->stopped && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "the snapshot is not copied: %s",
                  coffer_error_sentence(err));
    }
    cof_free(&destination->env, copy);
    return err;
}
