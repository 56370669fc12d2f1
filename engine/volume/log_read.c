/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/log_read.c - see log_read.h.
 *
 * A block that nothing led to is read by itself, since it is mostly looked at only to see that the
 * log does not go on there; who asks for the one behind it gets windows from there on. So the
 * windows stay where they are while the next segment is tried, and what the search for damage
 * looks at is what was read ahead behind the log's end.
 *
 * Memory is the reader's while a read is under way: a window is used anew after its read was
 * waited for.
 */
#include "volume/log_read.h"

#include <string.h>

int cof_log_read_new(struct coffer_store *store, struct cof_log_read **ret_log)
{
    struct cof_log_read *log = cof_calloc(&store->env, 1, sizeof *log);
    uint8_t *at;
    int err;
    if (log == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    log->store = store;
    log->footers_wanted = 1;
    log->memory = cof_alloc_aligned(&store->env, COF_LOG_READ_BYTES);
    err = log->memory != NULL ? cof_reader_init(&log->reader, store->dev, 1) : COFFER_E_NO_MEMORY;
    if (err != 0) {
        cof_free_aligned(&store->env, log->memory);
        cof_free(&store->env, log);
        return err;
    }
    at = log->memory;
    for (unsigned i = 0; i < COF_LOG_WINDOWS; i++) {
        log->windows[i].bytes = at;
        at += COF_LOG_WINDOW_BLOCKS * COF_BLOCK_BYTES;
    }
    for (unsigned i = 0; i < 2; i++) {
        log->footers[i].bytes = at;
        at += COF_LOG_FOOTERS * COF_FOOTER_BYTES;
    }
    log->lone = at;
    *ret_log = log;
    return 0;
}

void cof_log_read_free(struct cof_log_read *log)
{
    struct coffer_store *store;
    if (log == NULL) {
        return;
    }
    store = log->store;
    cof_reader_done(&log->reader);
    store->closed_queue_reads += log->reader.requests;
    store->closed_queue_read_bytes += log->reader.bytes;
    cof_free_aligned(&store->env, log->memory);
    cof_free(&store->env, log);
}

/* By itself, into memory that no read ahead may still have. */
static int read_alone(struct cof_log_read *log, uint32_t segment, uint32_t block, uint32_t count,
                      const uint8_t **ret_bytes)
{
    int err = cof_sync_io_read(&log->store->io, segment, block * COF_BLOCK_BYTES, log->lone,
                               (size_t)count * COF_BLOCK_BYTES);
    log->lone_segment = err == 0 ? segment : COF_NO_SEGMENT;
    log->lone_block = block;
    *ret_bytes = err == 0 ? log->lone : *ret_bytes;
    return err;
}

/* ---- blocks ---- */

static struct cof_log_window *window_at(struct cof_log_read *log, unsigned i)
{
    return &log->windows[(log->oldest + i) % COF_LOG_WINDOWS];
}

/* Begin the next window at a place. */
static void start(struct cof_log_read *log, uint32_t segment, uint32_t block)
{
    struct cof_log_window *window = window_at(log, log->held);
    uint32_t left = log->store->segment_blocks - block;
    window->segment = segment;
    window->block = block;
    window->count = left < COF_LOG_WINDOW_BLOCKS ? left : COF_LOG_WINDOW_BLOCKS;
    struct cof_block_run run = {segment, block, window->count, window->bytes};
    cof_reader_start(&log->reader, &window->read, &run, 1);
    log->held++;
}

static void drop_oldest(struct cof_log_read *log)
{
    int ignored = cof_reader_wait(&log->reader, &window_at(log, 0)->read);
    (void)ignored; /* nobody asked for it */
    log->oldest = (log->oldest + 1u) % COF_LOG_WINDOWS;
    log->held--;
}

/* As many windows as there are, as far as the place of the next one is known. */
static void start_more(struct cof_log_read *log)
{
    while (log->held < COF_LOG_WINDOWS) {
        const struct cof_log_window *last = window_at(log, log->held - 1u);
        if (last->block + last->count < log->store->segment_blocks) {
            start(log, last->segment, last->block + last->count);
        } else if (log->follows != COF_NO_SEGMENT && log->follows != last->segment &&
                   log->follows < log->store->root.segment_count) {
            start(log, log->follows, 1);
        } else {
            return;
        }
    }
}

static bool window_has(const struct cof_log_window *window, uint32_t segment, uint32_t block)
{
    return window->segment == segment && block >= window->block &&
           block - window->block < window->count;
}

/* The window before the one asked for stays: a batch that does not count is gone back over. */
static bool move_to(struct cof_log_read *log, uint32_t segment, uint32_t block)
{
    for (unsigned i = 0; i < log->held; i++) {
        if (window_has(window_at(log, i), segment, block)) {
            while (i > 1) {
                drop_oldest(log);
                i--;
            }
            start_more(log);
            return true;
        }
    }
    return false;
}

int cof_log_read_block(struct cof_log_read *log, uint32_t segment, uint32_t block,
                       const uint8_t **ret_block)
{
    struct cof_log_window *window;
    if (!move_to(log, segment, block)) {
        if (log->lone_segment != segment || log->lone_block + 1u != block) {
            return read_alone(log, segment, block, 1, ret_block);
        }
        while (log->held > 0) {
            drop_oldest(log);
        }
        start(log, segment, block);
        start_more(log);
    }
    window = window_at(log, window_has(window_at(log, 0), segment, block) ? 0u : 1u);
    if (cof_reader_wait(&log->reader, &window->read) != 0) {
        return read_alone(log, segment, block, 1, ret_block);
    }
    *ret_block = window->bytes + (size_t)(block - window->block) * COF_BLOCK_BYTES;
    return 0;
}

/* ---- footers ---- */

/* The next footers, in the place of the earlier ones: of `segment`, if it is one, and of those that
 * were taken after it, if nothing took segments but the log. */
static void start_footers(struct cof_log_read *log, uint32_t segment)
{
    struct cof_log_footers *footers = &log->footers[log->later ^ 1u];
    struct cof_block_run runs[COF_LOG_FOOTERS];
    int ignored = cof_reader_wait(&log->reader, &footers->read);
    (void)ignored; /* they are forgotten */
    for (footers->count = 0; footers->count < log->footers_wanted && segment != COF_NO_SEGMENT;
         footers->count++) {
        runs[footers->count].segment = segment;
        runs[footers->count].block = log->store->segment_blocks - COF_FOOTER_BLOCKS;
        runs[footers->count].blocks = COF_FOOTER_BLOCKS;
        runs[footers->count].bytes = footers->bytes + (size_t)footers->count * COF_FOOTER_BYTES;
        footers->segments[footers->count] = segment;
        segment = cof_segments_dead_after(&log->store->segments, segment);
    }
    cof_reader_start(&log->reader, &footers->read, runs, footers->count);
    log->later ^= 1u;
    log->footers_wanted =
        log->footers_wanted * 2u < COF_LOG_FOOTERS ? log->footers_wanted * 2u : COF_LOG_FOOTERS;
}

/* Those that have it, and where. */
static struct cof_log_footers *footers_with(struct cof_log_read *log, uint32_t segment,
                                            unsigned *ret_at)
{
    for (unsigned k = 0; k < 2; k++) {
        struct cof_log_footers *footers = &log->footers[log->later ^ k];
        for (unsigned i = 0; i < footers->count; i++) {
            if (footers->segments[i] == segment) {
                *ret_at = i;
                return footers;
            }
        }
    }
    return NULL;
}

int cof_log_read_footer(struct cof_log_read *log, uint32_t segment, const uint8_t **ret_footer)
{
    unsigned i = 0;
    struct cof_log_footers *footers = footers_with(log, segment, &i);
    if (footers == NULL) {
        if (log->footers[log->later].count > 1u) {
            log->footers_wanted = 1; /* the guess was wrong */
        }
        start_footers(log, segment);
        footers = &log->footers[log->later];
    } else if (footers == &log->footers[log->later]) {
        start_footers(log, cof_segments_dead_after(&log->store->segments,
                                                   footers->segments[footers->count - 1u]));
    }
    if (cof_reader_wait(&log->reader, &footers->read) != 0) {
        return read_alone(log, segment, log->store->segment_blocks - COF_FOOTER_BLOCKS,
                          COF_FOOTER_BLOCKS, ret_footer);
    }
    *ret_footer = footers->bytes + (size_t)i * COF_FOOTER_BYTES;
    return 0;
}
