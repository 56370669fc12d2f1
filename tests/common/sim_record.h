/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_record.h - the simulator's own: the list of changes and how images come of it.
 */
#ifndef TESTS_COMMON_SIM_RECORD_H
#define TESTS_COMMON_SIM_RECORD_H

#include "common/sim_segdev.h"

#define SIM_NEVER UINT64_MAX

enum sim_event_kind {
    SIM_EVENT_WRITE, /* an append or a root slot */
    SIM_EVENT_CLEAR, /* trim or condition        */
    SIM_EVENT_RESIZE,
    SIM_EVENT_SYNCED
};

struct sim_event {
    enum sim_event_kind kind;
    uint32_t segment; /* SIM_ROOT: a root slot; count for RESIZE */
    uint32_t block;
    uint32_t block_count;
    struct sim_block **content; /* WRITE: block_count                                  */
    uint64_t completed_at;      /* events when it completed, or SIM_NEVER              */
    uint64_t completed_tick;    /* the disk's tick then: finer than events             */
    uint64_t durable_at;        /* the SYNCED event that covered it, or SIM_NEVER      */
    bool doomed;                /* a sync that covered it failed: no later sync counts */
    bool failed;                /* completed with an error: kill may leave any part    */
    struct sim_image *durable;  /* SYNCED: what is durable from here on                */
    uint64_t first_unsynced;    /* SYNCED: no event below is unsynced                  */
};

struct sim_record {
    struct sim_event *events;
    uint64_t count, room;
    uint64_t first_unsynced;
    uint64_t forgotten;        /* without keep: events below hold nothing any more */
    struct sim_image *base;    /* durable before the first event  */
    struct sim_image *durable; /* now                             */
    bool keep;                 /* keep events that became durable */
};

void sim_record_init(struct sim_record *record, const struct sim_image *base, bool keep);
void sim_record_done(struct sim_record *record);

/* Returns the event's index. content's references are taken over. */
uint64_t sim_record_write(struct sim_record *record, uint32_t segment, uint32_t block,
                          uint32_t block_count, struct sim_block **content);
uint64_t sim_record_clear(struct sim_record *record, uint32_t segment);
uint64_t sim_record_resize(struct sim_record *record, uint32_t segment_count);

/* A sync that was submitted when so many events were there, at that tick, has completed. */
void sim_record_synced(struct sim_record *record, uint64_t submitted_at, uint64_t submitted_tick);
void sim_record_sync_failed(struct sim_record *record, uint64_t submitted_at);

/* Put the whole event into image. */
void sim_event_apply(struct sim_image *image, const struct sim_event *event);
/* Put a random part of it. */
void sim_event_tear(struct sim_image *image, const struct sim_event *event, uint64_t seed);

struct sim_image *sim_record_image_at(const struct sim_record *record, uint64_t event,
                                      enum sim_variant variant, uint64_t seed);
uint64_t sim_record_unsynced_at(const struct sim_record *record, uint64_t event);

#endif
