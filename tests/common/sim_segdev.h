/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_segdev.h - a segment device in memory that fails in every way a disk may, by seed.
 *
 * struct sim_disk is the medium: it outlives the struct coffer_segdev handles that stores open and
 * close on it. It keeps what reads see now (live), what would survive a loss of power (durable),
 * and every change in order of submission, with the moment at which a sync made it durable.
 *
 * Each submitted change and each completed sync is an event; sim_disk_events counts them. A power
 * cut at k means that events 0 to k - 1 happened. sim_disk_image_at builds what the medium then
 * holds. A harness that notes sim_disk_events when a flush is acknowledged knows for each k what
 * must have survived.
 *
 * What the simulator is strict about (harness_fail): an append begins at the end of what was
 * written in its segment or at 0; no in-flight request overlaps another's blocks where one of them
 * writes; buffers do not change while in flight; poll never waits for more than is in flight; a
 * channel is empty when it closes; one handle at a time. A failed write leaves any part of itself,
 * and a failed sync makes nothing durable, now or later: those writes are lost at a power cut
 * although reads see them until then.
 *
 * One thread. Deterministic: the same calls with the same seed give the same completions.
 */
#ifndef TESTS_COMMON_SIM_SEGDEV_H
#define TESTS_COMMON_SIM_SEGDEV_H

#include "common/sim_image.h"

#include <coffer/segdev.h>

struct sim_disk;

enum sim_variant {
    SIM_CUT_ALL = 0, /* every write that was issued is there                                   */
    SIM_CUT_NONE,    /* only what a successful sync covered                                    */
    SIM_CUT_SUBSET,  /* a random subset of the unsynced, by request or by block                */
    SIM_CUT_TORN,    /* as SUBSET or ALL, but one unsynced write is torn at 512 byte borders   */
    SIM_CUT_KILL,    /* the process died, the power did not: completed writes are there, those
                        in flight whole or not                                                 */
    SIM_VARIANTS
};

/* Calls that can fail beside the requests themselves (enum coffer_segdev_op). */
enum sim_call {
    SIM_CALL_REQUESTS = 9, /* kinds below are enum coffer_segdev_op */
    SIM_CALL_SUBMIT = 9,   /* submit itself refuses */
    SIM_CALL_CHANNEL_OPEN,
    SIM_CALL_POLL,
    SIM_CALLS,
    SIM_CALL_ANY = 99      /* any request */
};

struct sim_disk_options {
    uint64_t seed;            /* odd: the device says that it works in poll                  */
    unsigned delay_polls_max; /* a completion waits up to so many polls (0: the next one)    */
    bool shuffle;             /* completions in random order                                 */
    bool again;               /* submit says AGAIN now and then, as a full channel would     */
    bool record;              /* keep events; else sim_disk_image_at can only be asked of now */
    bool fixed_size;
};

struct sim_fault {
    unsigned call;   /* enum coffer_segdev_op, enum sim_call                    */
    uint64_t at;     /* fails at this call of the kind, counted from 0          */
    int error;       /* COFFER_E_IO, COFFER_E_NO_SPACE, COFFER_E_CANCELLED, ... */
    int os_errno;    /* 0 with COFFER_E_IO: a short transfer                    */
    bool sticky;     /* and every one after it                                  */
};

struct sim_disk *sim_disk_new(uint32_t segment_bytes, uint32_t segment_count,
                              uint32_t segment_max, const struct sim_disk_options *options);
/* A disk with the image's content, all of it durable; the image stays the caller's. */
struct sim_disk *sim_disk_from_image(const struct sim_image *image,
                                     const struct sim_disk_options *options);
void sim_disk_free(struct sim_disk *disk);

/* A handle for a store to own. The one before must have been closed. */
struct coffer_segdev *sim_disk_open(struct sim_disk *disk);
bool sim_disk_is_open(const struct sim_disk *disk);

/* From now on every request fails without effect, until power_on: the process that has the handle
 * is as good as dead, and closing its store only gives back memory. */
void sim_disk_power_off(struct sim_disk *disk);
void sim_disk_power_on(struct sim_disk *disk);

/* From now on so many requests at most, then the case fails: a call that goes on for ever with the
 * device at work. UINT64_MAX: any number. */
void sim_disk_allow(struct sim_disk *disk, uint64_t requests);

/* A planted fault; NULL takes it away. fired counts how often it struck. */
void sim_disk_inject(struct sim_disk *disk, const struct sim_fault *fault);
uint64_t sim_disk_fired(const struct sim_disk *disk);
/* Calls of a kind so far. */
uint64_t sim_disk_calls(const struct sim_disk *disk, unsigned call);

/* Each change that becomes durable or visible moves this hash of shapes (not contents). */
uint64_t sim_disk_trace(const struct sim_disk *disk);

/* ---- recording ---- */

uint64_t sim_disk_events(const struct sim_disk *disk);
/* True when the event changes what a cut leaves: a write, a trim or a sync that succeeded. */
struct sim_image *sim_disk_image_at(const struct sim_disk *disk, uint64_t event,
                                    enum sim_variant variant, uint64_t seed);
/* What reads see now. */
struct sim_image *sim_disk_image_live(const struct sim_disk *disk);
/* Writes that were issued before event and that no sync had covered by then. */
uint64_t sim_disk_unsynced_at(const struct sim_disk *disk, uint64_t event);

const char *sim_variant_name(enum sim_variant variant);

#endif
