/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/run.c - a run: device, store and volume are made, loaded, closed and opened again.
 */
#include "scale/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_SEGMENTS 4096u
#define NAME "scale"

/* ---- opening ---- */

static int open_keys(struct scale *run)
{
    char keys[PATH_MAX], root[PATH_MAX];
    struct coffer_fault fault;
    struct coffer_keystore_opts opts = {
        .size = sizeof opts, .path = keys, .flags = COFFER_KEYSTORE_CREATE, .root_key_file = root};
    int error;
    memset(&fault, 0, sizeof fault);
    if (snprintf(keys, sizeof keys, "%s/keys", run->options->keys) >= PATH_MAX ||
        snprintf(root, sizeof root, "%s/root.key", run->options->keys) >= PATH_MAX) {
        return cof_bench_complain("the path of --keys", COFFER_E_INVALID, NULL);
    }
    error = coffer_keystore_open(&opts, &run->target.keys, &fault);
    if (error == 0) {
        error = coffer_keystore_provider(run->target.keys, &run->target.provider);
    }
    return error == 0 ? 0 : cof_bench_complain("opening the key store", error, &fault);
}

static int create(struct scale *run)
{
    struct coffer_fault fault;
    struct coffer_store_create_opts opts = {
        .size = sizeof opts,
        .device = scale_device_api(run->device),
        .size_bytes = run->options->store_bytes,
        .segment_bytes = (uint32_t)run->options->segment_bytes,
    };
    int error;
    memset(&fault, 0, sizeof fault);
    error = coffer_store_create(&opts, &fault);
    return error == 0 ? 0 : cof_bench_complain("creating the store", error, &fault);
}

static int open_store(struct scale *run)
{
    const struct scale_options *options = run->options;
    uint64_t times = options->overspend;
    struct coffer_fault fault;
    struct coffer_store_opts opts = {
        .size = sizeof opts,
        .device = scale_device_api(run->device),
        .staging_bytes = options->staging_bytes * times,
        .delta_entries_max = options->delta_entries * times,
        .node_cache_bytes = options->node_cache_bytes * times,
        .tag_cache_bytes = options->tag_cache_bytes * times,
        .placement_bytes = options->placement_bytes * times,
    };
    int error;
    memset(&fault, 0, sizeof fault);
    error = coffer_store_open(&opts, &run->target.store, &fault);
    return error == 0 ? 0 : cof_bench_complain("opening the store", error, &fault);
}

static int create_volume(struct scale *run)
{
    struct coffer_fault fault;
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts,
        .name = NAME,
        .size_bytes = run->options->size_bytes,
        .not_encrypted = run->options->keys == NULL,
        .provider = run->options->keys == NULL ? NULL : &run->target.provider};
    int error;
    memset(&fault, 0, sizeof fault);
    error = coffer_volume_create(run->target.store, &opts, &fault);
    return error == 0 ? 0 : cof_bench_complain("creating the volume", error, &fault);
}

static int open_volume(struct scale *run)
{
    struct coffer_fault fault;
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = NAME,
        .provider = run->options->keys == NULL ? NULL : &run->target.provider};
    int error;
    memset(&fault, 0, sizeof fault);
    error = coffer_volume_open(run->target.store, &opts, &run->target.volume, &fault);
    return error == 0 ? 0 : cof_bench_complain("opening the volume", error, &fault);
}

static int open_queue(struct scale *run)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = (unsigned)run->options->depth};
    int error = coffer_queue_create(run->target.store, &opts, &run->queue);
    return error == 0 ? 0 : cof_bench_complain("making a queue", error, NULL);
}

static int close_all(struct scale *run)
{
    struct coffer_keystore *keys = run->target.keys;
    int error;
    coffer_queue_destroy(run->queue);
    run->queue = NULL;
    run->target.keys = NULL; /* stays open */
    error = cof_bench_target_close(&run->target);
    run->target.keys = keys;
    return error;
}

/* Closed and opened again; a page is looked up, to show that it is there. */
static int reopen(struct scale *run)
{
    uint64_t began_ns;
    int error = close_all(run);
    if (error != 0) {
        return error;
    }
    began_ns = cof_load_now_ns();
    error = open_store(run);
    error = error == 0 ? open_volume(run) : error;
    run->result->reopen_ns = cof_load_now_ns() - began_ns;
    error = error == 0 ? scale_look_up(run, SCALE_HOLE_AT) : error;
    error = error == 0 ? scale_sample(run) : error;
    run->result->reopen_bytes = run->result->memory.engine_bytes;
    return error;
}

/* ---- all of it ---- */

static int prepare(struct scale *run)
{
    size_t depth = run->options->depth;
    run->pages = run->options->size_bytes / SCALE_PAGE;
    run->random = run->options->seed;
    run->device = scale_device_new(run->options->store_bytes, (uint32_t)run->options->segment_bytes,
                                   USER_SEGMENTS);
    run->buffers = aligned_alloc(SCALE_PAGE, depth * SCALE_PAGE);
    run->iov = calloc(depth, sizeof *run->iov);
    run->ios = calloc(depth, sizeof *run->ios);
    run->cqes = calloc(depth, sizeof *run->cqes);
    run->spare = calloc(depth, sizeof *run->spare);
    run->generations = calloc(run->pages / SCALE_STAMP_EVERY + 1u, sizeof *run->generations);
    if (run->device == NULL || run->buffers == NULL || run->iov == NULL || run->ios == NULL ||
        run->cqes == NULL || run->spare == NULL || run->generations == NULL) {
        return cof_bench_complain("preparing", COFFER_E_NO_MEMORY, NULL);
    }
    memset(run->buffers, 0x5a, depth * SCALE_PAGE);
    for (unsigned i = 0; i < depth; i++) {
        run->iov[i] = (struct iovec){run->buffers + (size_t)i * SCALE_PAGE, SCALE_PAGE};
        run->spare[run->spare_count++] = i;
    }
    return 0;
}

static void done(struct scale *run)
{
    coffer_keystore_close(run->target.keys);
    scale_device_free(run->device);
    free(run->buffers);
    free(run->iov);
    free(run->ios);
    free(run->cqes);
    free(run->spare);
    free(run->generations);
}

int scale_run(const struct scale_options *options, struct scale_result *ret_result)
{
    struct scale run = {.options = options, .result = ret_result};
    int error, close_error;
    memset(ret_result, 0, sizeof *ret_result);
    error = prepare(&run);
    if (error == 0 && options->keys != NULL) {
        error = open_keys(&run);
    }
    error = error == 0 ? create(&run) : error;
    error = error == 0 ? open_store(&run) : error;
    error = error == 0 ? create_volume(&run) : error;
    error = error == 0 ? open_volume(&run) : error;
    error = error == 0 ? open_queue(&run) : error;
    error = error == 0 ? scale_fill(&run) : error;
    error = error == 0 && options->overwrites > 0 ? scale_overwrite(&run) : error;
    error = error == 0 && options->lookups > 0 ? scale_look_up_all(&run) : error;
    error = error == 0 ? reopen(&run) : error;
    close_error = run.target.store != NULL ? close_all(&run) : 0;
    if (error == 0) {
        ret_result->device = *scale_device_counts(run.device);
    }
    done(&run);
    return error == 0 ? close_error : error;
}
