/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/runs.h - the ways to die: killed at any moment, the power cut at any event, and killed
 * before each write of what is done to a whole store.
 */
#ifndef TESTS_CRASH_KMS_RUNS_H
#define TESTS_CRASH_KMS_RUNS_H

#include "world.h"

struct run_counts {
    uint64_t deaths, steps, rows, olds, by_op[OP_KINDS];
};

/* Rounds of a child that is killed, until steps operations were acknowledged. lie: the negative
 * control, in which the child acknowledges one that it never did. */
void kill_run(const char *directory, uint64_t seed, uint64_t steps, bool lie,
              struct run_counts *counts);

/* Stories of `length` operations on a recorded disk until steps were done, each cut so often. */
void cut_run(const char *directory, uint64_t seed, uint64_t steps, uint64_t length, uint64_t cuts,
             struct run_counts *counts);
/* Backup, restore and another root secret, each killed before each of its writes. lie: the negative
 * control, in which what died was acknowledged. */
void step_run(const char *directory, bool lie, struct run_counts *counts);
/* Threads whose calls share commits: rounds of a child that is killed, or, with cuts, stories of
 * `length` operations a thread on a recorded disk, each cut so often. */
void crowd_run(const char *directory, uint64_t seed, uint64_t rounds, uint64_t length,
               uint64_t cuts, struct run_counts *counts);
/* One cut again: of story number seed, after so many events. */
void cut_replay(const char *directory, uint64_t seed, uint64_t length, uint64_t events,
                unsigned variant);

#endif
