/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/plan.h - where the next request goes, when a load is over, and what its pages hold.
 */
#ifndef COF_TOOLS_LOAD_PLAN_H
#define COF_TOOLS_LOAD_PLAN_H

#include "shape.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cof_load_plan {
    uint64_t block_bytes;
    uint64_t first_block; /* of this share of the span   */
    uint64_t block_count; /* in this share               */
    uint64_t position;    /* of the next sequential one  */
    uint64_t random_state;
    uint64_t mix_state;    /* apart, so that offsets are the same whatever reads */
    uint64_t read_percent; /* of the requests             */
    bool random;
    uint64_t left;    /* operations, UINT64_MAX: unlimited */
    uint64_t end_ns;  /* 0: unlimited                      */
    uint64_t pace_ns; /* between two operations; 0: none   */
    uint64_t due_ns;  /* of the next one                   */
};

/* Share number `share` of `shares` of a load on span_bytes; now_ns is the start of the measured
 * time. The shares are neighbouring parts of the span, and of the amount. */
void cof_load_plan_init(struct cof_load_plan *plan, const struct cof_load_shape *shape,
                        uint64_t span_bytes, unsigned share, unsigned shares, uint64_t now_ns);

/* The next request's offset; false when the load is over, or ahead of its pace. */
bool cof_load_plan_next(struct cof_load_plan *plan, uint64_t now_ns, uint64_t *ret_offset_bytes);

/* Whether the request that plan_next gave reads; once for each. */
bool cof_load_plan_reads(struct cof_load_plan *plan);

bool cof_load_plan_over(const struct cof_load_plan *plan, uint64_t now_ns);

/* Fill with bytes that do not compress. */
void cof_load_fill(void *buffer, size_t bytes, uint64_t seed);

/* Write each page's number at its beginning; say whether each is there. Whole pages only. */
void cof_load_stamp(void *buffer, uint64_t offset_bytes, size_t bytes);
bool cof_load_stamped(const void *buffer, uint64_t offset_bytes, size_t bytes);

#endif
