/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/queue.h - requests on their way.
 *
 * A request goes through phases: it waits for pages that another one is changing in part; it reads
 * the pages it covers in part; it writes (or, for a read, reads) its pages; it waits for the lane.
 * A queue is used by one thread at a time; what it shares with others is under the store's lock.
 */
#ifndef COF_VOLUME_QUEUE_H
#define COF_VOLUME_QUEUE_H

#include "volume/store.h"

#include <stdatomic.h>

#define COF_QUEUE_DEPTH_DEFAULT 128u
#define COF_QUEUE_DEPTH_MAX 4096u
#define COF_READ_IOV_MAX 128u /* no batch and no group has more pages */
#define COF_PLACED_MAX 64u

enum cof_phase {
    COF_PHASE_FREE = 0,
    COF_PHASE_LOCK,   /* wait for pages under read-modify-write */
    COF_PHASE_MERGE,  /* read the pages that are covered in part */
    COF_PHASE_WRITE,  /* place and seal */
    COF_PHASE_COMMIT, /* wait for the batch, or for durability */
    COF_PHASE_READ,   /* device reads are in flight */
    COF_PHASE_DONE
};

struct cof_io_request;

/* Pages of a request that have their place in the log and are not sealed yet. */
struct cof_placed {
    struct cof_io_request *request;
    struct cof_extent *extent; /* a reference is held */
    struct cof_batch *batch;
    uint64_t page;
    unsigned slot, first, count;
    int err;
};

/* One device read of consecutive blocks, opened when it is there. */
struct cof_read_run {
    struct cof_io_request *owner;
    struct coffer_segdev_request data, header;
    struct iovec header_iov, iov[1 + COF_READ_IOV_MAX]; /* alone; with the data, the header first */
    struct cof_opener *opener;
    struct cof_vaddr addrs[COF_READ_IOV_MAX];
    uint64_t first_page;
    uint32_t segment, block, header_block;
    unsigned pages, waiting;
    bool tags_known, keeps_tags;        /* keeps: those of its header go into the cache */
    uint8_t *targets[COF_READ_IOV_MAX]; /* where each page is read to and opened */
    uint8_t *landing;                   /* where all that one read fetches lies; NULL: there */
    unsigned landing_blocks;
    uint8_t *header_block_bytes;
    uint8_t entries[COF_READ_IOV_MAX][COF_ENTRY_BYTES];
    struct cof_read_run *next;
};

struct cof_io_request {
    struct coffer_queue *queue;
    struct coffer_io io;
    enum cof_phase phase;
    int result;
    struct coffer_fault fault;

    uint64_t first_page, page_count; /* pages touched, partly or whole */
    uint64_t at;                     /* next page to place, relative */
    size_t head_skip;                /* bytes of the first page that are not covered */
    size_t tail_end;                 /* bytes of the last page up to the end of the request */
    bool head_partial, tail_partial, zeroes; /* zeroes: whole pages become holes */
    uint8_t *bounce; /* pages of the request (zeroes: first and last), when the caller's memory
                        is not whole pages that the device can take */
    bool locked;     /* its partial pages are in the volume's table */
    uint64_t commit_batch; /* wait until this batch is complete, or durable */
    bool want_durable;
    bool write_back;       /* does not wait for the device at all */
    unsigned reads_in_flight;
    unsigned retries;
    struct cof_io_request *next;
};

/* Pages that are looked up, perhaps not all at once: what was found is read, then, without the
 * lock. */
struct cof_read_search {
    struct cof_io_request *request;
    uint64_t page, end;
    struct cof_read_run *first, *last; /* on the device */
    struct cof_read_run *memory;       /* in a batch's buffer */
};

struct coffer_queue {
    struct coffer_store *store;
    struct cof_aead *aead;
    struct coffer_segdev_channel *channel;
    unsigned depth;
    atomic_uint in_flight; /* changed by its thread alone */
    uint32_t memory_align; /* the device's, */
    bool works_in_poll;    /* which a resize reads again, but these never change */
    int epoll_fd, wake_fd;
    /* Under the store's lock. A queue whose thread is in submit or reap (inside) looks by itself
     * before it sleeps, when something moved since its last look (stale). One that is asleep is
     * woken, and one whose caller may be asleep on the descriptor (watched). */
    bool stale, asleep, woken;
    atomic_bool inside; /* changed by its thread alone */
    bool pays;          /* for cleaning: it wrote since its last look, or has writes under way */
    struct cof_placed placed[COF_PLACED_MAX];
    unsigned placed_count, placed_pages;
    struct cof_io_request *free_list;
    struct cof_io_request *active, *active_last; /* in order of submission */
    struct cof_io_request *done, *done_last;
    struct cof_read_run *arrived, *arrived_last; /* read from the device, not yet opened */
    struct cof_read_run *opened;                 /* what they hold is to be let go of */
    unsigned done_count, reads_in_flight, poll_failures;
    bool watched; /* the caller has the descriptor, and may be asleep on it */
    struct cof_read_run *run_pool;
    unsigned run_pool_count;
    uint64_t device_reads, device_read_bytes;
    struct coffer_queue *next;      /* of the store */
    struct coffer_queue *next_idle; /* of the synchronous calls */
};

void cof_queues_done(struct coffer_store *store);
/* Make the queue's descriptor readable. Under the store's lock. */
void cof_queue_wake(struct coffer_queue *queue);
/* Where the device works in poll, and the lane has something for it that the calling thread may
 * leave lying: wake those who sleep, or whose callers may, as they can see to it. Under the store's
 * lock. */
void cof_queues_rouse(struct coffer_store *store);

/* queue_read.c: begin to read count pages into the request's memory; reads_in_flight tells whether
 * there is anything to wait for. Errors of pages go to cof_request_fail. */
void cof_read_start(struct cof_io_request *request, uint64_t first_page, uint64_t count);
/* The same in three steps, so that the second can be made for several requests at once: under the
 * store's lock, and the third without it. */
void cof_read_begin(struct cof_read_search *search, struct cof_io_request *request,
                    uint64_t first_page, uint64_t count);
void cof_read_look_up(struct cof_read_search *search);
void cof_read_submit(struct cof_read_search *search);
/* Let go of what the runs that were opened held. Under the store's lock. */
void cof_read_release(struct coffer_queue *queue);
/* Device completions: runs that are all there wait to be opened, in order. */
void cof_read_arrived(struct coffer_queue *queue, struct coffer_segdev_request *list);
/* Open the pages of the run that arrived first. There is one. */
void cof_read_open_next(struct coffer_queue *queue);
/* queue_write.c: go on with a write as far as it can get. Under the store's lock, which is let go
 * when pages have to be read or sealed, or room be made. What was placed may not be sealed yet. */
void cof_write_advance(struct cof_io_request *request);
/* Seal what was placed, with the store's lock let go. Whoever holds it calls this before anything
 * that waits for the lane, and before letting go of it. */
void cof_write_seal(struct coffer_queue *queue);
void cof_write_unlock_pages(struct cof_io_request *request);
/* Memory of a page of the request: a place in the caller's buffers, the bounce or the partials. */
uint8_t *cof_request_page(struct cof_io_request *request, uint64_t page);
void cof_request_fail(struct cof_io_request *request, int error, const struct coffer_fault *fault);
void cof_run_free(struct coffer_queue *queue, struct cof_read_run *run);

#endif
