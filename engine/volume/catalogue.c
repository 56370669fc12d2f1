/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/catalogue.c - the store's list of volumes.
 *
 * Entries are keyless and loaded at store open; the record inside, with the volume's name, is
 * sealed. A name is found by opening records whose one-byte hint fits. Under the store's lock,
 * which cof_catalogue_find lets go while it waits for the key service.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <stdio.h>
#include <string.h>

#define RECORD_BLOCKS_MAX 96u /* the ring, 16,384 indexes, 8,192 writers */

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

void cof_catalogue_item_free(struct coffer_store *store, struct cof_catalogue_item *item)
{
    if (item != NULL) {
        cof_free(&store->env, item->ring);
        cof_free(&store->env, item->lineages);
        cof_free(&store->env, item->writers);
        cof_free(&store->env, item);
    }
}

void cof_catalogue_done(struct coffer_store *store)
{
    cof_free(&store->env, store->lineages);
    store->lineages = NULL;
    store->lineage_count = 0;
    while (store->items != NULL) {
        struct cof_catalogue_item *item = store->items;
        store->items = item->next;
        cof_catalogue_item_free(store, item);
    }
}

void cof_record_full_name(const struct cof_record *record, char ret_name[COF_FULL_NAME_BYTES])
{
    if (record->kind == COF_KIND_VOLUME) {
        snprintf(ret_name, COF_FULL_NAME_BYTES, "%.63s", record->name);
    } else {
        snprintf(ret_name, COF_FULL_NAME_BYTES, "%.63s@%.63s", record->volume_name, record->name);
    }
}

int cof_catalogue_item_new(struct coffer_store *store, enum cof_entry_kind kind,
                           const char *full_name, struct cof_catalogue_item **ret_item)
{
    struct cof_catalogue_item *item;
    uint32_t volumes = 0;
    int err;
    for (item = store->items; item != NULL; item = item->next) {
        volumes += item->entry.kind == COF_KIND_VOLUME ? 1u : 0u;
    }
    if (store->next_number == UINT32_MAX || store->item_count >= COFFER_SNAPSHOTS_MAX ||
        (kind == COF_KIND_VOLUME && volumes >= COFFER_VOLUMES_MAX)) {
        return COFFER_E_LIMIT;
    }
    item = cof_calloc(&store->env, 1, sizeof *item);
    if (item == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    item->entry.kind = kind;
    item->entry.number = store->next_number;
    item->entry.tail_first = 1;
    err = cof_random(&store->env, item->entry.uuid, 16);
    if (err == 0) {
        err = cof_name_hint(store, full_name, &item->entry.name_hint);
    }
    if (err != 0) {
        cof_catalogue_item_free(store, item);
        return err;
    }
    store->next_number++;
    *ret_item = item;
    return 0;
}

void cof_catalogue_append(struct coffer_store *store, struct cof_catalogue_item *item)
{
    struct cof_catalogue_item **at = &store->items;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    item->next = NULL;
    *at = item;
    store->item_count++;
}

int cof_catalogue_remove(struct coffer_store *store, struct cof_catalogue_item *item,
                         unsigned key_parts)
{
    struct cof_catalogue_item **at = &store->items;
    if (store->forgotten_count >= 64u) {
        return COFFER_E_LIMIT;
    }
    store->forgotten[store->forgotten_count] = item->entry.number;
    store->forgotten_parts[store->forgotten_count] = key_parts > 0 ? key_parts : 1u;
    store->forgotten_count++;
    while (*at != item) {
        at = &(*at)->next;
    }
    *at = item->next;
    item->next = NULL;
    store->item_count--;
    return 0;
}

struct cof_catalogue_item *cof_catalogue_at(const struct coffer_store *store, uint32_t number)
{
    struct cof_catalogue_item *item = store->items;
    while (item != NULL && item->entry.number != number) {
        item = item->next;
    }
    return item;
}

const uint8_t *cof_lineage_uuid(const struct coffer_store *store, uint32_t number)
{
    if (number == COF_LINEAGE_LOCAL) {
        return store->root.store_uuid;
    }
    return number <= store->lineage_count ? store->lineages[number - 1u] : NULL;
}

int cof_item_add_lineage(struct coffer_store *store, struct cof_catalogue_item *item,
                         uint32_t number)
{
    uint32_t count = item->entry.lineages;
    uint32_t *more;
    if (count >= COF_LINEAGES_MAX) {
        return COFFER_E_LIMIT;
    }
    more = cof_calloc(&store->env, count + 1u, sizeof *more);
    if (more == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (count > 0) {
        memcpy(more, item->lineages, count * sizeof *more);
    }
    more[count] = number;
    cof_free(&store->env, item->lineages);
    item->lineages = more;
    item->entry.lineages = count + 1u;
    return 0;
}

int cof_item_add_writer(struct coffer_store *store, struct cof_catalogue_item *item,
                        const struct cof_writer *writer)
{
    uint32_t count = item->entry.writers;
    struct cof_writer *more;
    if (count >= COF_WRITERS_MAX) {
        return COFFER_E_LIMIT;
    }
    more = cof_calloc(&store->env, count + 1u, sizeof *more);
    if (more == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (count > 0) {
        memcpy(more, item->writers, count * sizeof *more);
    }
    more[count] = *writer;
    cof_free(&store->env, item->writers);
    item->writers = more;
    item->entry.writers = count + 1u;
    return 0;
}

int cof_item_relate(struct coffer_store *store, struct cof_catalogue_item *item,
                    const struct cof_catalogue_item *from)
{
    int err = 0;
    item->entry.reencrypt = from->entry.reencrypt;
    for (uint32_t i = 0; err == 0 && i < from->entry.lineages; i++) {
        err = cof_item_add_lineage(store, item, from->lineages[i]);
    }
    for (uint32_t i = 0; err == 0 && i < from->entry.writers; i++) {
        err = cof_item_add_writer(store, item, &from->writers[i]);
    }
    return err;
}

static size_t annex_bytes(const struct cof_volume_entry *entry)
{
    return (size_t)entry->lineages * 4u + (size_t)entry->writers * COF_WRITER_BYTES +
           entry->clear_name_bytes + entry->grant_bytes;
}

static void encode_annex(const struct cof_catalogue_item *item, uint8_t *at)
{
    for (uint32_t i = 0; i < item->entry.lineages; i++, at += 4) {
        cof_le32_put(at, item->lineages[i]);
    }
    for (uint32_t i = 0; i < item->entry.writers; i++, at += COF_WRITER_BYTES) {
        cof_writer_encode(&item->writers[i], at);
    }
    memcpy(at, item->clear_name, item->entry.clear_name_bytes);
    memcpy(at + item->entry.clear_name_bytes, item->grant_id, item->entry.grant_bytes);
}

static int decode_annex(struct coffer_store *store, struct cof_catalogue_item *item,
                        const uint8_t *at)
{
    const struct cof_volume_entry *entry = &item->entry;
    item->lineages = cof_calloc(&store->env, entry->lineages + 1u, sizeof *item->lineages);
    item->writers = cof_calloc(&store->env, entry->writers + 1u, sizeof *item->writers);
    if (item->lineages == NULL || item->writers == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < entry->lineages; i++, at += 4) {
        item->lineages[i] = cof_le32_get(at);
        if (cof_lineage_uuid(store, item->lineages[i]) == NULL) {
            return COFFER_E_CORRUPT;
        }
    }
    for (uint32_t i = 0; i < entry->writers; i++, at += COF_WRITER_BYTES) {
        cof_writer_decode(at, &item->writers[i]);
    }
    memcpy(item->clear_name, at, entry->clear_name_bytes);
    memcpy(item->grant_id, at + entry->clear_name_bytes, entry->grant_bytes);
    if (item->clear_name[0] != '\0' && strchr(item->clear_name, '@') == NULL) {
        return COFFER_E_CORRUPT; /* only a copied snapshot's name stands in clear */
    }
    return 0;
}

static int decode_item(struct coffer_store *store, uint64_t key, const uint8_t *bytes,
                       size_t length, struct cof_catalogue_item **ret_item)
{
    struct cof_catalogue_item *item = cof_calloc(&store->env, 1, sizeof *item);
    int err;
    if (item == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_volume_entry_decode(bytes, &item->entry);
    if (err == 0 && (cof_catalogue_key(item->entry.number, 0) != key ||
                     COF_VOLUME_ENTRY_BYTES + (size_t)item->entry.ring_bytes + COF_RECORD_BYTES +
                             annex_bytes(&item->entry) >
                         length ||
                     item->entry.encrypted != (item->entry.ring_bytes != 0) ||
                     (item->entry.encrypted && item->entry.ring_bytes < COF_RING_SLOT_BYTES))) {
        err = COFFER_E_CORRUPT;
    }
    if (err == 0 && item->entry.ring_bytes > 0) {
        item->ring = cof_alloc(&store->env, item->entry.ring_bytes);
        err = item->ring == NULL ? COFFER_E_NO_MEMORY : 0;
    }
    if (err != 0) {
        cof_catalogue_item_free(store, item);
        return err;
    }
    if (item->ring != NULL) {
        memcpy(item->ring, bytes + COF_VOLUME_ENTRY_BYTES, item->entry.ring_bytes);
    }
    memcpy(item->record, bytes + COF_VOLUME_ENTRY_BYTES + item->entry.ring_bytes, COF_RECORD_BYTES);
    err = decode_annex(store, item,
                       bytes + COF_VOLUME_ENTRY_BYTES + item->entry.ring_bytes + COF_RECORD_BYTES);
    if (err != 0) {
        cof_catalogue_item_free(store, item);
        return err;
    }
    *ret_item = item;
    return 0;
}

/* Record 0: the uuids of the lineages that imports brought. Visited before any entry. */
static int load_lineages(struct coffer_store *store, const struct cof_tree_pointer *pointer)
{
    static const uint8_t none[16];
    uint8_t *bytes;
    int err;
    if (pointer->blocks > COF_LINEAGES_MAX * 16u / 4096u) {
        return COFFER_E_CORRUPT;
    }
    bytes = cof_alloc(&store->env, (size_t)pointer->blocks * 4096u);
    if (bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_ptree_fetch(&store->catalogue_tree, pointer, bytes);
    for (size_t at = 0;
         err == 0 && at < (size_t)pointer->blocks * 4096u && memcmp(bytes + at, none, 16) != 0;
         at += 16) {
        err = cof_lineage_add(store, bytes + at, NULL);
    }
    cof_free(&store->env, bytes);
    store->lineages_dirty = false;
    return err;
}

int cof_lineage_add(struct coffer_store *store, const uint8_t uuid[16], uint32_t *ret_number)
{
    uint8_t(*more)[16];
    if (store->lineage_count + 1u >= COF_LINEAGES_MAX) {
        return COFFER_E_LIMIT;
    }
    more = cof_calloc(&store->env, store->lineage_count + 1u, sizeof *more);
    if (more == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (store->lineage_count > 0) {
        memcpy(more, store->lineages, store->lineage_count * sizeof *more);
    }
    memcpy(more[store->lineage_count], uuid, 16);
    cof_free(&store->env, store->lineages);
    store->lineages = more;
    store->lineage_count++;
    store->lineages_dirty = true;
    if (ret_number != NULL) {
        *ret_number = store->lineage_count;
    }
    return 0;
}

static int write_lineages(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    unsigned blocks = (unsigned)((store->lineage_count * 16u + 4095u) / 4096u);
    uint8_t *bytes = cof_calloc(&store->env, blocks, 4096u);
    int err;
    if (bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(bytes, store->lineages, (size_t)store->lineage_count * 16u);
    err = cof_ptree_write(&store->catalogue_tree, writer, 0, bytes, blocks);
    cof_free(&store->env, bytes);
    store->lineages_dirty = err != 0;
    return err;
}

static int load_record(void *ctx, uint64_t key, const struct cof_tree_pointer *pointer)
{
    struct coffer_store *store = ctx;
    struct cof_catalogue_item *item;
    uint8_t *bytes;
    int err;
    if (key == 0) {
        return load_lineages(store, pointer);
    }
    if ((key & 0x3ffu) != COF_CATALOGUE_ENTRY_PART) {
        return 0;
    }
    if (pointer->blocks > RECORD_BLOCKS_MAX || store->item_count >= COFFER_SNAPSHOTS_MAX) {
        return COFFER_E_CORRUPT;
    }
    bytes = cof_alloc(&store->env, (size_t)pointer->blocks * 4096u);
    if (bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_ptree_fetch(&store->catalogue_tree, pointer, bytes);
    if (err == 0) {
        err = decode_item(store, key, bytes, (size_t)pointer->blocks * 4096u, &item);
    }
    cof_free(&store->env, bytes);
    if (err == 0) {
        item->next = store->loaded_last;
        store->loaded_last = item;
        store->item_count++;
        if (item->entry.number >= store->next_number) {
            store->next_number = item->entry.number + (item->entry.number < UINT32_MAX ? 1u : 0u);
        }
    }
    return err;
}

/* Records are visited in ascending order and pushed in front. */
static void put_in_order(struct coffer_store *store)
{
    while (store->loaded_last != NULL) {
        struct cof_catalogue_item *item = store->loaded_last;
        store->loaded_last = item->next;
        item->next = store->items;
        store->items = item;
    }
}

int cof_catalogue_load(struct coffer_store *store, struct coffer_fault *fault)
{
    struct cof_ptree_visitor visitor = {store, load_record, NULL, NULL};
    int err;
    store->next_number = store->root.next_number == 0 ? 1u : store->root.next_number;
    err = cof_ptree_visit(&store->catalogue_tree, &visitor);
    put_in_order(store);
    if (err != 0) {
        cof_fault(fault, err, COFFER_STAGE_ROOT, "the catalogue of volumes does not read: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

static int write_item(struct coffer_store *store, const struct cof_raw_writer *writer,
                      struct cof_catalogue_item *item)
{
    size_t bytes = COF_VOLUME_ENTRY_BYTES + (size_t)item->entry.ring_bytes + COF_RECORD_BYTES +
                   annex_bytes(&item->entry);
    unsigned blocks = (unsigned)((bytes + 4095u) / 4096u);
    uint8_t *buffer = cof_calloc(&store->env, blocks, 4096u);
    int err;
    if (buffer == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    cof_volume_entry_encode(&item->entry, buffer);
    if (item->ring != NULL) {
        memcpy(buffer + COF_VOLUME_ENTRY_BYTES, item->ring, item->entry.ring_bytes);
    }
    memcpy(buffer + COF_VOLUME_ENTRY_BYTES + item->entry.ring_bytes, item->record,
           COF_RECORD_BYTES);
    encode_annex(item, buffer + COF_VOLUME_ENTRY_BYTES + item->entry.ring_bytes + COF_RECORD_BYTES);
    err = cof_ptree_write(&store->catalogue_tree, writer, cof_catalogue_key(item->entry.number, 0),
                          buffer, blocks);
    cof_free(&store->env, buffer);
    if (err == 0) {
        item->dirty = false;
    }
    return err;
}

static int forget(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < store->forgotten_count; i++) {
        for (unsigned part = 0; err == 0 && part <= store->forgotten_parts[i]; part++) {
            err = cof_ptree_write(&store->catalogue_tree, writer,
                                  cof_catalogue_key(store->forgotten[i], part), NULL, 0);
        }
        if (err == 0) {
            err = cof_ptree_write(&store->catalogue_tree, writer,
                                  cof_catalogue_key(store->forgotten[i], COF_CATALOGUE_TAGS_PART),
                                  NULL, 0);
        }
    }
    if (err == 0) {
        store->forgotten_count = 0;
    }
    return err;
}

int cof_catalogue_flush(struct coffer_store *store, const struct cof_raw_writer *writer)
{
    int err = forget(store, writer);
    if (err == 0 && store->lineages_dirty) {
        err = write_lineages(store, writer);
    }
    for (struct cof_catalogue_item *item = store->items; err == 0 && item != NULL;
         item = item->next) {
        if (item->dirty) {
            err = write_item(store, writer, item);
        }
    }
    return err;
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
