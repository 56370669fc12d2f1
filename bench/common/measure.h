/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/measure.h - what bench_snapshot measures. Each adds rows to scene->rows and leaves the
 * store fit for use; nothing is judged.
 */
#ifndef COF_BENCH_MEASURE_H
#define COF_BENCH_MEASURE_H

#include "common/scene.h"

/* Fill the volume, take snapshot "s1" and export it to options->to; nothing is measured. */
COFFER_MUST_CHECK int cof_bench_measure_prepare(struct cof_bench_scene *scene);

/* Snapshots and clones: with each number of snapshots present, after each amount of writes. */
COFFER_MUST_CHECK int cof_bench_measure_create(struct cof_bench_scene *scene);

/* Deletion of a snapshot, after each share of the volume's pages was overwritten. */
COFFER_MUST_CHECK int cof_bench_measure_delete(struct cof_bench_scene *scene);

/* "s1" of a prepared store into a new one under another master key, read back there; then the same
 * after changes, incrementally. */
COFFER_MUST_CHECK int cof_bench_measure_copy(struct cof_bench_scene *scene);

/* Both depths that differ, with each number of snapshots present. */
COFFER_MUST_CHECK int cof_bench_measure_rekey(struct cof_bench_scene *scene);

#endif
