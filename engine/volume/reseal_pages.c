/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reseal_pages.c - what one volume holds, written into another that is empty.
 *
 * Pieces go round in a ring: read ahead on a queue of the source, opened there, written on a queue
 * of the destination in the order of their offsets, and free again when their batches are complete.
 * So the source's device, the processor and the destination's device are at work at once. Both may
 * be queues of one store.
 *
 * The caller's thread does all of it; or, where that is asked for, a second one reads and opens
 * while the caller's seals and writes. The ring's lock is for what both look at, and is held for
 * moments: a piece, and what is in it, is the reader's until it is READ and the writer's from then
 * on. With one thread nobody waits for `moved`.
 *
 * What is being read is held against the cleaner meanwhile. So a write that finds no room counts
 * only when nothing is being read: else what is under way comes to its end, and from then on
 * reads and writes take turns.
 *
 * Invariants: done <= begun <= done + PIECES; nothing is under way on return, whatever stopped it,
 * and no plaintext stays in memory. No lock of a store's is held.
 */
#include "volume/store.h"

#include "base/thread.h"

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
    uint64_t offset_bytes, length_bytes; /* the reader's: of the data that is next, and not begun */
    uint64_t done_bytes;                 /* the writer's */

    pthread_mutex_t lock;
    pthread_cond_t moved; /* something below is not what it was */
    struct piece ring[PIECES];
    uint64_t begun, done; /* pieces, ever */
    unsigned reading, writing;
    bool at_end, by_turns;
    int err; /* the first */
    struct coffer_fault *fault;
};

static struct piece *piece_at(struct pages *pages, uint64_t number)
{
    return &pages->ring[number % PIECES];
}

static void lock(struct pages *pages)
{
    pthread_mutex_lock(&pages->lock);
}

static void unlock(struct pages *pages)
{
    pthread_cond_broadcast(&pages->moved);
    pthread_mutex_unlock(&pages->lock);
}

/* fault may be NULL. Under the ring's lock. */
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

/* Its own thread's: the system takes requests from who made the queue. */
static bool open_queue(struct pages *pages, struct coffer_volume *volume,
                       struct coffer_queue **ret_queue)
{
    const struct coffer_queue_opts opts = {sizeof opts, PIECES};
    int err = coffer_queue_create(volume->store, &opts, ret_queue);
    if (err != 0) {
        lock(pages);
        fail(pages, err, NULL);
        unlock(pages);
    }
    return err == 0;
}

/* A piece that counts as under way already. */
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
    if (taken != 1) {
        lock(pages);
        *(read ? &pages->reading : &pages->writing) -= 1u;
        fail(pages, taken, NULL);
        unlock(pages);
    }
}

/* ---- reading ahead ---- */

/* False: there is no more, or it is not known. */
static bool find_data(struct pages *pages)
{
    struct coffer_fault fault;
    int err = 0;
    cof_fault_clear(&fault);
    if (pages->length_bytes == 0) {
        err = coffer_volume_next_data(pages->from, &pages->offset_bytes, &pages->length_bytes,
                                      &fault);
    }
    if (err == 0 && pages->length_bytes > 0) {
        return true;
    }
    lock(pages);
    pages->at_end = true;
    if (err != 0) {
        fail(pages, err, &fault);
    }
    unlock(pages);
    return false;
}

static bool may_read(const struct pages *pages)
{
    uint64_t most = pages->by_turns ? 1u : PIECES;
    return pages->err == 0 && !pages->at_end && pages->begun - pages->done < most;
}

static struct piece *begin_piece(struct pages *pages)
{
    struct piece *piece = NULL;
    lock(pages);
    if (may_read(pages)) {
        piece = piece_at(pages, pages->begun);
        piece->state = READING;
        piece->offset_bytes = pages->offset_bytes;
        piece->iov.iov_base = pages->memory + (pages->begun % PIECES) * (size_t)PIECE_BYTES;
        piece->iov.iov_len =
            pages->length_bytes < PIECE_BYTES ? (size_t)pages->length_bytes : PIECE_BYTES;
        pages->offset_bytes += piece->iov.iov_len;
        pages->length_bytes -= piece->iov.iov_len;
        pages->begun++;
        pages->reading++;
    }
    unlock(pages);
    return piece;
}

static bool is_read(struct pages *pages)
{
    bool over;
    lock(pages);
    over = pages->err != 0 || pages->at_end;
    unlock(pages);
    return over;
}

static void read_ahead(struct pages *pages)
{
    struct piece *piece = NULL;
    do {
        piece = !is_read(pages) && find_data(pages) ? begin_piece(pages) : NULL;
        if (piece != NULL) {
            submit(pages, piece, COFFER_IO_READ);
        }
    } while (piece != NULL);
}

/* ---- writing ---- */

/* In order: what follows a piece that is still being read waits for it. NULL: none. */
static struct piece *next_to_write(struct pages *pages)
{
    uint64_t at = pages->done;
    if (pages->err != 0 || (pages->by_turns && pages->reading > 0)) {
        return NULL;
    }
    while (at < pages->begun && piece_at(pages, at)->state >= WRITING) {
        at++;
    }
    return at < pages->begun && piece_at(pages, at)->state == READ ? piece_at(pages, at) : NULL;
}

/* One at a time: what is written makes room to read ahead. False: there was none to write. */
static bool write_next(struct pages *pages)
{
    struct piece *piece;
    lock(pages);
    piece = next_to_write(pages);
    if (piece != NULL) {
        piece->alone = pages->by_turns;
        piece->state = WRITING;
        pages->writing++;
    }
    unlock(pages);
    if (piece != NULL) {
        submit(pages, piece, COFFER_IO_WRITE);
    }
    return piece != NULL;
}

static void tell_progress(struct pages *pages)
{
    const struct cof_reseal *reseal = pages->reseal;
    uint64_t before = pages->done_bytes;
    int stop = 0;
    bool well;
    lock(pages);
    while (pages->done < pages->begun && piece_at(pages, pages->done)->state == WRITTEN) {
        pages->done_bytes += piece_at(pages, pages->done)->iov.iov_len;
        pages->done++;
    }
    well = pages->err == 0;
    unlock(pages);
    if (well && pages->done_bytes != before && reseal->on_progress != NULL) {
        stop = reseal->on_progress(reseal->ctx, pages->done_bytes,
                                   pages->from->record.mapped_pages * COFFER_PAGE_BYTES);
    }
    if (stop != 0) {
        lock(pages);
        pages->err = pages->err == 0 ? stop : pages->err;
        unlock(pages);
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
    lock(pages);
    for (int i = 0; i < count; i++) {
        come(pages, &cqe[i]);
    }
    if (count < 0) {
        fail(pages, count, NULL);
        *(queue == pages->reads ? &pages->reading : &pages->writing) = 0;
    }
    unlock(pages);
    return count > 0 ? (unsigned)count : 0u;
}

static bool is_over(const struct pages *pages)
{
    return pages->reading + pages->writing == 0 &&
           (pages->err != 0 || (pages->at_end && pages->done == pages->begun));
}

/* ---- one thread ---- */

/* All that can begin has begun. */
static void wait_for_some(struct pages *pages)
{
    if (collect(pages, pages->writes, 0) == 0 && pages->reading + pages->writing > 0) {
        bool read = pages->reading > 0 && pages->reading >= pages->writing;
        (void)collect(pages, read ? pages->reads : pages->writes, 1);
    }
}

static void run_alone(struct pages *pages)
{
    (void)open_queue(pages, pages->from, &pages->reads);
    while (!is_over(pages)) {
        read_ahead(pages);
        if (write_next(pages)) {
            (void)collect(pages, pages->writes, 0);
        } else {
            wait_for_some(pages);
        }
        tell_progress(pages);
    }
    coffer_queue_destroy(pages->reads);
}

/* ---- two threads ---- */

/* Until something is being read, can be, or all is. True: there is something to wait for. */
static bool reader_waits(struct pages *pages, bool *ret_over)
{
    bool reads;
    lock(pages);
    while (pages->reading == 0 && !may_read(pages) && pages->err == 0 && !pages->at_end) {
        pthread_cond_wait(&pages->moved, &pages->lock);
    }
    reads = pages->reading > 0;
    *ret_over = !reads && (pages->err != 0 || pages->at_end);
    unlock(pages);
    return reads;
}

static void *read_all(void *arg)
{
    struct pages *pages = arg;
    bool over = !open_queue(pages, pages->from, &pages->reads);
    while (!over) {
        read_ahead(pages);
        if (reader_waits(pages, &over)) {
            (void)collect(pages, pages->reads, 1);
        }
    }
    coffer_queue_destroy(pages->reads);
    return NULL;
}

static bool writer_waits(struct pages *pages, bool *ret_over)
{
    bool writes;
    lock(pages);
    while (pages->writing == 0 && next_to_write(pages) == NULL && !is_over(pages)) {
        pthread_cond_wait(&pages->moved, &pages->lock);
    }
    writes = pages->writing > 0;
    *ret_over = is_over(pages);
    unlock(pages);
    return writes;
}

static void write_all(struct pages *pages)
{
    bool over = false;
    while (!over) {
        bool wrote = write_next(pages);
        if (wrote || writer_waits(pages, &over)) {
            (void)collect(pages, pages->writes, wrote ? 0u : 1u);
        }
        tell_progress(pages);
    }
}

/* ---- the whole ---- */

/* Without a second thread it takes longer, no more. */
static int run(struct pages *pages)
{
    pthread_t reader;
    pages->memory = cof_alloc_aligned(&pages->to->store->env, MEMORY_BYTES);
    if (pages->memory == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (!open_queue(pages, pages->to, &pages->writes)) {
        return pages->err;
    }
    if (pages->reseal->threaded && cof_thread_start(&reader, read_all, pages) == 0) {
        write_all(pages);
        pthread_join(reader, NULL);
    } else {
        run_alone(pages);
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
    pthread_mutex_init(&pages->lock, NULL);
    pthread_cond_init(&pages->moved, NULL);
    err = run(pages);
    pthread_cond_destroy(&pages->moved);
    pthread_mutex_destroy(&pages->lock);
    coffer_queue_destroy(pages->writes);
    if (pages->memory != NULL) {
        cof_wipe(pages->memory, MEMORY_BYTES);
    }
    cof_free_aligned(env, pages->memory);
    cof_free(env, pages);
    return err;
}
