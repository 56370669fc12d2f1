/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/place.c - the placement table: what it says of extents, and their deaths. The buckets
 * themselves are cache.c's and flush.c's.
 */
#include "place/internal.h"

#include "format/vaddr.h"

int cof_place_find(struct cof_place *place, uint32_t lineage, uint64_t extent,
                   struct cof_desc **ret_desc)
{
    struct cof_bucket *bucket;
    int err = cof_bucket_get(place, cof_bucket_key(lineage, extent), false, &bucket);
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
    const struct cof_bucket *unwritten;
    uint64_t found = key;
    int err;
    if (cof_bucket_cached(place, key) != NULL) {
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
    unwritten = cof_bucket_next_unwritten(place, key);
    if (unwritten != NULL && unwritten->key < found) {
        found = unwritten->key;
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
        err = cof_bucket_get(place, key, false, &bucket);
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

int cof_place_add(struct cof_place *place, struct cof_desc *desc)
{
    struct cof_bucket *bucket;
    struct cof_desc **at;
    int err;
    cof_place_trim(place);
    err = cof_bucket_get(place, cof_bucket_key(desc->lineage, desc->extent), true, &bucket);
    if (err != 0) {
        return err;
    }
    at = &bucket->descs[desc->extent % COF_BUCKET_EXTENTS];
    if (*at != NULL) {
        place->bytes -= cof_desc_bytes(*at);
        cof_free(place->env, *at);
    }
    *at = desc;
    place->bytes += cof_desc_bytes(desc);
    cof_bucket_dirty(place, bucket);
    return 0;
}

int cof_place_touch(struct cof_place *place, const struct cof_desc *desc)
{
    struct cof_bucket *bucket;
    int err = cof_bucket_get(place, cof_bucket_key(desc->lineage, desc->extent), true, &bucket);
    if (err == 0) {
        cof_bucket_dirty(place, bucket);
    }
    return err;
}

int cof_place_renew(struct cof_place *place, uint64_t key)
{
    struct cof_bucket *bucket;
    int err = cof_bucket_get(place, key, false, &bucket);
    if (err == 0) {
        cof_bucket_dirty(place, bucket);
    }
    return err == COFFER_E_NOT_FOUND ? 0 : err;
}

static int kill_slot(struct cof_place *place, struct cof_bucket *bucket, struct cof_desc *desc,
                     unsigned slot)
{
    uint32_t segment;
    int err;
    if (!cof_bitmap_get(&desc->live, slot)) {
        return 0;
    }
    err = cof_desc_segment(desc, slot, &segment);
    if (err == 0) {
        cof_bitmap_clear(&desc->live, slot);
        cof_segments_died(place->segments, segment);
        cof_bucket_dirty(place, bucket);
    }
    return err;
}

/* What a death looks at. Deaths come in order: it is asked for while those of the one before are
 * recorded. */
static void expect_next(const struct cof_bucket *bucket, unsigned extent)
{
    do {
        extent++;
    } while (extent < COF_BUCKET_EXTENTS && bucket->descs[extent] == NULL);
    if (extent < COF_BUCKET_EXTENTS) {
        const struct cof_desc *desc = bucket->descs[extent];
        __builtin_prefetch(&desc->present);
        __builtin_prefetch(&desc->live, 1);
        __builtin_prefetch(&desc->pieces);
    }
}

int cof_place_kill_all(struct cof_place *place, const struct cof_vaddr *addrs, uint64_t count)
{
    uint64_t extent = cof_vaddr_extent(addrs[0]);
    uint32_t lineage = cof_vaddr_index(addrs[0]);
    struct cof_bucket *bucket;
    struct cof_desc *desc;
    int err;
    cof_place_trim(place);
    err = cof_bucket_get(place, cof_bucket_key(lineage, extent), false, &bucket);
    if (err != 0) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    desc = bucket->descs[extent % COF_BUCKET_EXTENTS];
    if (desc == NULL) {
        return 0;
    }
    expect_next(bucket, (unsigned)(extent % COF_BUCKET_EXTENTS));
    for (uint64_t i = 0; err == 0 && i < count; i++) {
        err = kill_slot(place, bucket, desc, cof_vaddr_slot(addrs[i]));
    }
    if (err == 0) {
        cof_desc_drop_dead_pieces(desc);
    }
    return err;
}

int cof_place_kill(struct cof_place *place, uint32_t lineage, uint64_t extent, unsigned slot)
{
    struct cof_vaddr addr = cof_vaddr_make(lineage, extent, slot, false);
    return cof_place_kill_all(place, &addr, 1);
}
