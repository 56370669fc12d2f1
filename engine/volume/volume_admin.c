/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/volume_admin.c - making, listing, resizing and deleting volumes.
 *
 * Each is one root: before it is durable nothing has changed, after it all has.
 */
#include "volume/store.h"

#include <string.h>

int cof_volume_check_name(const char *name)
{
    size_t length = name != NULL ? strnlen(name, COFFER_NAME_BYTES_MAX) : 0;
    if (length == 0 || length >= COFFER_NAME_BYTES_MAX || name[0] == '-' || name[0] == '.') {
        return COFFER_E_INVALID;
    }
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
        if (!allowed) {
            return COFFER_E_INVALID;
        }
    }
    return 0;
}

static int check_create(const struct coffer_store *store,
                        const struct coffer_volume_create_opts *opts, struct coffer_fault *fault)
{
    if (cof_volume_check_name(opts->name) != 0) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a volume's name is 1 to 63 of A-Z a-z 0-9 . _ - and does not begin with "
                         "- or .");
    }
    if (opts->size_bytes == 0 || opts->size_bytes % COFFER_PAGE_BYTES != 0 ||
        opts->size_bytes > COFFER_VOLUME_BYTES_MAX) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a volume's size is a multiple of 4096 bytes, from 4096 to 2^56");
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    if (!opts->not_encrypted && (opts->provider == NULL || opts->provider->ops == NULL)) {
        return cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "an encrypted volume needs a key provider");
    }
    return 0;
}

int cof_key_resolve(struct coffer_store *store, const struct coffer_key_provider *provider,
                    const char *kms_key_id, struct coffer_key_info *info,
                    struct coffer_fault *fault)
{
    int err;
    memset(info, 0, sizeof *info);
    if (provider == NULL || provider->ops == NULL) {
        return cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "an encrypted volume needs a key provider");
    }
    pthread_mutex_unlock(&store->lock);
    err = provider->ops->describe(provider->ctx, kms_key_id, info);
    pthread_mutex_lock(&store->lock);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "key %.80s: %s",
                         kms_key_id != NULL ? kms_key_id : "alias/coffer/default",
                         coffer_error_sentence(err));
    }
    if (info->state != COFFER_KEY_ENABLED) {
        err = info->state == COFFER_KEY_IS_DISABLED ? COFFER_E_KEY_DISABLED : COFFER_E_KEY_STATE;
        return cof_fault(fault, err, COFFER_STAGE_KEY, "key %.120s: %s", info->arn,
                         coffer_error_sentence(err));
    }
    return 0;
}

static int make_item(struct coffer_volume *twin, const struct coffer_volume_create_opts *opts,
                     const struct cof_tag_bytes *tags, struct coffer_fault *fault)
{
    struct coffer_store *store = twin->store;
    struct cof_record *record = &twin->record;
    struct coffer_key_info info;
    int err = 0;
    if (twin->encrypted) {
        const struct coffer_key_provider *caller =
            cof_grant_caller(opts->caller, opts->provider);
        err = cof_key_resolve(store, caller, opts->kms_key_id, &info, fault);
        if (err == 0 && !twin->item->entry.interim) {
            err = cof_grant_make(store, twin->item, info.arn, caller, opts->provider, fault);
        }
        if (err == 0) {
            err = cof_keyring_new(store, twin->item, 1, info.arn, caller, opts->provider, &twin->vk,
                                  twin->vk_uuid, fault);
        }
        if (err != 0) {
            cof_grant_undo(store, twin->item, info.arn, opts->provider);
            return err;
        }
        twin->generation = 1;
        memcpy(record->key_arn, info.arn, sizeof record->key_arn - 1u);
        record->key_uses = 1;
        err = cof_sha256("", 0, record->keys_digest);
    }
    memcpy(record->name, opts->name, strlen(opts->name));
    memcpy(record->uuid, twin->item->entry.uuid, 16);
    record->size_pages = opts->size_bytes / COFFER_PAGE_BYTES;
    record->created_ns = cof_wall_ns(&store->env);
    record->modified_ns = record->created_ns;
    record->next_key_id = 1;
    if (err == 0) {
        err = cof_taglist_prepare(twin, twin, tags);
    }
    if (err == 0) {
        err = cof_record_seal(twin->vk, twin->vk_uuid, twin->item, record);
    }
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the record can't be sealed: %s",
                                coffer_error_sentence(err));
}

int cof_name_is_free(struct coffer_store *store, const char *name,
                     const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int err = cof_catalogue_find(store, name, provider, &item, fault);
    if (err == COFFER_E_NOT_FOUND) {
        cof_fault_clear(fault);
        return 0;
    }
    if (err == 0) {
        return cof_fault(fault, COFFER_E_EXISTS, COFFER_STAGE_ROOT,
                         "there is a %s \"%.127s\" already",
                         strchr(name, '@') != NULL ? "snapshot" : "volume", name);
    }
    return err;
}

static int write_made(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    return cof_taglist_flush(birth->ctx, writer);
}

/* The entry and its tags, in one root: none may come between. A failure fails the store, so what
 * was granted stays: the entry may be there. */
static int enlist(struct coffer_volume *twin)
{
    struct cof_birth birth = {.write = write_made, .ctx = twin};
    int err = cof_checkpoint_settle(twin->store);
    if (err != 0) {
        cof_catalogue_item_free(twin->store, twin->item);
        return err;
    }
    cof_catalogue_append(twin->store, twin->item);
    return cof_give_birth(twin->store, &birth);
}

int cof_volume_create_named(struct coffer_store *store,
                            const struct coffer_volume_create_opts *opts,
                            const struct cof_tag_bytes *tags, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    struct coffer_volume *twin = NULL;
    int err = store->error != 0 ? COFFER_E_FAILED
                                : cof_name_is_free(store, opts->name, opts->provider, fault);
    if (err != 0) {
        return err;
    }
    err = cof_catalogue_item_new(store, COF_KIND_VOLUME, opts->name, &item);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "no new volume: %s",
                         coffer_error_sentence(err));
    }
    item->entry.interim = opts->name[0] == '.'; /* no caller's: reseal.c */
    err = cof_twin_new(store, item, !opts->not_encrypted, &twin);
    if (err == 0) {
        err = make_item(twin, opts, tags, fault);
    }
    if (err == 0) {
        err = cof_checkpoint_ready(store, twin->tag_part.blocks, COF_SPARE_ADMIN);
        err = err == 0 ? 0
                       : cof_fault(fault, err, COFFER_STAGE_NONE, "the volume can't be made: %s",
                                   coffer_error_sentence(err));
    }
    if (err != 0) {
        if (twin != NULL) {
            cof_grant_undo(store, item, twin->record.key_arn, opts->provider);
        }
        cof_twin_free(twin);
        cof_catalogue_item_free(store, item);
        return err;
    }
    err = enlist(twin);
    cof_twin_free(twin);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the volume can't be made: %s",
                                coffer_error_sentence(err));
}

int coffer_volume_create(struct coffer_store *store, const struct coffer_volume_create_opts *given,
                         struct coffer_fault *fault)
{
    struct coffer_volume_create_opts all, *opts = &all;
    struct cof_tag_choice choice;
    struct cof_tag_bytes tags;
    int err;
    cof_fault_clear(fault);
    memset(&all, 0, sizeof all); /* a caller of before knows fewer members */
    if (given == NULL || given->size < offsetof(struct coffer_volume_create_opts, caller)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    memcpy(&all, given, given->size < sizeof all ? given->size : sizeof all);
    err = check_create(store, opts, fault);
    if (err != 0) {
        return err;
    }
    choice = (struct cof_tag_choice){.tags = opts->tags, .count = opts->tag_count};
    err = cof_taglist_gather(store, NULL, &choice, &tags, fault);
    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = cof_volume_create_named(store, opts, &tags, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    cof_tag_bytes_done(&store->env, &tags);
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
    }
    return err;
}

/* What lies behind the new end dies with the checkpoint that has the new size, in one root: no log
 * says so before. Later writes come later in the order of addresses, too. */
static int cut_off(struct coffer_volume *volume, uint64_t pages)
{
    struct coffer_store *store = volume->store;
    struct cof_vaddr hole;
    int err;
    if (store->next_extent >= COF_EXTENT_MAX) {
        return COFFER_E_LIMIT;
    }
    cof_extent_close(volume, false, true);
    hole = cof_vaddr_make(volume->index, store->next_extent++, 0, true);
    err = cof_volume_apply_discard(volume, pages, volume->size_pages - pages, hole);
    if (err != 0) {
        cof_store_fail(store, err); /* a part of it is discarded */
    }
    return err;
}

static int resize(struct coffer_volume *volume, uint64_t pages)
{
    struct coffer_store *store = volume->store;
    uint64_t deaths = pages < volume->size_pages ? volume->size_pages - pages : 0;
    int err = store->error != 0
                  ? COFFER_E_FAILED
                  : cof_checkpoint_ready(store, cof_bucket_blocks(store, deaths), COF_SPARE_ADMIN);
    if (err == 0 && pages < volume->size_pages) {
        err = volume->requests > 0 ? COFFER_E_BUSY : cut_off(volume, pages);
    }
    if (err == 0) {
        volume->size_pages = pages;
        err = cof_checkpoint_whole(store, COF_SPARE_OPEN);
    }
    return err;
}

int coffer_volume_resize(struct coffer_volume *volume, uint64_t size_bytes,
                         struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    int err;
    if (size_bytes == 0 || size_bytes % COFFER_PAGE_BYTES != 0 ||
        size_bytes > COFFER_VOLUME_BYTES_MAX) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a volume's size is a multiple of 4096 bytes, from 4096 to 2^56");
    }
    if (volume->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the volume was opened for reading only");
    }
    pthread_mutex_lock(&store->admin); /* nobody stops it meanwhile */
    pthread_mutex_lock(&store->lock);
    err = cof_lease_check(volume, fault);
    if (err == 0) {
        err = resize(volume, size_bytes / COFFER_PAGE_BYTES);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err == 0 || err == COFFER_E_INACCESSIBLE_CREDENTIALS
               ? err
               : cof_fault(fault, err, COFFER_STAGE_ROOT, "the size can't be changed: %s",
                           coffer_error_sentence(err));
}

/* ---- delete ---- */

/* One whose key is lost, without it: by name or ResourceId. err: why it does not open. */
static int delete_lost(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                       int err, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int refused;
    if (cof_access_find(store, opts, &item, &refused, NULL) != 0 ||
        item->entry.kind != COF_KIND_VOLUME ||
        cof_access_of(store, item, NULL) < COF_ACCESS_RECOVERABLE) {
        return err;
    }
    if (opts->pin.use_uuid && memcmp(opts->pin.volume_uuid.bytes, item->entry.uuid, 16) != 0) {
        return cof_fault(fault, COFFER_E_PIN, COFFER_STAGE_ROOT,
                         "volume \"%.63s\" is another volume than the one that was pinned",
                         opts->name);
    }
    if (item->open != NULL) {
        return cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE, "the volume is open");
    }
    cof_fault_clear(fault);
    return cof_node_purge(store, item, opts->provider, fault);
}

/* Opened for writing, so that the log is merged and the tree is all there is. */
int cof_volume_delete_named(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                            struct coffer_fault *fault)
{
    struct coffer_volume *volume;
    struct coffer_volume_open_opts any = *opts;
    int err = cof_checkpoint_ready(store, 0, COF_SPARE_ADMIN);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_NONE, "the store is full: make it larger first");
    }
    any.flags |= COF_VOLUME_ANY_ACCESS;
    err = cof_volume_open_named(store, &any, &volume, fault);
    if (err == COFFER_E_NOT_FOUND || coffer_error_class_of(err) == COFFER_CLASS_KEY) {
        return delete_lost(store, opts, err, fault);
    }
    if (err != 0) {
        return err;
    }
    err = cof_checkpoint_run(store, false);
    if (err != 0) {
        cof_volume_drop(volume);
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the volume can't be deleted: %s",
                         coffer_error_sentence(err));
    }
    return cof_node_remove(store, volume->item, volume, opts->provider, fault);
}

int coffer_volume_delete(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                         struct coffer_fault *fault)
{
    struct coffer_volume_open_opts all;
    int err = cof_open_opts_take(opts, &all, fault);
    if (err == 0 && cof_volume_check_name(all.name) != 0) {
        err = cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "this is no volume's name");
    }
    if (err != 0) {
        return err;
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = store->error != 0 ? COFFER_E_FAILED : cof_volume_delete_named(store, &all, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

/* ---- list and info ---- */

static void fill_keyless(const struct cof_catalogue_item *item, struct coffer_volume_info *info)
{
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    memcpy(info->uuid.bytes, item->entry.uuid, 16);
    cof_resource_id("vol", item->entry.uuid, info->resource_id);
    info->number = item->entry.number;
    info->encrypted = item->entry.encrypted ? 1 : 0;
    cof_item_owner(item, info->key_arn);
    info->data_key_count = item->entry.data_keys;
    info->key_generation = item->entry.generation;
    info->key_uses_max = item->entry.encrypted ? COF_KEY_USES_MAX : 0u;
    info->data_key_bytes_max = item->entry.encrypted ? COF_DATA_KEY_BYTES_MAX : 0u;
}

static void fill_record(const struct cof_record *record, struct coffer_volume_info *info)
{
    memcpy(info->name, record->name, sizeof info->name);
    memcpy(info->key_arn, record->key_arn, sizeof info->key_arn);
    info->name_known = 1;
    info->size_bytes = record->size_pages * COFFER_PAGE_BYTES;
    info->mapped_bytes = record->mapped_pages * COFFER_PAGE_BYTES;
    info->created_ns = record->created_ns;
    info->key_uses = record->key_uses;
}

static void list_one(struct coffer_store *store, struct cof_catalogue_item *item,
                     const struct coffer_key_provider *provider, struct coffer_volume_info *info)
{
    struct cof_record record;
    fill_keyless(item, info);
    cof_access_info(store, item, NULL, info);
    if (item->open != NULL) {
        fill_record(&item->open->record, info);
        return;
    }
    info->open_error = item->entry.encrypted && provider == NULL
                           ? COFFER_E_NO_PROVIDER
                           : cof_record_peek(store, item, provider, &record, NULL);
    if (info->open_error == 0) {
        fill_record(&record, info);
        cof_access_info(store, item, &record, info);
    }
}

int coffer_volume_list(struct coffer_store *store, const struct coffer_key_provider *provider,
                       int (*visit)(void *ctx, const struct coffer_volume_info *info), void *ctx,
                       struct coffer_fault *fault)
{
    int stop = 0;
    cof_fault_clear(fault);
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    for (struct cof_catalogue_item *item = store->items; stop == 0 && item != NULL;
         item = item->next) {
        struct coffer_volume_info info;
        if (item->entry.kind == COF_KIND_VOLUME && !item->entry.interim) {
            list_one(store, item, provider, &info);
            stop = visit(ctx, &info);
        }
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return stop;
}

void cof_volume_fill_info(const struct coffer_volume *volume, struct coffer_volume_info *info)
{
    const struct cof_lease *lease = &volume->lease;
    uint64_t now = cof_monotonic_ns(&volume->store->env);
    fill_keyless(volume->item, info);
    fill_record(&volume->record, info);
    cof_access_info(volume->store, volume->item, &volume->record, info);
    info->size_bytes = volume->size_pages * COFFER_PAGE_BYTES;
    info->mapped_bytes = volume->mapped_pages * COFFER_PAGE_BYTES;
    info->data_key_count = volume->ek_count;
    info->data_key_bytes = volume->ek_count > 0 ? volume->eks[volume->ek_active].bytes : 0;
    info->lease_ns = lease->length_ns;
    info->lease_left_ns = lease->refused == 0 && lease->end_ns > now ? lease->end_ns - now : 0;
}

int coffer_volume_info_get(struct coffer_volume *volume, struct coffer_volume_info *ret_info)
{
    struct coffer_volume_info info;
    size_t size = ret_info->size;
    if (size == 0 || size > sizeof info) {
        return COFFER_E_INVALID;
    }
    pthread_mutex_lock(&volume->store->lock);
    info = volume->last_info;
    if (!volume->stopped) {
        cof_volume_fill_info(volume, &info);
    }
    pthread_mutex_unlock(&volume->store->lock);
    memcpy(ret_info, &info, size);
    ret_info->size = size;
    return 0;
}
