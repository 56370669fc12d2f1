/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_keys.c - which key opens what, changes of keys, recipients; see world_snapshot.h.
 *
 * Where options.spare_keys is set, master keys that nothing needs any more can't be used, so that
 * what still hangs on one shows.
 */
#include "common/world_snapshot.h"

#include "common/harness.h"

#include <string.h>

void world_keys_only(struct world *world, unsigned key)
{
    for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
        world->kms->keys[i].state = i == key ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED;
    }
}

void world_keys_needed(struct world *world)
{
    for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
        bool needed = !world->options.spare_keys || model_key_needed(world->model, i);
        world->kms->keys[i].state = needed ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED;
    }
}

static int open_by_key(struct world *world, unsigned node, unsigned key)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = world->model->volumes[node].name,
        .flags = COFFER_VOLUME_READ_ONLY,
        .provider = &world->kms->api,
    };
    struct coffer_volume *volume = NULL;
    int error;
    world_keys_only(world, key);
    error = coffer_volume_open(world->store, &opts, &volume, &world->fault);
    world_keys_needed(world);
    if (error == COFFER_E_INACCESSIBLE_CREDENTIALS) { /* a cut left it so */
        error = world_volume_start(world, node);
        world_keys_only(world, key);
        if (error == 0) {
            error = coffer_volume_open(world->store, &opts, &volume, &world->fault);
        }
        world_keys_needed(world);
    }
    world_tell(world, "open %s by key %u: %s", opts.name, key, coffer_error_name(error));
    return error == 0 ? coffer_volume_close(volume) : error;
}

/* For want of a key that can be used, not by a planted fault. */
static bool is_refusal(const struct world *world, int error)
{
    return error == COFFER_E_KEY_DISABLED && !(world->kms->planted && world->kms->fired > 0);
}

int world_keys_opening(struct world *world, unsigned node, unsigned *ret_keys)
{
    const struct model_volume *volume = &world->model->volumes[node];
    unsigned tried = 0, opening = 0;
    for (unsigned i = 0; i < volume->key_count; i++) {
        unsigned key = volume->keys[i].key;
        int error;
        if ((tried >> key & 1u) != 0) {
            continue;
        }
        tried |= 1u << key;
        error = open_by_key(world, node, key);
        if (error == 0) {
            opening |= 1u << key;
        } else if (error != COFFER_E_NOT_FOUND && !is_refusal(world, error)) {
            return error;
        }
    }
    *ret_keys = opening;
    return 0;
}

/* It was acknowledged, so the key of before opens neither the volume nor a snapshot. */
static void check_old_key(struct world *world, unsigned volume, unsigned old)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *at = &world->model->volumes[v];
        if (model_wanted(at) && !at->gone && at->create_done != MODEL_NEVER &&
            at->number == world->model->volumes[volume].number) {
            int error = open_by_key(world, v, old);
            harness_require(error != 0, "%s opens by its old key %u", at->name, old);
            harness_require(error == COFFER_E_KEY_DISABLED || world->lenient,
                            "%s by its old key: %s", at->name, coffer_error_name(error));
        }
    }
}

int world_rekey(struct world *world, unsigned volume, int key, enum coffer_rekey_depth depth)
{
    const struct model_volume *at = &world->model->volumes[volume];
    unsigned old = at->keys[at->key_count - 1].key;
    unsigned now = key == WORLD_OWN_KEY ? old : (unsigned)key;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_rekey_opts opts = {
        .size = sizeof opts,
        .volume = at->name, /* of a snapshot where the volume is gone */
        .kms_key_id = key == WORLD_OWN_KEY ? NULL : arn,
        .depth = depth,
        .provider = &world->kms->api,
    };
    int error;
    fake_kms_arn(now, arn);
    world->kms->keys[now].state = COFFER_KEY_ENABLED;
    model_rekey(world->model, volume, now, world_event(world));
    error = coffer_volume_rekey(world->store, &opts, &world->fault);
    world_tell(world, "rekey %s from %u to %u, depth %d: %s", at->name, old, now, (int)depth,
               coffer_error_name(error));
    if (error == 0) {
        model_rekeyed(world->model, volume, world_event(world));
        if (now != old) {
            check_old_key(world, volume, old);
        }
        world_keys_needed(world);
    }
    return error;
}

/* ---- recipients ---- */

/* A recipient's key opens this snapshot, and of its family nothing else. Errors that a planted
 * fault gave are returned. */
static int check_recipient(struct world *world, unsigned snapshot, unsigned key, bool opens)
{
    const struct model *model = world->model;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *at = &model->volumes[v];
        bool may = v == snapshot ? opens : (at->recipients >> key & 1u) != 0;
        int error;
        if (!model_wanted(at) || at->gone || at->number != model->volumes[snapshot].number ||
            world->volumes[v] != NULL) {
            continue;
        }
        error = open_by_key(world, v, key);
        if (error != 0 && !is_refusal(world, error)) {
            return error;
        }
        harness_require((error == 0) == may, "%s by the recipient's key %u: %s", at->name, key,
                        coffer_error_name(error));
    }
    return 0;
}

int world_recipient_set(struct world *world, unsigned snapshot, unsigned key, bool add)
{
    struct model_volume *at = &world->model->volumes[snapshot];
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_recipient_opts opts = {.size = sizeof opts, .kms_key_id = arn};
    struct world_halves halves;
    int error;
    fake_kms_arn(key, arn);
    world_snapshot_opts(world, snapshot, &halves, &opts.snapshot);
    world->kms->keys[key].state = COFFER_KEY_ENABLED;
    error = add ? coffer_recipient_add(world->store, &opts, &world->fault)
                : coffer_recipient_remove(world->store, &opts, &world->fault);
    world_tell(world, "%s recipient %u of %s: %s", add ? "add" : "remove", key, at->name,
               coffer_error_name(error));
    if (error == 0) {
        at->recipients = add ? at->recipients | 1u << key : at->recipients & ~(1u << key);
        error = check_recipient(world, snapshot, key, add);
    }
    world_keys_needed(world);
    return error;
}
