/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy_entry.c - the entry of a copy in the destination: its place among what is there, and
 * its keys.
 *
 * Without a key, the ring and the sealed record are taken as they are, but for the wrap, which the
 * key service turns into one of the destination's key; else the copy gets a volume key of its own
 * and a record that is sealed here. It is born marked as copying, before the first extent comes.
 */
#include "volume/copy.h"

#include <stdio.h>
#include <string.h>

static const uint8_t none[16];

const struct coffer_key_provider *cof_copy_caller(const struct cof_copy *copy)
{
    return cof_grant_caller(copy->opts->caller, copy->opts->provider);
}

int cof_copy_resolve_key(struct cof_copy *copy, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    int err = cof_ring_wrap_at(copy->from, 0, arn, &blob);
    if (err == 0) {
        err = cof_key_resolve(copy->destination, cof_copy_caller(copy),
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

static int set_relations(struct cof_copy *copy)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *to = copy->to;
    const struct cof_volume_entry *from = &copy->from->entry;
    uint32_t count = from->lineages > 0 ? from->lineages : 1u;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        uint32_t number = cof_copy_number_there(copy, i);
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
    memcpy(to->entry.origin_uuid, cof_copy_identity(copy->from), 16);
    return err;
}

struct cof_tag_choice cof_copy_tags(const struct cof_copy *copy)
{
    return (struct cof_tag_choice){.inherit = (copy->opts->flags & COFFER_COPY_TAGS) != 0};
}

/* Under the destination's key, for the copy's own context. The destination's lock is held alone. */
static int make_grant(struct cof_copy *copy, const char *arn)
{
    return cof_grant_make(copy->destination, copy->to, arn, cof_copy_caller(copy),
                          copy->opts->provider, copy->fault);
}

/* Ring and record as they are, but for the wrap. Both locks are held. */
static int make_keyless(struct cof_copy *copy, struct coffer_volume *twin, const char *arn)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *to = copy->to;
    struct coffer_volume *reader;
    struct coffer_key_blob blob;
    uint8_t digest[32];
    int err = cof_ring_copy(destination, copy->from, to);
    memcpy(to->entry.context_uuid, none, 16);
    to->entry.grant_bytes = 0; /* it is for the context of the source's volume */
    if (err == 0) {
        err = cof_ring_strip(destination, to);
    }
    if (err == 0) {
        pthread_mutex_unlock(&copy->source->lock);
        err = make_grant(copy, arn);
        pthread_mutex_lock(&copy->source->lock);
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
    return err == 0 ? cof_taglist_carry(copy->source, copy->from, twin, cof_copy_tags(copy).inherit)
                    : err;
}

/* A volume key of the copy's own, and a record that is sealed here. Both locks are held. */
static int make_keyed(struct cof_copy *copy, struct coffer_volume *twin, const char *arn)
{
    struct coffer_store *destination = copy->destination;
    struct cof_record *record = &twin->record;
    const struct cof_tag_choice tags = cof_copy_tags(copy);
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
        err = make_grant(copy, arn);
        if (err == 0) {
            err = cof_keyring_new(destination, copy->to, 1, arn, cof_copy_caller(copy),
                                  copy->opts->provider, &twin->vk, twin->vk_uuid, copy->fault);
        }
        pthread_mutex_lock(&copy->source->lock);
        twin->generation = 1;
        if (err == 0) {
            err = cof_keys_rewrap(from, twin, 0);
        }
        record->key_uses = (uint64_t)twin->ek_count + 2u;
    }
    if (err == 0) {
        err = cof_taglist_begin(twin, twin, from, &tags, copy->fault);
    }
    cof_volume_drop(from);
    return err;
}

static int write_entry(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct coffer_volume *twin = birth->ctx;
    bool sealed = birth->item->entry.verbatim;
    int err = twin->encrypted ? cof_keys_write(twin, writer) : 0;
    if (err == 0) {
        err = cof_taglist_flush(twin, writer);
    }
    twin->store->root.incompat |= COF_INCOMPAT_IMPORTS;
    for (unsigned i = 0; i < twin->ek_count; i++) {
        twin->store->root.incompat |= twin->eks[i].entry.turn != 0 ? COF_INCOMPAT_RESEALED : 0u;
    }
    birth->item->entry.kind = COF_KIND_COPYING;
    return err != 0 || sealed
               ? err
               : cof_record_seal(twin->vk, twin->vk_uuid, birth->item, &twin->record);
}

int cof_copy_make_entry(struct cof_copy *copy, const char *arn)
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
        birth.blocks = twin->tag_part.blocks + twin->ek_count / 16u +
                       copy->to->entry.writers * sizeof *copy->to->writers / COF_BLOCK_BYTES;
        birth.ctx = twin;
        pthread_mutex_unlock(&copy->source->lock);
        err = cof_give_birth(destination, &birth);
        pthread_mutex_lock(&copy->source->lock);
    }
    if (err != 0 && !birth.done) {
        if (copy->to != NULL) {
            pthread_mutex_unlock(&copy->source->lock);
            cof_grant_undo(destination, copy->to, arn, copy->opts->provider);
            pthread_mutex_lock(&copy->source->lock);
        }
        cof_catalogue_item_free(destination, copy->to);
        copy->to = NULL;
    }
    cof_twin_free(twin);
    return err;
}
