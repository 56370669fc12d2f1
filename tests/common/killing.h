/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/killing.h - the programs that kill -9 what works on a store in a real file: their rounds,
 * their options, and the store.
 */
#ifndef TESTS_COMMON_KILLING_H
#define TESTS_COMMON_KILLING_H

#include "fake_kms.h"

#include <coffer/coffer.h>

struct killing {
    const char *program; /* as in crash_PROGRAM                                      */
    const char *what;    /* of it, for the help                                      */
    const char *lie;     /* what the child claims with --lie, the negative control   */
    uint64_t rounds, rounds_of_a_store;
    void (*create)(void);                   /* a new store in place of the last     */
    void (*round)(uint64_t seed, bool lie); /* work, death, and a look at what is left */
    void (*tell)(void);                     /* the program's own counts, one line   */
};

/* What every process of the program shares; its keys are the same in each. */
extern struct fake_kms killing_kms;

/* The whole of main: --seed, --rounds, --directory, --lie; returns the exit status. */
int killing_main(const struct killing *killing, int argc, char **argv);

/* What follows fails the case (harness.h) where it fails. */
void killing_must(int error, const char *what, const struct coffer_fault *fault);
/* An empty store with an encrypted volume. */
void killing_create(const char *volume, uint64_t size_bytes);
struct coffer_store *killing_open(void);

#endif
