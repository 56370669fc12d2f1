/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_snapshot - what snapshots, clones, their deletion, copies and changes of keys cost, through
 * the public API and nothing else.
 *
 * One run is one kind of measurement on a store of its own; it prints one JSON object whose rows
 * are for bench/run. It judges nothing: it fails when a call fails or a copied page is not what was
 * written, never for being slow. One thread.
 */
#include "common/measure.h"
#include <stddef.h>
#include <stdio.h>

#define PLACE(member) offsetof(struct cof_bench_snapshot_options, member)

static const char *const whats[] = {"prepare", "create", "delete", "copy", "rekey", NULL};

static const struct cof_bench_arg args[] = {
    {"what", COF_BENCH_WORD, PLACE(what), "prepare (for copy), create, delete, copy or rekey",
     whats},
    {"file", COF_BENCH_TEXT, PLACE(file), "the store; made, but for copy", NULL},
    {"keys", COF_BENCH_TEXT, PLACE(keys), "directory of key store and root key, made when absent",
     NULL},
    {"to", COF_BENCH_TEXT, PLACE(to), "prepare: raw file to export to; copy: store to make", NULL},
    {"store-size", COF_BENCH_SIZE, PLACE(store_bytes), "size of the stores made (64G, sparse)",
     NULL},
    {"size", COF_BENCH_SIZE, PLACE(size_bytes), "size of the volume, written whole (1G)", NULL},
    {"repeats", COF_BENCH_SIZE, PLACE(repeats), "of each measurement (20)", NULL},
    {"present", COF_BENCH_SIZES, PLACE(present),
     "create, rekey: with so many snapshots, rising (1,1000)", NULL},
    {"dirty", COF_BENCH_SIZES, PLACE(dirty),
     "create: after so much was written at random (0,16M,256M)", NULL},
    {"changed", COF_BENCH_SIZES, PLACE(changed),
     "delete, copy: after so many percent of the pages were (0,1,10)", NULL},
    {"reencrypt", COF_BENCH_FLAG, PLACE(reencrypt),
     "copy: under data keys of its own, every page sealed anew; the whole only", NULL},
};

static int (*const measures[])(struct cof_bench_scene *) = {
    [COF_BENCH_PREPARE] = cof_bench_measure_prepare, [COF_BENCH_CREATE] = cof_bench_measure_create,
    [COF_BENCH_DELETE] = cof_bench_measure_delete,   [COF_BENCH_COPY] = cof_bench_measure_copy,
    [COF_BENCH_REKEY] = cof_bench_measure_rekey,
};

static int validate(const struct cof_bench_snapshot_options *options)
{
    bool pair = options->what == COF_BENCH_PREPARE || options->what == COF_BENCH_COPY;
    if (options->file == NULL || options->keys == NULL || (pair && options->to == NULL)) {
        return cof_bench_args_refuse("give --file and --keys, and for prepare and copy --to");
    }
    if (options->size_bytes == 0 || options->size_bytes % (1u << 20) != 0) {
        return cof_bench_args_refuse("--size must be a multiple of 1M");
    }
    if (options->repeats == 0 || options->repeats > 100000) {
        return cof_bench_args_refuse("--repeats must be 1 to 100000");
    }
    for (size_t i = 0; i < options->present.count; i++) {
        uint64_t before = i == 0 ? 0 : options->present.values[i - 1];
        if (options->present.values[i] <= before ||
            options->present.values[i] >= COFFER_SNAPSHOTS_MAX) {
            return cof_bench_args_refuse("--present must rise, from 1 on, and stay under 16384");
        }
    }
    for (size_t i = 0; i < options->changed.count; i++) {
        if (options->changed.values[i] > 100) {
            return cof_bench_args_refuse("--changed is in percent, 0 to 100");
        }
    }
    return 0;
}

static int print_rows(const struct cof_bench_scene *scene)
{
    json_t *object =
        json_pack("{s:s, s:O}", "what", whats[scene->options->what], "rows", scene->rows);
    if (object == NULL) {
        return cof_bench_complain("the result", COFFER_E_NO_MEMORY, NULL);
    }
    int failed = json_dumpf(object, stdout, JSON_INDENT(2)) != 0 || fputc('\n', stdout) == EOF ||
                 fflush(stdout) != 0;
    json_decref(object);
    return failed ? cof_bench_complain("printing", COFFER_E_IO, NULL) : 0;
}

static int run(const struct cof_bench_snapshot_options *options)
{
    struct cof_bench_scene scene;
    int error = cof_bench_scene_open(&scene, options, options->what != COF_BENCH_COPY);
    if (error != 0) {
        return error;
    }
    error = measures[options->what](&scene);
    if (error == 0) {
        error = print_rows(&scene);
    }
    int close_error = cof_bench_scene_close(&scene);
    return error != 0 ? error : close_error;
}

int main(int argc, char **argv)
{
    struct cof_bench_snapshot_options options = {
        .store_bytes = 64ull << 30,
        .size_bytes = 1ull << 30,
        .repeats = 20,
        .present = {.values = {1, 1000}, .count = 2},
        .dirty = {.values = {0, 16u << 20, 256u << 20}, .count = 3},
        .changed = {.values = {0, 1, 10}, .count = 3},
    };
    int parsed = cof_bench_args_parse(
        argc, argv,
        "usage: bench_snapshot --what WHAT --file STORE --keys DIR [option]...\n"
        "Measures calls on snapshots and prints the result as JSON.\n",
        args, sizeof args / sizeof args[0], &options);
    if (parsed == 0) {
        parsed = validate(&options);
    }
    if (parsed != 0) {
        return parsed > 0 ? 0 : 2;
    }
    return run(&options) == 0 ? 0 : 1;
}
