/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/copies/scene.h - a copy that is about to be made, in each of the ways there are.
 */
#ifndef TESTS_CRASH_COPIES_SCENE_H
#define TESTS_CRASH_COPIES_SCENE_H

#include "common/site.h"

struct scene {
    const char *name;
    bool keyed;       /* two key services                                        */
    bool plain;       /* unencrypted                                             */
    bool incremental; /* an earlier snapshot of the volume is there              */
    bool back;        /* from B, of a volume that was made there of a copy       */
    bool stopped;     /* it was stopped before, and is asked for again           */
    bool forked;      /* the destination is a fork of the source                 */
    bool written;     /* the source's volume is open, and written meanwhile      */
    bool anew;        /* sealed anew                                             */
    bool within;      /* source and destination are one store                    */
    bool restored;    /* into a volume, under a key; the snapshot is unencrypted */
};
#define SCENES 13u
extern const struct scene scenes[SCENES];

struct stage {
    struct realm realm;
    struct site *from, *to;
    const struct scene *scene;
    unsigned volume, snapshot; /* of from */
    struct site_copy how;
};

/* What a store has given away. */
struct room {
    uint64_t live_bytes;
    uint32_t entries;
};

/* Everything up to the copy, of few pages or of many; both sites are marked. */
void scene_begin(struct stage *stage, const struct scene *scene, uint64_t seed, bool large,
                 bool tell);
/* The copy, to `to`: the stage's own, or one that stands in for it. how NULL: the stage's. */
int scene_copy(struct stage *stage, struct site *to, struct site_copy *how, unsigned *ret_copy);
/* After a copy that failed: the holding that it would be, for site_settle to find out. */
unsigned scene_doubt(struct stage *stage, struct site *to);
/* Checkpointed, so that what is dead is counted as such. */
struct room scene_room(struct site *site);
/* What came of the copy takes no more room than the one that was never disturbed. */
void scene_check_room(struct site *site, const struct room *most, const char *when);
const struct scene *scene_find(const char *name);

struct campaign {
    uint64_t seed, points;
    bool tell;
    const char *scene; /* NULL: all */
    bool stop_at_first;
};
extern struct campaign campaign;
bool campaign_wants(const struct scene *scene);

struct copies_counts {
    uint64_t cuts, cuts_source, second_cuts, absent, half, whole, faults, struck, refused, damaged,
        reported, harmless, taken_back, fillings, without_room;
};
extern struct copies_counts copies_counts;

void cut_scene(void *scene);   /* cuts.c   */
void fail_scene(void *scene);  /* faults.c */
void spoil_scene(void *scene); /* damage.c */
void fill_scene(void *scene);  /* full.c   */

#endif
