/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/measure_copy.c - copies of snapshots between stores; see measure.h.
 *
 * The time of a copy is that of the one call, which returns when the copy is durable. Making and
 * opening the destination stands outside it.
 */
#include "common/load.h"
#include "common/measure.h"
#include "tools/load/plan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define PIECE_BYTES (1u << 20)

/* ---- prepare ---- */

static int write_piece(int fd, const uint8_t *piece, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, piece, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return cof_bench_complain("writing the exported file", COFFER_E_IO, NULL);
        }
        piece += written;
        bytes -= (size_t)written;
    }
    return 0;
}

static int export_pieces(struct coffer_volume *volume, uint64_t size_bytes, int fd)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    uint8_t *piece = malloc(PIECE_BYTES);
    int error = piece == NULL ? cof_bench_complain("the export", COFFER_E_NO_MEMORY, NULL) : 0;
    for (uint64_t at = 0; at < size_bytes && error == 0; at += PIECE_BYTES) {
        uint64_t left = size_bytes - at;
        size_t bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        error = coffer_volume_read(volume, piece, at, bytes, &fault);
        error = error == 0 ? write_piece(fd, piece, bytes)
                           : cof_bench_complain("reading the volume", error, &fault);
    }
    free(piece);
    return error;
}

static int export_to(struct cof_bench_scene *scene, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return cof_bench_complain("making the exported file", COFFER_E_IO, NULL);
    }
    int error = export_pieces(scene->target.volume, scene->options->size_bytes, fd);
    int sync_error = fsync(fd) != 0;
    if ((close(fd) != 0 || sync_error) && error == 0) {
        error = cof_bench_complain("syncing the exported file", COFFER_E_IO, NULL);
    }
    return error;
}

int cof_bench_measure_prepare(struct cof_bench_scene *scene)
{
    int error = cof_bench_scene_fill(scene);
    if (error == 0) {
        error = cof_bench_scene_take(scene, "s1");
    }
    return error == 0 ? export_to(scene, scene->options->to) : error;
}

/* ---- copy ---- */

struct copy_run {
    struct cof_bench_times times;
    struct coffer_store *to;
    char key_arn[COF_BENCH_SCENE_KEY_BYTES];
    uint64_t sent_bytes;
};

static int note_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct copy_run *run = ctx;
    (void)total_bytes;
    run->sent_bytes = done_bytes;
    return 0;
}

static int open_destination(struct cof_bench_scene *scene, struct copy_run *run)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_store_create_opts create = {.size = sizeof create,
                                              .path = scene->options->to,
                                              .size_bytes = scene->options->store_bytes};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = scene->options->to};
    int error = coffer_store_create(&create, &fault);
    if (error == 0) {
        error = coffer_store_open(&opts, &run->to, &fault);
    }
    return error == 0 ? 0 : cof_bench_complain("the destination", error, &fault);
}

/* Copy one snapshot and describe what that took. changed_pages: since the one before it. */
static int copy_one(struct cof_bench_scene *scene, struct copy_run *run, const char *name,
                    uint64_t changed_pages)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    memset(&run->times, 0, sizeof run->times);
    run->sent_bytes = 0;
    struct coffer_copy_opts opts = {
        .size = sizeof opts,
        .flags = scene->options->reencrypt ? COFFER_COPY_REENCRYPT | COFFER_COPY_THREAD : 0,
        .source = {.volume = "bench", .name = name, .provider = &scene->keys.provider},
        .kms_key_id = run->key_arn,
        .provider = &scene->keys.provider,
        .on_progress = note_progress,
        .ctx = run};
    uint64_t user_ns, system_ns, user_after_ns, system_after_ns, ignored;
    cof_bench_usage(&user_ns, &system_ns, &ignored);
    cof_bench_times_start(&run->times, scene);
    int error = coffer_snapshot_copy(scene->target.store, run->to, &opts, &fault);
    cof_bench_times_stop(&run->times, scene);
    cof_bench_usage(&user_after_ns, &system_after_ns, &ignored);
    if (error != 0) {
        return cof_bench_complain("copying", error, &fault);
    }
    json_t *row =
        cof_bench_times_row(scene, changed_pages == 0 ? "full" : "incremental", &run->times);
    if (row == NULL) {
        return cof_bench_complain("the result", COFFER_E_NO_MEMORY, NULL);
    }
    cof_bench_row_put(row, "size_bytes", scene->options->size_bytes);
    cof_bench_row_put(row, "pages", changed_pages);
    cof_bench_row_put(row, "sent_bytes", run->sent_bytes);
    cof_bench_row_put(row, "cpu_ns", user_after_ns - user_ns + system_after_ns - system_ns);
    return 0;
}

/* Change some of the volume, copy that, and put the source's history back as it was. */
static int copy_change(struct cof_bench_scene *scene, struct copy_run *run, uint64_t percent)
{
    uint64_t pages = 0;
    uint64_t wanted = scene->options->size_bytes / PAGE_BYTES * percent / 100;
    int error = cof_bench_scene_change(scene, wanted == 0 ? 1 : wanted, true, &pages);
    if (error == 0) {
        error = cof_bench_scene_take(scene, "s2");
    }
    if (error == 0) {
        error = copy_one(scene, run, "s2", pages);
    }
    if (error == 0) {
        error = cof_bench_scene_verify(scene, run->to, "bench@s2");
    }
    return error == 0 ? cof_bench_scene_drop(scene, "s2") : error;
}

static int copy_both(struct cof_bench_scene *scene, struct copy_run *run)
{
    int error = cof_bench_scene_new_key(scene, run->key_arn);
    if (error == 0) {
        error = copy_one(scene, run, "s1", 0);
    }
    if (error == 0) {
        error = cof_bench_scene_verify(scene, run->to, "bench@s1");
    }
    if (error != 0 || scene->options->reencrypt) {
        return error;
    }
    return copy_change(scene, run, scene->options->changed.values[0]);
}

int cof_bench_measure_copy(struct cof_bench_scene *scene)
{
    struct copy_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return cof_bench_complain("the copy", COFFER_E_NO_MEMORY, NULL);
    }
    int error = open_destination(scene, run);
    if (error == 0) {
        error = copy_both(scene, run);
        int close_error = coffer_store_close(run->to);
        if (error == 0 && close_error != 0) {
            error = cof_bench_complain("closing the destination", close_error, NULL);
        }
    }
    free(run);
    return error;
}
