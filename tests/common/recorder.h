/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/recorder.h - sees every AES-GCM seal of the engine and remembers each (key, nonce).
 *
 * Installed as cof_test_on_seal. It keeps a 128-bit XXH3 of each pair in a growing set, so a pair
 * that is met twice is found whichever store, copy or incarnation it came from; 2^32 pairs have a
 * chance of 2^-65 of a false alarm. Keeps no key. Any thread.
 */
#ifndef TESTS_COMMON_RECORDER_H
#define TESTS_COMMON_RECORDER_H

#include <stdint.h>

void recorder_install(void);
/* Forget all pairs: only where a run is repeated on purpose with the same randomness. */
void recorder_reset(void);
/* For runs without end: what was seen so far stays for good, of what comes only so many pairs, then
 * it is forgotten and begun anew. So a pair of the store itself that is met again is always found,
 * and one of another case where the two are near each other. */
void recorder_keep(uint64_t pairs_max);
uint64_t recorder_seals(void);
uint64_t recorder_repeats(void);
/* Fails the case when any pair was met twice since the last reset. */
void recorder_check(void);

#endif
