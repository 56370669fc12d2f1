/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/faults/faults.h - one planted failure: where, and what it must leave.
 */
#ifndef TESTS_CRASH_FAULTS_FAULTS_H
#define TESTS_CRASH_FAULTS_FAULTS_H

#include "common/workloads.h"

enum fault_kind {
    KIND_DEVICE = 0, /* + enum coffer_segdev_op or enum sim_call */
    KIND_ALLOC = SIM_CALLS,
    KIND_KMS,
    KIND_RANDOM,
    KINDS
};

#define ERRORS 4u

struct plan_case {
    const struct workload *workload;
    uint64_t seed, at;
    unsigned kind, error;
    bool sticky;
    bool recovery; /* not while the workload runs, but when its store is opened after a cut */
    uint64_t event;
    enum sim_variant variant;
};

struct plan {
    uint64_t seed, seeds, points, cuts;
    bool all, recovery;
    const char *workload, *kind, *broken;
};

extern struct plan_case current;
extern bool tell, tight;
extern struct faults_counts {
    uint64_t cases, fired, reported, silent, by_kind[KINDS];
} counts;

/* ---- plant.c ---- */

extern const char *const kind_names[KINDS];
const char *error_name(unsigned error);
/* How many calls of a kind there were. */
uint64_t calls_of(const struct world *world, unsigned kind);
void plant(struct world *world, const struct plan_case *plan);
void unplant(struct world *world);
uint64_t fired(const struct world *world, const struct plan_case *plan);
void tell_context(const struct plan_case *plan);
/* What is on the medium when the fault is gone, after a cut at the event, must open and hold what
 * it must; image is taken over. */
void judge_image(const struct world *from, const struct workload_marks *marks,
                 struct sim_image *image, uint64_t event, uint64_t incarnation);

/* ---- recovery.c ---- */

/* Fail calls of recoveries after cuts of the workload. fail_kind: at most plan->points of so many
 * calls of a kind. */
void fail_recoveries(const struct plan *plan,
                     void (*fail_kind)(const struct plan *plan, unsigned kind, uint64_t calls));
/* Record the run that current is about; false when it failed. */
bool recovery_begin(void);
void recovery_end(void);
void recovery_case(void *ctx);

#endif
