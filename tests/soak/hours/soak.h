/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/soak.h - a store under mixed load for simulated days, and a judge that counts beside it.
 *
 * The judge knows of each page of each volume and snapshot which write it shows: a version, which
 * is given to one page of one write ever. So it knows what every read must give, and how many pages
 * of data must live, to the page: versions that some volume, snapshot or hidden node of the version
 * tree refers to. Nothing of that is asked of the engine. One thread, and all chance by seed.
 */
#ifndef TESTS_SOAK_HOURS_SOAK_H
#define TESTS_SOAK_HOURS_SOAK_H

#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/harness.h"
#include "common/prng.h"
#include "common/sim_segdev.h"

#include <coffer/coffer.h>
#include <jansson.h>

#define SOAK_TREES 48u
#define SOAK_NONE UINT32_MAX
#define SOAK_DEPTH 16u
#define SOAK_IO_PAGES 64u
#define SOAK_HOUR_NS UINT64_C(3600000000000)

struct soak_options {
    uint64_t seed, segments, segment_bytes, hours, capacities, keyed_every;
};

/* A volume, a snapshot, or what a deleted snapshot leaves while two are made after it. */
struct soak_tree {
    bool used, snapshot, hidden, encrypted;
    unsigned parent; /* what it was made after */
    uint64_t pages;
    uint32_t *versions; /* 0: a hole */
    char name[24];      /* of a snapshot: behind the '@' */
    char of[24];        /* of a snapshot: the volume's */
    struct coffer_volume *volume;
};

enum soak_kind { SOAK_READ = 0, SOAK_WRITE, SOAK_DISCARD, SOAK_FLUSH };

struct soak_op {
    enum soak_kind kind;
    unsigned tree, flags;
    uint64_t page, count;
    uint32_t first_version; /* of a write */
    int result;
    struct iovec iov;
    uint8_t *buffer;
};

struct soak_counts {
    uint64_t written_pages, read_pages, discarded_pages, flushes, refused;
    uint64_t snapshots, clones, deleted_snapshots, volumes, deleted_volumes, reopened_volumes,
        reopened_stores, checks, keyed_checks, looks;
};

struct soak {
    struct soak_options options;
    struct sim_disk *disk;
    struct det_env env;
    struct fake_kms kms;
    struct coffer_store *store;
    struct coffer_queue *queue;
    struct soak_tree trees[SOAK_TREES];
    uint8_t *refs; /* of each version: trees that show it */
    uint32_t version, version_room;
    uint64_t distinct; /* versions that anything shows */
    struct soak_op ops[SOAK_DEPTH];
    unsigned op_count;
    struct prng prng;
    uint64_t capacity_pages, ns_per_page, page_time_ns, next_name, memory_max;
    uint64_t base_written, base_moved, base_device; /* of stores closed before */
    struct soak_counts counts;
    bool plant; /* the judge's own count is off by one page */
    struct coffer_fault fault;
    json_t *hours;
};

/* pages.c: what the judge knows */
void soak_show(struct soak *soak, struct soak_tree *tree, uint64_t page, uint32_t version);
uint32_t soak_new_versions(struct soak *soak, uint64_t count);
unsigned soak_tree_new(struct soak *soak, uint64_t pages);
void soak_tree_copy(struct soak *soak, unsigned from, unsigned to);
/* It is deleted: gone, or hidden while two are made after it. */
void soak_tree_drop(struct soak *soak, unsigned tree);
void soak_trees_free(struct soak *soak);
uint64_t soak_mapped(const struct soak_tree *tree);
/* One of those that match, by chance: SOAK_NONE when there is none. */
unsigned soak_pick(struct soak *soak, bool snapshot, bool open);

/* io.c */
void soak_queue_open(struct soak *soak);
void soak_queue_close(struct soak *soak);
void soak_io(struct soak *soak, enum soak_kind kind, unsigned tree, uint64_t page, uint64_t count,
             unsigned flags);
void soak_drain(struct soak *soak);
/* Read all of an open volume or snapshot and hold it against what it must show. */
void soak_look(struct soak *soak, unsigned tree);

/* admin.c: each drains first; NO_SPACE is counted, other errors fail the case */
void soak_store_create(struct soak *soak);
void soak_store_open(struct soak *soak);
void soak_store_close(struct soak *soak);
void soak_open_volume(struct soak *soak, unsigned tree);
void soak_close_volume(struct soak *soak, unsigned tree);
void soak_close_volumes(struct soak *soak);
void soak_open_volumes(struct soak *soak);
unsigned soak_create_volume(struct soak *soak, uint64_t pages, bool encrypted);
void soak_delete_volume(struct soak *soak, unsigned tree);
void soak_take_snapshot(struct soak *soak, unsigned tree);
void soak_delete_snapshot(struct soak *soak, unsigned tree);
void soak_restore(struct soak *soak, unsigned tree);
void soak_look_at_all(struct soak *soak);
void soak_must(struct soak *soak, int error, const char *what);

/* load.c */
void soak_begin(struct soak *soak);
void soak_step(struct soak *soak);

/* judge.c: at each hour's end, and over all of them */
void soak_info(struct soak *soak, struct coffer_store_info *ret_info);
void soak_judge_hour(struct soak *soak, uint64_t hour);
void soak_judge_all(struct soak *soak);

#endif
