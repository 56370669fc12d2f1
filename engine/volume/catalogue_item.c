/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/catalogue_item.c - entries of the catalogue in memory: made, listed, taken away, and the
 * lineages and writers that one of them names.
 *
 * Entries stand in ascending order of their numbers, and no number is given twice. A list that
 * grows is copied first, so that a failure leaves it as it was. Under the store's lock.
 */
#include "volume/store.h"

#include <string.h>

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
