/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy_send.c - the extents of a copy, written in the order of the plan.
 *
 * Some are read ahead while earlier ones are written, by one thread: reads are begun and waited for
 * later, and so are writes, by the lane. Those that are there already are passed over, and roots in
 * between keep what has come. A failure strikes where the extent's turn comes.
 *
 * The source's lock is held for its placement table only, never while a device is waited for.
 */
#include "volume/copy.h"

#include "base/testhook.h"

#include <string.h>

#define ROOT_EVERY_PAGES (UINT64_C(64) << 10) /* 256 MiB: what a kill can cost */

/* Others may have filled the store meanwhile: what checkpoints need is left to them. */
static int admit(struct coffer_store *destination, unsigned pages)
{
    return COF_BROKEN(COPY_GREEDY) ? 0 : cof_import_admit(destination, pages);
}

/* The destination's lock is taken here. */
static int store_extent(struct cof_copy *copy, const struct cof_extent_copy *extent)
{
    struct coffer_store *destination = copy->destination;
    int err;
    pthread_mutex_lock(&destination->lock);
    err = destination->error != 0 ? COFFER_E_FAILED : admit(destination, extent->pages);
    if (err == 0) {
        err = cof_extent_write(destination, copy->to->entry.number, extent);
    }
    copy->done_pages += extent->pages;
    if (err == 0 && copy->done_pages - copy->rooted_pages >= ROOT_EVERY_PAGES) {
        copy->rooted_pages = copy->done_pages;
        err = cof_checkpoint_ready(destination, 0, COF_SPARE_OPEN);
        if (err == 0) {
            err = cof_checkpoint_light(destination);
        }
    } else if (err != 0 && destination->meta.error != 0) {
        cof_store_fail(destination, err); /* else nothing was half-done: the copy is taken back */
    }
    pthread_mutex_unlock(&destination->lock);
    if (err == 0 && copy->opts->on_progress != NULL) {
        copy->stopped = copy->opts->on_progress(copy->opts->ctx, copy->done_pages * COF_PAGE_BYTES,
                                                copy->total_pages * COF_PAGE_BYTES);
        err = copy->stopped;
    }
    return err;
}

/* Wait for the oldest extent and write it. The source's lock is held and let go meanwhile. */
static int send_oldest(struct cof_copy *copy)
{
    struct cof_extent_copy *extent = &copy->extents[copy->oldest];
    int err;
    copy->oldest = (copy->oldest + 1u) % COF_COPY_AHEAD;
    copy->reading--;
    pthread_mutex_unlock(&copy->source->lock);
    err = cof_extent_read_finish(copy->source, &copy->reader, extent);
    if (err != 0) {
        cof_fault(copy->fault, err, COFFER_STAGE_CHECKSUM,
                  "extent %llu of the source does not read: %s", (unsigned long long)extent->extent,
                  coffer_error_sentence(err));
        cof_fault_at(copy->fault, COFFER_NOWHERE, extent->segment, COFFER_NOWHERE);
    } else {
        err = store_extent(copy, extent);
    }
    pthread_mutex_lock(&copy->source->lock);
    cof_extent_read_end(copy->source, extent);
    return err;
}

/* NOT_FOUND: the destination lacks it. */
static int look_there(struct cof_copy *copy, uint32_t lineage, const struct cof_desc *desc)
{
    struct coffer_store *destination = copy->destination;
    struct cof_desc *there;
    int err;
    pthread_mutex_lock(&destination->lock);
    cof_place_trim(&destination->place);
    err = cof_place_find(&destination->place, lineage, desc->extent, &there);
    if (err == 0) {
        bool ours =
            there->volume == copy->to->entry.number && memcmp(there->uuid, desc->uuid, 16) == 0;
        copy->done_pages += cof_import_pages(desc);
        copy->overtaken = !ours; /* ours: it came before the copy was interrupted */
        err = ours ? 0 : COFFER_E_EXISTS;
    }
    pthread_mutex_unlock(&destination->lock);
    return err;
}

/* Begin to read it; when enough are on the way, write one. */
static int send_extent(struct cof_copy *copy, const struct cof_writer *writer,
                       struct cof_desc *desc)
{
    struct cof_extent_copy *extent =
        &copy->extents[(copy->oldest + copy->reading) % COF_COPY_AHEAD];
    int err;
    extent->lineage = cof_item_lineage(copy->to, writer->index);
    err = look_there(copy, extent->lineage, desc);
    if (err != COFFER_E_NOT_FOUND) {
        return err;
    }
    cof_extent_read_start(copy->source, &copy->reader, desc, extent);
    copy->reading++;
    return copy->reading == COF_COPY_AHEAD ? send_oldest(copy) : 0;
}

static int make_buffers(struct cof_copy *copy)
{
    struct cof_env *env = &copy->destination->env;
    int err = cof_reader_init(&copy->reader, copy->source->dev, COF_COPY_AHEAD);
    copy->oldest = 0;
    copy->reading = 0;
    copy->buffers =
        err == 0 ? cof_alloc_aligned(env, COF_COPY_AHEAD * COF_IMPORT_BUFFER_BYTES) : NULL;
    for (unsigned i = 0; copy->buffers != NULL && i < COF_COPY_AHEAD; i++) {
        copy->extents[i].buffer = copy->buffers + i * COF_IMPORT_BUFFER_BYTES;
    }
    return err == 0 && copy->buffers == NULL ? COFFER_E_NO_MEMORY : err;
}

/* What is still being read when the copy fails or stops is waited for. */
static void free_buffers(struct cof_copy *copy)
{
    cof_reader_done(&copy->reader);
    pthread_mutex_lock(&copy->source->lock);
    for (unsigned i = 0; i < COF_COPY_AHEAD; i++) {
        cof_extent_read_end(copy->source, &copy->extents[i]);
    }
    copy->source->closed_queue_reads += copy->reader.requests;
    copy->source->closed_queue_read_bytes += copy->reader.bytes;
    pthread_mutex_unlock(&copy->source->lock);
    cof_free_aligned(&copy->destination->env, copy->buffers);
}

int cof_copy_send(struct cof_copy *copy)
{
    int err = make_buffers(copy);
    if (err == 0) {
        pthread_mutex_lock(&copy->source->lock);
        err = cof_copy_each(copy, send_extent);
        while (err == 0 && copy->reading > 0) {
            err = send_oldest(copy);
        }
        pthread_mutex_unlock(&copy->source->lock);
    }
    free_buffers(copy);
    return err;
}
