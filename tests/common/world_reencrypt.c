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

#include "volume/reencrypt.h"

#include <stdlib.h>
#include <string.h>

void world_reencrypt_forget(struct world *world)
{
    free(world->leaving);
    world->leaving = NULL;
    world->leaving_count = 0;
}

static void note_key(struct world *world, const uint8_t *commitment)
{
    world->leaving = realloc(world->leaving, (world->leaving_count + 1) * sizeof *world->leaving);
    if (world->leaving == NULL) {
        abort();
    }
    memcpy(world->leaving[world->leaving_count++], commitment, sizeof *world->leaving);
}

static bool was_leaving(const struct world *world, const uint8_t *commitment)
{
    for (unsigned i = 0; i < world->leaving_count; i++) {
        if (memcmp(world->leaving[i], commitment, sizeof *world->leaving) == 0) {
            return true;
        }
    }
    return false;
}

/* Every data key that a table has; family 0: of all. */
static int each_key(struct world *world, uint32_t family,
                    void (*visit)(struct world *, const uint8_t *commitment))
{
    int error = 0;
    struct cof_catalogue_item *item = world->store->items;
    for (; error == 0 && item != NULL; item = item->next) {
        struct coffer_volume *twin;
        uint8_t digest[32];
        if (!item->entry.encrypted || (family != 0 && cof_family_of(item) != family)) {
            continue;
        }
        error = cof_twin_new(world->store, item, true, &twin);
        if (error != 0) {
            break;
        }
        error = cof_keys_read(twin, item->entry.data_keys, digest);
        for (unsigned i = 0; error == 0 && i < twin->ek_count; i++) {
            const struct cof_ek_entry *entry = &twin->eks[i].entry;
            if (family == 0 || cof_ek_turn_is(twin, entry, COF_EK_LEAVING)) {
                visit(world, entry->commitment);
            }
        }
        cof_twin_free(twin);
    }
    return error;
}

static void must_be_gone(struct world *world, const uint8_t *commitment)
{
    harness_require(!was_leaving(world, commitment),
                    "a data key is in a table after all was sealed anew");
}

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
    world_reencrypt_forget(world);
    world->reencrypt_done = 0;
    return error != 0 ? error : each_key(world, world->store->reencrypt->family, note_key);
}

bool world_reencrypt_runs(const struct world *world)
{
    return world->store != NULL && world->store->reencrypt != NULL;
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
        error = each_key(world, 0, must_be_gone);
        coffer_reencrypt_end(world->store);
        world_reencrypt_forget(world);
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
