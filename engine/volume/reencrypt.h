/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt.h - what the parts of a deep re-encrypt share: reencrypt.c leads,
 * reencrypt_keys.c knows the family's data keys and counts what they sealed, reencrypt_kin.c brings
 * its members together, reencrypt_list.c lists successors and destroys what has left,
 * reencrypt_move.c seals one extent anew, reencrypt_status.c tells how far it is.
 *
 * A family's volumes, snapshots and copies share extents, so they have data keys in common, each
 * wrapped under a volume key of its own. A data key that leaves gets one successor a round, listed
 * by all who list the key: who could open an extent can, and nobody else.
 */
#ifndef COF_VOLUME_REENCRYPT_H
#define COF_VOLUME_REENCRYPT_H

#include "volume/import.h"

/* One data key and the lineage whose extents it opens, however many tables have it. */
struct cof_turn {
    uint8_t commitment[COF_COMMITMENT_BYTES]; /* which key it is */
    uint8_t lineage_uuid[16];
    uint32_t lineage, key_id, turn;     /* turn: 0, leaving, successor */
    uint64_t first_extent, last_extent; /* the widest range */
    uint64_t extents, pages;            /* in the placement table, with live pages */
    uint32_t *tags;                     /* volumes that may have written them */
    unsigned tag_count;
    struct cof_ek_open *leaving; /* of this round */
    struct cof_ek_seal *successor;
    uint32_t successor_id;
    bool damaged; /* an extent of it does not open */
};

struct cof_turns {
    struct cof_env *env;
    struct cof_turn **list;  /* by commitment and lineage */
    struct cof_turn **by_id; /* by lineage and key id, once all are there */
    unsigned count, capacity;
};

struct cof_damaged_key {
    uint8_t commitment[COF_COMMITMENT_BYTES];
    uint32_t lineage;
};

/* A member of the family, while its table is changed. */
struct cof_kin {
    struct cof_catalogue_item *item;
    struct coffer_volume *volume;
    bool borrowed; /* opened for this */
    struct cof_ek *successors;
    unsigned successor_count;
};

struct cof_reencrypt {
    struct coffer_store *store;
    const struct coffer_key_provider *caller, *provider;
    struct coffer_fault *fault; /* of the call */
    uint32_t family;
    struct cof_kin *kin; /* while a round is listed */
    unsigned kin_count;
    struct cof_turns turns; /* as of this round */
    unsigned round_keys, keys_left;
    struct cof_damaged_key *damaged_keys; /* no more rounds for them */
    unsigned damaged_count, damaged_capacity;

    uint32_t lineage; /* where the round has come to */
    uint64_t extent;
    uint64_t extents;          /* that it began with */
    uint64_t left, pages_left; /* when they were last counted */
    uint64_t listed;           /* left, when the round was listed */
    uint64_t round_done, round_pages, damaged;
    uint64_t pages_moved; /* since the last root */
    uint64_t rate, due_ns;
    struct coffer_fault damage;     /* the first */
    bool busy, done, stuck, walked; /* walked: the round came to its end */
    struct cof_reader reader;
    struct cof_aead *aead;
    struct cof_extent_copy *copy;
};

static inline uint32_t cof_family_of(const struct cof_catalogue_item *item)
{
    return item->entry.family != 0 ? item->entry.family : item->entry.number;
}

/* ---- reencrypt_keys.c ---- */
void cof_turns_done(struct cof_turns *turns);
/* The keys of a member's table; all: those that nothing was said of leave, but for what this
 * process drew. */
COFFER_MUST_CHECK int cof_turns_add(struct cof_turns *turns, const struct coffer_volume *member,
                                    bool all);
/* Count what each has sealed. The store's lock is let go now and then; admin keeps the tables. */
COFFER_MUST_CHECK int cof_turns_count(struct cof_turns *turns, struct coffer_store *store);
/* That of an item's entry. NULL: no key of the family. */
struct cof_turn *cof_turns_find(const struct cof_turns *turns,
                                const struct cof_catalogue_item *item,
                                const struct cof_ek_entry *entry);
/* The next extent at or after *extent of *lineage that is sealed under a key which leaves and has a
 * successor; sets both. NOT_FOUND. Lets the lock go, too. */
COFFER_MUST_CHECK int cof_turns_next(const struct cof_turns *turns, struct coffer_store *store,
                                     uint32_t *lineage, uint64_t *extent,
                                     struct cof_desc **ret_desc, struct cof_turn **ret_turn);
/* The family's keys, from the tables as they stand: without a key. */
COFFER_MUST_CHECK int cof_turns_survey(struct cof_turns *turns, struct coffer_store *store,
                                       uint32_t family);

/* ---- reencrypt_status.c ---- */
bool cof_reencrypt_valid(const struct coffer_reencrypt_opts *opts);
COFFER_MUST_CHECK int cof_reencrypt_survey(struct coffer_store *store, uint32_t family,
                                           struct coffer_reencrypt_status *ret_status);

/* ---- reencrypt_kin.c ---- */
/* Whether every member can be opened now, and none is. */
COFFER_MUST_CHECK int cof_reencrypt_probe(struct cof_reencrypt *run);
/* Open them all; to be parted from whatever this returns. */
COFFER_MUST_CHECK int cof_kin_meet(struct cof_reencrypt *run);
/* Close what was opened for this. */
COFFER_MUST_CHECK int cof_kin_part(struct cof_reencrypt *run);

/* ---- reencrypt_list.c ---- */
/* Destroy what has left, and list successors for the next keys; sets done or stuck when there is
 * nothing more to do. begin: all keys of the family leave. admin and lock are held. */
COFFER_MUST_CHECK int cof_reencrypt_round(struct cof_reencrypt *run, bool begin);

/* ---- reencrypt_move.c ---- */
/* One extent, at the run's place: 0; AGAIN: try again; NOT_FOUND: the round is over; NO_SPACE. The
 * lock is held, and let go while pages are read and sealed. */
COFFER_MUST_CHECK int cof_reencrypt_extent(struct cof_reencrypt *run);
/* What was moved is published, and durable. */
COFFER_MUST_CHECK int cof_reencrypt_flush(struct cof_reencrypt *run);

/* ---- reencrypt.c ---- */
void cof_reencrypt_free(struct cof_reencrypt *run);

#endif
