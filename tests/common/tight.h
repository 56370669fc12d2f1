/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/tight.h - stores with next to no free segments, so that the cleaner is at work whatever is
 * done to them: worlds that begin on one (world_options.tight).
 *
 * A tight store is made once a process for each kind and shared as an image. Two ballast volumes,
 * one encrypted, hold pages in nearly each segment: cold ones, written once, among hot ones that
 * were written over since. While a world works, each of its changes is followed by a few writes to
 * the hot pages (squeeze), so that segments are used up and must be cleaned.
 */
#ifndef TESTS_COMMON_TIGHT_H
#define TESTS_COMMON_TIGHT_H

#include "common/world.h"

enum tight_kind {
    TIGHT_NOT = 0,
    TIGHT_SPARSE, /* a few live pages in each segment          */
    TIGHT_KIN,    /* the same, with a snapshot and its clone   */
    TIGHT_DENSE,  /* most pages of each segment live           */
    TIGHT_KINDS
};

/* The kind for a run by its seed: dense ones cost more, and come now and then. */
enum tight_kind tight_kind_for(uint64_t seed);

/* Put a world that was just made, with nothing in it, on a store of the kind. */
void tight_begin(struct world *world, enum tight_kind kind);
/* After a change: a few more, of ballast. */
int tight_squeeze(struct world *world);

#endif
