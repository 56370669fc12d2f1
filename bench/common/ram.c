/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/ram.c - see ram.h.
 */
#include "common/ram.h"

#include <stddef.h>

static void keep(struct coffer_segdev *device)
{
    (void)device;
}

int cof_bench_ram_init(struct cof_bench_ram *ram, uint64_t size_bytes, uint32_t segment_bytes)
{
    int error = coffer_segdev_memory_open(NULL, size_bytes, segment_bytes, &ram->device);
    if (error == 0) {
        ram->own = ram->device->ops;
        ram->lent = *ram->own;
        ram->lent.close = keep;
        ram->device->ops = &ram->lent;
    }
    return error;
}

void cof_bench_ram_done(struct cof_bench_ram *ram)
{
    if (ram->device != NULL) {
        ram->own->close(ram->device);
        ram->device = NULL;
    }
}
