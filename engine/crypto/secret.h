/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/secret.h - the arena of key material.
 *
 * One mapping holds every key the engine has: mlock'd, MADV_DONTDUMP, MADV_WIPEONFORK, between
 * guard pages, wiped when a slot is freed. A slot is 32 bytes. Nothing returns a pointer into it
 * except to the functions of this room and, for one moment, to the key provider that fills a slot.
 * A canary in the arena reads zero in a forked child: cof_arena_usable is asked before each seal.
 * Where keys are expanded by this library's own call (ipsec_mb.c), what comes of them lies in a
 * second mapping of the arena, with the same rules. Thread-safe (a lock guards the free lists).
 */
#ifndef COF_CRYPTO_SECRET_H
#define COF_CRYPTO_SECRET_H

#include "base/env.h"

#define COF_SECRET_BYTES 32u
#define COF_SCHEDULE_BYTES 1280u /* the largest that a release of ipsec-mb asks for, 1264 */

struct cof_arena;
struct cof_secret;   /* 32 bytes inside the arena */
struct cof_schedule; /* COF_SCHEDULE_BYTES inside the arena, aligned to 64 */

/* LOCKED_MEMORY when bytes (rounded up to pages) can't be locked: never silently skipped. */
COFFER_MUST_CHECK int cof_arena_new(struct cof_env *env, size_t bytes,
                                    struct cof_arena **ret_arena);
/* Wipes all; NULL is allowed. */
void cof_arena_free(struct cof_arena *arena);

/* 0, or FORKED in a child of the process that made the arena. Costs one load. */
COFFER_MUST_CHECK int cof_arena_usable(const struct cof_arena *arena);

/* A zeroed slot; LIMIT when the arena is full. */
COFFER_MUST_CHECK int cof_secret_new(struct cof_arena *arena, struct cof_secret **ret_secret);
/* Wipe and give back; NULL is allowed. */
void cof_secret_free(struct cof_arena *arena, struct cof_secret *secret);

/* Let fill write the slot's 32 bytes (from a key provider, say); wiped when fill fails. */
COFFER_MUST_CHECK int cof_secret_fill(struct cof_secret *secret,
                                      int (*fill)(void *ctx, uint8_t bytes[COF_SECRET_BYTES]),
                                      void *ctx);
/* Draw the slot's bytes from the environment's randomness. */
COFFER_MUST_CHECK int cof_secret_draw(struct cof_env *env, struct cof_secret *secret);

unsigned cof_arena_slots_free(struct cof_arena *arena);

/* Let the arena hold expanded keys, in bytes (rounded up to pages) locked beside its slots. Once,
 * before the arena is shared. LOCKED_MEMORY or NO_MEMORY leave it as it was. */
COFFER_MUST_CHECK int cof_arena_add_schedules(struct cof_arena *arena, size_t bytes);
/* Room for one, zeroed, while more than keep are free; NULL when not. */
struct cof_schedule *cof_schedule_new(struct cof_arena *arena, unsigned keep);
/* Wipe and give back; NULL is allowed. */
void cof_schedule_free(struct cof_arena *arena, struct cof_schedule *schedule);
/* 0 and 0 when the arena has no room for any. */
unsigned cof_arena_schedules(const struct cof_arena *arena);
unsigned cof_arena_schedules_free(struct cof_arena *arena);

#endif
