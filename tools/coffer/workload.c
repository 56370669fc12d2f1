/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/workload.c - the load itself is load/loop.c; here are its ends: what it took, the flush
 * after its writes, and the user's interruption.
 */
#include "workload.h"
#include "common/error.h"
#include "load/loop.h"
#include "session.h"
#include <string.h>
#include <sys/resource.h>

#define NS_PER_S 1000000000ull
#define NS_PER_US 1000ull

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
}

static bool stopped(void *ctx)
{
    (void)ctx;
    return cof_tool_interrupted();
}

static int find_cipher(const struct cli_workload *workload, const char **ret_cipher)
{
    struct coffer_store_info store = {.size = sizeof store};
    struct coffer_volume_info volume = {.size = sizeof volume};
    int error = coffer_store_info_get(workload->store, &store);
    if (error == 0) {
        error = coffer_volume_info_get(workload->volume, &volume);
    }
    if (error == 0) {
        *ret_cipher = volume.encrypted ? coffer_cipher_backend_name(store.cipher_backend) : "none";
    }
    return error;
}

static int drive(const struct cli_workload *workload, struct cof_load_loop *loop,
                 struct cli_workload_result *result)
{
    uint64_t cpu_begin_ns = cpu_ns();
    uint64_t begin_ns = cof_load_now_ns();
    cof_load_plan_init(&loop->plan, &workload->shape, workload->area_bytes, 0, 1, begin_ns);
    int error = cof_load_loop_run(loop, begin_ns);
    if (error == 0 && cof_load_writes(workload->shape.rw)) {
        error = coffer_volume_flush(workload->volume, &loop->fault);
    }
    result->elapsed_ns = cof_load_now_ns() - begin_ns;
    result->cpu_ns = cpu_ns() - cpu_begin_ns;
    result->operations = loop->operations;
    result->bytes = loop->bytes;
    result->latency = loop->latency;
    return error;
}

int cli_workload_run(const struct cli_workload *workload, struct cli_workload_result *result)
{
    struct cof_load_loop loop;
    memset(result, 0, sizeof *result);
    int error = cof_load_loop_init(&loop, &workload->shape, workload->store, workload->volume);
    loop.stopped = stopped;
    if (error == 0) {
        error = find_cipher(workload, &result->cipher);
        if (error == 0) {
            error = drive(workload, &loop, result);
        }
        cof_load_loop_done(&loop);
    }
    result->fault = loop.fault;
    return error == 0 && cof_tool_interrupted() ? COFFER_E_CANCELLED : error;
}
