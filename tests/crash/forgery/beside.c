/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/beside.c - an older state of the whole store, and volumes in each other's place.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"

#include <string.h>

/* A store under an anchor that was closed, and what it was before it was written last. */
static struct sim_image *make_anchored(struct world *world, uint64_t seed, unsigned *ret_volume)
{
    struct world_options options;
    struct sim_image *old;
    memset(&options, 0, sizeof options);
    options.seed = seed; /* no two attacks draw the same keys */
    options.anchor = true;
    options.disk.record = true;
    world_init(world, &options);
    must(world, world_create(world));
    must(world, world_open(world));
    must(world, world_volume_create(world, 64, 64, true, ret_volume));
    must(world, world_volume_open(world, *ret_volume));
    must(world, world_write_pages(world, *ret_volume, 0, 8));
    must(world, world_checkpoint(world));
    old = sim_disk_image_live(world->disk);
    must(world, world_write_pages(world, *ret_volume, 0, 8));
    must(world, world_close(world));
    return old;
}

/* An older state of the whole store: shown by the anchor, accepted with the flag. */
void roll_back(void)
{
    struct world world;
    struct sim_image *old;
    unsigned volume;
    harness_context("forgery --attack roll_back");
    old = make_anchored(&world, 77, &volume);
    world_replace_disk(&world, old);
    harness_require(world_open(&world) == COFFER_E_ROLLBACK,
                    "an older store was opened against the anchor");
    world.open_flags = COFFER_OPEN_READ_ONLY;
    harness_require(world_open(&world) == COFFER_E_ROLLBACK,
                    "an older store was opened read-only against the anchor");
    world.open_flags = COFFER_OPEN_ACCEPT_ROLLBACK;
    det_env_incarnate(&world.env, 77, 5);
    must(&world, world_open(&world));
    must(&world, world_volume_open(&world, volume));
    must(&world, world_close(&world));
    sim_image_free(old);
    world_done(&world);
    forgery.attacks++;
}

static void must_not_open(struct world *world, unsigned flags)
{
    int error;
    world->open_flags = flags;
    error = world_open(world);
    if (error == 0) {
        world_crash(world);
    }
    harness_require(error == COFFER_E_ROLLBACK,
                    "an older store under a forged epoch was opened against the anchor: %s",
                    coffer_error_name(error));
}

/* The older state again, its root under every epoch from its own to well beyond the anchor's. */
void forge_epoch(void)
{
    struct world world;
    struct forge_map map;
    struct sim_image *old;
    unsigned volume;
    harness_context("forgery --attack forge_epoch");
    old = make_anchored(&world, 78, &volume);
    forge_map_init(&map, old);
    for (uint64_t epoch = map.root.epoch + 1u; epoch < world.anchor.state.epoch + 8u; epoch++) {
        struct sim_image *forged = sim_image_clone(old);
        struct cof_root root = map.root;
        root.epoch = epoch;
        forge_root_put(forged, &root);
        world_replace_disk(&world, forged);
        sim_image_free(forged);
        must_not_open(&world, 0);
        must_not_open(&world, COFFER_OPEN_READ_ONLY);
        forgery.attacks++;
        forgery.refused += 2;
    }
    forge_map_done(&map);
    sim_image_free(old);
    world_done(&world);
}

static int open_pinned(struct world *world, unsigned volume, const struct coffer_pin *pin,
                       unsigned flags)
{
    struct coffer_volume *handle = NULL;
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = world->model->volumes[volume].name,
                                           .flags = flags,
                                           .provider = &world->kms->api,
                                           .pin = *pin};
    int error = coffer_volume_open(world->store, &opts, &handle, &world->fault);
    harness_require(error == 0 || handle == NULL, "open failed, yet gave a volume");
    (void)coffer_volume_close(handle);
    return error;
}

void pins(void)
{
    struct world world;
    struct coffer_volume_info info = {.size = sizeof info};
    struct coffer_pin pin;
    harness_context("forgery --attack pins");
    world_init_on(&world, &forgery.rich.world, forgery.rich.image, forgery.next_incarnation++,
                  false);
    must(&world, world_open(&world));
    must(&world, world_volume_open(&world, forgery.rich.volumes[0]));
    must(&world, coffer_volume_info_get(world.volumes[forgery.rich.volumes[0]], &info));
    must(&world, world_volume_close(&world, forgery.rich.volumes[0]));
    memset(&pin, 0, sizeof pin);
    pin.use_uuid = 1;
    pin.volume_uuid = info.uuid;
    must(&world, open_pinned(&world, forgery.rich.volumes[0], &pin, 0));
    harness_require(open_pinned(&world, forgery.rich.volumes[2], &pin, 0) == COFFER_E_PIN,
                    "another volume passed the pin");
    memset(&pin, 0, sizeof pin);
    pin.use_encrypted = 1;
    pin.encrypted = 1;
    harness_require(open_pinned(&world, forgery.rich.volumes[1], &pin, COFFER_VOLUME_ALLOW_PLAIN) ==
                        COFFER_E_PIN,
                    "a plain volume passed for an encrypted one");
    memset(&pin, 0, sizeof pin);
    harness_require(open_pinned(&world, forgery.rich.volumes[1], &pin, 0) == COFFER_E_PLAIN_REFUSED,
                    "a plain volume was opened with a key provider and without leave");
    pin.key_arn = info.key_arn;
    must(&world, open_pinned(&world, forgery.rich.volumes[0], &pin, 0));
    pin.key_arn = "arn:coffer:kms:test:000000000000:key/2";
    harness_require(open_pinned(&world, forgery.rich.volumes[0], &pin, 0) == COFFER_E_PIN,
                    "a volume under another key passed the pin");
    world_crash(&world);
    world_done(&world);
    forgery.attacks++;
}
