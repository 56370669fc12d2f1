/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/store.h - what an open store and an open volume are, and who calls whom in this room.
 *
 * One lock, store->lock, guards everything below but the sealing and opening of pages: these run
 * on the caller's core with a context of the caller's queue. README.md lists the room's files; the
 * declarations below stand under the name of theirs.
 */
#ifndef COF_VOLUME_STORE_H
#define COF_VOLUME_STORE_H

#include "base/env.h"
#include "clean/clean.h"
#include "crypto/keys.h"
#include "format/catalogue_format.h"
#include "format/taglist_format.h"
#include "lane/lane.h"
#include "map/tree.h"
#include "place/place.h"

#include <coffer/coffer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define COF_DATA_KEY_BYTES_MAX (UINT64_C(64) << 30)
#define COF_KEY_USES_MAX (UINT64_C(1) << 30)
#define COF_KEY_USES_PER_OPEN (UINT64_C(1) << 16)
#define COF_SPARE_KEYS 2u
#define COF_LINEAGE_LOCAL 0u
#define COF_LINEAGE_NONE (1u << 20) /* never given to an import */
#define COF_FULL_NAME_BYTES (2u * COFFER_NAME_BYTES_MAX)

struct cof_ek {
    struct cof_ek_entry entry;
    struct cof_ek_seal *seal; /* drawn in this process */
    struct cof_ek_open *open; /* unwrapped; NULL until it is needed */
    uint64_t young;           /* extents opened since the freeze */
    uint64_t bytes;           /* sealed by this process */
    bool changed;             /* range or flags changed since it was wrapped; key at hand */
    bool written, listed;     /* by the root that is coming, or was made last; by a durable one */
};

struct cof_extent; /* an open extent: extent.c */

/* The opening side of an extent's protection, shared by readers. */
struct cof_opener {
    uint32_t volume, lineage;
    uint64_t extent;
    bool encrypted;
    uint8_t uuid[16];
    uint64_t seed;
    struct cof_subkey_open *subkey;
    unsigned refs;
    struct cof_opener *newer, *older, *hash_next;
};

struct cof_catalogue_item {
    struct cof_volume_entry entry;
    uint8_t *ring;              /* entry.ring_bytes */
    uint32_t *lineages;         /* entry.lineages: number of each index; none: only our own */
    struct cof_writer *writers; /* entry.writers, oldest first */
    char clear_name[COF_CLEAR_NAME_MAX + 1u]; /* empty: the name is in the record */
    char grant_id[COF_GRANT_ID_MAX];          /* entry.grant_bytes */
    uint8_t record[COF_RECORD_BYTES];         /* sealed */
    bool dirty;
    bool arriving; /* a copy of this process is at work on it */
    struct coffer_volume *open;
    struct cof_catalogue_item *next; /* in ascending order of numbers */
};

/* An entry that comes into the catalogue with the next root: a snapshot of a volume, taken at the
 * freeze of the checkpoint that writes it, or a volume made from a snapshot; or entries that get
 * other keys. */
struct cof_birth {
    struct cof_catalogue_item *item; /* the catalogue's, once `done`; NULL: none comes */
    struct coffer_volume *volume;    /* a snapshot's volume; else NULL */
    uint64_t cut, size_pages;        /* of a snapshot: position and size at the freeze */
    uint64_t blocks;                 /* that write takes, beyond a few */
    /* Writes data keys and seals the record; after the records of all open volumes. */
    int (*write)(struct cof_birth *birth, const struct cof_raw_writer *writer);
    void *ctx;
    bool done;
};

struct cof_tag_cache {
    struct cof_tag_entry {
        uint64_t addr;
        uint8_t entry[COF_ENTRY_BYTES]; /* tag, checksum */
    } * entries;
    uint64_t count; /* a power of two */
};

/* The batch or group header that was read last for a tag, checked, of a segment as it was taken
 * then. */
struct cof_last_header {
    uint32_t segment, block; /* COF_NO_SEGMENT: none */
    uint64_t sequence;
    const uint8_t *entries; /* of its pages, in bytes */
    unsigned pages;
    uint8_t bytes[4096];
};

/* What an open volume has of the key service's trust (lease.c). */
struct cof_lease {
    struct coffer_key_provider provider; /* ops NULL: plain, nobody is asked */
    uint64_t length_ns, end_ns, next_ns, backoff_ns;
    uint64_t ticket; /* of the volume, while the lock is let go */
    int refused;     /* why it has to stop; 0: it need not */
    bool asking;     /* somebody is asking the provider */
    bool may_stop;   /* the handle is a caller's: nothing in here holds on to it */
};

struct coffer_volume {
    struct coffer_store *store;
    struct cof_catalogue_item *item;
    uint32_t number;
    unsigned index; /* of our own lineage: in addresses of what it writes */
    bool encrypted, read_only;
    struct cof_record record; /* as of the last root, and what the next one will say */
    struct cof_vk *vk;
    uint8_t vk_uuid[16];
    uint32_t generation;
    uint64_t key_uses_reserved; /* of the volume key, by this open */
    struct cof_ek *eks;
    unsigned ek_count, ek_capacity, ek_active;
    bool eks_dirty, eks_ready; /* ready: the root lists the keys that this process drew */
    unsigned eks_parts_written;
    struct cof_tag_part {
        uint8_t *bytes; /* as it shall lie; NULL: it goes */
        unsigned blocks;
        bool due; /* with the next record */
    } tag_part;

    struct cof_delta active, frozen;
    struct cof_kills active_kills, frozen_kills;
    bool has_frozen, frozen_valid, deleting;
    struct cof_tree tree;
    struct cof_cut cut; /* what the parent holds */
    uint64_t mapped_pages, size_pages;
    struct cof_node_io node_io;
    struct cof_extent *data_extent, *meta_extent;
    uint64_t chain_extent, frozen_chain_extent;
    unsigned chain_slots, frozen_chain_slots;
    uint64_t tail_first, tail_last; /* extents with writes that the tree does not know */
    uint64_t frozen_tail_first, frozen_tail_last;
    uint64_t *locked_pages; /* pages under read-modify-write */
    unsigned locked_count, locked_capacity;
    unsigned requests; /* in flight */
    int error;         /* sticky */
    struct cof_lease lease;
    bool stopped; /* its keys are wiped, and it is in store->stopped */
    struct coffer_volume_info last_info;
    struct coffer_volume *next;
};

enum cof_checkpoint_state {
    COF_CHECKPOINT_IDLE = 0,
    COF_CHECKPOINT_DRAIN,  /* batches below the freeze are on their way */
    COF_CHECKPOINT_MERGE,  /* one volume after another */
    COF_CHECKPOINT_FINISH, /* placement, catalogue, segment table; the root is made */
    COF_CHECKPOINT_SETTLE, /* until the root is durable */
    COF_CHECKPOINT_HELD    /* none may begin: trees are walked that must not change */
};

/* What COF_CHECKPOINT_SETTLE waits for. */
enum cof_settling {
    COF_SETTLING_LOG_SYNC,  /* of the log, begun before */
    COF_SETTLING_LANE_SYNC, /* of all that the root names */
    COF_SETTLING_FLIP       /* root.c */
};

struct cof_checkpoint {
    enum cof_checkpoint_state state;
    uint64_t freeze_batch;
    struct cof_lane_head head;
    uint64_t head_sequence;
    struct coffer_volume *volume; /* being merged */
    struct cof_merge merge;
    bool merging;
    enum cof_settling settling;
    bool full, clean;                   /* what settles; not a light one; the store closes */
    uint64_t lane_batch, lane_sequence; /* where the checkpoint lane was when its root was made */
    bool lane_syncs; /* a sync of that lane comes, begun after what the log has complete */
    uint64_t last_ns;
    uint64_t count;
};

#define COF_ROOT_COPIES 2u /* slots for each epoch */

/* A root on its way (root.c): the pair of its first epoch, synced; of its second, synced. */
enum cof_root_step {
    COF_ROOT_NONE = 0,
    COF_ROOT_FIRST,
    COF_ROOT_FIRST_SYNC,
    COF_ROOT_SECOND,
    COF_ROOT_SECOND_SYNC
};

struct cof_root_writer {
    struct coffer_segdev_channel *channel;
    struct cof_root root;
    enum cof_root_step step; /* that the device is at work on */
    uint8_t *block;          /* the root's bytes: page-aligned, the device's while any is flying */
    struct iovec iov;
    struct coffer_segdev_request requests[COF_ROOT_COPIES];
    unsigned flying;
    int error;   /* of a request */
    bool broken; /* the channel kept a request: nothing more can be asked of it */
};

#define COF_WAITING_MAX 64u
#define COF_RENEWALS_MAX 1024u
#define COF_SYNC_SLOTS 32u

/* What the cleaner did that waits for the next root. */
struct cof_cleaning {
    uint64_t settled_sequence;         /* the checkpoint lane's segment at the last root */
    uint32_t waiting[COF_WAITING_MAX]; /* victims */
    unsigned waiting_count;
    struct cof_renewal { /* records of the catalogue in victims */
        uint64_t key;
        uint32_t segment;
    } renewals[COF_RENEWALS_MAX];
    unsigned renewal_count;
    uint64_t renewal_blocks;
    uint64_t light_count; /* checkpoints that let victims go, since open */
    bool pressed;         /* nothing else is left: the victim takes what it needs but for the root
                           * that lets it go */
    uint64_t paid_pages;  /* of written_pages, for which the cleaner did its share */
};

/* A thread of the store's own, where one was asked for. */
struct cof_background {
    pthread_t thread;
    pthread_cond_t wake;
    bool running, stopping;
};

/* Memory that large reads land in. Its lock is a leaf. */
struct cof_landing {
    pthread_mutex_t lock;
    uint8_t *memory; /* NULL until it is wanted */
    unsigned units;  /* of the bitmap that there are */
    struct cof_bitmap taken;
};

struct coffer_store {
    struct cof_env env;
    struct coffer_segdev *dev;
    struct coffer_geometry geometry;
    struct cof_sync_io io;
    struct cof_root_writer roots;
    pthread_mutex_t
        admin;            /* one volume is made, opened, listed or deleted at a time; taken first */
    pthread_mutex_t lock; /* let go while the key service is asked */
    atomic_uint waiting;  /* threads that found it taken, of those who submit and reap */
    bool lock_ready, read_only, resizing;
    struct coffer_anchor anchor;
    uint64_t delta_entries_max, checkpoint_ns, sync_ns;
    uint32_t segment_blocks;

    struct cof_root root; /* the newest durable */
    uint8_t uuid[16];     /* the root's store uuid, to be read without the lock */
    uint64_t slot_epochs[COFFER_ROOT_SLOTS];
    struct coffer_anchor_state anchor_state; /* what was put last, or will be put next */
    uint64_t anchor_epoch;                   /* that new roots must be above           */
    uint64_t next_extent;
    struct cof_segments segments;
    struct cof_ptree catalogue_tree, placement_tree, segment_tree;
    struct cof_place place;
    struct cof_nodes nodes;
    struct cof_tag_cache tags;
    struct cof_last_header last_header;
    struct cof_leaves_ahead *leaves_ahead; /* node_io.c; NULL until leaves are read ahead */
    struct cof_arena *arena;
    enum coffer_cipher_backend cipher;
    struct cof_aead *aead; /* for seals and opens under the lock */
    struct cof_opener *openers[1024];
    struct cof_opener *opener_newest, *opener_oldest;
    unsigned opener_count, opener_max;

    struct cof_lane lane, meta;
    bool lanes_ready;
    struct cof_extent *extents;               /* all that are in memory */
    uint64_t *young_extents, *frozen_extents; /* numbers: opened since, before the freeze */
    unsigned young_count, young_capacity, frozen_count;
    struct cof_catalogue_item *items;
    uint32_t item_count, next_number;
    struct cof_birth *birth; /* or NULL */
    uint8_t (*lineages)[16]; /* uuids of imports' lineages; number i + 1 is at i */
    uint32_t lineage_count;
    bool lineages_dirty;
    struct cof_catalogue_item *loaded_last; /* while the catalogue is read */
    uint32_t forgotten[64]; /* volume numbers whose records are removed by the next root */
    unsigned forgotten_parts[64];
    unsigned forgotten_count;
    struct coffer_volume *volumes;
    struct coffer_volume *stopped;                       /* handles that only wait to be closed */
    uint64_t next_ticket, lease_early_ns, lease_late_ns; /* due; UINT64_MAX: nothing is */
    struct cof_landing landing;
    pthread_cond_t answered; /* a provider was asked, and has answered */
    struct coffer_queue *queues;
    uint64_t closed_queue_reads, closed_queue_read_bytes; /* and those of copies */
    struct coffer_queue *sync_queues;                     /* idle ones, for the synchronous calls */
    _Atomic(struct coffer_queue *) sync_slots[COF_SYNC_SLOTS]; /* likewise, without the lock */
    struct cof_checkpoint checkpoint;
    struct cof_cleaner cleaner;
    struct cof_cleaning cleaning;
    struct cof_background background;
    uint32_t warn_percent;
    bool warned;                                /* of space, since there was more */
    uint64_t deaths_ahead, frozen_deaths_ahead; /* of a full store: pages that were overwritten */
    uint64_t written_pages;                     /* by callers since open */
    bool keys_wanted;                           /* a volume used up its spare data keys */
    uint64_t recovered_blocks, recovery_ns, log_pages_since_checkpoint;
    uint64_t replayed_batch;         /* number after the last that was replayed */
    struct cof_reencrypt *reencrypt; /* under way; or NULL */
    int error;                       /* sticky */
};

/* ---- root.c ---- */
COFFER_MUST_CHECK int cof_roots_init(struct coffer_store *store);
/* Waits for what the device still holds. */
void cof_roots_done(struct coffer_store *store);
/* Begin to make a root durable, under the next epochs: the anchor is told. One at a time. */
COFFER_MUST_CHECK int cof_roots_begin(struct coffer_store *store, const struct cof_root *root);
/* Bring it on, with wait by one answer of the device: both of its flips and their syncs, then it is
 * store->root. No other sync is under way. 1: it moved; 0: it waits for the device. */
COFFER_MUST_CHECK int cof_roots_step(struct coffer_store *store, bool wait, bool *ret_durable);
/* Readable when the device has answered; or -1. */
int cof_roots_fd(const struct coffer_store *store);

/* ---- anchor.c ---- */
/* Compare the root and the catalogue, both just read, with the anchor. ROLLBACK unless accept. */
COFFER_MUST_CHECK int cof_anchor_check(struct coffer_store *store, bool accept,
                                       struct coffer_fault *fault);
/* Tell the anchor of the root that is about to be written, and that it is durable. */
COFFER_MUST_CHECK int cof_anchor_before_root(struct coffer_store *store, uint64_t epoch,
                                             struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_anchor_after_root(struct coffer_store *store, struct coffer_fault *fault);

/* ---- find_root.c ---- */
COFFER_MUST_CHECK int cof_store_find_root(struct coffer_store *store, struct coffer_fault *fault);

/* ---- recover.c ---- */
/* Follow the user lane from the root's head; tell whether anything was found and where the log
 * ends. */
COFFER_MUST_CHECK int cof_store_replay_lane(struct coffer_store *store, bool *ret_found,
                                            struct coffer_fault *fault);

/* ---- catalogue.c ---- */
COFFER_MUST_CHECK int cof_catalogue_load(struct coffer_store *store, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_catalogue_flush(struct coffer_store *store,
                                          const struct cof_raw_writer *writer);

/* ---- catalogue_item.c ---- */
/* A new entry with a number and a uuid of its own, not in the catalogue yet. */
COFFER_MUST_CHECK int cof_catalogue_item_new(struct coffer_store *store, enum cof_entry_kind kind,
                                             const char *full_name,
                                             struct cof_catalogue_item **ret_item);
void cof_catalogue_append(struct coffer_store *store, struct cof_catalogue_item *item);
/* Take out of the list; its records go with the next root. LIMIT. */
COFFER_MUST_CHECK int cof_catalogue_remove(struct coffer_store *store,
                                           struct cof_catalogue_item *item, unsigned key_parts);
/* NULL: none. */
struct cof_catalogue_item *cof_catalogue_at(const struct coffer_store *store, uint32_t number);
void cof_catalogue_item_free(struct coffer_store *store, struct cof_catalogue_item *item);
void cof_catalogue_done(struct coffer_store *store);
/* Copy lineages, writers and what the family's deep re-encrypt began with. */
COFFER_MUST_CHECK int cof_item_relate(struct coffer_store *store, struct cof_catalogue_item *item,
                                      const struct cof_catalogue_item *from);
COFFER_MUST_CHECK int cof_item_add_lineage(struct coffer_store *store,
                                           struct cof_catalogue_item *item, uint32_t number);
COFFER_MUST_CHECK int cof_item_add_writer(struct coffer_store *store,
                                          struct cof_catalogue_item *item,
                                          const struct cof_writer *writer);
/* uuid of a lineage number; NULL: there is none. */
const uint8_t *cof_lineage_uuid(const struct coffer_store *store, uint32_t number);
/* A number for a lineage that is imported; the next root lists it. */
COFFER_MUST_CHECK int cof_lineage_add(struct coffer_store *store, const uint8_t uuid[16],
                                      uint32_t *ret_number);
/* Number of the lineage of an address; COF_LINEAGE_NONE when its index has none. */
static inline uint32_t cof_item_lineage(const struct cof_catalogue_item *item, unsigned index)
{
    if (item->entry.lineages == 0) {
        return index == 0 ? COF_LINEAGE_LOCAL : COF_LINEAGE_NONE;
    }
    return index < item->entry.lineages ? item->lineages[index] : COF_LINEAGE_NONE;
}

/* Whether its extents were brought by a copy. */
static inline bool cof_item_is_import(const struct cof_catalogue_item *item)
{
    static const uint8_t none[16];
    return memcmp(item->entry.origin_uuid, none, 16) != 0;
}

static inline uint32_t cof_lineage_of(const struct coffer_volume *volume, struct cof_vaddr addr)
{
    return cof_item_lineage(volume->item, cof_vaddr_index(addr));
}

/* What names a page in the whole store: its address with the lineage's number as index. */
static inline struct cof_vaddr cof_store_address(const struct coffer_volume *volume,
                                                 struct cof_vaddr addr)
{
    return cof_vaddr_make(cof_lineage_of(volume, addr), cof_vaddr_extent(addr),
                          cof_vaddr_slot(addr), false);
}

/* ---- catalogue_find.c ---- */
void cof_resource_id(const char *prefix, const uint8_t uuid[16],
                     char ret_id[COFFER_RESOURCE_ID_BYTES]);
void cof_uuid_text(const uint8_t uuid[16], char ret_text[37]);
COFFER_MUST_CHECK int cof_name_hint(struct coffer_store *store, const char *name,
                                    uint8_t *ret_hint);
/* "VOLUME" or "VOLUME@SNAPSHOT". */
void cof_record_full_name(const struct cof_record *record, char ret_name[COF_FULL_NAME_BYTES]);
/* The volume key of an entry: of an open volume that has the same, which stays its, or unwrapped.
 * vk is NULL for an unencrypted one. */
struct cof_item_key {
    struct cof_vk *vk, *own;
    uint8_t vk_uuid[16];
};
COFFER_MUST_CHECK int cof_item_key_get(struct coffer_store *store,
                                       const struct cof_catalogue_item *item,
                                       const struct coffer_key_provider *provider,
                                       struct cof_item_key *ret_key, struct coffer_fault *fault);
void cof_item_key_put(struct cof_item_key *key);
/* The sealed record of an entry. Where an open volume has its volume key at hand, the provider is
 * not asked. */
COFFER_MUST_CHECK int cof_record_peek(struct coffer_store *store,
                                      const struct cof_catalogue_item *item,
                                      const struct coffer_key_provider *provider,
                                      struct cof_record *ret_record, struct coffer_fault *fault);
/* ARN of the key that wraps the ring, in clear there; empty: none. */
void cof_item_owner(const struct cof_catalogue_item *item, char ret_arn[COFFER_KEY_ARN_BYTES_MAX]);
/* What the entry knows better than the record: the key is the one that wraps the ring (a re-key
 * without plaintext can't reach the record), and a record that was sealed in another store does not
 * know its name, parent and cuts here. */
void cof_record_adapt(const struct coffer_store *store, const struct cof_catalogue_item *item,
                      struct cof_record *record);
/* Opens records until one has the full name. */
COFFER_MUST_CHECK int cof_catalogue_find(struct coffer_store *store, const char *name,
                                         const struct coffer_key_provider *provider,
                                         struct cof_catalogue_item **ret_item,
                                         struct coffer_fault *fault);

/* ---- lease.c ---- */
/* Of a volume that was just opened, by a provider that was asked from began_ns on. */
void cof_lease_begin(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                     uint64_t length_ns, uint64_t began_ns);
/* It is a caller's from now on, so that it may be stopped, and for so long. */
void cof_lease_lend(struct coffer_volume *volume, uint64_t length_ns);
/* Whether nothing may be read or written any more. */
bool cof_lease_over(const struct coffer_volume *volume);
/* INACCESSIBLE_CREDENTIALS, with a sentence, when it is over. */
COFFER_MUST_CHECK int cof_lease_check(const struct coffer_volume *volume,
                                      struct coffer_fault *fault);
/* Ask what is due, and stop what has to stop. early: who calls has nothing else to wait for. No
 * lock is held; without anything due it takes none. */
void cof_lease_run(struct coffer_store *store, bool early);
bool cof_lease_due(struct coffer_store *store, bool early);
/* Once the volume or its lease has changed. */
void cof_lease_schedule(struct coffer_store *store);
/* Until nobody asks about the volume: it will be freed. */
void cof_lease_wait(struct coffer_volume *volume);
/* Whether the error says that the key may not be used: no word that the service is away. */
bool cof_key_is_refused(int error);

/* ---- access.c ---- */
/* The stricter of what the entry and the record (NULL: sealed) say, as of now. */
enum cof_access cof_access_of(struct coffer_store *store, const struct cof_catalogue_item *item,
                              const struct cof_record *record);
/* STOPPED or INACCESSIBLE_CREDENTIALS, with a sentence. */
COFFER_MUST_CHECK int cof_access_check(struct coffer_store *store,
                                       const struct cof_catalogue_item *item,
                                       const struct cof_record *record, struct coffer_fault *fault);
void cof_access_info(struct coffer_store *store, const struct cof_catalogue_item *item,
                     const struct cof_record *record, struct coffer_volume_info *info);
/* Whether a volume whose key is lost can be started again: one that can't be stopped can't. */
enum cof_access cof_access_lost(const struct cof_catalogue_item *item);
/* What entry and record (NULL: sealed) are to say with the next root. */
void cof_access_note(struct coffer_store *store, struct cof_catalogue_item *item,
                     enum cof_access access, int cause, struct cof_record *record);
/* A volume that is open, without requests, and has to stop: durable, then without keys. NO_SPACE:
 * it waits for room with its keys; admin and lock are held. */
COFFER_MUST_CHECK int cof_access_stop(struct coffer_volume *volume, int cause);
/* At the store's open for writing: the clock that is seen, and what became of those for which time
 * is up. */
COFFER_MUST_CHECK int cof_access_sweep(struct coffer_store *store);
/* A volume by name, or, while its key is refused, by ResourceId or by the hint of its name. The
 * error of the refusal is in *ret_refused then, and 0 returned; without a key the entry's record is
 * not opened. */
struct cof_catalogue_item *cof_access_by_hint(struct coffer_store *store,
                                              const struct coffer_volume_open_opts *opts);
COFFER_MUST_CHECK int cof_access_find(struct coffer_store *store,
                                      const struct coffer_volume_open_opts *opts,
                                      struct cof_catalogue_item **ret_item, int *ret_refused,
                                      struct coffer_fault *fault);

/* ---- ring.c ---- */
#define COF_RING_WRAPS_MAX 16u
unsigned cof_ring_wraps(const struct cof_catalogue_item *item);
/* One wrap; the first is the owner's. CORRUPT when there is none, or the ring is damaged. */
COFFER_MUST_CHECK int cof_ring_wrap_at(const struct cof_catalogue_item *item, unsigned index,
                                       char arn[COFFER_KEY_ARN_BYTES_MAX],
                                       struct coffer_key_blob *ret_blob);
COFFER_MUST_CHECK int cof_ring_add(struct coffer_store *store, struct cof_catalogue_item *item,
                                   const char *arn, const struct coffer_key_blob *blob);
/* Take all wraps out. */
COFFER_MUST_CHECK int cof_ring_strip(struct coffer_store *store, struct cof_catalogue_item *item);
COFFER_MUST_CHECK int cof_ring_copy(struct coffer_store *store,
                                    const struct cof_catalogue_item *from,
                                    struct cof_catalogue_item *to);
/* The owner's wrap as the key service wraps it under another master key, for an entry with that
 * context uuid, without its plaintext. */
COFFER_MUST_CHECK int cof_ring_rewrapped(struct coffer_store *store,
                                         const struct cof_catalogue_item *item,
                                         const uint8_t context_uuid[16], const char *arn,
                                         const struct coffer_key_provider *provider,
                                         struct coffer_key_blob *ret_blob,
                                         struct coffer_fault *fault);
/* A wrap that takes another's place: that the key service gives the entry's volume key for it, as
 * far as who asks may decrypt. COMMIT, or an error of the service. */
COFFER_MUST_CHECK int cof_ring_verify(struct coffer_store *store,
                                      const struct cof_catalogue_item *item, const char *arn,
                                      const struct coffer_key_blob *blob,
                                      const struct coffer_key_provider *provider,
                                      struct coffer_fault *fault);
/* Which volume the encryption context of an entry's wraps names: a snapshot shares its volume's. */
const uint8_t *cof_context_uuid(const struct cof_catalogue_item *item);
/* The volume key of an entry, unwrapped by the provider and checked against its commitment. */
COFFER_MUST_CHECK int cof_keyring_unwrap(struct coffer_store *store,
                                         const struct cof_catalogue_item *item,
                                         const struct coffer_key_provider *provider,
                                         struct cof_vk **ret_vk, uint8_t ret_vk_uuid[16],
                                         struct coffer_fault *fault);
#define COF_CONTEXT_VOLUME "coffer:volume"
/* Put a new ring of one wrap, with a new volume key under key_arn, into the entry: untouched on
 * failure. The maker has it drawn, the provider unwraps it. */
COFFER_MUST_CHECK int cof_keyring_new(struct coffer_store *store, struct cof_catalogue_item *item,
                                      uint32_t generation, const char *key_arn,
                                      const struct coffer_key_provider *maker,
                                      const struct coffer_key_provider *provider,
                                      struct cof_vk **ret_vk, uint8_t ret_vk_uuid[16],
                                      struct coffer_fault *fault);

/* ---- grant.c ---- */
/* Have the caller grant the provider the use of the key for the entry's context. */
COFFER_MUST_CHECK int cof_grant_make(struct coffer_store *store, struct cof_catalogue_item *item,
                                     const char *arn, const struct coffer_key_provider *caller,
                                     const struct coffer_key_provider *provider,
                                     struct coffer_fault *fault);
/* Who makes or changes something: the caller, where there is one beside the provider. */
const struct coffer_key_provider *cof_grant_caller(const struct coffer_key_provider *caller,
                                                   const struct coffer_key_provider *provider);
void cof_grant_share(struct cof_catalogue_item *to, const struct cof_catalogue_item *from);
/* The entry is gone, durably: its grant goes unless another entry has it. That it can't be retired
 * is logged. */
void cof_grant_release(struct coffer_store *store, struct cof_catalogue_item *item,
                       const struct coffer_key_provider *provider);
/* What was made for an entry that does not come. A store that failed may have it all the same. */
void cof_grant_undo(struct coffer_store *store, struct cof_catalogue_item *item, const char *arn,
                    const struct coffer_key_provider *provider);

/* ---- keyring.c ---- */
/* Whether the volume key has to be replaced before the volume is written again, because it was used
 * often; and doing so (or because a snapshot has it too): a new generation, every data key wrapped
 * under it. Before any key was drawn. The old ring stays on disk until the next root is durable. */
bool cof_keyring_is_spent(const struct coffer_volume *volume);
COFFER_MUST_CHECK int cof_keyring_replace(struct coffer_volume *volume,
                                          const struct coffer_key_provider *provider,
                                          struct coffer_fault *fault);
/* Keep the record's count of uses ahead of what was used. */
void cof_keys_reserve_uses(struct coffer_volume *volume);
/* Whose record and tags it has: an import's are sealed for the entry it was in its own store. */
static inline const uint8_t *cof_item_sealed_uuid(const struct cof_catalogue_item *item)
{
    return item->entry.verbatim ? item->entry.sealed_uuid : item->entry.uuid;
}
static inline uint32_t cof_item_sealed_number(const struct cof_catalogue_item *item)
{
    return item->entry.verbatim ? item->entry.sealed_number : item->entry.number;
}
/* Of the checksums in a plain entry's seals' place. */
uint64_t cof_record_seed(const struct cof_catalogue_item *item);
COFFER_MUST_CHECK int cof_record_seal(struct cof_vk *vk, const uint8_t vk_uuid[16],
                                      struct cof_catalogue_item *item,
                                      const struct cof_record *record);
COFFER_MUST_CHECK int cof_record_open(struct cof_vk *vk, const uint8_t vk_uuid[16],
                                      const struct cof_catalogue_item *item,
                                      struct cof_record *ret_record);

/* ---- rekey.c ---- */
/* The public call, checked; admin and lock are held. */
COFFER_MUST_CHECK int cof_volume_rekey_named(struct coffer_store *store,
                                             const struct coffer_rekey_opts *opts,
                                             struct coffer_fault *fault);
/* What all calls that change keys check first. */
COFFER_MUST_CHECK int cof_rekey_check_call(const struct coffer_store *store, bool valid,
                                           const struct coffer_key_provider *provider,
                                           struct coffer_fault *fault);

/* ---- taglist.c ---- */
/* A list as it is sealed (format/taglist_format.h); length 0: no tags. */
struct cof_tag_bytes {
    uint8_t *bytes;
    size_t length;
};
void cof_tag_bytes_done(struct cof_env *env, struct cof_tag_bytes *list);
/* The tags of a new entry: those of what it is made from, and these over them. */
struct cof_tag_choice {
    bool inherit;
    const struct coffer_tag *tags;
    size_t count;
};
/* The tags of an open volume, or of a twin that has the entry's key and record. TAMPER, or CORRUPT
 * of an unencrypted one: they are not those that the record names. */
COFFER_MUST_CHECK int cof_taglist_read(const struct coffer_volume *from,
                                       struct cof_tag_bytes *ret_list);
/* The same, and that there are none where none are named. */
COFFER_MUST_CHECK int cof_taglist_check(const struct coffer_volume *volume);
/* INVALID or LIMIT, with a sentence. The list points to what it was given. */
COFFER_MUST_CHECK int cof_taglist_add(struct cof_taglist *list, const struct coffer_tag *tags,
                                      size_t count, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_taglist_pack(struct cof_env *env, const struct cof_taglist *list,
                                       struct cof_tag_bytes *ret_list);
COFFER_MUST_CHECK int cof_taglist_unpack(const struct cof_tag_bytes *bytes,
                                         struct cof_taglist *ret_list);
/* What choice comes to; `from` may be NULL where nothing is inherited. Its store's lock is held. */
COFFER_MUST_CHECK int cof_taglist_gather(struct coffer_store *store,
                                         const struct coffer_volume *from,
                                         const struct cof_tag_choice *choice,
                                         struct cof_tag_bytes *ret_list,
                                         struct coffer_fault *fault);
/* Seal a list for `to` under the sealer's volume key; it waits in `to` for cof_taglist_flush, and
 * to->record names it already. */
COFFER_MUST_CHECK int cof_taglist_prepare(struct coffer_volume *to,
                                          const struct coffer_volume *sealer,
                                          const struct cof_tag_bytes *list);
/* Both, for a new entry: whatever tags its record named before were another's. */
COFFER_MUST_CHECK int cof_taglist_begin(struct coffer_volume *to,
                                        const struct coffer_volume *sealer,
                                        const struct coffer_volume *from,
                                        const struct cof_tag_choice *choice,
                                        struct coffer_fault *fault);
/* The tags of an entry whose record is taken along as it is, sealed as they are; or not wanted. */
COFFER_MUST_CHECK int cof_taglist_carry(struct coffer_store *source,
                                        const struct cof_catalogue_item *from,
                                        struct coffer_volume *to, bool wanted);
/* Write what waits into the catalogue: with the root that has the record. */
COFFER_MUST_CHECK int cof_taglist_flush(struct coffer_volume *volume,
                                        const struct cof_raw_writer *writer);
void cof_taglist_done(struct coffer_volume *volume);

/* ---- datakeys.c ---- */
/* The entries as they stand, checked against nothing but the lineages. */
COFFER_MUST_CHECK int cof_keys_read(struct coffer_volume *volume, unsigned left,
                                    uint8_t ret_digest[32]);
COFFER_MUST_CHECK int cof_keys_load(struct coffer_volume *volume, struct coffer_fault *fault);
/* End all ranges at last_extent, drop unused spares, draw an active key from first_extent on and
 * spares. */
COFFER_MUST_CHECK int cof_keys_renew(struct coffer_volume *volume, uint64_t first_extent);
COFFER_MUST_CHECK int cof_keys_flush(struct coffer_volume *volume,
                                     const struct cof_raw_writer *writer);
/* Write all entries as they are, and their digest into the record. */
COFFER_MUST_CHECK int cof_keys_write(struct coffer_volume *volume,
                                     const struct cof_raw_writer *writer);
/* What was written then is listed by a root that is durable. */
void cof_keys_listed(struct coffer_volume *volume);
/* One more entry, as it is. */
COFFER_MUST_CHECK int cof_keys_add(struct coffer_volume *volume, const struct cof_ek_entry *entry);
/* At a snapshot: what follows last_extent is sealed under another key, where a spare is left. */
COFFER_MUST_CHECK int cof_keys_cut(struct coffer_volume *volume, uint64_t last_extent);
/* Give `twin`, which has the same volume key, the keys of all extents up to last_extent. */
COFFER_MUST_CHECK int cof_keys_share(struct coffer_volume *volume, struct coffer_volume *twin,
                                     uint64_t last_extent);
/* Give `to` the keys of `from`, wrapped under its own volume key, with flags added. */
COFFER_MUST_CHECK int cof_keys_rewrap(struct coffer_volume *from, struct coffer_volume *to,
                                      uint32_t flags);
void cof_keys_done(struct coffer_volume *volume);
/* Key of an extent: among those whose range has it, the one whose id the descriptor names. TAMPER
 * when there is none. */
COFFER_MUST_CHECK int cof_keys_find(struct coffer_volume *volume, const struct cof_desc *desc,
                                    struct cof_ek **ret_ek);
/* The active key for a new extent, rotated when its budget is spent. */
COFFER_MUST_CHECK int cof_keys_active(struct coffer_volume *volume, uint64_t extent, bool metadata,
                                      struct cof_ek **ret_ek);
COFFER_MUST_CHECK int cof_keys_opened(struct coffer_volume *volume, struct cof_ek *ek);
/* Whether the entry has that turn, of a deep re-encrypt in this store. */
bool cof_ek_turn_is(const struct coffer_volume *volume, const struct cof_ek_entry *entry,
                    uint32_t turn);
/* Room for `more` entries beyond those there are. LIMIT when the table can't have so many. */
COFFER_MUST_CHECK int cof_keys_reserve(struct coffer_volume *volume, unsigned more);
/* Where room was reserved. */
void cof_keys_append(struct coffer_volume *volume, const struct cof_ek *ek);
/* The key is wiped, its entry goes with the next root that has the table. */
void cof_keys_drop(struct coffer_volume *volume, unsigned at);
/* An entry for the range of one that leaves, wrapped under the volume's key; not listed yet. The
 * successor stays the caller's. */
COFFER_MUST_CHECK int cof_keys_succeed(struct coffer_volume *volume,
                                       const struct cof_ek_entry *leaving,
                                       struct cof_ek_seal *successor, uint32_t key_id,
                                       struct cof_ek *ret_ek);
/* The key of an entry, for the caller. */
COFFER_MUST_CHECK int cof_keys_unwrap(struct coffer_volume *volume, const struct cof_ek *ek,
                                      struct cof_ek_open **ret_open);
COFFER_MUST_CHECK int cof_keys_activate(struct coffer_volume *volume, struct cof_ek *ek,
                                        uint64_t first_extent);
void cof_keys_count(struct coffer_volume *volume, uint32_t key_id, int change, bool young);

/* ---- extent.c ---- */
struct cof_extent {
    struct coffer_volume *volume;
    struct cof_desc *desc;
    struct cof_subkey_seal *subkey;
    uint64_t seed, number, chain;
    unsigned refs; /* runs in batches that are not written yet, and sealers at work */
    bool closed, metadata;
    struct cof_extent *next;
    uint64_t words[COF_NODE_FANOUT];
};
/* For an extent that is opened, or sealed anew. */
COFFER_MUST_CHECK int cof_extent_draw_uuid(struct coffer_store *store, uint8_t uuid[16]);
COFFER_MUST_CHECK int cof_extent_prepare(struct coffer_volume *volume, bool metadata,
                                         struct cof_extent **ret_extent);
/* Place count slots (words) of the extent in the lane's open batch: returns the first page. */
COFFER_MUST_CHECK int cof_extent_place(struct cof_extent *extent, struct cof_lane *lane,
                                       const uint64_t *words, unsigned count, bool no_pages,
                                       unsigned *ret_first_slot, unsigned *ret_first_page);
void cof_extent_close(struct coffer_volume *volume, bool metadata, bool summary);
void cof_extent_put(struct coffer_store *store, struct cof_extent *extent);
void cof_extents_done(struct coffer_store *store);
extern const struct cof_lane_ops cof_user_lane_ops, cof_meta_lane_ops;

/* ---- landing.c ---- */
/* Of half the staging bytes, at most 8 MiB, once it is wanted. */
void cof_landing_init(struct coffer_store *store, uint64_t staging_bytes);
void cof_landing_done(struct coffer_store *store);
/* Blocks that lie in one piece; NULL: there are none. To be given back, by any thread. */
uint8_t *cof_landing_take(struct coffer_store *store, unsigned blocks);
void cof_landing_give(struct coffer_store *store, const uint8_t *memory, unsigned blocks);

/* ---- protect.c ---- */
/* Seal a page into out (or checksum it, in a plain volume) and make its entry. */
COFFER_MUST_CHECK int cof_protect_page(struct cof_aead *aead, const struct cof_extent *extent,
                                       enum cof_page_kind kind, unsigned slot, uint64_t word,
                                       const uint8_t *in, uint8_t *out,
                                       uint8_t ret_entry[COF_ENTRY_BYTES]);
/* Open what was read into page, which may be where it lies. CORRUPT when the checksum of the entry
 * says that the bytes are damaged, TAMPER when they are not and yet do not open; the page is zeroed
 * then. */
COFFER_MUST_CHECK int cof_unprotect_page(struct cof_aead *aead, const struct cof_opener *opener,
                                         enum cof_page_kind kind, unsigned slot, uint64_t word,
                                         const uint8_t *in, uint8_t *page,
                                         const uint8_t entry[COF_ENTRY_BYTES]);
COFFER_MUST_CHECK int cof_protect_list(struct cof_aead *aead, const struct cof_extent *extent,
                                       const struct cof_run *run, const uint8_t session[16],
                                       uint64_t batch_no, uint8_t *list, size_t bytes,
                                       uint8_t ret_tag[16]);
COFFER_MUST_CHECK int cof_unprotect_list(struct cof_aead *aead, const struct cof_opener *opener,
                                         const struct cof_run *run, const uint8_t session[16],
                                         uint64_t batch_no, uint8_t *list, size_t bytes);
/* Open a page, in place, of which nothing is known but its kind and slot, and seal it as it was
 * under another subkey; binding is of the first. Errors as above; the page is zeroed then. */
COFFER_MUST_CHECK int cof_reprotect_page(struct cof_aead *aead, struct cof_binding *binding,
                                         const struct cof_subkey_open *from,
                                         const struct cof_subkey_seal *to, enum cof_page_kind kind,
                                         unsigned slot, uint8_t *page,
                                         uint8_t entry[COF_ENTRY_BYTES]);
uint64_t cof_plain_seed(const uint8_t lineage[16], uint64_t extent, const uint8_t uuid[16]);
/* Opener of an extent, from the cache; give it back with cof_opener_put. */
COFFER_MUST_CHECK int cof_opener_get(struct coffer_volume *volume, const struct cof_desc *desc,
                                     struct cof_opener **ret_opener);
void cof_opener_put(struct coffer_store *store, struct cof_opener *opener);
/* Forget all that nobody uses now. */
void cof_openers_idle(struct coffer_store *store);
void cof_openers_forget(struct coffer_store *store, uint32_t volume);

/* ---- fetch.c ---- */
/* Blocks of trees (cof_raw_reader): from the checkpoint lane, as long as the device has not got
 * them. */
COFFER_MUST_CHECK int cof_raw_get(void *ctx, const struct cof_tree_pointer *place, uint8_t *bytes);
COFFER_MUST_CHECK int cof_tags_init(struct cof_tag_cache *tags, struct cof_env *env,
                                    uint64_t budget_bytes);
bool cof_tags_get(const struct cof_tag_cache *tags, struct cof_vaddr addr,
                  uint8_t ret_entry[COF_ENTRY_BYTES]);
void cof_tags_put(struct cof_tag_cache *tags, struct cof_vaddr addr,
                  const uint8_t entry[COF_ENTRY_BYTES]);
void cof_tags_forget(struct cof_tag_cache *tags, struct cof_vaddr addr);
/* The entries of a batch or group, in its header: NULL unless the header is whole, this store's and
 * this place's. */
const uint8_t *cof_header_entries(const struct coffer_store *store, const uint8_t header[4096],
                                  uint32_t segment, uint32_t header_block, unsigned *ret_pages);
/* The entry of the page at block, out of its header. */
COFFER_MUST_CHECK int cof_entry_from_header(const struct coffer_store *store,
                                            const uint8_t header[4096], uint32_t segment,
                                            uint32_t header_block, uint32_t block,
                                            uint8_t ret_entry[COF_ENTRY_BYTES]);
/* Where a page of a volume is on the device, and who opens it: to be put when it is open. */
struct cof_fetch {
    struct cof_opener *opener;
    uint32_t segment, block, header_block;
    unsigned slot;
};
COFFER_MUST_CHECK int cof_fetch_find(struct coffer_volume *volume, struct cof_vaddr addr,
                                     struct cof_fetch *ret_fetch, struct coffer_fault *fault);
/* Read, check and open one page of a volume, waiting: nodes, summaries. */
COFFER_MUST_CHECK int cof_fetch_page(struct coffer_volume *volume, struct cof_vaddr addr,
                                     enum cof_page_kind kind, uint64_t word, uint8_t page[4096],
                                     struct coffer_fault *fault);
/* Whether pages of the extent may be the volume's: its own, or a relative's. */
static inline bool cof_volume_may_hold(const struct coffer_volume *volume,
                                       const struct cof_desc *desc)
{
    return desc->volume == volume->number || volume->item->entry.family != 0;
}

/* Address of a page now: delta, frozen delta, tree. */
COFFER_MUST_CHECK int cof_volume_lookup(struct coffer_volume *volume, uint64_t page,
                                        struct cof_vaddr *ret_addr);
void cof_volume_node_io(struct coffer_volume *volume);

/* ---- next_data.c ---- */
/* Move *page to the first one at or behind it that has data, or to the volume's end or beyond.
 * Under the store's lock, which others have meanwhile. */
COFFER_MUST_CHECK int cof_volume_next_data(struct coffer_volume *volume, uint64_t *page);

/* ---- replay.c ---- */
COFFER_MUST_CHECK int cof_volume_replay(struct coffer_volume *volume, struct coffer_fault *fault);

/* ---- space.c ---- */
/* Segments that stay free after a checkpoint: the more, the better one can wait. */
enum { COF_SPARE_OPEN = 1, COF_SPARE_ADMIN = 2, COF_SPARE_WRITE = 3 };

bool cof_checkpoint_due(struct coffer_store *store);
/* Whether a checkpoint of what is dirty, and of blocks more, finds room and leaves spare segments
 * free: 0 or NO_SPACE. A bucket that changes takes COF_BUCKET_BLOCKS. */
#define COF_BUCKET_BLOCKS 3u
#define COF_ENTRY_BLOCKS 16u /* of a volume in the catalogue, without its data keys */
COFFER_MUST_CHECK int cof_checkpoint_room(const struct coffer_store *store, uint64_t blocks,
                                          unsigned spare);
/* Blocks more that it may need when pages in so many buckets more die or move: new extents are not
 * bounded by what there is, and take COF_BUCKET_BLOCKS each. */
uint64_t cof_bucket_blocks(const struct coffer_store *store, uint64_t buckets);
/* The same once no checkpoint is under way: until the lock is let go a light one can follow. To be
 * asked before anything is changed. */
COFFER_MUST_CHECK int cof_checkpoint_ready(struct coffer_store *store, uint64_t blocks,
                                           unsigned spare);
/* Segments that the next checkpoint may need beside the one it writes to; and those that belong to
 * checkpoints alone: one more. */
uint32_t cof_checkpoint_segments(const struct coffer_store *store);
/* Whether a light one finds room: where a full one follows, that does too, if not before then in
 * `freed` segments that are free once the light one is durable. */
COFFER_MUST_CHECK int cof_light_room(const struct coffer_store *store, bool full_follows,
                                     uint32_t freed);
uint32_t cof_checkpoint_floor(const struct coffer_store *store);
/* And those that the log leaves: to the cleaner, too. */
#define COF_CLEANER_SEGMENTS 2u
uint32_t cof_segments_kept(const struct coffer_store *store);
uint32_t cof_reserve_segments(const struct coffer_store *store);
/* That may live. */
uint64_t cof_capacity_blocks(const struct coffer_store *store);
/* Segments that a store needs for what lives in this one: no more than it has. */
uint32_t cof_segments_needed(const struct coffer_store *store);
/* Whether the log takes slots for `pages` pages, or discards, more: 0, once what can give room was
 * done, or NO_SPACE. The lock is let go meanwhile. */
COFFER_MUST_CHECK int cof_log_ready(struct coffer_store *store, uint64_t pages);
/* What lets the log go on when its lane found no segment: a root that begins here, and so names the
 * next one; or room for one. */
COFFER_MUST_CHECK int cof_log_help(struct coffer_store *store);
/* As cof_log_ready, and that the store is not full, or the pages take the place of others. */
COFFER_MUST_CHECK int cof_store_admit(struct coffer_volume *volume, uint64_t page, uint64_t pages);
/* Whether it would at once, whatever the pages take the place of. */
bool cof_store_admits(const struct coffer_store *store, uint64_t pages);
/* The same for pages that come in through the checkpoint lane. */
COFFER_MUST_CHECK int cof_import_admit(struct coffer_store *store, uint64_t pages);

/* ---- cleaning.c ---- */
/* That a store of this size is cleaned with, unless told otherwise. */
unsigned cof_cleaning_heads(const struct coffer_store *store);
COFFER_MUST_CHECK int cof_cleaning_init(struct coffer_store *store, unsigned heads);
/* A slice of the cleaner's work, when segments are few. 1: there is more to do now. */
COFFER_MUST_CHECK int cof_cleaning_slice(struct coffer_store *store);
/* What becomes readable when the device has done something for a root that settles or, with
 * cleaning, for the cleaner, which a slice goes on with; -1: nothing is in flight, or the device
 * has no descriptor. */
int cof_cleaning_fd(struct coffer_store *store, bool cleaning);
/* Below so many free segments it works. */
uint32_t cof_cleaning_low(const struct coffer_store *store);
/* One victim (COF_NO_SEGMENT: the best) from begin to end. NO_SPACE: there is none, or no room for
 * its survivors. */
COFFER_MUST_CHECK int cof_clean_one(struct coffer_store *store, uint32_t victim);
/* For the first root of a session that had to begin new segments, where few are left: what lies
 * thinly in the checkpoint lane's old ones comes with that root. Room that is not there is no
 * error. */
COFFER_MUST_CHECK int cof_cleaning_gather_roots(struct coffer_store *store);
/* One measure that may give room, the least first: letting victims go, another victim, a
 * checkpoint. The victim is the emptiest, or what is cheapest in the long run, which may give next
 * to nothing now. 0: ask again; NO_SPACE: none is left. */
COFFER_MUST_CHECK int cof_store_relieve(struct coffer_store *store, bool emptiest);
/* Blocks of the catalogue that victims had, anew: with the root that is being written. */
COFFER_MUST_CHECK int cof_cleaning_renew(struct coffer_store *store,
                                         const struct cof_raw_writer *writer);
/* Log a warning when more lives than the threshold, once until less does. */
void cof_space_warn(struct coffer_store *store);
bool cof_space_is_low(const struct coffer_store *store);
/* A root was made that lets victims go; and it is durable: the segment of the checkpoint lane where
 * it was made has this sequence. */
void cof_cleaning_condemned(struct coffer_store *store);
void cof_cleaning_settled(struct coffer_store *store, uint64_t sequence);
/* Between roots that are made and roots that are durable nothing is published, nor while trees are
 * walked: wait until it may be. The store's error is looked at by the caller. */
void cof_cleaning_wait(struct coffer_store *store);

/* ---- shrink.c ---- */
/* Take the segments from `count` on away: fewer than there are. No more than one at a time. */
COFFER_MUST_CHECK int cof_store_shrink(struct coffer_store *store, uint32_t count,
                                       const struct coffer_store_resize_opts *opts,
                                       struct coffer_fault *fault);
/* Name the extents in a segment to the cleaner as the placement table has them. */
COFFER_MUST_CHECK int cof_shrink_survey(struct coffer_store *store, uint32_t segment);

/* ---- checkpoint.c ---- */
/* One step; *ret_more: there is more to do now. */
COFFER_MUST_CHECK int cof_checkpoint_step(struct coffer_store *store, bool *ret_more);
/* Replay begins where the user lane stands now, and needs its segments from there on. */
void cof_checkpoint_begin_here(struct coffer_store *store);
/* Run to the end of the checkpoint that is under way, if there is one. Lets others in. */
COFFER_MUST_CHECK int cof_checkpoint_settle(struct coffer_store *store);
/* If a root is on its way, wait until it is durable, and let nobody in. */
COFFER_MUST_CHECK int cof_checkpoint_end(struct coffer_store *store);
/* Between COF_CHECKPOINT_HELD and IDLE: let other threads in. */
void cof_checkpoint_breathe(struct coffer_store *store);
/* Run to the end of one whole checkpoint that begins after this call. NO_SPACE: there is no room
 * for it, and nothing was done; any other error fails the store. */
COFFER_MUST_CHECK int cof_checkpoint_run(struct coffer_store *store, bool clean);
/* The same where less has to stay free. */
COFFER_MUST_CHECK int cof_checkpoint_whole(struct coffer_store *store, unsigned spare);
/* Make catalogue, placement and segments durable as they are, without moving the place where
 * replay begins: for a volume that was created, opened or changed. Any error fails the store, so
 * ask cof_checkpoint_room before anything is changed. */
COFFER_MUST_CHECK int cof_checkpoint_light(struct coffer_store *store);
/* The same, but its root becomes durable in slices. No checkpoint is under way. */
COFFER_MUST_CHECK int cof_checkpoint_light_begin(struct coffer_store *store);
/* A slice of what is due, on a caller's thread: cleaning is paid for by who writes, and left to the
 * background thread, if there is one. What it asks of the lane the caller carries. cof_store_work:
 * all of it. 1: more is due now. */
COFFER_MUST_CHECK int cof_store_slice(struct coffer_store *store, bool pays);
COFFER_MUST_CHECK int cof_store_work(struct coffer_store *store);

/* ---- background.c ---- */
COFFER_MUST_CHECK int cof_background_start(struct coffer_store *store);
/* There is work. The lock is held. */
void cof_background_wake(struct coffer_store *store);
/* Waits for it. No lock is held. */
void cof_background_stop(struct coffer_store *store);
void cof_store_fail(struct coffer_store *store, int error);
void cof_queues_wake(struct coffer_store *store);

/* ---- finish.c ---- */
/* Add a volume's death, under the number of its lineage. */
COFFER_MUST_CHECK int cof_death_add(struct cof_kills *deaths, const struct coffer_volume *volume,
                                    struct cof_vaddr addr);
/* Apply deaths, before the root that records them; sorts them. What changes is written on the way
 * when it is beyond the budget of the placement table. */
COFFER_MUST_CHECK int cof_deaths_apply(struct coffer_store *store, struct cof_kills *deaths);
/* That alone, for who applies deaths himself. */
COFFER_MUST_CHECK int cof_deaths_spill(struct coffer_store *store);
/* The end of a checkpoint (full) or a light one: all is written, and the root made, which then has
 * to settle. On failure the caller fails the store. */
COFFER_MUST_CHECK int cof_checkpoint_finish(struct coffer_store *store, bool full, bool clean);

/* ---- settle.c ---- */
/* Make the root of what was written, and let it settle. On failure the caller fails the store. */
COFFER_MUST_CHECK int cof_settle_begin(struct coffer_store *store, bool clean);
/* Only a new root: for the open of a store that was closed cleanly. */
COFFER_MUST_CHECK int cof_settle_roots(struct coffer_store *store);
/* Bring a root that settles on, with wait by one answer of the device. 1: it moved; 0: it waits for
 * the device. On failure the caller fails the store. */
COFFER_MUST_CHECK int cof_settle_step(struct coffer_store *store, bool wait);
/* Readable when the device has answered a root that settles. -1: none does, the device has no
 * descriptor, or what is waited for comes through the log's channel. */
int cof_settle_fd(struct coffer_store *store);
/* A broken engine's: what a root that is not durable yet does not need is free. */
void cof_segments_free_early(struct coffer_store *store);
void cof_queue_free(struct coffer_queue *queue);

/* ---- snapshot.c ---- */
/* A stand-in for an entry whose keys and record are being made: never in the store's list. */
COFFER_MUST_CHECK int cof_twin_new(struct coffer_store *store, struct cof_catalogue_item *item,
                                   bool encrypted, struct coffer_volume **ret_twin);
void cof_twin_free(struct coffer_volume *twin);
/* Run the checkpoint that ends with the birth. */
COFFER_MUST_CHECK int cof_give_birth(struct coffer_store *store, struct cof_birth *birth);
/* The volume of store->birth was merged up to its freeze. */
COFFER_MUST_CHECK int cof_snapshot_merged(struct coffer_store *store);
/* VOLUME@NAME, or INVALID. */
COFFER_MUST_CHECK int cof_snapshot_full_name(const char *volume, const char *name,
                                             char full[COF_FULL_NAME_BYTES],
                                             struct coffer_fault *fault);
/* As cof_snapshot_find, but the name may be an id; and where decrypting is denied, the only entry
 * whose hint fits is taken. */
COFFER_MUST_CHECK int cof_snapshot_find_sealed(struct coffer_store *store,
                                               const struct coffer_snapshot_opts *opts,
                                               struct cof_catalogue_item **ret_item,
                                               struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_snapshot_find(struct coffer_store *store,
                                        const struct coffer_snapshot_opts *opts,
                                        struct cof_catalogue_item **ret_item,
                                        struct coffer_fault *fault);
/* Open it for reading. Takes the locks. */
COFFER_MUST_CHECK int cof_snapshot_open(struct coffer_store *store,
                                        const struct coffer_snapshot_opts *opts,
                                        struct coffer_volume **ret_volume,
                                        struct coffer_fault *fault);
/* A snapshot of an open volume, called volume_name@name, with its tags. Takes the locks. */
COFFER_MUST_CHECK int cof_snapshot_take(struct coffer_volume *volume, const char *volume_name,
                                        const char *name,
                                        const struct coffer_key_provider *provider,
                                        struct coffer_fault *fault);
/* Entries whose parent is `number`; the first of them, if wanted. */
uint32_t cof_children_of(const struct coffer_store *store, uint32_t number,
                         struct cof_catalogue_item **ret_first);

/* ---- copy.c ---- */
/* Take an interrupted copy back: its pages die and its entry goes with the next root, written. */
COFFER_MUST_CHECK int cof_copy_abandon(struct coffer_store *store, struct cof_catalogue_item *item,
                                       const struct coffer_key_provider *provider);

/* ---- clone.c ---- */
/* A volume, or a copy of the snapshot if the name is a snapshot's, that shares all pages with it.
 * admin and lock are held. */
struct cof_clone {
    const char *name, *kms_key_id; /* of what is made; NULL: under the snapshot's key */
    const struct coffer_key_provider *caller, *provider;
    struct cof_tag_choice tags;
};
COFFER_MUST_CHECK int cof_snapshot_clone(struct coffer_store *store,
                                         const struct coffer_snapshot_opts *from,
                                         const struct cof_clone *how, struct coffer_fault *fault);

/* ---- reseal.c ---- */
/* An open volume's or snapshot's contents, page by page into a new encrypted volume; with
 * `snapshot`, into a snapshot of that name of a volume that is not there. No lock is held. */
struct cof_reseal {
    struct coffer_volume *from;
    struct coffer_store *destination;
    const char *volume, *snapshot;
    const char *kms_key_id;
    const struct coffer_key_provider *caller; /* NULL: provider */
    const struct coffer_key_provider *provider;
    struct cof_tag_choice tags;
    bool threaded; /* a second thread reads and opens */
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* may be NULL */
    void *ctx;
};
COFFER_MUST_CHECK int cof_reseal_run(const struct cof_reseal *reseal, struct coffer_fault *fault);
/* Take away what interrupted ones left; lock is held. That it can't go now is no failure. */
COFFER_MUST_CHECK int cof_interim_sweep(struct coffer_store *store);

/* ---- reseal_pages.c ---- */
/* All that reseal->from holds into `to`, which holds nothing: on the device on return, and durable
 * with the next checkpoint. No lock is held. */
COFFER_MUST_CHECK int cof_reseal_pages(const struct cof_reseal *reseal, struct coffer_volume *to,
                                       struct coffer_fault *fault);

/* ---- prune.c ---- */
/* Take a node out of its family, with what only it holds: its child, if it has one, becomes its
 * parent's; with more it stays, hidden. Then hidden ancestors that have one child left. node is
 * open for writing, checkpointed and is closed by this (a volume), or NULL (a snapshot). */
COFFER_MUST_CHECK int cof_node_remove(struct coffer_store *store, struct cof_catalogue_item *item,
                                      struct coffer_volume *node,
                                      const struct coffer_key_provider *provider,
                                      struct coffer_fault *fault);
/* A volume that is not open, without its key: what it wrote dies by its tag, but for what its
 * parent has, and what no entry's tree may refer to any more. */
COFFER_MUST_CHECK int cof_node_purge(struct coffer_store *store, struct cof_catalogue_item *item,
                                     const struct coffer_key_provider *provider,
                                     struct coffer_fault *fault);
/* The hidden node of that number, and those above it, as far as they no longer branch. */
COFFER_MUST_CHECK int cof_node_remove_hidden(struct coffer_store *store, uint32_t number,
                                             const struct coffer_key_provider *provider,
                                             struct coffer_fault *fault);
/* Walk trees while no checkpoint may change them; others are let in only where the walk pauses. The
 * caller settled the last checkpoint before it took the trees' roots. */
struct cof_diff;
COFFER_MUST_CHECK int cof_walk_held(struct coffer_store *store, struct cof_diff *diff);
/* Pages that only this node holds. */
COFFER_MUST_CHECK int cof_node_exclusive(struct coffer_store *store,
                                         struct cof_catalogue_item *item,
                                         const struct coffer_key_provider *provider,
                                         uint64_t *ret_pages, struct coffer_fault *fault);

/* ---- volume_admin.c ---- */
/* As the public calls, for names that begin with a dot too, and with these tags; admin and lock are
 * held. */
COFFER_MUST_CHECK int cof_volume_create_named(struct coffer_store *store,
                                              const struct coffer_volume_create_opts *opts,
                                              const struct cof_tag_bytes *tags,
                                              struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_volume_delete_named(struct coffer_store *store,
                                              const struct coffer_volume_open_opts *opts,
                                              struct coffer_fault *fault);
void cof_volume_fill_info(const struct coffer_volume *volume, struct coffer_volume_info *info);
/* The key's ARN, and that it may be used now. */
COFFER_MUST_CHECK int cof_key_resolve(struct coffer_store *store,
                                      const struct coffer_key_provider *provider,
                                      const char *kms_key_id, struct coffer_key_info *info,
                                      struct coffer_fault *fault);
/* EXISTS, or why it can't be told whether the full name is taken. */
COFFER_MUST_CHECK int cof_name_is_free(struct coffer_store *store, const char *name,
                                       const struct coffer_key_provider *provider,
                                       struct coffer_fault *fault);

/* ---- volume_open.c ---- */
COFFER_MUST_CHECK int cof_volume_check_name(const char *name);
/* A full name, of a volume or a snapshot. */
COFFER_MUST_CHECK int cof_check_full_name(const char *name);
/* Open an entry that was found; admin and lock are held. A snapshot or a hidden node opens for
 * reading only. */
COFFER_MUST_CHECK int cof_volume_open_item(struct coffer_store *store,
                                           struct cof_catalogue_item *item, unsigned flags,
                                           const struct coffer_key_provider *provider,
                                           struct coffer_volume **ret_volume,
                                           struct coffer_fault *fault);
/* As coffer_volume_open; admin and lock are held. */
COFFER_MUST_CHECK int cof_volume_open_named(struct coffer_store *store,
                                            const struct coffer_volume_open_opts *opts,
                                            struct coffer_volume **ret_volume,
                                            struct coffer_fault *fault);
/* Take a stopped volume out of the store's list, without its keys; its handle stays. */
void cof_volume_disarm(struct coffer_volume *volume);
/* For cof_volume_open_named: a volume that may not be opened all the same. */
#define COF_VOLUME_ANY_ACCESS (1u << 31)
/* For cof_volume_open_item: not if its record says that it was stopped. */
#define COF_VOLUME_GUARDED (1u << 30)
#define COF_VOLUME_CALLERS_FLAGS                                               \
    ((unsigned)COFFER_VOLUME_READ_ONLY | (unsigned)COFFER_VOLUME_ALLOW_PLAIN | \
     (unsigned)COFFER_VOLUME_IF_REFUSED)
/* What callers of before and of now give; INVALID, with a sentence. */
COFFER_MUST_CHECK int cof_open_opts_take(const struct coffer_volume_open_opts *opts,
                                         struct coffer_volume_open_opts *ret_opts,
                                         struct coffer_fault *fault);
/* Close one that was written to, without a checkpoint: all is in the log, durable. If the volume is
 * still needed, no root may follow that begins behind that. */
COFFER_MUST_CHECK int cof_volume_leave(struct coffer_volume *volume);
/* Close one without requests, without a checkpoint: opened for reading, or failed, or deleted. */
void cof_volume_drop(struct coffer_volume *volume);
COFFER_MUST_CHECK int cof_volume_apply_discard(struct coffer_volume *volume, uint64_t page,
                                               uint64_t pages, struct cof_vaddr addr);

#endif
