/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place/segments.h - the segment table: which segments are used, and how many of their blocks live.
 *
 * Invariants
 *  1. A segment is handed out only when it is free, and becomes free only in
 *     cof_segments_collect, which is called when the root that no longer needs it is durable; and
 *     only if it was condemned when that root was made, whatever died since.
 *  2. live counts every block that some tree or the log since the last freeze refers to; fresh is
 *     the part of it that was appended after the freeze, and is left out of what is persisted;
 *     own are the blocks of the segment table's own tree, counted anew at open.
 *  3. A segment with readers is not collected: what is being read without the lock stays.
 *  4. Only this file changes a segment's state. Taking, freezing and collecting cost what changed,
 *     beside a look at six bytes for each 256 segments.
 *  5. free_count, and hole_count of them, are what can be taken: below the ceiling.
 * Under the store's lock.
 */
#ifndef COF_PLACE_SEGMENTS_H
#define COF_PLACE_SEGMENTS_H

#include "base/env.h"
#include "format/place_format.h"

struct cof_segment {
    uint64_t sequence;
    double
        up2; /* smoothed time of its pages' deaths, in pages written by callers; for the cleaner */
    uint32_t live, fresh, own, pins, readers;
    uint32_t moving; /* moves of its pages that are not published yet */
    uint8_t state, lane;
    uint8_t tries;  /* how often the cleaner took it for a victim */
    bool hole;      /* it has no blocks on the device: given back, or never written */
    bool condemned; /* the coming root does not need it */
};

/* What lies in a record's segments, so that nobody has to look at each of a large store's. */
struct cof_segment_summary {
    uint16_t free_count, hole_count; /* free; of these, holes */
    bool fresh;                      /* one may have blocks that are */
    bool dying;                      /* one that is used may have no live block */
};

struct cof_segments {
    struct cof_env *env;
    struct cof_segment *table;
    bool *dirty;                           /* one a record of COF_SEGMENTS_PER_RECORD */
    struct cof_segment_summary *summaries; /* likewise */
    uint32_t count, free_count, hole_count, conditioned;
    uint32_t ceiling; /* none is taken from here on: count, but while the store is made smaller */
    uint32_t scan[2]; /* no free one lies below: with blocks; a hole */
    unsigned records_written; /* records that the persisted table may have */
    uint64_t next_sequence, live_total;
    double clock;           /* pages that callers wrote since open */
    double clock_of_deaths; /* when what dies now was overwritten, at the latest */
};

COFFER_MUST_CHECK int cof_segments_init(struct cof_segments *segments, struct cof_env *env,
                                        uint32_t count);
void cof_segments_done(struct cof_segments *segments);
/* Change the number of segments, and the ceiling. Those that go have to be free: NO_SPACE. */
COFFER_MUST_CHECK int cof_segments_resize(struct cof_segments *segments, uint32_t count);
/* Let none be taken from `ceiling` on. */
void cof_segments_cap(struct cof_segments *segments, uint32_t ceiling);
/* Free ones below `end`. */
uint32_t cof_segments_free_below(const struct cof_segments *segments, uint32_t end);

/* A free segment, the lowest that has blocks if there is one (else it is fresh). Leaves at least
 * `keep` free: NO_SPACE. */
COFFER_MUST_CHECK int cof_segments_take(struct cof_segments *segments, unsigned lane, uint32_t keep,
                                        uint32_t *ret_segment, uint64_t *ret_sequence,
                                        bool *ret_fresh);

/* The next one behind `segment` in which nothing lives: before settle, where the log may have gone
 * on after the table was written. COF_NO_SEGMENT: none. */
uint32_t cof_segments_dead_after(const struct cof_segments *segments, uint32_t segment);

/* A free segment that a lane is in already. */
void cof_segments_hold(struct cof_segments *segments, uint32_t segment, unsigned lane);
/* Of the free segments that have blocks, the highest below `end`; COF_NO_SEGMENT: none. */
uint32_t cof_segments_written(const struct cof_segments *segments, uint32_t end);
/* Its blocks were given back to the device. */
void cof_segments_given_back(struct cof_segments *segments, uint32_t segment);

void cof_segments_live_add(struct cof_segments *segments, uint32_t segment, uint32_t blocks);
void cof_segments_live_sub(struct cof_segments *segments, uint32_t segment, uint32_t blocks);
/* A page of it died, and did not move. */
void cof_segments_died(struct cof_segments *segments, uint32_t segment);
/* As live_add, for blocks appended by the user lane. */
void cof_segments_fresh_add(struct cof_segments *segments, uint32_t segment, uint32_t blocks);
void cof_segments_pin(struct cof_segments *segments, uint32_t segment, int change);
/* Reads of it that go on when the lock is let go: +1 before, -1 after. */
void cof_segments_read(struct cof_segments *segments, uint32_t segment, int change);
/* At a freeze: what is fresh now belongs to the checkpoint. */
void cof_segments_freeze(struct cof_segments *segments);
/* What the root that is made now does not need: what is dead. keep[] are segments that lanes hold;
 * user-lane segments with a sequence of replay_sequence or more are needed for replay. */
void cof_segments_condemn(struct cof_segments *segments, const uint32_t *keep, unsigned keep_count,
                          uint64_t replay_sequence);
/* That root is durable: free what was condemned. Returns how many became free. */
uint32_t cof_segments_collect(struct cof_segments *segments);

/* Records of the persisted table. */
unsigned cof_segments_records(const struct cof_segments *segments);
void cof_segments_record_encode(const struct cof_segments *segments, unsigned record,
                                uint8_t block[4096]);
void cof_segments_record_decode(struct cof_segments *segments, unsigned record,
                                const uint8_t block[4096]);
/* After all records were decoded and own and replayed blocks counted. */
void cof_segments_settle(struct cof_segments *segments);

#endif
