/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/place.c - the placement table: buckets, their cache and their bytes.
 */
#include "place/place.h"

#include "format/vaddr.h"

#include <string.h>

#define HASH_MIN 256u

static size_t desc_bytes(const struct cof_desc *desc)
{
    return sizeof *desc + desc->ref_capacity * sizeof desc->refs[0];
}

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
    place->hash = cof_calloc(env, place->hash_count, sizeof(struct cof_bucket *));
    return place->hash != NULL ? 0 : COFFER_E_NO_MEMORY;
}

static uint64_t hash_of(uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
}

static void unlink_lru(struct cof_place *place, struct cof_bucket *bucket)
{
    *(bucket->newer != NULL ? &bucket->newer->older : &place->newest) = bucket->older;
    *(bucket->older != NULL ? &bucket->older->newer : &place->oldest) = bucket->newer;
}

static void link_newest(struct cof_place *place, struct cof_bucket *bucket)
{
    bucket->newer = NULL;
    bucket->older = place->newest;
    *(place->newest != NULL ? &place->newest->newer : &place->oldest) = bucket;
    place->newest = bucket;
}

static struct cof_bucket *cached(struct cof_place *place, uint64_t key)
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

static void insert(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket **head;
    if (place->bucket_count >= place->hash_count) {
        grow_hash(place);
    }
    head = &place->hash[hash_of(bucket->key) & (place->hash_count - 1u)];
    bucket->hash_next = *head;
    *head = bucket;
    link_newest(place, bucket);
    place->bucket_count++;
    place->bytes += sizeof *bucket;
}

static void free_bucket(struct cof_place *place, struct cof_bucket *bucket)
{
    struct cof_bucket **at = &place->hash[hash_of(bucket->key) & (place->hash_count - 1u)];
    while (*at != bucket) {
        at = &(*at)->hash_next;
    }
    *at = bucket->hash_next;
    unlink_lru(place, bucket);
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (bucket->descs[i] != NULL) {
            place->bytes -= desc_bytes(bucket->descs[i]);
            cof_free(place->env, bucket->descs[i]);
        }
    }
    place->bytes -= sizeof *bucket;
    place->bucket_count--;
    cof_free(place->env, bucket);
}

void cof_place_done(struct cof_place *place)
{
    while (place->newest != NULL) {
        free_bucket(place, place->newest);
    }
    cof_free(place->env, place->hash);
    place->hash = NULL;
}

static bool droppable(const struct cof_bucket *bucket)
{
    if (bucket->dirty) {
        return false;
    }
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        const struct cof_desc *desc = bucket->descs[i];
        if (desc != NULL && (desc->young || desc->pinned)) {
            return false;
        }
    }
    return true;
}

void cof_place_trim(struct cof_place *place)
{
    struct cof_bucket *bucket = place->oldest;
    while (bucket != NULL && place->bytes > place->budget_bytes) {
        struct cof_bucket *newer = bucket->newer;
        if (droppable(bucket)) {
            free_bucket(place, bucket);
        }
        bucket = newer;
    }
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

/* The bucket of key, read if it is not cached; when there is none, new and empty (make), or
 * NOT_FOUND. */
static int get_bucket(struct cof_place *place, uint64_t key, bool make,
                      struct cof_bucket **ret_bucket)
{
    uint8_t bytes[COF_BUCKET_BLOCKS_MAX * 4096u];
    struct cof_bucket *bucket = cached(place, key);
    unsigned blocks;
    int err;
    if (bucket != NULL) {
        if (place->newest != bucket) {
            unlink_lru(place, bucket);
            link_newest(place, bucket);
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
    if (err == 0) {
        err = cof_bucket_decode(place->env, bytes, (size_t)blocks * 4096u, key,
                                place->segments->count, place->segment_blocks, bucket->descs);
        if (err != 0) {
            cof_free(place->env, bucket);
            return err;
        }
    }
    insert(place, bucket);
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        place->bytes += bucket->descs[i] != NULL ? desc_bytes(bucket->descs[i]) : 0u;
    }
    *ret_bucket = bucket;
    return 0;
}

int cof_place_find(struct cof_place *place, uint32_t lineage, uint64_t extent,
                   struct cof_desc **ret_desc)
{
    struct cof_bucket *bucket;
    int err = get_bucket(place, cof_bucket_key(lineage, extent), false, &bucket);
    if (err != 0) {
        return err;
    }
    if (bucket->descs[extent % COF_BUCKET_EXTENTS] == NULL) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_desc = bucket->descs[extent % COF_BUCKET_EXTENTS];
    return 0;
}

/* The smallest key >= key of a bucket, in the table or only in memory. */
static int next_key(struct cof_place *place, uint64_t key, uint64_t *ret_key)
{
    uint64_t found = key;
    int err;
    if (cached(place, key) != NULL) {
        *ret_key = key;
        return 0;
    }
    err = cof_ptree_next(place->tree, &found);
    if (err != 0 && err != COFFER_E_NOT_FOUND) {
        return err;
    }
    if (err == COFFER_E_NOT_FOUND) {
        found = UINT64_MAX;
    }
    for (const struct cof_bucket *bucket = place->newest; bucket != NULL; bucket = bucket->older) {
        if (bucket->key >= key && bucket->key < found) {
            found = bucket->key;
        }
    }
    *ret_key = found;
    return found == UINT64_MAX ? COFFER_E_NOT_FOUND : 0;
}

int cof_place_next(struct cof_place *place, uint32_t lineage, uint64_t *extent,
                   struct cof_desc **ret_desc)
{
    uint64_t key = cof_bucket_key(lineage, *extent);
    uint64_t last = cof_bucket_key(lineage, COF_EXTENT_MAX);
    unsigned from = (unsigned)(*extent % COF_BUCKET_EXTENTS);
    for (;;) {
        struct cof_bucket *bucket;
        uint64_t found;
        int err = next_key(place, key, &found);
        if (err != 0) {
            *extent = COF_EXTENT_MAX; /* the tree does not read: nobody knows what follows */
            return err;
        }
        if (found > last) {
            return COFFER_E_NOT_FOUND;
        }
        from = found == key ? from : 0u;
        key = found;
        err = get_bucket(place, key, false, &bucket);
        if (err != 0) {
            *extent = (key - cof_bucket_key(lineage, 0)) * COF_BUCKET_EXTENTS + from;
            return err;
        }
        for (unsigned i = from; i < COF_BUCKET_EXTENTS; i++) {
            if (bucket->descs[i] != NULL) {
                *extent = bucket->descs[i]->extent;
                *ret_desc = bucket->descs[i];
                return 0;
            }
        }
        key++;
        from = 0;
    }
}

static void make_dirty(struct cof_place *place, struct cof_bucket *bucket)
{
    place->dirty_count += bucket->dirty ? 0u : 1u;
    bucket->dirty = true;
}

int cof_place_add(struct cof_place *place, struct cof_desc *desc)
{
    struct cof_bucket *bucket;
    struct cof_desc **at;
    int err;
    if (place->bytes > place->budget_bytes) {
        cof_place_trim(place);
    }
    err = get_bucket(place, cof_bucket_key(desc->lineage, desc->extent), true, &bucket);
    if (err != 0) {
        return err;
    }
    at = &bucket->descs[desc->extent % COF_BUCKET_EXTENTS];
    if (*at != NULL) {
        place->bytes -= desc_bytes(*at);
        cof_free(place->env, *at);
    }
    *at = desc;
    place->bytes += desc_bytes(desc);
    make_dirty(place, bucket);
    return 0;
}

int cof_place_touch(struct cof_place *place, const struct cof_desc *desc)
{
    struct cof_bucket *bucket;
    int err = get_bucket(place, cof_bucket_key(desc->lineage, desc->extent), true, &bucket);
    if (err == 0) {
        make_dirty(place, bucket);
    }
    return err;
}

int cof_place_renew(struct cof_place *place, uint64_t key)
{
    struct cof_bucket *bucket;
    int err = get_bucket(place, key, false, &bucket);
    if (err == 0) {
        make_dirty(place, bucket);
    }
    return err == COFFER_E_NOT_FOUND ? 0 : err;
}

int cof_place_kill(struct cof_place *place, uint32_t lineage, uint64_t extent, unsigned slot)
{
    struct cof_bucket *bucket;
    struct cof_desc *desc;
    uint32_t segment, block, header;
    int err;
    if (place->bytes > place->budget_bytes) {
        cof_place_trim(place);
    }
    err = get_bucket(place, cof_bucket_key(lineage, extent), false, &bucket);
    if (err != 0) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    desc = bucket->descs[extent % COF_BUCKET_EXTENTS];
    if (desc == NULL || !cof_bitmap_get(&desc->live, slot)) {
        return 0;
    }
    err = cof_desc_locate(desc, slot, &segment, &block, &header);
    if (err != 0) {
        return err;
    }
    cof_bitmap_clear(&desc->live, slot);
    cof_segments_died(place->segments, segment);
    cof_desc_drop_dead_pieces(desc);
    make_dirty(place, bucket);
    return 0;
}

static void drop_dead(struct cof_place *place, struct cof_bucket *bucket)
{
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        struct cof_desc *desc = bucket->descs[i];
        if (desc == NULL || desc->young || desc->pinned || cof_bitmap_count(&desc->live) != 0) {
            continue;
        }
        if (place->dropped != NULL) {
            place->dropped(place->ctx, desc);
        }
        place->bytes -= desc_bytes(desc);
        cof_free(place->env, desc);
        bucket->descs[i] = NULL;
    }
}

static int write_bucket(struct cof_place *place, const struct cof_raw_writer *writer,
                        struct cof_bucket *bucket)
{
    uint8_t bytes[COF_BUCKET_BLOCKS_MAX * 4096u];
    size_t used = COF_BUCKET_HEADER_BYTES;
    unsigned count = 0, blocks;
    bool young = false;
    int err;
    memset(bytes, 0, sizeof bytes);
    drop_dead(place, bucket);
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        const struct cof_desc *desc = bucket->descs[i];
        if (desc != NULL && desc->young) {
            young = true;
        } else if (desc != NULL) {
            used += cof_desc_encode(desc, bytes + used);
            count++;
        }
    }
    blocks = count == 0 ? 0u : (unsigned)((used + 4095u) / 4096u);
    cof_bucket_header_encode(bytes, count, blocks, bucket->key);
    err = cof_ptree_write(place->tree, writer, bucket->key, bytes, blocks);
    if (err == 0) {
        place->dirty_count -= young ? 0u : 1u;
        bucket->dirty = young; /* what the log owns now is written by the next checkpoint */
    }
    return err;
}

int cof_place_flush(struct cof_place *place, const struct cof_raw_writer *writer)
{
    for (struct cof_bucket *bucket = place->newest; bucket != NULL; bucket = bucket->older) {
        if (bucket->dirty) {
            int err = write_bucket(place, writer, bucket);
            if (err != 0) {
                return err;
            }
        }
    }
    cof_place_trim(place);
    return 0;
}
