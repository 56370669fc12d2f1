/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/bench.c - bench: one workload on a volume, or on a scratch store that is removed again.
 *
 * Writing to an existing volume destroys what it holds, so that asks. A scratch volume is filled
 * before it is read, because pages that were never written cost nothing. Figures of one run on a
 * shared machine mean little alone: put a raw run of the same shape beside them.
 */
#include "common/error.h"
#include "common/output.h"
#include "common/size.h"
#include "scratch.h"
#include "session.h"
#include "verbs.h"
#include "workload.h"
#include <string.h>

#define NS_PER_S 1000000000ull
#define SCRATCH_BYTES ((uint64_t)1 << 30)
#define FILL_BLOCK_BYTES ((uint64_t)1 << 20)
#define READ_PERCENT 70u
#define BLOCK_BYTES_MAX ((uint64_t)16 << 20)

struct bench {
    const struct cof_tool_call *call;
    const char *rw;
    struct cli_workload workload;
    struct cli_workload_result result;
};

/* The words of --rw, which fio has too but for writeflush. */
static void take_rw(struct bench *bench)
{
    static const struct {
        const char *word;
        enum cof_load_rw rw;
        enum cof_load_durable durable;
    } words[] = {
        {"read", COF_LOAD_READ, COF_LOAD_AT_END},
        {"write", COF_LOAD_WRITE, COF_LOAD_AT_END},
        {"randread", COF_LOAD_RANDREAD, COF_LOAD_AT_END},
        {"randwrite", COF_LOAD_RANDWRITE, COF_LOAD_AT_END},
        {"randrw", COF_LOAD_RANDRW, COF_LOAD_AT_END},
        {"writeflush", COF_LOAD_WRITE, COF_LOAD_FLUSH},
    };
    bench->rw = cof_tool_text(bench->call, "rw", "randread");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(bench->rw, words[i].word) == 0) {
            bench->workload.shape.rw = words[i].rw;
            bench->workload.shape.durable = words[i].durable;
        }
    }
}

static int take_options(struct bench *bench)
{
    const struct cof_tool_call *call = bench->call;
    struct cof_load_shape *shape = &bench->workload.shape;
    take_rw(bench);
    bool flush_each = shape->durable == COF_LOAD_FLUSH;
    bool large = !cof_load_is_random(shape->rw) && !flush_each;
    uint64_t block = cof_tool_size(call, "bs", large ? 1 << 20 : 4096);
    uint64_t depth = flush_each ? 1 : 32;
    uint64_t seconds = cof_tool_number(call, "runtime", 5);
    if (block == 0 || block % COFFER_SECTOR_BYTES != 0 || block > BLOCK_BYTES_MAX) {
        return cof_tool_usage(call, NULL, "--bs: it is a multiple of 512, at most 16M");
    }
    /* Text in the table, since rekey has another --depth. */
    const char *why;
    const char *depth_text = cof_tool_text(call, "depth", NULL);
    if (depth_text != NULL && cof_tool_number_parse(depth_text, &depth, &why) != 0) {
        return cof_tool_usage(call, NULL, "--depth %s: %s", depth_text, why);
    }
    if (depth == 0 || depth > CLI_WORKLOAD_DEPTH_MAX) {
        return cof_tool_usage(call, NULL, "--depth: it is 1 to %u", CLI_WORKLOAD_DEPTH_MAX);
    }
    if (seconds == 0 || seconds > 86400) {
        return cof_tool_usage(call, NULL, "--runtime: it is 1 to 86400 seconds");
    }
    if ((call->operand_count == 0) == !cof_tool_given(call, "file")) {
        return cof_tool_usage(call, NULL, "name either a volume, STORE:VOLUME, or --file PATH");
    }
    shape->block_bytes = block;
    shape->depth = depth;
    shape->runtime_ns = seconds * NS_PER_S;
    shape->seed = cof_load_now_ns();
    shape->read_percent = READ_PERCENT;
    return 0;
}

static int set_area(struct bench *bench, uint64_t volume_bytes)
{
    uint64_t area = cof_tool_size(bench->call, "size", volume_bytes);
    if (area > volume_bytes) {
        return cof_tool_usage(bench->call, NULL, "--size is beyond the volume's end");
    }
    bench->workload.area_bytes = area - area % bench->workload.shape.block_bytes;
    if (bench->workload.area_bytes == 0) {
        return cof_tool_usage(bench->call, NULL, "the area holds not even one request of --bs");
    }
    return 0;
}

/* ---- the report -------------------------------------------------------------------------- */

static double seconds_of(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static json_t *latency_json(const struct cof_load_latency *latency)
{
    uint64_t mean = latency->total > 0 ? latency->sum_ns / latency->total : 0;
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "Mean", (json_int_t)mean, "P50",
                     (json_int_t)cof_load_latency_percentile(latency, 0.50), "P99",
                     (json_int_t)cof_load_latency_percentile(latency, 0.99), "P999",
                     (json_int_t)cof_load_latency_percentile(latency, 0.999), "Max",
                     (json_int_t)latency->max_ns);
}

static json_t *microseconds(const struct bench *bench, double fraction)
{
    uint64_t ns = cof_load_latency_percentile(&bench->result.latency, fraction);
    return json_sprintf("%.1f us", (double)ns / 1e3);
}

static json_t *lines_of(const struct bench *bench, double iops, double mib)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "Workload", bench->rw, "IOPS",
                     json_sprintf("%.0f", iops), "Throughput", json_sprintf("%.1f MiB/s", mib),
                     "Latency p50", microseconds(bench, 0.50), "Latency p99",
                     microseconds(bench, 0.99), "Latency p99.9", microseconds(bench, 0.999), "CPU",
                     json_sprintf("%.2f s in %.2f s", seconds_of(bench->result.cpu_ns),
                                  seconds_of(bench->result.elapsed_ns)),
                     "Cipher code", bench->result.cipher);
}

static int print_result(const struct bench *bench)
{
    const struct cli_workload_result *result = &bench->result;
    double seconds = seconds_of(result->elapsed_ns);
    double iops = seconds > 0 ? (double)result->operations / seconds : 0;
    double mib = seconds > 0 ? (double)result->bytes / seconds / 1048576.0 : 0;
    double gib = (double)result->bytes / 1073741824.0;
    double cpu = seconds_of(result->cpu_ns);
    struct cof_tool_view view = {.schema_version = 1, .list_name = "Runs",
                                 .people = lines_of(bench, iops, mib)};
    return cof_tool_print(
        bench->call,
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:f, s:f, s:s}", "Workload",
                  bench->rw, "BlockSize", (json_int_t)bench->workload.shape.block_bytes, "Depth",
                  (json_int_t)bench->workload.shape.depth, "AreaBytes",
                  (json_int_t)bench->workload.area_bytes, "Operations",
                  (json_int_t)result->operations, "Bytes", (json_int_t)result->bytes, "Seconds",
                  seconds, "IOPS", iops, "MiBPerSecond", mib, "LatencyNs",
                  latency_json(&result->latency), "CpuSeconds", cpu, "CpuSecondsPerGiB",
                  gib > 0 ? cpu / gib : 0.0, "CipherBackend", result->cipher),
        &view);
}

/* ---- the two places to run in ------------------------------------------------------------ */

/* Every page once, so that reads are of data. */
static int fill_scratch(struct bench *bench, uint64_t size_bytes)
{
    struct cli_workload fill = bench->workload;
    uint64_t block_bytes = size_bytes < FILL_BLOCK_BYTES ? COFFER_PAGE_BYTES : FILL_BLOCK_BYTES;
    fill.area_bytes = size_bytes;
    fill.shape = (struct cof_load_shape){.rw = COF_LOAD_WRITE,
                                         .block_bytes = block_bytes,
                                         .depth = 8,
                                         .amount_bytes = size_bytes};
    return cli_workload_run(&fill, &bench->result);
}

static int run_scratch(struct bench *bench)
{
    static struct cli_scratch scratch;
    const char *path = cof_tool_text(bench->call, "file", "");
    uint64_t size_bytes = cof_tool_size(bench->call, "size", SCRATCH_BYTES);
    size_bytes -= size_bytes % (size_bytes < FILL_BLOCK_BYTES ? COFFER_PAGE_BYTES
                                                              : FILL_BLOCK_BYTES);
    int exit_code = size_bytes == 0 ? cof_tool_usage(bench->call, NULL, "--size is too small")
                                    : set_area(bench, size_bytes);
    if (exit_code == 0) {
        exit_code = cli_scratch_open(&scratch, bench->call, path, size_bytes);
    }
    if (exit_code == 0) {
        struct cof_load_shape *shape = &bench->workload.shape;
        int error = 0;
        bench->workload.store = scratch.store;
        bench->workload.volume = scratch.volume;
        shape->unverified = shape->block_bytes % COFFER_PAGE_BYTES != 0;
        if (shape->rw != COF_LOAD_WRITE && shape->rw != COF_LOAD_RANDWRITE) {
            error = fill_scratch(bench, size_bytes);
        }
        if (error == 0) {
            error = cli_workload_run(&bench->workload, &bench->result);
        }
        if (error != 0) {
            exit_code = cof_tool_fail(bench->call, error, &bench->result.fault, NULL,
                                      "cannot run %s on %s", bench->rw, path);
        }
    }
    cli_scratch_close(&scratch);
    return exit_code != 0 ? exit_code : print_result(bench);
}

static int run_opened(struct bench *bench, struct cli_session *session)
{
    int exit_code = set_area(bench, session->volume_info.size_bytes);
    bool writes = cof_load_writes(bench->workload.shape.rw);
    if (exit_code == 0 && writes) {
        exit_code = cof_tool_confirm(bench->call, "what %s holds will be overwritten",
                                     cli_session_name(session));
        if (exit_code == 0) {
            exit_code = cli_session_go_on(session);
        }
    }
    if (exit_code != 0) {
        return exit_code;
    }
    if (!writes && session->volume_info.mapped_bytes == 0) {
        cof_tool_note(bench->call, "the volume holds no data; reads of it do not reach the device");
    }
    bench->workload.shape.unverified = true; /* it holds what others wrote */
    bench->workload.store = session->store;
    bench->workload.volume = session->volume;
    int error = cli_workload_run(&bench->workload, &bench->result);
    if (error != 0) {
        return cli_session_fail(session, error, &bench->result.fault, NULL, "cannot run %s on %s",
                                bench->rw, cli_session_name(session));
    }
    return 0;
}

static int run_volume(struct bench *bench)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, bench->call, CLI_VOLUME, bench->call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = cli_session_open_volume(&session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0) {
        exit_code = run_opened(bench, &session);
    }
    exit_code = cli_session_end(&session, exit_code);
    return exit_code != 0 ? exit_code : print_result(bench);
}

int cli_bench(struct cof_tool_call *call)
{
    static struct bench bench;
    bench.call = call;
    int exit_code = take_options(&bench);
    if (exit_code != 0) {
        return exit_code;
    }
    return cof_tool_given(call, "file") ? run_scratch(&bench) : run_volume(&bench);
}
