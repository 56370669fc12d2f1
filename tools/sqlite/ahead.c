/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/ahead.c - reading ahead of a connection that goes through its database in order.
 *
 * SQLite reads page by page, and each read of the engine costs a turn of the device. After a few
 * reads that followed each other, 128 KiB are read at a time. What was read ahead is the
 * connection's own, and is forgotten when anything was written to the database since.
 */
#include "vfs.h"
#include <stdlib.h>
#include <string.h>

#define AHEAD_BYTES (128u << 10)
#define IN_ORDER_MIN 3u
#define GAP_BYTES (4u * 65536u) /* an inner page of the tree may lie between two leaves */

static void note(struct cof_sqlite_ahead *ahead, uint64_t offset_bytes, size_t length_bytes)
{
    bool follows = offset_bytes >= ahead->next_offset &&
                   offset_bytes - ahead->next_offset <= GAP_BYTES && ahead->next_offset > 0;
    ahead->in_order = follows ? ahead->in_order + 1u : 0;
    ahead->next_offset = offset_bytes + length_bytes;
}

static bool has(const struct cof_sqlite_ahead *ahead, uint64_t changes, uint64_t offset_bytes,
                size_t length_bytes)
{
    return ahead->length_bytes > 0 && ahead->changes == changes &&
           offset_bytes >= ahead->offset_bytes &&
           offset_bytes + length_bytes <= ahead->offset_bytes + ahead->length_bytes;
}

static int fill(struct cof_sqlite_file *file, uint64_t offset_bytes, struct coffer_fault *fault)
{
    struct cof_sqlite_ahead *ahead = &file->ahead;
    size_t got = 0;
    ahead->length_bytes = 0;
    ahead->changes = cof_sqlite_volume_changes(&file->database->volume);
    int error = cof_sqlite_volume_read(&file->database->volume, file->part, ahead->bytes,
                                       offset_bytes, AHEAD_BYTES, &got, fault);
    if (error == 0) {
        ahead->offset_bytes = offset_bytes;
        ahead->length_bytes = got;
    }
    return error;
}

int cof_sqlite_ahead_read(struct cof_sqlite_file *file, void *buffer, uint64_t offset_bytes,
                          size_t length_bytes, size_t *ret_bytes, struct coffer_fault *fault)
{
    struct cof_sqlite_ahead *ahead = &file->ahead;
    struct cof_sqlite_volume *volume = &file->database->volume;
    if (file->part == COF_SQLITE_MAIN) {
        note(ahead, offset_bytes, length_bytes);
        bool worth = ahead->in_order >= IN_ORDER_MIN && length_bytes <= AHEAD_BYTES;
        if (worth && ahead->bytes == NULL) {
            ahead->bytes = aligned_alloc(COFFER_PAGE_BYTES, AHEAD_BYTES);
        }
        /* An error of another page is that page's: read what was asked for, alone. */
        bool there = has(ahead, cof_sqlite_volume_changes(volume), offset_bytes, length_bytes);
        if (!there && worth && ahead->bytes != NULL && fill(file, offset_bytes, fault) == 0) {
            there = has(ahead, cof_sqlite_volume_changes(volume), offset_bytes, length_bytes);
        }
        if (there) {
            memcpy(buffer, ahead->bytes + (offset_bytes - ahead->offset_bytes), length_bytes);
            *ret_bytes = length_bytes;
            return 0;
        }
    }
    return cof_sqlite_volume_read(volume, file->part, buffer, offset_bytes, length_bytes, ret_bytes,
                                  fault);
}

void cof_sqlite_ahead_done(struct cof_sqlite_file *file)
{
    free(file->ahead.bytes);
    file->ahead.bytes = NULL;
}
