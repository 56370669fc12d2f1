/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/volume.c - opening, lengths, reading, cutting and syncing the files of a volume.
 */
#include "volume.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOUNCE_BYTES 8192u

int cof_sqlite_fault(struct coffer_fault *fault, int error, const char *format, ...)
{
    va_list list;
    if (fault == NULL) {
        return error;
    }
    memset(fault, 0, sizeof *fault);
    fault->error = error;
    fault->page = COFFER_NOWHERE;
    fault->segment = COFFER_NOWHERE;
    fault->offset = COFFER_NOWHERE;
    va_start(list, format);
    vsnprintf(fault->detail, sizeof fault->detail, format, list);
    va_end(list);
    return error;
}

static uint64_t round_down(uint64_t bytes)
{
    return bytes / COFFER_PAGE_BYTES * COFFER_PAGE_BYTES;
}

static uint64_t round_up(uint64_t bytes)
{
    return round_down(bytes + COFFER_PAGE_BYTES - 1u);
}

/* ---- opening ----------------------------------------------------------------------------- */

static void set_regions(struct cof_sqlite_volume *volume)
{
    const struct cof_sqlite_layout *layout = &volume->layout;
    const uint64_t from[COF_SQLITE_PARTS] = {layout->main_offset, layout->journal_offset,
                                             layout->wal_offset};
    const uint64_t to[COF_SQLITE_PARTS] = {volume->size_bytes, layout->wal_offset,
                                           layout->main_offset};
    for (unsigned part = 0; part < COF_SQLITE_PARTS; part++) {
        volume->regions[part] = (struct cof_sqlite_region){.offset_bytes = from[part],
                                                           .room_bytes = to[part] - from[part]};
    }
}

/* A file ends where its data ends; of the first `floor` bytes that is known. */
static int measure(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t floor,
                   struct coffer_fault *fault)
{
    struct cof_sqlite_region *region = &volume->regions[part];
    uint64_t end = region->offset_bytes + region->room_bytes;
    uint64_t at = region->offset_bytes + floor;
    region->length_bytes = floor;
    while (at < end) {
        uint64_t length = 0;
        int error = coffer_volume_next_data(volume->volume, &at, &length, fault);
        if (error != 0) {
            return error;
        }
        if (length == 0 || at >= end) {
            return 0;
        }
        length = length < end - at ? length : end - at;
        at += length;
        region->length_bytes = at - region->offset_bytes;
    }
    return 0;
}

/* A volume that has no data at all becomes a database's at the first write. */
static int take_empty(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    uint64_t at = 0;
    uint64_t length = 0;
    int error = coffer_volume_next_data(volume->volume, &at, &length, fault);
    if (error != 0) {
        return error;
    }
    if (length != 0) {
        return cof_sqlite_fault(fault, COFFER_E_NOT_A_STORE,
                                "the volume holds data that is no SQLite database of this VFS: "
                                "give it an empty volume");
    }
    error = cof_sqlite_layout_plan(volume->size_bytes, &volume->layout);
    if (error != 0) {
        return cof_sqlite_fault(fault, error,
                                "the volume is too small for a database: it takes 16 MiB at least");
    }
    set_regions(volume);
    return 0;
}

static int take_formatted(struct cof_sqlite_volume *volume, const uint8_t *page,
                          struct coffer_fault *fault)
{
    int error = cof_sqlite_layout_decode(page, volume->size_bytes, &volume->layout);
    if (error == COFFER_E_TOO_NEW) {
        return cof_sqlite_fault(fault, error,
                                "the database's layout in its volume is newer than this program");
    }
    if (error != 0) {
        return cof_sqlite_fault(fault, error,
                                error == COFFER_E_CORRUPT
                                    ? "the database's superblock does not fit its volume"
                                    : "the volume holds data that is no SQLite database of this "
                                      "VFS: give it an empty volume");
    }
    volume->formatted = true;
    set_regions(volume);
    error = measure(volume, COF_SQLITE_MAIN, volume->layout.main_floor_bytes, fault);
    if (error == 0) {
        error = measure(volume, COF_SQLITE_JOURNAL, 0, fault);
    }
    return error != 0 ? error : measure(volume, COF_SQLITE_WAL, 0, fault);
}

static int take(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    static const uint8_t zeros[COFFER_PAGE_BYTES];
    struct coffer_volume_info info = {.size = sizeof info};
    uint8_t *page = volume->memory;
    int error = coffer_volume_info_get(volume->volume, &info);
    if (error != 0) {
        return error;
    }
    volume->size_bytes = info.size_bytes;
    error = coffer_volume_read(volume->volume, page, 0, COFFER_PAGE_BYTES, fault);
    if (error != 0) {
        return error;
    }
    return memcmp(page, zeros, sizeof zeros) == 0 ? take_empty(volume, fault)
                                                  : take_formatted(volume, page, fault);
}

static void release(struct cof_sqlite_volume *volume)
{
    coffer_queue_destroy(volume->queue);
    free(volume->memory);
    pthread_mutex_destroy(&volume->mutex);
}

int cof_sqlite_volume_open(struct cof_sqlite_volume *volume, struct coffer_store *store,
                           struct coffer_volume *inner, bool read_only, struct coffer_fault *fault)
{
    const size_t run_bytes = COF_SQLITE_RUN_PAGES * (size_t)COFFER_PAGE_BYTES;
    const struct coffer_queue_opts opts = {.size = sizeof opts, .depth = COF_SQLITE_RUNS};
    memset(volume, 0, sizeof *volume);
    volume->volume = inner;
    volume->read_only = read_only;
    volume->memory = aligned_alloc(COFFER_PAGE_BYTES, COF_SQLITE_RUNS * run_bytes);
    if (volume->memory == NULL || pthread_mutex_init(&volume->mutex, NULL) != 0) {
        free(volume->memory);
        return cof_sqlite_fault(fault, COFFER_E_NO_MEMORY, "no memory for a database's volume");
    }
    for (unsigned i = 0; i < COF_SQLITE_RUNS; i++) {
        volume->runs[i].bytes = volume->memory + i * run_bytes;
    }
    int error = read_only ? 0 : coffer_queue_create(store, &opts, &volume->queue);
    if (error == 0) {
        error = take(volume, fault);
    }
    if (error != 0) {
        release(volume);
    }
    return error;
}

/* ---- the superblock ---------------------------------------------------------------------- */

static int put_superblock(struct cof_sqlite_volume *volume, uint64_t floor,
                          struct coffer_fault *fault)
{
    uint8_t page[COFFER_PAGE_BYTES];
    struct cof_sqlite_layout layout = volume->layout;
    layout.main_floor_bytes = floor;
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

int cof_sqlite_volume_close(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    int error = 0;
    if (!volume->read_only) {
        uint64_t length = round_up(volume->regions[COF_SQLITE_MAIN].length_bytes);
        error = cof_sqlite_runs_settle(volume, 0, fault);
        if (error == 0 && volume->formatted && volume->layout.main_floor_bytes != length) {
            error = put_superblock(volume, length, fault);
        }
    }
    release(volume);
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
    if (!volume->formatted) {
        return put_superblock(volume, 0, fault);
    }
    if (part == COF_SQLITE_MAIN &&
        end > volume->layout.main_floor_bytes + COF_SQLITE_FLOOR_STEP_BYTES &&
        round_up(region->length_bytes) > volume->layout.main_floor_bytes) {
        return put_superblock(volume, round_up(region->length_bytes), fault);
    }
    return 0;
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

static int cut(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t length_bytes,
               unsigned flags, struct coffer_fault *fault)
{
    static const uint8_t zeros[COFFER_PAGE_BYTES];
    struct cof_sqlite_region *region = &volume->regions[part];
    uint64_t from = round_up(length_bytes);
    uint64_t to = round_up(region->length_bytes);
    int error = 0;
    if (part == COF_SQLITE_MAIN && volume->layout.main_floor_bytes > round_down(length_bytes)) {
        error = put_superblock(volume, round_down(length_bytes), fault);
    }
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
        if (to > from) {
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
                    : cut(volume, part, length_bytes, durable ? COFFER_IO_FUA : 0u, fault);
    } else if (length_bytes > present) {
        error = extend(volume, part, length_bytes, fault);
    }
    pthread_mutex_unlock(&volume->mutex);
    return error != 0 || !durable ? error : cof_sqlite_volume_sync(volume, fault);
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
    pthread_mutex_lock(&volume->mutex);
    int error = cof_sqlite_runs_settle(volume, COFFER_IO_FUA, fault);
    if (error == 0 && volume->unflushed) {
        error = coffer_volume_flush(volume->volume, fault);
        volume->unflushed = error != 0;
    }
    pthread_mutex_unlock(&volume->mutex);
    return error;
}
