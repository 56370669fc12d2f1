/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_volume - one load on one volume, measured, through the public API and nothing else.
 *
 * What it prints is for bench/run, which puts it beside a raw run of the same shape. It judges
 * nothing: it fails when a request fails or a page is not what was written, never for being slow.
 *
 * With --kill-at-end the process ends by SIGKILL after its last flush, without closing anything:
 * the next run with --rw none measures what opening after a crash costs. One thread.
 */
#include "common/load.h"
#include "common/options.h"
#include "common/report.h"
#include "common/target.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int run_raw(const struct cof_bench_options *options)
{
    struct cof_bench_result result;
    int error = cof_bench_load_raw(options, &result);
    return error != 0 ? error : cof_bench_report(options, NULL, &result);
}

static int run(const struct cof_bench_options *options)
{
    struct cof_bench_target target;
    struct cof_bench_result result;
    memset(&result, 0, sizeof result);
    int error = cof_bench_target_open(options, &target);
    if (error != 0) {
        return error;
    }
    if (options->rw != COF_LOAD_NONE) {
        error = cof_bench_load_run(options, &target, &result);
    }
    if (error == 0) {
        error = cof_bench_report(options, &target, &result);
    }
    if (error == 0 && options->kill_at_end) {
        kill(getpid(), SIGKILL);
    }
    int close_error = cof_bench_target_close(&target);
    return error != 0 ? error : close_error;
}

int main(int argc, char **argv)
{
    struct cof_bench_options options;
    int parsed = cof_bench_options_parse(argc, argv, &options);
    if (parsed != 0) {
        return parsed > 0 ? 0 : 2;
    }
    return (options.raw ? run_raw(&options) : run(&options)) == 0 ? 0 : 1;
}
