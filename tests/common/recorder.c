/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/recorder.c - an open-addressed set of 128-bit sums, at most half full; see recorder.h.
 */
#include "common/recorder.h"

#include "base/checksum.h"
#include "base/testhook.h"
#include "common/harness.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    uint64_t words[2]; /* both 0: a free place */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sum *table;
static uint64_t room, used, seals, repeats;
static struct sum *kept; /* for good, and how many more are kept at most (0: all) */
static uint64_t kept_count, more_max;

/* True when it was there already. */
static bool insert(struct sum sum)
{
    uint64_t at = sum.words[0] & (room - 1);
    while (table[at].words[0] != 0 || table[at].words[1] != 0) {
        if (table[at].words[0] == sum.words[0] && table[at].words[1] == sum.words[1]) {
            return true;
        }
        at = (at + 1) & (room - 1);
    }
    table[at] = sum;
    used++;
    return false;
}

static void grow(void)
{
    struct sum *old = table;
    uint64_t old_room = room;
    room = room == 0 ? 1u << 16 : room * 2;
    table = calloc(room, sizeof *table);
    if (table == NULL) {
        abort();
    }
    used = 0;
    for (uint64_t i = 0; i < old_room; i++) {
        if (old[i].words[0] != 0 || old[i].words[1] != 0) {
            (void)insert(old[i]);
        }
    }
    free(old);
}

static void forget_all(void)
{
    free(table);
    table = NULL;
    room = used = 0;
}

/* All but those that are kept for good. */
static void forget_newer(void)
{
    forget_all();
    grow();
    for (uint64_t i = 0; i < kept_count; i++) {
        if (used * 2 >= room) {
            grow();
        }
        (void)insert(kept[i]);
    }
}

static void on_seal(const uint8_t key[32], const uint8_t nonce[12])
{
    struct sum sum;
    uint8_t bytes[16];
    cof_checksum128(0, key, 32, nonce, 12, bytes);
    memcpy(&sum, bytes, sizeof sum);
    sum.words[1] |= 1;
    pthread_mutex_lock(&lock);
    if (more_max > 0 && used >= kept_count + more_max) {
        forget_newer();
    }
    if (used * 2 >= room) {
        grow();
    }
    seals++;
    repeats += insert(sum) ? 1u : 0u;
    pthread_mutex_unlock(&lock);
}

void recorder_install(void)
{
    cof_test_on_seal = on_seal;
}

void recorder_reset(void)
{
    pthread_mutex_lock(&lock);
    forget_all();
    free(kept);
    kept = NULL;
    kept_count = more_max = 0;
    repeats = 0;
    pthread_mutex_unlock(&lock);
}

void recorder_keep(uint64_t pairs_max)
{
    pthread_mutex_lock(&lock);
    free(kept);
    kept = calloc(used + 1, sizeof *kept);
    if (kept == NULL) {
        abort();
    }
    kept_count = 0;
    for (uint64_t i = 0; i < room; i++) {
        if (table[i].words[0] != 0 || table[i].words[1] != 0) {
            kept[kept_count++] = table[i];
        }
    }
    more_max = pairs_max;
    pthread_mutex_unlock(&lock);
}

uint64_t recorder_seals(void)
{
    return seals;
}

uint64_t recorder_repeats(void)
{
    return repeats;
}

void recorder_check(void)
{
    uint64_t found = repeats;
    repeats = 0;
    harness_require(found == 0, "recorder: %llu (key, nonce) pairs were used twice",
                    (unsigned long long)found);
}
