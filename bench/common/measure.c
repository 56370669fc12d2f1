/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/measure.c - snapshots, clones, deletions, changes of keys; see measure.h.
 *
 * What a repetition made it deletes again, untimed, so that the number of snapshots present is the
 * same for each.
 */
#include "common/measure.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u

static int described(struct cof_bench_scene *scene, struct coffer_store_info *ret_info)
{
    memset(ret_info, 0, sizeof *ret_info);
    ret_info->size = sizeof *ret_info;
    int error = coffer_store_info_get(scene->target.store, ret_info);
    return error == 0 ? 0 : cof_bench_complain("describing the store", error, NULL);
}

static int no_row(void)
{
    return cof_bench_complain("the result", COFFER_E_NO_MEMORY, NULL);
}

static int measure_takes(struct cof_bench_scene *scene, struct cof_bench_times *times,
                         uint64_t present, uint64_t dirty_bytes)
{
    struct coffer_store_info before, after;
    uint64_t log_bytes = 0;
    uint64_t written_bytes = 0;
    memset(times, 0, sizeof *times);
    for (uint64_t i = 0; i < scene->options->repeats; i++) {
        int error = cof_bench_scene_checkpoint(scene);
        if (error == 0) {
            error = cof_bench_scene_change(scene, dirty_bytes / PAGE_BYTES, false, NULL);
        }
        if (error == 0) {
            error = described(scene, &before);
        }
        if (error == 0) {
            cof_bench_times_start(times, scene);
            error = cof_bench_scene_take(scene, "taken");
            cof_bench_times_stop(times, scene);
        }
        if (error == 0) {
            error = described(scene, &after);
        }
        if (error == 0) {
            error = cof_bench_scene_drop(scene, "taken");
        }
        if (error != 0) {
            return error;
        }
        log_bytes += before.log_bytes_since_checkpoint;
        written_bytes += after.device_write_bytes - before.device_write_bytes;
    }
    json_t *row = cof_bench_times_row(scene, "snapshot", times);
    if (row == NULL) {
        return no_row();
    }
    cof_bench_row_put(row, "present", present);
    cof_bench_row_put(row, "dirty_bytes", dirty_bytes);
    cof_bench_row_put(row, "log_bytes", log_bytes / scene->options->repeats);
    cof_bench_row_put(row, "written_bytes", written_bytes / scene->options->repeats);
    return 0;
}

static int measure_clones(struct cof_bench_scene *scene, struct cof_bench_times *times,
                          uint64_t present)
{
    char name[32];
    snprintf(name, sizeof name, "h%llu", (unsigned long long)(present - 1));
    memset(times, 0, sizeof *times);
    for (uint64_t i = 0; i < scene->options->repeats; i++) {
        int error = cof_bench_scene_checkpoint(scene);
        if (error == 0) {
            cof_bench_times_start(times, scene);
            error = cof_bench_scene_clone(scene, name, "clone");
            cof_bench_times_stop(times, scene);
        }
        if (error == 0) {
            error = cof_bench_scene_delete_volume(scene, "clone");
        }
        if (error != 0) {
            return error;
        }
    }
    json_t *row = cof_bench_times_row(scene, "clone", times);
    if (row == NULL) {
        return no_row();
    }
    cof_bench_row_put(row, "present", present);
    return 0;
}

static int measure_creates(struct cof_bench_scene *scene, struct cof_bench_times *times)
{
    const struct cof_bench_snapshot_options *options = scene->options;
    uint64_t present = 0;
    int error = cof_bench_scene_fill(scene);
    for (size_t i = 0; i < options->present.count && error == 0; i++) {
        error = cof_bench_scene_grow(scene, &present, options->present.values[i]);
        for (size_t j = 0; j < options->dirty.count && error == 0; j++) {
            error = measure_takes(scene, times, present, options->dirty.values[j]);
        }
        if (error == 0) {
            error = measure_clones(scene, times, present);
        }
    }
    return error;
}

static int measure_one_delete(struct cof_bench_scene *scene, struct cof_bench_times *times,
                              uint64_t percent)
{
    uint64_t volume_pages = scene->options->size_bytes / PAGE_BYTES;
    uint64_t pages_sum = 0;
    memset(times, 0, sizeof *times);
    for (uint64_t i = 0; i < scene->options->repeats; i++) {
        uint64_t pages = 0;
        int error = cof_bench_scene_take(scene, "old");
        if (error == 0) {
            error = cof_bench_scene_change(scene, volume_pages * percent / 100, true, &pages);
        }
        if (error == 0) {
            cof_bench_times_start(times, scene);
            error = cof_bench_scene_drop(scene, "old");
            cof_bench_times_stop(times, scene);
        }
        if (error != 0) {
            return error;
        }
        pages_sum += pages;
    }
    json_t *row = cof_bench_times_row(scene, "delete", times);
    if (row == NULL) {
        return no_row();
    }
    cof_bench_row_put(row, "size_bytes", scene->options->size_bytes);
    cof_bench_row_put(row, "percent", percent);
    cof_bench_row_put(row, "pages", pages_sum / scene->options->repeats);
    if (pages_sum > 0) {
        double per_page = (double)times->own.sum_ns / (double)pages_sum / 1e3;
        json_object_set_new(row, "us_per_page", json_real(per_page));
    }
    return 0;
}

static int measure_deletes(struct cof_bench_scene *scene, struct cof_bench_times *times)
{
    int error = cof_bench_scene_fill(scene);
    for (size_t i = 0; i < scene->options->changed.count && error == 0; i++) {
        error = measure_one_delete(scene, times, scene->options->changed.values[i]);
    }
    return error;
}

static int measure_one_rekey(struct cof_bench_scene *scene, struct cof_bench_times *times,
                             uint64_t present, enum coffer_rekey_depth depth)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    memset(times, 0, sizeof *times);
    for (uint64_t i = 0; i < scene->options->repeats; i++) {
        char arn[COF_BENCH_SCENE_KEY_BYTES];
        int error = cof_bench_scene_new_key(scene, arn);
        if (error != 0) {
            return error;
        }
        struct coffer_rekey_opts opts = {.size = sizeof opts,
                                         .volume = "bench",
                                         .kms_key_id = arn,
                                         .depth = depth,
                                         .provider = &scene->keys.provider};
        cof_bench_times_start(times, scene);
        error = coffer_volume_rekey(scene->target.store, &opts, &fault);
        cof_bench_times_stop(times, scene);
        if (error != 0) {
            return cof_bench_complain("changing keys", error, &fault);
        }
    }
    json_t *row = cof_bench_times_row(scene, "rekey", times);
    if (row == NULL) {
        return no_row();
    }
    cof_bench_row_put(row, "present", present);
    json_object_set_new(row, "depth",
                        json_string(depth == COFFER_REKEY_MASTER ? "master" : "volume"));
    return 0;
}

static int measure_rekeys(struct cof_bench_scene *scene, struct cof_bench_times *times)
{
    uint64_t present = 0;
    int error = cof_bench_scene_fill(scene);
    for (size_t i = 0; i < scene->options->present.count && error == 0; i++) {
        error = cof_bench_scene_grow(scene, &present, scene->options->present.values[i]);
        if (error == 0) {
            error = cof_bench_scene_close_volume(scene);
        }
        if (error == 0) {
            error = measure_one_rekey(scene, times, present, COFFER_REKEY_MASTER);
        }
        if (error == 0) {
            error = measure_one_rekey(scene, times, present, COFFER_REKEY_VOLUME);
        }
        if (error == 0) {
            error = cof_bench_scene_open_volume(scene);
        }
    }
    return error;
}

/* The histograms are too large for a stack. */
static int with_times(struct cof_bench_scene *scene,
                      int (*measure)(struct cof_bench_scene *, struct cof_bench_times *))
{
    struct cof_bench_times *times = calloc(1, sizeof *times);
    int error = times == NULL ? no_row() : measure(scene, times);
    free(times);
    return error;
}

int cof_bench_measure_create(struct cof_bench_scene *scene)
{
    return with_times(scene, measure_creates);
}

int cof_bench_measure_delete(struct cof_bench_scene *scene)
{
    return with_times(scene, measure_deletes);
}

int cof_bench_measure_rekey(struct cof_bench_scene *scene)
{
    return with_times(scene, measure_rekeys);
}
