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
};
#define SCENES 8u
extern const struct scene scenes[SCENES];

struct stage {
    struct realm realm;
    struct site *from, *to;
    unsigned volume, snapshot; /* of from */
    struct site_copy how;
};

/* Everything up to the copy; both sites are marked. */
void scene_begin(struct stage *stage, const struct scene *scene, uint64_t seed, bool tell);
int scene_copy(struct stage *stage, unsigned *ret_copy);
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
    uint64_t cuts, cuts_source, absent, half, whole, faults, struck, refused, damaged, reported,
        harmless, taken_back;
};
extern struct copies_counts copies_counts;

void cut_scene(void *scene);   /* cuts.c   */
void fail_scene(void *scene);  /* faults.c */
void spoil_scene(void *scene); /* damage.c */

#endif
