/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/check.h - a check under way, and its parts.
 *
 * What they find goes to the caller. They return 0, what the caller's callback stopped it with, or
 * the error that stops the check itself. One thread; the parts take the store's lock themselves.
 */
#ifndef COF_VOLUME_CHECK_H
#define COF_VOLUME_CHECK_H

#include "volume/store.h"

/* What all trees together refer to, by extent. */
struct cof_check_seen {
    uint64_t key; /* lineage and extent; 0: free */
    struct cof_bitmap slots;
};

struct cof_check {
    struct coffer_store *store;
    const struct coffer_check_opts *opts;
    struct coffer_check_summary summary;
    uint32_t *live; /* blocks of each segment, counted anew */
    uint8_t *batch; /* a batch, or a piece of a volume */
    struct cof_check_seen *seen;
    uint64_t seen_capacity, seen_count;
    uint32_t *doubts; /* families of which not every tree could be read */
    unsigned doubt_count;
    struct coffer_volume *volume;
    uint64_t began_ns, total_bytes;
    int stop;
};

/* A finding; COFFER_NOWHERE for what it does not concern. */
COFFER_MUST_CHECK int cof_check_report(struct cof_check *check, int error, enum coffer_stage stage,
                                       uint64_t page, uint64_t segment, uint64_t offset,
                                       const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* Count what was read, keep to the rate, tell how far it is. */
COFFER_MUST_CHECK int cof_check_advance(struct cof_check *check, uint64_t bytes);

/* ---- check_places.c ---- */
/* All that can be told without a key. */
COFFER_MUST_CHECK int cof_check_keyless(struct cof_check *check);
/* Each descriptor of the store, whether the table or the log gave it. Under the store's lock. */
COFFER_MUST_CHECK int cof_check_each_desc(struct cof_check *check,
                                          int (*visit)(struct cof_check *,
                                                       const struct cof_desc *));

/* ---- check_map.c ---- */
/* What the tree of the open volume, and what it has in memory, refer to. */
COFFER_MUST_CHECK int cof_check_map(struct cof_check *check);
/* Note that not all is known of what the entry's family refers to. */
COFFER_MUST_CHECK int cof_check_doubt(struct cof_check *check,
                                      const struct cof_catalogue_item *item);
/* After all trees. Below a node that does not read, and of a volume that does not open, nothing is
 * known: its family is left out. */
COFFER_MUST_CHECK int cof_check_liveness(struct cof_check *check);

#endif
