/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/scene.c - the store, its loads, and what a call took; see scene.h.
 */
#include "common/scene.h"
#include "common/load.h"
#include "tools/load/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u
#define NEVER_NS (1000000u * 1000000000ull)
#define HISTORY_PAGES 16u

void cof_bench_times_start(struct cof_bench_times *times, struct cof_bench_scene *scene)
{
    scene->keys.calls = 0;
    scene->keys.spent_ns = 0;
    times->start_ns = cof_load_now_ns();
}

void cof_bench_times_stop(struct cof_bench_times *times, const struct cof_bench_scene *scene)
{
    uint64_t whole_ns = cof_load_now_ns() - times->start_ns;
    cof_load_latency_add(&times->whole, whole_ns);
    cof_load_latency_add(&times->keys, scene->keys.spent_ns);
    cof_load_latency_add(&times->own, whole_ns - scene->keys.spent_ns);
    times->key_calls += scene->keys.calls;
}

void cof_bench_row_put(json_t *row, const char *name, uint64_t value)
{
    json_object_set_new(row, name, json_integer((json_int_t)value));
}

json_t *cof_bench_times_row(struct cof_bench_scene *scene, const char *name,
                            const struct cof_bench_times *times)
{
    json_t *row = json_object();
    uint64_t count = times->whole.total;
    if (row == NULL || count == 0) {
        json_decref(row);
        return NULL;
    }
    json_object_set_new(row, "name", json_string(name));
    cof_bench_row_put(row, "count", count);
    cof_bench_row_put(row, "mean_ns", times->whole.sum_ns / count);
    cof_bench_row_put(row, "p50_ns", cof_load_latency_percentile(&times->whole, 0.5));
    cof_bench_row_put(row, "p99_ns", cof_load_latency_percentile(&times->whole, 0.99));
    cof_bench_row_put(row, "max_ns", times->whole.max_ns);
    cof_bench_row_put(row, "own_mean_ns", times->own.sum_ns / count);
    cof_bench_row_put(row, "own_p50_ns", cof_load_latency_percentile(&times->own, 0.5));
    cof_bench_row_put(row, "own_p99_ns", cof_load_latency_percentile(&times->own, 0.99));
    cof_bench_row_put(row, "own_max_ns", times->own.max_ns);
    cof_bench_row_put(row, "keys_p50_ns", cof_load_latency_percentile(&times->keys, 0.5));
    json_object_set_new(row, "key_calls", json_real((double)times->key_calls / (double)count));
    return json_array_append_new(scene->rows, row) == 0 ? row : NULL;
}

int cof_bench_scene_open(struct cof_bench_scene *scene,
                         const struct cof_bench_snapshot_options *options, bool create)
{
    memset(scene, 0, sizeof *scene);
    scene->options = options;
    scene->seed = 1;
    scene->target_options = (struct cof_bench_options){.file = options->file,
                                                       .keys = options->keys,
                                                       .volume = "bench",
                                                       .create = create,
                                                       .store_bytes = options->store_bytes,
                                                       .size_bytes = options->size_bytes,
                                                       .threads = 1,
                                                       .checkpoint_ns = NEVER_NS};
    scene->rows = json_array();
    if (scene->rows == NULL) {
        return cof_bench_complain("the result", COFFER_E_NO_MEMORY, NULL);
    }
    int error = cof_bench_target_open(&scene->target_options, &scene->target);
    if (error != 0) {
        json_decref(scene->rows);
        return error;
    }
    cof_bench_timed_keys_init(&scene->keys, &scene->target.provider);
    return 0;
}

int cof_bench_scene_close(struct cof_bench_scene *scene)
{
    json_decref(scene->rows);
    return cof_bench_target_close(&scene->target);
}

static int run_load(struct cof_bench_scene *scene, const struct cof_bench_options *load)
{
    struct cof_bench_result *ignored = malloc(sizeof *ignored);
    if (ignored == NULL) {
        return cof_bench_complain("a load", COFFER_E_NO_MEMORY, NULL);
    }
    int error = cof_bench_load_run(load, &scene->target, ignored);
    free(ignored);
    return error;
}

/* All of the volume in order, 1 MiB at a time, or less where the volume is less. */
static struct cof_bench_options whole_volume(const struct cof_bench_scene *scene,
                                             enum cof_load_rw rw, uint64_t size_bytes)
{
    struct cof_bench_options load = scene->target_options;
    load.rw = rw;
    load.block_bytes = size_bytes % (1u << 20) == 0 ? 1u << 20 : PAGE_BYTES;
    load.depth = 8;
    load.seed = 1;
    load.amount_bytes = size_bytes;
    return load;
}

int cof_bench_scene_fill(struct cof_bench_scene *scene)
{
    struct cof_bench_options load = whole_volume(scene, COF_LOAD_WRITE, scene->options->size_bytes);
    return run_load(scene, &load);
}

/* How many different pages a random load writes: its plan once more, into a bitmap. */
static int count_pages(const struct cof_bench_options *load, uint64_t span_bytes,
                       uint64_t *ret_pages)
{
    struct cof_load_plan plan;
    uint64_t offset_bytes = 0;
    uint64_t pages = 0;
    uint8_t *seen = calloc(span_bytes / PAGE_BYTES / 8 + 1, 1);
    if (seen == NULL) {
        return cof_bench_complain("counting pages", COFFER_E_NO_MEMORY, NULL);
    }
    const struct cof_load_shape shape = cof_bench_options_shape(load);
    cof_load_plan_init(&plan, &shape, span_bytes, 0, 1, 0);
    while (cof_load_plan_next(&plan, 0, &offset_bytes)) {
        uint64_t page = offset_bytes / PAGE_BYTES;
        uint8_t bit = (uint8_t)(1u << (page % 8));
        pages += (seen[page / 8] & bit) == 0 ? 1 : 0;
        seen[page / 8] |= bit;
    }
    free(seen);
    *ret_pages = pages;
    return 0;
}

int cof_bench_scene_change(struct cof_bench_scene *scene, uint64_t pages, bool settle,
                           uint64_t *ret_pages)
{
    if (pages == 0) {
        if (ret_pages != NULL) {
            *ret_pages = 0;
        }
        return settle ? cof_bench_scene_checkpoint(scene) : 0;
    }
    struct cof_bench_options load = scene->target_options;
    load.rw = COF_LOAD_RANDWRITE;
    load.block_bytes = PAGE_BYTES;
    load.depth = 32;
    load.seed = scene->seed++;
    load.amount_bytes = pages * PAGE_BYTES;
    load.unsettled = !settle;
    int error = run_load(scene, &load);
    if (error == 0 && ret_pages != NULL) {
        error = count_pages(&load, scene->options->size_bytes, ret_pages);
    }
    return error;
}

int cof_bench_scene_verify(struct cof_bench_scene *scene, struct coffer_store *store,
                           const char *name)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct cof_bench_target target = {.store = store};
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &scene->keys.provider};
    struct cof_bench_result *ignored = malloc(sizeof *ignored);
    if (ignored == NULL) {
        return cof_bench_complain("reading back", COFFER_E_NO_MEMORY, NULL);
    }
    int error = coffer_volume_open(store, &opts, &target.volume, &fault);
    if (error != 0) {
        cof_bench_complain(name, error, &fault);
    } else {
        struct cof_bench_options load =
            whole_volume(scene, COF_LOAD_READ, scene->options->size_bytes);
        error = cof_bench_load_run(&load, &target, ignored);
        int close_error = coffer_volume_close(target.volume);
        error =
            error != 0 || close_error == 0 ? error : cof_bench_complain(name, close_error, NULL);
    }
    free(ignored);
    return error;
}

int cof_bench_scene_grow(struct cof_bench_scene *scene, uint64_t *present, uint64_t wanted)
{
    int error = 0;
    while (error == 0 && *present < wanted) {
        char name[32];
        snprintf(name, sizeof name, "h%llu", (unsigned long long)*present);
        error = cof_bench_scene_change(scene, HISTORY_PAGES, false, NULL);
        if (error == 0) {
            error = cof_bench_scene_take(scene, name);
        }
        *present += error == 0 ? 1 : 0;
    }
    return error;
}
