/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/coffer.h - encrypted, crash-safe volumes in one file or block device.
 *
 * CAVEATS, before the API:
 *
 * - One process has a store open for writing at a time; others get COFFER_E_BUSY.
 * - A write that completed survives the death of the process, unless it asked not to wait for that
 *   (COFFER_IO_WRITE_BACK). Only a flush (or a write with COFFER_IO_FUA) that completed survives
 *   the loss of power. docs/consistency.md has the table.
 * - Whole pages (4096 bytes, aligned) are written at once or not at all. Requests are multiples of
 *   512 bytes; a part of a page costs a read.
 * - After an error that leaves memory and disk in doubt (a failed log write or sync) the store is
 *   failed: every later write and flush gives COFFER_E_FAILED until it is closed and opened anew.
 *   Nothing unflushed is reported durable after that.
 * - Keys do not survive fork: a child must open the store again, and gets COFFER_E_FORKED else.
 * - There are no hidden threads. Checkpoints and syncs that fall due run in slices inside submit,
 *   reap and the synchronous calls; an embedder that may be idle for seconds calls
 *   coffer_store_maintain from a timer.
 * - The key of an open volume is lent: when the key service takes it back, the volume stops, with
 *   all that was acknowledged on the device (struct coffer_volume_open_opts, lease_ns).
 *
 * Threads: a store and a volume may be shared by threads; a queue belongs to one at a time.
 * Handles are opaque. Option structs begin with their size: set it to sizeof, zero the rest.
 * `ret_` outputs are untouched on failure. A struct coffer_fault pointer may be NULL.
 */
#ifndef COFFER_COFFER_H
#define COFFER_COFFER_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <coffer/keys.h>
#include <coffer/segdev.h>
#include <coffer/tags.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_VERSION_MAJOR 0
#define COFFER_VERSION_MINOR 1
#define COFFER_VERSION_PATCH 0

#define COFFER_PAGE_BYTES 4096u
#define COFFER_SECTOR_BYTES 512u
#define COFFER_NAME_BYTES_MAX 64 /* a volume's name, with its NUL: 1 to 63 bytes      */
#define COFFER_VOLUME_BYTES_MAX (1ull << 56)
#define COFFER_VOLUMES_MAX 4096     /* volumes in a store, open or not                   */
#define COFFER_RESOURCE_ID_BYTES 32 /* "vol-" and 24 hex digits, with its NUL            */

struct coffer_store;
struct coffer_volume;
struct coffer_queue;

struct coffer_uuid {
    uint8_t bytes[16];
};

/* "MAJOR.MINOR.PATCH" of the library that runs. */
const char *coffer_version(void);

/* ---- the rollback anchor ---------------------------------------------------------------- */

/*
 * What the anchor keeps, outside the store: enough to know any other state when it sees one. It is
 * put before each root, with the coming root as `next`, and again when that root is durable. So a
 * store is opened only in a state that the anchor knows; one that was written without the anchor,
 * too, is refused until COFFER_OPEN_ACCEPT_ROLLBACK. Numbers are at most 2^63 - 1.
 */
struct coffer_anchor_state {
    struct coffer_uuid store_uuid;
    uint64_t epoch;          /* first of the two of the newest durable root                  */
    uint8_t root_digest[32]; /* SHA-256 over entries, key rings and sealed records, in order */
    uint64_t next_epoch;     /* of the root that is being written; 0: none                   */
    uint8_t next_digest[32];
    uint64_t rollbacks_accepted;   /* with COFFER_OPEN_ACCEPT_ROLLBACK, by opens for writing  */
    uint64_t rollback_ns;          /* wall clock of the last one                              */
    uint64_t rollback_known_epoch; /* the newest that the anchor knew then                    */
    uint64_t rollback_taken_epoch; /* and the store's                                         */
};

struct coffer_anchor_ops {
    size_t size;
    /* Fill ret_state with what was put last; COFFER_E_NOT_FOUND when nothing was ever put (and
     * never when that can't be told: the store is bound to its first put). Another error refuses
     * the open. */
    int (*get)(void *ctx, const struct coffer_uuid *store_uuid,
               struct coffer_anchor_state *ret_state);
    /* Keep state durably before returning. A state whose newest epoch (the greater of epoch and
     * next_epoch) is below that of the state that is kept must be refused, with ROLLBACK. A failure
     * fails the store. */
    int (*put)(void *ctx, const struct coffer_anchor_state *state);
};

struct coffer_anchor {
    const struct coffer_anchor_ops *ops; /* NULL: no anchor */
    void *ctx;
};

/* ---- stores ------------------------------------------------------------------------------ */

struct coffer_store_create_opts {
    size_t size;
    const char *path;             /* file or block device; NULL when device is given              */
    struct coffer_segdev *device; /* used instead of path; the store owns it whatever happens     */
    uint64_t size_bytes;          /* 0: the block device's size, or 64 GiB (sparse) for a file    */
    uint32_t segment_bytes;       /* 0: chosen (1 to 8 MiB); else a power of two, 1 to 64 MiB     */
    const struct coffer_env *env;
};

/* Make an empty store; durable on return. EXISTS when the file is there and not empty, or the
 * device holds a store; nothing is left behind on failure. */
COFFER_MUST_CHECK int coffer_store_create(const struct coffer_store_create_opts *opts,
                                          struct coffer_fault *fault);

enum coffer_open_flags {
    COFFER_OPEN_READ_ONLY = 1u << 0,       /* nothing is written; others may read too            */
    COFFER_OPEN_ACCEPT_ROLLBACK = 1u << 1, /* open a state that the anchor does not know         */
    COFFER_OPEN_BUFFERED = 1u << 2,        /* through the page cache, where O_DIRECT is refused  */
    COFFER_OPEN_BACKGROUND = 1u << 3       /* a thread of the library's own runs what is due     */
};

/* Which code seals and opens pages. All make the same bytes: a store is not tied to one. */
enum coffer_cipher_backend {
    COFFER_CIPHER_AUTO = 0, /* intel-ipsec-mb where its 512-bit code runs, else OpenSSL    */
    COFFER_CIPHER_EVP,      /* OpenSSL                                                     */
    COFFER_CIPHER_IPSEC_MB  /* intel-ipsec-mb; OpenSSL where that isn't there, or won't do */
};

/* "auto", "evp", "ipsec-mb". Never NULL; static storage. */
const char *coffer_cipher_backend_name(enum coffer_cipher_backend backend);

struct coffer_store_opts {
    size_t size;
    const char *path;
    struct coffer_segdev *device; /* used instead of path; the store owns it whatever happens */
    unsigned flags;               /* enum coffer_open_flags                                   */
    const struct coffer_env *env;
    struct coffer_anchor anchor;

    /* Budgets; 0 is the default in brackets. Beside them memory grows only with the store's size
     * (segment table, tree nodes), its number of volumes and data keys, and what is dirty or waits
     * to be replayed (docs/architecture.md has each bound). */
    uint64_t staging_bytes;     /* batch buffers, locked pages not counted; half as much more,
                                   8 MiB at most, once there are large reads [16 MiB]     */
    uint64_t delta_entries_max; /* dirty map entries before a checkpoint must run, or 24
                                   bytes of memory for each [6,291,456]                   */
    uint64_t node_cache_bytes;  /* map nodes [64 MiB]                                         */
    uint64_t tag_cache_bytes;   /* page tags, 32 bytes a page [64 MiB]                        */
    uint64_t placement_bytes;   /* placement descriptors [64 MiB]                             */
    uint64_t key_arena_bytes;   /* locked memory for keys; twice that with ipsec-mb [1 MiB]  */
    uint64_t checkpoint_ns;     /* longest time between checkpoints under writes [60 s]       */
    uint64_t sync_ns;           /* longest time a completed write waits for a sync [1 s]      */
    uint32_t warn_percent;      /* of the capacity: a warning is logged above it [85]         */
    uint32_t cleaner_heads;     /* 1 to 3 ages kept apart; 0: by the store's size             */
    uint32_t cipher_backend;    /* enum coffer_cipher_backend                                 */
};

/* Open a store. Costs time in proportion to the log since the last checkpoint, never to the
 * store's size. Opening for writing writes a new root; durable on return. */
COFFER_MUST_CHECK int coffer_store_open(const struct coffer_store_opts *opts,
                                        struct coffer_store **ret_store,
                                        struct coffer_fault *fault);

/* Checkpoint what is dirty, close and free, volumes left open included; NULL is allowed. An error
 * says that the checkpoint failed: what was flushed is safe in the log all the same. Without room
 * for the checkpoint all is left to the log, durable, for the next opening. BUSY: requests are in
 * flight, and nothing was closed. */
int coffer_store_close(struct coffer_store *store);

/* Run a slice of what is due (a sync, a part of a checkpoint). Returns 1 when more is due now,
 * 0 when nothing is, or an error. */
COFFER_MUST_CHECK int coffer_store_maintain(struct coffer_store *store);

/* Run a whole checkpoint now; durable on return. */
COFFER_MUST_CHECK int coffer_store_checkpoint(struct coffer_store *store,
                                              struct coffer_fault *fault);

/* Change the number of segments to hold size_bytes; durable on return. Growing costs one root
 * write. Shrinking moves what lies in the segments that go, without any key, while requests and all
 * other calls go on; a crash leaves a store of the old size. NO_SPACE, with nothing changed: what
 * lives does not fit (fault says how small it could be). BUSY: another call is changing the size,
 * or a volume's log lies there that has to be opened for writing first. CORRUPT: a segment can't be
 * emptied, as it is damaged; nothing is lost. */
COFFER_MUST_CHECK int coffer_store_resize(struct coffer_store *store, uint64_t size_bytes,
                                          struct coffer_fault *fault);

struct coffer_store_resize_opts {
    size_t size;
    uint64_t size_bytes;
    /* May be NULL: now and then while segments are emptied; any call but one that closes or resizes
     * the store may be made. Non-zero stops, and is returned: the store keeps its size, and what
     * was emptied need not be again. */
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

COFFER_MUST_CHECK int coffer_store_resize_with(struct coffer_store *store,
                                               const struct coffer_store_resize_opts *opts,
                                               struct coffer_fault *fault);

struct coffer_store_info {
    size_t size; /* set by the caller */
    struct coffer_uuid uuid;
    uint32_t format_major, format_minor;
    uint64_t epoch;      /* of the newest durable root                              */
    uint64_t size_bytes; /* all segments                                            */
    uint32_t segment_bytes;
    uint32_t segment_count, segments_free;
    uint32_t segments_conditioned; /* low segments that were written at least once           */
    uint64_t live_bytes;           /* pages that some tree holds, metadata included           */
    uint32_t volume_count;
    uint64_t log_bytes_since_checkpoint;
    uint64_t recovered_log_bytes; /* log that this open replayed                             */
    uint64_t recovery_ns;         /* and how long that took                                  */
    uint64_t memory_bytes;        /* heap in use by the engine now                           */
    uint64_t checkpoints;         /* since open                                              */
    uint64_t device_writes, device_write_bytes, device_reads, device_read_bytes, device_syncs;
    uint64_t capacity_bytes;    /* that may live: all segments but root slots and the reserve     */
    uint64_t reserve_bytes;     /* that cleaner and checkpoints work with                         */
    uint64_t provisioned_bytes; /* sizes of the volumes that are open                             */
    uint32_t warn_percent;      /* as opened with                                                 */
    uint32_t space_warning;     /* 1: more than that lives                                        */
    uint32_t cleaner_heads;
    uint32_t segments_waiting;      /* emptied, and free with the next checkpoint                */
    uint64_t written_bytes;         /* pages of callers since open                               */
    uint64_t cleaned_segments;      /* since open                                                */
    uint64_t moved_bytes;           /* pages that the cleaner moved since open, nodes included   */
    uint64_t cleaner_written_bytes; /* all blocks that it wrote, headers and rests included      */
    uint64_t cleaner_damaged_pages; /* moved as they were, although their checksum is wrong      */
    uint64_t light_checkpoints;     /* since open                                                */
    uint32_t cipher_backend;        /* in use: COFFER_CIPHER_EVP or COFFER_CIPHER_IPSEC_MB       */
};

COFFER_MUST_CHECK int coffer_store_info_get(struct coffer_store *store,
                                            struct coffer_store_info *ret_info);

/* Whether something in the store, a hidden node of its version tree among them, has the grant of
 * that id. Grants that the engine has made are called "coffer:STORE:VOLUME:..." (uuids, and 16 hex
 * digits): one of this store that nothing has is of no use, unless a copy of the store's file,
 * which has the same uuid, has what it is for. 1 or 0. */
int coffer_store_has_grant(struct coffer_store *store, const char *grant_id);

/* ---- volumes ----------------------------------------------------------------------------- */

struct coffer_volume_create_opts {
    size_t size;
    const char *name;       /* 1 to 63 of [A-Za-z0-9._-], not beginning with '-' or '.' */
    uint64_t size_bytes;    /* a multiple of 4096, 4096 to COFFER_VOLUME_BYTES_MAX      */
    int not_encrypted;      /* 1: checksums only, for ever; no key is asked for         */
    const char *kms_key_id; /* any form of key identifier; NULL: the managed default    */
    const struct coffer_key_provider *provider;
    const struct coffer_tag *tags; /* to begin with                                       */
    size_t tag_count;
    /* Who makes the volume, where that is not who uses it: asked to describe the key, to draw the
     * volume key and to grant its use to who provider speaks as. NULL: provider */
    const struct coffer_key_provider *caller;
};

/* Make a volume, all zeros; durable on return. It is not opened. Names of encrypted volumes are
 * sealed: when one cannot be opened to compare (no provider, key refused) and its one-byte hint
 * fits, that error is returned rather than risk two volumes of one name. */
COFFER_MUST_CHECK int coffer_volume_create(struct coffer_store *store,
                                           const struct coffer_volume_create_opts *opts,
                                           struct coffer_fault *fault);

/* What the caller knows of a volume from elsewhere. Open refuses with PIN when the volume found
 * under the name differs in any member that is set. */
struct coffer_pin {
    int use_uuid;
    struct coffer_uuid volume_uuid;
    int use_encrypted;
    int encrypted;
    const char *key_arn; /* NULL: not pinned */
};

enum coffer_volume_flags {
    COFFER_VOLUME_READ_ONLY = 1u << 0,
    COFFER_VOLUME_ALLOW_PLAIN = 1u << 1, /* open an unencrypted volume although provider is given */
    COFFER_VOLUME_IF_REFUSED = 1u << 2   /* coffer_volume_stop: only if its key is refused        */
};

#define COFFER_LEASE_NS_DEFAULT 300000000000ull /* 5 minutes */
#define COFFER_LEASE_NS_MIN 1000000000ull
#define COFFER_LEASE_NS_MAX 86400000000000ull            /* a day */
#define COFFER_RECOVERABLE_NS (7ull * 86400000000000ull) /* seven days of the wall clock */

struct coffer_volume_open_opts {
    size_t size;
    const char *name;
    unsigned flags;
    const struct coffer_key_provider *provider;
    struct coffer_pin pin;
    /*
     * How long the volume goes on without word from the key service [5 minutes; 1 s to a day]. The
     * provider, which must work until the volume is closed, is asked again whether it still
     * unwraps the volume key: each half of the lease in coffer_store_maintain or the background
     * thread, or, where nobody calls that, after three quarters in submit, reap and the synchronous
     * calls. Nothing waits for it meanwhile. No answer (unreachable, throttled, nonsense) is asked
     * for again with back-off until the lease ends. A refusal, or the end of the lease, stops the
     * volume: requests get INACCESSIBLE_CREDENTIALS; what was acknowledged is made durable, and
     * that it is inaccessible with it; its keys are wiped. Then the handle is only good for info
     * and close, and only coffer_volume_start lets the volume be opened again.
     */
    uint64_t lease_ns;
    /* coffer_volume_start only: who starts it, where that is not who uses it. NULL: provider */
    const struct coffer_key_provider *caller;
};

/*
 * Open a volume: unwrap its volume key, replay its part of the log, draw new data keys and make
 * the root that lists them durable (READ_ONLY: none of that is written). A volume is open once
 * for writing; opening it again gives BUSY. STOPPED, INACCESSIBLE_CREDENTIALS: see
 * coffer_volume_start.
 */
COFFER_MUST_CHECK int coffer_volume_open(struct coffer_store *store,
                                         const struct coffer_volume_open_opts *opts,
                                         struct coffer_volume **ret_volume,
                                         struct coffer_fault *fault);

/* Checkpoint and close; queues must not have requests for it in flight. NULL is allowed. NO_SPACE:
 * the store is too full to merge what was written; nothing is lost and the volume is still open, to
 * be closed when there is room, or left to coffer_store_close. Other errors leave it closed. */
int coffer_volume_close(struct coffer_volume *volume);

enum coffer_volume_access {
    COFFER_VOLUME_AVAILABLE = 0,
    COFFER_VOLUME_STOPPED,     /* by coffer_volume_stop                                      */
    COFFER_VOLUME_RECOVERABLE, /* its key was lost; it can be started for seven days         */
    COFFER_VOLUME_INACCESSIBLE /* for good: restore a snapshot into a new volume, or delete it */
};

/* "available", "stopped", "inaccessible-encryption-credentials-recoverable",
 * "inaccessible-encryption-credentials". Never NULL; static storage. */
const char *coffer_volume_access_name(enum coffer_volume_access access);

struct coffer_volume_info {
    size_t size;                      /* set by the caller */
    char name[COFFER_NAME_BYTES_MAX]; /* empty when sealed and no key opens it        */
    struct coffer_uuid uuid;
    char resource_id[COFFER_RESOURCE_ID_BYTES];
    uint64_t number; /* its number in the store's catalogue          */
    int encrypted;
    int name_known;
    int open_error;                         /* why the name is not known: a KEY class error */
    char key_arn[COFFER_KEY_ARN_BYTES_MAX]; /* empty for a plain volume                     */
    uint64_t size_bytes;
    uint64_t mapped_bytes;           /* pages that hold data, at the last checkpoint */
    uint64_t created_ns;             /* wall clock                                   */
    uint64_t key_generation;         /* of the volume key in use                     */
    uint64_t key_uses, key_uses_max; /* of that generation, counted across crashes   */
    uint64_t data_key_count;         /* data keys listed now                         */
    uint64_t data_key_bytes;         /* sealed under the newest, open volumes only   */
    uint64_t data_key_bytes_max;     /* then a new one is taken                      */
    enum coffer_volume_access access;
    int access_cause;         /* the error that the key service gave; 0: none */
    uint64_t access_since_ns; /* wall clock; 0 while it is available          */
    uint64_t access_until_ns; /* RECOVERABLE: it can be started before        */
    char grant_id[65];        /* the engine's on the key; empty: none         */
    uint64_t lease_ns;        /* open volumes only                            */
    uint64_t lease_left_ns;   /* until it stops, if the key service is silent */
};

COFFER_MUST_CHECK int coffer_volume_info_get(struct coffer_volume *volume,
                                             struct coffer_volume_info *ret_info);

/* Visit every volume, open or not. Names and sizes of encrypted volumes are sealed: with a
 * provider each volume's key is asked for, and what it refuses is visited with name_known 0.
 * visit returns non-zero to stop, which is then returned. */
COFFER_MUST_CHECK int coffer_volume_list(struct coffer_store *store,
                                         const struct coffer_key_provider *provider,
                                         int (*visit)(void *ctx,
                                                      const struct coffer_volume_info *info),
                                         void *ctx, struct coffer_fault *fault);

/* Change an open volume's size; durable on return. Pages beyond a smaller size are discarded. */
COFFER_MUST_CHECK int coffer_volume_resize(struct coffer_volume *volume, uint64_t size_bytes,
                                           struct coffer_fault *fault);

/*
 * Let a volume be opened again that was stopped, or whose key was lost and is usable again; durable
 * on return. 0 as well when it can be opened already. INACCESSIBLE_CREDENTIALS: seven days have
 * passed, by the wall clock and the latest that was seen since, and it stays so for good. An error
 * of class KEY: its key is still refused, and nothing has changed. A volume whose name no key opens
 * may be named by its ResourceId, here and in stop and delete; or is known by the UUID of opts'
 * pin, should the names of several fit.
 *
 * With a caller it is the caller's right to the key that is asked at this moment: the volume key
 * has to unwrap for it, too. Where the provider has no right to the key any more, its grant being
 * gone, the caller grants it anew.
 */
COFFER_MUST_CHECK int coffer_volume_start(struct coffer_store *store,
                                          const struct coffer_volume_open_opts *opts,
                                          struct coffer_fault *fault);
/*
 * Refuse opening until coffer_volume_start; durable on return, and 0 when it is so already. BUSY
 * while it is open. Where its key is disabled or in a state that forbids its use, the volume is
 * RECOVERABLE from now on. IF_REFUSED: only then; else nothing happens.
 */
COFFER_MUST_CHECK int coffer_volume_stop(struct coffer_store *store,
                                         const struct coffer_volume_open_opts *opts,
                                         struct coffer_fault *fault);

/* Delete a volume that is not open, with its wrapped keys, and retire its grant; durable on return.
 * One whose key was lost (RECOVERABLE, INACCESSIBLE) needs no key. */
COFFER_MUST_CHECK int coffer_volume_delete(struct coffer_store *store,
                                           const struct coffer_volume_open_opts *opts,
                                           struct coffer_fault *fault);

/* ---- synchronous I/O; any thread --------------------------------------------------------- */

/* Offsets and lengths in bytes, multiples of 512. A page that was never written, or was discarded,
 * reads as zeros. On an error of a page the others are delivered, the bad ones zeroed, and fault
 * names the first. */
COFFER_MUST_CHECK int coffer_volume_read(struct coffer_volume *volume, void *buffer,
                                         uint64_t offset_bytes, size_t length_bytes,
                                         struct coffer_fault *fault);
COFFER_MUST_CHECK int coffer_volume_write(struct coffer_volume *volume, const void *buffer,
                                          uint64_t offset_bytes, size_t length_bytes,
                                          unsigned flags, struct coffer_fault *fault);
/* Whole pages lose their data; the parts of pages at the ends are zeroed. */
COFFER_MUST_CHECK int coffer_volume_discard(struct coffer_volume *volume, uint64_t offset_bytes,
                                            uint64_t length_bytes, struct coffer_fault *fault);
COFFER_MUST_CHECK int coffer_volume_write_zeroes(struct coffer_volume *volume,
                                                 uint64_t offset_bytes, uint64_t length_bytes,
                                                 unsigned flags, struct coffer_fault *fault);
/* All writes of the store that completed before the call are durable on return. */
COFFER_MUST_CHECK int coffer_volume_flush(struct coffer_volume *volume, struct coffer_fault *fault);

/* Next run of pages at or after *offset_bytes that hold data, for sparse copies: sets *offset_bytes
 * and *length_bytes; length 0 when there is none. A page whose presence can't be told without
 * reading is data. */
COFFER_MUST_CHECK int coffer_volume_next_data(struct coffer_volume *volume, uint64_t *offset_bytes,
                                              uint64_t *length_bytes, struct coffer_fault *fault);

/* ---- queues ------------------------------------------------------------------------------ */

enum coffer_io_op {
    COFFER_IO_READ = 0,
    COFFER_IO_WRITE,
    COFFER_IO_FLUSH,
    COFFER_IO_DISCARD,
    COFFER_IO_WRITE_ZEROES
};

/* Of WRITE, WRITE_ZEROES and DISCARD, which without a flag complete when they are on the device. */
enum coffer_io_flags {
    COFFER_IO_FUA = 1u << 0, /* completes when durable */
    /* Completes when it is sealed in the log's memory, as in the volatile cache of a disk: the
     * death of the process may lose it, as a loss of power any unflushed write, from the end of the
     * log on. It goes to the device with the pages after it, a write that waits for the device, a
     * flush, or 1 s later (coffer_store_maintain). Reads give it at once. A device that fails is
     * told of by the next flush. Of no effect with FUA. */
    COFFER_IO_WRITE_BACK = 1u << 1
};

struct coffer_io {
    enum coffer_io_op op;
    unsigned flags;
    struct coffer_volume *volume;
    uint64_t offset_bytes;
    uint64_t length_bytes;   /* equals the sum of iov for READ and WRITE                        */
    const struct iovec *iov; /* each a multiple of 512 bytes; belongs to the queue until reaped */
    unsigned iov_count;
    void *user;
};

struct coffer_cqe {
    void *user;
    int result;                /* 0 or a negative enum coffer_error */
    struct coffer_fault fault; /* when result is not 0              */
};

struct coffer_queue_opts {
    size_t size;
    unsigned depth; /* requests in flight; 0: 128, at most 4096 */
};

COFFER_MUST_CHECK int coffer_queue_create(struct coffer_store *store,
                                          const struct coffer_queue_opts *opts,
                                          struct coffer_queue **ret_queue);
/* Waits for what is in flight; its completions are dropped. NULL is allowed. */
void coffer_queue_destroy(struct coffer_queue *queue);

/* A descriptor to poll: readable when reap has work to do. It belongs to the queue. -1 where the
 * device gives none. */
int coffer_queue_fd(struct coffer_queue *queue);

/*
 * Submit up to count requests, in order. Returns how many were taken (the rest were not, because
 * the queue is at its depth: reap, then submit them again), or AGAIN when none was, or another
 * error of the first. The iovec and the buffers must stay as they are until the completion is
 * reaped. Writes that overlap and are in flight together resolve page by page, in no certain
 * order. A bad request (range, alignment) is refused here and changes nothing.
 */
COFFER_MUST_CHECK int coffer_submit(struct coffer_queue *queue, const struct coffer_io *io,
                                    unsigned count);

/* Collect up to max completions, waiting until at least `wait` of those in flight are there.
 * Returns their number or an error of the queue itself. The work happens here and in submit. */
COFFER_MUST_CHECK int coffer_reap(struct coffer_queue *queue, struct coffer_cqe *cqe, unsigned max,
                                  unsigned wait);

/* ---- checks ------------------------------------------------------------------------------ */

enum coffer_check_flags {
    COFFER_CHECK_KEYLESS = 1u << 0, /* checksums and placement only, whatever keys there are     */
    COFFER_CHECK_SCRUB = 1u << 1    /* every live byte is read, extent by extent                 */
};

struct coffer_finding {
    int error; /* enum coffer_error                                  */
    enum coffer_stage stage;
    char volume[COFFER_NAME_BYTES_MAX];
    uint64_t page, segment, offset;
    char text[160];
};

struct coffer_check_opts {
    size_t size;
    unsigned flags;
    const struct coffer_key_provider *provider; /* NULL: keyless                              */
    uint64_t bytes_per_second_max;              /* 0: as fast as the device                   */
    int (*on_finding)(void *ctx, const struct coffer_finding *finding); /* non-zero stops     */
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

struct coffer_check_summary {
    uint64_t findings;
    uint64_t volumes, volumes_opened; /* opened: with their keys                            */
    uint64_t segments, pages_checked, tags_checked;
    uint64_t bytes_read;
};

/* Check a store opened READ_ONLY or for writing with no volume open. 0 when it could be run to
 * the end, whatever it found: findings are counted in ret_summary. */
COFFER_MUST_CHECK int coffer_store_check(struct coffer_store *store,
                                         const struct coffer_check_opts *opts,
                                         struct coffer_check_summary *ret_summary,
                                         struct coffer_fault *fault);

/* The store's keyless metadata, as a tree of named values. Each callback returns non-zero to stop.
 * name is NULL inside arrays. */
struct coffer_dump_ops {
    size_t size;
    int (*begin_object)(void *ctx, const char *name);
    int (*begin_array)(void *ctx, const char *name);
    int (*end)(void *ctx);
    int (*number)(void *ctx, const char *name, uint64_t value);
    int (*string)(void *ctx, const char *name, const char *value);
    int (*boolean)(void *ctx, const char *name, int value);
};

COFFER_MUST_CHECK int coffer_store_dump(struct coffer_store *store,
                                        const struct coffer_dump_ops *ops, void *ctx,
                                        struct coffer_fault *fault);

#ifdef __cplusplus
}
#endif

#include <coffer/snapshot.h>

#endif
