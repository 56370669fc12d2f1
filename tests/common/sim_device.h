/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_device.h - the simulator's own: the medium's state and the parts of the handle.
 */
#ifndef TESTS_COMMON_SIM_DEVICE_H
#define TESTS_COMMON_SIM_DEVICE_H

#include "common/prng.h"
#include "common/sim_record.h"
#include "common/sim_segdev.h"

#define SIM_IN_FLIGHT_MAX 1024u

struct sim_flight {
    struct coffer_segdev_request *request;
    struct coffer_segdev_channel *channel;
    uint64_t ready_at;        /* poll number */
    uint64_t event;           /* of a change, or SIM_NEVER */
    uint64_t submitted_at;    /* events then */
    uint64_t submitted_tick;
    int result, os_errno; /* planted at submit, else 0 */
};

struct sim_disk {
    struct sim_disk_options options;
    struct sim_image *live;
    struct sim_record record;
    struct coffer_segdev handle;
    bool opened, off;
    uint32_t segment_bytes; /* as the store has it */
    uint32_t *ends;         /* blocks written, by segment */
    struct sim_flight *flights; /* SIM_IN_FLIGHT_MAX */
    unsigned flight_count, channels;
    uint64_t polls, tick, trace;
    struct prng prng;
    struct sim_fault fault;
    bool planted;
    uint64_t fired, calls[SIM_CALLS], calls_any;
    uint64_t calls_allowed; /* of calls_any */
};

struct coffer_segdev_channel {
    struct sim_disk *disk;
    unsigned depth, in_flight;
};

/* Count a call; true when the planted fault strikes it. */
bool sim_disk_strikes(struct sim_disk *disk, unsigned call);

/* sim_contract.c: fail the case when the engine breaks the device's contract. */
void sim_check_request(const struct sim_disk *disk, const struct coffer_segdev_request *request);
void sim_check_append(struct sim_disk *disk, const struct coffer_segdev_request *request,
                      uint32_t blocks);
void sim_check_unchanged(const struct coffer_segdev_request *request,
                         const struct sim_event *event);
void sim_check_epoch(const struct sim_disk *disk, const struct coffer_segdev_request *request);
/* The blocks that a request touches; count 0 for none. */
void sim_extent_of(const struct sim_disk *disk, const struct coffer_segdev_request *request,
                   uint32_t *segment, uint32_t *block, uint32_t *count);
bool sim_is_resize(enum coffer_segdev_op op);
bool sim_is_write(enum coffer_segdev_op op);

/* sim_channel.c */
int sim_channel_submit(struct coffer_segdev_channel *channel,
                       struct coffer_segdev_request *request);
int sim_channel_poll(struct coffer_segdev_channel *channel, unsigned min_complete,
                     struct coffer_segdev_request **ret_list);

#endif
