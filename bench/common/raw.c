/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/raw.c - the floor under a durable write: pwrite and fdatasync, one at a time, O_DIRECT.
 *
 * fio reports the latencies of writes and syncs apart; their sum's percentiles can only be had by
 * measuring the pair, which is what this does. The file must hold written blocks already, as a
 * database's log or Coffer's conditioned segments do.
 */
#include "common/load.h"
#include "tools/load/plan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int complain_errno(const char *what)
{
    fprintf(stderr, "bench_volume: %s: %s\n", what, strerror(errno));
    return COFFER_E_IO;
}

static int run(int fd, void *buffer, const struct cof_bench_options *options,
               struct cof_bench_result *result)
{
    struct cof_load_plan plan;
    uint64_t offset_bytes = 0;
    uint64_t start_ns = cof_load_now_ns();
    uint64_t now_ns = start_ns;
    const struct cof_load_shape shape = cof_bench_options_shape(options);
    cof_load_plan_init(&plan, &shape, options->span_bytes, 0, 1, start_ns);
    while (cof_load_plan_next(&plan, now_ns, &offset_bytes)) {
        size_t bytes = (size_t)options->block_bytes;
        uint64_t begin_ns = now_ns;
        if (pwrite(fd, buffer, bytes, (off_t)offset_bytes) != (ssize_t)bytes) {
            return complain_errno("pwrite");
        }
        if (fdatasync(fd) != 0) {
            return complain_errno("fdatasync");
        }
        now_ns = cof_load_now_ns();
        cof_load_latency_add(&result->latency, now_ns - begin_ns);
        result->operations++;
        result->bytes += bytes;
    }
    result->elapsed_ns = now_ns - start_ns;
    return 0;
}

int cof_bench_load_raw(const struct cof_bench_options *options, struct cof_bench_result *ret_result)
{
    struct cof_bench_result result;
    uint64_t user_ns, system_ns, ignored;
    memset(&result, 0, sizeof result);
    void *buffer = aligned_alloc(4096, (size_t)((options->block_bytes + 4095u) & ~4095ull));
    if (buffer == NULL) {
        return cof_bench_complain("a buffer", COFFER_E_NO_MEMORY, NULL);
    }
    cof_load_fill(buffer, (size_t)options->block_bytes, options->seed);
    int fd = open(options->file, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        free(buffer);
        return complain_errno(options->file);
    }
    cof_bench_usage(&user_ns, &system_ns, &ignored);
    int error = run(fd, buffer, options, &result);
    cof_bench_usage(&result.cpu_user_ns, &result.cpu_system_ns, &result.resident_bytes_max);
    result.cpu_user_ns -= user_ns;
    result.cpu_system_ns -= system_ns;
    close(fd);
    free(buffer);
    if (error == 0) {
        *ret_result = result;
    }
    return error;
}
