/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_segdev.c - the medium, and the handle that a store opens on it; see sim_segdev.h.
 */
#include "common/sim_segdev.h"

#include "common/harness.h"
#include "common/sim_device.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct sim_disk *disk_of(struct coffer_segdev *dev)
{
    return (struct sim_disk *)((char *)dev - offsetof(struct sim_disk, handle));
}

static void device_geometry(struct coffer_segdev *dev, struct coffer_geometry *ret_geometry)
{
    const struct sim_disk *disk = disk_of(dev);
    memset(ret_geometry, 0, sizeof *ret_geometry);
    ret_geometry->segment_bytes = disk->segment_bytes;
    ret_geometry->segment_count = sim_image_segment_count(disk->live);
    ret_geometry->memory_align = 512;
    ret_geometry->write_in_flight = 4;
    ret_geometry->fixed_size = disk->options.fixed_size ? 1 : 0;
    ret_geometry->works_in_poll = (uint32_t)(disk->options.seed & 1u);
}

static int device_set_segment_bytes(struct coffer_segdev *dev, uint32_t segment_bytes)
{
    struct sim_disk *disk = disk_of(dev);
    if (sim_image_empty(disk->live) && segment_bytes != sim_image_segment_bytes(disk->live)) {
        sim_image_reshape(disk->live, segment_bytes);
        sim_record_done(&disk->record);
        sim_record_init(&disk->record, disk->live, disk->options.record);
    }
    if (segment_bytes != sim_image_segment_bytes(disk->live)) {
        return COFFER_E_INVALID;
    }
    disk->segment_bytes = segment_bytes;
    return 0;
}

static int device_channel_open(struct coffer_segdev *dev, unsigned depth,
                               struct coffer_segdev_channel **ret_channel)
{
    struct sim_disk *disk = disk_of(dev);
    struct coffer_segdev_channel *channel;
    if (sim_disk_strikes(disk, SIM_CALL_CHANNEL_OPEN)) {
        return disk->fault.error;
    }
    channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        abort();
    }
    channel->disk = disk;
    channel->depth = depth == 0 ? 1 : depth;
    disk->channels++;
    *ret_channel = channel;
    return 0;
}

static void device_channel_close(struct coffer_segdev_channel *channel)
{
    harness_require(channel->in_flight == 0, "device contract: a channel closed with %u in flight",
                    channel->in_flight);
    channel->disk->channels--;
    free(channel);
}

static int device_channel_fd(struct coffer_segdev_channel *channel)
{
    (void)channel;
    return -1;
}

static void device_close(struct coffer_segdev *dev)
{
    struct sim_disk *disk = disk_of(dev);
    harness_require(disk->opened, "device contract: a device closed twice");
    harness_require(disk->channels == 0, "device contract: a device closed with %u channels",
                    disk->channels);
    disk->opened = false;
}

static const struct coffer_segdev_ops device_ops = {
    .size = sizeof device_ops,
    .geometry = device_geometry,
    .set_segment_bytes = device_set_segment_bytes,
    .channel_open = device_channel_open,
    .channel_close = device_channel_close,
    .channel_register = NULL,
    .submit = sim_channel_submit,
    .poll = sim_channel_poll,
    .channel_fd = device_channel_fd,
    .close = device_close,
};

/* ---- the medium ---- */

static struct sim_disk *disk_new(struct sim_image *live, const struct sim_disk_options *options)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    uint32_t segments = sim_image_segment_max(live);
    if (disk == NULL) {
        abort();
    }
    disk->options = *options;
    disk->live = live;
    disk->handle.ops = &device_ops;
    disk->segment_bytes = sim_image_segment_bytes(live);
    disk->prng.state = prng_mix(options->seed, 0x646973u);
    disk->calls_allowed = UINT64_MAX;
    disk->ends = calloc(segments, sizeof *disk->ends);
    disk->flights = calloc(SIM_IN_FLIGHT_MAX, sizeof *disk->flights);
    if (disk->ends == NULL || disk->flights == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < segments; i++) {
        disk->ends[i] = sim_image_end(live, i);
    }
    sim_record_init(&disk->record, live, options->record);
    return disk;
}

struct sim_disk *sim_disk_new(uint32_t segment_bytes, uint32_t segment_count,
                              uint32_t segment_max, const struct sim_disk_options *options)
{
    return disk_new(sim_image_new(segment_bytes, segment_count, segment_max), options);
}

struct sim_disk *sim_disk_from_image(const struct sim_image *image,
                                     const struct sim_disk_options *options)
{
    return disk_new(sim_image_clone(image), options);
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    harness_require(!disk->opened, "simulated device: freed while a store has it");
    sim_record_done(&disk->record);
    sim_image_free(disk->live);
    free(disk->flights);
    free(disk->ends);
    free(disk);
}

struct coffer_segdev *sim_disk_open(struct sim_disk *disk)
{
    harness_require(!disk->opened, "simulated device: opened twice");
    disk->opened = true;
    disk->segment_bytes = sim_image_segment_bytes(disk->live);
    return &disk->handle;
}

bool sim_disk_is_open(const struct sim_disk *disk)
{
    return disk->opened;
}

void sim_disk_power_off(struct sim_disk *disk)
{
    disk->off = true;
}

void sim_disk_power_on(struct sim_disk *disk)
{
    harness_require(!disk->opened, "simulated device: power on while the old store has it");
    disk->off = false;
}

void sim_disk_allow(struct sim_disk *disk, uint64_t requests)
{
    disk->calls_allowed =
        requests < UINT64_MAX - disk->calls_any ? disk->calls_any + requests : UINT64_MAX;
}

void sim_disk_inject(struct sim_disk *disk, const struct sim_fault *fault)
{
    disk->planted = fault != NULL;
    disk->fired = 0;
    if (fault != NULL) {
        disk->fault = *fault;
    }
}

uint64_t sim_disk_fired(const struct sim_disk *disk)
{
    return disk->fired;
}

uint64_t sim_disk_calls(const struct sim_disk *disk, unsigned call)
{
    return call == SIM_CALL_ANY ? disk->calls_any : disk->calls[call];
}

uint64_t sim_disk_trace(const struct sim_disk *disk)
{
    return disk->trace;
}

uint64_t sim_disk_events(const struct sim_disk *disk)
{
    return disk->record.count;
}

struct sim_image *sim_disk_image_at(const struct sim_disk *disk, uint64_t event,
                                    enum sim_variant variant, uint64_t seed)
{
    return sim_record_image_at(&disk->record, event, variant, seed);
}

struct sim_image *sim_disk_image_live(const struct sim_disk *disk)
{
    return sim_image_clone(disk->live);
}

uint64_t sim_disk_unsynced_at(const struct sim_disk *disk, uint64_t event)
{
    return sim_record_unsynced_at(&disk->record, event);
}

const char *sim_variant_name(enum sim_variant variant)
{
    static const char *const names[] = {
        [SIM_CUT_ALL] = "all",   [SIM_CUT_NONE] = "none", [SIM_CUT_SUBSET] = "subset",
        [SIM_CUT_TORN] = "torn", [SIM_CUT_KILL] = "kill",
    };
    return names[variant];
}
