/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/sim.h - the simulated store: where every block lies and what it is for, without bytes.
 *
 * The layout is docs/format.md's, with the cleaner's segments of the engine's design: batches with
 * a header block, extents of 511 slots and a summary, four pieces at most, groups of 128 blocks,
 * the keyless trees. Time is the number of user pages written.
 *
 * Invariants, checked all along (SIM_CHECK) and by audit.c:
 *  1. A block is appended once in the life of a segment, and has one owner.
 *  2. A segment is taken only when no durable root and no log names a block of it.
 *  3. Counts of live blocks equal a recount from the descriptors; the maps refer to live pages, and
 *     every live page is referred to.
 * A violation ends the program with status 4, a store that can't go on (wedged) with 3.
 */
#ifndef COF_BENCH_CLEANER_SIM_H
#define COF_BENCH_CLEANER_SIM_H

#include "common/choice.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define SIM_SLOTS 512u
#define SIM_SUMMARY 511u
#define SIM_PIECES_MAX 4u
#define SIM_REFS_MAX 64u
#define SIM_GROUP 128u
#define SIM_BATCH_PAGES 120u
#define SIM_BATCH_RUNS 40u
#define SIM_BLOCK 4096u
#define SIM_FOOTER 2u
#define SIM_HEADS_MAX 3u
#define SIM_NONE UINT32_MAX
#define SIM_SNAPSHOTS_MAX 8u
#define SIM_LEVELS_MAX 4u
#define SIM_FANOUT 512u
#define SIM_FLOOR_CLEANER 2u /* segments that the log leaves to the cleaner */

enum sim_state { SIM_FREE = 0, SIM_ROOTS, SIM_OPEN, SIM_USED, SIM_WAITING };
enum sim_policy { SIM_GREEDY = 0, SIM_MDC };
enum sim_cut { SIM_CUT_ALWAYS = 0, SIM_CUT_LAZY };
enum sim_pressure { SIM_PRESSURE_FULL = 0, SIM_PRESSURE_LIGHT };
/* Those of the choice, and uniform with discards. */
enum sim_load { SIM_UNIFORM = COF_BENCH_UNIFORM, SIM_DISCARDS = COF_BENCH_CHOICES };
enum sim_plant { SIM_PLANT_NONE = 0, SIM_PLANT_FREE, SIM_PLANT_KILL, SIM_PLANT_MISCOUNT };

struct sim_options {
    uint64_t segments, segment_bytes, fill, pinned, heads, pieces, commit, warm, measure, seed;
    uint64_t due, due_dead, release, reserve, floor, snapshots, snapshot_every, audit, long_lived,
        span, low, rounds;
    enum sim_policy policy;
    enum sim_cut cut;
    enum sim_pressure pressure;
    enum sim_load load;
    enum sim_plant plant;
    bool full;
};

struct sim_segment {
    enum sim_state state;
    unsigned gen; /* times its pages were moved; 0: a lane's */
    uint32_t cursor, live, raw;
    double up2;                   /* smoothed time of recent deaths                       */
    uint64_t log_epoch;           /* freezes before its last append by the user lane      */
    uint64_t wait[SIM_HEADS_MAX]; /* of a victim: group of each head with its last survivors */
    uint32_t *extents;            /* that have or had pages here */
    uint32_t extent_count, extent_room;
    uint64_t *records; /* of the keyless trees, likewise */
    uint32_t record_count, record_room;
};

struct sim_piece {
    uint32_t segment;
    uint16_t block, first;
};

struct sim_ref {
    uint16_t slot, block;
};

struct sim_extent {
    uint16_t slots, live;
    bool meta, summary, young, unsettled;
    uint8_t pieces, ref_count;
    struct sim_ref *refs; /* until it is moved for the first time */
    struct sim_piece piece[SIM_PIECES_MAX];
    uint64_t present[8], alive[8];
    uint64_t mark;
};

struct sim_lane {
    uint32_t segment;
    bool batch_open;
    unsigned pages, runs, bytes;
    uint32_t run_extent; /* of the last run */
    uint32_t extent;     /* open, 0: none    */
};

struct sim_head {
    uint32_t segment;
    uint64_t groups_done;
    uint64_t up2_pages;
};

struct sim_record {
    uint32_t segment;
    uint16_t block, blocks;
    uint16_t children;
    bool dirty;
};

enum sim_tree_kind { SIM_PLACEMENT = 0, SIM_CATALOGUE, SIM_SEGMENTS, SIM_TREES };

struct sim_tree {
    struct sim_record *level[SIM_LEVELS_MAX];
    uint64_t count[SIM_LEVELS_MAX];
    uint64_t *dirty[SIM_LEVELS_MAX];
    uint64_t dirty_count[SIM_LEVELS_MAX], dirty_room[SIM_LEVELS_MAX];
    uint64_t highest;
};

struct sim_list {
    uint64_t *items;
    uint64_t count, room;
};

struct sim_map {
    uint64_t *pages;
    uint64_t *nodes[SIM_LEVELS_MAX]; /* level 1 first */
    uint32_t cut, node_cut;          /* own: highest extents of the freeze, of the merge */
};

/* Blocks written, by what they are; user and moved pages are what write amplification divides. */
struct sim_counts {
    uint64_t user, moved_data, moved_nodes, header, summary, footer, padding, group_header,
        group_rest, nodes, placement, tables, reloc;
    uint64_t checkpoints, light, gathers, refused;
    uint64_t victims; /* last: never reset */
};

struct sim_means {
    uint64_t samples;
    double data, nodes, raw, dead, waiting, free, descriptor_bytes;
};

struct sim {
    struct sim_options opts;
    uint32_t segment_blocks, segment_count, free_count, waiting_count, scan;
    struct sim_segment *segments;
    uint64_t *owner;
    uint8_t *durable; /* NULL unless each checkpoint is audited */
    struct sim_extent **extents;
    uint32_t next_extent, extent_room;
    struct sim_lane user, meta;
    struct sim_head heads[SIM_HEADS_MAX];
    struct sim_tree trees[SIM_TREES];
    uint64_t clock, log_pages, epoch, durable_epoch, frozen_clock, relocs_bytes;
    uint64_t live_data, live_nodes, live_raw;
    uint64_t pages; /* of the volume */
    unsigned levels;
    struct sim_map head, snapshots[SIM_SNAPSHOTS_MAX];
    unsigned snapshot_count;
    uint64_t *current;
    uint64_t *dirty_bits;
    struct sim_list delta, frozen_delta, kills, frozen_kills, unsettled, frozen_unsettled;
    uint64_t *leaf_bits;
    uint64_t merge_leaf;
    bool running, cutting; /* a checkpoint; with the birth of a snapshot at its end */
    struct sim_counts counts;
    struct sim_means means;
    struct cof_bench_choice choice;
};

#define SIM_CHECK(condition, ...)     \
    do {                              \
        if (!(condition)) {           \
            sim_fail(4, __VA_ARGS__); \
        }                             \
    } while (0)

_Noreturn void sim_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *sim_alloc(size_t count, size_t bytes);
void *sim_grow(void *old, size_t count, size_t bytes);
void sim_list_add(struct sim_list *list, uint64_t item);

/* space.c: segments and their blocks */
void sim_space_init(struct sim *sim);
void sim_space_done(struct sim *sim);
/* A free segment, leaving floor of them; SIM_NONE when there is none. */
uint32_t sim_space_take(struct sim *sim, unsigned gen, uint32_t floor);
uint16_t sim_space_append(struct sim *sim, uint32_t segment, uint64_t owner);
void sim_space_settle(struct sim *sim);
uint64_t sim_owner_page(uint32_t extent, unsigned slot);
uint64_t sim_owner_record(enum sim_tree_kind kind, unsigned level, uint64_t index);
extern const uint64_t sim_owner_other;

/* extents.c */
struct sim_extent *sim_extent_new(struct sim *sim, uint32_t segment, bool meta, uint32_t *ret);
void sim_extent_put(struct sim *sim, uint32_t number, unsigned slot, uint16_t block, bool new_run);
void sim_extent_kill(struct sim *sim, uint64_t address);
void sim_extent_touch(struct sim *sim, uint32_t number);
void sim_extent_listed(struct sim *sim, uint32_t segment, uint32_t number);
unsigned sim_extent_bytes(const struct sim_extent *extent);
void sim_extent_free(struct sim *sim, uint32_t number);
bool sim_bit(const uint64_t *bits, uint64_t at);
void sim_bit_set(uint64_t *bits, uint64_t at, bool value);

/* lanes.c */
bool sim_user_ready(struct sim *sim); /* whether a page fits without another segment */
void sim_user_page(struct sim *sim, uint64_t lba);
void sim_user_discard(struct sim *sim);
void sim_user_freeze(struct sim *sim);
uint64_t sim_meta_node(struct sim *sim);
void sim_meta_raw(struct sim *sim, uint64_t owner, unsigned blocks, uint32_t *ret_segment,
                  uint16_t *ret_block);
void sim_meta_close(struct sim *sim);

/* tree.c */
void sim_tree_mark(struct sim *sim, enum sim_tree_kind kind, unsigned level, uint64_t index);
void sim_tree_flush(struct sim *sim, enum sim_tree_kind kind);
void sim_tree_done(struct sim_tree *tree);
struct sim_record *sim_tree_record(struct sim_tree *tree, unsigned level, uint64_t index);

/* clean.c */
bool sim_clean_one(struct sim *sim, bool pressed);
void sim_clean_cut(struct sim *sim);
bool sim_clean_written(const struct sim *sim, const struct sim_segment *segment);

/* checkpoint.c */
bool sim_checkpoint_due(const struct sim *sim);
/* Segments that the next checkpoint may need, and so are its alone; options.floor at least. */
uint32_t sim_checkpoint_floor(const struct sim *sim);
void sim_checkpoint_freeze(struct sim *sim, bool snapshot);
void sim_checkpoint_steps(struct sim *sim, unsigned steps);
void sim_checkpoint_run(struct sim *sim); /* whatever runs or is to run, to its end */
void sim_checkpoint_light(struct sim *sim);

/* snapshot.c: maps */
void sim_map_init(struct sim *sim);
void sim_map_done(struct sim *sim);
void sim_map_kill(struct sim *sim, uint64_t address, struct sim_list *kills);
void sim_map_leaf(struct sim *sim, uint64_t leaf, struct sim_list *kills);
void sim_map_parents(struct sim *sim, struct sim_list *kills);
void sim_snapshot_born(struct sim *sim);
void sim_snapshot_delete_oldest(struct sim *sim);

/* load.c */
void sim_load_init(struct sim *sim);
uint64_t sim_random(struct sim *sim);
void sim_load_step(struct sim *sim);
void sim_write(struct sim *sim, uint64_t lba);
void sim_discard(struct sim *sim, uint64_t lba, uint64_t count);
bool sim_admit(struct sim *sim, uint64_t lba);
void sim_write_when_full(struct sim *sim);

/* rounds.c */
void sim_rounds(struct sim *sim);

/* audit.c */
void sim_audit(struct sim *sim);
void sim_audit_durable(struct sim *sim);
void sim_sample(struct sim *sim);

#endif
