/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/supers.c - the slots of super-journals: files of a few names, there for the moment in
 * which a transaction over several databases commits.
 *
 * A slot's head says whose it is and how long; it is written after the bytes it speaks of. Deleting
 * discards the slot, at once. Heads are read each time: this is no path that has to be fast.
 */
#include "volume.h"
#include <stdlib.h>
#include <string.h>

#define CONTENT_BYTES_MAX (COF_SQLITE_SUPER_SLOT_BYTES - COF_SQLITE_SUPER_HEAD_BYTES)

static uint64_t slot_at(const struct cof_sqlite_volume *volume, unsigned slot)
{
    return volume->layout.supers_offset + (uint64_t)slot * COF_SQLITE_SUPER_SLOT_BYTES;
}

static int read_head(struct cof_sqlite_volume *volume, unsigned slot,
                     struct cof_sqlite_super *ret_super, struct coffer_fault *fault)
{
    uint8_t sector[COFFER_SECTOR_BYTES];
    int error =
        coffer_volume_read(volume->volume, sector, slot_at(volume, slot), sizeof sector, fault);
    if (error == 0) {
        error = cof_sqlite_super_decode(sector, ret_super);
    }
    if (error == COFFER_E_CORRUPT || error == COFFER_E_TOO_NEW) {
        return cof_sqlite_fault(fault, error, "a super-journal of the volume is not one");
    }
    return error;
}

/* The slot that has the name, or with "" a free one. */
static int search(struct cof_sqlite_volume *volume, const char *name, unsigned *ret_slot,
                  struct coffer_fault *fault)
{
    for (unsigned slot = 0; volume->formatted && slot < COF_SQLITE_SUPER_SLOTS; slot++) {
        struct cof_sqlite_super super = {.name = ""};
        int error = read_head(volume, slot, &super, fault);
        if (error != 0 && error != COFFER_E_NOT_FOUND) {
            return error;
        }
        if (strcmp(super.name, name) == 0) {
            *ret_slot = slot;
            return 0;
        }
    }
    return COFFER_E_NOT_FOUND;
}

int cof_sqlite_supers_find(struct cof_sqlite_volume *volume, const char *name, unsigned *ret_slot,
                           struct coffer_fault *fault)
{
    pthread_mutex_lock(&volume->mutex);
    int error = search(volume, name, ret_slot, fault);
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

int cof_sqlite_supers_length(struct cof_sqlite_volume *volume, unsigned slot, uint32_t *ret_bytes,
                             struct coffer_fault *fault)
{
    struct cof_sqlite_super super;
    pthread_mutex_lock(&volume->mutex);
    int error = read_head(volume, slot, &super, fault);
    pthread_mutex_unlock(&volume->mutex);
    if (error == 0) {
        *ret_bytes = super.length_bytes;
    }
    return error;
}

int cof_sqlite_supers_read(struct cof_sqlite_volume *volume, unsigned slot, void *buffer,
                           uint32_t offset_bytes, size_t length_bytes, size_t *ret_bytes,
                           struct coffer_fault *fault)
{
    uint8_t page[COFFER_PAGE_BYTES];
    uint32_t length = 0;
    int error = cof_sqlite_supers_length(volume, slot, &length, fault);
    if (error != 0) {
        return error;
    }
    size_t left = offset_bytes < length ? length - offset_bytes : 0;
    size_t bytes = left < length_bytes ? left : length_bytes;
    for (size_t done = 0; done < bytes;) {
        size_t from = COF_SQLITE_SUPER_HEAD_BYTES + offset_bytes + done;
        size_t inside = from % sizeof page;
        size_t part = sizeof page - inside < bytes - done ? sizeof page - inside : bytes - done;
        error = coffer_volume_read(volume->volume, page, slot_at(volume, slot) + from - inside,
                                   sizeof page, fault);
        if (error != 0) {
            return error;
        }
        memcpy((uint8_t *)buffer + done, page + inside, part);
        done += part;
    }
    *ret_bytes = bytes;
    return 0;
}

/* Change bytes of one page of a slot. */
static int change(struct cof_sqlite_volume *volume, uint64_t at, const void *bytes, size_t length,
                  struct coffer_fault *fault)
{
    uint8_t page[COFFER_PAGE_BYTES];
    size_t inside = at % sizeof page;
    int error = coffer_volume_read(volume->volume, page, at - inside, sizeof page, fault);
    if (error != 0) {
        return error;
    }
    memcpy(page + inside, bytes, length);
    volume->unflushed = true;
    return coffer_volume_write(volume->volume, page, at - inside, sizeof page, 0, fault);
}

static int change_head(struct cof_sqlite_volume *volume, unsigned slot,
                       const struct cof_sqlite_super *super, struct coffer_fault *fault)
{
    uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES];
    cof_sqlite_super_encode(super, head);
    return change(volume, slot_at(volume, slot), head, sizeof head, fault);
}

static int create(struct cof_sqlite_volume *volume, const char *name, unsigned *ret_slot,
                  struct coffer_fault *fault)
{
    struct cof_sqlite_super super = {.length_bytes = 0};
    int error = search(volume, name, ret_slot, fault);
    if (error != COFFER_E_NOT_FOUND) {
        return error;
    }
    if (volume->read_only || !volume->formatted) {
        return cof_sqlite_fault(fault, COFFER_E_READ_ONLY,
                                "a super-journal belongs into a database that can be written");
    }
    error = search(volume, "", ret_slot, fault);
    if (error == COFFER_E_NOT_FOUND) {
        return cof_sqlite_fault(fault, COFFER_E_LIMIT,
                                "the volume holds %u super-journals of transactions that were cut "
                                "off: open each database that took part, with the others attached",
                                COF_SQLITE_SUPER_SLOTS);
    }
    if (error == 0) {
        error = cof_sqlite_runs_settle(volume, 0, fault);
    }
    memcpy(super.name, name, strlen(name) + 1u);
    if (error == 0) {
        volume->supers_ours |= 1u << *ret_slot;
        error = change_head(volume, *ret_slot, &super, fault);
    }
    return error;
}

int cof_sqlite_supers_create(struct cof_sqlite_volume *volume, const char *name, unsigned *ret_slot,
                             struct coffer_fault *fault)
{
    if (!cof_sqlite_super_is_name(name)) {
        return COFFER_E_INVALID;
    }
    pthread_mutex_lock(&volume->mutex);
    int error = create(volume, name, ret_slot, fault);
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

static int write_content(struct cof_sqlite_volume *volume, unsigned slot, const uint8_t *buffer,
                         uint32_t offset_bytes, size_t length_bytes, struct coffer_fault *fault)
{
    struct cof_sqlite_super super;
    int error = read_head(volume, slot, &super, fault);
    for (size_t done = 0; error == 0 && done < length_bytes;) {
        size_t from = COF_SQLITE_SUPER_HEAD_BYTES + offset_bytes + done;
        size_t room = COFFER_PAGE_BYTES - from % COFFER_PAGE_BYTES;
        size_t part = room < length_bytes - done ? room : length_bytes - done;
        error = change(volume, slot_at(volume, slot) + from, buffer + done, part, fault);
        done += part;
    }
    if (error == 0 && super.length_bytes < offset_bytes + length_bytes) {
        super.length_bytes = (uint32_t)(offset_bytes + length_bytes);
        error = change_head(volume, slot, &super, fault);
    }
    return error;
}

int cof_sqlite_supers_write(struct cof_sqlite_volume *volume, unsigned slot, const void *buffer,
                            uint32_t offset_bytes, size_t length_bytes, struct coffer_fault *fault)
{
    if (offset_bytes > CONTENT_BYTES_MAX || length_bytes > CONTENT_BYTES_MAX - offset_bytes) {
        return cof_sqlite_fault(fault, COFFER_E_LIMIT,
                                "the names of the databases in one transaction are too long");
    }
    pthread_mutex_lock(&volume->mutex);
    int error = cof_sqlite_runs_settle(volume, 0, fault);
    if (error == 0) {
        error = write_content(volume, slot, buffer, offset_bytes, length_bytes, fault);
    }
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

int cof_sqlite_supers_delete(struct cof_sqlite_volume *volume, const char *name,
                             struct coffer_fault *fault)
{
    unsigned slot = 0;
    pthread_mutex_lock(&volume->mutex);
    int error = search(volume, name, &slot, fault);
    if (error == 0) {
        error = cof_sqlite_runs_settle(volume, 0, fault);
    }
    if (error == 0) {
        const struct coffer_io io = {.op = COFFER_IO_DISCARD,
                                     .flags = COFFER_IO_FUA,
                                     .volume = volume->volume,
                                     .offset_bytes = slot_at(volume, slot),
                                     .length_bytes = COF_SQLITE_SUPER_SLOT_BYTES};
        error = volume->read_only ? COFFER_E_READ_ONLY : cof_sqlite_runs_one(volume, &io, fault);
        volume->supers_ours &= error == 0 ? ~(1u << slot) : UINT32_MAX;
    }
    pthread_mutex_unlock(&volume->mutex);
    return error;
}

/* ---- what was left behind ---------------------------------------------------------------- */

static int reclaim(struct cof_sqlite_volume *volume, unsigned slot, char *names,
                   bool (*needed)(const char *journal), struct coffer_fault *fault)
{
    struct cof_sqlite_super super = {.name = ""};
    size_t bytes = 0;
    pthread_mutex_lock(&volume->mutex);
    int error = read_head(volume, slot, &super, fault);
    pthread_mutex_unlock(&volume->mutex);
    if (error == 0) {
        error = cof_sqlite_supers_read(volume, slot, names, 0, CONTENT_BYTES_MAX, &bytes, fault);
    }
    if (error != 0) {
        return error == COFFER_E_NOT_FOUND ? 0 : error;
    }
    names[bytes] = '\0';
    for (const char *name = names; name < names + bytes; name += strlen(name) + 1u) {
        if (needed(name)) {
            return 0;
        }
    }
    return cof_sqlite_supers_delete(volume, super.name, fault);
}

int cof_sqlite_supers_reclaim(struct cof_sqlite_volume *volume, bool (*needed)(const char *journal),
                              struct coffer_fault *fault)
{
    char *names = malloc(COF_SQLITE_SUPER_SLOT_BYTES);
    int error = names == NULL ? COFFER_E_NO_MEMORY : 0;
    for (unsigned slot = 0; error == 0 && slot < COF_SQLITE_SUPER_SLOTS; slot++) {
        pthread_mutex_lock(&volume->mutex);
        bool ours = (volume->supers_ours >> slot & 1u) != 0;
        pthread_mutex_unlock(&volume->mutex);
        error = ours ? 0 : reclaim(volume, slot, names, needed, fault);
    }
    free(names);
    return error;
}
