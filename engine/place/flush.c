/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/flush.c - dirty buckets, written in the order of their keys.
 *
 * A flush writes all of them, as part of a checkpoint; a spill only those that can go from memory
 * then. What is young is left out, and what is dead dropped. Under the store's lock.
 */
#include "place/internal.h"

#include <string.h>

static void drop_dead(struct cof_place *place, struct cof_bucket *bucket)
{
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        struct cof_desc *desc = bucket->descs[i];
        if (desc == NULL || !cof_desc_settled(desc) || cof_bitmap_count(&desc->live) != 0) {
            continue;
        }
        if (place->dropped != NULL) {
            place->dropped(place->ctx, desc);
        }
        place->bytes -= cof_desc_bytes(desc);
        cof_free(place->env, desc);
        bucket->descs[i] = NULL;
    }
}

/* A descriptor that is being written has room for all batch refs there can be. */
static void shrink(struct cof_place *place, struct cof_desc **at)
{
    struct cof_desc *desc = *at, *small;
    if (!cof_desc_settled(desc) || desc->ref_capacity == desc->ref_count) {
        return;
    }
    small = cof_desc_new(place->env, desc->ref_count);
    if (small == NULL) {
        return; /* it only is larger than it has to be */
    }
    memcpy(small, desc, sizeof *desc + desc->ref_count * sizeof desc->refs[0]);
    small->ref_capacity = small->ref_count;
    place->bytes -= cof_desc_bytes(desc) - cof_desc_bytes(small);
    cof_free(place->env, desc);
    *at = small;
}

/* The bucket's bytes but for what is young; returns its blocks. */
static unsigned encode_bucket(const struct cof_bucket *bucket, uint8_t *bytes, bool *ret_young)
{
    size_t used = COF_BUCKET_HEADER_BYTES;
    unsigned count = 0, blocks = 0;
    *ret_young = false;
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        const struct cof_desc *desc = bucket->descs[i];
        if (desc != NULL && desc->young) {
            *ret_young = true;
        } else if (desc != NULL) {
            used += cof_desc_encode(desc, bytes + used);
            count++;
        }
    }
    if (count > 0) {
        blocks = (unsigned)((used + 4095u) / 4096u);
        memset(bytes + used, 0, (size_t)blocks * 4096u - used);
        cof_bucket_header_encode(bytes, count, blocks, bucket->key);
    }
    return blocks;
}

/* spill: it is the next to be dropped. */
static int write_bucket(struct cof_place *place, const struct cof_raw_writer *writer,
                        struct cof_bucket *bucket, bool spill)
{
    uint8_t bytes[COF_BUCKET_BLOCKS_MAX * 4096u];
    bool young;
    unsigned blocks;
    drop_dead(place, bucket);
    blocks = encode_bucket(bucket, bytes, &young);
    if (blocks != 0 || !bucket->unwritten) {
        int err = cof_ptree_write(place->tree, writer, bucket->key, bytes, blocks);
        if (err != 0) {
            return err;
        }
    }
    if (blocks != 0 && bucket->unwritten) {
        cof_bucket_written(place, bucket);
    } else if (blocks == 0 && !young) {
        cof_bucket_free(place, bucket);
        return 0;
    } else if (blocks == 0 && !bucket->unwritten) {
        cof_bucket_unwritten(place, bucket);
    }
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (bucket->descs[i] != NULL) {
            shrink(place, &bucket->descs[i]);
        }
    }
    if (spill) {
        cof_bucket_next_to_go(place, bucket);
    } else if (!young) { /* what the log owns now is written by the next checkpoint */
        cof_bucket_move(place, bucket, COF_BUCKET_CLEAN);
    }
    return 0;
}

/* Two ascending chains, by `newer`, into one. */
static struct cof_bucket *merge_chains(struct cof_bucket *a, struct cof_bucket *b)
{
    struct cof_bucket *first = NULL, **at = &first;
    while (a != NULL && b != NULL) {
        struct cof_bucket **from = a->key < b->key ? &a : &b;
        *at = *from;
        at = &(*from)->newer;
        *from = (*from)->newer;
    }
    *at = a != NULL ? a : b;
    return first;
}

/* Dirty buckets by their keys, the lowest as the oldest: neighbours share nodes of the tree. A
 * merge sort of a list, bottom up: bin i holds a chain of 2^i (Knuth, vol. 3, 5.2.4). */
static void sort_dirty(struct cof_place *place)
{
    struct cof_bucket_list *list = &place->lists[COF_BUCKET_DIRTY];
    struct cof_bucket *bins[64] = {NULL}, *chain = NULL, *older = NULL;
    for (struct cof_bucket *at = list->oldest; at != NULL;) {
        struct cof_bucket *next = at->newer;
        unsigned bin = 0;
        at->newer = NULL;
        for (; bins[bin] != NULL; bin++) {
            at = merge_chains(bins[bin], at);
            bins[bin] = NULL;
        }
        bins[bin] = at;
        at = next;
    }
    for (unsigned bin = 0; bin < 64; bin++) {
        chain = merge_chains(bins[bin], chain);
    }
    list->oldest = chain;
    for (struct cof_bucket *at = chain; at != NULL; at = at->newer) {
        at->older = older;
        older = at;
    }
    list->newest = older;
}

/* For a flush: all. For a spill: those that may go from memory, and they are the next that do, the
 * one with the highest key first. Deaths come in the order of keys, all over the store each time,
 * so a bucket that had its own is the last one to be needed again; by last use, each would go
 * shortly before its turn (Qureshi et al., Adaptive insertion policies, ISCA 2007). */
static int write_dirty(struct cof_place *place, const struct cof_raw_writer *writer, bool spill)
{
    int err = 0;
    sort_dirty(place);
    for (struct cof_bucket *at = place->lists[COF_BUCKET_DIRTY].oldest; err == 0 && at != NULL;) {
        struct cof_bucket *next = at->newer;
        if (!spill || cof_bucket_droppable(at)) {
            err = write_bucket(place, writer, at, spill);
        }
        at = next;
    }
    return err;
}

int cof_place_spill(struct cof_place *place, const struct cof_raw_writer *writer)
{
    uint64_t max = cof_place_bytes_max(place);
    int err;
    if (place->bytes <= max || place->bytes < place->spill_at_bytes) {
        return 0;
    }
    err = write_dirty(place, writer, true);
    if (err == 0 && place->tree->bytes > place->tree->budget_bytes) {
        err = cof_ptree_flush(place->tree, writer);
    }
    cof_bucket_trim(place, max - max / 8u);
    /* What stays can't be helped: not again for each death. */
    place->spill_at_bytes = place->bytes + max / 8u;
    return err;
}

int cof_place_flush(struct cof_place *place, const struct cof_raw_writer *writer)
{
    int err = write_dirty(place, writer, false);
    place->spill_at_bytes = 0;
    cof_place_trim(place);
    return err;
}
