/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/clone.c - volumes made from snapshots, and copies of snapshots within their store.
 *
 * A clone's tree begins as the snapshot's, under a volume key of its own; the snapshot's data keys
 * are wrapped anew under it, and what it writes is sealed under keys of its own. O(1) but for the
 * data keys. Only an unencrypted snapshot that becomes an encrypted volume is copied, page by page.
 *
 * admin, then lock; lock is let go while the key service is asked.
 */
#include "volume/store.h"

#include <string.h>

/* A stand-in for the snapshot or the clone that is being made: never in the store's list. */
int cof_twin_new(struct coffer_store *store, struct cof_catalogue_item *item, bool encrypted,
                 struct coffer_volume **ret_twin)
{
    struct coffer_volume *twin = cof_calloc(&store->env, 1, sizeof *twin);
    if (twin == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    twin->store = store;
    twin->item = item;
    twin->number = item->entry.number;
    twin->encrypted = encrypted;
    item->entry.encrypted = encrypted;
    *ret_twin = twin;
    return 0;
}

void cof_twin_free(struct coffer_volume *twin)
{
    if (twin != NULL) {
        cof_keys_done(twin);
        cof_taglist_done(twin);
        cof_vk_free(twin->vk);
        cof_free(&twin->store->env, twin);
    }
}

static int write_clone(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct coffer_volume *clone = birth->ctx;
    int err = clone->encrypted ? cof_keys_write(clone, writer) : 0;
    if (err == 0) {
        err = cof_taglist_flush(clone, writer);
    }
    return err == 0 ? cof_record_seal(clone->vk, clone->vk_uuid, birth->item, &clone->record) : err;
}

/* A volume key of its own, and the snapshot's data keys under it. */
static int make_clone_keys(struct coffer_volume *clone, struct coffer_volume *from,
                           const struct cof_clone *how, struct coffer_fault *fault)
{
    struct coffer_store *store = clone->store;
    struct cof_catalogue_item *item = clone->item;
    const struct coffer_key_provider *caller = cof_grant_caller(how->caller, how->provider);
    struct coffer_key_info info;
    int err = cof_key_resolve(store, caller,
                              how->kms_key_id != NULL ? how->kms_key_id : from->record.key_arn,
                              &info, fault);
    if (err == 0) {
        err = cof_grant_make(store, item, info.arn, caller, how->provider, fault);
    }
    if (err == 0) {
        err = cof_keyring_new(store, item, 1, info.arn, caller, how->provider, &clone->vk,
                              clone->vk_uuid, fault);
    }
    if (err != 0) {
        cof_grant_undo(store, item, info.arn, how->provider);
        return err;
    }
    clone->generation = 1;
    memset(clone->record.key_arn, 0, sizeof clone->record.key_arn);
    memcpy(clone->record.key_arn, info.arn, sizeof clone->record.key_arn - 1u);
    err = cof_keys_rewrap(from, clone, COF_EK_FLAG_INHERITED);
    clone->record.key_uses = (uint64_t)clone->ek_count + 2u;
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_KEY, "the snapshot's data keys: %s",
                                coffer_error_sentence(err));
}

/* A volume begins as the snapshot was; a copy of it has the same cuts, and nothing of its own. */
static void make_clone_record(struct coffer_volume *clone, const struct coffer_volume *from,
                              const char *name)
{
    struct cof_record *record = &clone->record;
    struct cof_volume_entry *entry = &clone->item->entry;
    const char *at = strchr(name, '@');
    *record = from->record;
    record->kind = entry->kind;
    record->key_shared = false;
    memset(record->name, 0, sizeof record->name);
    memset(record->volume_name, 0, sizeof record->volume_name);
    if (at == NULL) {
        memcpy(record->name, name, strlen(name));
        memset(record->volume_uuid, 0, sizeof record->volume_uuid);
        record->own_cut = 0;
        record->own_node_cut = 0;
    } else {
        memcpy(record->name, at + 1, strlen(at + 1));
        memcpy(record->volume_name, name, (size_t)(at - name));
        entry->own_cut = record->own_cut;
        entry->own_node_cut = record->own_node_cut;
    }
    memcpy(record->uuid, entry->uuid, 16);
    memcpy(record->parent, from->item->entry.uuid, 16);
    record->cut = from->record.own_cut;
    record->node_cut = from->record.own_node_cut;
    record->created_ns = cof_wall_ns(&clone->store->env);
    record->modified_ns = record->created_ns;
    entry->parent_number = from->item->entry.number;
    entry->family = from->item->entry.family;
}

/* What the snapshot may refer to; a clone of a copy goes on under an index of our own lineage. */
static int relate_clone(struct coffer_volume *clone, const struct coffer_volume *from)
{
    struct cof_catalogue_item *item = clone->item;
    int err = cof_item_relate(clone->store, item, from->item);
    if (err == 0 && item->entry.kind == COF_KIND_VOLUME && item->entry.lineages > 0 &&
        item->lineages[item->entry.lineages - 1u] != COF_LINEAGE_LOCAL) {
        err = cof_item_add_lineage(clone->store, item, COF_LINEAGE_LOCAL);
    }
    clone->index = item->entry.lineages > 0 ? item->entry.lineages - 1u : 0u;
    return err;
}

static int clone_of(struct coffer_store *store, struct coffer_volume *from,
                    const struct cof_clone *how, struct coffer_fault *fault)
{
    const char *name = how->name;
    struct coffer_volume *clone = NULL;
    struct cof_birth birth;
    int err;
    memset(&birth, 0, sizeof birth);
    err = cof_catalogue_item_new(
        store, strchr(name, '@') != NULL ? COF_KIND_SNAPSHOT : COF_KIND_VOLUME, name, &birth.item);
    if (err == 0) {
        err = cof_twin_new(store, birth.item, from->encrypted, &clone);
    }
    if (err != 0) {
        cof_catalogue_item_free(store, birth.item);
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "no new entry: %s",
                         coffer_error_sentence(err));
    }
    make_clone_record(clone, from, name);
    err = relate_clone(clone, from);
    if (err == 0 && clone->encrypted) {
        err = make_clone_keys(clone, from, how, fault);
    }
    if (err == 0) {
        err = cof_taglist_begin(clone, clone, from, &how->tags, fault);
    }
    if (err == 0) {
        birth.blocks = clone->tag_part.blocks + clone->ek_count / 16u;
        birth.write = write_clone;
        birth.ctx = clone;
        err = cof_give_birth(store, &birth);
        if (err != 0) {
            cof_fault(fault, err, COFFER_STAGE_ROOT, "the clone can't be made: %s",
                      coffer_error_sentence(err));
        }
    }
    if (!birth.done) {
        cof_grant_undo(store, birth.item, clone->record.key_arn, how->provider);
        cof_catalogue_item_free(store, birth.item);
    }
    cof_twin_free(clone);
    return err;
}

/* from's provider is the caller's: it is the caller's right that opens what is cloned. */
int cof_snapshot_clone(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                       const struct cof_clone *how, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    struct coffer_volume *from;
    int err = cof_snapshot_find(store, opts, &item, fault);
    if (err == 0) {
        err = cof_name_is_free(store, how->name, how->provider, fault);
    }
    if (err == 0) {
        err = cof_volume_open_item(store, item, COFFER_VOLUME_READ_ONLY, opts->provider, &from,
                                   fault);
    }
    if (err == 0) {
        err = clone_of(store, from, how, fault);
        cof_volume_drop(from);
    }
    return err;
}

/* An unencrypted snapshot into an encrypted volume: every page is sealed. */
static int restore_sealed_anew(struct coffer_store *store,
                               const struct coffer_snapshot_restore_opts *opts,
                               struct coffer_fault *fault)
{
    struct cof_reseal reseal = {.destination = store,
                                .volume = opts->new_name,
                                .kms_key_id = opts->kms_key_id,
                                .caller = opts->caller,
                                .provider = opts->snapshot.provider,
                                .tags = {.tags = opts->tags, .count = opts->tag_count},
                                .on_progress = opts->on_progress,
                                .ctx = opts->ctx};
    int err = cof_snapshot_open(store, &opts->snapshot, &reseal.from, fault);
    if (err == 0) {
        err = cof_reseal_run(&reseal, fault);
        (void)coffer_volume_close(reseal.from);
    }
    return err;
}

int cof_snapshot_open(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                      struct coffer_volume **ret_volume, struct coffer_fault *fault)
{
    char full[COF_FULL_NAME_BYTES];
    struct coffer_volume_open_opts open = {.size = sizeof open,
                                           .name = full,
                                           .flags =
                                               COFFER_VOLUME_READ_ONLY | COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = opts->provider};
    int err = cof_snapshot_full_name(opts->volume, opts->name, full, fault);
    return err == 0 ? coffer_volume_open(store, &open, ret_volume, fault) : err;
}

int coffer_snapshot_restore(struct coffer_store *store,
                            const struct coffer_snapshot_restore_opts *opts,
                            struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    struct coffer_snapshot_opts from;
    struct cof_clone how;
    bool resealed;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts || cof_volume_check_name(opts->new_name) != 0) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the new volume's name or the options are not valid");
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    how = (struct cof_clone){.name = opts->new_name,
                             .kms_key_id = opts->kms_key_id,
                             .caller = opts->caller,
                             .provider = opts->snapshot.provider,
                             .tags = {.tags = opts->tags, .count = opts->tag_count}};
    from = opts->snapshot;
    from.provider = cof_grant_caller(opts->caller, from.provider);
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = cof_snapshot_find(store, &from, &item, fault);
    resealed = err == 0 && !item->entry.encrypted && opts->kms_key_id != NULL;
    if (err == 0) {
        err = resealed ? cof_name_is_free(store, opts->new_name, opts->snapshot.provider, fault)
                       : cof_snapshot_clone(store, &from, &how, fault);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err == 0 && resealed ? restore_sealed_anew(store, opts, fault) : err;
}
