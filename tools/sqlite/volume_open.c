/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/volume_open.c - opening: what the volume holds, and how long each file is; and closing.
 */
#include "volume.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct cof_sqlite_region *journal = &volume->regions[COF_SQLITE_JOURNAL];
    error = measure(volume, COF_SQLITE_MAIN, volume->layout.main_floor_bytes, fault);
    if (error == 0) {
        error = measure(volume, COF_SQLITE_JOURNAL, 0, fault);
    }
    if (error == 0) {
        error = measure(volume, COF_SQLITE_WAL, 0, fault);
    }
    if (journal->length_bytes == cof_sqlite_round_up(volume->layout.journal_bytes)) {
        journal->length_bytes = volume->layout.journal_bytes;
    }
    return error;
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

int cof_sqlite_volume_close(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    int error = 0;
    if (!volume->read_only) {
        uint64_t length = cof_sqlite_round_up(volume->regions[COF_SQLITE_MAIN].length_bytes);
        error = cof_sqlite_runs_settle(volume, 0, fault);
        if (error == 0 && volume->formatted && volume->layout.main_floor_bytes != length) {
            error = cof_sqlite_volume_put_superblock(volume, length, volume->layout.journal_bytes,
                                                     fault);
        }
    }
    release(volume);
    return error;
}
