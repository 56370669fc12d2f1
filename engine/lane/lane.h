/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/lane.h - the append lane: batches, group commit, syncs.
 *
 * A lane is one stream of numbered batches through a chain of segments. Pages are placed in the
 * open batch, sealed by the caller straight into its buffer, and written when the batch closes:
 * when it is full, when the device is idle or nearly so and somebody waits for it or it is worth a
 * write, or when a flush asks. A batch is complete when it and all before it are on the device; it
 * is durable when a sync that was issued after that succeeded.
 *
 * Invariants
 *  1. Numbers are contiguous and given in the order of places; completed_upto and durable_upto
 *     only grow, and durable_upto <= completed_upto.
 *  2. Each block of a segment is written once, and appends are submitted in the order of places.
 *  3. After a failed write or sync the lane has failed: nothing is ever complete again.
 *  4. The lane goes on only in a segment that a header or a root has named before.
 *
 * Threads: every function but cof_lane_carry, cof_lane_carry_some, cof_lane_carry_wait and
 * cof_lane_fd is called under the store's lock. Only the sealing of reserved pages happens outside
 * it besides; cof_lane_sealed says that it is over. A lane knows runs and words as bytes to carry:
 * whose extents they are, and how lists are sealed, its owner knows (cof_lane_ops).
 */
#ifndef COF_LANE_LANE_H
#define COF_LANE_LANE_H

#include "base/env.h"
#include "format/batch_format.h"
#include "format/root_format.h"
#include "format/vaddr.h"

#include <coffer/segdev.h>

#include <pthread.h>

#define COF_BATCH_WORDS_MAX 512u

struct cof_lane;

struct cof_batch {
    uint8_t *buffer; /* segment header block, batch header block, pages */
    uint64_t number;
    uint32_t segment, block; /* of the batch header */
    uint32_t next_segment;   /* as its header says */
    unsigned capacity_pages, pages, run_count, word_count;
    size_t header_bytes;
    bool open, closed, submitted, done, first_in_segment, footer;
    bool hurried; /* somebody waits until it is written, durable or not */
    unsigned pending; /* pages reserved and not yet sealed */
    unsigned readers; /* readers copying out of the buffer */
    uint32_t footer_blocks;
    struct cof_run runs[COF_BATCH_RUNS_MAX];
    void *owners[COF_BATCH_RUNS_MAX];
    uint16_t first_words[COF_BATCH_RUNS_MAX];
    uint64_t words[COF_BATCH_WORDS_MAX];
    uint8_t entries[COF_BATCH_PAGES_MAX][COF_ENTRY_BYTES];
    bool ready[COF_BATCH_PAGES_MAX];
    struct coffer_segdev_request request;
    struct iovec iov;
};

/* What a lane asks of its owner. Called under the store's lock. */
struct cof_lane_ops {
    /* Seal the list of a run in place (chain word and words, length_bytes in all). */
    int (*seal_list)(void *ctx, void *owner, const struct cof_run *run, uint64_t batch_no,
                     uint8_t *list, size_t length_bytes, uint8_t ret_tag[16]);
    /* A segment for the lane, fresh if it was never written: NO_SPACE when there is none. */
    int (*take_segment)(void *ctx, unsigned lane_id, uint32_t *ret_segment, uint64_t *ret_sequence,
                        bool *ret_fresh);
    /* The segment will take no more batches: place what must still stand in it (summaries). */
    int (*segment_end)(void *ctx, struct cof_lane *lane);
    /* Fill the segment's footer, COF_FOOTER_BYTES; 0 when there is to be none, 1 when filled. */
    int (*footer)(void *ctx, struct cof_lane *lane, uint8_t *bytes);
    /* completed_upto, durable_upto or the lane's error changed, or the next segment is ready. */
    void (*progress)(void *ctx);
};

/* Requests on their way, oldest first. */
struct cof_lane_box {
    struct coffer_segdev_request *first, *last;
};

struct cof_lane_stats {
    uint64_t writes, write_bytes, syncs;
};

struct cof_lane {
    struct cof_env *env;
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;  /* under carrier_lock */
    int refused;                            /* likewise: the first failure of a write or sync */
    unsigned carried;                       /* likewise: requests that the channel has */
    pthread_mutex_t carrier_lock, box_lock; /* device.c says what they guard, and their order */
    struct cof_lane_box outbox, inbox;      /* under box_lock */
    unsigned outbox_count, wanted_count;    /* likewise: the first of them that somebody wants */
    int carrier_error; /* likewise: the channel's first error, until cof_lane_collect saw it */
    bool carrier_failed;
    const struct cof_lane_ops *ops;
    void *ctx;
    unsigned id;
    uint8_t store_uuid[16], session[16];
    uint64_t epoch;
    uint32_t segment_blocks;

    uint8_t *buffers; /* of all batches */
    struct cof_batch *batches;
    unsigned batch_count, batches_free;
    struct cof_batch **fifo; /* oldest first: not yet complete */
    unsigned fifo_count;
    struct cof_batch *open_batch;

    uint32_t segment, next_segment, previous_segment, block;
    uint64_t sequence, next_sequence, segment_first_batch;
    uint32_t segment_first_block;
    uint32_t tail_reserve_blocks;        /* kept at the end of a segment for segment_end's pages */
    bool works_in_poll;                  /* the device does */
    bool in_segment_end, next_announced; /* a header or a root names next_segment */

    uint64_t next_batch, completed_upto, durable_upto;
    uint64_t sync_first, sync_last; /* smallest and largest batch that a flush waits for; 0: none */
    bool sync_in_flight, syncs_held, conditioning, next_fresh;
    uint64_t sync_covers;
    unsigned writes_in_flight;
    uint64_t oldest_unsynced_ns;
    uint64_t bytes_since_sync;
    uint64_t append_bytes_mean; /* of the last appends: small ones are slow on fresh segments */
    struct coffer_segdev_request sync_request, condition_request;
    struct cof_lane_stats stats;
    int error; /* sticky */
};

struct cof_lane_config {
    struct coffer_segdev *dev;
    const struct cof_lane_ops *ops;
    void *ctx;
    unsigned id;
    uint64_t staging_bytes; /* at least 6 batches are made whatever it says */
};

#define COF_LANE_BATCH_BYTES ((2u + COF_BATCH_PAGES_MAX) * COF_BLOCK_BYTES)

COFFER_MUST_CHECK int cof_lane_init(struct cof_lane *lane, struct cof_env *env,
                                    const struct cof_lane_config *config);
/* Waits for what the device still holds. */
void cof_lane_done(struct cof_lane *lane);

/* Begin or go on where head says, under a session. head->segment 0: a segment is taken at the
 * first batch. */
void cof_lane_start(struct cof_lane *lane, const struct cof_lane_head *head,
                    const uint8_t store_uuid[16], const uint8_t session[16],
                    uint32_t segment_blocks);
/* Where replay would have to begin now: the place after the last batch. The open batch must have
 * been closed. */
void cof_lane_head(const struct cof_lane *lane, struct cof_lane_head *ret_head);

/* Have a batch open with room for at least one more page (pages = true) or slot. AGAIN: no buffer
 * is free (poll and come back); NO_SPACE; or the lane's error. internal: may use the last buffers
 * and the tail reserve. */
COFFER_MUST_CHECK int cof_lane_prepare(struct cof_lane *lane, bool internal);

/* Pages (or, for runs without pages, slots) that the open batch can take from owner, whose next
 * slot is first_slot. */
unsigned cof_lane_room(const struct cof_lane *lane, const void *owner, unsigned first_slot,
                       bool no_pages);

/* The root that was just made durable names the lane's next segment. */
void cof_lane_announced(struct cof_lane *lane);

/* Place count slots of owner in the open batch: run is the pattern of the run (volume, extent,
 * uuid, key id, flags; first_slot of these slots), chain begins its list if a new run is needed.
 * Returns the index of the first page in the batch. Room was checked. *ret_new_run says whether a
 * run began. */
unsigned cof_lane_place(struct cof_lane *lane, void *owner, const struct cof_run *run,
                        uint64_t chain, const uint64_t *words, unsigned count, bool *ret_new_run);

/* Page index of a batch: where its bytes go. */
static inline uint8_t *cof_batch_page(struct cof_batch *batch, unsigned page)
{
    return batch->buffer + (size_t)(2u + page) * COF_BLOCK_BYTES;
}

/* Place blocks that need no key in the open batch, which has room for them: a run of the raw kind
 * and key that `what` packs. Returns the index of the first. */
unsigned cof_lane_place_raw(struct cof_lane *lane, uint64_t what, const uint8_t *bytes,
                            unsigned blocks);

/* count pages from first on were sealed and their entries filled in. */
void cof_lane_sealed(struct cof_lane *lane, struct cof_batch *batch, unsigned first,
                     unsigned count);

/* Close the open batch if it has anything in it. */
void cof_lane_close_batch(struct cof_lane *lane);
/* The next batch begins in the next segment, for what the rest of this one does not hold. Of the
 * checkpoint lane only, whose segments need not be announced. */
void cof_lane_leave_segment(struct cof_lane *lane);
/* Go on in the next segment now, of either lane: a batch of padding names it first. AGAIN: poll and
 * come back; NO_SPACE: there is none to go to; or the lane's error. */
COFFER_MUST_CHECK int cof_lane_move_on(struct cof_lane *lane);
/* Close it if the device is idle, or has only one batch and this one is large enough. */
void cof_lane_kick(struct cof_lane *lane);

/* Ask that batches up to number become durable; completes through polling. */
void cof_lane_want_durable(struct cof_lane *lane, uint64_t number);
/* Somebody waits until pages of this batch, open or not, are written, whether durable or not. */
void cof_lane_hurry(struct cof_lane *lane, uint64_t number);
/* While it is set the lane begins no sync: others' follow each other, and none of the lane's is
 * under way. One of theirs begins, with the lock held; and it ended well. */
void cof_lane_hold_syncs(struct cof_lane *lane, bool hold);
void cof_lane_sync_begins(struct cof_lane *lane);
void cof_lane_synced(struct cof_lane *lane);
/* Number of the last batch that has anything in it, open or not. */
uint64_t cof_lane_last(const struct cof_lane *lane);

/* Without the store's lock: hand what was placed to the device and fetch its answers. True when
 * cof_lane_collect would now find something. */
bool cof_lane_carry(struct cof_lane *lane);
/* The same of one request, where the device works in poll, and of what others insist on meanwhile
 * with cof_lane_carry: as long as they do, so is he kept. */
bool cof_lane_carry_some(struct cof_lane *lane);
/* The same, but waits for the channel, and for one answer if none has come. The channel's error, or
 * 0 and more. */
int cof_lane_carry_wait(struct cof_lane *lane);
/* All that is pending is a sync, not handed over: who waits for it makes it best himself. */
bool cof_lane_sync_waits(struct cof_lane *lane);
/* The channel's descriptor, or -1. Devices make theirs when first asked, so it is asked for as who
 * carries; without the store's lock, too. */
int cof_lane_fd(struct cof_lane *lane);
/* Whether cof_lane_carry can have anything to do. */
bool cof_lane_pending(const struct cof_lane *lane);
/* Act on the answers that were fetched. Returns 1 when anything happened, or the lane's error. */
int cof_lane_collect(struct cof_lane *lane);
/* Carry and collect; waits for an answer when wait is set and something is in flight. Else it waits
 * for nobody: who has the channel meanwhile carries what is there. */
int cof_lane_poll(struct cof_lane *lane, bool wait);
bool cof_lane_busy(const struct cof_lane *lane);
/* Submit, sync and wait until all placed so far is durable. */
COFFER_MUST_CHECK int cof_lane_drain(struct cof_lane *lane);

/* The batch in memory that holds block of segment, or NULL when it is on the device. */
struct cof_batch *cof_lane_find(struct cof_lane *lane, uint32_t segment, uint32_t block);

void cof_lane_fail(struct cof_lane *lane, int error);

#endif
