/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/throttle.h - how many requests an account may make: a token bucket each.
 *
 * A bucket is one number, the time at which it would be full again (the generic cell rate
 * algorithm). The table is bounded; when it is full, the bucket that is nearest to full goes, which
 * loses nothing once it is full. Any thread.
 */
#ifndef COF_KMS_THROTTLE_H
#define COF_KMS_THROTTLE_H

#include <coffer/kms.h>
#include <pthread.h>
#include <stdbool.h>

#define COF_THROTTLE_ACCOUNTS 256u
#define COF_THROTTLE_PER_SECOND 5500u
#define COF_THROTTLE_BURST 11000u
#define COF_THROTTLE_PER_SECOND_MAX 1000000u

struct cof_throttle_bucket {
    char account[13]; /* "": free */
    uint64_t full_ns;
};

struct cof_throttle {
    pthread_mutex_t lock;
    uint32_t per_second; /* 0: no limit */
    uint32_t burst;
    struct cof_throttle_bucket buckets[COF_THROTTLE_ACCOUNTS];
};

void cof_throttle_init(struct cof_throttle *throttle);
void cof_throttle_done(struct cof_throttle *throttle);
COFFER_MUST_CHECK int cof_throttle_set(struct cof_throttle *throttle,
                                       const struct coffer_kms_rates *rates);
/* Take one token of account at now_ns; false when there is none. */
bool cof_throttle_take(struct cof_throttle *throttle, const char *account, uint64_t now_ns);

#endif
