/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/clean.h - the cleaner: moves what lives in a segment elsewhere, without any key.
 *
 * A victim is read whole; the pages that live in it are appended, with their tags and checksums as
 * they are, to a head: a segment of groups (format/group_format.h), one head for each age. When all
 * groups that have pages of an extent are on the device, its descriptor is changed, in memory; the
 * next checkpoint, full or light, writes it, and only then is the victim free. A crash before that
 * loses nothing but the work: the durable root still names the victim, which nobody wrote to.
 *
 * Invariants
 *  1. A descriptor is published only after the device completed every group that it names; a root
 *     is written only after a sync that was issued later.
 *  2. A page's bytes are never changed: what does not fit its checksum moves as it is, counted.
 *  3. Slots that live now lived when they were moved: dying is the only change, and it is looked at
 *     again when the move is published. An extent that is another meanwhile stays as it is.
 *  4. A victim is a whole segment that no lane holds and no replay needs.
 * Under the store's lock throughout; never waits for the device unless asked to.
 */
#ifndef COF_CLEAN_CLEAN_H
#define COF_CLEAN_CLEAN_H

#include "format/group_format.h"
#include "place/place.h"
#include "segdev/sync_io.h"

#define COF_CLEANER_VICTIMS 2u /* one is moved, the next is read */
#define COF_CLEANER_GROUPS 8u  /* buffers */
#define COF_CLEANER_BUFFERS (COF_CLEANER_VICTIMS + COF_CLEANER_GROUPS)

struct cof_move; /* an extent, or a part of it, on its way */

struct cof_group {
    uint8_t *buffer; /* COF_GROUP_BLOCKS blocks, aligned */
    uint64_t number; /* of the head */
    uint32_t segment, block;
    unsigned head, pages, runs;
    uint32_t last_lineage;
    uint64_t last_extent;
    bool open, flying, done;
    struct coffer_segdev_request request;
    struct iovec iov;
};

struct cof_head {
    uint32_t segment; /* COF_NO_SEGMENT: none */
    uint32_t block;   /* of the next group */
    struct cof_group *group;
    uint64_t last_group, done_upto; /* numbered from 1: begun, and complete without a gap */
    uint64_t aged_pages;            /* in its segment, whose smoothed time of deaths they make */
};

/* What the cleaner asks of its owner. */
struct cof_cleaner_ops {
    /* A free segment for a head; NO_SPACE when what is left belongs to checkpoints. */
    int (*take_segment)(void *ctx, unsigned lane, uint32_t *ret_segment);
    /* A block of a tree in a segment that is being left: write it anew with the next root, if it
     * still stands there. */
    int (*renew)(void *ctx, enum cof_raw_kind kind, uint64_t key, uint32_t segment, uint32_t block);
    /* Whether no lane holds the segment, no replay needs it, and all of it is on the device. */
    bool (*may_clean)(void *ctx, uint32_t segment);
    /* How many segments take_segment would give now. */
    uint32_t (*segments_left)(void *ctx);
    /* Whether the next checkpoint has room for so many descriptors more that change. */
    bool (*may_change)(void *ctx, unsigned descriptors);
    /* Call cof_cleaner_name for each extent in the segment: what its headers do not say. */
    int (*survey)(void *ctx, uint32_t segment);
    /* A re-sealed extent is about to get its new descriptor; what is cached of the old one goes. */
    void (*resealed)(void *ctx, const struct cof_desc *old, const struct cof_desc *next);
};

struct cof_cleaner_stats {
    uint64_t victims, put_pages, moved_pages, damaged_pages, groups, rest_blocks, gathers;
    uint64_t reads, read_bytes, writes, write_bytes;
};

enum cof_cleaner_state { COF_CLEANER_IDLE = 0, COF_CLEANER_READ, COF_CLEANER_MOVE };

/* In flight, of 64 KiB: more, or larger ones, would stand in the way of those whom callers wait for
 * (docs/decisions/0026). Where segments run out everybody waits for the cleaner: up to 32. */
#define COF_VICTIM_READS 4u
#define COF_VICTIM_READS_MAX 32u

/* A segment that is read, or was. */
struct cof_victim {
    uint32_t segment; /* which has a reader; COF_NO_SEGMENT: none */
    uint8_t *bytes;   /* a segment */
    size_t asked_bytes;
    unsigned flying;
    bool forgotten; /* let go when nothing is in flight */
    int error;
    struct coffer_segdev_request requests[COF_VICTIM_READS_MAX];
    struct iovec iov[COF_VICTIM_READS_MAX];
    bool busy[COF_VICTIM_READS_MAX];
};

struct cof_cleaner {
    struct cof_env *env;
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    struct cof_segments *segments;
    struct cof_place *place;
    struct cof_sync_io *io;
    const struct cof_cleaner_ops *ops;
    void *ctx;
    uint8_t store_uuid[16];
    uint32_t segment_blocks;

    unsigned head_count;
    struct cof_head heads[COF_CLEANER_HEADS_MAX];
    struct cof_group groups[COF_CLEANER_GROUPS];
    unsigned flying;                         /* groups */
    struct cof_move *first_move, *last_move; /* oldest first: not published yet */
    unsigned move_count;

    enum cof_cleaner_state state;
    uint32_t victim;
    bool partial; /* only what fits of it moves */
    struct cof_victim victims[COF_CLEANER_VICTIMS];
    struct cof_victim *now, *ahead; /* the victim; the one that is read while this one moves */
    unsigned reads;                 /* that each may have in flight */
    unsigned reads_flying;          /* of both */
    uint64_t *extents; /* lineage << 39 | extent: those that the victim names, ascending */
    unsigned extent_count, extent_capacity, extent_next;
    struct cof_move *move; /* of a piece of the next extent, begun; or NULL */
    unsigned slot;         /* of the next extent: those below are dealt with */
    uint8_t *gather_bytes; /* pieces of an extent that lie elsewhere */
    uint32_t scan;         /* where the next search for a victim begins */
    uint32_t end;          /* victims are chosen below it; 0: all are */
    bool thorough;         /* a victim's extents are asked for, too: its headers may be damaged */
    struct cof_cleaner_stats stats;
    int error; /* sticky: an append failed */
};

struct cof_cleaner_config {
    struct coffer_segdev *dev;
    struct cof_sync_io *io;
    struct cof_segments *segments;
    struct cof_place *place;
    uint32_t segment_blocks;
    const uint8_t *store_uuid; /* 16, copied */
    unsigned head_count;
    const struct cof_cleaner_ops *ops;
    void *ctx;
};

COFFER_MUST_CHECK int cof_cleaner_init(struct cof_cleaner *cleaner, struct cof_env *env,
                                       const struct cof_cleaner_config *config);
/* Waits for what the device still holds. Of a cleaner of zeros: nothing. */
void cof_cleaner_done(struct cof_cleaner *cleaner);

/* Make what moves need, if it isn't there. */
COFFER_MUST_CHECK int cof_cleaner_ready(struct cof_cleaner *cleaner);
/* How often the pages of a segment were moved, as far as there are heads. */
unsigned cof_cleaner_generation(const struct cof_cleaner *cleaner, uint32_t segment);

/* ---- move.c: what moves ---- */

/* Begin to move pieces from..to of a descriptor (all of it: 0, piece_count - 1) into a head, which
 * is chosen by `generation`: how often its pages were moved before. Pages are put in the order of
 * their slots; when all are, the move is committed, and published once the device has them. A
 * re-sealed extent gets another uuid and key id with it; the pages must be all that live in it.
 * NULL: no memory. */
struct cof_move *cof_move_begin(struct cof_cleaner *cleaner, const struct cof_desc *desc,
                                unsigned from, unsigned to, unsigned generation);
/* One page as it lies on disk, with its entry {tag, checksum}. AGAIN: all buffers are on their way
 * (cof_cleaner_poll, then again); NO_SPACE; LIMIT: it would be too many pieces (abandon it, and
 * begin with all pieces); or the cleaner's error. */
COFFER_MUST_CHECK int cof_move_put(struct cof_cleaner *cleaner, struct cof_move *move,
                                   unsigned slot, const uint8_t *page,
                                   const uint8_t entry[COF_ENTRY_BYTES]);
void cof_move_reseal(struct cof_move *move, const uint8_t uuid[16], uint32_t key_id);
/* The move belongs to the cleaner from here on. */
void cof_move_commit(struct cof_cleaner *cleaner, struct cof_move *move);
/* Whether it moves this piece, and only it, of the extent as it still is. */
bool cof_move_is_of(const struct cof_move *move, const struct cof_desc *desc, unsigned piece);
/* What was put stays in its group, as nobody's. */
void cof_move_abandon(struct cof_cleaner *cleaner, struct cof_move *move);
/* The extent of this name is another from now on: one came with a copy where one had died. What is
 * on its way of the old one is nobody's, although name and uuid are the same. */
void cof_moves_overtake(struct cof_cleaner *cleaner, uint32_t lineage, uint64_t extent);
/* Moves that are not published yet, of any extent. */
static inline bool cof_moves_pending(const struct cof_cleaner *cleaner)
{
    return cleaner->first_move != NULL;
}

/* ---- heads.c: groups ---- */

/* Collect completions and publish what is complete; waits for one when wait is set and something is
 * in flight. 1 when anything happened, 0, or an error. */
COFFER_MUST_CHECK int cof_cleaner_poll(struct cof_cleaner *cleaner, bool wait);
/* Whether a group has room, and pages. */
bool cof_cleaner_is_filling(const struct cof_cleaner *cleaner);
/* Write the open groups as they are. */
COFFER_MUST_CHECK int cof_cleaner_cut(struct cof_cleaner *cleaner);

/* Heads in segments from `from` on go on in others. */
COFFER_MUST_CHECK int cof_cleaner_leave(struct cof_cleaner *cleaner, uint32_t from);
/* Write what is open, and publish all moves; waits for the device. */
COFFER_MUST_CHECK int cof_cleaner_drain(struct cof_cleaner *cleaner);

/* ---- victim.c, cleaner.c ---- */

/* Choose a victim and begin to read it. 0; NOT_FOUND: none is worth it; NO_SPACE: its survivors
 * have nowhere to go. pressed: one that gives a single block is worth it. */
COFFER_MUST_CHECK int cof_cleaner_begin(struct cof_cleaner *cleaner, bool pressed);
/* A victim (COF_NO_SEGMENT: the emptiest), of which only those extents move that the head's segment
 * holds yet: it is no less worth cleaning afterwards. Blocks of trees leave it in any case. */
COFFER_MUST_CHECK int cof_cleaner_begin_part(struct cof_cleaner *cleaner, uint32_t victim);
/* The same as cof_cleaner_begin with a victim that is given. */
COFFER_MUST_CHECK int cof_cleaner_begin_with(struct cof_cleaner *cleaner, uint32_t victim);
/* An extent may lie in the victim. */
COFFER_MUST_CHECK int cof_cleaner_name(struct cof_cleaner *cleaner, uint32_t lineage,
                                       uint64_t extent);
/* While the victim moves, read the next one. */
COFFER_MUST_CHECK int cof_cleaner_read_ahead(struct cof_cleaner *cleaner);
/* Let go of a victim that was read ahead, once the device has. */
void cof_cleaner_forget_ahead(struct cof_cleaner *cleaner);
/* Go on with the victim: about pages_max pages. 1: more to do now; 0: idle, or waiting for the
 * device (state says which). NO_SPACE: there is no room for survivors, or for the checkpoint that
 * must follow; what was moved counts, and the rest stays. IO: the victim does not read. */
COFFER_MUST_CHECK int cof_cleaner_step(struct cof_cleaner *cleaner, unsigned pages_max, bool wait);

#endif
