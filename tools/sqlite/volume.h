/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/volume.h - a volume as the few files of one database. Knows no SQLite.
 *
 * Invariants
 *  1. Beyond a file's end its region has no pages: a file is as long as its data, rounded up to a
 *     page after a crash, and what a shorter file had is never seen again.
 *  2. What is written to the journal, to the log or after another file reaches the engine in that
 *     order, each piece completed before the next is submitted. Only writes to the database between
 *     two of these go in any order, several at a time.
 *  3. A file grows before the superblock's floor says so, and the floor is lowered before it
 *     shrinks: the floor is never above the file's end.
 *
 * Writes are collected in runs of adjoining pages, so that SQLite's small pieces become whole
 * pages; reads see them. cof_sqlite_volume_settle hands all to the engine, where it survives the
 * process.
 *
 * Any thread: one lock a volume, not held while the engine reads.
 */
#ifndef COF_TOOLS_SQLITE_VOLUME_H
#define COF_TOOLS_SQLITE_VOLUME_H

#include "layout.h"
#include <coffer/coffer.h>
#include <pthread.h>

enum cof_sqlite_part { COF_SQLITE_MAIN = 0, COF_SQLITE_JOURNAL, COF_SQLITE_WAL, COF_SQLITE_PARTS };

#define COF_SQLITE_RUNS 16u
#define COF_SQLITE_RUN_PAGES 16u
#define COF_SQLITE_FLOOR_STEP_BYTES (64ull << 20)

struct cof_sqlite_region {
    uint64_t offset_bytes, room_bytes;
    uint64_t length_bytes; /* of the file */
};

struct cof_sqlite_run {
    uint64_t page;  /* of the volume, the first */
    unsigned pages; /* 0: idle */
    enum cof_sqlite_part part;
    bool dirty;
    bool in_flight;
    struct iovec iov;
    uint8_t *bytes;
};

struct cof_sqlite_volume {
    pthread_mutex_t mutex;
    struct coffer_volume *volume;
    struct coffer_queue *queue; /* under the mutex */
    bool read_only;
    bool formatted;
    bool unflushed; /* something completed that no flush has covered */
    uint64_t size_bytes;
    struct cof_sqlite_layout layout;
    struct cof_sqlite_region regions[COF_SQLITE_PARTS];
    uint64_t main_changes; /* goes up with each write to the database: what was read is stale */
    struct cof_sqlite_run runs[COF_SQLITE_RUNS];
    unsigned open; /* the run that is being collected */
    unsigned in_flight;
    int late_error; /* of a write that was answered before it failed; told once */
    struct coffer_fault late_fault;
    uint32_t supers_ours; /* slots that this process made, a bit each */
    uint8_t *memory;      /* of the runs */
};

/* The volume must outlive it. NOT_A_STORE: it holds something else; TOO_NEW, CORRUPT, RANGE. */
COFFER_MUST_CHECK int cof_sqlite_volume_open(struct cof_sqlite_volume *volume,
                                             struct coffer_store *store,
                                             struct coffer_volume *inner, bool read_only,
                                             struct coffer_fault *fault);
/* Hand over what was collected and note the database's length. The handle is gone in any case. */
COFFER_MUST_CHECK int cof_sqlite_volume_close(struct cof_sqlite_volume *volume,
                                              struct coffer_fault *fault);

/* *ret_bytes is less than length_bytes where the file ends. */
COFFER_MUST_CHECK int cof_sqlite_volume_read(struct cof_sqlite_volume *volume,
                                             enum cof_sqlite_part part, void *buffer,
                                             uint64_t offset_bytes, size_t length_bytes,
                                             size_t *ret_bytes, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_sqlite_volume_write(struct cof_sqlite_volume *volume,
                                              enum cof_sqlite_part part, const void *buffer,
                                              uint64_t offset_bytes, size_t length_bytes,
                                              struct coffer_fault *fault);
/* To 0 bytes at once, whatever the length; durable on return with `durable`. */
COFFER_MUST_CHECK int cof_sqlite_volume_truncate(struct cof_sqlite_volume *volume,
                                                 enum cof_sqlite_part part, uint64_t length_bytes,
                                                 bool durable, struct coffer_fault *fault);
uint64_t cof_sqlite_volume_length(struct cof_sqlite_volume *volume, enum cof_sqlite_part part);
uint64_t cof_sqlite_volume_changes(struct cof_sqlite_volume *volume);

/* All that was written has completed: it survives the process. */
COFFER_MUST_CHECK int cof_sqlite_volume_settle(struct cof_sqlite_volume *volume,
                                               struct coffer_fault *fault);
/* And is durable. */
COFFER_MUST_CHECK int cof_sqlite_volume_sync(struct cof_sqlite_volume *volume,
                                             struct coffer_fault *fault);

/* Note the journal's length to the byte: what lies behind its end in its last page counts for a
 * transaction over several databases, whose journals end in the super-journal's name. */
COFFER_MUST_CHECK int cof_sqlite_volume_note_journal(struct cof_sqlite_volume *volume,
                                                     struct coffer_fault *fault);
/* Write the superblock, with another floor and length of the journal; the mutex is held, or nobody
 * else has the volume. */
COFFER_MUST_CHECK int cof_sqlite_volume_put_superblock(struct cof_sqlite_volume *volume,
                                                       uint64_t floor_bytes, uint64_t journal_bytes,
                                                       struct coffer_fault *fault);

static inline uint64_t cof_sqlite_round_down(uint64_t bytes)
{
    return bytes / COFFER_PAGE_BYTES * COFFER_PAGE_BYTES;
}

static inline uint64_t cof_sqlite_round_up(uint64_t bytes)
{
    return cof_sqlite_round_down(bytes + COFFER_PAGE_BYTES - 1u);
}

/* ---- super-journals (supers.c); found by the suffix of their names ----------------------- */

COFFER_MUST_CHECK int cof_sqlite_supers_find(struct cof_sqlite_volume *volume, const char *name,
                                             unsigned *ret_slot, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_sqlite_supers_create(struct cof_sqlite_volume *volume, const char *name,
                                               unsigned *ret_slot, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_sqlite_supers_length(struct cof_sqlite_volume *volume, unsigned slot,
                                               uint32_t *ret_bytes, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_sqlite_supers_read(struct cof_sqlite_volume *volume, unsigned slot,
                                             void *buffer, uint32_t offset_bytes,
                                             size_t length_bytes, size_t *ret_bytes,
                                             struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_sqlite_supers_write(struct cof_sqlite_volume *volume, unsigned slot,
                                              const void *buffer, uint32_t offset_bytes,
                                              size_t length_bytes, struct coffer_fault *fault);
/* Durable on return. */
COFFER_MUST_CHECK int cof_sqlite_supers_delete(struct cof_sqlite_volume *volume, const char *name,
                                               struct coffer_fault *fault);

/* Delete those that an earlier process left behind, cut off, and that no journal needs any more:
 * needed says so of a journal by its name. */
COFFER_MUST_CHECK int cof_sqlite_supers_reclaim(struct cof_sqlite_volume *volume,
                                                bool (*needed)(const char *journal),
                                                struct coffer_fault *fault);

/* ---- runs (runs.c); the mutex is held ---------------------------------------------------- */

COFFER_MUST_CHECK int cof_sqlite_runs_put(struct cof_sqlite_volume *volume,
                                          enum cof_sqlite_part part, const uint8_t *buffer,
                                          uint64_t offset_bytes, size_t length_bytes,
                                          struct coffer_fault *fault);
/* Write out what was collected and wait for all; flags go with the last write where it is one of
 * journal or log. */
COFFER_MUST_CHECK int cof_sqlite_runs_settle(struct cof_sqlite_volume *volume, unsigned flags,
                                             struct coffer_fault *fault);
/* Forget what was collected for a part without writing it. */
void cof_sqlite_runs_drop(struct cof_sqlite_volume *volume, enum cof_sqlite_part part);
/* Answer a read from memory (true), or see to it that the engine can. */
COFFER_MUST_CHECK int cof_sqlite_runs_look(struct cof_sqlite_volume *volume,
                                           enum cof_sqlite_part part, uint8_t *buffer,
                                           uint64_t offset_bytes, size_t length_bytes,
                                           bool *ret_done, struct coffer_fault *fault);
/* One request by the volume's queue, waited for. */
COFFER_MUST_CHECK int cof_sqlite_runs_one(struct cof_sqlite_volume *volume,
                                          const struct coffer_io *io, struct coffer_fault *fault);

/* ---- faults that tests plant; constants in what is installed ----------------------------- */

enum cof_sqlite_break {
    COF_SQLITE_BREAK_NONE = 0,
    COF_SQLITE_BREAK_NO_SYNC,      /* nothing is ever made durable */
    COF_SQLITE_BREAK_KEEP_JOURNAL, /* a file that is cut keeps its bytes in the volume */
    COF_SQLITE_BREAK_OWE_ALL,      /* a sync is owed in transactions over several databases, too */
    COF_SQLITE_BREAK_EARLY_MAIN    /* the database's pages go before their journal */
};

#ifdef COF_TEST_HOOKS
extern enum cof_sqlite_break cof_sqlite_test_break;
#define COF_SQLITE_BROKEN(what) (cof_sqlite_test_break == COF_SQLITE_BREAK_##what)
#else
#define COF_SQLITE_BROKEN(what) (0)
#endif

/* Fill fault with an error and a sentence; returns the error. */
int cof_sqlite_fault(struct coffer_fault *fault, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
