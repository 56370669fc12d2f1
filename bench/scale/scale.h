/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/scale.h - one run: a volume, what is written and looked up in it, and what that took.
 */
#ifndef SCALE_SCALE_H
#define SCALE_SCALE_H

#include "scale/device.h"

#include <coffer/keystore.h>
#include <stdbool.h>

#define SCALE_MARKS_MAX 64u

struct scale_options {
    uint64_t size_bytes;  /* of the volume                                        */
    uint64_t store_bytes; /* 0: half as much again                                */
    uint64_t segment_bytes;
    uint64_t scattered;  /* pages at random places, in place of all of them      */
    uint64_t overwrites; /* pages at random places, after the filling            */
    uint64_t lookups;    /* reads of pages at random places                      */
    uint64_t depth;
    uint64_t seed;
    const char *keys;   /* directory of a key store; NULL: the volume is plain  */
    uint64_t overspend; /* times the budgets that the bound is made from        */
    bool engine_only;   /* the process is not judged */
    uint64_t delta_entries, node_cache_bytes, tag_cache_bytes, placement_bytes, staging_bytes;
};

/* What a stretch of the load took. */
struct scale_span {
    uint64_t pages, wall_ns, cpu_ns, device_ns; /* of cpu_ns, the simulated device's */
    uint64_t checkpoints, meta_blocks, read_blocks;
};

struct scale_memory {
    uint64_t engine_bytes, engine_max_bytes; /* coffer_store_info.memory_bytes              */
    uint64_t process_max_bytes;              /* resident, without the device's              */
    uint64_t device_max_bytes;
};

struct scale_result {
    struct scale_span fill, overwrite, lookup;
    struct scale_span marks[SCALE_MARKS_MAX]; /* of the filling, in equal parts */
    unsigned mark_count;
    uint64_t verified_pages, hole_pages;
    uint64_t reopen_ns, reopen_bytes; /* and the engine's memory then */
    uint64_t segment_count, live_bytes;
    struct scale_memory memory;
    struct scale_device_counts device;
};

/* 0; or an error, which was told on standard error. */
COFFER_MUST_CHECK int scale_run(const struct scale_options *options,
                                struct scale_result *ret_result);

/* ---- bound.c ---- */

/* The bounds of docs/architecture.md, section 6, for the budgets of the options. */
struct scale_bound {
    const char *name;
    uint64_t bytes;
};

#define SCALE_BOUNDS 12u

void scale_bounds(const struct scale_options *options, uint64_t segment_count,
                  struct scale_bound ret_bounds[SCALE_BOUNDS]);

#endif
