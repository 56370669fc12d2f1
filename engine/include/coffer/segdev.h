/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/segdev.h - the segment device: the only way the engine reaches storage.
 *
 * A device is an array of segments of one size and four root slots of one block each. A segment is
 * append-only: each append begins where the last one ended (an append at offset 0 begins the
 * segment anew, after a trim or when all it held is dead), so a segment can be one file range, one
 * RADOS object or one S3 object. A root slot is replaced whole by compare-and-set on its epoch.
 * These are the only assumptions about storage in the whole engine.
 *
 * Thread rule: a channel is a submission and completion context of its own. It is used under its
 * owner's lock, by one thread at a time. submit and poll never block, except that poll waits for
 * min_complete completions. A request belongs to the device from submit until its completion has
 * been returned by poll; buffers likewise. Requests complete in any order.
 *
 * Durability: an append that completed survives the death of the process; it survives the loss of
 * power only after a sync that was submitted after its completion has completed with success. A
 * root_cas is durable only after such a sync, too. A sync that failed promises nothing, and is
 * never retried by the engine as if it could succeed.
 *
 * Atomicity: none is assumed above 512 bytes for appends; a torn root slot is found by its
 * checksum.
 */
#ifndef COFFER_SEGDEV_H
#define COFFER_SEGDEV_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_BLOCK_BYTES 4096u
#define COFFER_ROOT_SLOTS 4u

struct coffer_geometry {
    uint32_t segment_bytes;   /* a power of two                                               */
    uint32_t segment_count;   /* segments the device has, or could hold if it grows by itself */
    uint32_t memory_align;    /* alignment that buffers must have, at most 4096               */
    uint32_t write_in_flight; /* appends worth having in flight at once                       */
    uint32_t fixed_size;      /* 1: a block device; 0: grow may be asked for                  */
    uint32_t works_in_poll;   /* 1: what was submitted is done inside poll, by who calls it   */
};

enum coffer_segdev_op {
    COFFER_SEGDEV_READ = 0,  /* any range of whole blocks inside one segment                    */
    COFFER_SEGDEV_APPEND,    /* whole blocks at offset, see above                               */
    COFFER_SEGDEV_SYNC,      /* all appends and root_cas that completed before become durable   */
    COFFER_SEGDEV_TRIM,      /* the segment's content is no longer needed; reads may give zeros */
    COFFER_SEGDEV_CONDITION, /* make the segment cheap to append durably (write zeros)          */
    COFFER_SEGDEV_GROW,      /* make the device hold segment_count = segment segments           */
    COFFER_SEGDEV_ROOT_READ, /* root slot number `segment` into iov[0], one block               */
    COFFER_SEGDEV_ROOT_CAS,  /* replace slot `segment` if its epoch is expect_epoch             */
    COFFER_SEGDEV_SHRINK     /* no more than `segment` segments are needed until GROW says more:
                                what lies behind may be given up, none of it is in flight       */
};

struct coffer_segdev_request {
    enum coffer_segdev_op op;
    uint32_t segment; /* segment number; root slot for ROOT_*; count for GROW, SHRINK */
    uint32_t offset;  /* bytes, a multiple of COFFER_BLOCK_BYTES              */
    uint32_t iov_count;
    const struct iovec *iov;
    uint64_t expect_epoch; /* ROOT_CAS: epoch that the slot holds now (0: none valid) */
    int buffer_index;      /* registered buffer that iov[0] lies in, or -1            */
    void *user;            /* the submitter's                                         */

    int result;   /* on completion: 0 or a negative enum coffer_error; short transfers are IO */
    int os_errno; /* on completion: the operating system's errno, or 0                        */

    struct coffer_segdev_request *next; /* the device's own while in flight; links completions */
    uint64_t device_private[4];
};

struct coffer_segdev; /* a device, made by a coffer_segdev_*_open below or by the embedder */
struct
    coffer_segdev_channel; /* a submission context of a device                                  */

struct coffer_segdev_ops {
    size_t size; /* sizeof (struct coffer_segdev_ops) */

    void (*geometry)(struct coffer_segdev *dev, struct coffer_geometry *ret_geometry);

    /* Tell the device the segment size once known from the root (open finds it by probing with
     * root_read, whose slots lie at fixed places for each size). */
    int (*set_segment_bytes)(struct coffer_segdev *dev, uint32_t segment_bytes);

    int (*channel_open)(struct coffer_segdev *dev, unsigned depth,
                        struct coffer_segdev_channel **ret_channel);
    void (*channel_close)(struct coffer_segdev_channel *channel);

    /* Register buffers for faster transfers; optional (NULL), and failure is harmless. */
    int (*channel_register)(struct coffer_segdev_channel *channel, const struct iovec *buffers,
                            unsigned buffer_count);

    /* Hand over a request. 0, or AGAIN when the channel is at its depth, or another error; then
     * the request still belongs to the caller. */
    int (*submit)(struct coffer_segdev_channel *channel, struct coffer_segdev_request *request);

    /* Push what was submitted to the device and collect completions, waiting until at least
     * min_complete are there (0: do not wait; never more than are in flight). Returns their number,
     * linked by `next` at *ret_list in no certain order, or an error of the channel itself. */
    int (*poll)(struct coffer_segdev_channel *channel, unsigned min_complete,
                struct coffer_segdev_request **ret_list);

    /* A descriptor readable when completions wait, or -1. */
    int (*channel_fd)(struct coffer_segdev_channel *channel);

    void (*close)(struct coffer_segdev *dev);
};

/* Every device begins with this, so that the engine can call it. */
struct coffer_segdev {
    const struct coffer_segdev_ops *ops;
};

enum coffer_segdev_file_flags {
    COFFER_SEGDEV_READ_ONLY = 1u << 0,
    COFFER_SEGDEV_CREATE = 1u << 1,  /* make the file; EXISTS when it is there and not empty */
    COFFER_SEGDEV_BUFFERED = 1u << 2 /* page cache instead of O_DIRECT                       */
};

/*
 * A file or block device through io_uring, O_DIRECT, registered file. Takes the writer's lock (an
 * OFD lock on a file, O_EXCL on a block device) unless READ_ONLY, which takes a shared one; BUSY
 * when another process holds it. size_bytes counts for CREATE only (0: the block device's own).
 * The caller owns *ret_dev until it hands it to a store.
 */
COFFER_MUST_CHECK int coffer_segdev_file_open(const struct coffer_env *env, const char *path,
                                              unsigned flags, uint64_t size_bytes,
                                              uint32_t segment_bytes,
                                              struct coffer_segdev **ret_dev,
                                              struct coffer_fault *fault);

/* Memory, for embedders' tests and RAM-backed stores: as fast as it can be, durable never. */
COFFER_MUST_CHECK int coffer_segdev_memory_open(const struct coffer_env *env, uint64_t size_bytes,
                                                uint32_t segment_bytes,
                                                struct coffer_segdev **ret_dev);

#ifdef __cplusplus
}
#endif
#endif
