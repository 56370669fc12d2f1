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
uint64_t recorder_seals(void);
uint64_t recorder_repeats(void);
/* Fails the case when any pair was met twice since the last reset. */
void recorder_check(void);

#endif
