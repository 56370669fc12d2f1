/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/records.c - chunks of memory, cut in pages, cut in buddies.
 */
#include "map/records.h"

#include <string.h>

#define PAGE_BYTES (COF_RECORD_BYTES_MIN << (COF_RECORD_ORDERS - 1u))
#define UNITS (PAGE_BYTES / COF_RECORD_BYTES_MIN)
#define CHUNK_PAGES_MIN 2u
#define CHUNK_PAGES_MAX 4096u /* 16 MiB, on huge pages */

/* Of a page: a bit for each unit at which a free block begins. */
struct page_bits {
    uint64_t words[UNITS / 64u];
};

struct cof_record_chunk {
    struct cof_record_chunk *next;
    uint8_t *memory;
    unsigned pages, pages_used;
    struct page_bits begins[];
};

struct cof_record_free {
    struct cof_record_free *next, *before; /* of its size */
    unsigned order;
};

_Static_assert(sizeof(struct cof_record_free) <= COF_RECORD_BYTES_MIN, "a free block has room");

void cof_records_init(struct cof_records *records, struct cof_env *env)
{
    memset(records, 0, sizeof *records);
    records->env = env;
}

void cof_records_done(struct cof_records *records)
{
    struct cof_record_chunk *chunk = records->chunks;
    while (chunk != NULL) {
        struct cof_record_chunk *next = chunk->next;
        cof_free_aligned(records->env, chunk->memory);
        cof_free(records->env, chunk);
        chunk = next;
    }
    cof_records_init(records, records->env);
}

static size_t bytes_of(unsigned order)
{
    return (size_t)COF_RECORD_BYTES_MIN << order;
}

static struct cof_record_chunk *chunk_of(const struct cof_records *records, const void *block)
{
    struct cof_record_chunk *chunk = records->chunks;
    uintptr_t at = (uintptr_t)block;
    while (at < (uintptr_t)chunk->memory ||
           at >= (uintptr_t)chunk->memory + (size_t)chunk->pages * PAGE_BYTES) {
        chunk = chunk->next;
    }
    return chunk;
}

/* The word and the bit of a block. */
static uint64_t *begins_at(struct cof_record_chunk *chunk, const void *block, uint64_t *ret_bit)
{
    size_t unit = (size_t)((const uint8_t *)block - chunk->memory) / COF_RECORD_BYTES_MIN;
    *ret_bit = UINT64_C(1) << (unit % 64u);
    return &chunk->begins[unit / UNITS].words[unit % UNITS / 64u];
}

static void link_free(struct cof_records *records, struct cof_record_chunk *chunk, void *block,
                      unsigned order)
{
    struct cof_record_free *free = block;
    uint64_t bit, *word = begins_at(chunk, block, &bit);
    *word |= bit;
    free->order = order;
    free->before = NULL;
    free->next = records->free[order];
    if (free->next != NULL) {
        free->next->before = free;
    }
    records->free[order] = free;
}

static void unlink_free(struct cof_records *records, struct cof_record_chunk *chunk,
                        struct cof_record_free *free)
{
    uint64_t bit, *word = begins_at(chunk, free, &bit);
    *word &= ~bit;
    *(free->before != NULL ? &free->before->next : &records->free[free->order]) = free->next;
    if (free->next != NULL) {
        free->next->before = free->before;
    }
}

static struct cof_record_chunk *add_chunk(struct cof_records *records)
{
    const struct cof_record_chunk *newest = records->chunks;
    unsigned pages = newest == NULL ? CHUNK_PAGES_MIN : newest->pages * 2u;
    struct cof_record_chunk *chunk;
    pages = pages < CHUNK_PAGES_MAX ? pages : CHUNK_PAGES_MAX;
    chunk = cof_calloc(records->env, 1, sizeof *chunk + pages * sizeof chunk->begins[0]);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->memory = cof_alloc_aligned(records->env, (size_t)pages * PAGE_BYTES);
    if (chunk->memory == NULL) {
        cof_free(records->env, chunk);
        return NULL;
    }
    chunk->pages = pages;
    chunk->next = records->chunks;
    records->chunks = chunk;
    return chunk;
}

/* A page that was never used, as a block. */
static void *new_page(struct cof_records *records)
{
    struct cof_record_chunk *chunk = records->chunks;
    if (chunk == NULL || chunk->pages_used == chunk->pages) {
        chunk = add_chunk(records);
    }
    return chunk != NULL ? chunk->memory + (size_t)chunk->pages_used++ * PAGE_BYTES : NULL;
}

void *cof_records_get(struct cof_records *records, unsigned order)
{
    struct cof_record_chunk *chunk;
    unsigned from = order;
    uint8_t *block;
    while (from < COF_RECORD_ORDERS && records->free[from] == NULL) {
        from++;
    }
    if (from < COF_RECORD_ORDERS) {
        block = (uint8_t *)records->free[from];
        chunk = chunk_of(records, block);
        unlink_free(records, chunk, records->free[from]);
    } else {
        from = COF_RECORD_ORDERS - 1u;
        block = new_page(records);
        chunk = records->chunks;
    }
    if (block != NULL) {
        while (from > order) {
            from--;
            link_free(records, chunk, block + bytes_of(from), from);
        }
        records->used_bytes += bytes_of(order);
    }
    return block;
}

void cof_records_put(struct cof_records *records, void *block, unsigned order)
{
    struct cof_record_chunk *chunk = chunk_of(records, block);
    size_t at = (size_t)((uint8_t *)block - chunk->memory);
    records->used_bytes -= bytes_of(order);
    for (; order < COF_RECORD_ORDERS - 1u; order++) {
        struct cof_record_free *buddy = (void *)(chunk->memory + (at ^ bytes_of(order)));
        uint64_t bit;
        if ((*begins_at(chunk, buddy, &bit) & bit) == 0 || buddy->order != order) {
            break;
        }
        unlink_free(records, chunk, buddy);
        at &= ~bytes_of(order);
    }
    link_free(records, chunk, chunk->memory + at, order);
}
