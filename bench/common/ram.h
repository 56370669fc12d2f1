/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/ram.h - a segment device in memory that outlives the handles that stores close.
 *
 * A store closes the device that it is given, and its memory goes with it. This one is lent: its
 * close does nothing until cof_bench_ram_done, so that a store can be made, opened and opened again
 * on it.
 */
#ifndef COF_BENCH_RAM_H
#define COF_BENCH_RAM_H

#include <coffer/segdev.h>

struct cof_bench_ram {
    struct coffer_segdev *device; /* to be given to create and open, one at a time */
    const struct coffer_segdev_ops *own;
    struct coffer_segdev_ops lent;
};

COFFER_MUST_CHECK int cof_bench_ram_init(struct cof_bench_ram *ram, uint64_t size_bytes,
                                         uint32_t segment_bytes);
void cof_bench_ram_done(struct cof_bench_ram *ram);

#endif
