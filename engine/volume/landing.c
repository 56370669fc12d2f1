/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/landing.c - memory of the store's own that large reads land in.
 *
 * A device needs a descriptor for each piece of memory that lies apart. A caller's buffer is small
 * pages as a rule; this is huge ones, so that a read is one piece or two. Pages are opened from
 * here into the caller's memory: nobody else can change what is being verified, and as it is still
 * there when a tag fails, its checksum is taken only then.
 *
 * First fit: what was used last is in the processor's cache. Who gets none reads to where the
 * caller wants it and opens it there.
 */
#include "volume/store.h"

#define UNIT_BLOCKS 4u
#define UNIT_BYTES (UNIT_BLOCKS * (size_t)COF_BLOCK_BYTES)
#define UNITS_MAX COF_BITMAP_BITS /* 8 MiB: eight requests of 1 MiB */

static unsigned units_for(unsigned blocks)
{
    return (blocks + UNIT_BLOCKS - 1u) / UNIT_BLOCKS;
}

void cof_landing_init(struct coffer_store *store, uint64_t staging_bytes)
{
    uint64_t units = staging_bytes / 2u / UNIT_BYTES;
    store->landing.units = units < UNITS_MAX ? (unsigned)units : UNITS_MAX;
    pthread_mutex_init(&store->landing.lock, NULL);
}

void cof_landing_done(struct coffer_store *store)
{
    cof_free_aligned(&store->env, store->landing.memory);
    pthread_mutex_destroy(&store->landing.lock);
}

/* The first of so many free units side by side. */
static bool find_free(const struct cof_landing *landing, unsigned count, unsigned *ret_first)
{
    unsigned first = 0;
    for (unsigned at = 0; at < landing->units && at - first < count; at++) {
        if (cof_bitmap_get(&landing->taken, at)) {
            first = at + 1u;
        }
    }
    *ret_first = first;
    return count <= landing->units - first;
}

uint8_t *cof_landing_take(struct coffer_store *store, unsigned blocks)
{
    struct cof_landing *landing = &store->landing;
    unsigned count = units_for(blocks), first;
    uint8_t *found = NULL;
    pthread_mutex_lock(&landing->lock);
    if (landing->memory == NULL && count <= landing->units) {
        landing->memory = cof_alloc_aligned(&store->env, landing->units * UNIT_BYTES);
    }
    if (landing->memory != NULL && find_free(landing, count, &first)) {
        found = landing->memory + first * UNIT_BYTES;
        for (unsigned i = 0; i < count; i++) {
            cof_bitmap_set(&landing->taken, first + i);
        }
    }
    pthread_mutex_unlock(&landing->lock);
    return found;
}

void cof_landing_give(struct coffer_store *store, const uint8_t *memory, unsigned blocks)
{
    struct cof_landing *landing = &store->landing;
    unsigned first = (unsigned)((size_t)(memory - landing->memory) / UNIT_BYTES);
    pthread_mutex_lock(&landing->lock);
    for (unsigned i = 0; i < units_for(blocks); i++) {
        cof_bitmap_clear(&landing->taken, first + i);
    }
    pthread_mutex_unlock(&landing->lock);
}
