/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/load.c - a load from its first request to its last checkpoint; see load.h.
 */
#include "common/load.h"
#include "tools/load/loop.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WARM_BLOCK_BYTES (1u << 20)
#define PAGE_BYTES 4096u
#define READER_SEEDS 1000u

/* A loop in a thread of its own. */
struct share {
    struct cof_load_loop loop;
    struct cof_load_shape shape;
    pthread_t thread;
    uint64_t start_ns;
    int error;
};

/* Those that do the load come first, then those that read beside it until it is over. */
struct crew {
    struct share *shares;
    unsigned workers, count;
    atomic_bool over;
};

static void *run_share(void *ctx)
{
    struct share *share = ctx;
    share->error = cof_load_loop_run(&share->loop, share->start_ns);
    return NULL;
}

static bool is_over(void *ctx)
{
    const atomic_bool *over = ctx;
    return atomic_load(over);
}

/* The flush that ends a write load, and after it a checkpoint that is timed apart. */
static int settle(struct share *first, const struct cof_bench_options *options,
                  const struct cof_bench_target *target, uint64_t start_ns,
                  struct cof_bench_result *result)
{
    struct coffer_fault fault;
    uint64_t user_ns, system_ns, ignored;
    memset(&fault, 0, sizeof fault);
    uint64_t flush_start_ns = cof_load_now_ns();
    bool writes = cof_load_writes(options->rw) && !options->unsettled;
    int error = writes ? coffer_volume_flush(target->volume, &fault) : 0;
    if (error != 0) {
        return cof_bench_complain("the last flush", error, &fault);
    }
    uint64_t end_ns = cof_load_now_ns();
    result->flush_ns = end_ns - flush_start_ns;
    result->elapsed_ns = end_ns - start_ns;
    cof_bench_usage(&user_ns, &system_ns, &ignored);
    result->cpu_user_ns = user_ns - result->cpu_user_ns;
    result->cpu_system_ns = system_ns - result->cpu_system_ns;
    cof_load_loop_sample(&first->loop, end_ns);
    if (!writes || options->kill_at_end) {
        return 0;
    }
    error = coffer_store_checkpoint(target->store, &fault);
    if (error != 0) {
        return cof_bench_complain("the checkpoint", error, &fault);
    }
    result->checkpoint_ns = cof_load_now_ns() - end_ns;
    uint64_t user_after_ns, system_after_ns;
    cof_bench_usage(&user_after_ns, &system_after_ns, &ignored);
    result->checkpoint_cpu_ns = user_after_ns - user_ns + system_after_ns - system_ns;
    cof_load_loop_sample(&first->loop, cof_load_now_ns());
    return 0;
}

static void make_plans(struct crew *crew, uint64_t span_bytes, uint64_t start_ns)
{
    for (unsigned i = 0; i < crew->count; i++) {
        struct share *share = &crew->shares[i];
        bool reads = i >= crew->workers;
        share->start_ns = start_ns;
        share->loop.stopped = reads ? is_over : NULL;
        share->loop.ctx = &crew->over;
        cof_load_plan_init(&share->loop.plan, &share->shape, span_bytes, reads ? 0 : i,
                           reads ? 1 : crew->workers, start_ns);
    }
}

/* Let all shares run, the first in this thread, and wait for the last. */
static int run_shares(struct crew *crew, uint64_t span_bytes, uint64_t start_ns)
{
    struct share *shares = crew->shares;
    int error = 0;
    unsigned started = 1;
    make_plans(crew, span_bytes, start_ns);
    while (started < crew->count && error == 0) {
        if (pthread_create(&shares[started].thread, NULL, run_share, &shares[started]) != 0) {
            error = cof_bench_complain("starting a thread", COFFER_E_NO_MEMORY, NULL);
        } else {
            started++;
        }
    }
    run_share(&shares[0]);
    for (unsigned i = 1; i < started; i++) {
        if (i == crew->workers) {
            atomic_store(&crew->over, true);
        }
        pthread_join(shares[i].thread, NULL);
    }
    for (unsigned i = 0; i < started && error == 0; i++) {
        error = shares[i].error;
        if (error != 0) {
            cof_bench_complain(shares[i].loop.what, error, &shares[i].loop.fault);
        }
    }
    return error;
}

static void collect(const struct crew *crew, struct cof_bench_result *result)
{
    cof_load_latency_init(&result->latency);
    cof_load_latency_init(&result->reader_latency);
    for (unsigned i = 0; i < crew->count; i++) {
        const struct cof_load_loop *loop = &crew->shares[i].loop;
        if (loop->memory_bytes_max > result->memory_bytes_max) {
            result->memory_bytes_max = loop->memory_bytes_max;
        }
        if (i >= crew->workers) {
            result->reader_operations += loop->operations;
            cof_load_latency_merge(&result->reader_latency, &loop->latency);
            continue;
        }
        result->operations += loop->operations;
        result->bytes += loop->bytes;
        cof_load_latency_merge(&result->latency, &loop->latency);
    }
    uint64_t ignored;
    cof_bench_usage(&ignored, &ignored, &result->resident_bytes_max);
}

/* Those who read beside the load do it one page at a time, to its end, at offsets of their own. */
static struct cof_load_shape reading_beside(const struct cof_bench_options *options,
                                            unsigned number)
{
    struct cof_load_shape read = cof_bench_options_shape(options);
    read.rw = COF_LOAD_RANDREAD;
    read.block_bytes = PAGE_BYTES;
    read.depth = 1;
    read.rate = 0;
    read.amount_bytes = 0;
    read.runtime_ns = 0;
    read.seed = options->seed + READER_SEEDS + number;
    return read;
}

static int make_shares(struct crew *crew, const struct cof_bench_options *options,
                       const struct cof_bench_target *target)
{
    unsigned wanted = (unsigned)(options->threads + options->readers);
    int error = 0;
    crew->workers = (unsigned)options->threads;
    crew->shares = calloc(wanted, sizeof *crew->shares);
    if (crew->shares == NULL) {
        return cof_bench_complain("threads", COFFER_E_NO_MEMORY, NULL);
    }
    while (crew->count < wanted && error == 0) {
        struct share *share = &crew->shares[crew->count];
        share->shape = crew->count < crew->workers ? cof_bench_options_shape(options)
                                                   : reading_beside(options, crew->count);
        error = cof_load_loop_init(&share->loop, &share->shape, target->store, target->volume);
        if (error != 0) {
            return cof_bench_complain(share->loop.what, error, &share->loop.fault);
        }
        crew->count++;
    }
    return error;
}

static int run_once(const struct cof_bench_options *options, const struct cof_bench_target *target,
                    uint64_t span_bytes, struct cof_bench_result *ret_result)
{
    struct crew crew = {.count = 0};
    uint64_t ignored;
    struct cof_bench_result result;
    memset(&result, 0, sizeof result);
    int error = make_shares(&crew, options, target);
    if (error == 0) {
        cof_bench_usage(&result.cpu_user_ns, &result.cpu_system_ns, &ignored);
        uint64_t start_ns = cof_load_now_ns();
        error = run_shares(&crew, span_bytes, start_ns);
        if (error == 0) {
            error = settle(&crew.shares[0], options, target, start_ns, &result);
        }
    }
    if (error == 0) {
        collect(&crew, &result);
        *ret_result = result;
    }
    while (crew.count > 0) {
        cof_load_loop_done(&crew.shares[--crew.count].loop);
    }
    free(crew.shares);
    return error;
}

int cof_bench_load_run(const struct cof_bench_options *options,
                       const struct cof_bench_target *target, struct cof_bench_result *ret_result)
{
    struct coffer_volume_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    int error = coffer_volume_info_get(target->volume, &info);
    if (error != 0) {
        return cof_bench_complain("describing the volume", error, NULL);
    }
    uint64_t span_bytes = options->span_bytes == 0 ? info.size_bytes : options->span_bytes;
    if (span_bytes > info.size_bytes || span_bytes < options->block_bytes * options->threads) {
        return cof_bench_complain("--span against the volume", COFFER_E_RANGE, NULL);
    }
    if (options->hot) {
        struct cof_bench_options warm = *options;
        warm.rw = COF_LOAD_READ;
        warm.block_bytes = WARM_BLOCK_BYTES < span_bytes ? WARM_BLOCK_BYTES : span_bytes;
        warm.depth = 4;
        warm.threads = 1;
        warm.readers = 0;
        warm.rate = 0;
        warm.amount_bytes = span_bytes;
        warm.runtime_ns = 0;
        struct cof_bench_result ignored;
        error = run_once(&warm, target, span_bytes, &ignored);
        if (error != 0) {
            return error;
        }
    }
    return run_once(options, target, span_bytes, ret_result);
}

static uint64_t nanoseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

void cof_bench_usage(uint64_t *ret_user_ns, uint64_t *ret_system_ns, uint64_t *ret_resident_bytes)
{
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    getrusage(RUSAGE_SELF, &usage);
    *ret_user_ns = nanoseconds(usage.ru_utime);
    *ret_system_ns = nanoseconds(usage.ru_stime);
    *ret_resident_bytes = (uint64_t)usage.ru_maxrss * 1024u;
}
