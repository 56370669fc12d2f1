/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/victim.h - a child that works and tells, until kill -9 takes it.
 *
 * What it tells goes through a pipe in notes of one size, each written at once, so that none is
 * torn. What it told before its death is heard to the last note.
 */
#ifndef TESTS_COMMON_VICTIM_H
#define TESTS_COMMON_VICTIM_H

#include <stddef.h>
#include <stdint.h>

struct victim {
    size_t note_bytes;                         /* at most PIPE_BUF */
    void (*work)(void *ctx, int fd);           /* in the child; it does not come back */
    void (*hear)(void *ctx, const void *note); /* in the parent, in the order told */
    void *ctx;
};

/* Kill it when it has told so many notes, or after 20 seconds. Returns when it is dead and all was
 * heard; the case has failed (harness.h) when it ended by itself. */
void victim_kill(const struct victim *victim, uint64_t notes);

/* In the child. Where nobody listens any more it ends. */
void victim_tell(int fd, const void *note, size_t note_bytes);

#endif
