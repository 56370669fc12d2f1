/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/create.c - an empty store: roots only.
 *
 * The empty trees need no block. All four slots are written, pair by pair, each synced, so a crash
 * on the way leaves either no valid root (not a store yet) or an empty store.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_DEFAULT (UINT64_C(64) << 30)
#define SEGMENT_BYTES_DEFAULT (8u << 20)

/* The largest default that still gives 64 segments. */
static uint32_t choose_segment_bytes(uint64_t size_bytes)
{
    uint32_t bytes = SEGMENT_BYTES_DEFAULT;
    while (bytes > COF_SEGMENT_BYTES_MIN && size_bytes / bytes < COF_SEGMENTS_MIN) {
        bytes /= 2u;
    }
    return bytes;
}

static int check_options(const struct coffer_store_create_opts *opts, struct coffer_fault *fault)
{
    uint32_t bytes;
    if (opts == NULL || opts->size < sizeof *opts || (opts->path == NULL && opts->device == NULL)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    bytes = opts->segment_bytes;
    if (bytes != 0 && (bytes < COF_SEGMENT_BYTES_MIN || bytes > COF_SEGMENT_BYTES_MAX ||
                       (bytes & (bytes - 1u)) != 0)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "segments are 1, 2, 4, 8, 16, 32 or 64 MiB");
    }
    if (opts->device == NULL && opts->size_bytes != 0 &&
        opts->size_bytes < (uint64_t)COF_SEGMENTS_MIN * COF_SEGMENT_BYTES_MIN) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "a store has at least 64 segments of 1 MiB: give 64MiB or more");
    }
    return 0;
}

/* What the path was before, to be put back after a failure. */
static int path_state(const char *path, bool *ret_block_device)
{
    struct stat now;
    *ret_block_device = false;
    if (stat(path, &now) != 0) {
        return 0;
    }
    *ret_block_device = S_ISBLK(now.st_mode);
    return 1;
}

static void undo_file(const char *path, bool existed)
{
    if (!existed) {
        (void)unlink(path);
    } else if (truncate(path, 0) != 0) {
        return; /* it stays a file of zeros, which is not a store */
    }
}

static int refuse_existing(struct cof_sync_io *io, uint64_t epochs[COFFER_ROOT_SLOTS],
                           struct coffer_fault *fault)
{
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        uint8_t block[4096];
        struct cof_root root;
        int err = cof_sync_io_root_read(io, slot, block);
        if (err != 0) {
            return cof_fault(fault, err, COFFER_STAGE_IO, "the device can't be read: %s",
                             coffer_error_sentence(err));
        }
        err = cof_root_decode(block, &root);
        if (err == 0 || err == COFFER_E_TOO_NEW) {
            return cof_fault(fault, COFFER_E_EXISTS, COFFER_STAGE_ROOT,
                             "there is a Coffer store already; wipe it first if it is not needed");
        }
        if (err != COFFER_E_NOT_A_STORE) {
            epochs[slot] = cof_le64_get(block + 8);
        }
    }
    return 0;
}

static int write_roots(struct cof_env *env, struct cof_sync_io *io, struct coffer_segdev *dev,
                       const uint64_t epochs[COFFER_ROOT_SLOTS], struct coffer_fault *fault)
{
    struct coffer_geometry geometry;
    struct cof_root root;
    uint8_t block[4096];
    int err;
    dev->ops->geometry(dev, &geometry);
    if (geometry.segment_count < COF_SEGMENTS_MIN) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the device holds %u segments; at least 64 are needed: it is too small",
                         geometry.segment_count);
    }
    memset(&root, 0, sizeof root);
    root.major = COF_FORMAT_MAJOR;
    root.minor = COF_FORMAT_MINOR;
    root.clean = true;
    root.segment_bytes = geometry.segment_bytes;
    root.segment_count = geometry.segment_count;
    root.next_extent = 1;
    root.next_sequence = 1;
    root.created_ns = cof_wall_ns(env);
    root.lanes[COF_LANE_USER].used = true;
    root.lanes[COF_LANE_USER].batch_no = 1;
    root.lanes[COF_LANE_CHECKPOINT].used = true;
    root.lanes[COF_LANE_CHECKPOINT].batch_no = 1;
    err = cof_random(env, root.store_uuid, 16);
    if (err == 0) {
        err = cof_random(env, root.session, 16);
    }
    for (unsigned pair = 0; err == 0 && pair < 2; pair++) {
        root.epoch = 2u + pair;
        cof_root_encode(&root, block);
        for (unsigned slot = pair; err == 0 && slot < COFFER_ROOT_SLOTS; slot += 2u) {
            err = cof_sync_io_root_cas(io, slot, epochs[slot], block);
        }
        if (err == 0) {
            err = cof_sync_io_control(io, COFFER_SEGDEV_SYNC, 0);
        }
    }
    if (err != 0) {
        cof_fault(fault, err, COFFER_STAGE_ROOT, "the first root can't be written: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

static int create_on(struct cof_env *env, struct coffer_segdev *dev, struct coffer_fault *fault)
{
    uint64_t epochs[COFFER_ROOT_SLOTS] = {0};
    struct cof_sync_io io;
    int err = cof_sync_io_init(&io, env, dev);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_IO, "the device can't be used: %s",
                         coffer_error_sentence(err));
    }
    err = refuse_existing(&io, epochs, fault);
    if (err == 0) {
        err = write_roots(env, &io, dev, epochs, fault);
    }
    cof_sync_io_done(&io);
    return err;
}

static int create_at(struct cof_env *env, const struct coffer_store_create_opts *opts,
                     struct coffer_fault *fault)
{
    struct coffer_segdev *dev;
    bool block_device;
    bool existed = path_state(opts->path, &block_device) != 0;
    uint64_t size = opts->size_bytes != 0 || block_device ? opts->size_bytes : FILE_BYTES_DEFAULT;
    uint32_t segment_bytes = opts->segment_bytes != 0
                                 ? opts->segment_bytes
                                 : choose_segment_bytes(size != 0 ? size : FILE_BYTES_DEFAULT);
    int err = coffer_segdev_file_open(opts->env, opts->path, COFFER_SEGDEV_CREATE, size,
                                      segment_bytes, &dev, fault);
    if (err != 0) {
        return err;
    }
    err = create_on(env, dev, fault);
    if (err != 0 && !block_device) {
        undo_file(opts->path, existed);
    }
    dev->ops->close(dev);
    return err;
}

int coffer_store_create(const struct coffer_store_create_opts *opts, struct coffer_fault *fault)
{
    struct cof_env env;
    int err;
    cof_fault_clear(fault);
    err = check_options(opts, fault);
    if (err == 0) {
        cof_env_init(&env, opts->env);
        err = opts->device != NULL ? create_on(&env, opts->device, fault)
                                   : create_at(&env, opts, fault);
    }
    if (opts != NULL && opts->device != NULL) {
        opts->device->ops->close(opts->device);
    }
    return err;
}
