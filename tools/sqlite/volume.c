/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/volume.c - lengths, reading, writing, cutting and syncing the files of a volume.
 */
#include "volume.h"
#include <stdlib.h>
#include <string.h>

#define BOUNCE_BYTES 8192u

#ifdef COF_TEST_HOOKS
enum cof_sqlite_break cof_sqlite_test_break;
#endif

/* ---- the superblock ---------------------------------------------------------------------- */

int cof_sqlite_volume_put_superblock(struct cof_sqlite_volume *volume, uint64_t floor_bytes,
                                     uint64_t journal_bytes, struct coffer_fault *fault)
{
    uint8_t page[COFFER_PAGE_BYTES];
    struct cof_sqlite_layout layout = volume->layout;
    layout.main_floor_bytes = floor_bytes;
    layout.journal_bytes = journal_bytes;
    cof_sqlite_layout_encode(&layout, page);
    int error = cof_sqlite_runs_settle(volume, 0, fault);
    if (error == 0) {
        error = coffer_volume_write(volume->volume, page, 0, sizeof page, 0, fault);
    }
    if (error == 0) {
        volume->layout = layout;
        volume->formatted = true;
        volume->unflushed = true;
    }
    return error;
}

/* ---- reading and writing ----------------------------------------------------------------- */

/* Any range of bytes, by whole sectors. */
static int read_span(struct coffer_volume *volume, uint8_t *buffer, uint64_t at,
                     size_t length_bytes, struct coffer_fault *fault)
{
    uint8_t small[BOUNCE_BYTES];
    uint64_t first = at / COFFER_SECTOR_BYTES * COFFER_SECTOR_BYTES;
    uint64_t end =
        (at + length_bytes + COFFER_SECTOR_BYTES - 1u) / COFFER_SECTOR_BYTES * COFFER_SECTOR_BYTES;
    size_t span = (size_t)(end - first);
    if (first == at && span == length_bytes) {
        return coffer_volume_read(volume, buffer, at, length_bytes, fault);
    }
    uint8_t *bounce = span <= sizeof small ? small : malloc(span);
    if (bounce == NULL) {
        return cof_sqlite_fault(fault, COFFER_E_NO_MEMORY, "no memory to read a piece of a file");
    }
    int error = coffer_volume_read(volume, bounce, first, span, fault);
    if (error == 0) {
        memcpy(buffer, bounce + (at - first), length_bytes);
    }
    if (bounce != small) {
        free(bounce);
    }
    return error;
}

int cof_sqlite_volume_read(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                           void *buffer, uint64_t offset_bytes, size_t length_bytes,
                           size_t *ret_bytes, struct coffer_fault *fault)
{
    const struct cof_sqlite_region *region = &volume->regions[part];
    bool done = true;
    int error = 0;
    pthread_mutex_lock(&volume->mutex);
    uint64_t left = offset_bytes < region->length_bytes ? region->length_bytes - offset_bytes : 0;
    size_t bytes = left < length_bytes ? (size_t)left : length_bytes;
    if (bytes > 0) {
        error = cof_sqlite_runs_look(volume, part, buffer, offset_bytes, bytes, &done, fault);
    }
    pthread_mutex_unlock(&volume->mutex);
    if (error == 0 && !done) {
        error =
            read_span(volume->volume, buffer, region->offset_bytes + offset_bytes, bytes, fault);
    }
    if (error == 0) {
        *ret_bytes = bytes;
    }
    return error;
}

static int make_room(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t end,
                     struct coffer_fault *fault)
{
    const struct cof_sqlite_region *region = &volume->regions[part];
    static const char *const names[] = {"database", "rollback journal", "write-ahead log"};
    if (volume->read_only) {
        return cof_sqlite_fault(fault, COFFER_E_READ_ONLY,
                                "the database's volume is open for reading only");
    }
    if (end > region->room_bytes) {
        return cof_sqlite_fault(fault, COFFER_E_NO_SPACE,
                                "the volume has no room for a %s of %llu bytes: volumes cost only "
                                "what they hold, make larger ones",
                                names[part], (unsigned long long)end);
    }
    uint64_t floor = volume->layout.main_floor_bytes;
    uint64_t length = cof_sqlite_round_up(volume->regions[COF_SQLITE_MAIN].length_bytes);
    bool grew =
        part == COF_SQLITE_MAIN && end > floor + COF_SQLITE_FLOOR_STEP_BYTES && length > floor;
    bool noted = part == COF_SQLITE_JOURNAL && volume->layout.journal_bytes != 0;
    if (volume->formatted && !grew && !noted) {
        return 0;
    }
    return cof_sqlite_volume_put_superblock(volume, grew ? length : floor,
                                            noted ? 0 : volume->layout.journal_bytes, fault);
}

int cof_sqlite_volume_write(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                            const void *buffer, uint64_t offset_bytes, size_t length_bytes,
                            struct coffer_fault *fault)
{
    struct cof_sqlite_region *region = &volume->regions[part];
    uint64_t end = offset_bytes + length_bytes;
    if (length_bytes == 0) {
        return 0;
    }
    pthread_mutex_lock(&volume->mutex);
    int error = end < offset_bytes ? COFFER_E_RANGE : make_room(volume, part, end, fault);
    if (error == 0) {
        volume->main_changes += part == COF_SQLITE_MAIN ? 1u : 0u;
        error = cof_sqlite_runs_put(volume, part, buffer, offset_bytes, length_bytes, fault);
    }
    if (error == 0 && end > region->length_bytes) {
        region->length_bytes = end;
    }
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

/* ---- cutting ----------------------------------------------------------------------------- */

/* The floor goes below the new end before the end does, and a length that was noted goes, too. */
static int lower(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t length_bytes,
                 struct coffer_fault *fault)
{
    uint64_t floor = volume->layout.main_floor_bytes;
    uint64_t whole = cof_sqlite_round_down(length_bytes);
    bool lowers = part == COF_SQLITE_MAIN && floor > whole;
    bool noted =
        part == COF_SQLITE_JOURNAL && length_bytes > 0 && volume->layout.journal_bytes != 0;
    if (!lowers && !noted) {
        return 0;
    }
    return cof_sqlite_volume_put_superblock(volume, lowers ? whole : floor,
                                            noted ? 0 : volume->layout.journal_bytes, fault);
}

static int cut(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t length_bytes,
               unsigned flags, struct coffer_fault *fault)
{
    static const uint8_t zeros[COFFER_PAGE_BYTES];
    struct cof_sqlite_region *region = &volume->regions[part];
    uint64_t from = cof_sqlite_round_up(length_bytes);
    uint64_t to = cof_sqlite_round_up(region->length_bytes);
    int error = lower(volume, part, length_bytes, fault);
    if (error == 0 && from != length_bytes) {
        error = cof_sqlite_runs_put(volume, part, zeros, length_bytes,
                                    (size_t)(from - length_bytes), fault);
    }
    if (error == 0 && length_bytes == 0) {
        cof_sqlite_runs_drop(volume, part);
    }
    if (error == 0) {
        error = cof_sqlite_runs_settle(volume, 0, fault);
    }
    if (error == 0) {
        cof_sqlite_runs_drop(volume, part);
        const struct coffer_io io = {.op = COFFER_IO_DISCARD,
                                     .flags = flags,
                                     .volume = volume->volume,
                                     .offset_bytes = region->offset_bytes + from,
                                     .length_bytes = to - from};
        if (to > from && !COF_SQLITE_BROKEN(KEEP_JOURNAL)) {
            error = cof_sqlite_runs_one(volume, &io, fault);
            volume->unflushed = error != 0 || (flags & COFFER_IO_FUA) == 0;
        }
    }
    if (error == 0) {
        region->length_bytes = length_bytes;
        volume->main_changes += part == COF_SQLITE_MAIN ? 1u : 0u;
    }
    return error;
}

static int extend(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                  uint64_t length_bytes, struct coffer_fault *fault)
{
    static const uint8_t zero;
    int error = make_room(volume, part, length_bytes, fault);
    if (error == 0) {
        error = cof_sqlite_runs_put(volume, part, &zero, length_bytes - 1u, 1, fault);
    }
    if (error == 0) {
        volume->regions[part].length_bytes = length_bytes;
    }
    return error;
}

int cof_sqlite_volume_truncate(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                               uint64_t length_bytes, bool durable, struct coffer_fault *fault)
{
    int error = 0;
    pthread_mutex_lock(&volume->mutex);
    uint64_t present = volume->regions[part].length_bytes;
    if (length_bytes < present) {
        error = volume->read_only
                    ? COFFER_E_READ_ONLY
                    : cut(volume, part, length_bytes,
                          durable && !COF_SQLITE_BROKEN(NO_SYNC) ? COFFER_IO_FUA : 0u, fault);
    } else if (length_bytes > present) {
        error = extend(volume, part, length_bytes, fault);
    }
    pthread_mutex_unlock(&volume->mutex);
    return error != 0 || !durable ? error : cof_sqlite_volume_sync(volume, fault);
}

int cof_sqlite_volume_note_journal(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    pthread_mutex_lock(&volume->mutex);
    uint64_t length = volume->regions[COF_SQLITE_JOURNAL].length_bytes;
    int error = length == volume->layout.journal_bytes
                    ? 0
                    : cof_sqlite_volume_put_superblock(volume, volume->layout.main_floor_bytes,
                                                       length, fault);
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

/* ---- the rest ---------------------------------------------------------------------------- */

uint64_t cof_sqlite_volume_length(struct cof_sqlite_volume *volume, enum cof_sqlite_part part)
{
    pthread_mutex_lock(&volume->mutex);
    uint64_t length = volume->regions[part].length_bytes;
    pthread_mutex_unlock(&volume->mutex);
    return length;
}

uint64_t cof_sqlite_volume_changes(struct cof_sqlite_volume *volume)
{
    pthread_mutex_lock(&volume->mutex);
    uint64_t changes = volume->main_changes;
    pthread_mutex_unlock(&volume->mutex);
    return changes;
}

int cof_sqlite_volume_settle(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    pthread_mutex_lock(&volume->mutex);
    int error = cof_sqlite_runs_settle(volume, 0, fault);
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

int cof_sqlite_volume_sync(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    if (COF_SQLITE_BROKEN(NO_SYNC)) {
        return cof_sqlite_volume_settle(volume, fault);
    }
    pthread_mutex_lock(&volume->mutex);
    int error = cof_sqlite_runs_settle(volume, COFFER_IO_FUA, fault);
    if (error == 0 && volume->unflushed) {
        error = coffer_volume_flush(volume->volume, fault);
        volume->unflushed = error != 0;
    }
    pthread_mutex_unlock(&volume->mutex);
    return error;
}
