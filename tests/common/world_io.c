/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_io.c - reads and writes of a world, by the synchronous calls and by the queue.
 *
 * Invariant: two requests that overlap, and of which one writes, are never in flight together,
 * since their order is the device's affair and only so the model knows what it must find.
 */
#include "common/harness.h"
#include "common/tight.h"

#include <stdlib.h>
#include <string.h>

uint8_t *world_scratch(struct world *world, uint64_t bytes)
{
    if (world->scratch_bytes < bytes) {
        free(world->scratch);
        world->scratch = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
        world->scratch_bytes = bytes;
        if (world->scratch == NULL) {
            abort();
        }
    }
    return world->scratch;
}

static uint32_t begin_op(struct world *world, enum world_kind kind, unsigned volume,
                         uint64_t sector, uint64_t count)
{
    switch (kind) {
    case WORLD_WRITE:
        return model_write(world->model, volume, sector, count);
    case WORLD_DISCARD:
    case WORLD_ZERO:
        return model_zero(world->model, volume, sector, count);
    default:
        return 0;
    }
}

/* Tell the model how an operation ended; moment: when it was handed over. */
static void end_op(struct world *world, uint32_t op, unsigned flags, uint64_t moment, int error)
{
    uint64_t event = world_event(world);
    if (error != 0) {
        model_op_failed(world->model, op);
        return;
    }
    world->writes_done++;
    model_op_completed(world->model, op);
    if ((flags & (COFFER_IO_FUA | COFFER_IO_WRITE_BACK)) != COFFER_IO_WRITE_BACK) {
        model_op_reached(world->model, op, moment, event);
    }
    if ((flags & COFFER_IO_FUA) != 0) {
        model_op_durable(world->model, op, event);
        model_durable(world->model, moment, event);
    }
}

static void note_error(struct world *world, int error)
{
    if (error != 0 && world->first_error == 0) {
        world->first_error = error;
    }
    world->result_trace = prng_mix(world->result_trace, (uint64_t)-error);
}

static void tell_io(const struct world *world, enum world_kind kind, unsigned volume,
                    uint64_t sector, uint64_t count, uint32_t op, int error)
{
    static const char *const names[] = {"read", "write", "discard", "zero", "flush"};
    world_tell(world, "op %u: %s %u sectors %llu+%llu (pages %llu.%llu to %llu.%llu): %s", op,
               names[kind], volume, (unsigned long long)sector, (unsigned long long)count,
               (unsigned long long)(sector / 8), (unsigned long long)(sector % 8),
               (unsigned long long)((sector + count) / 8),
               (unsigned long long)((sector + count) % 8), coffer_error_name(error));
}

/* After each change of a tight store, some of its ballast is written over. */
static int squeeze(struct world *world)
{
    int error = 0;
    if (world->options.tight != TIGHT_NOT && !world->squeezing) {
        world->squeezing = true;
        error = tight_squeeze(world);
        world->squeezing = false;
    }
    return error;
}

unsigned world_io_flags(struct world *world)
{
    switch (prng_below(&world->prng, 10)) {
    case 0:
        return COFFER_IO_FUA;
    case 1: case 2: case 3: case 4:
        return COFFER_IO_WRITE_BACK;
    default:
        return 0;
    }
}

int world_io(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
             uint64_t count, unsigned flags)
{
    struct coffer_volume *handle = world->volumes[volume];
    uint64_t bytes = count * 512, moment = model_now(world->model);
    uint32_t op = begin_op(world, kind, volume, sector, count);
    uint8_t *buffer = NULL;
    int error = 0;
    if (kind == WORLD_READ) {
        buffer = world_scratch(world, bytes);
        memset(buffer, 0xa5, bytes);
        error = coffer_volume_read(handle, buffer, sector * 512, bytes, &world->fault);
    } else if (kind == WORLD_WRITE) {
        buffer = world_scratch(world, bytes);
        model_fill(world->model, volume, op, sector, count, buffer);
        error = coffer_volume_write(handle, buffer, sector * 512, bytes, flags, &world->fault);
    } else if (kind == WORLD_DISCARD) {
        flags = 0;
        error = coffer_volume_discard(handle, sector * 512, bytes, &world->fault);
    } else if (kind == WORLD_ZERO) {
        error = coffer_volume_write_zeroes(handle, sector * 512, bytes, flags, &world->fault);
    }
    note_error(world, error);
    tell_io(world, kind, volume, sector, count, op, error);
    if (kind == WORLD_READ && error == 0) {
        model_check_read(world->model, volume, sector, count, buffer);
    } else if (op != 0) {
        end_op(world, op, flags, moment, error);
        error = error == 0 ? squeeze(world) : error;
    }
    return error;
}

int world_flush(struct world *world, unsigned volume)
{
    uint64_t moment = model_now(world->model);
    int error = coffer_volume_flush(world->volumes[volume], &world->fault);
    world_tell(world, "flush: %s", coffer_error_name(error));
    if (error == 0) {
        model_durable(world->model, moment, world_event(world));
    }
    note_error(world, error);
    return error;
}

/* ---- the queue ---- */

int world_queue_open(struct world *world)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = WORLD_DEPTH_MAX};
    return coffer_queue_create(world->store, &opts, &world->queue);
}

void world_queue_close(struct world *world)
{
    coffer_queue_destroy(world->queue);
    world->queue = NULL;
    for (unsigned i = 0; i < WORLD_DEPTH_MAX; i++) {
        if (world->slots[i].used && world->slots[i].op != 0) {
            model_op_failed(world->model, world->slots[i].op);
        }
        world->slots[i].used = false;
    }
    world->in_flight = 0;
}

static void finish_slot(struct world *world, struct world_slot *slot,
                        const struct coffer_cqe *cqe)
{
    int error = cqe->result;
    harness_require(slot >= world->slots && slot < world->slots + WORLD_DEPTH_MAX && slot->used,
                    "queue: a completion of nothing that is in flight");
    slot->used = false;
    world->in_flight--;
    note_error(world, error);
    tell_io(world, slot->kind, slot->volume, slot->sector, slot->count, slot->op, error);
    if (error != 0) {
        world->fault = cqe->fault;
    }
    harness_require(error == 0 || world->lenient, "queue: kind %d gave %s: %s", (int)slot->kind,
                    coffer_error_name(error), cqe->fault.detail);
    if (slot->op != 0) {
        end_op(world, slot->op, slot->flags, slot->moment, error);
    } else if (slot->kind == WORLD_FLUSH && error == 0) {
        model_durable(world->model, slot->moment, world_event(world));
    } else if (slot->kind == WORLD_READ && error == 0) {
        model_check_read(world->model, slot->volume, slot->sector, slot->count, slot->buffer);
    }
}

int world_reap(struct world *world, unsigned wait)
{
    struct coffer_cqe cqes[WORLD_DEPTH_MAX];
    int count = coffer_reap(world->queue, cqes, WORLD_DEPTH_MAX, wait);
    harness_require(count <= (int)world->in_flight, "queue: %d completions of %u in flight", count,
                    world->in_flight);
    harness_require(count < 0 || count >= (int)wait, "queue: waited for %u, got %d", wait, count);
    for (int i = 0; i < count; i++) {
        finish_slot(world, cqes[i].user, &cqes[i]);
    }
    return count < 0 ? count : 0;
}

int world_drain(struct world *world)
{
    for (unsigned spins = 0; world->in_flight > 0; spins++) {
        int error = world_reap(world, 1);
        harness_require(spins < WORLD_SPINS_MAX, "hang: %u requests never complete",
                        world->in_flight);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static bool must_wait(const struct world *world, enum world_kind kind, unsigned volume,
                      uint64_t sector, uint64_t count)
{
    for (unsigned i = 0; i < WORLD_DEPTH_MAX; i++) {
        const struct world_slot *slot = &world->slots[i];
        if (!slot->used || slot->kind == WORLD_FLUSH || kind == WORLD_FLUSH) {
            continue;
        }
        if (slot->volume == volume && (kind != WORLD_READ || slot->kind != WORLD_READ) &&
            slot->sector / MODEL_SECTORS <= (sector + count - 1) / MODEL_SECTORS &&
            sector / MODEL_SECTORS <= (slot->sector + slot->count - 1) / MODEL_SECTORS) {
            return true;
        }
    }
    return false;
}

int world_wait(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
               uint64_t count)
{
    while (must_wait(world, kind, volume, sector, count)) {
        int error = world_reap(world, 1);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static struct world_slot *take_slot(struct world *world, uint64_t bytes)
{
    struct world_slot *slot = world->slots;
    while (slot->used) {
        slot++;
    }
    if (slot->room_bytes < bytes) {
        free(slot->buffer);
        slot->buffer = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
        slot->room_bytes = bytes;
        if (slot->buffer == NULL) {
            abort();
        }
    }
    return slot;
}

/* Cut the buffer into up to three pieces at 512 byte borders. */
static unsigned cut_iov(struct world *world, struct world_slot *slot)
{
    unsigned pieces = slot->count < 3 ? 1 : 1 + prng_below(&world->prng, 3);
    uint64_t from = 0;
    for (unsigned i = 0; i < pieces; i++) {
        uint64_t left = slot->count - from - (pieces - 1 - i);
        uint64_t take = i + 1 == pieces ? left : 1 + prng_below(&world->prng, (uint32_t)left);
        slot->iov[i].iov_base = slot->buffer + from * 512;
        slot->iov[i].iov_len = take * 512;
        from += take;
    }
    return pieces;
}

static int hand_over(struct world *world, const struct coffer_io *io)
{
    for (unsigned spins = 0; spins < WORLD_SPINS_MAX; spins++) {
        int taken = coffer_submit(world->queue, io, 1);
        if (taken != COFFER_E_AGAIN) {
            harness_require(taken != 0, "queue: submit took none and gave no error");
            return taken == 1 ? 0 : taken;
        }
        taken = world_reap(world, world->in_flight > 0 ? 1 : 0);
        if (taken != 0) {
            return taken;
        }
    }
    harness_fail("hang: submit says AGAIN for ever with %u in flight", world->in_flight);
}

static void fill_slot(struct world *world, struct world_slot *slot, struct coffer_io *io)
{
    static const enum coffer_io_op ops[] = {
        [WORLD_READ] = COFFER_IO_READ,       [WORLD_WRITE] = COFFER_IO_WRITE,
        [WORLD_DISCARD] = COFFER_IO_DISCARD, [WORLD_ZERO] = COFFER_IO_WRITE_ZEROES,
        [WORLD_FLUSH] = COFFER_IO_FLUSH,
    };
    memset(io, 0, sizeof *io);
    io->op = ops[slot->kind];
    io->flags = slot->flags;
    io->volume = world->volumes[slot->volume];
    io->offset_bytes = slot->sector * 512;
    io->length_bytes = slot->count * 512;
    io->user = slot;
    if (slot->kind == WORLD_READ || slot->kind == WORLD_WRITE) {
        io->iov = slot->iov;
        io->iov_count = cut_iov(world, slot);
    }
    if (slot->kind == WORLD_WRITE) {
        model_fill(world->model, slot->volume, slot->op, slot->sector, slot->count, slot->buffer);
    }
}

int world_submit(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
                 uint64_t count, unsigned flags)
{
    struct world_slot *slot;
    struct coffer_io io;
    int error = world_wait(world, kind, volume, sector, count);
    while (error == 0 && world->in_flight == WORLD_DEPTH_MAX) {
        error = world_reap(world, 1);
    }
    if (error != 0) {
        return error;
    }
    slot = take_slot(world, count * 512);
    slot->kind = kind;
    slot->volume = volume;
    slot->sector = sector;
    slot->count = count;
    slot->flags = kind == WORLD_READ || kind == WORLD_FLUSH ? 0 : flags;
    slot->op = begin_op(world, kind, volume, sector, count);
    fill_slot(world, slot, &io);
    slot->moment = model_now(world->model);
    slot->used = true;
    world->in_flight++;
    error = hand_over(world, &io);
    world_tell(world, "submitted kind %d op %u: %s", (int)kind, slot->op,
               coffer_error_name(error));
    if (error != 0) {
        slot->used = false;
        world->in_flight--;
        note_error(world, error);
        if (slot->op != 0) {
            model_op_failed(world->model, slot->op);
        }
        return error;
    }
    return slot->op != 0 ? squeeze(world) : 0;
}
