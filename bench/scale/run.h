/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/run.h - a run under way, between the files that make it up.
 */
#ifndef SCALE_RUN_H
#define SCALE_RUN_H

#include "common/target.h"
#include "scale/scale.h"

#define SCALE_PAGE 4096u
#define SCALE_HOLE_EVERY 512u
#define SCALE_HOLE_AT 137u
#define SCALE_STAMP_EVERY 16384u
#define SCALE_STAMP_AT 5u

struct scale {
    const struct scale_options *options;
    struct scale_result *result;
    struct scale_device *device;
    struct cof_bench_target target;
    struct coffer_queue *queue;
    uint64_t pages; /* of the volume */
    uint64_t random;
    uint8_t *buffers; /* depth pages */
    struct iovec *iov;
    struct coffer_io *ios;
    struct coffer_cqe *cqes;
    unsigned *spare; /* buffers that no request has */
    unsigned spare_count;
    uint32_t *generations; /* of stamped pages */
    uint64_t until_sample;
};

/* ---- measure.c ---- */

/* Look at the memory now. */
COFFER_MUST_CHECK int scale_sample(struct scale *run);
/* What was counted until now, of which `pages` were this load's; the difference of two. */
COFFER_MUST_CHECK int scale_span_at(struct scale *run, uint64_t pages, struct scale_span *ret_span);
struct scale_span scale_span_since(const struct scale_span *from, const struct scale_span *to);

/* ---- load.c ---- */

COFFER_MUST_CHECK int scale_fill(struct scale *run);
COFFER_MUST_CHECK int scale_overwrite(struct scale *run);
COFFER_MUST_CHECK int scale_look_up(struct scale *run, uint64_t page);
COFFER_MUST_CHECK int scale_look_up_all(struct scale *run);

#endif
