/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pump.c - submit, reap, and keep the first error.
 */
#include "pump.h"
#include "session.h"
#include <stdlib.h>
#include <string.h>

#define REAP_MAX 64

int cli_pump_init(struct cli_pump *pump, struct coffer_store *store, struct coffer_volume *volume)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = CLI_PUMP_DEPTH};
    memset(pump, 0, sizeof *pump);
    pump->volume = volume;
    for (unsigned i = 0; i < CLI_PUMP_SLOTS; i++) {
        pump->slots[i].buffer = aligned_alloc(COFFER_PAGE_BYTES, CLI_PUMP_SLOT_BYTES);
        if (pump->slots[i].buffer == NULL) {
            cli_pump_done(pump);
            return COFFER_E_NO_MEMORY;
        }
    }
    int error = coffer_queue_create(store, &opts, &pump->queue);
    if (error != 0) {
        cli_pump_done(pump);
    }
    return error;
}

void cli_pump_done(struct cli_pump *pump)
{
    coffer_queue_destroy(pump->queue);
    pump->queue = NULL;
    for (unsigned i = 0; i < CLI_PUMP_SLOTS; i++) {
        if (pump->slots[i].buffer != NULL) {
            explicit_bzero(pump->slots[i].buffer, CLI_PUMP_SLOT_BYTES);
        }
        free(pump->slots[i].buffer);
        pump->slots[i].buffer = NULL;
    }
}

static void keep_error(struct cli_pump *pump, int error, const struct coffer_fault *fault)
{
    if (pump->error == 0) {
        pump->error = error;
        pump->fault = fault != NULL ? *fault : cli_no_fault();
    }
}

/* Reap what is there, at least `wait` of it. An error of a request is kept, not returned. */
static int reap(struct cli_pump *pump, unsigned wait)
{
    struct coffer_cqe done[REAP_MAX];
    int count = coffer_reap(pump->queue, done, REAP_MAX, wait);
    if (count < 0) {
        keep_error(pump, count, NULL);
        return count;
    }
    for (int i = 0; i < count; i++) {
        struct cli_pump_slot *slot = done[i].user;
        if (slot != NULL) {
            slot->pending--;
        }
        pump->in_flight--;
        if (done[i].result != 0) {
            keep_error(pump, done[i].result, &done[i].fault);
        }
    }
    return 0;
}

int cli_pump_submit(struct cli_pump *pump, struct cli_pump_slot *slot, enum coffer_io_op op,
                    uint8_t *from, uint64_t offset_bytes, uint64_t length_bytes)
{
    struct coffer_io io = {.op = op, .volume = pump->volume, .offset_bytes = offset_bytes,
                           .length_bytes = length_bytes, .user = slot};
    if (from != NULL) {
        struct iovec *iov = &slot->iov[slot->iov_used++];
        iov->iov_base = from;
        iov->iov_len = (size_t)length_bytes;
        io.iov = iov;
        io.iov_count = 1;
    }
    while (pump->error == 0) {
        int taken = coffer_submit(pump->queue, &io, 1);
        if (taken == 1) {
            if (slot != NULL) {
                slot->pending++;
            }
            pump->in_flight++;
            return reap(pump, 0);
        }
        if (taken != COFFER_E_AGAIN && taken != 0) {
            keep_error(pump, taken, NULL);
        } else if (reap(pump, pump->in_flight > 0 ? 1 : 0) != 0) {
            break;
        }
    }
    return pump->error;
}

int cli_pump_wait(struct cli_pump *pump, const struct cli_pump_slot *slot)
{
    while (slot != NULL ? slot->pending > 0 : pump->in_flight > 0) {
        int error = reap(pump, 1);
        if (error != 0) {
            return error;
        }
    }
    return pump->error;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    /* Comparing with itself one byte on leaves the work to memcmp. */
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

size_t cli_pump_run(const uint8_t *buffer, size_t length_bytes, bool *ret_zero)
{
    size_t length = length_bytes < COFFER_PAGE_BYTES ? length_bytes : COFFER_PAGE_BYTES;
    *ret_zero = is_zero(buffer, length);
    while (length < length_bytes) {
        size_t left = length_bytes - length;
        size_t page = left < COFFER_PAGE_BYTES ? left : COFFER_PAGE_BYTES;
        if (is_zero(buffer + length, page) != *ret_zero) {
            break;
        }
        length += page;
    }
    return length;
}
