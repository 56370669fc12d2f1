/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/disk.h - what the process asks the system to do to the files of one directory,
 * recorded, and what would be there after a power cut.
 *
 * write, pwrite, ftruncate, fsync, fdatasync, open with O_CREAT, unlink, link and rename of the C
 * library are taken over, for SQLite and the ledger alike; all go through, and while recording they
 * are written down, but for the last two, which only a death counts. SQLite's shared index (-shm)
 * is no part of a store and is left out. One thread.
 */
#ifndef TESTS_CRASH_KMS_DISK_H
#define TESTS_CRASH_KMS_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* This process kills itself before the next call but `writes` that changes a file or its name. */
void disk_die_after(uint64_t writes);

enum cut_variant {
    CUT_ALL,    /* everything that was asked for                                    */
    CUT_NONE,   /* nothing but what was synced                                      */
    CUT_SUBSET, /* of what wasn't synced, any part                                  */
    CUT_TORN,   /* the same, and pieces of 512 bytes of each write for themselves    */
    CUT_VARIANTS
};
extern const char *const cut_names[CUT_VARIANTS];

/* From here on, with the directory's files as they are, which count as synced. */
void disk_record(const char *directory);
void disk_stop(void);
/* How much was recorded so far: a cut may be before any of it, or after all. */
uint64_t disk_events(void);
/* Whether event i makes something durable. */
bool disk_is_sync(uint64_t event);
/* Make the files in the directory `to` that a cut after `events` events leaves. */
void disk_image(uint64_t events, enum cut_variant variant, uint64_t seed, const char *to);

#endif
