/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/layout.h - what every segment device has in common: sizes, root slots, checks.
 *
 * Root slots of one block each: slot 0 at byte 0 and slot 1 at byte 8192 of segment 0, slot 2 at
 * the start of segment 32, slot 3 at the start of segment 63. These three segments hold nothing
 * else. Slots 0 and 1 can be read before the segment size is known; open tries the sizes for the
 * others.
 *
 * A root block begins with the magic COFFROOT and its epoch as a little-endian u64. That is all a
 * device knows of it: whether its checksum holds is the engine's business, so expect_epoch is what
 * the bytes say (cof_segdev_root_epoch), be the rest of the block torn or not.
 */
#ifndef COF_SEGDEV_LAYOUT_H
#define COF_SEGDEV_LAYOUT_H

#include "base/env.h"
#include <coffer/segdev.h>

#define COF_SEGMENT_BYTES_MIN (1u << 20)
#define COF_SEGMENT_BYTES_MAX (64u << 20)
#define COF_SEGMENT_COUNT_MIN 64u
#define COF_IOV_MAX 1024u
#define COF_SECTOR_BYTES 512u

/* The first member of each of our devices. */
struct cof_segdev_base {
    struct coffer_segdev api;
    struct cof_env env;
    _Atomic uint32_t segment_bytes; /* 0 until known */
    _Atomic uint64_t size_bytes;
    uint32_t memory_align;
    bool read_only;
};

/* A zeroed device of device_bytes, whose first member is a cof_segdev_base, or NULL. */
void *cof_segdev_device_new(const struct coffer_env *env, const struct coffer_segdev_ops *ops,
                            size_t device_bytes);
void cof_segdev_device_free(struct cof_segdev_base *base);

/* Power of two, 1 to 64 MiB. */
bool cof_segdev_segment_bytes_valid(uint32_t segment_bytes);
COFFER_MUST_CHECK int cof_segdev_set_segment_bytes(struct coffer_segdev *dev,
                                                   uint32_t segment_bytes);

/* Whole segments; 0 while the segment size is unknown. */
uint32_t cof_segdev_segment_count(const struct cof_segdev_base *base);

bool cof_segdev_is_root_segment(uint32_t segment);

/* Byte offset of a root slot in the device. INVALID for a slot that does not exist, or whose place
 * is not known yet. */
COFFER_MUST_CHECK int cof_segdev_root_place(const struct cof_segdev_base *base, uint32_t slot,
                                            uint64_t *ret_offset_bytes);

/* The epoch that a block's bytes say, or 0 when they are not a root's. */
uint64_t cof_segdev_root_epoch(const void *block);

/* 0 when the request may be handed to the device: its op exists, its range lies in one segment of
 * the device, it is aligned, it leaves root slots alone, the device may be written. */
COFFER_MUST_CHECK int cof_segdev_check(const struct cof_segdev_base *base,
                                       const struct coffer_segdev_request *request,
                                       uint32_t *ret_length_bytes);

#endif
