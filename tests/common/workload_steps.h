/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/workload_steps.h - what the files of workloads share; see workloads.h.
 */
#ifndef TESTS_COMMON_WORKLOAD_STEPS_H
#define TESTS_COMMON_WORKLOAD_STEPS_H

#include "common/workloads.h"

/* Return the first error. */
#define try(call)                                                                                  \
    do {                                                                                           \
        int try_error = (call);                                                                    \
        if (try_error != 0) {                                                                      \
            return try_error;                                                                      \
        }                                                                                          \
    } while (0)

#define WORKLOAD_PAGES 512u
#define WORKLOAD_PAGES_MAX 1024u

/* A store with an open volume. */
int workload_begin(struct world *world, struct workload_marks *marks, bool encrypted,
                   unsigned *ret_volume);
/* A write of 1 to most pages somewhere in the first `span` pages. */
int workload_scatter(struct world *world, unsigned volume, uint32_t span, uint32_t most);

/* ---- workloads_snapshot.c ---- */

int workload_snapshots(struct world *world, struct workload_marks *marks);
int workload_deletes(struct world *world, struct workload_marks *marks);
int workload_clones(struct world *world, struct workload_marks *marks);
int workload_rekeys(struct world *world, struct workload_marks *marks);
int workload_reencrypt(struct world *world, struct workload_marks *marks);
int workload_losses(struct world *world, struct workload_marks *marks);

#endif
