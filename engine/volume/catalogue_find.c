/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/catalogue_find.c - what entries of the catalogue are called, and which has a name.
 *
 * Names are in sealed records: one is found by opening those whose one-byte hint fits. Under the
 * store's lock, which cof_catalogue_find lets go while it waits for the key service.
 */
#include "volume/store.h"

#include <stdio.h>
#include <string.h>

void cof_uuid_text(const uint8_t uuid[16], char ret_text[37])
{
    snprintf(ret_text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             uuid[0], uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8],
             uuid[9], uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
}

void cof_resource_id(const char *prefix, const uint8_t uuid[16],
                     char ret_id[COFFER_RESOURCE_ID_BYTES])
{
    size_t at = (size_t)snprintf(ret_id, COFFER_RESOURCE_ID_BYTES, "%s-", prefix);
    for (unsigned i = 0; i < 12; i++) {
        at += (size_t)snprintf(ret_id + at, COFFER_RESOURCE_ID_BYTES - at, "%02x", uuid[i]);
    }
}

int cof_name_hint(struct coffer_store *store, const char *name, uint8_t *ret_hint)
{
    static const char label[] = "coffer/name";
    uint8_t bytes[sizeof label - 1u + 16u + COF_FULL_NAME_BYTES], digest[32];
    size_t name_bytes = strlen(name);
    int err;
    memcpy(bytes, label, sizeof label - 1u);
    memcpy(bytes + sizeof label - 1u, store->root.store_uuid, 16);
    memcpy(bytes + sizeof label - 1u + 16u, name, name_bytes);
    err = cof_sha256(bytes, sizeof label - 1u + 16u + name_bytes, digest);
    if (err == 0) {
        *ret_hint = digest[0];
    }
    return err;
}

void cof_record_full_name(const struct cof_record *record, char ret_name[COF_FULL_NAME_BYTES])
{
    if (record->kind == COF_KIND_VOLUME) {
        snprintf(ret_name, COF_FULL_NAME_BYTES, "%.63s", record->name);
    } else {
        snprintf(ret_name, COF_FULL_NAME_BYTES, "%.63s@%.63s", record->volume_name, record->name);
    }
}

/* Names, parent and cuts of a record that was sealed in another store. */
static void localize(const struct coffer_store *store, const struct cof_catalogue_item *item,
                     struct cof_record *record)
{
    const struct cof_catalogue_item *parent = cof_catalogue_at(store, item->entry.parent_number);
    const char *at = strchr(item->clear_name, '@');
    memcpy(record->uuid, item->entry.uuid, 16);
    memset(record->parent, 0, 16);
    if (parent != NULL) {
        memcpy(record->parent, parent->entry.uuid, 16);
    }
    record->kind = item->entry.kind;
    record->cut = item->entry.cut;
    record->node_cut = item->entry.node_cut;
    if (at != NULL && at - item->clear_name < COFFER_NAME_BYTES_MAX) {
        memset(record->volume_name, 0, sizeof record->volume_name);
        memcpy(record->volume_name, item->clear_name, (size_t)(at - item->clear_name));
        snprintf(record->name, sizeof record->name, "%.63s", at + 1);
    }
}

void cof_item_owner(const struct cof_catalogue_item *item, char ret_arn[COFFER_KEY_ARN_BYTES_MAX])
{
    struct coffer_key_blob blob;
    if (!item->entry.encrypted || cof_ring_wrap_at(item, 0, ret_arn, &blob) != 0) {
        ret_arn[0] = '\0';
    }
}

void cof_record_adapt(const struct coffer_store *store, const struct cof_catalogue_item *item,
                      struct cof_record *record)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    if (item->entry.verbatim) {
        localize(store, item, record);
    }
    cof_item_owner(item, arn);
    if (arn[0] != '\0') {
        memset(record->key_arn, 0, sizeof record->key_arn);
        memcpy(record->key_arn, arn, strlen(arn));
    }
}

int cof_item_key_get(struct coffer_store *store, const struct cof_catalogue_item *item,
                     const struct coffer_key_provider *provider, struct cof_item_key *ret_key,
                     struct coffer_fault *fault)
{
    const struct coffer_volume *open = store->volumes;
    struct cof_item_key key = {.vk = NULL};
    int err;
    while (open != NULL && (!item->entry.encrypted || !open->encrypted || item->ring == NULL ||
                            memcmp(open->vk_uuid, item->ring, 16) != 0)) {
        open = open->next;
    }
    if (open != NULL) {
        key.vk = open->vk;
        memcpy(key.vk_uuid, open->vk_uuid, sizeof key.vk_uuid);
    } else if (item->entry.encrypted) {
        err = cof_keyring_unwrap(store, item, provider, &key.own, key.vk_uuid, fault);
        if (err != 0) {
            return err;
        }
        key.vk = key.own;
    }
    *ret_key = key;
    return 0;
}

void cof_item_key_put(struct cof_item_key *key)
{
    cof_vk_free(key->own);
    key->own = NULL;
    key->vk = NULL;
}

int cof_record_peek(struct coffer_store *store, const struct cof_catalogue_item *item,
                    const struct coffer_key_provider *provider, struct cof_record *ret_record,
                    struct coffer_fault *fault)
{
    struct cof_item_key key;
    int err = cof_item_key_get(store, item, provider, &key, fault);
    if (err != 0) {
        return err;
    }
    err = cof_record_open(key.vk, key.vk_uuid, item, ret_record);
    cof_item_key_put(&key);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the record of volume %u does not open: %s",
                         item->entry.number, coffer_error_sentence(err));
    }
    cof_record_adapt(store, item, ret_record);
    return 0;
}

/* Whether the item's record opens and has the name: 0, NOT_FOUND, or why it can't be told. */
static int has_name(struct coffer_store *store, const struct cof_catalogue_item *item,
                    const char *name, const struct coffer_key_provider *provider,
                    struct coffer_fault *fault)
{
    struct cof_record record;
    char full[COF_FULL_NAME_BYTES];
    int err;
    if (item->clear_name[0] != '\0') {
        return strcmp(item->clear_name, name) == 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    err = cof_record_peek(store, item, provider, &record, fault);
    if (err == 0) {
        cof_record_full_name(&record, full);
        err = strcmp(full, name) == 0 ? 0 : COFFER_E_NOT_FOUND;
    }
    return err;
}

/* Whether the entry may be the one, as far as that is known without its key: a volume's name has
 * no '@', and a snapshot of another volume that is there is none of the open volume's. */
static bool may_have_name(const struct coffer_store *store, const struct cof_catalogue_item *item,
                          const char *name)
{
    size_t volume_bytes = strcspn(name, "@");
    const struct coffer_volume *open = store->volumes;
    const struct cof_catalogue_item *volume = store->items;
    if (item->entry.kind == COF_KIND_HIDDEN ||
        (item->entry.kind == COF_KIND_VOLUME) != (name[volume_bytes] == '\0')) {
        return false;
    }
    while (open != NULL &&
           (open->record.kind != COF_KIND_VOLUME || strlen(open->record.name) != volume_bytes ||
            memcmp(open->record.name, name, volume_bytes) != 0)) {
        open = open->next;
    }
    while (volume != NULL && (volume->entry.kind != COF_KIND_VOLUME ||
                              memcmp(volume->entry.uuid, cof_context_uuid(item), 16) != 0)) {
        volume = volume->next;
    }
    return item->entry.kind == COF_KIND_VOLUME || open == NULL || volume == NULL ||
           volume == open->item;
}

int cof_catalogue_find(struct coffer_store *store, const char *name,
                       const struct coffer_key_provider *provider,
                       struct cof_catalogue_item **ret_item, struct coffer_fault *fault)
{
    struct coffer_fault why;
    uint8_t hint;
    int err = cof_name_hint(store, name, &hint);
    int doubt = 0;
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "no digest of the name");
    }
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (item->entry.name_hint != hint || !may_have_name(store, item, name)) {
            continue;
        }
        err = has_name(store, item, name, provider, &why);
        if (err == 0) {
            *ret_item = item;
            return 0;
        }
        if (err != COFFER_E_NOT_FOUND) {
            doubt = err;
            if (fault != NULL) {
                *fault = why;
            }
        }
    }
    if (doubt != 0) {
        return doubt; /* it may be the one: say what hinders, not that there is none */
    }
    return cof_fault(fault, COFFER_E_NOT_FOUND, COFFER_STAGE_ROOT,
                     "there is no %s \"%.127s\" in this store",
                     strchr(name, '@') != NULL ? "snapshot" : "volume", name);
}
