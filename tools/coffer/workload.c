/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/workload.c - keep `depth` requests in flight and time each one.
 */
#include "workload.h"
#include "common/progress.h"
#include "session.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define REAP_MAX 64
#define CPU_NS_PER_S 1000000000ull
#define CPU_NS_PER_US 1000ull

struct slot {
    uint8_t *buffer;
    struct iovec iov;
    struct coffer_io io;
    uint64_t begin_ns;
    bool flushing;     /* the flush that belongs to a write */
    struct slot *next; /* waits for room in the queue       */
};

struct running {
    const struct cli_workload *workload;
    struct cli_workload_result *result;
    struct coffer_queue *queue;
    struct slot *slots;
    struct slot *waiting;
    unsigned in_flight;
    uint64_t begin_ns;
    uint64_t started_bytes, next_offset;
    uint64_t random[2];
    int error;
};

/* xoroshiro128+, by Blackman and Vigna: fast, and offsets need no more than that. */
static uint64_t draw(struct running *running)
{
    uint64_t a = running->random[0];
    uint64_t b = running->random[1];
    uint64_t sum = a + b;
    b ^= a;
    running->random[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    running->random[1] = (b << 37) | (b >> 27);
    return sum;
}

static void fill(struct running *running, uint8_t *buffer, size_t length)
{
    for (size_t at = 0; at + sizeof(uint64_t) <= length; at += sizeof(uint64_t)) {
        uint64_t value = draw(running);
        memcpy(buffer + at, &value, sizeof value);
    }
}

static uint64_t next_offset(struct running *running)
{
    const struct cli_workload *workload = running->workload;
    uint64_t blocks = workload->area_bytes / workload->block_bytes;
    if (workload->random) {
        return draw(running) % blocks * workload->block_bytes;
    }
    uint64_t offset = running->next_offset;
    running->next_offset = (offset + workload->block_bytes) % (blocks * workload->block_bytes);
    return offset;
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CPU_NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * CPU_NS_PER_US;
}

static bool may_start(const struct running *running, uint64_t now_ns)
{
    const struct cli_workload *workload = running->workload;
    if (running->error != 0 || cof_tool_interrupted()) {
        return false;
    }
    if (workload->bytes_max != 0 && running->started_bytes >= workload->bytes_max) {
        return false;
    }
    return workload->runtime_ns == 0 || now_ns - running->begin_ns < workload->runtime_ns;
}

/* Hand over the slot's request, or keep it for when there is room. */
static int submit(struct running *running, struct slot *slot)
{
    int taken = coffer_submit(running->queue, &slot->io, 1);
    if (taken == 1) {
        running->in_flight++;
        return 0;
    }
    if (taken == 0 || taken == COFFER_E_AGAIN) {
        slot->next = running->waiting;
        running->waiting = slot;
        return 0;
    }
    return taken;
}

static int submit_waiting(struct running *running)
{
    struct slot *slot = running->waiting;
    running->waiting = NULL;
    while (slot != NULL) {
        struct slot *next = slot->next;
        int error = submit(running, slot);
        if (error != 0) {
            return error;
        }
        slot = next;
    }
    return 0;
}

static int start(struct running *running, struct slot *slot, uint64_t now_ns)
{
    const struct cli_workload *workload = running->workload;
    slot->io.op = workload->write ? COFFER_IO_WRITE : COFFER_IO_READ;
    slot->io.offset_bytes = next_offset(running);
    slot->io.length_bytes = workload->block_bytes;
    slot->io.iov = &slot->iov;
    slot->io.iov_count = 1;
    slot->flushing = false;
    slot->begin_ns = now_ns;
    running->started_bytes += workload->block_bytes;
    return submit(running, slot);
}

static int start_flush(struct running *running, struct slot *slot)
{
    slot->io.op = COFFER_IO_FLUSH;
    slot->io.offset_bytes = 0;
    slot->io.length_bytes = 0;
    slot->io.iov = NULL;
    slot->io.iov_count = 0;
    slot->flushing = true;
    return submit(running, slot);
}

/* One completion: record it, and put the slot to work again. */
static int complete(struct running *running, const struct coffer_cqe *done)
{
    struct slot *slot = done->user;
    uint64_t now_ns = cof_tool_now_ns();
    running->in_flight--;
    if (done->result != 0) {
        if (running->error == 0) {
            running->error = done->result;
            running->result->fault = done->fault;
        }
        return 0;
    }
    if (running->workload->flush_each && !slot->flushing) {
        return start_flush(running, slot);
    }
    cli_latency_add(&running->result->latency, now_ns - slot->begin_ns);
    running->result->operations++;
    running->result->bytes += running->workload->block_bytes;
    return may_start(running, now_ns) ? start(running, slot, now_ns) : 0;
}

static int reap(struct running *running, unsigned wait)
{
    struct coffer_cqe done[REAP_MAX];
    int count = coffer_reap(running->queue, done, REAP_MAX, wait);
    if (count < 0) {
        return count;
    }
    for (int i = 0; i < count; i++) {
        int error = complete(running, &done[i]);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int prepare(struct running *running)
{
    const struct cli_workload *workload = running->workload;
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = workload->depth};
    size_t stride = (workload->block_bytes + COFFER_PAGE_BYTES - 1) / COFFER_PAGE_BYTES *
                    COFFER_PAGE_BYTES;
    running->random[0] = 0x9e3779b97f4a7c15ull ^ cof_tool_now_ns();
    running->random[1] = 0xd1b54a32d192ed03ull;
    running->slots = calloc(workload->depth, sizeof *running->slots);
    if (running->slots == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < workload->depth; i++) {
        struct slot *slot = &running->slots[i];
        slot->buffer = aligned_alloc(COFFER_PAGE_BYTES, stride);
        if (slot->buffer == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        fill(running, slot->buffer, workload->block_bytes);
        slot->iov.iov_base = slot->buffer;
        slot->iov.iov_len = workload->block_bytes;
        slot->io.volume = workload->volume;
        slot->io.user = slot;
    }
    return coffer_queue_create(workload->store, &opts, &running->queue);
}

static void clean_up(struct running *running)
{
    coffer_queue_destroy(running->queue);
    for (unsigned i = 0; running->slots != NULL && i < running->workload->depth; i++) {
        free(running->slots[i].buffer);
    }
    free(running->slots);
}

static int drive(struct running *running)
{
    for (unsigned i = 0; i < running->workload->depth; i++) {
        uint64_t now_ns = cof_tool_now_ns();
        int error = may_start(running, now_ns) ? start(running, &running->slots[i], now_ns) : 0;
        if (error != 0) {
            return error;
        }
    }
    while (running->in_flight > 0 || running->waiting != NULL) {
        int error = submit_waiting(running);
        if (error == 0) {
            error = reap(running, running->in_flight > 0 ? 1 : 0);
        }
        if (error != 0) {
            return error;
        }
    }
    if (running->error == 0 && running->workload->write) {
        running->error = coffer_volume_flush(running->workload->volume, &running->result->fault);
    }
    return running->error;
}

int cli_workload_run(const struct cli_workload *workload, struct cli_workload_result *result)
{
    struct running running = {.workload = workload, .result = result};
    memset(result, 0, sizeof *result);
    result->fault = cli_no_fault();
    int error = prepare(&running);
    if (error == 0) {
        uint64_t cpu_begin_ns = cpu_ns();
        running.begin_ns = cof_tool_now_ns();
        error = drive(&running);
        result->elapsed_ns = cof_tool_now_ns() - running.begin_ns;
        result->cpu_ns = cpu_ns() - cpu_begin_ns;
    }
    clean_up(&running);
    return error == 0 && cof_tool_interrupted() ? COFFER_E_CANCELLED : error;
}
