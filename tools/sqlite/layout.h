/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/layout.h - what lies where in a volume that holds a SQLite database.
 *
 * Page 0 of the volume is the superblock (docs/format.md, 15); behind it lie four regions:
 *
 *     supers    16 slots of 64 KiB, each for one super-journal
 *     journal   the rollback journal
 *     wal       the write-ahead log
 *     main      the database, up to the end of the volume
 *
 * A file is what its region holds: its length is where its data ends, and beyond that a region has
 * no pages. So creating, growing, cutting and deleting a file need no other write than its own.
 *
 * Nothing here does I/O. Bytes are untrusted: decode bounds everything.
 */
#ifndef COF_TOOLS_SQLITE_LAYOUT_H
#define COF_TOOLS_SQLITE_LAYOUT_H

#include <coffer/coffer.h>
#include <stdbool.h>
#include <stdint.h>

#define COF_SQLITE_LAYOUT_VERSION 1u
#define COF_SQLITE_SUPERBLOCK_BYTES 128u
#define COF_SQLITE_SUPER_SLOTS 16u
#define COF_SQLITE_SUPER_SLOT_BYTES 65536u
#define COF_SQLITE_SUPER_HEAD_BYTES 64u
#define COF_SQLITE_SUPER_NAME_BYTES 16u /* "-mj" and nine hex digits, NULs behind */
#define COF_SQLITE_SUPERS_BYTES ((uint64_t)COF_SQLITE_SUPER_SLOTS * COF_SQLITE_SUPER_SLOT_BYTES)

struct cof_sqlite_layout {
    uint64_t supers_offset, journal_offset, wal_offset, main_offset; /* bytes, whole pages */
    uint64_t main_floor_bytes; /* the database is at least so long; whole pages */
    uint64_t journal_bytes;    /* the journal's length to the byte, if it ends in that page; 0: - */
};

/* The regions of a new database in a volume of so many bytes. RANGE: too small. */
COFFER_MUST_CHECK int cof_sqlite_layout_plan(uint64_t volume_bytes,
                                             struct cof_sqlite_layout *ret_layout);

void cof_sqlite_layout_encode(const struct cof_sqlite_layout *layout,
                              uint8_t page[COFFER_PAGE_BYTES]);

/* NOT_A_STORE: no superblock of this kind; TOO_NEW: of a later version, or with features that this
 * one does not know; CORRUPT: it is one, but can't be right for a volume of that size. */
COFFER_MUST_CHECK int cof_sqlite_layout_decode(const uint8_t page[COFFER_PAGE_BYTES],
                                               uint64_t volume_bytes,
                                               struct cof_sqlite_layout *ret_layout);

/* A super-journal's slot. */
struct cof_sqlite_super {
    char name[COF_SQLITE_SUPER_NAME_BYTES + 1]; /* what stands behind the database's name */
    uint32_t length_bytes;
};

void cof_sqlite_super_encode(const struct cof_sqlite_super *super,
                             uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES]);
/* NOT_FOUND: the slot is free; TOO_NEW; CORRUPT. */
COFFER_MUST_CHECK int cof_sqlite_super_decode(const uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES],
                                              struct cof_sqlite_super *ret_super);

/* Whether the word is a super-journal's suffix. */
bool cof_sqlite_super_is_name(const char *word);

#endif
