/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy_send.c - the extents of a copy, one after the other, in the order of the plan.
 *
 * Those that are there already are passed over, and roots in between keep what has come.
 */
#include "volume/copy.h"

#include "base/testhook.h"

#include <string.h>

#define ROOT_EVERY_PAGES (UINT64_C(64) << 10) /* 256 MiB: what a kill can cost */

/* Others may have filled the store meanwhile: what checkpoints need is left to them. */
static int admit(struct coffer_store *destination)
{
    int err = COF_BROKEN(COPY_GREEDY) ? 0 : COFFER_E_AGAIN;
    for (unsigned i = 0; i < 2 && err == COFFER_E_AGAIN; i++) {
        err = i > 0 ? cof_checkpoint_run(destination, false) : 0;
        if (err == 0) {
            err = destination->segments.free_count > cof_segments_kept(destination)
                      ? cof_store_admit(destination, 1)
                      : COFFER_E_AGAIN;
        }
    }
    return err == COFFER_E_AGAIN ? COFFER_E_NO_SPACE : err;
}

/* The destination's lock is taken here; the source's is held and let go meanwhile. */
static int store_extent(struct cof_copy *copy, uint32_t lineage)
{
    struct coffer_store *destination = copy->destination;
    int err;
    pthread_mutex_unlock(&copy->source->lock);
    pthread_mutex_lock(&destination->lock);
    err = destination->error != 0 ? COFFER_E_FAILED : admit(destination);
    if (err == 0) {
        err = cof_extent_write(destination, copy->to->entry.number, lineage, &copy->extent);
    }
    copy->done_pages += copy->extent.pages;
    if (err == 0 && copy->done_pages - copy->rooted_pages >= ROOT_EVERY_PAGES) {
        copy->rooted_pages = copy->done_pages;
        err = cof_checkpoint_light(destination);
    } else if (err != 0 && destination->meta.error != 0) {
        cof_store_fail(destination, err); /* else nothing was half-done: the copy is taken back */
    }
    pthread_mutex_unlock(&destination->lock);
    if (err == 0 && copy->opts->on_progress != NULL) {
        copy->stopped = copy->opts->on_progress(copy->opts->ctx, copy->done_pages * COF_PAGE_BYTES,
                                                copy->total_pages * COF_PAGE_BYTES);
        err = copy->stopped;
    }
    pthread_mutex_lock(&copy->source->lock);
    return err;
}

static int send_extent(struct cof_copy *copy, const struct cof_writer *writer,
                       struct cof_desc *desc)
{
    uint32_t lineage = cof_item_lineage(copy->to, writer->index);
    struct cof_desc *there;
    int err;
    pthread_mutex_lock(&copy->destination->lock);
    cof_place_trim(&copy->destination->place);
    err = cof_place_find(&copy->destination->place, lineage, desc->extent, &there);
    if (err == 0) {
        bool ours =
            there->volume == copy->to->entry.number && memcmp(there->uuid, desc->uuid, 16) == 0;
        copy->done_pages += cof_import_pages(desc);
        copy->overtaken = !ours; /* ours: it came before the copy was interrupted */
        err = ours ? 0 : COFFER_E_EXISTS;
        pthread_mutex_unlock(&copy->destination->lock);
        return err;
    }
    pthread_mutex_unlock(&copy->destination->lock);
    if (err != COFFER_E_NOT_FOUND) {
        return err;
    }
    err = cof_extent_read(copy->source, desc, &copy->extent);
    if (err != 0) {
        cof_fault(copy->fault, err, COFFER_STAGE_CHECKSUM,
                  "extent %llu of the source does not read: %s", (unsigned long long)desc->extent,
                  coffer_error_sentence(err));
        cof_fault_at(copy->fault, COFFER_NOWHERE, desc->pieces[0].segment, COFFER_NOWHERE);
        return err;
    }
    return store_extent(copy, lineage);
}

int cof_copy_send(struct cof_copy *copy)
{
    struct cof_env *env = &copy->destination->env;
    int err = 0;
    copy->extent.buffer = cof_alloc_aligned(env, COF_IMPORT_BUFFER_BYTES);
    if (copy->extent.buffer == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    if (err == 0) {
        pthread_mutex_lock(&copy->source->lock);
        err = cof_copy_each(copy, send_extent);
        pthread_mutex_unlock(&copy->source->lock);
    }
    cof_free_aligned(env, copy->extent.buffer);
    return err;
}
