/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/internal.h - what the files of this room share.
 */
#ifndef COF_CLEAN_INTERNAL_H
#define COF_CLEAN_INTERNAL_H

#include "clean/clean.h"

/* A page on its way: as it lies on disk, with its entry. */
struct cof_page_copy {
    uint32_t lineage;
    uint64_t extent;
    const uint8_t *page, *entry;
};

struct cof_group_place {
    uint32_t segment, block;
    uint64_t group;
};

/* ---- heads.c ---- */
COFFER_MUST_CHECK int cof_head_put(struct cof_cleaner *cleaner, unsigned number,
                                   const struct cof_page_copy *copy,
                                   struct cof_group_place *ret_place);
/* Pages that go into the head's segment yet. */
uint32_t cof_head_room(const struct cof_cleaner *cleaner, unsigned number);
/* A page came into the head's segment from one whose pages died at the smoothed time up2. */
void cof_head_aged(struct cof_cleaner *cleaner, unsigned number, uint32_t segment, double up2);
unsigned cof_groups_free(const struct cof_cleaner *cleaner);

/* ---- move.c ---- */
/* Change the descriptors of moves into the head that groups up to `group` are all of. */
void cof_moves_publish(struct cof_cleaner *cleaner, unsigned head, uint64_t group);
void cof_moves_done(struct cof_cleaner *cleaner);

/* ---- cleaner.c ---- */
/* Into which head the pages of a segment go now; pages that find a place behind a head. */
unsigned cof_cleaner_head(const struct cof_cleaner *cleaner, uint32_t segment);
uint64_t cof_cleaner_room(const struct cof_cleaner *cleaner, unsigned head);

/* ---- victim.c ---- */
/* The best victim; COF_NO_SEGMENT: none is worth it. */
uint32_t cof_victim_pick(const struct cof_cleaner *cleaner, bool pressed);
/* Whether it can be cleaned now. */
bool cof_victim_possible(const struct cof_cleaner *cleaner, uint32_t segment);
/* Whether one that was chosen before is worth it yet, and possible. */
bool cof_victim_good(const struct cof_cleaner *cleaner, uint32_t segment);
/* Read a segment whole, in the background: a reader of it, until it is left. */
COFFER_MUST_CHECK int cof_victim_start(struct cof_cleaner *cleaner, struct cof_victim *victim,
                                       uint32_t segment);
void cof_victim_go_on(struct cof_cleaner *cleaner, struct cof_victim *victim);
void cof_victim_leave(struct cof_cleaner *cleaner, struct cof_victim *victim);
/* All of it is in memory, or will never be. */
bool cof_victim_is_read(const struct cof_cleaner *cleaner, const struct cof_victim *victim);
/* A request of a victim's is complete. */
void cof_victim_read(struct cof_cleaner *cleaner, struct coffer_segdev_request *request);
/* Which extents the victim's headers name, and trees' blocks: these are renewed. */
COFFER_MUST_CHECK int cof_victim_parse(struct cof_cleaner *cleaner);

#endif
