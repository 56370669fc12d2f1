/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_reencrypt.c - deep re-encryption in a world; see world_snapshot.h.
 *
 * The model knows nothing of it: not a page changes. What is judged here is that progress never
 * falls, whatever happens between two looks, and that at the end no table of data keys has a key
 * that was in one when it began.
 */
#include "common/harness.h"
#include "common/world_snapshot.h"

int world_reencrypt_look(struct world *world, unsigned node, bool *ret_begun)
{
    struct coffer_reencrypt_opts opts = {.size = sizeof opts,
                                         .volume = world->model->volumes[node].name,
                                         .provider = &world->kms->api};
    struct coffer_reencrypt_status status;
    int error = coffer_reencrypt_status_get(world->store, &opts, &status, &world->fault);
    if (error == 0) {
        harness_require(status.extents_done <= status.extents, "more than all is done");
        *ret_begun = status.state == COFFER_REENCRYPT_BEGUN;
    }
    return error;
}

int world_reencrypt_begin(struct world *world, unsigned node)
{
    struct coffer_reencrypt_opts opts = {.size = sizeof opts,
                                         .volume = world->model->volumes[node].name,
                                         .provider = &world->kms->api};
    int error;
    world_keys_needed(world);
    error = coffer_reencrypt_begin(world->store, &opts, &world->fault);
    world_tell(world, "reencrypt %s: %s", opts.volume, coffer_error_name(error));
    world->reencrypt_done = 0;
    return error != 0 ? error : data_keys_note(&world->leaving, world->store);
}

bool world_reencrypt_runs(const struct world *world)
{
    return data_keys_running(world->store);
}

int world_reencrypt_steps(struct world *world, unsigned steps, bool *ret_over)
{
    struct coffer_reencrypt_status status;
    int error = 1;
    *ret_over = false;
    for (unsigned i = 0; error == 1 && i < steps; i++) {
        error = coffer_reencrypt_step(world->store, &status, &world->fault);
        world_tell(world, "reencrypt: step: %d, %llu of %llu", error,
                   (unsigned long long)status.extents_done, (unsigned long long)status.extents);
        if (error >= 0) {
            harness_require(status.extents_done >= world->reencrypt_done, "it went back");
            world->reencrypt_done = status.extents_done;
        }
    }
    if (error == 0) {
        *ret_over = true;
        error = data_keys_absent(&world->leaving, world->store);
        coffer_reencrypt_end(world->store);
    }
    return error < 0 ? error : 0;
}

int world_reencrypt_finish(struct world *world)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *at = &world->model->volumes[v];
        bool begun = false, over = false;
        int error = 0;
        if (!model_wanted(at) || at->gone || !at->encrypted || at->create_done == MODEL_NEVER) {
            continue;
        }
        if (!world_reencrypt_runs(world)) {
            error = world_reencrypt_look(world, v, &begun);
            if (error == 0 && begun) {
                error = world_reencrypt_begin(world, v);
            }
        }
        if (error == 0 && world_reencrypt_runs(world)) {
            error = world_reencrypt_steps(world, WORLD_SPINS_MAX, &over);
            harness_require(error != 0 || over, "it has no end");
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}
