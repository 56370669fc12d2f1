/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/snapshot.c - taking, finding, listing and deleting snapshots.
 *
 * A snapshot is an entry of the catalogue with the volume's tree as of a freeze, its volume key and
 * the data keys in use until then. Taking one is a checkpoint that ends with its birth: from then
 * on it is the volume's parent, and what lies at or below its cuts is no longer the volume's to
 * kill.
 *
 * admin, then lock; lock is let go while the key service is asked and between steps.
 */
#include "volume/store.h"

#include <stdio.h>
#include <string.h>

uint32_t cof_children_of(const struct coffer_store *store, uint32_t number,
                         struct cof_catalogue_item **ret_first)
{
    uint32_t count = 0;
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (item->entry.parent_number == number && number != 0) {
            if (count == 0 && ret_first != NULL) {
                *ret_first = item;
            }
            count++;
        }
    }
    return count;
}

/* ---- taking one ---- */

/* The entry and record of the snapshot; and the volume becomes its child. */
int cof_snapshot_merged(struct coffer_store *store)
{
    struct cof_birth *birth = store->birth;
    struct coffer_volume *volume = birth->volume, *twin = birth->ctx;
    struct cof_record *record = &twin->record;
    struct cof_volume_entry *entry = &birth->item->entry;
    uint64_t last_extent = store->next_extent - 1u;
    uint64_t node_cut = cof_position(volume->index, last_extent);
    char name[COFFER_NAME_BYTES_MAX], volume_name[COFFER_NAME_BYTES_MAX];
    uint8_t tags_digest[32];
    memcpy(tags_digest, record->tags_digest, sizeof tags_digest);
    memcpy(name, record->name, sizeof name);
    memcpy(volume_name, record->volume_name, sizeof volume_name);
    *record = volume->record;
    record->kind = COF_KIND_SNAPSHOT;
    memcpy(record->tags_digest, tags_digest, sizeof tags_digest);
    memcpy(record->volume_name, volume_name, sizeof record->volume_name);
    memcpy(record->name, name, sizeof record->name);
    memcpy(record->volume_uuid, volume->record.uuid, 16);
    memcpy(record->uuid, entry->uuid, 16);
    record->height = volume->tree.height;
    record->root_address = volume->tree.root.bits;
    record->mapped_pages = volume->mapped_pages;
    record->created_ns = cof_wall_ns(&store->env);
    record->modified_ns = record->created_ns;
    record->chain_extent = 0;
    record->chain_slots = 0;
    record->key_shared = volume->encrypted;
    volume->record.key_shared = volume->encrypted;
    record->own_cut = birth->cut;
    record->own_node_cut = node_cut;
    entry->own_cut = birth->cut;
    entry->own_node_cut = node_cut;
    entry->parent_number = volume->item->entry.parent_number;
    if (volume->item->entry.family == 0) {
        volume->item->entry.family = volume->number;
    }
    entry->family = volume->item->entry.family;
    volume->item->entry.parent_number = entry->number;
    memcpy(volume->record.parent, entry->uuid, 16);
    volume->record.cut = birth->cut;
    volume->record.node_cut = node_cut;
    volume->cut.pages = birth->cut;
    volume->cut.nodes = node_cut;
    return cof_keys_cut(volume, last_extent);
}

static int write_snapshot(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct coffer_volume *volume = birth->volume, *twin = birth->ctx;
    struct cof_catalogue_item *item = birth->item;
    struct cof_writer self = {volume->number, volume->index, twin->record.own_cut & COF_EXTENT_MAX,
                              twin->record.own_node_cut & COF_EXTENT_MAX};
    int err = cof_item_relate(volume->store, item, volume->item);
    twin->record.size_pages = birth->size_pages;
    if (err == 0) {
        err = cof_item_add_writer(volume->store, item, &self);
    }
    if (err == 0 && volume->encrypted) {
        err = cof_ring_copy(volume->store, volume->item, item);
        if (err != 0) {
            return err;
        }
        err = cof_keys_share(volume, twin, self.last_metadata);
        if (err == 0) {
            err = cof_keys_write(twin, writer);
        }
    }
    if (err == 0) {
        err = cof_taglist_flush(twin, writer);
    }
    return err == 0 ? cof_record_seal(volume->vk, volume->vk_uuid, item, &twin->record) : err;
}

/* Run the checkpoint that ends with the birth. */
int cof_give_birth(struct coffer_store *store, struct cof_birth *birth)
{
    int err = cof_checkpoint_ready(store, birth->blocks, COF_SPARE_ADMIN);
    if (err != 0) {
        return err;
    }
    store->birth = birth;
    err = birth->volume != NULL ? cof_checkpoint_run(store, false) : cof_checkpoint_light(store);
    store->birth = NULL;
    return err;
}

static int create_locked(struct coffer_volume *volume, const struct coffer_snapshot_opts *opts,
                         const char *full, struct coffer_uuid *ret_uuid, struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    const struct cof_tag_choice tags = {.inherit = (opts->flags & COFFER_SNAPSHOT_COPY_TAGS) != 0,
                                        .tags = opts->tags,
                                        .count = opts->tag_count};
    struct cof_birth birth;
    struct coffer_volume *twin = NULL;
    int err = store->error != 0 ? COFFER_E_FAILED : cof_lease_check(volume, fault);
    if (err == 0) {
        err = cof_name_is_free(store, full, opts->provider, fault);
    }
    if (err != 0) {
        return err;
    }
    memset(&birth, 0, sizeof birth);
    err = cof_catalogue_item_new(store, COF_KIND_SNAPSHOT, full, &birth.item);
    if (err == 0) {
        err = cof_twin_new(store, birth.item, volume->encrypted, &twin);
    }
    if (err == 0) {
        err = cof_taglist_begin(twin, volume, volume, &tags, fault);
    }
    if (err == 0) {
        memcpy(twin->record.name, opts->name, strlen(opts->name));
        memcpy(twin->record.volume_name, full, strcspn(full, "@"));
        birth.volume = volume;
        birth.blocks = COF_ENTRY_BLOCKS + twin->tag_part.blocks + volume->ek_count / 16u;
        birth.write = write_snapshot;
        birth.ctx = twin;
        err = cof_give_birth(store, &birth);
    }
    if (err == 0) {
        memcpy(ret_uuid->bytes, birth.item->entry.uuid, 16);
    } else {
        if (fault == NULL || fault->error == 0) {
            cof_fault(fault, err, COFFER_STAGE_ROOT, "the snapshot can't be taken: %s",
                      coffer_error_sentence(err));
        }
        if (!birth.done) {
            cof_catalogue_item_free(store, birth.item);
        }
    }
    cof_twin_free(twin);
    return err;
}

/* VOLUME@NAME, or INVALID. */
int cof_snapshot_full_name(const char *volume, const char *name, char full[COF_FULL_NAME_BYTES],
                           struct coffer_fault *fault)
{
    if (cof_volume_check_name(volume) != 0 || cof_volume_check_name(name) != 0) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "names of volumes and snapshots are 1 to 63 of A-Z a-z 0-9 . _ - and do "
                         "not begin with - or .");
    }
    snprintf(full, COF_FULL_NAME_BYTES, "%s@%s", volume, name);
    return 0;
}

int cof_snapshot_take(struct coffer_volume *volume, const char *volume_name, const char *name,
                      const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts,
                                        .name = name,
                                        .provider = provider,
                                        .flags = COFFER_SNAPSHOT_COPY_TAGS};
    struct coffer_store *store = volume->store;
    struct coffer_uuid uuid;
    char full[COF_FULL_NAME_BYTES];
    int err = cof_snapshot_full_name(volume_name, name, full, fault);
    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = create_locked(volume, &opts, full, &uuid, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

int coffer_snapshot_create(struct coffer_volume *volume, const struct coffer_snapshot_opts *opts,
                           struct coffer_uuid *ret_uuid, struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct coffer_uuid uuid;
    char full[COF_FULL_NAME_BYTES];
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts ||
        (opts->volume != NULL && strcmp(opts->volume, volume->record.name) != 0)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    err = cof_snapshot_full_name(volume->record.name, opts->name, full, fault);
    if (err != 0) {
        return err;
    }
    if (volume->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the volume was opened for reading only");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = create_locked(volume, opts, full, &uuid, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err == 0 && ret_uuid != NULL) {
        *ret_uuid = uuid;
    }
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
    }
    return err;
}

/* ---- finding ---- */

/* The snapshot's entry; the lock is held. */
int cof_snapshot_find(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                      struct cof_catalogue_item **ret_item, struct coffer_fault *fault)
{
    char full[COF_FULL_NAME_BYTES];
    int err = store->error != 0 ? COFFER_E_FAILED
                                : cof_snapshot_full_name(opts->volume, opts->name, full, fault);
    return err == 0 ? cof_catalogue_find(store, full, opts->provider, ret_item, fault) : err;
}

/* snap- and 24 hex digits: the snapshot itself, whatever its name. */
static struct cof_catalogue_item *by_id(const struct coffer_store *store, const char *id)
{
    char at[COFFER_RESOURCE_ID_BYTES];
    for (struct cof_catalogue_item *item = store->items; id != NULL && item != NULL;
         item = item->next) {
        cof_resource_id("snap", item->entry.uuid, at);
        if (item->entry.kind == COF_KIND_SNAPSHOT && strcmp(at, id) == 0) {
            return item;
        }
    }
    return NULL;
}

/* The only snapshot whose hint fits. */
static struct cof_catalogue_item *by_hint(const struct coffer_store *store, uint8_t hint)
{
    struct cof_catalogue_item *found = NULL;
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (item->entry.kind == COF_KIND_SNAPSHOT && item->entry.name_hint == hint) {
            if (found != NULL) {
                return NULL;
            }
            found = item;
        }
    }
    return found;
}

int cof_snapshot_find_sealed(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                             struct cof_catalogue_item **ret_item, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item = by_id(store, opts->name);
    char full[COF_FULL_NAME_BYTES], id[COFFER_RESOURCE_ID_BYTES];
    uint8_t hint;
    int err;
    if (item != NULL) {
        *ret_item = item;
        return 0;
    }
    err = cof_snapshot_find(store, opts, ret_item, fault);
    if (err != COFFER_E_KEY_ACCESS ||
        cof_snapshot_full_name(opts->volume, opts->name, full, NULL) != 0 ||
        cof_name_hint(store, full, &hint) != 0) {
        return err;
    }
    item = by_hint(store, hint);
    if (item == NULL) {
        return cof_fault(fault, err, COFFER_STAGE_KEY,
                         "names are sealed and this principal may not decrypt: give the "
                         "snapshot's id (snap-...) in the place of its name");
    }
    cof_resource_id("snap", item->entry.uuid, id);
    cof_log(&store->env, COFFER_LOG_WARN,
            "the name \"%s\" can't be verified without the right to decrypt: %s is the only "
            "snapshot whose hint fits",
            full, id);
    cof_fault_clear(fault);
    *ret_item = item;
    return 0;
}

/* A store is open for writing in one process at a time: what is not whole, and this process is not
 * at work on, has stopped. */
static enum coffer_snapshot_status status_of(const struct cof_catalogue_item *item)
{
    if (item->entry.kind != COF_KIND_COPYING) {
        return COFFER_SNAPSHOT_AVAILABLE;
    }
    return item->arriving ? COFFER_SNAPSHOT_COPYING : COFFER_SNAPSHOT_FAILED;
}

static void fill_info(const struct coffer_store *store, const struct cof_catalogue_item *item,
                      const struct cof_record *record, struct coffer_snapshot_info *info)
{
    const struct cof_catalogue_item *parent = cof_catalogue_at(store, item->entry.parent_number);
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    memcpy(info->uuid.bytes, item->entry.uuid, 16);
    cof_resource_id("snap", item->entry.uuid, info->resource_id);
    info->encrypted = item->entry.encrypted ? 1 : 0;
    info->status = status_of(item);
    info->exclusive_bytes = UINT64_MAX;
    info->children = cof_children_of(store, item->entry.number, NULL);
    if (parent != NULL) {
        memcpy(info->parent.bytes, parent->entry.uuid, 16);
    }
    cof_item_owner(item, info->key_arn);
    if (record == NULL) {
        return;
    }
    info->name_known = 1;
    memcpy(info->name, record->name, sizeof info->name);
    memcpy(info->volume, record->volume_name, sizeof info->volume);
    memcpy(info->volume_uuid.bytes, record->volume_uuid, 16);
    memcpy(info->key_arn, record->key_arn, sizeof info->key_arn);
    info->size_bytes = record->size_pages * COFFER_PAGE_BYTES;
    info->mapped_bytes = record->mapped_pages * COFFER_PAGE_BYTES;
    info->created_ns = record->created_ns;
}

static int info_locked(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                       struct coffer_snapshot_info *info, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    struct cof_record record;
    uint64_t pages;
    int err = cof_snapshot_find(store, opts, &item, fault);
    if (err == 0) {
        err = cof_record_peek(store, item, opts->provider, &record, fault);
    }
    if (err != 0) {
        return err;
    }
    fill_info(store, item, &record, info);
    if (item->entry.kind == COF_KIND_COPYING) {
        return 0;
    }
    err = cof_node_exclusive(store, item, opts->provider, &pages, fault);
    if (err == 0) {
        info->exclusive_bytes = pages * COFFER_PAGE_BYTES;
    } else if (coffer_error_class_of(err) == COFFER_CLASS_KEY || err == COFFER_E_LIMIT) {
        cof_fault_clear(fault);
        err = 0;
    }
    return err;
}

int coffer_snapshot_info_get(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                             struct coffer_snapshot_info *ret_info, struct coffer_fault *fault)
{
    struct coffer_snapshot_info info;
    size_t size = ret_info->size;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts || size == 0 || size > sizeof info) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = info_locked(store, opts, &info, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err == 0) {
        memcpy(ret_info, &info, size);
        ret_info->size = size;
    }
    return err;
}

/* 0, or what visit said. */
static int list_one(struct coffer_store *store, const struct cof_catalogue_item *item,
                    const char *volume, const struct coffer_key_provider *provider,
                    int (*visit)(void *ctx, const struct coffer_snapshot_info *info), void *ctx)
{
    struct coffer_snapshot_info info;
    struct cof_record record;
    int err = item->entry.encrypted && provider == NULL
                  ? COFFER_E_NO_PROVIDER
                  : cof_record_peek(store, item, provider, &record, NULL);
    if (volume != NULL && (err != 0 || strcmp(record.volume_name, volume) != 0)) {
        return 0;
    }
    fill_info(store, item, err == 0 ? &record : NULL, &info);
    info.open_error = err;
    return visit(ctx, &info);
}

int coffer_snapshot_list(struct coffer_store *store, const char *volume,
                         const struct coffer_key_provider *provider,
                         int (*visit)(void *ctx, const struct coffer_snapshot_info *info),
                         void *ctx, struct coffer_fault *fault)
{
    int stop = 0;
    cof_fault_clear(fault);
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    for (struct cof_catalogue_item *item = store->items; stop == 0 && item != NULL;
         item = item->next) {
        if (item->entry.kind == COF_KIND_SNAPSHOT || item->entry.kind == COF_KIND_COPYING) {
            stop = list_one(store, item, volume, provider, visit, ctx);
        }
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return stop;
}

int coffer_snapshot_delete(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                           struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = cof_snapshot_find(store, opts, &item, fault);
    if (err == 0 && item->entry.kind == COF_KIND_COPYING) {
        uint32_t parent = item->entry.parent_number;
        err = cof_copy_abandon(store, item, opts->provider);
        if (err == 0) {
            err = cof_node_remove_hidden(store, parent, opts->provider, fault);
        }
    } else if (err == 0) {
        err = cof_node_remove(store, item, NULL, opts->provider, fault);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}
