/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/workloads.h - short runs of a store, each made to pass through one part of the engine.
 *
 * The power-cut and the fault harness run them: the first cuts the power at every event of a run,
 * the second lets every call of a run fail. A workload begins on an empty disk; what comes before
 * workload_begun is only setting up. Each returns the first error that a call gave it.
 */
#ifndef TESTS_COMMON_WORKLOADS_H
#define TESTS_COMMON_WORKLOADS_H

#include "common/world.h"

/* Events of the device when the store was created, and when setting up was over. */
struct workload_marks {
    uint64_t created, begun;
};

struct workload {
    const char *name;
    const char *what;
    int (*run)(struct world *world, struct workload_marks *marks);
    void (*tune)(struct world_options *options); /* may be NULL */
};

#define WORKLOADS 19u
extern const struct workload workloads[WORKLOADS];

/* NULL when there is none of the name. */
const struct workload *workload_find(const char *name);

/* Options for a run by seed, and the run itself up to its close; marks may be NULL. tight: on a
 * store that is nearly full (tight.h), where marks->created is 0. */
void workload_options(const struct workload *workload, uint64_t seed, bool record, bool tight,
                      struct world_options *ret_options);
int workload_run(const struct workload *workload, struct world *world,
                 struct workload_marks *marks);

/* A few writes, a flush and a look at them: a store that came through goes on. */
void workload_go_on(struct world *world);

#endif
