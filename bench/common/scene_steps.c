/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/scene_steps.c - single calls of the library, as a scene makes them; see scene.h.
 */
#include "common/scene.h"
#include <stdlib.h>
#include <string.h>

static int done(const char *what, int error, const struct coffer_fault *fault)
{
    return error == 0 ? 0 : cof_bench_complain(what, error, fault);
}

int cof_bench_scene_checkpoint(struct cof_bench_scene *scene)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    return done("a checkpoint", coffer_store_checkpoint(scene->target.store, &fault), &fault);
}

int cof_bench_scene_close_volume(struct cof_bench_scene *scene)
{
    int error = coffer_volume_close(scene->target.volume);
    scene->target.volume = NULL;
    return done("closing the volume", error, NULL);
}

int cof_bench_scene_open_volume(struct cof_bench_scene *scene)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = "bench", .provider = &scene->keys.provider};
    return done("opening the volume",
                coffer_volume_open(scene->target.store, &opts, &scene->target.volume, &fault),
                &fault);
}

static struct coffer_snapshot_opts named(struct cof_bench_scene *scene, const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "bench", .name = name, .provider = &scene->keys.provider};
    return opts;
}

int cof_bench_scene_take(struct cof_bench_scene *scene, const char *name)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_snapshot_opts opts = named(scene, name);
    return done("taking a snapshot",
                coffer_snapshot_create(scene->target.volume, &opts, NULL, &fault), &fault);
}

int cof_bench_scene_drop(struct cof_bench_scene *scene, const char *name)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_snapshot_opts opts = named(scene, name);
    return done("deleting a snapshot", coffer_snapshot_delete(scene->target.store, &opts, &fault),
                &fault);
}

int cof_bench_scene_clone(struct cof_bench_scene *scene, const char *name, const char *new_name)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts, .snapshot = named(scene, name), .new_name = new_name};
    return done("restoring a snapshot", coffer_snapshot_restore(scene->target.store, &opts, &fault),
                &fault);
}

int cof_bench_scene_delete_volume(struct cof_bench_scene *scene, const char *name)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = name, .provider = &scene->keys.provider};
    return done("deleting a volume", coffer_volume_delete(scene->target.store, &opts, &fault),
                &fault);
}

int cof_bench_scene_new_key(struct cof_bench_scene *scene, char ret_arn[COF_BENCH_SCENE_KEY_BYTES])
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_key_metadata *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return cof_bench_complain("a master key", COFFER_E_NO_MEMORY, NULL);
    }
    key->size = sizeof *key;
    int error = coffer_keystore_create_key(scene->target.keys, NULL, key, &fault);
    if (error == 0) {
        memcpy(ret_arn, key->arn, sizeof key->arn);
    }
    free(key);
    return done("making a master key", error, &fault);
}
