/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/vaddr.h - page numbers, virtual addresses and slot words.
 *
 * A virtual address names an (index, extent, slot) that is written once and never reused:
 *
 *   bit 63     62..49   48..10    9..1    0
 *   flag (0)   index    extent    slot    hole
 *
 * so addresses of a volume compare, as integers, in the order in which they were taken. The hole
 * bit says that the slot held a discard: the page reads as zeros. 0 is no address (extent numbers
 * begin at 1). A map entry is an address; a map node is 512 of them, little-endian.
 *
 * A slot word says what a slot of an extent holds: type in bits 63..60, value below.
 */
#ifndef COF_FORMAT_VADDR_H
#define COF_FORMAT_VADDR_H

#include <stdbool.h>
#include <stdint.h>

#define COF_PAGE_BYTES 4096u
#define COF_BLOCK_BYTES 4096u
#define COF_EXTENT_SLOTS 511u /* page slots; slot 511 is the summary */
#define COF_SUMMARY_SLOT 511u
#define COF_EXTENT_MAX ((UINT64_C(1) << 39) - 1u)
#define COF_NODE_FANOUT 512u
#define COF_NODE_SHIFT 9u
#define COF_MAP_LEVELS_MAX 5u /* 2^45 pages = 2^57 bytes */

struct cof_vaddr {
    uint64_t bits;
};

static inline struct cof_vaddr cof_vaddr_make(unsigned index, uint64_t extent, unsigned slot,
                                              bool hole)
{
    struct cof_vaddr addr = {((uint64_t)index & 0x3fffu) << 49 | (extent & COF_EXTENT_MAX) << 10 |
                             ((uint64_t)slot & 0x1ffu) << 1 | (hole ? 1u : 0u)};
    return addr;
}

static inline uint64_t cof_vaddr_extent(struct cof_vaddr addr)
{
    return (addr.bits >> 10) & COF_EXTENT_MAX;
}

static inline unsigned cof_vaddr_slot(struct cof_vaddr addr)
{
    return (unsigned)(addr.bits >> 1) & 0x1ffu;
}

static inline unsigned cof_vaddr_index(struct cof_vaddr addr)
{
    return (unsigned)(addr.bits >> 49) & 0x3fffu;
}

static inline uint64_t cof_position(unsigned index, uint64_t extent)
{
    return (uint64_t)index << 39 | extent;
}

/* Where in the order of extents: index and extent together. Cuts are positions. */
static inline uint64_t cof_vaddr_position(struct cof_vaddr addr)
{
    return addr.bits >> 10;
}

static inline bool cof_vaddr_hole(struct cof_vaddr addr)
{
    return (addr.bits & 1u) != 0;
}

/* No page behind it: never written, or discarded. */
static inline bool cof_vaddr_zero(struct cof_vaddr addr)
{
    return addr.bits == 0 || cof_vaddr_hole(addr);
}

enum cof_word_type {
    COF_WORD_NONE = 0,
    COF_WORD_PAGE = 1,           /* value: page number                                  */
    COF_WORD_DISCARD_START = 2,  /* value: page number; no page; the next slot continues */
    COF_WORD_DISCARD_LENGTH = 3, /* value: pages; no page                               */
    COF_WORD_CONTROL = 4,        /* value: kind of control record                       */
    COF_WORD_NODE = 5,           /* value: level << 52 | index: a map node              */
    COF_WORD_SUMMARY = 6         /* value: 0                                            */
};

static inline uint64_t cof_word(enum cof_word_type type, uint64_t value)
{
    return (uint64_t)type << 60 | (value & ((UINT64_C(1) << 60) - 1u));
}

static inline enum cof_word_type cof_word_type(uint64_t word)
{
    return (enum cof_word_type)(word >> 60);
}

static inline uint64_t cof_word_value(uint64_t word)
{
    return word & ((UINT64_C(1) << 60) - 1u);
}

/* The chain word that begins a sealed list: the volume's preceding data extent and the number of
 * its slots that were used. 0 begins a volume's first extent. */
static inline uint64_t cof_chain_word(uint64_t extent, unsigned slots)
{
    return (extent & COF_EXTENT_MAX) << 10 | slots;
}

#endif
