/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/resize.c - the size of an open store: one root.
 *
 * Larger: the device grows first, then the root says so. Smaller: nothing lies any more in what
 * goes (shrink.c), the root says so, twice, and only then is the device cut. A crash between leaves
 * a device that is larger than its store, which is as good; the next call cuts it.
 *
 * One resize at a time; requests and all other calls go on meanwhile.
 */
#include "volume/store.h"

/* ---- the device ---- */

static int grow_device(struct coffer_store *store, uint32_t count, struct coffer_fault *fault)
{
    int err;
    if (count <= store->geometry.segment_count) {
        return 0;
    }
    if (store->geometry.fixed_size) {
        return cof_fault(fault, COFFER_E_NO_SPACE, COFFER_STAGE_NONE,
                         "the device holds %u segments", store->geometry.segment_count);
    }
    err = cof_sync_io_control(&store->io, COFFER_SEGDEV_GROW, count);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_IO, "the device does not grow: %s",
                         coffer_error_sentence(err));
    }
    store->dev->ops->geometry(store->dev, &store->geometry);
    return 0;
}

/* A file system may take its time: nobody waits for it. */
static int cut_device(struct coffer_store *store, uint32_t count, struct coffer_fault *fault)
{
    int err;
    if (store->geometry.fixed_size || store->geometry.segment_count <= count) {
        return 0;
    }
    pthread_mutex_unlock(&store->lock);
    err = cof_sync_io_control(&store->io, COFFER_SEGDEV_SHRINK, count);
    pthread_mutex_lock(&store->lock);
    store->dev->ops->geometry(store->dev, &store->geometry);
    if (err == 0 || err == COFFER_E_UNSUPPORTED) {
        return 0;
    }
    return cof_fault(fault, err, COFFER_STAGE_IO,
                     "the store is smaller, its file is not yet: %s; shrink it to the same size "
                     "again",
                     coffer_error_sentence(err));
}

/* ---- the store ---- */

static int grow(struct coffer_store *store, uint32_t count, struct coffer_fault *fault)
{
    int err = grow_device(store, count, fault);
    if (err != 0) {
        return err;
    }
    err = cof_checkpoint_settle(store); /* a full store can grow */
    if (err == 0) {
        err = cof_segments_resize(&store->segments, count);
    }
    if (err == 0) {
        err = cof_checkpoint_light(store);
    }
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the store does not grow: %s",
                                coffer_error_sentence(err));
}

static int resize(struct coffer_store *store, uint32_t count,
                  const struct coffer_store_resize_opts *opts, struct coffer_fault *fault)
{
    int err = 0;
    if (count > store->segments.count) {
        return grow(store, count, fault);
    }
    if (count < store->segments.count) {
        err = cof_store_shrink(store, count, opts, fault);
    }
    return err == 0 ? cut_device(store, count, fault) : err;
}

static int check(const struct coffer_store *store, const struct coffer_store_resize_opts *opts,
                 uint64_t *ret_count, struct coffer_fault *fault)
{
    uint64_t count;
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    count = opts->size_bytes / store->root.segment_bytes;
    if (count < COF_SEGMENTS_MIN || count > UINT32_MAX / 2u) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a store has at least %u segments of %u bytes", COF_SEGMENTS_MIN,
                         store->root.segment_bytes);
    }
    *ret_count = count;
    return 0;
}

int coffer_store_resize_with(struct coffer_store *store,
                             const struct coffer_store_resize_opts *opts,
                             struct coffer_fault *fault)
{
    uint64_t count = 0;
    int err;
    cof_fault_clear(fault);
    err = check(store, opts, &count, fault);
    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&store->lock);
    if (store->error != 0 || store->resizing) {
        err = store->error != 0 ? COFFER_E_FAILED : COFFER_E_BUSY;
        cof_fault(fault, err, COFFER_STAGE_NONE, "%s",
                  err == COFFER_E_BUSY ? "the store's size is being changed already"
                                       : coffer_error_sentence(err));
    } else {
        store->resizing = true;
        err = resize(store, (uint32_t)count, opts, fault);
        store->resizing = false;
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

int coffer_store_resize(struct coffer_store *store, uint64_t size_bytes, struct coffer_fault *fault)
{
    struct coffer_store_resize_opts opts = {.size = sizeof opts, .size_bytes = size_bytes};
    return coffer_store_resize_with(store, &opts, fault);
}
