/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/device.h - a segment device of terabytes that keeps only what is read again.
 *
 * It keeps all of the checkpoint lane (map nodes, blocks of the keyless trees), the segment, batch
 * and group headers and the footers of the other lanes, for the user lane of its newest segments
 * only, and of data pages those that begin with SCALE_STAMP. Other data pages are forgotten, and
 * read as zeros: a load may not read them. It finds its way by what docs/format.md says of
 * headers, and refuses (IO) what it does not understand.
 *
 * One thread. Its memory and its time are its own, so that they can be told from the engine's.
 */
#ifndef SCALE_DEVICE_H
#define SCALE_DEVICE_H

#include <coffer/coffer.h>

#define SCALE_STAMP "COFSCALE" /* 8 bytes */

struct scale_device;

struct scale_device_counts {
    uint64_t bytes;        /* of memory, for blocks and tables             */
    uint64_t spent_ns;     /* in requests                                  */
    uint64_t pages;        /* of data, kept or not                         */
    uint64_t meta_blocks;  /* written into the checkpoint lane             */
    uint64_t other_blocks; /* headers, footers and fillings of other lanes */
    uint64_t read_blocks, reads, appends, syncs;
};

/* user_segments: of the user lane whose headers are kept. NULL: no memory. */
struct scale_device *scale_device_new(uint64_t size_bytes, uint32_t segment_bytes,
                                      unsigned user_segments);
void scale_device_free(struct scale_device *device);

/* To give to a store, one after another: closing it leaves the device as it is. */
struct coffer_segdev *scale_device_api(struct scale_device *device);
const struct scale_device_counts *scale_device_counts(const struct scale_device *device);

#endif
