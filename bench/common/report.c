/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/report.c - see report.h. Durations are nanoseconds and amounts bytes, but for the rates.
 */
#include "common/report.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* jansson's numbers are signed; nothing measured here comes near 2^63. */
static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void put_rates(json_t *object, const struct cof_bench_options *options,
                      const struct cof_bench_result *result)
{
    double seconds = (double)result->elapsed_ns / 1e9;
    double gib = (double)result->bytes / (double)(1ull << 30);
    double cpu_seconds = (double)(result->cpu_user_ns + result->cpu_system_ns) / 1e9;
    if (seconds > 0.0) {
        json_object_set_new(object, "iops", json_real((double)result->operations / seconds));
        json_object_set_new(object, "mib_per_second", json_real(gib * 1024.0 / seconds));
    }
    if (gib > 0.0) {
        json_object_set_new(object, "cpu_seconds_per_gib", json_real(cpu_seconds / gib));
    }
    json_object_set_new(object, "rw", json_string(cof_bench_rw_name(options->rw)));
}

static void put_result(json_t *object, const struct cof_bench_result *result)
{
    const struct cof_load_latency *latency = &result->latency;
    put(object, "operations", result->operations);
    put(object, "bytes", result->bytes);
    put(object, "elapsed_ns", result->elapsed_ns);
    put(object, "flush_ns", result->flush_ns);
    put(object, "checkpoint_ns", result->checkpoint_ns);
    put(object, "checkpoint_cpu_ns", result->checkpoint_cpu_ns);
    put(object, "cpu_user_ns", result->cpu_user_ns);
    put(object, "cpu_system_ns", result->cpu_system_ns);
    put(object, "memory_bytes_max", result->memory_bytes_max);
    put(object, "resident_bytes_max", result->resident_bytes_max);
    put(object, "mean_ns", latency->total == 0 ? 0 : latency->sum_ns / latency->total);
    put(object, "p50_ns", cof_load_latency_percentile(latency, 0.5));
    put(object, "p99_ns", cof_load_latency_percentile(latency, 0.99));
    put(object, "p999_ns", cof_load_latency_percentile(latency, 0.999));
    put(object, "max_ns", latency->max_ns);
}

/* Reads of single pages beside the load. */
static void put_readers(json_t *object, const struct cof_bench_result *result)
{
    const struct cof_load_latency *latency = &result->reader_latency;
    double seconds = (double)result->elapsed_ns / 1e9;
    json_t *readers = json_object();
    put(readers, "operations", result->reader_operations);
    json_object_set_new(readers, "iops",
                        json_real(seconds > 0.0 ? (double)result->reader_operations / seconds : 0));
    put(readers, "p50_ns", cof_load_latency_percentile(latency, 0.5));
    put(readers, "p99_ns", cof_load_latency_percentile(latency, 0.99));
    put(readers, "p999_ns", cof_load_latency_percentile(latency, 0.999));
    put(readers, "max_ns", latency->max_ns);
    json_object_set_new(object, "readers", readers);
}

static int put_target(json_t *object, const struct cof_bench_target *target)
{
    struct coffer_store_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    int error = coffer_store_info_get(target->store, &info);
    if (error != 0) {
        return cof_bench_complain("describing the store", error, NULL);
    }
    put(object, "store_open_ns", target->store_open_ns);
    put(object, "volume_open_ns", target->volume_open_ns);
    put(object, "recovered_log_bytes", info.recovered_log_bytes);
    put(object, "recovery_ns", info.recovery_ns);
    put(object, "log_bytes_since_checkpoint", info.log_bytes_since_checkpoint);
    put(object, "live_bytes", info.live_bytes);
    put(object, "segment_bytes", info.segment_bytes);
    put(object, "segment_count", info.segment_count);
    put(object, "segments_free", info.segments_free);
    put(object, "segments_conditioned", info.segments_conditioned);
    put(object, "memory_bytes", info.memory_bytes);
    put(object, "checkpoints", info.checkpoints);
    put(object, "device_writes", info.device_writes);
    put(object, "device_write_bytes", info.device_write_bytes);
    put(object, "device_reads", info.device_reads);
    put(object, "device_read_bytes", info.device_read_bytes);
    put(object, "device_syncs", info.device_syncs);
    put(object, "capacity_bytes", info.capacity_bytes);
    put(object, "written_bytes", info.written_bytes);
    put(object, "cleaned_segments", info.cleaned_segments);
    put(object, "moved_bytes", info.moved_bytes);
    put(object, "cleaner_written_bytes", info.cleaner_written_bytes);
    put(object, "light_checkpoints", info.light_checkpoints);
    json_object_set_new(object, "cipher_backend",
                        json_string(coffer_cipher_backend_name(info.cipher_backend)));
    return 0;
}

int cof_bench_report(const struct cof_bench_options *options, const struct cof_bench_target *target,
                     const struct cof_bench_result *result)
{
    json_t *object = json_object();
    if (object == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    put_rates(object, options, result);
    put_result(object, result);
    if (options->readers > 0) {
        put_readers(object, result);
    }
    int error = target == NULL ? 0 : put_target(object, target);
    if (error == 0 && (json_dumpf(object, stdout, JSON_INDENT(2)) != 0 ||
                       fputc('\n', stdout) == EOF || fflush(stdout) != 0)) {
        error = COFFER_E_IO;
    }
    json_decref(object);
    return error;
}
