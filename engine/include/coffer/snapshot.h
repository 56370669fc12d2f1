/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot.h - snapshots of volumes, volumes made from them, and changes of keys.
 *
 * A snapshot is a volume's contents at one point of its log. It has an immutable uuid, a name that
 * people choose, and the volume's key; it shares pages with the volume and with other snapshots
 * until they are overwritten. Snapshots outlive their volume. Every call here but the visits is
 * one root: before it is durable nothing has changed, after it all has.
 *
 * To read a snapshot, open it as a volume: coffer_volume_open with the name "VOLUME@SNAPSHOT" and
 * COFFER_VOLUME_READ_ONLY. Included by coffer/coffer.h.
 */
#ifndef COFFER_SNAPSHOT_H
#define COFFER_SNAPSHOT_H

#include <coffer/coffer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_SNAPSHOTS_MAX 16384 /* volumes and snapshots in a store */

enum coffer_snapshot_status {
    COFFER_SNAPSHOT_AVAILABLE = 0,
    COFFER_SNAPSHOT_COPYING, /* a copy of this process is at work on it                      */
    COFFER_SNAPSHOT_FAILED   /* the copy stopped before it was whole; run again, it goes on  */
};

enum coffer_snapshot_flags {
    COFFER_SNAPSHOT_COPY_TAGS = 1u << 0 /* the snapshot gets the volume's tags */
};

/* Which snapshot. */
struct coffer_snapshot_opts {
    size_t size;
    const char *volume; /* the name that the volume had */
    const char *name;
    const struct coffer_key_provider *provider; /* NULL only for unencrypted ones */
    /* Of coffer_snapshot_create only: the tags to begin with, over those that are copied. */
    const struct coffer_tag *tags;
    size_t tag_count;
    unsigned flags; /* enum coffer_snapshot_flags */
};

/* Take a snapshot of an open volume: what was written before the call is in it, what is written
 * after its return is not, and of what is in flight each page is or is not. Writes go on
 * meanwhile. Durable on return. Costs a flush and the merge of what was written since the last
 * checkpoint, whatever the volume's size and history. opts->volume is NULL
 * or the volume's name; the provider is asked only where a sealed name may be the same. EXISTS when
 * the name is taken, even by a snapshot of a deleted volume of this name; LIMIT; READ_ONLY;
 * NO_SPACE. ret_uuid may be NULL. */
COFFER_MUST_CHECK int coffer_snapshot_create(struct coffer_volume *volume,
                                             const struct coffer_snapshot_opts *opts,
                                             struct coffer_uuid *ret_uuid,
                                             struct coffer_fault *fault);

struct coffer_snapshot_info {
    size_t size; /* set by the caller */
    char volume[COFFER_NAME_BYTES_MAX];
    char name[COFFER_NAME_BYTES_MAX];
    struct coffer_uuid uuid, volume_uuid;
    char resource_id[COFFER_RESOURCE_ID_BYTES]; /* "snap-" and 24 hex digits */
    enum coffer_snapshot_status status;
    int encrypted;
    int name_known; /* 0: no key opens it; names, sizes and times are empty */
    int open_error; /* and why */
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
    uint64_t size_bytes, mapped_bytes;
    uint64_t created_ns;
    uint64_t
        exclusive_bytes; /* freed if only this snapshot were deleted; UINT64_MAX: not counted */
    struct coffer_uuid parent; /* what it was taken after, all zeros: nothing */
    uint64_t children;         /* volumes and snapshots that were made after or of it */
};

/* One snapshot, with its exclusive bytes counted (a walk over what differs from its neighbours; a
 * neighbour whose key is refused leaves them UINT64_MAX). NOT_FOUND, or why its record does not
 * open. */
COFFER_MUST_CHECK int coffer_snapshot_info_get(struct coffer_store *store,
                                               const struct coffer_snapshot_opts *opts,
                                               struct coffer_snapshot_info *ret_info,
                                               struct coffer_fault *fault);

/* Visit snapshots in the order they were made: of one volume, or all (volume NULL). Those whose
 * key is refused are visited with name_known 0 (only when volume is NULL). A non-zero return of
 * visit stops and is returned. */
COFFER_MUST_CHECK int coffer_snapshot_list(struct coffer_store *store, const char *volume,
                                           const struct coffer_key_provider *provider,
                                           int (*visit)(void *ctx,
                                                        const struct coffer_snapshot_info *info),
                                           void *ctx, struct coffer_fault *fault);

/* Delete a snapshot that is not open; others keep what they share with it. Costs what differs from
 * its neighbours. Needs the keys of the snapshot and of what was made after it. */
COFFER_MUST_CHECK int coffer_snapshot_delete(struct coffer_store *store,
                                             const struct coffer_snapshot_opts *opts,
                                             struct coffer_fault *fault);

struct coffer_snapshot_restore_opts {
    size_t size;
    struct coffer_snapshot_opts snapshot; /* its own `size` need not be set */
    const char *new_name;                 /* of the volume to make */
    const char *kms_key_id; /* NULL: the snapshot's key (an unencrypted one stays so) */
    /* May be NULL: while pages are copied. Non-zero stops, takes back, and is returned. */
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
    const struct coffer_tag *tags; /* of the volume; it gets none of the snapshot's */
    size_t tag_count;
    /* Who restores, where that is not who uses the volume (snapshot.provider): asked to unwrap the
     * snapshot's key, and all that coffer_volume_create asks. NULL: snapshot.provider */
    const struct coffer_key_provider *caller;
};

/* A writable volume with the snapshot's contents, at once, whatever its size: pages are shared, the
 * volume has a volume key and data keys of its own. The snapshot's key must be usable now. Not
 * opened; durable on return. An unencrypted snapshot with a kms_key_id gives an encrypted volume:
 * that copies every page. */
COFFER_MUST_CHECK int coffer_snapshot_restore(struct coffer_store *store,
                                              const struct coffer_snapshot_restore_opts *opts,
                                              struct coffer_fault *fault);

struct coffer_snapshot_diff_opts {
    size_t size;
    const char *from, *to; /* "VOLUME@SNAPSHOT", or "VOLUME" as of its last checkpoint */
    const struct coffer_key_provider *provider;
};

/* Visit, in ascending order, the ranges of `to` whose pages are not those of `from`. data is 0
 * where `to` holds nothing (zeros). A page that was written again with the same bytes differs.
 * Costs what differs. No checkpoint of the store runs meanwhile: visit must not write to it, nor
 * open or close anything of it. */
COFFER_MUST_CHECK int coffer_snapshot_diff(struct coffer_store *store,
                                           const struct coffer_snapshot_diff_opts *opts,
                                           int (*visit)(void *ctx, uint64_t offset_bytes,
                                                        uint64_t length_bytes, int data),
                                           void *ctx, struct coffer_fault *fault);

/* ---- copies ------------------------------------------------------------------------------ */

enum coffer_copy_flags {
    COFFER_COPY_REENCRYPT = 1u << 0, /* seal every page anew, under keys the source never had    */
    COFFER_COPY_TAGS = 1u << 1,      /* the copy gets the source's tags, else none               */
    COFFER_COPY_THREAD = 1u << 2     /* REENCRYPT: a thread of the library's reads and opens     */
};

struct coffer_copy_opts {
    size_t size;
    unsigned flags;
    struct coffer_snapshot_opts source; /* its own `size` need not be set; its provider is that of
                                           the source's key service */
    const char *volume, *name;          /* what the copy is called; NULL: as the source */
    const char *kms_key_id;             /* NULL: the source's key */
    const struct coffer_key_provider *provider; /* of the copy's key service */
    /* May be NULL: now and then, and once at the end. Non-zero stops the copy, which goes on where
     * it was when it is asked for again, and is returned. */
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
    /* Who copies, where that is not who uses the copy (provider): asked as in coffer_volume_create,
     * and source.provider speaks for it, too. NULL: provider */
    const struct coffer_key_provider *caller;
};

/* Copy a snapshot into another store, under its own or another key. Pages and map travel as they
 * are; none is opened. Where the source's provider and the caller (or provider, without one) are
 * the same object, the key service re-encrypts the
 * volume key and the right to decrypt is not needed (the copy then has the source's volume key and
 * sealed record); else the copy has a volume key of its own and the source's data keys wrapped
 * anew. What the destination has of an earlier copy of the same volume is not sent again: the
 * newest ancestor of the snapshot that is there is its base. A copy that was interrupted goes on
 * where its last root stood when it is asked for again (under another key: anew), with the tags
 * that it was begun with; until it is whole it can't be opened.
 * REENCRYPT needs the right to decrypt on both sides, has no base, and begins anew when it was
 * interrupted: what came before goes at the next open of the destination for writing. With THREAD a
 * second thread, which is gone on return, reads and opens while the caller's seals and writes
 * (where there is none, the caller's does both). Within one
 * store the copy shares the pages (or REENCRYPT: none), and needs the right to decrypt.
 *
 * Refused, with both stores as they were: EXISTS; NOT_FOUND; a key that can't be used (KEY class);
 * NO_SPACE, before a page is sent, or when others fill the store on the way; UNSUPPORTED where the
 * destination's segments are smaller. Damage that is met in the source (CORRUPT, IO) stops the copy
 * and takes it back. */
COFFER_MUST_CHECK int coffer_snapshot_copy(struct coffer_store *source,
                                           struct coffer_store *destination,
                                           const struct coffer_copy_opts *opts,
                                           struct coffer_fault *fault);

/* ---- changing keys ----------------------------------------------------------------------- */

enum coffer_rekey_depth {
    COFFER_REKEY_MASTER = 0, /* the same volume keys, wrapped by another master key              */
    COFFER_REKEY_VOLUME,     /* new volume keys too; data keys wrapped anew                      */
    COFFER_REKEY_DATA        /* and a new data key for all that is written from now on           */
};

struct coffer_rekey_opts {
    size_t size;
    const char *volume;     /* a volume, and its snapshots with it; it must not be open */
    const char *kms_key_id; /* NULL: the present one */
    enum coffer_rekey_depth depth;
    const struct coffer_key_provider *provider;
    /* Who changes the keys, where that is not who uses them: asked to describe the new key, to draw
     * volume keys, to grant, and to wrap for recipients. NULL: provider */
    const struct coffer_key_provider *caller;
};

/* Put a volume and all of its snapshots under a master key, in one root: until it is durable the
 * old key opens all, after it the new one does and the old one opens nothing in this store. (What
 * was copied before, backups and the medium's remains keep the old wraps.) Depth MASTER asks the
 * key service to re-encrypt one wrap for each volume key; the others make a volume key for the
 * volume and for each snapshot. Recipients of snapshots stay. A data key is drawn at each open for
 * writing, so what DATA promises, VOLUME does. For snapshots whose volume is gone `volume` is the
 * full name of one of them. BUSY while one of them is open. */
COFFER_MUST_CHECK int coffer_volume_rekey(struct coffer_store *store,
                                          const struct coffer_rekey_opts *opts,
                                          struct coffer_fault *fault);

/* ---- deep re-encryption ------------------------------------------------------------------- */

enum coffer_reencrypt_state {
    COFFER_REENCRYPT_NONE = 0, /* there never was one                                            */
    COFFER_REENCRYPT_BEGUN,    /* under way, or interrupted: some pages are under old data keys   */
    COFFER_REENCRYPT_DONE      /* the last one is over: the old data keys are destroyed           */
};

struct coffer_reencrypt_opts {
    size_t size;
    const char *volume;     /* a volume; with it goes all that it shares pages with */
    const char *kms_key_id; /* as in coffer_rekey_opts; NULL: the present one */
    const struct coffer_key_provider *provider; /* until coffer_reencrypt_end */
    uint64_t bytes_per_second_max;              /* 0: no limit */
    const struct coffer_key_provider *caller; /* as in coffer_rekey_opts; for the beginning */
};

/* How far it is. An extent is up to 2 MiB that were written together. */
struct coffer_reencrypt_status {
    size_t size;
    enum coffer_reencrypt_state state;
    uint64_t extents;         /* that it began with                                            */
    uint64_t extents_done;    /* of those: sealed anew, or without pages by now. Never falls   */
    uint64_t extents_damaged; /* that could not be opened, in this process: they stay          */
    uint64_t bytes_left;
    uint32_t old_keys; /* data keys that something is still sealed under */
    uint64_t wait_ns;  /* until there is something to do, at the rate that was asked for */
};

/* Begin, or go on with, sealing under new data keys all that is sealed under the present ones: of
 * the volume, its snapshots, the volumes made from them and their snapshots. Pages keep their
 * addresses; the data keys are destroyed when nothing is sealed under them any more. When it begins
 * (not when it goes on, unless kms_key_id is another key) it also does what coffer_volume_rekey
 * does at the depth DATA. On return the new data keys are durable; the pages are sealed anew by
 * coffer_reencrypt_step. One at a time in a store.
 *
 * The key of every member must be usable now. BUSY while one is open when it begins, or a copy into
 * the family is not whole; UNSUPPORTED of an unencrypted volume. Refused, nothing has begun. */
COFFER_MUST_CHECK int coffer_reencrypt_begin(struct coffer_store *store,
                                             const struct coffer_reencrypt_opts *opts,
                                             struct coffer_fault *fault);
/* Seal the next extent anew. Call it from a thread that has nothing else to do, until it returns 0:
 * volumes can be used meanwhile. 1: there is more to do, after wait_ns. Errors: NO_SPACE (it goes
 * on when there is room); BUSY while a volume (no snapshot) of the family is open for reading only;
 * a key that can't be used now; CORRUPT, TAMPER or IO, once all else is done: extents that can't be
 * opened keep their data keys. ret_status may be NULL. */
COFFER_MUST_CHECK int coffer_reencrypt_step(struct coffer_store *store,
                                            struct coffer_reencrypt_status *ret_status,
                                            struct coffer_fault *fault);
/* Stop, or forget what is over. It goes on when it is begun again, where it was. No step is under
 * way. Closing the store does this, too. */
void coffer_reencrypt_end(struct coffer_store *store);
/* How far it is, from what is in clear. The provider finds the name, which is sealed; without one
 * (NULL), or where it can't decrypt, the only volume is taken whose hint fits. */
COFFER_MUST_CHECK int coffer_reencrypt_status_get(struct coffer_store *store,
                                                  const struct coffer_reencrypt_opts *opts,
                                                  struct coffer_reencrypt_status *ret_status,
                                                  struct coffer_fault *fault);

/* ---- recipients of a snapshot ------------------------------------------------------------- */

struct coffer_recipient_opts {
    size_t size;
    struct coffer_snapshot_opts snapshot; /* its own `size` need not be set */
    const char *kms_key_id;               /* the recipient's master key */
};

/* Let another master key open the snapshot, and only it: where its volume key is also that of other
 * entries, the snapshot gets one of its own first. No page is touched. Refused (UNSUPPORTED) while
 * the snapshot is under the managed default key; LIMIT beyond 15 recipients. */
COFFER_MUST_CHECK int coffer_recipient_add(struct coffer_store *store,
                                           const struct coffer_recipient_opts *opts,
                                           struct coffer_fault *fault);
/* Take a recipient's wrap away. What it opened or copied before stays known to it. */
COFFER_MUST_CHECK int coffer_recipient_remove(struct coffer_store *store,
                                              const struct coffer_recipient_opts *opts,
                                              struct coffer_fault *fault);
/* Visit the master keys that open a snapshot, the owner's first. */
COFFER_MUST_CHECK int coffer_recipient_list(struct coffer_store *store,
                                            const struct coffer_snapshot_opts *opts,
                                            int (*visit)(void *ctx, const char *key_arn, int owner),
                                            void *ctx, struct coffer_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
