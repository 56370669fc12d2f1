/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/catalogue.c - the store's list of volumes: read at store open, written with the root.
 *
 * Entries are keyless and loaded whole; the record inside, with the volume's name, is sealed, and
 * goes through here as bytes. What changed is written, what was forgotten is taken out, and nothing
 * else is touched. Under the store's lock.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <string.h>

#define RECORD_BLOCKS_MAX 96u /* the ring, 16,384 indexes, 8,192 writers */

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
