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

/* The bits below `count`, and no other. */
static inline void cof_bitmap_fill(struct cof_bitmap *map, unsigned count)
{
    for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
        unsigned here = count > 64u * i ? count - 64u * i : 0u;
        map->words[i] = here >= 64u ? UINT64_MAX : (UINT64_C(1) << here) - 1u;
    }
}

/* Set bits of a word, side by side (Warren, Hacker's Delight, 5-1): machines without an instruction
 * for it call a function otherwise. */
static inline unsigned cof_bitmap_word_count(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

static inline unsigned cof_bitmap_count(const struct cof_bitmap *map)
{
    unsigned count = 0;
    for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
        count += cof_bitmap_word_count(map->words[i]);
    }
    return count;
}

/* Set bits from first on and below end. */
static inline unsigned cof_bitmap_between(const struct cof_bitmap *map, unsigned first,
                                          unsigned end)
{
    unsigned count = 0;
    for (unsigned i = first / 64u; first < end && i <= (end - 1u) / 64u; i++) {
        uint64_t word = map->words[i];
        word &= i == first / 64u ? UINT64_MAX << (first % 64u) : UINT64_MAX;
        word &= i == end / 64u ? (UINT64_C(1) << (end % 64u)) - 1u : UINT64_MAX;
        count += cof_bitmap_word_count(word);
    }
    return count;
}

static inline bool cof_bitmap_equal(const struct cof_bitmap *a, const struct cof_bitmap *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

#endif
