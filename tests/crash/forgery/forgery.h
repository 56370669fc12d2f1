/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/forgery.h - what the attacks share: the store they are made on, and their verdict.
 */
#ifndef TESTS_CRASH_FORGERY_H
#define TESTS_CRASH_FORGERY_H

#include "common/prng.h"
#include "common/rich_store.h"

struct forgery {
    struct rich_store rich;
    struct prng prng;          /* set by the attack's round */
    uint64_t next_incarnation; /* no two opens draw the same randomness */
    uint64_t attacks, refused, harmless;
};

extern struct forgery forgery;

/* A clone, one edit, all sums right, and the verdict. */
struct attack {
    struct sim_image *image;
    bool must_refuse; /* harmless is not enough             */
    bool must_accept; /* what is left must still be enough  */
    bool forged;      /* what an attacker may do is allowed: see rich_store.h */
};

void attack_begin(struct attack *attack, const char *name, uint64_t number);
/* Opened for writing and read-only. */
void attack_conclude(struct attack *attack);

/* pages.c: of a sealed page, its header entry, its run */
void replay_page(uint64_t number);
void swap_pages(uint64_t number);
void edit_run(uint64_t number);
/* trees.c: placement, catalogue, roots */
void graft_descriptor(uint64_t number);
void damage_roots(uint64_t number);
void turn_encrypted(uint64_t number);
void exchange_volumes(uint64_t number);
/* log.c: batches behind the checkpoint */
void empty_batch(uint64_t number);
void omit_batch(uint64_t number);
void damage_durable(uint64_t number);
void omit_extent(uint64_t number);
/* forks.c: a copy of the store that went on by itself; the store itself goes on, too */
void graft_forks(uint64_t rounds);
/* beside.c: what only an anchor or a pin can show */
void roll_back(void);
void forge_epoch(void);
void pins(void);

#endif
