/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pump.h - a few large buffers in flight on one queue: the engine of import and export.
 *
 * A slot is one aligned buffer and the requests that read into it or write from it. A slot is free,
 * or busy until its last request has completed. The first error is kept with its place, and after
 * it nothing more is submitted. One thread.
 */
#ifndef COF_TOOLS_COFFER_PUMP_H
#define COF_TOOLS_COFFER_PUMP_H

#include <coffer/coffer.h>
#include <stdbool.h>

#define CLI_PUMP_SLOTS 8u
#define CLI_PUMP_SLOT_BYTES ((size_t)1 << 20)
#define CLI_PUMP_IO_PER_SLOT (CLI_PUMP_SLOT_BYTES / COFFER_PAGE_BYTES)
#define CLI_PUMP_DEPTH 512u

struct cli_pump_slot {
    uint8_t *buffer;
    uint64_t offset_bytes; /* in the volume */
    size_t length_bytes;
    unsigned pending;      /* requests in flight */
    unsigned iov_used;
    struct iovec iov[CLI_PUMP_IO_PER_SLOT];
};

struct cli_pump {
    struct coffer_volume *volume;
    struct coffer_queue *queue;
    struct cli_pump_slot slots[CLI_PUMP_SLOTS];
    unsigned in_flight;
    int error; /* the first one */
    struct coffer_fault fault;
};

/* Buffers and queue; 0 or an error. done waits for what is in flight. */
COFFER_MUST_CHECK int cli_pump_init(struct cli_pump *pump, struct coffer_store *store,
                                    struct coffer_volume *volume);
void cli_pump_done(struct cli_pump *pump);

/* Submit one request of slot; waits for room. from is inside the slot's buffer; NULL for DISCARD,
 * which needs no slot. */
COFFER_MUST_CHECK int cli_pump_submit(struct cli_pump *pump, struct cli_pump_slot *slot,
                                      enum coffer_io_op op, uint8_t *from, uint64_t offset_bytes,
                                      uint64_t length_bytes);
/* Wait until slot is free, or with slot NULL until nothing is in flight. */
COFFER_MUST_CHECK int cli_pump_wait(struct cli_pump *pump, const struct cli_pump_slot *slot);

/* The next run of pages in buffer that are all zero, or all not: its length, and which. The last
 * page may be short. */
size_t cli_pump_run(const uint8_t *buffer, size_t length_bytes, bool *ret_zero);

#endif
