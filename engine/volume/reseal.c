/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reseal.c - a snapshot's contents sealed anew: page by page, under new keys.
 *
 * An unencrypted snapshot becomes an encrypted volume, or a copy gets data keys that the source
 * never had. The pages go through a volume of their own whose name begins with a dot, which no
 * caller can give: it gets its real name, or is a snapshot's and goes again, when it is whole. Its
 * entry is marked as interim, in clear: what a crash leaves of it goes without a key, at the next
 * open of the store for writing.
 *
 * Takes no lock itself but around the small steps; the pages (reseal_pages.c) go as anyone's do.
 */
#include "volume/import.h"

#include "base/testhook.h"

#include <stdio.h>
#include <string.h>

static void lock(struct coffer_store *store)
{
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
}

static void unlock(struct coffer_store *store)
{
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
}

static struct cof_catalogue_item *find_interim(const struct coffer_store *store)
{
    struct cof_catalogue_item *item = store->items;
    while (item != NULL && (!item->entry.interim || item->open != NULL)) {
        item = item->next;
    }
    return COF_BROKEN(KEEP_INTERIM) ? NULL : item;
}

int cof_interim_sweep(struct coffer_store *store)
{
    struct cof_catalogue_item *item = find_interim(store);
    int err = 0;
    for (; err == 0 && item != NULL; item = find_interim(store)) {
        err = cof_node_purge(store, item, NULL, NULL);
    }
    if (err != 0 && store->error == 0) {
        cof_log(&store->env, COFFER_LOG_WARN, "what an interrupted restore left stays for now: %s",
                coffer_error_sentence(err));
        err = 0;
    }
    return err;
}

static const struct coffer_key_provider *caller_of(const struct cof_reseal *reseal)
{
    return cof_grant_caller(reseal->caller, reseal->provider);
}

/* The volume on the way, made and opened; what an earlier attempt left goes first. It is the
 * caller's until it is whole: a crash leaves no grant. */
static int begin(const struct cof_reseal *reseal, const char *name,
                 const struct cof_tag_bytes *tags, struct coffer_volume **ret_volume,
                 struct coffer_fault *fault)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = name,
                                               .size_bytes =
                                                   reseal->from->size_pages * COFFER_PAGE_BYTES,
                                               .kms_key_id = reseal->kms_key_id,
                                               .provider = caller_of(reseal)};
    struct coffer_volume_open_opts open = {
        .size = sizeof open, .name = name, .provider = caller_of(reseal)};
    struct coffer_store *store = reseal->destination;
    int err;
    lock(store);
    err = cof_interim_sweep(store);
    if (err == 0) {
        err = cof_volume_create_named(store, &create, tags, fault);
    }
    if (err == 0) {
        err = cof_volume_open_named(store, &open, ret_volume, fault);
    }
    if (err != 0) {
        (void)!cof_interim_sweep(store);
    }
    unlock(store);
    return err;
}

/* Delete it while it is open: no key service is asked. Closes it. */
static int discard(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                   struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    int err;
    lock(store);
    err = cof_checkpoint_run(store, false);
    if (err == 0) {
        err = cof_node_remove(store, volume->item, volume, provider, fault);
    } else { /* it is interim: the next sweep takes it */
        int left = cof_volume_leave(volume);
        err = left != 0 ? left : err;
    }
    unlock(store);
    return err;
}

/* From the caller to the provider, which has to be able to unwrap it by the grant. */
static int hand_over(const struct cof_reseal *reseal, struct coffer_volume *volume,
                     struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_vk *vk = NULL;
    uint8_t uuid[16];
    int err = cof_grant_make(store, volume->item, volume->record.key_arn, caller_of(reseal),
                             reseal->provider, fault);
    if (err == 0) {
        err = cof_keyring_unwrap(store, volume->item, reseal->provider, &vk, uuid, fault);
        cof_vk_free(vk);
    }
    if (err == 0) {
        err = cof_checkpoint_ready(store, 0, COF_SPARE_ADMIN);
    }
    if (err != 0) {
        cof_grant_undo(store, volume->item, volume->record.key_arn, reseal->provider);
    }
    return err;
}

/* As a snapshot: the grant goes with it. */
static int keep_as_snapshot(const struct cof_reseal *reseal, struct coffer_volume *volume,
                       struct coffer_fault *fault)
{
    int err;
    lock(volume->store);
    err = hand_over(reseal, volume, fault);
    unlock(volume->store);
    return err == 0 ? cof_snapshot_take(volume, reseal->volume, reseal->snapshot, reseal->provider,
                                        fault)
                    : err;
}

/* The real name, durable on return. */
static int christen(const struct cof_reseal *reseal, struct coffer_volume *volume,
                    struct coffer_fault *fault)
{
    const char *name = reseal->volume;
    uint8_t hint;
    int err;
    lock(volume->store);
    /* others went on meanwhile */
    err = cof_name_is_free(volume->store, name, reseal->provider, fault);
    if (err == 0) {
        err = cof_name_hint(volume->store, name, &hint);
    }
    if (err == 0) {
        err = hand_over(reseal, volume, fault);
    }
    if (err == 0) {
        volume->item->entry.name_hint = hint;
        volume->item->entry.interim = false;
        memset(volume->record.name, 0, sizeof volume->record.name);
        memcpy(volume->record.name, name, strlen(name));
        err = cof_checkpoint_run(volume->store, false);
    }
    unlock(volume->store);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the volume gets no name: %s",
                                coffer_error_sentence(err));
}

int cof_reseal_run(const struct cof_reseal *reseal, struct coffer_fault *fault)
{
    struct coffer_volume *volume;
    struct cof_tag_bytes tags;
    char name[COFFER_NAME_BYTES_MAX];
    int err;
    if (strlen(reseal->volume) + 2u > sizeof name) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the name is too long for this: give one of at most 62 bytes");
    }
    snprintf(name, sizeof name, ".%.62s", reseal->volume);
    pthread_mutex_lock(&reseal->from->store->lock);
    err = cof_taglist_gather(reseal->destination, reseal->from, &reseal->tags, &tags, fault);
    pthread_mutex_unlock(&reseal->from->store->lock);
    if (err == 0) {
        err = begin(reseal, name, &tags, &volume, fault);
        cof_tag_bytes_done(&reseal->destination->env, &tags);
    }
    if (err != 0) {
        return err;
    }
    err = cof_reseal_pages(reseal, volume, fault);
    if (err == 0 && reseal->snapshot != NULL) {
        err = keep_as_snapshot(reseal, volume, fault);
    } else if (err == 0) {
        err = christen(reseal, volume, fault);
    }
    if (err != 0) {
        (void)!discard(volume, reseal->provider, NULL);
        return err;
    }
    if (reseal->snapshot == NULL) {
        return coffer_volume_close(volume);
    }
    err = discard(volume, reseal->provider, fault);
    if (err == COFFER_E_NO_SPACE && reseal->destination->error == 0) {
        cof_fault_clear(fault);
        err = 0; /* the copy is whole; what it came through goes with the next sweep */
    }
    return err;
}
