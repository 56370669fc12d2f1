/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/bitmap.h - a bitmap of one extent's 512 slots, and rank over it.
 */
#ifndef COF_BASE_BITMAP_H
#define COF_BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COF_BITMAP_BITS 512u
#define COF_BITMAP_WORDS (COF_BITMAP_BITS / 64u)

struct cof_bitmap {
    uint64_t words[COF_BITMAP_WORDS];
};

static inline bool cof_bitmap_get(const struct cof_bitmap *map, unsigned bit)
{
    return ((map->words[bit / 64u] >> (bit % 64u)) & 1u) != 0;
}

static inline void cof_bitmap_set(struct cof_bitmap *map, unsigned bit)
{
    map->words[bit / 64u] |= UINT64_C(1) << (bit % 64u);
}

static inline void cof_bitmap_clear(struct cof_bitmap *map, unsigned bit)
{
    map->words[bit / 64u] &= ~(UINT64_C(1) << (bit % 64u));
}

static inline unsigned cof_bitmap_count(const struct cof_bitmap *map)
{
    unsigned count = 0;
    for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
        count += (unsigned)__builtin_popcountll(map->words[i]);
    }
    return count;
}

/* Set bits below bit. */
static inline unsigned cof_bitmap_rank(const struct cof_bitmap *map, unsigned bit)
{
    unsigned count = 0;
    unsigned word = bit / 64u;
    for (unsigned i = 0; i < word; i++) {
        count += (unsigned)__builtin_popcountll(map->words[i]);
    }
    if (bit % 64u != 0) {
        uint64_t below = (UINT64_C(1) << (bit % 64u)) - 1u;
        count += (unsigned)__builtin_popcountll(map->words[word] & below);
    }
    return count;
}

static inline bool cof_bitmap_equal(const struct cof_bitmap *a, const struct cof_bitmap *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

#endif
