/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_snapshot.c - see world_snapshot.h.
 */
#include "common/world_snapshot.h"

#include "common/harness.h"

#include <stdio.h>
#include <string.h>

void world_snapshot_opts(const struct world *world, unsigned snapshot, struct world_halves *halves,
                         struct coffer_snapshot_opts *opts)
{
    const char *full = world->model->volumes[snapshot].name;
    const char *at = strchr(full, '@');
    harness_require(at != NULL, "world: %s is no snapshot", full);
    memset(opts, 0, sizeof *opts);
    snprintf(halves->volume, sizeof halves->volume, "%.*s", (int)(at - full), full);
    opts->size = sizeof *opts;
    opts->volume = halves->volume;
    opts->name = at + 1;
    opts->provider = &world->kms->api;
}

static int create_again(struct world *world, unsigned volume,
                        const struct coffer_snapshot_opts *opts)
{
    const char *of = world->model->volumes[volume].name;
    int error = coffer_snapshot_create(world->volumes[volume], opts, NULL, &world->fault);
    world_tell(world, "snapshot of %s again as %s: %s", of, opts->name, coffer_error_name(error));
    harness_require(error != 0, "a second snapshot %s of %s", opts->name, of);
    return error == COFFER_E_EXISTS ? 0 : error;
}

int world_snapshot_create(struct world *world, unsigned volume, unsigned label,
                          unsigned *ret_snapshot)
{
    struct coffer_uuid uuid;
    uint64_t moment = model_now(world->model);
    unsigned snapshot;
    char name[16];
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .name = name, .provider = &world->kms->api};
    int error;
    snprintf(name, sizeof name, "s%u", label);
    *ret_snapshot = MODEL_NONE;
    if (model_snapshot_find(world->model, volume, label) != MODEL_NONE) {
        return create_again(world, volume, &opts);
    }
    snapshot = model_snapshot_add(world->model, volume, label, world_event(world));
    error = coffer_snapshot_create(world->volumes[volume], &opts, &uuid, &world->fault);
    world_tell(world, "snapshot %s: %s", world->model->volumes[snapshot].name,
               coffer_error_name(error));
    if (error == 0) {
        model_volume_created(world->model, snapshot, world_event(world));
        model_durable(world->model, moment, world_event(world));
        *ret_snapshot = snapshot;
    }
    return error;
}

int world_snapshot_settle(struct world *world, unsigned snapshot)
{
    struct model_seen seen;
    int error;
    memset(&seen, 0, sizeof seen);
    error = world_look_one(world, snapshot, &seen);
    if (error == 0) {
        harness_require(seen.volumes[snapshot].there, "snapshot %s is gone",
                        world->model->volumes[snapshot].name);
        model_check_snapshots(world->model, &seen);
        model_snapshot_settle(world->model, snapshot, &seen);
    }
    model_seen_done(&seen);
    return error;
}

int world_snapshot_delete(struct world *world, unsigned snapshot)
{
    struct coffer_snapshot_opts opts;
    struct world_halves halves;
    int error;
    world_snapshot_opts(world, snapshot, &halves, &opts);
    model_volume_deleting(world->model, snapshot, world_event(world));
    error = coffer_snapshot_delete(world->store, &opts, &world->fault);
    world_tell(world, "delete %s of %u children: %s", world->model->volumes[snapshot].name,
               model_node_children(world->model, snapshot), coffer_error_name(error));
    if (error == 0) {
        model_volume_deleted(world->model, snapshot, world_event(world));
    }
    return error;
}

int world_snapshot_restore(struct world *world, unsigned snapshot, int key, unsigned *ret_volume)
{
    const struct model_volume *from = &world->model->volumes[snapshot];
    bool fresh = !from->encrypted && key != WORLD_OWN_KEY;
    struct coffer_snapshot_restore_opts opts = {.size = sizeof opts};
    struct world_halves halves;
    unsigned volume;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int error =
        model_snapshot_open(world->model, snapshot) ? world_snapshot_settle(world, snapshot) : 0;
    if (error != 0) {
        return error;
    }
    volume = model_clone_add(world->model, snapshot, fresh, world_event(world));
    world_snapshot_opts(world, snapshot, &halves, &opts.snapshot);
    opts.new_name = world->model->volumes[volume].name;
    if (key != WORLD_OWN_KEY) {
        fake_kms_arn((unsigned)key, arn);
        opts.kms_key_id = arn;
    }
    model_key_first(world->model, volume,
                    key != WORLD_OWN_KEY
                        ? (unsigned)key
                        : from->keys[from->key_count > 0 ? from->key_count - 1 : 0].key);
    error = coffer_snapshot_restore(world->store, &opts, &world->fault);
    world_tell(world, "restore %s as %s under key %d: %s", from->name, opts.new_name, key,
               coffer_error_name(error));
    if (error == 0) {
        model_volume_created(world->model, volume, world_event(world));
    }
    *ret_volume = volume;
    return error;
}
