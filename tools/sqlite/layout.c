/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/layout.c - superblock and super-journal slots, to and from bytes; all little-endian.
 *
 * The engine has authenticated what is read here, or checked its sum: the checksum inside tells a
 * superblock from a page that something else wrote to the volume, no more.
 */
#include "layout.h"
#include <string.h>

/* Superblock: magic, version, features, then these u64, zeros, and the checksum in its last 8. */
enum {
    AT_VERSION = 8,
    AT_FEATURES = 12,
    AT_SUPERS = 16,
    AT_JOURNAL = 24,
    AT_WAL = 32,
    AT_MAIN = 40,
    AT_FLOOR = 48,
    AT_JOURNAL_BYTES = 56,
    AT_ZEROS = 64,
    AT_SUM = 120
};
/* Slot: magic, version, name, length, zeros, and the checksum in its last 8. */
enum { SLOT_VERSION = 8, SLOT_LENGTH = 12, SLOT_NAME = 16, SLOT_ZEROS = 32, SLOT_SUM = 56 };

static const uint8_t magic[8] = {'C', 'o', 'f', 'S', 'Q', 'L', 'd', 'b'};
static const uint8_t slot_magic[8] = {'C', 'o', 'f', 'S', 'Q', 'L', 'm', 'j'};

#define MIB (1ull << 20)

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8u * i);
    }
    return value;
}

/* FNV-1a, 64 bits. */
static uint64_t sum_of(const uint8_t *bytes, size_t length)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

int cof_sqlite_layout_plan(uint64_t volume_bytes, struct cof_sqlite_layout *ret_layout)
{
    if (volume_bytes > COFFER_VOLUME_BYTES_MAX || volume_bytes < 16u * MIB) {
        return COFFER_E_RANGE;
    }
    uint64_t quarter = (volume_bytes - 2u * MIB) / 4u / MIB * MIB;
    memset(ret_layout, 0, sizeof *ret_layout);
    ret_layout->supers_offset = MIB;
    ret_layout->journal_offset = 2u * MIB;
    ret_layout->wal_offset = 2u * MIB + quarter;
    ret_layout->main_offset = 2u * MIB + 2u * quarter;
    return 0;
}

void cof_sqlite_layout_encode(const struct cof_sqlite_layout *layout,
                              uint8_t page[COFFER_PAGE_BYTES])
{
    memset(page, 0, COFFER_PAGE_BYTES);
    memcpy(page, magic, sizeof magic);
    put(page + AT_VERSION, COF_SQLITE_LAYOUT_VERSION, 4);
    put(page + AT_SUPERS, layout->supers_offset, 8);
    put(page + AT_JOURNAL, layout->journal_offset, 8);
    put(page + AT_WAL, layout->wal_offset, 8);
    put(page + AT_MAIN, layout->main_offset, 8);
    put(page + AT_FLOOR, layout->main_floor_bytes, 8);
    put(page + AT_JOURNAL_BYTES, layout->journal_bytes, 8);
    put(page + AT_SUM, sum_of(page, AT_SUM), 8);
}

static bool in_order(const struct cof_sqlite_layout *layout, uint64_t volume_bytes)
{
    uint64_t pages = layout->supers_offset | layout->journal_offset | layout->wal_offset |
                     layout->main_offset | layout->main_floor_bytes;
    return pages % COFFER_PAGE_BYTES == 0 && layout->supers_offset > 0 &&
           volume_bytes <= COFFER_VOLUME_BYTES_MAX && layout->main_offset < volume_bytes &&
           layout->wal_offset < layout->main_offset &&
           layout->journal_offset < layout->wal_offset &&
           layout->supers_offset < layout->journal_offset &&
           layout->journal_offset - layout->supers_offset >= COF_SQLITE_SUPERS_BYTES &&
           layout->main_floor_bytes <= volume_bytes - layout->main_offset &&
           layout->journal_bytes <= layout->wal_offset - layout->journal_offset;
}

int cof_sqlite_layout_decode(const uint8_t page[COFFER_PAGE_BYTES], uint64_t volume_bytes,
                             struct cof_sqlite_layout *ret_layout)
{
    if (memcmp(page, magic, sizeof magic) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (get(page + AT_VERSION, 4) > COF_SQLITE_LAYOUT_VERSION) {
        return COFFER_E_TOO_NEW;
    }
    if (get(page + AT_SUM, 8) != sum_of(page, AT_SUM) ||
        get(page + AT_VERSION, 4) != COF_SQLITE_LAYOUT_VERSION) {
        return COFFER_E_CORRUPT;
    }
    if (get(page + AT_FEATURES, 4) != 0 || !all_zero(page + AT_ZEROS, AT_SUM - AT_ZEROS) ||
        !all_zero(page + COF_SQLITE_SUPERBLOCK_BYTES,
                  COFFER_PAGE_BYTES - COF_SQLITE_SUPERBLOCK_BYTES)) {
        return COFFER_E_TOO_NEW;
    }
    const struct cof_sqlite_layout layout = {.supers_offset = get(page + AT_SUPERS, 8),
                                             .journal_offset = get(page + AT_JOURNAL, 8),
                                             .wal_offset = get(page + AT_WAL, 8),
                                             .main_offset = get(page + AT_MAIN, 8),
                                             .main_floor_bytes = get(page + AT_FLOOR, 8),
                                             .journal_bytes = get(page + AT_JOURNAL_BYTES, 8)};
    if (!in_order(&layout, volume_bytes)) {
        return COFFER_E_CORRUPT;
    }
    *ret_layout = layout;
    return 0;
}

bool cof_sqlite_super_is_name(const char *word)
{
    return strncmp(word, "-mj", 3) == 0 && strlen(word) == 12 &&
           strspn(word + 3, "0123456789abcdefABCDEF") == 9;
}

void cof_sqlite_super_encode(const struct cof_sqlite_super *super,
                             uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES])
{
    memset(head, 0, COF_SQLITE_SUPER_HEAD_BYTES);
    memcpy(head, slot_magic, sizeof slot_magic);
    put(head + SLOT_VERSION, COF_SQLITE_LAYOUT_VERSION, 4);
    put(head + SLOT_LENGTH, super->length_bytes, 4);
    memcpy(head + SLOT_NAME, super->name, strlen(super->name));
    put(head + SLOT_SUM, sum_of(head, SLOT_SUM), 8);
}

int cof_sqlite_super_decode(const uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES],
                            struct cof_sqlite_super *ret_super)
{
    struct cof_sqlite_super super = {.length_bytes = (uint32_t)get(head + SLOT_LENGTH, 4)};
    if (all_zero(head, COF_SQLITE_SUPER_HEAD_BYTES)) {
        return COFFER_E_NOT_FOUND;
    }
    if (memcmp(head, slot_magic, sizeof slot_magic) != 0 ||
        get(head + SLOT_SUM, 8) != sum_of(head, SLOT_SUM)) {
        return COFFER_E_CORRUPT;
    }
    if (get(head + SLOT_VERSION, 4) != COF_SQLITE_LAYOUT_VERSION ||
        !all_zero(head + SLOT_ZEROS, SLOT_SUM - SLOT_ZEROS)) {
        return COFFER_E_TOO_NEW;
    }
    memcpy(super.name, head + SLOT_NAME, COF_SQLITE_SUPER_NAME_BYTES);
    if (!cof_sqlite_super_is_name(super.name) ||
        super.length_bytes > COF_SQLITE_SUPER_SLOT_BYTES - COF_SQLITE_SUPER_HEAD_BYTES) {
        return COFFER_E_CORRUPT;
    }
    *ret_super = super;
    return 0;
}
