/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/loop.c - fill the batch, submit it, reap, count; see loop.h.
 *
 * A slot is a request's buffer and its state. A slot is on the free stack, in the batch (offered to
 * submit, perhaps more than once, because submit may take a part) or in flight. With
 * COF_LOAD_FLUSH a write's completion puts its slot back into the batch as a flush.
 */
#include "loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLE_NS 50000000u   /* between looks at the engine's memory   */
#define REAP_SHARE 4u         /* a fourth of the depth is reaped at a time */
#define PAUSE_NS 50000u       /* when ahead of its pace                 */
#define STUCK_NS 60000000000u /* without a completion: it hangs         */

struct cof_load_slot {
    struct iovec iov;
    uint64_t offset_bytes;
    uint64_t start_ns;
    bool reads, flushing;
};

void cof_load_loop_done(struct cof_load_loop *loop)
{
    coffer_queue_destroy(loop->queue);
    free(loop->slots);
    free(loop->buffers);
    free(loop->free_slots);
    free(loop->batch);
    free(loop->cqes);
}

static int fail(struct cof_load_loop *loop, const char *what, int error,
                const struct coffer_fault *fault)
{
    loop->what = what;
    if (fault != NULL) {
        loop->fault = *fault;
    }
    return error;
}

int cof_load_loop_init(struct cof_load_loop *loop, const struct cof_load_shape *shape,
                       struct coffer_store *store, struct coffer_volume *volume)
{
    memset(loop, 0, sizeof *loop);
    loop->shape = shape;
    loop->store = store;
    loop->volume = volume;
    loop->fault.page = COFFER_NOWHERE;
    loop->fault.segment = COFFER_NOWHERE;
    loop->fault.offset = COFFER_NOWHERE;
    loop->depth = (unsigned)shape->depth;
    /* Refill in small steps, as fio does, or the device would run empty between two steps. */
    loop->reap_max = loop->depth < REAP_SHARE ? 1 : loop->depth / REAP_SHARE;
    size_t depth = loop->depth;
    size_t block_bytes = (size_t)shape->block_bytes;
    size_t stride = (block_bytes + 4095u) & ~(size_t)4095u;
    loop->slots = calloc(depth, sizeof *loop->slots);
    loop->buffers = aligned_alloc(4096, depth * stride);
    loop->free_slots = calloc(depth, sizeof *loop->free_slots);
    loop->batch = calloc(depth, sizeof *loop->batch);
    loop->cqes = calloc(depth, sizeof *loop->cqes);
    int error = COFFER_E_NO_MEMORY;
    if (loop->slots != NULL && loop->buffers != NULL && loop->free_slots != NULL &&
        loop->batch != NULL && loop->cqes != NULL) {
        struct coffer_queue_opts opts = {.size = sizeof opts, .depth = loop->depth};
        error = coffer_queue_create(store, &opts, &loop->queue);
    }
    if (error != 0) {
        cof_load_loop_done(loop);
        return fail(loop, "making a queue", error, NULL);
    }
    cof_load_fill(loop->buffers, depth * stride, shape->seed);
    for (size_t i = 0; i < depth; i++) {
        loop->slots[i].iov.iov_base = loop->buffers + i * stride;
        loop->slots[i].iov.iov_len = block_bytes;
        loop->free_slots[loop->free_count++] = &loop->slots[i];
    }
    return 0;
}

static unsigned write_flags(enum cof_load_durable durable)
{
    switch (durable) {
    case COF_LOAD_FUA:
        return COFFER_IO_FUA;
    case COF_LOAD_WRITE_BACK:
        return COFFER_IO_WRITE_BACK;
    default:
        return 0;
    }
}

static void offer(struct cof_load_loop *loop, struct cof_load_slot *slot)
{
    struct coffer_io *io = &loop->batch[loop->batch_count++];
    memset(io, 0, sizeof *io);
    io->volume = loop->volume;
    io->user = slot;
    if (slot->flushing) {
        io->op = COFFER_IO_FLUSH;
        return;
    }
    io->op = slot->reads ? COFFER_IO_READ : COFFER_IO_WRITE;
    io->flags = slot->reads ? 0 : write_flags(loop->shape->durable);
    io->offset_bytes = slot->offset_bytes;
    io->length_bytes = slot->iov.iov_len;
    io->iov = &slot->iov;
    io->iov_count = 1;
}

static bool over(const struct cof_load_loop *loop, uint64_t now_ns)
{
    return (loop->stopped != NULL && loop->stopped(loop->ctx)) ||
           cof_load_plan_over(&loop->plan, now_ns);
}

/* Nothing is in flight, and the next request is not due: not busy, so that the processor time is
 * the load's. */
static uint64_t wait_for_pace(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
    return cof_load_now_ns();
}

/* Put every free slot to work, while the plan has any left. */
static void top_up(struct cof_load_loop *loop, uint64_t now_ns)
{
    uint64_t offset_bytes = 0;
    while (loop->free_count > 0 && !over(loop, now_ns) &&
           cof_load_plan_next(&loop->plan, now_ns, &offset_bytes)) {
        struct cof_load_slot *slot = loop->free_slots[--loop->free_count];
        slot->offset_bytes = offset_bytes;
        slot->flushing = false;
        slot->reads = cof_load_plan_reads(&loop->plan);
        if (!slot->reads) {
            cof_load_stamp(slot->iov.iov_base, offset_bytes, slot->iov.iov_len);
        }
        slot->start_ns = now_ns;
        offer(loop, slot);
    }
}

static int push(struct cof_load_loop *loop)
{
    if (loop->batch_count == 0) {
        return 0;
    }
    int taken = coffer_submit(loop->queue, loop->batch, loop->batch_count);
    if (taken < 0) {
        return taken == COFFER_E_AGAIN ? 0 : fail(loop, "submit", taken, NULL);
    }
    loop->batch_count -= (unsigned)taken;
    loop->in_flight += (unsigned)taken;
    memmove(loop->batch, loop->batch + taken, loop->batch_count * sizeof *loop->batch);
    return 0;
}

static int finish(struct cof_load_loop *loop, const struct coffer_cqe *cqe, uint64_t now_ns)
{
    struct cof_load_slot *slot = cqe->user;
    loop->in_flight--;
    if (cqe->result != 0) {
        return fail(loop, "a request", cqe->result, &cqe->fault);
    }
    if (!slot->reads && loop->shape->durable == COF_LOAD_FLUSH && !slot->flushing) {
        slot->flushing = true;
        offer(loop, slot);
        return 0;
    }
    if (slot->reads && !loop->shape->unverified &&
        !cof_load_stamped(slot->iov.iov_base, slot->offset_bytes, slot->iov.iov_len)) {
        snprintf(loop->fault.detail, sizeof loop->fault.detail,
                 "byte %llu and on: not what was written there",
                 (unsigned long long)slot->offset_bytes);
        return fail(loop, "a page that was read", COFFER_E_INTERNAL, NULL);
    }
    cof_load_latency_add(&loop->latency, now_ns - slot->start_ns);
    loop->operations++;
    loop->bytes += slot->iov.iov_len;
    loop->free_slots[loop->free_count++] = slot;
    return 0;
}

void cof_load_loop_sample(struct cof_load_loop *loop, uint64_t now_ns)
{
    struct coffer_store_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    loop->next_sample_ns = now_ns + SAMPLE_NS;
    if (coffer_store_info_get(loop->store, &info) == 0 &&
        info.memory_bytes > loop->memory_bytes_max) {
        loop->memory_bytes_max = info.memory_bytes;
    }
}

int cof_load_loop_run(struct cof_load_loop *loop, uint64_t start_ns)
{
    uint64_t now_ns = start_ns;
    uint64_t progress_ns = start_ns;
    for (;;) {
        top_up(loop, now_ns);
        int error = push(loop);
        if (error != 0) {
            return error;
        }
        if (loop->in_flight == 0 && loop->batch_count == 0) {
            if (over(loop, now_ns)) {
                return 0;
            }
            now_ns = wait_for_pace();
            progress_ns = now_ns;
            continue;
        }
        unsigned wait = loop->in_flight > 0 ? 1 : 0;
        int got = coffer_reap(loop->queue, loop->cqes, loop->reap_max, wait);
        if (got < 0) {
            return fail(loop, "reap", got, NULL);
        }
        now_ns = cof_load_now_ns();
        for (int i = 0; i < got; i++) {
            error = finish(loop, &loop->cqes[i], now_ns);
            if (error != 0) {
                return error;
            }
        }
        if (got > 0) {
            progress_ns = now_ns;
        } else if (now_ns - progress_ns > STUCK_NS) {
            return fail(loop, "no completion for a minute", COFFER_E_AGAIN, NULL);
        }
        if (now_ns >= loop->next_sample_ns) {
            cof_load_loop_sample(loop, now_ns);
        }
    }
}
