/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/report.h - a run's result as one JSON object on standard output.
 */
#ifndef COF_BENCH_REPORT_H
#define COF_BENCH_REPORT_H

#include "common/load.h"
#include "common/options.h"
#include "common/target.h"

/* Print what was done and what came out. target NULL: a raw run. 0, or NO_MEMORY, or IO when
 * standard output can't be written. */
COFFER_MUST_CHECK int cof_bench_report(const struct cof_bench_options *options,
                                       const struct cof_bench_target *target,
                                       const struct cof_bench_result *result);

#endif
