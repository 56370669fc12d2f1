/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model.h - the reference: what each page of each volume held after each operation.
 *
 * Every operation that changes data has a number; numbers grow in order of submission and are never
 * used twice, not even after a crash. A page's version is eight tags, one a sector: the operation
 * that wrote the sector, 0 for zeros. A sector's bytes follow from (volume, sector, tag), so what
 * is read names its version, and a sector in the wrong place, an old one, a mixed one or a foreign
 * one is told apart.
 *
 * After a crash the state must be a causal prefix of what was submitted: when an operation shows,
 * everything that had completed before it was submitted shows, too (operations in flight together
 * have no order); and everything that was acknowledged as durable shows. An operation that returned
 * an error is optional: it may have happened or not. Two requests in flight together must not touch
 * the same page. Events are those of the simulated device at the time. One thread.
 *
 * A snapshot is a volume that nothing changes: its pages hold what the volume's had when it was
 * taken. Where a request was in flight then, or had failed, a page has several versions, of which
 * the first look (or rebase) settles one. Which pages snapshots and volumes share is known by each
 * version's identity: the operation that made the page, 0 where there is none.
 */
#ifndef TESTS_COMMON_MODEL_H
#define TESTS_COMMON_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_VOLUMES_MAX 40u /* volumes and snapshots */
#define MODEL_NONE MODEL_VOLUMES_MAX
#define MODEL_KEYS_MAX 8u /* changes of a volume's key between rebases, and the one before */
#define MODEL_SECTORS 8u
#define MODEL_NEVER UINT64_MAX

struct model_version {
    uint32_t op;
    bool optional;
    bool unsure;      /* the identity is */
    uint64_t page_id; /* two pages of one place are one page when these are equal */
    uint32_t tags[MODEL_SECTORS];
};

struct model_page {
    struct model_version *versions; /* none: zeros since ever */
    uint32_t count, room;
};

struct model_op {
    unsigned volume;
    uint64_t first_page, page_count;
    uint64_t submitted_at;    /* model's clock                 */
    uint64_t completed_at;    /* model's clock, or MODEL_NEVER */
    uint64_t reached_event;   /* on the device, or MODEL_NEVER */
    uint64_t durable_at;      /* event, or MODEL_NEVER         */
    bool failed;
};

struct model_size {
    uint32_t op;
    bool optional;
    uint64_t pages;
};

/* A master key that wraps the volume's from some moment on. */
struct model_key {
    unsigned key;        /* of the fake key service */
    uint64_t from, done; /* events: its rekey began, and was acknowledged */
};

struct model_volume {
    bool used, encrypted;
    bool snapshot;
    bool linked;       /* a snapshot: its volume's parent is this one                    */
    bool gone;         /* deleted, for all that its relations know                       */
    bool hidden;       /* a deleted snapshot that holds pages, having two children       */
    char name[32];     /* empty: it is kept for what it shares only                      */
    uint32_t salt;     /* what was written carries it; volumes of a family have the same */
    uint32_t number;   /* no two volumes have the same; a snapshot: its volume's         */
    unsigned parent;   /* the snapshot that it was made after or of                      */
    uint64_t taken_at; /* a snapshot: model's clock when it was begun                    */
    uint64_t born;     /* in order of making                                             */
    struct model_key keys[MODEL_KEYS_MAX];
    unsigned key_count;
    unsigned recipients; /* bit k: key k opens it, too */
    bool tagged;         /* world_tags_set gave it tags */
    struct model_page *pages;
    uint64_t pages_max;
    struct model_size *sizes;
    uint32_t size_count, size_room;
    uint64_t create_from, create_done, delete_from, delete_done; /* events */
};

struct model {
    uint32_t seed;
    char name_next[32]; /* of the next volume: one that another had. Empty: a new one */
    uint32_t salt_next, op_base, op_next; /* ops below op_base are settled */
    struct model_op *ops;                 /* op_base is ops[0]             */
    uint32_t op_room;
    uint64_t clock, clock_base; /* at the last rebase */
    uint64_t born_next;
    struct model_volume volumes[MODEL_VOLUMES_MAX];
};

/* What a reader found. */
struct model_seen_page {
    uint32_t tags[MODEL_SECTORS];
    bool unread; /* it gave an error: says nothing */
};

struct model_seen {
    struct {
        bool there;
        bool refused; /* it is there, but open gave an error */
        bool key_known;
        unsigned key; /* the only one that opens it */
        uint64_t pages;
        struct model_seen_page *found; /* pages */
    } volumes[MODEL_VOLUMES_MAX];
};

void model_init(struct model *model, uint32_t seed);
void model_done(struct model *model);

/* ---- volumes ---- */

/* It may be there for a reader: of those that are not, some are kept for what they share. */
static inline bool model_wanted(const struct model_volume *volume)
{
    return volume->used && volume->name[0] != 0;
}

/* A volume whose creation begins now; returns its number. */
unsigned model_volume_add(struct model *model, uint64_t pages, uint64_t pages_max, bool encrypted,
                          uint64_t event);
void model_volume_created(struct model *model, unsigned volume, uint64_t event);
/* It may go from now on; deleted: it has gone. */
void model_volume_deleting(struct model *model, unsigned volume, uint64_t event);
void model_volume_deleted(struct model *model, unsigned volume, uint64_t event);
/* Forget it altogether; its relations are told (model_node_gone). */
void model_volume_drop(struct model *model, unsigned volume);
uint64_t model_volume_pages(const struct model *model, unsigned volume); /* newest size */

/* ---- operations ---- */

uint32_t model_write(struct model *model, unsigned volume, uint64_t sector, uint64_t count);
uint32_t model_zero(struct model *model, unsigned volume, uint64_t sector, uint64_t count);
uint32_t model_resize(struct model *model, unsigned volume, uint64_t pages);

/* It is known to everybody from now on, but may be in the process's memory only. */
void model_op_completed(struct model *model, uint32_t op);
/* It is on the device, with all that completed before `moment`, at which it was handed over. */
void model_op_reached(struct model *model, uint32_t op, uint64_t moment, uint64_t event);
void model_op_failed(struct model *model, uint32_t op);
/* The moment at which a request is handed over. */
uint64_t model_now(struct model *model);
/* All that completed before `moment` is durable, acknowledged when so many events were there. */
void model_durable(struct model *model, uint64_t moment, uint64_t event);
void model_op_durable(struct model *model, uint32_t op, uint64_t event);

/* ---- contents ---- */

void model_fill(const struct model *model, unsigned volume, uint32_t tag, uint64_t sector,
                uint64_t count, void *buffer);
/* The tag of a sector's bytes; false when they are nothing that was ever written there. */
bool model_tag(const struct model *model, unsigned volume, uint64_t sector, const void *bytes,
               uint32_t *ret_tag);

/* ---- oracles; each fails the case ---- */

/* What was read while no operation on these sectors was in flight is the newest version. */
void model_check_read(const struct model *model, unsigned volume, uint64_t sector, uint64_t count,
                      const void *buffer);

/* After a loss at `event`: a causal prefix, with all that was durable. killed: the process died,
 * not the power, so all that completed must be there. */
void model_check_prefix(const struct model *model, const struct model_seen *seen, uint64_t event,
                        bool killed);
/* Volumes and snapshots that must exist, or must not, at `event`; and model_check_keys. */
void model_check_volumes(const struct model *model, const struct model_seen *seen, uint64_t event);
/* A volume and its snapshots are under one key, which may be theirs at `event`. */
void model_check_keys(const struct model *model, const struct model_seen *seen, uint64_t event);
/* Snapshots hold what they held, whatever was lost. (model_check_prefix does this, too.) */
void model_check_snapshots(const struct model *model, const struct model_seen *seen);

/* Go on from what was found: it is the only version there is now, and durable. */
void model_rebase(struct model *model, const struct model_seen *seen, uint64_t event);

/* A model of its own that begins where rebase would: the volumes as found, numbers going on. */
void model_fork(struct model *model, const struct model *from, const struct model_seen *seen);

void model_seen_done(struct model_seen *seen);
/* Both readers found the same. */
bool model_seen_equal(const struct model_seen *a, const struct model_seen *b);

#endif
