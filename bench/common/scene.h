/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/scene.h - a store with one volume, "bench", and the steps that the measurements of
 * snapshots are made of; each complains on standard error about what fails.
 *
 * No checkpoint falls due by itself in a scene's store, so that what is dirty when a step begins is
 * what the measurement wrote. The steps ask the timed key provider. One thread.
 */
#ifndef COF_BENCH_SCENE_H
#define COF_BENCH_SCENE_H

#include "common/args.h"
#include "common/target.h"
#include "common/timed_keys.h"
#include "tools/load/latency.h"
#include <jansson.h>

#define COF_BENCH_SCENE_KEY_BYTES COFFER_KEY_ARN_BYTES_MAX

enum cof_bench_what {
    COF_BENCH_PREPARE = 0,
    COF_BENCH_CREATE,
    COF_BENCH_DELETE,
    COF_BENCH_COPY,
    COF_BENCH_REKEY
};

struct cof_bench_snapshot_options {
    enum cof_bench_what what;
    const char *file;                 /* the store                                            */
    const char *keys;                 /* directory of key store and root key                  */
    const char *to;                   /* prepare: the raw file to export to; copy: the store   */
    uint64_t store_bytes, size_bytes; /* of what is made                        */
    uint64_t repeats;
    struct cof_bench_list present; /* create, rekey: snapshots that are there   */
    struct cof_bench_list dirty;   /* create: bytes written before each         */
    struct cof_bench_list changed; /* delete, copy: percent of the pages        */
    bool reencrypt;                /* copy: seal every page anew                */
};

struct cof_bench_scene {
    const struct cof_bench_snapshot_options *options;
    struct cof_bench_options target_options;
    struct cof_bench_target target;
    struct cof_bench_timed_keys keys;
    uint64_t seed; /* of the next random writes      */
    json_t *rows;  /* what was measured, in order    */
};

/* What one kind of call took: all of it, the key service's part, and the rest. */
struct cof_bench_times {
    struct cof_load_latency whole, keys, own;
    uint64_t key_calls, start_ns;
};

void cof_bench_times_start(struct cof_bench_times *times, struct cof_bench_scene *scene);
void cof_bench_times_stop(struct cof_bench_times *times, const struct cof_bench_scene *scene);
/* A new row of what that showed, for the caller to add to. NULL without memory. */
json_t *cof_bench_times_row(struct cof_bench_scene *scene, const char *name,
                            const struct cof_bench_times *times);
void cof_bench_row_put(json_t *row, const char *name, uint64_t value);

/* Open the store, made first when create is set, and the volume. */
COFFER_MUST_CHECK int cof_bench_scene_open(struct cof_bench_scene *scene,
                                           const struct cof_bench_snapshot_options *options,
                                           bool create);
COFFER_MUST_CHECK int cof_bench_scene_close(struct cof_bench_scene *scene);

/* Close the volume alone, and open it again. */
COFFER_MUST_CHECK int cof_bench_scene_close_volume(struct cof_bench_scene *scene);
COFFER_MUST_CHECK int cof_bench_scene_open_volume(struct cof_bench_scene *scene);

/* Write the whole volume from its first page to its last, and settle it. */
COFFER_MUST_CHECK int cof_bench_scene_fill(struct cof_bench_scene *scene);

/* Write pages that lie scattered; settle: flush and checkpoint after it. Returns how many different
 * pages that were in ret_pages, which may be NULL. */
COFFER_MUST_CHECK int cof_bench_scene_change(struct cof_bench_scene *scene, uint64_t pages,
                                             bool settle, uint64_t *ret_pages);

/* Read all of a volume or snapshot of store, each page compared with what was written there. */
COFFER_MUST_CHECK int cof_bench_scene_verify(struct cof_bench_scene *scene,
                                             struct coffer_store *store, const char *name);

COFFER_MUST_CHECK int cof_bench_scene_checkpoint(struct cof_bench_scene *scene);
COFFER_MUST_CHECK int cof_bench_scene_take(struct cof_bench_scene *scene, const char *name);
COFFER_MUST_CHECK int cof_bench_scene_drop(struct cof_bench_scene *scene, const char *name);
COFFER_MUST_CHECK int cof_bench_scene_clone(struct cof_bench_scene *scene, const char *name,
                                            const char *new_name);
COFFER_MUST_CHECK int cof_bench_scene_delete_volume(struct cof_bench_scene *scene,
                                                    const char *name);

/* Make snapshots "h0", "h1", ... until there are so many, 16 scattered pages between two. */
COFFER_MUST_CHECK int cof_bench_scene_grow(struct cof_bench_scene *scene, uint64_t *present,
                                           uint64_t wanted);

/* A master key that did not exist before. */
COFFER_MUST_CHECK int cof_bench_scene_new_key(struct cof_bench_scene *scene,
                                              char ret_arn[COF_BENCH_SCENE_KEY_BYTES]);

#endif
