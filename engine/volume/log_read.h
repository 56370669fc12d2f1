/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/log_read.h - the log as an open reads it: its blocks and footers, fetched ahead.
 *
 * What follows a block is the next block of the segment, and behind its end the segment that a
 * header or footer named; where the footer after the next lies is guessed from the segment table,
 * by the order in which segments are taken. A guess decides nothing: each block is had by its
 * place, one that was not foreseen is read when it is asked for, and a read ahead that failed is
 * forgotten and made anew, for what was asked alone, whose error is the one that counts.
 *
 * COF_LOG_READ_BYTES of memory and a channel of its own, while the log is read. Single thread, at
 * open; the order of its calls to the device follows from what was asked.
 */
#ifndef COF_VOLUME_LOG_READ_H
#define COF_VOLUME_LOG_READ_H

#include "segdev/reader.h"
#include "volume/store.h"

#define COF_LOG_WINDOWS 8u
#define COF_LOG_WINDOW_BLOCKS 64u
#define COF_LOG_FOOTERS 32u
#define COF_LOG_READ_BYTES                                                                         \
    ((COF_LOG_WINDOWS * COF_LOG_WINDOW_BLOCKS + (2u * COF_LOG_FOOTERS + 1u) * COF_FOOTER_BLOCKS) * \
     COF_BLOCK_BYTES)

/* Blocks of one segment, being read or there. */
struct cof_log_window {
    struct cof_read read;
    uint8_t *bytes;
    uint32_t segment, block, count;
};

/* Footers of several segments, being read or there. */
struct cof_log_footers {
    struct cof_read read;
    uint8_t *bytes;
    uint32_t segments[COF_LOG_FOOTERS];
    unsigned count;
};

struct cof_log_read {
    struct coffer_store *store;
    struct cof_reader reader;
    uint8_t *memory, *lone;
    uint32_t lone_segment, lone_block;              /* the block that was read by itself */
    uint32_t follows;                               /* the segment behind the one that is read */
    struct cof_log_window windows[COF_LOG_WINDOWS]; /* `held` of them in order, from `oldest` */
    unsigned oldest, held;
    struct cof_log_footers footers[2]; /* the later ones in footers[later] */
    unsigned later, footers_wanted;
};

/* A reader of the log (cof_log_read_free). */
COFFER_MUST_CHECK int cof_log_read_new(struct coffer_store *store, struct cof_log_read **ret_log);
/* Waits for what is under way. Takes NULL. */
void cof_log_read_free(struct cof_log_read *log);

/* One block of a segment of the store, good until the next call, or the read's error. */
COFFER_MUST_CHECK int cof_log_read_block(struct cof_log_read *log, uint32_t segment, uint32_t block,
                                         const uint8_t **ret_block);
/* A segment's last two blocks, good until the next call. */
COFFER_MUST_CHECK int cof_log_read_footer(struct cof_log_read *log, uint32_t segment,
                                          const uint8_t **ret_footer);
/* Blocks behind a segment's last are those of `segment` from block 1 on: COF_NO_SEGMENT, or where
 * the log goes on as far as is known. */
static inline void cof_log_read_follow(struct cof_log_read *log, uint32_t segment)
{
    log->follows = segment;
}

#endif
