/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/measure.c - memory and time, the simulated device's apart from the rest.
 */
#include "scale/run.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Resident now; 0 when it can't be told. */
static uint64_t resident_bytes(void)
{
    unsigned long long all, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &all, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

int scale_sample(struct scale *run)
{
    struct scale_memory *memory = &run->result->memory;
    struct coffer_store_info info = {.size = sizeof info};
    uint64_t device = scale_device_counts(run->device)->bytes, resident = resident_bytes();
    int error = coffer_store_info_get(run->target.store, &info);
    if (error != 0) {
        return cof_bench_complain("describing the store", error, NULL);
    }
    memory->engine_bytes = info.memory_bytes;
    run->result->segment_count = info.segment_count;
    run->result->live_bytes = info.live_bytes;
    if (info.memory_bytes > memory->engine_max_bytes) {
        memory->engine_max_bytes = info.memory_bytes;
    }
    if (resident > device && resident - device > memory->process_max_bytes) {
        memory->process_max_bytes = resident - device;
    }
    if (device > memory->device_max_bytes) {
        memory->device_max_bytes = device;
    }
    return 0;
}

int scale_span_at(struct scale *run, uint64_t pages, struct scale_span *ret_span)
{
    const struct scale_device_counts *counts = scale_device_counts(run->device);
    struct coffer_store_info info = {.size = sizeof info};
    int error = coffer_store_info_get(run->target.store, &info);
    if (error != 0) {
        return cof_bench_complain("describing the store", error, NULL);
    }
    *ret_span = (struct scale_span){pages,
                                    cof_load_now_ns(),
                                    cpu_ns(),
                                    counts->spent_ns,
                                    info.checkpoints,
                                    counts->meta_blocks,
                                    counts->read_blocks};
    return 0;
}

struct scale_span scale_span_since(const struct scale_span *from, const struct scale_span *to)
{
    return (struct scale_span){to->pages - from->pages,
                               to->wall_ns - from->wall_ns,
                               to->cpu_ns - from->cpu_ns,
                               to->device_ns - from->device_ns,
                               to->checkpoints - from->checkpoints,
                               to->meta_blocks - from->meta_blocks,
                               to->read_blocks - from->read_blocks};
}
