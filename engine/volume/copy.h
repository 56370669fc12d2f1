/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy.h - what the parts of a copy share: copy.c leads; copy_plan.c, copy_entry.c and
 * copy_send.c are its steps.
 */
#ifndef COF_VOLUME_COPY_H
#define COF_VOLUME_COPY_H

#include "volume/import.h"

/* Extents that are read ahead, at 2 MiB each: what keeps a device busy while earlier ones are
 * written. */
#define COF_COPY_AHEAD 4u

struct cof_copy {
    struct coffer_store *source, *destination;
    const struct coffer_copy_opts *opts;
    struct coffer_fault *fault;
    char full[COF_FULL_NAME_BYTES];
    struct cof_catalogue_item *from, *base, *to;
    uint64_t base_cut, base_node_cut;
    bool keyless, fresh; /* fresh: no lineage number is shared with what is there */
    bool overtaken;      /* what an interrupted copy still lacks came with another meanwhile */
    uint64_t total_pages, done_pages, rooted_pages, largest;
    int stopped;
    struct cof_reader reader;                       /* of the source */
    struct cof_extent_copy extents[COF_COPY_AHEAD]; /* a ring: the oldest is written next */
    unsigned oldest, reading;
    uint8_t *buffers; /* of all of them */
};

/* What a snapshot is called in every store that has it. */
static inline const uint8_t *cof_copy_identity(const struct cof_catalogue_item *item)
{
    return cof_item_is_import(item) ? item->entry.origin_uuid : item->entry.uuid;
}

/* ---- copy_plan.c ---- */
/* Sets base and its cuts, if the destination has one. Both locks are held. */
void cof_copy_find_base(struct cof_copy *copy);
/* Whether the data keys of what is there are still the snapshot's. Both locks are held. */
bool cof_copy_keys_fit(const struct cof_copy *copy, struct cof_catalogue_item *there, bool whole);
/* Counts what is to be sent; takes the locks. */
COFFER_MUST_CHECK int cof_copy_plan(struct cof_copy *copy);
COFFER_MUST_CHECK int cof_copy_check_room(struct cof_copy *copy);
/* Do visit for each extent, with the source's lock held. */
COFFER_MUST_CHECK int cof_copy_each(struct cof_copy *copy,
                                    int (*visit)(struct cof_copy *, const struct cof_writer *,
                                                 struct cof_desc *));
/* The destination's number for an index of the snapshot; NONE: there is none yet. Its own lineage
 * only through the base: its own writer goes on in there. No two indexes have the same number. */
uint32_t cof_copy_number_there(const struct cof_copy *copy, uint32_t index);

/* ---- copy_entry.c ---- */
/* The destination's key: named, or the source's own, which must be known there. Its lock is held,
 * the source's is not. */
COFFER_MUST_CHECK int cof_copy_resolve_key(struct cof_copy *copy,
                                           char arn[COFFER_KEY_ARN_BYTES_MAX]);
struct cof_tag_choice cof_copy_tags(const struct cof_copy *copy);
const struct coffer_key_provider *cof_copy_caller(const struct cof_copy *copy);
/* Sets copy->to. Both locks are held. */
COFFER_MUST_CHECK int cof_copy_make_entry(struct cof_copy *copy, const char *arn);

/* ---- copy_send.c ---- */
/* Takes the locks, each while its store is touched. */
COFFER_MUST_CHECK int cof_copy_send(struct cof_copy *copy);

#endif
