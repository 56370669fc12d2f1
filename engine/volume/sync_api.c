/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/sync_api.c - the synchronous calls, on queues of the store's own.
 *
 * Each call borrows an idle queue (or makes one), so any number of threads may call at once. A
 * thread finds the queue of its last call in its slot, without a lock, unless it shares the slot
 * with another one that calls just then. Large transfers are cut into pieces, several in flight.
 */
#include "volume/queue.h"

#include <string.h>

#define PIECE_BYTES (UINT64_C(1) << 20)
#define PIECES 8u
#define SYNC_DEPTH 16u

/* Threads take slots in turn. */
static _Atomic(struct coffer_queue *) *own_slot(struct coffer_store *store)
{
    static atomic_uint threads;
    static _Thread_local unsigned number; /* 0: none yet */
    while (number == 0) {
        number = atomic_fetch_add(&threads, 1) + 1u;
    }
    return &store->sync_slots[number % COF_SYNC_SLOTS];
}

static int borrow(struct coffer_store *store, struct coffer_queue **ret_queue)
{
    struct coffer_queue_opts opts = {sizeof opts, SYNC_DEPTH};
    *ret_queue = atomic_exchange(own_slot(store), NULL);
    if (*ret_queue != NULL) {
        return 0;
    }
    pthread_mutex_lock(&store->lock);
    *ret_queue = store->sync_queues;
    if (*ret_queue != NULL) {
        store->sync_queues = (*ret_queue)->next_idle;
    }
    pthread_mutex_unlock(&store->lock);
    return *ret_queue != NULL ? 0 : coffer_queue_create(store, &opts, ret_queue);
}

static void give_back(struct coffer_store *store, struct coffer_queue *queue)
{
    struct coffer_queue *none = NULL;
    if (atomic_compare_exchange_strong(own_slot(store), &none, queue)) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    queue->next_idle = store->sync_queues;
    store->sync_queues = queue;
    pthread_mutex_unlock(&store->lock);
}

static int explain(const struct coffer_volume *volume, int err, struct coffer_fault *fault)
{
    cof_fault(fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
    if (fault != NULL) {
        memcpy(fault->volume, volume->record.name, sizeof fault->volume - 1u);
    }
    return err;
}

struct transfer {
    struct coffer_queue *queue;
    unsigned in_flight;
    int err; /* the first */
    struct coffer_fault *fault;
};

static void collect(struct transfer *transfer, unsigned wait)
{
    struct coffer_cqe cqe[PIECES];
    int count = coffer_reap(transfer->queue, cqe, PIECES, wait);
    for (int i = 0; i < count; i++) {
        transfer->in_flight--;
        if (cqe[i].result != 0 && transfer->err == 0) {
            transfer->err = cqe[i].result;
            if (transfer->fault != NULL) {
                *transfer->fault = cqe[i].fault;
            }
        }
    }
    if (count < 0) {
        transfer->err = transfer->err != 0 ? transfer->err : count;
        transfer->in_flight = 0;
    }
}

static void start(struct transfer *transfer, const struct coffer_io *io)
{
    int taken;
    do {
        taken = coffer_submit(transfer->queue, io, 1);
        if (taken == COFFER_E_AGAIN) {
            collect(transfer, 1);
        }
    } while (taken == COFFER_E_AGAIN);
    if (taken == 1) {
        transfer->in_flight++;
    } else if (transfer->err == 0) {
        transfer->err = taken;
        explain(io->volume, taken, transfer->fault);
    }
}

/* Run one request, or many pieces of one: READ and WRITE carry buffer along. */
static int run(struct coffer_io *io, uint8_t *buffer, struct coffer_fault *fault)
{
    struct coffer_store *store = io->volume->store;
    struct transfer transfer = {NULL, 0, 0, fault};
    struct iovec iov[PIECES];
    uint64_t left = io->length_bytes;
    unsigned slot = 0;
    bool data = io->op == COFFER_IO_READ || io->op == COFFER_IO_WRITE;
    int err = borrow(store, &transfer.queue);
    cof_fault_clear(fault);
    if (err != 0) {
        return explain(io->volume, err, fault);
    }
    do {
        struct coffer_io piece = *io;
        if (data) {
            /* Pieces end on multiples of their size, so that only the outer ends cover pages in
             * part. */
            uint64_t bytes = PIECE_BYTES - io->offset_bytes % PIECE_BYTES;
            bytes = bytes < left ? bytes : left;
            if (transfer.in_flight == PIECES) {
                while (transfer.in_flight > 0 && transfer.err == 0) {
                    collect(&transfer, transfer.in_flight);
                }
            }
            iov[slot].iov_base = buffer;
            iov[slot].iov_len = (size_t)bytes;
            piece.iov = &iov[slot];
            piece.iov_count = 1;
            piece.length_bytes = bytes;
            slot = (slot + 1u) % PIECES;
            buffer += bytes;
            io->offset_bytes += bytes;
            left -= bytes;
        } else {
            left = 0;
        }
        start(&transfer, &piece);
    } while (left > 0 && (transfer.err == 0 || io->op == COFFER_IO_READ));
    while (transfer.in_flight > 0) {
        collect(&transfer, transfer.in_flight);
    }
    give_back(store, transfer.queue);
    return transfer.err;
}

static int check_range(const struct coffer_volume *volume, uint64_t offset, uint64_t length,
                       struct coffer_fault *fault)
{
    uint64_t size = volume->size_pages * COF_PAGE_BYTES;
    if (offset > size || length > size - offset) {
        return cof_fault(fault, COFFER_E_RANGE, COFFER_STAGE_NONE,
                         "offset %llu and length %llu reach beyond the volume's %llu bytes",
                         (unsigned long long)offset, (unsigned long long)length,
                         (unsigned long long)size);
    }
    if (offset % COFFER_SECTOR_BYTES != 0 || length % COFFER_SECTOR_BYTES != 0) {
        return cof_fault(fault, COFFER_E_ALIGN, COFFER_STAGE_NONE,
                         "offset %llu and length %llu must be multiples of 512",
                         (unsigned long long)offset, (unsigned long long)length);
    }
    return 0;
}

static int transfer(struct coffer_volume *volume, enum coffer_io_op op, void *buffer,
                    uint64_t offset_bytes, uint64_t length_bytes, unsigned flags,
                    struct coffer_fault *fault)
{
    struct coffer_io io;
    int err = op == COFFER_IO_FLUSH ? 0 : check_range(volume, offset_bytes, length_bytes, fault);
    if (err != 0 || (length_bytes == 0 && op != COFFER_IO_FLUSH)) {
        return err;
    }
    memset(&io, 0, sizeof io);
    io.op = op;
    io.flags = flags;
    io.volume = volume;
    io.offset_bytes = offset_bytes;
    io.length_bytes = length_bytes;
    return run(&io, buffer, fault);
}

int coffer_volume_read(struct coffer_volume *volume, void *buffer, uint64_t offset_bytes,
                       size_t length_bytes, struct coffer_fault *fault)
{
    return transfer(volume, COFFER_IO_READ, buffer, offset_bytes, length_bytes, 0, fault);
}

int coffer_volume_write(struct coffer_volume *volume, const void *buffer, uint64_t offset_bytes,
                        size_t length_bytes, unsigned flags, struct coffer_fault *fault)
{
    union { /* the queue's iovec is not const, but a write does not change what it points to */
        const void *from;
        void *to;
    } memory = {buffer};
    return transfer(volume, COFFER_IO_WRITE, memory.to, offset_bytes, length_bytes, flags, fault);
}

int coffer_volume_discard(struct coffer_volume *volume, uint64_t offset_bytes,
                          uint64_t length_bytes, struct coffer_fault *fault)
{
    return transfer(volume, COFFER_IO_DISCARD, NULL, offset_bytes, length_bytes, 0, fault);
}

int coffer_volume_write_zeroes(struct coffer_volume *volume, uint64_t offset_bytes,
                               uint64_t length_bytes, unsigned flags, struct coffer_fault *fault)
{
    return transfer(volume, COFFER_IO_WRITE_ZEROES, NULL, offset_bytes, length_bytes, flags, fault);
}

int coffer_volume_flush(struct coffer_volume *volume, struct coffer_fault *fault)
{
    return transfer(volume, COFFER_IO_FLUSH, NULL, 0, 0, 0, fault);
}

/* ---- where there is data ---- */

int coffer_volume_next_data(struct coffer_volume *volume, uint64_t *offset_bytes,
                            uint64_t *length_bytes, struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    uint64_t page = (*offset_bytes + COF_PAGE_BYTES - 1u) / COF_PAGE_BYTES, end;
    struct cof_vaddr addr = {0};
    int err;
    pthread_mutex_lock(&store->lock);
    *length_bytes = 0;
    err = cof_volume_next_data(volume, &page);
    for (end = page; err == 0 && end < volume->size_pages && end - page < 4096u; end++) {
        err = cof_volume_lookup(volume, end, &addr);
        if (err == 0 && cof_vaddr_zero(addr)) {
            break;
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (err != 0) {
        return explain(volume, err, fault);
    }
    if (page < volume->size_pages) {
        *offset_bytes = page * COF_PAGE_BYTES;
        *length_bytes = (end - page) * COF_PAGE_BYTES;
    }
    return 0;
}
