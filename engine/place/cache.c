/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/cache.c - buckets in memory: their lists, what of them is dropped, and their bytes read.
 *
 * A clean bucket is found by its key or, when it has to go, as the one used least recently; dirty
 * ones have a list of their own, so that a flush looks at nothing else; so have clean ones with a
 * pinned descriptor, as soon as they would have been dropped. Under the store's lock.
 */
#include "place/internal.h"

#include <string.h>

#define HASH_MIN 256u

int cof_place_init(struct cof_place *place, struct cof_env *env, struct cof_segments *segments,
                   struct cof_ptree *tree, uint32_t segment_blocks, uint64_t budget_bytes)
{
    memset(place, 0, sizeof *place);
    place->env = env;
    place->segments = segments;
    place->tree = tree;
    place->segment_blocks = segment_blocks;
    place->budget_bytes = budget_bytes;
    place->hash_count = HASH_MIN;
    tree->budget_bytes = budget_bytes / 4u * 3u;
    place->hash = cof_calloc(env, place->hash_count, sizeof(struct cof_bucket *));
    return place->hash != NULL ? 0 : COFFER_E_NO_MEMORY;
}

static uint64_t hash_of(uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
}

static void unlink_bucket(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket_list *list = &place->lists[bucket->state];
    *(bucket->newer != NULL ? &bucket->newer->older : &list->newest) = bucket->older;
    *(bucket->older != NULL ? &bucket->older->newer : &list->oldest) = bucket->newer;
    place->dirty_count -= bucket->state == COF_BUCKET_DIRTY ? 1u : 0u;
}

static void link_newest(struct cof_place *place, struct cof_bucket *bucket,
                        enum cof_bucket_state state)
{
    struct cof_bucket_list *list = &place->lists[state];
    bucket->state = state;
    bucket->newer = NULL;
    bucket->older = list->newest;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = bucket;
    list->newest = bucket;
    place->dirty_count += state == COF_BUCKET_DIRTY ? 1u : 0u;
}

void cof_bucket_move(struct cof_place *place, struct cof_bucket *bucket,
                     enum cof_bucket_state state)
{
    unlink_bucket(place, bucket);
    link_newest(place, bucket, state);
}

void cof_bucket_next_to_go(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket_list *list = &place->lists[COF_BUCKET_CLEAN];
    unlink_bucket(place, bucket);
    bucket->state = COF_BUCKET_CLEAN;
    bucket->older = NULL;
    bucket->newer = list->oldest;
    *(list->oldest != NULL ? &list->oldest->older : &list->newest) = bucket;
    list->oldest = bucket;
}

void cof_bucket_dirty(struct cof_place *place, struct cof_bucket *bucket)
{
    if (bucket->state != COF_BUCKET_DIRTY) {
        cof_bucket_move(place, bucket, COF_BUCKET_DIRTY);
    }
}

/* Mixes all bits (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014). The
 * address, not the key: who writes the store does not know it. */
static uint64_t rank_of(const struct cof_bucket *bucket)
{
    uint64_t h = (uintptr_t)bucket;
    h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
    return h ^ h >> 31;
}

static struct cof_bucket **side_of(struct cof_bucket *node, uint64_t key)
{
    return key < node->key ? &node->lower : &node->higher;
}

/* Above all of a lesser rank, which come below it by their keys. */
void cof_bucket_unwritten(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket **at = &place->unwritten, **low = &bucket->lower, **high = &bucket->higher;
    struct cof_bucket *rest;
    while (*at != NULL && rank_of(*at) > rank_of(bucket)) {
        at = side_of(*at, bucket->key);
    }
    rest = *at;
    while (rest != NULL) {
        if (rest->key < bucket->key) {
            *low = rest;
            low = &rest->higher;
            rest = *low;
        } else {
            *high = rest;
            high = &rest->lower;
            rest = *high;
        }
    }
    *low = NULL;
    *high = NULL;
    *at = bucket;
    bucket->unwritten = true;
}

void cof_bucket_written(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket **at = &place->unwritten, *low = bucket->lower, *high = bucket->higher;
    while (*at != bucket) {
        at = side_of(*at, bucket->key);
    }
    while (low != NULL && high != NULL) {
        if (rank_of(low) > rank_of(high)) {
            *at = low;
            at = &low->higher;
            low = *at;
        } else {
            *at = high;
            at = &high->lower;
            high = *at;
        }
    }
    *at = low != NULL ? low : high;
    bucket->unwritten = false;
}

const struct cof_bucket *cof_bucket_next_unwritten(const struct cof_place *place, uint64_t key)
{
    const struct cof_bucket *found = NULL, *at = place->unwritten;
    while (at != NULL) {
        found = at->key >= key ? at : found;
        at = at->key >= key ? at->lower : at->higher;
    }
    return found;
}

struct cof_bucket *cof_bucket_cached(const struct cof_place *place, uint64_t key)
{
    struct cof_bucket *at = place->hash[hash_of(key) & (place->hash_count - 1u)];
    while (at != NULL && at->key != key) {
        at = at->hash_next;
    }
    return at;
}

/* A larger table when it is full; a smaller one works too, only slower. */
static void grow_hash(struct cof_place *place)
{
    uint64_t count = place->hash_count * 2u;
    struct cof_bucket **hash = cof_calloc(place->env, count, sizeof(struct cof_bucket *));
    if (hash == NULL) {
        return;
    }
    for (uint64_t i = 0; i < place->hash_count; i++) {
        while (place->hash[i] != NULL) {
            struct cof_bucket *bucket = place->hash[i];
            struct cof_bucket **head = &hash[hash_of(bucket->key) & (count - 1u)];
            place->hash[i] = bucket->hash_next;
            bucket->hash_next = *head;
            *head = bucket;
        }
    }
    cof_free(place->env, place->hash);
    place->hash = hash;
    place->hash_count = count;
}

static void insert(struct cof_place *place, struct cof_bucket *bucket, bool unwritten)
{
    struct cof_bucket **head;
    if (place->bucket_count >= place->hash_count) {
        grow_hash(place);
    }
    head = &place->hash[hash_of(bucket->key) & (place->hash_count - 1u)];
    bucket->hash_next = *head;
    *head = bucket;
    link_newest(place, bucket, COF_BUCKET_CLEAN);
    if (unwritten) {
        cof_bucket_unwritten(place, bucket);
    }
    place->bucket_count++;
    place->bytes += sizeof *bucket;
}

void cof_bucket_free(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket **at = &place->hash[hash_of(bucket->key) & (place->hash_count - 1u)];
    while (*at != bucket) {
        at = &(*at)->hash_next;
    }
    *at = bucket->hash_next;
    unlink_bucket(place, bucket);
    if (bucket->unwritten) {
        cof_bucket_written(place, bucket);
    }
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (bucket->descs[i] != NULL) {
            place->bytes -= cof_desc_bytes(bucket->descs[i]);
            cof_free(place->env, bucket->descs[i]);
        }
    }
    place->bytes -= sizeof *bucket;
    place->bucket_count--;
    cof_free(place->env, bucket);
}

void cof_place_done(struct cof_place *place)
{
    for (unsigned i = 0; i < COF_BUCKET_STATES; i++) {
        while (place->lists[i].newest != NULL) {
            cof_bucket_free(place, place->lists[i].newest);
        }
    }
    cof_free(place->env, place->hash);
    place->hash = NULL;
}

bool cof_bucket_droppable(const struct cof_bucket *bucket)
{
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (bucket->descs[i] != NULL && !cof_desc_settled(bucket->descs[i])) {
            return false;
        }
    }
    return true;
}

uint64_t cof_place_bytes_max(const struct cof_place *place)
{
    uint64_t nodes = place->tree->bytes < place->tree->budget_bytes ? place->tree->bytes
                                                                    : place->tree->budget_bytes;
    return place->budget_bytes - nodes;
}

void cof_bucket_trim(struct cof_place *place, uint64_t max)
{
    while (place->bytes > max && place->lists[COF_BUCKET_CLEAN].oldest != NULL) {
        struct cof_bucket *bucket = place->lists[COF_BUCKET_CLEAN].oldest;
        if (cof_bucket_droppable(bucket)) {
            cof_bucket_free(place, bucket);
        } else {
            cof_bucket_move(place, bucket, COF_BUCKET_KEPT);
        }
    }
}

void cof_place_trim(struct cof_place *place)
{
    cof_bucket_trim(place, cof_place_bytes_max(place));
}

int cof_bucket_decode(struct cof_env *env, const uint8_t *bytes, size_t length, uint64_t key,
                      uint32_t segment_count, uint32_t segment_blocks,
                      struct cof_desc *descs[COF_BUCKET_EXTENTS])
{
    unsigned count;
    size_t at = COF_BUCKET_HEADER_BYTES;
    int err = cof_bucket_header_decode(bytes, key, &count);
    memset(descs, 0, COF_BUCKET_EXTENTS * sizeof descs[0]);
    for (unsigned i = 0; err == 0 && i < count; i++) {
        struct cof_desc *desc;
        size_t used;
        err = cof_desc_decode(env, bytes + at, length - at, segment_count, segment_blocks, &desc,
                              &used);
        if (err != 0) {
            break;
        }
        at += used;
        if (cof_bucket_key(desc->lineage, desc->extent) != key ||
            descs[desc->extent % COF_BUCKET_EXTENTS] != NULL) {
            cof_free(env, desc);
            err = COFFER_E_CORRUPT;
            break;
        }
        descs[desc->extent % COF_BUCKET_EXTENTS] = desc;
    }
    for (unsigned i = 0; err != 0 && i < COF_BUCKET_EXTENTS; i++) {
        cof_free(env, descs[i]);
        descs[i] = NULL;
    }
    return err;
}

int cof_bucket_get(struct cof_place *place, uint64_t key, bool make, struct cof_bucket **ret_bucket)
{
    uint8_t bytes[COF_BUCKET_BLOCKS_MAX * 4096u];
    struct cof_bucket *bucket = cof_bucket_cached(place, key);
    unsigned blocks;
    bool unwritten;
    int err;
    if (bucket != NULL) {
        if (bucket->state == COF_BUCKET_CLEAN && bucket->newer != NULL) {
            cof_bucket_move(place, bucket, COF_BUCKET_CLEAN);
        }
        *ret_bucket = bucket;
        return 0;
    }
    err = cof_ptree_read(place->tree, key, bytes, COF_BUCKET_BLOCKS_MAX, &blocks);
    if (err != 0 && (err != COFFER_E_NOT_FOUND || !make)) {
        return err;
    }
    bucket = cof_calloc(place->env, 1, sizeof *bucket);
    if (bucket == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    bucket->key = key;
    unwritten = err == COFFER_E_NOT_FOUND;
    if (!unwritten) {
        err = cof_bucket_decode(place->env, bytes, (size_t)blocks * 4096u, key,
                                place->segments->count, place->segment_blocks, bucket->descs);
        if (err != 0) {
            cof_free(place->env, bucket);
            return err;
        }
    }
    insert(place, bucket, unwritten);
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        place->bytes += bucket->descs[i] != NULL ? cof_desc_bytes(bucket->descs[i]) : 0u;
    }
    *ret_bucket = bucket;
    return 0;
}
