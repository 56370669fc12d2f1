/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world.h - a store on the simulated device, driven through the public API beside the model.
 *
 * A world is one incarnation after another of a process that has the store open: disk, environment,
 * key service, anchor, model and handles. Each world_ call does the operation and tells the model
 * what was begun, acknowledged or failed. Calls return the engine's error; what an oracle forbids
 * fails the case. While no error has been planted, world_must turns an error into a failed case.
 *
 * One thread. After a crash (world_crash, or a new world on an image of the disk) world_look reads
 * everything, and the model's oracles judge it.
 */
#ifndef TESTS_COMMON_WORLD_H
#define TESTS_COMMON_WORLD_H

#include "common/data_keys.h"
#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/model.h"
#include "common/prng.h"
#include "common/sim_segdev.h"

#include <coffer/coffer.h>
#include <coffer/snapshot.h>

#define WORLD_DEPTH_MAX 16u
#define WORLD_SEGMENT_BYTES (1u << 20)
#define WORLD_SEGMENTS 64u
#define WORLD_BALLASTS 2u
#define WORLD_SPINS_MAX 100000u /* calls without progress before it counts as a hang */

struct world_options {
    uint64_t seed;
    uint32_t segments, segments_max;
    unsigned tight;   /* enum tight_kind: on a store that is nearly full; create leaves it */
    const char *path; /* a real file instead of the simulated device: then nothing can be cut */
    struct sim_disk_options disk;
    uint64_t delta_entries_max; /* 0: 4096 */
    uint64_t staging_bytes;     /* 0: 2 MiB */
    uint64_t cache_bytes;       /* 0: 256 KiB, each of nodes, tags, placement */
    uint64_t checkpoint_ns, sync_ns;
    bool anchor;
    bool spare_keys; /* keys of the service that nothing needs any more can't be used */
};

struct world_anchor_put {
    uint64_t event;
    struct coffer_anchor_state state;
};

struct world_anchor {
    struct coffer_anchor api;
    bool has, failing;
    struct coffer_anchor_state state;
    struct world_anchor_put *puts; /* kept while the disk records */
    uint32_t put_count, put_room;
};

enum world_kind { WORLD_READ = 0, WORLD_WRITE, WORLD_DISCARD, WORLD_ZERO, WORLD_FLUSH };

struct world_slot {
    bool used;
    enum world_kind kind;
    unsigned volume, flags;
    uint64_t sector, count;
    uint32_t op;
    uint64_t moment;
    uint8_t *buffer;
    uint64_t room_bytes;
    struct iovec iov[3];
};

struct world_ballast {
    unsigned volume;
    uint32_t number; /* the volume's, in the model */
};

struct world {
    struct world_options options;
    struct sim_disk *disk;
    struct det_env env;
    struct fake_kms *kms;
    struct fake_kms own_kms;
    struct model *model;
    struct model own_model;
    struct world_anchor anchor;
    struct coffer_store *store;
    struct coffer_volume *volumes[MODEL_VOLUMES_MAX];
    struct coffer_queue *queue;
    struct world_slot slots[WORLD_DEPTH_MAX];
    unsigned in_flight;
    struct world_ballast ballast[WORLD_BALLASTS];
    bool squeezing;
    unsigned open_flags;       /* of the store */
    bool lenient;              /* completions with errors are noted, not failed */
    unsigned tolerate;         /* world_look_damaged: 1 damage, 2 forgery */
    uint64_t damaged;          /* errors it met                           */
    int first_error;           /* of a lenient completion or call since it was set to 0 */
    struct coffer_fault fault; /* of the last call that failed */
    bool tell;                 /* print each call, for whoever looks into a failure */
    uint64_t incarnation;
    uint64_t writes_done;
    struct prng prng;
    uint64_t result_trace;
    struct data_keys leaving; /* what a deep re-encrypt takes away      */
    uint64_t reencrypt_done;  /* extents, when it was last looked at     */
    uint8_t *scratch;
    uint64_t scratch_bytes;
};

void world_init(struct world *world, const struct world_options *options);
/* Another incarnation on an image of the disk, sharing model and key service with `from`. */
void world_init_on(struct world *world, const struct world *from, const struct sim_image *image,
                   uint64_t incarnation, bool record);
/* Go on with another medium: what a cut left of the old one. The store must be closed. */
void world_replace_disk(struct world *world, const struct sim_image *image);
/* Everything must be closed. */
void world_done(struct world *world);

/* The model's time: events of the simulated device, of which a cut keeps the first; of a file only
 * that it goes on. */
uint64_t world_event(const struct world *world);

/* Where tell is set, say what is being done. */
void world_tell(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fails the case when error is not 0. */
void world_must(const struct world *world, int error, const char *what);
#define must(world, call) world_must(world, call, #call)

/* ---- store ---- */

int world_create(struct world *world);
int world_open(struct world *world);
/* Close in order; completed operations are durable when it succeeds. */
int world_close(struct world *world);
/* The process dies: nothing it still does reaches the disk. Memory must come back all the same. */
void world_crash(struct world *world);
int world_checkpoint(struct world *world);
int world_maintain(struct world *world);
int world_check_store(struct world *world, unsigned flags);
/* What the anchor had when the disk had seen so many events; as it is when nothing was put by then.
 * Of the puts between that event and the next one the last `lost` had not come. */
void world_anchor_at(const struct world *from, uint64_t event, unsigned lost,
                     struct world_anchor *anchor);

/* ---- volumes ---- */

int world_volume_create(struct world *world, uint64_t pages, uint64_t pages_max, bool encrypted,
                        unsigned *ret_volume);
int world_volume_open(struct world *world, unsigned volume);
int world_volume_close(struct world *world, unsigned volume);
/* Its key is refused for a moment while it is open, so that it stops, all of it durable; closes it.
 * It opens after a start: of itself where it is opened next. */
int world_volume_lose(struct world *world, unsigned volume);
int world_volume_start(struct world *world, unsigned volume);
int world_volume_delete(struct world *world, unsigned volume);
/* The store's; `meanwhile` (may be NULL) is called between victims of a shrink, counted from 1, may
 * do anything but close or resize the store, and stops it by what it returns. */
int world_store_resize(struct world *world, uint32_t segments,
                       int (*meanwhile)(struct world *world, void *ctx, unsigned call), void *ctx);
int world_volume_resize(struct world *world, unsigned volume, uint64_t pages);

/* ---- I/O: sectors of 512 bytes ---- */

/* Of a write, by chance: FUA, write-back or none. */
unsigned world_io_flags(struct world *world);
int world_io(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
             uint64_t count, unsigned flags);
int world_flush(struct world *world, unsigned volume);

int world_queue_open(struct world *world);
void world_queue_close(struct world *world);
/* Until nothing that is in flight overlaps. */
int world_wait(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
               uint64_t count);
/* Waits for what overlaps, submits, reaps what is there. */
int world_submit(struct world *world, enum world_kind kind, unsigned volume, uint64_t sector,
                 uint64_t count, unsigned flags);
int world_reap(struct world *world, unsigned wait);
int world_drain(struct world *world);

/* Whole pages, for short workloads. */
static inline int world_write_pages(struct world *world, unsigned volume, uint64_t page,
                                    uint64_t count)
{
    return world_io(world, WORLD_WRITE, volume, page * MODEL_SECTORS, count * MODEL_SECTORS, 0);
}

/* Memory for one call's data; valid until the next. */
uint8_t *world_scratch(struct world *world, uint64_t bytes);

/* ---- looking ---- */

/* Read every page of every volume of the model (opened where it is not); an error fails the case.
 * Volumes that do not exist are noted as such. */
void world_look(struct world *world, struct model_seen *ret_seen);
/* For damaged stores: a volume that can't be opened, and a page that can't be read, is noted, and
 * how many there were; the error must be one that says damage (world_says_damage). */
void world_look_damaged(struct world *world, bool forged, struct model_seen *ret_seen,
                        uint64_t *ret_refused);
/* An error that tells the user of damage or forgery. forged: the volume may also seem to be gone,
 * or its keys, since whoever edits the disk may erase. */
bool world_says_damage(int error, bool forged);
/* Two tags, the same for all. Looked for wherever the node is looked at from then on. */
int world_tags_set(struct world *world, unsigned node);
int world_tags_look(struct world *world, unsigned node);
/* The same as world_look, but returns the first error instead. */
int world_try_look(struct world *world, struct model_seen *ret_seen);
/* One volume or snapshot, which may turn out not to be there; seen must be empty for it. A snapshot
 * is closed again. */
int world_look_one(struct world *world, unsigned node, struct model_seen *seen);

#endif
