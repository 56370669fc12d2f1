/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/runs.c - writes, collected in runs of adjoining pages and handed to the engine.
 *
 * One run is open: pieces that fall into it or join its end are copied there. Any other piece
 * closes it. A closed run of the database is submitted and left in flight; a closed run of journal
 * or log is written and waited for, after all that is in flight. Its last page is kept, clean, as
 * the next piece most often goes on inside it and would have to read it.
 *
 * A page that is covered in part is read first, unless the file ends before it. The volume's mutex
 * is held throughout.
 */
#include "volume.h"
#include <assert.h>
#include <string.h>

static bool in_run(const struct cof_sqlite_run *run, uint64_t page)
{
    return run->pages > 0 && page >= run->page && page - run->page < run->pages;
}

static bool touches(const struct cof_sqlite_run *run, uint64_t first, uint64_t last)
{
    return run->pages > 0 && first < run->page + run->pages && last >= run->page;
}

/* ---- in flight --------------------------------------------------------------------------- */

static void retire(struct cof_sqlite_volume *volume, const struct coffer_cqe *cqe)
{
    struct cof_sqlite_run *run = cqe->user;
    run->in_flight = false;
    run->pages = 0;
    volume->in_flight--;
    if (cqe->result != 0 && volume->late_error == 0) {
        volume->late_error = cqe->result;
        volume->late_fault = cqe->fault;
    }
}

static int reap(struct cof_sqlite_volume *volume, unsigned wait)
{
    struct coffer_cqe cqes[COF_SQLITE_RUNS];
    while (volume->in_flight > 0 && wait > 0) {
        int count = coffer_reap(volume->queue, cqes, COF_SQLITE_RUNS, 1);
        if (count < 0) {
            return count;
        }
        for (int i = 0; i < count; i++) {
            retire(volume, &cqes[i]);
        }
        wait = (unsigned)count >= wait ? 0 : wait - (unsigned)count;
    }
    return 0;
}

/* Wait for all, and tell what failed. */
static int reap_all(struct cof_sqlite_volume *volume, struct coffer_fault *fault)
{
    int error = reap(volume, volume->in_flight);
    if (error == 0 && volume->late_error != 0) {
        error = volume->late_error;
        volume->late_error = 0;
        if (fault != NULL) {
            *fault = volume->late_fault;
        }
    }
    return error;
}

static int submit(struct cof_sqlite_volume *volume, const struct coffer_io *io)
{
    int taken;
    while ((taken = coffer_submit(volume->queue, io, 1)) == COFFER_E_AGAIN &&
           volume->in_flight > 0) {
        int error = reap(volume, 1);
        if (error != 0) {
            return error;
        }
    }
    return taken == 1 ? 0 : taken == 0 ? COFFER_E_AGAIN : taken;
}

int cof_sqlite_runs_one(struct cof_sqlite_volume *volume, const struct coffer_io *io,
                        struct coffer_fault *fault)
{
    struct coffer_cqe cqe;
    assert(volume->in_flight == 0);
    int error = submit(volume, io);
    if (error != 0) {
        return error;
    }
    int count = coffer_reap(volume->queue, &cqe, 1, 1);
    if (count != 1) {
        return count < 0 ? count : COFFER_E_INTERNAL;
    }
    if (cqe.result != 0 && fault != NULL) {
        *fault = cqe.fault;
    }
    return cqe.result;
}

/* ---- closing a run ----------------------------------------------------------------------- */

static int send_main(struct cof_sqlite_volume *volume, struct cof_sqlite_run *run)
{
    const struct coffer_io io = {.op = COFFER_IO_WRITE,
                                 .volume = volume->volume,
                                 .offset_bytes = run->page * COFFER_PAGE_BYTES,
                                 .length_bytes = run->pages * (uint64_t)COFFER_PAGE_BYTES,
                                 .iov = &run->iov,
                                 .iov_count = 1,
                                 .user = run};
    run->iov = (struct iovec){run->bytes, run->pages * (size_t)COFFER_PAGE_BYTES};
    int error = submit(volume, &io);
    if (error == 0) {
        run->dirty = false;
        run->in_flight = true;
        volume->in_flight++;
        volume->unflushed = true;
    }
    return error;
}

static int write_ordered(struct cof_sqlite_volume *volume, struct cof_sqlite_run *run,
                         unsigned flags, struct coffer_fault *fault)
{
    int error = coffer_volume_write(volume->volume, run->bytes, run->page * COFFER_PAGE_BYTES,
                                    run->pages * (size_t)COFFER_PAGE_BYTES, flags, fault);
    if (error != 0) {
        return error;
    }
    volume->unflushed = (flags & COFFER_IO_FUA) == 0;
    memmove(run->bytes, run->bytes + (run->pages - 1u) * (size_t)COFFER_PAGE_BYTES,
            COFFER_PAGE_BYTES);
    run->page += run->pages - 1u;
    run->pages = 1;
    run->dirty = false;
    return 0;
}

static int close_run(struct cof_sqlite_volume *volume, unsigned flags, struct coffer_fault *fault)
{
    struct cof_sqlite_run *run = &volume->runs[volume->open];
    if (run->in_flight || run->pages == 0 || !run->dirty) {
        return 0;
    }
    return run->part == COF_SQLITE_MAIN ? send_main(volume, run)
                                        : write_ordered(volume, run, flags, fault);
}

int cof_sqlite_runs_settle(struct cof_sqlite_volume *volume, unsigned flags,
                           struct coffer_fault *fault)
{
    int error = close_run(volume, flags, fault);
    int late = reap_all(volume, fault);
    for (unsigned i = 0; COF_SQLITE_BROKEN(EARLY_MAIN) && i < COF_SQLITE_RUNS; i++) {
        struct cof_sqlite_run *run = &volume->runs[i];
        late = run->dirty && error == 0 ? write_ordered(volume, run, flags, fault) : late;
    }
    return error != 0 ? error : late;
}

void cof_sqlite_runs_drop(struct cof_sqlite_volume *volume, enum cof_sqlite_part part)
{
    struct cof_sqlite_run *run = &volume->runs[volume->open];
    if (!run->in_flight && run->part == part) {
        run->pages = 0;
        run->dirty = false;
    }
}

/* ---- opening one ------------------------------------------------------------------------- */

static int begin(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t page,
                 struct coffer_fault *fault)
{
    bool early = COF_SQLITE_BROKEN(EARLY_MAIN) && part == COF_SQLITE_MAIN &&
                 volume->runs[volume->open].part == COF_SQLITE_JOURNAL;
    int error = early                     ? 0
                : part == COF_SQLITE_MAIN ? close_run(volume, 0, fault)
                                          : cof_sqlite_runs_settle(volume, 0, fault);
    if (error == 0 && volume->in_flight == COF_SQLITE_RUNS) {
        error = reap(volume, 1);
    }
    if (error != 0) {
        return error;
    }
    while (volume->runs[volume->open].in_flight || (early && volume->runs[volume->open].dirty)) {
        volume->open = (volume->open + 1u) % COF_SQLITE_RUNS;
    }
    struct cof_sqlite_run *run = &volume->runs[volume->open];
    run->part = part;
    run->page = page;
    run->pages = 0;
    run->dirty = false;
    return 0;
}

/* What a page holds that will be changed in part. */
static int load(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t page,
                uint8_t *memory, struct coffer_fault *fault)
{
    const struct cof_sqlite_region *region = &volume->regions[part];
    uint64_t at = page * COFFER_PAGE_BYTES;
    if (at >= region->offset_bytes + region->length_bytes) {
        memset(memory, 0, COFFER_PAGE_BYTES);
        return 0;
    }
    return coffer_volume_read(volume->volume, memory, at, COFFER_PAGE_BYTES, fault);
}

/* The memory of a page in the open run, which is made to hold it. */
static int take_page(struct cof_sqlite_volume *volume, enum cof_sqlite_part part, uint64_t page,
                     bool whole, uint8_t **ret_memory, struct coffer_fault *fault)
{
    struct cof_sqlite_run *run = &volume->runs[volume->open];
    int error = 0;
    if (!run->in_flight && in_run(run, page)) {
        *ret_memory = run->bytes + (page - run->page) * COFFER_PAGE_BYTES;
        return 0;
    }
    for (unsigned i = 0; error == 0 && i < COF_SQLITE_RUNS; i++) {
        if (volume->runs[i].in_flight && in_run(&volume->runs[i], page)) {
            error = reap_all(volume, fault);
        }
    }
    bool joins = !run->in_flight && run->dirty && run->part == part &&
                 page == run->page + run->pages && run->pages < COF_SQLITE_RUN_PAGES;
    if (error == 0 && !joins) {
        error = begin(volume, part, page, fault);
        run = &volume->runs[volume->open];
    }
    if (error != 0) {
        return error;
    }
    uint8_t *memory = run->bytes + (page - run->page) * COFFER_PAGE_BYTES;
    if (!whole) {
        error = load(volume, part, page, memory, fault);
    }
    if (error == 0) {
        run->pages++;
        *ret_memory = memory;
    }
    return error;
}

int cof_sqlite_runs_put(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                        const uint8_t *buffer, uint64_t offset_bytes, size_t length_bytes,
                        struct coffer_fault *fault)
{
    uint64_t at = volume->regions[part].offset_bytes + offset_bytes;
    while (length_bytes > 0) {
        size_t inside = at % COFFER_PAGE_BYTES;
        size_t bytes = COFFER_PAGE_BYTES - inside;
        uint8_t *memory = NULL;
        bytes = bytes < length_bytes ? bytes : length_bytes;
        int error = take_page(volume, part, at / COFFER_PAGE_BYTES, bytes == COFFER_PAGE_BYTES,
                              &memory, fault);
        if (error != 0) {
            return error;
        }
        memcpy(memory + inside, buffer, bytes);
        volume->runs[volume->open].dirty = true;
        buffer += bytes;
        at += bytes;
        length_bytes -= bytes;
    }
    return 0;
}

int cof_sqlite_runs_look(struct cof_sqlite_volume *volume, enum cof_sqlite_part part,
                         uint8_t *buffer, uint64_t offset_bytes, size_t length_bytes,
                         bool *ret_done, struct coffer_fault *fault)
{
    struct cof_sqlite_run *run = &volume->runs[volume->open];
    uint64_t at = volume->regions[part].offset_bytes + offset_bytes;
    uint64_t first = at / COFFER_PAGE_BYTES;
    uint64_t last = (at + length_bytes - 1u) / COFFER_PAGE_BYTES;
    *ret_done = !run->in_flight && in_run(run, first) && in_run(run, last);
    if (*ret_done) {
        memcpy(buffer, run->bytes + (at - run->page * COFFER_PAGE_BYTES), length_bytes);
        return 0;
    }
    if (!run->in_flight && run->dirty && touches(run, first, last)) {
        return cof_sqlite_runs_settle(volume, 0, fault);
    }
    for (unsigned i = 0; i < COF_SQLITE_RUNS; i++) {
        if (volume->runs[i].in_flight && touches(&volume->runs[i], first, last)) {
            return reap_all(volume, fault);
        }
    }
    return 0;
}
