/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/beside.c - an older state of the whole store, and volumes in each other's place.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"

#include <string.h>

/* An older state of the whole store: shown by the anchor, accepted with the flag. */
void roll_back(void)
{
    struct world_options options;
    struct world world;
    struct sim_image *old;
    unsigned volume;
    harness_context("forgery --attack roll_back");
    memset(&options, 0, sizeof options);
    options.seed = 77;
    options.anchor = true;
    options.disk.record = true;
    world_init(&world, &options);
    must(&world, world_create(&world));
    must(&world, world_open(&world));
    must(&world, world_volume_create(&world, 64, 64, true, &volume));
    must(&world, world_volume_open(&world, volume));
    must(&world, world_write_pages(&world, volume, 0, 8));
    must(&world, world_checkpoint(&world));
    old = sim_disk_image_live(world.disk);
    must(&world, world_write_pages(&world, volume, 0, 8));
    must(&world, world_close(&world));
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
