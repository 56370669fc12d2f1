/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt_keys.c - the data keys of a family, and which extents each has sealed.
 *
 * Tables name a key by its id, which two branches of a family may both have given. So a key is told
 * by its commitment, and by the lineage whose extents it opens: what a fork of this store sealed
 * before they parted, and a copy brought back, is under the same key as what is here, in another
 * lineage. An extent belongs to the key with its lineage and id, in the range, that a volume with
 * its tag can have used: the entry's own, or a writer of the entry's tree.
 *
 * Tables are stable while admin is held. Descriptors are not: the lock is let go between them.
 */
#include "volume/reencrypt.h"

#include <stdlib.h>
#include <string.h>

#define BREATH_EXTENTS 64u

void cof_turns_done(struct cof_turns *turns)
{
    for (unsigned i = 0; i < turns->count; i++) {
        cof_ek_open_free(turns->list[i]->leaving);
        cof_ek_seal_free(turns->list[i]->successor);
        cof_free(turns->env, turns->list[i]->tags);
        cof_free(turns->env, turns->list[i]);
    }
    cof_free(turns->env, turns->list);
    cof_free(turns->env, turns->by_id);
    turns->list = NULL;
    turns->by_id = NULL;
    turns->count = 0;
    turns->capacity = 0;
}

/* ---- gathering ---- */

static int compare(const struct cof_turn *turn, const uint8_t *commitment, uint32_t lineage)
{
    int order = memcmp(turn->commitment, commitment, COF_COMMITMENT_BYTES);
    return order != 0 ? order : turn->lineage < lineage ? -1 : turn->lineage > lineage;
}

/* Where it is, or would be. */
static unsigned position(const struct cof_turns *turns, const uint8_t *commitment, uint32_t lineage,
                         bool *ret_there)
{
    unsigned low = 0, high = turns->count;
    *ret_there = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2u;
        int order = compare(turns->list[middle], commitment, lineage);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        low = order < 0 ? middle + 1u : low;
        high = order < 0 ? high : middle;
    }
    return low;
}

struct cof_turn *cof_turns_find(const struct cof_turns *turns,
                                const struct cof_catalogue_item *item,
                                const struct cof_ek_entry *entry)
{
    bool there;
    unsigned at = position(turns, entry->commitment, cof_item_lineage(item, entry->index), &there);
    return there ? turns->list[at] : NULL;
}

static int grow(struct cof_turns *turns)
{
    unsigned capacity = turns->capacity == 0 ? 64u : turns->capacity * 2u;
    struct cof_turn **list = cof_calloc(turns->env, capacity, sizeof(struct cof_turn *));
    if (list == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (turns->count > 0) {
        memcpy(list, turns->list, turns->count * sizeof(struct cof_turn *));
    }
    cof_free(turns->env, turns->list);
    turns->list = list;
    turns->capacity = capacity;
    return 0;
}

static int insert(struct cof_turns *turns, unsigned at, const struct cof_ek_entry *entry,
                  uint32_t lineage, struct cof_turn **ret_turn)
{
    struct cof_turn *turn;
    int err = turns->count == turns->capacity ? grow(turns) : 0;
    turn = err == 0 ? cof_calloc(turns->env, 1, sizeof *turn) : NULL;
    if (turn == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(turn->commitment, entry->commitment, sizeof turn->commitment);
    memcpy(turn->lineage_uuid, entry->lineage, 16);
    turn->lineage = lineage;
    turn->key_id = entry->key_id;
    turn->first_extent = entry->first_extent;
    turn->last_extent = entry->last_extent;
    memmove(&turns->list[at + 1u], &turns->list[at],
            (turns->count - at) * sizeof(struct cof_turn *));
    turns->list[at] = turn;
    turns->count++;
    *ret_turn = turn;
    return 0;
}

static bool has_tag(const struct cof_turn *turn, uint32_t tag)
{
    for (unsigned i = 0; i < turn->tag_count; i++) {
        if (turn->tags[i] == tag) {
            return true;
        }
    }
    return false;
}

static int add_tag(struct cof_turns *turns, struct cof_turn *turn, uint32_t tag)
{
    uint32_t *tags;
    if (has_tag(turn, tag)) {
        return 0;
    }
    tags = cof_calloc(turns->env, turn->tag_count + 1u, sizeof *tags);
    if (tags == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (turn->tag_count > 0) {
        memcpy(tags, turn->tags, turn->tag_count * sizeof *tags);
    }
    cof_free(turns->env, turn->tags);
    turn->tags = tags;
    turn->tags[turn->tag_count++] = tag;
    return 0;
}

/* Who may have used the key of the entry. */
static int add_tags(struct cof_turns *turns, struct cof_turn *turn,
                    const struct cof_catalogue_item *item, const struct cof_ek_entry *entry)
{
    uint32_t own_index = item->entry.lineages > 0 ? item->entry.lineages - 1u : 0u;
    int err = item->entry.kind == COF_KIND_VOLUME && entry->index == own_index
                  ? add_tag(turns, turn, item->entry.number)
                  : 0;
    for (uint32_t i = 0; err == 0 && i < item->entry.writers; i++) {
        const struct cof_writer *writer = &item->writers[i];
        uint64_t last =
            writer->last_data > writer->last_metadata ? writer->last_data : writer->last_metadata;
        if (writer->index == entry->index && entry->first_extent <= last) {
            err = add_tag(turns, turn, writer->number);
        }
    }
    return err;
}

int cof_turns_add(struct cof_turns *turns, const struct coffer_volume *member, bool all)
{
    for (unsigned i = 0; i < member->ek_count; i++) {
        const struct cof_ek *ek = &member->eks[i];
        const struct cof_ek_entry *entry = &ek->entry;
        uint32_t lineage = cof_item_lineage(member->item, entry->index);
        struct cof_turn *turn;
        bool there;
        unsigned at = position(turns, entry->commitment, lineage, &there);
        int err = 0;
        if ((entry->flags & COF_EK_FLAG_SPARE) != 0) {
            continue;
        }
        if (there) {
            turn = turns->list[at];
        } else {
            err = insert(turns, at, entry, lineage, &turn);
        }
        if (err == 0) {
            err = add_tags(turns, turn, member->item, entry);
        }
        if (err != 0) {
            return err;
        }
        turn->first_extent =
            entry->first_extent < turn->first_extent ? entry->first_extent : turn->first_extent;
        turn->last_extent =
            entry->last_extent > turn->last_extent ? entry->last_extent : turn->last_extent;
        if ((all && ek->seal == NULL) || cof_ek_turn_is(member, entry, COF_EK_LEAVING)) {
            turn->turn = COF_EK_LEAVING;
        } else if (!all && cof_ek_turn_is(member, entry, COF_EK_SUCCESSOR)) {
            turn->turn = COF_EK_SUCCESSOR;
        }
    }
    return 0;
}

/* ---- whose an extent is ---- */

static int by_id(const void *a, const void *b)
{
    const struct cof_turn *one = *(struct cof_turn *const *)a, *two = *(struct cof_turn *const *)b;
    if (one->lineage != two->lineage) {
        return one->lineage < two->lineage ? -1 : 1;
    }
    return one->key_id < two->key_id ? -1 : one->key_id > two->key_id ? 1 : 0;
}

static int index_by_id(struct cof_turns *turns)
{
    cof_free(turns->env, turns->by_id);
    turns->by_id = cof_calloc(turns->env, turns->count + 1u, sizeof(struct cof_turn *));
    if (turns->by_id == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (turns->count > 0) {
        memcpy(turns->by_id, turns->list, turns->count * sizeof(struct cof_turn *));
        qsort(turns->by_id, turns->count, sizeof(struct cof_turn *), by_id);
    }
    return 0;
}

static struct cof_turn *turn_of(const struct cof_turns *turns, const struct cof_desc *desc)
{
    unsigned low = 0, high = turns->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2u;
        const struct cof_turn *turn = turns->by_id[middle];
        bool below = turn->lineage != desc->lineage ? turn->lineage < desc->lineage
                                                    : turn->key_id < desc->key_id;
        low = below ? middle + 1u : low;
        high = below ? high : middle;
    }
    for (; low < turns->count; low++) {
        struct cof_turn *turn = turns->by_id[low];
        if (turn->lineage != desc->lineage || turn->key_id != desc->key_id) {
            break;
        }
        if (desc->extent >= turn->first_extent && desc->extent <= turn->last_extent &&
            has_tag(turn, desc->volume)) {
            return turn;
        }
    }
    return NULL;
}

static bool has_lineage(const struct cof_turns *turns, uint32_t lineage)
{
    for (unsigned i = 0; i < turns->count; i++) {
        if (turns->list[i]->turn != 0 && turns->list[i]->lineage == lineage) {
            return true;
        }
    }
    return false;
}

/* The next extent of the family with a page that lives, and its key. */
static int next(const struct cof_turns *turns, struct coffer_store *store, uint32_t *lineage,
                uint64_t *extent, struct cof_desc **ret_desc, struct cof_turn **ret_turn)
{
    unsigned passed = 0;
    for (; *lineage <= store->lineage_count; ++*lineage, *extent = 1) {
        for (; has_lineage(turns, *lineage) && *extent <= COF_EXTENT_MAX; ++*extent) {
            int err = cof_place_next(&store->place, *lineage, extent, ret_desc);
            if (err == COFFER_E_NOT_FOUND) {
                break;
            }
            if (err != 0) {
                return err;
            }
            *ret_turn = turn_of(turns, *ret_desc);
            if (*ret_turn != NULL && cof_import_pages(*ret_desc) > 0) {
                return 0;
            }
            cof_place_trim(&store->place);
            if (++passed % BREATH_EXTENTS == 0) {
                pthread_mutex_unlock(&store->lock);
                pthread_mutex_lock(&store->lock);
            }
        }
    }
    return COFFER_E_NOT_FOUND;
}

int cof_turns_next(const struct cof_turns *turns, struct coffer_store *store, uint32_t *lineage,
                   uint64_t *extent, struct cof_desc **ret_desc, struct cof_turn **ret_turn)
{
    for (;; ++*extent) {
        int err = next(turns, store, lineage, extent, ret_desc, ret_turn);
        if (err != 0 || ((*ret_turn)->turn == COF_EK_LEAVING && (*ret_turn)->successor != NULL)) {
            return err;
        }
    }
}

int cof_turns_count(struct cof_turns *turns, struct coffer_store *store)
{
    uint32_t lineage = 0;
    uint64_t extent = 1;
    int err = index_by_id(turns);
    for (; err == 0; extent++) {
        struct cof_desc *desc;
        struct cof_turn *turn;
        err = next(turns, store, &lineage, &extent, &desc, &turn);
        if (err == 0) {
            turn->extents++;
            turn->pages += cof_import_pages(desc);
        }
    }
    return err == COFFER_E_NOT_FOUND ? 0 : err;
}

int cof_turns_survey(struct cof_turns *turns, struct coffer_store *store, uint32_t family)
{
    int err = 0;
    for (struct cof_catalogue_item *item = store->items; err == 0 && item != NULL;
         item = item->next) {
        struct coffer_volume *twin;
        uint8_t digest[32];
        if (cof_family_of(item) != family || !item->entry.encrypted) {
            continue;
        }
        err = cof_twin_new(store, item, true, &twin);
        if (err == 0) {
            err = cof_keys_read(twin, item->entry.data_keys, digest);
            if (err == 0) {
                err = cof_turns_add(turns, twin, false);
            }
            cof_twin_free(twin);
        }
    }
    return err == 0 ? cof_turns_count(turns, store) : err;
}
