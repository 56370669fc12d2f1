/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/throttle.c - token buckets. No clock of its own; any thread.
 *
 * Invariant: full_ns of a bucket that was used is at most burst intervals after the latest time it
 * was asked at. A clock that was put back therefore never locks an account out: a bucket further
 * ahead than that is taken for empty as of now.
 */
#include "throttle.h"

#include <string.h>

#define SECOND_NS 1000000000u

void cof_throttle_init(struct cof_throttle *throttle)
{
    memset(throttle->buckets, 0, sizeof(throttle->buckets));
    throttle->per_second = COF_THROTTLE_PER_SECOND;
    throttle->burst = COF_THROTTLE_BURST;
    (void)pthread_mutex_init(&throttle->lock, NULL);
}

void cof_throttle_done(struct cof_throttle *throttle)
{
    (void)pthread_mutex_destroy(&throttle->lock);
}

int cof_throttle_set(struct cof_throttle *throttle, const struct coffer_kms_rates *rates)
{
    if (rates->per_second > COF_THROTTLE_PER_SECOND_MAX || rates->burst == 0 ||
        rates->burst > COF_THROTTLE_PER_SECOND_MAX) {
        return COFFER_E_INVALID;
    }
    (void)pthread_mutex_lock(&throttle->lock);
    throttle->per_second = rates->per_second;
    throttle->burst = rates->burst;
    memset(throttle->buckets, 0, sizeof(throttle->buckets));
    (void)pthread_mutex_unlock(&throttle->lock);
    return 0;
}

/* The account's bucket; else a free one, or the one nearest to full, begun anew. */
static struct cof_throttle_bucket *find_bucket(struct cof_throttle *throttle, const char *account)
{
    struct cof_throttle_bucket *best = &throttle->buckets[0];
    unsigned i;

    for (i = 0; i < COF_THROTTLE_ACCOUNTS; i++) {
        struct cof_throttle_bucket *bucket = &throttle->buckets[i];

        if (strncmp(bucket->account, account, sizeof(bucket->account) - 1) == 0) {
            return bucket;
        }
        /* A free one is full since the beginning. */
        best = bucket->full_ns < best->full_ns ? bucket : best;
    }
    memset(best, 0, sizeof(*best));
    memcpy(best->account, account, strnlen(account, sizeof(best->account) - 1));
    return best;
}

bool cof_throttle_take(struct cof_throttle *throttle, const char *account, uint64_t now_ns)
{
    struct cof_throttle_bucket *bucket;
    bool taken = true;

    (void)pthread_mutex_lock(&throttle->lock);
    if (throttle->per_second > 0) {
        uint64_t interval_ns = SECOND_NS / throttle->per_second;
        uint64_t room_ns = interval_ns * throttle->burst;

        bucket = find_bucket(throttle, account);
        if (bucket->full_ns < now_ns) {
            bucket->full_ns = now_ns;
        } else if (bucket->full_ns - now_ns > room_ns) {
            bucket->full_ns = now_ns + room_ns;
        }
        taken = bucket->full_ns - now_ns + interval_ns <= room_ns;
        bucket->full_ns += taken ? interval_ns : 0;
    }
    (void)pthread_mutex_unlock(&throttle->lock);
    return taken;
}
