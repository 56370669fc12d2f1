/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reseal_pages.c - what one volume holds, written into another that is empty.
 *
 * Pieces go round in a ring: read ahead on a queue of the source, opened there, written on a queue
 * of the destination in the order of their offsets, and free again when their batches are complete.
 * So the source's device, the processor and the destination's device are at work at once, on the
 * caller's thread alone. Both may be queues of one store.
 *
 * What is being read is held against the cleaner meanwhile. So a write that finds no room counts
 * only when nothing is being read: else what is under way comes to its end, and from then on
 * reads and writes take turns.
 *
 * Invariants: done <= begun <= done + PIECES; nothing is under way on return, whatever stopped it,
 * and no plaintext stays in memory. Holds no lock.
 */
#include "volume/store.h"

#include <string.h>

#define PIECE_BYTES (1u << 20)
#define PIECES 16u
#define MEMORY_BYTES ((size_t)PIECES * PIECE_BYTES)

enum state { READING, READ, WRITING, WRITTEN };

struct piece {
    enum state state;
    bool alone; /* nothing is read while it is written */
    uint64_t offset_bytes;
    struct iovec iov;
};

struct pages {
    const struct cof_reseal *reseal;
    struct coffer_volume *from, *to;
    struct coffer_queue *reads, *writes;
    uint8_t *memory;
    struct piece ring[PIECES];
    uint64_t begun, done; /* pieces, ever */
    unsigned reading, writing;
    uint64_t offset_bytes, length_bytes; /* of the data that is next, and not begun */
    uint64_t done_bytes;
    bool at_end, by_turns;
    int err; /* the first */
    struct coffer_fault *fault;
};

static struct piece *piece_at(struct pages *pages, uint64_t number)
{
    return &pages->ring[number % PIECES];
}

static void fail(struct pages *pages, int err, const struct coffer_fault *fault)
{
    if (pages->err != 0) {
        return;
    }
    pages->err = err;
    if (fault == NULL) {
        (void)cof_fault(pages->fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
    } else if (pages->fault != NULL) {
        *pages->fault = *fault;
    }
}

static void submit(struct pages *pages, struct piece *piece, enum coffer_io_op op)
{
    bool read = op == COFFER_IO_READ;
    const struct coffer_io io = {.op = op,
                                 .volume = read ? pages->from : pages->to,
                                 .offset_bytes = piece->offset_bytes,
                                 .length_bytes = piece->iov.iov_len,
                                 .iov = &piece->iov,
                                 .iov_count = 1,
                                 .user = piece};
    int taken = coffer_submit(read ? pages->reads : pages->writes, &io, 1);
    if (taken == 1) {
        piece->alone = pages->by_turns;
        piece->state = read ? READING : WRITING;
        *(read ? &pages->reading : &pages->writing) += 1u;
    } else {
        fail(pages, taken, NULL);
    }
}

/* ---- reading ahead ---- */

static bool find_data(struct pages *pages)
{
    if (pages->length_bytes == 0 && !pages->at_end) {
        pages->err = coffer_volume_next_data(pages->from, &pages->offset_bytes,
                                             &pages->length_bytes, pages->fault);
        pages->at_end = pages->length_bytes == 0;
    }
    return pages->err == 0 && !pages->at_end;
}

static bool may_read(const struct pages *pages)
{
    uint64_t most = pages->by_turns ? 1u : PIECES;
    return pages->err == 0 && pages->begun - pages->done < most;
}

static void read_ahead(struct pages *pages)
{
    while (may_read(pages) && find_data(pages)) {
        struct piece *piece = piece_at(pages, pages->begun);
        piece->offset_bytes = pages->offset_bytes;
        piece->iov.iov_base = pages->memory + (pages->begun % PIECES) * (size_t)PIECE_BYTES;
        piece->iov.iov_len =
            pages->length_bytes < PIECE_BYTES ? (size_t)pages->length_bytes : PIECE_BYTES;
        submit(pages, piece, COFFER_IO_READ);
        if (pages->err == 0) {
            pages->begun++;
            pages->offset_bytes += piece->iov.iov_len;
            pages->length_bytes -= piece->iov.iov_len;
        }
    }
}

/* ---- writing ---- */

/* In order: what follows a piece that is still being read waits for it. */
static void write_what_came(struct pages *pages)
{
    if (pages->by_turns && pages->reading > 0) {
        return;
    }
    for (uint64_t i = pages->done; pages->err == 0 && i < pages->begun; i++) {
        struct piece *piece = piece_at(pages, i);
        if (piece->state == READING) {
            return;
        }
        if (piece->state == READ) {
            submit(pages, piece, COFFER_IO_WRITE);
        }
    }
}

static void tell_progress(struct pages *pages)
{
    const struct cof_reseal *reseal = pages->reseal;
    uint64_t before = pages->done;
    while (pages->done < pages->begun && piece_at(pages, pages->done)->state == WRITTEN) {
        pages->done_bytes += piece_at(pages, pages->done)->iov.iov_len;
        pages->done++;
    }
    if (pages->err == 0 && pages->done != before && reseal->on_progress != NULL) {
        pages->err = reseal->on_progress(reseal->ctx, pages->done_bytes,
                                         pages->from->record.mapped_pages * COFFER_PAGE_BYTES);
    }
}

/* ---- what has come ---- */

static void come(struct pages *pages, const struct coffer_cqe *cqe)
{
    struct piece *piece = cqe->user;
    if (piece->state == READING) {
        pages->reading--;
        piece->state = READ;
    } else {
        bool again = cqe->result == COFFER_E_NO_SPACE && !piece->alone;
        pages->writing--;
        piece->state = again ? READ : WRITTEN;
        pages->by_turns = pages->by_turns || again;
        if (again) {
            return;
        }
    }
    if (cqe->result != 0) {
        fail(pages, cqe->result, &cqe->fault);
    }
}

/* A queue that fails gives nothing back any more: what it has goes with it. */
static unsigned collect(struct pages *pages, struct coffer_queue *queue, unsigned least)
{
    struct coffer_cqe cqe[PIECES];
    int count = coffer_reap(queue, cqe, PIECES, least);
    for (int i = 0; i < count; i++) {
        come(pages, &cqe[i]);
    }
    if (count < 0) {
        fail(pages, count, NULL);
        *(queue == pages->reads ? &pages->reading : &pages->writing) = 0;
    }
    return count > 0 ? (unsigned)count : 0u;
}

/* All that can begin has begun. */
static void wait_for_some(struct pages *pages)
{
    if (pages->writing == 0 || collect(pages, pages->writes, 0) == 0) {
        bool read = pages->reading > 0 && pages->reading >= pages->writing;
        (void)collect(pages, read ? pages->reads : pages->writes, 1);
    }
}

/* ---- the whole ---- */

static bool is_over(const struct pages *pages)
{
    return pages->reading + pages->writing == 0 &&
           (pages->err != 0 || (pages->at_end && pages->done == pages->begun));
}

static int run(struct pages *pages)
{
    const struct coffer_queue_opts opts = {sizeof opts, PIECES};
    int err = coffer_queue_create(pages->from->store, &opts, &pages->reads);
    if (err == 0) {
        err = coffer_queue_create(pages->to->store, &opts, &pages->writes);
    }
    if (err == 0) {
        pages->memory = cof_alloc_aligned(&pages->to->store->env, MEMORY_BYTES);
        err = pages->memory == NULL ? COFFER_E_NO_MEMORY : 0;
    }
    if (err != 0) {
        fail(pages, err, NULL);
    }
    while (!is_over(pages)) {
        read_ahead(pages);
        write_what_came(pages);
        if (pages->reading + pages->writing > 0) {
            wait_for_some(pages);
        }
        tell_progress(pages);
    }
    return pages->err;
}

int cof_reseal_pages(const struct cof_reseal *reseal, struct coffer_volume *to,
                     struct coffer_fault *fault)
{
    struct cof_env *env = &to->store->env;
    struct pages *pages = cof_calloc(env, 1, sizeof *pages);
    int err;
    if (pages == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    pages->reseal = reseal;
    pages->from = reseal->from;
    pages->to = to;
    pages->fault = fault;
    err = run(pages);
    coffer_queue_destroy(pages->reads);
    coffer_queue_destroy(pages->writes);
    if (pages->memory != NULL) {
        cof_wipe(pages->memory, MEMORY_BYTES);
    }
    cof_free_aligned(env, pages->memory);
    cof_free(env, pages);
    return err;
}
